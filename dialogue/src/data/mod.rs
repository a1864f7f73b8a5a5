//! Dialogues: what they are, how files hold them, and the splits of a corpus.
//!
//! Two formats are read: the numbered lines of ConvAI2 ([`convai2`]) and JSON Lines ([`json_lines`]).
//! [`built_in`] generates a corpus from a seed, so that a first run needs no data.

pub mod built_in;
pub mod convai2;
mod corpus;
mod error;
pub mod json_lines;
mod text;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use corpus::{Corpus, Source, Split};
pub use error::DataError;
use text::TextFile;

/// Who says a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The one who is answered.
    Partner,
    /// The one whose persona is known and whose turns are the replies to learn.
    Own,
}

/// One utterance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who says it.
    pub speaker: Speaker,
    /// What is said, as written in the file, without surrounding white space.
    pub text: String,
}

impl Turn {
    /// An utterance of the partner.
    pub fn partner(text: impl Into<String>) -> Self {
        Self { speaker: Speaker::Partner, text: text.into() }
    }

    /// An utterance of the one whose replies are learnt.
    pub fn own(text: impl Into<String>) -> Self {
        Self { speaker: Speaker::Own, text: text.into() }
    }
}

/// One conversation.
///
/// The readers give turns that alternate and start with the partner, and at least one reply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialogue {
    /// Statements about the one who replies; may be empty.
    pub persona: Vec<String>,
    /// Utterances, oldest first.
    pub turns: Vec<Turn>,
}

impl Dialogue {
    /// The indices into [`turns`](Self::turns) of the replies, that is of every own turn.
    pub fn replies(&self) -> impl Iterator<Item = usize> {
        (0..self.turns.len()).filter(|&turn| self.turns[turn].speaker == Speaker::Own)
    }

    /// What is known when `turns[turn]` is said: the persona, then all earlier turns, oldest first.
    ///
    /// Borrowed, where [`Exchange::history`] copies; empty only for a first turn without persona.
    pub fn history(&self, turn: usize) -> impl Iterator<Item = &str> {
        let earlier = self.turns.iter().take(turn).map(|turn| turn.text.as_str());
        self.persona.iter().map(String::as_str).chain(earlier)
    }
}

/// A reply together with what it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Persona lines, then all earlier turns up to the message answered, oldest first.
    pub history: Vec<String>,
    /// The reply to learn.
    pub reply: String,
    /// Index of the dialogue in the slice that was given to [`exchanges`].
    pub dialogue: usize,
    /// Index of the reply in [`Dialogue::turns`], so `history` is the persona and `turns[..turn]`.
    pub turn: usize,
}

/// Every reply of the dialogues with its history, in order.
///
/// Histories repeat all earlier turns, so memory grows with the square of a dialogue's length;
/// [`Dialogue::replies`] and [`Dialogue::history`] give the same without copies.
pub fn exchanges(dialogues: &[Dialogue]) -> Vec<Exchange> {
    let of = |(index, dialogue)| {
        let dialogue: &Dialogue = dialogue;
        dialogue.replies().map(move |turn| Exchange {
            history: dialogue.history(turn).map(str::to_owned).collect(),
            reply: dialogue.turns[turn].text.clone(),
            dialogue: index,
            turn,
        })
    };
    dialogues.iter().enumerate().flat_map(of).collect()
}

/// How a file holds dialogues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    NumberedLines,
    JsonLines,
}

impl Format {
    /// JSON Lines by extension (`.jsonl`, `.ndjson`, `.json`) or by a first character `{`, which no
    /// numbered line has; numbered lines otherwise.
    fn detect(path: &Path, text: &str) -> Self {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("jsonl" | "ndjson" | "json") => Self::JsonLines,
            _ if text.trim_start().starts_with('{') => Self::JsonLines,
            _ => Self::NumberedLines,
        }
    }
}

/// Reads the dialogues of one file, in whichever of the two formats it is.
///
/// # Errors
/// Any [`DataError`] about a single file.
pub fn read_dialogues(path: &Path) -> Result<Vec<Dialogue>, DataError> {
    parse_dialogues(path, &TextFile::read(path)?, convai2::parse, json_lines::parse)
}

/// The same of conversations to be answered: of JSON Lines one may consist of a single message.
///
/// # Errors
/// As [`read_dialogues`].
pub fn read_conversations(path: &Path) -> Result<Vec<Dialogue>, DataError> {
    parse_dialogues(path, &TextFile::read(path)?, convai2::parse_unanswered, json_lines::parse_unanswered)
}

type ParseNumberedLines = fn(&str) -> Result<Vec<Dialogue>, (usize, convai2::NumberedLineProblem)>;
type ParseJsonLines = fn(&str) -> Result<Vec<Dialogue>, (usize, json_lines::JsonLineProblem)>;

fn parse_dialogues(
    path: &Path,
    file: &TextFile,
    numbered_lines: ParseNumberedLines,
    json_lines: ParseJsonLines,
) -> Result<Vec<Dialogue>, DataError> {
    match Format::detect(path, &file.text) {
        Format::NumberedLines => numbered_lines(&file.text).map_err(|(line, problem)| DataError::NumberedLine {
            path: path.into(),
            line,
            problem,
        }),
        Format::JsonLines => {
            json_lines(&file.text).map_err(|(line, problem)| DataError::JsonLine { path: path.into(), line, problem })
        }
    }
}

#[cfg(test)]
mod real_data_tests;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_persona_then_all_earlier_turns() {
        let dialogue = Dialogue {
            persona: vec!["i have a dog .".into()],
            turns: vec![Turn::partner("hi"), Turn::own("hello"), Turn::partner("pets ?"), Turn::own("a dog")],
        };
        let found = exchanges(&[Dialogue::default(), dialogue]);
        let expected = [
            Exchange {
                history: vec!["i have a dog .".into(), "hi".into()],
                reply: "hello".into(),
                dialogue: 1,
                turn: 1,
            },
            Exchange {
                history: vec!["i have a dog .".into(), "hi".into(), "hello".into(), "pets ?".into()],
                reply: "a dog".into(),
                dialogue: 1,
                turn: 3,
            },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_unanswered_turn_is_no_exchange() {
        let dialogue =
            Dialogue { persona: vec![], turns: vec![Turn::partner("hi"), Turn::own("hello"), Turn::partner("bye")] };
        assert_eq!(exchanges(&[dialogue]).len(), 1);
    }

    #[test]
    fn format_follows_extension_then_content() {
        let cases = [
            ("a.jsonl", "1 a\tb", Format::JsonLines),
            ("a.JSON", "", Format::JsonLines),
            ("a.txt", "\n {\"turns\": []}", Format::JsonLines),
            ("a.txt", "1 {a\tb", Format::NumberedLines),
            ("train", "1 a\tb", Format::NumberedLines),
        ];
        for (name, text, expected) in cases {
            assert_eq!(Format::detect(Path::new(name), text), expected, "{name} {text}");
        }
    }

    #[test]
    fn errors_of_either_format_name_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("a.txt", "1 hi\thello\nno number"), ("a.jsonl", "{\"turns\":[\"a\",\"b\"]}\n[]")] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let message = read_dialogues(&path).unwrap_err().to_string();
            assert!(message.contains(&format!("{name}:2: ")), "{message}");
        }
    }
}
