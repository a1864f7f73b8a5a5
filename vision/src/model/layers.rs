//! Convolution, without tch's own module, which panics where this returns errors.

use imbalance_train::precision::for_convolution;
use tch::{Tensor, nn};

use super::ModelError;
use super::init::{Fan, Initializer};

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
        let (_float32, xs) = for_convolution(xs, *stride)?;
        Ok(xs.f_conv2d(weight, None::<&Tensor>, [*stride; 2], [*padding; 2], [1; 2], *groups)?)
    }
}
