//! Accuracy of each class against its training images.

use super::range::log_ticks;
use super::{PlotError, check_runs, line_legend};
use crate::figure::{Axis, Colour, Dots, Figure, Line, Panel, Stroke};
use crate::longtail::ClassScores;

/// Up to so many different counts the trend has a point for each.
const DISTINCT: usize = 20;
/// With more, it has a point for each of so many ranges of counts.
const RANGES: usize = 12;

/// Draws the accuracy of each class against its training images, on a logarithmic axis: dots for the classes and, for each
/// run, a line through the mean accuracy of classes with as many images. With more than 20 different counts, classes are
/// averaged over 12 ranges of counts whose ends have the same ratio.
///
/// # Errors
/// No runs; a run in which no class has both training and test images.
pub fn class_accuracy_figure(runs: &[(String, &[ClassScores])]) -> Result<Figure, PlotError> {
    let figure = "class accuracy";
    check_runs(figure, runs)?;
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    let (mut dots, mut lines, mut left_out) = (Vec::new(), Vec::new(), 0);
    for (at, (name, classes)) in runs.iter().enumerate() {
        let mut points: Vec<(f64, f64)> = classes
            .iter()
            .filter(|class| class.train_images > 0)
            .filter_map(|class| Some((class.train_images as f64, class.accuracy?)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            let lacks = "class with both training and test images";
            return Err(PlotError::EmptyRun { figure, name: name.clone(), lacks });
        };
        (low, high) = (low.min(first.0), high.max(last.0));
        left_out = left_out.max(classes.len() - points.len());
        let many = points.len() > 5 * DISTINCT;
        lines.push(Line { points: trend(&points), stroke: Stroke::of(at) });
        dots.push(Dots {
            points,
            colour: Colour::of(at).towards(Colour::WHITE, if many { 0.55 } else { 0.0 }),
            radius: if many { 1.8 } else { 3.2 },
        });
    }
    let (low, high) = (low / 1.25, high * 1.25);
    let x = Axis::log("training images of the class", low, high).with_ticks(log_ticks(low, high));
    // Dots at 0 and 100 % are seen whole.
    let y = Axis::linear("accuracy on the class's test images (%)", -3.0, 103.0)
        .with_ticks((0..=5).map(|tick| (f64::from(20 * tick), (20 * tick).to_string())).collect());
    let note = match left_out {
        0 => String::new(),
        1 => "without 1 class that lacks training or test images".to_owned(),
        _ => format!("without {left_out} classes that lack training or test images"),
    };
    Ok(Figure {
        panels: vec![Panel { note, lines, dots, ..Panel::new(x, y) }],
        panel_size: (560, 340),
        legend: vec![line_legend(runs.iter().map(|(name, _)| name))],
        ..Figure::default()
    })
}

/// Means of runs of `points`, which are in order of their counts.
fn trend(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |part: &[(f64, f64)]| {
        let size = part.len() as f64;
        let logarithm = part.iter().map(|point| point.0.ln()).sum::<f64>() / size;
        (logarithm.exp(), part.iter().map(|point| point.1).sum::<f64>() / size)
    };
    if points.chunk_by(|a, b| a.0 == b.0).count() <= DISTINCT {
        return points.chunk_by(|a, b| a.0 == b.0).map(|part| (part[0].0, mean(part).1)).collect();
    }
    let (first, last) = (points[0].0.ln(), points[points.len() - 1].0.ln());
    let range =
        |point: &(f64, f64)| (((point.0.ln() - first) / (last - first) * RANGES as f64) as usize).min(RANGES - 1);
    points.chunk_by(|a, b| range(a) == range(b)).map(mean).collect()
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
    fn many_counts_are_put_into_ranges() {
        // One class for each count from 1 to 4096 = 2^12: a range for each doubling.
        let classes: Vec<ClassScores> = (1..=4096).map(|count| class(count, Some(50.0))).collect();
        let points = trend(&classes.iter().map(|class| (class.train_images as f64, 50.0)).collect::<Vec<_>>());
        assert_eq!(points.len(), RANGES);
        assert!(points.iter().all(|point| (point.1 - 50.0).abs() < 1e-9));
        assert!(points[11].0 > 2048.0 && points[11].0 < 4096.0);
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
