//! `toolkit eval`: scores the outputs of any system, ours or another's, from plain files.

mod coco;
mod dialogue;
mod longtail;
mod lvis;

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

/// Arguments of `toolkit eval`.
#[derive(Debug, clap::Args)]
pub struct EvalArgs {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Score detected boxes against COCO annotations: the 12 numbers of COCO, scores of each category, of rare and frequent
    /// ones, kinds of error, and the difference between two systems
    Coco(coco::CocoArgs),
    /// Score replies against references: F1, micro and macro F, n-gram diversity, length, rare words
    Dialogue(dialogue::DialogueArgs),
    /// Score predictions of a classifier trained on a long tail: accuracy of all classes and of those with many, medium and
    /// few training images, natural accuracy, calibration, likelihood
    Longtail(Box<longtail::LongtailArgs>),
    /// Score detected boxes against LVIS annotations by LVIS's protocol: its 13 numbers and scores of each category
    Lvis(lvis::LvisArgs),
}

/// Runs `toolkit eval`: results on standard output.
///
/// # Errors
/// A file that cannot be read or is malformed (named, with its line), files that do not belong together, options that
/// lack what they need, a picture that cannot be written.
pub fn run(args: &EvalArgs) -> anyhow::Result<()> {
    match &args.task {
        Task::Coco(args) => coco::run(args),
        Task::Dialogue(args) => dialogue::run(args),
        Task::Longtail(args) => longtail::run(args),
        Task::Lvis(args) => lvis::run(args),
    }
}

/// Results on standard output.
fn print(output: &str) -> anyhow::Result<()> {
    // Not `println!`, which panics when the reader of a pipe has gone.
    std::io::stdout().write_all(output.as_bytes()).context("cannot write to standard output")
}

/// What a system is called: the name of its file without the extension.
fn name(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
