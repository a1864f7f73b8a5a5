//! Every loss on every head, by every path and in every kind of number, against scalar loops in float64.

use std::sync::Arc;

use imbalance_core::host::{Adjustment, Loss, Reduction, SigmoidHead};
use imbalance_core::{ClassCounts, Head};
use imbalance_train::heads::{
    Gradients, HeadOptions, LossPath, linear_softmax_loss, sigmoid_gradients, sigmoid_loss, softmax_gradients,
    softmax_loss_with,
};
use imbalance_train::{DeviceChoice, Group};
use tch::{Device, Kind, Tensor};

#[path = "../../tests/support/every_plugin.rs"]
mod every_plugin;
use every_plugin::PLUGINS;

const ROWS: usize = 37;
const COLUMNS: usize = 19;
const IGNORED: i64 = -100;

/// The losses of the head, with what they have beside the defaults that matters here.
fn losses(head: Head) -> Vec<Loss> {
    let counts: Vec<u64> = (1..=COLUMNS as u64).map(|rank| 4000 / rank).collect();
    let counts = match head {
        Head::Softmax => counts,
        Head::Sigmoid => counts.into_iter().chain([500_000]).collect(),
    };
    let counts = ClassCounts::new(counts).unwrap();
    let made = |plugin: &Arc<_>, params: &[(String, f64)]| Loss::new(Arc::clone(plugin), head, params, &counts).ok();
    let smoothed = [("label-smoothing".to_owned(), 0.1)];
    let plugins = PLUGINS.iter();
    let extra =
        plugins.clone().filter(|plugin| plugin.id() == "cross-entropy").filter_map(|plugin| made(plugin, &smoothed));
    let all: Vec<Loss> = plugins.filter_map(|plugin| made(plugin, &[])).chain(extra).collect();
    assert!(all.len() >= if head == Head::Softmax { 18 } else { 12 }, "{} losses", all.len());
    all
}

/// Logits of which some rows are nearly certain, rightly and wrongly.
fn logits() -> Vec<f64> {
    let spread = |row: usize| [1.0, 4.0, 12.0][row % 3];
    (0..ROWS * COLUMNS)
        .map(|i| f64::from(((i * 7919 + 13) % 1013) as f32 * 0.004 - 2.0) * spread(i / COLUMNS))
        .collect()
}

fn softmax_targets() -> Vec<i64> {
    (0..ROWS).map(|row| if row % 9 == 8 { IGNORED } else { ((row * 5) % COLUMNS) as i64 }).collect()
}

fn sigmoid_targets() -> Vec<i64> {
    let of = |row: usize| match row % 4 {
        0 => ((row * 5) % COLUMNS) as i64,
        1 => SigmoidHead::IGNORED,
        _ => SigmoidHead::BACKGROUND,
    };
    (0..ROWS).map(of).collect()
}

fn weights() -> Vec<f32> {
    (0..ROWS).map(|row| [1.0, 0.5, 3.0, 0.0][row % 4]).collect()
}

/// Loss of each row and gradient of the sum of all rows, in float64.
struct Reference {
    loss: Vec<f64>,
    gradient: Vec<f64>,
}

fn entry(values: &Option<Vec<f64>>, at: usize, neutral: f64) -> f64 {
    values.as_ref().map_or(neutral, |values| values[at])
}

fn eval(loss: &Loss, m: f64, class: usize) -> (f64, f64) {
    let (mut value, mut slope) = ([0.0], [0.0]);
    loss.eval(&[m], &[class as u32], &mut value, &mut slope).unwrap();
    (value[0], slope[0])
}

fn softmax_reference(loss: &Loss, logits: &[f64], targets: &[i64], weights: &[f32]) -> Reference {
    let Adjustment { scale, bias, margin, label_smoothing, .. } = loss.adjustment();
    let mut all = Reference { loss: vec![0.0; ROWS], gradient: vec![0.0; logits.len()] };
    for (row, &target) in targets.iter().enumerate().filter(|&(_, &target)| target != IGNORED) {
        let target = target as usize;
        let adjusted = |j: usize| {
            let taken = if j == target { entry(margin, target, 0.0) } else { 0.0 };
            entry(scale, j, 1.0) * logits[row * COLUMNS + j] + entry(bias, j, 0.0) - taken
        };
        let z: Vec<f64> = (0..COLUMNS).map(adjusted).collect();
        let others = || (0..COLUMNS).filter(|&j| j != target);
        let largest = others().map(|j| z[j]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = others().map(|j| (z[j] - largest).exp()).sum();
        let (value, slope) = eval(loss, z[target] - largest - sum.ln(), target);
        let mean = z.iter().sum::<f64>() / COLUMNS as f64;
        let weight = f64::from(weights[row]);
        all.loss[row] = weight * (value + label_smoothing * (z[target] - mean));
        for (j, &z) in z.iter().enumerate() {
            let of_formula = if j == target { slope } else { -slope * (z - largest).exp() / sum };
            let own = if j == target { 1.0 } else { 0.0 };
            let of_smoothing = label_smoothing * (own - 1.0 / COLUMNS as f64);
            all.gradient[row * COLUMNS + j] = weight * (of_formula + of_smoothing) * entry(scale, j, 1.0);
        }
    }
    all
}

fn sigmoid_reference(loss: &Loss, logits: &[f64], targets: &[i64], weights: &[f32]) -> Reference {
    let Adjustment { scale, bias, margin, .. } = loss.adjustment();
    let mut all = Reference { loss: vec![0.0; ROWS], gradient: vec![0.0; logits.len()] };
    for (row, &target) in targets.iter().enumerate().filter(|&(_, &target)| target != SigmoidHead::IGNORED) {
        for j in 0..COLUMNS {
            let x = entry(scale, j, 1.0) * logits[row * COLUMNS + j] + entry(bias, j, 0.0);
            let positive = target == j as i64;
            let (m, class) = if positive { (x - entry(margin, j, 0.0), j) } else { (-x, COLUMNS) };
            let (value, slope) = eval(loss, m, class);
            let weight = f64::from(weights[row]);
            all.loss[row] += weight * value;
            all.gradient[row * COLUMNS + j] = weight * if positive { slope } else { -slope } * entry(scale, j, 1.0);
        }
    }
    all
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

#[track_caller]
fn assert_close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let bound = tolerance * (want.abs() + 0.05 * largest.min(1.0) + 1e-3);
        assert!((got - want).abs() <= bound, "{what}, entry {at}: {got} against {want} (bound {bound})");
    }
}

/// Paths and kinds, with what may be wrong relative to the float64 result for the same rounded logits.
const WAYS: [(LossPath, Kind, f64); 5] = [
    (LossPath::Fused, Kind::Float, 1e-4),
    (LossPath::Fused, Kind::BFloat16, 1e-2),
    (LossPath::Tensor, Kind::Double, 1e-9),
    (LossPath::Tensor, Kind::Float, 1e-4),
    (LossPath::Tensor, Kind::BFloat16, 1e-2),
];

type Head2 = fn(&Loss, &Tensor, &Tensor, &HeadOptions<'_>) -> Result<Gradients, imbalance_train::heads::LossHeadError>;

fn check(
    head: Head,
    device: Device,
    compute: Head2,
    reference: fn(&Loss, &[f64], &[i64], &[f32]) -> Reference,
    targets: &[i64],
) {
    let tensor = |kind| Tensor::from_slice(&logits()).reshape([ROWS as i64, COLUMNS as i64]).to_kind(kind).to(device);
    let weights = weights();
    // Those of rows are the host's.
    let weight_tensor = Tensor::from_slice(&weights);
    let target_tensor = Tensor::from_slice(targets).to(device);
    let takes = |path| device == Device::Cpu || path == LossPath::Tensor;
    for loss in losses(head) {
        for (path, kind, tolerance) in WAYS.into_iter().filter(|&(path, ..)| takes(path)) {
            let what = format!("{} on {head:?}, {path} path, {kind:?}", loss.id());
            let logits = tensor(kind);
            for weights in [None, Some(&weight_tensor)] {
                let options = HeadOptions { path, ignore_index: Some(IGNORED), weights, ..HeadOptions::default() };
                let got =
                    compute(&loss, &logits, &target_tensor, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
                let of = weights.map_or(vec![1.0; ROWS], |weights| Vec::<f32>::try_from(weights).unwrap());
                let want = reference(&loss, &numbers(&logits), targets, &of);
                assert_eq!((got.gradient.kind(), got.gradient.device()), (kind, device));
                // The losses are float32 whatever the logits are.
                assert_close(&numbers(&got.loss), &want.loss, tolerance.min(1e-4), &format!("{what}: loss"));
                assert_close(&numbers(&got.gradient), &want.gradient, tolerance, &format!("{what}: gradient"));
            }
        }
    }
}

#[test]
fn softmax_head() {
    check(Head::Softmax, Device::Cpu, softmax_gradients, softmax_reference, &softmax_targets());
}

#[test]
fn sigmoid_head() {
    check(Head::Sigmoid, Device::Cpu, sigmoid_gradients, sigmoid_reference, &sigmoid_targets());
}

/// On a simulated one, which is strict about where tensors are; in a process that has it from the start. With `TOOLKIT_GPUS` on
/// a real one.
#[test]
#[cfg(target_os = "linux")]
fn heads_on_a_gpu() {
    const THERE: &str = "SIMULATED_GPUS";
    let real = std::env::var_os("TOOLKIT_GPUS").is_some();
    if !real && std::env::var_os(THERE).is_none() {
        let library = every_plugin::build(&["simulated-gpu".to_owned()]).join("libsimulated_gpu.so");
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let status = again.args(["--exact", "heads_on_a_gpu"]).env("LD_PRELOAD", library).env(THERE, "1").status();
        return assert!(status.unwrap().success());
    }
    let gpu = DeviceChoice::Cuda(Some(0)).open(&Group::alone()).unwrap().device;
    check(Head::Softmax, gpu, softmax_gradients, softmax_reference, &softmax_targets());
    check(Head::Sigmoid, gpu, sigmoid_gradients, sigmoid_reference, &sigmoid_targets());
}

#[test]
fn graphs_carry_the_same_gradients_and_reductions_divide() {
    for head in [Head::Softmax, Head::Sigmoid] {
        let targets = Tensor::from_slice(&if head == Head::Softmax { softmax_targets() } else { sigmoid_targets() });
        let weights = Tensor::from_slice(&weights());
        for loss in losses(head) {
            for (path, kind) in [(LossPath::Fused, Kind::Float), (LossPath::Tensor, Kind::Double)] {
                let leaf = Tensor::from_slice(&logits()).reshape([ROWS as i64, COLUMNS as i64]).to_kind(kind);
                let leaf = leaf.set_requires_grad(true);
                let options = HeadOptions {
                    path,
                    ignore_index: Some(IGNORED),
                    weights: Some(&weights),
                    reduction: Reduction::WeightedMean,
                    ..HeadOptions::default()
                };
                let plain = if head == Head::Softmax { softmax_gradients } else { sigmoid_gradients };
                let want = plain(&loss, &leaf.detach(), &targets, &options).unwrap();
                // A leaf's memory must stay; what a model computes need not.
                let computed = &leaf * 1.0;
                let got = match head {
                    Head::Softmax => softmax_loss_with(&loss, computed, &targets, &options).unwrap(),
                    Head::Sigmoid => sigmoid_loss(&loss, computed, &targets, &options).unwrap(),
                };
                (&got.sum / 4.0).backward();
                let what = format!("{} on {head:?}, {path}", loss.id());
                let quarter = numbers(&(want.gradient / 4.0));
                assert_close(&numbers(&leaf.grad()), &quarter, 1e-6, &what);
                assert!((got.total - numbers(&want.loss).iter().sum::<f64>()).abs() < 1e-6 * (1.0 + got.total.abs()));
                let class_weight = |target: i64| match (&loss.adjustment().weight, target) {
                    (None, _) => 1.0,
                    (Some(weight), -1) => weight[COLUMNS],
                    (Some(weight), target) => weight[target as usize],
                };
                let counted =
                    Vec::<i64>::try_from(&targets).unwrap().into_iter().zip(Vec::<f32>::try_from(&weights).unwrap());
                let denominator: f64 = counted
                    .filter(|&(target, _)| target != IGNORED && target != SigmoidHead::IGNORED)
                    .map(|(target, weight)| f64::from(weight) * class_weight(target))
                    .sum();
                assert!((got.denominator - denominator).abs() < 1e-9 * denominator, "{what}: denominator");
            }
        }
    }
}

#[test]
fn chunks_of_a_linear_head_are_the_whole() {
    tch::manual_seed(5);
    let leaf = |size: &[i64]| (Tensor::randn(size, (Kind::Double, Device::Cpu)) * 0.7).set_requires_grad(true);
    let (hidden, weight, bias) = (leaf(&[ROWS as i64, 8]), leaf(&[COLUMNS as i64, 8]), leaf(&[COLUMNS as i64]));
    let targets = Tensor::from_slice(&softmax_targets());
    let inputs = [&hidden, &weight, &bias];
    for loss in losses(Head::Softmax) {
        let options = HeadOptions { path: LossPath::Tensor, ignore_index: Some(IGNORED), ..HeadOptions::default() };
        let whole = softmax_loss_with(&loss, hidden.linear(&weight, Some(&bias)), &targets, &options).unwrap();
        let want = Tensor::run_backward(&[&whole.sum], &inputs, false, false);
        for (chunk, kind) in [(1, Kind::Double), (5, Kind::Double), (100, Kind::Double), (5, Kind::Float)] {
            let what = format!("{}, chunks of {chunk}, {kind:?}", loss.id());
            let [hidden, weight, bias] =
                inputs.map(|input| input.detach().to_kind(kind).copy().set_requires_grad(true));
            let options = HeadOptions { path: LossPath::Auto, ..options };
            let got = linear_softmax_loss(&loss, &hidden, &weight, Some(&bias), &targets, chunk, &options).unwrap();
            assert!((got.total - whole.total).abs() < 1e-5 * (1.0 + whole.total.abs()), "{what}");
            assert_eq!(got.denominator, whole.denominator);
            let gradients = Tensor::run_backward(&[&got.sum], &[&hidden, &weight, &bias], false, false);
            let tolerance = if kind == Kind::Double { 1e-9 } else { 1e-4 };
            for (got, want) in gradients.iter().zip(&want) {
                assert_close(&numbers(got), &numbers(want), tolerance, &what);
            }
        }
    }
    let loss = &losses(Head::Softmax)[0];
    let mut bad = softmax_targets();
    bad[30] = 99;
    let options = HeadOptions { ignore_index: Some(IGNORED), ..HeadOptions::default() };
    let hidden = hidden.detach().to_kind(Kind::Float);
    let said = linear_softmax_loss(
        loss,
        &hidden,
        &weight.detach().to_kind(Kind::Float),
        None,
        &Tensor::from_slice(&bad),
        4,
        &options,
    );
    assert_eq!(said.unwrap_err().to_string(), "row 30: target 99 is out of range, there are 19 classes (0 to 18)");
}

#[test]
fn both_paths_refuse_the_same_things_in_the_same_words() {
    let loss = &losses(Head::Softmax)[0];
    let sigmoid = &losses(Head::Sigmoid)[0];
    let plain = Tensor::from_slice(&logits()).reshape([ROWS as i64, COLUMNS as i64]).to_kind(Kind::Float);
    for path in [LossPath::Fused, LossPath::Tensor] {
        let options = HeadOptions { path, ignore_index: Some(IGNORED), ..HeadOptions::default() };
        let said = |logits: &Tensor, targets: &[i64], options: &HeadOptions<'_>| {
            softmax_loss_with(loss, logits.shallow_clone(), &Tensor::from_slice(targets), options)
                .unwrap_err()
                .to_string()
        };
        let mut targets = softmax_targets();
        targets[3] = 19;
        assert_eq!(
            said(&plain, &targets, &options),
            "row 3: target 19 is out of range, there are 19 classes (0 to 18)"
        );
        let mean = HeadOptions { reduction: Reduction::Mean, ..options };
        assert!(said(&plain, &[IGNORED; ROWS], &mean).starts_with("all 37 rows are ignored"));
        for bad in [f64::NAN, f64::INFINITY] {
            let poisoned = plain.copy();
            let _ = poisoned.get(5).get(2).fill_(bad);
            assert!(said(&poisoned, &softmax_targets(), &options).starts_with("row 5: its logits are not all finite"));
            // A row that is ignored may be anything.
            let poisoned = plain.copy();
            let _ = poisoned.get(8).get(2).fill_(bad);
            let ignored =
                softmax_gradients(loss, &poisoned, &Tensor::from_slice(&softmax_targets()), &options).unwrap();
            assert!(numbers(&ignored.gradient).iter().all(|value| value.is_finite()), "{path}");
            assert!(numbers(&ignored.loss).iter().all(|value| value.is_finite()), "{path}");
        }
        let wrong = sigmoid_loss(sigmoid, plain.shallow_clone(), &Tensor::from_slice(&[-3_i64; ROWS]), &options);
        let expected = "row 0: target -3 is out of range, there are 19 classes (0 to 18); -1 is background, -2 ignored";
        assert_eq!(wrong.unwrap_err().to_string(), expected);
        let narrow = plain.narrow(1, 0, 7);
        let wrong = sigmoid_loss(sigmoid, narrow, &Tensor::from_slice(&sigmoid_targets()), &options).unwrap_err();
        assert!(wrong.to_string().contains("7 logits a row, but the loss has 20 class counts"), "{wrong}");
        let wrong = sigmoid_loss(loss, plain.shallow_clone(), &Tensor::from_slice(&sigmoid_targets()), &options);
        assert!(wrong.unwrap_err().to_string().contains("was made for a softmax head, this is a sigmoid head"));
    }
    let double = plain.to_kind(Kind::Double);
    let options = HeadOptions { path: LossPath::Fused, ..HeadOptions::default() };
    let wrong = softmax_gradients(loss, &double, &Tensor::from_slice(&softmax_targets()), &options).unwrap_err();
    assert!(wrong.to_string().contains("the fused loss path takes Float or BFloat16 logits"), "{wrong}");
}
