//! `NaN`, `Infinity` and `-Infinity`, which Python writes into JSON though JSON has no such numbers.

use std::borrow::Cow;

const WORDS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];

/// The JSON with each such word as text, or `None` where there is none.
pub(super) fn quoted(json: &[u8]) -> Option<Vec<u8>> {
    let mut out = Cow::Borrowed(json);
    let (mut at, mut copied, mut in_text) = (0, 0, false);
    while at < json.len() {
        match json[at] {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            b'N' | b'I' | b'-' if !in_text => {
                if let Some(word) = WORDS.iter().find(|word| json[at..].starts_with(word)) {
                    if let Cow::Borrowed(_) = out {
                        out = Cow::Owned(Vec::with_capacity(json.len() + 64));
                    }
                    let out = out.to_mut();
                    out.extend_from_slice(&json[copied..at]);
                    out.push(b'"');
                    out.extend_from_slice(word);
                    out.push(b'"');
                    at += word.len();
                    copied = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    match out {
        Cow::Borrowed(_) => None,
        Cow::Owned(mut out) => {
            out.extend_from_slice(&json[copied..]);
            Some(out)
        }
    }
}

/// The value, if it is such a word.
pub(super) fn word(value: &serde_json::Value) -> Option<&str> {
    value.as_str().filter(|text| WORDS.contains(&text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_outside_text_are_quoted() {
        let quoted = |json: &str| quoted(json.as_bytes()).map(|json| String::from_utf8(json).unwrap());
        assert_eq!(quoted(r#"{"NaN": -1, "a\"NaN": "Infinity"}"#), None);
        assert_eq!(
            quoted(r#"[NaN,-Infinity, "x\\", Infinity, -2]"#).unwrap(),
            r#"["NaN","-Infinity", "x\\", "Infinity", -2]"#
        );
    }
}
