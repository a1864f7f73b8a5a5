//! Average precision of each class by its frequency in training.

use std::collections::HashMap;

use crate::coco::ClassScores;
use crate::figure::Figure;
use crate::plot::{Bars, ByFrequency, ClassPoints, PlotError, bars_figure, by_frequency_figure, check_runs, shortened};

/// Up to so many classes each has a bar for each run.
const NAMED: usize = 12;
/// The longest name of a class that is shown whole, in letters.
const NAME: usize = 14;
const FIGURE: &str = "class AP";
const LACKS: &str = "class with both training images and boxes to be found";

/// Draws AP of each class against the training images that hold it. Up to 12 classes are bars, the most frequent first, each
/// with its name and its training images below; more are dots over a logarithmic axis of training images, with a line through
/// the means of classes of like frequency for each run.
///
/// `train_images` has the training images that hold each category, by its id.
///
/// # Errors
/// No runs; a run in which no class has both training images and boxes to be found.
pub fn class_precision_figure(
    runs: &[(String, &[ClassScores])],
    train_images: &HashMap<i64, u64>,
) -> Result<Figure, PlotError> {
    check_runs(FIGURE, runs)?;
    let images = |class: &ClassScores| train_images.get(&class.category_id).copied().unwrap_or(0);
    let percent = |class: &ClassScores| class.ap.map(|ap| 100.0 * ap);
    if runs[0].1.len() <= NAMED {
        let mut classes: Vec<&ClassScores> = runs[0].1.iter().collect();
        classes.sort_by_key(|class| std::cmp::Reverse(images(class)));
        let values = |of: &[ClassScores]| -> Vec<Option<f64>> {
            let score = |id: i64| of.iter().find(|class| class.category_id == id).and_then(percent);
            classes.iter().map(|class| score(class.category_id)).collect()
        };
        return bars_figure(Bars {
            figure: FIGURE,
            lacks: LACKS,
            label: "AP (%)",
            note: "in brackets: training images of the class".to_owned(),
            groups: classes
                .iter()
                .map(|class| format!("{} ({})", shortened(&class.name, NAME), images(class)))
                .collect(),
            runs: runs.iter().map(|(name, of)| (name.clone(), values(of))).collect(),
        });
    }
    let about = ByFrequency {
        figure: FIGURE,
        lacks: LACKS,
        left_out_lacks: "training images or boxes to be found",
        frequency: "training images of the class",
        value: "AP of the class (%)",
    };
    let points = |(name, classes): &(String, &[ClassScores])| {
        let trained = classes.iter().filter(|class| images(class) > 0);
        let points: Vec<_> = trained.filter_map(|class| Some((images(class) as f64, percent(class)?))).collect();
        ClassPoints { name: name.clone(), left_out: classes.len() - points.len(), points }
    };
    by_frequency_figure(&about, runs.iter().map(points).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(category_id: i64, ap: Option<f64>) -> ClassScores {
        let name = format!("class {category_id}");
        ClassScores { category_id, name, boxes: 1, images: 1, ap, ap50: ap, ar100: ap }
    }

    #[test]
    fn few_classes_are_bars_most_frequent_first() {
        let classes = [class(5, Some(0.25)), class(7, None), class(9, Some(0.5))];
        let images = HashMap::from([(5, 3), (7, 40), (9, 600)]);
        let figure = class_precision_figure(&[("CE".to_owned(), &classes[..])], &images).unwrap();
        let panel = &figure.panels[0];
        let names: Vec<&str> = panel.x.ticks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["class 9 (600)", "class 7 (40)", "class 5 (3)"]);
        let bars: Vec<_> = panel.blocks.iter().map(|block| (block.x.0.round(), block.y.1)).collect();
        assert_eq!(bars, [(0.0, 50.0), (2.0, 25.0)]);
    }

    #[test]
    fn many_classes_are_dots_over_their_frequency() {
        // 13 classes in 1, 10, 10, … training images; the last has no boxes, the one before it no training images.
        let mut classes: Vec<ClassScores> = (0..13).map(|id| class(id, Some(0.1))).collect();
        (classes[0].ap, classes[12].ap) = (Some(0.4), None);
        let mut images: HashMap<i64, u64> = (0..13).map(|id| (id, 10)).collect();
        images.insert(0, 1);
        images.remove(&11);
        let figure = class_precision_figure(&[("CE".to_owned(), &classes[..])], &images).unwrap();
        let panel = &figure.panels[0];
        assert_eq!(panel.dots[0].points.len(), 11);
        let trend = &panel.lines[0].points;
        assert_eq!((trend[0], trend[1].0), ((1.0, 40.0), 10.0));
        assert!((trend[1].1 - 10.0).abs() < 1e-9);
        assert_eq!(panel.note, "without 2 classes that lack training images or boxes to be found");
    }
}
