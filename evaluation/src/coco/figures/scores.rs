//! Scores that a detector gives anchors, of objects and of background; Lin et al., 2017, figure 4, shows what they add up to in
//! losses.

use serde::{Deserialize, Serialize};

use crate::figure::{Axis, Block, Colour, Figure, Line, Panel, Stroke, steps};
use crate::plot::{PlotError, check_runs, line_legend, log_ticks};

/// Number of bins of scores.
pub const SCORE_BINS: usize = 50;

/// How many anchors score how much.
///
/// # Shapes
/// - each: `[50]`; bin `b` counts scores `b/50 ≤ s < (b+1)/50`, the last also 1
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreHistograms {
    /// Anchors that answer for an object: the score of the object's class.
    pub foreground: Vec<u64>,
    /// Anchors that answer for none: the highest score of any class.
    pub background: Vec<u64>,
}

impl Default for ScoreHistograms {
    fn default() -> Self {
        Self { foreground: vec![0; SCORE_BINS], background: vec![0; SCORE_BINS] }
    }
}

impl ScoreHistograms {
    /// Counts an anchor of an object whose class has this score.
    pub fn add_foreground(&mut self, score: f32) {
        self.foreground[bin(score)] += 1;
    }

    /// Counts a background anchor with this highest score.
    pub fn add_background(&mut self, score: f32) {
        self.background[bin(score)] += 1;
    }

    /// Counts what `others` counts, too.
    pub fn add(&mut self, others: &Self) {
        for (own, more) in [(&mut self.foreground, &others.foreground), (&mut self.background, &others.background)] {
            own.iter_mut().zip(more).for_each(|(own, more)| *own += more);
        }
    }
}

/// A score that is no number is in the first bin.
fn bin(score: f32) -> usize {
    ((f64::from(score) * SCORE_BINS as f64) as usize).min(SCORE_BINS - 1)
}

/// Draws how many anchors score how much, of objects and of background, on logarithmic axes of counts: the outline of each
/// run's histogram, filled if there is one run only.
///
/// # Errors
/// No runs; a run of another number of bins.
pub fn scores_figure(runs: &[(String, &ScoreHistograms)]) -> Result<Figure, PlotError> {
    let figure = "score";
    check_runs(figure, runs)?;
    let whole =
        |histogram: &ScoreHistograms| [&histogram.foreground, &histogram.background].map(Vec::len) == [SCORE_BINS; 2];
    if let Some((name, _)) = runs.iter().find(|(_, histograms)| !whole(histograms)) {
        return Err(PlotError::EmptyRun { figure, name: name.clone(), lacks: "two histograms of 50 bins" });
    }
    let counts = runs.iter().flat_map(|(_, histograms)| histograms.foreground.iter().chain(&histograms.background));
    // A single anchor is seen above the lower edge, where empty bins are.
    let (low, high) = (0.5, (1.5 * counts.copied().max().unwrap_or(0) as f64).max(10.0));
    let edges: Vec<f64> = (0..=SCORE_BINS).map(|edge| edge as f64 / SCORE_BINS as f64).collect();
    let panel = |title: &str, score: &str, part: fn(&ScoreHistograms) -> &[u64]| {
        let y = Axis::log("anchors", low, high).with_ticks(log_ticks(low, high));
        let mut panel = Panel { title: title.to_owned(), ..Panel::new(Axis::linear(score, 0.0, 1.0), y) };
        for (at, (_, histograms)) in runs.iter().enumerate() {
            let counts = part(histograms);
            let heights: Vec<f64> = counts.iter().map(|&count| (count as f64).max(low)).collect();
            if runs.len() == 1 {
                let fill = Colour::of(at).towards(Colour::WHITE, 0.7);
                let sides = edges.windows(2).zip(&heights);
                panel.note = format!("{} anchors", counts.iter().sum::<u64>());
                panel.blocks = sides.map(|(x, &height)| Block { x: (x[0], x[1]), y: (low, height), fill }).collect();
            }
            panel.lines.push(Line { points: steps(&edges, &heights), stroke: Stroke::of(at) });
        }
        panel
    };
    Ok(Figure {
        panels: vec![
            panel("anchors of objects", "score of the object's class", |histograms| &histograms.foreground),
            panel("background anchors", "highest score of any class", |histograms| &histograms.background),
        ],
        panel_size: (380, 280),
        legend: vec![line_legend(runs.iter().map(|(name, _)| name))],
        ..Figure::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_counted_in_their_bins() {
        let mut histograms = ScoreHistograms::default();
        for score in [0.0, 0.019, 0.02, 0.5, 1.0] {
            histograms.add_foreground(score);
        }
        histograms.add_background(f32::NAN);
        let filled = |counts: &[u64]| -> Vec<(usize, u64)> {
            counts.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect()
        };
        // 0.02 in float32 is a little below 1/50.
        assert_eq!(filled(&histograms.foreground), [(0, 3), (25, 1), (49, 1)]);
        assert_eq!(filled(&histograms.background), [(0, 1)]);
    }

    #[test]
    fn counts_are_drawn_over_logarithmic_axes() {
        let mut histograms = ScoreHistograms::default();
        (histograms.foreground[10], histograms.background[0]) = (8, 1000);
        let figure = scores_figure(&[("focal".to_owned(), &histograms)]).unwrap();
        let [objects, background] = &figure.panels[..] else { panic!("two panels") };
        assert_eq!(objects.blocks[10], Block { x: (0.2, 0.22), y: (0.5, 8.0), fill: objects.blocks[10].fill });
        assert_eq!(background.lines[0].points[..3], [(0.0, 1000.0), (0.02, 1000.0), (0.02, 0.5)]);
        assert_eq!((background.y.high, background.note.as_str()), (1500.0, "1000 anchors"));
        assert!(figure.svg().unwrap().contains("background anchors"));
    }

    #[test]
    fn other_bins_are_refused() {
        let histograms = ScoreHistograms { foreground: vec![1; 20], ..ScoreHistograms::default() };
        let message = scores_figure(&[("old".to_owned(), &histograms)]).unwrap_err().to_string();
        assert!(message.contains("\"old\"") && message.contains("50 bins"), "{message}");
    }
}
