//! Curves of a training.

use super::PlotError;
use super::round_range;
use crate::figure::{Axis, Figure, Key, Line, Panel, Stroke};

/// A value over the epochs or steps of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The run, in the legend; curves of the same name look the same in all panels.
    pub name: String,
    /// Epoch or step and value, in that order; the line is interrupted where a value is not finite.
    pub points: Vec<(f64, f64)>,
}

/// Curves on the same axes.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvePanel {
    /// What the values are, with their unit.
    pub label: String,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// Draws values over `time` (the axis's label: `epoch` or `step`), such as loss and accuracy of several runs, a panel for each
/// quantity, two or three side by side.
///
/// # Errors
/// No curves; a curve without a finite value.
pub fn curves_figure(time: &str, panels: &[CurvePanel]) -> Result<Figure, PlotError> {
    let figure = "training";
    let curves = || panels.iter().flat_map(|panel| &panel.curves);
    if curves().next().is_none() {
        return Err(PlotError::NoRuns { figure });
    }
    let mut names: Vec<&String> = Vec::new();
    for curve in curves() {
        if !curve.points.iter().any(|(at, value)| at.is_finite() && value.is_finite()) {
            return Err(PlotError::EmptyRun { figure, name: curve.name.clone(), lacks: "value at any time" });
        }
        if !names.contains(&&curve.name) {
            names.push(&curve.name);
        }
    }
    let times = curves().flat_map(|curve| &curve.points).map(|point| point.0).filter(|at| at.is_finite());
    let (first, last) = times.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| (low.min(at), high.max(at)));
    // A single one is in the middle.
    let (first, last) = if first < last { (first, last) } else { (first - 1.0, first + 1.0) };
    let panels = panels.iter().filter(|panel| !panel.curves.is_empty()).map(|panel| {
        let (low, high) = round_range(panel.curves.iter().flat_map(|curve| &curve.points).map(|point| point.1));
        let lines = panel.curves.iter().map(|curve| {
            let at = names.iter().position(|name| **name == curve.name).unwrap_or_default();
            Line { points: curve.points.clone(), stroke: Stroke::of(at) }
        });
        Panel {
            lines: lines.collect(),
            ..Panel::new(Axis::linear(time, first, last), Axis::linear(panel.label.clone(), low, high))
        }
    });
    let legend = names.iter().enumerate().map(|(at, name)| Key { text: (*name).clone(), stroke: Stroke::of(at) });
    let panels: Vec<Panel> = panels.collect();
    let (columns, panel_size) = match panels.len() {
        1 => (1, (560, 340)),
        3 => (3, (320, 260)),
        _ => (2, (400, 280)),
    };
    Ok(Figure { panels, columns, panel_size, legend: vec![legend.collect()], ..Figure::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, points: &[(f64, f64)]) -> Curve {
        Curve { name: name.to_owned(), points: points.to_vec() }
    }

    #[test]
    fn a_run_looks_the_same_in_all_panels() {
        let panels = [
            CurvePanel { label: "loss".to_owned(), curves: vec![curve("CE", &[(0.0, 2.3), (9.0, 0.1)])] },
            CurvePanel {
                label: "accuracy (%)".to_owned(),
                curves: vec![
                    curve("Eureka", &[(0.0, 10.0), (9.0, 75.0)]),
                    curve("CE", &[(4.0, f64::NAN), (5.0, 40.0)]),
                ],
            },
        ];
        let figure = curves_figure("epoch", &panels).unwrap();
        assert_eq!(figure.panels[0].lines[0].stroke, figure.panels[1].lines[1].stroke);
        assert_ne!(figure.panels[1].lines[0].stroke, figure.panels[1].lines[1].stroke);
        assert_eq!(figure.legend[0].iter().map(|key| key.text.as_str()).collect::<Vec<_>>(), ["CE", "Eureka"]);
        assert_eq!((figure.panels[0].x.low, figure.panels[0].x.high), (0.0, 9.0));
        assert!(figure.svg().is_ok());
    }

    #[test]
    fn one_epoch_is_enough_and_none_is_not() {
        let panel =
            |points: &[(f64, f64)]| [CurvePanel { label: "loss".to_owned(), curves: vec![curve("CE", points)] }];
        curves_figure("step", &panel(&[(3.0, 0.5)])).unwrap().svg().unwrap();
        let lacks = "value at any time";
        let empty = PlotError::EmptyRun { figure: "training", name: "CE".to_owned(), lacks };
        assert_eq!(curves_figure("step", &panel(&[(3.0, f64::NAN)])), Err(empty));
        assert_eq!(curves_figure("epoch", &[]), Err(PlotError::NoRuns { figure: "training" }));
    }
}
