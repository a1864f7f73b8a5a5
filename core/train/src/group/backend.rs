//! What carries tensors between processes.

use std::ffi::{c_char, c_void};

use serde::Serialize;
use tch::Device;

use super::{Group, GroupError, first_line, with_message};

unsafe extern "C" {
    fn imbalance_nccl_is_there(message: *mut c_char, length: usize) -> bool;
    fn imbalance_group_join_nccl(group: *mut c_void, device: i16, message: *mut c_char, length: usize) -> bool;
}

/// `--backend`.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// NCCL where every process has a GPU, else Gloo
    #[default]
    Auto,
    /// Through the host's memory; works everywhere
    Gloo,
    /// From GPU to GPU; each process needs one of its own
    Nccl,
}

impl Group {
    /// Sends tensors on GPUs as `backend` says from here on; all processes call it, each with its device. Numbers in the
    /// host's memory stay with Gloo.
    ///
    /// # Errors
    /// [`GroupError::Backend`] where NCCL was asked for and cannot be had, [`GroupError::Lost`].
    pub fn carry_by(&mut self, backend: Backend, device: Device) -> Result<(), GroupError> {
        let refused = |reason: &str| Err(GroupError::Backend(first_line(reason)));
        let Some(handle) = &self.handle else { return Ok(()) };
        let own = match (backend, device) {
            (Backend::Gloo, _) => return Ok(()),
            // SAFETY: opens a library and looks for functions in it.
            (_, Device::Cuda(number)) => with_message(|message, length| unsafe {
                imbalance_nccl_is_there(message, length).then_some(number as i16)
            }),
            _ => Err(format!("process {} computes on the processor; --device cuda gives it a GPU", self.rank)),
        };
        if let (Backend::Nccl, Err(reason)) = (backend, &own) {
            return refused(reason);
        }
        let [able] = self.sum([f64::from(own.is_ok())])?;
        match own {
            Ok(number) if able == self.size as f64 => {
                // SAFETY: made by `imbalance_group_join`; the device has been opened.
                let joined = with_message(|message, length| unsafe {
                    imbalance_group_join_nccl(handle.0, number, message, length).then_some(())
                });
                self.nccl = joined.is_ok();
                joined.or_else(|reason| refused(&format!("{reason}; --backend gloo goes without")))
            }
            _ => Ok(()),
        }
    }

    /// Whether tensors on `device` are summed without the host's waiting for it.
    pub fn by_nccl(&self, device: Device) -> bool {
        self.nccl && device.is_cuda()
    }
}
