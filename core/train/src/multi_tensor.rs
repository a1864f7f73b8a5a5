//! Operations on many tensors of an accelerator at once: one launch, or a few, where tensor by tensor there would be
//! thousands a step, each of which costs the host more than the device. On the processor the optimisers have their own
//! kernels, and the rest goes tensor by tensor.

use std::ffi::c_char;

use tch::{Device, TchError, Tensor};
use torch_sys::C_tensor;

use crate::shim::{done, made};

unsafe extern "C" {
    fn imbalance_norm_of_all(
        tensors: *const *mut C_tensor,
        count: usize,
        message: *mut c_char,
        length: usize,
    ) -> *mut C_tensor;
    fn imbalance_largest_of_all(
        tensors: *const *mut C_tensor,
        count: usize,
        message: *mut c_char,
        length: usize,
    ) -> *mut C_tensor;
    fn imbalance_lerp_all(
        to: *const *mut C_tensor,
        from: *const *mut C_tensor,
        count: usize,
        share: f64,
        message: *mut c_char,
        length: usize,
    ) -> bool;
    fn imbalance_multiply_all(
        tensors: *const *mut C_tensor,
        count: usize,
        factor: *const C_tensor,
        made: *mut *mut C_tensor,
        message: *mut c_char,
        length: usize,
    ) -> bool;
    fn imbalance_sgd_all(
        weights: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        velocities: *const *mut C_tensor,
        count: usize,
        scale: f64,
        weight_decay: f64,
        momentum: f64,
        lr: f64,
        nesterov: bool,
        message: *mut c_char,
        length: usize,
    ) -> bool;
    fn imbalance_adamw_all(
        weights: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        means: *const *mut C_tensor,
        squares: *const *mut C_tensor,
        count: usize,
        scale: f64,
        weight_decay: f64,
        beta1: f64,
        beta2: f64,
        epsilon: f64,
        lr: f64,
        updates: u64,
        message: *mut c_char,
        length: usize,
    ) -> bool;
}

/// Whether `device` is one where many tensors are better treated at once.
pub(crate) fn is_accelerator(device: Device) -> bool {
    device != Device::Cpu
}

/// The tensors' pointers, which are valid as long as the tensors.
fn pointers<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<*mut C_tensor> {
    tensors.into_iter().map(|tensor| tensor.as_ptr().cast_mut()).collect()
}

/// The 2-norm of all tensors, at least one, as one vector: float32 of no dimensions, not waited for.
///
/// # Errors
/// libtorch's.
pub(crate) fn norm_of_all(tensors: &[&Tensor]) -> Result<Tensor, TchError> {
    let tensors = pointers(tensors.iter().copied());
    // SAFETY: pointers to tensors that live through the call; the shim lets no exception out.
    made(|message, length| unsafe { imbalance_norm_of_all(tensors.as_ptr(), tensors.len(), message, length) })
}

/// The largest magnitude in all tensors, at least one, none of them empty: float64 of no dimensions, NaN if there is one.
///
/// # Errors
/// libtorch's.
pub(crate) fn largest_of_all(tensors: &[&Tensor]) -> Result<Tensor, TchError> {
    let tensors = pointers(tensors.iter().copied());
    // SAFETY: as above.
    made(|message, length| unsafe { imbalance_largest_of_all(tensors.as_ptr(), tensors.len(), message, length) })
}

/// `to ← to + share·(from − to)`, pair by pair.
///
/// # Errors
/// libtorch's.
pub(crate) fn lerp_all(pairs: &[(&Tensor, &Tensor)], share: f64) -> Result<(), TchError> {
    let to = pointers(pairs.iter().map(|(to, _)| *to));
    let from = pointers(pairs.iter().map(|(_, from)| *from));
    // SAFETY: as above; lists of one length.
    done(|message, length| unsafe { imbalance_lerp_all(to.as_ptr(), from.as_ptr(), to.len(), share, message, length) })
}

/// All tensors times `factor`, a number on their device; those that are not defined stay so.
///
/// # Errors
/// libtorch's.
pub(crate) fn multiply_all(tensors: &[Tensor], factor: &Tensor) -> Result<Vec<Tensor>, TchError> {
    let defined = pointers(tensors.iter().filter(|tensor| tensor.defined()));
    let mut made = vec![std::ptr::null_mut(); defined.len()];
    // SAFETY: as above; there is room for as many.
    done(|message, length| unsafe {
        imbalance_multiply_all(defined.as_ptr(), defined.len(), factor.as_ptr(), made.as_mut_ptr(), message, length)
    })?;
    let mut made = made.into_iter();
    // SAFETY: tensors on the heap that the shim made for us.
    let mut next = || made.next().map_or_else(Tensor::new, |tensor| unsafe { Tensor::from_ptr(tensor) });
    Ok(tensors.iter().map(|tensor| if tensor.defined() { next() } else { Tensor::new() }).collect())
}

/// Whether two tensors of one shape lie alike in memory. The stride of a dimension of one element says nothing: the gradient of a
/// kernel of one row and one column may come with any.
fn same_layout(a: &Tensor, b: &Tensor) -> bool {
    let dimensions = a.size().into_iter().zip(a.stride().into_iter().zip(b.stride()));
    dimensions.into_iter().all(|(length, (a, b))| length == 1 || a == b)
}

/// Variables that move alike, with their gradients and what the optimiser keeps of them: of one type, each with the layout of
/// its weights.
#[derive(Default)]
pub(crate) struct Lists<'a> {
    weights: Vec<&'a Tensor>,
    gradients: Vec<Tensor>,
    state: [Vec<&'a Tensor>; 2],
}

impl<'a> Lists<'a> {
    /// Adds a variable; `state` has none, one or two tensors, as many as those before.
    ///
    /// # Errors
    /// libtorch's.
    pub fn push(&mut self, weights: &'a Tensor, gradient: &Tensor, state: &'a [Tensor]) -> Result<(), TchError> {
        // A convolution's gradient comes in the layout that its algorithm likes.
        let alike = same_layout(gradient, weights) && gradient.kind() == weights.kind();
        self.gradients.push(if alike {
            gradient.shallow_clone()
        } else {
            let mut copy = weights.f_empty_like()?;
            copy.f_copy_(gradient)?;
            copy
        });
        self.weights.push(weights);
        for (list, tensor) in self.state.iter_mut().zip(state) {
            list.push(tensor);
        }
        Ok(())
    }

    fn pointers(&self) -> [Vec<*mut C_tensor>; 4] {
        let [first, second] = &self.state;
        [
            pointers(self.weights.iter().copied()),
            pointers(&self.gradients),
            pointers(first.iter().copied()),
            pointers(second.iter().copied()),
        ]
    }

    /// One update of SGD with momentum.
    ///
    /// # Errors
    /// libtorch's.
    pub fn sgd(&self, config: super::optimiser::SgdConfig, scalars: (f64, f64, f64)) -> Result<(), TchError> {
        let [weights, gradients, velocities, _] = self.pointers();
        let (scale, weight_decay, lr) = scalars;
        // SAFETY: as above; without momentum the shim does not look at velocities, else there are as many.
        done(|message, length| unsafe {
            imbalance_sgd_all(
                weights.as_ptr(),
                gradients.as_ptr(),
                velocities.as_ptr(),
                weights.len(),
                scale,
                weight_decay,
                config.momentum,
                lr,
                config.nesterov,
                message,
                length,
            )
        })
    }

    /// One update of AdamW, the `updates`th of these variables.
    ///
    /// # Errors
    /// libtorch's.
    pub fn adamw(
        &self,
        config: super::optimiser::AdamWConfig,
        updates: u64,
        scalars: (f64, f64, f64),
    ) -> Result<(), TchError> {
        let [weights, gradients, means, squares] = self.pointers();
        let (scale, weight_decay, lr) = scalars;
        // SAFETY: as above; four lists of one length, which is not 0.
        done(|message, length| unsafe {
            imbalance_adamw_all(
                weights.as_ptr(),
                gradients.as_ptr(),
                means.as_ptr(),
                squares.as_ptr(),
                weights.len(),
                scale,
                weight_decay,
                config.betas[0],
                config.betas[1],
                config.epsilon,
                lr,
                updates,
                message,
                length,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::optimiser::{AdamWConfig, SgdConfig, adamw, sgd};

    fn random(seed: i64, like: &Tensor) -> Tensor {
        tch::manual_seed(seed);
        like.randn_like()
    }

    /// Two variables, one of them in another layout than its gradient.
    fn variables() -> Vec<(Tensor, Tensor)> {
        let options = (Kind::Float, Device::Cpu);
        let (a, b) = (Tensor::zeros([4, 3, 5, 5], options), Tensor::zeros([7], options));
        let gradient = random(3, &a).permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        assert!(!gradient.is_contiguous());
        vec![(random(1, &a), gradient), (random(2, &b), random(4, &b))]
    }

    fn close(a: &Tensor, b: &Tensor) {
        assert!((a - b).abs().max().double_value(&[]) < 1e-6, "{a} and {b}");
    }

    #[test]
    fn updates_are_those_of_tensor_operations() {
        let scalars = (0.5, 0.01, 0.1);
        let momentum = |momentum, nesterov| SgdConfig { momentum, weight_decay: 0.01, nesterov };
        for config in [momentum(0.9, false), momentum(0.9, true), momentum(0.0, false)] {
            let slots = usize::from(config.momentum > 0.0);
            let state = |w: &Tensor| (0..slots).map(|at| random(9 + at as i64, w)).collect::<Vec<_>>();
            let all = variables();
            let kept: Vec<Vec<Tensor>> = all.iter().map(|(w, _)| state(w)).collect();
            let mut lists = Lists::default();
            let expected: Vec<(Tensor, Vec<Tensor>)> = all
                .iter()
                .map(|(w, g)| {
                    let (mut w, mut kept) = (w.copy(), state(w));
                    sgd::step_tensors(&mut w, kept.first_mut(), g, config, scalars).unwrap();
                    (w, kept)
                })
                .collect();
            for ((w, g), kept) in all.iter().zip(&kept) {
                lists.push(w, g, kept).unwrap();
            }
            lists.sgd(config, scalars).unwrap();
            for (((w, _), kept), (expected, velocities)) in all.iter().zip(&kept).zip(&expected) {
                close(w, expected);
                kept.iter().zip(velocities).for_each(|(a, b)| close(a, b));
            }
        }
        let config = AdamWConfig { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.01 };
        let all = variables();
        let state = |w: &Tensor| [random(9, w), random(10, w).square()];
        let kept: Vec<[Tensor; 2]> = all.iter().map(|(w, _)| state(w)).collect();
        let mut lists = Lists::default();
        let expected: Vec<(Tensor, [Tensor; 2])> = all
            .iter()
            .map(|(w, g)| {
                let (mut w, [mut mean, mut square]) = (w.copy(), state(w));
                adamw::step_tensors(&mut w, [&mut mean, &mut square], g, config, 7, scalars).unwrap();
                (w, [mean, square])
            })
            .collect();
        for ((w, g), kept) in all.iter().zip(&kept) {
            lists.push(w, g, kept).unwrap();
        }
        lists.adamw(config, 7, scalars).unwrap();
        for (((w, _), kept), (expected, moments)) in all.iter().zip(&kept).zip(&expected) {
            close(w, expected);
            kept.iter().zip(moments).for_each(|(a, b)| close(a, b));
        }
    }

    #[test]
    fn norms_and_averages_of_all() {
        let (a, b) = (Tensor::from_slice(&[3f32, -4.0]), Tensor::from_slice(&[12f32]));
        assert_eq!(norm_of_all(&[&a, &b]).unwrap().double_value(&[]), 13.0);
        assert_eq!(largest_of_all(&[&a, &b]).unwrap().double_value(&[]), 12.0);
        let broken = Tensor::from_slice(&[1f32, f32::NAN]);
        assert!(norm_of_all(&[&a, &broken]).unwrap().double_value(&[]).is_nan());
        assert!(largest_of_all(&[&a, &broken]).unwrap().double_value(&[]).is_nan());
        let to = Tensor::from_slice(&[1f32, 1.0]);
        lerp_all(&[(&to, &a)], 0.5).unwrap();
        assert_eq!(Vec::<f32>::try_from(&to).unwrap(), [2.0, -1.5]);
        let products = multiply_all(&[Tensor::new(), b.shallow_clone()], &Tensor::from(0.5f32)).unwrap();
        assert!(!products[0].defined());
        assert_eq!(products[1].double_value(&[0]), 6.0);
        let message = lerp_all(&[(&to, &b.to_kind(Kind::Int64))], 0.5).unwrap_err().to_string();
        assert!(!message.is_empty());
    }
}
