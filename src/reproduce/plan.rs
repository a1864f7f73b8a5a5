//! From a table and the flags to the trainings that it takes.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Options;
use super::data::{DataSet, Found, Missing};
use super::spec::{Row, Scale, Spec, Task, Variant};
use crate::failure::UsageError;
use crate::sweep::seeds;

/// The training before all rows.
const PREPARED: &str = "prepared";

/// What a table takes at a scale, from the data that are there.
#[derive(Debug)]
pub struct Plan {
    /// The table.
    pub spec: Spec,
    /// The scale.
    pub scale: Scale,
    /// The folder of its runs.
    pub runs: PathBuf,
    /// The folder of its results; that of the runs, or one in it for a figure of a table's runs.
    pub output: PathBuf,
    /// The training before all others, if the table has one.
    pub prepare: Option<Training>,
    /// Row by row, and of each every variant.
    pub groups: Vec<Group>,
    /// Data that are not there.
    pub missing: Vec<Missing>,
    /// What differs from the paper's setting, a sentence's part each.
    pub differs: Vec<String>,
    /// Whether the numbers can be compared with the paper's as far as the settings and the data that are there say.
    pub comparable: bool,
    /// The data that are there, by id.
    pub found: BTreeMap<String, Found>,
}

/// The trainings of a row on a variant, a seed each.
#[derive(Debug)]
pub struct Group {
    /// Number of the row.
    pub row: usize,
    /// The variant.
    pub variant: String,
    /// Its trainings.
    pub trainings: Vec<Training>,
    /// Ids of data that it needs and that are not there.
    pub missing: Vec<String>,
    /// Whether it is to be trained: `--only` names its row, or is not given.
    pub chosen: bool,
}

/// A training.
#[derive(Clone, Debug)]
pub struct Training {
    /// Its seed.
    pub seed: u64,
    /// Its run folder.
    pub folder: PathBuf,
    /// What follows `toolkit TASK`, but for the run folder.
    pub args: Vec<OsString>,
}

impl Plan {
    /// The plan for what the flags ask for.
    ///
    /// # Errors
    /// Rows or seeds that make no sense; a path that is not UTF-8.
    pub fn new(spec: Spec, options: &Options) -> anyhow::Result<Self> {
        let scale = options.scale;
        let setting = spec.setting(scale)?.clone();
        let runs = options
            .run
            .clone()
            .unwrap_or_else(|| Path::new("runs/reproduce").join(format!("{}-{}", spec.runs_name(), scale.name())));
        let output = if spec.runs_of.is_some() { runs.join(&spec.name) } else { runs.clone() };
        let only = chosen(&spec, &options.only)?;
        let data = DataSet::all()?;
        let mut places = Places::new(&data, options.data.as_deref());
        let prepared = runs.join(PREPARED);
        let prepare = (!setting.prepare.is_empty()).then(|| Training {
            seed: 1,
            folder: prepared.clone(),
            args: setting.prepare.iter().map(Into::into).chain(options.of_every_training()).collect(),
        });
        let weights = prepared.join("checkpoints/best.safetensors");
        let mut groups = Vec::new();
        for (at, row) in spec.rows.iter().enumerate().filter(|(_, row)| row.absent.is_none()) {
            let trained = spec.trained(row);
            for variant in &spec.variants {
                let args = setting.args.iter().chain(variant.at(scale)).chain(trained.at(scale));
                let mut needs = Vec::new();
                let args: Vec<OsString> =
                    args.map(|arg| places.fill(arg, &weights, &mut needs)).collect::<anyhow::Result<_>>()?;
                groups.push(Group {
                    row: at,
                    variant: variant.id.clone(),
                    trainings: trainings(options, &setting.seeds, variant, trained, &runs, &args)?,
                    missing: needs,
                    chosen: only.contains(&at),
                });
            }
        }
        let Places { missing, found, .. } = places;
        let remarks: Vec<String> = found.values().filter_map(|found| found.remark.clone()).collect();
        let comparable = scale == Scale::Full && remarks.is_empty() && options.extra.is_empty();
        let of_flags = of_flags(options, &setting.seeds, &spec.full_seeds()?);
        let differs = setting.differs.into_iter().chain(remarks).chain(of_flags).collect();
        Ok(Self { spec, scale, runs, output, prepare, groups, missing, differs, comparable, found })
    }

    /// The trainings that can be run, each once, the first seed of every row before the second of any: a whole table soon.
    pub fn trainings(&self) -> Vec<(&Group, &Training)> {
        let trains = !self.spec.trains_nothing();
        let ready = || self.groups.iter().filter(move |group| trains && group.chosen && group.missing.is_empty());
        let most = ready().map(|group| group.trainings.len()).max().unwrap_or(0);
        let at = |at: usize| ready().filter_map(move |group| Some((group, group.trainings.get(at)?)));
        // Rows may share a training.
        let mut folders = HashSet::new();
        (0..most).flat_map(at).filter(|(_, training)| folders.insert(&training.folder)).collect()
    }

    /// The subcommand of the rows.
    pub fn task(&self) -> Task {
        self.spec.task
    }
}

/// What the flags make different, and the seeds: those of the table's rows, with `papers` for the paper's setting.
fn of_flags(options: &Options, own: &str, papers: &[&str]) -> Vec<String> {
    let extra: Vec<String> = options.extra.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let extra = (!extra.is_empty()).then(|| format!("every training has {}", extra.join(" ")));
    let asked = options.seeds.as_ref().map(|own| format!("{}..{}", own.start, own.end));
    let seeds = asked.unwrap_or_else(|| own.into());
    let differ = options.scale == Scale::Quick || options.seeds.is_some();
    let differ = differ && papers.iter().any(|papers| **papers != seeds);
    let seeds = differ.then(|| format!("seeds {seeds} in the place of {}", papers.join(" and ")));
    extra.into_iter().chain(seeds).collect()
}

fn trainings(
    options: &Options,
    of_table: &str,
    variant: &Variant,
    row: &Row,
    runs: &Path,
    args: &[OsString],
) -> anyhow::Result<Vec<Training>> {
    let own = variant.seeds(options.scale).unwrap_or(of_table);
    let range = options.seeds.clone().map_or_else(|| seeds(own), Ok)?;
    let start = if variant.id.is_empty() { String::new() } else { format!("{}-", variant.id) };
    let training = |seed: u64| Training {
        seed,
        folder: runs.join(&row.id).join(format!("{start}seed-{seed}")),
        args: args
            .iter()
            .cloned()
            .chain([format!("--seed={seed}").into()])
            .chain(options.of_every_training())
            .collect(),
    };
    Ok(range.map(training).collect())
}

/// Numbers of the rows that `--only` names, or all.
fn chosen(spec: &Spec, only: &[String]) -> anyhow::Result<Vec<usize>> {
    if only.is_empty() {
        return Ok((0..spec.rows.len()).collect());
    }
    let number = |wanted: &String| {
        let named = |row: &Row| row.id == *wanted || row.name.to_lowercase() == wanted.to_lowercase();
        let at = spec.rows.iter().position(named).ok_or_else(|| {
            let ids: Vec<&str> = spec.rows.iter().map(|row| row.id.as_str()).collect();
            UsageError(format!("--only {wanted}: {} has no such row; it has: {}", spec.name, ids.join(", ")))
        })?;
        match &spec.rows[at].absent {
            Some(what) => Err(UsageError(format!("--only {wanted}: the toolkit does not have {what}")).into()),
            None => Ok(at),
        }
    };
    only.iter().map(number).collect()
}

/// Looks each data set up once.
struct Places<'a> {
    sets: &'a [DataSet],
    folder: Option<&'a Path>,
    found: BTreeMap<String, Found>,
    missing: Vec<Missing>,
}

impl<'a> Places<'a> {
    fn new(sets: &'a [DataSet], folder: Option<&'a Path>) -> Self {
        Self { sets, folder, found: BTreeMap::new(), missing: Vec::new() }
    }

    /// `arg` with the place of what it names in braces. What is not there stays as it is, and is added to `needs`.
    fn fill(&mut self, arg: &str, prepared: &Path, needs: &mut Vec<String>) -> anyhow::Result<OsString> {
        let Some((before, rest)) = arg.split_once('{') else { return Ok(arg.into()) };
        let (id, after) = rest.split_once('}').with_context(|| format!("{arg}: a brace is open"))?;
        let path = if id == PREPARED {
            prepared.to_owned()
        } else if let Some(found) = self.look_up(id)? {
            found.path
        } else {
            if !needs.iter().any(|known| known == id) {
                needs.push(id.to_owned());
            }
            return Ok(arg.into());
        };
        // Flags of trainings are looked through as text.
        let path = path.to_str().ok_or_else(|| UsageError(format!("{}: a path that is not UTF-8", path.display())))?;
        Ok(format!("{before}{path}{after}").into())
    }

    fn look_up(&mut self, id: &str) -> anyhow::Result<Option<Found>> {
        if let Some(found) = self.found.get(id) {
            return Ok(Some(found.clone()));
        }
        if self.missing.iter().any(|missing| missing.id == id) {
            return Ok(None);
        }
        let set = self.sets.iter().find(|set| set.id == id).with_context(|| format!("data.toml: no {id}"))?;
        Ok(match set.find(self.folder) {
            Ok(found) => {
                self.found.insert(id.to_owned(), found.clone());
                Some(found)
            }
            Err(missing) => {
                self.missing.push(missing);
                None
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(name: &str, options: Options) -> Plan {
        Plan::new(Spec::load(name).unwrap(), &options).unwrap()
    }

    fn words(args: &[OsString]) -> String {
        args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_row_has_a_training_for_each_variant_and_seed() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("cifar-100-ir50.tar.xz");
        std::fs::write(&archive, "").unwrap();
        let options = Options { data: Some(folder.path().into()), threads: Some(1), ..Options::default() };
        let plan = plan("table-5", options);
        // Five rows on three imbalance ratios, of which the data hold two.
        assert_eq!(plan.groups.len(), 15);
        assert_eq!(plan.groups[2].missing, ["cifar-100-ir10"]);
        assert_eq!(plan.missing.len(), 1);
        assert!(plan.differs.iter().any(|what| what.contains("ratio 50")) && !plan.comparable);
        let order = plan.trainings();
        assert_eq!(order.len(), 5 * 2 * 3);
        assert_eq!(order[9].1.folder, Path::new("runs/reproduce/table-5-full/el-cb/id-50-seed-0"));
        assert_eq!(order[10].1.folder, Path::new("runs/reproduce/table-5-full/ce-rs/id-100-seed-1"));
        let expected = format!(
            "--recipe=cifar-100-lt --imbalance-ratio=100 --data={} --loss=cross-entropy \
             --defer-sampler=inverse-effective --defer-epochs=160 --seed=1 --threads=1",
            archive.display()
        );
        assert_eq!(words(&order[10].1.args), expected);
    }

    #[test]
    fn a_figure_of_a_table_has_its_runs() {
        let options = Options { scale: Scale::Quick, seeds: Some(2..3), ..Options::default() };
        let plan = plan("figure-6", options);
        let training = &plan.groups[2].trainings[0];
        assert_eq!(training.folder, Path::new("runs/reproduce/table-7-quick/el/seed-2"));
        assert_eq!(plan.output, Path::new("runs/reproduce/table-7-quick/figure-6"));
        assert!(words(&training.args).contains("--epochs=9 --loss=eureka"), "{:?}", training.args);
        assert!(plan.trainings().is_empty(), "there are no data");
        assert!(plan.differs.contains(&"seeds 2..3 in the place of 0..3".into()), "{:?}", plan.differs);
    }

    #[test]
    fn seeds_that_are_not_the_papers_are_told() {
        let differs = |table: &str, scale, seeds| {
            let plan = plan(table, Options { scale, seeds, ..Options::default() });
            plan.differs.into_iter().find(|what| what.starts_with("seeds "))
        };
        assert_eq!(differs("table-8", Scale::Full, None), None);
        assert_eq!(differs("table-8", Scale::Quick, None).unwrap(), "seeds 0..1 in the place of 0..3");
        assert_eq!(differs("table-8", Scale::Quick, Some(0..3)), None);
        assert_eq!(differs("table-10", Scale::Quick, None).unwrap(), "seeds 0..1 in the place of 0..3 and 0..5");
    }

    #[test]
    fn rows_without_a_run_of_their_own_take_another() {
        let plan = plan("table-7", Options::default());
        let folder = |id: &str| {
            let of = |group: &&Group| plan.spec.rows[group.row].id == id;
            plan.groups.iter().find(of).unwrap().trainings[0].folder.clone()
        };
        assert_eq!(folder("ldam-cb-deferred-zhou"), folder("ldam-cb-deferred"));
    }

    #[test]
    fn a_training_that_rows_share_is_made_once() {
        let data = tempfile::tempdir().unwrap();
        let lists = data.path().join("inaturalist-2018");
        std::fs::create_dir(&lists).unwrap();
        for list in ["iNaturalist18_train.txt", "iNaturalist18_val.txt"] {
            std::fs::write(lists.join(list), "").unwrap();
        }
        let trainings = |options: Options| {
            let plan = plan("table-7", Options { data: Some(data.path().into()), ..options });
            let rows = plan.trainings().into_iter().map(|(group, _)| plan.spec.rows[group.row].id.clone());
            rows.collect::<Vec<_>>()
        };
        // As docs/reproduction.md counts them.
        assert_eq!(trainings(Options::default()).len(), 12 * 3);
        assert_eq!(trainings(Options { scale: Scale::Quick, ..Options::default() }).len(), 12);
        let row = "ldam-cb-deferred-zhou".to_owned();
        let one = Options { seeds: Some(0..1), only: vec![row.clone()], ..Options::default() };
        assert_eq!(trainings(one), [row]);
    }

    #[test]
    fn rows_are_chosen_by_id_or_name() {
        let spec = Spec::load("table-3").unwrap();
        let only = |text: &str| chosen(&spec, &[text.to_owned()]);
        assert_eq!((only("fl").unwrap(), only("eureka loss").unwrap()), (vec![1], vec![4]));
        assert!(only("x").unwrap_err().to_string().contains("it has: ce, fl, cb, fl-cb, el, oltr"));
        assert!(only("oltr").unwrap_err().to_string().contains("does not have open long-tailed recognition"));
    }
}
