//! Scaling with a triangle filter as wide as the scaling asks for: PIL's `BILINEAR`, torchvision's `antialias=True`.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::augmenter::ImageRef;

/// A rectangle in (fractions of) pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rectangle {
    /// First row.
    pub top: f64,
    /// First column.
    pub left: f64,
    /// Rows.
    pub height: f64,
    /// Columns.
    pub width: f64,
}

/// What of an image is seen, and what of that is scaled.
pub(super) enum Part {
    /// Whole pixels (top, left, height, width); the filter sees no others.
    Cropped(usize, usize, usize, usize),
    /// A rectangle; at its edges the filter sees pixels around it.
    Within(Rectangle),
}

/// Scales `part` of `image` to `size`².
///
/// # Shapes
/// - `out`: `[size, size, 3]`
pub(super) fn scale(
    resizer: &mut Resizer,
    image: ImageRef<'_>,
    part: Part,
    size: usize,
    out: &mut [u8],
) -> Result<(), Box<dyn std::error::Error>> {
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    // Sides of images and crops are checked to be at most a few ten thousand where they come from.
    let from = TypedImageRef::<U8x3>::from_buffer(image.width as u32, image.height as u32, image.bytes)?;
    let mut to = TypedImage::<U8x3>::from_buffer(size as u32, size as u32, out)?;
    match part {
        Part::Cropped(top, left, height, width) => {
            let from = TypedCroppedImage::from_ref(&from, left as u32, top as u32, width as u32, height as u32)?;
            resizer.resize_typed(&from, &mut to, &options)?;
        }
        Part::Within(Rectangle { top, left, height, width }) => {
            resizer.resize_typed(&from, &mut to, &options.crop(left, top, width, height))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::augment::fixture::{self, difference};

    /// Weights of the pixels of a side that make output `at` of `size` outputs over `from..from + length`: a triangle as
    /// wide as two outputs, or two pixels where the image grows.
    fn weights(full: usize, from: f64, length: f64, size: usize, at: usize) -> Vec<f64> {
        let step = length / size as f64;
        let half = step.max(1.0);
        let middle = from + (at as f64 + 0.5) * step;
        let weight = |pixel: usize| (1.0 - ((pixel as f64 + 0.5 - middle) / half).abs()).max(0.0);
        let all: Vec<f64> = (0..full).map(weight).collect();
        let sum: f64 = all.iter().sum();
        all.iter().map(|weight| weight / sum).collect()
    }

    /// The scaled rectangle, from the definition, in float64 and without a rounded intermediate image.
    fn reference(image: ImageRef<'_>, rectangle: Rectangle, size: usize) -> Vec<f64> {
        let mut out = Vec::new();
        for y in 0..size {
            let rows = weights(image.height, rectangle.top, rectangle.height, size, y);
            for x in 0..size {
                let columns = weights(image.width, rectangle.left, rectangle.width, size, x);
                for channel in 0..3 {
                    let mut sum = 0.0;
                    for (row, down) in rows.iter().enumerate() {
                        for (column, across) in columns.iter().enumerate() {
                            sum += down * across * f64::from(image.bytes[(row * image.width + column) * 3 + channel]);
                        }
                    }
                    out.push(sum);
                }
            }
        }
        out
    }

    fn noise(height: usize, width: usize, seed: u32) -> Vec<u8> {
        let byte = |i: u32| (i.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 23) as u8;
        (0..(height * width * 3) as u32).map(byte).collect()
    }

    /// Within the level that rounding twice, between the passes and after them, can make.
    fn close(found: &[u8], expected: &[f64]) -> bool {
        found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() <= 1.05)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn crops_are_scaled_as_if_nothing_were_around_them(
            height in 1usize..40, width in 1usize..40, size in 1usize..24, seed: u32,
            (top, left, bottom, right) in (0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0),
        ) {
            let bytes = noise(height, width, seed);
            let image = ImageRef { height, width, bytes: &bytes };
            let (top, left) = ((top * height as f64) as usize, (left * width as f64) as usize);
            let rows = 1 + (bottom * (height - top - 1) as f64) as usize;
            let columns = 1 + (right * (width - left - 1) as f64) as usize;
            let mut out = vec![0; size * size * 3];
            scale(&mut Resizer::new(), image, Part::Cropped(top, left, rows, columns), size, &mut out).unwrap();
            let cut: Vec<u8> = (top..top + rows)
                .flat_map(|row| &bytes[(row * width + left) * 3..(row * width + left + columns) * 3])
                .copied()
                .collect();
            let all = Rectangle { top: 0.0, left: 0.0, height: rows as f64, width: columns as f64 };
            let cut = ImageRef { height: rows, width: columns, bytes: &cut };
            prop_assert!(close(&out, &reference(cut, all, size)));
        }

        #[test]
        fn rectangles_see_what_is_around_them(
            height in 2usize..40, width in 2usize..40, size in 1usize..24, seed: u32,
            (top, left, bottom, right) in (0.0..0.5, 0.0..0.5, 0.6..1.0, 0.6..1.0),
        ) {
            let bytes = noise(height, width, seed);
            let image = ImageRef { height, width, bytes: &bytes };
            let (rows, columns) = (height as f64, width as f64);
            let rectangle = Rectangle {
                top: top * rows,
                left: left * columns,
                height: (bottom - top) * rows,
                width: (right - left) * columns,
            };
            let mut out = vec![0; size * size * 3];
            scale(&mut Resizer::new(), image, Part::Within(rectangle), size, &mut out).unwrap();
            prop_assert!(close(&out, &reference(image, rectangle, size)));
        }
    }

    #[test]
    fn as_torchvision_scales_a_rectangle() {
        let picture = fixture::picture();
        let mut out = vec![0; 12 * 12 * 3];
        scale(&mut Resizer::new(), picture.as_ref(), Part::Cropped(3, 5, 15, 19), 12, &mut out).unwrap();
        let found = difference(&out, &fixture::bytes("rectangle.rgb"));
        assert!(found <= 1, "{found} levels");
    }
}
