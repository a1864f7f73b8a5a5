//! The pictures of figures, as SVG and PNG.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use imbalance_core::host::{LossChoice, SearchPath};
use imbalance_core::{ClassCounts, Head};
use imbalance_evaluation::figure::{Axis, Block, Colour, Dots, Figure, Grid, Key, Line, Panel, Place, Stroke, Text};
use imbalance_evaluation::longtail::{gap_figure, likelihood_figure};
use imbalance_vision::RunResults;

use super::plan::Plan;
use super::report::{Report, RowReport};
use super::spec::Drawing;
use crate::losses::plot::{Curve, LossCurves, Quantity, legend, panel};

/// Id, name and parameters of a loss.
type Shown = (&'static str, &'static str, &'static [(&'static str, f64)]);

/// The losses of Figure 2's left; γ is that of the runs.
const HALTED: [Shown; 3] = [
    ("cross-entropy", "CE", &[]),
    ("focal", "FL (γ = 1)", &[("gamma", 1.0)]),
    ("halted-focal", "HFL (φ = 0.5)", &[("gamma", 1.0), ("phi", 0.5)]),
];
/// Height of numbers in pictures, in CSS pixels.
const NUMBER: f64 = 11.0;

/// Draws what there is of a figure into the plan's folder; no files for a table, or where nothing is there yet.
///
/// # Errors
/// A loss that is not there; results that cannot be read; pictures that cannot be written.
pub fn draw(plan: &Plan, report: &Report, plugin_dirs: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let Some(drawing) = plan.spec.figure else { return Ok(Vec::new()) };
    let figure = match drawing {
        Drawing::HaltedFocal => Some(halted_focal(report, plugin_dirs)?),
        Drawing::BonusStrength => report.has_results().then(|| bonus_strength(report)),
        Drawing::WordFrequencies => report.has_results().then(|| word_frequencies(report)),
        Drawing::Likelihood => {
            let runs = first_runs(report)?;
            let shown: Vec<_> =
                runs.iter().map(|(name, run)| (name.clone(), &run.scores.likelihood_histograms)).collect();
            (!shown.is_empty()).then(|| likelihood_figure(&shown)).transpose()?
        }
        Drawing::Gap => {
            let runs = first_runs(report)?;
            let shown: Vec<_> = runs.iter().map(|(name, run)| (name.clone(), &run.gap)).collect();
            (!shown.is_empty()).then(|| gap_figure(&shown)).transpose()?
        }
    };
    let Some(mut figure) = figure else { return Ok(Vec::new()) };
    let comparable = if report.comparable { "" } else { ", not comparable with the paper" };
    figure.title = format!("{} ({} scale{comparable})", report.title, report.scale);
    ["svg", "png"]
        .into_iter()
        .map(|format| {
            let path = plan.output.join(format!("{}.{format}", report.name));
            figure.write(&path)?;
            Ok(path)
        })
        .collect()
}

/// The first finished run of each row that has one.
fn first_runs(report: &Report) -> anyhow::Result<Vec<(String, RunResults)>> {
    let of = |row: &RowReport| Some((row.name.clone(), row.runs.first()?.clone()));
    report.rows.iter().filter_map(of).map(|(name, run)| Ok((name, RunResults::read(&run)?))).collect()
}

/// Left the losses over p, right the accuracies by t.
fn halted_focal(report: &Report, plugin_dirs: &[PathBuf]) -> anyhow::Result<Figure> {
    let search = SearchPath::standard(plugin_dirs)?;
    // Which counts makes no difference: every class halts.
    let counts = ClassCounts::new(vec![5000, 500])?;
    let curves = HALTED.iter().enumerate().map(|(at, (id, name, params))| {
        let plugin = Arc::new(search.open(id)?);
        let params = params.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        let loss = LossChoice { plugin, params }.make(Head::Softmax, &counts)?;
        Ok(LossCurves { name: (*name).to_owned(), curves: vec![Curve::of(&loss, 1)?], colour: Colour::of(at) })
    });
    let curves: Vec<LossCurves> = curves.collect::<anyhow::Result<_>>()?;
    let keys = legend(&curves, &[1], &counts, None).into_iter().take(1).collect();
    let mut panels = vec![panel(Quantity::Loss, &curves, None, None)];
    let shares = report.rows.iter().map(|row| {
        let share: f64 = row.id.trim_start_matches("t-").parse().with_context(|| format!("{}: no share", row.id))?;
        Ok((share, row.cells[0].values.as_slice()))
    });
    let shares: Vec<(f64, &[f64])> = shares.collect::<anyhow::Result<_>>()?;
    if report.has_results() {
        let x = Axis::linear("share t of the classes, rarest first, that it halts for", -0.05, 1.05)
            .with_ticks((0..=5).map(|tick| (f64::from(tick) / 5.0, format!("{:.1}", f64::from(tick) / 5.0))).collect());
        panels.push(Panel { title: "Accuracy".into(), ..seeds_and_means(x, &shares, Colour::INK) });
    }
    Ok(Figure { columns: panels.len(), panels, legend: keys, ..Figure::default() })
}

/// Dots for the runs, a line through their means.
fn seeds_and_means(x: Axis, places: &[(f64, &[f64])], colour: Colour) -> Panel {
    let all = || places.iter().flat_map(|(at, values)| values.iter().map(move |value| (*at, *value)));
    let mean = |(at, values): &(f64, &[f64])| {
        (!values.is_empty()).then(|| (*at, values.iter().sum::<f64>() / values.len() as f64))
    };
    Panel {
        dots: vec![Dots { points: all().collect(), colour, radius: 3.0 }],
        lines: vec![Line { points: places.iter().filter_map(mean).collect(), stroke: Stroke::solid(colour) }],
        ..Panel::new(x, around("accuracy (%)", all().map(|(_, value)| value)))
    }
}

/// An axis around values, of whole numbers, with room for a number above.
fn around(label: &str, values: impl Iterator<Item = f64> + Clone) -> Axis {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    let room = ((high - low) * 0.15).max(0.5);
    Axis::linear(label, (low - room).floor(), (high + room).ceil())
}

/// The accuracies side by side, the paper's among them.
fn bonus_strength(report: &Report) -> Figure {
    let paper: Vec<(f64, f64)> = report
        .rows
        .iter()
        .enumerate()
        .filter_map(|(at, row)| Some((at as f64, super::spec::paper_mean(&row.cells[0].paper)?)))
        .collect();
    let ours: Vec<(f64, &[f64])> =
        report.rows.iter().enumerate().map(|(at, row)| (at as f64, row.cells[0].values.as_slice())).collect();
    let names = report.rows.iter().enumerate();
    let ticks =
        names.map(|(at, row)| (at as f64, row.name.replace("Power bonus, ", "").replace(" bonus", ""))).collect();
    let x = Axis::linear("", -0.5, report.rows.len() as f64 - 0.5).with_ticks(ticks);
    let mut panel = Panel { lines: Vec::new(), grid: Grid::Horizontal, ..seeds_and_means(x, &ours, Colour::of(0)) };
    let all = ours.iter().flat_map(|(_, values)| values.iter().copied());
    panel.y = around("accuracy (%)", all.chain(paper.iter().map(|(_, value)| *value)).collect::<Vec<_>>().into_iter());
    panel.dots.insert(0, Dots { points: paper, colour: Colour::REFERENCE, radius: 4.0 });
    for (at, row) in report.rows.iter().enumerate() {
        let Some(spread) = row.cells[0].ours else { continue };
        panel.texts.push(number(
            (at as f64, row.cells[0].values.iter().copied().fold(spread.mean, f64::max)),
            spread.mean,
            1,
        ));
    }
    Figure {
        panels: vec![panel],
        columns: 1,
        panel_size: (620, 320),
        legend: vec![vec![key("ours", Colour::of(0)), key("the paper", Colour::REFERENCE)]],
        ..Figure::default()
    }
}

/// Word types by how often they occur, the paper's beside ours.
fn word_frequencies(report: &Report) -> Figure {
    let series = [(Colour::REFERENCE, 0.0), (Colour::of(0), 0.4)];
    let ticks = report.rows.iter().enumerate().map(|(at, row)| (at as f64, row.name.clone())).collect();
    let x = Axis::linear("", -0.5, report.rows.len() as f64 - 0.5).with_ticks(ticks);
    let (mut blocks, mut texts, mut highest) = (Vec::new(), Vec::new(), 0.0_f64);
    for (at, row) in report.rows.iter().enumerate() {
        let values = [super::spec::paper_mean(&row.cells[0].paper), row.cells[0].ours.map(|ours| ours.mean)];
        for (value, (fill, offset)) in values.into_iter().zip(series) {
            let Some(value) = value else { continue };
            let left = at as f64 - 0.4 + offset;
            blocks.push(Block { x: (left + 0.01, left + 0.39), y: (0.0, value), fill });
            texts.push(number((left + 0.2, value), value, 0));
            highest = highest.max(value);
        }
    }
    let y = Axis::linear("word types", 0.0, (highest / 1000.0 * 1.1).ceil() * 1000.0);
    Figure {
        panels: vec![Panel { grid: Grid::Horizontal, blocks, texts, ..Panel::new(x, y) }],
        columns: 1,
        panel_size: (520, 320),
        legend: vec![vec![key("the paper", Colour::REFERENCE), key("these data", Colour::of(0))]],
        ..Figure::default()
    }
}

fn number(at: (f64, f64), value: f64, digits: usize) -> Text {
    Text { at, text: format!("{value:.digits$}"), size: NUMBER, colour: Colour::INK, place: Place::Above }
}

fn key(text: &str, colour: Colour) -> Key {
    Key { text: text.to_owned(), stroke: Stroke::patch(colour) }
}
