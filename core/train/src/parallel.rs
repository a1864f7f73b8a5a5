//! Work on libtorch's own threads.
//!
//! Kernels that run between libtorch's operations use these rather than a second pool, whose threads would wait for a core
//! while libtorch's still spin.

use std::any::Any;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

unsafe extern "C" {
    fn imbalance_parallel(count: usize, work: extern "C" fn(*mut c_void, usize), context: *mut c_void);
}

/// Calls `work` with each of `items` and its index, several at a time, and returns when all are done.
///
/// # Panics
/// If `work` does.
pub(crate) fn for_each<T: Send, F: Fn(usize, &mut T) + Sync>(items: &mut [T], work: F) {
    struct Context<'a, T, F> {
        first: *mut T,
        work: F,
        panic: Mutex<Option<Box<dyn Any + Send>>>,
        items: PhantomData<&'a mut [T]>,
    }
    extern "C" fn call<T: Send, F: Fn(usize, &mut T) + Sync>(context: *mut c_void, at: usize) {
        // SAFETY: the pointer that `for_each` passes, whose target outlives the call.
        let context = unsafe { &*context.cast::<Context<'_, T, F>>() };
        // SAFETY: below the length, and no other call has this index.
        let item = unsafe { &mut *context.first.add(at) };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (context.work)(at, item))) {
            *context.panic.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(panic);
        }
    }
    let mut context = Context { first: items.as_mut_ptr(), work, panic: Mutex::new(None), items: PhantomData };
    // SAFETY: the shim calls back with indices below the length, each once, and returns when all calls have.
    unsafe { imbalance_parallel(items.len(), call::<T, F>, (&raw mut context).cast()) };
    if let Some(panic) = context.panic.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        let mut items: Vec<usize> = vec![0; 1000];
        for_each(&mut items, |at, item| *item += at);
        assert!(items.iter().enumerate().all(|(at, &item)| at == item));
    }

    #[test]
    fn items_are_worked_on_at_the_same_time() {
        tch::set_num_threads(2);
        // Each waits for the other, which in turn would never end.
        let here = std::sync::atomic::AtomicUsize::new(0);
        let start = std::time::Instant::now();
        for_each(&mut [(), ()], |_, ()| {
            here.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            while here.load(std::sync::atomic::Ordering::SeqCst) < 2 {
                assert!(start.elapsed() < std::time::Duration::from_secs(20), "one after the other");
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn a_panic_comes_back() {
        let caught = catch_unwind(|| for_each(&mut [1, 2, 3], |_, item| assert_ne!(*item, 2, "it was two")));
        assert!(caught.is_err());
    }
}
