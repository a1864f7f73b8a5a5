//! What a training's arguments mean, and whether the run in a folder has the same settings.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context as _;

use crate::failure::UsageError;

const CONFIG: &str = "config.toml";
/// Settings that do not change what a run's numbers are of: how it was watched and spread.
const FREE: [&str; 4] = ["threads", "loader-threads", "log-every", "checkpoint-every"];
/// Files and folders, of which only the last name counts: they may have been moved.
const PATHS: [&str; 11] = [
    "data",
    "images",
    "weights",
    "train-list",
    "test-list",
    "val-list",
    "glove",
    "train-images",
    "val-images",
    "train-annotations",
    "val-annotations",
];

/// Every setting that `args` of `toolkit VERB` come to.
///
/// # Errors
/// Flags, values or losses that are wrong.
pub fn resolved(verb: &str, args: &[OsString]) -> anyhow::Result<toml::Table> {
    let text = match verb {
        "vision" => crate::vision::settings(args)?,
        "dialogue" => crate::dialogue::settings(args)?,
        "detection" => crate::detection::settings(args)?,
        other => anyhow::bail!("`toolkit {other}` trains nothing"),
    };
    text.parse().context("the settings are no TOML")
}

/// Checks `args` of `toolkit VERB`, which an error calls `name`.
///
/// # Errors
/// As [`resolved`].
pub fn check(verb: &str, args: &[OsString], name: &str) -> anyhow::Result<()> {
    resolved(verb, args).map(drop).map_err(|error| named(error, name))
}

/// `error` behind a name, which clap's own text would hide.
fn named(error: anyhow::Error, name: &str) -> anyhow::Error {
    match error.downcast_ref::<clap::Error>() {
        Some(usage) => {
            let text = usage.to_string();
            let said: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:")).collect();
            let said = said.join(" ").trim().trim_start_matches("error: ").to_owned();
            UsageError(format!("{name}: {said}")).into()
        }
        None => error.context(name.to_owned()),
    }
}

/// Whether `folder` is one of a run, finished or not.
pub fn are_stored(folder: &Path) -> bool {
    folder.join(CONFIG).exists()
}

/// How the settings of the run in `folder` differ from those of `args`, if they do. A flag with a default that one of them does
/// not name is one that the version of the run did not have, and no difference.
///
/// # Errors
/// As [`resolved`]; the run's settings cannot be read.
pub fn difference(verb: &str, args: &[OsString], folder: &Path) -> anyhow::Result<Option<String>> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let stored: toml::Table = text.parse().with_context(|| format!("{}: is no TOML", path.display()))?;
    let command = match verb {
        "vision" => crate::vision::command(),
        "dialogue" => crate::dialogue::command(),
        _ => crate::detection::command(),
    };
    Ok(differing(&resolved(verb, args)?, &stored, |key| is_optional(&command, key)))
}

/// Whether `key` is a flag that has a value only where it is given. Those of losses, which the command has not, all have one.
fn is_optional(command: &clap::Command, key: &str) -> bool {
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(key));
    arg.is_some_and(|arg| arg.get_action().takes_values() && arg.get_default_values().is_empty())
}

/// `is_optional` says of a key whether it is a flag that is stored only where it is given.
fn differing(asked: &toml::Table, stored: &toml::Table, is_optional: impl Fn(&str) -> bool) -> Option<String> {
    let text = |value: Option<&toml::Value>| value.map_or_else(|| "unset".to_owned(), ToString::to_string);
    let keys = asked.keys().chain(stored.keys().filter(|key| !asked.contains_key(*key)));
    let mut keys = keys.filter(|key| !FREE.contains(&key.as_str()));
    keys.find_map(|key| {
        let (asked, stored) = (asked.get(key), stored.get(key));
        let alike = match (asked, stored) {
            (Some(asked), Some(stored)) => alike(key, asked, stored),
            _ => !is_optional(key),
        };
        (!alike).then(|| format!("`{key}` was {} and is now {}", text(stored), text(asked)))
    })
}

fn alike(key: &str, asked: &toml::Value, stored: &toml::Value) -> bool {
    match (asked.as_str(), stored.as_str()) {
        (Some(asked), Some(stored)) if PATHS.contains(&key) => {
            let name = |path: &str| Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
            // Data that are not there now have only their name in braces.
            asked.ends_with('}') || asked.contains("}/") || name(asked) == name(stored)
        }
        _ => asked == stored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(asked: &str, stored: &str) -> Option<String> {
        differing(&asked.parse().unwrap(), &stored.parse().unwrap(), |key| ["freeze", "threads"].contains(&key))
    }

    #[test]
    fn what_changes_the_numbers_is_a_difference() {
        let stored = "beta = 0.9999\ndata = \"/a/cifar.tar\"\nthreads = 2\n";
        let asked = "beta = 0.9999\ndata = \"/b/cifar.tar\"\n";
        assert_eq!(said(&format!("{asked}threads = 1\nnew = 1\n"), stored), None);
        assert_eq!(said(asked, &format!("{stored}gone = 1\n")), None);
        assert_eq!(said("beta = 0.9999\ndata = \"/b/{cifar-10}\"\n", stored), None);
        assert_eq!(said("beta = 0.99\n", stored).unwrap(), "`beta` was 0.9999 and is now 0.99");
        assert!(said("data = \"/a/other.tar\"\n", stored).unwrap().starts_with("`data` was"));
    }

    #[test]
    fn a_setting_that_one_alone_has_is_a_difference() {
        assert_eq!(said("", "freeze = \"conv1\"\n").unwrap(), "`freeze` was \"conv1\" and is now unset");
        assert_eq!(said("freeze = \"conv1\"\n", "").unwrap(), "`freeze` was unset and is now \"conv1\"");
    }

    #[test]
    fn flags_without_a_default_are_optional() {
        let command = crate::vision::command();
        for key in [
            "largest-class",
            "train-list",
            "weights",
            "freeze",
            "layer-lr",
            "defer-sampler",
            "stage-lr",
            "cosine-scale",
        ] {
            assert!(is_optional(&command, key), "{key}");
        }
        for key in ["dataset", "epochs", "groups", "nesterov", "unknown"] {
            assert!(!is_optional(&command, key), "{key}");
        }
    }
}
