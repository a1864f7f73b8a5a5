//! One step: gradients, their norm, the update.
//!
//! What a step found on a GPU is read some steps later, when it is told or saved, so that the GPU has always work to do. Only
//! what the step itself depends on is read at once: the norm where float16's gradients are scaled, the sums over processes where
//! Gloo carries them.

use tch::{Device, Kind, TchError, Tensor};

use crate::clipping::{clip_factor, clip_factor_on_device, gradient_norm};
use crate::error::TrainError;
use crate::multi_tensor::{is_accelerator, multiply_all};
use crate::schedule::Position;
use crate::seeding::{Stream, seed_libtorch};
use crate::state::TrainState;
use crate::task::{self, BatchLoss, Share};

use super::Fit;

/// The gradients of a step's batches so far.
#[derive(Default)]
struct Added {
    /// One a variable, or none before the first batch.
    gradients: Vec<Tensor>,
    /// What the losses of all batches were divided by: the units of the first, before those of the others are known.
    divisor: f64,
    /// The units of all, over all processes.
    units: f64,
    /// The loss of each batch over all processes, with its units.
    losses: Vec<(Number, f64)>,
}

/// Steps whose findings may wait: a loss that is not finite is noticed so many steps late on a GPU.
const UNREAD: usize = 64;

/// A number that the device may still be computing: a scalar, float32 or float64.
enum Number {
    Known(f64),
    Awaited(Tensor),
}

/// Waits for all of them: one copy from a device, however many.
fn read_all<'a>(numbers: impl IntoIterator<Item = &'a mut Number>) -> Result<(), TchError> {
    let (mut awaited, mut scalars) = (Vec::new(), Vec::new());
    for number in numbers {
        if let Number::Awaited(scalar) = &*number {
            scalars.push(scalar.f_to_kind(Kind::Double)?.f_reshape([])?);
            awaited.push(number);
        }
    }
    if scalars.is_empty() {
        return Ok(());
    }
    let values = Vec::<f64>::try_from(Tensor::f_stack(&scalars, 0)?.f_to_device(Device::Cpu)?)?;
    awaited.into_iter().zip(values).for_each(|(number, value)| *number = Number::Known(value));
    Ok(())
}

impl Number {
    fn read(&self) -> Result<f64, TchError> {
        match self {
            Number::Known(value) => Ok(*value),
            Number::Awaited(tensor) => tensor.f_double_value(&[]),
        }
    }
}

/// What a step found, before it is read.
pub(super) struct Found {
    losses: Vec<(Number, f64)>,
    norm: Number,
    /// What the norm is to be multiplied by.
    share: f64,
    /// Whether float16 could not hold the gradients, so that the step was left out.
    overflow: bool,
    /// The step, from 1.
    step: u64,
    lr: f64,
}

impl Found {
    fn numbers(&mut self) -> impl Iterator<Item = &mut Number> {
        self.losses.iter_mut().map(|(loss, _)| loss).chain(std::iter::once(&mut self.norm))
    }
}

/// What the newest step that was read has found.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// Loss a unit since the last record.
    pub loss: f64,
    pub lr: f64,
    pub gradient_norm: f64,
}

impl Fit<'_> {
    /// One step with the gradient of all of these batches, of which the epoch has `count`: that of the sum of their losses
    /// over the sum of their units. Returns its units.
    pub(super) fn step(&mut self, batches: &[Share], count: usize) -> Result<f64, TrainError> {
        let TrainState { epoch, batch: first, step, .. } = self.state;
        seed_libtorch(self.group.seed(self.config.seed), Stream::Step, step);
        let mut added = Added::default();
        for (batch, number) in batches.iter().zip(first + 1..) {
            let at = task::Step { epoch, phase: self.config.phase(epoch), step };
            let loss = match self.task.forward(&batch.examples, at) {
                Ok(loss) => loss,
                Err(error) => {
                    // What steps before did to the weights may be the reason.
                    self.settle()?;
                    return Err(self.placed(error));
                }
            };
            self.add(&mut added, loss.as_ref(), number, batches.len() == 1)?;
        }
        if batches.len() > 1 && added.units > 0.0 {
            self.reducer.begin()?;
            self.reducer.finish(&mut added.gradients)?;
        }
        let Added { mut gradients, divisor, units, losses } = added;

        let accumulate = self.config.accumulate;
        let at = Position { step, epoch, place: first / accumulate, steps: count.div_ceil(accumulate) };
        let lr = self.config.schedule.rate(at, self.span, self.state.plateau.scale());
        // 1 for a single batch.
        let share = if units > 0.0 { divisor / units } else { 0.0 };
        let share = share / self.loss_factor();
        let mut norm = gradient_norm(&gradients)?.map_or(Number::Known(0.0), Number::Awaited);
        let (mut scale, mut overflow) = (share, false);
        match (&norm, self.config.clip_norm) {
            // On the device, which is not waited for.
            (Number::Awaited(norm), Some(largest)) if is_accelerator(norm.device()) && !self.config.scale_loss => {
                gradients = multiply_all(&gradients, &clip_factor_on_device(norm, share, largest)?)?;
            }
            (_, None) if !self.config.scale_loss => {}
            (_, largest) => {
                let read = norm.read()?;
                let value = share * read;
                scale *= largest.map_or(1.0, |largest| clip_factor(value, largest));
                overflow =
                    self.config.scale_loss && self.state.loss_scale.observe(value.is_finite()) && !value.is_finite();
                norm = Number::Known(read);
            }
        }
        if !overflow {
            self.optimiser.step(&gradients, scale, lr)?;
            if let Some(average) = &mut self.average {
                average.update(step)?;
            }
        }
        self.state.step += 1;
        self.state.batch += batches.len();
        let found = Found { losses, norm, share, overflow, step: self.state.step, lr };
        self.found.push(found);
        if step == 0 || self.found.len() == UNREAD || self.task.variables().device() == Device::Cpu {
            self.settle()?;
        }
        if let Some(run) = &mut self.run {
            run.keep()?;
        }
        Ok(units)
    }

    /// Adds the gradient of a batch, the `number`th of its epoch. `only` says that it is all of a step: its gradients are
    /// summed over the processes while they are computed.
    fn add(
        &mut self,
        added: &mut Added,
        loss: Option<&BatchLoss>,
        number: usize,
        only: bool,
    ) -> Result<(), TrainError> {
        let wrong = |reason: &str| TrainError::Batch { epoch: self.state.epoch, batch: number, reason: reason.into() };
        if let Some(loss) = loss {
            if !(loss.units > 0.0 && loss.units.is_finite()) {
                return Err(wrong(&format!("its loss sums over {} {}", loss.units, self.task.units_name())));
            }
            if loss.sum.numel() != 1 || !loss.sum.requires_grad() {
                return Err(wrong("its loss is not a scalar with a graph"));
            }
        }
        let (sum, units) = self.over_processes(loss)?;
        if units == 0.0 {
            return Ok(());
        }
        if added.units == 0.0 {
            added.divisor = units;
        }
        if only {
            self.reducer.begin()?;
        }
        let mut gradients = match loss {
            Some(loss) => {
                let scaled = loss.sum.f_div_scalar(added.divisor)?;
                let scaled = match self.loss_factor() {
                    1.0 => scaled,
                    factor => scaled.f_mul_scalar(factor)?,
                };
                self.optimiser.gradients(&scaled)?
            }
            None => self.optimiser.parameters().map(|_| Tensor::new()).collect(),
        };
        if only {
            self.reducer.finish(&mut gradients)?;
        }
        added.units += units;
        added.gradients = match std::mem::take(&mut added.gradients) {
            none if none.is_empty() => gradients,
            before => sums(before, gradients)?,
        };
        added.losses.push((sum, units));
        Ok(())
    }

    /// Sum and units of a batch's loss over all processes, which learn at the same time whether one of them has been asked
    /// to stop.
    fn over_processes(&mut self, loss: Option<&BatchLoss>) -> Result<(Number, f64), TrainError> {
        let device = self.task.variables().device();
        // The one that stands for logits that are not finite is made by the host.
        let detached = |loss: &BatchLoss| loss.sum.f_detach()?.f_to_device(device);
        if self.group.size() == 1 {
            return Ok(match loss {
                Some(loss) => (Number::Awaited(detached(loss)?), loss.units),
                None => (Number::Known(0.0), 0.0),
            });
        }
        let units = loss.map_or(0.0, |loss| loss.units);
        let asked = f64::from(self.interrupt.requested());
        if self.group.by_nccl(device) {
            // The sum stays on the GPUs, so that no host waits for the forward pass before it gives out the backward one.
            let sum = match loss {
                Some(loss) => detached(loss)?.f_to_dtype(Kind::Double, false, true)?.f_reshape([])?,
                None => Tensor::f_zeros([], (Kind::Double, device))?,
            };
            self.group.sum_tensor(&sum)?;
            let [units, asked] = self.group.sum([units, asked])?;
            self.stop |= asked > 0.0;
            return Ok((Number::Awaited(sum), units));
        }
        let sum = loss.map_or(Ok(0.0), |loss| loss.sum.f_double_value(&[]))?;
        let [sum, units, asked] = self.group.sum([sum, units, asked])?;
        self.stop |= asked > 0.0;
        Ok((Number::Known(sum), units))
    }

    /// Reads what the last steps found, which everything that is saved or told depends on.
    pub(super) fn settle(&mut self) -> Result<(), TrainError> {
        let mut all = std::mem::take(&mut self.found);
        read_all(all.iter_mut().flat_map(Found::numbers))?;
        all.into_iter().try_for_each(|found| self.read(found))
    }

    fn read(&mut self, found: Found) -> Result<(), TrainError> {
        for (loss, units) in &found.losses {
            let sum = loss.read()?;
            self.check_finite("loss", sum, found.step)?;
            self.state.epoch_loss.add(sum, *units);
            self.state.recent_loss.add(sum, *units);
        }
        let gradient_norm = found.share * found.norm.read()?;
        if !found.overflow {
            self.check_finite("gradient norm", gradient_norm, found.step)?;
        }
        self.seen = Some(Seen { loss: self.state.recent_loss.mean(), lr: found.lr, gradient_norm });
        Ok(())
    }

    /// What the loss is multiplied by before the backward pass.
    fn loss_factor(&self) -> f64 {
        if self.config.scale_loss { self.state.loss_scale.factor() } else { 1.0 }
    }
}

/// Gradients of two losses added, of which either may be undefined.
fn sums(first: Vec<Tensor>, second: Vec<Tensor>) -> Result<Vec<Tensor>, TrainError> {
    let _no_grad = tch::no_grad_guard();
    let sum = |(a, b): (Tensor, Tensor)| match (a.defined(), b.defined()) {
        // Not in place: two variables can share a gradient.
        (true, true) => Ok(a.f_add(&b)?),
        (true, false) => Ok(a),
        (false, _) => Ok(b),
    };
    first.into_iter().zip(second).map(sum).collect()
}
