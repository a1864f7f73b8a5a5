//! A training through the real binary: what its folder holds, that it can be had again, and its model in use.
#![cfg(feature = "training")]

mod support;

use std::io::Read as _;

use serde_json::Value;
use support::{LOSSES, Lab, contains, entries, example_plugin, fails, json, plugin, succeeds, tensors};

/// SHA-256 by another program than ours.
fn sha256(path: &std::path::Path) -> String {
    let output = std::process::Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().trim_start_matches('\\').to_owned()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_run_folder_holds_all_that_a_run_was() {
    let lab = Lab::new();
    let flags = ["--loss", "eureka", "--beta", "0.99", "--epochs", "3", "--defer-epochs", "1", "--seed", "7"];
    let printed = json(lab.train("run", &flags).arg("--json"));
    let names = entries(&lab.path("run"));
    let events = names.iter().find_map(|name| name.to_str().filter(|name| name.contains("tfevents"))).unwrap();
    for name in ["model.json", "vocabulary.json", "vocabulary.tsv", "reply-counts.json", "checkpoints"] {
        assert!(names.contains(&name.into()), "{name} is not in {names:?}");
    }

    let config: toml::Table = lab.text("run/config.toml").parse().unwrap();
    for (key, value) in [("loss", "\"eureka\""), ("beta", "0.99"), ("epochs", "3"), ("hidden", "16"), ("seed", "7")] {
        assert_eq!(config[key].to_string(), value, "{key}");
    }

    let manifest = lab.json("run/manifest.json");
    assert_eq!(manifest["toolkit"], env!("CARGO_PKG_VERSION"));
    contains(manifest["libtorch"].as_str().unwrap(), &["2.11"]);
    contains(manifest["rustc"].as_str().unwrap(), &["rustc 1."]);
    assert_eq!((&manifest["seed"], &manifest["threads"]), (&7.into(), &1.into()));
    let used = manifest["plugins"].as_array().unwrap();
    assert_eq!(used.iter().map(|used| used["id"].as_str().unwrap()).collect::<Vec<_>>(), ["eureka", "cross-entropy"]);
    for used in used {
        let file = plugin(used["id"].as_str().unwrap());
        assert_eq!(used["path"], file.to_str().unwrap());
        assert_eq!(used["sha256"], sha256(&file));
    }
    for split in ["train", "valid", "test"] {
        assert_eq!(manifest["data"][split], sha256(&lab.path(&format!("data/{split}.txt"))));
    }
    let command: Vec<&str> = manifest["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(command.contains(&"--loss") && command.contains(&"eureka"), "{command:?}");

    // The loss changes after the first epoch; 48 exchanges in batches of 8 make 6 steps an epoch.
    let metrics = lab.metrics("run");
    let of = |kind: &str| metrics.iter().filter(|record| record["kind"] == kind).collect::<Vec<_>>();
    let phases: Vec<_> = of("valid").iter().map(|record| record["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["base", "main", "main"]);
    assert_eq!(of("epoch").iter().map(|record| record["step"].as_u64().unwrap()).collect::<Vec<_>>(), [6, 12, 18]);
    let losses: Vec<f64> = of("valid").iter().map(|record| number(&record["loss"])).collect();
    // Cross-entropy is the logarithm of the perplexity, eureka is less by its reward.
    let log_perplexity: Vec<f64> = of("valid").iter().map(|record| number(&record["perplexity"]).ln()).collect();
    assert!((losses[0] - log_perplexity[0]).abs() < 1e-6);
    assert!(losses[1] < log_perplexity[1] - 0.01 && losses[2] < log_perplexity[2] - 0.01);
    assert!(lab.bytes(&format!("run/{events}")).windows(10).any(|part| part == b"valid/loss"));

    let results = lab.json("run/results.json");
    assert_eq!(results, printed);
    assert_eq!((&results["split"], &results["loss"]), (&"test".into(), &"eureka".into()));
    assert_eq!((&results["training"]["epochs"], &results["training"]["steps"]), (&3.into(), &18.into()));
    // The best value is one of the chosen loss, not of the base.
    let best = &results["training"]["best"];
    assert_eq!(number(&best["value"]), losses[1..].iter().copied().fold(f64::INFINITY, f64::min));
    assert_eq!(results["scores"]["replies"], 8);
    assert!(number(&results["scores"]["perplexity"]) > 1.0);

    let replies = lab.text("run/replies-test.txt");
    assert_eq!(replies.lines().count(), 8);
    contains(&lab.text("run/references-test.txt"), &["i like my bird !", "yes , the bird is mine ."]);
    contains(
        &lab.text("run/word-frequencies.svg"),
        &["<svg", "training replies", "test references", "eureka", "</svg>"],
    );
    let checkpoints = entries(&lab.path("run/checkpoints"));
    assert_eq!(checkpoints, ["best.safetensors", "last.safetensors", "previous.safetensors"]);
}

#[test]
fn the_same_settings_give_the_same_bytes() {
    let lab = Lab::new();
    let flags = ["--seed", "5", "--threads", "2", "--loss", "focal", "--gamma", "0.5", "--clip-norm", "1"];
    succeeds(&mut lab.train("first", &flags));
    succeeds(&mut lab.train("second", &flags));
    // All of the settings from the file of the first run.
    succeeds(&mut lab.toolkit(&["dialogue", "--config", "first/config.toml", "--run", "third", "--quiet"]));
    succeeds(&mut lab.train("other", &[&flags[..], &["--seed", "6"]].concat()));
    for again in ["second", "third"] {
        for file in ["checkpoints/best.safetensors", "checkpoints/last.safetensors", "replies-test.txt", "config.toml"]
        {
            assert!(lab.bytes(&format!("first/{file}")) == lab.bytes(&format!("{again}/{file}")), "{again}/{file}");
        }
        assert_eq!(lab.metrics("first"), lab.metrics(again));
        assert_eq!(lab.json("first/results.json")["scores"], lab.json(&format!("{again}/results.json"))["scores"]);
    }
    let weights = |run: &str| tensors(&lab.bytes(&format!("{run}/checkpoints/best.safetensors")), "model.");
    assert_eq!(weights("first").len(), weights("other").len());
    assert_ne!(weights("first"), weights("other"));
    // What concerns one run alone is no setting.
    assert!(!lab.text("first/config.toml").contains("run ="));
}

#[test]
fn training_learns_the_corpus() {
    let lab = Lab::new();
    let more = ["--epochs", "60", "--hidden", "32", "--embedding", "16", "--dropout", "0", "--schedule", "constant"];
    let results = json(lab.train("run", &more).arg("--json"));
    // Which animal and which verb only the history tells: whoever ignores it has a perplexity above 1.5.
    assert!(number(&results["scores"]["perplexity"]) < 1.2, "{}", results["scores"]);
    assert!(number(&results["scores"]["f1"]) > 90.0, "{}", results["scores"]);
    let epochs: Vec<Value> = lab.metrics("run").into_iter().filter(|record| record["kind"] == "epoch").collect();
    assert!(number(&epochs[59]["loss"]) < number(&epochs[0]["loss"]) / 10.0);
}

#[test]
fn without_json_a_table_and_samples_are_printed() {
    let lab = Lab::new();
    let output = lab.train("run", &[]).assert().success().get_output().clone();
    assert!(output.stderr.is_empty(), "--quiet: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    contains(
        &text,
        &["message    hello , what do you", "reply      ", "reference  i ", "system ", "macro F", "perplexity"],
    );
    contains(&text, &["cross-entropy ", "8 replies of the test split", "12 steps", "run folder: run"]);
    // Without --quiet progress goes to standard error, line by line where that is no terminal.
    let mut command = lab.toolkit(&["dialogue", "--config", "run/config.toml", "--run", "other"]);
    let progress = String::from_utf8(command.assert().success().get_output().stderr.clone()).unwrap();
    contains(&progress, &["train: 24 dialogues, 48 exchanges from ", "classes", "run folder: other", "epoch 2/2"]);
    assert!(!progress.contains('\u{1b}') && !progress.contains('\r'));
}

#[test]
fn runs_are_numbered_by_default() {
    let lab = Lab::new();
    let flags = ["dialogue", "--data", "data", "--hidden", "8", "--embedding", "4", "--layers", "1", "--quiet"];
    let flags = [&flags[..], &["--epochs", "1", "--defer-epochs", "0", "--loss", "focal"]].concat();
    contains(&succeeds(&mut lab.toolkit(&flags)), &["run folder: runs/dialogue-focal-001"]);
    contains(&succeeds(&mut lab.toolkit(&flags)), &["run folder: runs/dialogue-focal-002"]);
    assert_eq!(entries(&lab.path("runs")), ["dialogue-focal-001", "dialogue-focal-002"]);
}

#[test]
fn a_plugin_in_c_trains_a_model() {
    let lab = Lab::new();
    let folder = example_plugin("c-margin", "c/margin.c");
    let flags = ["--plugin-dir", folder.path().to_str().unwrap(), "--loss", "c-margin", "--largest-margin"];
    let loss = |run: &str, margin: &str| {
        let results = json(lab.train(run, &[&flags[..], &[margin]].concat()).arg("--json"));
        (number(&results["split_loss"]), number(&results["scores"]["perplexity"]))
    };
    let (with, _) = loss("with", "0.3");
    contains(&lab.text("with/config.toml"), &["loss = \"c-margin\"\n", "largest-margin = 0.3\n"]);
    let file = folder.path().join("libtoolkit_loss_c_margin.so");
    assert_eq!(lab.json("with/manifest.json")["plugins"][0]["sha256"], sha256(&file));
    // A margin of 0 is cross-entropy, whose mean is the logarithm of the perplexity.
    let (without, perplexity) = loss("without", "0");
    assert!((without - perplexity.ln()).abs() < 1e-6, "{without} {perplexity}");
    assert!(with > without, "{with} {without}");
    // What was trained needs the plugin no more.
    drop(folder);
    succeeds(&mut lab.toolkit(&["dialogue", "evaluate", "with"]));
}

#[test]
fn evaluating_again_gives_the_results() {
    let lab = Lab::new();
    let flags = ["--decode", "beam", "--beam-size", "3", "--max-length", "9", "--loss", "eureka"];
    succeeds(&mut lab.train("run", &flags));
    let evaluate = |more: &[&str]| json(lab.toolkit(&["dialogue", "evaluate", "run", "--json"]).args(more));
    let results = lab.json("run/results.json");
    let scores = |value: &Value| {
        let mut scores = value["scores"].as_object().unwrap().clone();
        // Summed with another operation, so not to the last bit.
        let perplexity = number(&scores.remove("perplexity").unwrap());
        (scores, perplexity)
    };
    let (again, own) = (scores(&evaluate(&["--output", "again.txt"])), scores(&results));
    assert_eq!(again.0, own.0);
    assert!((again.1 / own.1 - 1.0).abs() < 1e-5, "{} {}", again.1, own.1);
    assert_eq!(lab.text("again.txt"), lab.text("run/replies-test.txt"));

    // The last weights are those of the run without patience, the best may be others.
    assert_eq!(evaluate(&["--split", "train"])["scores"]["replies"], 48);
    assert_eq!(evaluate(&["--split", "valid"])["scores"]["replies"], 12);
    let last = evaluate(&["--checkpoint", "run/checkpoints/last.safetensors"]);
    assert_eq!(last["scores"]["replies"], 8);

    // The scores of the replies do not depend on who scores them.
    let files = ["--replies", "run/replies-test.txt", "--references", "run/references-test.txt"];
    let public = json(lab.toolkit(&["eval", "dialogue", "--json", "--vocabulary", "run/vocabulary.tsv"]).args(files));
    for name in ["f1", "micro_f", "macro_f", "distinct_4", "ead_4", "rare_share", "length_mean"] {
        assert_eq!(public[name], results["scores"][name], "{name}");
    }
}

#[test]
fn every_way_of_decoding_answers() {
    let lab = Lab::new();
    let more = ["--epochs", "4", "--lr", "1"];
    succeeds(&mut lab.train("run", &more));
    let generate = |more: &[&str]| {
        let replies = succeeds(lab.toolkit(&["dialogue", "generate", "run", "--input", "data/test.txt"]).args(more));
        assert_eq!(replies.lines().count(), 8);
        replies
    };
    let greedy = generate(&[]);
    assert_eq!(greedy, lab.text("run/replies-test.txt"));
    assert_eq!(generate(&["--decode", "beam", "--beam-size", "1", "--length-penalty", "0"]), greedy);
    assert_eq!(generate(&["--decode", "top-k", "--top-k", "1"]), greedy);
    assert_eq!(generate(&["--decode-batch-size", "3"]), greedy);
    for method in [&["--decode", "top-k", "--top-k", "9"][..], &["--decode", "nucleus"], &["--decode", "sample"]] {
        let with_seed = |seed| generate(&[method, &["--decode-seed", seed]].concat());
        assert_eq!(with_seed("3"), with_seed("3"));
        assert_ne!(with_seed("3"), with_seed("4"));
    }
    let scores = json(lab.toolkit(&["dialogue", "evaluate", "run", "--json"]).args(["--decode", "nucleus"]));
    assert_eq!(scores["scores"]["replies"], 8);
    let length = generate(&["--min-length", "3", "--max-length", "3"]);
    assert!(length.lines().all(|reply| reply.split(' ').count() == 3), "{length}");
}

#[test]
fn messages_get_replies_from_files_and_in_talk() {
    let lab = Lab::new();
    let flags = ["--epochs", "20", "--hidden", "32", "--lr", "1", "--schedule", "constant"];
    succeeds(&mut lab.train("run", &flags));
    lab.write("messages.txt", "hello , what do you feed ?\nis the cow yours ?\nzyx\n");
    let generate = ["dialogue", "generate", "run", "--input", "messages.txt", "--messages", "--output", "replies.txt"];
    assert_eq!(succeeds(&mut lab.toolkit(&generate)), "");
    let replies = lab.text("replies.txt");
    assert_eq!(replies.lines().count(), 3);
    // The same as conversations: one of a message, one whose last message nobody has answered.
    let turns = [r#"["hello , what do you feed ?"]"#, r#"["hello , what do you feed ?", "cows .", "and you ?"]"#];
    lab.write("messages.jsonl", turns.map(|turns| format!("{{\"turns\": {turns}}}\n")).concat());
    let told = succeeds(&mut lab.toolkit(&["dialogue", "generate", "run", "--input", "messages.jsonl"]));
    let first = replies.lines().next();
    assert_eq!(told.lines().count(), 3);
    assert_eq!((told.lines().next(), told.lines().nth(1)), (first, first));

    lab.write("numbered.txt", "1 hello , what do you feed ?\n1 hello , what do you feed ?\tcows .\n2 and you ?\t\n");
    assert_eq!(succeeds(&mut lab.toolkit(&["dialogue", "generate", "run", "--input", "numbered.txt"])), told);
    lab.write("numbered.txt", "1 hello , what do you feed ?\n2 and you ?\tgoats .\n");
    let message = fails(&mut lab.toolkit(&["dialogue", "generate", "run", "--input", "numbered.txt"]), 1);
    contains(&message, &["numbered.txt:1: no tab between message and reply"]);

    // Fed by a pipe there is no prompt; each line gets one, to an empty line or the end.
    let chat = |typed: &str, more: &[&str]| {
        succeeds(lab.toolkit(&["dialogue", "chat", "run"]).args(more).write_stdin(typed.to_owned()))
    };
    let talk = chat("hello , what do you feed ?\nis the cow yours ?\n", &[]);
    assert_eq!(talk.lines().count(), 2);
    assert_eq!(talk.lines().next(), replies.lines().next());
    assert_eq!(chat("hello , what do you feed ?\n\nis the cow yours ?\n", &[]).lines().count(), 1);
    // The persona is part of the history, as in the data.
    lab.write("one.txt", "1 your persona: i feed my goat .\n2 hello , what do you feed ?\tno\n");
    let told = succeeds(&mut lab.toolkit(&["dialogue", "generate", "run", "--input", "one.txt"]));
    assert_eq!(chat("hello , what do you feed ?\n", &["--persona", "i feed my goat ."]), told);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let lab = Lab::new();
    succeeds(&mut lab.train("run", &[]));
    let mut command = support::process(&support::program());
    command.current_dir(lab.path("")).args(["dialogue", "generate", "run", "--input", "data/train.txt"]);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut message = String::new();
    child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
    assert!(child.wait().unwrap().success(), "{message}");
    assert_eq!(message, "");
}

#[test]
fn word_vectors_are_where_the_embeddings_start() {
    let lab = Lab::new();
    let row = |word: &str, value: &str| format!("{word}{}\n", format!(" {value}").repeat(8));
    lab.write("glove.txt", row("cat", "0.25") + &row("dog", "-0.5"));
    let flags = ["--glove", "glove.txt", "--lr", "1e-30", "--epochs", "1"];
    succeeds(&mut lab.train("run", &flags));
    let weights = tensors(&lab.bytes("run/checkpoints/last.safetensors"), "model.");
    for value in [0.25, -0.5] {
        assert!(weights.windows(8).any(|row| row == [value; 8]), "no row of {value}");
    }
}

#[test]
fn the_built_in_corpus_needs_no_data() {
    let lab = Lab::new();
    let flags = ["dialogue", "--hidden", "16", "--embedding", "8", "--history-tokens", "16", "--max-length", "8"];
    let flags = [&flags[..], &["--epochs", "1", "--defer-epochs", "0", "--threads", "1", "--run", "run"]].concat();
    let results = json(lab.toolkit(&flags).args(["--quiet", "--json", "--batch-size", "128"]));
    assert_eq!(results["scores"]["replies"], 600);
    assert!(results["vocabulary"].as_u64().unwrap() > 2000);
    let evaluated = json(&mut lab.toolkit(&["dialogue", "evaluate", "run", "--json"]));
    assert_eq!(evaluated["scores"]["f1"], results["scores"]["f1"]);
}

#[test]
fn the_losses_that_come_with_the_toolkit_train() {
    let lab = Lab::new();
    for id in LOSSES {
        let results = json(lab.train(id, &["--loss", id, "--json"]).arg("--epochs=4"));
        let metrics = lab.metrics(id);
        let epochs: Vec<f64> =
            metrics.iter().filter(|record| record["kind"] == "epoch").map(|record| number(&record["loss"])).collect();
        assert!(epochs[3] < epochs[0], "{id}: {epochs:?}");
        assert_eq!(results["loss"], id);
    }
}
