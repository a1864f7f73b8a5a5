//! Loss and likelihood gradient of a class over p, in float64.

use imbalance_core::Head;
use imbalance_core::host::{Adjustment, EvalError, Loss};

/// Parts that the likelihoods from 0 to 1 are divided into; ¼, ½ and ¾ are among their ends.
const PARTS: u32 = 500;
/// The likelihoods nearest to 0 and 1 are these powers of ten away from them, which takes curves that diverge only
/// logarithmically out of the picture.
const TAILS: [i32; 10] = [-3, -4, -5, -6, -8, -10, -20, -50, -100, -300];

/// What a loss makes of an example of one class, by the likelihood p of that class.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Likelihoods from near 0 to near 1; the last round to 1.
    pub p: Vec<f64>,
    /// Log-odds, rising, of the likelihoods before any adjustment of logits.
    pub log_odds: Vec<f64>,
    /// The loss ℓ at each.
    pub loss: Vec<f64>,
    /// The likelihood gradient ∂ℓ/∂p at each: `ℓ'(m) / (p (1 − p))` for the log-odds m of p.
    pub gradient: Vec<f64>,
}

impl Curve {
    /// The curve of examples of `class`.
    ///
    /// Where the loss adjusts the logits, p is the likelihood before that, in the model's own softmax, and the other
    /// classes share 1 − p equally; logits are taken to sum to 0, as those of a linear layer do that began with small
    /// weights. A scale that belongs to a normalised classifier is part of the model: p is the softmax of the scaled
    /// cosines. On a sigmoid head, the last class stands for a negative of class 0.
    ///
    /// # Errors
    /// A class out of range, or what the plugin says.
    pub fn of(loss: &Loss, class: u32) -> Result<Self, EvalError> {
        let points = likelihoods();
        let seen: Vec<Seen> = points.iter().map(|point| Seen::of(loss, class as usize, point.log_odds)).collect();
        let log_odds: Vec<f64> = seen.iter().map(|seen| seen.log_odds).collect();
        let (mut value, mut slope) = (vec![0.0; seen.len()], vec![0.0; seen.len()]);
        loss.eval(&log_odds, &vec![class; seen.len()], &mut value, &mut slope)?;
        for (at, (seen, point)) in seen.iter().zip(&points).enumerate() {
            value[at] += seen.smoothing;
            slope[at] = (slope[at] * seen.slope + seen.smoothing_slope) / point.variance;
        }
        let (p, log_odds) = points.iter().map(|point| (point.p, point.log_odds)).unzip();
        Ok(Self { p, log_odds, loss: value, gradient: slope })
    }

    /// Cross-entropy, −log p and −1/p, which other losses are compared with.
    pub fn negative_log_likelihood() -> Self {
        let (p, log_odds): (Vec<f64>, _) = likelihoods().iter().map(|point| (point.p, point.log_odds)).unzip();
        let (loss, gradient) = p.iter().map(|p| (-p.ln(), -1.0 / p)).unzip();
        Self { p, log_odds, loss, gradient }
    }
}

/// A likelihood p, its log-odds, and p(1 − p).
struct Point {
    p: f64,
    log_odds: f64,
    variance: f64,
}

fn likelihoods() -> Vec<Point> {
    // By the distance from the nearer end, so that nothing is lost to rounding near 1.
    let point = |distance: f64, high: bool| {
        let log_odds = distance.ln() - (-distance).ln_1p();
        Point {
            p: if high { 1.0 - distance } else { distance },
            log_odds: if high { -log_odds } else { log_odds },
            variance: distance * (1.0 - distance),
        }
    };
    let tail = || TAILS.into_iter().map(|power| 10.0_f64.powi(power));
    let inside = (1..PARTS).map(|part| match f64::from(part) / f64::from(PARTS) {
        low if low <= 0.5 => point(low, false),
        _ => point(f64::from(PARTS - part) / f64::from(PARTS), true),
    });
    let low = tail().rev().map(|distance| point(distance, false));
    low.chain(inside).chain(tail().map(|distance| point(distance, true))).collect()
}

/// What a loss sees of log-odds m: those of the adjusted logits, their derivative by m, and what label smoothing adds.
struct Seen {
    log_odds: f64,
    slope: f64,
    smoothing: f64,
    smoothing_slope: f64,
}

impl Seen {
    fn of(loss: &Loss, class: usize, m: f64) -> Self {
        let adjustment = loss.adjustment();
        let plain = Self { log_odds: m, slope: 1.0, smoothing: 0.0, smoothing_slope: 0.0 };
        match loss.head() {
            Head::Sigmoid if adjustment.keeps_logits() => plain,
            Head::Sigmoid => Self::of_sigmoid(adjustment, class, loss.classes() - 1, m),
            Head::Softmax if adjustment.keeps_logits() && adjustment.label_smoothing == 0.0 => plain,
            // Without another class there is nothing that the logit competes with.
            Head::Softmax if loss.classes() < 2 => plain,
            Head::Softmax => Self::of_softmax(adjustment, class, loss.classes(), m),
        }
    }

    fn of_sigmoid(adjustment: &Adjustment, class: usize, background: usize, m: f64) -> Self {
        let negative = class == background;
        let (sign, column) = if negative { (-1.0, 0) } else { (1.0, class) };
        let scale = entry(&adjustment.scale, column, 1.0);
        let margin = if negative { 0.0 } else { entry(&adjustment.margin, column, 0.0) };
        let log_odds = sign * (scale * sign * m + entry(&adjustment.bias, column, 0.0)) - margin;
        Self { log_odds, slope: scale, smoothing: 0.0, smoothing_slope: 0.0 }
    }

    fn of_softmax(adjustment: &Adjustment, class: usize, classes: usize, m: f64) -> Self {
        let all = classes as f64;
        // The true class's logit is `gap` above the others', which are equal; all sum to 0.
        let gap = m + (all - 1.0).ln();
        let slope_of = |j: usize| if j == class { (all - 1.0) / all } else { -1.0 / all };
        let scale = |j: usize| if adjustment.normalised_classifier { 1.0 } else { entry(&adjustment.scale, j, 1.0) };
        let logit = |j: usize| {
            let margin = if j == class { entry(&adjustment.margin, j, 0.0) } else { 0.0 };
            scale(j) * slope_of(j) * gap + entry(&adjustment.bias, j, 0.0) - margin
        };
        let others = || (0..classes).filter(|&j| j != class);
        let largest = others().map(logit).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = others().map(|j| (logit(j) - largest).exp()).sum();
        let others_slope: f64 = others().map(|j| (logit(j) - largest).exp() / sum * scale(j) * slope_of(j)).sum();
        let own_slope = scale(class) * slope_of(class);
        let mean = (0..classes).map(logit).sum::<f64>() / all;
        let mean_slope = (0..classes).map(|j| scale(j) * slope_of(j)).sum::<f64>() / all;
        Self {
            log_odds: logit(class) - largest - sum.ln(),
            slope: own_slope - others_slope,
            smoothing: adjustment.label_smoothing * (logit(class) - mean),
            smoothing_slope: adjustment.label_smoothing * (own_slope - mean_slope),
        }
    }
}

fn entry(table: &Option<Vec<f64>>, class: usize, neutral: f64) -> f64 {
    table.as_ref().map_or(neutral, |table| table[class])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Adjustment = Adjustment::NONE;

    #[test]
    fn likelihoods_rise_and_agree_with_their_log_odds() {
        let points = likelihoods();
        assert!(points.windows(2).all(|pair| pair[0].p <= pair[1].p && pair[0].log_odds < pair[1].log_odds));
        assert!(points.iter().all(|point| point.variance > 0.0 && point.log_odds.is_finite()));
        for point in &points {
            assert!((1.0 / (1.0 + (-point.log_odds).exp()) - point.p).abs() < 1e-15);
        }
        assert!(points.iter().any(|point| point.p == 0.75 && (point.log_odds - 3.0_f64.ln()).abs() < 1e-15));
    }

    #[test]
    fn a_bias_shifts_the_log_odds_by_hand() {
        // Three classes with log 1, log 2, log 6: against the first, the others had 1 each and now have 2 and 6.
        let bias = Some([1.0_f64, 2.0, 6.0].map(f64::ln).to_vec());
        let seen = Seen::of_softmax(&Adjustment { bias, ..NOTHING }, 0, 3, 0.7);
        assert!((seen.log_odds - (0.7 - 4.0_f64.ln())).abs() < 1e-14 && (seen.slope - 1.0).abs() < 1e-15);
    }

    #[test]
    fn a_margin_is_taken_off_and_a_common_scale_multiplies_by_hand() {
        // Two classes: the logits are ±m/2, so the log-odds are 3m − margin.
        let adjustment = Adjustment { scale: Some(vec![3.0; 2]), margin: Some(vec![0.25, 9.0]), ..NOTHING };
        let seen = Seen::of_softmax(&adjustment, 0, 2, 0.5);
        assert!((seen.log_odds - 1.25).abs() < 1e-15 && (seen.slope - 3.0).abs() < 1e-15);
        // The same scale of a normalised classifier is the model's.
        let seen = Seen::of_softmax(&Adjustment { normalised_classifier: true, ..adjustment }, 0, 2, 0.5);
        assert!((seen.log_odds - 0.25).abs() < 1e-15 && (seen.slope - 1.0).abs() < 1e-15);
    }

    #[test]
    fn slopes_are_differences_under_unequal_scales_and_smoothing() {
        let adjustment = Adjustment {
            scale: Some(vec![0.5, 1.0, 2.0]),
            bias: Some(vec![0.1, -0.4, 0.9]),
            label_smoothing: 0.1,
            ..NOTHING
        };
        for class in 0..3 {
            let at = |m: f64| Seen::of_softmax(&adjustment, class, 3, m);
            let step = 1e-5;
            let (low, high, middle) = (at(0.3 - step), at(0.3 + step), at(0.3));
            assert!(((high.log_odds - low.log_odds) / (2.0 * step) - middle.slope).abs() < 1e-8);
            assert!(((high.smoothing - low.smoothing) / (2.0 * step) - middle.smoothing_slope).abs() < 1e-8);
        }
    }

    #[test]
    fn smoothing_by_hand() {
        // Two classes with logits ±m/2 and mean 0: ε m/2.
        let seen = Seen::of_softmax(&Adjustment { label_smoothing: 0.2, ..NOTHING }, 1, 2, 3.0);
        assert!((seen.smoothing - 0.3).abs() < 1e-15 && (seen.smoothing_slope - 0.1).abs() < 1e-15);
    }

    #[test]
    fn a_sigmoid_head_adjusts_a_logit_and_its_negative() {
        let adjustment = Adjustment {
            scale: Some(vec![2.0, 1.0]),
            bias: Some(vec![0.5, 0.0]),
            margin: Some(vec![0.25; 2]),
            ..NOTHING
        };
        let positive = Seen::of_sigmoid(&adjustment, 0, 1, 1.0);
        assert_eq!((positive.log_odds, positive.slope), (2.25, 2.0));
        // m = 1 of a negative is the logit −1: 2·(−1) + .5 = −1.5.
        let negative = Seen::of_sigmoid(&adjustment, 1, 1, 1.0);
        assert_eq!((negative.log_odds, negative.slope), (1.5, 2.0));
    }
}
