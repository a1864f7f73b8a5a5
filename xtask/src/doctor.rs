//! `cargo xtask doctor`: every requirement, what was found, and what to do about what is missing.

use std::env;
use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::libtorch::{self, Libtorch, Need};
use crate::places;
use crate::probe;
use crate::python::{self, Pip};
use crate::system;
use crate::version::{self, LIBTORCH, Version};

/// Megabytes that a debug and a release build of everything take together, rounded up.
const BUILD_MEGABYTES: u64 = 6_000;

/// What a finding means for the toolkit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Required and there.
    Good,
    /// Required and not there, or unusable.
    Missing,
    /// Not required.
    Note,
}

/// One line of the report.
#[derive(Debug)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    detail: String,
    remedy: Option<String>,
}

impl Finding {
    fn good(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(what, Verdict::Good, detail)
    }

    fn missing(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(what, Verdict::Missing, detail)
    }

    fn note(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(what, Verdict::Note, detail)
    }

    fn new(what: &'static str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { what, verdict, detail: detail.into(), remedy: None }
    }

    /// Adds what to do about it.
    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Good => "ok",
            Verdict::Missing => "MISSING",
            Verdict::Note => "note",
        };
        write!(f, "{verdict:<8}{:<16}{}", self.what, self.detail)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n{:<24}-> {remedy}", "")?;
        }
        Ok(())
    }
}

/// Prints the report. Returns exit code 1 if something required is missing.
pub fn run() -> u8 {
    let libtorch = find_libtorch();
    let usable = libtorch.as_ref().ok();
    let mut findings = vec![rust(), rust_components()];
    let compiler = cpp_compiler();
    let compiles = compiler.verdict == Verdict::Good;
    findings.extend([compiler, python_and_pip(usable.is_some())]);
    findings.extend(libtorch_findings(&libtorch, compiles));
    findings.extend(environment());
    findings.extend([gpu(usable), plugins(), cpu(), disk_space(usable.is_some())]);
    let mut missing = 0;
    for finding in &findings {
        println!("{finding}");
        missing += usize::from(finding.verdict == Verdict::Missing);
    }
    println!();
    match missing {
        0 => println!("Everything that is required is there."),
        1 => println!("1 requirement is missing."),
        n => println!("{n} requirements are missing."),
    }
    u8::from(missing > 0)
}

fn rust() -> Finding {
    const NEEDED: &str = env!("CARGO_PKG_RUST_VERSION");
    let Some(found) = output("rustc", &["--version"]).and_then(|text| version::first_in(&text)) else {
        return Finding::missing("rustc", "cannot be run").remedy("install Rust: https://rustup.rs");
    };
    let detail = format!("{found} ({NEEDED} or later is needed)");
    match NEEDED.parse::<Version>() {
        Ok(needed) if found < needed => Finding::missing("rustc", detail).remedy("rustup update stable"),
        _ => Finding::good("rustc", detail),
    }
}

fn rust_components() -> Finding {
    let absent: Vec<&str> = [("rustfmt", "fmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(_, command)| output("cargo", &[command, "--version"]).is_none())
        .map(|(component, _)| component)
        .collect();
    if absent.is_empty() {
        return Finding::note("rustfmt, clippy", "present");
    }
    let absent = absent.join(" ");
    Finding::note("rustfmt, clippy", format!("not installed: {absent} (only .ci/run needs them)"))
        .remedy(format!("rustup component add {absent}"))
}

fn cpp_compiler() -> Finding {
    let compiler = probe::compiler();
    match probe::cpp17(&compiler) {
        Ok(version) => Finding::good("C++ compiler", format!("{version}, compiles C++17")),
        Err(error) => Finding::missing("C++ compiler", format!("{}: {error:#}", compiler.display())).remedy(
            "install one (Debian and Ubuntu: apt install g++; Fedora: dnf install gcc-c++) \
                 or set CXX to one",
        ),
    }
}

/// Needed to fetch libtorch, hence not once there is one.
fn python_and_pip(have_libtorch: bool) -> Finding {
    const WHAT: &str = "Python and pip";
    match Pip::find() {
        Ok(pip) => {
            let python = python::version(&pip.python).unwrap_or_default();
            let detail = format!("{python}, pip {}", pip.version);
            Finding::good(WHAT, detail)
        }
        Err(error) if have_libtorch => Finding::note(WHAT, format!("{error:#}; not needed, as libtorch is there")),
        Err(error) => Finding::missing(WHAT, format!("{error:#}")),
    }
}

/// The libtorch that a build takes: LIBTORCH of the environment, or else the link.
fn find_libtorch() -> Result<Libtorch, String> {
    let (name, folder) = match places::libtorch_of_environment() {
        Some(folder) => ("LIBTORCH", folder),
        None => (".libtorch", places::link()),
    };
    libtorch::inspect(&folder, Need::Cpu).map_err(|reason| format!("{name} ({}): {reason}", folder.display()))
}

fn libtorch_findings(found: &Result<Libtorch, String>, compiles: bool) -> Vec<Finding> {
    let mut findings = vec![link()];
    match found {
        Err(reason) => findings.push(Finding::missing("libtorch", reason.as_str()).remedy(if env_names_libtorch() {
            format!("let LIBTORCH name a libtorch {LIBTORCH}, or unset it and: cargo xtask setup")
        } else {
            "cargo xtask setup".to_owned()
        })),
        Ok(libtorch) => {
            findings.push(Finding::good("libtorch", libtorch.description()));
            // Without a compiler there is one finding about that already.
            if compiles {
                findings.push(loads(libtorch));
            }
        }
    }
    findings
}

fn env_names_libtorch() -> bool {
    places::libtorch_of_environment().is_some()
}

fn loads(libtorch: &Libtorch) -> Finding {
    const WHAT: &str = "libtorch works";
    match probe::libtorch(&probe::compiler(), &libtorch.folder) {
        Ok(version) => {
            Finding::good(WHAT, format!("a C++ program compiles, links, loads and runs with it ({version})"))
        }
        Err(error) => Finding::missing(WHAT, format!("{error:#}"))
            .remedy("if set-up fetched this libtorch, delete its folder; then: cargo xtask setup --force"),
    }
}

fn link() -> Finding {
    let link = places::link();
    let detail = match (link.symlink_metadata(), link.read_link()) {
        (Err(_), _) => "there is none".to_owned(),
        (Ok(_), Err(_)) => "a folder of its own".to_owned(),
        (Ok(_), Ok(target)) if link.is_dir() => format!("-> {}", target.display()),
        (Ok(_), Ok(target)) => format!("-> {}, which is not there", target.display()),
    };
    Finding::note(".libtorch", detail)
}

/// Variables that make torch-sys take another libtorch than the one reported.
fn environment() -> Vec<Finding> {
    let diverting = ["LIBTORCH_USE_PYTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_LIB", "LIBTORCH_STATIC"];
    let mut findings: Vec<Finding> = diverting
        .into_iter()
        .filter_map(|name| Some((name, env::var_os(name)?)))
        .map(|(name, value)| {
            let detail = format!("{name}={} makes torch-sys look elsewhere", value.display());
            Finding::note("environment", detail).remedy(format!("unset {name}"))
        })
        .collect();
    if let Some(folder) = places::libtorch_of_environment() {
        let detail = format!("LIBTORCH={} is used instead of .libtorch", folder.display());
        findings.push(Finding::note("environment", detail));
    }
    findings
}

fn gpu(libtorch: Option<&Libtorch>) -> Finding {
    const WHAT: &str = "GPU";
    let gpus = system::nvidia_gpus();
    if gpus.is_empty() {
        return Finding::note(WHAT, "no NVIDIA GPU found (nvidia-smi); training runs on the CPU");
    }
    let gpus = gpus.join("; ");
    let Some(libtorch) = libtorch else {
        return Finding::note(WHAT, gpus);
    };
    let usable = if libtorch.cuda_build {
        libtorch::require_loadable(&libtorch.folder, "torch_cuda")
    } else {
        Err(libtorch::Unusable::NoCuda)
    };
    match usable {
        Ok(()) => Finding::note(WHAT, format!("{gpus}; libtorch can use it")),
        Err(reason) => Finding::note(WHAT, format!("{gpus}; libtorch cannot use it: {reason}"))
            .remedy("cargo xtask setup --cuda --force"),
    }
}

fn plugins() -> Finding {
    let found: Vec<String> = ["release", "debug"]
        .into_iter()
        .map(|profile| {
            let names = plugins_in(&places::target().join(profile));
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!("{profile}: {names}")
        })
        .collect();
    Finding::note("plugins built", found.join("; "))
}

/// The losses whose plugin lies in `folder`, in alphabetical order.
fn plugins_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = folder.read_dir() else {
        return Vec::new();
    };
    let prefix = format!("{}toolkit_loss_", env::consts::DLL_PREFIX);
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let id = name.strip_prefix(&prefix)?;
            Some(id.strip_suffix(env::consts::DLL_SUFFIX)?.replace('_', "-"))
        })
        .collect();
    names.sort();
    names
}

fn cpu() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let features = match system::cpu_features() {
        Some(features) => features.join(" "),
        None => "features unknown".to_owned(),
    };
    Finding::note("CPU", format!("{cores} cores; {features}"))
}

fn disk_space(have_libtorch: bool) -> Finding {
    const WHAT: &str = "disk space";
    let checkout = places::checkout();
    let Some(free) = system::free_megabytes(&checkout) else {
        return Finding::note(WHAT, "unknown");
    };
    let detail = format!("{free} MB free in {}", checkout.display());
    if free >= BUILD_MEGABYTES {
        return Finding::good(WHAT, detail);
    }
    // What is built already is not asked for again.
    let have_build = places::target().join("release").is_dir();
    let finding =
        if have_libtorch && have_build { Finding::note(WHAT, detail) } else { Finding::missing(WHAT, detail) };
    finding.remedy(format!(
        "a debug and a release build take up to {BUILD_MEGABYTES} MB; CARGO_TARGET_DIR may name \
         a folder on another disk"
    ))
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtorch::fake::{TempFolder, write};

    #[test]
    fn only_plugins_are_listed_under_the_id_of_their_loss() {
        let temp = TempFolder::new("plugins");
        for name in ["focal", "cross_entropy"] {
            let file = format!("{}toolkit_loss_{name}{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
            write(&temp.0.join(file), "");
        }
        write(&temp.0.join("libtoolkit_loss_focal.d"), "");
        write(&temp.0.join("toolkit"), "");
        assert_eq!(plugins_in(&temp.0), ["cross-entropy", "focal"]);
        assert!(plugins_in(&temp.0.join("nowhere")).is_empty());
    }

    #[test]
    fn the_remedy_stands_below_what_is_missing() {
        let finding = Finding::missing("libtorch", "there is none").remedy("cargo xtask setup");
        assert_eq!(
            finding.to_string(),
            "MISSING libtorch        there is none\n                        -> cargo xtask setup"
        );
    }
}
