//! Flags that were typed and would do nothing, since they belong to another choice than the one that was made. Settings of files
//! may be idle: a run's own file has them all.

use std::ffi::OsString;

use clap::ArgMatches;

use crate::failure::UsageError;
use crate::loss_flags::peek;

/// Beside what a flag does something.
enum For {
    /// One of these flags has one of these values.
    Choice(&'static [&'static str], &'static [&'static str]),
    /// This flag is not 0.
    NotZero(&'static str),
    /// None of these flags, which name the user's own data, is given.
    Generated(&'static [&'static str]),
}

use For::{Choice, Generated, NotZero};

const STEPS: For = Choice(&["schedule"], &["step"]);
const PLATEAU: For = Choice(&["schedule"], &["plateau"]);
const SGD: For = Choice(&["optimiser"], &["sgd"]);
const ADAMW: For = Choice(&["optimiser"], &["adamw"]);
const SECOND_STAGE: For = Choice(&["method"], &["crt", "lws"]);
const LSTM: For = Choice(&["model"], &["lstm"]);
const BEAM: For = Choice(&["decode"], &["beam"]);
const SAMPLED: For = Choice(&["decode"], &["top-k", "nucleus", "sample"]);

/// Of every task; a flag that a command does not have is not typed there.
const FLAGS: &[(&str, For)] = &[
    ("step-epochs", STEPS),
    ("step-after", STEPS),
    ("step-factor", STEPS),
    ("plateau-patience", PLATEAU),
    ("plateau-factor", PLATEAU),
    ("min-lr", Choice(&["schedule"], &["cosine", "plateau"])),
    ("momentum", SGD),
    ("nesterov", SGD),
    ("adam-betas", ADAMW),
    ("adam-epsilon", ADAMW),
    ("sampler-beta", Choice(&["sampler", "defer-sampler", "stage-sampler"], &["inverse-effective"])),
    ("stage-epochs", SECOND_STAGE),
    ("stage-sampler", SECOND_STAGE),
    ("imbalance-profile", NotZero("imbalance-ratio")),
    ("subset-rng", NotZero("imbalance-ratio")),
    ("embedding", LSTM),
    ("hidden", LSTM),
    ("layers", LSTM),
    ("dropout", LSTM),
    ("attention", LSTM),
    ("share-embeddings", LSTM),
    ("beam-size", BEAM),
    ("length-penalty", BEAM),
    ("top-k", Choice(&["decode"], &["top-k"])),
    ("top-p", Choice(&["decode"], &["nucleus"])),
    ("temperature", SAMPLED),
    ("decode-seed", SAMPLED),
    ("corpus-seed", Generated(&["data", "train-data"])),
    ("data-seed", Generated(&["data", "train-annotations"])),
];

/// Refuses what was typed and would do nothing beside the settings that all arguments come to.
///
/// # Errors
/// Names the first such flag, and what it is for.
pub fn refuse(args: &[OsString], matches: &ArgMatches) -> anyhow::Result<()> {
    let of_base = args.iter().filter_map(|arg| arg.to_str()).find(|arg| arg.starts_with("--base-"));
    if let Some(flag) = of_base.filter(|_| value(matches, "defer-epochs").as_deref() == Some("0")) {
        return Err(UsageError(format!(
            "{flag} is about the loss of the first --defer-epochs epochs, which are 0; give --defer-epochs, or leave it out"
        ))
        .into());
    }
    let typed = |flag: &str| !peek(args, flag).is_empty() || args.iter().any(|arg| *arg == *format!("--{flag}"));
    match FLAGS.iter().find_map(|(flag, of)| typed(flag).then(|| of.missing(matches)).flatten().map(|why| (flag, why)))
    {
        Some((flag, why)) => Err(UsageError(format!("--{flag} {why}")).into()),
        None => Ok(()),
    }
}

impl For {
    /// Why a flag does nothing, and what would be right.
    fn missing(&self, matches: &ArgMatches) -> Option<String> {
        match self {
            Choice(flags, values) => {
                let found: Vec<String> = flags.iter().filter_map(|flag| value(matches, flag)).collect();
                let wanted = || format!("--{} {}", flags[0], values.join(" or "));
                let here = found.first().filter(|_| !found.iter().any(|found| values.contains(&found.as_str())))?;
                Some(format!("does nothing with --{} {here}; give {}, or leave it out", flags[0], wanted()))
            }
            NotZero(flag) => {
                let is_zero = value(matches, flag).is_some_and(|value| value.parse() == Ok(0.0));
                is_zero.then(|| format!("does nothing with --{flag} 0; give that, or leave it out"))
            }
            Generated(flags) => {
                let given = flags.iter().find_map(|flag| Some((flag, value(matches, flag)?)));
                given.map(|(flag, value)| {
                    format!("is for generated data and does nothing with --{flag} {value}; leave out one of them")
                })
            }
        }
    }
}

/// The value that counts of the flag `name`, as text; none where the command has no such flag.
fn value(matches: &ArgMatches, name: &str) -> Option<String> {
    // clap's own name of a field's flag.
    let id = name.replace('-', "_");
    let raw = matches.try_get_raw(&id).ok().flatten()?.next_back()?;
    Some(raw.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(task: clap::Command, typed: &[&str], of_files: &[&str]) -> Option<String> {
        let all = [&["x"], of_files, typed].concat();
        let matches = task.args_override_self(true).get_matches_from(all);
        let typed: Vec<OsString> = typed.iter().map(Into::into).collect();
        refuse(&typed, &matches).err().map(|error| error.to_string())
    }

    #[test]
    fn a_flag_of_another_choice_is_refused() {
        let of = |typed: &[&str]| said(crate::vision::command(), typed, &["--data=x"]);
        assert_eq!(
            of(&["--schedule=cosine", "--step-epochs=160,180"]).unwrap(),
            "--step-epochs does nothing with --schedule cosine; give --schedule step, or leave it out"
        );
        assert_eq!(of(&["--schedule", "step", "--step-epochs", "160,180"]), None);
        assert_eq!(
            of(&["--min-lr", "0.1"]).unwrap(),
            "--min-lr does nothing with --schedule constant; give --schedule cosine or plateau, or leave it out"
        );
        assert_eq!(
            of(&["--optimiser=adamw", "--nesterov"]).unwrap(),
            "--nesterov does nothing with --optimiser adamw; give --optimiser sgd, or leave it out"
        );
        assert_eq!(
            of(&["--subset-rng", "numpy"]).unwrap(),
            "--subset-rng does nothing with --imbalance-ratio 0; give that, or leave it out"
        );
        assert_eq!(of(&["--subset-rng", "numpy", "--imbalance-ratio", "100"]), None);
    }

    #[test]
    fn one_of_several_choices_is_enough() {
        let of = |typed: &[&str]| said(crate::vision::command(), typed, &[]);
        assert_eq!(of(&["--sampler-beta=0.9", "--stage-sampler=inverse-effective", "--method=crt"]), None);
        assert!(of(&["--sampler-beta=0.9"]).unwrap().contains("give --sampler inverse-effective"));
    }

    #[test]
    fn what_a_file_says_may_be_idle() {
        assert_eq!(said(crate::vision::command(), &["--schedule=cosine"], &["--step-epochs=160"]), None);
    }

    #[test]
    fn decoding_and_generated_data_are_looked_at_too() {
        let of = |typed: &[&str]| said(crate::dialogue::command(), typed, &[]);
        assert_eq!(
            of(&["--beam-size=3"]).unwrap(),
            "--beam-size does nothing with --decode greedy; give --decode beam, or leave it out"
        );
        assert_eq!(of(&["--decode=beam", "--beam-size=3"]), None);
        assert_eq!(of(&["--decode=nucleus", "--temperature=2", "--decode-seed=3"]), None);
        assert_eq!(
            of(&["--data=talk", "--corpus-seed=3"]).unwrap(),
            "--corpus-seed is for generated data and does nothing with --data talk; leave out one of them"
        );
    }

    /// A flag that is renamed would no longer be looked at.
    #[test]
    fn every_flag_is_one() {
        let commands = [crate::vision::command(), crate::dialogue::command(), crate::detection::command()];
        let known = |flag: &str| {
            let mut all = commands.iter().flat_map(clap::Command::get_arguments);
            all.any(|arg| arg.get_long() == Some(flag) && arg.get_id().as_str() == flag.replace('-', "_"))
        };
        for (flag, of) in FLAGS {
            let beside: &[&str] = match of {
                Choice(flags, _) | Generated(flags) => flags,
                NotZero(flag) => std::slice::from_ref(flag),
            };
            for flag in beside.iter().chain([flag]) {
                assert!(known(flag), "{flag}");
            }
            if let Choice(flags, values) = of {
                // A name may be a flag of two tasks (--model).
                let possible = |flag: &str, value: &str| {
                    let all = commands.iter().flat_map(clap::Command::get_arguments);
                    let values =
                        all.filter(|arg| arg.get_long() == Some(flag)).flat_map(clap::Arg::get_possible_values);
                    values.into_iter().any(|possible| possible.get_name() == value)
                };
                for flag in *flags {
                    assert!(values.iter().all(|value| possible(flag, value)), "{flag}: {values:?}");
                }
            }
        }
    }
}
