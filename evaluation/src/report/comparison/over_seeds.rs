//! Scores of runs with equal seeds.

use std::collections::BTreeMap;

use super::{Compared, Comparison, Method, Test};
use crate::report::scores::Row;
use crate::significance::paired_t_test;

/// Fewest seeds that two groups must share: with 2 the interval is over 12 times as wide as the spread.
const FEWEST: usize = 3;

/// Tests the headline scores of groups that share seeds.
pub(super) fn compare(compared: Compared<'_>, comparison: &mut Comparison) {
    let before = comparison.tests.len();
    let rows = &compared.scores.rows;
    for (at, first) in rows.iter().enumerate() {
        for second in rows[at + 1..].iter().filter(|row| row.stage == first.stage && row.group != first.group) {
            pair(compared, comparison, first, second);
        }
    }
    if comparison.tests.len() == before {
        comparison.notes.push(format!(
            "No two groups share {FEWEST} seeds, so nothing is tested over seeds: the tests tell of these trained models, \
             not of how another training would come out."
        ));
    }
}

fn pair(compared: Compared<'_>, comparison: &mut Comparison, first: &Row, second: &Row) {
    let by_seed = |row: &Row| -> BTreeMap<u64, Vec<Option<f64>>> {
        let seeded =
            row.by_run.iter().filter_map(|(run, values)| Some((compared.runs[*run].setting("seed")?, values.clone())));
        seeded.collect()
    };
    let (own, other) = (by_seed(first), by_seed(second));
    for (at, score) in compared.scores.scores.iter().enumerate().filter(|(_, score)| score.headline) {
        let pairs: Vec<(f64, f64)> =
            own.iter().filter_map(|(seed, values)| Some((values[at]?, other.get(seed)?[at]?))).collect();
        if pairs.len() < FEWEST {
            continue;
        }
        let (own, other): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        if let Ok(difference) = paired_t_test(&own, &other) {
            let name =
                if first.stage == "best epoch" { format!("{} (best epoch)", score.name) } else { score.name.clone() };
            comparison.tests.push(Test {
                first: first.group,
                second: second.group,
                score: name,
                method: Method::TTest,
                unit: "seeds",
                difference,
            });
        }
    }
}
