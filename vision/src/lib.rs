//! Long-tailed image classification (paper, sections 5.2 to 5.4).
//!
//! [`data`] reads image sets and makes them long-tailed, [`augment`] decodes, augments and loads, [`model`] holds the residual
//! networks, [`weights`] loads what others trained.

pub mod augment;
pub mod data;
pub mod model;
pub mod weights;
