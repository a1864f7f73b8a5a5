//! A box as it is written, checked and cut to its image.

use super::records::Numbers;
use crate::data::BoxFault;

/// Pixels by which rounded coordinates may reach beyond an image without anyone having meant that.
const TOLERANCE: f64 = 1e-3;

/// A box within its image.
#[derive(Debug, PartialEq)]
pub(super) struct Clipped {
    /// x1, y1, x2, y2 in pixels.
    pub bbox: [f32; 4],
    /// Whether it reached beyond the image by more than a rounding error.
    pub beyond: bool,
}

/// Cuts `[x, y, width, height]` to an image.
pub(super) fn clip(written: &Numbers, width: u32, height: u32) -> Result<Clipped, BoxFault> {
    let bbox = written.first;
    if written.count != 4 {
        return Err(BoxFault::Length(written.count));
    }
    if bbox.iter().any(|number| !number.is_finite()) {
        return Err(BoxFault::NotFinite(bbox));
    }
    let [x, y, w, h] = bbox;
    if w <= 0.0 || h <= 0.0 {
        return Err(BoxFault::Empty(bbox));
    }
    let (right, bottom) = (f64::from(width), f64::from(height));
    if x >= right || y >= bottom || x + w <= 0.0 || y + h <= 0.0 {
        return Err(BoxFault::Outside { bbox, width, height });
    }
    let beyond = x.min(y) < -TOLERANCE || x + w > right + TOLERANCE || y + h > bottom + TOLERANCE;
    let clipped = [x.max(0.0), y.max(0.0), (x + w).min(right), (y + h).min(bottom)].map(|side| side as f32);
    // Rounded to float32, a sliver may have no area any more.
    if clipped[2] <= clipped[0] || clipped[3] <= clipped[1] {
        return Err(BoxFault::Empty(bbox));
    }
    Ok(Clipped { bbox: clipped, beyond })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(first: [f64; 4]) -> Result<Clipped, BoxFault> {
        super::clip(&Numbers { first, count: 4 }, 100, 50)
    }

    #[test]
    fn cut_at_the_border_and_counted_beyond_rounding() {
        assert_eq!(clip([0.0, 0.0, 100.0, 50.0]), Ok(Clipped { bbox: [0.0, 0.0, 100.0, 50.0], beyond: false }));
        assert_eq!(clip([-5.0, 40.0, 20.0, 20.0]), Ok(Clipped { bbox: [0.0, 40.0, 15.0, 50.0], beyond: true }));
        assert_eq!(clip([90.0, 1.0, 10.0005, 2.0]), Ok(Clipped { bbox: [90.0, 1.0, 100.0, 3.0], beyond: false }));
    }

    #[test]
    fn what_is_no_box() {
        assert!(matches!(clip([1.0, f64::NAN, 2.0, 2.0]), Err(BoxFault::NotFinite(_))));
        assert!(matches!(clip([1.0, 1.0, f64::INFINITY, 2.0]), Err(BoxFault::NotFinite(_))));
        for empty in [[1.0, 1.0, 0.0, 2.0], [1.0, 1.0, 2.0, -2.0], [99.0, 1.0, 1e-9, 2.0]] {
            assert_eq!(clip(empty), Err(BoxFault::Empty(empty)));
        }
        // The end is exclusive: a box from column 100 on has no pixel of 100 columns, nor has one that ends at 0.
        for outside in [[100.0, 1.0, 5.0, 5.0], [-5.0, 1.0, 5.0, 5.0], [1.0, 50.0, 5.0, 5.0], [1.0, -9.0, 5.0, 5.0]] {
            assert_eq!(clip(outside), Err(BoxFault::Outside { bbox: outside, width: 100, height: 50 }));
        }
        let short = Numbers { first: [1.0; 4], count: 3 };
        assert_eq!(super::clip(&short, 9, 9), Err(BoxFault::Length(3)));
    }
}
