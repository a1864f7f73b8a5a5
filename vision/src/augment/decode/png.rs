//! PNG of all colour types and depths: palettes looked up, 16 bits cut to their high byte, transparency dropped.

use std::io::Cursor;

use png::{Decoder, DecodingError, Limits, Transformations};

use super::{DecodeError, MAX_PIXELS, RgbImage, prepare};

/// Reads a PNG (of an animation, the first picture) into `image`.
pub(super) fn decode(bytes: &[u8], image: &mut RgbImage) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_PIXELS * 8 });
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(corrupt)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    prepare(image, height, width)?;
    let channels = reader.output_color_type().0.samples();
    if channels == 3 {
        reader.next_frame(&mut image.bytes).map_err(corrupt)?;
        return Ok(());
    }
    let mut pixels = vec![0; height * width * channels];
    reader.next_frame(&mut pixels).map_err(corrupt)?;
    let (out, _) = image.bytes.as_chunks_mut::<3>();
    for (out, pixel) in out.iter_mut().zip(pixels.chunks_exact(channels)) {
        *out = match *pixel {
            [grey] | [grey, _] => [grey; 3],
            [red, green, blue, ..] => [red, green, blue],
            [] => [0; 3],
        };
    }
    Ok(())
}

fn corrupt(error: DecodingError) -> DecodeError {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated("PNG")
        }
        error => DecodeError::Corrupt { format: "PNG", reason: error.to_string() },
    }
}
