//! Exchanges as token ids, and the batches of an epoch.

use imbalance_train::{ExampleClasses, SamplerError, Sampling, order_rng};
use rand::seq::SliceRandom;
use tch::Device;

use crate::data::Dialogue;
use crate::model::{Batch, Special};
use crate::vocabulary::Vocabulary;

/// Batches that are cut from one pool of examples sorted by length.
const BATCHES_PER_POOL: usize = 50;

/// The exchanges of a split as token ids.
#[derive(Debug)]
pub struct Examples {
    histories: Vec<Vec<u32>>,
    replies: Vec<Vec<u32>>,
    special: Special,
    /// Replies that were cut at the limit.
    pub cut_replies: usize,
}

impl Examples {
    /// Encodes every exchange. A history is the persona and all earlier turns, oldest first, with the end
    /// token between them; its latest `history_tokens` and a reply's first `reply_tokens` are kept
    /// (0: all).
    pub fn new(dialogues: &[Dialogue], vocabulary: &Vocabulary, history_tokens: usize, reply_tokens: usize) -> Self {
        let special = vocabulary.special();
        let mut examples = Self { histories: Vec::new(), replies: Vec::new(), special, cut_replies: 0 };
        for dialogue in dialogues {
            // Each text is encoded once, however many histories it is part of.
            let texts = dialogue.persona.iter().chain(dialogue.turns.iter().map(|turn| &turn.text));
            let encoded: Vec<Vec<u32>> = texts.map(|text| vocabulary.encode(text)).collect();
            for turn in dialogue.replies() {
                let earlier = &encoded[..dialogue.persona.len() + turn];
                examples.histories.push(join(earlier, special.end, history_tokens));
                let mut reply = encoded[dialogue.persona.len() + turn].clone();
                if reply_tokens > 0 && reply.len() > reply_tokens {
                    reply.truncate(reply_tokens);
                    examples.cut_replies += 1;
                }
                examples.replies.push(reply);
            }
        }
        examples
    }

    /// How many exchanges there are.
    pub fn len(&self) -> usize {
        self.replies.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// The histories.
    pub fn histories(&self) -> &[Vec<u32>] {
        &self.histories
    }

    /// Tokens of the longest reply, its end counted.
    pub fn longest_reply(&self) -> usize {
        self.replies.iter().map(|reply| reply.len() + 1).max().unwrap_or(0)
    }

    /// The exchanges of `indices` as tensors.
    pub fn batch(&self, indices: &[usize], device: Device) -> Batch {
        let histories: Vec<&[u32]> = indices.iter().map(|&at| self.histories[at].as_slice()).collect();
        let replies: Vec<&[u32]> = indices.iter().map(|&at| self.replies[at].as_slice()).collect();
        Batch::new(&histories, &replies, self.special, device)
    }

    /// The classes of each exchange, for a sampler: the target tokens of its reply, the end token counted.
    pub fn classes(&self) -> ExampleClasses {
        self.replies.iter().map(|reply| reply.iter().copied().chain([self.special.end])).collect()
    }

    /// The batches of an epoch: what `sampling` (over [`Examples::classes`]) draws, sorted by length within pools of
    /// batches so that little is padding, the batches shuffled again. A function of the seed and the epoch alone.
    ///
    /// # Errors
    /// As [`Sampling::order`].
    pub fn epoch(
        &self,
        sampling: &Sampling,
        batch_size: usize,
        seed: u64,
        epoch: usize,
    ) -> Result<Vec<Vec<usize>>, SamplerError> {
        let mut rng = order_rng(seed, epoch);
        let mut order = sampling.order(epoch, &mut rng)?;
        let mut batches = Vec::new();
        for pool in order.chunks_mut(batch_size * BATCHES_PER_POOL) {
            pool.sort_by_key(|&at| (self.replies[at].len(), self.histories[at].len()));
            batches.extend(pool.chunks(batch_size).map(<[usize]>::to_vec));
        }
        batches.shuffle(&mut rng);
        Ok(batches)
    }

    /// All exchanges once, the longest first, for an evaluation.
    pub fn by_length(&self, batch_size: usize) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&at| std::cmp::Reverse((self.replies[at].len(), self.histories[at].len())));
        order.chunks(batch_size).map(<[usize]>::to_vec).collect()
    }
}

/// Joins encoded texts with `between`, keeping the latest `most` tokens (0: all).
pub(crate) fn join(texts: &[Vec<u32>], between: u32, most: usize) -> Vec<u32> {
    let joined = texts.join(&between);
    let skip = if most == 0 { 0 } else { joined.len().saturating_sub(most) };
    joined[skip..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Turn;
    use crate::vocabulary::VocabularyOptions;
    use imbalance_core::ClassCounts;
    use imbalance_train::{Sampler, SamplingPlan};

    fn examples(history_tokens: usize, reply_tokens: usize) -> (Vocabulary, Examples) {
        let dialogue = Dialogue {
            persona: vec!["i like tea .".into()],
            turns: vec![
                Turn::partner("hello"),
                Turn::own("hello , do you like tea ?"),
                Turn::partner("yes"),
                Turn::own("me too"),
            ],
        };
        let vocabulary = Vocabulary::build(std::slice::from_ref(&dialogue), &VocabularyOptions::default()).unwrap();
        let examples = Examples::new(&[dialogue], &vocabulary, history_tokens, reply_tokens);
        (vocabulary, examples)
    }

    #[test]
    fn histories_are_persona_and_earlier_turns_with_end_between() {
        let (vocabulary, examples) = examples(0, 0);
        let end = vocabulary.special().end;
        let expected = [vocabulary.encode("i like tea ."), vec![end], vocabulary.encode("hello")].concat();
        assert_eq!(examples.histories[0], expected);
        assert_eq!(examples.histories[1].iter().filter(|&&id| id == end).count(), 3);
        assert_eq!(examples.replies[1], vocabulary.encode("me too"));
    }

    #[test]
    fn limits_keep_the_latest_history_and_the_first_of_a_reply() {
        let (vocabulary, examples) = examples(2, 3);
        assert_eq!(examples.histories[1], [vec![vocabulary.special().end], vocabulary.encode("yes")].concat());
        assert_eq!(examples.replies[0], vocabulary.encode("hello , do"));
        assert_eq!(examples.cut_replies, 1);
    }

    fn sampling(vocabulary: &Vocabulary, examples: &Examples, sampler: Sampler) -> Sampling {
        let plan = SamplingPlan { sampler, deferred: sampler, beta: 0.0, defer_epochs: 0, epochs: 20 };
        let counts = ClassCounts::new(vocabulary.reply_counts().to_vec()).unwrap();
        Sampling::new(plan, counts, examples.classes()).unwrap()
    }

    #[test]
    fn a_uniform_epoch_has_every_exchange_once_and_is_a_function_of_seed_and_epoch() {
        let (vocabulary, examples) = examples(0, 0);
        let sampling = sampling(&vocabulary, &examples, Sampler::Uniform);
        let order = |epoch| examples.epoch(&sampling, 1, 3, epoch).unwrap();
        let mut all = order(1).concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1]);
        let orders: Vec<_> = (1..20).map(order).collect();
        assert_eq!(orders[4], order(5));
        assert!(orders.iter().any(|order| *order != orders[0]));
    }

    #[test]
    fn a_sampled_epoch_has_as_many_draws_in_batches_of_like_lengths() {
        // 90 replies of one token and 10 of two others.
        let turns = |reply: &str| vec![Turn::partner("yes"), Turn::own(reply)];
        let dialogue = |reply| Dialogue { persona: vec![], turns: turns(reply) };
        let dialogues = [vec![dialogue("yes"); 90], vec![dialogue("oh no"); 10]].concat();
        let vocabulary = Vocabulary::build(&dialogues, &VocabularyOptions::default()).unwrap();
        let examples = Examples::new(&dialogues, &vocabulary, 0, 0);
        assert_eq!(
            examples.classes().iter().map(<[u32]>::len).collect::<Vec<_>>(),
            [vec![2; 90], vec![3; 10]].concat()
        );
        let sampling = sampling(&vocabulary, &examples, Sampler::ClassBalanced);
        let (mut rare, mut padded) = (0, 0);
        for epoch in 1..=100 {
            let batches = examples.epoch(&sampling, 8, 3, epoch).unwrap();
            assert_eq!(batches.concat().len(), 100);
            rare += batches.concat().iter().filter(|&&example| example >= 90).count();
            padded += batches
                .iter()
                .filter(|batch| batch.iter().any(|&at| at < 90) && batch.iter().any(|&at| at >= 90))
                .count();
        }
        // Weights: mean(1/90, 1/100) of the 90, mean(1/10, 1/10, 1/100) of the 10: .7 to .95, so 42.4 % of the draws;
        // five standard deviations of 10,000 draws are 2.5 %.
        assert!((3994..=4490).contains(&rare), "{rare}");
        assert!(padded <= 100, "{padded}");
    }
}
