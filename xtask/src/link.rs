//! The checkout's `.libtorch`, a symbolic link to a libtorch.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Whether there is anything at `link`, a dangling link included.
pub fn exists(link: &Path) -> bool {
    link.symlink_metadata().is_ok()
}

/// Makes `link` point to `folder`, replacing a link that is there in one step, so that a build that
/// runs meanwhile sees the old one or the new one.
///
/// # Errors
/// Something else than a link is there, or the file system refuses.
pub fn point(link: &Path, folder: &Path) -> Result<()> {
    if link.symlink_metadata().is_ok_and(|found| !found.is_symlink()) {
        bail!("{} is not a symbolic link, and is not replaced: move it away and set up again", link.display());
    }
    if fs::read_link(link).is_ok_and(|target| target == folder) {
        return Ok(());
    }
    let new = link.with_extension(format!("new-{}", std::process::id()));
    let linked = symlink(folder, &new).and_then(|()| fs::rename(&new, link));
    if linked.is_err() {
        // The error to report is the first one; if `new` was not made there is nothing to remove.
        let _ = fs::remove_file(&new);
    }
    linked.with_context(|| {
        format!("cannot link {} to {}; setting LIBTORCH to the latter does as well", link.display(), folder.display())
    })
}

#[cfg(unix)]
fn symlink(original: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(original, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::libtorch::fake::{TempFolder, write};

    #[test]
    fn made_kept_and_replaced() {
        let temp = TempFolder::new("link");
        let link = temp.0.join(".libtorch");
        for target in ["a", "a", "b"] {
            let folder = temp.0.join(target);
            point(&link, &folder).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), folder);
        }
        assert!(exists(&link), "a dangling link exists");
        let names = fs::read_dir(&temp.0).unwrap().count();
        assert_eq!(names, 1, "nothing but the link is left");
    }

    #[test]
    fn a_folder_is_never_replaced() {
        let temp = TempFolder::new("no-link");
        let link = temp.0.join(".libtorch");
        write(&link.join("include/mine.h"), "");
        let error = point(&link, &temp.0.join("a")).unwrap_err().to_string();
        assert!(error.contains("is not a symbolic link"), "{error}");
        assert!(link.join("include/mine.h").is_file());
    }
}
