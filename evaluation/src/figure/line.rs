//! A curve, cut where it leaves its panel and thinned to what can be seen.

use super::Stroke;

/// A curve through points.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The points, in order; it is interrupted where one is not finite. One point alone is drawn as a dot.
    pub points: Vec<(f64, f64)>,
    /// How it looks.
    pub stroke: Stroke,
}

/// The outline of a histogram as the points of a [`Line`]: `values[i]` from `edges[i]` to `edges[i + 1]`.
///
/// # Shapes
/// - `edges`: `[bins + 1]`, `values`: `[bins]`; what has no partner is left out
pub fn steps(edges: &[f64], values: &[f64]) -> Vec<(f64, f64)> {
    let sides = edges.windows(2).zip(values);
    sides.flat_map(|(pair, &value)| [(pair[0], value), (pair[1], value)]).collect()
}

/// The parts of the curve through `points` that lie in the square from (0, 0) to (1, 1).
pub(super) fn clipped(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let mut parts: Vec<Vec<(f64, f64)>> = Vec::new();
    for pair in points.windows(2) {
        let Some((from, to)) = clipped_segment(pair[0], pair[1]) else { continue };
        match parts.last_mut() {
            Some(part) if part.last() == Some(&from) => part.push(to),
            _ => parts.push(vec![from, to]),
        }
    }
    parts
}

/// What of the segment lies in the unit square (Liang and Barsky, 1984).
fn clipped_segment(a: (f64, f64), b: (f64, f64)) -> Option<((f64, f64), (f64, f64))> {
    if ![a.0, a.1, b.0, b.1].iter().all(|value| value.is_finite()) {
        return None;
    }
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (step, room) in [(-dx, a.0), (dx, 1.0 - a.0), (-dy, a.1), (dy, 1.0 - a.1)] {
        if step == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if step < 0.0 {
            enter = enter.max(room / step);
        } else {
            leave = leave.min(room / step);
        }
    }
    let at = |t: f64| if t == 1.0 { b } else { (a.0 + t * dx, a.1 + t * dy) };
    (enter <= leave).then(|| (at(enter), at(leave)))
}

/// The points that the curve cannot do without: the others are less than `tolerance` away from it (Ramer, 1972;
/// Douglas and Peucker, 1973).
pub(super) fn simplified(points: &[(f64, f64)], tolerance: f64) -> Vec<(f64, f64)> {
    let mut keep = vec![false; points.len()];
    let mut open = vec![(0, points.len().saturating_sub(1))];
    while let Some((first, last)) = open.pop() {
        if last <= first {
            continue;
        }
        (keep[first], keep[last]) = (true, true);
        let distance = |at: usize| distance(points[at], points[first], points[last]);
        let farthest = (first + 1..last).max_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        if let Some(farthest) = farthest.filter(|&at| distance(at) > tolerance) {
            open.extend([(first, farthest), (farthest, last)]);
        }
    }
    points.iter().zip(keep).filter(|(_, keep)| *keep).map(|(&point, _)| point).collect()
}

/// From a point to a segment.
fn distance(point: (f64, f64), from: (f64, f64), to: (f64, f64)) -> f64 {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 { ((point.0 - from.0) * dx + (point.1 - from.1) * dy) / length } else { 0.0 };
    let along = along.clamp(0.0, 1.0);
    (point.0 - from.0 - along * dx).hypot(point.1 - from.1 - along * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_cut_at_the_frame() {
        // Up through the top at x = .5, back in at x = 1.
        assert_eq!(
            clipped(&[(0.0, 0.5), (1.0, 1.5), (1.0, 0.0)]),
            [vec![(0.0, 0.5), (0.5, 1.0)], vec![(1.0, 1.0), (1.0, 0.0)]]
        );
        assert_eq!(clipped(&[(0.25, 0.25), (0.5, 0.5), (0.75, 0.5)]).len(), 1);
        assert!(clipped(&[(0.0, 2.0), (1.0, 2.0)]).is_empty());
        // Across the square, with both ends outside.
        assert_eq!(clipped(&[(-0.5, 0.25), (1.5, 0.25)]), [[(0.0, 0.25), (1.0, 0.25)]]);
    }

    #[test]
    fn a_histogram_has_an_outline() {
        assert_eq!(steps(&[0.0, 1.0, 3.0], &[5.0, 2.0]), [(0.0, 5.0), (1.0, 5.0), (1.0, 2.0), (3.0, 2.0)]);
        assert!(steps(&[], &[]).is_empty());
    }

    #[test]
    fn a_curve_is_interrupted_where_it_has_no_value() {
        let parts = clipped(&[(0.0, 0.0), (0.1, 0.1), (0.2, f64::NAN), (0.3, 0.3), (0.4, 0.4)]);
        assert_eq!(parts, [[(0.0, 0.0), (0.1, 0.1)], [(0.3, 0.3), (0.4, 0.4)]]);
    }

    #[test]
    fn points_on_a_straight_line_are_dropped_and_corners_kept() {
        let points: Vec<(f64, f64)> = (0..=10_i32).map(|x| (f64::from(x), f64::from((x - 5).abs()))).collect();
        assert_eq!(simplified(&points, 0.01), [(0.0, 5.0), (5.0, 0.0), (10.0, 5.0)]);
        // A circle comes back to where it began; it is no point.
        let circle: Vec<(f64, f64)> = (0..=360).map(|d| f64::from(d).to_radians().sin_cos()).collect();
        let thin = simplified(&circle, 0.01);
        assert!(thin.len() > 8 && thin.len() < 60, "{}", thin.len());
    }
}
