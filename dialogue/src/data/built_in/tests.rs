use std::collections::{HashMap, HashSet};

use super::*;
use crate::data::text::sha256_hex;
use crate::data::{convai2, exchanges};

fn texts(dialogues: &[Dialogue]) -> impl Iterator<Item = &str> {
    dialogues.iter().flat_map(|dialogue| {
        let turns = dialogue.turns.iter().map(|turn| turn.text.as_str());
        dialogue.persona.iter().map(String::as_str).chain(turns)
    })
}

/// Counts of the word types, most frequent first.
fn ranked<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<u64> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    texts.flat_map(|text| text.split(' ')).for_each(|word| *counts.entry(word).or_default() += 1);
    let mut counts: Vec<u64> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts
}

/// Least-squares slope of log count over log rank, ranks from 1.
fn slope(counts: &[u64], ranks: std::ops::RangeInclusive<usize>) -> f64 {
    let points: Vec<(f64, f64)> = ranks.map(|rank| ((rank as f64).ln(), (counts[rank - 1] as f64).ln())).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let covariance: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    covariance / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

#[test]
fn slope_of_an_exact_power_law() {
    let counts: Vec<u64> = (1..=1000_u64).map(|rank| 1_000_000_000 / rank).collect();
    assert!((slope(&counts, 10..=1000) + 1.0).abs() < 1e-4);
}

#[test]
fn word_frequencies_follow_zipfs_law() {
    for seed in 0..3 {
        let counts = ranked(texts(&generate(seed).train));
        let (all, head) = (slope(&counts, 10..=1000), slope(&counts, 10..=100));
        assert!((all + 1.0).abs() < 0.1, "slope {all} over ranks 10 to 1000");
        assert!((head + 1.0).abs() < 0.3, "slope {head} over ranks 10 to 100");
        assert!(counts.len() > 2_000, "{} types", counts.len());
        let once = counts.iter().filter(|&&count| count == 1).count();
        assert!(once > 50, "{once} words that occur once");
    }
}

#[test]
fn a_seed_fixes_every_byte() {
    let Splits { train, valid, test } = generate(1);
    let text = convai2::format(&[train, valid, test].concat());
    // Computed once; another value here means that runs of the same seed are no longer comparable.
    assert_eq!(sha256_hex(text.as_bytes()), "97b5f07ee8c83129819cd692f7ab6af06aa378e161c2a11f60fac22aba270633");
    assert_ne!(generate(2).valid, generate(3).valid);
}

#[test]
fn every_slot_is_filled_and_turns_are_short() {
    let splits = generate(5);
    for text in [&splits.train, &splits.valid, &splits.test].into_iter().flat_map(|split| texts(split)) {
        assert!(!text.contains(['{', '}']), "{text}");
        assert!(text.split(' ').count() <= 14, "{text}");
        assert!(text.split(' ').all(|word| !word.is_empty() && word == word.to_lowercase()), "{text}");
    }
    // Every template, not only those that a seed happens to draw.
    let lexicon = Lexicon::new();
    let mut rng = generator(0);
    let pairs = |pairs: &[Pair]| pairs.iter().flat_map(|&(message, reply)| [message, reply]).collect::<Vec<_>>();
    for topic in &TOPICS {
        let facts = Facts::draw(topic, &lexicon, &mut rng);
        let own = [topic.persona, topic.opening].concat();
        let shared = [topic.ask, topic.follow, topic.tell, &CLOSINGS].map(pairs).concat();
        for template in [own, shared, GREETINGS.to_vec()].concat() {
            let text = facts.fill(template, &lexicon, &mut rng);
            assert!(!text.contains(['{', '}']) && text.split(' ').count() <= 14, "{text}");
        }
    }
}

#[test]
fn splits_have_their_sizes_and_share_no_dialogue() {
    let Splits { train, valid, test } = generate(9);
    assert_eq!((train.len(), valid.len(), test.len()), (1_500, 150, 150));
    assert_eq!(exchanges(&train).len(), 6_000);
    let known: HashSet<Vec<&str>> = train.iter().map(|d| texts(std::slice::from_ref(d)).collect()).collect();
    for dialogue in valid.iter().chain(&test) {
        assert!(!known.contains(&texts(std::slice::from_ref(dialogue)).collect::<Vec<_>>()));
    }
}

#[test]
fn replies_draw_on_persona_and_message() {
    // Words of the frame occur all over; what counts is the words outside the most frequent hundred.
    let splits = generate(4);
    let mut counts: HashMap<&str, usize> = HashMap::new();
    texts(&splits.train).flat_map(|t| t.split(' ')).for_each(|word| *counts.entry(word).or_default() += 1);
    let rare = |text: &str, word: &str| counts[word] < 150 && text.split(' ').any(|other| other == word);
    let all = exchanges(&splits.train);
    let repeats = |of: fn(&crate::data::Exchange) -> String| {
        let hits = all.iter().filter(|exchange| {
            let source = of(exchange);
            exchange.reply.split(' ').any(|word| rare(&source, word))
        });
        hits.count() as f64 / all.len() as f64
    };
    let persona = repeats(|exchange| exchange.history[..PERSONA_STATEMENTS].join(" "));
    let message = repeats(|exchange| exchange.history[exchange.history.len() - 1].clone());
    let wrong = {
        let shifted = all.iter().zip(all.iter().skip(EXCHANGES));
        let hits = shifted.filter(|(exchange, other)| {
            let persona = other.history[..PERSONA_STATEMENTS].join(" ");
            exchange.reply.split(' ').any(|word| rare(&persona, word))
        });
        hits.count() as f64 / all.len() as f64
    };
    assert!(persona > 0.5 && message > 0.2, "persona {persona}, message {message}");
    assert!(wrong < persona / 4.0, "{wrong} of the replies fit another persona");
}
