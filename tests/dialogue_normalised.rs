//! The normalised classifier, through the real binary.
#![cfg(feature = "training")]

mod support;

use serde_json::Value;
use support::{Lab, contains, every_plugin, fails, json, succeeds, tensors};

const GPT2: &str = r#"{"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 1, "n_positions": 128}"#;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn scale(lab: &Lab, run: &str) -> Value {
    lab.json(&format!("{run}/model.json"))["model"]["lstm"]["cosine_scale"].clone()
}

#[test]
fn any_loss_can_have_a_normalised_classifier_which_the_run_remembers() {
    let lab = Lab::new();
    let learn = ["--epochs", "20", "--lr", "1", "--schedule", "constant", "--dropout", "0"];
    let flags = [&learn[..], &["--normalised-classifier", "yes", "--cosine-scale", "12"]].concat();
    let results = json(lab.train("run", &flags).arg("--json"));
    assert_eq!(scale(&lab, "run"), 12.0);
    let file = lab.bytes("run/checkpoints/best.safetensors");
    assert!(tensors(&file, "model.output.bias").is_empty() && !tensors(&file, "model.output.weight").is_empty());
    let perplexity = number(&results["scores"]["perplexity"]);
    // Bare cosines, 1 for the right type and −1 for all others, would leave 1 + (V − 1)/e².
    let bare = 1.0 + (number(&results["vocabulary"]) - 1.0) / 2.0_f64.exp();
    assert!(perplexity < bare / 2.0, "{perplexity} {bare}");
    // The loss is that of the scaled ones.
    assert!((number(&results["split_loss"]) - perplexity.ln()).abs() < 1e-5);
    let evaluated = json(&mut lab.toolkit(&["dialogue", "evaluate", "run", "--json"]));
    assert!((number(&evaluated["scores"]["perplexity"]) / perplexity - 1.0).abs() < 1e-5);
    assert_eq!(evaluated["scores"]["f1"], results["scores"]["f1"]);

    succeeds(&mut lab.train("plain", &["--epochs", "1"]));
    assert_eq!(scale(&lab, "plain"), Value::Null);
    assert!(!tensors(&lab.bytes("plain/checkpoints/best.safetensors"), "model.output.bias").is_empty());
    let shared = ["--normalised-classifier", "yes", "--share-embeddings", "all", "--epochs", "1"];
    succeeds(&mut lab.train("shared", &shared));
    assert_eq!(scale(&lab, "shared"), 30.0);
}

#[test]
fn a_loss_that_asks_for_it_gets_bare_cosines() {
    // LDAM's is then beside the binary.
    every_plugin();
    let lab = Lab::new();
    // Without margin and weights LDAM is cross-entropy of scaled cosines.
    let flags = ["--loss", "ldam", "--max-margin", "0", "--scale", "12", "--epochs", "3", "--defer-epochs", "1"];
    let ldam = json(lab.train("ldam", &flags).arg("--json"));
    assert_eq!(scale(&lab, "ldam"), 12.0);
    let flags = ["--normalised-classifier", "yes", "--cosine-scale", "12", "--epochs", "3", "--defer-epochs", "1"];
    let plain = json(lab.train("plain", &flags).arg("--json"));
    for name in ["split_loss", "perplexity"] {
        let of = |results: &Value| number(results.get(name).unwrap_or(&results["scores"][name]));
        assert!((of(&ldam) / of(&plain) - 1.0).abs() < 1e-3, "{name}: {} {}", of(&ldam), of(&plain));
    }
    // With a margin the loss is more than the model's own cross-entropy.
    let margin = json(lab.train("margin", &["--loss", "ldam", "--scale", "12"]).arg("--json"));
    assert!(number(&margin["split_loss"]) > number(&margin["scores"]["perplexity"]).ln() + 0.1);
    // Refused, it is one of unbounded logits.
    succeeds(&mut lab.train("refused", &["--loss", "ldam", "--normalised-classifier", "no", "--scale", "1"]));
    assert_eq!(scale(&lab, "refused"), Value::Null);
    // The base loss may ask too.
    succeeds(&mut lab.train("base", &["--base-loss", "ldam", "--base-scale", "20", "--defer-epochs", "1"]));
    assert_eq!(scale(&lab, "base"), 20.0);
}

#[test]
fn what_cannot_be_normalised_is_refused() {
    every_plugin();
    let lab = Lab::new();
    lab.write("gpt2.json", GPT2);
    let gpt2 = ["--model", "gpt2", "--gpt2-config", "gpt2.json", "--epochs", "1"];
    let refused = |more: &[&str], parts: &[&str]| {
        contains(&fails(&mut lab.train("run", more), 2), parts);
        assert!(!lab.path("run").exists());
    };
    let yes = ["--normalised-classifier", "yes"];
    refused(&[&gpt2[..], &yes].concat(), &["--normalised-classifier yes is for --model lstm"]);
    refused(
        &[&gpt2[..], &["--loss", "ldam"]].concat(),
        &["loss `ldam` asks for a normalised classifier, which GPT-2 does not have", "--normalised-classifier no"],
    );
    refused(&["--cosine-scale", "12"], &["--cosine-scale 12", "--normalised-classifier yes"]);
    refused(&["--cosine-scale", "0"], &["--cosine-scale", "above 0"]);
    refused(&["--normalised-classifier", "true"], &["--normalised-classifier", "auto, yes, no"]);
}
