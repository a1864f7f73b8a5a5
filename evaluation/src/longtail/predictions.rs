//! What a classifier says about a set of labelled images.

/// How far from 1 the probabilities of an image may sum.
pub const SUM_TOLERANCE: f64 = 1e-3;

/// Class probabilities of labelled images, with what the metrics ask of each image: the class predicted, how many
/// classes come before the true one, and how likely the two are.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    classes: usize,
    probabilities: Vec<f32>,
    labels: Vec<usize>,
    predicted: Vec<usize>,
    ranks: Vec<usize>,
}

/// Why numbers are no predictions. Rows are images, counted from 0 as in the arrays they come in.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PredictionError {
    /// There is nothing to score.
    #[error("there are no predictions; at least one image is needed")]
    Empty,
    /// A single class leaves nothing to predict.
    #[error("predictions over {classes} class(es); at least 2 are needed")]
    TooFewClasses {
        /// Number of classes.
        classes: usize,
    },
    /// Scores and labels do not pair up.
    #[error("{labels} labels over {classes} classes need {labels} × {classes} scores, got {scores}")]
    Shape {
        /// Number of scores.
        scores: usize,
        /// Number of labels.
        labels: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A label that is no class.
    #[error("row {row}: the label {label} is no class; it must be at least 0 and below {classes}")]
    Label {
        /// The image.
        row: usize,
        /// What its label says.
        label: i128,
        /// Number of classes.
        classes: usize,
    },
    /// A logit without a value.
    #[error("row {row}, class {class}: the logit is {value}; it must be a finite number")]
    Logit {
        /// The image.
        row: usize,
        /// The class.
        class: usize,
        /// The logit.
        value: f32,
    },
    /// A number that is no probability.
    #[error("row {row}, class {class}: {value} is no probability; it must be at least 0 (are these logits?)")]
    Probability {
        /// The image.
        row: usize,
        /// The class.
        class: usize,
        /// The number.
        value: f32,
    },
    /// Probabilities that are not those of one image's classes.
    #[error("row {row}: the probabilities sum to {sum:.6}; they must sum to 1 within {tolerance}")]
    Sum {
        /// The image.
        row: usize,
        /// Their sum.
        sum: f64,
        /// How far from 1 it may be.
        tolerance: f64,
    },
}

impl PredictionError {
    /// The image at fault, counted from 0, if it is one.
    pub fn row(&self) -> Option<usize> {
        match self {
            Self::Label { row, .. }
            | Self::Logit { row, .. }
            | Self::Probability { row, .. }
            | Self::Sum { row, .. } => Some(*row),
            Self::Empty | Self::TooFewClasses { .. } | Self::Shape { .. } => None,
        }
    }
}

impl Predictions {
    /// Predictions from logits, whose memory the probabilities take over: softmax in float64,
    /// `p_c = exp(z_c − max z) / Σ_j exp(z_j − max z)`, stored as float32.
    ///
    /// The class predicted and the rank of the true class are those of the logits themselves, so that classes whose
    /// probabilities round to the same number keep their order.
    ///
    /// # Shapes
    /// - `logits`: `[images, classes]`, row by row; `labels`: `[images]`
    ///
    /// # Errors
    /// No images; fewer than 2 classes; numbers that do not pair up; a label that is no class; a logit that is not finite.
    pub fn from_logits(classes: usize, mut logits: Vec<f32>, labels: Vec<usize>) -> Result<Self, PredictionError> {
        check_shape(classes, logits.len(), &labels)?;
        for (row, scores) in logits.chunks_exact(classes).enumerate() {
            if let Some(class) = scores.iter().position(|score| !score.is_finite()) {
                return Err(PredictionError::Logit { row, class, value: scores[class] });
            }
        }
        let (predicted, ranks) = order(classes, &logits, &labels);
        let mut exponentials = vec![0.0_f64; classes];
        for row in logits.chunks_exact_mut(classes) {
            let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let mut sum = 0.0;
            for (exponential, &logit) in exponentials.iter_mut().zip(&*row) {
                *exponential = (f64::from(logit) - largest).exp();
                sum += *exponential;
            }
            for (probability, &exponential) in row.iter_mut().zip(&exponentials) {
                *probability = (exponential / sum) as f32;
            }
        }
        Ok(Self { classes, probabilities: logits, labels, predicted, ranks })
    }

    /// Predictions from probabilities, kept as they are.
    ///
    /// # Shapes
    /// - `probabilities`: `[images, classes]`, row by row; `labels`: `[images]`
    ///
    /// # Errors
    /// No images; fewer than 2 classes; numbers that do not pair up; a label that is no class; a probability below 0 or
    /// without a value; a row whose sum is more than [`SUM_TOLERANCE`] from 1.
    pub fn from_probabilities(
        classes: usize,
        probabilities: Vec<f32>,
        labels: Vec<usize>,
    ) -> Result<Self, PredictionError> {
        Self::from_rounded(classes, probabilities, labels, SUM_TOLERANCE)
    }

    /// The same with another tolerance, for probabilities that were stored in fewer bits.
    pub(super) fn from_rounded(
        classes: usize,
        probabilities: Vec<f32>,
        labels: Vec<usize>,
        tolerance: f64,
    ) -> Result<Self, PredictionError> {
        check_shape(classes, probabilities.len(), &labels)?;
        for (row, scores) in probabilities.chunks_exact(classes).enumerate() {
            // Not `score < 0.0`, which NaN is not.
            if let Some(class) = scores.iter().position(|score| !(*score >= 0.0 && score.is_finite())) {
                return Err(PredictionError::Probability { row, class, value: scores[class] });
            }
            let sum: f64 = scores.iter().copied().map(f64::from).sum();
            if (sum - 1.0).abs() > tolerance {
                return Err(PredictionError::Sum { row, sum, tolerance });
            }
        }
        let (predicted, ranks) = order(classes, &probabilities, &labels);
        Ok(Self { classes, probabilities, labels, predicted, ranks })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.labels.len()
    }

    /// The true classes.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The probabilities, `[images, classes]`.
    pub fn probabilities(&self) -> &[f32] {
        &self.probabilities
    }

    /// The class of highest score of each image; of classes with the same score, the one of lowest index.
    pub fn predictions(&self) -> &[usize] {
        &self.predicted
    }

    /// How many classes come before the true one in each image: those of higher score, and those of the same score and
    /// lower index. 0 where the image is classified correctly.
    pub fn ranks(&self) -> &[usize] {
        &self.ranks
    }

    /// The likelihood p of the true class of an image, the `row`-th.
    pub(super) fn likelihood(&self, row: usize) -> f64 {
        f64::from(self.probabilities[row * self.classes + self.labels[row]])
    }

    /// The likelihood of the class predicted of an image, the `row`-th.
    pub(super) fn confidence(&self, row: usize) -> f64 {
        f64::from(self.probabilities[row * self.classes + self.predicted[row]])
    }
}

fn check_shape(classes: usize, scores: usize, labels: &[usize]) -> Result<(), PredictionError> {
    if labels.is_empty() {
        return Err(PredictionError::Empty);
    }
    if classes < 2 {
        return Err(PredictionError::TooFewClasses { classes });
    }
    if labels.len().checked_mul(classes) != Some(scores) {
        return Err(PredictionError::Shape { scores, labels: labels.len(), classes });
    }
    match labels.iter().position(|&label| label >= classes) {
        Some(row) => Err(PredictionError::Label { row, label: labels[row] as i128, classes }),
        None => Ok(()),
    }
}

/// The class predicted and the rank of the true class, of each row.
fn order(classes: usize, scores: &[f32], labels: &[usize]) -> (Vec<usize>, Vec<usize>) {
    scores
        .chunks_exact(classes)
        .zip(labels)
        .map(|(row, &label)| {
            let (mut best, mut before) = (0, 0);
            for (class, &score) in row.iter().enumerate() {
                if score > row[best] {
                    best = class;
                }
                before += usize::from(score > row[label] || (score == row[label] && class < label));
            }
            (best, before)
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_by_hand_and_far_out() {
        let logits = vec![0.0, 3.0_f32.ln(), -1e38, 1e38, 1e38, -1e38];
        let predictions = Predictions::from_logits(3, logits, vec![0, 1]).unwrap();
        let want = [0.25, 0.75, 0.0, 0.5, 0.5, 0.0];
        for (got, want) in predictions.probabilities().iter().zip(want) {
            assert!((got - want).abs() < 1e-7, "{got} is not {want}");
        }
    }

    #[test]
    fn of_equal_scores_the_first_class_wins() {
        let predictions = Predictions::from_probabilities(3, vec![0.4, 0.2, 0.4, 0.2, 0.4, 0.4], vec![2, 2]).unwrap();
        assert_eq!(predictions.predictions(), [0, 1]);
        assert_eq!(predictions.ranks(), [1, 1]);
    }

    #[test]
    fn logits_keep_an_order_that_probabilities_lose() {
        // All but the first probability are 0 in float32.
        let predictions = Predictions::from_logits(4, vec![500.0, -2.0, -1.0, 0.0], vec![1]).unwrap();
        assert_eq!(predictions.probabilities(), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(predictions.ranks(), [3]);
    }

    #[test]
    fn bad_numbers_name_their_row() {
        let logits = |scores: &[f32], labels: &[usize]| Predictions::from_logits(2, scores.to_vec(), labels.to_vec());
        let shares = |scores: &[f32], labels: &[usize]| {
            Predictions::from_probabilities(2, scores.to_vec(), labels.to_vec()).unwrap_err().to_string()
        };
        assert_eq!(logits(&[], &[]), Err(PredictionError::Empty));
        assert_eq!(Predictions::from_logits(1, vec![0.0], vec![0]), Err(PredictionError::TooFewClasses { classes: 1 }));
        assert_eq!(logits(&[0.0; 3], &[0, 1]), Err(PredictionError::Shape { scores: 3, labels: 2, classes: 2 }));
        assert_eq!(logits(&[0.0; 4], &[1, 2]), Err(PredictionError::Label { row: 1, label: 2, classes: 2 }));
        let error = logits(&[0.0, 0.0, 0.0, f32::NAN], &[0, 0]).unwrap_err();
        assert_eq!(error.to_string(), "row 1, class 1: the logit is NaN; it must be a finite number");
        assert!(logits(&[f32::INFINITY, 0.0], &[0]).is_err());
        assert!(shares(&[0.5, 0.5, 1.5, -0.5], &[0, 0]).starts_with("row 1, class 1: -0.5 is no probability"));
        assert!(shares(&[f32::NAN, 0.5], &[0]).starts_with("row 0, class 0: NaN"));
        assert_eq!(
            shares(&[0.5, 0.5, 0.5, 0.498], &[0, 0]),
            "row 1: the probabilities sum to 0.998000; they must sum to 1 within 0.001"
        );
        assert!(Predictions::from_probabilities(2, vec![0.5, 0.4995], vec![0]).is_ok());
    }
}
