//! A value of each class against how frequent it is in training.

use super::{PlotError, check_runs, line_legend, log_ticks};
use crate::figure::{Axis, Colour, Dots, Figure, Line, Panel, Stroke};

/// Up to so many different counts the trend has a point for each.
const DISTINCT: usize = 20;
/// With more, it has a point for each of so many ranges of counts.
const RANGES: usize = 12;

/// What a picture of classes by frequency is about.
pub(crate) struct ByFrequency {
    /// The picture, in errors.
    pub figure: &'static str,
    /// What a class of a run without any point lacks.
    pub lacks: &'static str,
    /// What a class that is left out lacks.
    pub left_out_lacks: &'static str,
    /// The horizontal axis.
    pub frequency: &'static str,
    /// The vertical axis, whose values are in percent.
    pub value: &'static str,
}

/// The classes of a run.
pub(crate) struct ClassPoints {
    /// The run.
    pub name: String,
    /// Frequency, above 0, and value, in percent, of each class that has both.
    pub points: Vec<(f64, f64)>,
    /// Classes that lack one.
    pub left_out: usize,
}

/// Draws the value of each class against its frequency, on a logarithmic axis: dots for the classes and, for each run, a line
/// through the means of classes of the same frequency. With more than 20 different frequencies, classes are averaged over 12
/// ranges whose ends have the same ratio.
///
/// # Errors
/// No runs; a run without a point.
pub(crate) fn by_frequency_figure(about: &ByFrequency, runs: Vec<ClassPoints>) -> Result<Figure, PlotError> {
    check_runs(about.figure, &runs)?;
    let legend = vec![line_legend(runs.iter().map(|run| &run.name))];
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    let (mut dots, mut lines, mut left_out) = (Vec::new(), Vec::new(), 0);
    for (at, ClassPoints { name, mut points, left_out: lacking }) in runs.into_iter().enumerate() {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Err(PlotError::EmptyRun { figure: about.figure, name, lacks: about.lacks });
        };
        (low, high) = (low.min(first.0), high.max(last.0));
        left_out = left_out.max(lacking);
        let many = points.len() > 5 * DISTINCT;
        lines.push(Line { points: trend(&points), stroke: Stroke::of(at) });
        dots.push(Dots {
            points,
            colour: Colour::of(at).towards(Colour::WHITE, if many { 0.55 } else { 0.0 }),
            radius: if many { 1.8 } else { 3.2 },
        });
    }
    let (low, high) = (low / 1.25, high * 1.25);
    let x = Axis::log(about.frequency, low, high).with_ticks(log_ticks(low, high));
    // Dots at 0 and 100 % are seen whole.
    let y = Axis::linear(about.value, -3.0, 103.0)
        .with_ticks((0..=5).map(|tick| (f64::from(20 * tick), (20 * tick).to_string())).collect());
    let note = match left_out {
        0 => String::new(),
        1 => format!("without 1 class that lacks {}", about.left_out_lacks),
        _ => format!("without {left_out} classes that lack {}", about.left_out_lacks),
    };
    Ok(Figure {
        panels: vec![Panel { note, lines, dots, ..Panel::new(x, y) }],
        panel_size: (560, 340),
        legend,
        ..Figure::default()
    })
}

/// Means of runs of `points`, which are in order of their frequencies.
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

    #[test]
    fn many_counts_are_put_into_ranges() {
        // One class for each count from 1 to 4096 = 2^12: a range for each doubling.
        let points = trend(&(1..=4096).map(|count| (f64::from(count), 50.0)).collect::<Vec<_>>());
        assert_eq!(points.len(), RANGES);
        assert!(points.iter().all(|point| (point.1 - 50.0).abs() < 1e-9));
        assert!(points[11].0 > 2048.0 && points[11].0 < 4096.0);
    }
}
