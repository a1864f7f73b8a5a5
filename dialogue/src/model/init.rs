//! Initial weights, drawn on the host so that a seed gives the same model on every device.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Tensor, nn};

/// A seeded source of initial weights.
pub(super) struct Initializer {
    rng: ChaCha8Rng,
}

impl Initializer {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Adds a parameter with values from `U(−bound, bound)`.
    pub(super) fn uniform(&mut self, path: &nn::Path, name: &str, shape: &[i64], bound: f64) -> Tensor {
        let bound = bound as f32;
        let values: Vec<f32> = (0..count(shape)).map(|_| self.rng.random_range(-bound..bound)).collect();
        path.var_copy(name, &Tensor::from_slice(&values).view(shape))
    }

    /// Adds the weight `[outputs, inputs]` of a linear layer: `U(−1/√inputs, 1/√inputs)`, PyTorch's default.
    pub(super) fn linear(&mut self, path: &nn::Path, name: &str, outputs: i64, inputs: i64) -> Tensor {
        self.uniform(path, name, &[outputs, inputs], (inputs as f64).sqrt().recip())
    }

    /// Values from `N(0, deviation²)`, on the host.
    pub(super) fn normal(&mut self, shape: &[i64], deviation: f64) -> Tensor {
        let count = count(shape);
        let mut values = Vec::with_capacity(count + 1);
        while values.len() < count {
            // Box and Muller (1958); 1 − u lies in (0, 1], where the logarithm is finite.
            let (u, v): (f32, f32) = (self.rng.random(), self.rng.random());
            let radius = deviation as f32 * (-2.0 * (1.0 - u).ln()).sqrt();
            let (sin, cos) = (std::f32::consts::TAU * v).sin_cos();
            values.extend([radius * cos, radius * sin]);
        }
        Tensor::from_slice(&values[..count]).view(shape)
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
    fn the_normal_has_its_moments() {
        let values = Initializer::new(3).normal(&[301, 333], 0.5).to_kind(Kind::Double);
        let moment = |power: i64| (&values / 0.5).pow_tensor_scalar(power).mean(Kind::Double).double_value(&[]);
        assert!(moment(1).abs() < 0.02, "mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.02, "variance {}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.15, "fourth moment {}", moment(4));
    }
}
