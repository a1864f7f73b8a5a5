//! The real conversations, of which a few dozen are enough to show that files as people have them are read.
//!
//! They are no part of the project: `TOOLKIT_DATA` names their folder, `../shared/data` by default.
#![cfg(feature = "training")]

mod support;

use std::path::{Path, PathBuf};

use support::{Lab, json};

/// The folder of `set`, or none, said plainly.
fn folder(set: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TOOLKIT_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let folder = root.join(set);
    if !folder.is_dir() {
        println!("skipped: no {}; name the folder of the data with TOOLKIT_DATA", folder.display());
        return None;
    }
    Some(folder)
}

/// The first dialogues of the file of `set` that has this split in its name.
fn first_dialogues(folder: &Path, split: &str, count: usize) -> String {
    let is_split = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(split);
    let file = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).find(is_split).unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let mut started = 0;
    let lines = text.lines().take_while(|line| {
        started += usize::from(line.starts_with("1 "));
        started <= count
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn trains(set: &str, more: &[&str]) {
    let Some(folder) = folder(set) else { return };
    let lab = Lab::new();
    let mut exchanges = 0;
    for (split, count) in [("train", 60), ("valid", 12), ("test", 12)] {
        let text = first_dialogues(&folder, split, count);
        exchanges = text.lines().filter(|line| line.contains('\t')).count();
        lab.write(&format!("data/{split}.txt"), text);
    }
    let flags = ["--epochs", "1", "--history-tokens", "32", "--reply-tokens", "32", "--max-length", "16", "--json"];
    let results = json(&mut lab.train("run", &[&flags[..], more].concat()));
    let vocabulary = results["vocabulary"].as_u64().unwrap();
    assert!((500..5000).contains(&vocabulary), "{vocabulary}");
    assert_eq!(results["scores"]["replies"].as_u64().unwrap() as usize, exchanges);
    // One epoch is little, but better than guessing among all classes.
    let perplexity = results["scores"]["perplexity"].as_f64().unwrap();
    assert!(perplexity < vocabulary as f64 / 2.0, "{perplexity} of {vocabulary}");
}

#[test]
fn convai2_trains_with_eureka_and_word_vectors() {
    let glove = folder("glove").and_then(|folder| Some(folder.read_dir().unwrap().next()?.unwrap().path()));
    let glove = glove.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let vectors: Vec<&str> = glove.iter().flat_map(|path| ["--glove", path.to_str().unwrap()]).collect();
    trains("convai2", &[&["--loss", "eureka", "--beta", "0.999"], &vectors[..]].concat());
}

#[test]
fn chitchat_trains_with_cross_entropy_and_sub_words() {
    trains("chitchat", &["--vocabulary", "bpe", "--vocabulary-size", "900"]);
}
