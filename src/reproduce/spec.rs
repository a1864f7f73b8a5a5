//! The tables and figures of the paper as data: `tables/NAME.toml`.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Names and texts, in the paper's order.
pub const FILES: [(&str, &str); 15] = [
    ("table-1", include_str!("tables/table-1.toml")),
    ("table-2", include_str!("tables/table-2.toml")),
    ("table-3", include_str!("tables/table-3.toml")),
    ("table-4", include_str!("tables/table-4.toml")),
    ("table-5", include_str!("tables/table-5.toml")),
    ("table-6", include_str!("tables/table-6.toml")),
    ("table-7", include_str!("tables/table-7.toml")),
    ("table-8", include_str!("tables/table-8.toml")),
    ("table-9", include_str!("tables/table-9.toml")),
    ("table-10", include_str!("tables/table-10.toml")),
    ("figure-2", include_str!("tables/figure-2.toml")),
    ("figure-3", include_str!("tables/figure-3.toml")),
    ("figure-4", include_str!("tables/figure-4.toml")),
    ("figure-6", include_str!("tables/figure-6.toml")),
    ("figure-7", include_str!("tables/figure-7.toml")),
];

/// A table or figure of the paper, with the trainings that it takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Spec {
    /// `table-1`, say.
    #[serde(skip)]
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Where in the paper it and its settings are.
    pub section: String,
    /// What trains its rows.
    pub task: Task,
    /// Where the paper is silent or contradicts itself, and what is done then, a sentence or two each.
    pub note: Vec<String>,
    /// The table whose runs a figure shows; its rows then have names and numbers only.
    pub runs_of: Option<String>,
    /// The row that the others are compared with, if the table has one.
    pub baseline: Option<String>,
    /// What is drawn, for a figure.
    pub figure: Option<Drawing>,
    /// The paper's settings.
    pub full: Option<Setting>,
    /// Settings for small machines.
    pub quick: Option<Setting>,
    /// Data sets or imbalance ratios that each row is trained on; one without a name where there are none.
    #[serde(rename = "variant", default)]
    pub variants: Vec<Variant>,
    /// The numbers of each row.
    #[serde(rename = "column")]
    pub columns: Vec<Column>,
    /// The methods.
    #[serde(rename = "row")]
    pub rows: Vec<Row>,
}

/// What trains the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// `toolkit vision`
    Vision,
    /// `toolkit dialogue`
    Dialogue,
    /// `toolkit detection`
    Detection,
}

impl Task {
    /// The subcommand.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Vision => "vision",
            Self::Dialogue => "dialogue",
            Self::Detection => "detection",
        }
    }
}

/// What a figure shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drawing {
    /// Curves of halted focal loss, and accuracy over the share of classes that it is for.
    HaltedFocal,
    /// Accuracy by the power of the bonus.
    BonusStrength,
    /// Histograms of the likelihood of the true class.
    Likelihood,
    /// Training and test accuracy.
    Gap,
    /// Word types by how often they occur.
    WordFrequencies,
}

/// How large the trainings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// The paper's settings
    Full,
    /// Fewer epochs or smaller models and data, for small machines; not comparable with the paper
    Quick,
}

impl Scale {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quick => "quick",
        }
    }

    /// The arguments of both scales, then those of this one.
    fn of<'a>(self, both: &'a [String], full: &'a [String], quick: &'a [String]) -> impl Iterator<Item = &'a String> {
        both.iter().chain(match self {
            Self::Full => full,
            Self::Quick => quick,
        })
    }
}

/// What all rows have in common at a scale.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Setting {
    /// `A..B`
    pub seeds: String,
    /// Arguments of each training; `{id}` stands for the place of a data set, `{prepared}` for the weights that
    /// `prepare` ends with.
    pub args: Vec<String>,
    /// A training before all rows, from whose weights they start; empty for none.
    #[serde(default)]
    pub prepare: Vec<String>,
    /// What differs from the paper's setting.
    pub differs: Vec<String>,
}

/// A data set or imbalance ratio that every row is trained on.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Variant {
    /// Part of the run's folder; empty where there is one variant.
    pub id: String,
    /// Arguments at both scales, then at one.
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    full: Vec<String>,
    #[serde(default)]
    quick: Vec<String>,
    full_seeds: Option<String>,
}

/// A number of each row.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Column {
    /// As in the paper.
    pub name: String,
    /// Its place in a run's `results.json`: keys, with a dot between.
    pub metric: String,
    /// What the number there is multiplied by.
    #[serde(default = "one")]
    pub factor: f64,
    /// Which is better.
    #[serde(default)]
    pub better: Better,
    /// Decimals that are shown.
    #[serde(default = "two")]
    pub digits: usize,
    /// The variant that it is of.
    #[serde(default)]
    pub variant: String,
}

fn two() -> usize {
    2
}

fn one() -> f64 {
    1.0
}

/// Which numbers are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// The higher ones.
    #[default]
    Higher,
    /// The lower ones.
    Lower,
}

/// A method.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Row {
    /// What `--only` takes, and the run's folder.
    pub id: String,
    /// As in the paper.
    pub name: String,
    /// The paper's numbers, digit for digit, `-` for none; a standard deviation follows a slash.
    pub paper: Vec<String>,
    /// What the toolkit does not have, if that is so.
    pub absent: Option<String>,
    /// Another row that is the same training.
    pub same_run_as: Option<String>,
    /// Arguments at both scales, then at one.
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    full: Vec<String>,
    #[serde(default)]
    quick: Vec<String>,
}

impl Spec {
    /// The table or figure of that name; for a figure of a table's runs, with the settings of that table.
    ///
    /// # Errors
    /// No such name, or a file that does not fit together, which the tests would have found.
    pub fn load(name: &str) -> anyhow::Result<Self> {
        let mut spec = Self::parse(name)?;
        if let Some(table) = &spec.runs_of {
            let table = Self::parse(table)?;
            for row in &mut spec.rows {
                let missing = || format!("{name}: {} has no row `{}`", table.name, row.id);
                let of_table = table.rows.iter().find(|own| own.id == row.id).with_context(missing)?;
                *row = Row { name: row.name.clone(), paper: row.paper.clone(), ..of_table.clone() };
            }
            (spec.full, spec.quick, spec.variants) = (table.full, table.quick, table.variants);
        }
        if spec.variants.is_empty() {
            spec.variants.push(Variant::default());
        }
        Ok(spec)
    }

    fn parse(name: &str) -> anyhow::Result<Self> {
        let (name, text) = FILES.iter().find(|(known, _)| *known == name).with_context(|| format!("no {name}"))?;
        let spec: Self = toml::from_str(text).with_context(|| format!("{name}.toml"))?;
        Ok(Self { name: (*name).to_owned(), ..spec })
    }

    /// All tables and figures.
    ///
    /// # Errors
    /// As [`Spec::load`].
    pub fn all() -> anyhow::Result<Vec<Self>> {
        FILES.iter().map(|(name, _)| Self::load(name)).collect()
    }

    /// The settings at `scale`.
    ///
    /// # Errors
    /// There are none, which the tests would have found.
    pub fn setting(&self, scale: Scale) -> anyhow::Result<&Setting> {
        let setting = match scale {
            Scale::Full => &self.full,
            Scale::Quick => &self.quick,
        };
        setting.as_ref().with_context(|| format!("{}.toml: no {} scale", self.name, scale.name()))
    }

    /// The ranges of seeds of the paper's setting, each once.
    ///
    /// # Errors
    /// As [`Self::setting`].
    pub fn full_seeds(&self) -> anyhow::Result<Vec<&str>> {
        let of_table = self.setting(Scale::Full)?.seeds.as_str();
        let all = self.variants.iter().map(|variant| variant.seeds(Scale::Full).unwrap_or(of_table));
        let mut all: Vec<&str> = all.collect();
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// The training that `row` is: itself, or another.
    pub fn trained<'a>(&'a self, row: &'a Row) -> &'a Row {
        let other = row.same_run_as.as_ref().and_then(|id| self.rows.iter().find(|other| other.id == *id));
        other.unwrap_or(row)
    }

    /// Ids of the data sets that it names, each once.
    pub fn data_sets(&self) -> Vec<String> {
        let settings = self.full.iter().chain(&self.quick).flat_map(|setting| &setting.args);
        let of_variant = |variant: &Variant| [&variant.args, &variant.full, &variant.quick].map(Clone::clone).concat();
        let variants = self.variants.iter().flat_map(of_variant);
        let mut ids = Vec::new();
        for arg in settings.cloned().chain(variants) {
            let id = arg.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(id, _)| id.to_owned());
            ids.extend(id.filter(|id| id != "prepared" && !ids.contains(id)));
        }
        ids
    }

    /// Whether its rows are of the data alone.
    pub fn trains_nothing(&self) -> bool {
        self.figure == Some(Drawing::WordFrequencies)
    }

    /// What the rows are trained for: `table-2` for a figure of its runs, else itself.
    pub fn runs_name(&self) -> &str {
        self.runs_of.as_deref().unwrap_or(&self.name)
    }
}

impl Variant {
    /// Arguments at `scale`.
    pub fn at(&self, scale: Scale) -> impl Iterator<Item = &String> {
        scale.of(&self.args, &self.full, &self.quick)
    }

    /// Its seeds at `scale`, where they are not the table's.
    pub fn seeds(&self, scale: Scale) -> Option<&str> {
        self.full_seeds.as_deref().filter(|_| scale == Scale::Full)
    }
}

impl Row {
    /// Arguments at `scale`.
    pub fn at(&self, scale: Scale) -> impl Iterator<Item = &String> {
        scale.of(&self.args, &self.full, &self.quick)
    }
}

/// The mean that the paper gives in a cell; none in `-`.
pub fn paper_mean(cell: &str) -> Option<f64> {
    cell.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_fits_together() {
        let all = Spec::all().unwrap();
        for spec in &all {
            for scale in [Scale::Full, Scale::Quick] {
                spec.setting(scale).unwrap();
            }
            for (at, row) in spec.rows.iter().enumerate() {
                let name = format!("{} {}", spec.name, row.id);
                assert_eq!(row.paper.len(), spec.columns.len(), "{name}");
                assert!(row.paper.iter().all(|cell| cell == "-" || paper_mean(cell).is_some()), "{name}");
                assert!(spec.rows[..at].iter().all(|other| other.id != row.id), "{name} is there twice");
                if let Some(other) = &row.same_run_as {
                    assert!(spec.rows.iter().any(|row| row.id == *other && row.same_run_as.is_none()), "{name}");
                }
            }
            if let Some(baseline) = &spec.baseline {
                assert!(spec.rows.iter().any(|row| row.id == *baseline), "{}", spec.name);
            }
            for column in &spec.columns {
                assert!(spec.variants.iter().any(|variant| variant.id == column.variant), "{}", column.name);
            }
            assert!(!spec.title.is_empty() && !spec.section.is_empty(), "{}", spec.name);
        }
    }

    /// Cells as they are printed in the paper.
    #[test]
    fn the_papers_numbers_by_hand() {
        let cells = |table: &str, row: &str| {
            let spec = Spec::load(table).unwrap();
            let row = spec.rows.iter().find(|known| known.id == row).unwrap();
            (row.name.clone(), row.paper.join(" "))
        };
        for (table, row, name, numbers) in [
            ("table-1", "fl-hfl", "FL (Head) + HFL (Tail)", "34.2 52.7 36.3"),
            ("table-2", "el-deferred", "Eureka Loss†", "69.9 73.3 69.3 69.6 73.0"),
            ("table-2", "fl-cb", "FL + CB", "59.6 45.5 61.8 60.5 46.7"),
            ("table-2", "mbj", "MBJ (Liu et al., 2020)*§", "68.6 68.0 69.8 68.5 -"),
            ("table-3", "oltr", "OLTR (Liu et al., 2019)*", "46.5 -"),
            ("table-3", "cb", "CB", "43.9 58.8"),
            ("table-3", "el-cb-deferred", "Eureka Loss + CB†", "50.4 62.2"),
            ("table-4", "el", "Eureka Loss", "1.32 17.2 40.4"),
            ("table-5", "ldam-cb", "LDAM+CB†*", "42.04 46.62 58.71"),
            ("table-5", "el-cb", "EL + CB†", "43.19 48.48 59.31"),
            ("table-6", "beta-0.9999", "EL (β=0.9999)", "50.0 67.1 44.7 19.8"),
            ("table-7", "ldam-cb-deferred-zhou", "LDAM+CB† (Zhou et al., 2019)*", "64.6 - - - -"),
            ("table-7", "el-deferred", "Eureka Loss†", "67.1 69.4 67.3 66.1 69.5"),
            ("table-8", "bbn", "BBN†*", "79.82 82.18 88.32"),
            ("table-9", "gamma-0.5", "γ = 0.5", "21.2/10.8 8.3/7.1 9.2/3.2"),
            ("table-10", "simplified-el", "Simplified EL", "71.8/0.9 66.3 75.1 67.4 62.6 72.6"),
            ("figure-3", "el", "Likelihood bonus (EL†)", "76.1"),
            ("figure-6", "el", "Eureka Loss", "- - 28.6"),
        ] {
            assert_eq!(cells(table, row), (name.to_owned(), numbers.to_owned()), "{table} {row}");
        }
    }

    #[test]
    fn means_of_cells() {
        assert_eq!(["71.4/0.5", "1.17", "-"].map(paper_mean), [Some(71.4), Some(1.17), None]);
    }
}
