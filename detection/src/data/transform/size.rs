//! Sizes, and what becomes of boxes.

/// The size of an image scaled so that its shorter side is `short`, or, should the longer one exceed `long` then, that one is
/// `long`: `scale = min(short / min(h, w), long / max(h, w))`, each side rounded to the nearest. The rule of Detectron2's
/// `ResizeShortestEdge`, in its order of operations.
///
/// # Shapes
/// - `size` and result: (rows, columns), each at least 1
pub fn resized(size: (usize, usize), short: usize, long: usize) -> (usize, usize) {
    let (height, width) = (size.0 as f64, size.1 as f64);
    let scale = short as f64 / height.min(width);
    let (mut rows, mut columns) =
        if height < width { (short as f64, scale * width) } else { (scale * height, short as f64) };
    if rows.max(columns) > long as f64 {
        let scale = long as f64 / rows.max(columns);
        (rows, columns) = (rows * scale, columns * scale);
    }
    // A sliver keeps one row of pixels, where Detectron2 fails.
    (((rows + 0.5) as usize).max(1), ((columns + 0.5) as usize).max(1))
}

/// A box of an image of size `from` in the same image scaled to `to`.
///
/// # Shapes
/// - `bbox`: x1, y1, x2, y2 in pixels
/// - `from`, `to`: (rows, columns)
pub fn scale_box(bbox: [f32; 4], from: (usize, usize), to: (usize, usize)) -> [f32; 4] {
    let down = (to.0 as f64 / from.0 as f64) as f32;
    let across = (to.1 as f64 / from.1 as f64) as f32;
    [bbox[0] * across, bbox[1] * down, bbox[2] * across, bbox[3] * down]
}

/// A box of an image of `width` columns in its mirror image: x1' = width − x2, x2' = width − x1.
pub fn flip_box([x1, y1, x2, y2]: [f32; 4], width: usize) -> [f32; 4] {
    [width as f32 - x2, y1, width as f32 - x1, y2]
}
