//! Several processes that train one model.
#![cfg(feature = "training")]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Lab, contains, fails, succeeds, tensors};

/// 32 rows of 32 grey pixels.
const IMAGE: &[u8] = include_bytes!("fixtures/square.png");

/// The same whatever the number of processes: nothing is drawn for an example but its place.
const EXACT: [&str; 8] = ["--dropout", "0", "--log-every", "1", "--lr", "0.5", "--clip-norm", "1"];

#[track_caller]
fn close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(off <= tolerance * largest, "off by {off} of {largest}");
}

#[test]
fn two_processes_take_the_steps_of_one_with_the_whole_batch() {
    let lab = Lab::new();
    // Batches of 7 leave one process with more than the other, the last batch of an epoch (of 6) too.
    for rule in [&["--momentum", "0.9"][..], &["--optimiser", "adamw", "--lr", "0.01", "--ema-decay", "0.9"]] {
        let flags = [&EXACT[..], &["--batch-size", "7", "--overwrite"], rule].concat();
        succeeds(&mut lab.train("one", &flags));
        succeeds(&mut lab.train("two", &[&flags[..], &["--processes", "2"]].concat()));
        let (one, two) = (lab.metrics("one"), lab.metrics("two"));
        assert_eq!(one.len(), two.len());
        for (one, two) in one.iter().zip(&two) {
            assert_eq!((&one["kind"], &one["step"]), (&two["kind"], &two["step"]));
            for name in ["loss", "gradient_norm", "lr", "perplexity"].iter().filter(|name| !one[**name].is_null()) {
                let (one, two) = (one[*name].as_f64().unwrap(), two[*name].as_f64().unwrap());
                assert!((one - two).abs() <= 1e-4 * one.abs(), "{name}: {one} and {two}");
            }
        }
        let of = |run: &str| lab.bytes(&format!("{run}/checkpoints/last.safetensors"));
        for part in ["model.", "sgd.", "ema.", "adamw.mean."] {
            close(&tensors(&of("one"), part), &tensors(&of("two"), part), 1e-3);
        }
    }
}

#[test]
fn gradients_are_those_of_the_whole_batch_also_when_some_are_added_up_first() {
    let lab = Lab::new();
    let flags = [&EXACT[..], &["--batch-size", "4", "--accumulate", "3", "--epochs", "1"]].concat();
    succeeds(&mut lab.train("one", &flags));
    // More processes than examples in some batches.
    succeeds(&mut lab.train("many", &[&flags[..], &["--processes", "5"]].concat()));
    let weights = |run: &str| tensors(&lab.bytes(&format!("{run}/checkpoints/last.safetensors")), "model.");
    close(&weights("one"), &weights("many"), 1e-3);
}

#[test]
fn three_processes_that_are_stopped_and_taken_up_again_end_with_the_same_bytes() {
    let lab = Lab::new();
    // Sums of three numbers depend on their order, which is that of the buckets that gradients travel in.
    let train = |run: &str, more: &[&str]| {
        let flags = ["--schedule", "constant", "--log-every", "1", "--processes", "3", "--epochs"];
        succeeds(&mut lab.train(run, &[&flags[..], more].concat()));
    };
    train("whole", &["3"]);
    train("longer", &["2"]);
    train("longer", &["3", "--resume"]);
    assert!(lab.bytes("longer/checkpoints/last.safetensors") == lab.bytes("whole/checkpoints/last.safetensors"));
    assert_eq!(lab.metrics("longer"), lab.metrics("whole"));
}

#[test]
fn a_process_that_dies_takes_the_run_down_which_goes_on_with_another_number() {
    let lab = Lab::new();
    let flags = ["--epochs", "40", "--checkpoint-every", "1"];
    let flags = [&EXACT[..], &flags].concat();
    let mut child = lab.start("run", &[&flags[..], &["--processes", "2", "--epochs", "1000000"]].concat());
    let start = Instant::now();
    let worker = loop {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint in a minute");
        std::thread::sleep(Duration::from_millis(5));
        if lab.path("run/checkpoints/previous.safetensors").exists()
            && let Some(worker) = worker_of(child.id(), 1)
        {
            break worker;
        }
    };
    let killed = Instant::now();
    assert!(std::process::Command::new("kill").args(["-9", &worker.to_string()]).status().unwrap().success());
    let output = child.wait_with_output_of();
    assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
    assert_eq!(output.0, Some(1), "{}", output.1);
    contains(&output.1, &["process 1 of 2 was ended by signal 9", "--resume"]);

    // Its end is that of a run with one process from the start, but for rounding.
    let done = lab.metrics("run").last().unwrap()["epoch"].as_u64().unwrap() + 1;
    let epochs = done.to_string();
    let to_end = [&EXACT[..], &["--checkpoint-every", "1", "--epochs", &epochs]].concat();
    succeeds(&mut lab.train("run", &[&to_end[..], &["--resume", "--processes", "3"]].concat()));
    succeeds(&mut lab.train("alone", &to_end));
    let weights = |run: &str| tensors(&lab.bytes(&format!("{run}/checkpoints/last.safetensors")), "model.");
    close(&weights("alone"), &weights("run"), 0.02);
    assert_eq!(lab.metrics("run").len(), lab.metrics("alone").len());
}

#[test]
fn a_process_that_does_not_notice_is_not_the_one_at_fault() {
    let lab = Lab::new();
    let flags = ["--processes", "2", "--epochs", "1000000", "--checkpoint-every", "1"];
    let mut child = lab.start("run", &[&EXACT[..], &flags].concat());
    let start = Instant::now();
    while !lab.path("run/checkpoints/previous.safetensors").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The first is busy for ever, the second dies.
    for (signal, rank) in [("-STOP", 0), ("-KILL", 1)] {
        let worker = worker_of(child.id(), rank).unwrap().to_string();
        assert!(std::process::Command::new("kill").args([signal, &worker]).status().unwrap().success());
    }
    let (code, message) = child.wait_with_output_of();
    assert_eq!(code, Some(1), "{message}");
    contains(&message, &["process 1 of 2 was ended by signal 9"]);
}

#[test]
fn ctrl_c_stops_all_processes_and_is_told_once() {
    let lab = Lab::new();
    // Asked for in a file, which the processes read too.
    lab.write("two.toml", "processes = 2\n");
    let mut child = lab.start("run", &[&EXACT[..], &["--epochs", "1000000", "--config", "two.toml"]].concat());
    let start = Instant::now();
    while !lab.path("run/checkpoints/last.safetensors").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let (code, message) = child.wait_with_output_of();
    assert_eq!(code, Some(130), "{message}");
    assert_eq!(message.matches("stopping after this step").count(), 1, "{message}");
    contains(&message, &["go on with: toolkit dialogue --run run --resume --processes 2\n"]);
}

/// The child of `parent` whose environment has this rank.
fn worker_of(parent: u32, rank: usize) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().filter_map(|child| child.parse().ok()).find(|child: &u32| {
        let environment = std::fs::read(format!("/proc/{child}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == format!("RANK={rank}").as_bytes())
    })
}

/// Waits for a process whose standard error is piped.
trait Ended {
    fn wait_with_output_of(&mut self) -> (Option<i32>, String);
}

impl Ended for std::process::Child {
    fn wait_with_output_of(&mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut self.stderr.take().unwrap(), &mut text).unwrap();
        (self.wait().unwrap().code(), text)
    }
}

#[test]
fn an_error_is_told_once_and_an_environment_that_makes_no_sense_is_refused() {
    let lab = Lab::new();
    let message = fails(&mut lab.train("run", &["--data", "nowhere", "--processes", "2"]), 1);
    assert_eq!(message.matches("nowhere").count(), 1, "{message}");
    assert!(!lab.path("run").exists());
    let message = fails(&mut lab.train("run", &["--processes", "2", "--device", "cpu", "--backend", "nccl"]), 2);
    contains(&message, &["--backend nccl: process 0 computes on the processor; --device cuda gives it a GPU"]);
    let message = fails(lab.train("run", &[]).env("WORLD_SIZE", "2"), 2);
    contains(&message, &["WORLD_SIZE=2", "RANK"]);
    let launched = [("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_ADDR", "127.0.0.1")];
    let message = fails(lab.train("run", &["--processes", "2"]).envs(launched), 2);
    contains(&message, &["--processes 2", "leave --processes out, in --config too"]);
}

#[test]
fn detectors_and_classifiers_train_with_two_processes() {
    let folder = tempfile::tempdir().unwrap();
    let train = |task: &str, flags: &[&str], run: &str, processes: &str| {
        let mut command = support::toolkit();
        command.arg(task).args(flags).args(["--threads", "1", "--precision", "float32", "--quiet", "--log-every", "1"]);
        command.args(["--processes", processes, "--run", run]).current_dir(folder.path());
        succeeds(&mut command);
        let text = std::fs::read_to_string(folder.path().join(run).join("metrics.jsonl")).unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        [first["loss"].as_f64().unwrap(), first["gradient_norm"].as_f64().unwrap()]
    };
    // Normalisations are affine maps here, so that nothing but the losses' normaliser joins the images of a batch. All images have
    // one size.
    std::fs::write(folder.path().join("affine.toml"), "train-norm = false\n").unwrap();
    let detection = [
        "--config",
        "affine.toml",
        "--iterations",
        "2",
        "--eval-every",
        "2",
        "--batch-size",
        "4",
        "--short-sides",
        "64",
        "--short-side",
    ];
    let detection = [&detection[..], &["64", "--channels", "8", "--tower", "1", "--warmup-steps", "2"]].concat();
    let (one, two) = (train("detection", &detection, "d1", "1"), train("detection", &detection, "d2", "2"));
    for (one, two) in one.iter().zip(two) {
        assert!((one - two).abs() < 1e-3 * one, "{one} and {two}");
    }
    // Each process normalises by its own images, so that losses are near but not the same.
    let vision = ["--warmup-epochs", "0", "--largest-class", "40", "--imbalance-ratio", "8", "--epochs", "1"];
    let vision = [&vision[..], &["--batch-size", "32", "--schedule", "constant", "--lr", "0.05"]].concat();
    let (one, two) = (train("vision", &vision, "v1", "1"), train("vision", &vision, "v2", "2"));
    assert!((one[0] - two[0]).abs() < 0.2 * one[0], "{one:?} and {two:?}");
}

/// The scores at the end are of work that the processes share. One process, given the same weights, finds the same.
#[test]
fn the_last_evaluation_is_shared_and_is_that_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let read =
        |name: String| std::fs::read(folder.path().join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let results = |run: &str| {
        let mut results: Value = serde_json::from_slice(&read(format!("{run}/results.json"))).unwrap();
        for changing in ["training", "second_stage", "replies_per_second"] {
            results.as_object_mut().unwrap().remove(changing);
        }
        let skipped = results.as_object_mut().unwrap().remove("skipped");
        (results, skipped)
    };
    let check = |flags: &[&str], files: &[&str]| {
        let run = format!("run-{}", flags.concat().len());
        let train = |more: &[&str]| {
            let mut command = support::toolkit();
            command
                .args(flags)
                .args(["--threads", "1", "--quiet", "--run", &run])
                .args(more)
                .current_dir(folder.path());
            succeeds(&mut command);
        };
        train(&["--processes", "3", "--overwrite"]);
        let (scores, skipped) = results(&run);
        let written: Vec<_> = files.iter().map(|file| read(format!("{run}/{file}"))).collect();
        // Without its results a run that has taken all of its steps is evaluated again.
        std::fs::remove_file(folder.path().join(&run).join("results.json")).unwrap();
        train(&["--resume"]);
        let (again, skipped_again) = results(&run);
        assert_eq!(again, scores, "{flags:?}");
        if flags[0] == "dialogue" {
            let training: Value = serde_json::from_slice(&read(format!("{run}/results.json"))).unwrap();
            assert_eq!(training["training"]["best"]["epoch"], 1);
        }
        for (file, written) in files.iter().zip(written) {
            assert!(read(format!("{run}/{file}")) == written, "{flags:?}: {file} differs");
        }
        [skipped, skipped_again].map(|skipped| skipped.unwrap_or_default())
    };

    // More images than are evaluated at once; one of the last cannot be decoded.
    for name in ["whole-0.png", "whole-1.png", "whole-2.png"] {
        std::fs::write(folder.path().join(name), IMAGE).unwrap();
    }
    std::fs::write(folder.path().join("broken.png"), &IMAGE[..60]).unwrap();
    let line = |index: usize| match index {
        1200 => "broken.png 0\n".to_owned(),
        _ => format!("whole-{0}.png {0}\n", index % 3),
    };
    std::fs::write(folder.path().join("train.txt"), (0..30).map(line).collect::<String>()).unwrap();
    std::fs::write(folder.path().join("test.txt"), (0..1206).map(line).collect::<String>()).unwrap();
    let lists = ["--train-list", "train.txt", "--test-list", "test.txt", "--images", ".", "--on-bad-image", "skip"];
    let small = ["--augment", "cifar", "--model", "resnet-32", "--epochs", "1", "--warmup-epochs", "0"];
    let listed = [&["vision"], &lists[..], &small].concat();
    let skipped = check(&listed, &["predictions-test.safetensors", "predictions-train.safetensors"]);
    // After the epoch, and at the end by the last and by the best weights; the second time only at the end.
    let [all, end] = skipped.map(|skipped| skipped[0].clone());
    assert_eq!((&all[1], &end[1]), (&3.into(), &2.into()), "{all} and {end}");
    contains(all[0].as_str().unwrap(), &["broken.png"]);

    let generated =
        ["vision", "--warmup-epochs", "0", "--largest-class", "60", "--imbalance-ratio", "6", "--epochs", "1"];
    for method in [
        &["--method", "ncm"][..],
        &["--method", "tau-norm", "--hold-out", "5"],
        &["--method", "lws", "--stage-epochs", "1", "--adjust-logits", "0.5"],
    ] {
        check(&[&generated[..], method].concat(), &["predictions-test.safetensors", "model.safetensors"]);
    }
    let detection = ["detection", "--iterations", "2", "--eval-every", "2", "--batch-size", "4", "--short-sides", "64"];
    let small = ["--short-side", "64", "--channels", "8", "--tower", "1", "--warmup-steps", "2", "--evaluate-train"];
    check(&[&detection[..], &small].concat(), &["detections.json", "detections-train.json"]);
    // A rate so high that the weights of the first epoch are the best: all processes have to get them back. What is drawn for a reply
    // depends on its number, and not on who decodes it.
    let dialogue = ["dialogue", "--hidden", "16", "--embedding", "8", "--defer-epochs", "0", "--batch-size", "32"];
    let wild = ["--epochs", "2", "--lr", "10", "--clip-norm", "0", "--schedule", "constant", "--decode", "top-k"];
    check(&[&dialogue[..], &wild, &["--decode-batch-size", "7"]].concat(), &["replies-test.txt"]);
}
