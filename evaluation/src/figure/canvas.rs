//! A drawing area measured in CSS pixels, with text in the built-in font.

use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::{Circle, DrawingArea, PathElement, RGBColor, Rectangle, SVGBackend, ShapeStyle, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontStyle, FontTransform, register_font};

use super::{Colour, FigureError, Stroke};

/// Units of the drawing library in a CSS pixel. It draws at whole numbers only; at one a pixel, curves have steps.
pub(super) const UNITS: f64 = 10.0;
/// Readers without DejaVu Sans have fonts as wide or narrower.
pub(super) const FONT: &str = "DejaVu Sans, Verdana, sans-serif";
/// What the drawing library divides a font's size by before it writes it.
const SIZE_FACTOR: f64 = 1.24;

/// Number of units of `pixels`.
pub(super) fn units(pixels: f64) -> i32 {
    (pixels * UNITS).round() as i32
}

/// A colour as the drawing library takes it.
pub(super) fn rgb(colour: Colour) -> RGBColor {
    RGBColor(colour.0, colour.1, colour.2)
}

/// A line as the drawing library takes it.
pub(super) fn shape(colour: Colour, width: f64) -> ShapeStyle {
    rgb(colour).stroke_width(units(width).unsigned_abs())
}

/// An error of the drawing library.
pub(super) fn failed(error: impl std::fmt::Display) -> FigureError {
    FigureError::Draw(error.to_string())
}

/// Gives the drawing library the font that it measures text with.
///
/// # Errors
/// The font is no font.
pub(super) fn load_font() -> Result<(), FigureError> {
    static LOADED: OnceLock<bool> = OnceLock::new();
    let loaded = *LOADED.get_or_init(|| register_font(FONT, FontStyle::Normal, dejavu::sans::regular()).is_ok());
    if loaded { Ok(()) } else { Err(FigureError::Draw("the built-in font cannot be read".to_owned())) }
}

/// Text of `size` CSS pixels.
pub(super) fn text_style(size: f64, colour: Colour) -> TextStyle<'static> {
    TextStyle { color: rgb(colour).to_backend_color(), ..TextStyle::from((FONT, size * SIZE_FACTOR * UNITS)) }
}

/// Width of `text` in CSS pixels; rather a little more than less.
///
/// # Errors
/// The font was not loaded.
pub(super) fn text_width(text: &str, size: f64) -> Result<f64, FigureError> {
    let (width, _) = text_style(size, Colour::INK).font.box_size(text).map_err(failed)?;
    Ok(f64::from(width) / UNITS)
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy)]
pub(super) enum Align {
    /// Begins there.
    Start,
    /// Is centred there.
    Middle,
}

/// What is drawn on.
pub(super) struct Canvas<'a, 'b>(pub &'a DrawingArea<SVGBackend<'b>, Shift>);

impl Canvas<'_, '_> {
    /// Text whose middle height is at `at`.
    pub fn text(&self, at: (f64, f64), text: &str, size: f64, colour: Colour, align: Align) -> Result<(), FigureError> {
        let across = match align {
            Align::Start => HPos::Left,
            Align::Middle => HPos::Center,
        };
        let style = text_style(size, colour).pos(Pos::new(across, VPos::Center)).transform(FontTransform::None);
        self.0.draw_text(text, &style, (units(at.0), units(at.1))).map_err(failed)
    }

    /// A line through `points`.
    pub fn line(&self, points: &[(f64, f64)], stroke: Stroke) -> Result<(), FigureError> {
        let style = shape(stroke.colour, stroke.width);
        let draw = |part: &[(f64, f64)]| {
            let part: Vec<(i32, i32)> = part.iter().map(|&(x, y)| (units(x), units(y))).collect();
            self.0.draw(&PathElement::new(part, style)).map_err(failed)
        };
        match stroke.dash.lengths() {
            None => draw(points),
            Some((dash, gap)) => dashes(points, dash, gap).iter().try_for_each(|part| draw(part)),
        }
    }

    /// A filled rectangle between two opposite corners.
    pub fn block(&self, corners: [(f64, f64); 2], fill: Colour) -> Result<(), FigureError> {
        let corners = corners.map(|(x, y)| (units(x), units(y)));
        self.0.draw(&Rectangle::new(corners, rgb(fill).filled())).map_err(failed)
    }

    /// A filled circle around `at`.
    pub fn disc(&self, at: (f64, f64), radius: f64, fill: Colour) -> Result<(), FigureError> {
        self.0.draw(&Circle::new((units(at.0), units(at.1)), units(radius), rgb(fill).filled())).map_err(failed)
    }

    /// A filled square around `at`.
    pub fn dot(&self, at: (f64, f64), stroke: Stroke) -> Result<(), FigureError> {
        let radius = stroke.width * 1.5;
        self.block([-radius, radius].map(|by| (at.0 + by, at.1 + by)), stroke.colour)
    }
}

/// Cuts the line through `points` into dashes.
fn dashes(points: &[(f64, f64)], dash: f64, gap: f64) -> Vec<Vec<(f64, f64)>> {
    let Some(&first) = points.first() else { return Vec::new() };
    let mut parts = vec![vec![first]];
    let (mut drawing, mut left) = (true, dash);
    for pair in points.windows(2) {
        let ((mut x, mut y), to) = (pair[0], pair[1]);
        let mut length = (to.0 - x).hypot(to.1 - y);
        while length > left {
            let share = left / length;
            (x, y) = (x + (to.0 - x) * share, y + (to.1 - y) * share);
            length -= left;
            match parts.last_mut() {
                Some(part) if drawing => part.push((x, y)),
                _ => parts.push(vec![(x, y)]),
            }
            drawing = !drawing;
            left = if drawing { dash } else { gap };
        }
        left -= length;
        if let Some(part) = parts.last_mut().filter(|_| drawing) {
            part.push(to);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_round_corners() {
        let parts = dashes(&[(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)], 4.0, 2.0);
        assert_eq!(parts, [vec![(0.0, 0.0), (4.0, 0.0)], vec![(5.0, 1.0), (5.0, 5.0)]]);
    }

    #[test]
    fn text_is_measured() {
        load_font().unwrap();
        let (one, two) = (text_width("m", 12.0).unwrap(), text_width("mm", 12.0).unwrap());
        // An m of DejaVu Sans is 1995 of 2048 units wide.
        assert!(one > 11.0 && one < 13.5 && (two - 2.0 * one).abs() < 0.3, "{one} {two}");
    }
}
