//! Ours beside the paper's: as text, Markdown and JSON.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use imbalance_evaluation::Spread;
use serde::Serialize;

use super::data::Missing;
use super::execute::{Execution, Results};
use super::plan::{Group, Plan};
use super::spec::{Better, Column, Drawing, Row, paper_mean};
use super::words;
use crate::child;
use crate::losses::text::hanging;

/// Heading of the column that says what became of a row.
const STATUS: &str = "status";

/// A table or figure, as far as it could be made.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `table-1`, say.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Where in the paper it is.
    pub section: String,
    /// The scale.
    pub scale: &'static str,
    /// Whether the numbers can be compared with the paper's.
    pub comparable: bool,
    /// What differs from the paper's setting.
    pub differs: Vec<String>,
    /// What the paper leaves open, and what is done then.
    pub notes: Vec<String>,
    /// What the numbers are.
    pub columns: Vec<Column>,
    /// The methods.
    pub rows: Vec<RowReport>,
    /// Data that are not there.
    pub missing: Vec<Missing>,
    /// The folder of the runs.
    pub runs: PathBuf,
    /// The row that others are compared with.
    pub baseline: Option<String>,
    /// Pictures that were drawn.
    pub figure: Vec<PathBuf>,
}

/// A method.
#[derive(Debug, Serialize)]
pub struct RowReport {
    /// Its name for `--only`.
    pub id: String,
    /// Its name in the paper.
    pub name: String,
    /// What became of it.
    pub status: String,
    /// A number for each column.
    pub cells: Vec<Cell>,
    /// Folders of the finished runs that the numbers are of.
    pub runs: Vec<PathBuf>,
}

/// A number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// As in the paper, `-` for none.
    pub paper: String,
    /// Mean and standard deviation over our runs.
    pub ours: Option<Spread>,
    /// The number of each run, by rising seed.
    pub values: Vec<f64>,
    /// Our mean less the paper's.
    pub difference: Option<f64>,
    /// The paper's number less that of the row that others are compared with.
    pub paper_gain: Option<f64>,
    /// The same of ours.
    pub our_gain: Option<f64>,
}

impl Report {
    /// What is there of a plan's table.
    ///
    /// # Errors
    /// Results that cannot be read.
    pub fn new(plan: &Plan, execution: &Execution) -> anyhow::Result<Self> {
        let mut results = Results::default();
        let counted = match (plan.spec.figure, plan.found.get("convai2")) {
            (Some(Drawing::WordFrequencies), Some(found)) => Some(words::Words::count(&found.path)?),
            _ => None,
        };
        let spec = &plan.spec;
        let rows = spec.rows.iter().enumerate().map(|(at, row)| match &counted {
            Some(words) => Ok(of_words(row, words.bars()[at])),
            None => row_report(plan, execution, &mut results, at),
        });
        let mut rows: Vec<RowReport> = rows.collect::<anyhow::Result<_>>()?;
        if let Some(base) = rows.iter().find(|row| Some(&row.id) == spec.baseline.as_ref()).map(|row| row.cells.clone())
        {
            rows.iter_mut().flat_map(|row| row.cells.iter_mut().zip(&base)).for_each(|(cell, base)| cell.compare(base));
        }
        let unknown = unknown_data(plan, |group| counted.is_none() && !folders(execution, group).is_empty());
        let has_numbers = rows.iter().flat_map(|row| &row.cells).any(|cell| cell.ours.is_some());
        let mut differs = plan.differs.clone();
        differs.extend(unknown.clone().map(|ids| {
            format!("{ids}: without --data nobody knows whether the runs are on the paper's data or on other data of the kind")
        }));
        let mut notes = spec.note.clone();
        notes.extend(counted.map(|words| words.note()));
        Ok(Self {
            name: spec.name.clone(),
            title: spec.title.clone(),
            section: spec.section.clone(),
            scale: plan.scale.name(),
            comparable: plan.comparable && has_numbers && unknown.is_none(),
            differs,
            notes,
            columns: spec.columns.clone(),
            rows,
            missing: plan.missing.clone(),
            runs: plan.runs.clone(),
            baseline: spec.baseline.clone(),
            figure: Vec::new(),
        })
    }

    /// Whether any number is ours.
    pub fn has_results(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.cells).any(|cell| cell.ours.is_some())
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = self.heading() + "\n\n" + &aligned(&self.lines());
        text.extend(self.gains().map(|gains| format!("\n{}", aligned(&gains))));
        for (title, items) in self.remarks() {
            text += &format!("\n{title}\n");
            text.extend(items.iter().map(|item| hanging("  ", item) + "\n"));
        }
        for path in &self.figure {
            text += &format!("\n{}", path.display());
        }
        if !self.figure.is_empty() {
            text.push('\n');
        }
        text + &format!("\nruns: {}\n", self.runs.display())
    }

    /// The same as a page.
    pub fn markdown(&self) -> String {
        let escaped = |text: &String| text.replace('|', "\\|").replace('*', "\\*");
        let line = |cells: &[String]| format!("| {} |\n", cells.iter().map(escaped).collect::<Vec<_>>().join(" | "));
        let mut text = format!("# {}\n", self.heading());
        for lines in std::iter::once(self.lines()).chain(self.gains()) {
            let [groups, names, rows @ ..] = lines.as_slice() else { continue };
            let titles = groups.iter().zip(names).map(|(group, name)| format!("{group} {name}").trim().to_owned());
            let titles: Vec<String> = titles.collect();
            text += &format!("\n{}|{}\n", line(&titles), "---|".repeat(titles.len()));
            text.extend(rows.iter().map(|row| line(row)));
        }
        for (title, items) in self.remarks() {
            text += &format!("\n{title}\n\n");
            text.extend(items.iter().map(|item| format!("- {}\n", escaped(item))));
        }
        for path in self.figure.iter().filter(|path| path.extension().is_some_and(|end| end == "svg")) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            text += &format!("\n![{}]({name})\n", self.title);
        }
        text
    }

    fn heading(&self) -> String {
        let name = self.name.replace("table-", "Table ").replace("figure-", "Figure ");
        format!("{name}: {} ({} scale; {})", self.title, self.scale, at_section(&self.section))
    }

    /// Two lines of headings, then the rows; of columns that nothing of ours is in, only the paper's numbers.
    fn lines(&self) -> Vec<Vec<String>> {
        let ours = |at: usize| self.rows.iter().any(|row| row.cells[at].ours.is_some());
        let differ = |at: usize| self.rows.iter().any(|row| row.cells[at].difference.is_some());
        let (mut groups, mut names) = (vec![String::new()], vec!["method".to_owned()]);
        for (at, column) in self.columns.iter().enumerate() {
            let better = if column.better == Better::Lower { " (lower is better)" } else { "" };
            let shown =
                ["paper", "ours", "difference"].iter().take(if !ours(at) { 1 } else { 2 + usize::from(differ(at)) });
            for name in shown {
                groups.push(format!("{}{better}", column.name));
                names.push((*name).to_owned());
            }
        }
        groups.push(String::new());
        names.push(STATUS.into());
        let mut lines = vec![groups, names];
        for row in &self.rows {
            let mut line = vec![row.name.clone()];
            for (at, (cell, column)) in row.cells.iter().zip(&self.columns).enumerate() {
                line.push(cell.paper.clone());
                if ours(at) {
                    line.extend(cell.shown(column.digits).into_iter().take(1 + usize::from(differ(at))));
                }
            }
            line.push(row.status.clone());
            lines.push(line);
        }
        lines
    }

    /// What rows gain over the one that they are compared with, where ours of both are there: what can be compared even where
    /// the numbers themselves cannot.
    fn gains(&self) -> Option<Vec<Vec<String>>> {
        let base = self.rows.iter().find(|row| Some(&row.id) == self.baseline.as_ref())?;
        let others = self.rows.iter().filter(|row| row.id != base.id);
        let others: Vec<_> = others.filter(|row| row.cells.iter().any(|cell| cell.our_gain.is_some())).collect();
        let shown = |at: &usize| others.iter().any(|row| row.cells[*at].our_gain.is_some());
        let columns: Vec<usize> = (0..self.columns.len()).filter(shown).collect();
        let (mut groups, mut names) = (vec![String::new()], vec![format!("gain over {}", base.name)]);
        for &at in &columns {
            groups.extend([self.columns[at].name.clone(), self.columns[at].name.clone()]);
            names.extend(["paper".into(), "ours".into()]);
        }
        let mut lines = vec![groups, names];
        for row in &others {
            let numbers = columns.iter().flat_map(|&at| {
                let (cell, digits) = (&row.cells[at], self.columns[at].digits);
                [signed(cell.paper_gain, digits), signed(cell.our_gain, digits)]
            });
            lines.push(std::iter::once(row.name.clone()).chain(numbers).collect());
        }
        (!others.is_empty()).then_some(lines)
    }

    /// What stands below the table.
    fn remarks(&self) -> Vec<(&'static str, Vec<String>)> {
        let differs = match (self.scale, self.comparable) {
            ("quick", _) => "Quick scale: not comparable with the paper's numbers. What differs:",
            (_, false) => "Not comparable with the paper's numbers. What differs:",
            _ => "What differs from the paper's setting:",
        };
        let missing = self.missing.iter().map(|set| {
            format!("{}: {}; looked for {} in the folder of --data; {}", set.id, set.title, set.wanted, set.get)
        });
        let all =
            [(differs, self.differs.clone()), ("Missing data:", missing.collect()), ("Notes:", self.notes.clone())];
        all.into_iter().filter(|(_, items)| !items.is_empty()).collect()
    }
}

/// `section 5.2` or `appendix C`.
pub fn at_section(section: &str) -> String {
    if section.starts_with("appendix") { section.to_owned() } else { format!("section {section}") }
}

impl Cell {
    fn new(paper: &str, values: &[f64]) -> Self {
        let ours = Spread::of(values);
        let difference = ours.and_then(|ours| Some(ours.mean - paper_mean(paper)?));
        Self { paper: paper.to_owned(), ours, values: values.to_vec(), difference, paper_gain: None, our_gain: None }
    }

    fn compare(&mut self, base: &Self) {
        let less = |own: Option<f64>, base: Option<f64>| Some(own? - base?);
        self.paper_gain = less(paper_mean(&self.paper), paper_mean(&base.paper));
        self.our_gain = less(self.ours.map(|ours| ours.mean), base.ours.map(|ours| ours.mean));
    }

    /// Ours and the difference.
    fn shown(&self, digits: usize) -> [String; 2] {
        let ours = self.ours.map_or_else(
            || "-".to_owned(),
            |ours| match ours.sd {
                Some(sd) => format!("{:.digits$} ± {sd:.digits$}", ours.mean),
                None => format!("{:.digits$}", ours.mean),
            },
        );
        [ours, signed(self.difference, digits)]
    }
}

fn signed(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:+.digits$}").replace('-', "\u{2212}"))
}

fn of_words(row: &Row, types: usize) -> RowReport {
    RowReport {
        id: row.id.clone(),
        name: row.name.clone(),
        status: "counted".into(),
        cells: row.paper.iter().map(|paper| Cell::new(paper, &[types as f64])).collect(),
        runs: Vec::new(),
    }
}

/// Folders of the finished runs of `group`, those of other settings left out.
fn folders(execution: &Execution, group: &Group) -> Vec<PathBuf> {
    let counts = |folder: &PathBuf| child::is_finished(folder) && !execution.others.contains_key(folder);
    group.trainings.iter().map(|training| training.folder.clone()).filter(counts).collect()
}

/// Ids of the data of the groups that `has_runs`, as far as those are not there to say what they are: in the settings of a row
/// they then fit whatever a run was made from.
fn unknown_data(plan: &Plan, has_runs: impl Fn(&Group) -> bool) -> Option<String> {
    let ids = plan.groups.iter().filter(|group| has_runs(group)).flat_map(|group| &group.missing);
    let ids: BTreeSet<&str> = ids.map(String::as_str).collect();
    (!ids.is_empty()).then(|| ids.into_iter().collect::<Vec<_>>().join(", "))
}

fn row_report(plan: &Plan, execution: &Execution, results: &mut Results, at: usize) -> anyhow::Result<RowReport> {
    let row = &plan.spec.rows[at];
    let groups: Vec<&Group> = plan.groups.iter().filter(|group| group.row == at).collect();
    let folders = |group: &Group| folders(execution, group);
    let mut cells = Vec::new();
    for (column, paper) in plan.spec.columns.iter().zip(&row.paper) {
        let group = groups.iter().find(|group| group.variant == column.variant);
        let mut values = Vec::new();
        for folder in group.map(|group| folders(group)).unwrap_or_default() {
            values.extend(number(results.of(&folder)?, column).with_context(|| folder.display().to_string())?);
        }
        cells.push(Cell::new(paper, &values));
    }
    let status = match &row.absent {
        Some(what) => format!("not in the toolkit ({what})"),
        None => status(&groups, execution, |group| folders(group).len()),
    };
    let runs = groups.iter().flat_map(|group| folders(group)).collect();
    Ok(RowReport { id: row.id.clone(), name: row.name.clone(), status, cells, runs })
}

/// The number of `column` in a run's results; none where the run has none, as for a group without classes.
fn number(results: &serde_json::Value, column: &Column) -> anyhow::Result<Option<f64>> {
    let found = column.metric.split('.').try_fold(results, |value, key| value.get(key));
    let found = found.with_context(|| format!("results.json has no `{}`", column.metric))?;
    Ok(found.as_f64().map(|number| number * column.factor))
}

/// What became of the variants of a row, those of one fate together.
fn status(groups: &[&Group], execution: &Execution, finished: impl Fn(&Group) -> usize) -> String {
    let fate = |group: &Group| {
        let (done, all) = (finished(group), group.trainings.len());
        let failed = group.trainings.iter().any(|training| execution.failure(&training.folder).is_some());
        let other = group.trainings.iter().any(|training| execution.others.contains_key(&training.folder));
        let seeds = if all == 1 { "" } else { " seeds" };
        match done {
            // Before what else there is to say: this is shown.
            _ if done == all && all > 1 => format!("{all}{seeds}"),
            _ if done == all => "done".to_owned(),
            0 if failed => "failed".to_owned(),
            0 if other => "other settings".to_owned(),
            0 if !group.missing.is_empty() => format!("missing {}", group.missing.join(", ")),
            0 => "not run".to_owned(),
            _ if failed => format!("{done} of {all}{seeds}, failed"),
            _ => format!("{done} of {all}{seeds}"),
        }
    };
    let mut fates: Vec<(String, Vec<&str>)> = Vec::new();
    for group in groups {
        let fate = fate(group);
        match fates.iter_mut().find(|(known, _)| *known == fate) {
            Some((_, variants)) => variants.push(&group.variant),
            None => fates.push((fate, vec![&group.variant])),
        }
    }
    match fates.as_slice() {
        [(one, _)] => one.clone(),
        _ => fates.iter().map(|(fate, of)| format!("{}: {fate}", of.join(", "))).collect::<Vec<_>>().join("; "),
    }
}

/// The first column and one of words (whose heading is `status`) to the left, the others to the right. A heading that the next
/// columns repeat stands over all of them.
fn aligned(lines: &[Vec<String>]) -> String {
    let Some((groups, rest)) = lines.split_first().filter(|(_, rest)| !rest.is_empty()) else { return String::new() };
    let columns = groups.len();
    let width = |lines: &[Vec<String>], at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..columns).map(|at| width(rest, at)).collect();
    // A heading runs over the columns that it is of.
    let mut heads: Vec<(usize, usize)> = Vec::new();
    for at in 0..columns {
        match heads.last_mut() {
            Some((start, end)) if groups[*start] == groups[at] && !groups[at].is_empty() => *end = at,
            _ => heads.push((at, at)),
        }
    }
    for &(start, end) in &heads {
        let room: usize = widths[start..=end].iter().sum::<usize>() + 2 * (end - start);
        widths[end] += groups[start].chars().count().saturating_sub(room);
    }
    let mut text = String::new();
    for &(start, end) in &heads {
        let room: usize = widths[start..=end].iter().sum::<usize>() + 2 * (end - start);
        let gap = if start == 0 { "" } else { "  " };
        text += gap;
        text += &if start == end { format!("{:>room$}", groups[start]) } else { format!("{:^room$}", groups[start]) };
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    for line in rest {
        for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
            match at {
                0 => text += &format!("{cell:width$}"),
                _ if rest[0][at] == STATUS => text += &format!("  {cell}"),
                _ => text += &format!("  {cell:>width$}"),
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_by_hand() {
        // Mean 71, squares 1 + 1 over 1.
        let cell = Cell::new("71.4/0.5", &[70.0, 72.0]);
        assert_eq!(cell.ours, Some(Spread { mean: 71.0, sd: Some(2.0_f64.sqrt()) }));
        assert!((cell.difference.unwrap() + 0.4).abs() < 1e-12);
        assert_eq!(cell.shown(2), ["71.00 ± 1.41", "\u{2212}0.40"]);
        let mut other = Cell::new("70", &[74.5]);
        other.compare(&cell);
        assert!((other.paper_gain.unwrap() + 1.4).abs() < 1e-12 && other.our_gain == Some(3.5));
        assert_eq!(Cell::new("-", &[70.0]).shown(1), ["70.0", "-"]);
        assert_eq!(Cell::new("1.17", &[]).shown(1), ["-", "-"]);
    }

    #[test]
    fn numbers_are_found_by_their_keys() {
        let results = serde_json::json!({ "scores": { "stats": { "AP": 0.513 }, "few": null } });
        let column = |metric: &str, factor| Column {
            name: "x".into(),
            metric: metric.into(),
            factor,
            better: Better::Higher,
            digits: 1,
            variant: String::new(),
        };
        assert!((number(&results, &column("scores.stats.AP", 100.0)).unwrap().unwrap() - 51.3).abs() < 1e-12);
        assert_eq!(number(&results, &column("scores.few", 1.0)).unwrap(), None);
        assert!(number(&results, &column("scores.all", 1.0)).unwrap_err().to_string().contains("`scores.all`"));
    }

    #[test]
    fn headings_run_over_their_columns() {
        let lines = [["", "ID-100", "ID-100", ""], ["method", "paper", "ours", "status"], ["CE", "1", "22.5", "done"]];
        let lines: Vec<Vec<String>> = lines.map(|line| line.map(str::to_owned).to_vec()).to_vec();
        assert_eq!(
            aligned(&lines),
            "          ID-100\n\
             method  paper  ours  status\n\
             CE          1  22.5  done\n"
        );
    }
}
