//! Accuracy of each class against its training images.

use crate::figure::Figure;
use crate::longtail::ClassScores;
use crate::plot::{ByFrequency, ClassPoints, PlotError, by_frequency_figure};

/// Draws the accuracy of each class against its training images, on a logarithmic axis: dots for the classes and, for each
/// run, a line through the mean accuracy of classes with as many images. With more than 20 different counts, classes are
/// averaged over 12 ranges of counts whose ends have the same ratio.
///
/// # Errors
/// No runs; a run in which no class has both training and test images.
pub fn class_accuracy_figure(runs: &[(String, &[ClassScores])]) -> Result<Figure, PlotError> {
    let about = ByFrequency {
        figure: "class accuracy",
        lacks: "class with both training and test images",
        left_out_lacks: "training or test images",
        frequency: "training images of the class",
        value: "accuracy on the class's test images (%)",
    };
    let points = |(name, classes): &(String, &[ClassScores])| {
        let trained = classes.iter().filter(|class| class.train_images > 0);
        let points: Vec<_> = trained.filter_map(|class| Some((class.train_images as f64, class.accuracy?))).collect();
        ClassPoints { name: name.clone(), left_out: classes.len() - points.len(), points }
    };
    by_frequency_figure(&about, runs.iter().map(points).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::longtail::Group;

    fn class(train_images: u64, accuracy: Option<f64>) -> ClassScores {
        ClassScores {
            class: 0,
            group: Group::Many,
            train_images,
            test_images: 1,
            accuracy,
            precision: None,
            recall: accuracy,
            f1: None,
            likelihood: None,
        }
    }

    #[test]
    fn classes_of_one_count_are_averaged() {
        let classes = [class(10, Some(20.0)), class(100, Some(80.0)), class(10, Some(40.0)), class(0, Some(5.0))];
        let runs = [("CE".to_owned(), &classes[..])];
        let figure = class_accuracy_figure(&runs).unwrap();
        assert_eq!(figure.panels[0].lines[0].points, [(10.0, 30.0), (100.0, 80.0)]);
        assert_eq!(figure.panels[0].dots[0].points.len(), 3);
        assert_eq!(figure.panels[0].note, "without 1 class that lacks training or test images");
    }

    #[test]
    fn a_run_that_shows_nothing_is_named() {
        let classes = [class(0, Some(5.0)), class(3, None)];
        let error = class_accuracy_figure(&[("CE".to_owned(), &classes[..])]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the class accuracy picture cannot show \"CE\": it has no class with both training and test images"
        );
    }
}
