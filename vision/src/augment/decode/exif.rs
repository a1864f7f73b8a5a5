//! The orientation that a camera noted (EXIF 2.3, tag 0x0112).

use super::RgbImage;

/// How stored pixels become upright: transposed first, then mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// Rows become columns.
    transpose: bool,
    /// Left and right change places.
    mirror: bool,
    /// Top and bottom change places.
    upend: bool,
}

impl Turn {
    /// What the TIFF structure of an EXIF segment says; nothing, where it says nothing sensible.
    pub fn from_exif(exif: &[u8]) -> Self {
        orientation(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)).map_or(Self::default(), |value| {
            let (transpose, mirror, upend) = match value {
                2 => (false, true, false),
                3 => (false, true, true),
                4 => (false, false, true),
                5 => (true, false, false),
                6 => (true, true, false),
                7 => (true, true, true),
                8 => (true, false, true),
                _ => (false, false, false),
            };
            Self { transpose, mirror, upend }
        })
    }
}

/// The value of tag 0x0112 in the first directory.
fn orientation(tiff: &[u8]) -> Option<u16> {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = long(4)? as usize;
    let entries = usize::from(short(directory)?);
    // An entry is tag, type, count and value: 2, 2, 4 and 4 bytes.
    let entry = (0..entries).map(|i| directory + 2 + 12 * i).find(|at| short(*at) == Some(0x0112))?;
    short(entry + 8)
}

/// Turns `image`.
pub(super) fn turn(image: &mut RgbImage, turn: Turn) {
    if turn == Turn::default() {
        return;
    }
    let (rows, columns) = (image.height, image.width);
    let (height, width) = if turn.transpose { (columns, rows) } else { (rows, columns) };
    let mut bytes = Vec::with_capacity(image.bytes.len());
    for y in 0..height {
        for x in 0..width {
            let y = if turn.upend { height - 1 - y } else { y };
            let x = if turn.mirror { width - 1 - x } else { x };
            let (row, column) = if turn.transpose { (x, y) } else { (y, x) };
            let at = (row * columns + column) * 3;
            bytes.extend_from_slice(&image.bytes[at..at + 3]);
        }
    }
    *image = RgbImage { height, width, bytes };
}
