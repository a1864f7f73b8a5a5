//! The update of all tensors in one pass over memory and one round of the threads (CPU, float32).

use super::adamw::AdamWUpdate;
use super::sgd::SgdUpdate;
use crate::parallel;

/// Elements that a thread takes at a time.
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
    let mut pieces: Vec<Job<'_>> = jobs.into_iter().flat_map(pieces).collect();
    if let [only] = &mut pieces[..] {
        return step(only);
    }
    parallel::for_each(&mut pieces, |_, piece| step(piece));
}

fn pieces(job: Job<'_>) -> impl Iterator<Item = Job<'_>> {
    let Job { mut weights, mut gradient, state: [mut first, mut second], update } = job;
    std::iter::from_fn(move || {
        let length = weights.len().min(CHUNK);
        (length > 0).then(|| Job {
            weights: split(&mut weights, length),
            gradient: gradient.split_off(..length).unwrap_or_default(),
            state: [split(&mut first, length), split(&mut second, length)],
            update,
        })
    })
}

fn split<'a>(rest: &mut &'a mut [f32], length: usize) -> &'a mut [f32] {
    rest.split_off_mut(..length).unwrap_or_default()
}

fn step(job: &mut Job<'_>) {
    let Job { weights, gradient, state: [first, second], update } = job;
    match *update {
        Update::Sgd(update) if first.is_empty() => update.plain(weights, gradient),
        Update::Sgd(update) => update.with_momentum(weights, first, gradient),
        Update::AdamW(update) => update.step(weights, first, second, gradient),
    }
}
