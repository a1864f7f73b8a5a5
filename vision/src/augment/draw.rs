//! What chance chooses for one occurrence of an image.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::config::{Augment, AugmentError, ColorJitter, Crop};

/// What the random choices about an image are a function of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawKey {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
    /// The image's index in its split.
    pub image: u64,
    /// Its position among all images of the epoch, so that an image that a sampler repeats differs each time.
    pub position: u64,
}

impl DrawKey {
    /// The generator of this occurrence: ChaCha8, keyed with the four numbers as they are.
    pub fn rng(&self) -> ChaCha8Rng {
        let mut key = [0; 32];
        for (bytes, number) in key.chunks_exact_mut(8).zip([self.seed, self.epoch, self.image, self.position]) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }
}

/// The choices about one occurrence of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// What part of it is taken.
    pub placement: Placement,
    /// Whether that is mirrored left to right.
    pub flip: bool,
    /// Changes of colour, in the order in which they are made.
    pub adjustments: Vec<Adjustment>,
}

/// What part of an image is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The pixels from this row and column on, which may lie outside of the image: black there.
    Copy {
        /// First row.
        top: i64,
        /// First column.
        left: i64,
    },
    /// A rectangle of the image, scaled to the result; pixels outside of the rectangle have no part in it.
    Scale {
        /// First row.
        top: usize,
        /// First column.
        left: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// The pixels from this row and column on of the whole image scaled to this size.
    Scaled {
        /// Rows of the scaled image.
        height: usize,
        /// Columns of the scaled image.
        width: usize,
        /// First row.
        top: usize,
        /// First column.
        left: usize,
    },
}

/// A change of colour, by a factor: 1 changes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Adjustment {
    /// Towards black.
    Brightness(f32),
    /// Towards the image's mean grey.
    Contrast(f32),
    /// Towards each pixel's grey.
    Saturation(f32),
}

impl Augment {
    /// The choices about the occurrence `key` of an image of `height` by `width` pixels.
    pub fn draw(&self, key: &DrawKey, height: usize, width: usize) -> Result<Draw, AugmentError> {
        if height == 0 || width == 0 {
            return Err(AugmentError::NoPixels { height, width });
        }
        let mut rng = key.rng();
        let placement = match self.crop {
            Crop::Padded { size, padding } => {
                let (rows, columns) = (height + 2 * padding, width + 2 * padding);
                if rows < size || columns < size {
                    return Err(AugmentError::TooSmall { height, width, padding, size });
                }
                let mut offset = |free| rng.random_range(0..=free as i64) - padding as i64;
                Placement::Copy { top: offset(rows - size), left: offset(columns - size) }
            }
            Crop::RandomResized { scale, ratio, .. } => random_rectangle(&mut rng, scale, ratio, height, width),
            Crop::Center { resize: None, size } => {
                Placement::Copy { top: center(height, size), left: center(width, size) }
            }
            Crop::Center { resize: Some(resize), size } => {
                let long = |long, short| (resize as f64 * long as f64 / short as f64) as usize;
                let (height, width) = match height <= width {
                    true => (resize, long(width, height)),
                    false => (long(height, width), resize),
                };
                // `check` has it that the scaled image is no smaller than the crop.
                let offset = |full| center(full, size).max(0) as usize;
                Placement::Scaled { height, width, top: offset(height), left: offset(width) }
            }
        };
        let flip = self.flip > 0.0 && rng.random::<f64>() < self.flip;
        let adjustments = self.jitter.map_or_else(Vec::new, |jitter| jitter.draw(&mut rng));
        Ok(Draw { placement, flip, adjustments })
    }
}

/// First row of the central `size` of `full` rows, rounded as torchvision's `CenterCrop` rounds.
fn center(full: usize, size: usize) -> i64 {
    match full >= size {
        true => ((full - size) as f64 / 2.0).round_ties_even() as i64,
        false => -((size - full) as i64 / 2),
    }
}

/// The rectangle of torchvision's `RandomResizedCrop`.
fn random_rectangle(rng: &mut ChaCha8Rng, scale: [f64; 2], ratio: [f64; 2], height: usize, width: usize) -> Placement {
    let area = height as f64 * width as f64;
    let log_ratio = ratio.map(f64::ln);
    for _ in 0..10 {
        let part = area * uniform(rng, scale);
        let aspect = uniform(rng, log_ratio).exp();
        let columns = (part * aspect).sqrt().round_ties_even() as usize;
        let rows = (part / aspect).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&columns) && (1..=height).contains(&rows) {
            let top = rng.random_range(0..=(height - rows) as u64) as usize;
            let left = rng.random_range(0..=(width - columns) as u64) as usize;
            return Placement::Scale { top, left, height: rows, width: columns };
        }
    }
    let aspect = width as f64 / height as f64;
    let (rows, columns) = if aspect < ratio[0] {
        ((width as f64 / ratio[0]).round_ties_even() as usize, width)
    } else if aspect > ratio[1] {
        (height, (height as f64 * ratio[1]).round_ties_even() as usize)
    } else {
        (height, width)
    };
    // An image one pixel high and a small ratio can round to nothing.
    let (rows, columns) = (rows.clamp(1, height), columns.clamp(1, width));
    Placement::Scale { top: (height - rows) / 2, left: (width - columns) / 2, height: rows, width: columns }
}

impl ColorJitter {
    fn draw(&self, rng: &mut ChaCha8Rng) -> Vec<Adjustment> {
        let mut factor = |strength: f64| {
            let factor = uniform(rng, [(1.0 - strength).max(0.0), 1.0 + strength]);
            (strength > 0.0).then_some(factor as f32)
        };
        let brightness = factor(self.brightness).map(Adjustment::Brightness);
        let contrast = factor(self.contrast).map(Adjustment::Contrast);
        let saturation = factor(self.saturation).map(Adjustment::Saturation);
        let mut all: Vec<_> = [brightness, contrast, saturation].into_iter().flatten().collect();
        all.shuffle(rng);
        all
    }
}

fn uniform(rng: &mut ChaCha8Rng, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Preset;

    fn draws(augment: &Augment, n: u64, height: usize, width: usize) -> Vec<Draw> {
        let key = |image| DrawKey { seed: 3, epoch: 1, image, position: image };
        (0..n).map(|image| augment.draw(&key(image), height, width).unwrap()).collect()
    }

    /// Whether `count` of `n` is within five standard deviations of what probability `p` makes of it.
    fn plausible(count: usize, n: usize, p: f64) -> bool {
        let n = n as f64;
        (count as f64 - n * p).abs() < 5.0 * (n * p * (1.0 - p)).sqrt()
    }

    #[test]
    fn each_part_of_the_key_matters() {
        let augment = Augment::train(&Preset::imagenet());
        let key = DrawKey { seed: 1, epoch: 2, image: 3, position: 4 };
        let draw = |key: DrawKey| augment.draw(&key, 480, 640).unwrap();
        assert_eq!(draw(key), draw(key));
        for other in [
            DrawKey { seed: 2, ..key },
            DrawKey { epoch: 3, ..key },
            DrawKey { image: 4, ..key },
            DrawKey { position: 5, ..key },
            DrawKey { seed: 2, epoch: 1, ..key },
        ] {
            assert_ne!(draw(key), draw(other), "{other:?}");
        }
    }

    #[test]
    fn padded_crops_are_uniform_and_half_are_mirrored() {
        let n = 20_000;
        let (mut tops, mut lefts, mut pairs, mut flips) = ([0; 9], [0; 9], [0; 81], 0);
        for draw in draws(&Augment::train(&Preset::cifar()), n, 32, 32) {
            let Placement::Copy { top, left } = draw.placement else { panic!("{draw:?}") };
            let (top, left) = ((top + 4) as usize, (left + 4) as usize);
            tops[top] += 1;
            lefts[left] += 1;
            pairs[top * 9 + left] += 1;
            flips += usize::from(draw.flip);
            assert!(draw.adjustments.is_empty());
        }
        let n = n as usize;
        assert!(tops.iter().chain(&lefts).all(|count| plausible(*count, n, 1.0 / 9.0)), "{tops:?} {lefts:?}");
        assert!(pairs.iter().all(|count| plausible(*count, n, 1.0 / 81.0)), "{pairs:?}");
        assert!(plausible(flips, n, 0.5), "{flips}");
    }

    #[test]
    fn rectangles_have_the_area_and_ratio_asked_for() {
        // Large, so that rounding to whole pixels moves neither by more than a thousandth, and square, so that few draws
        // are rejected.
        let side = 4000;
        let draws = draws(&Augment::train(&Preset::imagenet()), 4000, side, side);
        let (mut small, mut tall, mut ratios) = (0, 0, Vec::new());
        for draw in &draws {
            let Placement::Scale { top, left, height, width } = draw.placement else { panic!("{draw:?}") };
            assert!(top + height <= side && left + width <= side);
            let share = (height * width) as f64 / (side * side) as f64;
            let ratio = width as f64 / height as f64;
            assert!((0.0799..=1.0).contains(&share), "{share}");
            assert!((0.749..=1.335).contains(&ratio), "{ratio}");
            small += usize::from(share < 0.31);
            tall += usize::from(ratio < 1.0);
            ratios.push(ratio.ln());
        }
        // No rectangle with less than 3/4 of the area is ever rejected here, so shares below 0.31 are a quarter of all that
        // is drawn: 0.23/0.92. Draws beyond 3/4 are rejected in part, which leaves more for the others: at most 0.23/0.67.
        let share = small as f64 / draws.len() as f64;
        assert!((0.25..0.343).contains(&share), "{share}");
        assert!(plausible(tall, draws.len(), 0.5), "{tall}");
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        assert!(mean.abs() < 0.015, "{mean}");
    }

    #[test]
    fn rectangles_may_lie_anywhere() {
        let augment = Augment {
            crop: Crop::RandomResized { size: 8, scale: [0.25, 0.25], ratio: [1.0, 1.0] },
            ..Augment::train(&Preset::imagenet())
        };
        let (mut tops, mut lefts) = ([0; 5], [0; 5]);
        for draw in draws(&augment, 5000, 8, 8) {
            let Placement::Scale { top, left, height: 4, width: 4 } = draw.placement else { panic!("{draw:?}") };
            tops[top] += 1;
            lefts[left] += 1;
        }
        assert!(tops.iter().chain(&lefts).all(|count| plausible(*count, 5000, 0.2)), "{tops:?} {lefts:?}");
    }

    #[test]
    fn what_never_fits_is_the_centre() {
        let augment = Augment {
            crop: Crop::RandomResized { size: 8, scale: [0.9, 1.0], ratio: [0.75, 4.0 / 3.0] },
            ..Augment::train(&Preset::imagenet())
        };
        let of = |height, width| draws(&augment, 1, height, width)[0].placement;
        // Ten times as wide as high: all rows, 4/3 as many columns. Ten times as high: all columns, 4/3 as many rows.
        assert_eq!(of(30, 300), Placement::Scale { top: 0, left: 130, height: 30, width: 40 });
        assert_eq!(of(300, 30), Placement::Scale { top: 130, left: 0, height: 40, width: 30 });
        assert_eq!(of(1, 1), Placement::Scale { top: 0, left: 0, height: 1, width: 1 });
        assert_eq!(of(1, 500), Placement::Scale { top: 0, left: 249, height: 1, width: 1 });
    }

    #[test]
    fn evaluation_takes_the_centre_and_draws_nothing() {
        let augment = Augment::evaluate(&Preset::imagenet());
        let of = |height, width| draws(&augment, 1, height, width)[0].clone();
        // 480×640 becomes 256×341 (341.33 cut off); (341 − 224)/2 = 58.5, rounded to even.
        let placement = Placement::Scaled { height: 256, width: 341, top: 16, left: 58 };
        assert_eq!(of(480, 640), Draw { placement, flip: false, adjustments: vec![] });
        // Upright: 171×128 becomes 342×256.
        let placement = Placement::Scaled { height: 342, width: 256, top: 59, left: 16 };
        assert_eq!(of(171, 128).placement, placement);
        let cifar = Augment::evaluate(&Preset::cifar());
        assert_eq!(draws(&cifar, 1, 32, 32)[0].placement, Placement::Copy { top: 0, left: 0 });
        assert_eq!(draws(&cifar, 1, 35, 31)[0].placement, Placement::Copy { top: 2, left: 0 });
    }

    #[test]
    fn colours_change_by_factors_in_range_in_every_order() {
        let draws = draws(&Augment::train(&Preset::imagenet()), 6000, 64, 64);
        let mut orders = std::collections::BTreeMap::new();
        let mut brighter = 0;
        for draw in &draws {
            let mut order = String::new();
            for adjustment in &draw.adjustments {
                let (letter, factor) = match *adjustment {
                    Adjustment::Brightness(factor) => ('b', factor),
                    Adjustment::Contrast(factor) => ('c', factor),
                    Adjustment::Saturation(factor) => ('s', factor),
                };
                assert!((0.6..=1.4).contains(&factor), "{factor}");
                brighter += usize::from(letter == 'b' && factor > 1.2);
                order.push(letter);
            }
            *orders.entry(order).or_insert(0) += 1;
        }
        assert_eq!(orders.len(), 6, "{orders:?}");
        assert!(orders.values().all(|count| plausible(*count, draws.len(), 1.0 / 6.0)), "{orders:?}");
        assert!(plausible(brighter, draws.len(), 0.25), "{brighter}");
    }

    #[test]
    fn no_strength_no_change() {
        let augment = Augment {
            jitter: Some(ColorJitter { brightness: 0.0, contrast: 2.0, saturation: 0.0 }),
            ..Augment::train(&Preset::cifar())
        };
        for draw in draws(&augment, 100, 32, 32) {
            let [Adjustment::Contrast(factor)] = draw.adjustments[..] else { panic!("{draw:?}") };
            assert!((0.0..=3.0).contains(&factor));
        }
    }

    #[test]
    fn images_that_cannot_be_cropped() {
        let key = DrawKey { seed: 0, epoch: 0, image: 0, position: 0 };
        let error = Augment::train(&Preset::cifar()).draw(&key, 32, 20).unwrap_err();
        assert_eq!(
            error.to_string(),
            "an image 20 wide and 32 high with 4 pixels of padding has no crop of 32x32; images must have 24 rows and columns or more"
        );
        let error = Augment::train(&Preset::imagenet()).draw(&key, 0, 20).unwrap_err();
        assert_eq!(error, AugmentError::NoPixels { height: 0, width: 20 });
    }
}
