//! Whether a folder holds a libtorch that the toolkit can be built with, and if not, why.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::loader;
use crate::version::{self, LIBTORCH, Version};

/// What a libtorch has to be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Run on the CPU.
    Cpu,
    /// Run on the CPU and on NVIDIA GPUs.
    Cuda,
}

/// A folder with the headers and libraries of libtorch 2.11.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libtorch {
    /// The folder that has `include/` and `lib/`.
    pub folder: PathBuf,
    /// As the build calls itself, `2.11.0+cu130`.
    pub version: String,
    /// Whether it was built with CUDA.
    pub cuda_build: bool,
}

impl Libtorch {
    /// In words: the version, what it runs on (which asks the dynamic loader), and where it is.
    pub fn description(&self) -> String {
        let gpus = self.cuda_build && require_loadable(&self.folder, "torch_cuda").is_ok();
        let folder = self.folder.canonicalize();
        format!(
            "libtorch {} for {}, in {}",
            self.version,
            if gpus { "CPUs and NVIDIA GPUs" } else { "CPUs" },
            folder.as_ref().unwrap_or(&self.folder).display()
        )
    }
}

/// Why a folder cannot serve as libtorch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// The path leads to nothing, or not to a folder.
    NoFolder,
    /// Build scripts run in other folders, where a relative path means something else.
    RelativePath,
    /// No file tells a version.
    NoVersion,
    /// Another version than 2.11.
    WrongVersion(String),
    /// The folder of a libtorch archive of 2.11, but not of the very version that torch-sys accepts.
    RefusedByTorchSys(String),
    /// A C++ header is not there (relative to the folder).
    NoHeader(&'static str),
    /// A library is not there (relative to the folder).
    NoLibrary(PathBuf),
    /// It was built without CUDA, which was asked for.
    NoCuda,
    /// The library needs others that the dynamic loader does not find.
    Unloadable {
        /// The library, relative to the folder.
        library: PathBuf,
        /// The names of the libraries that are not found.
        missing: Vec<String>,
    },
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFolder => f.write_str("there is no such folder"),
            Self::RelativePath => f.write_str("the path is relative; it must be absolute"),
            Self::NoVersion => {
                write!(f, "it is not a libtorch: none of {} tells a version", version::files_looked_for())
            }
            Self::WrongVersion(found) => {
                write!(f, "it is libtorch {found}; {}.{} is needed", LIBTORCH.major, LIBTORCH.minor)
            }
            Self::RefusedByTorchSys(found) => {
                write!(f, "its {} says {found}, and torch-sys accepts {LIBTORCH} only", version::ARCHIVE_VERSION_FILE)
            }
            Self::NoHeader(header) => write!(f, "its C++ header {header} is missing"),
            Self::NoLibrary(library) => write!(f, "its {} is missing", library.display()),
            Self::NoCuda => f.write_str("it was built without CUDA"),
            Self::Unloadable { library, missing } => write!(
                f,
                "its {} cannot be loaded, since these are not found: {}",
                library.display(),
                missing.join(", ")
            ),
        }
    }
}

/// One header of the C++ interface that torch-sys includes, and one that core/train includes.
const HEADERS: [&str; 2] = ["include/torch/csrc/api/include/torch/torch.h", "include/ATen/ATen.h"];

/// Looks at the libtorch in `folder`.
///
/// # Errors
/// The first reason why it cannot be used for `need`.
pub fn inspect(folder: &Path, need: Need) -> Result<Libtorch, Unusable> {
    let found = inspect_files(folder)?;
    require_loadable(folder, "torch_cpu")?;
    if need == Need::Cuda {
        if !found.cuda_build {
            return Err(Unusable::NoCuda);
        }
        require_loadable(folder, "torch_cuda")?;
    }
    Ok(found)
}

/// What [`inspect`] sees without asking the dynamic loader.
fn inspect_files(folder: &Path) -> Result<Libtorch, Unusable> {
    if !folder.is_absolute() {
        return Err(Unusable::RelativePath);
    }
    if !folder.is_dir() {
        return Err(Unusable::NoFolder);
    }
    let (number, version) = version::of_libtorch(folder).ok_or(Unusable::NoVersion)?;
    require_version(number, &version, folder)?;
    for header in HEADERS {
        if !folder.join(header).is_file() {
            return Err(Unusable::NoHeader(header));
        }
    }
    for name in ["torch_cpu", "c10"] {
        let library = library(name);
        if !folder.join(&library).is_file() {
            return Err(Unusable::NoLibrary(library));
        }
    }
    Ok(Libtorch { folder: folder.to_owned(), version, cuda_build: folder.join(library("torch_cuda")).is_file() })
}

fn require_version(number: Version, full: &str, folder: &Path) -> Result<(), Unusable> {
    if !number.same_minor(LIBTORCH) {
        return Err(Unusable::WrongVersion(full.to_owned()));
    }
    if number != LIBTORCH && folder.join(version::ARCHIVE_VERSION_FILE).is_file() {
        return Err(Unusable::RefusedByTorchSys(full.to_owned()));
    }
    Ok(())
}

/// Whether the dynamic loader finds all that the library `name` of `folder` needs.
pub fn require_loadable(folder: &Path, name: &str) -> Result<(), Unusable> {
    let library = library(name);
    let missing = loader::missing_libraries(&folder.join(&library));
    if missing.is_empty() { Ok(()) } else { Err(Unusable::Unloadable { library, missing }) }
}

/// The file of the library `name`, relative to a libtorch's folder.
fn library(name: &str) -> PathBuf {
    Path::new("lib").join(format!("{DLL_PREFIX}{name}{DLL_SUFFIX}"))
}

/// Folders that look like a libtorch, for tests.
#[cfg(test)]
pub mod fake {
    use super::*;
    use std::fs;

    /// A folder in the system's temporary one, removed when dropped.
    pub struct TempFolder(pub PathBuf);

    impl TempFolder {
        /// An empty folder; `name` must be a different one in each test.
        pub fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        /// The folder `name` in it, made to look like the wheel of libtorch `version`.
        pub fn wheel(&self, name: &str, version: &str) -> PathBuf {
            let folder = self.0.join(name);
            write(&folder.join("version.py"), &format!("__version__ = '{version}'\n"));
            for header in HEADERS {
                write(&folder.join(header), "");
            }
            for name in ["torch_cpu", "c10"] {
                write(&folder.join(library(name)), "");
            }
            folder
        }
    }

    impl Drop for TempFolder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Writes `text` to `file`, making its folder.
    pub fn write(file: &Path, text: &str) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::fake::{TempFolder, write};
    use super::*;
    use std::fs;

    #[test]
    fn a_whole_one_is_accepted_with_its_version() {
        let temp = TempFolder::new("whole");
        let folder = temp.wheel("torch", "2.11.0+cpu");
        let found = inspect(&folder, Need::Cpu).unwrap();
        assert_eq!(found.version, "2.11.0+cpu");
        assert!(!found.cuda_build);
        assert_eq!(inspect(&folder, Need::Cuda), Err(Unusable::NoCuda));
    }

    #[test]
    fn another_version_is_refused_by_number() {
        let temp = TempFolder::new("version");
        let folder = temp.wheel("torch", "2.9.1+cu128");
        let error = inspect(&folder, Need::Cpu).unwrap_err();
        assert_eq!(error.to_string(), "it is libtorch 2.9.1+cu128; 2.11 is needed");
    }

    #[test]
    fn an_archive_must_have_the_patch_version_of_torch_sys() {
        let temp = TempFolder::new("archive");
        let folder = temp.wheel("torch", "2.11.1");
        assert!(inspect(&folder, Need::Cpu).is_ok());
        write(&folder.join("build-version"), "2.11.1+cpu\n");
        assert_eq!(inspect(&folder, Need::Cpu), Err(Unusable::RefusedByTorchSys("2.11.1+cpu".to_owned())));
        write(&folder.join("build-version"), "2.11.0+cpu\n");
        assert!(inspect(&folder, Need::Cpu).is_ok());
    }

    #[test]
    fn what_is_missing_is_named() {
        let temp = TempFolder::new("missing");
        assert_eq!(inspect(&temp.0.join("nowhere"), Need::Cpu), Err(Unusable::NoFolder));
        assert_eq!(inspect(Path::new("torch"), Need::Cpu), Err(Unusable::RelativePath));
        assert_eq!(inspect(&temp.0, Need::Cpu), Err(Unusable::NoVersion));

        let folder = temp.wheel("torch", "2.11.0");
        fs::remove_file(folder.join("include/ATen/ATen.h")).unwrap();
        let error = inspect(&folder, Need::Cpu).unwrap_err().to_string();
        assert_eq!(error, "its C++ header include/ATen/ATen.h is missing");

        let folder = temp.wheel("torch", "2.11.0");
        fs::remove_file(folder.join(library("c10"))).unwrap();
        assert_eq!(inspect(&folder, Need::Cpu), Err(Unusable::NoLibrary(library("c10"))));
    }
}
