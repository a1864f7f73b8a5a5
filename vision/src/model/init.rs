//! Initial weights as tensors.

use imbalance_train::InitialValues;
use tch::{TchError, Tensor};

/// What the variance of a layer's weights keeps constant from layer to layer (He et al., 2015, "Delving deep into rectifiers").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fan {
    /// That of the activations.
    In,
    /// That of the gradients.
    Out,
}

/// A seeded source of initial weights.
pub(super) struct Initializer {
    values: InitialValues,
}

impl Initializer {
    pub(super) fn new(seed: u64) -> Self {
        Self { values: InitialValues::new(seed) }
    }

    /// `N(0, 2/fan)` for the weight `[outputs, inputs/groups, height, width]` of a convolution or `[outputs, inputs]` of a
    /// linear layer that ReLUs follow.
    pub(super) fn he_normal(&mut self, shape: &[i64], fan: Fan) -> Result<Tensor, TchError> {
        let per_output: i64 = shape.iter().skip(1).product();
        let fan = match fan {
            Fan::In => per_output,
            // Groups are not taken into account, as in PyTorch.
            Fan::Out => shape[0] * shape.iter().skip(2).product::<i64>(),
        };
        self.normal(shape, (2.0 / fan as f64).sqrt())
    }

    /// `U(−1/√inputs, 1/√inputs)`, PyTorch's default for weights and biases of linear layers.
    pub(super) fn linear(&mut self, shape: &[i64], inputs: i64) -> Result<Tensor, TchError> {
        self.uniform(shape, (inputs as f64).sqrt().recip())
    }

    /// `U(−bound, bound)`.
    pub(super) fn uniform(&mut self, shape: &[i64], bound: f64) -> Result<Tensor, TchError> {
        Tensor::f_from_slice(&self.values.uniform(count(shape), bound))?.f_view(shape)
    }

    /// `N(0, deviation²)`.
    fn normal(&mut self, shape: &[i64], deviation: f64) -> Result<Tensor, TchError> {
        Tensor::f_from_slice(&self.values.normal(count(shape), deviation))?.f_view(shape)
    }
}

fn count(shape: &[i64]) -> usize {
    shape.iter().product::<i64>() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn he_normal_has_the_moments_of_its_fan() {
        // Inputs 16 of 64 (4 groups), 3 × 3: fan-in 144, fan-out 288 · 9 = 2592.
        let shape = [288, 16, 3, 3];
        for (fan, variance) in [(Fan::In, 2.0 / 144.0), (Fan::Out, 2.0 / 2592.0)] {
            let values = Initializer::new(3).he_normal(&shape, fan).unwrap().to_kind(Kind::Double);
            assert_eq!(values.size(), shape);
            let moment = |power: i64| values.pow_tensor_scalar(power).mean(Kind::Double).double_value(&[]);
            assert!(moment(1).abs() < 0.02 * f64::sqrt(variance), "mean {}", moment(1));
            assert!((moment(2) / variance - 1.0).abs() < 0.03, "variance {}", moment(2));
            assert!((moment(4) / (variance * variance) - 3.0).abs() < 0.2, "fourth moment {}", moment(4));
        }
    }
}
