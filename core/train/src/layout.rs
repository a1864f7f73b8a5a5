//! How tensors lie in memory.

use tch::nn::VarStore;
use tch::{TchError, Tensor};

/// Lays the kernels of convolutions `[outputs, inputs, height, width]` that are on a GPU out with their inputs' channels last,
/// as images with channels last want them: libtorch would copy each of them, and its gradient back, at every step. Values and
/// shapes stay; on the processor, whose convolutions rearrange kernels in any case, so does the layout.
///
/// # Errors
/// libtorch's.
pub fn channels_last(store: &VarStore) -> Result<(), TchError> {
    if !store.device().is_cuda() {
        return Ok(());
    }
    store.variables().values().filter(|variable| variable.dim() == 4).try_for_each(lay_out)
}

fn lay_out(kernel: &Tensor) -> Result<(), TchError> {
    let data = kernel.detach().f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?;
    kernel.shallow_clone().f_set_data(&data)
}

/// `values` in the layout of `like`, which has their shape, and on its device.
///
/// # Errors
/// libtorch's.
pub(crate) fn laid_out_as(like: &Tensor, values: &Tensor) -> Result<Tensor, TchError> {
    let mut made = like.detach().f_empty_like()?.f_to_kind(values.kind())?;
    made.f_copy_(values)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn a_variable_keeps_its_values_and_its_place_in_the_graph() {
        let store = VarStore::new(Device::Cpu);
        let kernel = store.root().randn("weight", &[2, 3, 4, 5], 0.0, 1.0);
        let before = kernel.detach().copy();
        channels_last(&store).unwrap();
        assert_eq!(kernel.stride(), [60, 20, 5, 1], "the processor's stay as they are");
        lay_out(&store.variables()["weight"]).unwrap();
        assert_eq!(kernel.stride(), [60, 1, 15, 3], "all who hold it see it");
        assert_eq!(kernel, before);
        assert!(kernel.requires_grad());
        (&kernel * &before).sum(Kind::Float).backward();
        assert_eq!(kernel.grad(), before);
    }

    #[test]
    fn a_layout_is_taken_over() {
        let values = Tensor::arange(24, (Kind::Double, Device::Cpu)).view([2, 3, 2, 2]);
        let like = values.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]).to_kind(Kind::Float);
        let made = laid_out_as(&like, &values).unwrap();
        assert_eq!((made.stride(), made.kind()), (like.stride(), Kind::Double));
        assert_eq!(made, values);
    }
}
