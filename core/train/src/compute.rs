//! Where a run computes, and with which other processes.

use tch::Device;

use crate::device::set_switches;
use crate::error::TrainError;
use crate::flags::TrainFlags;
use crate::group::Group;
use crate::precision::Precision;
use crate::threads::set_threads;

/// The processes, threads and device of a run, set up.
#[derive(Debug)]
pub struct Compute {
    /// The processes.
    pub group: Group,
    /// Where this one computes.
    pub device: Device,
    /// With what precision there; never [`Precision::Auto`].
    pub precision: Precision,
    /// CPU threads of this process.
    pub threads: usize,
}

impl Compute {
    /// Sets up what the flags ask for: joins the group that the environment describes, takes this process's share of the
    /// threads, opens the device.
    ///
    /// # Errors
    /// [`TrainError::Settings`] where the device cannot be used, [`TrainError::Group`].
    pub fn open(flags: &TrainFlags) -> Result<Self, TrainError> {
        let group = Group::from_env()?;
        let threads = set_threads(group.threads(flags.threads));
        imbalance_core::host::set_threads(threads);
        if flags.deterministic && std::env::var_os(CUBLAS).is_none() {
            // SAFETY: no other thread runs yet that could read the environment; cuBLAS is loaded after this.
            unsafe { std::env::set_var(CUBLAS, ":4096:8") };
        }
        let device = flags.device.open(group.local_rank())?;
        set_switches(flags.tf32, flags.deterministic);
        Ok(Self { precision: flags.precision.on(device), group, device, threads })
    }

    /// This process alone on the processor, for evaluation.
    pub fn alone() -> Self {
        let threads = set_threads(None);
        Self { group: Group::alone(), device: Device::Cpu, precision: Precision::Float32, threads }
    }
}

/// Without it cuBLAS may add in another order each time (its manual, "Results reproducibility").
const CUBLAS: &str = "CUBLAS_WORKSPACE_CONFIG";
