use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::subset::{class_rng, indices_of_classes, shuffle};
use super::{DataError, ImageSet};

/// How much of the training images is kept back for choosing between models.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldOut {
    /// This fraction of each class, rounded to the nearest number that leaves one for training: a held-out split as
    /// long-tailed as the training data.
    Fraction(f64),
    /// This many of each class: a balanced held-out split.
    PerClass(usize),
}

/// The two parts of the training images, each as ascending indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOut {
    /// What is trained on.
    pub train: Vec<usize>,
    /// What is kept back.
    pub held_out: Vec<usize>,
}

impl ImageSet {
    /// Splits the training images class by class, by `seed`. Both parts go to [`Split::select`](super::Split::select).
    ///
    /// # Errors
    /// [`DataError::HoldOutFraction`]; [`DataError::HoldOut`] where [`HoldOut::PerClass`] would leave a class empty.
    pub fn hold_out(&self, how: HoldOut, seed: u64) -> Result<HeldOut, DataError> {
        if let HoldOut::Fraction(fraction) = how
            && !(fraction > 0.0 && fraction < 1.0)
        {
            return Err(DataError::HoldOutFraction { fraction });
        }
        let mut parts = HeldOut { train: Vec::new(), held_out: Vec::new() };
        for (label, mut indices) in indices_of_classes(&self.train.labels, self.classes.len()).into_iter().enumerate() {
            let available = indices.len();
            let held_out = match how {
                HoldOut::Fraction(fraction) => {
                    ((available as f64 * fraction).round() as usize).min(available.saturating_sub(1))
                }
                HoldOut::PerClass(count) if count > 0 && count >= available => {
                    let name = self.classes[label].clone();
                    return Err(DataError::HoldOut { label, name, held_out: count, available });
                }
                HoldOut::PerClass(count) => count,
            };
            let mut rng = class_rng(seed, b"hold out", label);
            shuffle(&mut indices, || rng.next_u32());
            parts.held_out.extend(&indices[..held_out]);
            parts.train.extend(&indices[held_out..]);
        }
        parts.train.sort_unstable();
        parts.held_out.sort_unstable();
        Ok(parts)
    }
}
