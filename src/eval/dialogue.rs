//! `toolkit eval dialogue`: scores replies against references.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use imbalance_evaluation::dialogue::{
    FrequencySeries, NgramText, Punctuation, RareWords, ScoreOptions, details, plot_word_frequencies, read_references,
    read_replies, read_types, score, table,
};

use super::{name, print};
use crate::failure::UsageError;

/// Arguments of `toolkit eval dialogue`.
#[derive(Debug, clap::Args)]
pub struct DialogueArgs {
    /// Replies to score, one a line; a blank line is an empty reply
    #[arg(long, value_name = "FILE")]
    replies: PathBuf,

    /// References, a line for each reply, several on a line separated by tabs
    #[arg(long, value_name = "FILE")]
    references: PathBuf,

    /// Word types over which macro F is the mean, one a line, each optionally followed by a tab and its training count;
    /// without the special types (padding, start, end, unknown)
    ///
    /// Without it macro F is the mean over the types that occur in replies or references, and the
    /// expectation-adjusted distinct is not computed.
    #[arg(long, value_name = "FILE")]
    vocabulary: Option<PathBuf>,

    /// Tokens of each word type in the training replies: type, tab, count, one a line [default: the counts in the
    /// vocabulary file, if it has them]
    #[arg(long, value_name = "FILE")]
    train_counts: Option<PathBuf>,

    /// Call a word rare when training has at most this many tokens of it
    #[arg(long, value_name = "COUNT", conflicts_with = "rare_tail")]
    rare_at_most: Option<u64>,

    /// Call the rarest types rare that together make up this percentage of the training tokens [default: 10]
    #[arg(long, value_name = "PERCENT", value_parser = percentage)]
    rare_tail: Option<f64>,

    /// Text from which n-grams are taken
    #[arg(long, value_name = "TEXT", value_enum, default_value_t = NgramTextArg::Tokens)]
    ngram_text: NgramTextArg,

    /// What the normalisation of F1 does with punctuation inside a word
    #[arg(long, value_name = "HOW", value_enum, default_value_t = PunctuationArg::Spaced)]
    punctuation: PunctuationArg,

    /// Draw word frequency against rank of the replies, the references and the training counts, if given
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,

    /// Print one JSON object in full precision in place of the table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum NgramTextArg {
    /// Lower case, the marks . , ; : ! ? as tokens of their own
    Tokens,
    /// The text of F1: no punctuation, no articles
    Normalised,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PunctuationArg {
    /// Delete it: "don't" is the word "dont" (SQuAD's evaluation)
    Removed,
    /// Make it a space: "don't" is "don" and "t" (the ConvAI2 challenge's scorer)
    Spaced,
}

/// Runs `toolkit eval dialogue`: results on standard output.
///
/// # Errors
/// A file that cannot be read or is malformed (named, with its line), files whose lines do not pair up, options that
/// lack what they need, a picture that cannot be written.
pub fn run(args: &DialogueArgs) -> anyhow::Result<()> {
    let replies = read_replies(&args.replies).context("--replies")?;
    let references = read_references(&args.references).context("--references")?;
    if replies.len() != references.len() {
        bail!(
            "--replies {} has {} but --references {} has {}; line n of one must belong to line n of the other",
            args.replies.display(),
            line_count(replies.len()),
            args.references.display(),
            line_count(references.len()),
        );
    }

    let (vocabulary, train_counts) = word_types(args)?;
    let rare = match (args.rare_at_most, args.rare_tail) {
        (Some(count), _) => RareWords::AtMost(count),
        (None, Some(percent)) => RareWords::Tail(percent / 100.0),
        (None, None) => RareWords::default(),
    };
    let options = ScoreOptions {
        vocabulary,
        train_counts,
        rare,
        ngram_text: match args.ngram_text {
            NgramTextArg::Tokens => NgramText::Tokens,
            NgramTextArg::Normalised => NgramText::Normalised,
        },
        punctuation: match args.punctuation {
            PunctuationArg::Removed => Punctuation::Removed,
            PunctuationArg::Spaced => Punctuation::Spaced,
        },
    };
    let scores = score(&replies, &references, &options)?;

    if let Some(path) = &args.plot {
        let mut series = vec![
            FrequencySeries::from_texts("replies", &replies),
            FrequencySeries::from_texts("references", references.iter().flatten()),
        ];
        if let Some(counts) = &options.train_counts {
            series.push(FrequencySeries::from_counts("training replies", counts));
        }
        plot_word_frequencies(&series, path).context("--plot")?;
    }

    let output = if args.json {
        serde_json::to_string_pretty(&scores).context("scores as JSON")? + "\n"
    } else {
        let rows = [(name(&args.replies), &scores)];
        format!("{}\n{}", table(&rows), details(&scores))
    };
    print(&output)
}

type WordTypes = (Option<Vec<String>>, Option<HashMap<String, u64>>);

/// The vocabulary and the training counts, the latter from their own file or from the vocabulary's.
fn word_types(args: &DialogueArgs) -> anyhow::Result<WordTypes> {
    let (vocabulary, vocabulary_counts) = match &args.vocabulary {
        Some(path) => {
            let list = read_types(path).context("--vocabulary")?;
            (Some(list.types), list.counts)
        }
        None => (None, None),
    };
    let train_counts = match &args.train_counts {
        Some(path) => match read_types(path).context("--train-counts")?.counts {
            Some(counts) => Some(counts),
            None => bail!(
                "--train-counts {} has no counts; each line must be a word type, a tab and its count",
                path.display()
            ),
        },
        None => vocabulary_counts,
    };
    if train_counts.is_none() {
        let flag = match (args.rare_at_most, args.rare_tail) {
            (Some(_), _) => Some("--rare-at-most"),
            (None, Some(_)) => Some("--rare-tail"),
            (None, None) => None,
        };
        if let Some(flag) = flag {
            let needed = "needs training counts: give --train-counts, or a --vocabulary with counts";
            return Err(UsageError(format!("{flag} {needed}")).into());
        }
    }
    Ok((vocabulary, train_counts))
}

fn percentage(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 100.0 => Ok(value),
        _ => Err("must be a number above 0 and below 100".to_owned()),
    }
}

fn line_count(lines: usize) -> String {
    if lines == 1 { "1 line".to_owned() } else { format!("{lines} lines") }
}
