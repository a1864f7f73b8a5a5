//! Files that are there whole or not at all.

use std::ffi::OsString;
use std::path::Path;

use super::{Figure, FigureError};

/// What a picture is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines and text, for print and the web.
    Svg,
    /// Pixels.
    Png,
}

impl Format {
    /// The format that the end of a file's name stands for, in any case.
    ///
    /// # Errors
    /// It ends in neither `.svg` nor `.png`.
    pub fn of(path: &Path) -> Result<Self, FigureError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "svg" => Ok(Self::Svg),
            "png" => Ok(Self::Png),
            _ => Err(FigureError::Extension { path: path.to_owned() }),
        }
    }
}

impl Figure {
    /// Draws the figure into a file, in the format of its name. An existing file is replaced; on an error nothing is
    /// left behind.
    ///
    /// # Errors
    /// Another extension than `.svg` and `.png`, what [`Figure::svg`] says, or a file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FigureError> {
        let bytes = match Format::of(path)? {
            Format::Svg => self.svg()?.into_bytes(),
            Format::Png => self.png()?,
        };
        write_whole(path, &bytes).map_err(|source| FigureError::Write { path: path.to_owned(), source })
    }
}

/// Writes a file beside its place and renames it, so that a full disk leaves no half of it.
///
/// # Errors
/// What the operating system says; nothing is then left behind.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(format!(".partial-{}", std::process::id()));
    let partial = path.with_file_name(name);
    std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, path)).inspect_err(|_| {
        let _ = std::fs::remove_file(&partial);
    })
}
