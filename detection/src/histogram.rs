//! Scores that a network gives anchors, counted.

use imbalance_evaluation::coco::ScoreHistograms;
use tch::{Kind, Tensor};

use crate::model::{Anchors, BACKGROUND, HeadOutput, MatchOptions, ModelError, match_anchors};

/// Objects of an image, in pixels of the batch, and how anchors are matched with them.
pub(crate) struct Matching<'a> {
    pub boxes: &'a [[f32; 4]],
    /// Index of the class of each box.
    pub classes: &'a [usize],
    pub options: MatchOptions,
}

/// Adds the anchors of image `index` of a batch: those of objects with the score of the object's class, those of background with
/// the highest score of any class. Ignored ones are left out.
///
/// # Errors
/// libtorch's.
pub(crate) fn add_scores(
    histograms: &mut ScoreHistograms,
    outputs: &[HeadOutput],
    anchors: &Anchors,
    index: usize,
    matching: &Matching<'_>,
) -> Result<(), ModelError> {
    let of_anchor = match_anchors(anchors, matching.boxes, &matching.options).of_anchor;
    let mut first = 0;
    for output in outputs {
        let logits = output.logits.f_detach()?.f_select(0, index as i64)?;
        let (count, classes) = (logits.size()[0] as usize, logits.size()[1]);
        let level = &of_anchor[first..first + count];
        first += count;
        let floats = |tensor: Tensor| -> Result<Vec<f32>, ModelError> {
            Ok(Vec::try_from(tensor.f_to_kind(Kind::Float)?.f_sigmoid()?.f_contiguous()?.f_view([-1])?)?)
        };
        // Few anchors answer for objects, so that only their scores are looked up.
        let mut places = Vec::new();
        for ((place, &of), highest) in (0..).zip(level).zip(floats(logits.f_amax([1], false)?)?) {
            match usize::try_from(of) {
                Ok(of) => places.push(place * classes + matching.classes[of] as i64),
                Err(_) if of == BACKGROUND => histograms.add_background(highest),
                Err(_) => {}
            }
        }
        if !places.is_empty() {
            let scores =
                logits.f_reshape([-1])?.f_index_select(0, &Tensor::f_from_slice(&places)?.f_to(logits.device())?)?;
            floats(scores)?.into_iter().for_each(|score| histograms.add_foreground(score));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AnchorConfig;

    #[test]
    fn anchors_are_counted_by_what_they_answer_for() {
        let config = AnchorConfig { sizes: vec![8.0], scales: vec![1.0], ratios: vec![1.0], ..AnchorConfig::default() };
        let anchors = config.over((8, 32), &[(1, 4)]).unwrap();
        // Of two classes. Probabilities of 0 are .5, of 3 about .953, of −3 about .047.
        let logits = Tensor::from_slice(&[3.0f32, -3.0, 0.0, 3.0, -3.0, 0.0, -9.0, -9.0]).view([1, 4, 2]);
        let outputs = [HeadOutput { logits, offsets: Tensor::zeros([1, 4, 4], tch::kind::FLOAT_CPU) }];
        let options = MatchOptions { low_quality: false, ..MatchOptions::default() };
        // Overlaps: 1 with the first anchor, 40/88 with the second, which is therefore ignored.
        let boxes = [[-4.0, -4.0, 4.0, 4.0], [7.0, -4.0, 15.0, 4.0]];
        let matching = Matching { boxes: &boxes, classes: &[1, 0], options };
        let mut histograms = ScoreHistograms::default();
        add_scores(&mut histograms, &outputs, &anchors, 0, &matching).unwrap();
        let filled = |counts: &[u64]| -> Vec<(usize, u64)> {
            counts.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect()
        };
        // .047 of the object's own class, though the other has .953.
        assert_eq!(filled(&histograms.foreground), [(2, 1)]);
        // The third overlaps 24/104 of the second box; its higher score is .5. The fourth has .0001.
        assert_eq!(filled(&histograms.background), [(0, 1), (25, 1)]);
    }
}
