//! Precision against recall.

use crate::coco::{ClassCurves, RECALL_POINTS, recall_points};
use crate::figure::{Axis, Figure, Key, Line, Panel, Stroke};
use crate::plot::{PlotError, check_runs};

/// The curves of a category that a panel is about.
type Part = fn(&ClassCurves) -> &[f64];

const PANELS: [(&str, Part); 3] = [
    ("IoU .5", |curves| &curves.iou_50),
    ("IoU .75", |curves| &curves.iou_75),
    ("mean over IoU .5 to .95", |curves| &curves.mean),
];

/// Draws precision against recall, each the mean over the categories with boxes to be found: at IoU .5, at IoU .75, and the
/// mean over IoU .5, .55, … .95. The area under the three curves is AP50, AP75 and AP, which the legend gives.
///
/// # Errors
/// No runs; a run without a category that has boxes to be found.
pub fn precision_recall_figure(runs: &[(String, &[ClassCurves])]) -> Result<Figure, PlotError> {
    let figure = "precision-recall";
    check_runs(figure, runs)?;
    if let Some((name, _)) = runs.iter().find(|(_, curves)| curves.is_empty()) {
        return Err(PlotError::EmptyRun { figure, name: name.clone(), lacks: "category with boxes to be found" });
    }
    let panels = PANELS.map(|(title, part)| {
        let line = |(at, (_, curves)): (usize, &(String, &[ClassCurves]))| Line {
            points: recall_points().into_iter().zip(mean_curve(curves, part)).collect(),
            stroke: Stroke::of(at),
        };
        Panel {
            title: title.to_owned(),
            lines: runs.iter().enumerate().map(line).collect(),
            ..Panel::new(Axis::linear("recall", 0.0, 1.0), Axis::linear("precision", 0.0, 1.0))
        }
    });
    let legend = runs.iter().enumerate().map(|(at, (name, curves))| {
        let [ap50, ap75, ap] = PANELS.map(|(_, part)| {
            let curve = mean_curve(curves, part);
            100.0 * curve.iter().sum::<f64>() / curve.len() as f64
        });
        Key { text: format!("{name}: AP50 {ap50:.1}, AP75 {ap75:.1}, AP {ap:.1}"), stroke: Stroke::of(at) }
    });
    Ok(Figure {
        columns: panels.len(),
        legend: vec![legend.collect()],
        panels: panels.into(),
        panel_size: (280, 260),
        ..Figure::default()
    })
}

/// Mean over categories, `[RECALL_POINTS]`.
fn mean_curve(curves: &[ClassCurves], part: Part) -> Vec<f64> {
    let mut mean = vec![0.0; RECALL_POINTS];
    for class in curves {
        mean.iter_mut().zip(part(class)).for_each(|(sum, precision)| *sum += precision / curves.len() as f64);
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves(reached: usize, precision: f64) -> ClassCurves {
        let mut iou_50 = vec![0.0; RECALL_POINTS];
        iou_50[..reached].fill(precision);
        let mean = iou_50.iter().map(|precision| precision / 2.0).collect();
        ClassCurves { category_id: 1, name: "a".into(), iou_75: vec![0.0; RECALL_POINTS], mean, iou_50 }
    }

    #[test]
    fn curves_are_means_over_categories() {
        // Recall 0 to .5 at precision 1, and all recalls at .5.
        let classes = [curves(51, 1.0), curves(101, 0.5)];
        let figure = precision_recall_figure(&[("focal".to_owned(), &classes[..])]).unwrap();
        let points = &figure.panels[0].lines[0].points;
        assert_eq!((points[50], points[51]), ((0.5, 0.75), (recall_points()[51], 0.25)));
        assert_eq!(figure.panels[2].lines[0].points[0].1, 0.375);
        // (51·.75 + 50·.25) / 101
        assert_eq!(figure.legend[0][0].text, "focal: AP50 50.2, AP75 0.0, AP 25.1");
        assert!(figure.svg().unwrap().contains("mean over IoU"));
    }

    #[test]
    fn a_run_without_boxes_is_named() {
        let message = precision_recall_figure(&[("focal".to_owned(), &[])]).unwrap_err().to_string();
        assert!(message.contains("\"focal\"") && message.contains("no category with boxes"), "{message}");
    }
}
