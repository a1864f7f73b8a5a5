//! A convolution with bias.

use imbalance_train::InitialValues;
use imbalance_train::precision::for_convolution;
use tch::{TchError, Tensor, nn};

/// How weights are drawn; biases start at 0.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// `N(0, deviation²)`.
    Normal(f64),
    /// Uniform, with the variance `1/fan-in` (He et al., 2015, for a linear layer: PyTorch's `kaiming_uniform_` with a = 1).
    Uniform,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ConvShape {
    pub(super) inputs: i64,
    pub(super) outputs: i64,
    pub(super) kernel: i64,
    pub(super) stride: i64,
}

#[derive(Debug)]
pub(super) struct Conv {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
}

impl Conv {
    /// Adds `weight` and `bias` under `path`.
    pub(super) fn new(
        path: &nn::Path,
        values: &mut InitialValues,
        start: Start,
        shape: ConvShape,
    ) -> Result<Self, TchError> {
        let ConvShape { inputs, outputs, kernel, stride } = shape;
        let fan_in = inputs * kernel * kernel;
        let count = (outputs * fan_in) as usize;
        let drawn = match start {
            Start::Normal(deviation) => values.normal(count, deviation),
            Start::Uniform => values.uniform(count, (3.0 / fan_in as f64).sqrt()),
        };
        let weight = Tensor::f_from_slice(&drawn)?.f_view([outputs, inputs, kernel, kernel])?;
        Ok(Self {
            weight: path.f_var_copy("weight", &weight)?,
            bias: path.f_zeros("bias", &[outputs])?,
            stride,
            padding: kernel / 2,
        })
    }

    /// # Shapes
    /// - `xs`: `[n, inputs, height, width]`
    /// - output: `[n, outputs, ⌈height/stride⌉, ⌈width/stride⌉]`
    pub(super) fn forward(&self, xs: &Tensor) -> Result<Tensor, TchError> {
        let (_float32, xs) = for_convolution(xs, self.stride)?;
        xs.f_conv2d(&self.weight, Some(&self.bias), [self.stride; 2], [self.padding; 2], [1; 2], 1)
    }

    /// Sets every bias.
    pub(super) fn fill_bias(&mut self, value: f64) -> Result<(), TchError> {
        let _ = tch::no_grad(|| self.bias.f_fill_(value))?;
        Ok(())
    }
}
