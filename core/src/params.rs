//! The parameters of a loss: declared once, and their values as the loss reads them.

use std::ffi::{CStr, c_char};

use crate::abi::{self, Head, RawParam};
use crate::{LossError, text};

/// What a parameter may be.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamKind {
    /// A number within bounds.
    Number {
        /// Least value and whether it is allowed itself.
        minimum: (f64, bool),
        /// Greatest value and whether it is allowed itself.
        maximum: (f64, bool),
    },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(Vec<String>),
}

/// A declared parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// Lower-case words joined by `-`; the flag's name.
    pub name: String,
    /// One line.
    pub help: String,
    /// What it may be.
    pub kind: ParamKind,
    /// Defaults for a softmax and for a sigmoid head.
    pub defaults: [f64; 2],
}

impl ParamSpec {
    /// The default for `head`, as it would be typed.
    pub fn default_text(&self, head: Head) -> String {
        self.text(self.defaults[head as usize])
    }

    /// `value` as it would be typed.
    pub fn text(&self, value: f64) -> String {
        match &self.kind {
            ParamKind::Number { .. } => value.to_string(),
            ParamKind::Flag => (value != 0.0).to_string(),
            ParamKind::Choice(choices) => choices.get(value as usize).cloned().unwrap_or_default(),
        }
    }

    /// What would be right, for help and errors: `a number ≥ 0 and < 1`, `true or false`, `one of …`.
    pub fn expected(&self) -> String {
        match &self.kind {
            ParamKind::Flag => "true or false".into(),
            ParamKind::Choice(choices) => format!("one of {}", choices.join(", ")),
            ParamKind::Number { minimum, maximum } => {
                let low = minimum.0.is_finite().then(|| format!("{} {}", if minimum.1 { "≥" } else { ">" }, minimum.0));
                let high =
                    maximum.0.is_finite().then(|| format!("{} {}", if maximum.1 { "≤" } else { "<" }, maximum.0));
                match (low, high) {
                    (Some(low), Some(high)) => format!("a number {low} and {high}"),
                    (Some(bound), None) | (None, Some(bound)) => format!("a number {bound}"),
                    (None, None) => "a finite number".into(),
                }
            }
        }
    }

    /// Reads a value as typed.
    ///
    /// # Errors
    /// Anything but what [`ParamSpec::expected`] says.
    pub fn parse(&self, typed: &str) -> Result<f64, LossError> {
        let value = match &self.kind {
            ParamKind::Flag => match typed {
                "true" => Some(1.0),
                "false" => Some(0.0),
                _ => None,
            },
            ParamKind::Choice(choices) => choices.iter().position(|choice| choice == typed).map(|at| at as f64),
            ParamKind::Number { .. } => typed.parse().ok().filter(|&value| self.allows(value)),
        };
        value.ok_or_else(|| LossError::new(format!("`{typed}` is not {}", self.expected())))
    }

    fn allows(&self, value: f64) -> bool {
        match &self.kind {
            ParamKind::Number { minimum, maximum } => {
                value.is_finite()
                    && (value > minimum.0 || (minimum.1 && value == minimum.0))
                    && (value < maximum.0 || (maximum.1 && value == maximum.0))
            }
            ParamKind::Flag => value == 0.0 || value == 1.0,
            ParamKind::Choice(choices) => value >= 0.0 && value.fract() == 0.0 && (value as usize) < choices.len(),
        }
    }

    /// Reads a declaration.
    ///
    /// # Errors
    /// A name or help that is missing or not UTF-8, an unknown kind, a choice without choices, or a
    /// default that the declaration itself does not allow.
    ///
    /// # Safety
    /// The pointers must be null or to NUL-terminated strings.
    pub unsafe fn from_raw(raw: &RawParam) -> Result<Self, LossError> {
        // SAFETY: the caller's promise.
        let (name, help) = unsafe { (text(raw.name, "a parameter's name")?, text(raw.help, "a parameter's help")?) };
        if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        {
            return Err(LossError::new(format!("parameter name `{name}`: only a-z, 0-9 and - make a flag")));
        }
        let kind = match raw.kind {
            abi::KIND_NUMBER => ParamKind::Number {
                minimum: (raw.minimum, raw.bounds & abi::MINIMUM_INCLUSIVE != 0),
                maximum: (raw.maximum, raw.bounds & abi::MAXIMUM_INCLUSIVE != 0),
            },
            abi::KIND_FLAG => ParamKind::Flag,
            abi::KIND_CHOICE => {
                // SAFETY: the caller's promise.
                let choices = unsafe { text(raw.choices, "a parameter's choices")? };
                ParamKind::Choice(choices.split('|').map(str::to_owned).collect())
            }
            kind => {
                return Err(LossError::new(format!("parameter `{name}` is of unknown kind {kind}")));
            }
        };
        let spec = Self { name, help, kind, defaults: [raw.default, raw.default_sigmoid] };
        match spec.defaults.iter().find(|&&default| !spec.allows(default)) {
            Some(default) => Err(LossError::new(format!(
                "parameter `{}`: its default {default} is not {}",
                spec.name,
                spec.expected()
            ))),
            None => Ok(spec),
        }
    }
}

/// The values of a loss's parameters, as its constructor reads them.
#[derive(Clone, Debug)]
pub struct Params {
    names: Vec<String>,
    values: Vec<f64>,
    head: Head,
}

impl Params {
    /// Pairs declared names with their values.
    pub(crate) fn new(names: Vec<String>, values: Vec<f64>, head: Head) -> Self {
        Self { names, values, head }
    }

    /// The head that the loss is for.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The number `name`.
    ///
    /// # Errors
    /// The loss does not declare it.
    pub fn number(&self, name: &str) -> Result<f64, LossError> {
        match self.names.iter().position(|declared| declared == name) {
            Some(at) => Ok(self.values[at]),
            None => Err(LossError::new(format!("the loss reads a parameter `{name}` that it does not declare"))),
        }
    }

    /// The flag `name`.
    ///
    /// # Errors
    /// The loss does not declare it.
    pub fn flag(&self, name: &str) -> Result<bool, LossError> {
        Ok(self.number(name)? != 0.0)
    }

    /// Which of its choices `name` is, counted from 0.
    ///
    /// # Errors
    /// The loss does not declare it.
    pub fn choice(&self, name: &str) -> Result<usize, LossError> {
        Ok(self.number(name)? as usize)
    }
}

/// `text` as a C string, at compile time.
#[doc(hidden)]
pub const fn c_str(text: &'static str) -> *const c_char {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text.as_ptr(),
        Err(_) => panic!("a NUL inside a text"),
    }
}

/// The index of `default` among `choices` joined by `|`, at compile time.
#[doc(hidden)]
pub const fn choice_index(choices: &str, default: &str) -> f64 {
    let (choices, default) = (choices.as_bytes(), default.as_bytes());
    let (mut index, mut start) = (0, 0);
    while start <= choices.len() {
        let mut end = start;
        while end < choices.len() && choices[end] != b'|' {
            end += 1;
        }
        let mut same = end - start == default.len();
        let mut at = 0;
        while same && at < default.len() {
            same = choices[start + at] == default[at];
            at += 1;
        }
        if same {
            return index as f64;
        }
        index += 1;
        start = end + 1;
    }
    panic!("the default is none of the choices")
}

/// Declares one parameter; [`export_loss!`](crate::export_loss) takes a list of these.
///
/// ```text
/// "beta": 0.9999 in 0.0..1.0, "help"                 a number, 0 ≤ beta < 1
/// "phi": 0.5 in 0.0..=1.0, "help"                    a number, both ends allowed
/// "gamma": 1.0 or 2.0 for sigmoid in 0.0.., "help"   a default for each head, no upper bound
/// "class-balanced": false, "help"                    a flag
/// "scale": "a" of "a|b", "help"                      a choice
/// ```
#[macro_export]
macro_rules! param {
    (@number $name:literal, $softmax:expr, $sigmoid:expr, $low:expr, $high:expr, $bounds:expr, $help:literal) => {
        $crate::RawParam {
            name: $crate::params::c_str(concat!($name, "\0")),
            help: $crate::params::c_str(concat!($help, "\0")),
            choices: std::ptr::null(),
            kind: $crate::abi::KIND_NUMBER,
            bounds: $bounds,
            default: $softmax,
            default_sigmoid: $sigmoid,
            minimum: $low,
            maximum: $high,
        }
    };
    ($name:literal: $default:literal $(or $sigmoid:literal for sigmoid)? in $low:literal .. $high:literal, $help:literal) => {
        $crate::param!(@number $name, $default, $crate::param!(@last $default $(, $sigmoid)?), $low, $high,
            $crate::abi::MINIMUM_INCLUSIVE, $help)
    };
    ($name:literal: $default:literal $(or $sigmoid:literal for sigmoid)? in $low:literal ..= $high:literal, $help:literal) => {
        $crate::param!(@number $name, $default, $crate::param!(@last $default $(, $sigmoid)?), $low, $high,
            $crate::abi::MINIMUM_INCLUSIVE | $crate::abi::MAXIMUM_INCLUSIVE, $help)
    };
    ($name:literal: $default:literal $(or $sigmoid:literal for sigmoid)? in $low:literal .., $help:literal) => {
        $crate::param!(@number $name, $default, $crate::param!(@last $default $(, $sigmoid)?), $low, f64::INFINITY,
            $crate::abi::MINIMUM_INCLUSIVE, $help)
    };
    ($name:literal: $default:literal of $choices:literal, $help:literal) => {
        $crate::RawParam {
            choices: $crate::params::c_str(concat!($choices, "\0")),
            kind: $crate::abi::KIND_CHOICE,
            ..$crate::param!(@number $name, $crate::params::choice_index($choices, $default),
                $crate::params::choice_index($choices, $default), 0.0, f64::INFINITY, 0, $help)
        }
    };
    ($name:literal: $default:literal, $help:literal) => {
        $crate::RawParam {
            kind: $crate::abi::KIND_FLAG,
            ..$crate::param!(@number $name, $default as u8 as f64, $default as u8 as f64, 0.0, 1.0, 0, $help)
        }
    };
    (@last $only:expr) => { $only };
    (@last $first:expr, $second:expr) => { $second };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(raw: RawParam) -> ParamSpec {
        // SAFETY: made by the macro.
        unsafe { ParamSpec::from_raw(&raw).unwrap() }
    }

    #[test]
    fn numbers_keep_their_bounds() {
        let beta = spec(crate::param!("beta": 0.9999 in 0.0..1.0, "help"));
        assert_eq!(beta.parse("0"), Ok(0.0));
        assert!(beta.parse("1").is_err());
        assert_eq!(beta.parse("1.5").unwrap_err().to_string(), "`1.5` is not a number ≥ 0 and < 1");
        assert!(beta.parse("nan").is_err());
        let phi = spec(crate::param!("phi": 0.5 in 0.0..=1.0, "help"));
        assert_eq!(phi.parse("1"), Ok(1.0));
        let gamma = spec(crate::param!("gamma": 1.0 or 2.0 for sigmoid in 0.0.., "help"));
        assert_eq!(gamma.parse("1e9"), Ok(1e9));
        assert!(gamma.parse("inf").is_err());
        assert_eq!((gamma.default_text(Head::Softmax), gamma.default_text(Head::Sigmoid)), ("1".into(), "2".into()));
    }

    #[test]
    fn choices_and_flags_are_words() {
        let scale = spec(crate::param!("scale": "b" of "a|b|cc", "help"));
        assert_eq!(scale.default_text(Head::Softmax), "b");
        assert_eq!(scale.parse("cc"), Ok(2.0));
        assert_eq!(scale.parse("c").unwrap_err().to_string(), "`c` is not one of a, b, cc");
        let flag = spec(crate::param!("flag": true, "help"));
        assert_eq!((flag.default_text(Head::Softmax).as_str(), flag.parse("false")), ("true", Ok(0.0)));
        assert!(flag.parse("1").is_err());
    }

    #[test]
    fn declarations_that_contradict_themselves_are_refused() {
        let mut raw = crate::param!("beta": 2.0 in 0.0..1.0, "help");
        // SAFETY: made by the macro.
        assert!(unsafe { ParamSpec::from_raw(&raw) }.unwrap_err().to_string().contains("default 2"));
        raw.kind = 77;
        // SAFETY: made by the macro.
        assert!(unsafe { ParamSpec::from_raw(&raw) }.unwrap_err().to_string().contains("kind 77"));
        raw.name = std::ptr::null();
        // SAFETY: a null name is allowed to be asked about.
        assert!(unsafe { ParamSpec::from_raw(&raw) }.is_err());
    }
}
