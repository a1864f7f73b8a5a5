//! The host's side: finding, opening and using plugins, and the fused kernels.

mod loss;
mod plugin;
mod search_path;
mod softmax_head;

pub use loss::{EvalError, EvalFloat, Loss};
pub use plugin::{OpenError, Plugin};
pub use search_path::{FindError, Found, SearchPath, file_name};
pub use softmax_head::{HeadError, SoftmaxHead};
