//! Batch normalisation against libtorch's in float64.

use imbalance_train::BatchNorm;
use imbalance_train::batch_norm::{BatchNormError, Then};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    Nothing,
    Relu,
    AddRelu,
}

const ALL: [After; 3] = [After::Nothing, After::Relu, After::AddRelu];

/// Numbers from 0 to 1 that look random. Not libtorch's generator, which tests that run at once share.
fn uniform(shape: &[i64], seed: f64) -> Tensor {
    let count = shape.iter().product::<i64>();
    let at = Tensor::arange(count, (Kind::Double, Device::Cpu));
    ((at * 12.9898 + seed).sin() * 43758.5453).frac().abs().to_kind(Kind::Float).reshape(shape)
}

/// Layer, input and added tensor of `kind`; the channels have means far from zero and different spreads.
struct Case {
    store: VarStore,
    norm: BatchNorm,
    xs: Tensor,
    added: Tensor,
}

fn case(shape: [i64; 4], kind: Kind, channels_last: bool) -> Case {
    let store = VarStore::new(Device::Cpu);
    let norm = BatchNorm::new(&store.root(), shape[1]).unwrap();
    let float = (Kind::Float, Device::Cpu);
    for (name, mut tensor) in store.variables() {
        let values = uniform(&shape[1..2], 1.0) + 0.5;
        tch::no_grad(|| tensor.copy_(&if name == "bias" { values - 1.0 } else { values }));
    }
    let channels = Tensor::arange(shape[1], float).reshape([1, -1, 1, 1]);
    let xs = (uniform(&shape, 2.0) * 3.0 - 1.5) * (&channels * 0.3 + 0.5) + (&channels - 4.0);
    let place = |tensor: Tensor| {
        let tensor = tensor.to_kind(kind);
        if channels_last { tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]) } else { tensor }
    };
    Case {
        norm,
        store,
        xs: place(xs).set_requires_grad(true),
        added: place(uniform(&shape, 3.0) * 2.0 - 1.0).set_requires_grad(true),
    }
}

impl Case {
    fn forward(&self, train: bool, after: After) -> Tensor {
        let then = match after {
            After::Nothing => Then::Nothing,
            After::Relu => Then::Relu,
            After::AddRelu => Then::AddRelu(&self.added),
        };
        self.norm.forward(&self.xs, train, then).unwrap()
    }

    fn variable(&self, name: &str) -> Tensor {
        self.store.variables()[name].shallow_clone()
    }

    /// Outputs, running statistics and gradients, named.
    fn run(&self, train: bool, after: After) -> Vec<(&'static str, Tensor)> {
        let ys = self.forward(train, after);
        let upstream = upstream(&ys);
        (&ys.to_kind(Kind::Double) * upstream).sum(Kind::Double).backward();
        self.results(ys, after)
    }

    fn results(&self, ys: Tensor, after: After) -> Vec<(&'static str, Tensor)> {
        let mut results = vec![("output", ys), ("gradient of input", self.xs.grad())];
        if after == After::AddRelu {
            results.push(("gradient of added", self.added.grad()));
        }
        for (name, what) in [("weight", "gradient of weight"), ("bias", "gradient of bias")] {
            results.push((what, self.variable(name).grad()));
        }
        results.push(("running mean", self.variable("running_mean")));
        results.push(("running variance", self.variable("running_var")));
        results
    }

    /// The same by libtorch's own operations in float64, from the same (rounded) inputs.
    fn reference(&self, train: bool, after: After) -> Vec<(&'static str, Tensor)> {
        let leaf = |tensor: &Tensor| tensor.detach().to_kind(Kind::Double).copy().set_requires_grad(true);
        let (xs, added) = (leaf(&self.xs), leaf(&self.added));
        let (weight, bias) = (leaf(&self.variable("weight")), leaf(&self.variable("bias")));
        let buffer = |name| self.variable(name).to_kind(Kind::Double);
        let (mean, var) = (buffer("running_mean"), buffer("running_var"));
        let normalised = xs.batch_norm(Some(&weight), Some(&bias), Some(&mean), Some(&var), train, 0.1, 1e-5, false);
        let ys = match after {
            After::Nothing => normalised,
            After::Relu => normalised.relu(),
            After::AddRelu => (normalised + &added).relu(),
        };
        (&ys * upstream(&ys)).sum(Kind::Double).backward();
        let mut results = vec![("output", ys), ("gradient of input", xs.grad())];
        if after == After::AddRelu {
            results.push(("gradient of added", added.grad()));
        }
        results.push(("gradient of weight", weight.grad()));
        results.push(("gradient of bias", bias.grad()));
        results.push(("running mean", mean));
        results.push(("running variance", var));
        results
    }
}

/// A gradient from above of both signs and no symmetry.
fn upstream(ys: &Tensor) -> Tensor {
    let count = ys.numel() as i64;
    (Tensor::arange(count, (Kind::Double, Device::Cpu)) * 0.7).sin().reshape(ys.size()) + 0.2
}

/// The largest difference over the largest magnitude.
fn difference(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
    (&a - &b).abs().max().double_value(&[]) / b.abs().max().double_value(&[]).max(1e-12)
}

#[track_caller]
fn check(shape: [i64; 4], kind: Kind, channels_last: bool, tolerance: f64) {
    for after in ALL {
        for train in [true, false] {
            let case = case(shape, kind, channels_last);
            let expected = case.reference(train, after);
            for ((what, found), (_, expected)) in case.run(train, after).iter().zip(&expected) {
                let difference = difference(found, expected);
                let case = format!("{shape:?} {kind:?} {after:?}, train {train}");
                assert!(difference < tolerance, "{case}: {what} differs by {difference:e}");
            }
        }
    }
}

#[test]
fn agrees_with_float64() {
    // Channels that fill lanes several pixels at once, once, more than once, and that leave single columns over.
    for shape in
        [[4, 16, 8, 8], [2, 64, 5, 5], [3, 96, 3, 3], [2, 3, 7, 5], [5, 1, 3, 3], [2, 81, 4, 1], [40, 16, 32, 32]]
    {
        check(shape, Kind::Float, true, 2e-5);
    }
    check([4, 16, 8, 8], Kind::Float, false, 2e-5);
}

#[test]
fn bfloat16_rounds_only_what_is_stored() {
    check([4, 16, 8, 8], Kind::BFloat16, true, 1.0 / 128.0);
    check([2, 80, 5, 3], Kind::BFloat16, true, 1.0 / 128.0);
}

#[test]
fn threads_change_no_bit() {
    let bytes = |threads: i32| {
        tch::set_num_threads(threads);
        let case = case([16, 16, 32, 32], Kind::BFloat16, true);
        let all = case.run(true, After::AddRelu).into_iter();
        all.map(|(_, tensor)| Vec::<f32>::try_from(tensor.detach().to_kind(Kind::Float).flatten(0, -1)).unwrap())
            .map(|values| values.into_iter().map(f32::to_bits).collect())
            .collect::<Vec<Vec<u32>>>()
    };
    assert!(bytes(1) == bytes(2), "one and two threads differ");
}

#[test]
fn a_channel_far_from_zero_keeps_its_variance() {
    let case = case([8, 16, 16, 16], Kind::Float, true);
    let far = (&case.xs + 1e4).detach();
    let ys = case.norm.forward(&far, true, Then::Nothing).unwrap();
    let double = far.to_kind(Kind::Double);
    let dims = [0, 2, 3].as_slice();
    let normalised =
        (&double - double.mean_dim(dims, true, Kind::Double)) / (double.var_dim(dims, false, true) + 1e-5).sqrt();
    let wide = |name| case.variable(name).detach().to_kind(Kind::Double).reshape([1, -1, 1, 1]);
    let difference = difference(&ys.detach(), &(normalised * wide("weight") + wide("bias")));
    // 1e4 has 1e-3 between float32 numbers.
    assert!(difference < 2e-3, "{difference:e}");
}

#[test]
fn nothing_is_a_number_goes_through() {
    let case = case([2, 16, 4, 4], Kind::Float, true);
    let xs = case.xs.detach().copy();
    let _ = xs.get(0).get(3).get(1).fill_(f64::NAN);
    let ys = case.norm.forward(&xs, true, Then::Relu).unwrap();
    assert_eq!(ys.isnan().sum(Kind::Int64).int64_value(&[]), 2 * 4 * 4, "its whole channel");
}

#[test]
fn one_value_per_channel_is_an_error() {
    let case = case([1, 16, 1, 1], Kind::Float, true);
    assert!(matches!(case.norm.forward(&case.xs, true, Then::Relu), Err(BatchNormError::OneValuePerChannel)));
    assert!(case.norm.forward(&case.xs, false, Then::Relu).is_ok());
}

#[test]
fn an_in_place_change_of_what_is_needed_later_is_an_error() {
    let case = case([2, 16, 4, 4], Kind::Float, true);
    let mut ys = case.forward(true, After::AddRelu);
    let _ = ys.f_add_scalar_(1.0).unwrap();
    assert!(ys.sum(Kind::Float).f_backward().is_err());
}
