//! A plugin that panics when it is asked a fourth time, to show that the process survives it:
//! `cargo build -p imbalance-core --example panicking_loss`.

use std::sync::atomic::{AtomicUsize, Ordering};

use imbalance_core::{Class, ClassCounts, ImbalanceLoss, LogOdds, LossError, Params, Real, export_loss};

/// `−log p`, three times.
pub struct Panicking;

impl ImbalanceLoss for Panicking {
    fn new(_: &Params, _: &ClassCounts) -> Result<Self, LossError> {
        Ok(Self)
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, _: Class<R>) -> R {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        assert!(CALLS.fetch_add(1, Ordering::Relaxed) < 3, "asked once too often");
        -m.log_p()
    }
}

export_loss!(Panicking {
    id: "panicking-loss",
    formula: "-log p, three times",
    citation: "an example of a broken plugin",
    params: [],
});
