//! The fused head on tensors against the same losses written with tensor operations in float64.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use imbalance_core::host::{Loss, LossChoice, SearchPath};
use imbalance_core::{ClassCounts, Head, WeightScale, effective_number_weights};
use imbalance_train::heads::{HeadOptions, LossPath, softmax_loss, softmax_loss_sum, softmax_loss_with};
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 33;
const BETA: f64 = 0.999;

fn counts() -> ClassCounts {
    ClassCounts::new((1..=CLASSES as u64).map(|rank| 4000 / rank).collect()).unwrap()
}

/// The plugin of `id` as the build folder has it.
fn loss(id: &str) -> Loss {
    let exe = std::env::current_exe().unwrap();
    let profile = exe.parent().and_then(|deps| deps.parent()).unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", &format!("toolkit-loss-{id}"), "--target-dir"])
        .arg(profile.parent().unwrap())
        .current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .status()
        .unwrap();
    assert!(built.success());
    let plugin = Arc::new(SearchPath::of(vec![profile.to_owned()]).open(id).unwrap());
    let params = if id == "eureka" { vec![("beta".to_owned(), BETA)] } else { vec![] };
    LossChoice { plugin, params }.make(Head::Softmax, &counts()).unwrap()
}

/// The sum of the loss of `id`, as the paper writes it, from float64 logits.
fn by_tensors(id: &str, logits: &Tensor, targets: &Tensor) -> Tensor {
    let index = targets.unsqueeze(1);
    let true_logit = logits.gather(1, &index, false).squeeze_dim(1);
    let others = logits.scatter_value(1, &index, f64::NEG_INFINITY).logsumexp([1], false);
    let m = true_logit - others;
    let (log_p, log_not_p) = (-(-&m).softplus(), -m.softplus());
    match id {
        "cross-entropy" => -log_p,
        "focal" => -(log_not_p.exp() * log_p),
        _ => {
            let weights = effective_number_weights(&counts(), BETA, WeightScale::SumToClasses).unwrap();
            let weights = Tensor::from_slice(weights.values()).index_select(0, targets);
            -log_p + weights * log_not_p
        }
    }
    .sum(Kind::Double)
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    (a.to_kind(Kind::Double) - b).abs().max().double_value(&[])
}

#[test]
fn value_and_gradients_agree_with_tensor_operations_for_every_loss() {
    tch::manual_seed(3);
    let states = Tensor::randn([50, 12], (Kind::Double, Device::Cpu)) * 2.0;
    let weight = Tensor::randn([CLASSES, 12], (Kind::Double, Device::Cpu));
    let targets = Tensor::randint(CLASSES, [50], (Kind::Int64, Device::Cpu));
    for id in ["cross-entropy", "focal", "eureka"] {
        let leaves = |kind| [&states, &weight].map(|leaf| leaf.to_kind(kind).copy().set_requires_grad(true));
        let [s64, w64] = leaves(Kind::Double);
        let reference = by_tensors(id, &s64.matmul(&w64.tr()), &targets);
        (&reference / 50.0).backward();
        let [s32, w32] = leaves(Kind::Float);
        let fused = softmax_loss(&loss(id), s32.matmul(&w32.tr()), &targets).unwrap();
        // An upstream factor, as the training loop's division by units is one.
        (&fused.sum / 50.0).backward();
        let value = reference.double_value(&[]);
        assert!((fused.total - value).abs() < 1e-5 * (1.0 + value.abs()), "{id}: {} against {value}", fused.total);
        assert!((fused.sum.double_value(&[]) - value).abs() < 1e-4 * (1.0 + value.abs()));
        assert!(largest_difference(&s32.grad(), &s64.grad()) < 2e-6, "{id}: gradient of the states");
        assert!(largest_difference(&w32.grad(), &w64.grad()) < 2e-5, "{id}: gradient of the weight");
        let nll = by_tensors("cross-entropy", &s64.matmul(&w64.tr()), &targets).double_value(&[]);
        assert!((fused.negative_log_likelihood - nll).abs() < 1e-5 * nll, "{id}: −log p");
    }
}

#[test]
fn without_a_graph_nothing_is_overwritten() {
    let logits = Tensor::randn([4, CLASSES], (Kind::Float, Device::Cpu));
    let before = logits.copy();
    let measured =
        softmax_loss(&loss("eureka"), logits.shallow_clone(), &Tensor::from_slice(&[0_i64, 1, 2, 32])).unwrap();
    assert!(!measured.sum.requires_grad() && logits.equal(&before));
}

#[test]
fn an_operation_that_needs_its_logits_again_fails_loudly() {
    let leaf = Tensor::randn([4, CLASSES], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    // The derivative of tanh is computed from its output, which is gone.
    let fused = softmax_loss(&loss("cross-entropy"), leaf.tanh(), &Tensor::from_slice(&[0_i64, 1, 2, 3])).unwrap();
    let error = Tensor::f_run_backward(&[&fused.sum], &[&leaf], false, false).unwrap_err().to_string();
    assert!(error.contains("modified by an inplace operation"), "{error}");
}

#[test]
fn tensors_of_another_kind_or_shape_are_refused() {
    let loss = loss("cross-entropy");
    let targets = Tensor::from_slice(&[0_i64, 1]);
    let said = |logits: Tensor, targets: &Tensor| softmax_loss(&loss, logits, targets).unwrap_err().to_string();
    let logits = |kind, rows| Tensor::zeros([rows, CLASSES], (kind, Device::Cpu));
    assert!(said(logits(Kind::Int64, 2), &targets).contains("logits are Int64 [2, 33]"));
    assert!(said(logits(Kind::Float, 3), &targets).contains("expected Int64 [3]"));
    assert!(said(logits(Kind::Float, 2), &targets.to_kind(Kind::Float)).contains("targets are Float"));
    assert!(said(logits(Kind::Float, 2), &Tensor::from_slice(&[0_i64, 33])).contains("row 1: target 33"));
    let logits = logits(Kind::Float, 2);
    let _ = logits.get(1).fill_(f64::NAN);
    assert!(said(logits, &targets).starts_with("row 1: its logits are not all finite"));
}

#[test]
fn the_sum_alone_is_the_sum_with_its_gradient() {
    tch::manual_seed(5);
    let targets = Tensor::randint(CLASSES, [50], (Kind::Int64, Device::Cpu));
    let start = Tensor::randn([50, CLASSES], (Kind::Float, Device::Cpu)) * 4;
    for path in [LossPath::Fused, LossPath::Tensor] {
        let options = HeadOptions { path, ..HeadOptions::default() };
        for loss in ["cross-entropy", "focal", "eureka"].map(loss) {
            let of = |sum: &dyn Fn(Tensor) -> Tensor| {
                let logits = start.copy().set_requires_grad(true);
                let sum = sum(logits.shallow_clone() * 1.0);
                sum.backward();
                (sum.double_value(&[]), logits.grad())
            };
            let (sum, gradient) = of(&|logits| softmax_loss_sum(&loss, logits, &targets, &options).unwrap());
            let (whole, same) = of(&|logits| softmax_loss_with(&loss, logits, &targets, &options).unwrap().sum);
            assert!((sum - whole).abs() <= 1e-6 * whole.abs(), "{path}: {sum} and {whole}");
            assert_eq!(gradient, same, "{path}");
        }
    }
}

#[test]
fn gradients_too_small_for_float16_come_with_the_scale_of_the_loss() {
    // Far logits have probabilities around 1e-8, which float16 rounds to 0; times 65,536 it holds them.
    let mut row = vec![-18f32; CLASSES as usize];
    row[0] = 0.0;
    let logits = Tensor::from_slice(&row).view([1, CLASSES]).to_kind(Kind::Half).set_requires_grad(true);
    let sum = softmax_loss(&loss("cross-entropy"), &logits * 1.0, &Tensor::from_slice(&[0_i64])).unwrap().sum;
    (sum * 65_536.0).backward();
    assert_eq!(logits.grad().kind(), Kind::Half);
    let found = Vec::<f64>::try_from(logits.grad().get(0).to_kind(Kind::Double)).unwrap();
    let others = f64::from(CLASSES as i32 - 1) * (-18f64).exp();
    let probability = (-18f64).exp() / (1.0 + others);
    assert!(probability < 2e-8);
    let close = |found: f64, expected: f64| (found - expected).abs() < 2e-3 * expected.abs();
    assert!(close(found[0], -65_536.0 * others / (1.0 + others)), "{}", found[0]);
    assert!(found[1..].iter().all(|&found| close(found, 65_536.0 * probability)), "{found:?}");
}
