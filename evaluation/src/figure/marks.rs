//! What panels show beside curves: filled blocks, dots and texts, at values of the axes.

use super::canvas::{Align, Canvas};
use super::{Colour, FigureError};

/// A filled rectangle: a bar, or a cell of a heat map.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// From and to on the horizontal axis.
    pub x: (f64, f64),
    /// From and to on the vertical axis.
    pub y: (f64, f64),
    /// Its colour.
    pub fill: Colour,
}

/// Points that no line connects; those outside the axes are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Dots {
    /// Where they are.
    pub points: Vec<(f64, f64)>,
    /// Their colour.
    pub colour: Colour,
    /// Their radius in CSS pixels.
    pub radius: f64,
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its middle is there.
    Centre,
    /// Just above.
    Above,
}

/// A text in a panel; it is left out when its point is outside the axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Its point.
    pub at: (f64, f64),
    /// What it says.
    pub text: String,
    /// Height of its font in CSS pixels.
    pub size: f64,
    /// Its colour.
    pub colour: Colour,
    /// Where it stands.
    pub place: Place,
}

type Point = (f64, f64);

fn inside(point: Point) -> bool {
    (0.0..=1.0).contains(&point.0) && (0.0..=1.0).contains(&point.1)
}

/// Draws the parts of the blocks that are within the axes. `place` maps values to shares of the panel, `on_page` those
/// to the page.
pub(super) fn draw_blocks(
    canvas: &Canvas,
    blocks: &[Block],
    place: impl Fn(&Point) -> Point,
    on_page: impl Fn(Point) -> Point,
) -> Result<(), FigureError> {
    for block in blocks {
        let corners = [(block.x.0, block.y.0), (block.x.1, block.y.1)].map(|corner| place(&corner));
        if !corners.iter().all(|(x, y)| x.is_finite() && y.is_finite()) {
            continue;
        }
        let [a, b] = corners.map(|(x, y)| (x.clamp(0.0, 1.0), y.clamp(0.0, 1.0)));
        if a.0 != b.0 && a.1 != b.1 {
            canvas.block([on_page((a.0.min(b.0), a.1.max(b.1))), on_page((a.0.max(b.0), a.1.min(b.1)))], block.fill)?;
        }
    }
    Ok(())
}

/// Draws the dots that are within the axes.
pub(super) fn draw_dots(
    canvas: &Canvas,
    dots: &[Dots],
    place: impl Fn(&Point) -> Point,
    on_page: impl Fn(Point) -> Point,
) -> Result<(), FigureError> {
    for group in dots {
        for point in group.points.iter().map(&place).filter(|&point| inside(point)) {
            canvas.disc(on_page(point), group.radius, group.colour)?;
        }
    }
    Ok(())
}

/// Draws the texts whose points are within the axes.
pub(super) fn draw_texts(
    canvas: &Canvas,
    texts: &[Text],
    place: impl Fn(&Point) -> Point,
    on_page: impl Fn(Point) -> Point,
) -> Result<(), FigureError> {
    for text in texts {
        let point = place(&text.at);
        if inside(point) {
            let (x, y) = on_page(point);
            let raised = match text.place {
                Place::Centre => 0.0,
                Place::Above => 2.0 + text.size * 0.6,
            };
            canvas.text((x, y - raised), &text.text, text.size, text.colour, Align::Middle)?;
        }
    }
    Ok(())
}
