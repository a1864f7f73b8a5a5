//! One training for every seed and every value of a setting, each a process and a run folder of its own.

use std::ffi::OsString;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command};

use crate::child::{self, Ended};
use crate::failure::{Interrupted, UsageError};
use crate::front_end::FrontEnd;

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
        .arg(
            Arg::new("sweep").long("sweep").value_name("FLAG=V,V").help_heading("Sweep").help(
                "Trains once for each value of a flag, as in beta=0.9,0.99; what is finished is not trained again",
            ),
        )
}

impl Sweep {
    /// The sweep that the flags ask for, if any.
    ///
    /// # Errors
    /// Seeds or values that cannot be read.
    pub fn from_matches(matches: &ArgMatches) -> anyhow::Result<Option<Self>> {
        let seeds = matches.get_one::<String>("seeds").map(|text| seeds(text)).transpose()?;
        let setting = matches.get_one::<String>("sweep").map(|text| setting(text)).transpose()?;
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

    /// Trains what is not finished yet, in `folder` or the next free number in `runs/`; returns that folder.
    ///
    /// # Errors
    /// A training that fails, or is interrupted: what is finished stays, and the same command goes on.
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
        std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be created", folder.display()))?;
        let rows = self.rows();
        let total: usize = rows.iter().map(|(_, runs)| runs.len()).sum();
        let mut done = 0;
        for (row, (_, runs)) in rows.iter().enumerate() {
            for (at, run) in runs.iter().enumerate() {
                done += 1;
                let place = folder.join(run);
                if child::is_finished(&place) {
                    continue;
                }
                if !quiet {
                    eprintln!("run {done} of {total}: {}", place.display());
                }
                let mut own = own(args);
                if let Some(seeds) = &self.seeds {
                    own.push(format!("--seed={}", seeds.start + at as u64).into());
                }
                if let Some((flag, values)) = &self.setting {
                    own.push(format!("--{flag}={}", values[row]).into());
                }
                let mut process = child::training(front_end.verb, &own, &place)?;
                let status = process.status().context("the program cannot be started")?;
                match status.into() {
                    Ended::Finished => {}
                    Ended::Interrupted => {
                        let hint = format!("go on with the same command and --run {}", folder.display());
                        return Err(Interrupted(hint).into());
                    }
                    Ended::Failed(code) => {
                        anyhow::bail!(
                            "{}: the training ended with exit code {code}; what is finished stays, the same command goes on",
                            place.display()
                        )
                    }
                }
            }
        }
        std::io::stderr().flush()?;
        Ok(folder)
    }
}

/// The arguments of a single training: without the sweep's and those that say where it goes.
fn own(args: &[OsString]) -> Vec<OsString> {
    let (mut kept, mut args) = (Vec::new(), args.iter());
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        match text.split_once('=').map_or(text.as_ref(), |(flag, _)| flag) {
            "--json" | "--resume" | "--overwrite" => {}
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
    Ok(parts.ok_or_else(|| {
        UsageError(format!("--sweep {text}: expected a flag and its values, as in beta=0.9,0.99,0.999"))
    })?)
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
        assert_eq!(own(&args), ["--loss", "eureka", "--lr", "1"]);
    }

    #[test]
    fn what_cannot_be_read_says_what_would_be_right() {
        for text in ["4", "4..4", "a..b", "0..", "3..1"] {
            assert!(seeds(text).unwrap_err().to_string().contains("0..4"), "{text}");
        }
        for text in ["beta", "=1", "beta=", "beta=1,,2"] {
            assert!(setting(text).unwrap_err().to_string().contains("beta=0.9"), "{text}");
        }
        assert_eq!(setting("--beta=0.9, 1").unwrap(), ("beta".into(), vec!["0.9".into(), "1".into()]));
    }
}
