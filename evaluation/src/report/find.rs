//! Run folders below a folder.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::ReportError;

/// Whether a folder is a run's, perhaps a damaged one.
pub(super) fn is_run(folder: &Path) -> bool {
    ["config.toml", "manifest.json"].iter().any(|file| folder.join(file).is_file())
}

/// All run folders in `root`, itself included, in the order of their names. What lies in a run folder, such as a second stage,
/// is part of that run; hidden folders are passed over, and so are folders below the first that cannot be read.
///
/// # Errors
/// `root` is no folder that can be read.
pub fn run_folders(root: &Path) -> Result<Vec<PathBuf>, ReportError> {
    fs::read_dir(root).map_err(|source| ReportError::Folder { folder: root.into(), source })?;
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    visit(root, &mut seen, &mut found);
    Ok(found)
}

fn visit(folder: &Path, seen: &mut HashSet<PathBuf>, found: &mut Vec<PathBuf>) {
    // A link may lead to a folder above.
    let Ok(real) = fs::canonicalize(folder) else { return };
    if !seen.insert(real) {
        return;
    }
    if is_run(folder) {
        found.push(folder.to_owned());
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else { return };
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let mut below: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    below.retain(|path| !hidden(path) && path.is_dir());
    below.sort();
    below.iter().for_each(|path| visit(path, seen, found));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_at_any_depth_but_not_within_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a", "sweep/seed-0", "sweep/seed-1", "sweep/seed-1/stage-2", ".a.replaced-7", "notes"] {
            fs::create_dir_all(path(name)).unwrap();
            if name != "notes" {
                fs::write(path(name).join("config.toml"), "").unwrap();
            }
        }
        std::os::unix::fs::symlink(folder.path(), path("notes/loop")).unwrap();
        let found = run_folders(folder.path()).unwrap();
        assert_eq!(found, [path("a"), path("sweep/seed-0"), path("sweep/seed-1")]);
        assert_eq!(run_folders(&path("a")).unwrap(), [path("a")]);
        assert_eq!(run_folders(&path("notes")).unwrap().len(), 3, "a link is followed, once");
        let message = run_folders(&path("none")).unwrap_err().to_string();
        assert!(message.contains("none") && message.contains("run folder"), "{message}");
    }
}
