//! Training and test accuracy of each group as bars (paper, Figure 6).

use super::{PlotError, check_runs};
use crate::figure::{Axis, Block, Colour, Figure, Grid, Key, Panel, Place, Stroke, Text};
use crate::longtail::{Gap, GeneralisationGap, Group};

/// Share of a group's width that its bars take.
const FILLED: f64 = 0.8;
/// Narrowest bar under a number such as "−12.3", in CSS pixels.
const BAR: usize = 38;
const NUMBER: f64 = 11.0;

/// Draws training and test accuracy of runs on all classes and on each group: of each run a bar as high as the training
/// accuracy, solid up to the test accuracy, with the difference in percentage points above it.
///
/// # Errors
/// No runs.
pub fn gap_figure(runs: &[(String, &GeneralisationGap)]) -> Result<Figure, PlotError> {
    check_runs("train-test gap", runs)?;
    let of = |gap: &GeneralisationGap, group: Option<Group>| match group {
        None => Some(gap.all),
        Some(group) => gap.of(group).copied(),
    };
    let groups: Vec<Option<Group>> = std::iter::once(None)
        .chain(Group::ALL.map(Some))
        .filter(|&group| runs.iter().any(|(_, gap)| of(gap, group).is_some()))
        .collect();
    let names = groups.iter().map(|group| group.map_or("All", Group::name).to_owned());
    let ticks = names.enumerate().map(|(at, name)| (at as f64, name)).collect();
    let x = Axis::linear("", -0.5, groups.len() as f64 - 0.5).with_ticks(ticks);
    // Room for a number over a bar of 100 %.
    let y = Axis::linear("accuracy (%)", 0.0, 108.0)
        .with_ticks((0..=5).map(|tick| (f64::from(20 * tick), (20 * tick).to_string())).collect());
    let mut panel = Panel {
        note: "numbers: training − test accuracy, percentage points".to_owned(),
        grid: Grid::Horizontal,
        ..Panel::new(x, y)
    };
    let width = FILLED / runs.len() as f64;
    for (place, &group) in groups.iter().enumerate() {
        for (at, (_, gap)) in runs.iter().enumerate() {
            if let Some(gap) = of(gap, group) {
                let left = place as f64 - FILLED / 2.0 + at as f64 * width;
                draw(&mut panel, gap, (left, left + width), Colour::of(at));
            }
        }
    }
    let patch = |text: &str, colour| Key { text: text.to_owned(), stroke: Stroke::patch(colour) };
    let kinds = vec![patch("test accuracy", Colour::INK), patch("training accuracy", light(Colour::INK))];
    let names = runs.iter().enumerate().map(|(at, (name, _))| patch(name, Colour::of(at))).collect();
    let bars = (groups.len() * runs.len() * BAR) as f64 / FILLED;
    Ok(Figure {
        panels: vec![panel],
        panel_size: ((bars.ceil() as u32).max(420), 300),
        legend: vec![names, kinds],
        ..Figure::default()
    })
}

fn light(colour: Colour) -> Colour {
    colour.towards(Colour::WHITE, 0.65)
}

fn draw(panel: &mut Panel, gap: Gap, (left, right): (f64, f64), colour: Colour) {
    // A hair between neighbours.
    let x = (left + 0.03 * (right - left), right - 0.03 * (right - left));
    panel.blocks.push(Block { x, y: (0.0, gap.train), fill: light(colour) });
    panel.blocks.push(Block { x, y: (0.0, gap.test), fill: colour });
    panel.texts.push(Text {
        at: ((left + right) / 2.0, gap.train.max(gap.test)),
        text: format!("{:.1}", gap.gap).replace('-', "\u{2212}"),
        size: NUMBER,
        colour: Colour::INK,
        place: Place::Above,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::longtail::ByGroup;

    #[test]
    fn bars_by_hand() {
        let gap = |train: f64, test: f64| Gap { train, test, gap: train - test };
        let one = ByGroup { all: gap(90.0, 60.0), many: Some(gap(80.0, 85.5)), medium: None, few: None };
        let other = ByGroup { all: gap(95.0, 62.0), many: None, medium: None, few: Some(gap(99.0, 20.0)) };
        let figure = gap_figure(&[("CE".to_owned(), &one), ("CB".to_owned(), &other)]).unwrap();
        let panel = &figure.panels[0];
        assert_eq!(panel.x.ticks.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["All", "Many", "Few"]);
        let texts: Vec<&str> = panel.texts.iter().map(|text| text.text.as_str()).collect();
        assert_eq!(texts, ["30.0", "33.0", "\u{2212}5.5", "79.0"]);
        assert_eq!(panel.texts[2].at.1, 85.5);
        assert_eq!(panel.blocks.len(), 8);
        assert!(figure.svg().unwrap().contains("training accuracy"));
        assert_eq!(gap_figure(&[]), Err(PlotError::NoRuns { figure: "train-test gap" }));
    }
}
