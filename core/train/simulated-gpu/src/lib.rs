//! GPUs for tests on machines without one: to libtorch they are CUDA devices, in truth the processor.
//!
//! Opened into a process (`LD_PRELOAD`) with a libtorch for processors, the library takes the place of libtorch's CUDA
//! library (`device.cpp`) and of NCCL (below). What a training gives its GPU is then done at once by the processor's
//! kernels. It is strict where a GPU is:
//!
//! - a host that reads or writes memory of the device gets SIGSEGV;
//! - tensors of two devices do not mix, nor does a fused optimiser's kernel take gradients of another layout;
//! - operations that have no deterministic form on a GPU are refused in deterministic mode.
//!
//! It does not show what only a GPU can: its own kernels' results and speed, and whether work on several streams is in
//! order. Gloo, whose part for GPUs is in libtorch's CUDA library, does not carry its tensors.
//!
//! | variable | |
//! |---|---|
//! | `SIMULATED_GPUS` | how many there are; 1 |
//! | `SIMULATED_GPU_LOG` | a file to which the process adds, when it ends, what it counted: lines `run OPERATION N`, `wait OPERATION N` where the host waits for the device, `copy … N` |

#![cfg(target_os = "linux")]
#![allow(non_snake_case, reason = "NCCL's names")]

use std::ffi::{c_char, c_int, c_void};
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

// C++ of the same library.
unsafe extern "C" {
    fn simulated_gpu_open(pointer: *const c_void, count: usize) -> bool;
    fn simulated_gpu_close(pointer: *const c_void, count: usize);
}

/// NCCL's `ncclUniqueId`: here the path of the first process's socket, ended by 0.
#[repr(C)]
pub struct UniqueId([u8; 128]);

/// The processes of a group: the first has a connection to each of the others in their order, these have one to it.
pub struct Communicator {
    rank: usize,
    peers: Vec<UnixStream>,
    /// The first one's, to be removed.
    path: Option<PathBuf>,
}

const SUCCESS: c_int = 0;
const SYSTEM_ERROR: c_int = 2;
const INVALID_ARGUMENT: c_int = 4;

/// Makes an address for a group.
///
/// # Safety
/// `id` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclGetUniqueId(id: *mut UniqueId) -> c_int {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let path = std::env::temp_dir().join(format!("simulated-nccl-{}-{since}", std::process::id()));
    let bytes = path.as_os_str().as_encoded_bytes();
    // Socket paths are limited to about a hundred bytes too.
    if bytes.len() >= 108 {
        return SYSTEM_ERROR;
    }
    let mut all = [0; 128];
    all[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: by the caller.
    unsafe { id.write(UniqueId(all)) };
    SUCCESS
}

/// Joins a group of `count` processes as the `rank`th.
///
/// # Safety
/// `joined` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommInitRank(
    joined: *mut *mut Communicator,
    count: c_int,
    id: UniqueId,
    rank: c_int,
) -> c_int {
    let length = id.0.iter().position(|&byte| byte == 0).unwrap_or(id.0.len());
    let path = PathBuf::from(String::from_utf8_lossy(&id.0[..length]).into_owned());
    match join(path, count as usize, rank as usize) {
        Ok(communicator) => {
            // SAFETY: by the caller.
            unsafe { joined.write(Box::into_raw(Box::new(communicator))) };
            SUCCESS
        }
        Err(_) => SYSTEM_ERROR,
    }
}

fn join(path: PathBuf, count: usize, rank: usize) -> io::Result<Communicator> {
    if rank == 0 {
        let listener = UnixListener::bind(&path)?;
        let mut ranked = Vec::new();
        for _ in 1..count {
            let (mut peer, _) = listener.accept()?;
            let mut rank = [0];
            peer.read_exact(&mut rank)?;
            ranked.push((rank[0], peer));
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        let peers = ranked.into_iter().map(|(_, peer)| peer).collect();
        return Ok(Communicator { rank, peers, path: Some(path) });
    }
    let start = Instant::now();
    let mut first = loop {
        match UnixStream::connect(&path) {
            Ok(stream) => break stream,
            Err(error) if start.elapsed() > Duration::from_secs(60) => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    first.write_all(&[rank as u8])?;
    Ok(Communicator { rank, peers: vec![first], path: None })
}

/// Leaves the group.
///
/// # Safety
/// `communicator` is of [`ncclCommInitRank`] and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclCommAbort(communicator: *mut Communicator) -> c_int {
    if !communicator.is_null() {
        // SAFETY: by the caller.
        let left = unsafe { Box::from_raw(communicator) };
        if let Some(path) = left.path {
            let _ = std::fs::remove_file(path);
        }
    }
    SUCCESS
}

/// Bytes of a number of NCCL's type.
fn size_of(kind: c_int) -> Option<usize> {
    match kind {
        1 => Some(1),
        4 | 8 => Some(8),
        7 => Some(4),
        _ => None,
    }
}

/// The sum over all processes, in place.
///
/// # Safety
/// `to` has `count` numbers of this type, in the device's memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclAllReduce(
    from: *const c_void,
    to: *mut c_void,
    count: usize,
    kind: c_int,
    operation: c_int,
    communicator: *mut Communicator,
    _stream: *mut c_void,
) -> c_int {
    let add: fn(&mut [u8], &[u8]) = match kind {
        7 => |to, more| {
            for (to, more) in to.chunks_exact_mut(4).zip(more.chunks_exact(4)) {
                let sum = f32::from_ne_bytes([to[0], to[1], to[2], to[3]])
                    + f32::from_ne_bytes([more[0], more[1], more[2], more[3]]);
                to.copy_from_slice(&sum.to_ne_bytes());
            }
        },
        8 => |to, more| {
            let number = |bytes: &[u8]| f64::from_ne_bytes(std::array::from_fn(|at| bytes[at]));
            for (to, more) in to.chunks_exact_mut(8).zip(more.chunks_exact(8)) {
                let sum = number(to) + number(more);
                to.copy_from_slice(&sum.to_ne_bytes());
            }
        },
        _ => return INVALID_ARGUMENT,
    };
    if operation != 0 || from != to.cast_const() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: by the caller; a communicator is used by one thread.
    unsafe {
        shared(to, count, kind, communicator, |own, peers| {
            let mut other = vec![0; own.len()];
            for peer in peers {
                peer.read_exact(&mut other)?;
                add(own, &other);
            }
            Ok(())
        })
    }
}

/// The first process's numbers for all, in place. `root` is 0.
///
/// # Safety
/// As [`ncclAllReduce`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclBroadcast(
    from: *const c_void,
    to: *mut c_void,
    count: usize,
    kind: c_int,
    root: c_int,
    communicator: *mut Communicator,
    _stream: *mut c_void,
) -> c_int {
    if root != 0 || from != to.cast_const() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: as there.
    unsafe {
        shared(to, count, kind, communicator, |own, peers| {
            let mut other = vec![0; own.len()];
            peers.iter_mut().try_for_each(|peer| peer.read_exact(&mut other))
        })
    }
}

/// What the first process makes of its bytes and those of the others, for all.
///
/// # Safety
/// As [`ncclAllReduce`].
unsafe fn shared(
    to: *mut c_void,
    count: usize,
    kind: c_int,
    communicator: *mut Communicator,
    make: impl FnOnce(&mut [u8], &mut [UnixStream]) -> io::Result<()>,
) -> c_int {
    let Some(size) = size_of(kind) else { return INVALID_ARGUMENT };
    let bytes = count * size;
    // SAFETY: the address is only looked up.
    if !unsafe { simulated_gpu_open(to, bytes) } {
        return INVALID_ARGUMENT;
    }
    // SAFETY: by the caller, and open until the call below.
    let (own, communicator) = unsafe { (std::slice::from_raw_parts_mut(to.cast::<u8>(), bytes), &mut *communicator) };
    let peers = &mut communicator.peers;
    let done = if communicator.rank == 0 {
        make(own, peers).and_then(|()| peers.iter_mut().try_for_each(|peer| peer.write_all(own)))
    } else {
        peers.iter_mut().try_for_each(|first| first.write_all(own).and_then(|()| first.read_exact(own)))
    };
    // SAFETY: opened above.
    unsafe { simulated_gpu_close(to, bytes) };
    match done {
        Ok(()) => SUCCESS,
        Err(_) => SYSTEM_ERROR,
    }
}

/// What an error means.
#[unsafe(no_mangle)]
pub extern "C" fn ncclGetErrorString(error: c_int) -> *const c_char {
    match error {
        SUCCESS => c"no error",
        SYSTEM_ERROR => c"unhandled system error",
        _ => c"invalid argument",
    }
    .as_ptr()
}
