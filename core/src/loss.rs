//! The trait that a loss implements.

use crate::{Class, ClassCounts, LogOdds, LogitAdjustment, LossError, Params, Real};

/// A loss for imbalanced data: a scalar function of the true class's log-odds and of the class.
///
/// The formula is written once; the host evaluates it over SIMD lanes with its derivative (training)
/// and in float64 (tests, plots, `toolkit losses eval`). The gradient of the logits follows from the
/// derivative ℓ' by the log-odds:
///
/// ```text
/// ∂ℓ/∂z_y = ℓ'(m)          ∂ℓ/∂z_j = −ℓ'(m) · softmax over j≠y of z
/// ```
///
/// # Example
/// ```
/// use imbalance_core::{Class, ClassCounts, ImbalanceLoss, LogOdds, LossError, Params, Real, export_loss};
///
/// /// `−log p − bonus·p` (paper, Eq. 10 with γ_b = 1).
/// pub struct LinearBonus { bonus: f64 }
///
/// impl ImbalanceLoss for LinearBonus {
///     fn new(params: &Params, _: &ClassCounts) -> Result<Self, LossError> {
///         Ok(Self { bonus: params.number("bonus")? })
///     }
///
///     #[inline(always)]
///     fn pointwise<R: Real>(&self, m: LogOdds<R>, _: Class<R>) -> R {
///         -m.log_p() - m.p() * self.bonus
///     }
/// }
///
/// export_loss!(LinearBonus {
///     id: "linear-bonus",
///     formula: "-log p - bonus * p",
///     citation: "Eureka Loss, Eq. 10",
///     params: ["bonus": 1.0 in 0.0..10.0, "how much a sure prediction earns";],
/// });
/// # fn main() {}
/// ```
pub trait ImbalanceLoss: Sized + Send + Sync + 'static {
    /// Makes the loss from its parameters (already within their declared ranges) and the training counts.
    ///
    /// # Errors
    /// Parameters that contradict each other or the counts.
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError>;

    /// ℓ(m, class). Must be finite, with a finite derivative, for every finite m.
    ///
    /// Mark it `#[inline(always)]`: as a function of its own it would be compiled without the instructions that the
    /// processor has, and be several times slower.
    fn pointwise<R: Real>(&self, m: LogOdds<R>, class: Class<R>) -> R;

    /// What is done to the logits before the formula sees them; nothing unless the loss says so.
    fn adjustment(&self) -> LogitAdjustment {
        LogitAdjustment::none()
    }
}
