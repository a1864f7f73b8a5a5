//! Replies to conversations that are not part of the run's data.

use tch::Device;

use crate::data::{Dialogue, Speaker, Turn};
use crate::dataset::{Examples, join};
use crate::decode::{DecodeOptions, decode};
use crate::{DialogueError, SavedRun};

/// A reply to every message of `dialogues`, in order: to each that was answered, and to a last one that was not.
///
/// # Errors
/// See [`crate::decode::DecodeError`].
pub fn generate(run: &SavedRun, dialogues: &[Dialogue], options: &DecodeOptions) -> Result<Vec<String>, DialogueError> {
    let answered = |dialogue: &Dialogue| {
        let mut dialogue = dialogue.clone();
        if dialogue.turns.last().is_some_and(|turn| turn.speaker == Speaker::Partner) {
            dialogue.turns.push(Turn::own(""));
        }
        dialogue
    };
    let dialogues: Vec<Dialogue> = dialogues.iter().map(answered).collect();
    let examples = Examples::new(&dialogues, &run.vocabulary, run.history_tokens, 0);
    decoded(run, examples.histories(), options)
}

/// A reply to one history: persona lines and turns, oldest first.
///
/// # Errors
/// See [`crate::decode::DecodeError`].
pub fn reply(run: &SavedRun, history: &[String], options: &DecodeOptions) -> Result<String, DialogueError> {
    let encoded: Vec<Vec<u32>> = history.iter().map(|text| run.vocabulary.encode(text)).collect();
    let joined = join(&encoded, run.special().end, run.history_tokens);
    Ok(decoded(run, &[joined], options)?.remove(0))
}

/// A reply to each of `messages`, taken as conversations of their own.
///
/// # Errors
/// See [`crate::decode::DecodeError`].
pub fn answer(run: &SavedRun, messages: &[String], options: &DecodeOptions) -> Result<Vec<String>, DialogueError> {
    let histories: Vec<Vec<u32>> = messages.iter().map(|message| run.vocabulary.encode(message)).collect();
    decoded(run, &histories, options)
}

fn decoded(run: &SavedRun, histories: &[Vec<u32>], options: &DecodeOptions) -> Result<Vec<String>, DialogueError> {
    let hypotheses = decode(&run.model, histories, options, run.special(), run.vocabulary.reply_counts(), Device::Cpu)?;
    Ok(hypotheses.iter().map(|hypothesis| run.vocabulary.decode(&hypothesis.tokens)).collect())
}

/// A reply as a line of a file: vocabularies of bytes have line ends, too.
pub fn one_line(reply: &str) -> String {
    reply.replace(['\n', '\r'], " ")
}
