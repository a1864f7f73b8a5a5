//! Stochastic gradient descent with momentum, whose state can be saved.
//!
//! ```text
//! d ← s·∇L + λ·w          s from clipping, λ weight decay (0 for variables without it)
//! v ← μ·v + d
//! w ← w − η·v             or w − η·(d + μ·v) with Nesterov momentum
//! ```
//!
//! The semantics are those of `torch.optim.SGD` without dampening (Sutskever et al. 2013 put η inside v; PyTorch
//! does not). tch's own optimiser has no state to save, and makes several passes over memory where one is enough.

use std::collections::{HashMap, HashSet};

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::error::TrainError;
use crate::fused_sgd::{self, Update};

/// Settings of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// μ, in [0, 1); 0 keeps no velocity.
    pub momentum: f64,
    /// λ, at least 0, coupled (added to the gradient).
    pub weight_decay: f64,
    /// Nesterov's form.
    pub nesterov: bool,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    weights: Tensor,
    velocity: Option<Tensor>,
    decays: bool,
}

/// The optimiser with the variables it updates.
#[derive(Debug)]
pub struct Sgd {
    parameters: Vec<Parameter>,
    config: SgdConfig,
}

impl Sgd {
    /// Takes the variables of the store that require a gradient, in the order of their names.
    /// `decays` says by name which of them weight decay applies to.
    ///
    /// # Errors
    /// [`TrainError::Settings`] when nothing in the store requires a gradient.
    pub fn new(variables: &VarStore, config: SgdConfig, decays: impl Fn(&str) -> bool) -> Result<Sgd, TrainError> {
        let mut named: Vec<(String, Tensor)> = variables.variables().into_iter().collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let mut seen = HashSet::new();
        let parameters: Vec<Parameter> = named
            .into_iter()
            // A tied variable has two names and must move once.
            .filter(|(_, weights)| weights.requires_grad() && seen.insert(weights.data_ptr()))
            .map(|(name, weights)| Parameter { decays: decays(&name), name, weights, velocity: None })
            .collect();
        if parameters.is_empty() {
            return Err(TrainError::Settings("the model has no variable to train".into()));
        }
        Ok(Sgd { parameters, config })
    }

    /// The gradients of a scalar, one a variable, undefined for variables it does not depend on. They are
    /// returned instead of accumulated, which saves clearing and adding to them each step.
    pub fn gradients(&self, loss: &Tensor) -> Result<Vec<Tensor>, TrainError> {
        let weights: Vec<&Tensor> = self.parameters.iter().map(|p| &p.weights).collect();
        Ok(Tensor::f_run_backward(&[loss], &weights, false, false)?)
    }

    /// One update with the gradients of [`Sgd::gradients`] times `scale`, at learning rate `lr`. A variable
    /// without a gradient stays as it is, as in PyTorch.
    pub fn step(&mut self, gradients: &[Tensor], scale: f64, lr: f64) -> Result<(), TrainError> {
        let _no_grad = tch::no_grad_guard();
        for (parameter, gradient) in self.parameters.iter_mut().zip(gradients) {
            if !gradient.defined() {
                continue;
            }
            if self.config.momentum > 0.0 && parameter.velocity.is_none() {
                // μ·0 + d is d, what PyTorch sets the first velocity to.
                parameter.velocity = Some(parameter.weights.f_zeros_like()?);
            }
            let weight_decay = if parameter.decays { self.config.weight_decay } else { 0.0 };
            let update = Update {
                scale: scale as f32,
                weight_decay: weight_decay as f32,
                momentum: self.config.momentum as f32,
                nesterov: self.config.nesterov,
                lr: lr as f32,
            };
            if !step_fused(parameter, gradient, update)? {
                step_tensors(parameter, gradient, scale, weight_decay, self.config, lr)?;
            }
        }
        Ok(())
    }

    /// The velocities that exist so far, with the names of their variables.
    pub fn velocities(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.iter().filter_map(|p| p.velocity.as_ref().map(|velocity| (p.name.as_str(), velocity)))
    }

    /// The names and weights it updates.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.iter().map(|p| (p.name.as_str(), &p.weights))
    }

    /// Puts back saved velocities, by the names of their variables; the other variables start without one.
    pub fn restore(&mut self, mut saved: HashMap<String, Tensor>) -> Result<(), TrainError> {
        for parameter in &mut self.parameters {
            parameter.velocity = match saved.remove(&parameter.name) {
                Some(velocity) => Some(velocity.f_to_device(parameter.weights.device())?),
                None => None,
            };
        }
        Ok(())
    }
}

/// The fused update, for contiguous float32 on the CPU; `false` when that is not what these are.
fn step_fused(parameter: &mut Parameter, gradient: &Tensor, update: Update) -> Result<bool, TrainError> {
    let fits = |tensor: &Tensor| tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && !tensor.is_sparse();
    let weights = &parameter.weights;
    if !(fits(weights) && weights.is_contiguous() && fits(gradient)) {
        return Ok(false);
    }
    let gradient = gradient.f_contiguous()?;
    if gradient.numel() != weights.numel() || gradient.data_ptr() == weights.data_ptr() {
        return Ok(false);
    }
    // SAFETY: `fits` and `is_contiguous` hold for both, their lengths are equal, they are different
    // allocations (checked just above), and nothing else touches them while this function runs: the backward
    // pass is over and `&mut Parameter` is the optimiser's own.
    let (w, g) = unsafe { (slice_mut(weights), slice_mut(&gradient)) };
    match &parameter.velocity {
        None => fused_sgd::step_plain(w, g, update),
        Some(velocity) => {
            if !(fits(velocity) && velocity.is_contiguous() && velocity.numel() == w.len()) {
                return Ok(false);
            }
            // SAFETY: as above; the velocity is an allocation of this optimiser's own.
            fused_sgd::step_with_momentum(w, unsafe { slice_mut(velocity) }, g, update);
        }
    }
    Ok(true)
}

/// # Safety
/// `tensor` is contiguous float32 in CPU memory, and no other slice of it is alive.
#[expect(clippy::mut_from_ref, reason = "a tch Tensor is a shared handle to mutable memory")]
unsafe fn slice_mut(tensor: &Tensor) -> &mut [f32] {
    if tensor.numel() == 0 {
        return &mut [];
    }
    // SAFETY: by the caller, the memory holds `numel` floats that nothing else accesses.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}

/// The same update with tensor operations: any device, dtype and layout.
fn step_tensors(
    parameter: &mut Parameter,
    gradient: &Tensor,
    scale: f64,
    weight_decay: f64,
    config: SgdConfig,
    lr: f64,
) -> Result<(), TrainError> {
    let mut direction = gradient.f_mul_scalar(scale)?;
    if weight_decay != 0.0 {
        let _ = direction.f_add_(&parameter.weights.f_mul_scalar(weight_decay)?)?;
    }
    if let Some(velocity) = &mut parameter.velocity {
        let _ = velocity.f_mul_scalar_(config.momentum)?.f_add_(&direction)?;
        if config.nesterov {
            let _ = direction.f_add_(&velocity.f_mul_scalar(config.momentum)?)?;
        } else {
            direction = velocity.shallow_clone();
        }
    }
    let _ = parameter.weights.f_sub_(&direction.f_mul_scalar(lr)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
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
            let mut sgd = Sgd::new(&store, config, |_| true).unwrap();
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
        let mut sgd = Sgd::new(&store, config, |_| true).unwrap();
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
        let mut sgd = Sgd::new(&store, config, |name| name != "a").unwrap();
        let gradients = sgd.gradients(&(&a * 3.0).sum(Kind::Float)).unwrap();
        sgd.step(&gradients, 1.0, 0.1).unwrap();
        let variables = store.variables();
        let of = |name: &str| Vec::<f32>::try_from(&variables[name]).unwrap();
        assert_eq!(of("a"), [0.7, 0.7], "no decay on an exempt variable; the expanded gradient is read right");
        assert_eq!(of("unused"), [1.0, 1.0], "no gradient, no decay");
        assert_eq!(of("frozen"), [1.0, 1.0]);
        assert_eq!(sgd.velocities().map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn a_transposed_gradient_is_read_in_the_order_of_the_weights() {
        let store = VarStore::new(Device::Cpu);
        let _w = store.root().zeros("w", &[2, 3]);
        let mut sgd = Sgd::new(&store, PLAIN, |_| true).unwrap();
        let gradient = Tensor::arange(6, (Kind::Float, Device::Cpu)).reshape([3, 2]).transpose(0, 1);
        sgd.step(&[gradient], 1.0, 1.0).unwrap();
        let got = Vec::<f32>::try_from(store.variables()["w"].reshape([-1])).unwrap();
        assert_eq!(got, [0.0, -2.0, -4.0, -1.0, -3.0, -5.0]);
    }

    #[test]
    fn a_model_without_variables_is_refused() {
        let store = VarStore::new(Device::Cpu);
        let _frozen = nn::Path::ones_no_train(&store.root(), "frozen", &[1]);
        assert!(Sgd::new(&store, PLAIN, |_| true).is_err());
    }
}
