//! Initial weights as variables.

use imbalance_train::InitialValues;
use tch::{Tensor, nn};

/// A seeded source of initial weights.
pub(super) struct Initializer {
    values: InitialValues,
}

impl Initializer {
    pub(super) fn new(seed: u64) -> Self {
        Self { values: InitialValues::new(seed) }
    }

    /// Adds a parameter with values from `U(−bound, bound)`.
    pub(super) fn uniform(&mut self, path: &nn::Path, name: &str, shape: &[i64], bound: f64) -> Tensor {
        path.var_copy(name, &Tensor::from_slice(&self.values.uniform(count(shape), bound)).view(shape))
    }

    /// Adds the weight `[outputs, inputs]` of a linear layer: `U(−1/√inputs, 1/√inputs)`, PyTorch's default.
    pub(super) fn linear(&mut self, path: &nn::Path, name: &str, outputs: i64, inputs: i64) -> Tensor {
        self.uniform(path, name, &[outputs, inputs], (inputs as f64).sqrt().recip())
    }

    /// Values from `N(0, deviation²)`, on the host.
    pub(super) fn normal(&mut self, shape: &[i64], deviation: f64) -> Tensor {
        Tensor::from_slice(&self.values.normal(count(shape), deviation)).view(shape)
    }
}

fn count(shape: &[i64]) -> usize {
    shape.iter().product::<i64>() as usize
}
