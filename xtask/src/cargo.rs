//! Calling cargo, and building and running the toolkit.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::places;

/// Cargo in the checkout's root, with the environment that the user gave xtask.
pub fn command() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(places::checkout());
    restore_environment(&mut command);
    // Relative to where the user is, not to the root.
    if let Some(folder) = env::var_os("CARGO_TARGET_DIR")
        && let Ok(absolute) = std::path::absolute(folder)
    {
        command.env("CARGO_TARGET_DIR", absolute);
    }
    command
}

/// The exit code to pass on for `status`: as a shell does, 128 + n for a program ended by signal n.
pub fn exit_code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(1);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Builds the toolkit and the plugins in release mode, then becomes the toolkit with `args` (on Unix;
/// elsewhere runs it). Returns an exit code if the toolkit was not reached or is done.
///
/// # Errors
/// Cargo or the toolkit cannot be started.
pub fn run_toolkit(args: &[OsString]) -> Result<u8> {
    let program = match build_release()? {
        Ok(program) => program,
        Err(status) => {
            eprintln!("`cargo xtask doctor` tells what the build needs and what is missing.");
            return Ok(exit_code(status));
        }
    };
    let mut toolkit = Command::new(&program);
    toolkit.args(args);
    restore_environment(&mut toolkit);
    become_program(toolkit).with_context(|| format!("cannot run {}", program.display()))
}

#[cfg(unix)]
fn become_program(mut command: Command) -> io::Result<u8> {
    // Returns only if it fails.
    Err(std::os::unix::process::CommandExt::exec(&mut command))
}

#[cfg(not(unix))]
fn become_program(mut command: Command) -> io::Result<u8> {
    command.status().map(exit_code)
}

/// `cargo build --release` of the default members (all but xtask): the toolkit's path, or cargo's
/// failure. Cargo's messages go to standard error, save for the one that there was nothing to do.
pub fn build_release() -> Result<Result<PathBuf, ExitStatus>> {
    let mut cargo = command();
    cargo
        .args(["build", "--release", "--message-format=json-render-diagnostics"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if io::stderr().is_terminal() {
        // Cargo sees a pipe; this gives the progress bar and the colours of a terminal.
        let defaults = [("CARGO_TERM_PROGRESS_WHEN", "always"), ("CARGO_TERM_PROGRESS_WIDTH", "80")];
        let colour = [("CARGO_TERM_COLOR", "always")];
        let colour = colour.into_iter().filter(|_| env::var_os("NO_COLOR").is_none());
        for (name, value) in defaults.into_iter().chain(colour) {
            if env::var_os(name).is_none() {
                cargo.env(name, value);
            }
        }
    }
    let mut child = cargo.spawn().context("cannot start cargo")?;
    let messages = child.stderr.take().map(|stderr| thread::spawn(|| forward(stderr)));
    let artifacts = child.stdout.take().context("cargo has no output")?;
    let mut program = None;
    for line in BufReader::new(artifacts).lines() {
        program = line.ok().and_then(|line| executable(&line)).or(program);
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if let Some(messages) = messages {
        // It fails only if standard error is closed, and then there is nobody to tell.
        let _ = messages.join();
    }
    match (status.success(), program) {
        (false, _) => Ok(Err(status)),
        (true, Some(program)) => Ok(Ok(program)),
        (true, None) => bail!("cargo built no program named `toolkit`"),
    }
}

/// Copies cargo's messages to standard error as they come, line by line (a progress bar is a line that ends in a
/// carriage return), without `Finished …` if that is all there is.
fn forward(messages: ChildStderr) -> io::Result<()> {
    let mut line = Vec::new();
    let mut silent = true;
    for byte in BufReader::new(messages).bytes() {
        line.push(byte?);
        if matches!(line.last(), Some(b'\n' | b'\r')) {
            if !(silent && says_finished(&line)) {
                silent = false;
                io::stderr().write_all(&line)?;
            }
            line.clear();
        }
    }
    io::stderr().write_all(&line)
}

/// Whether a line of cargo's is the closing one, whatever its colours.
fn says_finished(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    let mut plain = String::new();
    let mut parts = text.split("\u{1b}[");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        // An escape sequence ends with its first letter.
        let end = part.find(|c: char| c.is_ascii_alphabetic());
        plain.push_str(end.map_or("", |end| &part[end + 1..]));
    }
    plain.trim_start().starts_with("Finished")
}

/// The path of the toolkit's program in one of cargo's JSON messages, if it tells one.
fn executable(message: &str) -> Option<PathBuf> {
    let (_, value) = message.strip_prefix("{\"reason\":\"compiler-artifact\"")?.split_once("\"executable\":\"")?;
    let program = PathBuf::from(json_string(value)?);
    (program.file_stem() == Some(OsStr::new("toolkit"))).then_some(program)
}

/// The JSON string that `text` starts within, up to its closing quote. Paths have no other escapes
/// than these, as cargo writes what is not ASCII as it is.
fn json_string(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => match chars.next()? {
                c @ ('"' | '\\' | '/') => value.push(c),
                't' => value.push('\t'),
                _ => return None,
            },
            c => value.push(c),
        }
    }
}

/// Takes out what cargo sets for a program that it runs, so that a build started from here has the
/// environment of one started by hand. LIBTORCH in particular: it is part of torch-sys's fingerprint, and
/// compiling that takes a minute.
fn restore_environment(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        let of_package = name_text.starts_with("CARGO_PKG_")
            || name_text.starts_with("CARGO_MANIFEST_")
            || matches!(&*name_text, "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE");
        if of_package {
            command.env_remove(name);
        }
    }
    if places::libtorch_of_environment().is_none() {
        command.env_remove("LIBTORCH");
    }
    let Some(paths) = env::var_os("LD_LIBRARY_PATH") else {
        return;
    };
    let kept: Vec<PathBuf> = env::split_paths(&paths)
        .filter(|folder| !is_of_cargo(folder, &places::target(), toolchain().as_deref()))
        .collect();
    match env::join_paths(&kept) {
        Ok(paths) if !kept.is_empty() => command.env("LD_LIBRARY_PATH", paths),
        _ => command.env_remove("LD_LIBRARY_PATH"),
    };
}

/// The folder that has `bin/cargo`.
fn toolchain() -> Option<PathBuf> {
    let cargo = PathBuf::from(env::var_os("CARGO")?);
    Some(cargo.parent()?.parent()?.to_owned())
}

/// Whether `folder` of LD_LIBRARY_PATH was put there by cargo or rustup: a build folder, or one of the
/// toolchain's libraries.
fn is_of_cargo(folder: &Path, target: &Path, toolchain: Option<&Path>) -> bool {
    folder.starts_with(target)
        || toolchain.is_some_and(|toolchain| {
            let libraries = toolchain.join("lib");
            folder == libraries || folder.starts_with(libraries.join("rustlib"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_toolkit_is_found_among_the_messages() {
        let artifact = |executable: &str| {
            format!(
                "{{\"reason\":\"compiler-artifact\",\"package_id\":\"x\",\"filenames\":[],\
                 \"executable\":{executable},\"fresh\":true}}"
            )
        };
        let found = |executable_json: &str| executable(&artifact(executable_json));
        assert_eq!(
            found("\"/my \\\"code\\\"/ü/release/toolkit\""),
            Some(PathBuf::from("/my \"code\"/ü/release/toolkit"))
        );
        assert_eq!(found("\"/a/release/build-script-build\""), None);
        assert_eq!(found("null"), None);
        assert_eq!(executable("{\"reason\":\"build-finished\",\"success\":true}"), None);
    }

    #[test]
    fn the_closing_line_is_known_in_colour() {
        let coloured = b"\x1b[1m\x1b[92m    Finished\x1b[0m `release` profile in 0.09s\n";
        assert!(says_finished(coloured));
        assert!(says_finished(b"    Finished `release` profile in 0.09s\n"));
        assert!(!says_finished(b"   Compiling finished v0.1.0\n"));
        assert!(!says_finished(b"\x1b[1m\x1b[92m   Compiling\x1b[0m a\n"));
    }

    #[test]
    fn only_the_folders_of_cargo_leave_the_library_path() {
        let target = Path::new("/code/target");
        let toolchain = Some(Path::new("/rust/toolchains/stable"));
        for (folder, expected) in [
            ("/code/target/debug/deps", true),
            ("/rust/toolchains/stable/lib/rustlib/x86_64-unknown-linux-gnu/lib", true),
            ("/opt/cuda/lib64", false),
            ("/code/target-of-mine", false),
        ] {
            assert_eq!(is_of_cargo(Path::new(folder), target, toolchain), expected, "{folder}");
        }
        assert!(!is_of_cargo(Path::new("/rust/toolchains/stable/lib"), target, None));
    }
}
