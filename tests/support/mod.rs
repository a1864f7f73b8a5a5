//! What the tests of the command line share: the real binary with its plugins beside it, plugins in C, small
//! data, and a folder to train in.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
#[cfg(feature = "training")]
use std::process::Stdio;
use std::sync::Once;

use assert_cmd::cargo::cargo_bin;
use imbalance_core::host::file_name;
use tempfile::TempDir;

/// A command, and what is expected of it.
pub type Command = assert_cmd::Command;

/// The losses that come with the toolkit, by id.
pub const LOSSES: [&str; 3] = ["cross-entropy", "eureka", "focal"];

/// The toolkit with its plugins built beside it.
pub fn toolkit() -> Command {
    Command::from_std(process(&program()))
}

/// The real binary, once its plugins are there: no test links them, so plain `cargo test` does not build them.
pub fn program() -> PathBuf {
    static PLUGINS: Once = Once::new();
    PLUGINS.call_once(|| {
        let packages = LOSSES.map(|id| format!("--package=toolkit-loss-{id}"));
        cargo(&["build", "--quiet"], &packages);
    });
    cargo_bin!("toolkit").to_owned()
}

/// A folder with the plugins of the workspace and no others, all of them built.
pub fn every_plugin() -> TempDir {
    let crates = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/plugins")).unwrap();
    let ids: Vec<String> = crates.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let packages: Vec<String> = ids.iter().map(|id| format!("--package=toolkit-loss-{id}")).collect();
    cargo(&["build", "--quiet"], &packages);
    let folder = folder_beside_build();
    for id in ids {
        std::fs::hard_link(plugin(&id), folder.path().join(file_name(&id))).unwrap();
    }
    folder
}

/// `program` in an environment that names no plugins.
pub fn process(program: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command.env_remove("TOOLKIT_PLUGIN_PATH").env("NO_COLOR", "1");
    // The user's own plugins are no part of the tests.
    command.env("XDG_DATA_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-data"));
    // Tests run side by side; libtorch's threads would otherwise spend their time spinning at barriers.
    command.env("OMP_WAIT_POLICY", "passive");
    command
}

/// Runs cargo with the profile and the target folder of these tests.
fn cargo(words: &[&str], more: &[String]) {
    let folder = cargo_bin!("toolkit").parent().unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut command = std::process::Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(words).args(more).arg("--target-dir").arg(target);
    // <target>/[<triple>/]<profile>, where the folder of `dev` is named `debug`.
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let profile = name(folder);
    command.args(["--profile", if profile == "debug" { "dev" } else { &profile }]);
    let above = folder.parent().unwrap();
    if name(above) != name(target) {
        command.args(["--target", &name(above)]);
    }
    assert!(command.status().unwrap().success(), "{command:?} failed");
}

/// A copy of the toolkit, alone in a folder that is no build folder, so that no plugins come with it.
pub fn toolkit_alone(folder: &Path) -> PathBuf {
    let to = folder.join("toolkit");
    std::fs::hard_link(cargo_bin!("toolkit"), &to).unwrap();
    to
}

/// A folder on the file system of the build.
pub fn folder_beside_build() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// The built plugin of `id`.
pub fn plugin(id: &str) -> PathBuf {
    program().with_file_name(file_name(id))
}

/// A folder that holds a copy of `file` as the plugin of `id`.
pub fn plugin_folder(id: &str, file: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(file, folder.path().join(file_name(id))).unwrap();
    folder
}

/// The library that gives a process of the toolkit GPUs which are in truth the processor; see its documentation.
pub fn simulated_gpu() -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| cargo(&["build", "--quiet", "--package=simulated-gpu"], &[]));
    program().with_file_name("libsimulated_gpu.so")
}

/// `core/examples/panicking_loss.rs`, built, as the plugin of its id `panicking-loss`.
pub fn panicking_plugin() -> TempDir {
    cargo(&["build", "--quiet", "--package=imbalance-core", "--example=panicking_loss"], &[]);
    plugin_folder("panicking-loss", &program().with_file_name("examples").join("libpanicking_loss.so"))
}

/// A folder with the plugin of `id` made from a source of `core/tests/plugins`.
pub fn c_plugin(id: &str, source: &str, define: &str) -> TempDir {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/tests/plugins").join(source);
    compiled(id, &source, define)
}

/// A folder with the plugin of `id` made from a worked example of `examples/plugins`.
pub fn example_plugin(id: &str, source: &str) -> TempDir {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plugins").join(source);
    compiled(id, &source, "UNUSED")
}

/// A folder with the plugin of `id` made from this C.
pub fn c_plugin_of(id: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("plugin.c");
    std::fs::write(&source, text).unwrap();
    compiled(id, &source, "UNUSED")
}

fn compiled(id: &str, source: &Path, define: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (variable, default, standard) = match source.extension().and_then(|extension| extension.to_str()) {
        Some("cpp") => ("CXX", "c++", "-std=c++17"),
        _ => ("CC", "cc", "-std=c11"),
    };
    let compiler = std::env::var_os(variable).unwrap_or_else(|| default.into());
    let status = std::process::Command::new(&compiler)
        .args([standard, "-O2", "-shared", "-fPIC", "-D", define, "-I"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/core/include"))
        .arg(source)
        .args(["-lm", "-o"])
        .arg(folder.path().join(file_name(id)))
        .status()
        .unwrap_or_else(|error| panic!("{}: {error}; the tests need a compiler", compiler.display()));
    assert!(status.success(), "{} does not compile", source.display());
    folder
}

/// Runs, expects exit code `code` and nothing on standard output, and returns the message.
#[track_caller]
pub fn fails(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    message
}

/// Runs, expects success, and returns standard output.
#[track_caller]
pub fn succeeds(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

/// Runs, expects success, and returns standard output as JSON.
#[track_caller]
pub fn json(command: &mut Command) -> serde_json::Value {
    serde_json::from_str(&succeeds(command)).unwrap()
}

/// Every one of `parts` is in `text`.
#[track_caller]
pub fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// Names in `folder`, sorted.
pub fn entries(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// A model that trains in a moment.
const TINY: [&str; 13] = [
    "--data",
    "data",
    "--epochs",
    "2",
    "--defer-epochs",
    "0",
    "--patience",
    "0",
    "--batch-size",
    "8",
    "--threads",
    "1",
    "--quiet",
];

/// The sizes of an LSTM, which a GPT-2 has not.
const SMALL: [&str; 6] = ["--hidden", "16", "--embedding", "8", "--layers", "1"];

/// The flags of a tiny model's training into the folder `run`; later flags beat its own.
fn tiny<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let sizes: &[&str] = if more.contains(&"gpt2") { &[] } else { &SMALL };
    [&TINY, sizes, &["--run", run], more].concat()
}

/// A folder with a small corpus in `data/`, to train in.
pub struct Lab(TempDir);

impl Lab {
    /// 24 dialogues to train on, 6 to validate with, 4 to test with.
    pub fn new() -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(lab.path("data")).unwrap();
        for (split, dialogues) in [("train", 0..24), ("valid", 24..30), ("test", 30..34)] {
            std::fs::write(lab.path(&format!("data/{split}.txt")), corpus(dialogues)).unwrap();
        }
        lab
    }

    /// A file or folder of this one.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file's text.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A file's bytes.
    #[track_caller]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A file's JSON.
    #[track_caller]
    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    /// The lines of a run's `metrics.jsonl`, without the times.
    pub fn metrics(&self, run: &str) -> Vec<serde_json::Value> {
        let without_times = |line: &str| {
            let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
            record.as_object_mut().unwrap().shift_remove("seconds").unwrap();
            record
        };
        self.text(&format!("{run}/metrics.jsonl")).lines().map(without_times).collect()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Names in this folder.
    pub fn entries(&self) -> Vec<OsString> {
        entries(self.0.path())
    }

    /// The toolkit, run in this folder.
    pub fn toolkit(&self, words: &[&str]) -> Command {
        let mut command = toolkit();
        command.current_dir(self.0.path()).args(words);
        command
    }

    /// A training of a tiny model into the folder `run`; later flags beat its own.
    pub fn train(&self, run: &str, more: &[&str]) -> Command {
        let mut command = self.toolkit(&["dialogue"]);
        command.args(tiny(run, more));
        command
    }

    /// The same training as a process of its own, its standard error to be read. It hears of Ctrl-C even where these tests were
    /// started with SIGINT ignored.
    #[cfg(feature = "training")]
    pub fn start(&self, run: &str, more: &[&str]) -> std::process::Child {
        use std::os::unix::process::CommandExt as _;

        let mut command = process(&program());
        command.current_dir(self.0.path()).arg("dialogue").args(tiny(run, more));
        // SAFETY: the closure makes one system call between fork and exec and touches no memory.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(())
            });
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Dialogues in ConvAI2's numbered lines: a persona and two exchanges each, which their number decides.
pub fn corpus(dialogues: std::ops::Range<usize>) -> String {
    let animals = ["cat", "dog", "bird", "fish", "horse", "cow", "goat"];
    let verbs = ["like", "feed", "own", "draw", "miss"];
    let dialogue = |number: usize| {
        let (animal, verb) = (animals[number % animals.len()], verbs[number % verbs.len()]);
        format!(
            "1 your persona: i {verb} my {animal} .\n\
             2 hello , what do you {verb} ?\ti {verb} my {animal} !\n\
             3 is the {animal} yours ?\tyes , the {animal} is mine .\n"
        )
    };
    dialogues.map(dialogue).collect()
}

/// The float32 numbers of all tensors of a safetensors file whose names start with `prefix`.
pub fn tensors(file: &[u8], prefix: &str) -> Vec<f32> {
    let (header, data) = safetensors(file);
    let named = header.as_object().unwrap().iter().filter(|(name, _)| name.starts_with(prefix));
    let bytes = named.flat_map(|(_, info)| {
        assert_eq!(info["dtype"], "F32");
        &data[offset(info, 0)..offset(info, 1)]
    });
    let bytes: Vec<u8> = bytes.copied().collect();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

/// The header of a safetensors file, and its data.
pub fn safetensors(file: &[u8]) -> (serde_json::Value, &[u8]) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&file[8..8 + length]).unwrap(), &file[8 + length..])
}

fn offset(info: &serde_json::Value, end: usize) -> usize {
    info["data_offsets"][end].as_u64().unwrap() as usize
}
