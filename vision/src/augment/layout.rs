//! The last step in one pass over the pixels: window, mirror, normalisation and the order of the numbers.

use serde::{Deserialize, Serialize};

use super::augmenter::ImageRef;

/// The order of a batch's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `[n, 3, height, width]`.
    #[default]
    ChannelsFirst,
    /// `[n, height, width, 3]`: the memory of a channels-last tensor.
    ChannelsLast,
}

/// `(value / 255 − mean) / std` of every channel and value of a byte, in float32 as torchvision computes it.
pub(super) struct Tables(Box<[[f32; 256]; 3]>);

impl Tables {
    pub fn new(mean: [f32; 3], std: [f32; 3]) -> Self {
        Self(Box::new(std::array::from_fn(|c| std::array::from_fn(|value| (value as f32 / 255.0 - mean[c]) / std[c]))))
    }

    /// Writes the `size`² window of `image` that starts at (`top`, `left`), mirrored if `flip`. Outside of the image it is
    /// black.
    ///
    /// # Shapes
    /// - `out`: `[3, size, size]` or `[size, size, 3]`, by `layout`
    pub fn write(&self, image: ImageRef<'_>, window: Window, layout: Layout, out: &mut [f32]) {
        let size = window.size;
        let [red, green, blue] = &*self.0;
        // Columns of the window that lie in the image, and where in the image they start.
        let first = (-window.left).clamp(0, size as i64) as usize;
        let end = (image.width as i64 - window.left).clamp(first as i64, size as i64) as usize;
        let source = (window.left + first as i64).max(0) as usize * 3;
        let columns = match window.flip {
            true => size - end..size - first,
            false => first..end,
        };
        let pixels_of = |row: usize| -> &[u8] {
            let row = window.top + row as i64;
            if (0..image.height as i64).contains(&row) && first < end {
                let start = row as usize * image.width * 3 + source;
                &image.bytes[start..start + (end - first) * 3]
            } else {
                &[]
            }
        };
        match layout {
            Layout::ChannelsFirst => {
                let (reds, rest) = out.split_at_mut(size * size);
                let (greens, blues) = rest.split_at_mut(size * size);
                let rows =
                    reds.chunks_exact_mut(size).zip(greens.chunks_exact_mut(size)).zip(blues.chunks_exact_mut(size));
                for (y, ((reds, greens), blues)) in rows.enumerate() {
                    let pixels = pixels_of(y);
                    if pixels.len() < size * 3 {
                        reds.fill(red[0]);
                        greens.fill(green[0]);
                        blues.fill(blue[0]);
                    }
                    if pixels.is_empty() {
                        continue;
                    }
                    let (reds, greens, blues) =
                        (&mut reds[columns.clone()], &mut greens[columns.clone()], &mut blues[columns.clone()]);
                    let each = reds.iter_mut().zip(greens).zip(blues);
                    let set = |((r, g), b): ((&mut f32, &mut f32), &mut f32), pixel: &[u8; 3]| {
                        *r = red[pixel[0] as usize];
                        *g = green[pixel[1] as usize];
                        *b = blue[pixel[2] as usize];
                    };
                    let (pixels, _) = pixels.as_chunks::<3>();
                    match window.flip {
                        true => each.rev().zip(pixels).for_each(|(to, pixel)| set(to, pixel)),
                        false => each.zip(pixels).for_each(|(to, pixel)| set(to, pixel)),
                    }
                }
            }
            Layout::ChannelsLast => {
                for (y, row) in out.chunks_exact_mut(size * 3).enumerate() {
                    let pixels = pixels_of(y);
                    let (row, _) = row.as_chunks_mut::<3>();
                    if pixels.len() < size * 3 {
                        row.fill([red[0], green[0], blue[0]]);
                    }
                    if pixels.is_empty() {
                        continue;
                    }
                    let set = |to: &mut [f32; 3], pixel: &[u8; 3]| {
                        *to = [red[pixel[0] as usize], green[pixel[1] as usize], blue[pixel[2] as usize]];
                    };
                    let (pixels, _) = pixels.as_chunks::<3>();
                    let row = &mut row[columns.clone()];
                    match window.flip {
                        true => row.iter_mut().rev().zip(pixels).for_each(|(to, pixel)| set(to, pixel)),
                        false => row.iter_mut().zip(pixels).for_each(|(to, pixel)| set(to, pixel)),
                    }
                }
            }
        }
    }
}

/// A square of an image, which may reach beyond it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// First row.
    pub top: i64,
    /// First column.
    pub left: i64,
    /// Rows and columns.
    pub size: usize,
    /// Whether it is mirrored left to right.
    pub flip: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixel (y, x) of a 2×3 image has red 10y + x, green 100 more, blue 200 more.
    const BYTES: [u8; 18] = [0, 100, 200, 1, 101, 201, 2, 102, 202, 10, 110, 210, 11, 111, 211, 12, 112, 212];

    /// The window of that image, as its levels: the tables do nothing but scale by 1/255, undone here.
    fn window(top: i64, left: i64, size: usize, flip: bool, layout: Layout) -> Vec<i32> {
        let tables = Tables::new([0.0; 3], [1.0 / 255.0; 3]);
        let mut out = vec![f32::NAN; 3 * size * size];
        let image = ImageRef { height: 2, width: 3, bytes: &BYTES };
        tables.write(image, Window { top, left, size, flip }, layout, &mut out);
        out.iter().map(|value| value.round() as i32).collect()
    }

    #[test]
    fn inside() {
        let first = [1, 2, 11, 12, 101, 102, 111, 112, 201, 202, 211, 212];
        assert_eq!(window(0, 1, 2, false, Layout::ChannelsFirst), first);
        let last = [1, 101, 201, 2, 102, 202, 11, 111, 211, 12, 112, 212];
        assert_eq!(window(0, 1, 2, false, Layout::ChannelsLast), last);
    }

    #[test]
    fn mirrored() {
        let first = [2, 1, 12, 11, 102, 101, 112, 111, 202, 201, 212, 211];
        assert_eq!(window(0, 1, 2, true, Layout::ChannelsFirst), first);
        let last = [2, 102, 202, 1, 101, 201, 12, 112, 212, 11, 111, 211];
        assert_eq!(window(0, 1, 2, true, Layout::ChannelsLast), last);
    }

    #[test]
    fn over_the_edges() {
        // Above and left of the image, then below and right of it; mirrored, the black columns change sides.
        let reds = |top, left, flip| window(top, left, 3, flip, Layout::ChannelsFirst)[..9].to_vec();
        assert_eq!(reds(-1, -2, false), [0, 0, 0, 0, 0, 0, 0, 0, 10]);
        assert_eq!(reds(1, 1, false), [11, 12, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(reds(1, 1, true), [0, 12, 11, 0, 0, 0, 0, 0, 0]);
        let last = window(1, 2, 2, true, Layout::ChannelsLast);
        assert_eq!(last, [0, 0, 0, 12, 112, 212, 0, 0, 0, 0, 0, 0]);
        // Nowhere near it.
        for (top, left) in [(5, 0), (-5, 0), (0, 7), (0, -7)] {
            assert_eq!(window(top, left, 2, false, Layout::ChannelsFirst), [0; 12]);
            assert_eq!(window(top, left, 2, true, Layout::ChannelsLast), [0; 12]);
        }
    }

    #[test]
    fn normalised_as_torchvision_does() {
        let picture = crate::augment::fixture::picture();
        let expected: Vec<f32> = crate::augment::fixture::bytes("normalised.f32")
            .as_chunks::<4>()
            .0
            .iter()
            .map(|four| f32::from_le_bytes(*four))
            .collect();
        let tables = Tables::new([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        // The fixture is the whole image, 22 by 30; a window of 22 sees its first columns.
        let mut out = vec![0.0; 3 * 22 * 22];
        tables.write(
            picture.as_ref(),
            Window { top: 0, left: 0, size: 22, flip: false },
            Layout::ChannelsFirst,
            &mut out,
        );
        for (row, expected) in out.chunks(22).zip(expected.chunks(30)) {
            assert_eq!(row, &expected[..22]);
        }
    }
}
