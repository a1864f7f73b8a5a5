//! Which anchor answers for which ground-truth box (Lin et al., 2017, section 4.1, with the low-quality matches of Ren et
//! al., 2015).

use serde::{Deserialize, Serialize};

use super::ModelError;
use super::anchors::Anchors;
use super::boxes::{area, overlap};

/// The match of an anchor that answers for no box.
pub const BACKGROUND: i64 = -1;
/// The match of an anchor that is not trained.
pub const IGNORED: i64 = -2;

/// When an anchor matches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct MatchOptions {
    /// Below this overlap with every box an anchor is background.
    pub background_below: f32,
    /// From this overlap on it answers for the box that it overlaps most; in between it is ignored.
    pub foreground_from: f32,
    /// Whether each box also claims the anchors that overlap it most, ties included, however little that is. Such an anchor
    /// answers for the box that *it* overlaps most.
    pub low_quality: bool,
}

impl Default for MatchOptions {
    fn default() -> Self {
        Self { background_below: 0.4, foreground_from: 0.5, low_quality: true }
    }
}

impl MatchOptions {
    /// # Errors
    /// [`ModelError::Setting`] unless 0 ≤ background ≤ foreground ≤ 1.
    pub fn check(&self) -> Result<(), ModelError> {
        let Self { background_below, foreground_from, .. } = *self;
        if 0.0 <= background_below && background_below <= foreground_from && foreground_from <= 1.0 {
            return Ok(());
        }
        Err(ModelError::Setting(format!(
            "overlaps of background ({background_below}) and foreground ({foreground_from}) should rise from 0 to 1"
        )))
    }
}

/// What each anchor of an image answers for.
#[derive(Clone, Debug, PartialEq)]
pub struct Matches {
    /// The index of a box, [`BACKGROUND`] or [`IGNORED`], for each anchor.
    pub of_anchor: Vec<i64>,
    /// Anchors that answer for a box.
    pub foreground: usize,
}

/// Matches anchors and the boxes of an image. Of equal overlaps, the first box wins, as with torch's `max`.
///
/// Anchors stand on a grid, so only those near a box are looked at.
pub fn match_anchors(anchors: &Anchors, boxes: &[[f32; 4]], options: &MatchOptions) -> Matches {
    let count = anchors.boxes.len();
    let mut best = vec![0.0f32; count];
    let mut of_anchor = vec![BACKGROUND; count];
    let mut claimed: Vec<usize> = Vec::new();
    let mut near: Vec<(usize, f32)> = Vec::new();
    for (index, &of) in boxes.iter().enumerate() {
        near.clear();
        let own = area(of);
        for_near(anchors, of, |anchor, shape_area| {
            let value = overlap(of, own, anchors.boxes[anchor], shape_area);
            if value > 0.0 {
                near.push((anchor, value));
                if value > best[anchor] {
                    best[anchor] = value;
                    of_anchor[anchor] = index as i64;
                }
            }
        });
        if options.low_quality {
            let most = near.iter().fold(0.0f32, |most, &(_, value)| most.max(value));
            claimed.extend(near.iter().filter(|&&(_, value)| value == most).map(|&(anchor, _)| anchor));
        }
    }
    claimed.sort_unstable();
    claimed.dedup();
    let mut claimed = claimed.into_iter().peekable();
    let mut foreground = 0;
    for (anchor, (of, &value)) in of_anchor.iter_mut().zip(&best).enumerate() {
        let kept = claimed.next_if_eq(&anchor).is_some();
        if kept || value >= options.foreground_from && *of >= 0 {
            foreground += 1;
        } else if value < options.background_below || *of < 0 {
            *of = BACKGROUND;
        } else {
            *of = IGNORED;
        }
    }
    Matches { of_anchor, foreground }
}

/// Calls `each` with every anchor that may overlap `of`, and its area.
fn for_near(anchors: &Anchors, [x1, y1, x2, y2]: [f32; 4], mut each: impl FnMut(usize, f32)) {
    let mut first = 0;
    for (level, shapes) in anchors.levels.iter().zip(&anchors.shapes) {
        let reach = shapes.iter().flatten().fold(0.0f32, |reach, side| reach.max(side.abs()));
        // Positions whose largest anchor reaches the box.
        let range = |low: f32, high: f32, stride: usize, count: usize| {
            let stride = stride.max(1) as f32;
            let from = ((low - reach) / stride).floor().max(0.0) as usize;
            let to = ((high + reach) / stride).ceil().max(0.0) as usize;
            from.min(count)..(to + 1).min(count)
        };
        for y in range(y1, y2, level.stride_y, level.height) {
            for x in range(x1, x2, level.stride_x, level.width) {
                let at = first + (y * level.width + x) * shapes.len();
                for shape in 0..shapes.len() {
                    // Of the anchor itself: shifted corners round differently.
                    each(at + shape, area(anchors.boxes[at + shape]));
                }
            }
        }
        first += level.positions() * shapes.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::anchors::AnchorConfig;
    use super::super::boxes::intersection_over_union;
    use super::*;

    fn anchors(config: &AnchorConfig, (height, width): (usize, usize)) -> Anchors {
        let levels: Vec<(usize, usize)> =
            (0..config.sizes.len()).map(|level| (height.div_ceil(8 << level), width.div_ceil(8 << level))).collect();
        config.over((height, width), &levels).unwrap()
    }

    /// The definition, with the whole matrix of overlaps.
    fn brute_force(anchors: &Anchors, boxes: &[[f32; 4]], options: &MatchOptions) -> Vec<i64> {
        let overlap = |index: usize, anchor: usize| intersection_over_union(boxes[index], anchors.boxes[anchor]);
        let mut claimed = vec![false; anchors.boxes.len()];
        for index in 0..boxes.len() {
            let all: Vec<f32> = (0..claimed.len()).map(|anchor| overlap(index, anchor)).collect();
            let most = all.iter().copied().fold(0.0, f32::max);
            for (anchor, &value) in all.iter().enumerate() {
                claimed[anchor] |= options.low_quality && most > 0.0 && value == most;
            }
        }
        (0..claimed.len())
            .map(|anchor| {
                let (mut of, mut best) = (-1, 0.0);
                for index in 0..boxes.len() {
                    if overlap(index, anchor) > best {
                        (of, best) = (index as i64, overlap(index, anchor));
                    }
                }
                if claimed[anchor] || best >= options.foreground_from {
                    of
                } else if best < options.background_below {
                    BACKGROUND
                } else {
                    IGNORED
                }
            })
            .collect()
    }

    #[test]
    fn a_tie_is_claimed_on_both_sides() {
        let config = AnchorConfig { sizes: vec![8.0], scales: vec![1.0], ratios: vec![1.0], ..AnchorConfig::default() };
        let anchors = anchors(&config, (8, 24));
        // Anchors are 8 wide around x = 0, 8 and 16; the box lies between the first two.
        let matches = match_anchors(&anchors, &[[2.0, -4.0, 6.0, 4.0]], &MatchOptions::default());
        assert_eq!(matches.of_anchor, [0, 0, BACKGROUND]);
        assert_eq!(matches.foreground, 2);
        let strict = MatchOptions { low_quality: false, ..MatchOptions::default() };
        assert_eq!(match_anchors(&anchors, &[[2.0, -4.0, 6.0, 4.0]], &strict).of_anchor, [BACKGROUND; 3]);
    }

    #[test]
    fn a_claimed_anchor_keeps_the_box_that_it_overlaps_most() {
        let config = AnchorConfig { sizes: vec![8.0], scales: vec![1.0], ratios: vec![1.0], ..AnchorConfig::default() };
        let anchors = anchors(&config, (8, 8));
        // One anchor, (−4, −4, 4, 4); both boxes claim it and the second overlaps it more.
        let matches =
            match_anchors(&anchors, &[[0.0, 0.0, 4.0, 4.0], [-4.0, -4.0, 4.0, 3.0]], &MatchOptions::default());
        assert_eq!(matches.of_anchor, [1]);
    }

    #[test]
    fn an_image_without_boxes_is_background() {
        let anchors = anchors(&AnchorConfig::default(), (64, 64));
        let matches = match_anchors(&anchors, &[], &MatchOptions::default());
        assert!(matches.foreground == 0 && matches.of_anchor.iter().all(|&of| of == BACKGROUND));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_brute_force(
            // Whole numbers, so that ties happen.
            raw in proptest::collection::vec([0u32..90, 0u32..60, 1u32..80, 1u32..60], 0..6),
            low_quality: bool,
        ) {
            let boxes: Vec<[f32; 4]> = raw
                .iter()
                .map(|[x, y, w, h]| [*x as f32, *y as f32, (x + w).min(96) as f32, (y + h).min(64) as f32])
                .filter(|of| area(*of) > 0.0)
                .collect();
            let anchors = anchors(&AnchorConfig::default(), (64, 96));
            let options = MatchOptions { low_quality, ..MatchOptions::default() };
            let found = match_anchors(&anchors, &boxes, &options);
            let expected = brute_force(&anchors, &boxes, &options);
            prop_assert_eq!(found.foreground, expected.iter().filter(|&&of| of >= 0).count());
            prop_assert_eq!(found.of_anchor, expected);
        }
    }
}
