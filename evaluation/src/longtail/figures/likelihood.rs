//! Histograms of the likelihood of the true class, a panel for all classes and one for each group (paper, Figures 4 and 5).

use super::{PlotError, check_runs, line_legend};
use crate::figure::{Axis, Block, Colour, Figure, Line, Panel, Stroke, steps};
use crate::longtail::{Group, LIKELIHOOD_BINS, LikelihoodHistograms};
use crate::plot::round_range;

/// Draws how likely runs find the true class of test images: a panel for all of them and one for each group that has any, all on
/// the same axes, and in it the outline of each run's histogram, filled if there is one run only.
///
/// # Errors
/// No runs.
pub fn likelihood_figure(runs: &[(String, &LikelihoodHistograms)]) -> Result<Figure, PlotError> {
    check_runs("likelihood", runs)?;
    // A group's shares may be larger than those of all images, which are a mean of the groups'.
    let largest = runs.iter().flat_map(|(_, histograms)| Group::ALL.map(|group| histograms.of(group)));
    let (low, high) = round_range(largest.flatten().flatten().map(|share| 100.0 * share).chain([0.0]));
    let axes = || {
        let y = Axis::linear("images of the group (%)", low, high);
        Panel::new(Axis::linear("likelihood p of the true class", 0.0, 1.0), y)
    };
    let panels = std::iter::once(None).chain(Group::ALL.map(Some)).filter_map(|group| {
        let shown: Vec<_> = runs.iter().enumerate().filter_map(|(at, (_, run))| Some((at, of(run, group)?))).collect();
        let mut panel = Panel { title: group.map_or("All", Group::name).to_owned(), ..axes() };
        for (at, shares) in &shown {
            let percent: Vec<f64> = shares.iter().map(|share| 100.0 * share).collect();
            if runs.len() == 1 {
                panel.blocks = bars(&percent, Colour::of(*at).towards(Colour::WHITE, 0.7));
            }
            panel.lines.push(Line { points: steps(&edges(), &percent), stroke: Stroke::of(*at) });
        }
        (!shown.is_empty()).then_some(panel)
    });
    let panels: Vec<Panel> = panels.collect();
    Ok(Figure {
        columns: if panels.len() == 4 { 2 } else { panels.len() },
        panels,
        panel_size: (300, 260),
        legend: vec![line_legend(runs.iter().map(|(name, _)| name))],
        ..Figure::default()
    })
}

/// The histogram of a group, or of all images.
fn of(run: &LikelihoodHistograms, group: Option<Group>) -> Option<&Vec<f64>> {
    group.map_or(Some(&run.all), |group| run.of(group))
}

fn edges() -> Vec<f64> {
    (0..=LIKELIHOOD_BINS).map(|edge| edge as f64 / LIKELIHOOD_BINS as f64).collect()
}

fn bars(values: &[f64], fill: Colour) -> Vec<Block> {
    let edges = edges();
    let sides = edges.windows(2).zip(values);
    sides.map(|(pair, &value)| Block { x: (pair[0], pair[1]), y: (0.0, value), fill }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::longtail::ByGroup;

    fn histograms(peak: usize, medium: bool) -> LikelihoodHistograms {
        let mut shares = vec![0.0; LIKELIHOOD_BINS];
        (shares[0], shares[peak]) = (0.25, 0.75);
        ByGroup { all: shares.clone(), many: Some(shares.clone()), medium: medium.then(|| shares.clone()), few: None }
    }

    #[test]
    fn a_panel_for_each_group_and_a_line_for_each_run() {
        let (one, other) = (histograms(19, true), histograms(10, false));
        let runs = [("CE".to_owned(), &one), ("Eureka".to_owned(), &other)];
        let figure = likelihood_figure(&runs).unwrap();
        let titles: Vec<&str> = figure.panels.iter().map(|panel| panel.title.as_str()).collect();
        assert_eq!(titles, ["All", "Many", "Medium"]);
        assert_eq!(figure.panels.iter().map(|panel| panel.lines.len()).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(figure.panels[0].lines[1].points[20..22], [(0.5, 75.0), (0.55, 75.0)]);
        assert_eq!((figure.panels[2].y.low, figure.panels[2].y.high), (0.0, 80.0));
        let svg = figure.svg().unwrap();
        assert!(svg.contains("Eureka") && svg.contains("images of the group (%)"));
        assert_eq!(likelihood_figure(&[]), Err(PlotError::NoRuns { figure: "likelihood" }));
    }

    #[test]
    fn one_run_is_filled() {
        let one = histograms(19, true);
        let figure = likelihood_figure(&[("CE".to_owned(), &one)]).unwrap();
        assert_eq!(figure.panels[0].blocks.len(), LIKELIHOOD_BINS);
        assert_eq!(figure.panels[0].blocks[19].y, (0.0, 75.0));
    }
}
