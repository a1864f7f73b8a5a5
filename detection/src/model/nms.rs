//! Non-maximum suppression.

use super::boxes::{area, overlap};

/// The indices of `boxes` that remain, in the order of `order` (highest scores first): each that overlaps a remaining one of the
/// same class by more than `threshold` is dropped. Stops when `most` remain.
///
/// `classes` are the boxes' classes; boxes of different classes never suppress each other.
pub fn non_maximum_suppression(
    boxes: &[[f32; 4]],
    classes: &[usize],
    order: &[usize],
    threshold: f32,
    most: usize,
) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    // What remains of each class.
    let mut by_class: std::collections::HashMap<usize, Vec<(usize, f32)>> = std::collections::HashMap::new();
    for &index in order {
        if kept.len() == most {
            break;
        }
        let of_class = by_class.entry(classes[index]).or_default();
        let own = area(boxes[index]);
        let suppressed =
            of_class.iter().any(|&(other, area)| overlap(boxes[other], area, boxes[index], own) > threshold);
        if !suppressed {
            of_class.push((index, own));
            kept.push(index);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::boxes::intersection_over_union;
    use super::*;

    #[test]
    fn by_hand() {
        // The second overlaps the first by 9/11 > .5; the third by 1/3; the fourth is of another class.
        let boxes = [[0., 0., 10., 1.], [1., 0., 11., 1.], [5., 0., 15., 1.], [0., 0., 10., 1.]];
        let kept = |most| non_maximum_suppression(&boxes, &[0, 0, 0, 1], &[0, 1, 2, 3], 0.5, most);
        assert_eq!(kept(10), [0, 2, 3]);
        assert_eq!(kept(2), [0, 2]);
        assert_eq!(non_maximum_suppression(&boxes, &[0, 0, 0, 1], &[1, 0, 2, 3], 0.5, 10), [1, 2, 3]);
    }

    #[test]
    fn exactly_the_threshold_stays() {
        // 2 of 3 units shared: 2/(3 + 3 − 2) = ½.
        let boxes = [[0., 0., 3., 1.], [1., 0., 4., 1.]];
        assert_eq!(non_maximum_suppression(&boxes, &[0, 0], &[0, 1], 0.5, 9), [0, 1]);
    }

    proptest! {
        /// Against the definition: an index remains iff no remaining one before it, of its class, overlaps it too much.
        #[test]
        fn agrees_with_brute_force(
            raw in proptest::collection::vec(([0.0f32..20.0, 0.0..20.0, 1.0..15.0, 1.0..15.0], 0usize..3), 0..40),
            threshold in 0.1f32..0.9,
        ) {
            let boxes: Vec<[f32; 4]> = raw.iter().map(|([x, y, w, h], _)| [*x, *y, x + w, y + h]).collect();
            let classes: Vec<usize> = raw.iter().map(|(_, class)| *class).collect();
            let order: Vec<usize> = (0..boxes.len()).rev().collect();
            let kept = non_maximum_suppression(&boxes, &classes, &order, threshold, usize::MAX);
            for (place, &index) in order.iter().enumerate() {
                let stopped = order[..place].iter().any(|other| {
                    kept.contains(other)
                        && classes[*other] == classes[index]
                        && intersection_over_union(boxes[*other], boxes[index]) > threshold
                });
                prop_assert_eq!(kept.contains(&index), !stopped);
            }
        }
    }
}
