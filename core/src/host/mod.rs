//! The host's side: finding, opening and using plugins, and the fused kernels.

mod choice;
mod loss;
mod plugin;
mod search_path;
mod softmax_head;

pub use choice::LossChoice;
pub use loss::{EvalError, EvalFloat, Loss};
pub use plugin::{OpenError, Plugin};
pub use search_path::{FindError, Found, SearchPath, edit_distance, file_name};
pub use softmax_head::{HeadError, SoftmaxHead};

/// Gives the kernels `threads` threads; the first call of the process counts, and only before any kernel ran.
pub fn set_threads(threads: usize) {
    // A second call, or one after the pool was used, leaves the pool as it is, which only costs speed.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
}
