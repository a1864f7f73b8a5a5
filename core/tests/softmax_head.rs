//! The fused softmax head against the formula in float64.
#![cfg(feature = "host")]

use std::sync::Arc;

use imbalance_core::host::{HeadError, Loss, Plugin, SoftmaxHead};
use imbalance_core::{ClassCounts, Head};
use proptest::prelude::*;

#[path = "../../plugins/eureka/src/lib.rs"]
#[allow(dead_code, reason = "a plugin's source, linked in")]
mod eureka;

fn loss(classes: usize) -> Loss {
    let counts = ClassCounts::new((1..=classes as u64).map(|rank| 5000 / rank + 1).collect()).unwrap();
    let plugin = Arc::new(Plugin::embedded(&eureka::toolkit_loss_plugin).unwrap());
    Loss::new(plugin, Head::Softmax, &[("beta".into(), 0.999)], &counts).unwrap()
}

/// Loss, log-odds and gradient of one row, in float64.
fn reference(loss: &Loss, logits: &[f32], target: usize) -> (f64, f64, Vec<f64>) {
    let others: Vec<f64> =
        (0..logits.len()).map(|j| if j == target { f64::NEG_INFINITY } else { f64::from(logits[j]) }).collect();
    let largest = others.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = others.iter().map(|z| (z - largest).exp()).sum();
    let m = f64::from(logits[target]) - largest - sum.ln();
    let (mut value, mut slope) = ([0.0], [0.0]);
    loss.eval(&[m], &[target as u32], &mut value, &mut slope).unwrap();
    let mut gradient: Vec<f64> = others.iter().map(|z| -slope[0] * (z - largest).exp() / sum).collect();
    gradient[target] = slope[0];
    (value[0], m, gradient)
}

fn close(got: f32, want: f64, scale: f64) -> bool {
    (f64::from(got) - want).abs() <= 3e-6 * (want.abs() + scale)
}

fn check(classes: usize, logits: &[f32], targets: &[i64]) {
    let loss = loss(classes);
    let head = SoftmaxHead::new(&loss);
    let n = targets.len();
    let (mut value, mut log_odds, mut gradient) = (vec![0.0; n], vec![0.0; n], vec![f32::NAN; n * classes]);
    head.forward_backward(logits, targets, &mut value, &mut log_odds, &mut gradient).unwrap();
    for row in 0..n {
        let numbers = &logits[row * classes..(row + 1) * classes];
        let largest = numbers.iter().fold(0.0_f64, |most, &z| most.max(f64::from(z).abs()));
        let (want, m, want_gradient) = reference(&loss, numbers, targets[row] as usize);
        assert!(close(value[row], want, 1.0 + largest), "row {row}: loss {} against {want}", value[row]);
        assert!(close(log_odds[row], m, 1.0 + largest), "row {row}: log-odds {} against {m}", log_odds[row]);
        for j in 0..classes {
            let got = gradient[row * classes + j];
            assert!(
                close(got, want_gradient[j], 1e-3 * (1.0 + largest)),
                "row {row}, class {j}: {got} against {}",
                want_gradient[j]
            );
        }
    }
    let mut in_place = logits.to_vec();
    let (mut again, mut m_again) = (vec![0.0; n], vec![0.0; n]);
    head.forward_backward_in_place(&mut in_place, targets, &mut again, &mut m_again).unwrap();
    assert_eq!((&in_place, &again, &m_again), (&gradient, &value, &log_odds), "in place differs");
    let mut only = vec![0.0; n];
    head.forward(logits, targets, &mut only, &mut m_again).unwrap();
    assert_eq!(only, value, "forward alone differs");
}

#[test]
fn agrees_with_float64_for_odd_sizes_and_edge_targets() {
    for classes in [2, 3, 15, 16, 17, 63, 64, 65, 100, 1000, 18848] {
        let rows = if classes > 1000 { 5 } else { 9 };
        let logits: Vec<f32> = (0..rows * classes).map(|i| ((i * 7919 + 13) % 1013) as f32 * 0.02 - 10.0).collect();
        let targets: Vec<i64> = (0..rows).map(|row| [0, classes - 1, classes / 2][row % 3] as i64).collect();
        check(classes, &logits, &targets);
    }
}

#[test]
fn is_finite_where_a_float32_softmax_has_saturated() {
    let loss = loss(4);
    let (mut value, mut m, mut gradient) = ([0.0], [0.0], [0.0; 4]);
    for gap in [40.0_f32, 90.0, 1000.0, 1e30] {
        for target in [0, 1] {
            let head = SoftmaxHead::new(&loss);
            head.forward_backward(&[gap, 0.0, 0.0, 0.0], &[target], &mut value, &mut m, &mut gradient).unwrap();
            assert!(
                value[0].is_finite() && gradient.iter().all(|g| g.is_finite()),
                "{gap} {target}: {value:?} {gradient:?}"
            );
        }
    }
    // Certain and right: the reward still pushes on, by w_0 (the weight of the most common class).
    SoftmaxHead::new(&loss).forward_backward(&[90.0, 0.0, 0.0, 0.0], &[0], &mut value, &mut m, &mut gradient).unwrap();
    assert!(
        gradient[0] < -0.01 && (gradient[0] + gradient[1] + gradient[2] + gradient[3]).abs() < 1e-6,
        "{gradient:?}"
    );
}

#[test]
fn ignored_rows_have_no_loss_and_no_gradient() {
    let loss = loss(3);
    let head = SoftmaxHead::new(&loss).ignoring(-100);
    let (mut value, mut m, mut gradient) = ([9.0; 2], [9.0; 2], [9.0; 6]);
    head.forward_backward(&[1.0, 2.0, 3.0, 1.0, 2.0, 3.0], &[-100, 2], &mut value, &mut m, &mut gradient).unwrap();
    assert_eq!((value[0], m[0], &gradient[..3]), (0.0, 0.0, &[0.0; 3][..]));
    assert!(value[1] != 0.0 && gradient[3..].iter().all(|g| *g != 0.0));
}

#[test]
fn bad_rows_are_named() {
    let loss = loss(3);
    let head = SoftmaxHead::new(&loss);
    let (mut value, mut m, mut gradient) = (vec![0.0; 400], vec![0.0; 400], vec![0.0; 1200]);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        // In the true class, and in another one.
        for column in [0, 1] {
            let mut logits = vec![0.5; 1200];
            logits[3 * 350 + column] = bad;
            let error = head.forward_backward(&logits, &[0; 400], &mut value, &mut m, &mut gradient);
            let named = matches!(error, Err(HeadError::NotFinite { row: 350, .. }));
            // −∞ for another class only rules that class out.
            assert!(named || (bad == f32::NEG_INFINITY && column == 1 && error.is_ok()), "{bad} {column}: {error:?}");
        }
    }
    let mut targets = vec![0; 400];
    targets[17] = 3;
    let said = head.forward(&vec![0.5; 1200], &targets, &mut value, &mut m).unwrap_err().to_string();
    assert_eq!(said, "row 17: target 3 is out of range, there are 3 classes (0 to 2)");
    assert!(head.forward(&[0.5; 7], &[0; 2], &mut [0.0; 2], &mut [0.0; 2]).is_err());
}

proptest! {
    /// Softmax does not see a shift, and its gradient sums to 0.
    #[test]
    fn shifts_change_nothing(logits in prop::collection::vec(-30.0_f32..30.0, 37), target in 0_i64..37, shift in -20.0_f32..20.0) {
        let loss = loss(37);
        let head = SoftmaxHead::new(&loss);
        let (mut value, mut m, mut gradient) = ([0.0; 2], [0.0; 2], [0.0; 74]);
        let shifted = logits.iter().map(|z| z + shift);
        let both: Vec<f32> = logits.iter().copied().chain(shifted).collect();
        head.forward_backward(&both, &[target; 2], &mut value, &mut m, &mut gradient).unwrap();
        prop_assert!((value[0] - value[1]).abs() < 1e-4 * (1.0 + value[0].abs()));
        prop_assert!(gradient[..37].iter().sum::<f32>().abs() < 1e-5);
        for j in 0..37 {
            prop_assert!((gradient[j] - gradient[37 + j]).abs() < 2e-5);
        }
    }
}
