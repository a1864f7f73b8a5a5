//! Runs side by side: where they are ([`statuses`]), and one page that compares them ([`report`]).
//!
//! A run folder is read as it is: a damaged one is told of, not fatal.

mod compare;
mod comparison;
mod error;
mod find;
mod groups;
mod page;
mod pictures;
mod progress;
mod run;
mod scores;
mod settings;
mod status;
mod task;
mod tracks;

pub use compare::{Report, ReportRequest, report};
pub use error::ReportError;
pub use find::run_folders;
pub use groups::names as run_names;
pub use progress::Best;
pub use run::State;
pub use status::{Done, Status, status_table, statuses};
pub use task::Task;
