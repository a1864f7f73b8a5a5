//! Files that are there whole or not at all.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Writes a file through a temporary one in the same folder: written, synced, renamed over `path`, folder
/// synced. A crash leaves the old file or the new one; an error leaves the old one and no temporary.
pub fn write_atomically<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    write_then(path, write, || Ok(()))
}

/// Like [`write_atomically`], with `before_rename` called once the new content is safely on disk.
pub(crate) fn write_then<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
    before_rename: impl FnOnce() -> io::Result<()>,
) -> Result<(), E> {
    let name = path.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?;
    let temporary = path.with_file_name(format!(".{}.tmp", name.to_string_lossy()));
    let result = (|| {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&temporary)?;
        write(&mut file)?;
        file.sync_all()?;
        before_rename()?;
        std::fs::rename(&temporary, path)?;
        sync_folder_of(path)?;
        Ok(())
    })();
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// Makes renames in the folder of `path` survive a power failure.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn replaces_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        write_atomically(&path, |file| file.write_all(b"first")).unwrap();
        let failed = write_atomically(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the temporary file is gone");
        write_atomically(&path, |file| file.write_all(b"second")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
    }
}
