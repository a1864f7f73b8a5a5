//! Evaluators of the imbalance toolkit: metrics, tables and pictures, computed without a tensor library.
//!
//! [`dialogue`] scores generated replies against references (paper, section 5.1 and Table 4); [`figure`] draws curves.

pub mod dialogue;
pub mod figure;
