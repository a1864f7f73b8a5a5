//! What differs between the configurations of groups.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use toml::Table;

use super::groups::Group;
use super::run::Run;

/// Digits of a SHA-256 that are told: enough to see that two differ.
const DIGITS: usize = 12;

/// A setting that is not the same everywhere.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Differing {
    pub key: String,
    /// Of each group the values of its runs, each once; `None` where no run has one.
    pub values: Vec<Option<String>>,
}

/// The settings of groups.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Settings {
    pub differing: Vec<Differing>,
    /// Those that all runs share, with their value.
    pub common: Vec<(String, String)>,
}

impl Settings {
    /// Of the runs in `groups`.
    pub fn of(runs: &[&Run], groups: &[Group]) -> Self {
        let all: Vec<BTreeMap<String, String>> = runs.iter().map(|run| with_origin(run)).collect();
        let mut keys: Vec<&String> = all.iter().flat_map(BTreeMap::keys).collect();
        keys.sort();
        keys.dedup();
        let mut settings = Self::default();
        for key in keys {
            let values: Vec<Option<&String>> = all.iter().map(|run| run.get(key)).collect();
            match values[0].filter(|_| values.iter().all(|value| *value == values[0])) {
                Some(value) => settings.common.push((key.clone(), value.clone())),
                None => {
                    let of_group = |group: &Group| {
                        let mut own: Vec<&str> =
                            group.runs.iter().filter_map(|&run| values[run]).map(String::as_str).collect();
                        own.dedup();
                        (!own.is_empty()).then(|| own.join(", "))
                    };
                    let values = groups.iter().map(of_group).collect();
                    settings.differing.push(Differing { key: key.clone(), values });
                }
            }
        }
        settings
    }
}

/// Every setting as text, those of inner tables by their path.
pub(super) fn flat(table: &Table) -> BTreeMap<String, String> {
    fn visit(prefix: &str, table: &Table, into: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            let key = format!("{prefix}{key}");
            match value {
                toml::Value::Table(inner) => visit(&format!("{key}."), inner, into),
                toml::Value::String(text) => drop(into.insert(key, text.clone())),
                other => drop(into.insert(key, other.to_string())),
            }
        }
    }
    let mut all = BTreeMap::new();
    visit("", table, &mut all);
    all
}

/// The settings, and what else a run was made of: versions, plugins, data, the machine.
fn with_origin(run: &Run) -> BTreeMap<String, String> {
    let mut all = flat(&run.config);
    let manifest = &run.manifest;
    let mut add = |key: String, value: &Value| {
        if let Some(text) = value.as_str() {
            all.insert(key, text.to_owned());
        }
    };
    for key in ["toolkit", "rustc", "libtorch", "tch"] {
        add(format!("({key})"), &manifest[key]);
    }
    add("(machine)".into(), &manifest["host"]["cpu"]);
    let hash = |value: &Value| Value::from(value.as_str().map(|text| text.chars().take(DIGITS).collect::<String>()));
    for plugin in manifest["plugins"].as_array().into_iter().flatten() {
        add(format!("(plugin {})", plugin["id"].as_str().unwrap_or_default()), &hash(&plugin["sha256"]));
    }
    for (name, sha256) in manifest["data"].as_object().into_iter().flatten() {
        let file = name.rsplit('/').next().unwrap_or(name);
        add(format!("(data {file})"), &hash(sha256));
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(config: &str, plugin: &str) -> Run {
        let plugins = json!([{"id": "focal", "sha256": plugin.repeat(64)}]);
        Run {
            folder: "x".into(),
            task: None,
            config: config.parse().unwrap(),
            manifest: json!({"toolkit": "0.1.0", "plugins": plugins, "data": {"/d/cifar.tar": "f".repeat(64)}}),
            results: None,
            problems: Vec::new(),
        }
    }

    #[test]
    fn only_what_differs_is_listed() {
        let runs = [
            run("lr = 0.1\nloss = \"focal\"\nseed = 0", "a"),
            run("lr = 0.1\nloss = \"focal\"\nseed = 1", "a"),
            run("lr = 0.1\nloss = \"ldam\"\nscale = 30\nseed = 0", "b"),
        ];
        let group = |runs: &[usize]| Group { name: String::new(), runs: runs.into() };
        let found = Settings::of(&runs.iter().collect::<Vec<_>>(), &[group(&[0, 1]), group(&[2])]);
        let row = |key: &str, values: [Option<&str>; 2]| Differing {
            key: key.into(),
            values: values.map(|value| value.map(str::to_owned)).into(),
        };
        let differing = [
            row("(plugin focal)", [Some("aaaaaaaaaaaa"), Some("bbbbbbbbbbbb")]),
            row("loss", [Some("focal"), Some("ldam")]),
            row("scale", [None, Some("30")]),
            row("seed", [Some("0, 1"), Some("0")]),
        ];
        assert_eq!(found.differing, differing);
        let common = [("(data cifar.tar)", "ffffffffffff"), ("(toolkit)", "0.1.0"), ("lr", "0.1")];
        assert_eq!(found.common, common.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
