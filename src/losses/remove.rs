//! `toolkit losses remove`: takes a plugin out of the user's own plugin folder.

use std::fs;
use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command};
use imbalance_core::host::{SearchPath, edit_distance};

use super::install::user_folder;
use crate::failure::UsageError;
use crate::loss_flags::plugin_dir_arg;

/// The verb's flags.
pub fn command() -> Command {
    Command::new("remove")
        .about("Delete a plugin from your own plugin folder")
        .arg(Arg::new("id").value_name("ID").required(true).help("The loss"))
        .arg(plugin_dir_arg())
}

/// Deletes the plugin of the id, which need not be one that can be opened.
///
/// # Errors
/// The user's folder has none of that id, or it cannot be deleted.
pub fn run(matches: &ArgMatches, search: &SearchPath) -> anyhow::Result<()> {
    let id = matches.get_one::<String>("id").map_or("", String::as_str);
    let folder = user_folder()?;
    let installed = SearchPath::of(vec![folder.clone()]).list();
    // Compared with what is there, never joined to the folder: an id such as `../x` finds nothing.
    let Some(found) = installed.iter().find(|found| found.id == id) else {
        let mut said = format!("no loss `{id}` in {}", folder.display());
        let nearest = installed.iter().map(|found| (edit_distance(&found.id, id), &found.id)).min();
        if let Some((_, near)) = nearest.filter(|(distance, near)| *distance <= 1 + near.len() / 4) {
            said += &format!(", did you mean `{near}`?");
        }
        said += "; there: ";
        said += &match installed.as_slice() {
            [] => "none".to_owned(),
            some => some.iter().map(|found| found.id.as_str()).collect::<Vec<_>>().join(", "),
        };
        if let Some(elsewhere) = search.list().into_iter().find(|found| found.id == id) {
            said += &format!("; {} is not yours to remove this way, delete the file itself", elsewhere.path.display());
        }
        return Err(UsageError(said).into());
    };
    fs::remove_file(&found.path).with_context(|| format!("{} cannot be deleted", found.path.display()))?;
    writeln!(io::stdout(), "removed {}", found.path.display())?;
    Ok(())
}
