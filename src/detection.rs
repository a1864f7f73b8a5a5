//! `toolkit detection`: trains detectors, scores them and detects with them.

mod pictures;
mod train;
mod verbs;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as _, Command};
use imbalance_core::Head;
use imbalance_detection::{DetectionFlags, RECIPES};

pub use self::train::settings;
use crate::front_end::{FrontEnd, inner, with_choices};
use crate::sweep;

const FRONT_END: FrontEnd = FrontEnd {
    verb: "detection",
    recipes: &RECIPES,
    default_recipe: |given| {
        if given("data").is_some() || given("train-annotations").is_some() { "small" } else { "synthetic" }
    },
    head: Head::Sigmoid,
    paths: &["data", "train-images", "train-annotations", "val-images", "val-annotations", "weights"],
    // A recipe's steps are for its own batch; those that a user gives are as they are.
    undoes: &[("epochs", "iterations"), ("iterations", "schedule-batch")],
    command,
};

/// The subcommand without the flags of any particular loss.
pub fn command() -> Command {
    let command = Command::new("detection")
        // Clap would list what the recipe sets as if the user had typed it.
        .override_usage("toolkit detection [OPTIONS]\n       toolkit detection <COMMAND>");
    let command = with_choices(command, &RECIPES, "synthetic, or small with data");
    let command = sweep::with_flags(command);
    // What `augment_args` takes from its struct's comment is not for users.
    DetectionFlags::augment_args(command)
        .about("Train RetinaNet on COCO-format data, evaluate it, and use it")
        .long_about(
            "Train RetinaNet on COCO-format data, evaluate it and print the results.\n\n\
             Settings come, each beating the ones before, from the defaults, the recipe, --config and the flags. \
             The chosen loss adds its own flags: see `toolkit detection --loss halted-focal --help`.",
        )
        .subcommand(verbs::evaluate_command())
        .subcommand(verbs::predict_command())
        .subcommand(pictures::plot_command())
        .subcommand(pictures::browse_command())
}

/// Runs `toolkit detection`; `args` follow that.
pub fn run(args: &[OsString]) -> anyhow::Result<()> {
    match args.first().and_then(|arg| arg.to_str()).unwrap_or_default() {
        "evaluate" | "predict" | "plot" | "browse" => {
            let matches = FRONT_END.parse(command(), args.to_vec())?;
            let run = inner(&matches).and_then(|(_, verb)| verb.get_many::<PathBuf>("RUN")?.next());
            if let Some(run) = run {
                FRONT_END.use_threads_of(run);
            }
            match inner(&matches) {
                Some(("evaluate", matches)) => verbs::evaluate(matches),
                Some(("predict", matches)) => verbs::predict(matches),
                Some(("plot", matches)) => pictures::plot(matches),
                Some(("browse", matches)) => pictures::browse(matches),
                _ => Ok(()),
            }
        }
        "help" => FRONT_END.parse(command(), args.to_vec()).map(drop),
        _ => train::train(args),
    }
}
