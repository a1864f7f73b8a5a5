//! Sizes, boxes and pixels.

use imbalance_detection::data::{
    ChannelOrder, Colour, ImageDraw, LoadedBatch, Scratch, Transform, flip_box, resized, scale_box,
};
use imbalance_vision::augment::{DrawKey, RgbImage};
use proptest::prelude::*;

/// Leaves colours as they are.
const PLAIN: Colour = Colour { order: ChannelOrder::Rgb, mean: [0.0; 3], std: [1.0; 3] };

fn noise(height: usize, width: usize) -> RgbImage {
    let byte = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 23) as u8;
    RgbImage { height, width, bytes: (0..height * width * 3).map(byte).collect() }
}

fn apply(transform: &Transform, mut image: RgbImage, draw: ImageDraw) -> ((usize, usize), Vec<f32>) {
    let padded = transform.padded(std::iter::once(transform.resized((image.height, image.width), &draw)));
    let mut out = vec![f32::NAN; padded.0 * padded.1 * 3];
    transform.apply(&mut image, &draw, padded, &mut Scratch::default(), &mut out).unwrap();
    (padded, out)
}

#[test]
fn sizes_by_hand() {
    // 800/480 · 640 = 1066.67; 800/427 · 640 = 1199.06; beyond the limit 1333/1000 · 375 = 499.875.
    assert_eq!(resized((480, 640), 800, 1333), (800, 1067));
    assert_eq!(resized((640, 427), 800, 1333), (1199, 800));
    assert_eq!(resized((375, 1000), 800, 1333), (500, 1333));
    assert_eq!(resized((500, 500), 640, 1333), (640, 640));
    assert_eq!(resized((1000, 800), 400, 1333), (500, 400));
    // A sliver keeps a pixel.
    assert_eq!(resized((1, 60_000), 800, 1333), (1, 1333));
    let transform = Transform::evaluate(PLAIN);
    assert_eq!(transform.padded([(800, 1067), (750, 1333)].into_iter()), (800, 1344));
    assert_eq!(Transform::train(PLAIN).short_sides, [640, 672, 704, 736, 768, 800]);
}

#[test]
fn boxes_by_hand() {
    // 480x640 → 800x1067: down by 5/3, across by 1067/640 = 1.6671875, the ratio of the sizes and not that asked for.
    let scaled = scale_box([64.0, 48.0, 320.0, 240.0], (480, 640), (800, 1067));
    let expected = [106.7, 80.0, 533.5, 400.0];
    assert!(
        scaled.iter().zip(expected).all(|(found, expected): (&f32, f32)| (found - expected).abs() < 1e-4),
        "{scaled:?}"
    );
    assert_eq!(flip_box([10.0, 5.0, 30.0, 25.0], 100), [70.0, 5.0, 90.0, 25.0]);
    let transform = Transform::evaluate(PLAIN);
    let draw = ImageDraw { short_side: 800, flip: true };
    // The whole image stays the whole image.
    let whole = transform.apply_to_box([0.0, 0.0, 640.0, 480.0], (480, 640), (800, 1067), &draw);
    assert_eq!(whole, [0.0, 0.0, 1067.0, 800.0]);
}

proptest! {
    #[test]
    fn flipping_twice_is_nothing(x in 0u16..500, y in 0u16..500, w in 1u16..500, h in 1u16..500, more in 0u16..50) {
        // Quarters of pixels, which float32 has.
        let [x, y, w, h] = [x, y, w, h].map(|side| f32::from(side) / 4.0);
        let bbox = [x, y, x + w, y + h];
        let width = (x + w).ceil() as usize + usize::from(more);
        let flipped = flip_box(bbox, width);
        prop_assert!(flipped[0] >= 0.0 && flipped[0] < flipped[2] && flipped[2] <= width as f32);
        prop_assert_eq!(flip_box(flipped, width), bbox);
    }
}

#[test]
fn an_image_of_its_own_size_is_copied_mirrored_and_padded() {
    let transform = Transform { short_sides: vec![20], multiple_of: 16, ..Transform::evaluate(PLAIN) };
    let image = noise(20, 30);
    for (flip, order) in [(false, ChannelOrder::Rgb), (true, ChannelOrder::Rgb), (true, ChannelOrder::Bgr)] {
        let transform = Transform { colour: Colour { order, ..PLAIN }, ..transform.clone() };
        let (padded, out) = apply(&transform, image.clone(), ImageDraw { short_side: 20, flip });
        assert_eq!(padded, (32, 32));
        for (at, value) in out.iter().enumerate() {
            let (y, x, channel) = (at / 96, at / 3 % 32, at % 3);
            let (from_x, from_channel) = (
                if flip { 29usize.wrapping_sub(x) } else { x },
                if order == ChannelOrder::Bgr { 2 - channel } else { channel },
            );
            let expected = if y < 20 && x < 30 { image.bytes[(y * 30 + from_x) * 3 + from_channel] } else { 0 };
            assert_eq!(*value, f32::from(expected), "row {y}, column {x}, channel {channel}");
        }
    }
}

/// Values of a side of `to` pixels made of `from`, in float64: a triangle as wide as two output pixels where the image becomes
/// smaller and `antialias`, or else two input pixels.
fn scaled(image: &RgbImage, to: (usize, usize), antialias: bool) -> Vec<f64> {
    let weights = |from: usize, to: usize, at: usize| -> Vec<f64> {
        let step = from as f64 / to as f64;
        let half = if antialias { step.max(1.0) } else { 1.0 };
        let middle = (at as f64 + 0.5) * step;
        let all: Vec<f64> =
            (0..from).map(|pixel| (1.0 - ((pixel as f64 + 0.5 - middle) / half).abs()).max(0.0)).collect();
        let sum: f64 = all.iter().sum();
        all.iter().map(|weight| weight / sum).collect()
    };
    let mut out = Vec::new();
    for y in 0..to.0 {
        let rows = weights(image.height, to.0, y);
        for x in 0..to.1 {
            let columns = weights(image.width, to.1, x);
            for channel in 0..3 {
                let row = |row: usize| -> f64 {
                    let at = |column: usize| f64::from(image.bytes[(row * image.width + column) * 3 + channel]);
                    columns.iter().enumerate().map(|(column, weight)| weight * at(column)).sum()
                };
                out.push(rows.iter().enumerate().map(|(y, weight)| weight * row(y)).sum());
            }
        }
    }
    out
}

#[test]
fn scaled_as_the_filter_is_defined() {
    for (height, width, short, antialias) in
        [(24, 36, 40, true), (45, 33, 16, true), (24, 36, 40, false), (45, 33, 16, false)]
    {
        let transform = Transform { short_sides: vec![short], antialias, multiple_of: 1, ..Transform::evaluate(PLAIN) };
        let image = noise(height, width);
        let straight = ImageDraw { short_side: short, flip: false };
        let (size, out) = apply(&transform, image.clone(), straight);
        let expected = scaled(&image, size, antialias);
        // Two passes, each rounded to whole levels.
        let worst = out.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(worst <= 1.1, "{height}x{width} to {size:?}, antialias {antialias}: {worst}");
        // Mirrored before scaling is mirrored after it.
        let (_, mirrored) = apply(&transform, image, ImageDraw { flip: true, ..straight });
        for (row, mirrored) in out.chunks(size.1 * 3).zip(mirrored.chunks(size.1 * 3)) {
            let back: Vec<f32> = mirrored.chunks(3).rev().flatten().copied().collect();
            assert!(row.iter().zip(&back).all(|(a, b)| (a - b).abs() <= 1.0));
        }
    }
}

#[test]
fn colours_of_both_weights() {
    let image = RgbImage { height: 1, width: 1, bytes: vec![255, 128, 0] };
    let of = |colour: Colour| {
        let transform = Transform { short_sides: vec![1], multiple_of: 1, ..Transform::evaluate(colour) };
        apply(&transform, image.clone(), ImageDraw { short_side: 1, flip: false }).1
    };
    // (255 − 123.675)/58.395, (128 − 116.28)/57.12, −103.53/57.375; and blue first, not divided.
    for (found, expected) in [
        (of(Colour::TORCHVISION), [2.248_908_3, 0.205_182_07, -1.804_444_4]),
        (of(Colour::DETECTRON), [-103.53, 11.72, 131.325]),
    ] {
        assert!(found.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-5), "{found:?}");
    }
}

#[test]
fn draws_are_of_the_list_and_a_function_of_the_key() {
    let transform = Transform::train(PLAIN);
    let key = |position| DrawKey { seed: 3, epoch: 0, image: 9, position };
    let draws: Vec<ImageDraw> = (0..600).map(|position| transform.draw(&key(position))).collect();
    for side in &transform.short_sides {
        let count = draws.iter().filter(|draw| draw.short_side == *side).count();
        // 100 ± 4.4 deviations of √(600·1/6·5/6) = 9.13.
        assert!((60..140).contains(&count), "{side}: {count}");
    }
    let flips = draws.iter().filter(|draw| draw.flip).count();
    assert!((240..360).contains(&flips), "{flips}");
    assert!((0..600).all(|position| transform.draw(&key(position)) == draws[position as usize]));
    let evaluate = Transform::evaluate(PLAIN);
    assert!((0..50).all(|position| evaluate.draw(&key(position)) == ImageDraw { short_side: 800, flip: false }));
}

#[test]
fn one_image_outside_of_any_set() {
    let batch = LoadedBatch::of_image(noise(48, 64), &Transform::train(Colour::DETECTRON)).unwrap();
    // The first of the short sides.
    assert_eq!(batch.images[0].resized, (640, 853));
    assert_eq!((batch.height, batch.width, batch.pixels.len()), (640, 864, 640 * 864 * 3));
    let empty = RgbImage { height: 0, width: 4, bytes: Vec::new() };
    assert!(LoadedBatch::of_image(empty, &Transform::evaluate(PLAIN)).is_err());
}

#[test]
fn settings_without_a_meaning() {
    let good = Transform::train(Colour::TORCHVISION);
    assert!(good.check().is_ok());
    for (bad, message) in [
        (Transform { short_sides: vec![], ..good.clone() }, "the list of short sides is []; it should be one or more"),
        (Transform { short_sides: vec![800, 0], ..good.clone() }, "the list of short sides is [800, 0]"),
        (Transform { long_side: 0, ..good.clone() }, "the long side is 0; it should be from 1"),
        (Transform { flip: 1.5, ..good.clone() }, "the probability of mirroring is 1.5"),
        (Transform { multiple_of: 0, ..good.clone() }, "what sizes are multiples of is 0"),
        (
            Transform { colour: Colour { std: [1.0, 0.0, 1.0], ..PLAIN }, ..good },
            "the deviation of the colours is [1.0, 0.0",
        ),
    ] {
        let text = bad.check().unwrap_err().to_string();
        assert!(text.contains(message), "{text}");
    }
}
