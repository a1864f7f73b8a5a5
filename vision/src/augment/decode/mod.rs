//! JPEG and PNG files as 8-bit RGB, with the meaning of PIL's `open(path).convert("RGB")`. The exception is 16-bit grey PNGs:
//! here a pixel is the high byte of its value, as everywhere with 16 bits, where PIL cuts all values off at 255.

mod exif;
mod jpeg;
mod png;

use std::path::{Path, PathBuf};

use super::augmenter::ImageRef;

/// An 8-bit RGB image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RgbImage {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width, 3]`.
    pub bytes: Vec<u8>,
}

impl RgbImage {
    /// It, borrowed.
    pub fn as_ref(&self) -> ImageRef<'_> {
        ImageRef { height: self.height, width: self.width, bytes: &self.bytes }
    }
}

/// Whether the orientation in a JPEG's EXIF data turns the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orientation {
    /// Pixels as they are stored. Loaders of classification sets, torchvision's among them, do this; figures compare
    /// only with others that do.
    #[default]
    Stored,
    /// Upright, as viewers show it.
    Exif,
}

/// Why bytes are no image that can be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(String),
    /// There is nothing in it.
    #[error("is empty; an image file was expected")]
    Empty,
    /// It is another kind of file.
    #[error("starts with {0}, so it is neither JPEG nor PNG")]
    Format(String),
    /// It ends before the image does.
    #[error("is truncated: its {0} data end before the image does")]
    Truncated(&'static str),
    /// It is damaged, or uses something that no decoder here knows.
    #[error("is no readable {format}: {reason}")]
    Corrupt {
        /// JPEG or PNG.
        format: &'static str,
        /// What the decoder found.
        reason: String,
    },
    /// It has more pixels than anyone needs.
    #[error("has {height}x{width} pixels; at most {MAX_PIXELS} are read")]
    TooLarge {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// The decoder broke on it.
    #[error("is damaged in a way that the decoder did not foresee")]
    Decoder,
    /// It was read, but the augmentation cannot be applied to it.
    #[error(transparent)]
    Augment(#[from] super::config::AugmentError),
}

/// An image file that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct ImageError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: DecodeError,
}

/// More than any camera's, few enough that a small file cannot ask for all memory.
const MAX_PIXELS: usize = 1 << 28;

/// Reads an image file. Its content, not its name, says whether it is JPEG or PNG.
pub fn decode_file(path: &Path, orientation: Orientation) -> Result<RgbImage, ImageError> {
    let read = || {
        let bytes = std::fs::read(path).map_err(|error| DecodeError::Read(error.to_string()))?;
        decode(&bytes, orientation)
    };
    read().map_err(|reason| ImageError { path: path.to_owned(), reason })
}

/// Reads an image from the bytes of its file.
pub fn decode(bytes: &[u8], orientation: Orientation) -> Result<RgbImage, DecodeError> {
    let mut image = RgbImage::default();
    decode_into(bytes, orientation, &mut image)?;
    Ok(image)
}

/// As [`decode`], into an image whose memory is used again. After an error its content is unspecified.
pub fn decode_into(bytes: &[u8], orientation: Orientation, image: &mut RgbImage) -> Result<(), DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        let turn = jpeg::decode(bytes, image)?;
        if orientation == Orientation::Exif {
            exif::turn(image, turn);
        }
        Ok(())
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        png::decode(bytes, image)
    } else {
        let start: String =
            bytes.iter().take(8).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
        Err(DecodeError::Format(format!("\"{start}\"")))
    }
}

/// Makes room for an image of this size.
fn prepare(image: &mut RgbImage, height: usize, width: usize) -> Result<(), DecodeError> {
    if height.checked_mul(width).is_none_or(|pixels| pixels > MAX_PIXELS) {
        return Err(DecodeError::TooLarge { height, width });
    }
    (image.height, image.width) = (height, width);
    image.bytes.resize(height * width * 3, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::fixture::{bytes, difference, path};

    fn pil(name: &str) -> Vec<u8> {
        bytes(&format!("{name}.rgb"))
    }

    #[test]
    fn jpegs_as_pil_reads_them() {
        // Decoders may round the inverse transform differently; where colour is at half resolution, they interpolate it
        // differently at this picture's hard edges.
        for (name, worst, mean) in [
            ("full-chroma.jpg", 2, 0.05),
            ("colour.jpg", 4, 0.5),
            ("progressive.jpg", 4, 0.5),
            ("grey.jpg", 1, 0.02),
            ("cmyk.jpg", 1, 0.05),
            ("ycck.jpg", 2, 0.05),
        ] {
            let image = decode_file(&path(name), Orientation::Stored).unwrap();
            assert_eq!((image.height, image.width), (22, 30), "{name}");
            let expected = pil(name);
            let found = difference(&image.bytes, &expected);
            let total: u32 = image.bytes.iter().zip(&expected).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            let found_mean = f64::from(total) / expected.len() as f64;
            assert!(found <= worst && found_mean <= mean, "{name}: {found} levels, {found_mean} in the mean");
        }
    }

    #[test]
    fn pngs_as_pil_reads_them() {
        for name in ["colour", "grey", "one-bit", "palette", "alpha", "grey-alpha", "sixteen-bit"] {
            let name = format!("{name}.png");
            assert_eq!(decode_file(&path(&name), Orientation::Stored).unwrap().bytes, pil(&name), "{name}");
        }
    }

    #[test]
    fn upright_where_asked_for() {
        let mut file = bytes("orientation.jpg");
        // Tag 0x0112, type SHORT, count 1, value: in whichever order of bytes Pillow wrote.
        let little = [0x12, 0x01, 3, 0, 1, 0, 0, 0];
        let big = [0x01, 0x12, 0, 3, 0, 0, 0, 1];
        let at = |tag: &[u8]| file.windows(8).position(|eight| eight == tag);
        let value = at(&little).map(|at| at + 8).or_else(|| at(&big).map(|at| at + 9)).unwrap();
        let stored = decode(&file, Orientation::Stored).unwrap();
        for orientation in 1..=8 {
            file[value] = orientation;
            assert_eq!(decode(&file, Orientation::Stored).unwrap(), stored);
            let upright = decode(&file, Orientation::Exif).unwrap();
            assert_eq!((upright.height, upright.width), if orientation < 5 { (8, 16) } else { (16, 8) });
            let found = difference(&upright.bytes, &pil(&format!("orientation-{orientation}")));
            assert!(found <= 2, "orientation {orientation}: {found} levels");
        }
        file[value] = 77;
        assert_eq!(decode(&file, Orientation::Exif).unwrap(), stored);
    }

    #[test]
    fn every_truncation_is_found() {
        for name in
            ["colour.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "orientation.jpg", "colour.png", "palette.png"]
        {
            let file = bytes(name);
            // A PNG's last 12 bytes are a chunk that says only that it ends.
            let needed = if name.ends_with("png") { file.len() - 16 } else { file.len() };
            for end in 0..needed {
                assert!(decode(&file[..end], Orientation::Stored).is_err(), "{end} bytes of {name}");
            }
        }
    }

    #[test]
    fn what_follows_the_image_does_not_matter() {
        let mut file = bytes("colour.jpg");
        let image = decode(&file, Orientation::Stored).unwrap();
        file.extend_from_slice(&[0; 100]);
        assert_eq!(decode(&file, Orientation::Stored).unwrap(), image);
    }

    #[test]
    fn an_end_marker_in_a_thumbnail_is_not_the_images() {
        let file = bytes("colour.jpg");
        let comment = [0xff, 0xfe, 0, 4, 0xff, 0xd9];
        let whole = [&file[..2], &comment, &file[2..]].concat();
        assert!(decode(&whole, Orientation::Stored).is_ok());
        let error = decode(&whole[..whole.len() - 2], Orientation::Stored).unwrap_err();
        assert_eq!(error, DecodeError::Truncated("JPEG"));
    }

    #[test]
    fn damage_never_panics() {
        for name in ["colour.jpg", "progressive.jpg", "ycck.jpg", "palette.png"] {
            let file = bytes(name);
            for at in 2..file.len() {
                for value in [0, 0x7f, 0xff] {
                    let mut file = file.clone();
                    file[at] = value;
                    // Some damage leaves a readable image.
                    let _ = decode(&file, Orientation::Exif);
                }
            }
        }
    }

    #[test]
    fn errors_say_what_it_is() {
        assert_eq!(decode(b"", Orientation::Stored), Err(DecodeError::Empty));
        let text = decode(b"not an image\n", Orientation::Stored).unwrap_err();
        assert_eq!(text.to_string(), "starts with \"not an i\", so it is neither JPEG nor PNG");
        let error = decode_file(&path("no-such.jpg"), Orientation::Stored).unwrap_err();
        assert!(error.to_string().contains("no-such.jpg: cannot be read: "), "{error}");
    }

    #[test]
    fn a_header_cannot_ask_for_all_memory() {
        let mut file = bytes("colour.jpg");
        let frame = file.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        // Height and width follow marker, length and precision.
        file[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        assert_eq!(decode(&file, Orientation::Stored), Err(DecodeError::TooLarge { height: 65535, width: 65535 }));
    }
}
