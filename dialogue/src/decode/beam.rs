//! Beam search, batched over examples and hypotheses.
//!
//! A hypothesis of n tokens, its end counted, scores `log p / ((5 + n) / 6)^α` (Wu et al., 2016, eq. 14). The search of an
//! example stops when `beam_size` hypotheses have ended, or when no open one can overtake the best that has.

use tch::{Kind, Tensor};

use super::{Constraints, DecodeError, DecodeOptions, Hypothesis, to_host};
use crate::model::DecoderState;

/// The search for one example's reply.
struct Beam {
    /// Its place in the batch at the start.
    place: usize,
    /// Open hypotheses, the most probable first. One of log-probability −∞ fills a place that no hypothesis could take.
    open: Vec<Hypothesis>,
    /// The best ended hypothesis and its score.
    best: Option<(f64, Hypothesis)>,
    ended: usize,
}

/// A token that may extend an open hypothesis.
struct Candidate {
    parent: usize,
    token: u32,
    /// Of the hypothesis with the token.
    log_probability: f64,
}

/// Decodes the batch that `state` was started with; `examples` are the numbers of its rows among all histories.
pub(super) fn search(
    mut state: Box<dyn DecoderState + '_>,
    examples: &[usize],
    options: &DecodeOptions,
    constraints: &Constraints,
) -> Result<Vec<Hypothesis>, DecodeError> {
    let device = constraints.device();
    let mut replies = vec![Hypothesis::default(); examples.len()];
    let mut beams: Vec<Beam> = (0..examples.len())
        .map(|place| Beam { place, open: vec![Hypothesis::default()], best: None, ended: 0 })
        .collect();
    let mut last = Tensor::full([examples.len() as i64], constraints.start, (Kind::Int64, device));
    for step in 0..=options.max_length {
        let width = beams[0].open.len();
        let mut log_probabilities = state.step(&last)?.log_softmax(1, Kind::Float);
        let vocabulary = log_probabilities.size()[1];
        let open = || beams.iter().flat_map(|beam| &beam.open);
        constraints.apply(&mut log_probabilities, step, open().map(|hypothesis| hypothesis.tokens.as_slice()));
        let so_far: Vec<f32> = open().map(|hypothesis| hypothesis.log_probability as f32).collect();
        let totals = log_probabilities + Tensor::from_slice(&so_far).to_device(device).unsqueeze(1);
        // At most one candidate of each hypothesis is its end, so twice the beam always leaves a full beam open.
        let count = (2 * options.beam_size as i64).min(width as i64 * vocabulary);
        let (values, indices) = totals.view([beams.len() as i64, -1]).topk(count, 1, true, true);
        let found = Tensor::cat(&[values.to_kind(Kind::Double), indices.to_kind(Kind::Double)], 1);
        let found = to_host(&found.flatten(0, 1))?;

        let (mut rows, mut tokens, mut searching) = (Vec::new(), Vec::new(), Vec::with_capacity(beams.len()));
        for ((index, mut beam), found) in beams.into_iter().enumerate().zip(found.chunks(2 * count as usize)) {
            let (values, indices) = found.split_at(count as usize);
            let candidates = values.iter().zip(indices).map(|(&log_probability, &index)| Candidate {
                parent: index as usize / vocabulary as usize,
                token: (index as i64 % vocabulary) as u32,
                log_probability,
            });
            if values[0].is_nan() {
                return Err(DecodeError::NonFinite { example: examples[beam.place], step });
            }
            let parents = beam.advance(candidates, options, constraints.end);
            if !beam.is_done(options) {
                rows.extend(parents.iter().map(|&parent| (index * width + parent) as i64));
                tokens.extend(
                    beam.open.iter().map(|hypothesis| hypothesis.tokens.last().map_or(0, |&token| i64::from(token))),
                );
                searching.push(beam);
            } else if let Some((_, best)) = beam.best {
                replies[beam.place] = best;
            } else {
                return Err(DecodeError::NonFinite { example: examples[beam.place], step });
            }
        }
        beams = searching;
        if beams.is_empty() {
            break;
        }
        state.select(&Tensor::from_slice(&rows).to_device(device));
        last = Tensor::from_slice(&tokens).to_device(device);
    }
    Ok(replies)
}

impl Beam {
    /// Takes the best candidates, given the most probable first; returns each open hypothesis's parent among those before.
    fn advance(
        &mut self,
        candidates: impl Iterator<Item = Candidate>,
        options: &DecodeOptions,
        end: u32,
    ) -> Vec<usize> {
        let (mut open, mut parents) = (Vec::with_capacity(options.beam_size), Vec::with_capacity(options.beam_size));
        for (rank, candidate) in candidates.take_while(|candidate| candidate.log_probability.is_finite()).enumerate() {
            let tokens = &self.open[candidate.parent].tokens;
            let log_probability = candidate.log_probability;
            if candidate.token == end {
                // Beyond the beam's size an end is no hypothesis of this beam: with size 1, the search is greedy decoding.
                if rank < options.beam_size {
                    let score = log_probability / length_penalty(tokens.len() + 1, options.length_penalty);
                    self.ended += 1;
                    if self.best.as_ref().is_none_or(|(best, _)| score > *best) {
                        self.best = Some((score, Hypothesis { tokens: tokens.clone(), log_probability }));
                    }
                }
            } else if open.len() < options.beam_size {
                open.push(Hypothesis { tokens: [tokens, &[candidate.token][..]].concat(), log_probability });
                parents.push(candidate.parent);
            }
        }
        if let (Some(first), Some(&parent)) = (open.first(), parents.first()) {
            let filler = Hypothesis { tokens: first.tokens.clone(), log_probability: f64::NEG_INFINITY };
            open.resize(options.beam_size, filler);
            parents.resize(options.beam_size, parent);
        }
        self.open = open;
        parents
    }

    fn is_done(&self, options: &DecodeOptions) -> bool {
        let Some(most_probable) = self.open.first() else { return true };
        // Log-probabilities only fall, and the longest reply has the mildest penalty: no continuation scores above this.
        let bound = most_probable.log_probability / length_penalty(options.max_length + 1, options.length_penalty);
        self.ended >= options.beam_size || self.best.as_ref().is_some_and(|(best, _)| *best >= bound)
    }
}

fn length_penalty(length: usize, alpha: f64) -> f64 {
    ((5.0 + length as f64) / 6.0).powf(alpha)
}

#[cfg(test)]
mod tests {
    use super::length_penalty;

    #[test]
    fn the_length_penalty_is_gnmts() {
        assert_eq!(length_penalty(7, 1.0), 2.0);
        assert_eq!(length_penalty(19, 0.5), 2.0);
        assert_eq!(length_penalty(3, 0.0), 1.0);
    }
}
