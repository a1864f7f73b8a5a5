//! The numbered-line format of ConvAI2.
//!
//! ```text
//! 1 your persona: i bake bread every morning.
//! 2 your persona: my boat is green.
//! 3 good evening ! did you work today ?<TAB>yes , i sold forty loaves .
//! 4 do you ever take a day off ?<TAB>on sundays i sail .<TAB><TAB>candidate|candidate
//! 1 your persona: i collect stamps.
//! ```
//!
//! - A line that is numbered 1 starts a dialogue; the others count up. Blank lines are skipped.
//! - Persona lines come first. `your persona:` is taken off; the other side's, `partner's persona:`, is kept in the
//!   text, for the two would otherwise be mixed up.
//! - The optional third and fourth field, reward and candidates, are not used.
//! - White space around texts is dropped; casing and spelling stay as they are.

use std::fmt::Write;

use super::{Dialogue, Turn};

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberedLineProblem {
    /// The line does not start with a number and a space.
    #[error("no line number at {found:?}; each line is `N text<TAB>reply`, N counting from 1 in each dialogue")]
    NoNumber {
        /// The start of the line.
        found: String,
    },
    /// The number is neither the next one nor 1.
    #[error("line number {found}, where {expected} continues the dialogue and 1 starts another")]
    WrongNumber {
        /// The number read.
        found: u64,
        /// The number that would continue the dialogue.
        expected: u64,
    },
    /// The first line of the file is not numbered 1.
    #[error("line number {found} at the start of the file; a dialogue starts with 1")]
    StartsAt {
        /// The number read.
        found: u64,
    },
    /// No tab, and no persona line.
    #[error("no tab between message and reply; expected `N text<TAB>reply`, or a persona line `N your persona: …`")]
    NoTab,
    /// Nothing before the tab.
    #[error("the message before the tab is empty; write `__SILENCE__` where the reply opens the dialogue")]
    EmptyMessage,
    /// Nothing after the tab.
    #[error("the reply after the tab is empty; expected `N text<TAB>reply`")]
    EmptyReply,
    /// `your persona:` with nothing after it.
    #[error("the persona line is empty; expected `N your persona: …`")]
    EmptyPersona,
    /// A persona line after the first exchange.
    #[error("a persona line after the first exchange; persona lines come first in a dialogue")]
    LatePersona,
    /// A dialogue of persona lines only.
    #[error("the dialogue that starts here has no exchange; expected at least one line `N text<TAB>reply`")]
    NoExchange,
}

const OWN_PERSONA: &str = "your persona:";
const PARTNER_PERSONA: &str = "partner's persona:";

/// Reads dialogues from the text of a file.
///
/// # Errors
/// The line, from 1, and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Dialogue>, (usize, NumberedLineProblem)> {
    read(text, false)
}

/// The same where the last message of a dialogue may be without a reply, with its tab or without.
///
/// # Errors
/// As [`parse`].
pub fn parse_unanswered(text: &str) -> Result<Vec<Dialogue>, (usize, NumberedLineProblem)> {
    read(text, true)
}

fn read(text: &str, unanswered: bool) -> Result<Vec<Dialogue>, (usize, NumberedLineProblem)> {
    let mut open: Option<(usize, NumberedLineProblem)> = None;
    let mut dialogues: Vec<Dialogue> = Vec::new();
    let mut number = 0;
    let mut first_line = 0;
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let at = |problem| (index + 1, problem);
        let (found, content) = split_number(line).map_err(at)?;
        if let Some(error) = open.take().filter(|_| found != 1) {
            return Err(error);
        }
        if found == 1 {
            has_exchange(&dialogues, first_line)?;
            dialogues.push(Dialogue::default());
            first_line = index + 1;
        } else if number == 0 {
            return Err(at(NumberedLineProblem::StartsAt { found }));
        } else if found != number + 1 {
            return Err(at(NumberedLineProblem::WrongNumber { found, expected: number + 1 }));
        }
        number = found;
        if let Some(dialogue) = dialogues.last_mut() {
            match add_line(dialogue, content) {
                Err(problem @ (NumberedLineProblem::NoTab | NumberedLineProblem::EmptyReply)) if unanswered => {
                    let message = content.split('\t').next().unwrap_or_default().trim();
                    dialogue.turns.push(Turn::partner(message));
                    open = Some(at(problem));
                }
                result => result.map_err(at)?,
            }
        }
    }
    has_exchange(&dialogues, first_line)?;
    Ok(dialogues)
}

fn split_number(line: &str) -> Result<(u64, &str), NumberedLineProblem> {
    let no_number = || NumberedLineProblem::NoNumber { found: line.chars().take(40).collect() };
    // A number alone, or followed by a tab, has an empty text rather than no number.
    let end = line.find([' ', '\t']).unwrap_or(line.len());
    let (digits, content) = line.split_at(end);
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(no_number());
    }
    let number = digits.parse().map_err(|_| no_number())?;
    Ok((number, content.strip_prefix(' ').unwrap_or(content)))
}

fn add_line(dialogue: &mut Dialogue, content: &str) -> Result<(), NumberedLineProblem> {
    let Some((message, rest)) = content.split_once('\t') else {
        return add_persona(dialogue, content.trim());
    };
    let message = message.trim();
    let reply = rest.split('\t').next().unwrap_or_default().trim();
    if message.is_empty() {
        return Err(NumberedLineProblem::EmptyMessage);
    }
    if reply.is_empty() {
        return Err(NumberedLineProblem::EmptyReply);
    }
    dialogue.turns.push(Turn::partner(message));
    dialogue.turns.push(Turn::own(reply));
    Ok(())
}

fn add_persona(dialogue: &mut Dialogue, content: &str) -> Result<(), NumberedLineProblem> {
    let (statement, kept) = if let Some(rest) = content.strip_prefix(OWN_PERSONA) {
        (rest.trim(), rest.trim())
    } else if let Some(rest) = content.strip_prefix(PARTNER_PERSONA) {
        (rest.trim(), content)
    } else {
        return Err(NumberedLineProblem::NoTab);
    };
    if statement.is_empty() {
        return Err(NumberedLineProblem::EmptyPersona);
    }
    if !dialogue.turns.is_empty() {
        return Err(NumberedLineProblem::LatePersona);
    }
    dialogue.persona.push(kept.to_owned());
    Ok(())
}

fn has_exchange(dialogues: &[Dialogue], first_line: usize) -> Result<(), (usize, NumberedLineProblem)> {
    match dialogues.last() {
        Some(last) if last.turns.is_empty() => Err((first_line, NumberedLineProblem::NoExchange)),
        _ => Ok(()),
    }
}

/// Writes dialogues as numbered lines, the inverse of [`parse`] for what it can hold: a final message
/// without a reply is left out, and each run of white space in a text becomes one space.
pub fn format(dialogues: &[Dialogue]) -> String {
    let mut text = String::new();
    for dialogue in dialogues {
        let mut number = 0;
        let mut line = |content: &str| {
            number += 1;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{number} {content}");
        };
        for persona in &dialogue.persona {
            let persona = one_line(persona);
            if persona.starts_with(PARTNER_PERSONA) {
                line(&persona);
            } else {
                line(&format!("{OWN_PERSONA} {persona}"));
            }
        }
        for pair in dialogue.turns.chunks_exact(2) {
            line(&format!("{}\t{}", one_line(&pair[0].text), one_line(&pair[1].text)));
        }
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::NumberedLineProblem::*;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_personas_exchanges_and_ignores_further_fields() {
        let text = "1 your persona: i have a dog.\r\n\
                    2 partner's persona: i sing.\r\n\
                    3 Hi ! \t hello you .\t1.0\ta|b\r\n\
                    4 12 dogs ?\tno , 1 .\t\ta|b\r\n\
                    \r\n\
                    1 bye\tbye .\n";
        let expected = [
            Dialogue {
                persona: vec!["i have a dog.".into(), "partner's persona: i sing.".into()],
                turns: vec![
                    Turn::partner("Hi !"),
                    Turn::own("hello you ."),
                    Turn::partner("12 dogs ?"),
                    Turn::own("no , 1 ."),
                ],
            },
            Dialogue { persona: vec![], turns: vec![Turn::partner("bye"), Turn::own("bye .")] },
        ];
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn wrong_lines_are_named() {
        let cases = [
            ("1 a\tb\nhello\tyou", 2, NoNumber { found: "hello\tyou".into() }),
            ("1 a\tb\n+2 a\tb", 2, NoNumber { found: "+2 a\tb".into() }),
            (" a\tb", 1, NoNumber { found: " a\tb".into() }),
            ("99999999999999999999 a\tb", 1, NoNumber { found: "99999999999999999999 a\tb".into() }),
            ("1 a\tb\n\n3 a\tb", 3, WrongNumber { found: 3, expected: 2 }),
            ("1 a\tb\n0 a\tb", 2, WrongNumber { found: 0, expected: 2 }),
            ("2 a\tb", 1, StartsAt { found: 2 }),
            ("1 a\tb\n2 a b", 2, NoTab),
            ("1", 1, NoTab),
            ("1 \tb", 1, EmptyMessage),
            ("1\tb", 1, EmptyMessage),
            ("1 a\t", 1, EmptyReply),
            ("1 a\t \t1.0\tb|c", 1, EmptyReply),
            ("1 your persona: ", 1, EmptyPersona),
            ("1 a\tb\n2 your persona: late", 2, LatePersona),
            ("1 your persona: a\n1 a\tb", 1, NoExchange),
            ("1 a\tb\n1 your persona: a\n2 your persona: b\n", 2, NoExchange),
        ];
        for (text, line, problem) in cases {
            assert_eq!(parse(text), Err((line, problem)), "{text:?}");
        }
    }

    #[test]
    fn messages_say_what_would_be_right() {
        assert_eq!(
            WrongNumber { found: 7, expected: 4 }.to_string(),
            "line number 7, where 4 continues the dialogue and 1 starts another"
        );
        for problem in [NoNumber { found: "hi".into() }, NoTab, EmptyReply, NoExchange] {
            assert!(problem.to_string().contains("`N text<TAB>reply`"), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn format_is_the_inverse_of_parse(
            dialogues in prop::collection::vec(
                (
                    prop::collection::vec("[a-z0-9]{1,8}( [a-zé.:]{1,5}){0,3}", 0..4),
                    prop::collection::vec("[a-z0-9]{1,8}( [a-zé.:]{1,5}){0,3}", 1..5),
                ),
                1..5,
            )
        ) {
            let dialogues: Vec<Dialogue> = dialogues
                .into_iter()
                .map(|(persona, texts)| Dialogue {
                    persona,
                    turns: texts.into_iter().flat_map(|t| [Turn::partner(t.clone()), Turn::own(t + " !")]).collect(),
                })
                .collect();
            prop_assert_eq!(parse(&format(&dialogues)), Ok(dialogues));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[ -~\t\r\n1é]{0,80}") {
            let _ = parse(&text);
        }
    }
}
