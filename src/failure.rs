//! How a failure is told, and which exit code it has: 1 the run failed, 2 wrong usage, 130 interrupted.

use std::io;
use std::process::ExitCode;

use imbalance_core::host::FindError;

/// The arguments were at fault, in a way that clap cannot know.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The user interrupted the run, whose state is saved.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; {0}")]
pub struct Interrupted(pub String);

/// The failure has been told already; what is left is the exit code.
#[derive(Debug, thiserror::Error)]
#[error("exit code {0}")]
pub struct AlreadyTold(pub u8);

/// Prints `error` and gives its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    for cause in error.chain() {
        if let Some(usage) = cause.downcast_ref::<clap::Error>() {
            // Help and version come as errors too; clap knows their stream and code.
            let _ = usage.print();
            return ExitCode::from(usage.exit_code() as u8);
        }
    }
    // The reader of our output has seen enough (`toolkit … | head`).
    if error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe))
    {
        return ExitCode::SUCCESS;
    }
    if let Some(AlreadyTold(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    eprintln!("error: {}", text(error));
    ExitCode::from(exit_code(error))
}

/// An error with its causes, each once: some errors tell their cause themselves.
fn text(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut text, cause| {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
        text
    })
}

fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<Interrupted>() {
            return 130;
        }
        if cause.is::<UsageError>() || cause.is::<FindError>() {
            return 2;
        }
        #[cfg(feature = "training")]
        if let Some(train) = cause.downcast_ref::<imbalance_train::TrainError>() {
            return train.exit_code();
        }
        #[cfg(feature = "training")]
        if let Some(dialogue) = cause.downcast_ref::<imbalance_dialogue::DialogueError>() {
            return dialogue.exit_code();
        }
        #[cfg(feature = "training")]
        if let Some(vision) = cause.downcast_ref::<imbalance_vision::VisionError>() {
            return vision.exit_code();
        }
        #[cfg(feature = "training")]
        if let Some(detection) = cause.downcast_ref::<imbalance_detection::DetectionError>() {
            return detection.exit_code();
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read a.json: {source}")]
        struct Read {
            source: io::Error,
        }
        let read = Read { source: io::Error::other("the disk is gone") };
        let error = Err::<(), _>(read).context("--gt").unwrap_err();
        assert_eq!(text(&error), "--gt: cannot read a.json: the disk is gone");
    }
}
