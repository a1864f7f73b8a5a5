//! What is done to pixels: mirrored, in the order of channels that the weights know, normalised, padded.

use super::{ChannelOrder, Colour};

/// Mirrors the rows of an image of `width` columns and brings its channels into order, in place.
pub(super) fn arrange(bytes: &mut [u8], width: usize, flip: bool, order: ChannelOrder) {
    match (flip, order) {
        (false, ChannelOrder::Rgb) => {}
        (true, ChannelOrder::Rgb) => {
            for row in bytes.chunks_exact_mut(width * 3) {
                row.as_chunks_mut::<3>().0.reverse();
            }
        }
        (false, ChannelOrder::Bgr) => bytes.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2)),
        // Last byte first: pixels and channels both change their order.
        (true, ChannelOrder::Bgr) => bytes.chunks_exact_mut(width * 3).for_each(<[u8]>::reverse),
    }
}

/// Writes `(value − mean) / std` of an image of `width` columns into the upper left corner of `out`, 0 around it.
///
/// # Shapes
/// - `bytes`: `[height, width, 3]`
/// - `out`: `[padded height, padded width, 3]`
pub(super) fn normalise(bytes: &[u8], width: usize, colour: &Colour, padded_width: usize, out: &mut [f32]) {
    // Sixteen pixels in step with the three channels: whole vectors of whatever width the processor has.
    const STEP: usize = 48;
    let mean: [f32; STEP] = std::array::from_fn(|i| colour.mean[i % 3]);
    let scale: [f32; STEP] = std::array::from_fn(|i| 1.0 / colour.std[i % 3]);
    let mut rows = out.chunks_exact_mut(padded_width * 3);
    for (from, to) in bytes.chunks_exact(width * 3).zip(&mut rows) {
        let (to, right) = to.split_at_mut(width * 3);
        let (from, from_rest) = from.as_chunks::<STEP>();
        let (to, to_rest) = to.as_chunks_mut::<STEP>();
        for (from, to) in from.iter().zip(to) {
            for i in 0..STEP {
                to[i] = (f32::from(from[i]) - mean[i]) * scale[i];
            }
        }
        for (i, (from, to)) in from_rest.iter().zip(to_rest).enumerate() {
            *to = (f32::from(*from) - mean[i]) * scale[i];
        }
        right.fill(0.0);
    }
    rows.for_each(|row| row.fill(0.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arranged_in_place() {
        let image: Vec<u8> = (0..12).collect();
        let of = |flip, order| {
            let mut bytes = image.clone();
            arrange(&mut bytes, 2, flip, order);
            bytes
        };
        assert_eq!(of(false, ChannelOrder::Rgb), image);
        assert_eq!(of(true, ChannelOrder::Rgb), [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]);
        assert_eq!(of(false, ChannelOrder::Bgr), [2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9]);
        assert_eq!(of(true, ChannelOrder::Bgr), [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6]);
    }

    #[test]
    fn normalised_and_padded() {
        // 2 rows of 19 pixels: one whole step and three pixels over, in a frame of 3 by 21.
        let bytes: Vec<u8> = (0..2 * 19 * 3).map(|i| i as u8).collect();
        let colour = Colour { order: ChannelOrder::Rgb, mean: [1.0, 2.0, 3.0], std: [1.0, 2.0, 4.0] };
        let mut out = vec![f32::NAN; 3 * 21 * 3];
        normalise(&bytes, 19, &colour, 21, &mut out);
        for (at, value) in out.iter().enumerate() {
            let (row, column, channel) = (at / 63, at / 3 % 21, at % 3);
            let expected = match row < 2 && column < 19 {
                true => {
                    (f64::from(bytes[(row * 19 + column) * 3 + channel]) - (channel + 1) as f64)
                        / f64::from(1 << channel)
                }
                false => 0.0,
            };
            assert_eq!(f64::from(*value), expected, "row {row}, column {column}, channel {channel}");
        }
    }
}
