//! One image: what lies in it, where it can be seen, and its pixels.

use imbalance_vision::augment::RgbImage;

use super::WEIGHTS;
use super::draws::{Draws, Hash};
use super::outline::{Outline, UNIT};
use super::paint::{self, Texture};
use crate::data::Object;

/// Percent of a shape that can be seen, at least.
const VISIBLE: usize = 60;

/// How often a place is looked for before a shape is left out.
const TRIES: usize = 12;

/// What lies in a generated image, ready to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Rows and columns.
    side: i32,
    ground: Texture,
    /// From the lowest on.
    shapes: Vec<Shape>,
    /// Greatest noise of a channel.
    noise: i32,
    hash: Hash,
}

#[derive(Clone, Debug, PartialEq)]
struct Shape {
    class: usize,
    outline: Outline,
    fill: Texture,
}

/// The topmost shape at each pixel's middle.
struct Cover {
    side: i32,
    top: Vec<Option<usize>>,
}

impl Scene {
    /// Chooses one to six shapes, and where they lie.
    pub(super) fn compose(side: i32, draws: &mut Draws) -> Self {
        let ground = Texture::background(draws);
        let mut shapes: Vec<Shape> = Vec::new();
        let mut areas: Vec<usize> = Vec::new();
        let mut cover = Cover { side, top: vec![None; (side * side) as usize] };
        for _ in 0..draws.within(1, 6) {
            let class = draws.weighted(&WEIGHTS);
            let fill = Texture::shape(paint::of_class(class, draws), draws);
            for _ in 0..TRIES {
                let outline = place(class, side, draws);
                let pixels = cover.pixels(&outline);
                let area = whole_area(&outline);
                if pixels.len() * 100 >= area * VISIBLE && cover.may_hide(&pixels, &areas) {
                    pixels.iter().for_each(|&pixel| cover.top[pixel] = Some(shapes.len()));
                    areas.push(area);
                    shapes.push(Shape { class, outline, fill });
                    break;
                }
            }
        }
        Self { side, ground, shapes, noise: draws.within(4, 20), hash: Hash(draws.seed()) }
    }

    /// The shapes as objects, their boxes and areas those of the pixels in which they can be seen. Annotation ids are 0.
    pub(super) fn objects(&self) -> Vec<Object> {
        let mut cover = Cover { side: self.side, top: vec![None; (self.side * self.side) as usize] };
        for (index, shape) in self.shapes.iter().enumerate() {
            cover.pixels(&shape.outline).into_iter().for_each(|pixel| cover.top[pixel] = Some(index));
        }
        let mut boxes = vec![([i32::MAX; 2], [i32::MIN; 2], 0usize); self.shapes.len()];
        for (pixel, top) in (0..).zip(&cover.top) {
            if let Some(index) = *top {
                let ((x, y), (low, high, area)) = ((pixel % self.side, pixel / self.side), &mut boxes[index]);
                *low = [low[0].min(x), low[1].min(y)];
                *high = [high[0].max(x + 1), high[1].max(y + 1)];
                *area += 1;
            }
        }
        let object = |(shape, (low, high, area)): (&Shape, &([i32; 2], [i32; 2], usize))| Object {
            annotation: 0,
            class: shape.class,
            bbox: [low[0], low[1], high[0], high[1]].map(|side| side as f32),
            area: *area as f64,
            crowd: false,
        };
        self.shapes.iter().zip(&boxes).map(object).collect()
    }

    /// Draws it, in the memory of `image`.
    pub fn draw(&self, image: &mut RgbImage) {
        let side = self.side as usize;
        (image.height, image.width) = (side, side);
        image.bytes.resize(side * side * 3, 0);
        let extents: Vec<[i32; 4]> = self.shapes.iter().map(|shape| shape.outline.extent()).collect();
        for (pixel, bytes) in (0..).zip(image.bytes.as_chunks_mut::<3>().0) {
            let (x, y) = (pixel % self.side, pixel / self.side);
            let mut colour = self.ground.at(x, y);
            for (shape, [left, top, right, bottom]) in self.shapes.iter().zip(&extents) {
                if (*left..*right).contains(&x) && (*top..*bottom).contains(&y) {
                    // Four samples a pixel, for smooth edges.
                    let samples = [[4, 4], [12, 4], [4, 12], [12, 12]];
                    let within = |[u, v]: &[i32; 2]| shape.outline.contains(x * UNIT + u, y * UNIT + v);
                    let share = 64 * samples.iter().filter(|sample| within(sample)).count() as i32;
                    if share > 0 {
                        colour = paint::mix(colour, shape.fill.at(x, y), share);
                    }
                }
            }
            let noise = self.hash.at(pixel as u64);
            for (channel, byte) in bytes.iter_mut().enumerate() {
                let random = (noise >> (channel * 16)) as i32 & 0xffff;
                let noise = ((random * (2 * self.noise + 1)) >> 16) - self.noise;
                *byte = (colour[channel] + noise).clamp(0, 255) as u8;
            }
        }
    }
}

/// An outline of a drawn size at a drawn place, of which a part may lie outside of the image.
fn place(class: usize, side: i32, draws: &mut Draws) -> Outline {
    let full = side * UNIT;
    let (low, high) = match draws.weighted(&[1, 2, 2]) {
        0 => (full * 3 / 40, full / 8),
        1 => (full / 8, full * 3 / 16),
        _ => (full * 3 / 16, full * 5 / 16),
    };
    let radius = draws.within(low, high);
    let centre = [draws.within(radius / 3, full - radius / 3), draws.within(radius / 3, full - radius / 3)];
    Outline::of_class(class, centre, radius, draws)
}

/// Pixels of a shape, those outside of the image too.
fn whole_area(outline: &Outline) -> usize {
    let [left, top, right, bottom] = outline.extent();
    let within = |x: i32, y: i32| outline.contains(x * UNIT + UNIT / 2, y * UNIT + UNIT / 2);
    (top..bottom).map(|y| (left..right).filter(|&x| within(x, y)).count()).sum()
}

impl Cover {
    /// The pixels of the image whose middle is within the outline.
    fn pixels(&self, outline: &Outline) -> Vec<usize> {
        let [left, top, right, bottom] = outline.extent();
        let mut pixels = Vec::new();
        for y in top.max(0)..bottom.min(self.side) {
            for x in left.max(0)..right.min(self.side) {
                if outline.contains(x * UNIT + UNIT / 2, y * UNIT + UNIT / 2) {
                    pixels.push((y * self.side + x) as usize);
                }
            }
        }
        pixels
    }

    /// Whether, with these pixels covered, enough of each shape can still be seen.
    fn may_hide(&self, pixels: &[usize], areas: &[usize]) -> bool {
        let mut hidden = vec![0usize; areas.len()];
        pixels.iter().filter_map(|&pixel| self.top[pixel]).for_each(|index| hidden[index] += 1);
        if hidden.iter().all(|&count| count == 0) {
            return true;
        }
        let mut visible = vec![0usize; areas.len()];
        self.top.iter().flatten().for_each(|&index| visible[index] += 1);
        let enough = |index: usize| (visible[index] - hidden[index]) * 100 >= areas[index] * VISIBLE;
        (0..areas.len()).all(enough)
    }
}
