//! One image.

use super::paint::{Colour, PALETTE, Paint, Pattern, any_colour};
use super::{Draws, SIDE};

/// Units of length in a pixel.
const UNIT: i32 = 16;

/// Half of a shape's size in its own coordinates.
const EXTENT: i32 = 256;

#[derive(Clone, Copy)]
enum Shape {
    Disc,
    Ring,
    Square,
    Triangle,
    Cross,
}

const SHAPES: [Shape; 5] = [Shape::Disc, Shape::Ring, Shape::Square, Shape::Triangle, Shape::Cross];

impl Shape {
    /// Whether a place, in the shape's own coordinates, is in it. The areas are alike, so that size tells little.
    fn contains(self, u: i32, v: i32) -> bool {
        let square = u * u + v * v;
        match self {
            Self::Disc => square <= 225 * 225,
            Self::Ring => (130 * 130..=EXTENT * EXTENT).contains(&square),
            Self::Square => u.abs().max(v.abs()) <= 200,
            // Equilateral: the sides rise by √3, here 26/15.
            Self::Triangle => v <= 140 && 26 * u.abs() <= 15 * (v + 340),
            Self::Cross => u.abs().min(v.abs()) <= 85 && u.abs().max(v.abs()) <= 270,
        }
    }
}

/// A frame of coordinates: a centre in units and an angle.
struct Frame {
    centre: [i32; 2],
    /// Cosine and sine, times 4096.
    axis: [i32; 2],
}

impl Frame {
    /// Upright about a centre, within 28 degrees.
    fn upright(centre: [i32; 2], draws: &mut Draws) -> Self {
        // A rational point of the circle: (1 − t²)/(1 + t²), 2t/(1 + t²), with t = k/32.
        let k = draws.within(-8, 8);
        let norm = 1024 + k * k;
        Self { centre, axis: [(1024 - k * k) * 4096 / norm, 64 * k * 4096 / norm] }
    }

    /// Upright or lying.
    fn any(centre: [i32; 2], draws: &mut Draws) -> Self {
        let frame = Self::upright(centre, draws);
        let [cos, sin] = frame.axis;
        if draws.once_in(2) { frame } else { Self { axis: [-sin, cos], ..frame } }
    }

    /// A place of the image in this frame, both in units.
    fn turn(&self, x: i32, y: i32) -> (i32, i32) {
        let ([cos, sin], dx, dy) = (self.axis, x - self.centre[0], y - self.centre[1]);
        ((dx * cos + dy * sin) >> 12, (dy * cos - dx * sin) >> 12)
    }
}

/// Draws an image of `class`, `[SIDE, SIDE, 3]`.
pub(super) fn draw(class: usize, draws: &mut Draws, image: &mut [u8]) {
    let shape = SHAPES[class / 2];
    let width = draws.within(40, 60);
    let pattern = if class.is_multiple_of(2) { Pattern::Stripes { width } } else { Pattern::Checks { width } };
    // Colour is a hint, and a wrong one in nine of forty images.
    let hue = if draws.once_in(4) { draws.within(0, PALETTE.len() as i32 - 1) as usize } else { class };
    let fill = Paint::shape(pattern, PALETTE[hue], draws);
    let radius = draws.within(8 * UNIT, 12 * UNIT);
    // Up to a quarter of the shape may leave the image.
    let (low, high) = (radius / 2 + 2 * UNIT, SIDE as i32 * UNIT - radius / 2 - 2 * UNIT);
    let centre = [draws.within(low, high), draws.within(low, high)];
    let frame = Frame::upright(centre, draws);

    let ground = Paint::background(draws);
    let middle = SIDE as i32 * UNIT / 2;
    let ground_frame = Frame::any([middle, middle], draws);
    let cover = Cover::over(centre, radius, draws);
    let noise = draws.within(4, 24);

    // Most places are far from the shape; this saves them the divisions.
    let near = |u: i32, v: i32| u.abs().max(v.abs()) <= radius + radius / 2;
    for (place, pixel) in image.chunks_exact_mut(3).enumerate() {
        let (x, y) = ((place % SIDE) as i32 * UNIT, (place / SIDE) as i32 * UNIT);
        let mut sum: Colour = [0; 3];
        // Four samples a pixel, for smooth edges.
        for (x, y) in [(x + 4, y + 4), (x + 12, y + 4), (x + 4, y + 12), (x + 12, y + 12)] {
            let (u, v) = frame.turn(x, y);
            let colour = if let Some(colour) = cover.as_ref().and_then(|cover| cover.at(x, y)) {
                colour
            } else if near(u, v) && shape.contains(u * EXTENT / radius, v * EXTENT / radius) {
                fill.at(u, v)
            } else {
                let (u, v) = ground_frame.turn(x, y);
                ground.at(u, v)
            };
            (0..3).for_each(|channel| sum[channel] += colour[channel]);
        }
        for (byte, sum) in pixel.iter_mut().zip(sum) {
            // The sum of two uniform numbers: small deviations are likelier than large ones.
            let noise = draws.within(-noise, noise) + draws.within(-noise, noise);
            *byte = (sum / 4 + noise / 2).clamp(0, 255) as u8;
        }
    }
}

/// A plain disc or bar in front of the shape.
struct Cover {
    frame: Frame,
    /// Half of its length and width, in units; a disc where they are equal.
    half: [i32; 2],
    colour: Colour,
}

impl Cover {
    /// In half of the images, across the rim of the shape or within it.
    fn over(centre: [i32; 2], radius: i32, draws: &mut Draws) -> Option<Self> {
        if draws.once_in(2) {
            return None;
        }
        let colour = any_colour(draws);
        let mut beside = |place: i32| place + draws.within(-radius, radius);
        let place = [beside(centre[0]), beside(centre[1])];
        let width = draws.within(UNIT, 3 * UNIT);
        let length = if draws.once_in(2) { width } else { draws.within(6 * UNIT, 14 * UNIT) };
        Some(Self { frame: Frame::any(place, draws), half: [length, width], colour })
    }

    fn at(&self, x: i32, y: i32) -> Option<Colour> {
        let (u, v) = self.frame.turn(x, y);
        let [length, width] = self.half;
        let inside = match length == width {
            true => u * u + v * v <= width * width,
            false => u.abs() <= length && v.abs() <= width,
        };
        inside.then_some(self.colour)
    }
}
