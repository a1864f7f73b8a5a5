//! The global gradient norm, and the factor that bounds it.

use tch::{Kind, TchError, Tensor};

use crate::multi_tensor::{is_accelerator, norm_of_all};

/// The 2-norm of all gradients taken as one vector. Undefined tensors (variables that the loss did not
/// touch) count as zero; `None` when all are. A scalar on the gradients' device, which is not waited for.
pub fn gradient_norm(gradients: &[Tensor]) -> Result<Option<Tensor>, TchError> {
    let defined: Vec<&Tensor> = gradients.iter().filter(|gradient| gradient.defined()).collect();
    let Some(first) = defined.first() else { return Ok(None) };
    if is_accelerator(first.device()) && !defined.iter().any(|gradient| gradient.is_sparse()) {
        return norm_of_all(&defined).map(Some);
    }
    let norm = |gradient: &Tensor| gradient.f_norm()?.f_to_kind(Kind::Float);
    let norms = defined.into_iter().map(norm).collect::<Result<Vec<_>, _>>()?;
    Tensor::f_stack(&norms, 0)?.f_norm().map(Some)
}

/// What to multiply the gradients by so that their norm is at most `max_norm`: `min(1, max_norm / (norm + 1e-6))`,
/// as `torch.nn.utils.clip_grad_norm_` does.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    (max_norm / (norm + 1e-6)).min(1.0)
}

/// The same of a norm that a device is still computing.
///
/// # Errors
/// libtorch's.
pub(crate) fn clip_factor_on_device(norm: &Tensor, share: f64, max_norm: f64) -> Result<Tensor, TchError> {
    let norm = norm.f_mul_scalar(share)?.f_add_scalar(1e-6)?;
    norm.f_reciprocal()?.f_mul_scalar(max_norm)?.f_clamp_max(1.0)
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
        for norm in [20f32, 0.1, 0.0] {
            let factor = clip_factor_on_device(&Tensor::from(norm), 0.5, 0.1).unwrap().double_value(&[]);
            assert!((factor - clip_factor(f64::from(norm) * 0.5, 0.1)).abs() < 1e-7);
        }
        assert_eq!(clip_factor(0.0, 0.1), 1.0);
    }
}
