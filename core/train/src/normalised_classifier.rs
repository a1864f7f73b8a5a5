//! Whether logits are scaled cosines (`--normalised-classifier`), and by what they are scaled.

use imbalance_core::host::{Adjustment, Loss};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// `--normalised-classifier`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormalisedClassifier {
    /// Where --loss or --base-loss asks for it
    Auto,
    /// Whatever the loss
    Yes,
    /// Never
    No,
}

/// The scale of the cosines where neither the flags nor a loss say one: LDAM's (Cao et al., 2019).
const COSINE_SCALE: f64 = 30.0;

impl NormalisedClassifier {
    /// The scale of the cosines for the losses of a run, the chosen one first; `given` is `--cosine-scale`. `None` for a
    /// linear classifier.
    ///
    /// # Errors
    /// [`TrainError::Settings`]: a scale without such a classifier.
    pub fn cosine_scale<'a>(
        self,
        given: Option<f64>,
        losses: impl IntoIterator<Item = &'a Loss>,
    ) -> Result<Option<f64>, TrainError> {
        let asking = losses.into_iter().find(|loss| loss.wants_normalised_classifier());
        let normalised = match self {
            Self::Auto => asking.is_some(),
            Self::Yes => true,
            Self::No => false,
        };
        match (normalised, given) {
            (true, given) => {
                let own = asking.and_then(|loss| common_scale(loss.adjustment()));
                Ok(Some(given.or(own).unwrap_or(COSINE_SCALE)))
            }
            (false, Some(scale)) => Err(TrainError::Settings(format!(
                "--cosine-scale {scale} is for a normalised classifier; give --normalised-classifier yes"
            ))),
            (false, None) => Ok(None),
        }
    }
}

/// The value parser of `--cosine-scale`.
///
/// # Errors
/// Not a number above 0.
pub fn parse_cosine_scale(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "must be a number above 0".into())
}

/// The one scale that a loss multiplies all logits by.
fn common_scale(adjustment: &Adjustment) -> Option<f64> {
    let (&first, rest) = adjustment.scale.as_ref()?.split_first()?;
    rest.iter().all(|&scale| scale == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_of_a_loss_is_that_of_all_its_classes_or_none() {
        let of = |scale| common_scale(&Adjustment { scale, ..Adjustment::NONE });
        assert_eq!(of(Some(vec![30.0; 3])), Some(30.0));
        assert_eq!(of(Some(vec![1.0, 2.0])), None);
        assert_eq!(of(None), None);
    }

    #[test]
    fn without_a_loss_that_asks() {
        let scale = |how: NormalisedClassifier, given| how.cosine_scale(given, []).map_err(|error| error.to_string());
        assert_eq!(scale(NormalisedClassifier::Auto, None), Ok(None));
        assert_eq!(scale(NormalisedClassifier::Yes, None), Ok(Some(30.0)));
        assert_eq!(scale(NormalisedClassifier::Yes, Some(16.0)), Ok(Some(16.0)));
        assert!(scale(NormalisedClassifier::No, Some(16.0)).unwrap_err().contains("--normalised-classifier yes"));
    }
}
