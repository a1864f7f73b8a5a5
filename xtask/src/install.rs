//! `cargo xtask install`: the toolkit with its plugins, outside the checkout.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo;

/// Builds all in release mode, installs the toolkit into `<root>/bin` and the plugins into `<root>/lib/toolkit`, where it
/// looks for them. Returns cargo's exit code if it fails.
///
/// # Errors
/// Cargo cannot be started; a plugin cannot be copied.
pub fn run(args: &[OsString]) -> Result<u8> {
    let program = match cargo::build_release()? {
        Ok(program) => program,
        Err(status) => return Ok(cargo::exit_code(status)),
    };
    let mut install = cargo::command();
    let status = install.args(["install", "--path", "."]).args(args).status().context("cannot start cargo")?;
    if !status.success() {
        return Ok(cargo::exit_code(status));
    }
    let root = root(args)?;
    let folder = root.join("lib/toolkit");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be created", folder.display()))?;
    let built = program.parent().context("the program is in no folder")?;
    let mut count = 0;
    for entry in fs::read_dir(built).with_context(|| format!("{} cannot be read", built.display()))? {
        let path = entry?.path();
        if is_plugin(&path) {
            let to = folder.join(path.file_name().unwrap_or_default());
            fs::copy(&path, &to).with_context(|| format!("{} cannot be copied to {}", path.display(), to.display()))?;
            count += 1;
        }
    }
    if count == 0 {
        bail!("{} holds no plugin", built.display());
    }
    println!("{} and {count} losses in {}", root.join("bin/toolkit").display(), folder.display());
    Ok(0)
}

fn is_plugin(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.starts_with("libtoolkit_loss_") && name.ends_with(".so")
}

/// Where `cargo install` installs, by its own rules (`cargo help install`) but for a configuration file's.
fn root(args: &[OsString]) -> Result<PathBuf> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--root") => return Ok(args.next().context("--root needs a folder")?.into()),
            Some(text) if text.starts_with("--root=") => return Ok(text["--root=".len()..].into()),
            _ => {}
        }
    }
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    let of = |name: &str| env::var_os(name).map(PathBuf::from);
    of("CARGO_INSTALL_ROOT")
        .or_else(|| of("CARGO_HOME"))
        .or_else(home)
        .context("there is no HOME to install into; give --root")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_that_of_cargo_install() {
        let of = |args: &[&str]| root(&args.iter().map(OsString::from).collect::<Vec<_>>()).unwrap();
        assert_eq!(of(&["--root", "/a", "--force"]), Path::new("/a"));
        assert_eq!(of(&["--root=/b"]), Path::new("/b"));
        assert!(root(&["--root".into()]).is_err());
    }

    #[test]
    fn plugins_are_told_by_their_names() {
        assert!(is_plugin(Path::new("x/libtoolkit_loss_focal.so")));
        assert!(!is_plugin(Path::new("x/libtoolkit_loss_focal.d")) && !is_plugin(Path::new("x/libc.so")));
    }
}
