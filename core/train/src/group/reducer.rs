//! Gradients summed over the processes of a group.

use std::ffi::{c_char, c_void};

use tch::Tensor;
use torch_sys::C_tensor;

use super::{Group, GroupError, first_line, with_message};

unsafe extern "C" {
    fn imbalance_reducer_new(
        group: *mut c_void,
        variables: *const *mut C_tensor,
        count: usize,
        bucket_bytes: i64,
        message: *mut c_char,
        length: usize,
    ) -> *mut c_void;
    fn imbalance_reducer_free(reducer: *mut c_void);
    fn imbalance_reducer_order(reducer: *mut c_void, order: *mut i64) -> bool;
    fn imbalance_reducer_follow(
        reducer: *mut c_void,
        order: *const i64,
        count: usize,
        message: *mut c_char,
        length: usize,
    ) -> bool;
    fn imbalance_reducer_begin(reducer: *mut c_void, message: *mut c_char, length: usize) -> bool;
    fn imbalance_reducer_finish(
        reducer: *mut c_void,
        gradients: *const *mut C_tensor,
        count: usize,
        message: *mut c_char,
        length: usize,
    ) -> bool;
}

/// Bytes of gradients that travel together, as in PyTorch's DistributedDataParallel.
const BUCKET: i64 = 25 << 20;
/// Small models have several buckets too, so that the first leaves early.
const FEWEST_BUCKETS: i64 = 4;

/// Sums gradients in buckets, each sent as soon as the backward pass has filled it (Li et al. 2020, "PyTorch Distributed").
///
/// Between [`Reducer::begin`] and [`Reducer::finish`] there is one backward pass, or none and gradients from elsewhere.
#[derive(Debug)]
pub struct Reducer<'a> {
    group: &'a Group,
    variables: usize,
    /// libtorch's side, where there is more than one process.
    handle: Option<*mut c_void>,
}

impl<'a> Reducer<'a> {
    /// For the gradients of `variables`, the same in the same order in every process.
    ///
    /// # Errors
    /// [`GroupError::Lost`] with libtorch's reason.
    pub fn new(group: &'a Group, variables: &[&Tensor]) -> Result<Self, GroupError> {
        let count = variables.len();
        let Some(joined) = &group.handle else { return Ok(Self { group, variables: count, handle: None }) };
        let pointers: Vec<*mut C_tensor> = variables.iter().map(|variable| variable.as_ptr().cast_mut()).collect();
        let bytes: usize =
            variables.iter().map(|variable| variable.numel() * variable.kind().elt_size_in_bytes()).sum();
        let bucket = BUCKET.min(bytes as i64 / FEWEST_BUCKETS + 1);
        // SAFETY: the group outlives the reducer, which holds the variables itself.
        let made = with_message(|message, length| unsafe {
            let reducer = imbalance_reducer_new(joined.0, pointers.as_ptr(), pointers.len(), bucket, message, length);
            (!reducer.is_null()).then_some(reducer)
        });
        Ok(Self { group, variables: count, handle: Some(made.map_err(|reason| group.lost(&reason))?) })
    }

    /// The order in which variables have their places in the buckets, by their numbers: a run that is resumed has to
    /// [`Reducer::follow`] it, or sums of three or more processes are rounded in another way. None before the first step, which
    /// finds it, and for a process on its own.
    pub fn order(&self) -> Option<Vec<i64>> {
        let reducer = self.handle?;
        let mut order = vec![0; self.variables];
        // SAFETY: made by `imbalance_reducer_new`, of as many variables.
        unsafe { imbalance_reducer_order(reducer, order.as_mut_ptr()) }.then_some(order)
    }

    /// Fills buckets in this order from here on, the same in all processes.
    ///
    /// # Errors
    /// [`GroupError::Message`] for one that does not have each variable once.
    pub fn follow(&mut self, order: &[i64]) -> Result<(), GroupError> {
        let Some(reducer) = self.handle else { return Ok(()) };
        // SAFETY: made by `imbalance_reducer_new`; the order lives through the call.
        with_message(|message, length| unsafe {
            imbalance_reducer_follow(reducer, order.as_ptr(), order.len(), message, length).then_some(())
        })
        .map_err(|reason| GroupError::Message(first_line(&reason)))
    }

    /// Lets the next backward pass send its gradients.
    ///
    /// # Errors
    /// [`GroupError::Lost`].
    pub fn begin(&mut self) -> Result<(), GroupError> {
        let Some(reducer) = self.handle else { return Ok(()) };
        // SAFETY: made by `imbalance_reducer_new`.
        self.group.call(|message, length| unsafe { imbalance_reducer_begin(reducer, message, length) })
    }

    /// Replaces `gradients` by the sums over all processes; one that no process has stays undefined. The memory is the
    /// reducer's, until the next [`Reducer::begin`].
    ///
    /// # Errors
    /// [`GroupError::Lost`].
    pub fn finish(&mut self, gradients: &mut [Tensor]) -> Result<(), GroupError> {
        let Some(reducer) = self.handle else { return Ok(()) };
        let pointers: Vec<*mut C_tensor> = gradients.iter_mut().map(Tensor::as_mut_ptr).collect();
        // SAFETY: made by `imbalance_reducer_new`, of as many variables; the tensors are replaced one by one.
        self.group.call(|message, length| unsafe {
            imbalance_reducer_finish(reducer, pointers.as_ptr(), pointers.len(), message, length)
        })
    }
}

impl Drop for Reducer<'_> {
    fn drop(&mut self) {
        if let Some(reducer) = self.handle {
            // SAFETY: made by `imbalance_reducer_new`, and not used again.
            unsafe { imbalance_reducer_free(reducer) };
        }
    }
}
