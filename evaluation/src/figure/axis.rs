//! An axis: its label, its range, its scale.

use std::ops::Range;

use plotters::coord::combinators::LogCoord;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::IntoLogRange as _;

use super::FigureError;

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// Their logarithms evenly; for positive values.
    Log,
}

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it shows, with its unit; empty for none.
    pub label: String,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// How values are spread.
    pub scale: Scale,
    /// Values to mark and what stands there; empty for numbers at round values.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis from `low` to `high` with values spread evenly.
    pub fn linear(label: impl Into<String>, low: f64, high: f64) -> Self {
        Self { label: label.into(), low, high, scale: Scale::Linear, ticks: Vec::new() }
    }

    /// A logarithmic axis from `low` to `high`, both positive.
    pub fn log(label: impl Into<String>, low: f64, high: f64) -> Self {
        Self { label: label.into(), low, high, scale: Scale::Log, ticks: Vec::new() }
    }

    /// The same axis with words, such as the names of classes, in place of its numbers.
    pub fn with_ticks(self, ticks: Vec<(f64, String)>) -> Self {
        Self { ticks, ..self }
    }

    /// Where `value` is between the ends: 0 at the lower, 1 at the upper; not finite if it has no place.
    pub(super) fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        }
    }

    /// # Errors
    /// The ends are not finite, not in order, or, on a logarithmic axis, not positive.
    pub(super) fn check(&self) -> Result<(), FigureError> {
        let right = match self.scale {
            _ if !(self.low.is_finite() && self.high.is_finite() && self.low < self.high) => {
                "both ends must be finite, the lower one first"
            }
            Scale::Log if self.low <= 0.0 => "both ends of a logarithmic axis must be above 0",
            _ => return Ok(()),
        };
        Err(FigureError::Axis { label: self.label.clone(), low: self.low, high: self.high, right })
    }

    /// `value` as a tick says it.
    pub(super) fn tick(&self, value: f64) -> String {
        if let Some((_, text)) = self.ticks.iter().find(|(at, _)| *at == value) {
            return text.clone();
        }
        // Far below the distance of two ticks, so that 0.1 + 0.2 is 0.3 and what should be 0 is.
        let step = match self.scale {
            Scale::Linear => (self.high - self.low) * 1e-4,
            Scale::Log => value.abs() * 1e-4,
        };
        let digits = (-step.log10()).ceil().clamp(0.0, 12.0) as usize;
        let text = format!("{value:.digits$}");
        let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        match text.strip_prefix('-') {
            Some("0") => "0".to_owned(),
            Some(positive) => format!("\u{2212}{positive}"),
            None => text.to_owned(),
        }
    }

    /// The axis as the drawing library takes it.
    pub(super) fn ranged(&self) -> RangedAxis {
        let spread = match self.scale {
            Scale::Linear => Spread::Linear((self.low..self.high).into()),
            Scale::Log => Spread::Log((self.low..self.high).log_scale().into()),
        };
        let on_axis = |value: &f64| (self.low..=self.high).contains(value);
        RangedAxis { spread, ticks: self.ticks.iter().map(|(at, _)| *at).filter(on_axis).collect() }
    }
}

/// Either kind of axis as one type.
pub(super) struct RangedAxis {
    spread: Spread,
    ticks: Vec<f64>,
}

enum Spread {
    Linear(RangedCoordf64),
    Log(LogCoord<f64>),
}

impl Ranged for RangedAxis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        match &self.spread {
            Spread::Linear(axis) => axis.map(value, limit),
            Spread::Log(axis) => axis.map(value, limit),
        }
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match &self.spread {
            _ if !self.ticks.is_empty() => self.ticks.clone(),
            Spread::Linear(axis) => axis.key_points(hint),
            Spread::Log(axis) => axis.key_points(hint),
        }
    }

    fn range(&self) -> Range<f64> {
        match &self.spread {
            Spread::Linear(axis) => axis.range(),
            Spread::Log(axis) => axis.range(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_by_hand() {
        let linear = Axis::linear("", -2.0, 6.0);
        assert_eq!([-2.0, 0.0, 6.0, 8.0].map(|value| linear.place(value)), [0.0, 0.25, 1.0, 1.25]);
        let log = Axis::log("", 1.0, 100.0);
        assert!((log.place(10.0) - 0.5).abs() < 1e-15);
        assert!(!log.place(0.0).is_finite() && !log.place(-1.0).is_finite());
    }

    #[test]
    fn ticks_are_short() {
        let axis = Axis::linear("", -1.0, 1.0);
        assert_eq!([0.1 + 0.2, -0.5, -1e-17, 1.0].map(|value| axis.tick(value)), ["0.3", "\u{2212}0.5", "0", "1"]);
        assert_eq!(Axis::linear("", 0.0, 300.0).tick(200.0), "200");
        let log = Axis::log("", 1e-3, 1e5);
        assert_eq!([0.001, 1.0, 20_000.0].map(|value| log.tick(value)), ["0.001", "1", "20000"]);
    }

    #[test]
    fn words_replace_numbers_where_they_are_on_the_axis() {
        let ticks = [0.0, 1.0, 9.0].map(|at| (at, format!("class {at}"))).to_vec();
        let axis = Axis::linear("", -0.5, 1.5).with_ticks(ticks);
        let marked = axis.ranged().key_points(plotters::coord::ranged1d::BoldPoints(2));
        assert_eq!(marked.iter().map(|&at| axis.tick(at)).collect::<Vec<_>>(), ["class 0", "class 1"]);
    }

    #[test]
    fn impossible_axes_are_refused() {
        for axis in [Axis::linear("a", 1.0, 1.0), Axis::linear("a", 0.0, f64::NAN), Axis::log("a", 0.0, 1.0)] {
            assert!(matches!(axis.check(), Err(FigureError::Axis { label, .. }) if label == "a"));
        }
        assert!(Axis::log("", 0.1, 1.0).check().is_ok());
    }
}
