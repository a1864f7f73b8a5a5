//! `toolkit vision` itself: from recipe, file and flags to a training and its results.

use std::ffi::OsString;
use std::io::Write as _;

use clap::FromArgMatches as _;
use imbalance_evaluation::longtail::{Summary, group_table, summarise, table};
use imbalance_train::Losses;
use imbalance_vision::{ChosenBy, Ended, RunResults, TrainedRun, VisionFlags};

use super::FRONT_END;
use crate::failure::{Interrupted, UsageError};
use crate::front_end::Asked;
use crate::idle;
use crate::loss_flags::peek;
use crate::sweep::Sweep;

/// Every setting of the training that `args` ask for, as its `config.toml` has them; nothing is trained.
///
/// # Errors
/// Flags, values or losses that are wrong.
pub fn settings(args: &[OsString]) -> anyhow::Result<String> {
    let asked = FRONT_END.ask(args)?;
    let mut flags = VisionFlags::from_arg_matches(&asked.matches)?;
    checked(&asked, &mut flags, args).map(|(_, config)| config)
}

/// The losses of a single training, and every setting of it.
fn checked(asked: &Asked, flags: &mut VisionFlags, args: &[OsString]) -> anyhow::Result<(Losses, String)> {
    if let (Some(limits), Some(ranks)) = (peek(args, "groups").pop(), peek(args, "group-classes").pop()) {
        return Err(UsageError(format!(
            "--groups {limits} and --group-classes {ranks} are two ways to group classes; give one"
        ))
        .into());
    }
    flags.train.resolve()?;
    idle::refuse(args, &asked.matches)?;
    let losses = asked.losses(flags.train.defer_epochs)?;
    flags.check(&losses)?;
    flags.method.settle();
    let config = FRONT_END.resolved(flags, &losses)?;
    Ok((losses, config))
}

/// Trains as `args` ask: once, or for every seed and value of a sweep.
pub fn train(args: &[OsString]) -> anyhow::Result<()> {
    let asked = FRONT_END.ask(args)?;
    let mut flags = VisionFlags::from_arg_matches(&asked.matches)?;
    let json = asked.matches.get_flag("json");
    if let Some(sweep) = Sweep::from_matches(&asked.matches)? {
        let name = format!("vision-{}", asked.losses(0)?.main.plugin.id());
        let folder = sweep.run(&FRONT_END, args, flags.train.run.as_deref(), &name, flags.train.quiet)?;
        return summary(&sweep, &folder, json);
    }
    if crate::processes::run(FRONT_END.verb, args, flags.train.processes)? {
        return Ok(());
    }
    let (losses, config) = checked(&asked, &mut flags, args)?;
    match imbalance_vision::train(&flags, &losses, config)? {
        Ended::Finished(trained) => print(&trained, json),
        Ended::Helped => Ok(()),
        Ended::Interrupted(folder) => Err(Interrupted(FRONT_END.resume_hint(&folder, args)).into()),
    }
}

/// The name of a row; a sweep of seeds alone has no values to name.
fn titled(value: &str, epoch: &str) -> String {
    format!("{value} {epoch}").trim_start().to_owned()
}

/// The table of a sweep: a row for each value, over its seeds.
fn summary(sweep: &Sweep, folder: &std::path::Path, json: bool) -> anyhow::Result<()> {
    let mut rows: Vec<(String, Summary)> = Vec::new();
    for (name, runs) in sweep.rows() {
        let results: Vec<RunResults> =
            runs.iter().map(|run| RunResults::read(&folder.join(run))).collect::<Result<_, _>>()?;
        let of = |best: bool| {
            let scores = results.iter().filter_map(|run| match best {
                false => Some(run.scores.clone()),
                true => run.best.as_ref().map(|best| best.scores.clone()),
            });
            summarise(&scores.collect::<Vec<_>>())
        };
        rows.extend(of(false).map(|summary| (titled(&name, "last epoch"), summary)));
        rows.extend(of(true).map(|summary| (titled(&name, "best epoch"), summary)));
    }
    let mut out = std::io::stdout().lock();
    if json {
        let rows: serde_json::Map<_, _> = rows
            .into_iter()
            .map(|(name, summary)| Ok((name, serde_json::to_value(summary)?)))
            .collect::<Result<_, serde_json::Error>>()?;
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        write!(out, "{}", table(&rows))?;
        writeln!(out, "\nruns: {}", folder.display())?;
    }
    Ok(())
}

fn print(trained: &TrainedRun, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(trained)?)?;
        return Ok(());
    }
    let last = trained.training.epochs;
    let mut rows =
        vec![(format!("{} epoch {last} (last)", trained.loss), summarise(std::slice::from_ref(&trained.scores)))];
    if let Some(best) = &trained.best {
        rows.push((
            format!("{} epoch {} (best)", trained.loss, best.epoch),
            summarise(std::slice::from_ref(&best.scores)),
        ));
    }
    let rows: Vec<(String, Summary)> = rows.into_iter().filter_map(|(name, summary)| Some((name, summary?))).collect();
    write!(out, "{}", table(&rows))?;
    if let Some(best) = &trained.best
        && best.chosen_by == ChosenBy::TestImages
    {
        writeln!(
            out,
            "the best epoch was chosen by the test images themselves, as is common: read the last one's, or give --hold-out N"
        )?;
    }
    write!(out, "\n{}", group_table(&trained.scores))?;
    if !trained.skipped.is_empty() {
        writeln!(out, "\n{} image files were left out (see results.json)", trained.skipped.len())?;
    }
    let memory =
        trained.training.peak_memory_bytes.map(|bytes| format!(", {} MiB at most", bytes >> 20)).unwrap_or_default();
    writeln!(
        out,
        "\n{} parameters, {} epochs, {} steps in {:.0} s{memory}",
        trained.parameters, trained.training.epochs, trained.training.steps, trained.training.seconds
    )?;
    writeln!(out, "run folder: {}", trained.run.display())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::titled;

    #[test]
    fn a_row_without_a_value_is_named_by_its_epoch() {
        assert_eq!(titled("", "best epoch"), "best epoch");
        assert_eq!(titled("beta=0.9", "best epoch"), "beta=0.9 best epoch");
    }
}
