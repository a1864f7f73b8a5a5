//! Losses for imbalanced data, as plugins.
//!
//! A loss is written once, as a formula over the log-odds of the true class ([`ImbalanceLoss`]),
//! exported with [`export_loss!`], built as a library of its own and loaded at run time. This crate
//! holds both sides of that: what a plugin needs, and, with the feature `host`, the loader and the
//! fused kernels. It knows no tensor library.

// Lets `export_loss!` be used, and tested, inside this crate too.
extern crate self as imbalance_core;

pub mod abi;
mod adjustment;
mod class_counts;
mod class_weights;
mod dual;
mod error;
#[doc(hidden)]
pub mod export;
#[doc(hidden)]
#[allow(missing_docs, reason = "arithmetic; named by dispatch_isa! only")]
pub mod isa;
#[doc(hidden)]
#[allow(missing_docs, reason = "arithmetic; named by dispatch_isa! only")]
pub mod lanes;
mod log_odds;
mod loss;
#[doc(hidden)]
pub mod params;
mod per_class;
mod real;
mod recorder;
pub mod testing;

#[cfg(feature = "host")]
pub mod host;

pub use abi::{Head, RawParam};
pub use adjustment::LogitAdjustment;
pub use class_counts::ClassCounts;
pub use class_weights::{WeightScale, effective_number, effective_number_weights};
pub use error::LossError;
pub(crate) use export::text;
pub use log_odds::{Class, LogOdds};
pub use loss::ImbalanceLoss;
pub use params::{ParamKind, ParamSpec, Params};
pub use per_class::PerClass;
pub use real::Real;
