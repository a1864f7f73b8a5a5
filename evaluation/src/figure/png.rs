//! A figure as a bitmap: its SVG, rendered with the built-in font.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::Source;
use resvg::usvg::{Options, Tree};

use super::canvas::failed;
use super::{Figure, FigureError};

/// Bitmap pixels in a CSS pixel: sharp in print and on dense screens.
const DENSITY: f32 = 2.0;

impl Figure {
    /// The figure as a PNG file, two pixels to a CSS pixel.
    ///
    /// # Errors
    /// See [`Figure::svg`].
    pub fn png(&self) -> Result<Vec<u8>, FigureError> {
        let tree = tree(&self.svg()?)?;
        let size = tree.size();
        let (width, height) = ((size.width() * DENSITY).ceil() as u32, (size.height() * DENSITY).ceil() as u32);
        let mut picture = Pixmap::new(width, height)
            .ok_or_else(|| FigureError::Draw(format!("a picture of {width} × {height} pixels is too large")))?;
        resvg::render(&tree, Transform::from_scale(DENSITY, DENSITY), &mut picture.as_mut());
        picture.encode_png().map_err(failed)
    }
}

/// A parsed SVG whose text is set in the built-in font.
pub(super) fn tree(svg: &str) -> Result<Tree, FigureError> {
    let mut options = Options::default();
    options.fontdb_mut().load_font_source(Source::Binary(Arc::new(dejavu::sans::regular())));
    Tree::from_str(svg, &options).map_err(failed)
}
