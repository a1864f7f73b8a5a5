//! Version numbers of libtorch, rustc and pip, and where a libtorch folder keeps its own.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

/// The libtorch that this workspace's tch is generated for.
pub const LIBTORCH: Version = Version { major: 2, minor: 11, patch: 0 };

/// A version number, without its pre-release or build part (`2.11.0+cu130` is 2.11.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number, 0 if there is none.
    pub patch: u32,
}

impl Version {
    /// Whether both have the same major and minor number, which fixes libtorch's C++ interface.
    pub fn same_minor(self, other: Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Text that is no version number.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let text = text.trim();
        // `2.11.0+cu130`, `2.11.0a0+git70d99e9`, `1.95.0-nightly`
        let release = text.split(['+', '-']).next().unwrap_or(text);
        let mut numbers = release.split('.').map(|part| {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse::<u32>().map_err(|_| NotAVersion)
        });
        let major = numbers.next().ok_or(NotAVersion)??;
        let minor = numbers.next().ok_or(NotAVersion)??;
        let patch = numbers.next().unwrap_or(Ok(0))?;
        Ok(Self { major, minor, patch })
    }
}

/// The first word of `text` that is a version number: `rustc 1.95.0 (5980761 2026-04-14)` is 1.95.0.
pub fn first_in(text: &str) -> Option<Version> {
    text.split_whitespace().find_map(|word| word.parse().ok())
}

/// The file of a libtorch archive that holds its version, which torch-sys compares with its own.
pub const ARCHIVE_VERSION_FILE: &str = "build-version";

/// How to read a version out of a file's text.
type Reader = fn(&str) -> Option<String>;

/// The files that tell a libtorch's version: of the archive, of the Python wheel, and of a plain
/// build (the header has moved since 2.10).
const VERSION_FILES: [(&str, Reader); 4] = [
    (ARCHIVE_VERSION_FILE, |text| Some(text.trim().to_owned())),
    ("version.py", from_python),
    ("include/torch/headeronly/version.h", from_header),
    ("include/torch/csrc/api/include/torch/version.h", from_header),
];

/// The version of the libtorch in `folder`, with the text it was read from (`2.11.0+cu130` tells the
/// CUDA version as well). `None` if no file tells it.
pub fn of_libtorch(folder: &Path) -> Option<(Version, String)> {
    VERSION_FILES.iter().find_map(|(file, reader)| {
        let full = reader(&fs::read_to_string(folder.join(file)).ok()?)?;
        Some((full.parse().ok()?, full))
    })
}

/// Where the version of a libtorch in `folder` is looked for, for messages.
pub fn files_looked_for() -> String {
    VERSION_FILES.map(|(file, _)| file).join(", ")
}

/// The string assigned to `__version__`.
fn from_python(source: &str) -> Option<String> {
    source.lines().find_map(|line| {
        let value = line.strip_prefix("__version__")?.split_once('=')?.1;
        Some(value.trim().trim_matches(['\'', '"']).to_owned())
    })
}

/// The three numbers that the header defines.
fn from_header(source: &str) -> Option<String> {
    let number = |name: &str| {
        source.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let defines = words.next() == Some("#define") && words.next() == Some(name);
            defines.then(|| words.next())?
        })
    };
    Some(format!(
        "{}.{}.{}",
        number("TORCH_VERSION_MAJOR")?,
        number("TORCH_VERSION_MINOR")?,
        number("TORCH_VERSION_PATCH")?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u32, minor: u32, patch: u32) -> Version {
        Version { major, minor, patch }
    }

    #[test]
    fn build_parts_are_left_out() {
        for (text, expected) in [
            ("2.11.0+cu130", version(2, 11, 0)),
            (" 2.11.0\n", version(2, 11, 0)),
            ("2.11.1a0+git70d99e9", version(2, 11, 1)),
            ("1.95.0-nightly", version(1, 95, 0)),
            ("1.90", version(1, 90, 0)),
            ("20.3rc1", version(20, 3, 0)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "2", "two.eleven", "2.x", ".11.0", "2..0"] {
            assert_eq!(text.parse::<Version>(), Err(NotAVersion), "{text}");
        }
    }

    #[test]
    fn numbers_compare_as_numbers() {
        assert!(version(2, 9, 1) < version(2, 11, 0));
        assert!(version(2, 11, 3).same_minor(LIBTORCH));
        assert!(!version(2, 1, 0).same_minor(LIBTORCH));
    }

    #[test]
    fn found_in_what_programs_print() {
        assert_eq!(first_in("rustc 1.95.0 (59807616e 2026-04-14)"), Some(version(1, 95, 0)));
        assert_eq!(
            first_in("pip 23.2.1 from /usr/lib/python3/dist-packages/pip (python 3.11)"),
            Some(version(23, 2, 1))
        );
        assert_eq!(first_in("not found"), None);
    }

    #[test]
    fn read_from_each_kind_of_file() {
        let python = "from typing import Optional\n\n__all__ = ['__version__', 'debug']\n\
                      __version__ = '2.11.0+cu130'\ndebug = False\n";
        assert_eq!(from_python(python).as_deref(), Some("2.11.0+cu130"));
        let header = "#pragma once\n#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n\
                      #define TORCH_VERSION_PATCH 3\n";
        assert_eq!(from_header(header).as_deref(), Some("2.11.3"));
        assert_eq!(from_header("#define TORCH_VERSION_MAJOR 2\n"), None);
    }
}
