//! Recipes: TOML files whose keys are flags, given before the flags of the command line.

use std::ffi::OsString;
use std::path::Path;

use clap::{Arg, Command};
use imbalance_core::host::edit_distance;
use toml::Value;

use crate::failure::UsageError;

/// Flags that say what a command does, or where it finds what it needs before it reads settings: no file has them.
pub const NO_SETTINGS: [&str; 7] = ["config", "json", "overwrite", "plugin-dir", "resume", "seeds", "sweep"];

/// Settings in the order default < recipe < flag: what a TOML file says, as arguments.
#[derive(Debug)]
pub struct Recipe {
    /// The file, or the name of a recipe that comes with the toolkit.
    origin: String,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: String,
    line: usize,
    setting: Setting,
}

#[derive(Debug)]
enum Setting {
    Switch(bool),
    Value(String),
}

impl Entry {
    /// As it would be typed for `arg`.
    fn args(&self, arg: &Arg) -> Vec<OsString> {
        let flag = format!("--{}", self.key);
        match &self.setting {
            Setting::Switch(true) => vec![flag.into()],
            Setting::Switch(false) if arg.get_action().takes_values() => vec![format!("{flag}=false").into()],
            Setting::Switch(false) => vec![],
            Setting::Value(value) => vec![format!("{flag}={value}").into()],
        }
    }
}

impl Recipe {
    /// Reads TOML `text`; relative paths in it stay relative to the working directory.
    ///
    /// # Errors
    /// It is no TOML, or holds a value that no flag takes.
    pub fn parse(origin: &str, text: &str) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = 1 + error.span().map_or(0, |span| text[..span.start].matches('\n').count());
            UsageError(format!("{origin}:{line}: {}", error.message().trim_end()))
        })?;
        let mut entries = Vec::new();
        for (key, value) in table {
            let line = line_of(text, &key);
            let setting = match value {
                Value::Boolean(on) => Setting::Switch(on),
                Value::String(_) | Value::Integer(_) | Value::Float(_) => Setting::Value(plain(&value)),
                Value::Array(items) => Setting::Value(items.iter().map(plain).collect::<Vec<_>>().join(",")),
                Value::Datetime(_) | Value::Table(_) => {
                    return Err(UsageError(format!(
                        "{origin}:{line}: `{key}` is a {}; a recipe holds flags and their values, one a line",
                        value.type_str()
                    ))
                    .into());
                }
            };
            entries.push(Entry { key, line, setting });
        }
        Ok(Self { origin: origin.to_owned(), entries })
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read; see also [`Recipe::parse`].
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| UsageError(format!("{}: cannot be read: {error}", path.display())))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// The value of `key` as it would be typed, before `command` is known.
    pub fn value(&self, key: &str) -> Option<String> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(match &entry.setting {
            Setting::Switch(on) => on.to_string(),
            Setting::Value(value) => value.clone(),
        })
    }

    /// The arguments, each checked against `command` so that an error names the line.
    ///
    /// # Errors
    /// A key that is no flag of `command`, or a value that it does not take.
    pub fn args(&self, command: &Command) -> anyhow::Result<Vec<OsString>> {
        let mut args = Vec::new();
        for entry in &self.entries {
            let place = format!("{}:{}", self.origin, entry.line);
            if NO_SETTINGS.contains(&entry.key.as_str()) {
                let key = &entry.key;
                return Err(UsageError(format!(
                    "{place}: `{key}` is no setting of a training; give --{key} on the command line"
                ))
                .into());
            }
            let Some(arg) = find(command, &entry.key) else {
                return Err(UsageError(format!("{place}: {}", unknown(&entry.key, command))).into());
            };
            // The flag alone, so that the rest of the command line cannot be at fault; needs of other flags
            // are the whole line's business.
            let typed = entry.args(arg);
            let alone = std::iter::once(OsString::from(command.get_name())).chain(typed.iter().cloned());
            match command.clone().try_get_matches_from(alone) {
                Err(error) if error.kind() != clap::error::ErrorKind::MissingRequiredArgument => {
                    let text = error.to_string();
                    let said: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
                    let said = said.join(" ");
                    return Err(UsageError(format!("{place}: {}", said.trim_start_matches("error: "))).into());
                }
                _ => args.extend(typed),
            }
        }
        Ok(args)
    }

    /// Those arguments that are flags of `command`.
    pub fn known_args(&self, command: &Command) -> Vec<OsString> {
        self.entries.iter().filter_map(|entry| Some(entry.args(find(command, &entry.key)?))).flatten().collect()
    }

    /// The flags without value that it switches off, for which no argument stands: an earlier recipe's must go.
    pub fn switched_off(&self) -> Vec<OsString> {
        let off = self.entries.iter().filter(|entry| matches!(entry.setting, Setting::Switch(false)));
        off.map(|entry| format!("--{}", entry.key).into()).collect()
    }
}

fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(key))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The line, from 1, on which `key` stands.
fn line_of(text: &str, key: &str) -> usize {
    let names = |line: &str| {
        let line = line.trim_start().trim_start_matches(['"', '\'', '[']);
        line.strip_prefix(key).is_some_and(|rest| {
            rest.trim_start_matches(['"', '\'', ']']).trim_start().starts_with(['=', '.']) || rest.starts_with(']')
        })
    };
    text.lines().position(names).map_or(1, |at| at + 1)
}

fn unknown(key: &str, command: &Command) -> String {
    let names = command.get_arguments().filter_map(|arg| arg.get_long());
    let nearest = names.map(|name| (edit_distance(name, key), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 1 + name.len() / 4 => {
            format!("unknown key `{key}`, did you mean `{name}`?")
        }
        _ => format!("unknown key `{key}`; keys are the flags of `toolkit {} --help`", command.get_name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn command() -> Command {
        Command::new("dialogue")
            .arg(Arg::new("lr").long("lr").value_parser(clap::value_parser!(f64)))
            .arg(Arg::new("step-epochs").long("step-epochs"))
            .arg(Arg::new("nesterov").long("nesterov").action(clap::ArgAction::SetTrue))
            .arg(Arg::new("schedule").long("schedule").value_parser(["constant", "step"]))
            .arg(Arg::new("balanced").long("balanced").num_args(0..=1).require_equals(true).default_value("true"))
            .arg(Arg::new("data").long("data").conflicts_with("train-data"))
            .arg(Arg::new("train-data").long("train-data").requires("valid-data"))
            .arg(Arg::new("valid-data").long("valid-data"))
    }

    fn said(text: &str) -> String {
        Recipe::parse("r.toml", text).and_then(|recipe| recipe.args(&command())).unwrap_err().to_string()
    }

    #[test]
    fn values_become_arguments() {
        let recipe = Recipe::parse("r.toml", "lr = 0.5\nnesterov = true\nstep-epochs = [160, 180]\n").unwrap();
        assert_eq!(recipe.args(&command()).unwrap(), ["--lr=0.5", "--nesterov", "--step-epochs=160,180"]);
        assert_eq!(recipe.value("lr").as_deref(), Some("0.5"));
    }

    #[test]
    fn switches_are_flags_with_and_without_value() {
        let recipe = Recipe::parse("r.toml", "nesterov = false\nbalanced = false\n").unwrap();
        assert_eq!(recipe.args(&command()).unwrap(), ["--balanced=false"]);
        assert!(recipe.switched_off().contains(&"--nesterov".into()));
        assert_eq!(recipe.value("nesterov").as_deref(), Some("false"));
    }

    #[test]
    fn flags_that_concern_others_are_checked_with_them() {
        let recipe = Recipe::parse("r.toml", "data = \"x\"\ntrain-data = \"y\"\n").unwrap();
        assert_eq!(recipe.args(&command()).unwrap(), ["--data=x", "--train-data=y"]);
    }

    #[test]
    fn errors_name_file_and_line() {
        assert_eq!(
            said("# a comment\nlr = 0.1\nnestrov = true\n"),
            "r.toml:3: unknown key `nestrov`, did you mean `nesterov`?"
        );
        assert!(
            said("lr = \"fast\"\n").starts_with("r.toml:1: invalid value 'fast' for '--lr"),
            "{}",
            said("lr = \"fast\"\n")
        );
        assert_eq!(
            said("seeds = \"0..2\"\n"),
            "r.toml:1: `seeds` is no setting of a training; give --seeds on the command line"
        );
        assert!(said("[lr]\na = 1\n").starts_with("r.toml:1: `lr` is a table"));
        assert!(said("\nlr = = 1").starts_with("r.toml:2: "), "{}", said("\nlr = = 1"));
        let choices = "r.toml:1: invalid value 'linear' for '--schedule <schedule>' [possible values: constant, step]";
        assert_eq!(said("schedule = \"linear\""), choices);
    }
}
