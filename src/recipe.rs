//! Recipes: TOML files whose keys are flags, given before the flags of the command line.

use std::ffi::OsString;
use std::path::Path;

use clap::Command;
use imbalance_core::host::edit_distance;
use toml::Value;

use crate::failure::UsageError;

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
    args: Vec<OsString>,
}

impl Recipe {
    /// Reads TOML `text`; relative paths in it stay relative to the working directory.
    ///
    /// # Errors
    /// It is no TOML, or holds a value that no flag takes.
    pub fn parse(origin: &str, text: &str) -> anyhow::Result<Self> {
        let table: toml::Table =
            text.parse().map_err(|error| UsageError(format!("{origin}: {}", format!("{error}").trim_end())))?;
        let mut entries = Vec::new();
        for (key, value) in table {
            let line = line_of(text, &key);
            let flag = format!("--{key}");
            let args = match value {
                Value::Boolean(true) => vec![flag.into()],
                Value::Boolean(false) => vec![],
                Value::String(text) => vec![format!("{flag}={text}").into()],
                Value::Integer(number) => vec![format!("{flag}={number}").into()],
                Value::Float(number) => vec![format!("{flag}={number}").into()],
                Value::Array(items) => {
                    let items: Vec<String> = items.iter().map(plain).collect();
                    vec![format!("{flag}={}", items.join(",")).into()]
                }
                Value::Datetime(_) | Value::Table(_) => {
                    return Err(UsageError(format!(
                        "{origin}:{line}: `{key}` is a {}; a recipe holds flags and their values, one a line",
                        value.type_str()
                    ))
                    .into());
                }
            };
            entries.push(Entry { key, line, args });
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
        let arg = entry.args.first()?.to_str()?;
        Some(arg.split_once('=').map_or("true", |(_, value)| value).to_owned())
    }

    /// The arguments, each checked against `command` so that an error names the line.
    ///
    /// # Errors
    /// A key that is no flag of `command`, or a value that it does not take.
    pub fn args(&self, command: &Command) -> anyhow::Result<Vec<OsString>> {
        let mut args = Vec::new();
        for Entry { key, line, args: entry } in &self.entries {
            let place = format!("{}:{line}", self.origin);
            let Some(arg) = command.get_arguments().find(|arg| arg.get_long() == Some(key)) else {
                return Err(UsageError(format!("{place}: {}", unknown(key, command))).into());
            };
            // The flag alone, so that the rest of the command line cannot be at fault; needs of other flags
            // are the whole line's business.
            let alone = Command::new("recipe").arg(arg.clone().required(false));
            let typed = std::iter::once(OsString::from("recipe")).chain(entry.iter().cloned());
            if let Err(error) = alone.try_get_matches_from(typed) {
                if error.kind() != clap::error::ErrorKind::MissingRequiredArgument {
                    let text = error.to_string();
                    let said = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
                    return Err(UsageError(format!("{place}: {said}")).into());
                }
            }
            args.extend(entry.iter().cloned());
        }
        Ok(args)
    }

    /// Those arguments that are flags of `command`.
    pub fn known_args(&self, command: &Command) -> Vec<OsString> {
        let known = |key: &str| command.get_arguments().any(|arg| arg.get_long() == Some(key));
        self.entries.iter().filter(|entry| known(&entry.key)).flat_map(|entry| entry.args.clone()).collect()
    }
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
        line.strip_prefix(key).is_some_and(|rest| rest.trim_start_matches(['"', '\'', ']']).trim_start().starts_with(['=', '.']) || rest.starts_with(']'))
    };
    text.lines().position(names).map_or(1, |at| at + 1)
}

fn unknown(key: &str, command: &Command) -> String {
    let names = command.get_arguments().filter_map(|arg| arg.get_long());
    let nearest = names.map(|name| (edit_distance(name, key), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 1 + name.len() / 4 => format!("unknown key `{key}`, did you mean `{name}`?"),
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
    fn errors_name_file_and_line() {
        assert_eq!(said("# a comment\nlr = 0.1\nnestrov = true\n"), "r.toml:3: unknown key `nestrov`, did you mean `nesterov`?");
        assert!(said("lr = \"fast\"\n").starts_with("r.toml:1: invalid value 'fast' for '--lr"), "{}", said("lr = \"fast\"\n"));
        assert!(said("[lr]\na = 1\n").starts_with("r.toml:1: `lr` is a table"));
        assert!(said("lr = = 1").starts_with("r.toml: TOML parse error at line 1"), "{}", said("lr = = 1"));
    }
}
