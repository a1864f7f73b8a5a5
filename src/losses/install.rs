//! `toolkit losses install`: a copy of a plugin in the user's own plugin folder, under its right name.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use imbalance_core::host::{Plugin, SearchPath, conformance, file_name};

use super::check::plugin_file;
use crate::failure::UsageError;
use crate::loss_flags::plugin_dir_arg;

/// The verb's flags.
pub fn command() -> Command {
    Command::new("install")
        .about("Copy a plugin into your own plugin folder")
        .arg(
            Arg::new("path")
                .value_name("PATH")
                .required(true)
                .value_parser(clap::value_parser!(PathBuf))
                .help("The plugin's file; its name does not matter"),
        )
        .arg(
            Arg::new("force")
                .long("force")
                .action(ArgAction::SetTrue)
                .help("Replace an installed plugin of the same id"),
        )
        .arg(plugin_dir_arg())
}

/// Opens the plugin, which is the handshake of `check`, and copies it.
///
/// # Errors
/// It is no plugin that this toolkit can use, another one has its id, or the folder cannot be written.
pub fn run(matches: &ArgMatches, search: &SearchPath) -> anyhow::Result<()> {
    let given: &Path = matches.get_one::<PathBuf>("path").map_or(Path::new(""), PathBuf::as_path);
    let file = plugin_file(given)?;
    let plugin = Plugin::open(&file)?;
    let id = plugin.id();
    if !conformance::is_well_formed(id) {
        bail!("plugin {}: its id is `{id}`; an id is lower-case words joined by -", given.display());
    }
    let folder = user_folder()?;
    let to = folder.join(file_name(id));
    let bytes = fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    if let Some(other) = other_plugin(search, id, &folder, &bytes) {
        bail!(
            "{} is the plugin of `{id}` already, and differs; two plugins with one id are an error, so give yours another id",
            other.display()
        );
    }
    let before = fs::read(&to).ok();
    if before.as_ref() == Some(&bytes) {
        writeln!(io::stdout(), "{} is there already, the same file", to.display())?;
        return Ok(());
    }
    if before.is_some() && !matches.get_flag("force") {
        let said = format!("{} is there already, and differs; `--force` replaces it", to.display());
        return Err(UsageError(said).into());
    }
    make_folder(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    write_whole(&folder, &to, &bytes).with_context(|| format!("{} cannot be written", to.display()))?;
    let installed = Plugin::open(&to)?;
    if installed.sha256() != plugin.sha256() {
        let _ = fs::remove_file(&to);
        return Err(anyhow!("{} changed while it was being installed; try again", file.display()));
    }
    writeln!(io::stdout(), "{} `{id}` as {}", if before.is_some() { "replaced" } else { "installed" }, to.display())?;
    Ok(())
}

/// The user's own plugin folder.
///
/// # Errors
/// The environment names no home.
pub fn user_folder() -> anyhow::Result<PathBuf> {
    SearchPath::user_folder().ok_or_else(|| {
        UsageError("neither XDG_DATA_HOME nor HOME is set, so there is no plugin folder of yours".into()).into()
    })
}

/// Another file for the id on the search path, outside of the user's folder.
fn other_plugin(search: &SearchPath, id: &str, user: &Path, bytes: &[u8]) -> Option<PathBuf> {
    let elsewhere = search.folders().iter().filter(|folder| *folder != user).map(|folder| folder.join(file_name(id)));
    elsewhere.filter(|path| path.is_file()).find(|path| fs::read(path).is_ok_and(|other| other != bytes))
}

/// Makes the folder and those above it that are missing, such that only their owner may write to them, whatever the umask.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folder(above)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Err(_) => Ok(()),
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o755)),
    }
}

/// Writes a file that is never seen half-written: a temporary one beside it, synced and renamed.
fn write_whole(folder: &Path, to: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!(".installing-{}", std::process::id()));
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()?;
        fs::rename(&temporary, to)
    };
    write().inspect_err(|_| {
        // The error that matters is the one at hand.
        let _ = fs::remove_file(&temporary);
    })
}
