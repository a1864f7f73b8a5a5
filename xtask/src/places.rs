//! Where things are: the checkout, its libtorch link, the cache of fetched libtorches.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::libtorch::Need;
use crate::version::LIBTORCH;

/// The checkout's root. `cargo run` tells where the package is now; the compiled-in path serves when
/// the program is started by hand.
pub fn checkout() -> PathBuf {
    let package =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or(package.clone(), Path::to_owned)
}

/// The link that `.cargo/config.toml` gives to torch-sys as LIBTORCH.
pub fn link() -> PathBuf {
    checkout().join(".libtorch")
}

/// LIBTORCH as the user set it. Cargo sets it to the link for the programs it runs when the user has
/// not, which says nothing.
pub fn libtorch_of_environment() -> Option<PathBuf> {
    let folder = PathBuf::from(env::var_os("LIBTORCH")?);
    (folder != link()).then_some(folder)
}

/// The folder that fetched libtorches are kept in, shared by all checkouts of the user.
///
/// # Errors
/// Neither XDG_CACHE_HOME nor HOME names one.
pub fn cache() -> Result<PathBuf> {
    cache_below(env::var_os("XDG_CACHE_HOME").as_deref(), env::var_os("HOME").as_deref())
        .context("there is no folder to keep libtorch in: set HOME, or XDG_CACHE_HOME to an absolute path")
}

/// By the XDG base directory rules: a relative XDG_CACHE_HOME is as good as none.
fn cache_below(xdg_cache_home: Option<&OsStr>, home: Option<&OsStr>) -> Option<PathBuf> {
    let absolute = |path: &&OsStr| Path::new(path).is_absolute();
    let base = match xdg_cache_home.filter(absolute) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(home.filter(absolute)?).join(".cache"),
    };
    Some(base.join("imbalance-toolkit"))
}

/// Where in the cache the libtorch for `need` is installed.
pub fn installation(cache: &Path, need: Need) -> PathBuf {
    let suffix = match need {
        Need::Cpu => "",
        Need::Cuda => "-cuda",
    };
    cache.join(format!("libtorch-{LIBTORCH}{suffix}"))
}

/// The folder with `include/` and `lib/` in an installation by pip.
pub fn libtorch_in(installation: &Path) -> PathBuf {
    installation.join("torch")
}

/// The folder that cargo builds into, which this program was built into too.
pub fn target() -> PathBuf {
    env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.parent()?.to_owned()))
        .unwrap_or_else(|| checkout().join("target"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(xdg_cache_home: Option<&str>, home: Option<&str>) -> Option<PathBuf> {
        cache_below(xdg_cache_home.map(OsStr::new), home.map(OsStr::new))
    }

    #[test]
    fn the_cache_follows_the_base_directory_rules() {
        let in_home = Some(PathBuf::from("/home/me/.cache/imbalance-toolkit"));
        assert_eq!(below(Some("/big/cache"), Some("/home/me")), Some(PathBuf::from("/big/cache/imbalance-toolkit")));
        for ignored in [None, Some(""), Some("cache")] {
            assert_eq!(below(ignored, Some("/home/me")), in_home, "{ignored:?}");
        }
        assert_eq!(below(None, None), None);
        assert_eq!(below(None, Some("")), None);
    }

    #[test]
    fn cpu_and_cuda_installations_do_not_mix() {
        let cache = Path::new("/cache");
        let cpu = installation(cache, Need::Cpu);
        assert_eq!(cpu, Path::new("/cache/libtorch-2.11.0"));
        assert_ne!(cpu, installation(cache, Need::Cuda));
    }
}
