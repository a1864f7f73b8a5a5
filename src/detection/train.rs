//! `toolkit detection` itself: from recipe, file and flags to a training and its results.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

use clap::FromArgMatches as _;
use imbalance_detection::{DetectionFlags, Ended, TrainedRun};
use imbalance_evaluation::coco::{StatsSummary, stats_table};

use super::FRONT_END;
use crate::failure::Interrupted;
use crate::idle;
use crate::sweep::Sweep;

/// Every setting of the training that `args` ask for, as its `config.toml` has them; nothing is trained.
///
/// # Errors
/// Flags, values or losses that are wrong.
pub fn settings(args: &[OsString]) -> anyhow::Result<String> {
    let asked = FRONT_END.ask(args)?;
    let flags = DetectionFlags::from_arg_matches(&asked.matches)?;
    flags.train.resolve()?;
    idle::refuse(args, &asked.matches)?;
    let losses = asked.losses(flags.train.defer_epochs)?;
    FRONT_END.resolved(&flags, &losses)
}

/// Trains as `args` ask.
pub fn train(args: &[OsString]) -> anyhow::Result<()> {
    let asked = FRONT_END.ask(args)?;
    let flags = DetectionFlags::from_arg_matches(&asked.matches)?;
    let json = asked.matches.get_flag("json");
    if let Some(sweep) = Sweep::from_matches(&asked.matches)? {
        let name = format!("detection-{}", asked.losses(0)?.main.plugin.id());
        let folder = sweep.run(&FRONT_END, args, flags.train.run.as_deref(), &name, flags.train.quiet)?;
        return summary(&sweep, &folder, json);
    }
    if crate::processes::run(FRONT_END.verb, args, flags.train.processes)? {
        return Ok(());
    }
    idle::refuse(args, &asked.matches)?;
    let losses = asked.losses(flags.train.defer_epochs)?;
    let config = FRONT_END.resolved(&flags, &losses)?;
    match imbalance_detection::train(&flags, &losses, config)? {
        Ended::Finished(trained) => print(&trained, json),
        Ended::Helped => Ok(()),
        Ended::Interrupted(folder) => Err(Interrupted(FRONT_END.resume_hint(&folder, args)).into()),
    }
}

/// The table of a sweep: a row for each value, over its seeds.
fn summary(sweep: &Sweep, folder: &Path, json: bool) -> anyhow::Result<()> {
    let mut rows: Vec<(String, StatsSummary)> = Vec::new();
    for (name, runs) in sweep.rows() {
        let stats: Vec<_> =
            runs.iter().map(|run| TrainedRun::read_stats(&folder.join(run))).collect::<Result<_, _>>()?;
        rows.extend(StatsSummary::of(&stats).map(|summary| (name, summary)));
    }
    let mut out = std::io::stdout().lock();
    if json {
        let rows: BTreeMap<_, _> = rows.into_iter().collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        write!(out, "{}", stats_table(&rows))?;
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
    write!(out, "{}", trained.scores.stats)?;
    if let Some(scores) = &trained.train_scores {
        write!(out, "\non the training images\n{}", scores.stats)?;
    }
    let skipped = trained.skipped.len();
    if skipped > 0 {
        writeln!(
            out,
            "\n{skipped} images could not be used (see results.json); no object of those evaluated counts as found"
        )?;
    }
    let memory =
        trained.training.peak_memory_bytes.map(|bytes| format!(", {} MiB at most", bytes >> 20)).unwrap_or_default();
    writeln!(
        out,
        "\n{}: {} parameters, {} steps in {:.0} s{memory}; {} anchors of objects, {} of background",
        trained.loss,
        trained.parameters,
        trained.training.steps,
        trained.training.seconds,
        trained.anchors[0],
        trained.anchors[1]
    )?;
    writeln!(out, "run folder: {}", trained.run.display())?;
    Ok(())
}
