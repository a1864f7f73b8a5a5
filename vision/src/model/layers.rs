//! Convolution and batch normalisation, without tch's own modules, which panic where these return errors.

use tch::{Tensor, nn};

use super::ModelError;
use super::init::{Fan, Initializer};

/// Added to the variance (Ioffe and Szegedy, 2015); PyTorch's default.
const EPSILON: f64 = 1e-5;
/// The share of the latest batch in the running statistics; PyTorch's default.
const MOMENTUM: f64 = 0.1;

/// A convolution without bias; zero padding keeps the size at stride 1.
#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    stride: i64,
    padding: i64,
    groups: i64,
}

/// The shape of a [`Conv`].
#[derive(Clone, Copy)]
pub(super) struct ConvShape {
    pub(super) inputs: i64,
    pub(super) outputs: i64,
    pub(super) kernel: i64,
    pub(super) stride: i64,
    pub(super) groups: i64,
}

impl Conv {
    pub(super) fn new(path: &nn::Path, init: &mut Initializer, fan: Fan, shape: ConvShape) -> Result<Self, ModelError> {
        let ConvShape { inputs, outputs, kernel, stride, groups } = shape;
        let weight = init.he_normal(&[outputs, inputs / groups, kernel, kernel], fan)?;
        Ok(Self { weight: path.f_var_copy("weight", &weight)?, stride, padding: kernel / 2, groups })
    }

    pub(super) fn forward(&self, xs: &Tensor) -> Result<Tensor, ModelError> {
        let Self { weight, stride, padding, groups } = self;
        Ok(xs.f_conv2d(weight, None::<&Tensor>, [*stride; 2], [*padding; 2], [1; 2], *groups)?)
    }
}

/// Batch normalisation, which starts as the identity on normalised values.
#[derive(Debug)]
pub(super) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl BatchNorm {
    pub(super) fn new(path: &nn::Path, channels: i64) -> Result<Self, ModelError> {
        let shape = [channels];
        Ok(Self {
            weight: path.f_ones("weight", &shape)?,
            bias: path.f_zeros("bias", &shape)?,
            running_mean: path.f_zeros_no_train("running_mean", &shape)?,
            running_var: path.f_ones_no_train("running_var", &shape)?,
        })
    }

    /// With `train`, normalises by the batch's statistics and updates the running ones; without, by the running ones.
    pub(super) fn forward(&self, xs: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        // The unbiased variance of one value is 0/0, which would stay in the running statistics.
        if train && matches!(xs.size()[..], [1, _, 1, 1]) {
            return Err(ModelError::OneValuePerChannel);
        }
        Ok(xs.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            train,
            MOMENTUM,
            EPSILON,
            true,
        )?)
    }
}
