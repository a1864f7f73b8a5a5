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
//! cancels when it is almost certain.

use std::slice;

use rayon::prelude::*;

use super::{EvalError, Loss};
use crate::lanes::{Isa, LANES, Lanes};

/// Bytes of logits that one task of the thread pool works on: small enough for a core's own cache.
const BLOCK_BYTES: usize = 128 * 1024;

/// Why the head could not be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HeadError {
    /// The logits of a row hold a NaN or an infinity.
    #[error("row {row}: its logits are not all finite (log-odds {log_odds})")]
    NotFinite {
        /// Which row.
        row: usize,
        /// What came of them.
        log_odds: f32,
    },
    /// A class id that the loss does not know.
    #[error("row {row}: target {target} is out of range, there are {classes} classes (0 to {})", classes - 1)]
    Target {
        /// Which row.
        row: usize,
        /// Its target.
        target: i64,
        /// How many classes there are.
        classes: usize,
    },
    /// Slices whose lengths do not fit together.
    #[error("{what} has {got} entries, expected {expected}")]
    Shape {
        /// Which slice.
        what: &'static str,
        /// Its length.
        got: usize,
        /// What the others ask for.
        expected: usize,
    },
    /// The loss itself.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

/// A loss on a softmax head of float32 logits, on the CPU.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxHead<'a> {
    loss: &'a Loss,
    ignore_index: Option<i64>,
}

/// Where a row's gradient goes.
#[derive(Clone, Copy)]
enum Gradient {
    None,
    /// A buffer of its own, or the logits' own: the address of its first number.
    At(*mut f32),
}

// SAFETY: every task of the pool touches the rows of its own block only.
unsafe impl Send for Gradient {}
// SAFETY: as above.
unsafe impl Sync for Gradient {}

/// The logits' first number, to be read by several threads.
#[derive(Clone, Copy)]
struct Logits(*const f32);
// SAFETY: as for `Gradient`.
unsafe impl Send for Logits {}
// SAFETY: as for `Gradient`.
unsafe impl Sync for Logits {}

impl<'a> SoftmaxHead<'a> {
    /// The head of `loss`.
    pub fn new(loss: &'a Loss) -> Self {
        Self { loss, ignore_index: None }
    }

    /// Rows with this target have loss, gradient and log-odds 0.
    pub fn ignoring(self, index: i64) -> Self {
        Self { ignore_index: Some(index), ..self }
    }

    /// The loss of each row.
    ///
    /// # Shapes
    /// - `logits`: `[n, classes]`, row-major
    /// - `targets`, `loss`, `log_odds`: `[n]`; `log_odds` is m, from which `−log p = softplus(−m)`
    ///
    /// # Errors
    /// See [`HeadError`].
    pub fn forward(
        &self,
        logits: &[f32],
        targets: &[i64],
        loss: &mut [f32],
        log_odds: &mut [f32],
    ) -> Result<(), HeadError> {
        self.run(Logits(logits.as_ptr()), logits.len(), targets, loss, log_odds, Gradient::None)
    }

    /// The loss of each row and the gradient of the sum of all rows' losses.
    ///
    /// # Shapes
    /// - `logits`, `gradient`: `[n, classes]`, row-major
    /// - `targets`, `loss`, `log_odds`: `[n]`
    ///
    /// # Errors
    /// See [`HeadError`]; the outputs are then undefined.
    pub fn forward_backward(
        &self,
        logits: &[f32],
        targets: &[i64],
        loss: &mut [f32],
        log_odds: &mut [f32],
        gradient: &mut [f32],
    ) -> Result<(), HeadError> {
        check_len("gradient", gradient.len(), logits.len())?;
        self.run(Logits(logits.as_ptr()), logits.len(), targets, loss, log_odds, Gradient::At(gradient.as_mut_ptr()))
    }

    /// As [`SoftmaxHead::forward_backward`], with the gradient written over the logits.
    ///
    /// # Errors
    /// See [`HeadError`]; the logits and outputs are then undefined.
    pub fn forward_backward_in_place(
        &self,
        logits: &mut [f32],
        targets: &[i64],
        loss: &mut [f32],
        log_odds: &mut [f32],
    ) -> Result<(), HeadError> {
        let start = logits.as_mut_ptr();
        self.run(Logits(start), logits.len(), targets, loss, log_odds, Gradient::At(start))
    }

    fn run(
        &self,
        logits: Logits,
        len: usize,
        targets: &[i64],
        loss: &mut [f32],
        log_odds: &mut [f32],
        gradient: Gradient,
    ) -> Result<(), HeadError> {
        let classes = self.loss.classes();
        let n = targets.len();
        check_len("logits", len, n * classes)?;
        check_len("loss", loss.len(), n)?;
        check_len("log_odds", log_odds.len(), n)?;
        if let Some(row) = targets
            .iter()
            .position(|&target| !(0..classes as i64).contains(&target) && Some(target) != self.ignore_index)
        {
            return Err(HeadError::Target { row, target: targets[row], classes });
        }
        let rows = (BLOCK_BYTES / (4 * classes)).clamp(1, 1024);
        if n <= rows {
            // Other threads would take longer to wake than the work takes.
            return self.block(logits, targets, loss, log_odds, gradient);
        }
        targets
            .par_chunks(rows)
            .zip(loss.par_chunks_mut(rows))
            .zip(log_odds.par_chunks_mut(rows))
            .enumerate()
            .map(|(block, ((targets, loss), log_odds))| {
                let offset = block * rows * classes;
                // SAFETY: block number `block` begins there, and its rows lie within the `len` numbers, as many as
                // the gradient has.
                let (logits, gradient) = unsafe { (logits.skip(offset), gradient.skip(offset)) };
                self.block(logits, targets, loss, log_odds, gradient).map_err(|error| match error {
                    HeadError::NotFinite { row, log_odds } => {
                        HeadError::NotFinite { row: row + block * rows, log_odds }
                    }
                    error => error,
                })
            })
            // Of several failing blocks, the first is reported, whichever thread was quicker.
            .reduce(|| Ok(()), |first, second| first.and(second))
    }

    /// A block of rows: log-odds of each, the loss of all of them, the gradient of each.
    fn block(
        &self,
        logits: Logits,
        targets: &[i64],
        loss: &mut [f32],
        log_odds: &mut [f32],
        gradient: Gradient,
    ) -> Result<(), HeadError> {
        let classes = self.loss.classes();
        let n = targets.len();
        let mut exponentials = vec![Exponentials::default(); n];
        let mut ids = vec![0_u32; n];
        for row in 0..n {
            if Some(targets[row]) == self.ignore_index {
                log_odds[row] = 0.0;
                continue;
            }
            ids[row] = targets[row] as u32;
            // SAFETY: row `row` of the block.
            let (from, to) = unsafe { (logits.skip(row * classes).0, gradient.skip(row * classes).start()) };
            // SAFETY: `classes` numbers at each.
            exponentials[row] = unsafe { exponentiate(from, to, classes, ids[row] as usize) };
            log_odds[row] = exponentials[row].log_odds;
            if !log_odds[row].is_finite() {
                return Err(HeadError::NotFinite { row, log_odds: log_odds[row] });
            }
        }
        let mut slope = vec![0.0; n];
        self.loss.eval(log_odds, &ids, loss, &mut slope)?;
        for row in 0..n {
            let ignored = Some(targets[row]) == self.ignore_index;
            if ignored {
                (loss[row], slope[row]) = (0.0, 0.0);
            }
            let Gradient::At(start) = gradient else {
                continue;
            };
            // SAFETY: row `row` of the block.
            let to = unsafe { start.add(row * classes) };
            if ignored {
                // SAFETY: `classes` numbers.
                unsafe { to.write_bytes(0, classes) };
                continue;
            }
            // SAFETY: `classes` numbers, and the target is one of them.
            unsafe {
                scale_of(slice::from_raw_parts_mut(to, classes), -slope[row] * exponentials[row].inverse_sum);
                to.add(ids[row] as usize).write(slope[row]);
            }
        }
        Ok(())
    }
}

impl Logits {
    /// # Safety
    /// There must be `numbers` numbers.
    unsafe fn skip(self, numbers: usize) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { self.0.add(numbers) })
    }
}

impl Gradient {
    /// # Safety
    /// There must be `numbers` numbers, if any.
    unsafe fn skip(self, numbers: usize) -> Self {
        match self {
            Self::None => Self::None,
            // SAFETY: the caller's promise.
            Self::At(start) => Self::At(unsafe { start.add(numbers) }),
        }
    }

    /// The first number; null where there is none.
    fn start(self) -> *mut f32 {
        match self {
            Self::None => std::ptr::null_mut(),
            Self::At(start) => start,
        }
    }
}

fn check_len(what: &'static str, got: usize, expected: usize) -> Result<(), HeadError> {
    if got == expected { Ok(()) } else { Err(HeadError::Shape { what, got, expected }) }
}

/// What a row's exponentials came to.
#[derive(Clone, Copy, Default)]
struct Exponentials {
    log_odds: f32,
    /// 1 / Σ_{j≠y} exp(z_j − max)
    inverse_sum: f32,
}

/// # Safety
/// `logits` and, unless null, `out` must hold `classes` numbers; they may be the same.
unsafe fn exponentiate(logits: *const f32, out: *mut f32, classes: usize, target: usize) -> Exponentials {
    // SAFETY: the target is one of the classes.
    let true_logit = f64::from(unsafe { logits.add(target).read() });
    if classes == 1 {
        // No other class: the true one is certain, m = +∞. Nothing can be learnt; the caller refuses it.
        return Exponentials { log_odds: f32::INFINITY, inverse_sum: 0.0 };
    }
    let (before, after) = (target, classes - target - 1);
    // The parts before and after the true class.
    // SAFETY: both lie within the row.
    let (sum, largest) = unsafe {
        let largest = largest(logits, before).max(largest(logits.add(target + 1), after));
        let rest = if out.is_null() { out } else { out.add(target + 1) };
        let sum = exp_sum(logits, out, before, largest) + exp_sum(logits.add(target + 1), rest, after, largest);
        (sum, largest)
    };
    Exponentials { log_odds: (true_logit - f64::from(largest) - f64::from(sum).ln()) as f32, inverse_sum: 1.0 / sum }
}

/// Runs of lanes that are worked on at once, to hide each operation's latency.
const RUN: usize = 4;

crate::dispatch_isa! {
    fn largest_of(from: *const f32, n: usize) -> f32, Best => largest_lanes::<Best>(from, n)
}

/// The largest of `n` numbers; −∞ of none. A NaN may be passed over: it shows in the sum.
///
/// # Safety
/// `from` must hold `n` numbers.
unsafe fn largest(from: *const f32, n: usize) -> f32 {
    largest_of(from, n)
}

#[inline(always)]
fn largest_lanes<I: Isa>(from: *const f32, n: usize) -> f32 {
    let mut best = [Lanes::<I>::splat(f32::NEG_INFINITY); RUN];
    let mut at = 0;
    while at + RUN * LANES <= n {
        for (i, best) in best.iter_mut().enumerate() {
            // SAFETY: within the `n` numbers.
            *best = best.max(unsafe { Lanes::load(from.add(at + i * LANES)) });
        }
        at += RUN * LANES;
    }
    let mut most = best[0].max(best[1]).max(best[2].max(best[3])).largest();
    while at < n {
        // SAFETY: within the `n` numbers.
        let value = unsafe { from.add(at).read() };
        most = if most < value { value } else { most };
        at += 1;
    }
    most
}

crate::dispatch_isa! {
    fn exp_sum_of(from: *const f32, to: *mut f32, n: usize, largest: f32) -> f32, Best => exp_sum_lanes::<Best>(from, to, n, largest)
}

/// `Σ exp(z − largest)` over `n` numbers; each exponential is stored at `to` unless that is null.
///
/// # Safety
/// `from` and, unless null, `to` must hold `n` numbers.
unsafe fn exp_sum(from: *const f32, to: *mut f32, n: usize, largest: f32) -> f32 {
    exp_sum_of(from, to, n, largest)
}

#[inline(always)]
fn exp_sum_lanes<I: Isa>(from: *const f32, to: *mut f32, n: usize, largest: f32) -> f32 {
    let shift = Lanes::<I>::splat(largest);
    let mut sums = [Lanes::<I>::splat(0.0); RUN];
    let mut at = 0;
    while at + RUN * LANES <= n {
        for (i, sum) in sums.iter_mut().enumerate() {
            let at = at + i * LANES;
            // SAFETY: within the `n` numbers of each.
            unsafe {
                let value = (Lanes::<I>::load(from.add(at)) - shift).exp();
                *sum = *sum + value;
                if !to.is_null() {
                    value.store(to.add(at));
                }
            }
        }
        at += RUN * LANES;
    }
    while at < n {
        let taken = LANES.min(n - at);
        let mut rest = [f32::NEG_INFINITY; LANES];
        // SAFETY: `taken` numbers are left.
        unsafe { rest.as_mut_ptr().copy_from_nonoverlapping(from.add(at), taken) };
        let value = (Lanes::<I>::new(rest) - shift).exp();
        sums[0] = sums[0] + value;
        if !to.is_null() {
            // SAFETY: as above.
            unsafe { to.add(at).copy_from_nonoverlapping(value.0.as_ptr(), taken) };
        }
        at += taken;
    }
    ((sums[0] + sums[1]) + (sums[2] + sums[3])).sum()
}

crate::dispatch_isa! {
    // A plain loop: of one over lanes, the compiler makes gathers.
    fn scale_of(numbers: &mut [f32], factor: f32) -> (), _Best => {
        for number in numbers {
            *number *= factor;
        }
    }
}
