//! Scores of several runs of one system.

use serde::Serialize;

use super::Stats;
use crate::Spread;
use crate::align::align;

/// The 12 numbers over runs, each between 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub struct StatsSummary {
    /// Number of runs.
    pub runs: usize,
    /// In the order of [`Stats::values`]; `None` where a run has no ground truth for the number.
    pub values: [Option<Spread>; 12],
}

impl StatsSummary {
    /// Of the runs of one system; `None` without runs.
    pub fn of(runs: &[Stats]) -> Option<Self> {
        let spread = |place: usize| {
            let there = runs.iter().map(|run| Some(run.values()[place]).filter(|&value| value >= 0.0));
            Spread::of(&there.collect::<Option<Vec<_>>>()?)
        };
        (!runs.is_empty()).then(|| Self { runs: runs.len(), values: std::array::from_fn(spread) })
    }
}

impl Serialize for StatsSummary {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let runs = ("runs", serde_json::Value::from(self.runs));
        let values = Stats::NAMES.iter().zip(&self.values).map(|(&name, value)| {
            let spread = value.map(|value| serde_json::json!({"mean": value.mean, "sd": value.sd}));
            (name, spread.unwrap_or_default())
        });
        serializer.collect_map(std::iter::once(runs).chain(values))
    }
}

/// A line for each system: runs, and mean ± standard deviation of the six average precisions and of AR100.
pub fn stats_table(rows: &[(String, StatsSummary)]) -> String {
    const SHOWN: [usize; 7] = [0, 1, 2, 3, 4, 5, 8];
    let mut lines = vec![vec![String::new(), "runs".to_owned()]];
    lines[0].extend(SHOWN.map(|place| Stats::NAMES[place].to_owned()));
    lines.extend(rows.iter().map(|(name, summary)| {
        let score = |place: usize| match summary.values[place] {
            None => "-".to_owned(),
            Some(Spread { mean, sd: None }) => format!("{mean:.3}"),
            Some(Spread { mean, sd: Some(sd) }) => format!("{mean:.3} ± {sd:.3}"),
        };
        let mut line = vec![name.clone(), summary.runs.to_string()];
        line.extend(SHOWN.map(score));
        line
    }));
    align(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ap: f64, large: f64) -> Stats {
        let mut values = [0.5; 12];
        (values[0], values[5]) = (ap, large);
        Stats::from_values(values)
    }

    #[test]
    fn runs_are_summarised() {
        assert_eq!(StatsSummary::of(&[]), None);
        let summary = StatsSummary::of(&[run(0.2, 0.4), run(0.4, -1.0)]).unwrap();
        let ap = summary.values[0].unwrap();
        assert!((ap.mean - 0.3).abs() < 1e-12 && (ap.sd.unwrap() - 0.02_f64.sqrt()).abs() < 1e-12);
        assert_eq!(summary.values[5], None, "one run has no large objects");
        let text = stats_table(&[("focal".into(), summary.clone())]);
        assert!(text.contains("0.300 ± 0.141") && text.contains("0.500 ± 0.000"), "{text}");
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(
            (&json["runs"], &json["AP50"]["sd"], &json["APl"]),
            (&2.into(), &0.0.into(), &serde_json::Value::Null)
        );
    }
}
