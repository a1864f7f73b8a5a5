//! The readers on real files, where they are there.

use std::path::PathBuf;

use super::{Corpus, Split, convai2, json_lines, read_dialogues};

/// A folder of the development data; says so and returns none where it is missing.
fn folder(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("TOOLKIT_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let folder = data.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no {}; set TOOLKIT_DATA to the folder with the development data", folder.display());
    None
}

/// Dialogues and exchanges of each split.
fn counts(corpus: &Corpus) -> Vec<(Split, usize, usize)> {
    corpus.sources.iter().map(|source| (source.split, source.dialogues, source.exchanges)).collect()
}

#[test]
fn convai2_is_read_whole() {
    let Some(folder) = folder("convai2") else { return };
    let corpus = Corpus::load(&folder).unwrap();
    let expected = [(Split::Train, 800, 6_247), (Split::Valid, 100, 778), (Split::Test, 100, 776)];
    assert_eq!(counts(&corpus), expected);

    let official = read_dialogues(&folder.join("official/valid_self_original_no_cands.txt")).unwrap();
    assert_eq!(official.len(), 1_000);
    assert_eq!(official.iter().map(|dialogue| dialogue.replies().count()).sum::<usize>(), 7_801);
    assert!(official.iter().all(|dialogue| (3..=5).contains(&dialogue.persona.len())));
    // The splits are its dialogues 1 to 800, 801 to 900 and 901 to 1000.
    let splits = [corpus.train, corpus.valid, corpus.test.unwrap()].concat();
    assert!(splits == official);

    // Nothing is lost on the way: written again, it is the file as published.
    let text = std::fs::read_to_string(folder.join("test_self_original_no_cands.txt")).unwrap();
    assert!(convai2::format(&splits[900..]) == text);
}

#[test]
fn chitchat_is_read_whole() {
    let Some(folder) = folder("chitchat") else { return };
    let corpus = Corpus::load(&folder).unwrap();
    let expected = [(Split::Train, 2_643, 53_596), (Split::Valid, 300, 6_251), (Split::Test, 300, 6_225)];
    assert_eq!(counts(&corpus), expected);
    // JSON Lines holds the same.
    let lines: Vec<String> = corpus
        .valid
        .iter()
        .map(|dialogue| {
            let turns: Vec<&str> = dialogue.turns.iter().map(|turn| turn.text.as_str()).collect();
            serde_json::json!({ "persona": dialogue.persona, "turns": turns }).to_string()
        })
        .collect();
    assert!(json_lines::parse(&lines.join("\n")).unwrap() == corpus.valid);
}
