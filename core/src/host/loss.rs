//! A loss ready to be evaluated: a plugin's instance with its parameters and class counts.

use std::ffi::c_void;
use std::sync::{Arc, Mutex};

use super::message::Message;
use super::search_path::edit_distance;
use super::{Adjustment, Expression, Plugin};
use crate::abi::{self, Eval};
use crate::{ClassCounts, Head, LossError};

/// A loss made from a plugin. Evaluating it is thread-safe.
#[derive(Debug)]
pub struct Loss {
    plugin: Arc<Plugin>,
    instance: *mut c_void,
    values: Vec<f64>,
    head: Head,
    classes: usize,
    adjustment: Adjustment,
    /// The adjustment in float32: scale and bias, `[classes]` each, and the margins.
    affine: Option<(Vec<f32>, Vec<f32>)>,
    margins: Option<Vec<f32>>,
    uniform_scale: Option<f32>,
    /// Held while a whole-tensor loss is called, which may change its instance.
    changing: Mutex<()>,
}

// SAFETY: the ABI asks every plugin for an `eval` that many threads may call at once on one instance,
// and nothing else is called on a shared one but the tensor extension, which `changing` serialises.
unsafe impl Send for Loss {}
// SAFETY: as above.
unsafe impl Sync for Loss {}

/// Why a loss could not be evaluated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// The plugin said no, or panicked.
    #[error("loss `{id}`: {message}")]
    Plugin {
        /// The loss.
        id: String,
        /// What it said.
        message: String,
    },
    /// The plugin left an example without a finite result.
    #[error(
        "loss `{id}`: at log-odds {log_odds}, class {class} it gave loss {loss} and slope {slope}; both must be written and finite"
    )]
    NotFinite {
        /// The loss.
        id: String,
        /// The example's log-odds.
        log_odds: f64,
        /// The example's class.
        class: u32,
        /// What the plugin wrote; NaN where it wrote nothing.
        loss: f64,
        /// What the plugin wrote; NaN where it wrote nothing.
        slope: f64,
    },
    /// The loss is no function of the log-odds.
    #[error(
        "loss `{id}` takes whole tensors: it has no formula of the log-odds to evaluate; training and `losses apply --loss-path tensor` give it logits"
    )]
    WholeTensor {
        /// The loss.
        id: String,
    },
    /// A class id beyond the counts.
    #[error("example {example}: class {class} is out of range, the loss knows {classes} classes (0 to {})", classes - 1)]
    Class {
        /// Which of the batch.
        example: usize,
        /// Its class.
        class: u32,
        /// How many there are.
        classes: usize,
    },
}

crate::dispatch_isa! {
    /// Whether all are finite, without a branch for each.
    fn finite_f32(values: &[f32]) -> bool, _Best => {
        values.iter().fold(true, |all, value| all & (value.abs() < f32::INFINITY))
    }
}

/// A float that the ABI evaluates.
pub trait EvalFloat: Copy + Into<f64> {
    /// Not a number.
    const NAN: Self;
    #[doc(hidden)]
    fn entry(plugin: &Plugin) -> Option<Eval<Self>>;
    #[doc(hidden)]
    fn from_f64(value: f64) -> Self;
    /// Whether none is infinite or NaN; a loop that the compiler can vectorise.
    #[doc(hidden)]
    fn all_finite(values: &[Self]) -> bool;
}

impl EvalFloat for f32 {
    const NAN: Self = Self::NAN;
    fn entry(plugin: &Plugin) -> Option<Eval<Self>> {
        plugin.raw().eval_f32
    }
    fn from_f64(value: f64) -> Self {
        value as Self
    }
    fn all_finite(values: &[Self]) -> bool {
        finite_f32(values)
    }
}

impl EvalFloat for f64 {
    const NAN: Self = Self::NAN;
    fn entry(plugin: &Plugin) -> Option<Eval<Self>> {
        plugin.raw().eval_f64
    }
    fn from_f64(value: f64) -> Self {
        value
    }
    fn all_finite(values: &[Self]) -> bool {
        values.iter().fold(true, |all, value| all & (value.abs() < Self::INFINITY))
    }
}

impl Loss {
    /// Makes a loss of `plugin`'s kind for `head`. `given` holds parameters by name; the others take their
    /// defaults for that head.
    ///
    /// # Errors
    /// A parameter that the loss does not have, a value that the parameter does not allow, or what the
    /// plugin itself says.
    pub fn new(
        plugin: Arc<Plugin>,
        head: Head,
        given: &[(String, f64)],
        classes: &ClassCounts,
    ) -> Result<Self, LossError> {
        let mut values: Vec<f64> = plugin.params().iter().map(|param| param.defaults[head as usize]).collect();
        for (name, value) in given {
            let Some(at) = plugin.params().iter().position(|param| param.name == *name) else {
                let known: Vec<&str> = plugin.params().iter().map(|param| param.name.as_str()).collect();
                let nearest = known.iter().min_by_key(|known| edit_distance(known, name));
                let nearest = nearest.filter(|known| edit_distance(known, name) <= 3);
                return Err(LossError::new(format!(
                    "loss `{}` has no parameter `{name}`{}; it has: {}",
                    plugin.id(),
                    nearest.map(|nearest| format!(" (did you mean `{nearest}`?)")).unwrap_or_default(),
                    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                )));
            };
            plugin.params()[at]
                .parse(&plugin.params()[at].text(*value))
                .map_err(|error| LossError::new(format!("loss `{}`, parameter `{name}`: {error}", plugin.id())))?;
            values[at] = *value;
        }
        let raw = plugin.raw();
        let (Some(create), Some(prepare)) = (raw.create, raw.prepare) else {
            return Err(LossError::new(format!("loss `{}` lacks entry points", plugin.id())));
        };
        let fail = |step: &str, message: String| LossError::new(format!("loss `{}`, {step}: {message}", plugin.id()));
        let mut instance = std::ptr::null_mut();
        let mut message = Message::new();
        // SAFETY: the arrays and the buffer live through the call, with the sizes given.
        let code = unsafe { create(values.as_ptr(), values.len(), head as u32, &mut instance, message.raw()) };
        if code != abi::OK {
            return Err(fail("create", message.text(code)));
        }
        if instance.is_null() {
            return Err(fail("create", "gave no instance".into()));
        }
        // From here on the instance is freed when `made` is dropped, also on errors.
        let mut made = Self {
            plugin: Arc::clone(&plugin),
            instance,
            values,
            head,
            classes: classes.len(),
            adjustment: Adjustment::NONE,
            affine: None,
            margins: None,
            uniform_scale: None,
            changing: Mutex::new(()),
        };
        let counts = classes.as_slice();
        let mut message = Message::new();
        // SAFETY: as above.
        let code = unsafe { prepare(instance, counts.as_ptr(), counts.len(), message.raw()) };
        if code != abi::OK {
            return Err(fail("prepare", message.text(code)));
        }
        let adjustment = Adjustment::of(&plugin, instance, classes.len())?;
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
        if adjustment.scale.is_some() || adjustment.bias.is_some() {
            let or = |values: &Option<Vec<f64>>, neutral: f32| match values {
                Some(values) => narrow(values),
                None => vec![neutral; classes.len()],
            };
            made.affine = Some((or(&adjustment.scale, 1.0), or(&adjustment.bias, 0.0)));
        }
        made.margins = adjustment.margin.as_deref().map(narrow);
        let uniform = adjustment.scale.as_deref().filter(|scale| scale.windows(2).all(|pair| pair[0] == pair[1]));
        made.uniform_scale = uniform.and_then(<[f64]>::first).map(|&scale| scale as f32);
        made.adjustment = adjustment;
        Ok(made)
    }

    /// The loss's id.
    pub fn id(&self) -> &str {
        self.plugin.id()
    }

    /// The plugin it was made from.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// Its parameters by name.
    pub fn params(&self) -> impl Iterator<Item = (&str, f64)> {
        self.plugin.params().iter().map(|param| param.name.as_str()).zip(self.values.iter().copied())
    }

    /// The number of classes; a sigmoid head's background is one of them, the last.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The head it was made for.
    pub fn head(&self) -> Head {
        self.head
    }

    /// What it does to the logits before its formula.
    pub fn adjustment(&self) -> &Adjustment {
        &self.adjustment
    }

    /// Scale and bias of the logits in float32, `[classes]` each; none where logits stay as they are.
    pub(super) fn affine(&self) -> Option<(&[f32], &[f32])> {
        self.affine.as_ref().map(|(scale, bias)| (scale.as_slice(), bias.as_slice()))
    }

    /// The scale of the logits where it is the same for all classes.
    pub(super) fn uniform_scale(&self) -> Option<f32> {
        self.uniform_scale
    }

    /// The margin of the true class `class`.
    pub(super) fn margin(&self, class: usize) -> f32 {
        self.margins.as_ref().map_or(0.0, |margins| margins[class])
    }

    /// Whether its logits should be cosines of unit features and unit class vectors.
    pub fn wants_normalised_classifier(&self) -> bool {
        self.adjustment.normalised_classifier
    }

    /// The instance, and the lock of those who may change it.
    pub(super) fn changing(&self) -> (*mut c_void, &Mutex<()>) {
        (self.instance, &self.changing)
    }

    /// Its formula as data; none where the plugin offers none.
    ///
    /// # Errors
    /// What the plugin says, or a formula that makes no sense.
    pub fn expression(&self) -> Result<Option<Expression>, LossError> {
        Expression::of(&self.plugin, self.instance, self.classes)
    }

    /// Loss and derivative by the log-odds for a batch of log-odds and class ids.
    ///
    /// # Shapes
    /// - `log_odds`, `classes`, `loss`, `slope`: `[n]`
    ///
    /// # Errors
    /// A class out of range, what the plugin says, or a result that is not finite at finite log-odds.
    ///
    /// # Panics
    /// The slices differ in length.
    pub fn eval<F: EvalFloat>(
        &self,
        log_odds: &[F],
        classes: &[u32],
        loss: &mut [F],
        slope: &mut [F],
    ) -> Result<(), EvalError> {
        if let Some(example) = classes.iter().position(|&class| class as usize >= self.classes) {
            return Err(EvalError::Class { example, class: classes[example], classes: self.classes });
        }
        self.eval_known(log_odds, classes, loss, slope)
    }

    /// As [`Loss::eval`], for class ids that are known to be in range.
    pub(super) fn eval_known<F: EvalFloat>(
        &self,
        log_odds: &[F],
        classes: &[u32],
        loss: &mut [F],
        slope: &mut [F],
    ) -> Result<(), EvalError> {
        let n = log_odds.len();
        assert!(classes.len() == n && loss.len() == n && slope.len() == n, "four slices of one length");
        let Some(entry) = F::entry(&self.plugin) else {
            if self.plugin.raw().eval_f64.is_none() {
                return Err(EvalError::WholeTensor { id: self.id().into() });
            }
            return self.eval_through_f64(log_odds, classes, loss, slope);
        };
        // What the plugin leaves unwritten must not pass for a result.
        loss.fill(F::NAN);
        slope.fill(F::NAN);
        let mut message = Message::new();
        // SAFETY: four arrays of `n`, and class ids within the counts that the instance was prepared with.
        let code = unsafe {
            entry(
                self.instance,
                n,
                log_odds.as_ptr(),
                classes.as_ptr(),
                loss.as_mut_ptr(),
                slope.as_mut_ptr(),
                message.raw(),
            )
        };
        if code != abi::OK {
            return Err(EvalError::Plugin { id: self.id().into(), message: message.text(code) });
        }
        if F::all_finite(loss) && F::all_finite(slope) {
            return Ok(());
        }
        for i in 0..n {
            let (l, s, m): (f64, f64, f64) = (loss[i].into(), slope[i].into(), log_odds[i].into());
            if !(l.is_finite() && s.is_finite()) && m.is_finite() {
                return Err(EvalError::NotFinite {
                    id: self.id().into(),
                    log_odds: m,
                    class: classes[i],
                    loss: l,
                    slope: s,
                });
            }
        }
        Ok(())
    }

    fn eval_through_f64<F: EvalFloat>(
        &self,
        log_odds: &[F],
        classes: &[u32],
        loss: &mut [F],
        slope: &mut [F],
    ) -> Result<(), EvalError> {
        let wide: Vec<f64> = log_odds.iter().map(|&m| m.into()).collect();
        let (mut wide_loss, mut wide_slope) = (vec![0.0; wide.len()], vec![0.0; wide.len()]);
        self.eval(&wide, classes, &mut wide_loss, &mut wide_slope)?;
        for i in 0..wide.len() {
            (loss[i], slope[i]) = (F::from_f64(wide_loss[i]), F::from_f64(wide_slope[i]));
        }
        Ok(())
    }
}

impl Drop for Loss {
    fn drop(&mut self) {
        if let Some(destroy) = self.plugin.raw().destroy {
            // SAFETY: made by this plugin's `create`, destroyed once.
            unsafe { destroy(self.instance) };
        }
    }
}
