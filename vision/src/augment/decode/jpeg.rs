//! JPEG: baseline and progressive; RGB, YCbCr, grey, CMYK and YCCK.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use super::exif::Turn;
use super::{DecodeError, RgbImage, prepare};

/// Reads a JPEG into `image` as it is stored, and says how EXIF would turn it.
pub(super) fn decode(bytes: &[u8], image: &mut RgbImage) -> Result<Turn, DecodeError> {
    if !is_whole(bytes) {
        return Err(DecodeError::Truncated("JPEG"));
    }
    // Headers as lenient as other decoders read them: cameras leave stray bytes there. Pixels strictly: what is missing
    // would else be made grey without a word.
    let options = DecoderOptions::new_fast()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options.set_strict_mode(false));
    decoder.decode_headers().map_err(corrupt)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    prepare(image, height, width)?;
    decoder.set_options(options.set_strict_mode(true));
    decoder.decode_into(&mut image.bytes).map_err(corrupt)?;
    Ok(decoder.exif().map_or(Turn::default(), |exif| Turn::from_exif(exif)))
}

fn corrupt(error: DecodeErrors) -> DecodeError {
    match error {
        DecodeErrors::ExhaustedData => DecodeError::Truncated("JPEG"),
        error => DecodeError::Corrupt { format: "JPEG", reason: error.to_string() },
    }
}

/// Whether the end-of-image marker follows the first scan's header. The decoder asks for it only where data run out
/// between rows of blocks.
fn is_whole(bytes: &[u8]) -> bool {
    const END: [u8; 2] = [0xff, 0xd9];
    if bytes.ends_with(&END) {
        return true;
    }
    // EXIF data may hold a thumbnail with an end marker of its own, so segments are skipped by their lengths.
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4).and_then(|four| four.first_chunk::<4>()) {
        let start_of_scan = marker == 0xda;
        at += match marker {
            0xff => 1,
            _ => 2 + usize::from(u16::from_be_bytes([high, low])),
        };
        if start_of_scan {
            break;
        }
    }
    // From the back, since what follows the image (padding, a second image) is short as a rule.
    bytes.get(at..).is_some_and(|scans| scans.windows(2).rev().any(|two| two == END))
}
