//! `toolkit dialogue`: trains, and evaluates, answers and talks with what was trained.

mod train;
mod verbs;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command};
use imbalance_dialogue::decode::DecodeOptions;
use imbalance_dialogue::{DialogueFlags, RECIPES};
use imbalance_train::RunFolder;

use crate::loss_flags::plugin_dir_arg;
use crate::recipe::Recipe;

/// The subcommand without the flags of any particular loss.
pub fn command() -> Command {
    let command = Command::new("dialogue")
        // Clap would list what the recipe sets as if the user had typed it.
        .override_usage("toolkit dialogue [OPTIONS]\n       toolkit dialogue <COMMAND>")
        .args_conflicts_with_subcommands(true)
        .args_override_self(true)
        .arg(
            Arg::new("loss")
                .long("loss")
                .value_name("ID")
                .default_value("cross-entropy")
                .help_heading("Loss")
                .help("The loss, one of `toolkit losses list`"),
        )
        .arg(
            Arg::new("base-loss")
                .long("base-loss")
                .value_name("ID")
                .default_value("cross-entropy")
                .help_heading("Loss")
                .help("The loss of the first --defer-epochs epochs; its flags are named --base-…"),
        )
        .arg(plugin_dir_arg().help_heading("Loss"))
        .arg(
            Arg::new("recipe")
                .long("recipe")
                .value_name("NAME")
                .value_parser(RECIPES.map(|(name, _)| name))
                .help("Settings that come with the toolkit [default: small with data, quick without]"),
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help("Settings from a TOML file, such as a run's config.toml"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print the results as JSON"));
    // What `augment_args` takes from its struct's comment is not for users.
    DialogueFlags::augment_args(command)
        .about("Train a dialogue model, evaluate it, and talk to it")
        .long_about(
            "Train a dialogue model with a loss, evaluate it and print the results.\n\n\
             Settings come, each beating the ones before, from the defaults, the recipe, --config and the flags. \
             The chosen loss adds its own flags: see `toolkit dialogue --loss eureka --help`.",
        )
        .subcommand(verbs::evaluate_command())
        .subcommand(verbs::generate_command())
        .subcommand(verbs::chat_command())
}
/// Runs `toolkit dialogue`; `args` follow that.
pub fn run(args: &[OsString]) -> anyhow::Result<()> {
    let first = args.first().and_then(|arg| arg.to_str()).unwrap_or_default();
    let all = |args: Vec<OsString>| [vec!["toolkit".into(), "dialogue".into()], args].concat();
    let whole = |dialogue: Command| crate::cli::command().mut_subcommand("dialogue", |_| dialogue);
    match first {
        "evaluate" | "generate" | "chat" => {
            // The run's own decoding first, so that a flag beats it.
            let matches = whole(command()).try_get_matches_from(all(args.to_vec()))?;
            let folder =
                inner(&matches).and_then(|(_, verb)| verb.get_one::<PathBuf>("RUN").cloned()).unwrap_or_default();
            let stored = RunFolder::stored_config(&folder).map_err(imbalance_train::TrainError::from);
            let stored =
                stored.with_context(|| format!("{} is no run folder of `toolkit dialogue`", folder.display()))?;
            let recipe = Recipe::parse(&folder.join("config.toml").display().to_string(), &stored)?;
            let own = recipe.known_args(&DecodeOptions::augment_args(Command::new("decoding")));
            let matches = whole(command()).try_get_matches_from(all([&args[..1], &own, &args[1..]].concat()))?;
            wait_passively();
            match inner(&matches) {
                Some(("evaluate", matches)) => verbs::evaluate(&folder, matches),
                Some(("generate", matches)) => verbs::generate(&folder, matches),
                Some(("chat", matches)) => verbs::chat(&folder, matches),
                _ => Ok(()),
            }
        }
        "help" => {
            whole(command()).try_get_matches_from(all(args.to_vec()))?;
            Ok(())
        }
        _ => train::train(args, |command, args| {
            let matches = whole(command).try_get_matches_from(all(args))?;
            Ok(matches.subcommand().map(|(_, matches)| matches.clone()).unwrap_or_default())
        }),
    }
}
/// Starts this program anew with threads that sleep while they wait for each other, unless the environment says how they
/// wait. They spin by default, which makes every step several times slower as soon as another process wants a core; the
/// OpenMP runtime reads the variable when it is loaded, before `main`.
fn wait_passively() {
    const POLICY: &str = "OMP_WAIT_POLICY";
    if std::env::var_os(POLICY).is_some() || std::env::var_os("GOMP_SPINCOUNT").is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // Comes back only if it fails, and then spinning threads are what there is.
        let _ = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(POLICY, "passive").exec();
    }
}
/// The verb below `toolkit dialogue`.
fn inner(matches: &ArgMatches) -> Option<(&str, &ArgMatches)> {
    matches.subcommand().and_then(|(_, dialogue)| dialogue.subcommand())
}
