use std::collections::HashMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::*;
use crate::data::{Turn, built_in};

fn dialogue(persona: &[&str], turns: &[&str]) -> Dialogue {
    let speak = |(index, &text): (usize, &&str)| if index % 2 == 0 { Turn::partner(text) } else { Turn::own(text) };
    Dialogue {
        persona: persona.iter().map(|&text| text.to_owned()).collect(),
        turns: turns.iter().enumerate().map(speak).collect(),
    }
}

fn small() -> Vec<Dialogue> {
    vec![dialogue(&["I like tea."], &["hi there!", "Hi, hi"]), dialogue(&[], &["tea?", "yes: tea; yes", "bye"])]
}

fn tokens(vocabulary: &Vocabulary) -> Vec<String> {
    (0..vocabulary.len() as u32).map(|id| vocabulary.token(id).unwrap()).collect()
}

fn with(kind: VocabularyKind, min_count: u64, max_size: Option<usize>) -> VocabularyOptions {
    VocabularyOptions { kind, min_count, max_size }
}

#[test]
fn text_is_lower_cased_and_punctuation_spaced() {
    let cases = [
        ("Hi, you.", "hi , you ."),
        ("  WHAT?!  3.5\tÉté ", "what ? ! 3 . 5 été"),
        ("don't 're-do' (it)...", "don't 're-do' (it) . . ."),
        ("a ; b:c\u{a0}d", "a ; b : c d"),
        ("", ""),
    ];
    for (text, expected) in cases {
        assert_eq!(normalise(text), expected);
    }
}

#[test]
fn words_are_ordered_by_count_then_spelling() {
    let vocabulary = Vocabulary::build(&small(), &VocabularyOptions::default()).unwrap();
    // hi and tea 3 times, yes twice, the others once
    let expected = [
        "<pad>",
        "<start>",
        "<end>",
        "<unknown>",
        "hi",
        "tea",
        "yes",
        "!",
        ",",
        ".",
        ":",
        ";",
        "?",
        "bye",
        "i",
        "like",
        "there",
    ];
    assert_eq!(tokens(&vocabulary), expected);
    assert_eq!(vocabulary.id("tea"), Some(5));
    assert_eq!((vocabulary.id("coffee"), vocabulary.token(99)), (None, None));
    assert_eq!(vocabulary.special(), Special { pad: 0, start: 1, end: 2, unknown: Some(3) });
}

#[test]
fn reply_counts_are_over_replies_with_an_end_each() {
    let vocabulary = Vocabulary::build(&small(), &VocabularyOptions::default()).unwrap();
    let counts: Vec<(String, u64)> =
        tokens(&vocabulary).into_iter().zip(vocabulary.reply_counts().to_vec()).filter(|(_, n)| *n > 0).collect();
    let expected = [("<end>", 2), ("hi", 2), ("tea", 1), ("yes", 2), (",", 1), (":", 1), (";", 1)];
    assert_eq!(counts, expected.map(|(word, count)| (word.to_owned(), count)));
}

#[test]
fn rare_words_left_out_count_as_unknown() {
    let options = with(VocabularyKind::Word, 2, None);
    let vocabulary = Vocabulary::build(&small(), &options).unwrap();
    assert_eq!(tokens(&vocabulary)[4..], ["hi", "tea", "yes"]);
    // the replies' , : ; are unknown
    assert_eq!(vocabulary.reply_counts(), [0, 0, 2, 3, 2, 1, 2]);
    let vocabulary = Vocabulary::build(&small(), &with(VocabularyKind::Word, 1, Some(6))).unwrap();
    assert_eq!(tokens(&vocabulary)[4..], ["hi", "tea"]);
    assert_eq!(vocabulary.decode(&vocabulary.encode("Tea, hi")), "tea <unknown> hi");
}

#[test]
fn text_that_spells_a_special_token_is_not_one() {
    let train = [dialogue(&[], &["<end> a", "<pad> b <end> <unknown>"])];
    let vocabulary = Vocabulary::build(&train, &VocabularyOptions::default()).unwrap();
    assert_eq!(tokens(&vocabulary)[4..], ["a", "b"]);
    assert_eq!(vocabulary.encode("<start> a<end> <end>"), [3, 3, 3]);
    assert_eq!(vocabulary.reply_counts(), [0, 0, 1, 3, 0, 1]);
    let vocabulary = Vocabulary::build(&train, &with(VocabularyKind::Bpe { size: 262 }, 1, None)).unwrap();
    assert!(vocabulary.encode("a <end>").iter().all(|&id| id > 3));
    assert_eq!(vocabulary.decode(&vocabulary.encode("a <end>")), "a <end>");
}

#[test]
fn decoding_leaves_out_pad_start_end_and_foreign_ids() {
    let vocabulary = Vocabulary::build(&small(), &VocabularyOptions::default()).unwrap();
    assert_eq!(vocabulary.decode(&[1, 4, 3, 5, 2, 0, 0, 900]), "hi <unknown> tea");
    assert_eq!(vocabulary.decode(&[]), "");
}

#[test]
fn bpe_encodes_every_text_and_merges_what_is_frequent() {
    let train = built_in::generate(1).valid;
    let options = with(VocabularyKind::Bpe { size: 500 }, 1, None);
    let vocabulary = Vocabulary::build(&train, &options).unwrap();
    assert_eq!(vocabulary.len(), 500);
    assert_eq!(tokens(&vocabulary)[..4], SPECIAL);
    // two words, of which the second is a piece with its space
    let ids = vocabulary.encode("a favorite");
    assert_eq!(ids.iter().map(|&id| vocabulary.token(id).unwrap()).collect::<Vec<_>>(), ["a", "Ġfavorite"]);
    assert_eq!(vocabulary.decode(&vocabulary.encode("Ünseen ☃, you are")), "ünseen ☃ , you are");
    let replies: u64 = train.iter().map(|dialogue| dialogue.replies().count() as u64).sum();
    assert_eq!(vocabulary.reply_counts()[..4], [0, 0, replies, 0]);
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let error = |options| Vocabulary::build(&small(), &options).unwrap_err().to_string();
    let message = error(with(VocabularyKind::Word, 1, Some(4)));
    assert!(message.contains("4 entries") && message.contains("at least 5"), "{message}");
    let message = error(with(VocabularyKind::Bpe { size: 259 }, 1, None));
    assert!(message.contains("259 entries") && message.contains("at least 260"), "{message}");
    let message = error(with(VocabularyKind::Bpe { size: 300 }, 1, Some(300)));
    assert!(message.contains("max_size"), "{message}");
    let nothing = [dialogue(&[" "], &[])];
    assert!(matches!(Vocabulary::build(&nothing, &VocabularyOptions::default()), Err(VocabularyError::NoText)));
}

#[test]
fn a_saved_vocabulary_is_the_same_when_loaded_and_when_built_again() {
    let train = built_in::generate(2).valid;
    for kind in [VocabularyKind::Word, VocabularyKind::Bpe { size: 400 }] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        let built = Vocabulary::build(&train, &with(kind, 1, None)).unwrap();
        built.save(&path).unwrap();
        let loaded = Vocabulary::load(&path).unwrap();
        assert_eq!(tokens(&loaded), tokens(&built));
        assert_eq!((loaded.reply_counts(), loaded.special()), (built.reply_counts(), built.special()));
        let text = "Hello, have you been to <end> ?";
        assert_eq!(loaded.encode(text), built.encode(text));
        let bytes = fs::read(&path).unwrap();
        Vocabulary::build(&train, &with(kind, 1, None)).unwrap().save(&path).unwrap();
        assert!(fs::read(&path).unwrap() == bytes, "{kind:?} differs from build to build");
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [REPLY_COUNTS, "tokenizer.json"]);
    }
}

#[test]
fn loading_names_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let message = |path: &Path| Vocabulary::load(path).unwrap_err().to_string();
    assert!(message(&path).contains("tokenizer.json: no such file; expected a tokenizer"), "{}", message(&path));
    fs::write(&path, "{\"version\": ").unwrap();
    assert!(message(&path).contains("tokenizer.json: not a tokenizer"), "{}", message(&path));

    let vocabulary = Vocabulary::build(&small(), &VocabularyOptions::default()).unwrap();
    vocabulary.save(&path).unwrap();
    let counts = folder.path().join(REPLY_COUNTS);
    fs::write(&counts, "{\"reply_counts\": [1, 2]}").unwrap();
    assert!(message(&path).contains("reply-counts.json: 2 counts for a vocabulary of 17"), "{}", message(&path));
    fs::write(&counts, "[]").unwrap();
    assert!(message(&path).contains("reply-counts.json: not the counts"), "{}", message(&path));
    fs::remove_file(&counts).unwrap();
    assert!(message(&path).contains("reply-counts.json: no such file"), "{}", message(&path));

    let text = vocabulary.tokenizer.to_string(false).unwrap().replace("<end>", "<stop>");
    fs::write(&path, text).unwrap();
    assert!(message(&path).contains("<|endoftext|>"), "{}", message(&path));

    let message = vocabulary.save(&folder.path().join("absent/tokenizer.json")).unwrap_err().to_string();
    assert!(message.contains("absent/tokenizer.json: cannot be written"), "{message}");
}

/// A byte-level vocabulary in GPT-2's two files: bytes, the pieces `he` and `Ġhe`, and the end of text.
fn gpt2_files(folder: &Path) {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let tokens = alphabet.iter().map(char::to_string).chain(["he", "Ġhe", END_OF_TEXT].map(str::to_owned));
    let vocab: HashMap<String, u32> = tokens.zip(0..).collect();
    fs::write(folder.join("vocab.json"), serde_json::to_string(&vocab).unwrap()).unwrap();
    fs::write(folder.join("merges.txt"), "#version: 0.2\nh e\nĠ he\n").unwrap();
}

#[test]
fn gpt2_files_are_read_with_the_end_of_text_for_every_special() {
    let folder = tempfile::tempdir().unwrap();
    gpt2_files(folder.path());
    let mut vocabulary = Vocabulary::from_tokenizer_file(folder.path()).unwrap();
    assert_eq!(vocabulary.len(), 259);
    assert_eq!(vocabulary.special(), Special { pad: 258, start: 258, end: 258, unknown: None });
    let ids = vocabulary.encode("he he");
    assert_eq!(ids, [256, 257]);
    for text in ["He said: “no”.", "a<|endoftext|>b", "☃  two spaces"] {
        let ids = vocabulary.encode(text);
        assert!(!ids.contains(&258), "{text}");
        assert_eq!(vocabulary.decode(&ids), text);
    }
    assert_eq!(vocabulary.reply_counts(), [0; 259]);
    vocabulary.count_replies(&[dialogue(&[], &["x", "he he he", "y", "he"])]);
    assert_eq!(vocabulary.reply_counts()[256..], [2, 2, 2]);

    // the same as one file
    let path = folder.path().join("tokenizer.json");
    vocabulary.save(&path).unwrap();
    fs::remove_file(folder.path().join("vocab.json")).unwrap();
    let again = Vocabulary::from_tokenizer_file(folder.path()).unwrap();
    assert_eq!(tokens(&again), tokens(&vocabulary));
    assert_eq!(Vocabulary::load(&path).unwrap().reply_counts(), vocabulary.reply_counts());
}

#[test]
fn broken_gpt2_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = || Vocabulary::from_tokenizer_file(folder.path()).unwrap_err().to_string();
    assert!(message().contains("vocab.json: no such file"), "{}", message());
    gpt2_files(folder.path());
    fs::write(folder.path().join("merges.txt"), "#version: 0.2\nh e\nx\n").unwrap();
    assert!(message().contains("merges.txt: not the merges.txt of GPT-2: line 3"), "{}", message());
    fs::write(folder.path().join("vocab.json"), "{\"a\": 0, \"<|endoftext|>\": 7}").unwrap();
    fs::write(folder.path().join("merges.txt"), "").unwrap();
    assert!(message().contains("ids up to 7"), "{}", message());
    fs::write(folder.path().join("vocab.json"), "[1]").unwrap();
    assert!(message().contains("vocab.json: not the vocab.json of GPT-2"), "{}", message());
}

proptest! {
    #[test]
    fn decoding_is_the_inverse_of_encoding_on_normalised_known_text(text in "[a-zA-Z.,!?éß☃' ]{1,60}") {
        let train = [dialogue(&[&text, "x"], &[])];
        let text = normalise(&text);
        let words = Vocabulary::build(&train, &VocabularyOptions::default()).unwrap();
        prop_assert_eq!(words.decode(&words.encode(&text)), text.clone());
        prop_assert!(!words.encode(&text).contains(&3));
        let pieces = Vocabulary::build(&train, &with(VocabularyKind::Bpe { size: 270 }, 1, None)).unwrap();
        prop_assert_eq!(pieces.decode(&pieces.encode(&text)), text);
    }

    #[test]
    fn normalising_twice_changes_nothing(text in "\\PC{0,40}") {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), once);
    }
}
