//! `NaN`, `Infinity` and `-Infinity`, which Python writes into JSON and JSON does not have.

/// The text with these words as strings of the same length, so that places in it stay what they are; none where it has
/// no such word. What [`super::records::Number`] makes of such a string is the number again.
pub(super) fn quoted(bytes: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let mut text = bytes.to_vec();
    let (mut at, mut found) = (0, false);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_string(&text, at),
            b'N' | b'-' | b'I' => match WORDS.iter().find(|word| text[at..].starts_with(word)) {
                Some(word) => {
                    let last = at + word.len() - 1;
                    text.copy_within(at..last - 1, at + 1);
                    (text[at], text[last]) = (b'"', b'"');
                    (at, found) = (last + 1, true);
                }
                None => at += 1,
            },
            _ => at += 1,
        }
    }
    found.then_some(text)
}

/// The place after the string that starts at `start`.
fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_strings_in_place_and_strings_stay() {
        let text = br#"{"NaN": [NaN, -Infinity, Infinity, -1], "a\"NaN": "-Infinity"}"#;
        let expected = br#"{"NaN": ["N", "-Infini", "Infini", -1], "a\"NaN": "-Infinity"}"#;
        assert_eq!(quoted(text).unwrap(), expected);
        assert_eq!(quoted(br#"{"Infinity": [-1, 2]}"#), None);
        assert_eq!(quoted(br#"{"cut \"#), None);
    }
}
