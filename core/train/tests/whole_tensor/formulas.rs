//! Each loss against its paper's formula, one number at a time.

use imbalance_core::Head;
use imbalance_train::heads::{HeadOptions, linear_softmax_loss, softmax_loss_with};
use tch::{Device, Kind, Tensor};

use crate::plugins::{COUNTS, IGNORED, alone_with_the_generator, assert_agrees, make, matrix, numbers, softmax, step};

const C: usize = 5;
const TARGETS: [i64; 7] = [0, 1, 2, 3, IGNORED, 4, 0];
const OPTIONS: HeadOptions<'_> = HeadOptions {
    path: imbalance_train::heads::LossPath::Auto,
    ignore_index: Some(IGNORED),
    weights: None,
    reduction: imbalance_core::host::Reduction::Sum,
    features: None,
};

/// Logits whose ignored row is not even finite.
fn logits(seed: f64) -> Vec<f64> {
    let mut all = numbers(TARGETS.len(), C, 2.5, seed);
    all[4 * C..5 * C].fill(f64::NAN);
    all
}

/// `of(row, z of the row, frozen z of the row, target)` of the rows that count, 0 of the others.
fn by_row(z: &[f64], frozen: &[f64], of: impl Fn(usize, &[f64], &[f64], usize) -> f64) -> Vec<f64> {
    let rows = z.chunks(C).zip(frozen.chunks(C)).zip(TARGETS).enumerate();
    rows.map(|(row, ((z, frozen), y))| if y == IGNORED { 0.0 } else { of(row, z, frozen, y as usize) }).collect()
}

fn softmax_of(z: &[f64]) -> Vec<f64> {
    let sum: f64 = z.iter().map(|z| z.exp()).sum();
    z.iter().map(|z| z.exp() / sum).collect()
}

fn log_p(z: &[f64], y: usize) -> f64 {
    softmax_of(z)[y].ln()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn seesaw_row(z: &[f64], frozen: &[f64], y: usize, seen: &[f64; C], [p, q, eps]: [f64; 3]) -> f64 {
    let likelihood = softmax_of(frozen);
    let mut sum = z[y].exp();
    for j in (0..C).filter(|&j| j != y) {
        let ratio = seen[j].max(1.0) / seen[y].max(1.0);
        let mitigation = if ratio < 1.0 { ratio.powf(p) } else { 1.0 };
        let taken = likelihood[j] / likelihood[y].max(eps);
        let compensation = if taken > 1.0 { taken.powf(q) } else { 1.0 };
        sum += mitigation * compensation * z[j].exp();
    }
    -(z[y].exp() / sum).ln()
}

#[test]
fn seesaw_counts_what_it_has_seen() {
    for eps in [0.01, 0.0] {
        let loss = softmax("seesaw", &[("eps", eps)]);
        let mut seen = [0.0; C];
        for at in 1..=4 {
            for y in TARGETS.iter().filter(|&&y| y != IGNORED) {
                seen[*y as usize] += 1.0;
            }
            // The third step is of large logits, which make p_y less than eps.
            let z: Vec<f64> = logits(f64::from(at)).iter().map(|z| if at == 3 { 4.0 * z } else { *z }).collect();
            let step = step(&loss, &z, &TARGETS, &OPTIONS);
            assert_agrees(&format!("seesaw, eps {eps}, step {at}"), &step, &z, |z, frozen| {
                by_row(z, frozen, |_, z, frozen, y| seesaw_row(z, frozen, y, &seen, [0.8, 2.0, eps]))
            });
        }
    }
}

#[test]
fn seesaw_is_cross_entropy_without_its_powers() {
    let z = logits(2.0);
    let step = step(&softmax("seesaw", &[("p", 0.0), ("q", 0.0)]), &z, &TARGETS, &OPTIONS);
    assert_agrees("seesaw", &step, &z, |z, frozen| by_row(z, frozen, |_, z, _, y| -log_p(z, y)));
}

#[test]
fn seesaw_is_finite_at_logits_far_apart() {
    let loss = softmax("seesaw", &[("eps", 0.0), ("p", 0.0)]);
    let z = [-4e4, 4e4, 0.0, 0.0, 0.0, 4e4, -4e4, 0.0, 0.0, 0.0];
    let (losses, gradient) = step(&loss, &z, &[0, 0], &HeadOptions::default());
    // log C = 2·8e4 beside the logits' own difference of 8e4.
    assert_eq!(losses, [2.4e5, 0.0]);
    assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
}

#[test]
fn equalization_spares_the_rare() {
    // Shares of 628: classes 3 and 4 have less than .02.
    let loss = softmax("equalization", &[("lambda", 0.02), ("gamma", 0.6)]);
    let z = logits(1.0);
    let counted: Vec<usize> = (0..TARGETS.len()).filter(|&row| TARGETS[row] != IGNORED).collect();
    let _drawing = alone_with_the_generator();
    tch::manual_seed(11);
    let drawn = Tensor::rand([counted.len() as i64, C as i64], (Kind::Double, Device::Cpu));
    let drawn = Vec::<f64>::try_from(drawn.flatten(0, -1)).unwrap();
    tch::manual_seed(11);
    let stepped = step(&loss, &z, &TARGETS, &OPTIONS);
    let mut spared = 0;
    assert_agrees("equalization", &stepped, &z, |z, frozen| {
        by_row(z, frozen, |row, z, _, y| {
            let row = counted.iter().position(|&counted| counted == row).unwrap();
            let weight = |k: usize| if k >= 3 && k != y && drawn[row * C + k] < 0.6 { 0.0 } else { 1.0 };
            -(z[y].exp() / (0..C).map(|k| weight(k) * z[k].exp()).sum::<f64>()).ln()
        })
    });
    for (row, y) in counted.iter().map(|&row| (row, TARGETS[row])) {
        for k in (3..C).filter(|&k| k as i64 != y) {
            spared += usize::from(stepped.1[row * C + k] == 0.0);
        }
    }
    assert!((1..11).contains(&spared), "{spared} of eleven: γ is .6");

    let plain = tch::no_grad(|| {
        let z = matrix(&z, C);
        softmax_loss_with(&loss, z, &Tensor::from_slice(&TARGETS), &OPTIONS).unwrap()
    });
    let expected: f64 = by_row(&z, &z, |_, z, _, y| -log_p(z, y)).iter().sum();
    assert!((plain.total - expected).abs() < 1e-12, "a measurement is cross-entropy");
    assert!((plain.negative_log_likelihood - expected).abs() < 1e-12);
}

const SIGMOID_TARGETS: [i64; 6] = [0, 1, 2, -1, -2, 0];

/// `Σ_j (q_j y_j + r_j (1 − y_j)) BCE_j` of each row that counts, with `weights(row's target)` giving the weight of
/// column j, whether it is its target.
fn weighted_bce(z: &[f64], weight: impl Fn(i64, usize) -> f64) -> Vec<f64> {
    let of_row = |(z, y): (&[f64], i64)| {
        let bce = |(j, &z): (usize, &f64)| {
            let likelihood = if y == j as i64 { sigmoid(z) } else { 1.0 - sigmoid(z) };
            -weight(y, j) * likelihood.ln()
        };
        if y == -2 { 0.0 } else { z.iter().enumerate().map(bce).sum() }
    };
    z.chunks(3).zip(SIGMOID_TARGETS).map(of_row).collect()
}

#[test]
fn equalization_of_a_sigmoid_head() {
    // Shares of the foreground's 100: .9, .09 and .01.
    let loss = make("equalization", Head::Sigmoid, &[("lambda", 0.05)], &[90, 9, 1, 100_000]).unwrap();
    let z = numbers(6, 3, 3.0, 5.0);
    let step = step(&loss, &z, &SIGMOID_TARGETS, &HeadOptions::default());
    assert_agrees("equalization", &step, &z, |z, _| {
        weighted_bce(z, |y, j| if j == 2 && y != 2 && y >= 0 { 0.0 } else { 1.0 })
    });
}

#[test]
fn equalization_v2_balances_gradients() {
    let loss = make("equalization-v2", Head::Sigmoid, &[], &[90, 9, 1, 100_000]).unwrap();
    let (mut positive, mut negative) = ([0.0; 3], [0.0; 3]);
    let mut balanced = false;
    for at in 1..=4 {
        let z = numbers(6, 3, 3.0, f64::from(at));
        let f = |g: f64| 1.0 / (1.0 + (-12.0 * (g - 0.8)).exp());
        let weight = |y: i64, j: usize| {
            let r = f(positive[j] / (negative[j] + 1e-10));
            match (at, y == j as i64) {
                (1, _) => 1.0,
                (_, true) => 1.0 + 4.0 * (1.0 - r),
                (_, false) => r,
            }
        };
        let step = step(&loss, &z, &SIGMOID_TARGETS, &HeadOptions::default());
        assert_agrees(&format!("equalization-v2, step {at}"), &step, &z, |z, _| weighted_bce(z, weight));
        balanced |= at > 1 && (0..3).any(|j| (0.01..0.99).contains(&weight(-1, j)));
        let (mut more_positive, mut more_negative) = ([0.0; 3], [0.0; 3]);
        for (z, y) in z.chunks(3).zip(SIGMOID_TARGETS).filter(|&(_, y)| y != -2) {
            for j in 0..3 {
                let p = sigmoid(z[j]);
                let (sum, gradient) =
                    if y == j as i64 { (&mut more_positive, 1.0 - p) } else { (&mut more_negative, p) };
                sum[j] += weight(y, j) * gradient;
            }
        }
        for j in 0..3 {
            (positive[j], negative[j]) = (positive[j] + more_positive[j], negative[j] + more_negative[j]);
        }
    }
    assert!(balanced, "no step had a weight between 0 and 1: {positive:?} {negative:?}");
}

#[test]
fn influence_balanced_divides_by_the_influence() {
    let z = logits(3.0);
    let h = numbers(TARGETS.len(), 4, 1.5, 8.0);
    let norm = |row: usize, h: &[f64]| h[row * 4..(row + 1) * 4].iter().map(|h| h.abs()).sum::<f64>();
    let mean = COUNTS.iter().map(|&n| 1.0 / n as f64).sum::<f64>() / C as f64;
    for (fixed, weighted) in [(0.0, 1.0), (1.0, 0.0)] {
        let loss =
            softmax("influence-balanced", &[("alpha", 10.0), ("fixed-factor", fixed), ("class-weights", weighted)]);
        let reference = |z: &[f64], frozen: &[f64], h: &[f64]| {
            by_row(z, frozen, |row, z, frozen, y| {
                let p = softmax_of(if fixed == 1.0 { frozen } else { z });
                let gradient: f64 = (0..C).map(|j| (p[j] - f64::from(u8::from(j == y))).abs()).sum();
                let weight = if weighted == 1.0 { 1.0 / COUNTS[y] as f64 / mean } else { 1.0 };
                -weight * 10.0 / (gradient * norm(row, h) + 1e-3) * log_p(z, y)
            })
        };
        let features = matrix(&h, 4);
        let options = HeadOptions { features: Some(&features), ..OPTIONS };
        let step = step(&loss, &z, &TARGETS, &options);
        assert_agrees("influence-balanced", &step, &z, |z, frozen| reference(z, frozen, &h));

        // What flows back into the features.
        let leaf = matrix(&h, 4).set_requires_grad(true);
        let options = HeadOptions { features: Some(&leaf), ..OPTIONS };
        let logits = matrix(&z, C).set_requires_grad(true);
        let head = softmax_loss_with(&loss, logits, &Tensor::from_slice(&TARGETS), &options).unwrap();
        head.sum.backward();
        if fixed == 1.0 {
            assert!(!leaf.grad().defined(), "a fixed factor has no gradient");
            continue;
        }
        let gradient = Vec::<f64>::try_from(leaf.grad().flatten(0, -1)).unwrap();
        for at in 0..h.len() {
            let moved = |by: f64| {
                let mut h = h.clone();
                h[at] += by;
                reference(&z, &z, &h).iter().sum::<f64>()
            };
            let want = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((gradient[at] - want).abs() < 1e-6 * (1.0 + want.abs()), "feature {at}: {} {want}", gradient[at]);
        }
    }
}

#[test]
fn a_linear_head_gives_its_hidden_states_as_features() {
    let loss = softmax("influence-balanced", &[]);
    let (hidden, weight) = (matrix(&numbers(7, 4, 1.0, 1.0), 4), matrix(&numbers(C, 4, 1.0, 2.0), 4));
    let targets = Tensor::from_slice(&TARGETS);
    let options = HeadOptions { features: Some(&hidden), ..OPTIONS };
    let whole = softmax_loss_with(&loss, hidden.matmul(&weight.tr()), &targets, &options).unwrap();
    let linear = linear_softmax_loss(&loss, &hidden, &weight, None, &targets, 2, &OPTIONS).unwrap();
    assert!(whole.total > 0.0 && (whole.total - linear.total).abs() < 1e-9 * whole.total);
    let error = softmax_loss_with(&loss, hidden.matmul(&weight.tr()), &targets, &OPTIONS).unwrap_err().to_string();
    assert!(error.contains("loss `influence-balanced`: it needs the features"), "{error}");
}

#[test]
fn gaussian_clouded_takes_noise_off_the_cosines() {
    let loss = softmax("gaussian-clouded", &[("margin", 0.1)]);
    assert!(loss.wants_normalised_classifier());
    let z: Vec<f64> = logits(6.0).iter().map(|z| z / 2.5).collect();
    let counted: Vec<usize> = (0..TARGETS.len()).filter(|&row| TARGETS[row] != IGNORED).collect();
    let _drawing = alone_with_the_generator();
    tch::manual_seed(5);
    let drawn = Tensor::randn([counted.len() as i64, C as i64], (Kind::Double, Device::Cpu));
    let drawn = Vec::<f64>::try_from(drawn.flatten(0, -1)).unwrap();
    tch::manual_seed(5);
    let step = step(&loss, &z, &TARGETS, &OPTIONS);
    // log 500 / n over log 500 / 1.
    let size = COUNTS.map(|n| (500.0 / n as f64).ln() / 500.0_f64.ln());
    assert_agrees("gaussian-clouded", &step, &z, |z, frozen| {
        by_row(z, frozen, |row, z, _, y| {
            let row = counted.iter().position(|&counted| counted == row).unwrap();
            let clouded = |j: usize| {
                let noise = (drawn[row * C + j] / 3.0).clamp(-1.0, 1.0).abs();
                30.0 * (z[j] - 0.5 * size[j] * noise - if j == y { 0.1 } else { 0.0 })
            };
            -log_p(&(0..C).map(clouded).collect::<Vec<_>>(), y)
        })
    });
    let measured =
        tch::no_grad(|| softmax_loss_with(&loss, matrix(&z, C), &Tensor::from_slice(&TARGETS), &OPTIONS).unwrap());
    let scaled = |z: &[f64]| z.iter().map(|z| 30.0 * z).collect::<Vec<_>>();
    let expected: f64 = by_row(&z, &z, |_, z, _, y| -log_p(&scaled(z), y)).iter().sum();
    assert!((measured.total - expected).abs() < 1e-10 * expected, "{} {expected}", measured.total);
    assert!((measured.negative_log_likelihood - expected).abs() < 1e-10 * expected);
}

#[test]
fn gaussian_clouded_has_no_cloud_over_balanced_classes() {
    let _drawing = alone_with_the_generator();
    let loss = make("gaussian-clouded", Head::Softmax, &[], &[9; C]).unwrap();
    let z = numbers(TARGETS.len(), C, 1.0, 6.0);
    let step = step(&loss, &z, &TARGETS, &OPTIONS);
    assert_agrees("gaussian-clouded", &step, &z, |z, frozen| {
        by_row(z, frozen, |_, z, _, y| -log_p(&z.iter().map(|z| 30.0 * z).collect::<Vec<_>>(), y))
    });
}

#[test]
fn lade_takes_the_prior_out() {
    let z = logits(9.0);
    let total = COUNTS.iter().sum::<u64>() as f64;
    let prior = COUNTS.map(|n| n as f64 / total);
    for importance in [0.0, 1.0] {
        let loss = softmax("lade", &[("importance", importance), ("lambda", 0.3), ("alpha", 0.2)]);
        let step = step(&loss, &z, &TARGETS, &OPTIONS);
        assert_agrees("lade", &step, &z, |z, frozen| {
            let rows: Vec<(&[f64], usize)> =
                z.chunks(C).zip(TARGETS).filter(|&(_, y)| y != IGNORED).map(|(z, y)| (z, y as usize)).collect();
            let mut regulariser = 0.0;
            for c in 0..C {
                let own: Vec<f64> = rows.iter().filter(|&&(_, y)| y == c).map(|(z, _)| z[c]).collect();
                let of = |y: usize| 1.0 / (C as f64 * prior[if importance == 0.0 { y } else { c }]);
                let mean = rows.iter().map(|&(z, y)| of(y) * z[c].exp()).sum::<f64>() / rows.len() as f64;
                let own = if own.is_empty() { 0.0 } else { own.iter().sum::<f64>() / own.len() as f64 };
                regulariser += prior[c] * (-own + mean.ln() + 0.3 * mean.ln().powi(2));
            }
            by_row(z, frozen, |_, z, _, y| {
                let compensated: Vec<f64> = (0..C).map(|j| z[j] + prior[j].ln()).collect();
                -log_p(&compensated, y) + 0.2 * regulariser
            })
        });
    }
}
