//! Bars of several runs beside each other, in groups.

use super::{PlotError, check_runs, round_range};
use crate::figure::{Axis, Block, Colour, Figure, Grid, Key, Panel, Place, Stroke, Text};

/// Share of a group's width that its bars take.
const FILLED: f64 = 0.8;
/// Narrowest bar under a number such as "12.3", in CSS pixels.
const BAR: f64 = 30.0;
const NUMBER: f64 = 10.5;
/// About the width of a letter below the axis, in CSS pixels.
const LETTER: f64 = 7.4;

/// Groups of bars.
pub(crate) struct Bars {
    /// The picture, in errors.
    pub figure: &'static str,
    /// What a run without any bar lacks.
    pub lacks: &'static str,
    /// What the bars show, in percent.
    pub label: &'static str,
    /// In small print above.
    pub note: String,
    /// What stands below each group.
    pub groups: Vec<String>,
    /// The runs, each with a value for each group that it has one for.
    pub runs: Vec<(String, Vec<Option<f64>>)>,
}

/// Draws a bar for each group and run, with its value above it.
///
/// # Errors
/// No runs; a run without a value.
pub(crate) fn bars_figure(bars: Bars) -> Result<Figure, PlotError> {
    let Bars { figure, lacks, label, note, groups, runs } = bars;
    check_runs(figure, &runs)?;
    if let Some((name, _)) = runs.iter().find(|(_, values)| values.iter().all(Option::is_none)) {
        return Err(PlotError::EmptyRun { figure, name: name.clone(), lacks });
    }
    let values = || runs.iter().flat_map(|(_, values)| values).copied().flatten();
    // Room for a number over the highest bar.
    let (_, high) = round_range(values().map(|value| 1.08 * value).chain([0.0]));
    let ticks = groups.iter().cloned().enumerate().map(|(at, name)| (at as f64, name)).collect();
    let x = Axis::linear("", -0.5, groups.len() as f64 - 0.5).with_ticks(ticks);
    let mut panel = Panel { note, grid: Grid::Horizontal, ..Panel::new(x, Axis::linear(label, 0.0, high)) };
    let width = FILLED / runs.len() as f64;
    for (at, (_, values)) in runs.iter().enumerate() {
        for (group, value) in values.iter().enumerate() {
            let Some(value) = *value else { continue };
            let left = group as f64 - FILLED / 2.0 + at as f64 * width;
            // A hair between neighbours.
            let x = (left + 0.03 * width, left + 0.97 * width);
            panel.blocks.push(Block { x, y: (0.0, value), fill: Colour::of(at) });
            panel.texts.push(Text {
                at: ((x.0 + x.1) / 2.0, value),
                text: format!("{value:.1}"),
                size: NUMBER,
                colour: Colour::INK,
                place: Place::Above,
            });
        }
    }
    let longest = groups.iter().map(|name| name.chars().count()).max().unwrap_or_default() as f64;
    let group = (runs.len() as f64 * BAR / FILLED).max(longest * LETTER + 6.0);
    let names = runs.iter().enumerate();
    let legend = names.map(|(at, (name, _))| Key { text: name.clone(), stroke: Stroke::patch(Colour::of(at)) });
    Ok(Figure {
        panels: vec![panel],
        panel_size: (((groups.len() as f64 * group).ceil() as u32).max(420), 300),
        legend: vec![legend.collect()],
        ..Figure::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(runs: Vec<(String, Vec<Option<f64>>)>) -> Bars {
        let groups = vec!["rare".to_owned(), "frequent".to_owned()];
        Bars { figure: "test", lacks: "value", label: "AP (%)", note: String::new(), groups, runs }
    }

    #[test]
    fn bars_by_hand() {
        let runs = vec![("a".to_owned(), vec![Some(10.0), Some(42.0)]), ("b".to_owned(), vec![None, Some(50.0)])];
        let figure = bars_figure(bars(runs)).unwrap();
        let panel = &figure.panels[0];
        let tops: Vec<_> = panel.blocks.iter().map(|block| (block.y.1, block.fill)).collect();
        assert_eq!(tops, [(10.0, Colour::of(0)), (42.0, Colour::of(0)), (50.0, Colour::of(1))]);
        // The second group is from .6 to 1.4, its second half is that of the second run.
        let middle = (panel.blocks[2].x.0 + panel.blocks[2].x.1) / 2.0;
        assert!((middle - 1.2).abs() < 1e-12, "{middle}");
        assert_eq!(panel.y.high, 60.0, "the number over the bar of 50 has room");
        assert_eq!(panel.texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>(), ["10.0", "42.0", "50.0"]);
        assert!(figure.svg().unwrap().contains("frequent"));
    }

    #[test]
    fn a_run_without_values_is_named() {
        let lacks = PlotError::EmptyRun { figure: "test", name: "a".to_owned(), lacks: "value" };
        assert_eq!(bars_figure(bars(vec![("a".to_owned(), vec![None, None])])), Err(lacks));
        assert_eq!(bars_figure(bars(Vec::new())), Err(PlotError::NoRuns { figure: "test" }));
    }
}
