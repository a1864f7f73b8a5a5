//! `toolkit losses new`: a crate for a loss of one's own, which builds at once.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Arg, ArgMatches, Command};
use imbalance_core::host::{SearchPath, conformance};

use crate::failure::UsageError;
use crate::loss_flags::plugin_dir_arg;
use crate::output::shell_word;

/// The files of the crate, with what stands for the id, the type's name and the dependency on imbalance-core.
const FILES: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("template/lib.rs.in")),
    ("README.md", include_str!("template/README.md.in")),
    (".gitignore", "/target\n"),
];

/// The checkout that this program was built from; it may have moved or gone since.
const BUILT_FROM: &str = env!("CARGO_MANIFEST_DIR");

/// The verb's flags.
pub fn command() -> Command {
    Command::new("new")
        .about("A crate for a loss of your own, which builds at once")
        .after_help(
            "The crate depends on imbalance-core, not on libtorch: by path, on the checkout that this program was built \
             from or that --core names; where there is none, by version.",
        )
        .arg(Arg::new("id").value_name("ID").required(true).help("The new loss's id: lower-case words joined by -"))
        .arg(
            Arg::new("path")
                .long("path")
                .value_name("FOLDER")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Where to make it; the folder must not exist [default: a folder named like the id, here]"),
        )
        .arg(
            Arg::new("core")
                .long("core")
                .value_name("FOLDER")
                .value_parser(clap::value_parser!(PathBuf))
                .help("The crate imbalance-core to build with: the folder `core` of a checkout"),
        )
        .arg(plugin_dir_arg())
}

/// Writes the crate.
///
/// # Errors
/// The id is no id, the folder exists, `--core` is no such crate, or a file cannot be written.
pub fn run(matches: &ArgMatches, search: &SearchPath) -> anyhow::Result<()> {
    let id = matches.get_one::<String>("id").map_or("", String::as_str);
    if !conformance::is_well_formed(id) {
        let right = suggested_id(id).map(|id| format!(", such as `{id}`")).unwrap_or_default();
        let said = format!(
            "`{id}` is no id: it must be lower-case words of letters and digits joined by -, the first of them a letter{right}"
        );
        return Err(UsageError(said).into());
    }
    let folder = matches.get_one::<PathBuf>("path").cloned().unwrap_or_else(|| PathBuf::from(id));
    // A link to nowhere is something, too.
    if folder.symlink_metadata().is_ok() {
        return Err(UsageError(format!("{} exists already; --path names another folder", folder.display())).into());
    }
    let (dependency, says) = dependency(matches.get_one::<PathBuf>("core").map(PathBuf::as_path))?;
    if let Some(found) = search.list().into_iter().find(|found| found.id == id) {
        let path = found.path.display();
        eprintln!("warning: there is a loss `{id}` already, {path}; two plugins with one id cannot be used together");
    }
    let fill = |template: &str| {
        let text = template.replace("{{ID}}", id).replace("{{FILE}}", &id.replace('-', "_"));
        text.replace("{{TYPE}}", &type_name(id)).replace("{{DEPENDENCY}}", &dependency)
    };
    for (name, template) in FILES {
        let path = folder.join(name);
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&path, fill(template))
        };
        write().with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let mut out = io::stdout().lock();
    writeln!(out, "made {}, {says}", folder.display())?;
    let there = shell_word(folder.as_os_str());
    writeln!(out, "next: cd {there} && cargo build --release; README.md goes on from there")?;
    Ok(())
}

/// The line of Cargo.toml for imbalance-core, and what it is in words.
fn dependency(given: Option<&Path>) -> anyhow::Result<(String, String)> {
    let built_from = Path::new(BUILT_FROM).join("core");
    let core = match given {
        Some(core) if is_core(core) => Some(core.canonicalize().context("--core")?),
        Some(core) => {
            let said =
                format!("--core {}: is not the crate imbalance-core; give a checkout's folder `core`", core.display());
            return Err(UsageError(said).into());
        }
        None => is_core(&built_from).then_some(built_from),
    };
    let features = "default-features = false";
    match core {
        Some(core) => {
            let Some(text) = core.to_str().filter(|text| !text.contains(char::is_control)) else {
                bail!("{}: Cargo.toml cannot hold a path that is not plain text", core.display());
            };
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            let line = format!("imbalance-core = {{ path = \"{quoted}\", {features} }}");
            Ok((line, format!("which builds with {}", core.display())))
        }
        None => {
            let version = env!("CARGO_PKG_VERSION");
            let line = format!("imbalance-core = {{ version = \"{version}\", {features} }}");
            let says = format!(
                "which builds with imbalance-core {version} from cargo's registry, since the checkout that this program was \
                 built from is gone; --core names another"
            );
            Ok((line, says))
        }
    }
}

fn is_core(folder: &Path) -> bool {
    fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| text.contains("name = \"imbalance-core\""))
}

/// `my-loss` as `MyLoss`.
fn type_name(id: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    let name: String = id.split('-').map(capital).collect();
    // Names that the file imports, or that mean something to Rust.
    let taken = ["Class", "ClassCounts", "ImbalanceLoss", "LogOdds", "LossError", "Params", "PerClass", "Real", "Self"];
    let taken =
        taken.contains(&name.as_str()) || ["Result", "Ok", "Err", "Option", "Some", "None"].contains(&name.as_str());
    if taken { name + "Loss" } else { name }
}

/// The id that `typed` may have meant: `my-loss` for `MyLoss` and `my_loss`.
fn suggested_id(typed: &str) -> Option<String> {
    let (mut id, mut before) = (String::new(), ' ');
    for letter in typed.chars() {
        let begins_word = letter.is_ascii_uppercase() && before.is_ascii_lowercase();
        if (begins_word || !letter.is_ascii_alphanumeric()) && !id.ends_with('-') {
            id.push('-');
        }
        if letter.is_ascii_alphanumeric() {
            id.push(letter.to_ascii_lowercase());
        }
        before = letter;
    }
    let id = id.trim_matches('-').to_owned();
    conformance::is_well_formed(&id).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_after_ids() {
        assert_eq!(type_name("poly-1"), "Poly1");
        assert_eq!(type_name("class-balanced-focal"), "ClassBalancedFocal");
        assert_eq!(type_name("real"), "RealLoss");
    }

    #[test]
    fn what_is_nearly_an_id_is_suggested() {
        for (typed, id) in [("MyLoss", "my-loss"), ("my_loss", "my-loss"), ("My Loss!", "my-loss"), ("LDAM", "ldam")] {
            assert_eq!(suggested_id(typed).as_deref(), Some(id));
        }
        assert_eq!(suggested_id("1.5"), None);
        assert_eq!(suggested_id("é"), None);
    }
}
