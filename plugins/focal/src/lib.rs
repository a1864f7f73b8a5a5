//! Focal loss (Lin et al. 2017; paper, Eq. 5).

use imbalance_core::{
    Class, ClassCounts, Head, ImbalanceLoss, LogOdds, LossError, Params, PerClass, Real, export_loss,
};

/// `−α_c (1−p)^γ log p`
///
/// On a softmax head every class has weight α. On a sigmoid head the last class is the background,
/// with weight 1 − α, and the others are foreground, with weight α.
pub struct Focal {
    gamma: f64,
    alpha: PerClass,
}

impl ImbalanceLoss for Focal {
    fn new(params: &Params, classes: &ClassCounts) -> Result<Self, LossError> {
        let alpha = params.number("alpha")?;
        let mut weights = vec![alpha; classes.len()];
        if let (Head::Sigmoid, Some(background)) = (params.head(), weights.last_mut()) {
            *background = 1.0 - alpha;
        }
        Ok(Self { gamma: params.number("gamma")?, alpha: PerClass::new(weights) })
    }

    #[inline(always)]
    fn pointwise<R: Real>(&self, m: LogOdds<R>, class: Class<R>) -> R {
        -(self.alpha.of(class) * m.not_p_pow(self.gamma) * m.log_p())
    }
}

export_loss!(Focal {
    id: "focal",
    formula: "-alpha_c (1-p)^gamma log p",
    citation: "Lin et al., Focal Loss for Dense Object Detection (ICCV 2017); Eureka Loss (2021), Eq. 5",
    params: [
        "gamma": 1.0 or 2.0 for sigmoid in 0.0..=100.0, "how strongly sure predictions are discounted; 0 is cross-entropy";
        "alpha": 1.0 or 0.25 for sigmoid in 0.0..=1.0, "weight of every class (softmax head), or of the foreground, with 1 - alpha for the background (sigmoid head)";
    ],
});

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_core::testing::Evaluated;

    fn focal(gamma: f64, alpha: f64) -> Evaluated<Focal> {
        Evaluated::new(&[("gamma", gamma), ("alpha", alpha)], &[3, 1]).unwrap()
    }

    #[test]
    fn slope_is_the_difference_of_the_loss_for_every_gamma() {
        // γ below 1 is where a naive form divides 0 by 0 at p = 1 (paper, Table 9).
        for gamma in [0.0, 0.1, 0.5, 1.0, 2.0, 5.0] {
            focal(gamma, 1.0).check_slope(1, &[]).unwrap();
        }
    }

    #[test]
    fn by_hand_at_even_odds() {
        // p = ½: .25 · ½² · log 2
        let (loss, _) = focal(2.0, 0.25).at(0.0, 0);
        assert!((loss - 0.0625 * std::f64::consts::LN_2).abs() < 1e-15);
    }

    #[test]
    fn gamma_zero_is_cross_entropy() {
        for m in [-70.0, -3.0, 0.0, 3.0, 70.0] {
            let (loss, slope) = focal(0.0, 1.0).at(m, 0);
            assert!((loss - (-m).exp().ln_1p()).abs() <= 1e-12 * (1.0 + loss.abs()));
            assert!((slope + 1.0 / (1.0 + m.exp())).abs() < 1e-12);
        }
    }
}
