//! `toolkit reproduce`: the tables and figures of the paper, ours beside the paper's.
//!
//! A table is data (`tables/NAME.toml`): its rows with the paper's numbers and the arguments of their trainings. Each training
//! is a process and a run folder of its own; what is finished is not trained again.

mod data;
mod execute;
mod figures;
mod list;
mod plan;
mod report;
mod spec;
mod words;

use std::ffi::OsString;
use std::io::Write as _;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use self::execute::Execution;
use self::plan::Plan;
use self::report::Report;
use self::spec::{FILES, Scale, Spec};
use crate::failure::{Interrupted, UsageError};
use crate::loss_flags::plugin_dir_arg;
use crate::output::write_whole;
use crate::sweep;

/// What the flags ask for.
#[derive(Clone, Debug)]
pub struct Options {
    scale: Scale,
    data: Option<PathBuf>,
    run: Option<PathBuf>,
    only: Vec<String>,
    seeds: Option<Range<u64>>,
    threads: Option<u64>,
    plugin_dirs: Vec<PathBuf>,
    quiet: bool,
    extra: Vec<OsString>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scale: Scale::Full,
            data: None,
            run: None,
            only: Vec::new(),
            seeds: None,
            threads: None,
            plugin_dirs: Vec::new(),
            quiet: false,
            extra: Vec::new(),
        }
    }
}

impl Options {
    fn of(matches: &ArgMatches) -> anyhow::Result<Self> {
        let extra = || matches.get_many::<OsString>("extra").into_iter().flatten();
        let own = extra().filter_map(|arg| arg.to_str()).find(|arg| {
            let flag = arg.split('=').next().unwrap_or_default();
            ["--seed", "--seeds", "--sweep", "--run", "--resume", "--overwrite", "--json"].contains(&flag)
        });
        if let Some(flag) = own {
            return Err(UsageError(format!(
                "-- {flag}: which seeds are trained, and where, is for this command to say; --seeds and --run stand before the --"
            ))
            .into());
        }
        Ok(Self {
            scale: matches.get_one("scale").copied().unwrap_or(Scale::Full),
            data: matches.get_one("data").cloned(),
            run: matches.get_one("run").cloned(),
            only: matches.get_many("only").into_iter().flatten().cloned().collect(),
            seeds: matches.get_one::<String>("seeds").map(|text| sweep::seeds(text)).transpose()?,
            threads: matches.get_one("threads").copied(),
            plugin_dirs: matches.get_many("plugin-dir").into_iter().flatten().cloned().collect(),
            quiet: matches.get_flag("quiet"),
            extra: extra().cloned().collect(),
        })
    }

    /// Arguments that every training gets; later ones beat earlier ones.
    fn of_every_training(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> =
            self.threads.map(|count| format!("--threads={count}").into()).into_iter().collect();
        args.extend(self.extra.iter().cloned());
        for folder in &self.plugin_dirs {
            args.extend(["--plugin-dir".into(), folder.into()]);
        }
        if self.quiet {
            args.push("--quiet".into());
        }
        args
    }
}

/// The subcommand.
pub fn command() -> Command {
    let command = Command::new("reproduce")
        .about("Run the paper's tables and figures, and print ours beside the paper's")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(list::command());
    FILES.iter().fold(command, |command, (name, _)| command.subcommand(table_command(name)))
}

fn table_command(name: &'static str) -> Command {
    // A file that cannot be read is the tests' business; help goes without its title then.
    let spec = Spec::load(name).ok();
    let about = spec.as_ref().map(|spec| format!("{} (section {})", spec.title, spec.section)).unwrap_or_default();
    let rows = spec.iter().flat_map(|spec| &spec.rows).map(|row| format!("  {:24} {}", row.id, row.name));
    let rows = format!("Rows, for --only:\n{}", rows.collect::<Vec<_>>().join("\n"));
    Command::new(name)
        .about(about.replace("section appendix", "appendix"))
        .after_help(rows)
        .arg(
            Arg::new("scale")
                .long("scale")
                .value_parser(value_parser!(Scale))
                .default_value("full")
                .help("How large the trainings are"),
        )
        .arg(path("data", "Folder with the data sets, under the names that `toolkit reproduce list` says"))
        .arg(path("run", "Folder for the runs and the table [default: runs/reproduce/TABLE-SCALE]"))
        .arg(
            Arg::new("only")
                .long("only")
                .value_name("ROW")
                .action(ArgAction::Append)
                .help("Train this row only; may be given more than once"),
        )
        .arg(
            Arg::new("seeds")
                .long("seeds")
                .value_name("A..B")
                .help("Seeds from A to below B [default: as many as the paper's runs]"),
        )
        .arg(
            Arg::new("threads")
                .long("threads")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .help("CPU threads of each training [default: all cores, or the recipe's]"),
        )
        .arg(plugin_dir_arg())
        .arg(flag("dry-run", "Print the commands of the trainings, checked, and train nothing"))
        .arg(flag("json", "Print JSON"))
        .arg(flag("quiet", "Report no progress"))
        .arg(
            Arg::new("extra")
                .value_name("FLAGS")
                .last(true)
                .num_args(1..)
                .value_parser(value_parser!(OsString))
                .help("Flags that every training gets after its own, such as --epochs 1"),
        )
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("FOLDER").help(help).value_parser(value_parser!(PathBuf))
}

/// Runs `toolkit reproduce …`.
///
/// # Errors
/// Wrong usage; trainings that failed, once all others are done; nothing that could be run; an interrupt.
pub fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    match matches.subcommand() {
        Some(("list", matches)) => list::run(matches),
        Some((name, matches)) => table(name, matches),
        None => Ok(()),
    }
}

/// What failed, and what was not even tried, for it is in the way of what is asked for.
fn failures(execution: &Execution) -> String {
    let (others, failed): (Vec<_>, Vec<_>) =
        execution.failures.iter().partition(|(folder, _)| execution.others.contains_key(folder));
    let told = |failures: &[&(PathBuf, String)], one: &str, more: &str| {
        let list = failures.iter().map(|(folder, why)| format!("\n  {}: {why}", folder.display()));
        let what = if failures.len() == 1 { one } else { more };
        (!failures.is_empty()).then(|| format!("{} {what}:{}", failures.len(), list.collect::<String>()))
    };
    let failed = told(
        &failed,
        "training failed; the same command tries it again",
        "trainings failed; the same command tries them again",
    );
    let others = told(&others, "run of other settings is in the way", "runs of other settings are in the way");
    [failed, others].into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn table(name: &str, matches: &ArgMatches) -> anyhow::Result<()> {
    let options = Options::of(matches)?;
    let plan = Plan::new(Spec::load(name)?, &options)?;
    let json = matches.get_flag("json");
    // Before the first training, not after hours of others.
    let dry = matches.get_flag("dry-run");
    list::check(&plan, dry)?;
    if dry {
        return list::dry_run(&plan, json);
    }
    let execution = Execution::of(&plan, options.quiet)?;
    let mut report = Report::new(&plan, &execution)?;
    let folder = &plan.output;
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
    report.figure = figures::draw(&plan, &report, &options.plugin_dirs)?;
    write_whole(&folder.join("results.json"), (serde_json::to_string_pretty(&report)? + "\n").as_bytes())?;
    write_whole(&folder.join("results.md"), report.markdown().as_bytes())?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{}", report.text())?;
    }
    drop(out);
    if execution.interrupted {
        return Err(Interrupted("go on with the same command".into()).into());
    }
    if !execution.failures.is_empty() {
        anyhow::bail!("{}", failures(&execution));
    }
    if !report.has_results() && report.figure.is_empty() {
        let lacking: Vec<&str> = plan.missing.iter().map(|missing| missing.id.as_str()).collect();
        anyhow::bail!("no row could be run: data missing ({}); --data names their folder", lacking.join(", "));
    }
    Ok(())
}
