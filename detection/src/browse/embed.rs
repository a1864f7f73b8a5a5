//! Images as `data:` URIs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use imbalance_vision::augment::{Orientation, RgbImage, decode};

use crate::data::{Image, ImageSource};

/// Longest side of an image on the page, in pixels; longer ones are scaled down.
const LONGEST: usize = 1024;
/// Quality of images that are scaled down.
const QUALITY: u8 = 85;

/// Why an image cannot be shown.
type Reason = Box<dyn std::error::Error + Send + Sync>;

/// The image: a file's own bytes, unless it is large; generated ones as PNG.
pub(super) fn data_uri(image: &Image) -> Result<String, Reason> {
    let (kind, bytes) = match &image.source {
        ImageSource::Generated(scene) => {
            let mut pixels = RgbImage::default();
            scene.draw(&mut pixels);
            ("png", png(&pixels)?)
        }
        ImageSource::File(path) => of_file(std::fs::read(path)?)?,
    };
    Ok(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)))
}

fn of_file(file: Vec<u8>) -> Result<(&'static str, Vec<u8>), Reason> {
    // As viewers turn it, and decoded in any case: what cannot be read would be a hole in the page.
    let image = decode(&file, Orientation::Exif)?;
    if image.width.max(image.height) <= LONGEST {
        return Ok((if file.starts_with(b"\x89PNG") { "png" } else { "jpeg" }, file));
    }
    Ok(("jpeg", jpeg(&scaled(&image)?)?))
}

fn scaled(image: &RgbImage) -> Result<RgbImage, Reason> {
    let longest = image.width.max(image.height);
    let side = |side: usize| (side * LONGEST).div_ceil(longest);
    let (height, width) = (side(image.height), side(image.width));
    let mut small = RgbImage { height, width, bytes: vec![0; 3 * height * width] };
    let from = TypedImageRef::<U8x3>::from_buffer(image.width as u32, image.height as u32, &image.bytes)?;
    let mut to = TypedImage::<U8x3>::from_buffer(width as u32, height as u32, &mut small.bytes)?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize_typed(&from, &mut to, &options)?;
    drop(to);
    Ok(small)
}

fn jpeg(image: &RgbImage) -> Result<Vec<u8>, Reason> {
    let mut bytes = Vec::new();
    let (width, height) = (u16::try_from(image.width)?, u16::try_from(image.height)?);
    jpeg_encoder::Encoder::new(&mut bytes, QUALITY).encode(
        &image.bytes,
        width,
        height,
        jpeg_encoder::ColorType::Rgb,
    )?;
    Ok(bytes)
}

fn png(image: &RgbImage) -> Result<Vec<u8>, Reason> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width as u32, image.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&image.bytes)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(height: usize, width: usize) -> RgbImage {
        RgbImage { height, width, bytes: vec![90; 3 * height * width] }
    }

    #[test]
    fn small_files_stay_and_large_ones_shrink() {
        let file = png(&grey(30, 40)).unwrap();
        assert_eq!(of_file(file.clone()).unwrap(), ("png", file));
        let file = jpeg(&grey(30, 40)).unwrap();
        assert_eq!(of_file(file.clone()).unwrap(), ("jpeg", file));
        let (kind, bytes) = of_file(png(&grey(600, 2048)).unwrap()).unwrap();
        let image = decode(&bytes, Orientation::Exif).unwrap();
        assert_eq!((kind, image.height, image.width), ("jpeg", 300, 1024));
        assert!(image.bytes.iter().all(|byte| byte.abs_diff(90) <= 2));
    }

    #[test]
    fn what_is_no_image_is_an_error() {
        assert!(of_file(b"GIF89a".to_vec()).unwrap_err().to_string().contains("neither JPEG nor PNG"));
    }
}
