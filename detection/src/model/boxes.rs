//! Boxes as corners `[x1, y1, x2, y2]` in pixels of the resized image, ends exclusive.

/// Boxes of one image.
pub type Boxes = Vec<[f32; 4]>;

/// Area; 0 of an empty box.
#[inline]
pub fn area([x1, y1, x2, y2]: [f32; 4]) -> f32 {
    (x2 - x1).max(0.0) * (y2 - y1).max(0.0)
}

/// Intersection over union; 0 where both are empty.
#[inline]
pub fn intersection_over_union(a: [f32; 4], b: [f32; 4]) -> f32 {
    overlap(a, area(a), b, area(b))
}

/// As [`intersection_over_union`], of boxes whose areas are known.
#[inline]
pub(super) fn overlap(a: [f32; 4], area_a: f32, b: [f32; 4], area_b: f32) -> f32 {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let both = width * height;
    let either = area_a + area_b - both;
    if either > 0.0 { both / either } else { 0.0 }
}

/// The part of a box within an image of this size.
#[inline]
pub fn clip([x1, y1, x2, y2]: [f32; 4], height: f32, width: f32) -> [f32; 4] {
    [x1.clamp(0.0, width), y1.clamp(0.0, height), x2.clamp(0.0, width), y2.clamp(0.0, height)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_by_hand() {
        // 2 × 2 and 2 × 2 that share 1 × 1: 1/7.
        assert_eq!(intersection_over_union([0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0]), 1.0 / 7.0);
        assert_eq!(intersection_over_union([0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 3.0, 3.0]), 0.0, "they touch");
        assert_eq!(intersection_over_union([0.0; 4], [0.0; 4]), 0.0, "both are empty");
        assert_eq!(area([3.0, 3.0, 1.0, 5.0]), 0.0, "it is inside out");
    }

    #[test]
    fn clipped_by_hand() {
        assert_eq!(clip([-1.0, 2.0, 50.0, 9.0], 8.0, 20.0), [0.0, 2.0, 20.0, 8.0]);
    }
}
