//! Vocabularies on disk.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use super::build::build_error;
use super::{END_OF_TEXT, SPECIAL, Special, Vocabulary, VocabularyError};

const TOKENIZER_FILE: &str = "a tokenizer (tokenizers JSON)";
const COUNTS_FILE: &str = "the counts of the training replies";
/// The name of the second file of a saved vocabulary, beside the tokenizer.
pub const REPLY_COUNTS: &str = "reply-counts.json";

impl Vocabulary {
    /// Writes the tokenizer to `path` and the counts to [`REPLY_COUNTS`] beside it, each by way of a temporary
    /// file, so that no half file is ever there.
    ///
    /// # Errors
    /// [`VocabularyError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), VocabularyError> {
        let build = |reason: String| VocabularyError::Build { reason };
        let tokenizer = self.tokenizer.to_string(true).map_err(|error| build(error.to_string()))?;
        let counts = ReplyCounts { reply_counts: self.reply_counts.clone() };
        let counts = serde_json::to_string(&counts).map_err(|error| build(error.to_string()))?;
        for (path, text) in [(path, tokenizer), (&path.with_file_name(REPLY_COUNTS), counts)] {
            write_whole(path, text.as_bytes()).map_err(|reason| VocabularyError::Io {
                path: path.into(),
                action: "written",
                reason,
            })?;
        }
        Ok(())
    }

    /// Reads what [`save`](Self::save) has written.
    ///
    /// # Errors
    /// [`VocabularyError::Missing`], [`VocabularyError::Io`], [`VocabularyError::Malformed`],
    /// [`VocabularyError::NoSpecial`], [`VocabularyError::CountsDiffer`].
    pub fn load(path: &Path) -> Result<Self, VocabularyError> {
        let mut vocabulary = Self::from_tokenizer(read_tokenizer(path)?, path)?;
        let path = path.with_file_name(REPLY_COUNTS);
        let text = read(&path, COUNTS_FILE)?;
        let counts: ReplyCounts = serde_json::from_str(&text).map_err(|error| VocabularyError::Malformed {
            path: path.clone(),
            expected: COUNTS_FILE,
            reason: error.to_string(),
        })?;
        let (found, expected) = (counts.reply_counts.len(), vocabulary.size);
        if found != expected {
            return Err(VocabularyError::CountsDiffer { path, found, expected });
        }
        vocabulary.reply_counts = counts.reply_counts;
        Ok(vocabulary)
    }

    /// Takes over a tokenizer as it is, such as GPT-2's: a tokenizers JSON file, or a folder with `tokenizer.json`,
    /// or with `vocab.json` and `merges.txt`.
    ///
    /// In GPT-2's, `<|endoftext|>` is pad, start and end at once, and there is no unknown. Its text is neither
    /// lower-cased nor spaced. The counts are zero until [`count_replies`](Self::count_replies).
    ///
    /// # Errors
    /// As [`load`](Self::load), without the counts.
    pub fn from_tokenizer_file(path: &Path) -> Result<Self, VocabularyError> {
        if !path.is_dir() {
            return Self::from_tokenizer(read_tokenizer(path)?, path);
        }
        let whole = path.join("tokenizer.json");
        if whole.is_file() {
            return Self::from_tokenizer(read_tokenizer(&whole)?, &whole);
        }
        Self::from_tokenizer(read_gpt2(&path.join("vocab.json"), &path.join("merges.txt"))?, path)
    }

    fn from_tokenizer(mut tokenizer: Tokenizer, path: &Path) -> Result<Self, VocabularyError> {
        let malformed =
            |reason: String| VocabularyError::Malformed { path: path.into(), expected: TOKENIZER_FILE, reason };
        let special = if (0..).zip(SPECIAL).all(|(id, token)| tokenizer.token_to_id(token) == Some(id)) {
            Special { pad: 0, start: 1, end: 2, unknown: Some(3) }
        } else if let Some(end) = tokenizer.token_to_id(END_OF_TEXT) {
            Special { pad: end, start: end, end, unknown: None }
        } else {
            return Err(VocabularyError::NoSpecial { path: path.into() });
        };
        // Texts are cut and batched by the caller.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| malformed(error.to_string()))?;
        let vocabulary = Self::new(tokenizer, special);
        let last = vocabulary.tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        if last as usize + 1 != vocabulary.size {
            let size = vocabulary.size;
            return Err(malformed(format!("{size} tokens with ids up to {last}; expected ids without gaps")));
        }
        // No vocabulary has this word.
        let probe = "zqxj\u{2603}qzx";
        vocabulary
            .tokenizer
            .encode_fast(probe, false)
            .map_err(|error| malformed(format!("cannot encode unknown words: {error}")))?;
        Ok(vocabulary)
    }
}

#[derive(Serialize, Deserialize)]
struct ReplyCounts {
    reply_counts: Vec<u64>,
}

fn read(path: &Path, expected: &'static str) -> Result<String, VocabularyError> {
    fs::read_to_string(path).map_err(|reason| match reason.kind() {
        io::ErrorKind::NotFound => VocabularyError::Missing { path: path.into(), expected },
        _ => VocabularyError::Io { path: path.into(), action: "read", reason },
    })
}

fn read_tokenizer(path: &Path) -> Result<Tokenizer, VocabularyError> {
    Tokenizer::from_bytes(read(path, TOKENIZER_FILE)?).map_err(|error| VocabularyError::Malformed {
        path: path.into(),
        expected: TOKENIZER_FILE,
        reason: error.to_string(),
    })
}

fn read_gpt2(vocab: &Path, merges: &Path) -> Result<Tokenizer, VocabularyError> {
    const VOCAB: &str = "the vocab.json of GPT-2 (or a tokenizer.json)";
    const MERGES: &str = "the merges.txt of GPT-2";
    let malformed =
        |path: &Path, expected, reason: String| VocabularyError::Malformed { path: path.into(), expected, reason };
    let ids: HashMap<String, u32> =
        serde_json::from_str(&read(vocab, VOCAB)?).map_err(|error| malformed(vocab, VOCAB, error.to_string()))?;
    let pairs = read(merges, MERGES)?
        .lines()
        .enumerate()
        .filter(|(index, line)| !(line.is_empty() || *index == 0 && line.starts_with("#version")))
        .map(|(index, line)| match line.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => Ok((left.to_owned(), right.to_owned())),
            _ => Err(malformed(merges, MERGES, format!("line {} is not two pieces and a space between", index + 1))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let has_end = ids.contains_key(END_OF_TEXT);
    let model = BPE::builder()
        .vocab_and_merges(ids.into_iter().collect::<Vocab>(), pairs)
        .build()
        .map_err(|error| malformed(merges, MERGES, error.to_string()))?;
    let mut tokenizer = Tokenizer::new(model);
    let pieces = ByteLevel::default().add_prefix_space(false);
    tokenizer.with_pre_tokenizer(Some(pieces));
    tokenizer.with_decoder(Some(pieces));
    if has_end {
        tokenizer.add_special_tokens([AddedToken::from(END_OF_TEXT, true)]).map_err(build_error)?;
    }
    Ok(tokenizer)
}

/// Writes a file by way of another one in the same folder, which is renamed when it is complete and on disk.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let done = written.and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}
