//! One thread count for libtorch and for the toolkit's own kernels.

/// Sets the number of CPU threads of libtorch and, once a process, of the kernels' pool, and returns the
/// number in use. `None` leaves both at their defaults.
pub fn set_threads(threads: Option<usize>) -> usize {
    if let Some(threads) = threads {
        tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
        // Fails only when the pool is already running; it then keeps its size, which changes speed, not results.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
    usize::try_from(tch::get_num_threads()).unwrap_or(1)
}
