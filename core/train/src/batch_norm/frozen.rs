//! Frozen statistics on an accelerator.
//!
//! libtorch's own backward pass gives its gradient in another layout than the values have where channels are last, so that a
//! detector copies the gradient of every convolution twice a step.

use std::cell::RefCell;
use std::ffi::c_char;

use tch::{Kind, TchError, Tensor};
use torch_sys::C_tensor;

use super::BatchNorm;
use crate::shim::made;

unsafe extern "C" {
    fn imbalance_affine(
        x: *const C_tensor,
        scale: *const C_tensor,
        shift: *const C_tensor,
        message: *mut c_char,
        length: usize,
    ) -> *mut C_tensor;
}

/// `x · scale + shift`, remembered as long as nothing that it follows from has changed.
#[derive(Debug, Default)]
pub(super) struct Affine(RefCell<Option<Remembered>>);

#[derive(Debug)]
struct Remembered {
    versions: [i64; 4],
    /// `[1, channels, 1, 1]`, float32, as `shift`.
    scale: Tensor,
    shift: Tensor,
}

impl Affine {
    /// `xs` normalised by the running statistics of `norm`, weighed and shifted: in the type and layout of `xs`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn apply(&self, norm: &BatchNorm, xs: &Tensor) -> Result<Tensor, TchError> {
        let mut remembered = self.0.borrow_mut();
        let versions = versions(norm)?;
        let known = match remembered.take() {
            Some(known) if known.versions == versions && known.scale.device() == xs.device() => known,
            _ => Remembered::of(norm, versions)?,
        };
        let Remembered { scale, shift, .. } = remembered.insert(known);
        // SAFETY: tensors that live through the call; the shim lets no exception out.
        made(|message, length| unsafe {
            imbalance_affine(xs.as_ptr(), scale.as_ptr(), shift.as_ptr(), message, length)
        })
    }
}

/// How often each tensor has been written.
fn versions(norm: &BatchNorm) -> Result<[i64; 4], TchError> {
    let BatchNorm { weight, bias, running_mean, running_var, .. } = norm;
    let mut versions = [0; 4];
    for (version, tensor) in versions.iter_mut().zip([weight, bias, running_mean, running_var]) {
        *version = tensor.f_internal_version()?;
    }
    Ok(versions)
}

impl Remembered {
    fn of(norm: &BatchNorm, versions: [i64; 4]) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        let double = |tensor: &Tensor| tensor.f_to_kind(Kind::Double);
        let scale = double(&norm.weight)? / (double(&norm.running_var)?.f_add_scalar(norm.epsilon)?).f_sqrt()?;
        let shift = double(&norm.bias)?.f_sub(&double(&norm.running_mean)?.f_mul(&scale)?)?;
        let whole = |tensor: Tensor| tensor.f_to_kind(Kind::Float)?.f_view([1, -1, 1, 1]);
        Ok(Self { versions, scale: whole(scale)?, shift: whole(shift)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, nn};

    #[test]
    fn it_is_the_normalisation_and_keeps_the_layout() {
        tch::manual_seed(3);
        let store = nn::VarStore::new(Device::Cpu);
        let norm = BatchNorm::frozen(&store.root(), 3, 1e-3).unwrap();
        let affine = Affine::default();
        let draw = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let last = |tensor: Tensor| tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        // A second time with other values, as after loading weights.
        for _ in 0..2 {
            tch::no_grad(|| {
                for (name, mut variable) in store.variables() {
                    let drawn = draw(&[3]);
                    variable.copy_(&if name == "running_var" { drawn.abs() + 0.1 } else { drawn });
                }
            });
            for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::BFloat16, 1e-2)] {
                let xs = last(draw(&[2, 3, 4, 5])).to_kind(kind).set_requires_grad(true);
                let upstream = last(draw(&[2, 3, 4, 5])).to_kind(kind);
                let plain = xs.detach().to_kind(Kind::Double).set_requires_grad(true);
                let [weight, bias, mean, variance] =
                    [&norm.weight, &norm.bias, &norm.running_mean, &norm.running_var].map(|t| t.to_kind(Kind::Double));
                let expected =
                    plain.batch_norm(Some(weight), Some(bias), Some(mean), Some(variance), false, 0.1, 1e-3, false);
                let made = affine.apply(&norm, &xs).unwrap();
                let gradient = |y: &Tensor, x: &Tensor, upstream: &Tensor| {
                    Tensor::run_backward(&[(y * upstream).sum(Kind::Double)], &[x], false, false).remove(0)
                };
                let by_x = gradient(&made, &xs, &upstream);
                assert_eq!([made.stride(), by_x.stride()], [xs.stride(), xs.stride()]);
                assert_eq!((made.kind(), by_x.kind()), (kind, kind));
                let by_plain = gradient(&expected, &plain, &upstream.to_kind(Kind::Double));
                for (found, expected) in [(&made, &expected), (&by_x, &by_plain)] {
                    let off = (found.to_kind(Kind::Double) - expected).abs().max() / expected.abs().max();
                    assert!(off.double_value(&[]) < tolerance, "{kind:?}: {}", off.double_value(&[]));
                }
            }
        }
    }
}
