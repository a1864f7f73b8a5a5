//! Images mixed in pairs, and the loss with them.
//!
//! ```text
//! mixup    x = λ·x_i + (1 − λ)·x_j                        λ ~ Beta(α, α)     (Zhang et al. 2018)
//! cutmix   x = x_i outside a box of x_j's pixels          λ ~ Beta(α, α), then the share outside     (Yun et al. 2019)
//! loss     λ·ℓ(z, y_i) + (1 − λ)·ℓ(z, y_j)
//! ```
//!
//! One λ, and one box, a batch; j is i after a shuffle of the batch. With both, a step takes one of them, as likely as the
//! other.

use imbalance_train::{Stream, derive, sent};
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::Beta;
use tch::{TchError, Tensor};

/// The α of both, 0 where it is not used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixing {
    /// α of mixup.
    pub mixup: f64,
    /// α of cutmix.
    pub cutmix: f64,
    /// Seed of the draws of this process.
    pub seed: u64,
}

/// A mixed batch.
#[derive(Debug)]
pub struct Mixed {
    /// As the images were, `[n, 3, height, width]`.
    pub images: Tensor,
    /// Which image is mixed into each.
    pub partners: Vec<usize>,
    /// The share of each image itself, λ.
    pub share: f64,
}

/// What is drawn for a batch.
#[derive(Clone, Debug, PartialEq)]
struct Draw {
    partners: Vec<usize>,
    share: f64,
    /// Top, left, bottom, right, where a box is cut.
    cut: Option<[i64; 4]>,
}

impl Mixing {
    /// Mixes the images of a step.
    ///
    /// # Shapes
    /// - `images`: `[n, 3, height, width]`
    ///
    /// # Errors
    /// libtorch's.
    pub fn apply(&self, images: Tensor, step: u64) -> Result<Mixed, TchError> {
        let size = images.size();
        let Draw { partners, share, cut } = self.draw(size[0] as usize, [size[2], size[3]], step);
        let order = Tensor::f_from_slice(&partners.iter().map(|&at| at as i64).collect::<Vec<_>>())?;
        let others = images.f_index_select(0, &sent(&order, images.device())?)?;
        let images = match cut {
            None => images.f_mul_scalar(share)?.f_add(&others.f_mul_scalar(1.0 - share)?)?,
            Some([top, left, bottom, right]) => {
                let part = |all: &Tensor| all.f_narrow(2, top, bottom - top)?.f_narrow(3, left, right - left);
                part(&images)?.f_copy_(&part(&others)?)?;
                images
            }
        };
        Ok(Mixed { images, partners, share })
    }

    fn draw(&self, count: usize, [height, width]: [i64; 2], step: u64) -> Draw {
        let mut random = ChaCha8Rng::seed_from_u64(derive(self.seed, Stream::Mixing, step));
        let cuts = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (true, true) => random.random(),
            (_, cutmix) => cutmix,
        };
        let alpha = if cuts { self.cutmix } else { self.mixup };
        // The flags let no other α through than one that has a distribution.
        let share = Beta::new(alpha, alpha).map_or(1.0, |beta| random.sample(beta));
        let mut partners: Vec<usize> = (0..count).collect();
        partners.shuffle(&mut random);
        if !cuts {
            return Draw { partners, share, cut: None };
        }
        let side = (1.0 - share).sqrt();
        let mut edge = |length: i64| {
            let (middle, half) = (random.random_range(0..length), (length as f64 * side / 2.0) as i64);
            [(middle - half).max(0), (middle + half).min(length)]
        };
        let ([top, bottom], [left, right]) = (edge(height), edge(width));
        let inside = ((bottom - top) * (right - left)) as f64 / (height * width) as f64;
        Draw { partners, share: 1.0 - inside, cut: Some([top, left, bottom, right]) }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// Image i of 4 × 4 pixels is all i.
    fn numbered(count: i64) -> Tensor {
        let numbers = Tensor::arange(count, (Kind::Float, Device::Cpu)).reshape([count, 1, 1, 1]);
        numbers.expand([count, 3, 4, 4], false).contiguous()
    }

    #[test]
    fn mixup_is_a_weighted_mean_of_two_images() {
        let mixing = Mixing { mixup: 0.4, cutmix: 0.0, seed: 3 };
        for step in 0..20 {
            let Mixed { images, partners, share } = mixing.apply(numbered(5), step).unwrap();
            assert!((0.0..=1.0).contains(&share));
            for (at, &partner) in partners.iter().enumerate() {
                let want = share * at as f64 + (1.0 - share) * partner as f64;
                for pixel in Vec::<f32>::try_from(images.get(at as i64).reshape([-1])).unwrap() {
                    assert!((f64::from(pixel) - want).abs() < 1e-5);
                }
            }
        }
        assert_eq!(mixing.draw(5, [4, 4], 7), mixing.draw(5, [4, 4], 7));
        assert_ne!(mixing.draw(5, [4, 4], 7), mixing.draw(5, [4, 4], 8));
    }

    #[test]
    fn cutmix_shares_are_those_of_the_pixels() {
        let mixing = Mixing { mixup: 0.0, cutmix: 1.0, seed: 3 };
        let mut mixed = 0;
        for step in 0..50 {
            let Mixed { images, partners, share } = mixing.apply(numbered(4), step).unwrap();
            for (at, &partner) in partners.iter().enumerate().filter(|(at, partner)| at != *partner) {
                let pixels = Vec::<f32>::try_from(images.get(at as i64).get(0).reshape([-1])).unwrap();
                assert!(pixels.iter().all(|&pixel| pixel == at as f32 || pixel == partner as f32));
                let own = pixels.iter().filter(|&&pixel| pixel == at as f32).count();
                assert_eq!(own as f64 / 16.0, share);
                mixed += usize::from(own < 16 && own > 0);
            }
        }
        assert!(mixed > 20, "{mixed} boxes of some pixels");
    }

    #[test]
    fn with_both_each_is_taken_about_half_of_the_time() {
        let mixing = Mixing { mixup: 1.0, cutmix: 1.0, seed: 1 };
        let cuts = (0..400).filter(|&step| mixing.draw(2, [8, 8], step).cut.is_some()).count();
        // Four standard deviations.
        assert!((160..=240).contains(&cuts), "{cuts}");
    }

    #[test]
    fn the_mean_share_of_mixup_is_a_half_and_its_spread_that_of_beta() {
        let mixing = Mixing { mixup: 0.5, cutmix: 0.0, seed: 9 };
        let shares: Vec<f64> = (0..4000).map(|step| mixing.draw(1, [1, 1], step).share).collect();
        let mean = shares.iter().sum::<f64>() / 4000.0;
        let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 4000.0;
        // Beta(½, ½): mean ½, variance 1/(4·(2·½ + 1)) = ⅛.
        assert!((mean - 0.5).abs() < 0.03 && (variance - 0.125).abs() < 0.01, "{mean} {variance}");
    }
}
