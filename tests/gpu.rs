//! What a training does with a GPU, on a simulated one (`core/train/simulated-gpu`): the same as on the processor, but with
//! libtorch's operations where the processor has kernels of ours. Other numbers would be an error of the host's part, which these
//! tests are for; a GPU's own kernels are libtorch's business.
//!
//! On a machine with GPUs, `TOOLKIT_GPUS=1 cargo test --test gpu` (so many of them) asks the same of real ones.
#![cfg(all(feature = "training", target_os = "linux"))]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use support::{Command, contains, corpus, fails, simulated_gpu, succeeds, tensors, toolkit};
use tempfile::TempDir;

/// A hundred images, of the largest class forty; a rate at which rounding is not amplified.
const VISION: [&str; 17] = [
    "vision",
    "--warmup-epochs",
    "0",
    "--largest-class",
    "40",
    "--imbalance-ratio",
    "8",
    "--epochs",
    "1",
    "--batch-size",
    "32",
    "--schedule",
    "constant",
    "--lr",
    "0.0001",
    "--precision",
    "float32",
];

const DIALOGUE: [&str; 19] = [
    "dialogue",
    "--data",
    "data",
    "--hidden",
    "16",
    "--embedding",
    "8",
    "--epochs",
    "1",
    "--defer-epochs",
    "0",
    "--patience",
    "0",
    "--batch-size",
    "8",
    "--dropout",
    "0",
    "--precision",
    "float32",
];

const DETECTION: [&str; 21] = [
    "detection",
    "--iterations",
    "4",
    "--eval-every",
    "4",
    "--batch-size",
    "2",
    "--short-sides",
    "64",
    "--short-side",
    "64",
    "--channels",
    "8",
    "--tower",
    "1",
    "--warmup-steps",
    "2",
    "--lr",
    "0.0001",
    "--precision",
    "float32",
];

/// How many real GPUs are to be used in the place of simulated ones.
fn real_gpus() -> Option<usize> {
    let given = std::env::var("TOOLKIT_GPUS").ok()?;
    Some(given.parse().unwrap_or_else(|_| panic!("TOOLKIT_GPUS={given}: must be a number of GPUs")))
}

struct Lab(TempDir);

impl Lab {
    fn new() -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        lab.write_corpus("data", 24);
        lab
    }

    /// So many dialogues to train on, two to validate with, two to test with.
    fn write_corpus(&self, folder: &str, dialogues: usize) {
        std::fs::create_dir(self.path(folder)).unwrap();
        for (split, dialogues) in [("train", 0..dialogues), ("valid", 24..26), ("test", 26..28)] {
            std::fs::write(self.path(&format!("{folder}/{split}.txt")), corpus(dialogues)).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The toolkit on a machine with so many GPUs.
    fn toolkit(&self, gpus: usize, words: &[&str]) -> Command {
        let mut command = toolkit();
        if real_gpus().is_none() {
            command.env("LD_PRELOAD", simulated_gpu()).env("SIMULATED_GPUS", gpus.to_string());
        }
        command.current_dir(self.0.path()).args(words);
        command
    }

    /// A training into the folder `run`.
    fn train(&self, gpus: usize, run: &str, words: &[&str]) -> Command {
        let mut command = self.toolkit(gpus, words);
        command.args(["--threads", "1", "--log-every", "1", "--quiet", "--run", run]);
        command
    }

    /// Trains on the processor and on a GPU, and expects the same.
    #[track_caller]
    fn agree(&self, words: &[&str], tolerance: f64) {
        self.agree_in(words, "float32", tolerance);
    }

    /// The same with the GPU in this precision.
    #[track_caller]
    fn agree_in(&self, words: &[&str], precision: &str, tolerance: f64) {
        let run =
            |device: &str| format!("{device}-{}", std::thread::current().name().unwrap_or_default().replace(':', "-"));
        let (here, there) = (run("cpu"), run("cuda"));
        for (device, run, precision) in [("cpu", &here, "float32"), ("cuda", &there, precision)] {
            let flags = ["--device", device, "--precision", precision, "--overwrite"];
            succeeds(self.train(1, run, words).args(flags));
        }
        let (here, there) = (self.metrics(&here), self.metrics(&there));
        assert_eq!(here.len(), there.len());
        for (here, there) in here.iter().zip(&there) {
            assert_eq!((&here["kind"], &here["step"]), (&there["kind"], &there["step"]));
            for name in ["loss", "gradient_norm"].iter().filter(|name| !here[**name].is_null()) {
                let (here, there) = (here[*name].as_f64().unwrap(), there[*name].as_f64().unwrap());
                assert!((here - there).abs() <= tolerance * here.abs(), "{words:?}: {name}: {here} and {there}");
            }
        }
    }

    fn metrics(&self, run: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(&format!("{run}/metrics.jsonl"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// What the processes that wrote this log did, by name.
    fn counts(&self, log: &str) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for line in String::from_utf8(self.bytes(log)).unwrap().lines() {
            let (name, count) = line.rsplit_once(' ').unwrap();
            *counts.entry(name.to_owned()).or_default() += count.parse::<u64>().unwrap();
        }
        counts
    }
}

#[test]
fn images_are_learnt_alike() {
    let lab = Lab::new();
    // Builds them, beside the toolkit.
    drop(support::every_plugin());
    for more in [
        &["--loss", "eureka", "--beta", "0.99", "--mixup", "0.2", "--optimiser", "adamw", "--ema-decay", "0.9"][..],
        &["--method", "bbn", "--clip-norm", "1", "--accumulate", "2"],
        &["--method", "ncm", "--loss", "lade", "--freeze", "conv1", "--layer-lr", "layer1=0.5", "--deterministic"],
        &["--method", "crt", "--stage-epochs", "1", "--adjust-logits", "1"],
    ] {
        lab.agree(&[&VISION[..], more].concat(), 0.01);
    }
}

#[test]
fn replies_are_learnt_alike() {
    let lab = Lab::new();
    lab.agree(&[&DIALOGUE[..], &["--loss", "eureka", "--clip-norm", "1"]].concat(), 1e-3);
    lab.agree(&[&DIALOGUE[..], &["--loss", "cross-entropy", "--optimiser", "adamw", "--lr", "0.001"]].concat(), 1e-3);
    if real_gpus().is_some() {
        return;
    }
    // More steps are no more waits. Replies of one token cost the same whatever was learnt.
    let waits = |dialogues: usize| {
        let (data, log) = (format!("data-{dialogues}"), format!("log-{dialogues}"));
        lab.write_corpus(&data, dialogues);
        let short = ["--max-length", "1", "--min-length", "1", "--clip-norm", "1", "--data", &data];
        let mut command = lab.train(1, &format!("run-{dialogues}"), &[&DIALOGUE[..], &short].concat());
        command.args(["--device", "cuda", "--log-every", "1000"]).env("SIMULATED_GPU_LOG", lab.path(&log));
        succeeds(&mut command);
        let counts = lab.counts(&log);
        counts.into_iter().filter(|(name, _)| name.starts_with("wait")).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(waits(16), waits(24));
}

#[test]
fn objects_are_learnt_alike() {
    let lab = Lab::new();
    drop(support::every_plugin());
    lab.agree(&[&DETECTION[..], &["--loss", "halted-focal"]].concat(), 0.01);
    if real_gpus().is_some() {
        return;
    }
    let waits = |iterations: &str| {
        let words = [&DETECTION[..], &["--iterations", iterations, "--eval-every", iterations]].concat();
        let mut command = lab.train(1, &format!("run-{iterations}"), &words);
        command.args(["--device", "cuda", "--log-every", "1000"]);
        succeeds(command.env("SIMULATED_GPU_LOG", lab.path(&format!("log-{iterations}"))));
        lab.counts(&format!("log-{iterations}"))
            .into_iter()
            // How many objects evaluation finds, and copies, depends on the weights.
            .filter(|(name, _)| name.starts_with("wait") && !name.contains("to the host"))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(waits("4"), waits("12"));
}

#[test]
fn a_step_does_not_wait_for_the_gpu() {
    if real_gpus().is_some() {
        return eprintln!("real GPUs keep no log");
    }
    let lab = Lab::new();
    let waits = |batch: &str| {
        let log = format!("log-{batch}");
        let words = [&VISION[..], &["--largest-class", "200", "--batch-size", batch, "--loss", "eureka"]].concat();
        let mut command = lab.train(1, &log.replace("log", "run"), &words);
        succeeds(command.args(["--device", "cuda", "--log-every", "1000"]).env("SIMULATED_GPU_LOG", lab.path(&log)));
        let counts = lab.counts(&log);
        let steps = lab.bytes(&format!("run-{batch}/results.json"));
        let steps = serde_json::from_slice::<Value>(&steps).unwrap()["training"]["steps"].as_u64().unwrap();
        (steps, counts)
    };
    let ((few, small), (many, large)) = (waits("128"), waits("32"));
    let of = |counts: &BTreeMap<String, u64>, what: &str| -> u64 {
        counts.iter().filter(|(name, _)| name.starts_with(what)).map(|(_, count)| count).sum()
    };
    assert!(many - few >= 10, "{few} and {many} steps");
    // Every 64 steps what they found is read, once.
    assert!(of(&large, "wait") <= of(&small, "wait") + 1, "{small:?}\n{large:?}");
    // The optimiser's part of a step is a few launches, and not some for each of the hundred variables.
    assert!(large["run aten::_fused_sgd_"] <= 2 * many, "{large:?}");
    let launches = (of(&large, "run") - of(&small, "run")) / (many - few);
    assert!(launches < 700, "{launches} operations a step");
    // Weights lie as images with channels last want them: none of the 31 convolutions' gradients is copied into another layout.
    let copies = (large["copy"] - small["copy"]) / (many - few);
    assert!(copies < 31, "{copies} copies on the device a step");
}

#[test]
fn a_run_on_a_gpu_is_resumed_to_the_same_bytes() {
    let lab = Lab::new();
    let flags = ["--loss", "eureka", "--device", "cuda", "--deterministic", "--lr", "0.05", "--epochs"];
    let train = |run: &str, more: &[&str]| succeeds(&mut lab.train(1, run, &[&VISION[..], &flags, more].concat()));
    train("whole", &["2"]);
    train("stopped", &["1"]);
    train("stopped", &["2", "--resume"]);
    for file in ["checkpoints/last.safetensors", "model.safetensors", "predictions-test.safetensors"] {
        assert!(lab.bytes(&format!("whole/{file}")) == lab.bytes(&format!("stopped/{file}")), "{file} differs");
    }
    // The model is used where there is no GPU.
    succeeds(toolkit().current_dir(lab.0.path()).args(["vision", "evaluate", "whole"]));
}

#[test]
fn reduced_precision_is_a_gpus_too() {
    let lab = Lab::new();
    for precision in ["bfloat16", "float16"] {
        lab.agree_in(&[&DIALOGUE[..], &["--loss", "eureka"]].concat(), precision, 0.02);
    }
}

#[test]
fn processes_with_a_gpu_each_take_the_steps_of_one() {
    if real_gpus().is_some_and(|gpus| gpus < 2) {
        return eprintln!("there is one GPU");
    }
    let lab = Lab::new();
    // Normalisations over a process's own images would differ; the text model has none.
    let words = [&DIALOGUE[..], &["--lr", "0.5", "--clip-norm", "1", "--batch-size", "7", "--loss", "eureka"]].concat();
    succeeds(lab.train(1, "one", &words).args(["--device", "cuda"]));
    let mut command = lab.train(2, "two", &words);
    succeeds(command.args(["--device", "cuda", "--processes", "2", "--backend", "nccl"]));
    let losses = |run: &str| -> Vec<f64> { lab.metrics(run).iter().filter_map(|line| line["loss"].as_f64()).collect() };
    let (one, two) = (losses("one"), losses("two"));
    assert_eq!(one.len(), two.len());
    one.iter().zip(&two).for_each(|(one, two)| assert!((one - two).abs() <= 1e-4 * one, "{one} and {two}"));
    let weights = |run: &str| tensors(&lab.bytes(&format!("{run}/checkpoints/last.safetensors")), "model.");
    let (one, two) = (weights("one"), weights("two"));
    let off = one.iter().zip(&two).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(off < 1e-4, "{off}");
    if real_gpus().is_some() {
        return;
    }
    let message = fails(lab.train(1, "more", &words).args(["--device", "cuda", "--processes", "2", "--overwrite"]), 2);
    contains(&message, &["--device cuda", "there are 1 GPUs, numbered from 0"]);
    // Nor does one of them go on without.
    let message = fails(lab.train(1, "more", &words).args(["--processes", "2", "--overwrite"]), 2);
    contains(&message, &["1 of 2 processes have a GPU that can be used", "--device cpu"]);
}

#[test]
fn gpus_that_are_not_there_are_told_of() {
    if real_gpus().is_some() {
        return eprintln!("they are there");
    }
    let lab = Lab::new();
    let message = fails(lab.train(1, "run", &VISION).args(["--device", "cuda:3"]), 2);
    contains(&message, &["--device cuda:3: there are 1 GPUs, numbered from 0"]);
    let message = fails(lab.train(0, "run", &VISION).args(["--device", "cuda"]), 2);
    contains(&message, &["--device cuda: libtorch finds no GPU that it can use"]);
    // Without a word about devices the processor takes over, and it is said.
    let mut command = lab.toolkit(0, &VISION);
    let output = command.args(["--threads", "1", "--run", "run"]).assert().success();
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    contains(&said, &["libtorch finds no GPU that it can use"]);
    // And with one that can be used, it is used.
    let log = lab.path("log");
    succeeds(lab.train(1, "auto", &VISION).env("SIMULATED_GPU_LOG", &log));
    assert!(lab.counts("log").contains_key("run aten::convolution"));
}
