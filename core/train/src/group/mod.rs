//! Several processes that train one model: each has a part of every batch, gradients are summed.
//!
//! libtorch's own c10d does the work, over Gloo; gradients on GPUs travel by NCCL. A run means the same with one process and with many: batches, class
//! counts and what losses are divided by are those of all processes together.

mod backend;
mod launch;
mod reducer;

use std::ffi::{CStr, CString, c_char, c_void};
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::seeding::{Stream, derive};

pub use backend::Backend;
pub use launch::Launch;
pub use reducer::Reducer;

unsafe extern "C" {
    fn imbalance_group_join(
        host: *const c_char,
        port: u16,
        rank: i32,
        size: i32,
        client: bool,
        prefix: *const c_char,
        interface: *const c_char,
        join_seconds: u64,
        seconds: u64,
        message: *mut c_char,
        length: usize,
    ) -> *mut c_void;
    fn imbalance_group_leave(group: *mut c_void);
    fn imbalance_group_sum(group: *mut c_void, tensor: *mut C_tensor, message: *mut c_char, length: usize) -> bool;
    fn imbalance_group_broadcast(
        group: *mut c_void,
        tensor: *mut C_tensor,
        message: *mut c_char,
        length: usize,
    ) -> bool;
    fn imbalance_group_send(
        group: *mut c_void,
        tensor: *mut C_tensor,
        to: i32,
        message: *mut c_char,
        length: usize,
    ) -> bool;
    fn imbalance_group_receive(
        group: *mut c_void,
        tensor: *mut C_tensor,
        from: i32,
        message: *mut c_char,
        length: usize,
    ) -> bool;
}

/// How long the processes wait for each other to start.
const JOIN: Duration = Duration::from_secs(300);
/// How long one may wait in a step, while the first evaluates, say. A process that ends is noticed at once.
const WAIT: Duration = Duration::from_secs(2 * 3600);

/// Why processes cannot work together.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The launcher's environment is not understood.
    #[error("{0}")]
    Environment(String),
    /// The processes did not meet.
    #[error("process {rank} of {size} could not join the others at {place}: {reason}")]
    Join {
        /// This process, from 0.
        rank: usize,
        /// How many there should be.
        size: usize,
        /// Host and port.
        place: String,
        /// libtorch's reason.
        reason: String,
    },
    /// The processes no longer hear of each other.
    #[error("process {rank} of {size} lost the others (one of them has ended?): {reason}")]
    Lost {
        /// This process, from 0.
        rank: usize,
        /// How many there were.
        size: usize,
        /// libtorch's reason.
        reason: String,
    },
    /// `--backend nccl` where it cannot be had.
    #[error("--backend nccl: {0}")]
    Backend(String),
    /// GPUs for some processes and not for others.
    #[error(
        "{gpus} of {size} processes have a GPU that can be used, where all must or none (process {rank} {own}); start as many \
         as there are GPUs, or give --device cpu"
    )]
    Devices {
        /// Processes with a GPU.
        gpus: usize,
        /// All processes.
        size: usize,
        /// This process, from 0.
        rank: usize,
        /// What this one has.
        own: String,
    },
    /// What another process sent makes no sense.
    #[error("another process sent something that cannot be read: {0}")]
    Message(String),
}

/// The processes of a run, of which this is one.
#[derive(Debug)]
pub struct Group {
    rank: usize,
    size: usize,
    local_rank: usize,
    local_size: Option<usize>,
    /// Whether this process may see a GPU of its own only.
    own_gpus: bool,
    /// c10d's, where there is more than one process.
    handle: Option<Handle>,
    /// Whether NCCL carries what is on GPUs.
    nccl: bool,
}

#[derive(Debug)]
struct Handle(*mut c_void);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by `imbalance_group_join`, and not used again.
        unsafe { imbalance_group_leave(self.0) };
    }
}

/// In the environment of processes that a process of ours has started and watches.
pub const LAUNCHED: &str = "TOOLKIT_LAUNCHED";
/// The exit code by which such a process says that not it is at fault, but one that it lost.
pub const LOST: u8 = 76;

impl GroupError {
    /// 2 for an environment or a backend that makes no sense, 1 for processes that failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            GroupError::Environment(_) | GroupError::Backend(_) | GroupError::Devices { .. } => 2,
            GroupError::Lost { .. } if std::env::var_os(LAUNCHED).is_some() => LOST,
            _ => 1,
        }
    }
}

impl Group {
    /// A process on its own.
    pub fn alone() -> Self {
        Self { rank: 0, size: 1, local_rank: 0, local_size: Some(1), own_gpus: false, handle: None, nccl: false }
    }

    /// The group that the environment describes, which this process joins.
    ///
    /// # Errors
    /// [`GroupError::Environment`] and [`GroupError::Join`].
    pub fn from_env() -> Result<Self, GroupError> {
        match Launch::from_env().map_err(GroupError::Environment)? {
            Some(launch) => Self::join(&launch),
            None => Ok(Self::alone()),
        }
    }

    /// Joins; returns when all processes have.
    ///
    /// # Errors
    /// [`GroupError::Join`].
    pub fn join(launch: &Launch) -> Result<Self, GroupError> {
        let failed = |reason: String| GroupError::Join {
            rank: launch.rank,
            size: launch.size,
            place: format!("{}:{}", launch.host, launch.port),
            reason: first_line(&reason),
        };
        let c = |text: &str| CString::new(text).map_err(|_| failed("a zero byte in its name".into()));
        let (host, prefix) = (c(&launch.host)?, c(&launch.prefix)?);
        let interface = c(&std::env::var("GLOO_SOCKET_IFNAME").unwrap_or_default())?;
        let (rank, size) = (launch.rank as i32, launch.size as i32);
        // SAFETY: the texts end in zero and outlive the call, which keeps none of them.
        let joined = with_message(|message, length| unsafe {
            let handle = imbalance_group_join(
                host.as_ptr(),
                launch.port,
                rank,
                size,
                launch.served,
                prefix.as_ptr(),
                interface.as_ptr(),
                JOIN.as_secs(),
                WAIT.as_secs(),
                message,
                length,
            );
            (!handle.is_null()).then_some(Handle(handle))
        });
        let handle = Some(joined.map_err(failed)?);
        let Launch { rank, size, local_rank, local_size, own_gpus, .. } = *launch;
        Ok(Self { rank, size, local_rank, local_size, own_gpus, handle, nccl: false })
    }

    /// This process, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The GPU for this process, of the `count` that it sees: that of its rank on the machine, or the only one where the launcher
    /// shows each process its own.
    pub fn gpu(&self, count: usize) -> usize {
        if self.own_gpus && count == 1 { 0 } else { self.local_rank }
    }

    /// Makes sure that all processes compute on the processor or all on GPUs: gradients of the two lie differently in memory, and
    /// their sums would be of other elements. `reason` is why this one has no GPU.
    ///
    /// # Errors
    /// [`GroupError::Devices`], [`GroupError::Lost`].
    pub fn check_devices(&self, device: Device, reason: Option<&str>) -> Result<(), GroupError> {
        let [gpus] = self.sum([f64::from(device.is_cuda())])?;
        let gpus = gpus as usize;
        if gpus == 0 || gpus == self.size {
            return Ok(());
        }
        let own = match (device.is_cuda(), reason) {
            (true, _) => "has one".to_owned(),
            (false, None) => "has none".to_owned(),
            (false, Some(reason)) => format!("has none: {reason}"),
        };
        Err(GroupError::Devices { gpus, size: self.size, rank: self.rank, own })
    }

    /// A seed for what should differ between processes (dropout, say) from that of the run, which is the first process's.
    pub fn seed(&self, seed: u64) -> u64 {
        match self.rank {
            0 => seed,
            rank => derive(seed, Stream::Process, rank as u64),
        }
    }

    /// Whether this process writes the run folder, reports and has what all found.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Threads for each process where none are asked for: the machine's cores, shared. `None` leaves the choice to libtorch.
    pub fn threads(&self, asked: Option<usize>) -> Option<usize> {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = || (cores() / self.local_size.unwrap_or(self.size)).max(1);
        asked.or_else(|| (self.size > 1).then(share))
    }

    /// Which examples of a batch of `count` are this process's: parts one after the other, that differ by one at most.
    pub fn part(&self, count: usize) -> Range<usize> {
        let end = |rank: usize| (count * rank).div_ceil(self.size);
        end(self.rank)..end(self.rank + 1)
    }

    /// The sums of `values` over all processes.
    ///
    /// # Errors
    /// [`GroupError::Lost`].
    pub fn sum<const N: usize>(&self, values: [f64; N]) -> Result<[f64; N], GroupError> {
        if self.handle.is_none() {
            return Ok(values);
        }
        let tensor = Tensor::from_slice(&values);
        self.sum_tensor(&tensor)?;
        let mut sums = [0.0; N];
        tensor.copy_data(&mut sums, N);
        Ok(sums)
    }

    /// The same for all elements of a tensor, in place.
    ///
    /// # Errors
    /// [`GroupError::Lost`].
    pub fn sum_tensor(&self, tensor: &Tensor) -> Result<(), GroupError> {
        let Some(Handle(handle)) = &self.handle else { return Ok(()) };
        // SAFETY: both live through the call.
        self.call(|message, length| unsafe {
            imbalance_group_sum(*handle, tensor.as_ptr().cast_mut(), message, length)
        })
    }

    /// The first process's values of a tensor for all, in place.
    ///
    /// # Errors
    /// [`GroupError::Lost`].
    pub fn broadcast(&self, tensor: &Tensor) -> Result<(), GroupError> {
        let Some(Handle(handle)) = &self.handle else { return Ok(()) };
        // SAFETY: both live through the call.
        self.call(|message, length| unsafe {
            imbalance_group_broadcast(*handle, tensor.as_ptr().cast_mut(), message, length)
        })
    }

    /// The first process's values of those variables that `which` picks for all, in place.
    ///
    /// # Errors
    /// [`GroupError::Lost`].
    pub fn broadcast_variables(&self, store: &VarStore, which: impl Fn(&Tensor) -> bool) -> Result<(), GroupError> {
        let mut named: Vec<(String, Tensor)> = store.variables().into_iter().collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named.iter().filter(|(_, variable)| which(variable)).try_for_each(|(_, variable)| self.broadcast(variable))
    }

    /// The first process's value for all; what the others give is ignored.
    ///
    /// # Errors
    /// [`GroupError::Lost`] and [`GroupError::Message`].
    pub fn broadcast_value<T: Serialize + DeserializeOwned>(&self, value: T) -> Result<T, GroupError> {
        if self.handle.is_none() {
            return Ok(value);
        }
        let bytes = match self.is_first() {
            true => postcard::to_allocvec(&value).map_err(unreadable)?,
            false => Vec::new(),
        };
        postcard::from_bytes(&self.broadcast_bytes(bytes)?).map_err(unreadable)
    }

    /// The first process's bytes for all; the others give none.
    ///
    /// # Errors
    /// [`GroupError::Lost`].
    pub fn broadcast_bytes(&self, mut bytes: Vec<u8>) -> Result<Vec<u8>, GroupError> {
        if self.handle.is_none() {
            return Ok(bytes);
        }
        let length = Tensor::from_slice(&[bytes.len() as i64]);
        self.broadcast(&length)?;
        let count = length.int64_value(&[0]) as usize;
        bytes.resize(count, 0);
        let tensor = Tensor::from_slice(&bytes);
        self.broadcast(&tensor)?;
        tensor.copy_data(&mut bytes, count);
        Ok(bytes)
    }

    /// Which of `count` pieces of work (batches to evaluate, say) are this process's: they are dealt out in turn.
    pub fn turns(&self, count: usize) -> impl Iterator<Item = usize> {
        (self.rank..count).step_by(self.size)
    }

    /// What all processes made in their [`Group::turns`] of `count`, in order, in the first process; nothing in the others.
    ///
    /// # Errors
    /// [`GroupError::Lost`] and [`GroupError::Message`].
    pub fn gather<T: Serialize + DeserializeOwned>(&self, count: usize, own: Vec<T>) -> Result<Vec<T>, GroupError> {
        let Some(Handle(handle)) = &self.handle else { return Ok(own) };
        if !self.is_first() {
            let bytes = Tensor::from_slice(&postcard::to_allocvec(&own).map_err(unreadable)?);
            let length = Tensor::from_slice(&[bytes.numel() as i64]);
            for tensor in [length, bytes] {
                // SAFETY: both live through the call.
                self.call(|message, length| unsafe {
                    imbalance_group_send(*handle, tensor.as_ptr().cast_mut(), 0, message, length)
                })?;
            }
            return Ok(Vec::new());
        }
        let mut parts = vec![own.into_iter()];
        for from in 1..self.size as i32 {
            let receive = |tensor: &Tensor| {
                // SAFETY: both live through the call.
                self.call(|message, length| unsafe {
                    imbalance_group_receive(*handle, tensor.as_ptr().cast_mut(), from, message, length)
                })
            };
            let length = Tensor::from_slice(&[0i64]);
            receive(&length)?;
            let tensor = Tensor::zeros([length.int64_value(&[0])], (Kind::Uint8, Device::Cpu));
            receive(&tensor)?;
            let mut bytes = vec![0u8; tensor.numel()];
            tensor.copy_data(&mut bytes, tensor.numel());
            parts.push(postcard::from_bytes::<Vec<T>>(&bytes).map_err(unreadable)?.into_iter());
        }
        let missing = || GroupError::Message("a process has done less than its part".into());
        (0..count).map(|at| parts[at % self.size].next().ok_or_else(missing)).collect()
    }

    /// Waits until all processes are here.
    ///
    /// # Errors
    /// [`GroupError::Lost`].
    pub fn barrier(&self) -> Result<(), GroupError> {
        self.sum_tensor(&Tensor::zeros([1], (Kind::Float, Device::Cpu)))
    }

    fn call(&self, work: impl FnOnce(*mut c_char, usize) -> bool) -> Result<(), GroupError> {
        with_message(|message, length| work(message, length).then_some(())).map_err(|reason| self.lost(&reason))
    }

    /// The error of a process that does not hear of the others any more.
    pub(crate) fn lost(&self, reason: &str) -> GroupError {
        GroupError::Lost { rank: self.rank, size: self.size, reason: first_line(reason) }
    }
}

fn unreadable(error: postcard::Error) -> GroupError {
    GroupError::Message(error.to_string())
}

/// libtorch's messages go on with stack traces.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Calls something that leaves a message where it gives nothing.
fn with_message<T>(work: impl FnOnce(*mut c_char, usize) -> Option<T>) -> Result<T, String> {
    let mut message = [0u8; 1024];
    let given = work(message.as_mut_ptr().cast(), message.len());
    given.ok_or_else(|| {
        CStr::from_bytes_until_nul(&message).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_on_its_own_is_the_whole_group() {
        let group = Group::alone();
        assert_eq!(group.sum([1.5, 2.0]).unwrap(), [1.5, 2.0]);
        assert_eq!(group.broadcast_value("x".to_owned()).unwrap(), "x");
        assert_eq!(group.turns(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(group.gather(3, vec![1, 2, 3]).unwrap(), [1, 2, 3]);
        assert_eq!(group.part(3), 0..3);
        assert_eq!((group.threads(Some(3)), group.threads(None)), (Some(3), None));
    }

    #[test]
    fn a_process_takes_the_gpu_that_its_launcher_means() {
        let group = |own_gpus| Group { rank: 5, size: 8, local_rank: 1, own_gpus, ..Group::alone() };
        // Of all that the machine has; the only one, as srun may show it; one too few, which is an error later.
        assert_eq!([group(true).gpu(4), group(true).gpu(1), group(false).gpu(1)], [1, 0, 1]);
    }

    #[test]
    fn parts_cover_a_batch_once() {
        let of = |rank| Group { rank, size: 3, ..Group::alone() }.part(5);
        assert_eq!([of(0), of(1), of(2)], [0..2, 2..4, 4..5]);
        let turns = |rank| Group { rank, size: 3, ..Group::alone() }.turns(5).collect::<Vec<_>>();
        assert_eq!([turns(0), turns(1), turns(2)], [vec![0, 3], vec![1, 4], vec![2]]);
    }
}
