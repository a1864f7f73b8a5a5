//! Samplers and logit adjustment after training, through the real binary.
#![cfg(feature = "training")]

mod support;

use serde_json::Value;
use support::{Lab, contains, fails, json, succeeds};

/// One message, answered `yes` nine times in ten and `no` once. Every word of the data is in replies too.
fn one_in_ten() -> Lab {
    let lab = Lab::new();
    for (split, dialogues) in [("train", 160), ("valid", 20), ("test", 10)] {
        let dialogue = |at| format!("1 yes\t{}\n", if at % 10 == 0 { "no" } else { "yes" });
        lab.write(&format!("data/{split}.txt"), (0..dialogues).map(dialogue).collect::<String>());
    }
    lab
}

/// What the model learns is the share of the two replies in what is drawn.
const LEARN: [&str; 10] =
    ["--epochs", "8", "--lr", "0.3", "--dropout", "0", "--schedule", "constant", "--batch-size", "16"];

fn replies(lab: &Lab, run: &str, more: &[&str]) -> String {
    let flags = ["dialogue", "generate", run, "--input", "data/test.txt"];
    let all = succeeds(&mut lab.toolkit(&[&flags[..], more].concat()));
    let first = all.lines().next().unwrap().to_owned();
    assert!(all.lines().all(|line| line == first), "one message, one reply: {all}");
    first
}

/// Perplexity of the test split, where one reply in ten is `no`.
fn perplexity(lab: &Lab, run: &str, more: &[&str]) -> f64 {
    let scores = json(lab.toolkit(&["dialogue", "evaluate", run, "--json"]).args(more));
    scores["scores"]["perplexity"].as_f64().unwrap()
}

#[test]
fn the_sampler_decides_what_a_model_takes_for_usual() {
    let lab = one_in_ten();
    let train = |run: &str, more: &[&str]| succeeds(&mut lab.train(run, &[&LEARN[..], more].concat()));
    train("uniform", &[]);
    assert_eq!(replies(&lab, "uniform", &[]), "yes");
    // Of the 16 `no` and 144 `yes` with as many ends: weights ½(1/16² + 1/160²) and ½(1/144² + 1/160²), so `no` is 83 %.
    train("reversed", &["--sampler", "reversed"]);
    assert_eq!(replies(&lab, "reversed", &[]), "no");
    // From the first epoch on, or from the last two only.
    train("deferred", &["--defer-sampler", "reversed", "--defer-epochs", "4"]);
    assert_eq!(replies(&lab, "deferred", &[]), "no");
    train("early", &["--sampler", "reversed", "--defer-sampler", "uniform", "--defer-epochs", "4"]);
    assert_eq!(replies(&lab, "early", &[]), "yes");
    // `no` in 37 % of the draws, between the two.
    train("balanced", &["--sampler", "class-balanced"]);
    let [uniform, balanced, reversed] = ["uniform", "balanced", "reversed"].map(|run| perplexity(&lab, run, &[]));
    assert!(uniform < balanced && balanced < reversed, "{uniform} {balanced} {reversed}");
    let config: toml::Table = lab.text("deferred/config.toml").parse().unwrap();
    assert_eq!((config["sampler"].as_str(), config["defer-sampler"].as_str()), (Some("uniform"), Some("reversed")));
}

#[test]
fn a_sampled_run_that_was_taken_up_again_ends_with_the_same_bytes() {
    let lab = one_in_ten();
    for sampler in ["class-balanced", "inverse-effective", "square-root", "reversed"] {
        let beta: &[&str] = if sampler == "inverse-effective" { &["--sampler-beta", "0.9"] } else { &[] };
        let flags = [&["--schedule", "constant", "--sampler", sampler], beta, &["--epochs"]].concat();
        let run = |name: &str| format!("{sampler}-{name}");
        succeeds(&mut lab.train(&run("whole"), &[&flags[..], &["3"]].concat()));
        succeeds(&mut lab.train(&run("parts"), &[&flags[..], &["1"]].concat()));
        succeeds(lab.toolkit(&["dialogue", "--resume", "--quiet", "--epochs", "3", "--run"]).arg(run("parts")));
        let weights = |name| lab.bytes(&format!("{}/checkpoints/last.safetensors", run(name)));
        assert!(weights("whole") == weights("parts"), "{sampler}");
        assert_eq!(lab.metrics(&run("whole")), lab.metrics(&run("parts")));
    }
}

#[test]
fn the_sampler_of_a_run_does_not_change_under_way() {
    let lab = one_in_ten();
    succeeds(&mut lab.train("run", &["--sampler", "square-root"]));
    let message = fails(&mut lab.train("run", &["--resume", "--sampler", "progressive"]), 2);
    contains(&message, &["`sampler` was \"square-root\" and is now \"progressive\""]);
    let message = fails(&mut lab.train("new", &["--defer-sampler", "reversed"]), 2);
    contains(&message, &["--defer-sampler reversed", "--defer-epochs, which is 0"]);
    let message = fails(&mut lab.train("new", &["--sampler", "balanced"]), 2);
    contains(&message, &["--sampler", "class-balanced", "inverse-effective", "square-root", "progressive", "reversed"]);
    assert!(!lab.path("new").exists());
    lab.write("recipe.toml", "sampler = \"progresive\"\n");
    contains(&fails(&mut lab.train("new", &["--config", "recipe.toml"]), 2), &["recipe.toml:1: ", "progressive"]);
}

#[test]
fn logits_are_adjusted_after_training_by_the_counts_of_the_run() {
    let lab = one_in_ten();
    succeeds(&mut lab.train("run", &LEARN));
    let counts: Value = lab.json("run/reply-counts.json");
    let counts: Vec<u64> = counts["reply_counts"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert_eq!(counts, [0, 0, 160, 0, 144, 16]);
    // The model has log p(yes) − log p(no) near log 9, which τ = 1 takes off.
    for (method, tau, reply) in
        [("greedy", "0", "yes"), ("greedy", "0.3", "yes"), ("greedy", "2", "no"), ("beam", "3", "no")]
    {
        assert_eq!(replies(&lab, "run", &["--decode", method, "--adjust-logits", tau]), reply, "{method} {tau}");
    }
    let evaluate =
        |tau: &str| json(&mut lab.toolkit(&["dialogue", "evaluate", "run", "--json", "--adjust-logits", tau]));
    let (plain, adjusted) = (evaluate("0"), evaluate("2"));
    assert_eq!(plain["scores"]["f1"], lab.json("run/results.json")["scores"]["f1"]);
    assert_ne!(plain["scores"]["f1"], adjusted["scores"]["f1"]);
    assert_eq!(plain["scores"]["perplexity"], adjusted["scores"]["perplexity"]);
    // A run can be trained to be scored that way, and then is.
    succeeds(&mut lab.train("own", &[&LEARN[..], &["--adjust-logits", "2"]].concat()));
    assert_eq!(lab.text("own/replies-test.txt"), "no\n".repeat(10));
    assert_eq!(replies(&lab, "own", &[]), "no");
    assert_eq!(replies(&lab, "own", &["--adjust-logits", "0"]), "yes");
    let message = fails(&mut lab.toolkit(&["dialogue", "evaluate", "run", "--adjust-logits", "-1"]), 2);
    contains(&message, &["--adjust-logits -1: should be between 0 and 10"]);
}
