//! What a training's arguments mean, and whether a finished run had the same.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context as _;

use super::spec::Task;

const CONFIG: &str = "config.toml";
/// Settings that do not change what a run's numbers are of: how it was watched and spread.
const FREE: [&str; 4] = ["threads", "loader-threads", "log-every", "checkpoint-every"];
/// Files and folders, of which only the last name counts: they may have been moved.
const PATHS: [&str; 8] =
    ["data", "images", "weights", "glove", "train-images", "val-images", "train-annotations", "val-annotations"];

/// Every setting that `args` of a training come to.
///
/// # Errors
/// Flags, values or losses that are wrong.
pub fn resolved(task: Task, args: &[OsString]) -> anyhow::Result<toml::Table> {
    let text = match task {
        Task::Vision => crate::vision::settings(args)?,
        Task::Dialogue => crate::dialogue::settings(args)?,
        Task::Detection => crate::detection::settings(args)?,
    };
    text.parse().context("the settings are no TOML")
}

/// Whether `folder` is one of a run, finished or not.
pub fn are_stored(folder: &Path) -> bool {
    folder.join(CONFIG).exists()
}

/// How the settings of the run in `folder` differ from those of `args`, if they do. Settings that one of them does not name,
/// such as those of a later version, are no difference.
///
/// # Errors
/// As [`resolved`]; the run's settings cannot be read.
pub fn difference(task: Task, args: &[OsString], folder: &Path) -> anyhow::Result<Option<String>> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let stored: toml::Table = text.parse().with_context(|| format!("{}: is no TOML", path.display()))?;
    Ok(differing(&resolved(task, args)?, &stored))
}

fn differing(asked: &toml::Table, stored: &toml::Table) -> Option<String> {
    let both = asked.iter().filter_map(|(key, value)| Some((key.as_str(), value, stored.get(key)?)));
    let mut other = both.filter(|(key, asked, stored)| !FREE.contains(key) && !alike(key, asked, stored));
    other.next().map(|(key, asked, stored)| format!("`{key}` was {stored} and is now {asked}"))
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

    #[test]
    fn what_changes_the_numbers_is_a_difference() {
        let said = |asked: &str, stored: &str| differing(&asked.parse().unwrap(), &stored.parse().unwrap());
        let stored = "beta = 0.9999\ndata = \"/a/cifar.tar\"\nthreads = 2\n";
        assert_eq!(said("beta = 0.9999\ndata = \"/b/cifar.tar\"\nthreads = 1\nnew = 1\n", stored), None);
        assert_eq!(said("data = \"/b/{cifar-10}\"\n", stored), None);
        assert_eq!(said("beta = 0.99\n", stored).unwrap(), "`beta` was 0.9999 and is now 0.99");
        assert!(said("data = \"/a/other.tar\"\n", stored).unwrap().starts_with("`data` was"));
    }
}
