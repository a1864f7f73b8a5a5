//! Small C++ programs that show whether the compiler, and libtorch with it, works.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Needs the C++17 standard library, not only the language.
const CPP17: &str = "\
#include <string_view>
int main() { if constexpr (sizeof(void*) >= 4) { return std::string_view(\"a\").size() - 1; } }
";

/// Includes a header, calls into the library, prints the version of the headers.
const LIBTORCH: &str = "\
#include <ATen/Parallel.h>
#include <torch/headeronly/version.h>
#include <cstdio>
int main() { return std::printf(\"%s\\n\", at::get_num_threads() > 0 ? TORCH_VERSION : \"\") > 1 ? 0 : 1; }
";

/// The C++ compiler that the build scripts will call: `CXX` of the environment, or `c++`.
pub fn compiler() -> OsString {
    env::var_os("CXX").filter(|program| !program.is_empty()).unwrap_or_else(|| "c++".into())
}

/// The first line of what `compiler` says about itself.
///
/// # Errors
/// There is no such program, or it cannot compile a C++17 program.
pub fn cpp17(compiler: &OsString) -> Result<String> {
    let output = Command::new(compiler)
        .arg("--version")
        .output()
        .with_context(|| format!("cannot run {}", compiler.display()))?;
    build_and_run(compiler, CPP17, &[])?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Compiles and runs a program that calls the libtorch in `folder`, and returns the version that it
/// prints.
///
/// # Errors
/// It does not compile, link, load or run; the message has what was said.
pub fn libtorch(compiler: &OsString, folder: &Path) -> Result<String> {
    let (include, lib) = (folder.join("include"), folder.join("lib"));
    let mut rpath = OsString::from("-Wl,-rpath,");
    rpath.push(&lib);
    let arguments = ["-I".into(), include.into(), "-L".into(), lib.into(), rpath, "-ltorch_cpu".into(), "-lc10".into()];
    build_and_run(compiler, LIBTORCH, &arguments)
}

/// Compiles `source` with `arguments` behind it, runs it and returns what it prints.
fn build_and_run(compiler: &OsString, source: &str, arguments: &[OsString]) -> Result<String> {
    let folder = Scratch::new()?;
    let (file, program) = (folder.0.join("probe.cpp"), folder.0.join("probe"));
    fs::write(&file, source).with_context(|| format!("cannot write {}", file.display()))?;
    let mut compile = Command::new(compiler);
    compile.arg("-std=c++17").arg(&file).args(arguments).arg("-o").arg(&program);
    output_of(&mut compile).context("a test program does not compile")?;
    output_of(&mut Command::new(&program)).context("a test program does not run")
}

/// What `command` prints.
///
/// # Errors
/// It cannot be started or fails; the message has the first lines of its errors.
fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let first: Vec<&str> = errors.lines().take(3).collect();
        bail!("{}: {}", output.status, first.join(" | "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A folder of its own below the system's temporary one, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let folder = env::temp_dir().join(format!("imbalance-toolkit-probe-{}", std::process::id()));
        // `create_dir` fails if another user has put something there.
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover in the temporary folder harms nobody, and there is no one to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_is_not_there_is_named() {
        let error = cpp17(&"no-such-compiler".into()).unwrap_err();
        assert!(format!("{error:#}").contains("cannot run no-such-compiler"), "{error:#}");
    }

    #[test]
    fn a_failing_command_is_reported_with_its_first_lines() {
        let mut command = Command::new("sh");
        command.args(["-c", "for n in 1 2 3 4; do echo line $n >&2; done; exit 3"]);
        let error = output_of(&mut command).unwrap_err().to_string();
        assert_eq!(error, "exit status: 3: line 1 | line 2 | line 3");
    }
}
