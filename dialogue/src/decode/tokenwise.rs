//! Greedy decoding and sampling: one hypothesis a reply, one token at a time.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use super::{Constraints, DecodeError, DecodeMethod, DecodeOptions, Hypothesis, to_host};
use crate::model::DecoderState;

/// A reply in the making.
struct Row {
    /// Its place in the batch at the start.
    place: usize,
    reply: Hypothesis,
    rng: ChaCha8Rng,
    ended: bool,
}

/// Decodes the batch that `state` was started with; `examples` are the numbers of its rows among all histories.
pub(super) fn generate(
    mut state: Box<dyn DecoderState + '_>,
    examples: &[usize],
    options: &DecodeOptions,
    constraints: &Constraints,
) -> Result<Vec<Hypothesis>, DecodeError> {
    let mut replies = vec![Hypothesis::default(); examples.len()];
    let mut rows: Vec<Row> = examples
        .iter()
        .enumerate()
        .map(|(place, &example)| {
            // One stream for each example, so that neither the batch nor its size matters.
            let mut rng = ChaCha8Rng::seed_from_u64(options.decode_seed);
            rng.set_stream(example as u64);
            Row { place, reply: Hypothesis::default(), rng, ended: false }
        })
        .collect();
    let device = constraints.device();
    let mut last = Tensor::full([rows.len() as i64], constraints.start, (Kind::Int64, device));
    for step in 0..=options.max_length {
        let mut logits = state.step(&last)?.to_kind(Kind::Float);
        let normaliser = logits.logsumexp([1i64].as_slice(), false);
        constraints.apply(&mut logits, step, rows.iter().map(|row| row.reply.tokens.as_slice()));
        let (tokens, chosen) = match options.decode {
            DecodeMethod::Greedy | DecodeMethod::Beam => {
                let (values, tokens) = logits.max_dim(1, false);
                (tokens, values)
            }
            DecodeMethod::TopK | DecodeMethod::Nucleus | DecodeMethod::Sample => {
                let draws: Vec<f64> = rows.iter_mut().map(|row| row.rng.random()).collect();
                let tokens = sample(&logits, options, &Tensor::from_slice(&draws).to_device(device));
                let chosen = logits.gather(1, &tokens.unsqueeze(1), false).squeeze_dim(1);
                (tokens, chosen)
            }
        };
        // Ids are exact in float64: both come to the host in one copy.
        let found = Tensor::cat(&[tokens.to_kind(Kind::Double), (chosen - normaliser).to_kind(Kind::Double)], 0);
        let found = to_host(&found)?;

        let count = rows.len();
        let mut kept = Vec::with_capacity(count);
        for (index, row) in rows.iter_mut().enumerate() {
            let (token, log_probability) = (found[index] as u32, found[count + index]);
            if !log_probability.is_finite() {
                return Err(DecodeError::NonFinite { example: examples[row.place], step });
            }
            row.reply.log_probability += log_probability;
            if token == constraints.end {
                replies[row.place] = std::mem::take(&mut row.reply);
                row.ended = true;
            } else {
                row.reply.tokens.push(token);
                kept.push(index as i64);
            }
        }
        if kept.is_empty() {
            break;
        }
        last = tokens;
        if kept.len() < rows.len() {
            let index = Tensor::from_slice(&kept).to_device(device);
            state.select(&index);
            last = last.index_select(0, &index);
            rows.retain(|row| !row.ended);
        }
    }
    Ok(replies)
}

/// One token a row, by inversion of the distribution's cumulative sum at `draws`.
///
/// # Shapes
/// - `logits`: `[rows, vocabulary]`; `draws`: float64 `[rows]` in [0, 1)
/// - output: i64 `[rows]`
fn sample(logits: &Tensor, options: &DecodeOptions, draws: &Tensor) -> Tensor {
    let probabilities = (logits / options.temperature).softmax(1, Kind::Double);
    let (candidates, tokens) = match options.decode {
        DecodeMethod::TopK => {
            let k = i64::try_from(options.top_k).unwrap_or(i64::MAX).min(logits.size()[1]);
            let (candidates, tokens) = probabilities.topk(k, 1, true, true);
            (candidates, Some(tokens))
        }
        DecodeMethod::Nucleus => {
            let (sorted, tokens) = probabilities.sort(1, true);
            // A token is in the nucleus if those before it do not hold the probability p yet.
            let before = sorted.cumsum(1, Kind::Double) - &sorted;
            (sorted.masked_fill(&before.ge(options.top_p), 0.0), Some(tokens))
        }
        _ => (probabilities, None),
    };
    let cumulative = candidates.cumsum(1, Kind::Double);
    let total = cumulative.narrow(1, -1, 1);
    // The number of sums at or below the point is the first candidate beyond it, which has a probability above 0.
    let beyond =
        cumulative.le_tensor(&(draws.unsqueeze(1) * total)).sum_dim_intlist([1i64].as_slice(), true, Kind::Int64);
    let place = beyond.clamp_max(candidates.size()[1] - 1);
    tokens.map_or_else(|| place.shallow_clone(), |tokens| tokens.gather(1, &place, false)).squeeze_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each of the 5 tokens is drawn in 1000 evenly spread draws.
    fn histogram(options: &DecodeOptions) -> Vec<i64> {
        let probabilities: [f32; 5] = [0.1, 0.4, 0.2, 0.25, 0.05];
        let draws: Vec<f64> = (0..1000).map(|draw| (f64::from(draw) + 0.5) / 1000.0).collect();
        let logits = (Tensor::from_slice(&probabilities).log() + 3.0).unsqueeze(0).repeat([1000, 1]);
        let tokens: Vec<i64> = sample(&logits, options, &Tensor::from_slice(&draws)).try_into().unwrap();
        (0..5).map(|token| tokens.iter().filter(|&&drawn| drawn == token).count() as i64).collect()
    }

    fn options(decode: DecodeMethod) -> DecodeOptions {
        DecodeOptions { decode, ..Default::default() }
    }

    fn assert_close(found: &[i64], expected: [f64; 5]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((*found as f64 - expected * 1000.0).abs() <= 1.0, "{found} of 1000 for probability {expected}");
            assert_eq!(*found == 0, expected == 0.0);
        }
    }

    #[test]
    fn samples_have_the_models_distribution() {
        assert_close(&histogram(&options(DecodeMethod::Sample)), [0.1, 0.4, 0.2, 0.25, 0.05]);
        // Temperature ½ squares the probabilities; their squares sum to .275.
        let squared = histogram(&DecodeOptions { temperature: 0.5, ..options(DecodeMethod::Sample) });
        assert_close(&squared, [0.01 / 0.275, 0.16 / 0.275, 0.04 / 0.275, 0.0625 / 0.275, 0.0025 / 0.275]);
    }

    #[test]
    fn top_k_keeps_the_k_most_probable() {
        let top = |top_k| histogram(&DecodeOptions { top_k, ..options(DecodeMethod::TopK) });
        assert_close(&top(1), [0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_close(&top(3), [0.0, 0.4 / 0.85, 0.2 / 0.85, 0.25 / 0.85, 0.0]);
        assert_close(&top(99), [0.1, 0.4, 0.2, 0.25, 0.05]);
    }

    #[test]
    fn the_nucleus_is_the_fewest_tokens_that_hold_p() {
        let nucleus = |top_p| histogram(&DecodeOptions { top_p, ..options(DecodeMethod::Nucleus) });
        assert_close(&nucleus(0.01), [0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_close(&nucleus(0.39), [0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_close(&nucleus(0.41), [0.0, 0.4 / 0.65, 0.0, 0.25 / 0.65, 0.0]);
        assert_close(&nucleus(0.84), [0.0, 0.4 / 0.85, 0.2 / 0.85, 0.25 / 0.85, 0.0]);
        assert_close(&nucleus(1.0), [0.1, 0.4, 0.2, 0.25, 0.05]);
    }
}
