//! Expected calibration error: how far confidence is from accuracy.

/// Number of bins of confidence.
pub const CALIBRATION_BINS: usize = 15;

/// Images by confidence, the probability of the class predicted, in [`CALIBRATION_BINS`] bins of equal width.
///
/// ```text
/// ECE = Σ_b (n_b / n) · |accuracy of bin b − mean confidence of bin b|
/// bin b = 1 … 15 holds the confidences in ((b−1)/15, b/15]
/// ```
///
/// Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017.
#[derive(Debug, Clone, Default)]
pub(super) struct Calibration {
    bins: [Bin; CALIBRATION_BINS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    images: u64,
    correct: u64,
    confidence: f64,
}

impl Calibration {
    /// Adds an image; `confidence` is above 0 (the largest of probabilities that sum to 1).
    pub(super) fn add(&mut self, confidence: f64, correct: bool) {
        let bin = (confidence * CALIBRATION_BINS as f64).ceil() as usize;
        let bin = &mut self.bins[bin.clamp(1, CALIBRATION_BINS) - 1];
        bin.images += 1;
        bin.correct += u64::from(correct);
        bin.confidence += confidence;
    }

    /// The error, 0 to 1; `None` without images.
    pub(super) fn error(&self) -> Option<f64> {
        let images: u64 = self.bins.iter().map(|bin| bin.images).sum();
        let gaps: f64 = self.bins.iter().map(|bin| (bin.correct as f64 - bin.confidence).abs()).sum();
        (images > 0).then(|| gaps / images as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_by_hand() {
        assert_eq!(Calibration::default().error(), None);
        let mut calibration = Calibration::default();
        // Bin 12, (11/15, 12/15]: confidences .75 and .8, one correct: |1 − 1.55|. Bin 15: |1 − 1|. Bin 6: |0 − .4|.
        for (confidence, correct) in [(0.75, true), (0.8, false), (1.0, true), (0.4, false)] {
            calibration.add(confidence, correct);
        }
        assert!((calibration.error().unwrap() - (0.55 + 0.4) / 4.0).abs() < 1e-12);
    }

    #[test]
    fn gaps_of_one_bin_cancel_and_those_of_two_do_not() {
        let of = |images: [(f64, bool); 2]| {
            let mut calibration = Calibration::default();
            images.into_iter().for_each(|(confidence, correct)| calibration.add(confidence, correct));
            calibration.error().unwrap()
        };
        assert!(of([(0.5, true), (0.5, false)]) < 1e-12);
        assert!((of([(0.5, true), (0.6, false)]) - 0.55).abs() < 1e-12);
    }
}
