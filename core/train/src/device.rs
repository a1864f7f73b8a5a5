//! Where a run computes (`--device`), and how an accelerator does it.
//!
//! The program links libtorch's CPU library only. Its CUDA library is opened at run time, where the machine has a GPU, so that
//! one program serves machines with and without and starts quickly on both.

use std::error::Error as _;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use libc::RTLD_NOLOAD;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use serde::Serialize;
use tch::Device;

use crate::error::TrainError;

unsafe extern "C" {
    fn imbalance_switches(tf32: bool, deterministic: bool);
}

/// `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub enum DeviceChoice {
    /// The first GPU if there is one that can be used, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A GPU; where none is named, that of this process's local rank.
    Cuda(Option<usize>),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("must be auto, cpu, cuda or cuda:0 (the GPU's number); `{text}` is none of them");
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(None)),
            Some(("cuda", number)) => number.parse().map(|number| Self::Cuda(Some(number))).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => to.write_str("auto"),
            Self::Cpu => to.write_str("cpu"),
            Self::Cuda(None) => to.write_str("cuda"),
            Self::Cuda(Some(number)) => write!(to, "cuda:{number}"),
        }
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

/// A device that is ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The device.
    pub device: Device,
    /// Why [`DeviceChoice::Auto`] took the processor although the machine has a GPU.
    pub passed_over: Option<String>,
}

impl DeviceChoice {
    /// The device, ready for use. `local_rank` is this process's among those on this machine, from 0.
    ///
    /// # Errors
    /// [`TrainError::Settings`] where a GPU was asked for and none can be used, with the reason.
    pub fn open(self, local_rank: usize) -> Result<Opened, TrainError> {
        let of = |number: Option<usize>| -> Result<Device, String> {
            load_cuda()?;
            let (count, number) = (tch::Cuda::device_count(), number.unwrap_or(local_rank));
            if !tch::Cuda::is_available() || count < 1 {
                return Err("libtorch finds no GPU that it can use (is the driver installed, and new enough?)".into());
            }
            if number as i64 >= count {
                return Err(format!("there are {count} GPUs, numbered from 0"));
            }
            Ok(Device::Cuda(number))
        };
        let opened = |device| Ok(Opened { device, passed_over: None });
        match self {
            Self::Cpu => opened(Device::Cpu),
            Self::Cuda(number) => opened(of(number).map_err(|reason| {
                TrainError::Settings(format!("--device {self}: {reason}; --device cpu works everywhere"))
            })?),
            Self::Auto if has_driver() || cuda_is_loaded() => match of(None) {
                Ok(device) => opened(device),
                Err(reason) => Ok(Opened { device: Device::Cpu, passed_over: Some(reason) }),
            },
            Self::Auto => opened(Device::Cpu),
        }
    }
}

/// Whether the system has NVIDIA's driver: looked at first, since opening libtorch's CUDA library takes seconds.
fn has_driver() -> bool {
    Path::new("/proc/driver/nvidia/version").exists() || Path::new("/dev/nvidiactl").exists()
}

/// Whether the process has libtorch's CUDA library, or one that stands in for it, without our opening it.
fn cuda_is_loaded() -> bool {
    // SAFETY: RTLD_NOLOAD runs nothing.
    unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_NOLOAD) }.is_ok()
}

/// Opens libtorch's CUDA library, once a process.
fn load_cuda() -> Result<(), String> {
    static OPENED: OnceLock<Result<(), String>> = OnceLock::new();
    let open = || {
        if cuda_is_loaded() {
            return Ok(());
        }
        let folder = libtorch_folder().ok_or("the folder of libtorch cannot be found")?;
        let path = folder.join("libtorch_cuda.so");
        if !path.exists() {
            return Err(format!(
                "{} is not there: this libtorch is for processors only (`cargo xtask setup --cuda` fetches the other)",
                path.display()
            ));
        }
        // SAFETY: opening it runs the constructors of libtorch itself, which register its CUDA operations.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
        // It is never closed: what it registers stays registered.
        library.map(std::mem::forget).map_err(|error| {
            // What the dynamic linker said is the source of libloading's own words.
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            format!("{} cannot be opened: {cause}", path.display())
        })
    };
    OPENED.get_or_init(open).clone()
}

/// The folder of the libtorch that this process has mapped.
fn libtorch_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let library = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    Some(Path::new(library.get(library.find('/')?..)?).parent()?.to_owned())
}

/// Sets for the whole process whether GPUs may round float32 products to TF32's 10 bits, and whether only algorithms are used
/// that give the same bytes every time. Call it before anything is computed.
pub fn set_switches(tf32: bool, deterministic: bool) {
    // SAFETY: sets libtorch's global settings, which nothing reads meanwhile: no operation runs yet.
    unsafe { imbalance_switches(tf32, deterministic) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_written_alike() {
        for text in ["auto", "cpu", "cuda", "cuda:0", "cuda:12"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU"] {
            assert!(text.parse::<DeviceChoice>().unwrap_err().contains("auto, cpu, cuda or cuda:0"), "{text}");
        }
    }

    #[test]
    fn without_a_gpu_auto_is_the_processor_and_cuda_says_why_not() {
        if has_driver() {
            eprintln!("this machine has a GPU");
            return;
        }
        let processor = Opened { device: Device::Cpu, passed_over: None };
        assert_eq!(DeviceChoice::Auto.open(0).unwrap(), processor);
        let error = DeviceChoice::Cuda(Some(1)).open(0).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().starts_with("--device cuda:1: "), "{error}");
    }
}
