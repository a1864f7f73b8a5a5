//! The update of all tensors in one pass over memory and one round of the threads (CPU, float32).

use super::adamw::AdamWUpdate;
use super::sgd::SgdUpdate;
use crate::parallel;

/// Elements below which a second thread is not worth waking.
const CHUNK: usize = 1 << 15;

/// What is done to a piece of a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Update {
    Sgd(SgdUpdate),
    AdamW(AdamWUpdate),
}

/// A tensor, or a piece of it; all slices are of one length, those of a state that the rule does not keep empty.
pub(crate) struct Job<'a> {
    pub weights: &'a mut [f32],
    pub gradient: &'a [f32],
    pub state: [&'a mut [f32]; 2],
    pub update: Update,
}

/// Updates every tensor of `jobs`.
pub(crate) fn run(jobs: Vec<Job<'_>>) {
    let total: usize = jobs.iter().map(|job| job.weights.len()).sum();
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).clamp(1, total.div_ceil(CHUNK).max(1));
    let mut shares: Vec<Vec<Job<'_>>> = (0..threads).map(|_| Vec::with_capacity(jobs.len())).collect();
    for job in jobs {
        deal(job, &mut shares);
    }
    match &mut shares[..] {
        [only] => only.iter_mut().for_each(step),
        all => parallel::for_each(all, |_, share| share.iter_mut().for_each(step)),
    }
}

/// Gives every share an equal part of a tensor: the threads then read memory near each other, and end together.
fn deal<'a>(job: Job<'a>, shares: &mut [Vec<Job<'a>>]) {
    let Job { mut weights, mut gradient, state: [mut first, mut second], update } = job;
    let length = weights.len().div_ceil(shares.len());
    for share in shares {
        let taken = weights.len().min(length);
        share.push(Job {
            weights: split(&mut weights, taken),
            gradient: gradient.split_off(..taken).unwrap_or_default(),
            state: [split(&mut first, taken), split(&mut second, taken)],
            update,
        });
    }
}

fn split<'a>(rest: &mut &'a mut [f32], length: usize) -> &'a mut [f32] {
    rest.split_off_mut(..length).unwrap_or_default()
}

/// With the widest vectors of the processor. All give the same bytes: products and sums stay apart.
fn step(job: &mut Job<'_>) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has them, as asked just before.
            return unsafe { step_avx512(job) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            return unsafe { step_avx2(job) };
        }
    }
    step_any(job);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn step_avx512(job: &mut Job<'_>) {
    step_any(job);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn step_avx2(job: &mut Job<'_>) {
    step_any(job);
}

// Into the functions above: vectors wider than the baseline's do not cross a call.
#[inline(always)]
fn step_any(job: &mut Job<'_>) {
    let Job { weights, gradient, state: [first, second], update } = job;
    match *update {
        Update::Sgd(update) if first.is_empty() => update.plain(weights, gradient),
        Update::Sgd(update) => update.with_momentum(weights, first, gradient),
        Update::AdamW(update) => update.step(weights, first, second, gradient),
    }
}
