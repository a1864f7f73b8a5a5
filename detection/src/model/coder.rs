//! Boxes as offsets from anchors (Girshick et al., 2014, appendix C), all weights 1, without the "+1" of older codes.

use super::boxes::Boxes;

/// Largest logarithm of a box's size over its anchor's, so that the exponential stays small.
pub const MAX_LOG_SCALE: f32 = 4.135_166_6; // ln(1000/16)

struct Centred {
    x: f32,
    y: f32,
    width: f32,
    height: f32,
}

#[inline]
fn centred([x1, y1, x2, y2]: [f32; 4]) -> Centred {
    let (width, height) = (x2 - x1, y2 - y1);
    Centred { x: x1 + 0.5 * width, y: y1 + 0.5 * height, width, height }
}

/// `[dx, dy, dw, dh]` of a box from an anchor, both of sizes above 0.
#[inline]
pub fn encode(anchor: [f32; 4], of: [f32; 4]) -> [f32; 4] {
    let (anchor, of) = (centred(anchor), centred(of));
    [
        (of.x - anchor.x) / anchor.width,
        (of.y - anchor.y) / anchor.height,
        (of.width / anchor.width).ln(),
        (of.height / anchor.height).ln(),
    ]
}

/// The box that offsets give; sizes grow at most by [`MAX_LOG_SCALE`].
#[inline]
pub fn decode(anchor: [f32; 4], [dx, dy, dw, dh]: [f32; 4]) -> [f32; 4] {
    let anchor = centred(anchor);
    let (x, y) = (dx * anchor.width + anchor.x, dy * anchor.height + anchor.y);
    let half_width = 0.5 * dw.min(MAX_LOG_SCALE).exp() * anchor.width;
    let half_height = 0.5 * dh.min(MAX_LOG_SCALE).exp() * anchor.height;
    [x - half_width, y - half_height, x + half_width, y + half_height]
}

/// [`encode`] of many boxes, flat.
pub(super) fn encode_all(anchors: &[[f32; 4]], of: &Boxes) -> Vec<f32> {
    anchors.iter().zip(of).flat_map(|(&anchor, &of)| encode(anchor, of)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_hand() {
        // Centre (5, 10) against (4, 8), size 2 × 8 against 4 × 4.
        let offsets = encode([2.0, 6.0, 6.0, 10.0], [4.0, 6.0, 6.0, 14.0]);
        assert_eq!(offsets, [0.25, 0.5, 0.5f32.ln(), 2f32.ln()]);
    }

    #[test]
    fn the_limit_is_ln_of_1000_over_16() {
        assert_eq!(MAX_LOG_SCALE, (1000.0f64 / 16.0).ln() as f32);
        let [x1, _, x2, _] = decode([0.0, 0.0, 16.0, 16.0], [0.0, 0.0, 50.0, 0.0]);
        assert!((x2 - x1 - 1000.0).abs() < 1e-2);
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(
            anchor in [-50.0f32..50.0, -50.0..50.0, 8.0..90.0, 8.0..90.0],
            of in [-50.0f32..50.0, -50.0..50.0, 1.0..300.0, 1.0..300.0],
        ) {
            let corners = |[x, y, w, h]: [f32; 4]| [x, y, x + w, y + h];
            let (anchor, of) = (corners(anchor), corners(of));
            for (found, expected) in decode(anchor, encode(anchor, of)).into_iter().zip(of) {
                prop_assert!((found - expected).abs() < 2e-3, "{found} is not {expected}");
            }
        }
    }
}
