//! Dialogues as JSON Lines, one object a line.
//!
//! ```text
//! {"persona": ["i have two dogs ."], "turns": ["hi !", "hello .", "any pets ?", "two dogs ."]}
//! ```
//!
//! Turns alternate, the partner first; the second, fourth, … are the replies. A final turn of the partner, which
//! nobody answers, is kept and gives no exchange. `persona` may be missing; other fields are ignored, and blank
//! lines skipped.

use serde_json::Value;

use super::{Dialogue, Turn};

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonLineProblem {
    /// The line is not JSON.
    #[error("not JSON: {reason} at column {column}; each line is an object {SHAPE}")]
    NotJson {
        /// What the JSON reader said.
        reason: String,
        /// Where in the line, from 1.
        column: usize,
    },
    /// The line is JSON, but no object.
    #[error("{found} where an object {SHAPE} is expected, one a line")]
    NotAnObject {
        /// The kind of value found.
        found: &'static str,
    },
    /// No field `turns`.
    #[error("no field `turns`; expected {SHAPE}")]
    NoTurns,
    /// A field holds another kind of value.
    #[error("field `{field}` is {found}; expected {expected}")]
    WrongType {
        /// The field, with the index of the element where it is one.
        field: String,
        /// The kind of value found.
        found: &'static str,
        /// The kind that would be right.
        expected: &'static str,
    },
    /// A text of nothing but white space.
    #[error("field `{field}` is empty; expected a text")]
    EmptyText {
        /// The field with the index of the element.
        field: String,
    },
    /// Less than one exchange.
    #[error("field `turns` has {found}; expected at least {expected}")]
    TooFewTurns {
        /// How many there are.
        found: usize,
        /// The least that is of use.
        expected: &'static str,
    },
}

const SHAPE: &str = r#"{"persona": [text, …], "turns": [text, …]}"#;

/// Reads dialogues from the text of a file.
///
/// # Errors
/// The line, from 1, and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Dialogue>, (usize, JsonLineProblem)> {
    parse_with(text, 2)
}

/// The same of conversations that may consist of one message, which is to be answered.
///
/// # Errors
/// As [`parse`].
pub fn parse_unanswered(text: &str) -> Result<Vec<Dialogue>, (usize, JsonLineProblem)> {
    parse_with(text, 1)
}

fn parse_with(text: &str, least_turns: usize) -> Result<Vec<Dialogue>, (usize, JsonLineProblem)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| parse_line(line, least_turns).map_err(|problem| (index + 1, problem)))
        .collect()
}

fn parse_line(line: &str, least_turns: usize) -> Result<Dialogue, JsonLineProblem> {
    let value: Value = serde_json::from_str(line).map_err(|error| {
        // The position at the end counts lines from the start of this one, always 1.
        let message = error.to_string();
        let reason = message.split(" at line ").next().unwrap_or(&message).to_owned();
        JsonLineProblem::NotJson { reason, column: error.column() }
    })?;
    let Value::Object(fields) = &value else {
        return Err(JsonLineProblem::NotAnObject { found: kind(&value) });
    };
    let persona = fields.get("persona").map_or(Ok(Vec::new()), |value| texts("persona", value))?;
    let turns = texts("turns", fields.get("turns").ok_or(JsonLineProblem::NoTurns)?)?;
    if turns.len() < least_turns {
        let expected = if least_turns > 1 { "a message and a reply" } else { "a message" };
        return Err(JsonLineProblem::TooFewTurns { found: turns.len(), expected });
    }
    let speak = |(index, text)| if index % 2 == 0 { Turn::partner(text) } else { Turn::own(text) };
    Ok(Dialogue { persona, turns: turns.into_iter().enumerate().map(speak).collect() })
}

fn texts(field: &str, value: &Value) -> Result<Vec<String>, JsonLineProblem> {
    let wrong =
        |field: String, value: &Value, expected| JsonLineProblem::WrongType { field, found: kind(value), expected };
    let Value::Array(items) = value else {
        return Err(wrong(field.to_owned(), value, "an array of texts"));
    };
    items
        .iter()
        .enumerate()
        .map(|(index, item)| match item {
            Value::String(text) if text.trim().is_empty() => {
                Err(JsonLineProblem::EmptyText { field: format!("{field}[{index}]") })
            }
            Value::String(text) => Ok(text.trim().to_owned()),
            other => Err(wrong(format!("{field}[{index}]"), other, "a text")),
        })
        .collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::JsonLineProblem::*;
    use super::*;

    #[test]
    fn turns_alternate_and_the_partner_is_first() {
        let text = r#"
{"id": 7, "persona": ["i have a dog ."], "turns": [" hi ", "hello", "bye"]}

{"turns": ["a\tb", "c"]}
"#;
        let expected = [
            Dialogue {
                persona: vec!["i have a dog .".into()],
                turns: vec![Turn::partner("hi"), Turn::own("hello"), Turn::partner("bye")],
            },
            Dialogue { persona: vec![], turns: vec![Turn::partner("a\tb"), Turn::own("c")] },
        ];
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn wrong_lines_are_named() {
        let wrong = |field: &str, found, expected| WrongType { field: field.into(), found, expected };
        let cases = [
            ("[1]", NotAnObject { found: "an array" }),
            ("{}", NoTurns),
            (r#"{"persona": ["a"]}"#, NoTurns),
            (r#"{"turns": "hi"}"#, wrong("turns", "a text", "an array of texts")),
            (r#"{"turns": ["hi", 3]}"#, wrong("turns[1]", "a number", "a text")),
            (r#"{"persona": null, "turns": ["a", "b"]}"#, wrong("persona", "null", "an array of texts")),
            (r#"{"persona": [true], "turns": ["a", "b"]}"#, wrong("persona[0]", "a boolean", "a text")),
            (r#"{"turns": ["hi", " "]}"#, EmptyText { field: "turns[1]".into() }),
            (r#"{"turns": ["hi"]}"#, TooFewTurns { found: 1, expected: "a message and a reply" }),
        ];
        for (line, problem) in cases {
            let text = format!("{{\"turns\": [\"a\", \"b\"]}}\n\n{line}\n");
            assert_eq!(parse(&text), Err((3, problem)), "{line}");
        }
    }

    #[test]
    fn one_message_can_be_answered() {
        let dialogue = Dialogue { persona: vec![], turns: vec![Turn::partner("hi")] };
        assert_eq!(parse_unanswered(r#"{"turns": ["hi"]}"#).unwrap(), [dialogue]);
        let none = TooFewTurns { found: 0, expected: "a message" };
        assert_eq!(parse_unanswered(r#"{"turns": []}"#), Err((1, none)));
    }

    #[test]
    fn broken_json_is_located() {
        let (line, problem) = parse("{\"turns\": [\"a\", \"b\"]}\n{\"turns\": [\"a\" \"b\"]}").unwrap_err();
        assert_eq!((line, &problem), (2, &NotJson { reason: "expected `,` or `]`".into(), column: 16 }));
        assert!(!problem.to_string().contains("line 1"), "{problem}");
    }
}
