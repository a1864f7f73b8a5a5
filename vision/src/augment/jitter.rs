//! Changes of colour, with the arithmetic of PIL's `ImageEnhance`, by which torchvision's `ColorJitter` makes them: each
//! is a blend with a degenerate image in float32, cut to whole levels.

use super::draw::Adjustment;

/// Makes `adjustments` in turn.
///
/// # Shapes
/// - `pixels`: `[n, 3]`
pub(super) fn adjust(pixels: &mut [u8], adjustments: &[Adjustment]) {
    for adjustment in adjustments {
        match *adjustment {
            Adjustment::Brightness(factor) => towards(pixels, 0, factor),
            Adjustment::Contrast(factor) => towards(pixels, mean_grey(pixels), factor),
            Adjustment::Saturation(factor) => saturate(pixels, factor),
        }
    }
}

/// Blends all bytes with the one level `grey`.
fn towards(pixels: &mut [u8], grey: u8, factor: f32) {
    let table: [u8; 256] = std::array::from_fn(|value| blend(grey, value as u8, factor));
    for byte in pixels {
        *byte = table[*byte as usize];
    }
}

fn saturate(pixels: &mut [u8], factor: f32) {
    for pixel in pixels.as_chunks_mut::<3>().0 {
        let grey = grey(pixel);
        *pixel = pixel.map(|value| blend(grey, value, factor));
    }
}

/// `from + factor · (to − from)`, cut to whole levels and to a byte, as a cast does. PIL cuts to a byte only where it
/// extrapolates; where it interpolates there is nothing to cut.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
}

/// Luma of ITU-R BT.601 in 16-bit fixed point, rounded (PIL's `convert("L")`).
fn grey(&[red, green, blue]: &[u8; 3]) -> u8 {
    ((u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471 + 0x8000) >> 16) as u8
}

/// The mean of all pixels' grey, rounded half up.
fn mean_grey(pixels: &[u8]) -> u8 {
    let (pixels, _) = pixels.as_chunks::<3>();
    let sum: u64 = pixels.iter().map(|pixel| u64::from(grey(pixel))).sum();
    (sum as f64 / pixels.len().max(1) as f64 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::fixture;

    #[test]
    fn the_very_levels_of_pil() {
        for factor in [0.63, 1.37] {
            for (name, adjustment) in [
                ("brightness", Adjustment::Brightness(factor)),
                ("contrast", Adjustment::Contrast(factor)),
                ("saturation", Adjustment::Saturation(factor)),
            ] {
                let mut image = fixture::picture();
                adjust(&mut image.bytes, &[adjustment]);
                let expected = fixture::bytes(&format!("{name}-{factor}.rgb"));
                assert_eq!(image.bytes, expected, "{name} {factor}");
            }
        }
    }

    #[test]
    fn in_order() {
        // Doubled, 100 is 200; contrast of one grey does nothing. Grey first: the mean of 0 and 200 is 100, and a factor of
        // 0 leaves only that.
        let mut pixels = [0, 0, 0, 200, 200, 200];
        adjust(&mut pixels, &[Adjustment::Contrast(0.0), Adjustment::Brightness(2.0)]);
        assert_eq!(pixels, [200; 6]);
        // Doubled first, 200 is cut to 255, whose mean with 0 is 127.5: rounded up.
        let mut pixels = [0, 0, 0, 200, 200, 200];
        adjust(&mut pixels, &[Adjustment::Brightness(2.0), Adjustment::Contrast(0.0)]);
        assert_eq!(pixels, [128; 6]);
    }

    #[test]
    fn saturation_by_hand() {
        // Grey of (200, 100, 50): 0.299·200 + 0.587·100 + 0.114·50 = 124.2.
        let mut pixels = [200, 100, 50];
        adjust(&mut pixels, &[Adjustment::Saturation(0.5)]);
        assert_eq!(pixels, [162, 112, 87]);
        adjust(&mut pixels, &[Adjustment::Saturation(0.0)]);
        assert_eq!(pixels[0], pixels[1]);
        assert_eq!(pixels[1], pixels[2]);
    }
}
