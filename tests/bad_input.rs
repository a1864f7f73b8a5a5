//! Everything that a training may be given by mistake: the exit code, what is said, and that nothing
//! half-written is left.
#![cfg(feature = "training")]

mod support;

use support::{Lab, c_plugin, c_plugin_of, contains, fails, plugin_folder, succeeds};

/// A training that must fail without a trace.
#[track_caller]
fn refused(lab: &Lab, code: i32, flags: &[&str], parts: &[&str]) {
    let before = lab.entries();
    contains(&fails(&mut lab.train("run", flags), code), parts);
    assert_eq!(lab.entries(), before, "{flags:?} left something behind");
}

#[test]
fn data_that_are_not_there() {
    let lab = Lab::new();
    refused(&lab, 1, &["--data", "nowhere"], &["nowhere: no such file or folder", "`N text<TAB>reply`"]);
    refused(&lab, 1, &["--data", "data/train.txt"], &["data/train.txt: is a file", "folder"]);
    lab.write("data/train.txt", "");
    refused(&lab, 1, &[], &["data/train.txt: the file is empty", "`N text<TAB>reply`"]);
    std::fs::remove_file(lab.path("data/train.txt")).unwrap();
    refused(&lab, 1, &[], &["no file for the train split", "found: test.txt, valid.txt"]);
}

#[test]
fn lines_that_are_no_dialogue() {
    let lab = Lab::new();
    for (content, parts) in [
        (&b"1 a\tb\nhello\tyou\n"[..], ["data/train.txt:2: no line number", "`N text<TAB>reply`"]),
        (b"1 a\tb\n2 c d\n", ["data/train.txt:2: no tab", "`N text<TAB>reply`"]),
        (b"1 a\tb\n3 c\td\n", ["data/train.txt:2: line number 3", "2 continues the dialogue"]),
        (b"1 a\tb\n2 caf\xe9\td\n", ["data/train.txt:2: invalid UTF-8 at byte 6", "convert the file"]),
    ] {
        lab.write("data/train.txt", content);
        refused(&lab, 1, &[], &parts);
    }
    lab.write("data/train.jsonl", "{\"turns\": [\"hi\", \"hello\"]}\n{\"turns\": 3}\n");
    let files = ["--train-data", "data/train.jsonl", "--valid-data", "data/valid.txt"];
    let mut command = lab.toolkit(&["dialogue", "--run", "run"]);
    contains(&fails(command.args(files), 1), &["data/train.jsonl:2: ", "turns"]);
}

#[test]
fn word_vectors_that_do_not_fit() {
    let lab = Lab::new();
    for (content, part) in [
        ("the 1 2 3\ncat 1 2\n", "glove.txt:2: 2 numbers after the word, where the first row has 3"),
        ("the 1 2\ncat 1 x\n", "glove.txt:2:7: \"x\" is not a finite number"),
        ("", "glove.txt: the file is empty; expected word vectors"),
    ] {
        lab.write("glove.txt", content);
        refused(&lab, 1, &["--glove", "glove.txt"], &[part]);
    }
    refused(&lab, 1, &["--glove", "nowhere"], &["nowhere: no such file", "rows of `word v1 … vd`"]);
}

#[test]
fn flags_out_of_range() {
    let lab = Lab::new();
    refused(&lab, 2, &["--loss", "eureka", "--beta", "1.5"], &["--beta", "`1.5` is not a number ≥ 0 and < 1"]);
    refused(&lab, 2, &["--dropout", "1"], &["--dropout", "from 0 to below 1"]);
    refused(&lab, 2, &["--lr", "-1"], &["--lr", "above 0"]);
    refused(&lab, 2, &["--top-p", "2"], &["--top-p 2", "at most 1"]);
    refused(&lab, 2, &["--defer-epochs", "2"], &["--defer-epochs 2", "--epochs 2", "smaller"]);
    refused(&lab, 2, &["--train-data", "x"], &["--data", "cannot be used with", "--train-data"]);
    let half = ["--device", "cpu", "--precision", "float16"];
    refused(&lab, 2, &half, &["--precision float16", "float32 or bfloat16"]);
    let all = ["--freeze", "encoder,decoder,embedding,output"];
    refused(&lab, 2, &all, &["--freeze encoder,decoder,embedding,output leaves no variable to train"]);
}

#[test]
fn losses_that_are_not_there_or_not_usable() {
    let lab = Lab::new();
    let unknown = ["no loss `eurka`, did you mean `eureka`?", "found: ", "cross-entropy", "searched: ", "target"];
    refused(&lab, 2, &["--loss", "eurka"], &unknown);
    refused(&lab, 2, &["--base-loss", "eurka"], &unknown);

    // What is found wrong at the first step leaves no run either.
    for (fault, parts) in [(5, ["loss `faulty`", "NaN"]), (6, ["loss `faulty`", "must be written"])] {
        let folder = c_plugin("faulty", "faulty.c", &format!("FAULT={fault}"));
        let folder = folder.path().to_str().unwrap();
        refused(&lab, 1, &["--loss", "faulty", "--plugin-dir", folder], &parts);
    }
    let panicking = support::panicking_plugin();
    let folder = panicking.path().to_str().unwrap();
    refused(&lab, 1, &["--loss", "panicking-loss", "--plugin-dir", folder], &["panicked: asked once too often"]);
    let copy = plugin_folder("wrong", &support::plugin("focal"));
    let folder = copy.path().to_str().unwrap();
    refused(&lab, 2, &["--loss", "wrong", "--plugin-dir", folder], &["says that it is `focal`"]);
}

#[test]
fn a_parameter_that_is_a_flag_already() {
    let lab = Lab::new();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/plugins/c/margin.c");
    let text = std::fs::read_to_string(source).unwrap();
    // One of the front-end, and one that every command has.
    for name in ["epochs", "help"] {
        let folder = c_plugin_of("c-margin", &text.replace("largest-margin", name));
        let there = folder.path().to_str().unwrap();
        let flags = ["--loss", "c-margin", "--plugin-dir", there];
        refused(&lab, 2, &flags, &["loss `c-margin`", &format!("parameter `{name}`"), "rename it in the plugin"]);
        if name == "help" {
            let plot = ["losses", "plot", "c-margin", "--plugin-dir", there, "--class-counts", "5,1", "-o", "x.svg"];
            contains(&fails(&mut lab.toolkit(&plot), 2), &["parameter `help` has the name of a flag of `plot`"]);
        }
    }
}

#[test]
fn configurations_with_mistakes() {
    let lab = Lab::new();
    for (text, parts) in [
        ("epochs = 1\n\nhiden = 8\n", ["config.toml:3: unknown key `hiden`", "did you mean `hidden`?"]),
        ("epochs = 1\nlr = \"fast\"\n", ["config.toml:2: invalid value 'fast' for '--lr", "above 0"]),
        ("epochs = 2.5\n", ["config.toml:1: invalid value '2.5' for '--epochs", "whole number"]),
        ("attention = \"loud\"\n", ["config.toml:1: invalid value 'loud'", "general"]),
        ("quiet = 3\n", ["config.toml:1: ", "'3' for '--quiet'"]),
        ("[train]\nlr = 1\n", ["config.toml:1: `train` is a table", "flags and their values"]),
        ("epochs = 1\nlr = = 2\n", ["config.toml:2: ", "="]),
        ("lr = 1.0\nlr = 2.0\n", ["config.toml:2: ", "duplicate key"]),
    ] {
        lab.write("config.toml", text);
        refused(&lab, 2, &["--config", "config.toml"], &parts);
    }
    refused(&lab, 2, &["--config", "nowhere"], &["nowhere: cannot be read", "No such file"]);
}

#[test]
fn folders_that_are_no_place_for_a_run() {
    let lab = Lab::new();
    succeeds(&mut lab.train("run", &[]));
    let before = lab.bytes("run/checkpoints/last.safetensors");
    refused(&lab, 2, &[], &["run exists", "--resume", "--overwrite", "another --run"]);
    refused(&lab, 2, &["--resume", "--overwrite"], &["--resume", "--overwrite", "cannot be used with"]);
    // What concerns the steps themselves may not change between them.
    refused(&lab, 2, &["--resume", "--lr", "0.5"], &["other settings: `lr` was 3.0 and is now 0.5"]);
    lab.write("half.toml", "lr = 0.25\n");
    refused(&lab, 2, &["--resume", "--config", "half.toml"], &["other settings: `lr` was 3.0 and is now 0.25"]);
    refused(&lab, 2, &["--resume", "--loss", "focal"], &["other settings: `"]);
    lab.write("data/train.txt", support::corpus(5..29));
    refused(&lab, 2, &["--resume"], &["other settings: ", "data file `train`"]);
    assert_eq!(lab.bytes("run/checkpoints/last.safetensors"), before);

    refused(&lab, 2, &["--run", "data", "--overwrite"], &["data is not a run folder", "will not delete it"]);
    assert!(lab.path("data/valid.txt").exists());
    refused(&lab, 2, &["--run", "new", "--resume"], &["new holds no run to resume", "leave out --resume"]);
    let mut command = lab.toolkit(&["dialogue", "--resume"]);
    contains(&fails(&mut command, 2), &["--run <FOLDER>"]);
}

#[test]
fn a_run_is_replaced_by_one_that_trains_and_by_no_other() {
    let lab = Lab::new();
    succeeds(&mut lab.train("run", &[]));
    let before = lab.text("run/config.toml");
    let plugin = c_plugin("faulty", "faulty.c", "FAULT=5");
    let folder = plugin.path().to_str().unwrap();
    refused(&lab, 1, &["--overwrite", "--loss", "faulty", "--plugin-dir", folder], &["NaN"]);
    refused(&lab, 1, &["--overwrite", "--data", "nowhere"], &["nowhere"]);
    assert_eq!(lab.text("run/config.toml"), before);
    assert!(lab.path("run/results.json").exists());

    succeeds(&mut lab.train("run", &["--overwrite", "--hidden", "12"]));
    contains(&lab.text("run/config.toml"), &["hidden = 12\n"]);
    assert_eq!(lab.entries(), ["data", "run"]);
}

#[test]
fn a_training_that_diverges_keeps_the_last_good_checkpoint() {
    let lab = Lab::new();
    // A derivative that float32 holds, and the weights after it do not; its turn comes after a good epoch.
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/plugins/c/margin.c");
    let text = std::fs::read_to_string(source).unwrap().replace("= -toolkit_p(-m);", "= -1e38;");
    let plugin = c_plugin_of("c-margin", &text.replace("= -toolkit_log_p(m);", "= 1;"));
    let steep = ["--loss", "c-margin", "--plugin-dir", plugin.path().to_str().unwrap(), "--clip-norm", "0"];
    let message = fails(&mut lab.train("run", &[&steep[..], &["--defer-epochs", "1"]].concat()), 1);
    contains(&message, &[" became ", " at step ", " (epoch 2); the last good checkpoint is ", "A smaller --lr"]);
    contains(&message, &["the last good checkpoint is run/checkpoints/last.safetensors"]);
    let weights = support::tensors(&lab.bytes("run/checkpoints/last.safetensors"), "model.");
    assert!(weights.iter().all(|value| value.abs() < 10.0));
    assert!(!lab.path("run/results.json").exists());
    succeeds(&mut lab.toolkit(&["dialogue", "evaluate", "run"]));

    // A rate that float32 does not hold: infinite weights after the first step.
    let fast = ["--lr", "1e39", "--clip-norm", "0"];
    let message = fails(&mut lab.train("other", &fast), 1);
    contains(&message, &["the loss became NaN at step 2 (epoch 1)", "no checkpoint had been written yet"]);
    // It may show in validation first.
    let message = fails(&mut lab.train("third", &[&fast[..], &["--batch-size", "48"]].concat()), 1);
    contains(&message, &["validation: row ", "are not all finite", "the training has diverged", "A smaller --lr"]);
}

#[test]
fn gpt2_with_the_wrong_flags() {
    let lab = Lab::new();
    let gpt2 = |more: &[&'static str]| [&["--model", "gpt2"], more].concat();
    refused(&lab, 2, &gpt2(&[]), &["--gpt2-config FILE", "--gpt2-weights FOLDER"]);
    refused(&lab, 2, &["--gpt2-config", "x"], &["--gpt2-config", "need --model gpt2"]);
    refused(&lab, 2, &gpt2(&["--gpt2-config", "x", "--gpt2-weights", "y"]), &["cannot be used with"]);
    refused(&lab, 2, &gpt2(&["--gpt2-config", "x", "--glove", "y"]), &["--glove is for --model lstm"]);
    refused(&lab, 1, &gpt2(&["--gpt2-config", "nowhere"]), &["nowhere: No such file"]);
    refused(&lab, 1, &gpt2(&["--gpt2-weights", "data"]), &["data/vocab.json: no such file", "tokenizer.json"]);
    for (text, parts) in [
        ("{\n\"n_embd\": \"wide\"}", ["gpt2.json: invalid type", "line 2"]),
        ("{\"n_embd\": 10, \"n_head\": 4}", ["gpt2.json: n_embd is 10", "a multiple of n_head, 4"]),
        ("{\"activation_function\": \"sine\"}", ["activation_function is sine", "gelu_new"]),
    ] {
        lab.write("gpt2.json", text);
        refused(&lab, 1, &gpt2(&["--gpt2-config", "gpt2.json"]), &parts);
    }
    refused(&lab, 2, &gpt2(&["--gpt2-config", "x", "--hidden", "5"]), &["--hidden does nothing with --model gpt2"]);
    // Found before the first step, also where it is the last file that is scored.
    lab.write("gpt2.json", r#"{"n_layer": 1, "n_embd": 8, "n_head": 1, "n_positions": 24}"#);
    let long = |words: usize| format!("1 hello\t{}\n", vec!["yes"; words].join(" "));
    for (file, split, hint) in [("test", "test split", "shorten"), ("train", "train split", "or give --reply-tokens")] {
        lab.write(&format!("data/{file}.txt"), long(30));
        let said = [split, "its longest reply has 31 tokens with its end", "24 positions", hint];
        refused(&lab, 2, &gpt2(&["--gpt2-config", "gpt2.json"]), &said);
    }
}

#[test]
fn damaged_checkpoints() {
    let lab = Lab::new();
    succeeds(&mut lab.train("run", &[]));
    let damage = |name: &str| {
        let mut bytes = lab.bytes(name);
        *bytes.last_mut().unwrap() ^= 1;
        lab.write(name, bytes);
    };
    let (last, previous) = ("run/checkpoints/last.safetensors", "run/checkpoints/previous.safetensors");

    // One damaged file: the run goes on from the one before.
    damage(last);
    let resumed = lab.train("run", &["--resume"]).assert().success().get_output().clone();
    let message = String::from_utf8(resumed.stderr).unwrap();
    contains(&message, &["warning: checkpoint run/checkpoints/last.safetensors is damaged: its checksum", previous]);

    damage(last);
    lab.write(previous, lab.bytes(last));
    refused(&lab, 1, &["--resume"], &[last, previous, "is damaged: its checksum", "--overwrite"]);
    lab.write(last, "no tensors");
    let verb = ["dialogue", "evaluate", "run", "--checkpoint", last];
    contains(&fails(&mut lab.toolkit(&verb), 1), &[last, "is damaged"]);
    damage("run/checkpoints/best.safetensors");
    let message = fails(&mut lab.toolkit(&["dialogue", "generate", "run", "--input", "data/test.txt"]), 1);
    contains(&message, &["run/checkpoints/best.safetensors is damaged"]);
}

#[test]
fn runs_that_cannot_be_used() {
    let lab = Lab::new();
    succeeds(&mut lab.train("run", &[]));
    let verb = |words: &str| lab.toolkit(&["dialogue"]).args(words.split(' ')).output().unwrap();
    let said = |words: &str, code: i32, parts: &[&str]| {
        let output = verb(words);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words}: {message}");
        contains(&message, parts);
    };
    said("evaluate data", 1, &["data is no run folder of `toolkit dialogue`", "data/config.toml"]);
    said("evaluate", 2, &["<RUN>"]);
    said("evaluate run --checkpoint nowhere", 1, &["checkpoint nowhere", "No such file"]);
    said("evaluate run --beam-size 0", 2, &["--beam-size 0", "between 1 and 1024"]);
    said("evaluate run --split all", 2, &["--split", "train, valid, test"]);
    said("evaluate run --data nowhere", 1, &["nowhere: no such file or folder"]);
    said("generate run --input nowhere", 1, &["nowhere: no such file"]);
    said("generate run --input nowhere --messages", 1, &["--input nowhere", "No such file"]);
    said("generate run", 2, &["--input <FILE>"]);
    said("generate run --input data/test.txt --output no/such/file", 1, &["--output no/such/file"]);
    said("generate run --input data/test.txt --output ./data/test.txt", 2, &["is the file of --input"]);

    // The data have gone: what to do is said, and does it.
    std::fs::rename(lab.path("data"), lab.path("moved")).unwrap();
    said("evaluate run", 2, &["the run's data: ", "no such file or folder", "--data"]);
    succeeds(&mut lab.toolkit(&["dialogue", "evaluate", "run", "--data", "moved"]));
    std::fs::remove_file(lab.path("moved/test.txt")).unwrap();
    said("evaluate run --data moved --split test", 2, &["no test split", "--split valid"]);
}
