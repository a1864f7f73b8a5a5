//! Vocabularies from text, as tokenizers.

use std::collections::HashMap;
use std::sync::LazyLock;

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Replace, Sequence, Strip};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{AddedToken, NormalizedString, Normalizer, Tokenizer};

use super::{SPECIAL, UNKNOWN, VocabularyError, VocabularyOptions};

/// How many bytes there are, each a token of byte-level BPE.
const BYTES: usize = 256;

/// A text as a built vocabulary sees it: lower case, spaces around `. , ; : ! ?`, one space between words.
pub fn normalise(text: &str) -> String {
    // Compiling the patterns takes far longer than using them.
    static NORMALISER: LazyLock<Option<NormalizerWrapper>> = LazyLock::new(|| normaliser().ok());
    NORMALISER.as_ref().map_or_else(String::new, |normaliser| normalise_by(normaliser, text))
}

fn normalise_by(normaliser: &NormalizerWrapper, text: &str) -> String {
    let mut text = NormalizedString::from(text);
    match normaliser.normalize(&mut text) {
        Ok(()) => text.get().to_owned(),
        Err(_) => String::new(),
    }
}

fn normaliser() -> Result<NormalizerWrapper, VocabularyError> {
    let mut steps: Vec<NormalizerWrapper> = vec![Lowercase.into()];
    for mark in [".", ",", ";", ":", "!", "?"] {
        steps.push(Replace::new(mark, format!(" {mark} ")).map_err(build_error)?.into());
    }
    let white_space = ReplacePattern::Regex(r"\s+".into());
    steps.push(Replace::new(white_space, " ").map_err(build_error)?.into());
    steps.push(Strip::new(true, true).into());
    Ok(Sequence::new(steps).into())
}

pub(super) fn build_error(error: tokenizers::Error) -> VocabularyError {
    VocabularyError::Build { reason: error.to_string() }
}

fn special_tokens() -> Vec<AddedToken> {
    SPECIAL.iter().map(|&token| AddedToken::from(token, true)).collect()
}

pub(super) fn word_level<'a>(
    texts: impl Iterator<Item = &'a str>,
    options: &VocabularyOptions,
) -> Result<Tokenizer, VocabularyError> {
    let minimum = SPECIAL.len() + 1;
    if let Some(size) = options.max_size.filter(|&size| size < minimum) {
        return Err(VocabularyError::TooSmall { size, kind: "a word-level vocabulary", minimum });
    }
    let normaliser = normaliser()?;
    let mut counts: HashMap<String, u64> = HashMap::new();
    for text in texts {
        let text = normalise_by(&normaliser, text);
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.to_owned(), 1)),
            }
        }
    }
    let mut words: Vec<(String, u64)> = counts
        .into_iter()
        .filter(|(word, count)| *count >= options.min_count && !SPECIAL.contains(&word.as_str()))
        .collect();
    words.sort_unstable_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    let vocabulary = SPECIAL
        .iter()
        .map(|&token| token.to_owned())
        .chain(words.into_iter().map(|(word, _)| word))
        .take(options.max_size.unwrap_or(usize::MAX))
        .zip(0..)
        .collect();
    let model = WordLevel::builder().vocab(vocabulary).unk_token(UNKNOWN.into()).build();
    let mut tokenizer = Tokenizer::new(model.map_err(build_error)?);
    tokenizer.with_normalizer(Some(normaliser)).map_err(build_error)?;
    tokenizer.with_pre_tokenizer(Some(WhitespaceSplit));
    tokenizer.add_special_tokens(special_tokens()).map_err(build_error)?;
    Ok(tokenizer)
}

pub(super) fn byte_level_bpe<'a>(
    texts: impl Iterator<Item = &'a str> + Send,
    size: usize,
    options: &VocabularyOptions,
) -> Result<Tokenizer, VocabularyError> {
    let minimum = SPECIAL.len() + BYTES;
    if options.max_size.is_some() {
        return Err(VocabularyError::MaxSizeOfBpe);
    }
    if size < minimum {
        return Err(VocabularyError::TooSmall { size, kind: "byte-level BPE", minimum });
    }
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_normalizer(Some(normaliser()?)).map_err(build_error)?;
    // No space is put in front, so that decoding gives back the same text.
    let pieces = ByteLevel::default().add_prefix_space(false);
    tokenizer.with_pre_tokenizer(Some(pieces));
    tokenizer.with_decoder(Some(pieces));
    let trainer = BpeTrainer::builder()
        .vocab_size(size)
        .min_frequency(options.min_count)
        .show_progress(false)
        .special_tokens(special_tokens())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut TrainerWrapper::from(trainer), texts).map_err(build_error)?;
    Ok(tokenizer)
}
