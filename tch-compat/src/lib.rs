//! Forwards the `tch` 0.17 that rust-bert 0.23 asks for to the `tch` of this workspace.
pub use tch_next::*;
