//! Where a run computes, and with which other processes.

use tch::Device;

use crate::device::{Opened, Shapes, set_switches};
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
    /// threads, opens the device, chooses what carries gradients.
    ///
    /// # Errors
    /// [`TrainError::Settings`] where the device cannot be used, [`TrainError::Group`].
    pub fn open(flags: &TrainFlags, shapes: Shapes) -> Result<Self, TrainError> {
        let mut group = Group::from_env()?;
        let threads = set_threads(group.threads(flags.threads));
        imbalance_core::host::set_threads(threads);
        let Opened { device, passed_over } = flags.device.open(&group)?;
        group.check_devices(device, passed_over.as_deref())?;
        if flags.deterministic && device.is_cuda() && std::env::var_os(CUBLAS_WORKSPACE.0).is_none() {
            let (name, value) = CUBLAS_WORKSPACE;
            return Err(TrainError::Settings(format!(
                "--deterministic on a GPU needs {name}={value} in the environment before the program starts"
            )));
        }
        group.carry_by(flags.backend, device)?;
        set_switches(flags.tf32, flags.deterministic, shapes);
        let compute = Self { precision: flags.precision.on(device), group, device, threads };
        if let Some(reason) = passed_over {
            compute.say(flags, &format!("note: this machine has a GPU, but {reason}; the processor is used"));
        }
        Ok(compute)
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
}

/// The environment variable without which cuBLAS may add in another order each time (its manual, "Results reproducibility"),
/// with a value from there. It must be set before threads are started; `toolkit` does.
pub const CUBLAS_WORKSPACE: (&str, &str) = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8");
