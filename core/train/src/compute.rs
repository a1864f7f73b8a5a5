//! Where a run computes, and with which other processes.

use tch::Device;

use crate::device::set_switches;
use crate::error::TrainError;
use crate::flags::TrainFlags;
use crate::group::Group;
use crate::precision::Precision;
use crate::run_folder::{RunFolder, RunRequest};
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

    /// Says something to the user, once for all processes and unless the flags ask for quiet.
    pub fn say(&self, flags: &TrainFlags, text: &str) {
        if self.group.is_first() && !flags.quiet {
            eprintln!("{text}");
        }
    }

    /// Opens the run folder, in the first process, and says which it is.
    ///
    /// # Errors
    /// See [`crate::RunError`].
    pub fn open_run(&self, flags: &TrainFlags, request: &RunRequest) -> Result<Option<RunFolder>, TrainError> {
        if !self.group.is_first() {
            return Ok(None);
        }
        let run = RunFolder::open(request)?;
        self.say(flags, &format!("run folder: {}", run.path().display()));
        Ok(Some(run))
    }

    /// Says early, in the first process, whether [`Compute::open_run`] would refuse.
    ///
    /// # Errors
    /// See [`crate::RunError`].
    pub fn check_run(&self, flags: &TrainFlags) -> Result<(), TrainError> {
        match self.group.is_first() {
            true => Ok(RunFolder::check(flags.run.as_deref(), flags.run_mode())?),
            false => Ok(()),
        }
    }

    /// This process alone on the processor, for evaluation.
    pub fn alone() -> Self {
        let threads = set_threads(None);
        Self { group: Group::alone(), device: Device::Cpu, precision: Precision::Float32, threads }
    }
}

/// Without it cuBLAS may add in another order each time (its manual, "Results reproducibility").
const CUBLAS: &str = "CUBLAS_WORKSPACE_CONFIG";
