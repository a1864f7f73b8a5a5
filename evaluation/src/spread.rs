//! A score over several runs.

use serde::{Deserialize, Serialize};

/// Mean and standard deviation of a score over runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean over the runs.
    pub mean: f64,
    /// Standard deviation of the runs, `√(Σ (x − mean)² / (runs − 1))`; `None` for a single run.
    pub sd: Option<f64>,
}

impl Spread {
    /// Of the values of runs; `None` without any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let runs = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / runs;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self { mean, sd: (values.len() > 1).then(|| (squares / (runs - 1.0)).sqrt()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_by_hand() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[7.0]), Some(Spread { mean: 7.0, sd: None }));
        // Mean 4; squares 4 + 1 + 9 over 2.
        let spread = Spread::of(&[2.0, 3.0, 7.0]).unwrap();
        assert_eq!((spread.mean, spread.sd), (4.0, Some(7.0_f64.sqrt())));
    }
}
