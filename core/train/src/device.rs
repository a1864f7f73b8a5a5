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
use tch::{Device, Kind, TchError, Tensor};

use crate::error::TrainError;
use crate::group::Group;

unsafe extern "C" {
    fn imbalance_switches(tf32: bool, deterministic: bool, search: bool);
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
    /// A GPU; where none is named, that of [`Group::gpu`].
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
    /// The device, ready for use by this process of `group`.
    ///
    /// # Errors
    /// [`TrainError::Settings`] where a GPU was asked for and none can be used, with the reason.
    pub fn open(self, group: &Group) -> Result<Opened, TrainError> {
        let of = |number: Option<usize>| -> Result<Device, String> {
            load_cuda()?;
            let count = tch::Cuda::device_count();
            if !tch::Cuda::is_available() || count < 1 {
                return Err("libtorch finds no GPU that it can use (is the driver installed, and new enough?)".into());
            }
            let number = number.unwrap_or_else(|| group.gpu(count as usize));
            if number as i64 >= count {
                return Err(format!("there are {count} GPUs, numbered from 0"));
            }
            let device = Device::Cuda(number);
            computes(device).map_err(|error| {
                format!("GPU {number} cannot be used: {}", error.to_string().lines().next().unwrap_or_default())
            })?;
            Ok(device)
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

/// Adds two numbers there. A GPU may be counted and yet be too old for libtorch's kernels, or another process's alone, or full.
fn computes(device: Device) -> Result<(), TchError> {
    let one = Tensor::f_ones([1], (Kind::Float, device))?;
    one.f_add(&one)?.f_double_value(&[0]).map(drop)
}

/// Whether the system has NVIDIA's driver: looked at first, since opening libtorch's CUDA library takes seconds.
fn has_driver() -> bool {
    // The last is Windows's, under WSL.
    ["/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"].iter().any(|path| Path::new(path).exists())
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
        open_compilers(&folder);
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

/// Opens the libraries by which cuDNN compiles kernels as it runs. It looks for them by name alone, where only the system's folders
/// are looked at; Python's torch opens them first for the same reason. Without them it has fewer algorithms to choose from.
fn open_compilers(libtorch: &Path) {
    // Of a libtorch from a wheel they are in NVIDIA's wheels beside it, of one from an archive with its own libraries.
    let wheels = libtorch.join("../../nvidia");
    let beside = std::fs::read_dir(wheels).into_iter().flatten().flatten().map(|entry| entry.path().join("lib"));
    for folder in std::iter::once(libtorch.to_owned()).chain(beside) {
        let mut names: Vec<_> =
            std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        for prefix in ["libnvrtc-builtins.so.", "libnvrtc.so."] {
            for name in names.iter().filter(|name| name.to_string_lossy().starts_with(prefix)) {
                // SAFETY: NVIDIA's libraries, whose constructors set up nothing but themselves. Where one cannot be opened, cuDNN
                // does without.
                if let Ok(library) = unsafe { Library::open(Some(folder.join(name)), RTLD_NOW | RTLD_GLOBAL) } {
                    std::mem::forget(library);
                }
            }
        }
    }
}

/// The folder of the libtorch that this process has mapped.
fn libtorch_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let library = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    Some(Path::new(library.get(library.find('/')?..)?).parent()?.to_owned())
}

/// Whether the images of all batches have one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shapes {
    /// They have, or there are no images.
    Alike,
    /// They have many.
    Varied,
}

/// Sets for the whole process whether GPUs may round float32 products to TF32's 10 bits, and whether only algorithms are used
/// that give the same bytes every time. Where any may be used, cuDNN tries all of them on the first batch of a shape, which is worth
/// it if the shapes are few. Call it before anything is computed.
pub fn set_switches(tf32: bool, deterministic: bool, shapes: Shapes) {
    let search = !deterministic && shapes == Shapes::Alike;
    // SAFETY: sets libtorch's global settings, which nothing reads meanwhile: no operation runs yet.
    unsafe { imbalance_switches(tf32, deterministic, search) };
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
        assert_eq!(DeviceChoice::Auto.open(&Group::alone()).unwrap(), processor);
        let error = DeviceChoice::Cuda(Some(1)).open(&Group::alone()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().starts_with("--device cuda:1: "), "{error}");
    }
}
