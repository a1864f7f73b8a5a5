//! `toolkit dialogue`: trains, and evaluates, answers and talks with what was trained.

mod train;
mod verbs;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as _, Command};
use imbalance_core::Head;
use imbalance_dialogue::decode::DecodeOptions;
use imbalance_dialogue::{DialogueFlags, RECIPES};

pub use self::train::settings;
use crate::front_end::{FrontEnd, inner, wait_passively, with_choices};

const FRONT_END: FrontEnd = FrontEnd {
    verb: "dialogue",
    recipes: &RECIPES,
    default_recipe: |given| {
        if given("data").is_some() || given("train-data").is_some() { "small" } else { "quick" }
    },
    head: Head::Softmax,
    paths: &["data", "train-data", "valid-data", "test-data", "glove", "gpt2-config", "gpt2-weights"],
    undoes: &[],
    command,
};

/// The subcommand without the flags of any particular loss.
pub fn command() -> Command {
    let command = Command::new("dialogue")
        // Clap would list what the recipe sets as if the user had typed it.
        .override_usage("toolkit dialogue [OPTIONS]\n       toolkit dialogue <COMMAND>");
    let command = with_choices(command, &RECIPES, "small with data, quick without");
    // What `augment_args` takes from its struct's comment is not for users.
    DialogueFlags::augment_args(command)
        // The published figures of this task are float32's.
        .mut_arg("precision", |precision| precision.default_value("float32"))
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
    match args.first().and_then(|arg| arg.to_str()).unwrap_or_default() {
        "evaluate" | "generate" | "chat" => {
            // The run's own decoding first, so that a flag beats it.
            let matches = FRONT_END.parse(command(), args.to_vec())?;
            let folder =
                inner(&matches).and_then(|(_, verb)| verb.get_one::<PathBuf>("RUN").cloned()).unwrap_or_default();
            let own = FRONT_END.stored(&folder)?.known_args(&DecodeOptions::augment_args(Command::new("decoding")));
            let matches = FRONT_END.parse(command(), [&args[..1], &own, &args[1..]].concat())?;
            let Some((verb, matches)) = inner(&matches) else { return Ok(()) };
            let options = verbs::decoding(&args[1..], matches)?;
            wait_passively();
            FRONT_END.use_threads_of(&folder);
            match verb {
                "evaluate" => verbs::evaluate(&folder, &options, matches),
                "generate" => verbs::generate(&folder, &options, matches),
                _ => verbs::chat(&folder, &options, matches),
            }
        }
        "help" => FRONT_END.parse(command(), args.to_vec()).map(drop),
        _ => train::train(args),
    }
}
