//! Trainings that are stopped and taken up again.
#![cfg(feature = "training")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::{Duration, Instant};

use support::{Lab, contains, example_plugin, fails, json, succeeds};

/// Waits until `ready`, while the training must go on.
#[track_caller]
fn wait_until(child: &mut Child, what: &str, ready: impl Fn() -> bool) {
    let start = Instant::now();
    while !ready() {
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the training ended ({status}) before {what}: {}", rest(child));
        }
        assert!(start.elapsed() < Duration::from_secs(60), "no {what} in a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What is left of its standard error.
fn rest(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    let status = std::process::Command::new("sh").args(["-c", &kill]).status();
    assert!(status.unwrap().success());
}

#[test]
fn a_run_that_was_killed_twice_ends_with_the_bytes_of_one_that_never_was() {
    let lab = Lab::new();
    // Dropout, momentum and a schedule that remembers; a checkpoint in the middle of epochs.
    let flags = ["--epochs", "30", "--checkpoint-every", "4", "--log-every", "1", "--loss", "eureka", "--layers", "2"];
    let flags = [&flags[..], &["--defer-epochs", "9", "--lr", "1"]].concat();
    // Draws that differ from epoch to epoch.
    let flags = [&flags[..], &["--sampler", "square-root", "--defer-sampler", "progressive"]].concat();
    succeeds(&mut lab.train("whole", &flags));
    let last = lab.path("killed/checkpoints/last.safetensors");
    let written = || std::fs::metadata(&last).and_then(|file| file.modified()).ok();
    for more in [&[][..], &["--resume"]] {
        let before = written();
        let mut child = lab.start("killed", &[&flags[..], more].concat());
        wait_until(&mut child, "a checkpoint", || written() > before);
        // Somewhere between two checkpoints.
        std::thread::sleep(Duration::from_millis(7));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "the training ended before it was killed");
    }
    assert!(!lab.path("killed/results.json").exists());
    succeeds(&mut lab.train("killed", &[&flags[..], &["--resume"]].concat()));
    for file in ["checkpoints/last.safetensors", "checkpoints/best.safetensors", "replies-test.txt", "config.toml"] {
        assert!(lab.bytes(&format!("whole/{file}")) == lab.bytes(&format!("killed/{file}")), "{file} differs");
    }
    assert_eq!(lab.metrics("whole"), lab.metrics("killed"));
    assert_eq!(lab.json("whole/results.json")["scores"], lab.json("killed/results.json")["scores"]);
    assert_eq!(lab.json("killed/manifest.json")["resumed"].as_array().unwrap().len(), 2);
}

#[test]
fn ctrl_c_leaves_a_checkpoint_to_go_on_from() {
    let lab = Lab::new();
    let plugin = example_plugin("c-margin", "c/margin.c");
    let folder = plugin.path().to_str().unwrap();
    // Quiet, but for what the user has to know. Far more epochs than there is time for.
    let flags = ["--schedule", "constant", "--epochs", "1000000", "--loss", "c-margin", "--plugin-dir", folder];
    let mut child = lab.start("run", &flags);
    let recorded = || lab.path("run/metrics.jsonl").exists() && !lab.metrics("run").is_empty();
    wait_until(&mut child, "the first record", recorded);
    // While it trains, nobody else may.
    let message = fails(&mut lab.train("run", &[&flags[..], &["--resume"]].concat()), 2);
    contains(&message, &["another process is using run"]);
    signal(&child, "INT");
    let message = rest(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(130), "{message}");
    contains(&message, &["stopping after this step, with a checkpoint", "interrupted; go on with: "]);
    let hint = format!("toolkit dialogue --run run --resume --plugin-dir {folder}\n");
    contains(&message, &[&hint]);
    assert!(!lab.path("run/results.json").exists());

    // As it says, and with an end that can be reached: 6 steps an epoch.
    let steps = |run: &str| lab.metrics(run).iter().filter_map(|record| record["step"].as_u64()).collect::<Vec<_>>();
    let epochs = steps("run").last().unwrap() / 6 + 2;
    let words: Vec<&str> = hint.split_whitespace().skip(1).collect();
    let results = json(lab.toolkit(&words).args(["--quiet", "--json", "--epochs", &epochs.to_string()]));
    assert_eq!(results["training"]["epochs"], epochs);
    let steps = steps("run");
    assert!(steps.is_sorted() && *steps.last().unwrap() == 6 * epochs, "{steps:?}");
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_the_step() {
    let lab = Lab::new();
    // One step an epoch, of everything at once: long enough to be in the middle of it.
    lab.write("data/train.txt", support::corpus(0..600));
    let slow = ["--hidden", "256", "--batch-size", "1200", "--epochs", "1000"];
    let mut child = lab.start("run", &slow);
    wait_until(&mut child, "the run folder", || lab.path("run/metrics.jsonl").exists());
    signal(&child, "INT");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while !lines.next().expect("no word about the interruption").unwrap().contains("once more to quit at once") {}
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // It had not come to a checkpoint, and what to do then is said.
    let message = fails(&mut lab.train("run", &[&slow[..], &["--resume"]].concat()), 2);
    contains(&message, &["run holds no checkpoint to resume from", "--overwrite"]);
}

#[test]
fn a_finished_run_can_be_made_longer() {
    let lab = Lab::new();
    let flags = ["--schedule", "constant", "--epochs"];
    succeeds(&mut lab.train("whole", &[&flags[..], &["3"]].concat()));
    succeeds(&mut lab.train("longer", &[&flags[..], &["2"]].concat()));
    let at_two = lab.bytes("longer/checkpoints/last.safetensors");
    // Resuming what is done changes nothing but the evaluation, which is made again.
    std::fs::remove_file(lab.path("longer/results.json")).unwrap();
    succeeds(&mut lab.toolkit(&["dialogue", "--run", "longer", "--resume", "--quiet"]));
    assert!(lab.bytes("longer/checkpoints/last.safetensors") == at_two);
    assert!(lab.path("longer/results.json").exists());
    // From anywhere.
    let run = lab.path("longer");
    let words = ["dialogue", "--resume", "--quiet", "--epochs", "3", "--run"];
    succeeds(support::toolkit().current_dir("/").args(words).arg(&run));
    assert!(lab.bytes("longer/checkpoints/last.safetensors") == lab.bytes("whole/checkpoints/last.safetensors"));
    assert_eq!(lab.metrics("longer"), lab.metrics("whole"));
}

#[test]
fn what_a_loss_accumulated_is_gone_on_from() {
    let lab = Lab::new();
    let plugins = support::every_plugin();
    // Seesaw counts the examples of each class that it has seen, and weighs by them.
    let flags = ["--plugin-dir", plugins.path().to_str().unwrap(), "--loss", "seesaw", "--defer-epochs", "0"];
    let flags = [&flags[..], &["--schedule", "constant", "--epochs"]].concat();
    // Each of two processes has seen other examples.
    for processes in ["1", "2"] {
        let (whole, longer) = (format!("whole-{processes}"), format!("longer-{processes}"));
        let train = |run, more: &[&str]| {
            succeeds(&mut lab.train(run, &[&flags[..], more, &["--processes", processes]].concat()));
        };
        train(&whole, &["3"]);
        train(&longer, &["2"]);
        train(&longer, &["3", "--resume"]);
        let last = |run: &str| lab.bytes(&format!("{run}/checkpoints/last.safetensors"));
        assert!(last(&longer) == last(&whole), "{processes} processes");
        assert_eq!(lab.metrics(&longer), lab.metrics(&whole));
    }
    // Another number of processes can go on too.
    succeeds(&mut lab.train("longer-2", &[&flags[..], &["4", "--resume", "--processes", "3"]].concat()));
}

#[test]
fn the_built_in_corpus_resumes_to_the_same_bytes() {
    let lab = Lab::new();
    let flags = ["dialogue", "--hidden", "16", "--embedding", "8", "--history-tokens", "16", "--max-length", "8"];
    let flags =
        [&flags[..], &["--epochs", "1", "--defer-epochs", "0", "--threads", "1", "--batch-size", "128"]].concat();
    let flags = [&flags[..], &["--checkpoint-every", "5", "--quiet", "--run"]].concat();
    succeeds(&mut lab.toolkit(&[&flags[..], &["whole"]].concat()));
    let mut command = support::process(&support::program());
    command.current_dir(lab.path("")).args(&flags).arg("killed").stderr(std::process::Stdio::piped());
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_until(&mut child, "a checkpoint", || lab.path("killed/checkpoints/last.safetensors").exists());
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9), "the training ended before it was killed");
    assert!(!lab.path("killed/results.json").exists());
    succeeds(&mut lab.toolkit(&["dialogue", "--resume", "--quiet", "--run", "killed"]));
    for file in ["checkpoints/last.safetensors", "checkpoints/best.safetensors", "replies-test.txt"] {
        assert!(lab.bytes(&format!("whole/{file}")) == lab.bytes(&format!("killed/{file}")), "{file} differs");
    }
}

/// Kills a training at `moments`, resuming it each time: after so many milliseconds of training, or while a checkpoint is
/// being written where there is none. Returns how many left a checkpoint half-written.
fn kill_at(lab: &Lab, run: &str, flags: &[&str], moments: &[Option<u64>]) -> usize {
    let last = lab.path(&format!("{run}/checkpoints/last.safetensors"));
    let half = lab.path(&format!("{run}/checkpoints/.last.safetensors.tmp"));
    let written = || std::fs::metadata(&last).and_then(|file| file.modified()).ok();
    let mut halves = 0;
    for moment in moments {
        let before = written();
        let more: &[&str] = if before.is_some() { &["--resume"] } else { &["--overwrite"] };
        let mut child = lab.start(run, &[flags, more].concat());
        wait_until(&mut child, "a checkpoint", || written() > before);
        match moment {
            Some(milliseconds) => std::thread::sleep(Duration::from_millis(*milliseconds)),
            None => wait_until(&mut child, "a checkpoint being written", || half.exists()),
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "the training ended before it was killed");
        halves += usize::from(half.exists());
    }
    halves
}

#[test]
fn twenty_kills_at_random_moments_change_nothing() {
    let lab = Lab::new();
    // A checkpoint after each step, large enough to be caught in the middle of it; averaged weights and AdamW's state in it.
    let flags =
        ["--hidden", "192", "--checkpoint-every", "1", "--log-every", "1", "--optimiser", "adamw", "--lr", "0.01"];
    let flags = [&flags[..], &["--ema-decay", "0.99", "--epochs", "40"]].concat();
    succeeds(&mut lab.train("whole", &flags));
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    let mut state = u64::from(seed) | 1;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let moments: Vec<Option<u64>> = (0..20).map(|at| (at % 2 == 0).then(|| random(60))).collect();
    let halves = kill_at(&lab, "killed", &flags, &moments);
    assert!(halves > 0, "no kill was in the middle of a checkpoint; moments {moments:?}");
    succeeds(&mut lab.train("killed", &[&flags[..], &["--resume"]].concat()));
    for file in ["checkpoints/last.safetensors", "checkpoints/best.safetensors", "replies-test.txt"] {
        let same = lab.bytes(&format!("whole/{file}")) == lab.bytes(&format!("killed/{file}"));
        assert!(same, "{file} differs; moments {moments:?}");
    }
    assert_eq!(lab.metrics("whole"), lab.metrics("killed"));
}

#[test]
fn a_full_disk_stops_the_run_and_leaves_the_last_checkpoint_whole() {
    let lab = Lab::new();
    let flags = ["--schedule", "constant", "--hidden", "64", "--epochs"];
    succeeds(&mut lab.train("whole", &[&flags[..], &["3"]].concat()));
    succeeds(&mut lab.train("run", &[&flags[..], &["2"]].concat()));
    let last = "run/checkpoints/last.safetensors";
    let before = lab.bytes(last);
    // No file may grow beyond half of a checkpoint, in blocks of 512 bytes: the system then says what it says of a disk that
    // has no room, with another number.
    let limit = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", before.len() / 2 / 512);
    let train = lab.train("run", &[&flags[..], &["3", "--resume"]].concat());
    let mut limited = support::Command::new("sh");
    limited.args(["-c", &limit]).arg(train.get_program()).args(train.get_args()).current_dir(lab.path(""));
    let message = fails(&mut limited, 1);
    contains(&message, &["checkpoint run/checkpoints/", "File too large"]);
    assert!(lab.bytes(last) == before);
    let left: Vec<_> = support::entries(&lab.path("run/checkpoints"));
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{left:?}");

    // A folder where nothing can be created, for root too.
    std::fs::create_dir(lab.path("run/checkpoints/.last.safetensors.tmp")).unwrap();
    let message = fails(&mut lab.train("run", &[&flags[..], &["3", "--resume"]].concat()), 1);
    contains(&message, &["checkpoint run/checkpoints/last.safetensors", "directory"]);
    assert!(lab.bytes(last) == before);
    std::fs::remove_dir(lab.path("run/checkpoints/.last.safetensors.tmp")).unwrap();
    succeeds(&mut lab.train("run", &[&flags[..], &["3", "--resume"]].concat()));
    assert!(lab.bytes(last) == lab.bytes("whole/checkpoints/last.safetensors"));
    assert_eq!(lab.metrics("run"), lab.metrics("whole"));
}
