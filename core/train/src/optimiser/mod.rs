//! The optimisers, whose state can be saved: [`SgdConfig`] and [`AdamWConfig`] have the rules.
//!
//! tch's own optimiser has no state to save, and makes several passes over memory where one is enough.

pub(crate) mod adamw;
mod fused;
mod layers;
pub(crate) mod sgd;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

pub use adamw::AdamWConfig;
pub use layers::{LayerRates, Prefixes, freeze};
pub use sgd::SgdConfig;

use crate::error::TrainError;
use crate::layout::laid_out_as;
use crate::multi_tensor::{Lists, is_accelerator};
use adamw::AdamWUpdate;
use fused::{Job, Update};
use sgd::SgdUpdate;

/// How gradients move weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Stochastic gradient descent with momentum.
    Sgd(SgdConfig),
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
}

impl Rule {
    /// What it keeps a variable, by the names under which checkpoints hold it.
    fn slots(self) -> &'static [&'static str] {
        match self {
            Rule::Sgd(SgdConfig { momentum: 0.0, .. }) => &[],
            Rule::Sgd(_) => &["sgd."],
            Rule::AdamW(_) => &["adamw.mean.", "adamw.square."],
        }
    }

    fn weight_decay(self) -> f64 {
        match self {
            Rule::Sgd(config) => config.weight_decay,
            Rule::AdamW(config) => config.weight_decay,
        }
    }
}

/// Checkpoints hold the number of a variable's updates under this name where the rule needs it.
const UPDATES: &str = "adamw.updates.";

#[derive(Debug)]
struct Parameter {
    name: String,
    weights: Tensor,
    /// One a slot of the rule; empty before the first gradient.
    state: Vec<Tensor>,
    updates: u64,
    decays: bool,
    /// Multiplies the learning rate.
    rate: f64,
}

/// An optimiser with the variables it updates.
#[derive(Debug)]
pub struct Optimiser {
    parameters: Vec<Parameter>,
    rule: Rule,
}

impl Optimiser {
    /// Takes the variables of the store that require a gradient, in the order of their names.
    /// `decays` says by name which of them weight decay applies to.
    ///
    /// # Errors
    /// [`TrainError::Settings`] when nothing in the store requires a gradient.
    pub fn new(variables: &VarStore, rule: Rule, decays: impl Fn(&str) -> bool) -> Result<Self, TrainError> {
        let mut named: Vec<(String, Tensor)> = variables.variables().into_iter().collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let mut seen = HashSet::new();
        let parameters: Vec<Parameter> = named
            .into_iter()
            // A tied variable has two names and must move once.
            .filter(|(_, weights)| weights.requires_grad() && seen.insert(weights.data_ptr()))
            .map(|(name, weights)| Parameter {
                decays: decays(&name),
                name,
                weights,
                state: Vec::new(),
                updates: 0,
                rate: 1.0,
            })
            .collect();
        if parameters.is_empty() {
            return Err(TrainError::Settings("the model has no variable to train".into()));
        }
        Ok(Self { parameters, rule })
    }

    /// Multiplies the learning rate of each variable as `rates` say.
    ///
    /// # Errors
    /// [`TrainError::Settings`], where a prefix begins no trained variable's name.
    pub fn with_rates(mut self, rates: &LayerRates) -> Result<Self, TrainError> {
        let names: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        let factors = rates.factors(&names)?;
        self.parameters.iter_mut().zip(factors).for_each(|(parameter, factor)| parameter.rate = factor);
        Ok(self)
    }

    /// The gradients of a scalar, one a variable, undefined for variables it does not depend on. They are
    /// returned instead of accumulated, which saves clearing and adding to them each step.
    pub fn gradients(&self, loss: &Tensor) -> Result<Vec<Tensor>, TrainError> {
        let weights: Vec<&Tensor> = self.parameters.iter().map(|p| &p.weights).collect();
        Ok(Tensor::f_run_backward(&[loss], &weights, false, false)?)
    }

    /// One update with the gradients of [`Optimiser::gradients`] times `scale`, at learning rate `lr`. A variable
    /// without a gradient stays as it is, as in PyTorch.
    pub fn step(&mut self, gradients: &[Tensor], scale: f64, lr: f64) -> Result<(), TrainError> {
        let _no_grad = tch::no_grad_guard();
        let rule = self.rule;
        let (mut jobs, mut kept) = (Vec::new(), Vec::new());
        // Those on an accelerator that move alike: by the bits of decay and rate, the updates and the kind.
        let mut lists: BTreeMap<(u64, u64, u64, i32), Lists<'_>> = BTreeMap::new();
        for (parameter, gradient) in self.parameters.iter_mut().zip(gradients) {
            if !gradient.defined() {
                continue;
            }
            if parameter.state.is_empty() {
                // μ·0 + d is d, what PyTorch sets the first velocity to.
                parameter.state =
                    rule.slots().iter().map(|_| parameter.weights.f_zeros_like()).collect::<Result<_, _>>()?;
            }
            parameter.updates += 1;
            let weight_decay = if parameter.decays { rule.weight_decay() } else { 0.0 };
            let scalars = (scale, weight_decay, lr * parameter.rate);
            if is_accelerator(parameter.weights.device()) && !gradient.is_sparse() && gradient.numel() > 0 {
                let Parameter { weights, state, updates, .. } = &*parameter;
                let alike = (weight_decay.to_bits(), scalars.2.to_bits(), *updates, weights.kind() as i32);
                lists.entry(alike).or_default().push(weights, gradient, state)?;
                continue;
            }
            match fused_gradient(parameter, gradient)? {
                Some(gradient) => {
                    let update = update(rule, parameter.updates, scalars);
                    // SAFETY: `fused_gradient` has found all of them contiguous float32 of one length in CPU memory, and the
                    // gradient's memory another than the weights'. Each variable comes once, and its state is this optimiser's
                    // own, so that nothing else is written twice; gradients, of which two variables can have one, are only
                    // read. `kept` holds contiguous copies until all is done, and nothing else touches the memory meanwhile:
                    // the backward pass is over.
                    jobs.push(unsafe { job(parameter, &gradient, update) });
                    kept.push(gradient);
                }
                None => step_tensors(parameter, gradient, rule, scalars)?,
            }
        }
        fused::run(jobs);
        for ((weight_decay, lr, updates, _), lists) in lists {
            let scalars = (scale, f64::from_bits(weight_decay), f64::from_bits(lr));
            match rule {
                Rule::Sgd(config) => lists.sgd(config, scalars)?,
                Rule::AdamW(config) => lists.adamw(config, updates, scalars)?,
            }
        }
        Ok(())
    }

    /// What it keeps of each variable so far, by the names under which checkpoints hold it.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let slots = self.rule.slots();
        let mut all = Vec::new();
        for parameter in self.parameters.iter().filter(|parameter| !parameter.state.is_empty()) {
            let tensors = slots.iter().zip(&parameter.state);
            all.extend(tensors.map(|(slot, tensor)| (format!("{slot}{}", parameter.name), tensor.shallow_clone())));
            if let Rule::AdamW(_) = self.rule {
                let updates = Tensor::from_slice(&[parameter.updates as i64]);
                all.push((format!("{UPDATES}{}", parameter.name), updates));
            }
        }
        all
    }

    /// The names that [`Optimiser::state`] may use, each with the tensor that it must resemble.
    pub(crate) fn expected(&self) -> Vec<(String, Tensor)> {
        let slots = self.rule.slots();
        let of = |parameter: &Parameter| {
            let tensors: Vec<_> = slots
                .iter()
                .map(|slot| (format!("{slot}{}", parameter.name), parameter.weights.shallow_clone()))
                .collect();
            let updates = matches!(self.rule, Rule::AdamW(_))
                .then(|| (format!("{UPDATES}{}", parameter.name), Tensor::from_slice(&[0i64])));
            tensors.into_iter().chain(updates)
        };
        self.parameters.iter().flat_map(of).collect()
    }

    /// The names and weights it updates.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.iter().map(|p| (p.name.as_str(), &p.weights))
    }

    /// Puts back a saved state; variables that have none in it start anew.
    ///
    /// # Errors
    /// libtorch's.
    pub fn restore(&mut self, mut saved: HashMap<String, Tensor>) -> Result<(), TrainError> {
        for parameter in &mut self.parameters {
            let found: Vec<Tensor> = self
                .rule
                .slots()
                .iter()
                .filter_map(|slot| saved.remove(&format!("{slot}{}", parameter.name)))
                .map(|tensor| laid_out_as(&parameter.weights, &tensor))
                .collect::<Result<_, _>>()?;
            parameter.state = if found.len() == self.rule.slots().len() { found } else { Vec::new() };
            parameter.updates = match saved.remove(&format!("{UPDATES}{}", parameter.name)) {
                Some(updates) => updates.f_int64_value(&[0])? as u64,
                None => 0,
            };
        }
        Ok(())
    }
}

/// The gradient as the fused update takes it; `None` when one of the tensors is not contiguous float32 on the CPU.
fn fused_gradient(parameter: &Parameter, gradient: &Tensor) -> Result<Option<Tensor>, TrainError> {
    let fits = |tensor: &Tensor| tensor.device() == Device::Cpu && tensor.kind() == Kind::Float && !tensor.is_sparse();
    let whole = |tensor: &Tensor| fits(tensor) && tensor.is_contiguous() && tensor.numel() == parameter.weights.numel();
    if !(whole(&parameter.weights) && parameter.state.iter().all(whole) && fits(gradient)) {
        return Ok(None);
    }
    let gradient = gradient.f_contiguous()?;
    let fits = whole(&gradient) && gradient.data_ptr() != parameter.weights.data_ptr();
    Ok(fits.then_some(gradient))
}

fn update(rule: Rule, updates: u64, scalars: (f64, f64, f64)) -> Update {
    let (scale, weight_decay, lr) = scalars;
    match rule {
        Rule::Sgd(config) => Update::Sgd(SgdUpdate {
            scale: scale as f32,
            weight_decay: weight_decay as f32,
            momentum: config.momentum as f32,
            nesterov: config.nesterov,
            lr: lr as f32,
        }),
        Rule::AdamW(config) => Update::AdamW(AdamWUpdate::new(config, updates, scalars)),
    }
}

/// # Safety
/// Weights, state and gradient are contiguous float32 of one length in CPU memory, no two of them the same memory. While the job
/// lives nothing else reads or writes that of weights and state, and nothing writes the gradient's.
unsafe fn job<'a>(parameter: &Parameter, gradient: &Tensor, update: Update) -> Job<'a> {
    // SAFETY: by the caller.
    let written = |tensor: &Tensor| unsafe { slice_mut(tensor) };
    let mut state = parameter.state.iter().map(written);
    let state = [state.next().unwrap_or_default(), state.next().unwrap_or_default()];
    // SAFETY: by the caller.
    let gradient = unsafe { slice(gradient) };
    Job { weights: written(&parameter.weights), gradient, state, update }
}

/// # Safety
/// `tensor` is contiguous float32 in CPU memory that lives through `'a` and is not written meanwhile.
unsafe fn slice<'a>(tensor: &Tensor) -> &'a [f32] {
    if tensor.numel() == 0 {
        return &[];
    }
    // SAFETY: by the caller, the memory holds `numel` floats that nothing writes.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast_const().cast(), tensor.numel()) }
}

/// # Safety
/// `tensor` is contiguous float32 in CPU memory that lives through `'a`, and no other slice of it does.
unsafe fn slice_mut<'a>(tensor: &Tensor) -> &'a mut [f32] {
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
    rule: Rule,
    scalars: (f64, f64, f64),
) -> Result<(), TrainError> {
    let Parameter { weights, state, updates, .. } = parameter;
    match (rule, &mut state[..]) {
        (Rule::Sgd(config), state) => sgd::step_tensors(weights, state.first_mut(), gradient, config, scalars)?,
        (Rule::AdamW(config), [mean, square]) => {
            adamw::step_tensors(weights, [mean, square], gradient, config, *updates, scalars)?;
        }
        // The state is made with a tensor a slot.
        (Rule::AdamW(_), _) => {}
    }
    Ok(())
}
