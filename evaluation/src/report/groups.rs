//! Runs that differ in their seed only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::run::Run;
use super::settings::flat;

/// Settings that do not change what a training computes, or change it as another seed would.
const WITHIN_A_GROUP: [&str; 8] =
    ["seed", "checkpoint-every", "log-every", "quiet", "verbose", "json", "threads", "plugin-dir"];

/// Runs with one configuration.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Group {
    pub name: String,
    /// Indices of its runs.
    pub runs: Vec<usize>,
}

/// The groups of runs, in the order of their first ones. `names` are the runs'.
pub(super) fn groups(runs: &[&Run], names: &[String]) -> Vec<Group> {
    let mut groups: Vec<(BTreeMap<String, String>, Vec<usize>)> = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        let mut settings = flat(&run.config);
        settings.retain(|key, _| !WITHIN_A_GROUP.contains(&key.as_str()));
        match groups.iter_mut().find(|(known, _)| *known == settings) {
            Some((_, members)) => members.push(at),
            None => groups.push((settings, vec![at])),
        }
    }
    let mut taken: Vec<String> = Vec::new();
    let named = groups.into_iter().map(|(_, members)| {
        let own: Vec<&str> = members.iter().map(|&at| names[at].as_str()).collect();
        let name = group_name(&own);
        let name = if taken.contains(&name) { own[0].to_owned() } else { name };
        taken.push(name.clone());
        Group { name, runs: members }
    });
    named.collect()
}

/// What the names of a group's runs have in common before the seed.
fn group_name(names: &[&str]) -> String {
    let bare: Vec<&str> = names.iter().map(|name| without_seed(name)).collect();
    if bare.iter().all(|name| *name == bare[0]) && !bare[0].is_empty() {
        return bare[0].to_owned();
    }
    match names {
        [one] => (*one).to_owned(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        [] => String::new(),
    }
}

/// `eureka/seed-3` and `eureka-seed-3` without the seed.
fn without_seed(name: &str) -> &str {
    let Some((before, seed)) = name.rsplit_once("seed-") else { return name };
    if seed.is_empty() || !seed.bytes().all(|byte| byte.is_ascii_digit()) {
        return name;
    }
    before.trim_end_matches(['/', '-'])
}

/// Names that tell folders apart: their paths without what all have in common.
pub fn names(folders: &[PathBuf]) -> Vec<String> {
    let real: Vec<PathBuf> =
        folders.iter().map(|folder| std::fs::canonicalize(folder).unwrap_or(folder.clone())).collect();
    let mut common: PathBuf = real.first().and_then(|first| first.parent()).map(Path::to_owned).unwrap_or_default();
    while !real.iter().all(|folder| folder.starts_with(&common) && *folder != common) {
        if !common.pop() {
            break;
        }
    }
    // The runs of one sweep: its name is theirs.
    if real.iter().all(|folder| without_seed(&below(folder, &common)).is_empty()) {
        common.pop();
    }
    real.iter().map(|folder| below(folder, &common)).collect()
}

fn below(folder: &Path, common: &Path) -> String {
    folder.strip_prefix(common).unwrap_or(folder).display().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn run(config: &str) -> Run {
        let config = config.parse().unwrap();
        Run { folder: PathBuf::new(), task: None, config, manifest: Value::Null, results: None, problems: Vec::new() }
    }

    #[test]
    fn the_seed_alone_makes_no_group() {
        let runs = [
            "beta = 1\nseed = 0",
            "beta = 2\nseed = 0",
            "beta = 1\nseed = 1\nthreads = 2",
            "beta = 1\nlr = 1\nseed = 0",
        ];
        let runs = runs.map(run);
        let names = ["x-beta-1-seed-0", "x-beta-2-seed-0", "x-beta-1-seed-1", "other/seed-0"].map(str::to_owned);
        let found = groups(&runs.iter().collect::<Vec<_>>(), &names);
        let group = |name: &str, runs: &[usize]| Group { name: name.into(), runs: runs.into() };
        assert_eq!(found, [group("x-beta-1", &[0, 2]), group("x-beta-2", &[1]), group("other", &[3])]);
    }

    #[test]
    fn groups_of_one_name_are_told_apart() {
        let runs = ["beta = 1\nseed = 0", "beta = 2\nseed = 1"].map(run);
        let names = ["a/seed-0", "a/seed-1"].map(str::to_owned);
        let found = groups(&runs.iter().collect::<Vec<_>>(), &names);
        assert_eq!(found.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["a", "a/seed-1"]);
        let runs = ["seed = 0", "seed = 0"].map(run);
        let found = groups(&runs.iter().collect::<Vec<_>>(), &["r1".to_owned(), "r2".to_owned()]);
        assert_eq!(found[0].name, "r1 and 1 more");
    }

    #[test]
    fn names_are_what_differs() {
        let of = |paths: &[&str]| names(&paths.iter().map(|path| Path::new("/nowhere").join(path)).collect::<Vec<_>>());
        assert_eq!(of(&["runs/a/seed-0", "runs/b/seed-0"]), ["a/seed-0", "b/seed-0"]);
        assert_eq!(of(&["runs/a/seed-0", "runs/a/seed-1"]), ["a/seed-0", "a/seed-1"]);
        assert_eq!(of(&["runs/a"]), ["a"]);
        assert_eq!(of(&["runs/a/seed-0"]), ["a/seed-0"]);
        assert_eq!(of(&["x/r", "y/z/r"]), ["x/r", "y/z/r"]);
    }
}
