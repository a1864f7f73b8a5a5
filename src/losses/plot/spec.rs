//! What is typed for a loss: `ID` or `ID:name=value,name=value`.

use imbalance_core::host::{Plugin, edit_distance};

use crate::failure::UsageError;

/// A loss as typed, with the parameters that are its alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossSpec {
    /// Which loss.
    pub id: String,
    /// Names and values as typed; a name without a value is a flag that is set.
    pub params: Vec<(String, String)>,
}

impl LossSpec {
    /// Reads what was typed.
    ///
    /// # Errors
    /// A `:` without parameters, an empty id, name or value, or one name twice.
    pub fn parse(typed: &str) -> Result<Self, UsageError> {
        let wrong = |what: &str| UsageError(format!("`{typed}`: {what}; write ID or ID:name=value,name=value"));
        let (id, rest) = match typed.split_once(':') {
            Some((id, rest)) => (id, Some(rest)),
            None => (typed, None),
        };
        if id.is_empty() {
            return Err(wrong("the loss's id is missing"));
        }
        let mut params: Vec<(String, String)> = Vec::new();
        for part in rest.into_iter().flat_map(|rest| rest.split(',')) {
            let (name, value) = part.split_once('=').unwrap_or((part, "true"));
            let (name, value) = (name.trim(), value.trim());
            if name.is_empty() {
                return Err(wrong("a parameter's name is missing"));
            }
            if value.is_empty() {
                return Err(wrong(&format!("the value of `{name}` is missing")));
            }
            if params.iter().any(|(known, _)| known == name) {
                return Err(wrong(&format!("`{name}` is given twice")));
            }
            params.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { id: id.to_owned(), params })
    }

    /// The values of the parameters, those of `shared` for all losses first: what is typed for this loss alone goes
    /// before them.
    ///
    /// # Errors
    /// A parameter that the loss does not have, or a value that it does not allow.
    pub fn values(&self, plugin: &Plugin, shared: &[(String, String)]) -> Result<Vec<(String, f64)>, UsageError> {
        let mut values: Vec<(String, f64)> = Vec::new();
        for (at, (name, typed)) in shared.iter().chain(&self.params).enumerate() {
            let own = at >= shared.len();
            let Some(param) = plugin.params().iter().find(|param| param.name == *name) else {
                if own {
                    return Err(unknown(plugin, name));
                }
                continue;
            };
            let value = param.parse(typed).map_err(|error| UsageError(format!("`{}:{name}`: {error}", self.id)))?;
            values.retain(|(known, _)| known != name);
            values.push((name.clone(), value));
        }
        Ok(values)
    }
}

fn unknown(plugin: &Plugin, name: &str) -> UsageError {
    let known: Vec<&str> = plugin.params().iter().map(|param| param.name.as_str()).collect();
    let nearest = known.iter().map(|known| (edit_distance(known, name), known)).min();
    let nearest = nearest.filter(|(distance, _)| *distance <= 3);
    UsageError(format!(
        "loss `{}` has no parameter `{name}`{}; it has: {}",
        plugin.id(),
        nearest.map(|(_, nearest)| format!(" (did you mean `{nearest}`?)")).unwrap_or_default(),
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_read() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(LossSpec::parse("focal").unwrap().params, []);
        let spec = LossSpec::parse("eureka:beta=0.5,class-balanced, weight-scale=max-one").unwrap();
        assert_eq!(spec.id, "eureka");
        assert_eq!(spec.params, [pair("beta", "0.5"), pair("class-balanced", "true"), pair("weight-scale", "max-one")]);
    }

    #[test]
    fn malformed_specs_say_what_is_missing() {
        for (typed, said) in [
            (":beta=1", "the loss's id"),
            ("eureka:", "a parameter's name"),
            ("eureka:=1", "a parameter's name"),
            ("eureka:beta=", "the value of `beta`"),
            ("eureka:beta=1,,", "a parameter's name"),
            ("eureka:beta=1,beta=2", "`beta` is given twice"),
        ] {
            let message = LossSpec::parse(typed).unwrap_err().to_string();
            assert!(message.contains(said) && message.contains("ID:name=value"), "{message}");
        }
    }
}
