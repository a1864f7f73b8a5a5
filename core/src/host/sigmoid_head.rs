//! The fused sigmoid head: every logit a question of its own, in blocks that stay in the first-level cache.
//!
//! ```text
//! m = x for a positive, −x for a negative        ∂ℓ/∂x = ℓ'(m) or −ℓ'(m)
//! ```
//!
//! The loss sees a positive of class c as class c and every negative as the last class, the background. With
//! two class counts (foreground and background) every positive is class 0.

use rayon::prelude::*;

use super::head::{Exclusive, Shared, check_head, check_len, check_weights};
use super::memory::{is_streamed, prefetch, stream_negated, streamed};
use super::{Element, HeadError, Loss};
use crate::Head;

/// Logits that are worked on at once: with log-odds, class ids, losses and gradient, half of a first-level cache.
const BLOCK: usize = 1024;
/// Rows of a task of the thread pool hold about this many logits.
const TASK: usize = 64 * BLOCK;

/// A loss on a sigmoid head, on the CPU. Logits are float32 or bfloat16; all arithmetic is float32.
#[derive(Clone, Copy, Debug)]
pub struct SigmoidHead<'a> {
    loss: &'a Loss,
    columns: usize,
    weights: Option<&'a [f32]>,
}

/// What a task works with, block after block.
#[derive(Default)]
struct Scratch {
    log_odds: Vec<f32>,
    ids: Vec<u32>,
    loss: Vec<f32>,
    slope: Vec<f32>,
    /// Whether gradients are written past the caches.
    stream: bool,
}

impl<'a> SigmoidHead<'a> {
    /// The target of a row without any class: all of its logits are negatives.
    pub const BACKGROUND: i64 = -1;
    /// The target of a row that counts for nothing.
    pub const IGNORED: i64 = -2;

    /// The head of `loss` for `columns` logits a row.
    ///
    /// # Errors
    /// The loss was not made for a sigmoid head, or its class counts are neither `columns + 1` (the background last)
    /// nor 2 (foreground and background).
    pub fn new(loss: &'a Loss, columns: usize) -> Result<Self, HeadError> {
        check_head(loss, Head::Sigmoid)?;
        if columns == 0 || (loss.classes() != columns + 1 && loss.classes() != 2) {
            return Err(HeadError::Classes {
                columns,
                classes: loss.classes(),
                expected: "a sigmoid head takes one count for each logit and, last, that of the background, or two: \
                           foreground and background",
            });
        }
        Ok(Self { loss, columns, weights: None })
    }

    /// Multiplies the loss of each row by its weight, `[n]`, finite and at least 0.
    pub fn weighting(self, weights: &'a [f32]) -> Self {
        Self { weights: Some(weights), ..self }
    }

    /// The loss of each row: the sum over its logits.
    ///
    /// # Shapes
    /// - `logits`: `[n, columns]`, row-major
    /// - `targets`, `loss`: `[n]`; a class, [`SigmoidHead::BACKGROUND`] or [`SigmoidHead::IGNORED`]
    ///
    /// # Errors
    /// See [`HeadError`].
    pub fn forward<E: Element>(&self, logits: &[E], targets: &[i64], loss: &mut [f32]) -> Result<(), HeadError> {
        self.run(Shared(logits.as_ptr()), logits.len(), targets, loss, Exclusive(std::ptr::null_mut()))
    }

    /// The loss of each row and the gradient of the sum of all rows' losses.
    ///
    /// # Shapes
    /// - `logits`, `gradient`: `[n, columns]`, row-major
    /// - `targets`, `loss`: `[n]`
    ///
    /// # Errors
    /// See [`HeadError`]; the outputs are then undefined.
    pub fn forward_backward<E: Element>(
        &self,
        logits: &[E],
        targets: &[i64],
        loss: &mut [f32],
        gradient: &mut [E],
    ) -> Result<(), HeadError> {
        check_len("gradient", gradient.len(), logits.len())?;
        self.run(Shared(logits.as_ptr()), logits.len(), targets, loss, Exclusive(gradient.as_mut_ptr()))
    }

    /// As [`SigmoidHead::forward_backward`], with the gradient written over the logits.
    ///
    /// # Errors
    /// See [`HeadError`]; the logits and outputs are then undefined.
    pub fn forward_backward_in_place<E: Element>(
        &self,
        logits: &mut [E],
        targets: &[i64],
        loss: &mut [f32],
    ) -> Result<(), HeadError> {
        let start = logits.as_mut_ptr();
        self.run(Shared(start), logits.len(), targets, loss, Exclusive(start))
    }

    fn run<E: Element>(
        &self,
        logits: Shared<E>,
        len: usize,
        targets: &[i64],
        loss: &mut [f32],
        gradient: Exclusive<E>,
    ) -> Result<(), HeadError> {
        let (n, columns) = (targets.len(), self.columns);
        check_len("logits", len, n * columns)?;
        check_len("loss", loss.len(), n)?;
        check_weights(self.weights, n)?;
        let known = |target: i64| (Self::IGNORED..columns as i64).contains(&target);
        if let Some(row) = targets.iter().position(|&target| !known(target)) {
            let others = "; -1 is background, -2 ignored";
            return Err(HeadError::Target { row, target: targets[row], classes: columns, others });
        }
        // In place, the caches hold already what is overwritten.
        let stream = is_streamed(len) && !std::ptr::eq(logits.0, gradient.0);
        let task_rows = (TASK / columns).max(1);
        let block_rows = (BLOCK / columns).max(1);
        targets
            .par_chunks(task_rows)
            .zip(loss.par_chunks_mut(task_rows))
            .enumerate()
            .map_init(
                || Scratch { stream, ..Scratch::default() },
                |scratch, (task, (targets, loss))| {
                    for (block, (targets, loss)) in
                        targets.chunks(block_rows).zip(loss.chunks_mut(block_rows)).enumerate()
                    {
                        let first = task * task_rows + block * block_rows;
                        let weights = self.weights.map(|weights| &weights[first..first + targets.len()]);
                        let offset = first * columns;
                        // SAFETY: row `first` begins there, and the block's rows lie within the `len` numbers, as many as
                        // the gradient has.
                        unsafe {
                            self.block(logits.skip(offset), targets, weights, loss, gradient.skip(offset), scratch)
                        }
                        .map_err(|error| error.after(first))?;
                    }
                    streamed();
                    Ok(())
                },
            )
            // Of several failing tasks, the first is reported, whichever thread was quicker.
            .reduce(|| Ok(()), |first, second| first.and(second))
    }

    /// # Safety
    /// `logits` and, unless null, `gradient` must hold the block's rows.
    unsafe fn block<E: Element>(
        &self,
        logits: Shared<E>,
        targets: &[i64],
        weights: Option<&[f32]>,
        loss: &mut [f32],
        gradient: Exclusive<E>,
        scratch: &mut Scratch,
    ) -> Result<(), HeadError> {
        let columns = self.columns;
        let numbers = targets.len() * columns;
        let background = self.loss.classes() as u32 - 1;
        let positive = |row: usize| usize::try_from(targets[row]).ok().map(|class| (class, row * columns + class));
        let id = |class: usize| if background == 1 { 0 } else { class as u32 };
        let Scratch { log_odds, ids, loss: values, slope, stream } = scratch;
        ids.resize(numbers, background);
        [&mut *log_odds, values, slope].into_iter().for_each(|buffer| buffer.resize(numbers, 0.0));

        // SAFETY: the caller's promise.
        let from = unsafe { std::slice::from_raw_parts(logits.0, numbers) };
        let finite = match E::as_f32(from) {
            Some(from) => negated(from, log_odds),
            None => {
                E::widen(from, slope);
                negated(slope, log_odds)
            }
        };
        if !finite {
            // What is ignored may be anything.
            let wrong = |row: &usize| {
                targets[*row] != Self::IGNORED && !all_finite(&log_odds[row * columns..(row + 1) * columns])
            };
            if let Some(row) = (0..targets.len()).find(wrong) {
                let of_row = &log_odds[row * columns..(row + 1) * columns];
                let value = of_row.iter().find(|value| !value.is_finite()).map_or(f32::NAN, |value| -value);
                return Err(HeadError::NotFinite { row, log_odds: value });
            }
            log_odds.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = 0.0);
        }
        // The next block comes while this one is evaluated.
        prefetch(logits.0.wrapping_add(numbers), numbers);
        let affine = self.loss.affine();
        if let Some((scale, bias)) = affine {
            for row in log_odds.chunks_exact_mut(columns) {
                for (at, value) in row.iter_mut().enumerate() {
                    let class = if background == 1 { 0 } else { at };
                    *value = *value * scale[class] - bias[class];
                }
            }
        }
        for (class, at) in (0..targets.len()).filter_map(positive) {
            log_odds[at] = -log_odds[at] - self.loss.margin(id(class) as usize);
            ids[at] = id(class);
        }
        let evaluated = self.loss.eval_known(log_odds, ids, values, slope);
        // The ids stay those of negatives from block to block.
        (0..targets.len()).filter_map(positive).for_each(|(_, at)| ids[at] = background);
        evaluated?;

        for (loss, of_row) in loss.iter_mut().zip(values.chunks_exact(columns)) {
            *loss = sum(of_row);
        }
        if gradient.0.is_null() {
            self.weigh(targets, weights, loss, &mut []);
            return Ok(());
        }
        // The derivative of a negative's log-odds by its logit is −1; `finish` negates all.
        (0..targets.len()).filter_map(positive).for_each(|(_, at)| slope[at] = -slope[at]);
        if let Some((scale, _)) = affine {
            for row in slope.chunks_exact_mut(columns) {
                for (at, value) in row.iter_mut().enumerate() {
                    *value *= scale[if background == 1 { 0 } else { at }];
                }
            }
        }
        self.weigh(targets, weights, loss, slope);
        // SAFETY: the caller's promise; if it is the logits' memory, nobody reads that any more.
        let to = unsafe { std::slice::from_raw_parts_mut(gradient.0, numbers) };
        match E::as_f32_mut(to) {
            Some(to) if *stream => stream_negated(slope, to),
            Some(to) => {
                negated(slope, to);
            }
            None => {
                negated(slope, values);
                E::narrow(values, to);
            }
        }
        Ok(())
    }

    /// Applies the rows' weights, of which those of ignored rows are 0; `gradient` may be empty.
    fn weigh(&self, targets: &[i64], weights: Option<&[f32]>, loss: &mut [f32], gradient: &mut [f32]) {
        for (row, &target) in targets.iter().enumerate() {
            let weight = if target == Self::IGNORED { 0.0 } else { weights.map_or(1.0, |weights| weights[row]) };
            if weight != 1.0 {
                loss[row] *= weight;
                if let Some(of_row) = gradient.get_mut(row * self.columns..(row + 1) * self.columns) {
                    of_row.iter_mut().for_each(|value| *value *= weight);
                }
            }
        }
    }
}

crate::dispatch_isa! {
    /// Writes `−from` to `to`; whether all of it is finite.
    fn negated(from: &[f32], to: &mut [f32]) -> bool, _Best => {
        let mut finite = true;
        for (from, to) in from.iter().zip(to) {
            *to = -from;
            finite &= from.abs() < f32::INFINITY;
        }
        finite
    }
}

crate::dispatch_isa! {
    /// The sum, in sixteen partial sums.
    fn sum(values: &[f32]) -> f32, _Best => {
        let (rows, rest) = values.as_chunks::<16>();
        let mut sums = [0.0_f32; 16];
        for row in rows {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
    }
}

fn all_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}
