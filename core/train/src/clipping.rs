//! The global gradient norm, and the factor that bounds it.

use tch::{Kind, TchError, Tensor};

/// The 2-norm of all gradients taken as one vector. Undefined tensors (variables that the loss did not
/// touch) count as zero; `None` when all are. A scalar on the gradients' device, which is not waited for.
pub fn gradient_norm(gradients: &[Tensor]) -> Result<Option<Tensor>, TchError> {
    let mut norms = Vec::with_capacity(gradients.len());
    for gradient in gradients.iter().filter(|gradient| gradient.defined()) {
        norms.push(gradient.f_norm()?.f_to_kind(Kind::Float)?);
    }
    if norms.is_empty() {
        return Ok(None);
    }
    Tensor::f_stack(&norms, 0)?.f_norm().map(Some)
}

/// What to multiply the gradients by so that their norm is at most `max_norm`: `min(1, max_norm / (norm + 1e-6))`,
/// as `torch.nn.utils.clip_grad_norm_` does.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    (max_norm / (norm + 1e-6)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_norm_spans_all_tensors_and_skips_undefined_ones() {
        // 3, 4 and 12 in three tensors: sqrt(9 + 16 + 144) = 13.
        let gradients = [
            Tensor::from_slice(&[3f32]),
            Tensor::new(),
            Tensor::from_slice(&[0f32, -4.0]),
            Tensor::from_slice(&[12f64]),
        ];
        let norm = |gradients: &[Tensor]| gradient_norm(gradients).unwrap().map(|norm| norm.double_value(&[]));
        assert!((norm(&gradients).unwrap() - 13.0).abs() < 1e-6);
        assert_eq!(norm(&[Tensor::new()]), None);
        let broken = [Tensor::from_slice(&[1f32, f32::NAN])];
        assert!(norm(&broken).unwrap().is_nan());
    }

    #[test]
    fn the_factor_shrinks_and_never_grows() {
        assert!((clip_factor(10.0, 0.1) - 0.01).abs() < 1e-8);
        assert_eq!(clip_factor(0.05, 0.1), 1.0);
        assert_eq!(clip_factor(0.0, 0.1), 1.0);
    }
}
