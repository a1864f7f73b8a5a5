//! Student's paired t-test ("The probable error of a mean", Biometrika 6, 1908).

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::{Difference, SignificanceError};
use crate::Spread;

/// Tests whether the mean of a score over runs is the same for two systems, whose runs are paired, by their seeds say.
///
/// ```text
/// t = mean(d) / (sd(d) / √n)      p = 2 · P(T ≥ |t|),  T of n − 1 degrees of freedom
/// interval: mean(d) ± T⁻¹(0.975) · sd(d) / √n
/// ```
///
/// # Shapes
/// - `first`, `second`: the score of each run, `[runs]`
///
/// # Errors
/// Numbers of runs that differ, fewer than 2, a score that is not finite.
pub fn paired_t_test(first: &[f64], second: &[f64]) -> Result<Difference, SignificanceError> {
    if first.len() != second.len() {
        return Err(SignificanceError::Unpaired { first: first.len(), second: second.len() });
    }
    let pairs = first.len();
    let differences: Vec<f64> = first.iter().zip(second).map(|(first, second)| first - second).collect();
    if differences.iter().any(|difference| !difference.is_finite()) {
        return Err(SignificanceError::NotFinite);
    }
    let too_few = SignificanceError::TooFew { pairs, needed: 2 };
    let Some(Spread { mean, sd: Some(sd) }) = Spread::of(&differences) else { return Err(too_few) };
    let Ok(students) = StudentsT::new(0.0, 1.0, (pairs - 1) as f64) else { return Err(too_few) };
    let error = sd / (pairs as f64).sqrt();
    let p = match (error > 0.0, mean) {
        (true, _) => 2.0 * students.sf((mean / error).abs()),
        // All differences are the same one.
        (false, 0.0) => 1.0,
        (false, _) => 0.0,
    };
    let reach = students.inverse_cdf(0.975) * error;
    Ok(Difference { difference: mean, lower: mean - reach, upper: mean + reach, p, pairs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_degrees_of_freedom_by_hand() {
        // d = 1, 2, 3: mean 2, sd 1, t = 2√3. With 2 degrees P(T ≥ t) = ½ − t / (2√(2 + t²)) = ½ − √12 / (2√14); the
        // quantile is 0.95 · √(2 / (4 · 0.975 · 0.025)) = 4.302653.
        let found = paired_t_test(&[2.0, 4.0, 6.0], &[1.0, 2.0, 3.0]).unwrap();
        let p = 1.0 - (12.0_f64 / 14.0).sqrt();
        assert!((found.p - p).abs() < 1e-12, "{found:?}");
        let reach = 0.95 * (2.0_f64 / (4.0 * 0.975 * 0.025)).sqrt() / 3.0_f64.sqrt();
        assert!((found.upper - 2.0 - reach).abs() < 1e-9 && (found.lower - 2.0 + reach).abs() < 1e-9, "{found:?}");
        assert_eq!((found.difference, found.pairs), (2.0, 3));
    }

    #[test]
    fn equal_differences_have_no_spread() {
        let found = paired_t_test(&[2.0, 3.0], &[1.0, 2.0]).unwrap();
        assert_eq!((found.p, found.lower, found.upper), (0.0, 1.0, 1.0));
        assert_eq!(paired_t_test(&[2.0, 3.0], &[2.0, 3.0]).unwrap().p, 1.0);
    }

    #[test]
    fn what_cannot_be_tested_is_refused() {
        assert!(paired_t_test(&[1.0], &[2.0]).unwrap_err().to_string().contains("at least 2"));
        assert!(matches!(paired_t_test(&[1.0], &[]), Err(SignificanceError::Unpaired { .. })));
        assert_eq!(paired_t_test(&[1.0, f64::NAN], &[1.0, 2.0]), Err(SignificanceError::NotFinite));
    }
}
