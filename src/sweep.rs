//! One training for every seed and every value of a setting, each a process and a run folder of its own.

use std::ffi::OsString;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};
use imbalance_train::Interrupt;

use crate::child::{self, Ended, There};
use crate::failure::{Interrupted, UsageError};
use crate::front_end::FrontEnd;
use crate::output::shell_word;
use crate::settings;

/// Flags that are the sweep's or the run folders', not the trainings'.
const NOT_SWEPT: [&str; 6] = ["json", "overwrite", "resume", "run", "seeds", "sweep"];

/// What is trained: `seeds` of each value of `setting`.
#[derive(Debug, PartialEq)]
pub struct Sweep {
    /// None where the run's own seed is the only one.
    seeds: Option<Range<u64>>,
    /// A flag without its dashes, and its values.
    setting: Option<(String, Vec<String>)>,
}

/// Adds `--seeds` and `--sweep`.
pub fn with_flags(command: Command) -> Command {
    command
        .arg(
            Arg::new("seeds")
                .long("seeds")
                .value_name("A..B")
                .help_heading("Sweep")
                .help("Trains once for each seed from A to below B, and reports mean and standard deviation"),
        )
        .arg(Arg::new("sweep").long("sweep").action(ArgAction::Append).value_name("FLAG=V,V").help_heading("Sweep").help(
            "Trains once for each value of a flag, as in beta=0.9,0.99; what is finished is not trained again without \
                 --overwrite",
        ))
}

impl Sweep {
    /// The sweep that the flags ask for, if any.
    ///
    /// # Errors
    /// Seeds or values that cannot be read.
    pub fn from_matches(matches: &ArgMatches) -> anyhow::Result<Option<Self>> {
        let seeds = matches.get_one::<String>("seeds").map(|text| seeds(text)).transpose()?;
        let wrong = |message: String| Err(UsageError(message).into());
        let swept: Vec<&String> = matches.get_many::<String>("sweep").into_iter().flatten().collect();
        let setting = swept.last().map(|text| setting(text)).transpose()?;
        // Of one flag the later values win, as everywhere.
        let flag_of = |text: &str| text.split('=').next().unwrap_or_default().trim().to_owned();
        if let Some([first, second]) =
            swept.windows(2).map(|pair| [pair[0], pair[1]]).find(|[a, b]| flag_of(a) != flag_of(b))
        {
            return wrong(format!("--sweep {first} and --sweep {second}: one flag is swept at a time"));
        }
        match &setting {
            Some((flag, _)) if flag == "seed" && seeds.is_some() => {
                return wrong("--sweep seed and --seeds both say which seeds are trained; give one of them".into());
            }
            Some((flag, values)) => {
                let twice = (1..values.len()).find(|&at| values[..at].contains(&values[at]));
                if let Some(at) = twice {
                    return wrong(format!("--sweep {flag}: {} is there twice", values[at]));
                }
            }
            None => {}
        }
        Ok((seeds.is_some() || setting.is_some()).then_some(Self { seeds, setting }))
    }

    /// The folders of each row of the table, relative to the sweep's.
    pub fn rows(&self) -> Vec<(String, Vec<String>)> {
        let seeds: Vec<Option<u64>> = match &self.seeds {
            Some(seeds) => seeds.clone().map(Some).collect(),
            None => vec![None],
        };
        let of = |value: &str, folder: &str| {
            let runs = seeds.iter().map(|seed| match (seed, folder) {
                (Some(seed), "") => format!("seed-{seed}"),
                (Some(seed), folder) => format!("{folder}-seed-{seed}"),
                (None, folder) => folder.to_owned(),
            });
            (value.to_owned(), runs.collect())
        };
        match &self.setting {
            Some((flag, values)) => {
                values.iter().map(|value| of(&format!("{flag}={value}"), &format!("{flag}-{value}"))).collect()
            }
            None => vec![of("", "")],
        }
    }

    /// The trainings, row by row, from the arguments of the sweep.
    fn trainings(&self, args: &[OsString], folder: &Path) -> Vec<Training> {
        let shared = own(args, self.seeds.is_some());
        let of_row = |row: usize, name: &str, runs: Vec<String>| {
            let name = if name.is_empty() { "--seeds".to_owned() } else { format!("--sweep {name}") };
            let made = runs.into_iter().enumerate().map(|(at, run)| {
                let mut args = shared.clone();
                if let Some(seeds) = &self.seeds {
                    args.push(format!("--seed={}", seeds.start + at as u64).into());
                }
                if let Some((flag, values)) = &self.setting {
                    args.push(format!("--{flag}={}", values[row]).into());
                }
                Training { name: name.clone(), folder: folder.join(run), args }
            });
            made.collect::<Vec<_>>()
        };
        let rows = self.rows().into_iter().enumerate();
        rows.flat_map(|(row, (name, runs))| of_row(row, &name, runs)).collect()
    }

    /// Trains what is not finished yet, or with `--overwrite` everything, in `folder` or the next free number in `runs/`; returns
    /// that folder.
    ///
    /// # Errors
    /// Values that a training would not take, and runs of other settings in the way, both before anything is trained. A training
    /// that fails, or is interrupted: what is finished stays, and the same command goes on.
    pub fn run(
        &self,
        front_end: &FrontEnd,
        args: &[OsString],
        folder: Option<&Path>,
        name: &str,
        quiet: bool,
    ) -> anyhow::Result<PathBuf> {
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => next_free(Path::new("runs"), name)?,
        };
        if settings::are_stored(&folder) {
            let said =
                format!("--run {}: is the folder of one training; a sweep needs one of its own", folder.display());
            return Err(UsageError(said).into());
        }
        let trainings = self.trainings(args, &folder);
        for training in &trainings {
            settings::check(front_end.verb, &training.args, &training.name)?;
        }
        let there = if args.iter().any(|arg| arg == "--overwrite") { There::IsReplaced } else { There::GoesOn };
        if there == There::GoesOn {
            trainings.iter().try_for_each(|training| training.check_settings(front_end.verb))?;
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
        let due = |training: &Training| there == There::IsReplaced || !child::is_finished(&training.folder);
        // From the first training on, Ctrl-C is passed on to it, which saves its state.
        let interrupt = if trainings.iter().any(due) { Interrupt::install()? } else { Interrupt::manual() };
        let interrupted = || {
            let anew = if there == There::IsReplaced { ", without --overwrite," } else { "" };
            Interrupted(format!("go on with the same command{anew} and --run {}", shell_word(folder.as_os_str())))
        };
        for (at, training) in trainings.iter().enumerate().filter(|(_, training)| due(training)) {
            let place = training.folder.display();
            if !quiet {
                eprintln!("run {} of {}: {place}", at + 1, trainings.len());
            }
            let process = child::training(front_end.verb, &training.args, &training.folder, there)?;
            match child::wait(&mut child::start(process)?, &interrupt)? {
                Ended::Finished => {}
                Ended::Interrupted => return Err(interrupted().into()),
                Ended::Failed(code) => anyhow::bail!(
                    "{place}: the training ended with exit code {code}; what is finished stays, the same command goes on"
                ),
            }
            if interrupt.requested() {
                return Err(interrupted().into());
            }
        }
        std::io::stderr().flush()?;
        Ok(folder)
    }
}

/// A training of a sweep.
#[derive(Debug)]
struct Training {
    /// The flag that it is of, for errors.
    name: String,
    folder: PathBuf,
    /// What follows `toolkit TASK`, but for the run folder.
    args: Vec<OsString>,
}

impl Training {
    /// A run with other settings, finished or not, is none of the sweep's.
    fn check_settings(&self, verb: &str) -> anyhow::Result<()> {
        let folder = &self.folder;
        if !settings::are_stored(folder) {
            return Ok(());
        }
        let Some(difference) = settings::difference(verb, &self.args, folder)? else { return Ok(()) };
        let what = if child::is_finished(folder) { "finished" } else { "begun" };
        Err(UsageError(format!(
            "{}: {what} with other settings: {difference}; give another --run, or --overwrite to train the whole sweep anew",
            folder.display()
        ))
        .into())
    }
}

/// The arguments of a single training: without the sweep's and those that say where it goes. The seed that is given is its own,
/// unless the sweep has seeds.
fn own(args: &[OsString], has_seeds: bool) -> Vec<OsString> {
    let (mut kept, mut args) = (Vec::new(), args.iter());
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        match text.split_once('=').map_or(text.as_ref(), |(flag, _)| flag) {
            "--json" | "--resume" | "--overwrite" => {}
            "--seed" if !has_seeds => kept.push(arg.clone()),
            "--seeds" | "--sweep" | "--run" | "--seed" => {
                if !text.contains('=') {
                    args.next();
                }
            }
            _ => kept.push(arg.clone()),
        }
    }
    kept
}

/// Reads `A..B`, the seeds from A to below B.
///
/// # Errors
/// It is something else.
pub fn seeds(text: &str) -> anyhow::Result<Range<u64>> {
    let range = text.split_once("..").and_then(|(from, to)| Some(from.trim().parse().ok()?..to.trim().parse().ok()?));
    let range = range.filter(|range: &Range<u64>| range.start < range.end);
    Ok(range.ok_or_else(|| {
        UsageError(format!("--seeds {text}: expected two whole numbers, the second above the first, as in 0..4"))
    })?)
}

fn setting(text: &str) -> anyhow::Result<(String, Vec<String>)> {
    let parts = text.split_once('=').map(|(flag, values)| {
        (
            flag.trim().trim_start_matches('-').to_owned(),
            values.split(',').map(|value| value.trim().to_owned()).collect(),
        )
    });
    let parts = parts.filter(|(flag, values): &(String, Vec<String>)| {
        !flag.is_empty() && values.iter().all(|value| !value.is_empty())
    });
    let (flag, values) = parts.ok_or_else(|| {
        UsageError(format!("--sweep {text}: expected a flag and its values, as in beta=0.9,0.99,0.999"))
    })?;
    if NOT_SWEPT.contains(&flag.as_str()) {
        return Err(UsageError(format!(
            "--sweep {text}: --{flag} is no setting of a training; expected one, as in beta=0.9,0.99"
        ))
        .into());
    }
    Ok((flag, values))
}

fn next_free(root: &Path, name: &str) -> anyhow::Result<PathBuf> {
    for number in 1.. {
        let folder = root.join(format!("{name}-sweep-{number:03}"));
        if !folder.exists() {
            return Ok(folder);
        }
    }
    anyhow::bail!("{}: every number is taken; give --run", root.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(seeds: Option<Range<u64>>, values: &[&str]) -> Sweep {
        let values = values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        Sweep { seeds, setting: (!values.is_empty()).then(|| ("beta".into(), values)) }
    }

    #[test]
    fn every_seed_of_every_value_has_a_folder() {
        assert_eq!(sweep(Some(0..2), &[]).rows(), [("".into(), vec!["seed-0".into(), "seed-1".into()])]);
        let both = sweep(Some(3..5), &["0.9", "1"]).rows();
        assert_eq!(both[1], ("beta=1".into(), vec!["beta-1-seed-3".into(), "beta-1-seed-4".into()]));
        assert_eq!(sweep(None, &["0.9"]).rows(), [("beta=0.9".into(), vec!["beta-0.9".into()])]);
    }

    #[test]
    fn a_single_training_gets_all_but_the_sweep() {
        let args: Vec<OsString> = [
            "--loss",
            "eureka",
            "--seeds",
            "0..4",
            "--run=x",
            "--sweep=beta=1,2",
            "--seed",
            "7",
            "--json",
            "--lr",
            "1",
        ]
        .map(Into::into)
        .into();
        assert_eq!(own(&args, true), ["--loss", "eureka", "--lr", "1"]);
        assert_eq!(own(&args, false), ["--loss", "eureka", "--seed", "7", "--lr", "1"]);
    }

    #[test]
    fn a_training_has_the_seed_of_its_place_or_the_one_that_was_given() {
        let args = ["--seed=7".into()];
        let trainings = sweep(None, &["0.9", "1"]).trainings(&args, Path::new("x"));
        assert_eq!(trainings[1].args, ["--seed=7", "--beta=1"]);
        assert_eq!(trainings[1].folder, Path::new("x/beta-1"));
        let trainings = sweep(Some(3..5), &["0.9", "1"]).trainings(&args, Path::new("x"));
        assert_eq!(trainings[3].args, ["--seed=4", "--beta=1"]);
        assert_eq!(sweep(Some(3..5), &[]).trainings(&args, Path::new("x"))[0].args, ["--seed=3"]);
    }

    #[test]
    fn what_cannot_be_read_says_what_would_be_right() {
        for text in ["4", "4..4", "a..b", "0..", "3..1"] {
            assert!(seeds(text).unwrap_err().to_string().contains("0..4"), "{text}");
        }
        for text in ["beta", "=1", "beta=", "beta=1,,2", "run=a,b", "--seeds=0..2,1..3"] {
            assert!(setting(text).unwrap_err().to_string().contains("beta=0.9"), "{text}");
        }
        assert_eq!(setting("--beta=0.9, 1").unwrap(), ("beta".into(), vec!["0.9".into(), "1".into()]));
    }
}
