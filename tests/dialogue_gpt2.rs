//! `--model gpt2`: from a configuration, and from weights in a folder.
#![cfg(feature = "training")]

mod support;

use serde_json::{Map, Value, json as object};
use support::{Lab, contains, fails, json, safetensors, succeeds};

const CONFIG: &str =
    r#"{"model_type": "gpt2", "n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": 128, "resid_pdrop": 0.0}"#;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// A folder as Hugging Face has it: configuration, tokenizer and the weights of a checkpoint under their names there.
fn weights_folder(lab: &Lab, run: &str, folder: &str) {
    std::fs::create_dir(lab.path(folder)).unwrap();
    lab.write(&format!("{folder}/config.json"), lab.json(&format!("{run}/model.json"))["model"]["gpt2"].to_string());
    lab.write(&format!("{folder}/tokenizer.json"), lab.text(&format!("{run}/vocabulary.json")));
    let file = lab.bytes(&format!("{run}/checkpoints/best.safetensors"));
    let (header, data) = safetensors(&file);
    let (mut named, mut bytes) = (Map::new(), Vec::new());
    for (name, info) in header.as_object().unwrap() {
        let Some(name) = name.strip_prefix("model.") else { continue };
        let at = |end: usize| info["data_offsets"][end].as_u64().unwrap() as usize;
        let start = bytes.len();
        bytes.extend_from_slice(&data[at(0)..at(1)]);
        let offsets = [start, bytes.len()];
        named.insert(name.into(), object!({"dtype": "F32", "shape": info["shape"], "data_offsets": offsets}));
    }
    let header = Value::Object(named).to_string();
    let length = (header.len() as u64).to_le_bytes();
    lab.write(&format!("{folder}/model.safetensors"), [&length[..], header.as_bytes(), &bytes].concat());
}

#[test]
fn a_gpt2_of_a_configuration_trains_evaluates_and_generates() {
    let lab = Lab::new();
    lab.write("gpt2.json", CONFIG);
    let flags = ["--model", "gpt2", "--gpt2-config", "gpt2.json", "--loss", "eureka", "--defer-epochs", "1"];
    let flags = [&flags[..], &["--epochs", "8", "--lr", "0.1", "--clip-norm", "1", "--schedule", "constant"]].concat();
    let results = json(lab.train("run", &flags).arg("--json"));
    let perplexities: Vec<f64> = lab
        .metrics("run")
        .iter()
        .filter(|record| record["kind"] == "valid")
        .map(|record| number(&record["perplexity"]))
        .collect();
    assert!(perplexities[7] < perplexities[0] / 2.0, "{perplexities:?}");
    let evaluated = json(&mut lab.toolkit(&["dialogue", "evaluate", "run", "--json"]));
    assert_eq!(evaluated["scores"]["f1"], results["scores"]["f1"]);
    let generate = ["dialogue", "generate", "run", "--input", "data/test.txt", "--decode"];
    for method in ["greedy", "beam", "nucleus"] {
        let replies = succeeds(lab.toolkit(&generate).arg(method));
        assert_eq!(replies.lines().count(), 8, "{method}");
    }
    assert_eq!(succeeds(lab.toolkit(&generate).arg("greedy")), lab.text("run/replies-test.txt"));
    let talk = succeeds(lab.toolkit(&["dialogue", "chat", "run"]).write_stdin("hello\n"));
    assert_eq!(talk.lines().count(), 1);

    succeeds(&mut lab.train("again", &flags));
    assert!(lab.bytes("run/checkpoints/best.safetensors") == lab.bytes("again/checkpoints/best.safetensors"));
}

#[test]
fn a_gpt2_goes_on_from_the_weights_of_a_folder() {
    let lab = Lab::new();
    lab.write("gpt2.json", CONFIG);
    let flags = ["--model", "gpt2", "--lr", "0.1", "--clip-norm", "1", "--schedule", "constant"];
    let first = [&flags[..], &["--gpt2-config", "gpt2.json", "--epochs", "6"]].concat();
    let first = json(lab.train("first", &first).arg("--json"));
    weights_folder(&lab, "first", "weights");
    // A rate that changes nothing: what is scored are the weights that were read.
    let second = [&flags[..], &["--gpt2-weights", "weights", "--epochs", "1", "--lr", "1e-30"]].concat();
    let second = json(lab.train("second", &second).arg("--json"));
    assert_eq!(second["vocabulary"], first["vocabulary"]);
    assert_eq!(second["scores"]["perplexity"], first["scores"]["perplexity"]);
    assert_eq!(lab.text("second/replies-test.txt"), lab.text("first/replies-test.txt"));
    // The run has all that it needs of the folder.
    std::fs::remove_dir_all(lab.path("weights")).unwrap();
    succeeds(&mut lab.toolkit(&["dialogue", "evaluate", "second"]));
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let lab = Lab::new();
    lab.write("gpt2.json", CONFIG);
    let flags = ["--model", "gpt2", "--gpt2-config", "gpt2.json", "--epochs", "1"];
    succeeds(&mut lab.train("first", &flags));
    weights_folder(&lab, "first", "weights");
    let refused = |parts: &[&str]| {
        contains(&fails(&mut lab.train("run", &["--model", "gpt2", "--gpt2-weights", "weights"]), 1), parts);
        assert!(!lab.path("run").exists());
    };
    lab.write("weights/config.json", CONFIG.replace("\"n_layer\": 2", "\"n_layer\": 3"));
    refused(&["weights/model.safetensors: tensor transformer.h.2.", "is missing"]);
    lab.write("weights/config.json", CONFIG.replace("\"n_embd\": 16", "\"n_embd\": 8"));
    refused(&["weights/model.safetensors: tensor transformer.h.0.", "has shape [", "need ["]);
    lab.write("weights/config.json", CONFIG);
    lab.write("weights/model.safetensors", "nothing");
    refused(&["weights/model.safetensors: not readable as weights"]);
    std::fs::remove_file(lab.path("weights/model.safetensors")).unwrap();
    refused(&["weights: holds neither model.safetensors nor rust_model.ot"]);
    std::fs::remove_file(lab.path("weights/tokenizer.json")).unwrap();
    refused(&["weights/vocab.json: no such file", "tokenizer.json"]);
}
