//! What a loss does to its logits, as its plugin says.

use std::ffi::c_void;

use super::Plugin;
use super::message::Message;
use crate::LossError;
use crate::abi::{self, RawAdjustment, RawAdjustmentExtension};

/// What a loss does to its logits before its formula; see [`LogitAdjustment`](crate::LogitAdjustment).
#[derive(Clone, Debug, PartialEq)]
pub struct Adjustment {
    /// Multiplies the logit of each class, `[classes]`; none: 1.
    pub scale: Option<Vec<f64>>,
    /// Added to the logit of each class after the scale, `[classes]`; none: 0.
    pub bias: Option<Vec<f64>>,
    /// Taken off the true class's logit, `[classes]`; none: 0.
    pub margin: Option<Vec<f64>>,
    /// Class weights that the reduction `weighted-mean` divides by, `[classes]`; none: 1.
    pub weight: Option<Vec<f64>>,
    /// Label smoothing ε of a softmax head.
    pub label_smoothing: f64,
    /// Whether the logits should be cosines.
    pub normalised_classifier: bool,
}

impl Adjustment {
    /// Nothing is adjusted.
    pub const NONE: Self = Self {
        scale: None,
        bias: None,
        margin: None,
        weight: None,
        label_smoothing: 0.0,
        normalised_classifier: false,
    };

    /// Whether the logits stay as they are, class for class; the smoothing is another matter.
    pub fn keeps_logits(&self) -> bool {
        self.scale.is_none() && self.bias.is_none() && self.margin.is_none()
    }

    /// Asks the plugin about a prepared instance.
    ///
    /// # Errors
    /// What the plugin says, or numbers that no adjustment can have.
    pub(super) fn of(plugin: &Plugin, instance: *const c_void, classes: usize) -> Result<Self, LossError> {
        let Some(extension) = plugin.extension::<RawAdjustmentExtension>(abi::ADJUSTMENT_EXTENSION)? else {
            return Ok(Self::NONE);
        };
        let fail = |reason: String| LossError::new(format!("loss `{}`, logit adjustment: {reason}", plugin.id()));
        let (mut scale, mut bias) = (vec![1.0; classes], vec![0.0; classes]);
        let (mut margin, mut weight) = (vec![0.0; classes], vec![1.0; classes]);
        let mut raw = RawAdjustment {
            scale: scale.as_mut_ptr(),
            bias: bias.as_mut_ptr(),
            margin: margin.as_mut_ptr(),
            weight: weight.as_mut_ptr(),
            label_smoothing: 0.0,
            flags: 0,
        };
        let mut message = Message::new();
        // SAFETY: four arrays of `classes`, and a prepared instance of this plugin.
        let code = unsafe { (extension.describe)(instance, classes, &mut raw, message.raw()) };
        if code != abi::OK {
            return Err(fail(message.text(code)));
        }
        let smoothing = raw.label_smoothing;
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(fail(format!("its label smoothing is {smoothing}, it must be at least 0 and at most 1")));
        }
        let kept = |what: &str, values: Vec<f64>, neutral: f64, positive: bool| match values
            .iter()
            .position(|&value| !value.is_finite() || (positive && value <= 0.0))
        {
            Some(class) => Err(fail(format!(
                "its {what} of class {class} is {}, it must be finite{}",
                values[class],
                if positive { " and above 0" } else { "" }
            ))),
            None => Ok(values.iter().any(|&value| value != neutral).then_some(values)),
        };
        Ok(Self {
            scale: kept("scale", scale, 1.0, true)?,
            bias: kept("bias", bias, 0.0, false)?,
            margin: kept("margin", margin, 0.0, false)?,
            weight: kept("weight", weight, 1.0, true)?,
            label_smoothing: smoothing,
            normalised_classifier: raw.flags & abi::NORMALISED_CLASSIFIER != 0,
        })
    }
}
