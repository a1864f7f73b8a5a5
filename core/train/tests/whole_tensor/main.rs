//! Losses that take whole tensors: the plugins as built, against the papers' formulas written with loops in float64; and
//! what the host does with them.

mod contract;
mod formulas;
mod plugins;
