//! Batch normalisation (Ioffe and Szegedy, 2015) with the ReLU and the sum that follow it in residual networks.
//!
//! On the CPU, where the channels of a pixel lie side by side, it is one operation of our own: libtorch's, its sum and its ReLU
//! read and write the values thirteen times a step where this does so eight times, and a small network waits for memory.
//! On an accelerator frozen statistics are an operation of our own too (`frozen`), the rest is libtorch's.

mod frozen;
mod kernel;
mod node;

use imbalance_core::host::bf16;
use tch::{Device, Kind, TchError, Tensor, nn};

use crate::multi_tensor::is_accelerator;
use frozen::Affine;
use kernel::{After, Shape, Value};

/// Added to the variance; PyTorch's default.
pub const EPSILON: f64 = 1e-5;
/// The share of the latest batch in the running statistics; PyTorch's default.
const MOMENTUM: f64 = 0.1;

/// What follows the normalisation.
#[derive(Clone, Copy, Debug)]
pub enum Then<'a> {
    /// Nothing.
    Nothing,
    /// ReLU.
    Relu,
    /// This tensor is added, of the same shape, and ReLU follows.
    AddRelu(&'a Tensor),
}

/// Why nothing was normalised.
#[derive(Debug, thiserror::Error)]
pub enum BatchNormError {
    /// Its unbiased variance, 0/0, would stay in the running statistics.
    #[error(
        "batch normalisation needs more than one value for each channel in training, but got a batch of one image of which \
         one pixel is left; use larger batches or drop the last, incomplete one"
    )]
    OneValuePerChannel,
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
}

/// Weights and running statistics of the channels; it starts as the identity on normalised values.
#[derive(Debug)]
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    epsilon: f64,
    /// What it comes to, where it stays an affine map.
    frozen: Option<Affine>,
}

impl BatchNorm {
    /// Adds its variables, named as PyTorch's, under `path`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn new(path: &nn::Path, channels: i64) -> Result<Self, TchError> {
        let shape = [channels];
        Ok(Self {
            weight: path.f_ones("weight", &shape)?,
            bias: path.f_zeros("bias", &shape)?,
            running_mean: path.f_zeros_no_train("running_mean", &shape)?,
            running_var: path.f_ones_no_train("running_var", &shape)?,
            epsilon: EPSILON,
            frozen: None,
        })
    }

    /// One that stays an affine map by its first (or loaded) values: nothing of it is trained and running statistics are
    /// used throughout, as detectors do, whose batches are too small for statistics.
    ///
    /// # Errors
    /// libtorch's.
    pub fn frozen(path: &nn::Path, channels: i64, epsilon: f64) -> Result<Self, TchError> {
        let norm = Self::new(path, channels)?;
        for mut variable in [norm.weight.shallow_clone(), norm.bias.shallow_clone()] {
            let _ = variable.f_requires_grad_(false)?;
        }
        Ok(Self { epsilon, frozen: Some(Affine::default()), ..norm })
    }

    /// With `train`, normalises by the batch's statistics and updates the running ones; without, by the running ones.
    ///
    /// # Shapes
    /// - `xs`: `[n, channels, height, width]`
    /// - output: the same
    ///
    /// # Errors
    /// [`BatchNormError`].
    pub fn forward(&self, xs: &Tensor, train: bool, then: Then<'_>) -> Result<Tensor, BatchNormError> {
        let train = train && self.frozen.is_none();
        if train && matches!(xs.size()[..], [1, _, 1, 1]) {
            return Err(BatchNormError::OneValuePerChannel);
        }
        if let Some(kind) = kernel_kind(xs, &self.weight) {
            let added = match then {
                Then::AddRelu(added) => Some(side_by_side(&added.f_to_kind(kind)?)?),
                Then::Nothing | Then::Relu => None,
            };
            let after = match then {
                Then::Nothing => After::Nothing,
                Then::Relu => After::Relu,
                Then::AddRelu(_) => After::AddRelu,
            };
            return Ok(match kind {
                Kind::BFloat16 => self.fused::<bf16>(xs, train, after, added.as_ref()),
                _ => self.fused::<f32>(xs, train, after, added.as_ref()),
            }?);
        }
        let normalised = match &self.frozen {
            Some(affine) if is_accelerator(xs.device()) => affine.apply(self, xs)?,
            _ => xs.f_batch_norm(
                Some(&self.weight),
                Some(&self.bias),
                Some(&self.running_mean),
                Some(&self.running_var),
                train,
                MOMENTUM,
                self.epsilon,
                true,
            )?,
        };
        Ok(match then {
            Then::Nothing => normalised,
            Then::Relu => normalised.f_relu()?,
            Then::AddRelu(added) => normalised.f_add(added)?.f_relu()?,
        })
    }

    fn fused<V: Value>(
        &self,
        xs: &Tensor,
        train: bool,
        after: After,
        added: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        let shape = Shape::new(xs.numel(), self.channels());
        let (mean, variance) = if train {
            let moments = kernel::moments(values::<V>(xs), shape);
            self.update(&moments, shape);
            moments.iter().map(|m| (m.mean as f32, m.variance)).unzip()
        } else {
            let variance: Vec<f64> = values::<f32>(&self.running_var).iter().map(|&v| f64::from(v)).collect();
            (values::<f32>(&self.running_mean).to_vec(), variance)
        };
        let inverse_deviation: Vec<f32> = variance.iter().map(|v| (1.0 / (v + self.epsilon).sqrt()) as f32).collect();
        let (scale, bias) = affine(values(&self.weight), values(&self.bias), &mean, &inverse_deviation);
        let mut y = xs.f_empty_like()?;
        let added_values = added.map_or(&[][..], values::<V>);
        kernel::forward((values::<V>(xs), added_values, values_mut::<V>(&mut y)), shape, after, &scale, &bias);
        let results = [y, Tensor::f_from_slice(&mean)?, Tensor::f_from_slice(&inverse_deviation)?];
        node::join([xs, &self.weight, &self.bias], added, results, node::Flags { after, of_batch: train })
    }

    fn channels(&self) -> usize {
        self.weight.numel()
    }

    /// Moves the running statistics towards the batch's, the variance unbiased, as PyTorch does.
    fn update(&self, moments: &[kernel::Moments], shape: Shape) {
        let count = shape.values_per_channel() as f64;
        let (mut mean, mut var) = (self.running_mean.shallow_clone(), self.running_var.shallow_clone());
        let running = values_mut::<f32>(&mut mean).iter_mut().zip(values_mut::<f32>(&mut var));
        for (batch, (mean, var)) in moments.iter().zip(running) {
            let unbiased = batch.variance * count / (count - 1.0);
            *mean = (f64::from(*mean) * (1.0 - MOMENTUM) + batch.mean * MOMENTUM) as f32;
            *var = (f64::from(*var) * (1.0 - MOMENTUM) + unbiased * MOMENTUM) as f32;
        }
    }
}

/// `(scale, bias)` with which `x · scale + bias` is the normalised, weighed value.
fn affine(weight: &[f32], bias: &[f32], mean: &[f32], inverse_deviation: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let scale: Vec<f32> = weight.iter().zip(inverse_deviation).map(|(w, d)| w * d).collect();
    let bias = scale.iter().zip(bias.iter().zip(mean)).map(|(s, (b, m))| b - s * m).collect();
    (scale, bias)
}

/// The kind of `xs` where the kernels can take it: on the CPU, float32 or bfloat16, channels side by side.
fn kernel_kind(xs: &Tensor, weight: &Tensor) -> Option<Kind> {
    let kind = xs.kind();
    let fits = xs.device() == Device::Cpu
        && matches!(kind, Kind::Float | Kind::BFloat16)
        && weight.kind() == Kind::Float
        && matches!(xs.size()[..], [_, channels, _, _] if channels as usize == weight.numel())
        && xs.numel() > 0
        && xs.permute([0, 2, 3, 1]).is_contiguous();
    fits.then_some(kind)
}

/// `xs` with the channels of a pixel side by side, copied where they are not yet.
fn side_by_side(xs: &Tensor) -> Result<Tensor, TchError> {
    xs.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

/// The values of a dense tensor on the CPU, in the order of memory.
fn values<V: Value>(tensor: &Tensor) -> &[V] {
    assert_eq!(tensor.kind().elt_size_in_bytes(), size_of::<V>(), "values of a tensor of {:?}", tensor.kind());
    // SAFETY: dense on the CPU, as every caller has checked, and of this kind; it lives as long as the slice.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) }
}

/// As [`values`], to be written.
fn values_mut<V: Value>(tensor: &mut Tensor) -> &mut [V] {
    assert_eq!(tensor.kind().elt_size_in_bytes(), size_of::<V>(), "values of a tensor of {:?}", tensor.kind());
    // SAFETY: as above; libtorch runs nothing on it meanwhile.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}
