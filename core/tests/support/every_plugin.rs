//! Every pointwise plugin of `plugins/`, built and opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use imbalance_core::host::{Plugin, SearchPath};

/// The plugins, in order of their ids.
pub static PLUGINS: LazyLock<Vec<Arc<Plugin>>> = LazyLock::new(|| {
    let ids = ids();
    let packages: Vec<String> = ids.iter().map(|id| format!("toolkit-loss-{id}")).collect();
    let search = SearchPath::of(vec![build(&packages)]);
    ids.iter().map(|id| Arc::new(search.open(id).unwrap())).collect()
});

/// Builds packages of the workspace as these tests are built; the folder that they are in then.
pub fn build(packages: &[String]) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let profile = exe.parent().and_then(Path::parent).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(workspace()).args(["build", "--quiet"]);
    build.args(profile.ends_with("release").then_some("--release"));
    build.arg("--target-dir").arg(profile.parent().unwrap());
    build.args(packages.iter().flat_map(|package| ["--package", package]));
    assert!(build.status().unwrap().success(), "{packages:?} do not build");
    profile.to_owned()
}

fn workspace() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().find(|folder| folder.join("plugins").is_dir()).unwrap().to_owned()
}

/// The losses that are functions of the log-odds: their crates need nothing but the core.
fn ids() -> Vec<String> {
    let mut ids: Vec<String> = fs::read_dir(workspace().join("plugins"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|folder| {
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
            let mut needs = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
            needs.next() == Some("imbalance-core.workspace = true") && needs.next().is_none_or(str::is_empty)
        })
        .map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    ids.sort();
    assert!(ids.len() >= 17, "only {ids:?}");
    ids
}
