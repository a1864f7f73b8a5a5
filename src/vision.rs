//! `toolkit vision`: trains image classifiers, scores them, predicts with them and draws them.

mod train;
mod verbs;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as _, Command};
use imbalance_core::Head;
use imbalance_vision::{RECIPES, VisionFlags};

pub use self::train::settings;
use crate::front_end::{FrontEnd, inner, with_choices};
use crate::sweep;

const FRONT_END: FrontEnd = FrontEnd {
    verb: "vision",
    recipes: &RECIPES,
    default_recipe: |given| match given("dataset").or_else(|| given("train-list").map(|_| "list".into())).as_deref() {
        Some("cifar-10") => "cifar-10-lt",
        Some("cifar-100") => "cifar-100-lt",
        Some("inaturalist-2018") => "inaturalist-2018",
        Some("synthetic") | None => "synthetic",
        Some(_) => "imagenet-lt",
    },
    head: Head::Softmax,
    paths: &["data", "images", "weights", "train-list", "test-list", "val-list"],
    // Lists are a data set of their own.
    undoes: &[("groups", "group-classes"), ("train-list", "dataset")],
    command,
};

/// The subcommand without the flags of any particular loss.
pub fn command() -> Command {
    let command = Command::new("vision")
        // Clap would list what the recipe sets as if the user had typed it.
        .override_usage("toolkit vision [OPTIONS]\n       toolkit vision <COMMAND>");
    let command = with_choices(command, &RECIPES, "that of the data set");
    let command = sweep::with_flags(command);
    // What `augment_args` takes from its struct's comment is not for users.
    VisionFlags::augment_args(command)
        .about("Train an image classifier on a long tail, evaluate it, and use it")
        .long_about(
            "Train an image classifier on a long-tailed data set, evaluate it and print the results.\n\n\
             Settings come, each beating the ones before, from the defaults, the recipe, --config and the flags. \
             The chosen loss adds its own flags: see `toolkit vision --loss eureka --help`.",
        )
        .subcommand(verbs::evaluate_command())
        .subcommand(verbs::predict_command())
        .subcommand(verbs::plot_command())
        .subcommand(verbs::export_command())
}

/// Runs `toolkit vision`; `args` follow that.
pub fn run(args: &[OsString]) -> anyhow::Result<()> {
    match args.first().and_then(|arg| arg.to_str()).unwrap_or_default() {
        "evaluate" | "predict" | "plot" | "export" => {
            let matches = FRONT_END.parse(command(), args.to_vec())?;
            let run = inner(&matches).and_then(|(_, verb)| verb.get_many::<PathBuf>("RUN")?.next());
            if let Some(run) = run {
                FRONT_END.use_threads_of(run);
            }
            match inner(&matches) {
                Some(("evaluate", matches)) => verbs::evaluate(matches),
                Some(("predict", matches)) => verbs::predict(matches),
                Some(("plot", matches)) => verbs::plot(matches),
                Some(("export", matches)) => verbs::export(matches),
                _ => Ok(()),
            }
        }
        "help" => FRONT_END.parse(command(), args.to_vec()).map(drop),
        _ => train::train(args),
    }
}

#[cfg(test)]
mod tests {
    use super::FRONT_END;

    #[test]
    fn a_run_is_used_with_its_own_threads() {
        let folder = tempfile::tempdir().unwrap();
        let before = imbalance_train::set_threads(Some(2));
        FRONT_END.use_threads_of(folder.path());
        assert_eq!(imbalance_train::set_threads(None), 2, "no run, nothing to take");
        std::fs::write(folder.path().join("config.toml"), "threads = 1\n").unwrap();
        FRONT_END.use_threads_of(folder.path());
        assert_eq!(imbalance_train::set_threads(None), 1);
        imbalance_train::set_threads(Some(before));
    }
}
