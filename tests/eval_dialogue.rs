//! `toolkit eval dialogue` through the real binary: scores computed by hand, and every bad input.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with the files of one call.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, content) in files {
            std::fs::write(folder.path(name), content).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `toolkit eval dialogue` on `replies.txt` and `references.txt`, run in the folder.
    fn eval(&self, more: &[&str]) -> Command {
        let mut command = cargo_bin_cmd!("toolkit");
        command.current_dir(self.0.path());
        command.args(["eval", "dialogue", "--replies", "replies.txt"]);
        command.args(["--references", "references.txt"]).args(more);
        command
    }

    fn json(&self, more: &[&str]) -> Value {
        let output = self.eval(more).arg("--json").assert().success();
        serde_json::from_slice(&output.get_output().stdout).unwrap()
    }

    /// Runs, expects exit code `code` and nothing on standard output, and returns the message.
    fn fails(&self, code: i32, more: &[&str]) -> String {
        let output = self.eval(more).assert().code(code).get_output().clone();
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }
}

fn example() -> Files {
    // Normalised replies: "i like cat" and "no no no"; references: "i like dogs" and "no way".
    Files::new(&[
        ("replies.txt", "I like the cat .\nno, no no\n"),
        ("references.txt", "i like dogs.\tnothing shared\r\nNo way!\n"),
    ])
}

fn close(scores: &Value, name: &str, want: f64) {
    let got = scores[name].as_f64().unwrap_or_else(|| panic!("{name} is {}", scores[name]));
    assert!((got - want).abs() < 1e-9, "{name}: {got} is not {want}");
}

fn contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[test]
fn json_holds_the_scores_computed_by_hand() {
    let scores = example().json(&[]);
    assert_eq!(scores["replies"], 2);
    assert_eq!(scores["tokens"], 9);
    close(&scores, "f1", 100.0 * (4.0 / 6.0 + 2.0 / 5.0) / 2.0);
    // TP: i, like, no; 6 reply words, 5 reference words.
    close(&scores, "micro_f", 600.0 / 11.0);
    // i 1, like 1, cat 0, dogs 0, no 2/4, way 0.
    close(&scores, "macro_f", 250.0 / 6.0);
    assert_eq!(scores["macro_f_over"], "occurring");
    assert_eq!(scores["macro_f_types"], 6);
    close(&scores, "macro_f_reference_types", 50.0);
    assert_eq!(scores["reference_types"], 5);
    // i like the cat . | no , no no
    close(&scores, "distinct_1", 700.0 / 9.0);
    close(&scores, "distinct_2", 100.0);
    close(&scores, "distinct_4", 100.0);
    close(&scores, "distinct_per_token_4", 300.0 / 9.0);
    close(&scores, "distinct_within_reply_1", 75.0);
    // no 3 of 9, six others 1 of 9.
    close(&scores, "entropy_1", 9_f64.ln() - 3_f64.ln() / 3.0);
    close(&scores, "entropy_4", 3_f64.ln());
    close(&scores, "length_mean", 4.5);
    close(&scores, "length_sd", 0.5);
    close(&scores, "length_median", 4.5);
    close(&scores, "length_q05", 4.05);
    close(&scores, "length_max", 5.0);
    close(&scores, "length_mean_references", 3.5);
    for name in ["perplexity", "ead_1", "ead_4", "rare_share", "unseen_share", "rare_at_most"] {
        assert!(scores[name].is_null(), "{name} is {}", scores[name]);
        assert!(scores.as_object().unwrap().contains_key(name));
    }
}

#[test]
fn a_vocabulary_with_counts_sets_the_macro_mean_and_the_rare_words() {
    let files = example();
    // Words left: i, like, zebra; F 1, 1, 0. Tail of 10 % of 100 tokens: 4 + 6, so counts up to 6.
    std::fs::write(files.path("vocabulary.txt"), "i\t60\nlike\t30\n.\t6\nzebra\t4\n").unwrap();
    let scores = files.json(&["--vocabulary", "vocabulary.txt"]);
    assert_eq!(scores["macro_f_over"], "vocabulary");
    assert_eq!(scores["macro_f_types"], 3);
    close(&scores, "macro_f", 200.0 / 3.0);
    // Four types, nine draws, seven distinct.
    close(&scores, "ead_1", 700.0 / (4.0 * (1.0 - 0.75_f64.powi(9))));
    assert_eq!(scores["rare_at_most"], 6);
    // All but i and like; unseen all but i, like and the full stop.
    close(&scores, "rare_share", 700.0 / 9.0);
    close(&scores, "unseen_share", 600.0 / 9.0);
    // i like dogs . | no way !
    close(&scores, "rare_share_references", 500.0 / 7.0);

    // Counts of their own file go before the vocabulary's.
    std::fs::write(files.path("counts.txt"), "no\t5\nlike\t2\n").unwrap();
    let counts = ["--vocabulary", "vocabulary.txt", "--train-counts", "counts.txt"];
    let scores = files.json(&[&counts[..], &["--rare-at-most", "2"]].concat());
    assert_eq!(scores["rare_at_most"], 2);
    close(&scores, "rare_share", 600.0 / 9.0);
    let scores = files.json(&[&counts[..], &["--rare-tail", "50"]].concat());
    assert_eq!(scores["rare_at_most"], 5);
}

#[test]
fn the_texts_are_options() {
    let files = Files::new(&[("replies.txt", "I'm the cat, the cat!\n"), ("references.txt", "I am the cat\n")]);
    // i m cat cat / i am cat
    close(&files.json(&[]), "f1", 400.0 / 7.0);
    // im cat cat / i am cat
    close(&files.json(&["--punctuation", "removed"]), "f1", 100.0 / 3.0);
    // i'm the cat , the cat !
    close(&files.json(&[]), "distinct_1", 500.0 / 7.0);
    close(&files.json(&["--ngram-text", "normalised"]), "distinct_1", 75.0);
}

#[test]
fn a_blank_reply_is_scored_and_files_may_start_with_a_byte_order_mark() {
    let files = Files::new(&[("replies.txt", "\u{feff}hi\n\n"), ("references.txt", "hi\nho\n")]);
    let scores = files.json(&[]);
    close(&scores, "f1", 50.0);
    close(&scores, "length_min", 0.0);
}

#[test]
fn without_json_a_table_is_printed() {
    let output = example().eval(&[]).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    contains(lines.next().unwrap(), &["system", "F1", "micro F", "macro F", "dist-4", "length"]);
    contains(lines.next().unwrap(), &["replies", "53.33", "54.55", "41.67", "100.00", "4.50"]);
    contains(&text, &["\nf1 ", "53.3333\n", "\nmacro_f_over ", "occurring\n", "\nead_4 "]);
}

#[test]
fn the_picture_shows_replies_references_and_training() {
    let files = example();
    std::fs::write(files.path("counts.txt"), "no\t5\nlike\t2\n").unwrap();
    files.eval(&["--plot", "words.svg"]).assert().success();
    let svg = std::fs::read_to_string(files.path("words.svg")).unwrap();
    contains(&svg, &["<svg", "replies", "references", "</svg>"]);
    assert!(!svg.contains("training replies"));
    files.eval(&["--plot", "words.svg", "--train-counts", "counts.txt"]).assert().success();
    contains(&std::fs::read_to_string(files.path("words.svg")).unwrap(), &["training replies"]);
}

#[test]
fn a_missing_or_empty_file_is_named() {
    let files = Files::new(&[("references.txt", "hi\n")]);
    contains(&files.fails(1, &[]), &["--replies", "cannot read replies.txt", "No such file"]);
    let files = Files::new(&[("replies.txt", "hi\n"), ("references.txt", "")]);
    contains(&files.fails(1, &[]), &["--references", "references.txt is empty", "one a line"]);
    let message = example().fails(1, &["--vocabulary", "gone.txt"]);
    contains(&message, &["--vocabulary", "cannot read gone.txt"]);
}

#[test]
fn bytes_that_are_not_utf8_are_located() {
    let files = example();
    std::fs::write(files.path("replies.txt"), b"fine\ncaf\xe9 au lait\n").unwrap();
    contains(&files.fails(1, &[]), &["--replies", "replies.txt, line 2, byte 4", "UTF-8"]);
}

#[test]
fn line_counts_that_differ_are_both_given() {
    let files = Files::new(&[("replies.txt", "a\nb\nc\n"), ("references.txt", "a\n")]);
    contains(&files.fails(1, &[]), &["replies.txt has 3 lines", "references.txt has 1 line;"]);
}

#[test]
fn a_line_without_reference_is_named() {
    let files = Files::new(&[("replies.txt", "a\nb\n"), ("references.txt", "a\n\t\n")]);
    contains(&files.fails(1, &[]), &["references.txt, line 2", "no reference", "tabs"]);
}

#[test]
fn bad_lists_of_types_are_explained() {
    for (content, parts) in [
        ("i\nlike\ni\n", ["vocabulary.txt, line 3", "\"i\" is listed already on line 1"]),
        ("i\t2\nlike\tmany\n", ["vocabulary.txt, line 2", "found \"many\""]),
        ("i\t2\nlike\n", ["vocabulary.txt, line 2", "lacks a count"]),
        ("i\n\nlike\n", ["vocabulary.txt, line 2", "a line must be a word type"]),
        ("the\n.\n", ["the vocabulary holds no word", "2 types"]),
        ("i\t0\n", ["the training counts hold no token", "above 0"]),
    ] {
        let files = example();
        std::fs::write(files.path("vocabulary.txt"), content).unwrap();
        contains(&files.fails(1, &["--vocabulary", "vocabulary.txt"]), &parts);
    }
}

#[test]
fn options_that_lack_what_they_need_are_refused() {
    let files = example();
    std::fs::write(files.path("types.txt"), "i\nlike\n").unwrap();
    contains(&files.fails(1, &["--train-counts", "types.txt"]), &["types.txt has no counts", "a tab"]);
    let message = files.fails(2, &["--rare-at-most", "3"]);
    contains(&message, &["--rare-at-most needs training counts", "--train-counts"]);
    contains(&files.fails(2, &["--rare-tail", "10"]), &["--rare-tail needs training counts"]);
    contains(&files.fails(2, &["--rare-tail", "100"]), &["--rare-tail", "above 0 and below 100"]);
    let both = files.fails(2, &["--rare-tail", "5", "--rare-at-most", "3"]);
    contains(&both, &["--rare-tail", "cannot be used with", "--rare-at-most"]);
    contains(&files.fails(2, &["--ngram-text", "letters"]), &["letters", "tokens", "normalised"]);
}

#[test]
fn a_picture_that_cannot_be_written_leaves_nothing() {
    let files = example();
    let before = entries(files.0.path());
    contains(&files.fails(1, &["--plot", "words.pdf"]), &["--plot", "words.pdf", ".svg or .png"]);
    contains(&files.fails(1, &["--plot", "no/such/words.svg"]), &["--plot", "cannot write no/such/"]);
    assert_eq!(entries(files.0.path()), before);
}

#[test]
fn replies_without_words_are_scored_and_named_in_the_picture() {
    let files = example();
    std::fs::write(files.path("replies.txt"), "\n\n").unwrap();
    let _ = files.eval(&["--plot", "words.svg"]).assert().success();
    contains(&std::fs::read_to_string(files.path("words.svg")).unwrap(), &["replies: no words"]);
}

#[test]
fn both_files_are_required() {
    let output = cargo_bin_cmd!("toolkit").args(["eval", "dialogue"]).assert().code(2);
    let message = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    contains(&message, &["--replies", "--references"]);
}

fn entries(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}
