//! Figures: panels of curves, dots and filled blocks over one pair of axes each, a legend below, as SVG or PNG.
//!
//! ```
//! use imbalance_evaluation::figure::{Axis, Colour, Figure, Key, Line, Panel, Stroke};
//!
//! let stroke = Stroke::solid(Colour::of(0));
//! let points = (0..=50).map(|epoch| (f64::from(epoch), 90.0 - 60.0 * (-f64::from(epoch) / 9.0).exp()));
//! let figure = Figure {
//!     title: "CIFAR-10-LT".to_owned(),
//!     panels: vec![Panel {
//!         lines: vec![Line { points: points.collect(), stroke }],
//!         ..Panel::new(Axis::linear("epoch", 0.0, 50.0), Axis::linear("accuracy (%)", 0.0, 100.0))
//!     }],
//!     legend: vec![vec![Key { text: "validation".to_owned(), stroke }]],
//!     ..Figure::default()
//! };
//! assert!(figure.svg()?.contains("accuracy (%)"));
//! # Ok::<(), imbalance_evaluation::figure::FigureError>(())
//! ```
//!
//! Text in an SVG stays text. A PNG needs no fonts on the machine: DejaVu Sans is built in.

mod axis;
mod boxes;
mod canvas;
mod draw;
mod line;
mod marks;
mod png;
mod stroke;
#[cfg(test)]
mod tests;
mod write;

use std::path::PathBuf;

pub use axis::{Axis, Scale};
pub use boxes::{LabelledBox, boxes_over};
pub use line::{Line, steps};
pub use marks::{Block, Dots, Place, Text};
pub use stroke::{Colour, Dash, Stroke};
pub use write::{Format, write_whole};

/// A picture of one or more panels.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Above everything; empty for none.
    pub title: String,
    /// In reading order.
    pub panels: Vec<Panel>,
    /// Panels side by side.
    pub columns: usize,
    /// Width and height of each panel between its axes, in CSS pixels.
    pub panel_size: (u32, u32),
    /// Below the panels, in groups that start a row each.
    pub legend: Vec<Vec<Key>>,
}

impl Default for Figure {
    fn default() -> Self {
        Self { title: String::new(), panels: Vec::new(), columns: 2, panel_size: (380, 290), legend: Vec::new() }
    }
}

/// A pair of axes with what is drawn over them: blocks first, then dots, lines and texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Above the panel; empty for none.
    pub title: String,
    /// In small print below the title, such as what the picture leaves out; empty for none.
    pub note: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// Which ticks have a faint line across the panel.
    pub grid: Grid,
    /// Bars, or the cells of a heat map.
    pub blocks: Vec<Block>,
    /// Points without a line.
    pub dots: Vec<Dots>,
    /// Curves; later ones are drawn over earlier ones.
    pub lines: Vec<Line>,
    /// Words and numbers among them.
    pub texts: Vec<Text>,
}

impl Panel {
    /// A panel with nothing on it but its grid.
    pub fn new(x: Axis, y: Axis) -> Self {
        Self {
            title: String::new(),
            note: String::new(),
            x,
            y,
            grid: Grid::Both,
            blocks: Vec::new(),
            dots: Vec::new(),
            lines: Vec::new(),
            texts: Vec::new(),
        }
    }
}

/// Faint lines across a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// At the ticks of both axes.
    Both,
    /// At those of the vertical axis.
    Horizontal,
    /// Nowhere.
    None,
}

/// An entry of the legend.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// What the line stands for.
    pub text: String,
    /// How it is drawn.
    pub stroke: Stroke,
}

/// Why a figure was not made.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// There is nothing to draw.
    #[error("a figure needs at least one panel")]
    NoPanels,
    /// An axis that no value fits on.
    #[error("the axis {label:?} cannot run from {low} to {high}: {right}")]
    Axis {
        /// The axis.
        label: String,
        /// Its lower end.
        low: f64,
        /// Its upper end.
        high: f64,
        /// What would be right.
        right: &'static str,
    },
    /// Another format is asked for.
    #[error("cannot write a picture to {}: the file name must end in .svg or .png", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A drawing library failed.
    #[error("cannot draw the figure: {0}")]
    Draw(String),
}
