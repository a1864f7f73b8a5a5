//! Runs side by side: where they are, and one page that compares them.

mod error;
mod find;
mod progress;
mod run;
mod status;
mod task;

pub use error::ReportError;
pub use find::run_folders;
pub use progress::Best;
pub use run::State;
pub use status::{Done, Status, status_table, statuses};
pub use task::Task;
