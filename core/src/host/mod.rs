//! The host's side: finding, opening and using plugins, and the fused kernels.

mod adjustment;
mod choice;
pub mod conformance;
mod element;
mod expression;
mod head;
mod loss;
mod memory;
mod message;
mod plugin;
mod search_path;
mod sigmoid_head;
mod softmax_head;
mod softmax_kernel;
mod whole_tensor;

pub use adjustment::Adjustment;
pub use choice::LossChoice;
pub use element::Element;
pub use expression::{Expression, Node};
pub use head::{HeadError, Reduction};
pub use loss::{EvalError, EvalFloat, Loss};
pub use plugin::{OpenError, Plugin};
pub use search_path::{FindError, Found, SearchPath, edit_distance, file_name};
pub use sigmoid_head::SigmoidHead;
pub use softmax_head::SoftmaxHead;

/// The bfloat16 that heads take.
pub use half::bf16;

/// Gives the kernels `threads` threads; the first call of the process counts, and only before any kernel ran.
pub fn set_threads(threads: usize) {
    // A second call, or one after the pool was used, leaves the pool as it is, which only costs speed.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
}
