//! Long tests, run by `cargo xtask soak`: kills of every task's training at random moments, and a disk that fills up.
#![cfg(feature = "training")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use imbalance_train::RunFolder;
use support::{process, program, succeeds, toolkit};

/// How often each task's training is killed.
const KILLS: usize = 20;

/// Trainings of some seconds, with a checkpoint after each step.
const TASKS: [(&str, &[&str]); 3] = [
    ("dialogue", &["--recipe", "quick", "--epochs", "1", "--defer-epochs", "0", "--batch-size", "256"]),
    (
        "vision",
        &[
            "--largest-class",
            "60",
            "--imbalance-ratio",
            "8",
            "--epochs",
            "3",
            "--batch-size",
            "16",
            "--warmup-epochs",
            "0",
            "--optimiser",
            "adamw",
            "--lr",
            "0.001",
            "--ema-decay",
            "0.99",
            "--mixup",
            "0.5",
            "--schedule",
            "constant",
        ],
    ),
    (
        "detection",
        &[
            "--iterations",
            "24",
            "--eval-every",
            "8",
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
            "--precision",
            "float32",
        ],
    ),
];

fn arguments<'a>(task: &'a str, flags: &[&'a str], run: &'a str) -> Vec<&'a str> {
    let common = ["--checkpoint-every", "1", "--threads", "1", "--quiet", "--run", run];
    [&[task][..], flags, &common].concat()
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = process(&program());
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// What must not depend on where a run was killed: the bytes of checkpoints, and the records without their times.
fn products(run: &Path) -> (Vec<Vec<u8>>, Vec<serde_json::Value>) {
    let files =
        ["last", "best"].map(|name| std::fs::read(run.join(format!("checkpoints/{name}.safetensors"))).unwrap());
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let records = text.lines().map(|line| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        record.as_object_mut().unwrap().shift_remove("seconds");
        record
    });
    (files.to_vec(), records.collect())
}

/// Numbers that differ from one run of the test to the next; the seed is printed.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let given = std::env::var("TOOLKIT_SOAK_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()));
        println!("TOOLKIT_SOAK_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
#[ignore = "minutes; `cargo xtask soak`"]
fn kills_at_random_moments_change_nothing_in_any_task() {
    let mut random = Random::new();
    for (task, flags) in TASKS {
        let folder = tempfile::tempdir().unwrap();
        let whole = Instant::now();
        succeeds(toolkit().current_dir(folder.path()).args(arguments(task, flags, "whole")));
        let whole = whole.elapsed();
        let run = folder.path().join("killed");
        let half: PathBuf = run.join("checkpoints/.last.safetensors.tmp");
        let (mut kills, mut halves) = (0, 0);
        while kills < KILLS {
            let more = if RunFolder::resumable(&run) { "--resume" } else { "--overwrite" };
            let arguments = [arguments(task, flags, "killed"), vec![more]].concat();
            let mut child = start(folder.path(), &arguments);
            let begun = Instant::now();
            // Half of the moments are somewhere in the run, start and all; the others are in the middle of a checkpoint.
            let moment = (kills % 2 == 0).then(|| Duration::from_millis(random.below(whole.as_millis() as u64 / 2)));
            let ended = loop {
                let now = match moment {
                    Some(moment) => begun.elapsed() >= moment,
                    None => half.exists() && random.below(3) == 0,
                };
                if now {
                    break false;
                }
                if child.try_wait().unwrap().is_some() {
                    break true;
                }
                std::thread::sleep(Duration::from_micros(200));
            };
            if ended {
                // It was done before its moment came: right so far, and another is killed.
                assert!(products(&folder.path().join("whole")) == products(&run), "{task} differs after {kills} kills");
                std::fs::remove_dir_all(&run).unwrap();
                continue;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            halves += usize::from(half.exists());
        }
        let more = if RunFolder::resumable(&run) { "--resume" } else { "--overwrite" };
        succeeds(toolkit().current_dir(folder.path()).args(arguments(task, flags, "killed")).arg(more));
        println!("{task}: {kills} kills, {halves} of them in the middle of a checkpoint");
        assert!(products(&folder.path().join("whole")) == products(&run), "{task} differs");
    }
}

#[test]
#[ignore = "needs root, for a file system of its own; `cargo xtask soak`"]
fn a_disk_that_fills_up_stops_the_run_and_leaves_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |words: &[&str]| {
        std::process::Command::new(words[0]).args(&words[1..]).arg(&disk).status().is_ok_and(|status| status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs"]) {
        println!("a file system cannot be mounted here (it takes root): the test says nothing");
        return;
    }
    let (_, flags) = TASKS[0];
    let outcome = std::panic::catch_unwind(|| {
        let run = "disk/run";
        let first = [arguments("dialogue", flags, run), vec!["--checkpoint-every", "0"]].concat();
        succeeds(toolkit().current_dir(folder.path()).args(&first));
        let last = disk.join("run/checkpoints/last.safetensors");
        let before = std::fs::read(&last).unwrap();
        // All the room that there is, but for a little.
        let filler = disk.join("filler");
        let mut room = vec![0u8; 1 << 20];
        room.fill(1);
        let mut file = std::fs::File::create(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &room).is_ok() {}
        let more = ["dialogue", "--run", run, "--resume", "--epochs", "2", "--threads", "1", "--quiet"];
        let message = support::fails(toolkit().current_dir(folder.path()).args(more), 1);
        assert!(message.contains("No space left on device") && message.contains("disk/run"), "{message}");
        assert!(std::fs::read(&last).unwrap() == before, "the last checkpoint has changed");
        // An open file keeps its room.
        drop(file);
        std::fs::remove_file(&filler).unwrap();
        succeeds(toolkit().current_dir(folder.path()).args(more));
    });
    assert!(mount(&["umount"]), "the test's file system stays mounted at {}", disk.display());
    outcome.unwrap();
}
