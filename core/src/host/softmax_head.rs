//! The fused softmax head: loss and gradient of a batch of logits in two reads and one write.
//!
//! ```text
//! m      = z_y − logsumexp_{j≠y} z_j
//! ∂ℓ/∂z_y = ℓ'(m)        ∂ℓ/∂z_j = −ℓ'(m) · exp(z_j − logsumexp_{k≠y} z_k)
//! ```
//!
//! A row is read once to find its largest logit and once more, from the cache, for the sum of
//! exponentials, which are left where the gradient will be; the gradient is those times one factor.
//! The true class is left out of the sum itself rather than subtracted from it, so that nothing
//! cancels when it is almost certain. Where the loss adjusts the logits, z is what it made of them, and the
//! gradient goes through the adjustment.

use std::slice;

use rayon::prelude::*;

use super::head::{BLOCK_BYTES, Exclusive, Shared, check_head, check_len, check_weights};
use super::softmax_kernel::{Adjust, Affine, Each, Exponentials, Neutral, Same, Unchanged, exponentiate, finish, sum};
use super::{Element, HeadError, Loss};
use crate::Head;

/// A loss on a softmax head, on the CPU. Logits are float32 or bfloat16; all arithmetic is float32.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxHead<'a> {
    loss: &'a Loss,
    ignore_index: Option<i64>,
    weights: Option<&'a [f32]>,
}

/// The rows that a task works on.
struct Rows<'a> {
    targets: &'a [i64],
    weights: Option<&'a [f32]>,
    loss: &'a mut [f32],
    log_odds: &'a mut [f32],
}

impl<'a> SoftmaxHead<'a> {
    /// The head of `loss`.
    pub fn new(loss: &'a Loss) -> Self {
        Self { loss, ignore_index: None, weights: None }
    }

    /// Rows with this target have loss, gradient and log-odds 0.
    pub fn ignoring(self, index: i64) -> Self {
        Self { ignore_index: Some(index), ..self }
    }

    /// Multiplies the loss of each row by its weight, `[n]`, finite and at least 0.
    pub fn weighting(self, weights: &'a [f32]) -> Self {
        Self { weights: Some(weights), ..self }
    }

    /// The loss of each row.
    ///
    /// # Shapes
    /// - `logits`: `[n, classes]`, row-major
    /// - `targets`, `loss`, `log_odds`: `[n]`; `log_odds` is m, from which `−log p = softplus(−m)`
    ///
    /// # Errors
    /// See [`HeadError`].
    pub fn forward<E: Element>(
        &self,
        logits: &[E],
        targets: &[i64],
        loss: &mut [f32],
        log_odds: &mut [f32],
    ) -> Result<(), HeadError> {
        self.run(Shared(logits.as_ptr()), logits.len(), targets, loss, log_odds, Exclusive(std::ptr::null_mut()))
    }

    /// The loss of each row and the gradient of the sum of all rows' losses.
    ///
    /// # Shapes
    /// - `logits`, `gradient`: `[n, classes]`, row-major
    /// - `targets`, `loss`, `log_odds`: `[n]`
    ///
    /// # Errors
    /// See [`HeadError`]; the outputs are then undefined.
    pub fn forward_backward<E: Element>(
        &self,
        logits: &[E],
        targets: &[i64],
        loss: &mut [f32],
        log_odds: &mut [f32],
        gradient: &mut [E],
    ) -> Result<(), HeadError> {
        check_len("gradient", gradient.len(), logits.len())?;
        self.run(Shared(logits.as_ptr()), logits.len(), targets, loss, log_odds, Exclusive(gradient.as_mut_ptr()))
    }

    /// As [`SoftmaxHead::forward_backward`], with the gradient written over the logits.
    ///
    /// # Errors
    /// See [`HeadError`]; the logits and outputs are then undefined.
    pub fn forward_backward_in_place<E: Element>(
        &self,
        logits: &mut [E],
        targets: &[i64],
        loss: &mut [f32],
        log_odds: &mut [f32],
    ) -> Result<(), HeadError> {
        let start = logits.as_mut_ptr();
        self.run(Shared(start), logits.len(), targets, loss, log_odds, Exclusive(start))
    }

    fn run<E: Element>(
        &self,
        logits: Shared<E>,
        len: usize,
        targets: &[i64],
        loss: &mut [f32],
        log_odds: &mut [f32],
        gradient: Exclusive<E>,
    ) -> Result<(), HeadError> {
        let classes = self.loss.classes();
        let n = targets.len();
        check_head(self.loss, Head::Softmax)?;
        if classes < 2 {
            let expected = "a softmax head tells classes apart, of which it needs two";
            return Err(HeadError::Classes { columns: classes, classes, expected });
        }
        check_len("logits", len, n * classes)?;
        check_len("loss", loss.len(), n)?;
        check_len("log_odds", log_odds.len(), n)?;
        check_weights(self.weights, n)?;
        if let Some(row) = targets
            .iter()
            .position(|&target| !(0..classes as i64).contains(&target) && Some(target) != self.ignore_index)
        {
            return Err(HeadError::Target { row, target: targets[row], classes, others: "" });
        }
        let rows = (BLOCK_BYTES / (4 * classes)).clamp(1, 1024);
        let block = |scratch: &mut Vec<f32>, first: usize, rows: Rows<'_>| {
            let offset = first * classes;
            // SAFETY: row `first` begins there, and the block's rows lie within the `len` numbers, as many as the
            // gradient has.
            unsafe { self.widened_block(logits.skip(offset), rows, gradient.skip(offset), scratch) }
                .map_err(|error| error.after(first))
        };
        if n <= rows {
            // Other threads would take longer to wake than the work takes.
            return block(&mut Vec::new(), 0, Rows { targets, weights: self.weights, loss, log_odds });
        }
        targets
            .par_chunks(rows)
            .zip(loss.par_chunks_mut(rows))
            .zip(log_odds.par_chunks_mut(rows))
            .enumerate()
            .map_init(Vec::new, |scratch, (at, ((targets, loss), log_odds))| {
                let first = at * rows;
                let weights = self.weights.map(|weights| &weights[first..first + targets.len()]);
                block(scratch, first, Rows { targets, weights, loss, log_odds })
            })
            // Of several failing blocks, the first is reported, whichever thread was quicker.
            .reduce(|| Ok(()), |first, second| first.and(second))
    }

    /// A block of rows of any kind, by way of float32 in `scratch` where it is another.
    ///
    /// # Safety
    /// `logits` and, unless null, `gradient` must hold the block's rows.
    unsafe fn widened_block<E: Element>(
        &self,
        logits: Shared<E>,
        rows: Rows<'_>,
        gradient: Exclusive<E>,
        scratch: &mut Vec<f32>,
    ) -> Result<(), HeadError> {
        let numbers = rows.targets.len() * self.loss.classes();
        if E::IS_F32 {
            // SAFETY: `E` is float32, and the caller's promise.
            return unsafe { self.adjusted_block(logits.0.cast(), rows, gradient.0.cast()) };
        }
        scratch.resize(numbers, 0.0);
        // SAFETY: the caller's promise.
        E::widen(unsafe { slice::from_raw_parts(logits.0, numbers) }, scratch);
        let start = scratch.as_mut_ptr();
        // SAFETY: as many float32 numbers as the block has.
        unsafe { self.adjusted_block(start, rows, if gradient.0.is_null() { gradient.0.cast() } else { start }) }?;
        if !gradient.0.is_null() {
            // SAFETY: the caller's promise; if it is the logits' memory, nobody reads that any more.
            E::narrow(scratch, unsafe { slice::from_raw_parts_mut(gradient.0, numbers) });
        }
        Ok(())
    }

    /// A block of float32 rows, with the loss's adjustment of the logits, if any.
    ///
    /// # Safety
    /// `logits` and, unless null, `gradient` must hold the block's rows.
    unsafe fn adjusted_block(&self, logits: *const f32, rows: Rows<'_>, gradient: *mut f32) -> Result<(), HeadError> {
        let adjustment = self.loss.adjustment();
        // SAFETY: the caller's promise; the tables have a number for each class.
        unsafe {
            match (self.loss.affine(), self.loss.uniform_scale(), adjustment.bias.is_some()) {
                (None, ..) => self.block(Unchanged, logits, rows, gradient),
                (_, Some(scale), false) => {
                    self.block(Affine { scale: Same(scale), bias: Neutral }, logits, rows, gradient)
                }
                (Some((scale, _)), None, false) => {
                    self.block(Affine { scale: Each(scale.as_ptr()), bias: Neutral }, logits, rows, gradient)
                }
                (Some((_, bias)), ..) if adjustment.scale.is_none() => {
                    self.block(Affine { scale: Neutral, bias: Each(bias.as_ptr()) }, logits, rows, gradient)
                }
                (Some((scale, bias)), ..) => {
                    let adjust = Affine { scale: Each(scale.as_ptr()), bias: Each(bias.as_ptr()) };
                    self.block(adjust, logits, rows, gradient)
                }
            }
        }
    }

    /// Log-odds of each row, the loss of all of them, the gradient of each.
    ///
    /// # Safety
    /// `logits` and, unless null, `gradient` must hold the block's rows, the tables of `adjust` a number for each class.
    unsafe fn block<A: Adjust>(
        &self,
        adjust: A,
        logits: *const f32,
        rows: Rows<'_>,
        gradient: *mut f32,
    ) -> Result<(), HeadError> {
        let classes = self.loss.classes();
        let Rows { targets, weights, loss, log_odds } = rows;
        let n = targets.len();
        let smoothing = self.loss.adjustment().label_smoothing as f32;
        let mut exponentials = vec![Exponentials::default(); n];
        let mut smoothed = vec![0.0; if smoothing > 0.0 { n } else { 0 }];
        let mut ids = vec![0_u32; n];
        for row in 0..n {
            if Some(targets[row]) == self.ignore_index {
                log_odds[row] = 0.0;
                continue;
            }
            let target = targets[row] as usize;
            ids[row] = target as u32;
            let margin = self.loss.margin(target);
            // SAFETY: row `row` of the block, and its true class.
            unsafe {
                let from = logits.add(row * classes);
                let to = if gradient.is_null() { gradient } else { gradient.add(row * classes) };
                if smoothing > 0.0 {
                    // Before the exponentials, which may take the logits' place.
                    let mean = (sum(adjust, from, classes) - margin) / classes as f32;
                    smoothed[row] = smoothing * (adjust.one(from, target) - margin - mean);
                }
                exponentials[row] = exponentiate(adjust, from, to, classes, target, margin);
            }
            log_odds[row] = exponentials[row].log_odds;
            // One logit of −∞ leaves the log-odds finite, but not the mean that smoothing takes.
            if !log_odds[row].is_finite() || smoothed.get(row).is_some_and(|smoothed| !smoothed.is_finite()) {
                return Err(HeadError::NotFinite { row, log_odds: log_odds[row] });
            }
        }
        let mut slope = vec![0.0; n];
        self.loss.eval_known(log_odds, &ids, loss, &mut slope)?;
        loss.iter_mut().zip(&smoothed).for_each(|(loss, smoothed)| *loss += smoothed);
        for row in 0..n {
            let ignored = Some(targets[row]) == self.ignore_index;
            let weight = if ignored { 0.0 } else { weights.map_or(1.0, |weights| weights[row]) };
            if weight != 1.0 {
                (loss[row], slope[row]) = (loss[row] * weight, slope[row] * weight);
            }
            if gradient.is_null() {
                continue;
            }
            let uniform = weight * smoothing / classes as f32;
            // SAFETY: row `row` of the block, and its true class.
            unsafe {
                let to = gradient.add(row * classes);
                if ignored {
                    to.write_bytes(0, classes);
                    continue;
                }
                let target = ids[row] as usize;
                let factor = -slope[row] * exponentials[row].inverse_sum;
                finish(adjust, slice::from_raw_parts_mut(to, classes), factor, -uniform);
                to.add(target).write((slope[row] + weight * smoothing - uniform) * adjust.slope(target));
            }
        }
        Ok(())
    }
}
