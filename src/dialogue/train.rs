//! `toolkit dialogue` itself: from recipe, file and flags to a training and its results.

use std::ffi::OsString;
use std::io::Write as _;

use clap::FromArgMatches as _;
use imbalance_dialogue::{DialogueError, DialogueFlags, Ended, TrainedRun};
use imbalance_evaluation::dialogue::table;

use super::FRONT_END;
use crate::failure::Interrupted;
use crate::front_end::wait_passively;
use crate::idle;

/// Every setting of the training that `args` ask for, as its `config.toml` has them; nothing is trained.
///
/// # Errors
/// Flags, values or losses that are wrong.
pub fn settings(args: &[OsString]) -> anyhow::Result<String> {
    let asked = FRONT_END.ask(args)?;
    let flags = DialogueFlags::from_arg_matches(&asked.matches)?;
    flags.train.resolve()?;
    flags.decode.validate().map_err(DialogueError::from)?;
    idle::refuse(args, &asked.matches)?;
    let losses = asked.losses(flags.train.defer_epochs)?;
    flags.model.check()?;
    FRONT_END.resolved(&flags, &losses)
}

/// Trains as `args` ask.
pub fn train(args: &[OsString]) -> anyhow::Result<()> {
    let asked = FRONT_END.ask(args)?;
    let flags = DialogueFlags::from_arg_matches(&asked.matches)?;
    if crate::processes::run(FRONT_END.verb, args, flags.train.processes)? {
        return Ok(());
    }
    flags.decode.validate().map_err(DialogueError::from)?;
    idle::refuse(args, &asked.matches)?;
    let losses = asked.losses(flags.train.defer_epochs)?;
    let config = FRONT_END.resolved(&flags, &losses)?;
    if flags.train.threads != Some(1) {
        wait_passively();
    }
    match imbalance_dialogue::train(&flags, &losses, config)? {
        Ended::Finished(trained) => print(&trained, asked.matches.get_flag("json")),
        Ended::Helped => Ok(()),
        Ended::Interrupted(folder) => Err(Interrupted(FRONT_END.resume_hint(&folder, args)).into()),
    }
}

fn print(trained: &TrainedRun, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(trained)?)?;
        return Ok(());
    }
    for [message, reply, reference] in &trained.samples {
        writeln!(out, "message    {message}\nreply      {reply}\nreference  {reference}\n")?;
    }
    write!(out, "{}", table(&[(trained.loss.clone(), &trained.scores)]))?;
    writeln!(
        out,
        "\n{} replies of the {} split; loss {:.4}",
        trained.scores.replies, trained.split, trained.split_loss
    )?;
    let memory =
        trained.training.peak_memory_bytes.map(|bytes| format!(", {} MiB at most", bytes >> 20)).unwrap_or_default();
    writeln!(
        out,
        "{} parameters, {} epochs, {} steps in {:.0} s{memory}; {:.0} replies/s",
        trained.parameters,
        trained.training.epochs,
        trained.training.steps,
        trained.training.seconds,
        trained.replies_per_second
    )?;
    writeln!(out, "run folder: {}", trained.run.display())?;
    Ok(())
}
