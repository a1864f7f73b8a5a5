//! `toolkit completions` and `toolkit man`: what shells and `man` want to know of the command, made from its own definition.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use crate::output::write_whole;

/// `toolkit completions`.
pub fn completions_command() -> Command {
    Command::new("completions")
        .about("Print the completion script of a shell")
        .after_help(
            "bash: toolkit completions bash > ~/.local/share/bash-completion/completions/toolkit\n\
             zsh:  toolkit completions zsh > a folder of $fpath/_toolkit\n\
             fish: toolkit completions fish > ~/.config/fish/completions/toolkit.fish",
        )
        .arg(Arg::new("shell").value_name("SHELL").help("The shell").required(true).value_parser(value_parser!(Shell)))
}

/// `toolkit man`.
pub fn man_command() -> Command {
    Command::new("man").about("Print the manual page, or write those of all subcommands").arg(
        Arg::new("output")
            .short('o')
            .long("output")
            .value_name("FOLDER")
            .help("Write toolkit.1, toolkit-dialogue.1 and so on into this folder, as man1 of a MANPATH")
            .value_parser(value_parser!(PathBuf)),
    )
}

/// Prints a completion script.
pub fn completions(matches: &ArgMatches) -> anyhow::Result<()> {
    let Some(&shell) = matches.get_one::<Shell>("shell") else { return Ok(()) };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::cli::command(), "toolkit", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

/// Prints the manual page, or writes all.
pub fn man(matches: &ArgMatches) -> anyhow::Result<()> {
    let mut command = crate::cli::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = matches.get_one::<PathBuf>("output") else {
        return Ok(std::io::stdout().write_all(&page(command)?)?);
    };
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be created", folder.display()))?;
    write_pages(command, "toolkit", folder)
}

fn write_pages(command: Command, name: &str, folder: &Path) -> anyhow::Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_pages(subcommand.clone(), &format!("{name}-{}", subcommand.get_name()), folder)?;
    }
    // clap wants names that live as long as the program, of which there are a few dozen here.
    let command = command.name(name.to_owned());
    write_whole(&folder.join(format!("{name}.1")), &page(command)?)
}

fn page(command: Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
