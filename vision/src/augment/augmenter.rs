//! Applies an [`Augment`] to an image.

use fast_image_resize::Resizer;

use super::config::{Augment, AugmentError};
use super::draw::{Draw, DrawKey, Placement};
use super::jitter::adjust;
use super::layout::{Layout, Tables, Window};
use super::resize::{Part, Rectangle, scale};

/// An RGB image of someone else's.
#[derive(Clone, Copy, Debug)]
pub struct ImageRef<'a> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width, 3]`.
    pub bytes: &'a [u8],
}

/// Working memory of one thread, kept from image to image.
#[derive(Default)]
pub struct Scratch {
    resizer: Resizer,
    pixels: Vec<u8>,
}

/// An [`Augment`] that was checked, ready to be applied.
pub struct Augmenter {
    augment: Augment,
    tables: Tables,
}

impl Augmenter {
    /// Checks the settings.
    pub fn new(augment: Augment) -> Result<Self, AugmentError> {
        augment.check()?;
        Ok(Self { tables: Tables::new(augment.mean, augment.std), augment })
    }

    /// The settings.
    pub fn augment(&self) -> &Augment {
        &self.augment
    }

    /// Draws for `key` and applies what was drawn.
    ///
    /// # Shapes
    /// - `out`: `[3, size, size]` or `[size, size, 3]`, by `layout`, where `size` is [`Augment::size`]
    pub fn apply(
        &self,
        image: ImageRef<'_>,
        key: &DrawKey,
        layout: Layout,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), AugmentError> {
        let draw = self.augment.draw(key, image.height, image.width)?;
        self.apply_draw(image, &draw, layout, scratch, out)
    }

    /// Applies what was drawn for an image of this size.
    ///
    /// # Shapes
    /// - `out`: as [`apply`](Self::apply)
    pub fn apply_draw(
        &self,
        image: ImageRef<'_>,
        draw: &Draw,
        layout: Layout,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), AugmentError> {
        let size = self.augment.size();
        fits("the length of the output", out.len(), self.augment.numbers())?;
        fits("the length of the image", image.bytes.len(), image.height * image.width * 3)?;
        let Scratch { resizer, pixels } = scratch;
        pixels.resize(size * size * 3, 0);
        let mut window = Window { top: 0, left: 0, size, flip: draw.flip };
        let part = match draw.placement {
            Placement::Copy { top, left } => {
                (window.top, window.left) = (top, left);
                if draw.adjustments.is_empty() {
                    self.tables.write(image, window, layout, out);
                } else {
                    copy(image, top, left, size, pixels);
                    self.finish(pixels, draw, layout, out);
                }
                return Ok(());
            }
            Placement::Scale { top, left, height, width } => Part::Cropped(top, left, height, width),
            Placement::Scaled { height, width, top, left } => {
                let (down, across) = (image.height as f64 / height as f64, image.width as f64 / width as f64);
                let (top, left) = (top as f64 * down, left as f64 * across);
                // Rounding must not carry the rectangle over the image's edge.
                let height = (size as f64 * down).min(image.height as f64 - top);
                let width = (size as f64 * across).min(image.width as f64 - left);
                Part::Within(Rectangle { top, left, height, width })
            }
        };
        scale(resizer, image, part, size, pixels).map_err(|error| AugmentError::Mismatch {
            what: "the crop",
            found: format!("{:?}: {error}", draw.placement),
            expected: format!("within the image of {}x{}", image.height, image.width),
        })?;
        self.finish(pixels, draw, layout, out);
        Ok(())
    }

    /// Colours, mirror and normalisation of the cropped pixels.
    fn finish(&self, pixels: &mut [u8], draw: &Draw, layout: Layout, out: &mut [f32]) {
        adjust(pixels, &draw.adjustments);
        let size = self.augment.size();
        let image = ImageRef { height: size, width: size, bytes: pixels };
        self.tables.write(image, Window { top: 0, left: 0, size, flip: draw.flip }, layout, out);
    }
}

fn fits(what: &'static str, found: usize, expected: usize) -> Result<(), AugmentError> {
    match found == expected {
        true => Ok(()),
        false => Err(AugmentError::Mismatch { what, found: found.to_string(), expected: expected.to_string() }),
    }
}

/// The `size`² pixels of `image` from (`top`, `left`) on, black outside of it.
fn copy(image: ImageRef<'_>, top: i64, left: i64, size: usize, out: &mut [u8]) {
    out.fill(0);
    for (y, row) in out.chunks_exact_mut(size * 3).enumerate() {
        let y = top + y as i64;
        let first = (-left).clamp(0, size as i64);
        let end = (image.width as i64 - left).clamp(first, size as i64);
        if (0..image.height as i64).contains(&y) && first < end {
            let start = (y as usize * image.width + (left + first) as usize) * 3;
            let (first, end) = (first as usize, end as usize);
            row[first * 3..end * 3].copy_from_slice(&image.bytes[start..start + (end - first) * 3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::fixture::{self, difference};
    use crate::augment::{Adjustment, Crop, Preset};

    /// The levels of the picture after `crop`, without normalisation.
    fn levels(crop: Crop, draw: Option<Draw>) -> Vec<u8> {
        let augment = Augment { crop, flip: 0.0, jitter: None, mean: [0.0; 3], std: [1.0 / 255.0; 3] };
        let augmenter = Augmenter::new(augment).unwrap();
        let mut out = vec![f32::NAN; augmenter.augment().numbers()];
        let key = DrawKey { seed: 0, epoch: 0, image: 0, position: 0 };
        let (picture, scratch) = (fixture::picture(), &mut Scratch::default());
        match draw {
            None => augmenter.apply(picture.as_ref(), &key, Layout::ChannelsLast, scratch, &mut out),
            Some(draw) => augmenter.apply_draw(picture.as_ref(), &draw, Layout::ChannelsLast, scratch, &mut out),
        }
        .unwrap();
        out.iter().map(|value| value.round() as u8).collect()
    }

    #[test]
    fn centres_are_torchvisions() {
        for (resize, size, name) in [
            (Some(13), 10, "scaled-to-13-center-10.rgb"),
            (Some(40), 32, "scaled-to-40-center-32.rgb"),
            (None, 35, "center-35.rgb"),
        ] {
            let found = difference(&levels(Crop::Center { resize, size }, None), &fixture::bytes(name));
            assert!(found <= 1, "{name}: {found} levels");
        }
    }

    #[test]
    fn colours_change_before_black_is_anything_else() {
        // Contrast 0 makes all one grey, the padding among it.
        let draw = Draw {
            placement: Placement::Copy { top: -10, left: 15 },
            flip: false,
            adjustments: vec![Adjustment::Contrast(0.0)],
        };
        let grey = levels(Crop::Padded { size: 20, padding: 10 }, Some(draw.clone()));
        assert!(grey.iter().all(|level| *level == grey[0]));
        // Without it, half of the rows and a quarter of the columns are black: the picture is not.
        let plain = levels(Crop::Padded { size: 20, padding: 10 }, Some(Draw { adjustments: vec![], ..draw.clone() }));
        assert!(plain[..10 * 20 * 3].iter().all(|level| *level == 0));
        assert!(plain[10 * 20 * 3..].chunks(20 * 3).all(|row| row[15 * 3..].iter().all(|level| *level == 0)));
        // A change by nothing takes the other path to the same pixels.
        let same = Draw { adjustments: vec![Adjustment::Brightness(1.0)], ..draw };
        assert_eq!(levels(Crop::Padded { size: 20, padding: 10 }, Some(same)), plain);
    }

    #[test]
    fn mirrored_after_the_crop() {
        let placement = Placement::Scale { top: 1, left: 2, height: 20, width: 25 };
        let crop = Crop::RandomResized { size: 8, scale: [0.5, 1.0], ratio: [1.0, 1.0] };
        let straight = levels(crop, Some(Draw { placement, flip: false, adjustments: vec![] }));
        let mirrored = levels(crop, Some(Draw { placement, flip: true, adjustments: vec![] }));
        for (straight, mirrored) in straight.chunks(8 * 3).zip(mirrored.chunks(8 * 3)) {
            let back: Vec<u8> = mirrored.chunks(3).rev().flatten().copied().collect();
            assert_eq!(straight, back);
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let augmenter = Augmenter::new(Augment::train(&Preset::imagenet())).unwrap();
        let picture = fixture::picture();
        let draw = |placement| Draw { placement, flip: false, adjustments: vec![] };
        let apply = |draw: &Draw, numbers: usize| {
            let (scratch, layout) = (&mut Scratch::default(), Layout::ChannelsFirst);
            augmenter.apply_draw(picture.as_ref(), draw, layout, scratch, &mut vec![0.0; numbers])
        };
        let outside = draw(Placement::Scale { top: 10, left: 0, height: 20, width: 5 });
        let error = apply(&outside, 3 * 224 * 224).unwrap_err().to_string();
        assert!(error.contains("the crop is Scale") && error.contains("not within the image of 22x30"), "{error}");
        let error = apply(&outside, 7).unwrap_err().to_string();
        assert_eq!(error, "augmentation: the length of the output is 7, not 150528");
    }
}
