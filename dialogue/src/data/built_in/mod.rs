//! A corpus made from a seed, for a first run without a download.
//!
//! Each dialogue has four persona statements and four exchanges in the manner of ConvAI2: a greeting, then
//! questions and statements of the partner on the topics of the persona. Replies follow from what was said and from
//! the persona (`what do you do for fun ?` gets the hobby of the persona), so a model can learn them. Word
//! frequencies follow Zipf's law: common English words make the head and made-up words, which look like English,
//! the tail of rare types.

mod lexicon;
mod random;
mod topics;

use rand_chacha::ChaCha8Rng;

use super::{Dialogue, Turn};
use lexicon::{Class, Lexicon};
use random::{Zipf, below, generator, one_in};
use topics::{CLOSINGS, GREETINGS, Pair, TOPICS, Topic};

/// Training dialogues made.
pub const TRAIN_DIALOGUES: usize = 1_500;
/// Validation dialogues made, and as many test dialogues.
pub const HELD_OUT_DIALOGUES: usize = 150;
/// Exchanges in each dialogue.
pub const EXCHANGES: usize = 4;
const PERSONA_STATEMENTS: usize = 4;

/// The made splits. They share words and templates, and no dialogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splits {
    /// [`TRAIN_DIALOGUES`] dialogues.
    pub train: Vec<Dialogue>,
    /// [`HELD_OUT_DIALOGUES`] dialogues.
    pub valid: Vec<Dialogue>,
    /// [`HELD_OUT_DIALOGUES`] dialogues.
    pub test: Vec<Dialogue>,
}

/// Makes the corpus of a seed: the same texts on every platform.
pub fn generate(seed: u64) -> Splits {
    let mut writer = Writer::new(seed);
    let mut dialogues = |count| (0..count).map(|_| writer.dialogue()).collect();
    Splits {
        train: dialogues(TRAIN_DIALOGUES),
        valid: dialogues(HELD_OUT_DIALOGUES),
        test: dialogues(HELD_OUT_DIALOGUES),
    }
}

struct Writer {
    lexicon: Lexicon,
    topics: Zipf,
    rng: ChaCha8Rng,
}

/// A topic with the words of one persona, and of the partner where it speaks of itself.
struct Facts<'a> {
    topic: &'static Topic,
    own: [&'a str; 2],
    partner: [&'a str; 2],
}

impl Writer {
    fn new(seed: u64) -> Self {
        Self { lexicon: Lexicon::new(), topics: Zipf::new(TOPICS.len(), 4), rng: generator(seed) }
    }

    fn dialogue(&mut self) -> Dialogue {
        let Self { lexicon, topics, rng } = self;
        let mut chosen: Vec<usize> = Vec::new();
        while chosen.len() < PERSONA_STATEMENTS {
            let topic = topics.sample(rng);
            if !chosen.contains(&topic) {
                chosen.push(topic);
            }
        }
        let facts: Vec<Facts> = chosen.into_iter().map(|index| Facts::draw(&TOPICS[index], lexicon, rng)).collect();
        let persona = facts.iter().map(|fact| fact.fill(pick(fact.topic.persona, rng), lexicon, rng)).collect();

        let mut turns = Vec::with_capacity(2 * EXCHANGES);
        let mut say = |fact: &Facts, (message, reply): Pair, rng: &mut ChaCha8Rng| {
            turns.push(Turn::partner(fact.fill(message, lexicon, rng)));
            turns.push(Turn::own(fact.fill(reply, lexicon, rng)));
        };
        let opener = &facts[below(rng, facts.len() as u64) as usize];
        say(opener, (pick(&GREETINGS, rng), pick(opener.topic.opening, rng)), rng);
        let mut coming = facts.iter();
        // The topic of the last exchange while nothing further has been asked about it.
        let mut current: Option<&Facts> = None;
        for place in 1..EXCHANGES {
            if place == EXCHANGES - 1 && one_in(rng, 4) {
                say(opener, pick(&CLOSINGS, rng), rng);
            } else if let Some(fact) = current.take_if(|_| one_in(rng, 2)) {
                say(fact, pick(fact.topic.follow, rng), rng);
            } else if let Some(fact) = coming.next() {
                let pairs = if one_in(rng, 2) { fact.topic.ask } else { fact.topic.tell };
                say(fact, pick(pairs, rng), rng);
                current = Some(fact);
            }
        }
        Dialogue { persona, turns }
    }
}

impl<'a> Facts<'a> {
    fn draw(topic: &'static Topic, lexicon: &'a Lexicon, rng: &mut ChaCha8Rng) -> Self {
        let mut two = || [lexicon.draw(topic.main, rng), lexicon.draw(topic.detail, rng)];
        Self { topic, own: two(), partner: two() }
    }

    /// Fills the slots of a template.
    fn fill(&self, template: &str, lexicon: &Lexicon, rng: &mut ChaCha8Rng) -> String {
        let words: Vec<&str> = template
            .split(' ')
            .map(|word| match word {
                "{a}" => self.own[0],
                "{b}" => self.own[1],
                "{x}" => self.partner[0],
                "{y}" => self.partner[1],
                _ => slot_class(word).map_or(word, |class| lexicon.draw(class, rng)),
            })
            .collect();
        words.join(" ")
    }
}

/// The class that a slot draws from; none for a plain word.
fn slot_class(word: &str) -> Option<Class> {
    Some(match word {
        "{adj}" => Class::Adjective,
        "{bye}" => Class::Bye,
        "{good}" => Class::Good,
        "{hello}" => Class::Hello,
        "{job}" => Class::Job,
        "{name}" => Class::Name,
        "{place}" => Class::Place,
        "{really}" => Class::Really,
        "{time}" => Class::Time,
        "{wow}" => Class::Wow,
        _ => return None,
    })
}

fn pick<T: Copy>(from: &[T], rng: &mut ChaCha8Rng) -> T {
    from[below(rng, from.len() as u64) as usize]
}

#[cfg(test)]
mod tests;
