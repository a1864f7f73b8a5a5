//! The scores of one classifier, as they go into a table or a JSON object.

use serde::{Deserialize, Serialize};

use super::{ByGroup, ConfusionMatrix, Group, Groups, LikelihoodHistograms};

/// Scores of a classifier on a test set, after training on classes of very different sizes.
///
/// Accuracies, precision, recall, F1 and calibration errors are percentages, 0 to 100. Classes without test images have
/// no accuracy and are left out of every mean over classes; their number is `classes_without_test_images`. A value of a
/// group in which no class has a test image is `None` (JSON null).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LongTailScores {
    /// Test images.
    pub images: u64,
    /// Classes.
    pub classes: usize,
    /// Classes that no mean includes since they have no test images.
    pub classes_without_test_images: usize,
    /// Which classes are in which group.
    pub groups: Groups,
    /// Size of all classes together and of each group; groups without test images have one too.
    pub sizes: ByGroup<GroupSize>,
    /// Mean of the class accuracies, %; equals `top_1` when all classes have as many test images.
    pub all: f64,
    /// Mean of the accuracies of classes with many training images, %.
    pub many: Option<f64>,
    /// Mean of the accuracies of classes with neither many nor few training images, %.
    pub medium: Option<f64>,
    /// Mean of the accuracies of classes with few training images, %.
    pub few: Option<f64>,
    /// Accuracy on the training distribution, `Σ acc_c·n_c / Σ n_c` over classes c with n_c training images, % (paper,
    /// section 5.1, "natural accuracy"); `None` when no class with test images has training images.
    pub natural: Option<f64>,
    /// Images whose class has the highest score, %.
    pub top_1: f64,
    /// Images whose class is among the five of highest score, %.
    pub top_5: f64,
    /// Mean over classes of the precision: of the images predicted to be of the class, those that are; 0 for a class that
    /// is never predicted. %.
    pub macro_precision: f64,
    /// Mean over classes of the recall, the same number as `all`, %.
    pub macro_recall: f64,
    /// Mean over classes of F1, the harmonic mean of a class's precision and recall, %.
    pub macro_f1: f64,
    /// F1 of the pooled counts of all classes, %. As each image has one label and one prediction, it equals `top_1`.
    pub micro_f1: f64,
    /// Expected calibration error of the images, 15 bins of equal width, %.
    pub calibration_error: ByGroup<f64>,
    /// Mean likelihood of the true class over the images, 0 to 1.
    pub likelihood: ByGroup<f64>,
    /// Histograms of the likelihood of the true class (paper, Figures 4 and 5).
    pub likelihood_histograms: LikelihoodHistograms,
    /// Scores of each class.
    pub per_class: Vec<ClassScores>,
    /// Which classes are taken for which.
    pub confusion: ConfusionMatrix,
}

impl LongTailScores {
    /// The mean class accuracies, %: All, Many, Medium, Few.
    pub fn accuracy(&self) -> ByGroup<f64> {
        ByGroup { all: self.all, many: self.many, medium: self.medium, few: self.few }
    }
}

/// How much a group of classes holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupSize {
    /// Its classes.
    pub classes: usize,
    /// Those of them with test images.
    pub classes_with_test_images: usize,
    /// Training images of its classes.
    pub train_images: u64,
    /// Test images of its classes.
    pub test_images: u64,
}

/// Scores of one class; a class without test images has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Its index.
    pub class: usize,
    /// Its group.
    pub group: Group,
    /// Its training images.
    pub train_images: u64,
    /// Its test images.
    pub test_images: u64,
    /// Its test images that are classified correctly, %.
    pub accuracy: Option<f64>,
    /// Of the images predicted to be of the class, those that are, %; 0 when it is never predicted.
    pub precision: Option<f64>,
    /// The same number as the accuracy, by the name that goes with precision, %.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall, 0 when both are, %.
    pub f1: Option<f64>,
    /// Mean likelihood of the class over its test images, 0 to 1.
    pub likelihood: Option<f64>,
}
