//! Files that are there whole or not at all.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

/// Writes `bytes` to `path`, by way of a file beside it that then takes its name.
///
/// # Errors
/// The folder cannot be written to; a file that was there before is then as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let write = || {
        let mut file = fs::File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write()
        .inspect_err(|_| {
            // What is half-written is of no use; that it may be gone already is no matter.
            let _ = fs::remove_file(&partial);
        })
        .with_context(|| format!("{} cannot be written", path.display()))
}
