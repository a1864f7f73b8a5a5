//! The SGD update of one tensor in one pass over memory (CPU, float32).

use rayon::prelude::*;

/// The scalars of one update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    /// Multiplies the gradient (clipping).
    pub scale: f32,
    pub weight_decay: f32,
    pub momentum: f32,
    pub nesterov: bool,
    pub lr: f32,
}

impl Update {
    #[inline(always)]
    fn direction(self, gradient: f32, weight: f32) -> f32 {
        gradient * self.scale + weight * self.weight_decay
    }
}

/// Elements a task of the pool works on; smaller tensors are not worth waking it.
const CHUNK: usize = 1 << 15;

/// `d = scale·g + decay·w; v = momentum·v + d; w −= lr·(nesterov ? d + momentum·v : v)`, all slices of one length.
pub(crate) fn step_with_momentum(weights: &mut [f32], velocity: &mut [f32], gradient: &[f32], u: Update) {
    let kernel = |weights: &mut [f32], velocity: &mut [f32], gradient: &[f32]| {
        // The branch is outside the loop, so that both loops vectorise.
        if u.nesterov {
            for ((w, v), &g) in weights.iter_mut().zip(velocity).zip(gradient) {
                let d = u.direction(g, *w);
                *v = u.momentum * *v + d;
                *w -= u.lr * (d + u.momentum * *v);
            }
        } else {
            for ((w, v), &g) in weights.iter_mut().zip(velocity).zip(gradient) {
                *v = u.momentum * *v + u.direction(g, *w);
                *w -= u.lr * *v;
            }
        }
    };
    if weights.len() <= CHUNK {
        return kernel(weights, velocity, gradient);
    }
    weights
        .par_chunks_mut(CHUNK)
        .zip(velocity.par_chunks_mut(CHUNK))
        .zip(gradient.par_chunks(CHUNK))
        .for_each(|((weights, velocity), gradient)| kernel(weights, velocity, gradient));
}

/// `w −= lr·(scale·g + decay·w)`, both slices of one length.
pub(crate) fn step_plain(weights: &mut [f32], gradient: &[f32], u: Update) {
    let kernel = |weights: &mut [f32], gradient: &[f32]| {
        for (w, &g) in weights.iter_mut().zip(gradient) {
            *w -= u.lr * u.direction(g, *w);
        }
    };
    if weights.len() <= CHUNK {
        return kernel(weights, gradient);
    }
    weights
        .par_chunks_mut(CHUNK)
        .zip(gradient.par_chunks(CHUNK))
        .for_each(|(weights, gradient)| kernel(weights, gradient));
}
