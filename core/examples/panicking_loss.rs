//! A plugin that panics whenever it is asked, to show that the process survives it:
//! `cargo build -p imbalance-core --example panicking_loss`.

use imbalance_core::{Class, ClassCounts, ImbalanceLoss, LogOdds, LossError, Params, Real, export_loss};

/// `−log p`, which it never gives.
pub struct Panicking;

impl ImbalanceLoss for Panicking {
    fn new(_: &Params, _: &ClassCounts) -> Result<Self, LossError> {
        Ok(Self)
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, _: LogOdds<R>, _: Class<R>) -> R {
        panic!("asked once too often")
    }
}

export_loss!(Panicking {
    id: "panicking-loss",
    formula: "-log p, if it came to it",
    citation: "an example of a broken plugin",
    params: [],
});
