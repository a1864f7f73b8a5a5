//! Learning rates of single layers, and layers that are not trained, both by the start of variables' names.

use std::str::FromStr;

use serde::Serialize;
use tch::Tensor;
use tch::nn::VarStore;

use crate::error::TrainError;

/// `--layer-lr`: factors of the learning rate by the start of a variable's name, as in `encoder=0.1,encoder.norm=1`. The longest
/// that fits counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(into = "String")]
pub struct LayerRates(Vec<(String, f64)>);

impl FromStr for LayerRates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = |part: &str| {
            let (prefix, factor) = part.split_once('=')?;
            let factor: f64 = factor.trim().parse().ok()?;
            let prefix = prefix.trim();
            (!prefix.is_empty() && factor.is_finite() && factor >= 0.0).then(|| (prefix.to_owned(), factor))
        };
        text.split(',')
            .map(|part| {
                pair(part).ok_or_else(|| {
                    format!("`{part}` is not the start of a name, `=` and a factor of 0 or more, as in encoder=0.1")
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl From<LayerRates> for String {
    fn from(rates: LayerRates) -> Self {
        let parts: Vec<String> = rates.0.iter().map(|(prefix, factor)| format!("{prefix}={factor}")).collect();
        parts.join(",")
    }
}

impl LayerRates {
    /// The factor of each variable.
    pub(super) fn factors(&self, names: &[&str]) -> Result<Vec<f64>, TrainError> {
        for (prefix, _) in &self.0 {
            known("--layer-lr", prefix, names)?;
        }
        let factor = |name: &&str| {
            let fitting = self.0.iter().filter(|(prefix, _)| begins(name, prefix));
            fitting.max_by_key(|(prefix, _)| prefix.len()).map_or(1.0, |(_, factor)| *factor)
        };
        Ok(names.iter().map(factor).collect())
    }
}

/// `--freeze`: starts of names, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Prefixes(Vec<String>);

impl FromStr for Prefixes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let prefix = |part: &str| match part.trim() {
            "" => Err(format!("`{text}` has an empty start of a name; write encoder,embedding, say")),
            part => Ok(part.to_owned()),
        };
        text.split(',').map(prefix).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Prefixes> for String {
    fn from(prefixes: Prefixes) -> Self {
        prefixes.0.join(",")
    }
}

/// Makes variables whose names begin so keep their values. What normalisations collect in training (their running
/// statistics) is no gradient's matter and goes on changing.
///
/// # Errors
/// [`TrainError::Settings`], where a prefix begins no variable's name, or nothing is left to train.
pub fn freeze(variables: &VarStore, prefixes: &Prefixes) -> Result<(), TrainError> {
    let all = variables.variables();
    let mut names: Vec<&str> = all.keys().map(String::as_str).collect();
    names.sort_unstable();
    for prefix in &prefixes.0 {
        known("--freeze", prefix, &names)?;
        for (_, variable) in all.iter().filter(|(name, _)| begins(name, prefix)) {
            let _ = variable.shallow_clone().requires_grad_(false);
        }
    }
    if !prefixes.0.is_empty() && !all.values().any(Tensor::requires_grad) {
        return Err(TrainError::Settings(format!(
            "--freeze {} leaves no variable to train; leave one of {} out",
            prefixes.0.join(","),
            beginnings(&names)
        )));
    }
    Ok(())
}

/// Whole parts of a name only: `layer1` does not begin `layer10.weight`.
fn begins(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || prefix.ends_with('.'))
}

fn known(flag: &str, prefix: &str, names: &[&str]) -> Result<(), TrainError> {
    if names.iter().any(|name| begins(name, prefix)) {
        return Ok(());
    }
    Err(TrainError::Settings(format!(
        "{flag} {prefix}: no trained variable's name begins so; names begin with {}",
        beginnings(names)
    )))
}

/// The first parts of names in order, each once.
fn beginnings(names: &[&str]) -> String {
    let mut first: Vec<&str> = names.iter().map(|name| name.split('.').next().unwrap_or(name)).collect();
    first.dedup();
    first.join(", ")
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn the_longest_start_counts_and_only_whole_parts_are_one() {
        let rates: LayerRates = "body=0.1,body.norm=0,head.=2".parse().unwrap();
        let names = ["body.a", "body.norm.b", "body2.c", "head.d"];
        assert_eq!(rates.factors(&names).unwrap(), [0.1, 0.0, 1.0, 2.0]);
        let error = "neck=1".parse::<LayerRates>().unwrap().factors(&names).unwrap_err().to_string();
        assert_eq!(error, "--layer-lr neck: no trained variable's name begins so; names begin with body, body2, head");
        assert_eq!(String::from(rates), "body=0.1,body.norm=0,head.=2");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in ["", "a", "a=", "=1", "a=-1", "a=nan", "a=1,"] {
            assert!(text.parse::<LayerRates>().is_err(), "{text}");
        }
        assert!("a,,b".parse::<Prefixes>().is_err());
    }

    #[test]
    fn frozen_variables_need_no_gradient() {
        let store = VarStore::new(Device::Cpu);
        let body = store.root() / "body";
        let (frozen, head) = (body.zeros("w", &[1]), store.root().zeros("head", &[1]));
        freeze(&store, &"body".parse().unwrap()).unwrap();
        assert!(!frozen.requires_grad() && head.requires_grad());
        assert!(freeze(&store, &"nothing".parse().unwrap()).is_err());
        let error = freeze(&store, &"body,head".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "--freeze body,head leaves no variable to train; leave one of body, head out");
    }
}
