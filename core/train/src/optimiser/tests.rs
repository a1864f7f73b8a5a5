use super::*;
use tch::nn;

const PLAIN: SgdConfig = SgdConfig { momentum: 0.0, weight_decay: 0.0, nesterov: false };

fn store(kind: Kind, values: &[f64]) -> VarStore {
    let mut store = VarStore::new(Device::Cpu);
    let mut weights = store.root().zeros("w", &[values.len() as i64]);
    tch::no_grad(|| weights.copy_(&Tensor::from_slice(values)));
    if kind == Kind::Double {
        store.double();
    }
    store
}

fn values(store: &VarStore) -> Vec<f64> {
    Vec::try_from(store.variables()["w"].to_kind(Kind::Double)).unwrap()
}

/// Runs `gradients` through the optimiser and checks the weights after each step, in float32 (fused) and in
/// float64 (tensor operations).
fn check(config: SgdConfig, scale: f64, gradients: &[[f64; 2]], want: &[[f64; 2]]) {
    for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::Double, 1e-14)] {
        let store = store(kind, &[1.0, -2.0]);
        let mut sgd = Optimiser::new(&store, Rule::Sgd(config), |_| true).unwrap();
        for (gradient, want) in gradients.iter().zip(want) {
            let gradient = Tensor::from_slice(gradient).to_kind(kind);
            sgd.step(&[gradient], scale, 0.1).unwrap();
            for (got, want) in values(&store).iter().zip(want) {
                assert!((got - want).abs() < tolerance, "{kind:?}: {got} is not {want}");
            }
        }
    }
}

#[test]
fn plain_descent_by_hand() {
    // 1 − .1·2 = .8, −2 − .1·(−4) = −1.6; with scale .5 half of that.
    check(PLAIN, 1.0, &[[2.0, -4.0]], &[[0.8, -1.6]]);
    check(PLAIN, 0.5, &[[2.0, -4.0]], &[[0.9, -1.8]]);
}

#[test]
fn momentum_by_hand() {
    // v: 2, then .5·2 + 1 = 2; w: 1 → .8 → .6.   v: −4, then −2 + 0 = −2; w: −2 → −1.6 → −1.4.
    let config = SgdConfig { momentum: 0.5, ..PLAIN };
    check(config, 1.0, &[[2.0, -4.0], [1.0, 0.0]], &[[0.8, -1.6], [0.6, -1.4]]);
}

#[test]
fn nesterov_by_hand() {
    // d + μv: 2 + .5·2 = 3 → .7; v = .5·2 + 1 = 2, d + μv = 2 → .5.
    // −4 − 2 = −6 → −1.4; v = −2, d + μv = −1 → −1.3.
    let config = SgdConfig { momentum: 0.5, nesterov: true, ..PLAIN };
    check(config, 1.0, &[[2.0, -4.0], [1.0, 0.0]], &[[0.7, -1.4], [0.5, -1.3]]);
}

#[test]
fn weight_decay_is_coupled_and_not_clipped() {
    // d = .5·2 + .1·1 = 1.1, w = .89, v = 1.1; d = .5·0 + .1·.89 = .089, v = .55 + .089 = .639, w = .8261.
    // d = .5·(−4) + .1·(−2) = −2.2, w = −1.78; d = −.178, v = −1.1 − .178 = −1.278, w = −1.6522.
    let config = SgdConfig { momentum: 0.5, weight_decay: 0.1, nesterov: false };
    check(config, 0.5, &[[2.0, -4.0], [0.0, 0.0]], &[[0.89, -1.78], [0.8261, -1.6522]]);
}

#[test]
fn large_tensors_are_updated_to_the_last_element() {
    let n = 3 * (1 << 15) + 17;
    let store = store(Kind::Float, &vec![1.0; n]);
    let config = SgdConfig { momentum: 0.9, ..PLAIN };
    let mut sgd = Optimiser::new(&store, Rule::Sgd(config), |_| true).unwrap();
    let gradient = Tensor::arange(n as i64, (Kind::Float, Device::Cpu));
    sgd.step(&[gradient], 1.0, 0.5).unwrap();
    for (i, got) in values(&store).iter().enumerate() {
        assert_eq!(*got, 1.0 - 0.5 * i as f64);
    }
}

#[test]
fn gradients_of_untouched_frozen_and_exempt_variables() {
    let store = VarStore::new(Device::Cpu);
    let root = store.root();
    let a = root.ones("a", &[2]);
    let _unused = root.ones("unused", &[2]);
    let _frozen = root.ones_no_train("frozen", &[2]);
    let config = SgdConfig { momentum: 0.5, weight_decay: 1.0, nesterov: false };
    let mut sgd = Optimiser::new(&store, Rule::Sgd(config), |name| name != "a").unwrap();
    let gradients = sgd.gradients(&(&a * 3.0).sum(Kind::Float)).unwrap();
    sgd.step(&gradients, 1.0, 0.1).unwrap();
    let variables = store.variables();
    let of = |name: &str| Vec::<f32>::try_from(&variables[name]).unwrap();
    assert_eq!(of("a"), [0.7, 0.7], "no decay on an exempt variable; the expanded gradient is read right");
    assert_eq!(of("unused"), [1.0, 1.0], "no gradient, no decay");
    assert_eq!(of("frozen"), [1.0, 1.0]);
    assert_eq!(sgd.state().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["sgd.a"]);
}

#[test]
fn two_variables_may_share_a_gradient() {
    let store = VarStore::new(Device::Cpu);
    let (a, b) = (store.root().ones("a", &[3]), store.root().zeros("b", &[3]));
    let mut sgd = Optimiser::new(&store, Rule::Sgd(SgdConfig { momentum: 0.5, ..PLAIN }), |_| true).unwrap();
    for _ in 0..2 {
        // The derivative of a sum is passed on to both as one tensor.
        let gradients = sgd.gradients(&((&a + &b) * Tensor::from_slice(&[1f32, 2.0, 4.0])).sum(Kind::Float)).unwrap();
        assert_eq!(gradients[0].data_ptr(), gradients[1].data_ptr());
        sgd.step(&gradients, 1.0, 0.1).unwrap();
    }
    // Velocities 1 and then 1.5 times the gradient.
    let of = |name: &str| Vec::<f32>::try_from(&store.variables()[name]).unwrap();
    for (index, (a, b)) in of("a").into_iter().zip(of("b")).enumerate() {
        let moved = 0.25 * (1 << index) as f32;
        assert!((1.0 - a - moved).abs() < 1e-6 && (b + moved).abs() < 1e-6, "{a} and {b}");
    }
}

#[test]
fn a_transposed_gradient_is_read_in_the_order_of_the_weights() {
    let store = VarStore::new(Device::Cpu);
    let _w = store.root().zeros("w", &[2, 3]);
    let mut sgd = Optimiser::new(&store, Rule::Sgd(PLAIN), |_| true).unwrap();
    let gradient = Tensor::arange(6, (Kind::Float, Device::Cpu)).reshape([3, 2]).transpose(0, 1);
    sgd.step(&[gradient], 1.0, 1.0).unwrap();
    let got = Vec::<f32>::try_from(store.variables()["w"].reshape([-1])).unwrap();
    assert_eq!(got, [0.0, -2.0, -4.0, -1.0, -3.0, -5.0]);
}

#[test]
fn a_model_without_variables_is_refused() {
    let store = VarStore::new(Device::Cpu);
    let _frozen = nn::Path::ones_no_train(&store.root(), "frozen", &[1]);
    assert!(Optimiser::new(&store, Rule::Sgd(PLAIN), |_| true).is_err());
}

/// float64 by the formula, for one weight.
fn adamw_by_formula(config: AdamWConfig, lr: f64, scale: f64, start: f64, gradients: &[f64]) -> Vec<f64> {
    let ([b1, b2], mut w, mut m, mut v) = (config.betas, start, 0.0, 0.0);
    let step = |(t, g): (usize, &f64)| {
        let (g, t) = (g * scale, t as i32 + 1);
        m = b1 * m + (1.0 - b1) * g;
        v = b2 * v + (1.0 - b2) * g * g;
        w -= lr * config.weight_decay * w;
        w -= lr * (m / (1.0 - b1.powi(t))) / ((v / (1.0 - b2.powi(t))).sqrt() + config.epsilon);
        w
    };
    gradients.iter().enumerate().map(step).collect()
}

#[test]
fn adamw_by_formula_and_by_hand() {
    let config = AdamWConfig { betas: [0.9, 0.99], epsilon: 1e-8, weight_decay: 0.1 };
    let gradients = [2.0, -1.0, 0.0, 3.0];
    let want = adamw_by_formula(config, 0.1, 0.5, 1.0, &gradients);
    // The first update is a step of the rate against the gradient's sign, whatever its size: 1·(1 − .01) − .1.
    assert!((want[0] - 0.89).abs() < 1e-7);
    for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::Double, 1e-14)] {
        let store = store(kind, &[1.0]);
        let mut adamw = Optimiser::new(&store, Rule::AdamW(config), |_| true).unwrap();
        for (gradient, want) in gradients.iter().zip(&want) {
            adamw.step(&[Tensor::from_slice(&[*gradient]).to_kind(kind)], 0.5, 0.1).unwrap();
            let got = values(&store)[0];
            assert!((got - want).abs() < tolerance, "{kind:?}: {got} is not {want}");
        }
    }
}

#[test]
fn the_saved_state_of_adamw_goes_on_as_if_never_left() {
    let config = AdamWConfig { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.01 };
    let gradient = |step: i32| Tensor::from_slice(&[0.3f32 * step as f32 - 1.0, 0.7]);
    let store = store(Kind::Float, &[1.0, -2.0]);
    let new = || Optimiser::new(&store, Rule::AdamW(config), |_| true).unwrap();
    let mut whole = new();
    (0..4).for_each(|step| whole.step(&[gradient(step)], 1.0, 0.1).unwrap());
    let want = values(&store);

    let mut store_w = store.variables().remove("w").unwrap();
    tch::no_grad(|| store_w.copy_(&Tensor::from_slice(&[1f32, -2.0])));
    let mut first = new();
    (0..2).for_each(|step| first.step(&[gradient(step)], 1.0, 0.1).unwrap());
    let mut second = new();
    let state: Vec<(String, Tensor)> = first.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
    let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["adamw.mean.w", "adamw.square.w", "adamw.updates.w"]);
    second.restore(state.into_iter().collect()).unwrap();
    (2..4).for_each(|step| second.step(&[gradient(step)], 1.0, 0.1).unwrap());
    assert_eq!(values(&store), want);
}

#[test]
fn layers_have_rates_of_their_own() {
    let store = VarStore::new(Device::Cpu);
    let (_slow, _fast) = ((store.root() / "slow").ones("w", &[1]), (store.root() / "fast").ones("w", &[1]));
    let mut sgd =
        Optimiser::new(&store, Rule::Sgd(PLAIN), |_| true).unwrap().with_rates(&"slow=0.25".parse().unwrap()).unwrap();
    let one = || Tensor::ones([1], (Kind::Float, Device::Cpu));
    sgd.step(&[one(), one()], 1.0, 0.4).unwrap();
    let value = |name: &str| store.variables()[name].double_value(&[0]);
    assert!((value("slow.w") - 0.9).abs() < 1e-7 && (value("fast.w") - 0.6).abs() < 1e-7);
}
