//! Fetching libtorch with pip into the user's cache.
//!
//! The libtorch is the one in the wheel of Python's torch. Its libraries find those of the NVIDIA wheels by
//! paths relative to themselves (`$ORIGIN/../../nvidia`), so that any folder that pip installs both into will do.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::interrupt;
use crate::libtorch::{self, Libtorch, Need};
use crate::places;
use crate::python::Pip;
use crate::system;
use crate::version::LIBTORCH;

/// What `libtorch_cpu.so` needs beside torch's own wheel, at the versions that torch 2.11.0 asks for
/// (through cuda-toolkit 13.0.2). The other 3 GB of its requirements are for GPUs only.
const CPU_REQUIREMENTS: [&str; 2] = ["nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];

/// The Python whose wheels are fetched, whatever the Python that runs pip: only their C++ part is
/// used, and torch 2.11 has no wheel for Python 3.9 and earlier.
const WHEELS_FOR_PYTHON: &str = "3.12";

/// Sizes in megabytes (10⁶ bytes), measured with pip on x86-64; those of aarch64 are smaller.
struct Size {
    download: u64,
    installed: u64,
    /// What must be free: the downloaded wheels are there until they are unpacked.
    peak: u64,
}

const fn size(need: Need) -> Size {
    match need {
        Need::Cpu => Size { download: 544, installed: 1_200, peak: 1_900 },
        Need::Cuda => Size { download: 2_720, installed: 4_800, peak: 8_000 },
    }
}

/// Installs libtorch for `need` into the cache and returns it. If another process is at it, waits for
/// that one and takes its result.
///
/// # Errors
/// The platform has no wheel, there is no pip, no space, no connection, or the process was interrupted.
/// Nothing is left in the cache then.
pub fn fetch(need: Need) -> Result<Libtorch> {
    require_wheels()?;
    let cache = places::cache()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let installation = places::installation(&cache, need);
    let lock = lock(&with_ending(&installation, "lock"))?;
    if let Ok(found) = libtorch::inspect(&places::libtorch_in(&installation), need) {
        return Ok(found);
    }

    let pip = Pip::find()?;
    // Whoever holds the lock is the only one at work: what lies there was left by a killed process.
    let partial = with_ending(&installation, "partial");
    remove(&partial)?;
    require_space(&cache, need)?;
    announce(need, &installation);
    let fetched = install(&pip, need, &partial, &lock).and_then(|()| put_in_place(need, &partial, &installation));
    // Also after a failure, whose own error is the one to report.
    let removed = remove(&partial);
    fetched.and_then(|found| removed.map(|()| found))
}

fn require_wheels() -> Result<()> {
    let supported =
        cfg!(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")));
    if !supported {
        bail!(
            "libtorch is fetched only for Linux with glibc on x86-64 and aarch64. Install libtorch \
             {LIBTORCH} yourself (for example with `pip install torch=={LIBTORCH}`) and set LIBTORCH \
             to its folder, the one that has include/ and lib/"
        );
    }
    Ok(())
}

fn require_space(cache: &Path, need: Need) -> Result<()> {
    let needed = size(need).peak;
    match system::free_megabytes(cache) {
        Some(free) if free < needed => bail!(
            "{} has {free} MB free, and fetching libtorch needs {needed} MB: make room, or set \
             XDG_CACHE_HOME to a folder on another disk",
            cache.display()
        ),
        _ => Ok(()),
    }
}

/// `libtorch-2.11.0` with `.ending` behind it (not `Path::with_extension`, which would replace `.0`).
fn with_ending(installation: &Path, ending: &str) -> PathBuf {
    let mut name = installation.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// Locks `path`; the system unlocks it when the process ends, however it ends.
fn lock(path: &Path) -> Result<File> {
    let what = || format!("cannot lock {}", path.display());
    let file = File::create(path).with_context(what)?;
    if file.try_lock().is_err() {
        eprintln!("Waiting for another set-up that is fetching libtorch …");
        file.lock().with_context(what)?;
    }
    Ok(file)
}

fn install(pip: &Pip, need: Need, partial: &Path, lock: &File) -> Result<()> {
    // pip unpacks in the temporary folder and moves the result: in the same file system that is
    // quick, /tmp may be too small, and an interrupt leaves nothing outside `partial`.
    let temporary = partial.join("tmp");
    fs::create_dir_all(&temporary).with_context(|| format!("cannot make {}", temporary.display()))?;
    // An empty file to read, by which pip shares the lock: should this process be killed, the lock
    // is not free before pip has stopped writing.
    let shared_lock = lock.try_clone().context("cannot share the lock with pip")?;
    let mut command = Command::new(&pip.python);
    command
        .args(pip_arguments(need))
        .arg("--target")
        .arg(partial.join("site"))
        .env("TMPDIR", &temporary)
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .stdin(shared_lock)
        .stdout(io::stderr());
    let status = interrupt::run(&mut command)?;
    if !status.success() {
        bail!(
            "pip could not fetch torch {LIBTORCH} ({status}; its messages are above). If this \
             machine cannot reach a package index, bring a libtorch {LIBTORCH} and set LIBTORCH to its folder"
        );
    }
    Ok(())
}

fn announce(need: Need, installation: &Path) {
    let size = size(need);
    let what = match need {
        Need::Cpu => format!("torch {LIBTORCH} and {}", CPU_REQUIREMENTS.join(", ")),
        Need::Cuda => format!("torch {LIBTORCH} and everything it needs for GPUs"),
    };
    eprintln!(
        "Fetching libtorch {LIBTORCH} with pip: {what}.\n\
         About {} MB to download, {:.1} GB on disk, in {}",
        size.download,
        size.installed as f64 / 1000.0,
        installation.display()
    );
}

fn pip_arguments(need: Need) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "-m",
        "pip",
        "install",
        "--no-input",
        // The cache would hold all of it a second time.
        "--no-cache-dir",
        // Nothing here is run by Python.
        "--no-compile",
        "--only-binary=:all:",
        "--python-version",
        WHEELS_FOR_PYTHON,
        // pip asks the running Python as well.
        "--ignore-requires-python",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("torch=={LIBTORCH}"));
    if need == Need::Cpu {
        arguments.push("--no-deps".to_owned());
        arguments.extend(CPU_REQUIREMENTS.map(str::to_owned));
    }
    arguments
}

/// Checks what pip installed below `partial` and moves it to `installation`.
fn put_in_place(need: Need, partial: &Path, installation: &Path) -> Result<Libtorch> {
    let site = partial.join("site");
    if let Err(reason) = libtorch::inspect(&places::libtorch_in(&site), need) {
        bail!("the torch that pip fetched cannot be used: {reason}");
    }
    // There if an earlier one was damaged since: it did not pass the inspection.
    remove(installation)?;
    fs::rename(&site, installation)
        .with_context(|| format!("cannot move {} to {}", site.display(), installation.display()))?;
    let folder = places::libtorch_in(installation);
    libtorch::inspect(&folder, need).map_err(|reason| anyhow::anyhow!("{} cannot be used: {reason}", folder.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtorch::fake::TempFolder;

    #[test]
    fn names_keep_the_patch_version() {
        let installation = Path::new("/cache/libtorch-2.11.0");
        assert_eq!(with_ending(installation, "partial"), Path::new("/cache/libtorch-2.11.0.partial"));
    }

    #[test]
    fn only_the_cpu_set_leaves_out_dependencies() {
        let cpu = pip_arguments(Need::Cpu);
        assert!(cpu.contains(&"--no-deps".to_owned()));
        assert!(cpu.contains(&"nvidia-cuda-cupti==13.0.85".to_owned()));
        let cuda = pip_arguments(Need::Cuda);
        assert!(!cuda.contains(&"--no-deps".to_owned()));
        assert!(cuda.contains(&"torch==2.11.0".to_owned()));
    }

    #[test]
    fn what_is_unusable_is_not_put_in_place_and_does_not_replace_anything() {
        let temp = TempFolder::new("in-place");
        let installation = temp.0.join("libtorch-2.11.0");
        temp.wheel("libtorch-2.11.0/torch", "2.11.0");
        temp.wheel("partial/site/torch", "2.10.0");
        let error = put_in_place(Need::Cpu, &temp.0.join("partial"), &installation).unwrap_err();
        assert!(error.to_string().contains("libtorch 2.10.0"), "{error}");
        assert!(libtorch::inspect(&places::libtorch_in(&installation), Need::Cpu).is_ok());
    }

    #[test]
    fn a_damaged_installation_is_replaced() {
        let temp = TempFolder::new("damaged");
        let installation = temp.0.join("libtorch-2.11.0");
        let damaged = temp.wheel("libtorch-2.11.0/torch", "2.11.0");
        fs::remove_file(damaged.join("version.py")).unwrap();
        temp.wheel("partial/site/torch", "2.11.0");
        let found = put_in_place(Need::Cpu, &temp.0.join("partial"), &installation).unwrap();
        assert_eq!(found.folder, damaged);
        assert!(damaged.join("version.py").is_file());
    }
}
