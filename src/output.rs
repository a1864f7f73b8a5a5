//! What leaves the program: files that are there whole or not at all, and words for a shell.

use std::borrow::Cow;
use std::ffi::OsStr;
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

/// `word` as a shell takes it for one, in quotes where it needs them.
pub fn shell_word(word: &OsStr) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
    let word = word.to_string_lossy();
    match word.is_empty() || !word.chars().all(plain) {
        true => format!("'{}'", word.replace('\'', "'\\''")).into(),
        false => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_quotes_has_them() {
        let said = |word: &str| shell_word(OsStr::new(word)).into_owned();
        assert_eq!(said("--beta=0.9,a/b"), "--beta=0.9,a/b");
        assert_eq!(said("my run"), "'my run'");
        assert_eq!(said("it's"), r"'it'\''s'");
        assert_eq!(said(""), "''");
    }
}
