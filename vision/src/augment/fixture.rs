//! Files of `tests/fixtures/augment`, which its `make.py` made.

use std::path::PathBuf;

use super::decode::RgbImage;

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/augment").join(name)
}

pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

/// The picture that most fixtures are of.
pub fn picture() -> RgbImage {
    RgbImage { height: 22, width: 30, bytes: bytes("picture.rgb") }
}

/// Greatest difference of two images, in levels.
pub fn difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}
