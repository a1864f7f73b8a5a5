//! The two forms in which a reply is scored: normalised as for the public F1, or tokenised like the vocabulary.

use serde::{Deserialize, Serialize};

/// What the F1 normalisation does with a punctuation character inside the text.
///
/// Two public definitions differ here, and nowhere else: with `Removed`, "don't" is the one word "dont"; with
/// `Spaced` it is the two words "don" and "t". Figures under the two are not comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Punctuation {
    /// Delete it, as the SQuAD evaluation does (Rajpurkar et al., 2016).
    Removed,
    /// Put a space in its place, as the scorer of the ConvAI2 challenge does (Dinan et al., 2019; ParlAI's F1
    /// since 2017): to be compared with published ConvAI2 figures.
    #[default]
    Spaced,
}

/// The text from which n-grams are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NgramText {
    #[default]
    /// Tokens of the vocabulary, see [`tokenise`]: punctuation marks and articles count.
    Tokens,
    /// Words of the F1 text, see [`normalise`].
    Normalised,
}

/// The text of the public unigram F1: lower case, then ASCII punctuation removed (or spaced), then the articles
/// a, an and the, then runs of white space made one space.
///
/// The order matters: "a-ha" loses its hyphen before articles are looked for and stays "aha" when punctuation is
/// removed, but becomes "ha" when it is spaced. An article ends at any character that is neither letter nor
/// digit, as the `\b` of the public regular expression does, so a dash outside ASCII ends it too.
pub fn normalise(text: &str, punctuation: Punctuation) -> String {
    let lower = text.to_lowercase();
    let without_punctuation: String = match punctuation {
        Punctuation::Removed => lower.chars().filter(|c| !c.is_ascii_punctuation()).collect(),
        Punctuation::Spaced => lower.chars().map(|c| if c.is_ascii_punctuation() { ' ' } else { c }).collect(),
    };
    let without_articles = replace_articles(&without_punctuation);
    let mut normalised = String::with_capacity(without_articles.len());
    for word in words(&without_articles) {
        if !normalised.is_empty() {
            normalised.push(' ');
        }
        normalised.push_str(word);
    }
    normalised
}

/// Tokens as the vocabulary has them: lower case, spaces put around each of `. , ; : ! ?`, split at white space.
pub fn tokenise(text: &str) -> Vec<String> {
    let mut spaced = String::with_capacity(text.len() + 8);
    for c in text.to_lowercase().chars() {
        if matches!(c, '.' | ',' | ';' | ':' | '!' | '?') {
            spaced.push(' ');
            spaced.push(c);
            spaced.push(' ');
        } else {
            spaced.push(c);
        }
    }
    words(&spaced).map(str::to_owned).collect()
}

/// Words between white space, by the rule of the public scorers' language: Unicode white space and the four ASCII
/// information separators, which Rust does not count as white space.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)).filter(|word| !word.is_empty())
}

fn replace_articles(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let in_word = first.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != in_word).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        out.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn removed(text: &str) -> String {
        normalise(text, Punctuation::Removed)
    }

    fn spaced(text: &str) -> String {
        normalise(text, Punctuation::Spaced)
    }

    #[test]
    fn articles_go_only_as_whole_words() {
        assert_eq!(removed("The cat ate an apple and a pear"), "cat ate apple and pear");
        assert_eq!(removed("theatre another a an the bath"), "theatre another bath");
        assert_eq!(removed("a\u{2013}b"), "\u{2013}b");
        assert_eq!(removed("a1 1a"), "a1 1a");
    }

    #[test]
    fn punctuation_goes_before_articles() {
        assert_eq!(removed("Don't!  I'm a (big) fan..."), "dont im big fan");
        assert_eq!(spaced("Don't!  I'm a (big) fan..."), "don t i m big fan");
        assert_eq!(removed("a-ha the.end the_end"), "aha theend theend");
        assert_eq!(spaced("a-ha the.end the_end"), "ha end end");
    }

    #[test]
    fn every_ascii_mark_goes_and_others_stay() {
        assert_eq!(removed(r##"x!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~y"##), "xy");
        assert_eq!(removed("¿qué? “yes” £5"), "¿qué “yes” £5");
    }

    #[test]
    fn nothing_may_be_left() {
        assert_eq!(removed(""), "");
        assert_eq!(removed(" the . a ! "), "");
        assert_eq!(removed("\t x \u{a0}\u{1f} y\n"), "x y");
    }

    #[test]
    fn lower_case_is_unicode() {
        assert_eq!(removed("THE ÉCLAIR"), "éclair");
    }

    #[test]
    fn tokens_space_the_six_marks_only() {
        assert_eq!(tokenise("Hi,I'm well.Really?!"), ["hi", ",", "i'm", "well", ".", "really", "?", "!"]);
        assert_eq!(tokenise("a (b) c-d ; e:f ..."), ["a", "(b)", "c-d", ";", "e", ":", "f", ".", ".", "."]);
        assert!(tokenise("  ").is_empty());
    }

    proptest! {
        #[test]
        fn no_mark_article_or_double_space_survives(text in "[ a-eht'.,!\u{2013}AT]{0,40}", space in any::<bool>()) {
            let punctuation = if space { Punctuation::Spaced } else { Punctuation::Removed };
            let normalised = normalise(&text, punctuation);
            prop_assert!(!normalised.contains(|c: char| c.is_ascii_punctuation() || c.is_uppercase()));
            prop_assert!(normalised.split(' ').all(|w| !matches!(w, "a" | "an" | "the")));
            prop_assert_eq!(normalised.split_whitespace().collect::<Vec<_>>().join(" "), normalised.clone());
        }

        #[test]
        fn tokenising_twice_changes_nothing(text in "[ a-cA'.,!?;:]{0,40}") {
            let once = tokenise(&text);
            prop_assert_eq!(tokenise(&once.join(" ")), once);
        }
    }
}
