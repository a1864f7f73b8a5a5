//! Boxes with labels over a photograph.

use std::fmt::Write as _;

use resvg::tiny_skia::{Pixmap, Transform};

use super::canvas::failed;
use super::png::tree;
use super::{Colour, FigureError};

/// A box over a photograph.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledBox {
    /// `[x1, y1, x2, y2]` in pixels.
    pub corners: [f32; 4],
    /// Written at its upper left corner; empty for none.
    pub label: String,
    /// Of its edge and of what is behind the label.
    pub colour: Colour,
}

/// Draws `boxes`, later ones over earlier ones, over a photograph: 8-bit RGB, `[height, width, 3]`. Gives a PNG file of the
/// photograph's size.
///
/// # Errors
/// As many bytes as pixels need are not there; a drawing library failed.
pub fn boxes_over(rgb: &[u8], (height, width): (usize, usize), boxes: &[LabelledBox]) -> Result<Vec<u8>, FigureError> {
    if rgb.len() != 3 * height * width {
        let found = rgb.len();
        return Err(FigureError::Draw(format!("{found} bytes are no RGB image of {height}x{width} pixels")));
    }
    let mut picture = u32::try_from(width)
        .ok()
        .zip(u32::try_from(height).ok())
        .and_then(|(width, height)| Pixmap::new(width, height))
        .ok_or_else(|| FigureError::Draw(format!("a picture of {height}x{width} pixels cannot be drawn")))?;
    for (to, from) in picture.data_mut().chunks_exact_mut(4).zip(rgb.chunks_exact(3)) {
        to[..3].copy_from_slice(from);
        to[3] = u8::MAX;
    }
    if !boxes.is_empty() {
        let svg = overlay((height, width), boxes);
        resvg::render(&tree(&svg)?, Transform::identity(), &mut picture.as_mut());
    }
    picture.encode_png().map_err(failed)
}

/// The boxes as an SVG of the photograph's size.
fn overlay((height, width): (usize, usize), boxes: &[LabelledBox]) -> String {
    // Legible on photographs of any size.
    let size = (height.min(width) as f32 / 32.0).clamp(12.0, 28.0);
    let edge = size / 6.0;
    let mut svg = format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">"#);
    for LabelledBox { corners: [x1, y1, x2, y2], label, colour: Colour(r, g, b) } in boxes {
        let (w, h) = ((x2 - x1).max(0.0), (y2 - y1).max(0.0));
        // Writing to a string does not fail.
        let _ = write!(
            svg,
            r#"<rect x="{x1}" y="{y1}" width="{w}" height="{h}" fill="none" stroke="rgb({r},{g},{b})" stroke-width="{edge}"/>"#
        );
        if label.is_empty() {
            continue;
        }
        // About what DejaVu Sans takes; inside the picture where the box begins above it.
        let (long, tall) = (0.62 * size * label.chars().count() as f32 + size / 2.0, 1.25 * size);
        let top = if y1 - tall >= 0.0 { y1 - tall } else { *y1 };
        let left = x1.min(width as f32 - long).max(0.0);
        let (x, y) = (left + size / 4.0, top + 0.95 * size);
        let text = label.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = write!(
            svg,
            r#"<rect x="{left}" y="{top}" width="{long}" height="{tall}" fill="rgb({r},{g},{b})"/><text x="{x}" y="{y}" font-family="DejaVu Sans" font-size="{size}" fill="white">{text}</text>"#
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_where_it_should_be() {
        let (height, width) = (100, 200);
        let grey = vec![128; 3 * height * width];
        let one = LabelledBox { corners: [20.0, 40.0, 120.0, 90.0], label: "a < b".into(), colour: Colour(200, 0, 0) };
        let picture = Pixmap::decode_png(&boxes_over(&grey, (height, width), &[one]).unwrap()).unwrap();
        let pixel = |x: u32, y: u32| picture.pixel(x, y).map(|p| (p.red(), p.green(), p.blue())).unwrap();
        assert_eq!((picture.width(), picture.height()), (200, 100));
        assert_eq!(pixel(20, 70), (200, 0, 0), "its left edge");
        assert_eq!(pixel(70, 90), (200, 0, 0), "its lower edge");
        assert_eq!(pixel(70, 60), (128, 128, 128), "its inside");
        let label = (20..60).flat_map(|x| (25..39).map(move |y| (x, y)));
        assert!(label.filter(|&(x, y)| pixel(x, y).1 > 100).count() > 10, "its label");
    }

    #[test]
    fn too_few_bytes_are_an_error() {
        assert!(boxes_over(&[0; 10], (2, 2), &[]).unwrap_err().to_string().contains("10 bytes"));
    }
}
