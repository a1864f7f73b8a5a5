//! From logits and offsets to detections (Lin et al., 2017, section 4.1, "Inference").

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::ModelError;
use super::anchors::Anchors;
use super::boxes::clip;
use super::coder::decode;
use super::head::HeadOutput;
use super::nms::non_maximum_suppression;

/// Which candidates become detections.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct DetectOptions {
    /// Candidates score more than this.
    pub score_above: f32,
    /// Candidates kept of each level, the best over all anchors and classes.
    pub candidates_per_level: usize,
    /// Overlap above which the lesser of two detections of a class is dropped.
    pub overlap: f32,
    /// Detections of an image.
    pub most: usize,
}

impl Default for DetectOptions {
    fn default() -> Self {
        Self { score_above: 0.05, candidates_per_level: 1000, overlap: 0.5, most: 100 }
    }
}

/// An object found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Corners, in pixels.
    pub bbox: [f32; 4],
    /// Index of the class.
    pub class: usize,
    /// Probability.
    pub score: f32,
}

/// The detections of image `index` of a batch, best first, within the resized image of `(height, width)` pixels; empty boxes
/// are dropped.
///
/// # Errors
/// libtorch's.
pub fn detect(
    outputs: &[HeadOutput],
    anchors: &Anchors,
    index: usize,
    (height, width): (usize, usize),
    options: &DetectOptions,
) -> Result<Vec<Detection>, ModelError> {
    let mut candidates: Vec<Detection> = Vec::new();
    let mut first = 0;
    for output in outputs {
        let flat = |tensor: &Tensor| -> Result<Vec<f32>, ModelError> {
            let own = tensor.f_detach()?.f_select(0, index as i64)?.f_to_kind(Kind::Float)?;
            Ok(Vec::<f32>::try_from(own.f_contiguous()?.f_view([-1])?)?)
        };
        let (logits, offsets) = (flat(&output.logits)?, flat(&output.offsets)?);
        let classes = output.logits.size()[2] as usize;
        let mut best = above(&logits, options.score_above);
        let by_score = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if best.len() > options.candidates_per_level {
            best.select_nth_unstable_by(options.candidates_per_level, by_score);
            best.truncate(options.candidates_per_level);
        }
        best.sort_unstable_by(by_score);
        candidates.extend(best.into_iter().map(|(place, score)| {
            let (anchor, class) = (place / classes, place % classes);
            let mut own = [0.0; 4];
            own.copy_from_slice(&offsets[anchor * 4..anchor * 4 + 4]);
            let bbox = clip(decode(anchors.boxes[first + anchor], own), height as f32, width as f32);
            Detection { bbox, class, score }
        }));
        first += logits.len() / classes.max(1);
    }
    candidates.retain(|found| found.bbox[2] > found.bbox[0] && found.bbox[3] > found.bbox[1]);
    let boxes: Vec<[f32; 4]> = candidates.iter().map(|found| found.bbox).collect();
    let classes: Vec<usize> = candidates.iter().map(|found| found.class).collect();
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    // Stable: of equal scores, the finer level's first.
    order.sort_by(|&a, &b| candidates[b].score.total_cmp(&candidates[a].score));
    let kept = non_maximum_suppression(&boxes, &classes, &order, options.overlap, options.most);
    Ok(kept.into_iter().map(|index| candidates[index]).collect())
}

/// Places and probabilities of the logits whose probability is above `score`.
fn above(logits: &[f32], score: f32) -> Vec<(usize, f32)> {
    // Compared as logits, most of which thereby need no exponential; a little below, for rounding.
    let least = (score / (1.0 - score)).ln() - 1e-4;
    let near = logits.iter().enumerate().filter(|&(_, &logit)| logit > least || score <= 0.0);
    near.map(|(place, &logit)| (place, 1.0 / (1.0 + (-logit).exp()))).filter(|&(_, found)| found > score).collect()
}

#[cfg(test)]
mod tests {
    use super::super::anchors::AnchorConfig;
    use super::*;

    #[test]
    fn one_level_by_hand() {
        let config = AnchorConfig { sizes: vec![8.0], scales: vec![1.0], ratios: vec![1.0], ..AnchorConfig::default() };
        let anchors = config.over((8, 24), &[(1, 3)]).unwrap();
        // Three anchors, two classes. The first two sit on the same place: the second is moved by −1 anchor.
        let logits = Tensor::from_slice(&[2.0f32, -9.0, 1.0, -9.0, -9.0, 0.0]).view([1, 3, 2]);
        let offsets = Tensor::from_slice(&[0.0f32, 0., 0., 0., -1., 0., 0., 0., 0., 0., 0., 0.]).view([1, 3, 4]);
        let output = || vec![HeadOutput { logits: logits.shallow_clone(), offsets: offsets.shallow_clone() }];
        let found = detect(&output(), &anchors, 0, (8, 24), &DetectOptions::default()).unwrap();
        assert_eq!(found.len(), 2, "the second is suppressed");
        assert_eq!((found[0].bbox, found[0].class), ([0.0, 0.0, 4.0, 4.0], 0));
        assert!((found[0].score - 1.0 / (1.0 + (-2f32).exp())).abs() < 1e-7);
        assert_eq!((found[1].bbox, found[1].class, found[1].score), ([12.0, 0.0, 20.0, 4.0], 1, 0.5));
        let one = DetectOptions { candidates_per_level: 1, ..DetectOptions::default() };
        assert_eq!(detect(&output(), &anchors, 0, (8, 24), &one).unwrap().len(), 1);
        let sure = DetectOptions { score_above: 0.5, ..DetectOptions::default() };
        assert_eq!(detect(&output(), &anchors, 0, (8, 24), &sure).unwrap().len(), 1, ".5 is not above .5");
        // An image of which nothing lies under the third anchor.
        assert_eq!(detect(&output(), &anchors, 0, (8, 12), &DetectOptions::default()).unwrap().len(), 1);
    }
}
