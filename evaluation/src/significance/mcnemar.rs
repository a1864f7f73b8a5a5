//! The exact test of McNemar ("Note on the sampling error of the difference between correlated proportions or percentages",
//! Psychometrika 12, 1947).

use statrs::distribution::{Binomial, DiscreteCDF as _};

use super::{Difference, SignificanceError};

/// 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Tests whether two systems are right as often. The difference is that of the shares of right answers, 0 to 1.
///
/// With b examples that only the first has right, c that only the second has, of n:
///
/// ```text
/// p = min(1, 2 · P(X ≤ min(b, c))),  X binomial with b + c draws of 1/2
/// interval: (b' − c')/n' ± z · √(b' + c' − (b' − c')²/n') / n'   with b' = b + ½, c' = c + ½, n' = n + 2
/// ```
///
/// The interval is Wald's with half an example added to each cell (Agresti and Min, "Simple improved confidence intervals for
/// comparing matched proportions", Statistics in Medicine 24, 2005).
///
/// # Shapes
/// - `first`, `second`: whether each system is right, `[examples]`
///
/// # Errors
/// Numbers of examples that differ, or none.
pub fn mcnemar(first: &[bool], second: &[bool]) -> Result<Difference, SignificanceError> {
    if first.len() != second.len() {
        return Err(SignificanceError::Unpaired { first: first.len(), second: second.len() });
    }
    if first.is_empty() {
        return Err(SignificanceError::TooFew { pairs: 0, needed: 1 });
    }
    let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|&(&a, &b)| a && !b).count() as u64;
    let (b, c) = (only(first, second), only(second, first));
    let (p, n) = (two_sided(b, c), first.len() as f64);
    let (b, c) = (b as f64, c as f64);
    let (more, all) = (b - c, n + 2.0);
    let spread = Z * (b + c + 1.0 - more * more / all).sqrt() / all;
    let (lower, upper) = ((more / all - spread).max(-1.0), (more / all + spread).min(1.0));
    Ok(Difference { difference: more / n, lower, upper, p, pairs: first.len() })
}

fn two_sided(b: u64, c: u64) -> f64 {
    // 1/2 is a probability, so that there is a distribution.
    Binomial::new(0.5, b + c).map_or(1.0, |tosses| (2.0 * tosses.cdf(b.min(c))).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many examples that both, only the first, only the second and neither have right.
    fn table(both: usize, b: usize, c: usize, neither: usize) -> Difference {
        let answers = |right: [bool; 4]| {
            let counted = right.into_iter().zip([both, b, c, neither]);
            counted.flat_map(|(right, times)| vec![right; times]).collect::<Vec<_>>()
        };
        mcnemar(&answers([true, true, false, false]), &answers([true, false, true, false])).unwrap()
    }

    #[test]
    fn by_hand() {
        // 2 · (1 + 5) / 32.
        let found = table(3, 4, 1, 2);
        assert!((found.p - 0.375).abs() < 1e-12 && (found.difference - 0.3).abs() < 1e-12);
        assert_eq!(found.pairs, 10);
        // b' = 4.5, c' = 1.5, n' = 12: 0.25 ± 1.96 · √(6 − 9/12) / 12 = 0.25 ± 0.37424.
        assert!((found.lower + 0.124_239).abs() < 1e-5 && (found.upper - 0.624_239).abs() < 1e-5, "{found:?}");
        let back = table(3, 1, 4, 2);
        assert_eq!((back.p, back.difference, back.lower), (found.p, -found.difference, -found.upper));
    }

    #[test]
    fn no_difference_is_no_evidence() {
        assert_eq!((table(5, 0, 0, 5).p, table(5, 0, 0, 5).difference), (1.0, 0.0));
        assert_eq!(table(0, 3, 3, 0).p, 1.0);
        let all = table(0, 8, 0, 0);
        assert!((all.p - 2.0 / 256.0).abs() < 1e-15 && all.upper <= 1.0);
    }

    #[test]
    fn what_does_not_pair_up_is_refused() {
        assert!(mcnemar(&[true], &[]).unwrap_err().to_string().contains("1 and 0 values"));
        assert!(mcnemar(&[], &[]).unwrap_err().to_string().contains("too few"));
    }
}
