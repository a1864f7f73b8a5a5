//! `toolkit dialogue evaluate | generate | chat`: using what was trained.

use std::ffi::OsString;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, FromArgMatches as _};
use imbalance_dialogue::SavedRun;
use imbalance_dialogue::data::{Split, read_conversations};
use imbalance_dialogue::decode::DecodeOptions;
use imbalance_dialogue::one_line;
use imbalance_evaluation::dialogue::table;

use crate::failure::UsageError;
use crate::idle;

fn run_arg() -> Arg {
    Arg::new("RUN").required(true).value_parser(clap::value_parser!(PathBuf)).help("The run folder")
}

fn verb(name: &'static str, about: &'static str) -> Command {
    DecodeOptions::augment_args(
        Command::new(name).args_override_self(true).arg(run_arg()).arg(
            Arg::new("checkpoint")
                .long("checkpoint")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Weights to use [default: the run's checkpoints/best.safetensors]"),
        ),
    )
    .about(about)
    .long_about(None)
    .after_help("Decoding flags default to those of the run.")
}

/// What `evaluate` takes.
pub fn evaluate_command() -> Command {
    verb("evaluate", "Score a run's replies again, perhaps decoded another way")
        .arg(
            Arg::new("split")
                .long("split")
                .value_parser(["train", "valid", "test"])
                .help("The split to score [default: test, or valid where there is no test]"),
        )
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("FOLDER")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Data to score on in place of the run's own"),
        )
        .arg(
            Arg::new("output")
                .long("output")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Write the replies there, one a line"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
}

/// What `generate` takes.
pub fn generate_command() -> Command {
    verb("generate", "Write replies to the conversations of a file, one a line")
        .arg(
            Arg::new("input")
                .long("input")
                .value_name("FILE")
                .required(true)
                .value_parser(clap::value_parser!(PathBuf))
                .help("Conversations in ConvAI2's numbered lines or JSON Lines; every message gets a reply, a last one without an answer too"),
        )
        .arg(
            Arg::new("messages")
                .long("messages")
                .action(ArgAction::SetTrue)
                .help("The file holds plain messages, one a line, each a conversation of its own"),
        )
        .arg(
            Arg::new("output")
                .long("output")
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Write there [default: standard output]"),
        )
}

/// What `chat` takes.
pub fn chat_command() -> Command {
    verb("chat", "Talk to a run's model; an empty line or end of input ends it").arg(
        Arg::new("persona")
            .long("persona")
            .value_name("SENTENCE")
            .action(ArgAction::Append)
            .help("Something true of the one who answers; may be given more than once"),
    )
}

/// How replies are decoded, as `args` ask.
///
/// # Errors
/// Values out of range, and flags that do nothing.
pub fn decoding(args: &[OsString], matches: &ArgMatches) -> anyhow::Result<DecodeOptions> {
    let options = DecodeOptions::from_arg_matches(matches)?;
    options.validate().map_err(|error| UsageError(error.to_string()))?;
    idle::refuse(args, matches)?;
    Ok(options)
}

fn load(folder: &Path, matches: &ArgMatches) -> anyhow::Result<SavedRun> {
    let checkpoint = matches.get_one::<PathBuf>("checkpoint");
    Ok(SavedRun::load(folder, checkpoint.map(PathBuf::as_path))?)
}

/// Scores the run in `folder`.
pub fn evaluate(folder: &Path, options: &DecodeOptions, matches: &ArgMatches) -> anyhow::Result<()> {
    let run = load(folder, matches)?;
    let data = matches.get_one::<PathBuf>("data").map(|data| imbalance_dialogue::DataSource::Folder(data.clone()));
    let split = matches.get_one::<String>("split").map(|split| match split.as_str() {
        "train" => Split::Train,
        "valid" => Split::Valid,
        _ => Split::Test,
    });
    let evaluation = run.evaluate(data.as_ref(), split, options)?;
    if let Some(path) = matches.get_one::<PathBuf>("output") {
        write_replies(path, &evaluation.replies)?;
    }
    let mut out = std::io::stdout().lock();
    if matches.get_flag("json") {
        writeln!(out, "{}", serde_json::to_string_pretty(&evaluation)?)?;
    } else {
        write!(out, "{}", table(&[(folder.display().to_string(), &evaluation.scores)]))?;
        writeln!(out, "\n{} replies, {:.0} replies/s", evaluation.scores.replies, evaluation.replies_per_second)?;
    }
    Ok(())
}

/// Writes replies of the run in `folder`.
pub fn generate(folder: &Path, options: &DecodeOptions, matches: &ArgMatches) -> anyhow::Result<()> {
    let input = matches.get_one::<PathBuf>("input").cloned().unwrap_or_default();
    if let Some(output) = matches.get_one::<PathBuf>("output")
        && let (Ok(input), Ok(same)) = (input.canonicalize(), output.canonicalize())
        && input == same
    {
        return Err(UsageError(format!("--output {} is the file of --input; give another", output.display())).into());
    }
    let run = load(folder, matches)?;
    let replies = if matches.get_flag("messages") {
        let text = std::fs::read_to_string(&input).with_context(|| format!("--input {}", input.display()))?;
        let messages: Vec<String> = text.lines().map(str::to_owned).collect();
        imbalance_dialogue::answer(&run, &messages, options)?
    } else {
        imbalance_dialogue::generate(&run, &read_conversations(&input)?, options)?
    };
    match matches.get_one::<PathBuf>("output") {
        Some(path) => write_replies(path, &replies),
        None => {
            let mut out = std::io::stdout().lock();
            for reply in replies {
                writeln!(out, "{}", one_line(&reply))?;
            }
            Ok(())
        }
    }
}

fn write_replies(path: &Path, replies: &[String]) -> anyhow::Result<()> {
    imbalance_train::write_atomically(path, |file| {
        let mut file = std::io::BufWriter::new(file);
        for reply in replies {
            writeln!(file, "{}", one_line(reply))?;
        }
        file.flush()
    })
    .with_context(|| format!("--output {}", path.display()))
}

/// Talks with the run in `folder`.
pub fn chat(folder: &Path, options: &DecodeOptions, matches: &ArgMatches) -> anyhow::Result<()> {
    let run = load(folder, matches)?;
    let mut history: Vec<String> = matches.get_many::<String>("persona").into_iter().flatten().cloned().collect();
    let prompt = std::io::stdin().is_terminal();
    let mut out = std::io::stdout().lock();
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if prompt {
            write!(out, "> ")?;
            out.flush()?;
        }
        let Some(line) = lines.next().transpose().context("standard input")? else { break };
        if line.trim().is_empty() {
            break;
        }
        history.push(line);
        let reply = imbalance_dialogue::reply(&run, &history, options)?;
        writeln!(out, "{reply}")?;
        out.flush()?;
        history.push(reply);
    }
    Ok(())
}
