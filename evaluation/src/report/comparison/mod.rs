//! How sure the differences between groups are.

mod detection;
mod dialogue;
mod over_seeds;
mod vision;

use serde::Serialize;

use super::Task;
use super::groups::Group;
use super::run::Run;
use super::scores::Table;
use crate::significance::Difference;

/// How a difference was tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Method {
    /// McNemar's exact test on the same examples.
    #[serde(rename = "McNemar's exact test")]
    McNemar,
    /// Bootstrap over the same examples.
    #[serde(rename = "paired bootstrap")]
    Bootstrap,
    /// t-test over equal seeds.
    #[serde(rename = "paired t-test")]
    TTest,
}

/// A tested difference, of the first group less the second.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Test {
    pub first: usize,
    pub second: usize,
    /// What was compared, in the words of the table of scores.
    pub score: String,
    pub method: Method,
    /// What the pairs are: "images", "replies", "seeds".
    pub unit: &'static str,
    #[serde(flatten)]
    pub difference: Difference,
}

/// All tests between the groups of a task.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Comparison {
    pub tests: Vec<Test>,
    /// Resamples of a bootstrap.
    pub resamples: usize,
    /// What could not be tested, and why.
    pub notes: Vec<String>,
}

/// What the tests are made of.
#[derive(Clone, Copy)]
pub(super) struct Compared<'a> {
    pub runs: &'a [&'a Run],
    pub groups: &'a [Group],
    pub scores: &'a Table,
    /// Resamples of a bootstrap; 0 for none.
    pub resamples: usize,
}

/// The first seed of resampling; any would do, and reports of the same runs are to be the same.
const SEED: u64 = 0;

impl Comparison {
    /// Of the groups, by the test examples where run folders hold them, and over seeds that groups share.
    pub fn of(task: Task, compared: Compared<'_>) -> Self {
        let mut comparison = Self { resamples: compared.resamples, ..Self::default() };
        if compared.groups.len() < 2 {
            return comparison;
        }
        if compared.resamples > 0 {
            match task {
                Task::Vision => vision::compare(compared, &mut comparison),
                Task::Dialogue => dialogue::compare(compared, &mut comparison),
                Task::Detection => detection::compare(compared, &mut comparison),
            }
        } else {
            comparison.notes.push("No examples were resampled, as --bootstrap 0 asked.".into());
        }
        over_seeds::compare(compared, &mut comparison);
        comparison
    }

    /// Adds the tests of all pairs of `places` in the scores `names`.
    fn add_pairs(
        &mut self,
        places: &[usize],
        names: &[&str],
        unit: &'static str,
        test: impl Fn(usize, usize, usize) -> Option<(Method, Difference)>,
    ) {
        for (a, &first) in places.iter().enumerate() {
            for (b, &second) in places.iter().enumerate().skip(a + 1) {
                for (at, name) in names.iter().enumerate() {
                    if let Some((method, difference)) = test(a, b, at) {
                        let score = (*name).to_owned();
                        self.tests.push(Test { first, second, score, method, unit, difference });
                    }
                }
            }
        }
    }
}

/// A group's place with what its runs hold.
type Placed<T> = (usize, T);

/// What the finished runs of every group hold, as `read` finds it; of groups without, why not.
fn of_groups<T>(
    compared: Compared<'_>,
    comparison: &mut Comparison,
    read: impl Fn(&Run) -> Result<T, String>,
) -> Vec<Placed<Vec<T>>> {
    let mut all = Vec::new();
    for (place, group) in compared.groups.iter().enumerate() {
        let finished: Vec<&Run> =
            group.runs.iter().map(|&run| compared.runs[run]).filter(|run| run.results.is_some()).collect();
        let (count, all_runs) = (finished.len(), group.runs.len());
        if 0 < count && count < all_runs {
            let note = format!("Of {}, {count} of {all_runs} runs are finished and compared by examples.", group.name);
            comparison.notes.push(note);
        }
        let own: Result<Vec<T>, String> = match count {
            0 => Err("it is not finished".into()),
            _ => finished.into_iter().map(&read).collect(),
        };
        match own {
            Ok(own) => all.push((place, own)),
            Err(reason) => comparison.notes.push(format!("{} is not compared by examples: {reason}.", group.name)),
        }
    }
    all
}

/// Keeps the groups whose `shared` is that of the first; of others says that they have other `what`.
fn with_the_same<T, S: PartialEq>(
    groups: Vec<Placed<Vec<T>>>,
    compared: Compared<'_>,
    comparison: &mut Comparison,
    what: &str,
    shared: impl Fn(&T) -> &S,
) -> Vec<Placed<Vec<T>>> {
    let mut kept: Vec<Placed<Vec<T>>> = Vec::new();
    for (place, own) in groups {
        let expected = kept.first().map_or(&own[0], |(_, first)| &first[0]);
        if own.iter().all(|run| shared(run) == shared(expected)) {
            kept.push((place, own));
        } else {
            let first = kept.first().map_or(place, |(first, _)| *first);
            let [name, first] = [place, first].map(|place| compared.groups[place].name.as_str());
            comparison
                .notes
                .push(format!("{name} is not compared by examples: it was scored on other {what} than {first}."));
        }
    }
    kept
}

/// The mean of each example's values over runs.
fn means(runs: &[&[f64]]) -> Vec<f64> {
    let count = runs.iter().map(|run| run.len()).min().unwrap_or(0);
    (0..count).map(|at| runs.iter().map(|run| run[at]).sum::<f64>() / runs.len() as f64).collect()
}

/// A difference of shares in per cent.
fn percent(found: Difference) -> Difference {
    let [difference, lower, upper] = [found.difference, found.lower, found.upper].map(|share| 100.0 * share);
    Difference { difference, lower, upper, ..found }
}
