//! AdamW (Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2).
//!
//! ```text
//! g ← s·∇L                          s from clipping
//! m ← β₁·m + (1 − β₁)·g             v ← β₂·v + (1 − β₂)·g²
//! w ← w − η·λ·w                     λ weight decay (0 for variables without it)
//! w ← w − η · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)      t counts the updates of this variable, from 1
//! ```
//!
//! The semantics are those of `torch.optim.AdamW`.

use tch::{TchError, Tensor};

/// Settings of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// β₁ and β₂, each in [0, 1).
    pub betas: [f64; 2],
    /// ε, above 0.
    pub epsilon: f64,
    /// λ, at least 0, decoupled from the gradient.
    pub weight_decay: f64,
}

/// The scalars of one update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamWUpdate {
    /// Multiplies the gradient (clipping).
    scale: f32,
    betas: [f32; 2],
    /// 1 − β, rounded once.
    rest: [f32; 2],
    /// η/(1 − β₁ᵗ).
    rate: f32,
    /// √(1 − β₂ᵗ).
    correction: f32,
    epsilon: f32,
    /// 1 − η·λ.
    kept: f32,
}

impl AdamWUpdate {
    /// The scalars of update `t`; `weight_decay` is 0 for a variable without it.
    pub fn new(config: AdamWConfig, t: u64, (scale, weight_decay, lr): (f64, f64, f64)) -> Self {
        let [b1, b2] = config.betas;
        let bias = |beta: f64| 1.0 - beta.powf(t as f64);
        Self {
            scale: scale as f32,
            betas: [b1 as f32, b2 as f32],
            rest: [(1.0 - b1) as f32, (1.0 - b2) as f32],
            rate: (lr / bias(b1)) as f32,
            correction: bias(b2).sqrt() as f32,
            epsilon: config.epsilon as f32,
            kept: (1.0 - lr * weight_decay) as f32,
        }
    }

    /// Slices of one length.
    #[inline(always)]
    pub fn step(self, weights: &mut [f32], mean: &mut [f32], square: &mut [f32], gradient: &[f32]) {
        for (((w, m), v), &g) in weights.iter_mut().zip(mean).zip(square).zip(gradient) {
            let g = g * self.scale;
            *m = self.betas[0] * *m + self.rest[0] * g;
            *v = self.betas[1] * *v + self.rest[1] * g * g;
            *w = *w * self.kept - self.rate * *m / (v.sqrt() / self.correction + self.epsilon);
        }
    }
}

/// The same with tensor operations: any device, type and layout.
pub(crate) fn step_tensors(
    weights: &mut Tensor,
    [mean, square]: [&mut Tensor; 2],
    gradient: &Tensor,
    config: AdamWConfig,
    t: u64,
    (scale, weight_decay, lr): (f64, f64, f64),
) -> Result<(), TchError> {
    let [b1, b2] = config.betas;
    let gradient = gradient.f_mul_scalar(scale)?;
    let _ = mean.f_mul_scalar_(b1)?.f_add_(&gradient.f_mul_scalar(1.0 - b1)?)?;
    let _ = square.f_mul_scalar_(b2)?.f_add_(&gradient.f_square()?.f_mul_scalar(1.0 - b2)?)?;
    if weight_decay != 0.0 {
        let _ = weights.f_mul_scalar_(1.0 - lr * weight_decay)?;
    }
    let bias = |beta: f64| 1.0 - beta.powf(t as f64);
    let spread = square.f_sqrt()?.f_div_scalar(bias(b2).sqrt())?.f_add_scalar(config.epsilon)?;
    let _ = weights.f_sub_(&mean.f_div(&spread)?.f_mul_scalar(lr / bias(b1))?)?;
    Ok(())
}
