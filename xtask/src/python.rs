//! The Pythons that the user has: the torch in them, and pip.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::version::{self, Version};

/// The first pip that knows the platform tag of torch's wheels (`manylinux_2_28`, PEP 600).
const OLDEST_PIP: Version = Version { major: 20, minor: 3, patch: 0 };

/// Finds torch without importing it, which takes seconds and can fail. Prints nothing if there is none.
const WHERE_IS_TORCH: &str = "
import importlib.util, os, sys
spec = importlib.util.find_spec('torch')
if spec and spec.origin:
    sys.stdout.buffer.write(os.fsencode(os.path.dirname(spec.origin)))
";

/// The programs to ask, the environments that are active first. They need not exist.
pub fn interpreters() -> Vec<PathBuf> {
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .into_iter()
        .filter_map(env::var_os)
        .map(|folder| Path::new(&folder).join("bin/python"));
    let on_path = ["python3", "python"].map(PathBuf::from);
    active.chain(on_path).collect()
}

/// The folder of the torch that `python` would import, if it has one.
pub fn torch_folder(python: &Path) -> Option<PathBuf> {
    // In `/`, so that a folder named `torch` where the user happens to be is not taken for it.
    let output = quiet(python).args(["-c", WHERE_IS_TORCH]).current_dir("/").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !folder.is_empty()).then(|| PathBuf::from(folder))
}

/// What `python --version` says, `None` if there is no such program.
pub fn version(python: &Path) -> Option<String> {
    let output = quiet(python).arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A Python that has a pip which can fetch torch.
#[derive(Debug, Clone)]
pub struct Pip {
    /// The Python to run `-m pip` with.
    pub python: PathBuf,
    /// pip's own version.
    pub version: Version,
}

impl Pip {
    /// The first of [`interpreters`] that has a usable pip.
    ///
    /// # Errors
    /// None has; the message says what to install.
    pub fn find() -> Result<Self> {
        let mut too_old = None;
        let mut any_python = false;
        for python in interpreters() {
            any_python |= version(&python).is_some();
            match pip_version(&python) {
                Some(version) if version >= OLDEST_PIP => return Ok(Self { python, version }),
                Some(version) => too_old = too_old.or(Some((python, version))),
                None => {}
            }
        }
        let wanted = format!("{}.{}", OLDEST_PIP.major, OLDEST_PIP.minor);
        match too_old {
            Some((python, version)) => {
                let python = python.display();
                bail!(
                    "the pip of {python} is {version}; {wanted} or later is needed: \
                     {python} -m pip install --upgrade pip"
                )
            }
            None if any_python => bail!(
                "Python has no pip: install it (Debian and Ubuntu: apt install python3-pip; \
                 Fedora: dnf install python3-pip; elsewhere: python3 -m ensurepip)"
            ),
            None => bail!(
                "there is no python3: install Python 3 with pip (Debian and Ubuntu: apt install \
                 python3-pip; Fedora: dnf install python3-pip)"
            ),
        }
    }
}

fn pip_version(python: &Path) -> Option<Version> {
    let output = quiet(python).args(["-m", "pip", "--version"]).current_dir("/").output().ok()?;
    version::first_in(&String::from_utf8_lossy(&output.stdout))
}

fn quiet(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}
