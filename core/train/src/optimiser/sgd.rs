//! Stochastic gradient descent with momentum.
//!
//! ```text
//! d ← s·∇L + λ·w          s from clipping, λ weight decay (0 for variables without it)
//! v ← μ·v + d
//! w ← w − η·v             or w − η·(d + μ·v) with Nesterov momentum
//! ```
//!
//! The semantics are those of `torch.optim.SGD` without dampening (Sutskever et al. 2013 put η inside v; PyTorch
//! does not).

use tch::{TchError, Tensor};

/// Settings of SGD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// μ, in [0, 1); 0 keeps no velocity.
    pub momentum: f64,
    /// λ, at least 0, coupled (added to the gradient).
    pub weight_decay: f64,
    /// Nesterov's form.
    pub nesterov: bool,
}

/// The scalars of one update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SgdUpdate {
    /// Multiplies the gradient (clipping).
    pub scale: f32,
    pub weight_decay: f32,
    pub momentum: f32,
    pub nesterov: bool,
    pub lr: f32,
}

impl SgdUpdate {
    #[inline(always)]
    fn direction(self, gradient: f32, weight: f32) -> f32 {
        gradient * self.scale + weight * self.weight_decay
    }

    /// With velocities; slices of one length.
    #[inline(always)]
    pub fn with_momentum(self, weights: &mut [f32], velocity: &mut [f32], gradient: &[f32]) {
        // The branch is outside the loop, so that both loops vectorise.
        if self.nesterov {
            for ((w, v), &g) in weights.iter_mut().zip(velocity).zip(gradient) {
                let d = self.direction(g, *w);
                *v = self.momentum * *v + d;
                *w -= self.lr * (d + self.momentum * *v);
            }
        } else {
            for ((w, v), &g) in weights.iter_mut().zip(velocity).zip(gradient) {
                *v = self.momentum * *v + self.direction(g, *w);
                *w -= self.lr * *v;
            }
        }
    }

    /// Without; slices of one length.
    #[inline(always)]
    pub fn plain(self, weights: &mut [f32], gradient: &[f32]) {
        for (w, &g) in weights.iter_mut().zip(gradient) {
            *w -= self.lr * self.direction(g, *w);
        }
    }
}

/// The same with tensor operations: any device, type and layout. `weight_decay` is 0 for a variable without it.
pub(crate) fn step_tensors(
    weights: &mut Tensor,
    velocity: Option<&mut Tensor>,
    gradient: &Tensor,
    config: SgdConfig,
    (scale, weight_decay, lr): (f64, f64, f64),
) -> Result<(), TchError> {
    let mut direction = gradient.f_mul_scalar(scale)?;
    if weight_decay != 0.0 {
        let _ = direction.f_add_(&weights.f_mul_scalar(weight_decay)?)?;
    }
    if let Some(velocity) = velocity {
        let _ = velocity.f_mul_scalar_(config.momentum)?.f_add_(&direction)?;
        if config.nesterov {
            let _ = direction.f_add_(&velocity.f_mul_scalar(config.momentum)?)?;
        } else {
            direction = velocity.shallow_clone();
        }
    }
    let _ = weights.f_sub_(&direction.f_mul_scalar(lr)?)?;
    Ok(())
}
