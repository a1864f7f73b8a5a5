//! What there is to reproduce, and what it takes: `list` and `--dry-run`.

use std::ffi::OsString;
use std::io::Write as _;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;

use super::data::DataSet;
use super::plan::{Plan, Training};
use super::report::at_section;
use super::spec::Spec;
use crate::child;
use crate::output::shell_word;
use crate::settings;

/// The flags of `list`.
pub fn command() -> Command {
    Command::new("list")
        .about("The tables and figures, and the data that they take")
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("FOLDER")
                .value_parser(value_parser!(std::path::PathBuf))
                .help("Say which data sets are there"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

/// Runs `list`.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let folder = matches.get_one::<std::path::PathBuf>("data").map(std::path::PathBuf::as_path);
    let (specs, data) = (Spec::all()?, DataSet::all()?);
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        let tables = specs.iter().map(|spec| {
            let rows = spec.rows.iter().map(|row| json!({"id": row.id, "name": row.name, "absent": row.absent}));
            json!({
                "name": spec.name, "title": spec.title, "section": spec.section, "task": spec.task,
                "rows": rows.collect::<Vec<_>>(), "data": spec.data_sets(), "notes": spec.note,
            })
        });
        let sets = data.iter().map(|set| match set.find(folder) {
            Ok(found) => json!({"id": set.id, "found": found.path, "remark": found.remark}),
            Err(missing) => json!({"id": set.id, "wanted": missing.wanted, "get": missing.get}),
        });
        let all = json!({"tables": tables.collect::<Vec<_>>(), "data": sets.collect::<Vec<_>>()});
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    for spec in &specs {
        writeln!(out, "{:9}  {} ({})", spec.name, spec.title, at_section(&spec.section))?;
        let sets = spec.data_sets();
        if !sets.is_empty() {
            writeln!(out, "{:9}  data: {}", "", sets.join(", "))?;
        }
    }
    writeln!(out, "\nThe folder of --data holds, as far as needed:")?;
    for set in &data {
        match set.find(folder) {
            Ok(found) => {
                writeln!(out, "  {:16}  there: {}", set.id, found.path.display())?;
                if let Some(remark) = found.remark {
                    writeln!(out, "  {:16}  {remark}", "")?;
                }
            }
            Err(missing) => {
                let there = if folder.is_some() { "missing: " } else { "" };
                writeln!(out, "  {:16}  {there}{} ({})", set.id, missing.wanted, missing.title)?;
                writeln!(out, "  {:16}  {}", "", missing.get)?;
            }
        }
    }
    Ok(())
}

/// Checks the arguments of the chosen trainings: of `every` one, or of those that can be run and are not finished.
///
/// # Errors
/// Arguments that are wrong, or losses that are not there, with the row.
pub fn check(plan: &Plan, every: bool) -> anyhow::Result<()> {
    let due = |line: &Line<'_>| line.missing.is_empty() && !child::is_finished(&line.training.folder);
    all(plan).iter().filter(|line| every || due(line)).try_for_each(|line| {
        let name = format!("{} {}", plan.spec.name, line.row());
        settings::check(plan.task().verb(), &line.training.args, name.trim_end())
    })
}

/// Prints the commands of the chosen trainings.
///
/// # Errors
/// Standard output.
pub fn dry_run(plan: &Plan, as_json: bool) -> anyhow::Result<()> {
    let lines = all(plan);
    let mut out = std::io::stdout().lock();
    if as_json {
        let trainings = lines.iter().map(|line| {
            let Training { folder, seed, .. } = line.training;
            let others: Vec<&str> = line.rows.iter().skip(1).copied().collect();
            json!({
                "row": line.row(), "shared_with": others, "seed": seed, "folder": folder,
                "finished": child::is_finished(folder), "missing": line.missing, "command": words(plan, line.training).iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>(),
            })
        });
        let trainings = trainings.collect::<Vec<_>>();
        let comparable = plan.comparable && plan.missing.is_empty();
        let all = json!({
            "name": plan.spec.name, "scale": plan.scale, "comparable": comparable, "differs": plan.differs,
            "missing": plan.missing, "trainings": trainings,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    for Line { training, missing, .. } in &lines {
        let state = match missing {
            _ if child::is_finished(&training.folder) => "# finished: ".to_owned(),
            [] => String::new(),
            _ => format!("# missing {}: ", missing.join(", ")),
        };
        let words = words(plan, training);
        let words: Vec<_> = words.iter().map(|word| shell_word(word)).collect();
        writeln!(out, "{state}{}", words.join(" "))?;
    }
    for what in &plan.differs {
        writeln!(out, "# differs: {what}")?;
    }
    for row in &plan.spec.rows {
        if let Some(what) = &row.absent {
            writeln!(out, "# {}: not in the toolkit ({what})", row.name)?;
        }
    }
    for set in &plan.missing {
        writeln!(out, "# missing {}: {}; {}", set.id, set.wanted, set.get)?;
    }
    Ok(())
}

/// A training of a plan.
struct Line<'a> {
    /// The rows that it is of; none for what all rows start from.
    rows: Vec<&'a str>,
    training: &'a Training,
    /// Data that it needs and that are not there.
    missing: &'a [String],
}

impl<'a> Line<'a> {
    /// The row that it is told as.
    fn row(&self) -> &'a str {
        self.rows.first().copied().unwrap_or_default()
    }
}

/// All that is chosen, each training once, in order.
fn all(plan: &Plan) -> Vec<Line<'_>> {
    let groups = || plan.groups.iter().filter(|group| group.chosen);
    // A figure of data alone has nothing to train.
    if plan.spec.trains_nothing() {
        return Vec::new();
    }
    let ready = groups().any(|group| group.missing.is_empty());
    let prepare = plan.prepare.iter().filter(|_| ready);
    let mut lines: Vec<Line<'_>> = prepare.map(|training| Line { rows: Vec::new(), training, missing: &[] }).collect();
    for group in groups() {
        let row = plan.spec.rows[group.row].id.as_str();
        for training in &group.trainings {
            match lines.iter_mut().find(|line| line.training.folder == training.folder) {
                Some(line) => line.rows.push(row),
                None => lines.push(Line { rows: vec![row], training, missing: &group.missing }),
            }
        }
    }
    lines
}

/// The command line of a training.
fn words(plan: &Plan, training: &Training) -> Vec<OsString> {
    let own = ["toolkit".into(), plan.task().verb().into()].into_iter().chain(training.args.iter().cloned());
    own.chain(["--run".into(), training.folder.clone().into_os_string()]).collect()
}
