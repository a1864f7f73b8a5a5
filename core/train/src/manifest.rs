//! What a run was made with: `manifest.json`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::FileError;

const TCH: &str = "0.24.0";

/// A loss plugin that the run used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// Id of the loss.
    pub id: String,
    /// File it was loaded from.
    pub path: PathBuf,
    /// SHA-256 of that file, in hexadecimal.
    pub sha256: String,
}

/// The machine of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Model name of the CPU, as the system gives it.
    pub cpu: String,
    /// CPUs that the process may use.
    pub cpus: usize,
    /// Operating system and architecture.
    pub system: String,
}

/// Another start of the same run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// When, UTC.
    pub time: String,
    /// The command line.
    pub command: Vec<String>,
}

/// Contents of `manifest.json`. [`Manifest::collect`] fills in what the process knows of itself; the caller
/// adds plugins, data and threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the toolkit.
    pub toolkit: String,
    /// Compiler that built it.
    pub rustc: String,
    /// libtorch that is loaded.
    pub libtorch: String,
    /// Rust binding of libtorch.
    pub tch: String,
    /// Seed of the run.
    pub seed: u64,
    /// CPU threads of libtorch.
    pub threads: usize,
    /// Losses, the base loss included.
    pub plugins: Vec<PluginRecord>,
    /// SHA-256 by the name of the data file.
    pub data: BTreeMap<String, String>,
    /// The command line.
    pub command: Vec<String>,
    /// The machine.
    pub host: Host,
    /// When the run started, UTC.
    pub started: String,
    /// When it was taken up again.
    #[serde(default)]
    pub resumed: Vec<Resumption>,
}

impl Manifest {
    /// Versions, command line, machine and time of this process.
    pub fn collect(seed: u64) -> Manifest {
        Manifest {
            toolkit: env!("CARGO_PKG_VERSION").into(),
            rustc: option_env!("TOOLKIT_RUSTC_VERSION").unwrap_or("unknown").into(),
            libtorch: libtorch_version().unwrap_or_else(|| "unknown".into()),
            tch: TCH.into(),
            seed,
            threads: usize::try_from(tch::get_num_threads()).unwrap_or(1),
            plugins: Vec::new(),
            data: BTreeMap::new(),
            command: std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect(),
            host: Host {
                cpu: cpu_model().unwrap_or_else(|| "unknown".into()),
                cpus: std::thread::available_parallelism().map_or(1, usize::from),
                system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            },
            started: utc(SystemTime::now()),
            resumed: Vec::new(),
        }
    }
}

/// SHA-256 of a file's contents, in hexadecimal.
///
/// # Errors
/// [`FileError`] when the file cannot be read.
pub fn sha256_file(path: &Path) -> Result<String, FileError> {
    let mut file = std::fs::File::open(path).map_err(FileError::on("open", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(FileError::on("read", path))? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            length => hash.update(&buffer[..length]),
        }
    }
}

/// SHA-256 of a text, in hexadecimal.
pub(crate) fn sha256_text(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The version written beside the `libtorch_cpu.so` that this process has mapped: libtorch has no C++ function
/// that tells, and the headers of the build may be another version's.
pub(crate) fn libtorch_version() -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let library = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    let root = Path::new(library.get(library.find('/')?..)?).parent()?.parent()?;
    // A plain libtorch has `build-version`, a Python wheel has `version.py`.
    if let Ok(version) = std::fs::read_to_string(root.join("build-version")) {
        return Some(version.trim().to_string());
    }
    let python = std::fs::read_to_string(root.join("version.py")).ok()?;
    let line = python.lines().find(|line| line.starts_with("__version__"))?;
    line.split(['\'', '"']).nth(1).map(str::to_string)
}

fn cpu_model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// A time as `2026-01-31T12:34:56Z`.
pub(crate) fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days to a date of the proleptic Gregorian calendar, counting years from March so that the leap day is the last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn utc_by_the_calendar() {
        // Values of `date -u -d @N`.
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_772_323_200, "2026-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), want);
        }
    }

    #[test]
    fn sha256_of_abc() {
        // FIPS 180-4, example "abc".
        let want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_text("abc"), want);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(sha256_file(&path).unwrap(), want);
        let error = sha256_file(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("none"), "{error}");
    }

    #[test]
    fn the_recorded_tch_is_the_one_built_with() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
        let workspace = std::fs::read_to_string(manifest).unwrap();
        assert!(workspace.contains(&format!("tch = \"={TCH}\"")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn finds_the_loaded_libtorch() {
        let manifest = Manifest::collect(3);
        assert!(manifest.libtorch.starts_with("2.11"), "{}", manifest.libtorch);
        assert_eq!(manifest.seed, 3);
        assert!(!manifest.command.is_empty());
    }
}
