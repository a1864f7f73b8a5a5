//! Initial weights, drawn on the host so that a seed gives the same model on every device.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A seeded source of initial values.
#[derive(Clone, Debug)]
pub struct InitialValues {
    rng: ChaCha8Rng,
}

impl InitialValues {
    /// The source of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// `count` values of `U(−bound, bound)`.
    pub fn uniform(&mut self, count: usize, bound: f64) -> Vec<f32> {
        let bound = bound as f32;
        (0..count).map(|_| self.rng.random_range(-bound..bound)).collect()
    }

    /// `count` values of `N(0, deviation²)`.
    pub fn normal(&mut self, count: usize, deviation: f64) -> Vec<f32> {
        let mut values = Vec::with_capacity(count + 1);
        while values.len() < count {
            // Box and Muller (1958); 1 − u lies in (0, 1], where the logarithm is finite.
            let (u, v): (f32, f32) = (self.rng.random(), self.rng.random());
            let radius = deviation as f32 * (-2.0 * (1.0 - u).ln()).sqrt();
            let (sin, cos) = (std::f32::consts::TAU * v).sin_cos();
            values.extend([radius * cos, radius * sin]);
        }
        values.truncate(count);
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_has_its_moments() {
        let values = InitialValues::new(3).normal(301 * 333, 0.5);
        assert_eq!(values.len(), 301 * 333);
        let moment = |power: i32| {
            let powers = values.iter().map(|&value| (f64::from(value) / 0.5).powi(power));
            powers.sum::<f64>() / values.len() as f64
        };
        assert!(moment(1).abs() < 0.02, "mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.02, "variance {}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.15, "fourth moment {}", moment(4));
    }
}
