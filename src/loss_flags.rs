//! The parameters that a loss declares, as command-line flags.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::StyledStr;
use clap::{Arg, ArgMatches, Command};
use imbalance_core::host::{LossChoice, Plugin, SearchPath};
use imbalance_core::{Head, ParamKind, ParamSpec};

use crate::failure::UsageError;

/// The flag that names more folders with plugins.
pub fn plugin_dir_arg() -> Arg {
    Arg::new("plugin-dir")
        .long("plugin-dir")
        .value_name("FOLDER")
        .value_parser(clap::value_parser!(PathBuf))
        .action(clap::ArgAction::Append)
        .help("Look for loss plugins in this folder first; may be given more than once")
}

/// Every value of `--name` in arguments that clap has not seen yet: which flags there are depends on some
/// of them.
pub fn peek<'a>(args: &'a [OsString], name: &str) -> Vec<&'a str> {
    let mut values = Vec::new();
    for (at, arg) in args.iter().enumerate() {
        let Some(arg) = arg.to_str() else { continue };
        match arg.strip_prefix("--").and_then(|arg| arg.strip_prefix(name)) {
            Some("") => values.extend(args.get(at + 1).and_then(|value| value.to_str())),
            Some(rest) => values.extend(rest.strip_prefix('=')),
            None => {}
        }
    }
    values
}

/// Refuses a loss whose parameter would be the flag `name`, which `command` has already.
///
/// # Errors
/// It has.
pub fn refuse_taken(command: &Command, name: &str, id: &str, param: &str) -> anyhow::Result<()> {
    // Clap adds --help when it parses.
    if name == "help" || command.get_arguments().any(|arg| arg.get_long() == Some(name)) {
        return Err(UsageError(format!(
            "loss `{id}`: its parameter `{param}` has the name of a flag of `{}`; rename it in the plugin",
            command.get_name()
        ))
        .into());
    }
    Ok(())
}

/// The search path that `args` ask for.
///
/// # Errors
/// A `--plugin-dir` that is no folder.
pub fn search_path(args: &[OsString]) -> anyhow::Result<SearchPath> {
    let folders: Vec<PathBuf> = peek(args, "plugin-dir").into_iter().map(PathBuf::from).collect();
    plugins(&folders)
}

/// The standard search path behind these folders. A program that `cargo install` put into a folder `bin`, without plugins in
/// `../lib/toolkit` as `cargo xtask install` brings them, also looks where it was built: cargo does not install plugins.
///
/// # Errors
/// One of `folders` is none.
pub fn plugins(folders: &[PathBuf]) -> anyhow::Result<SearchPath> {
    let search = SearchPath::standard(folders)?;
    let program = std::env::current_exe().unwrap_or_default();
    let folder = program.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "bin"));
    let plain = folder.is_some_and(|folder| !folder.with_file_name("lib").join("toolkit").exists());
    Ok(match option_env!("TOOLKIT_BUILD_FOLDER") {
        Some(folder) if plain => search.and_build(Path::new(folder)),
        _ => search,
    })
}

/// A loss that the arguments name, and the flags that it adds.
#[derive(Debug)]
pub struct LossFlags {
    plugin: Arc<Plugin>,
    /// Before each parameter's name: nothing for the loss itself, `base-` for `--base-loss`.
    prefix: &'static str,
    head: Head,
}

impl LossFlags {
    /// Opens the plugin of `id`.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub fn open(search: &SearchPath, id: &str, prefix: &'static str, head: Head) -> anyhow::Result<Self> {
        Ok(Self { plugin: Arc::new(search.open(id)?), prefix, head })
    }

    /// The flags of a plugin that is open already.
    pub fn of(plugin: Arc<Plugin>, prefix: &'static str, head: Head) -> Self {
        Self { plugin, prefix, head }
    }

    /// Adds the loss's parameters to `command`.
    ///
    /// # Errors
    /// One of them has the name of a flag that the command has already.
    pub fn add_to(&self, mut command: Command) -> anyhow::Result<Command> {
        for param in self.plugin.params() {
            let name = format!("{}{}", self.prefix, param.name);
            refuse_taken(&command, &name, self.plugin.id(), &param.name)?;
            command = command.arg(self.arg(name, param));
        }
        Ok(command)
    }

    fn arg(&self, name: String, param: &ParamSpec) -> Arg {
        let spec = param.clone();
        let arg = Arg::new(name.clone())
            .long(name)
            .help_heading(format!("Loss {}", self.plugin.id()))
            .help(StyledStr::from(format!("{} ({})", param.help, param.expected())))
            .default_value(param.default_text(self.head))
            .allow_negative_numbers(true)
            .value_parser(move |typed: &str| spec.parse(typed).map(|_| typed.to_owned()));
        match &param.kind {
            ParamKind::Number { .. } => arg.value_name("NUMBER"),
            ParamKind::Choice(_) => arg.value_name("CHOICE"),
            ParamKind::Flag => {
                arg.value_name("BOOL").num_args(0..=1).require_equals(true).default_missing_value("true")
            }
        }
    }

    /// The loss with the parameters that were given.
    pub fn choice(&self, matches: &ArgMatches) -> anyhow::Result<LossChoice> {
        let mut params = Vec::new();
        for param in self.plugin.params() {
            let name = format!("{}{}", self.prefix, param.name);
            if let Some(typed) = matches.get_one::<String>(&name) {
                params.push((param.name.clone(), param.parse(typed)?));
            }
        }
        Ok(LossChoice { plugin: Arc::clone(&self.plugin), params })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peeks_at_both_spellings() {
        let args: Vec<OsString> = ["--loss", "a", "--plugin-dir=x", "--loss=b", "--lossy", "c"].map(Into::into).into();
        assert_eq!(peek(&args, "loss"), ["a", "b"]);
        assert_eq!(peek(&args, "plugin-dir"), ["x"]);
        assert!(peek(&args, "run").is_empty());
    }
}
