//! Tests of [`score`], values computed by hand.

use proptest::prelude::*;

use super::*;

fn close(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-10, "{got} is not {want}");
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn single(texts: &[&str]) -> Vec<Vec<String>> {
    texts.iter().map(|&text| vec![text.to_owned()]).collect()
}

// Normalised replies: "i like cat" and "no no no"; references: "i like dogs" and "no way".
//   F1: 4/6 and 2·1/(3+2).
//   TP: i 1, like 1, no 1.  P: i 1, like 1, cat 1, no 3.  R: i 1, like 1, dogs 1, no 1, way 1.
//   F:  i 1, like 1, cat 0, dogs 0, no 2/4, way 0.
fn example(options: &ScoreOptions) -> DialogueScores {
    let replies = strings(&["I like the cat .", "no, no no"]);
    score(&replies, &single(&["i like dogs.", "No way!"]), options).unwrap()
}

#[test]
fn f_scores_without_a_vocabulary() {
    let scores = example(&ScoreOptions::default());
    close(scores.f1, 100.0 * (2.0 / 3.0 + 0.4) / 2.0);
    close(scores.micro_f, 100.0 * 2.0 * 3.0 / (6.0 + 5.0));
    close(scores.macro_f, 100.0 * 2.5 / 6.0);
    assert_eq!((scores.macro_f_over, scores.macro_f_types), (MacroTypes::Occurring, 6));
    close(scores.macro_f_reference_types, 100.0 * 2.5 / 5.0);
    assert_eq!(scores.reference_types, 5);
    assert_eq!((scores.perplexity, scores.ead_1, scores.rare_share), (None, None, None));
}

#[test]
fn the_vocabulary_decides_the_macro_mean() {
    // Words left: i, like, cat, zebra ("I" and "i" are one type, "," and "the" none). "no", of which half is right, is
    // not in it; "zebra", which never occurs, is.
    let vocabulary = strings(&["I", "i", "like", "cat", "zebra", ",", "the"]);
    let scores = example(&ScoreOptions { vocabulary: Some(vocabulary), ..Default::default() });
    close(scores.macro_f, 100.0 * 2.0 / 4.0);
    assert_eq!((scores.macro_f_over, scores.macro_f_types), (MacroTypes::Vocabulary, 4));
    close(scores.macro_f_reference_types, 50.0);
    close(scores.micro_f, 600.0 / 11.0);
    // Tokens i like the cat . no , no no: 9, distinct 7; V = 7 types as given.
    close(scores.ead_1.unwrap(), 100.0 / (1.0 - (6.0_f64 / 7.0).powi(9)));
}

#[test]
fn ngrams_come_from_tokens_or_from_the_normalised_text() {
    let tokens = example(&ScoreOptions::default());
    close(tokens.distinct_1, 100.0 * 7.0 / 9.0);
    // i-like like-the the-cat cat-. | no-, ,-no no-no
    close(tokens.distinct_2, 100.0);
    close(tokens.distinct_per_token_2, 100.0 * 7.0 / 9.0);
    assert_eq!(tokens.tokens, 9);

    let vocabulary = Some(strings(&["i", "like", "the"]));
    let normalised = ScoreOptions { ngram_text: NgramText::Normalised, vocabulary, ..Default::default() };
    let normalised = example(&normalised);
    // i like cat no no no: distinct 4 of 6; V = 2 words.
    close(normalised.distinct_1, 100.0 * 4.0 / 6.0);
    // i-like like-cat | no-no no-no
    close(normalised.distinct_2, 75.0);
    close(normalised.ead_1.unwrap(), 100.0 * 4.0 / (2.0 * (1.0 - 1.0 / 64.0)));
    // Length stays in tokens.
    assert_eq!((normalised.length_mean, normalised.length_max), (4.5, 5.0));
    // "i like dogs ." and "no way !"
    close(normalised.length_mean_references, 3.5);
}

#[test]
fn rare_words_by_training_count() {
    let train: HashMap<String, u64> = [("i", 50), ("like", 20), ("the", 15), (".", 10), ("no", 3), ("dogs", 2)]
        .map(|(word, count)| (word.to_owned(), count))
        .into();
    // Tail of a tenth: sorted 2 3 10 15 20 50 of 100; 2 + 3 + 10 reaches it, so counts up to 10 are rare.
    let tail = example(&ScoreOptions { train_counts: Some(train.clone()), ..Default::default() });
    assert_eq!(tail.rare_at_most, Some(10));
    // Rare in replies: cat (unseen) . no , (unseen) no no: 6 of 9.
    close(tail.rare_share.unwrap(), 100.0 * 6.0 / 9.0);
    close(tail.unseen_share.unwrap(), 100.0 * 2.0 / 9.0);
    // In references: dogs . no way ! of 7.
    close(tail.rare_share_references.unwrap(), 100.0 * 5.0 / 7.0);

    let rare = RareWords::AtMost(2);
    let at_most = example(&ScoreOptions { train_counts: Some(train), rare, ..Default::default() });
    assert_eq!(at_most.rare_at_most, Some(2));
    close(at_most.rare_share.unwrap(), 100.0 * 2.0 / 9.0);
}

#[test]
fn micro_and_macro_use_the_reference_that_f1_chose() {
    let replies = strings(&["red car"]);
    let references = vec![strings(&["blue bus", "red car here", "car"])];
    let scores = score(&replies, &references, &ScoreOptions::default()).unwrap();
    // F1: 0, 4/5, 2/3.
    close(scores.f1, 80.0);
    close(scores.micro_f, 80.0);
    close(scores.macro_f, 100.0 * 2.0 / 3.0);
    assert_eq!(scores.reference_types, 3);
    assert_eq!(scores.length_mean_references, 3.0);
}

#[test]
fn spaced_punctuation_makes_two_words_of_a_contraction() {
    let replies = strings(&["i'm here"]);
    let references = single(&["i am here"]);
    let f1 = |punctuation| {
        let options = ScoreOptions { punctuation, ..Default::default() };
        score(&replies, &references, &options).unwrap().f1
    };
    // im here / i am here
    close(f1(Punctuation::Removed), 40.0);
    // i m here / i am here
    close(f1(Punctuation::Spaced), 100.0 * 4.0 / 6.0);
    assert_eq!(ScoreOptions::default().punctuation, Punctuation::Spaced);
}

#[test]
fn silence_is_scored_as_zero() {
    let replies = strings(&["", "the ."]);
    let scores = score(&replies, &single(&["hi", "hi"]), &ScoreOptions::default()).unwrap();
    assert_eq!((scores.f1, scores.micro_f, scores.macro_f), (0.0, 0.0, 0.0));
    assert_eq!((scores.length_min, scores.length_max), (0.0, 2.0));
    let only = score(&strings(&[""]), &single(&[""]), &ScoreOptions::default()).unwrap();
    assert_eq!((only.f1, only.macro_f, only.macro_f_types, only.distinct_4), (0.0, 0.0, 0, 0.0));
}

#[test]
fn unusable_input_is_an_error() {
    let options = ScoreOptions::default();
    assert_eq!(score(&[], &[], &options), Err(ScoreError::NoReplies));
    assert_eq!(
        score(&strings(&["a", "b"]), &single(&["a"]), &options),
        Err(ScoreError::LengthMismatch { replies: 2, references: 1 })
    );
    assert_eq!(
        score(&strings(&["a", "b"]), &[strings(&["a"]), vec![]], &options),
        Err(ScoreError::NoReference { number: 2 })
    );
    let with = |options: ScoreOptions| score(&strings(&["x"]), &single(&["x"]), &options);
    assert_eq!(
        with(ScoreOptions { vocabulary: Some(strings(&["the", "."])), ..Default::default() }),
        Err(ScoreError::EmptyVocabulary { types: 2 })
    );
    assert_eq!(
        with(ScoreOptions { train_counts: Some(HashMap::new()), ..Default::default() }),
        Err(ScoreError::EmptyTrainCounts)
    );
    for share in [0.0, 1.0, -0.5] {
        let rare = RareWords::Tail(share);
        assert_eq!(with(ScoreOptions { rare, ..Default::default() }), Err(ScoreError::BadTailShare(share)));
    }
    assert!(with(ScoreOptions { rare: RareWords::Tail(f64::NAN), ..Default::default() }).is_err());
}

#[test]
fn json_is_flat_and_comes_back_the_same() {
    let scores = example(&ScoreOptions::default());
    let json = serde_json::to_value(&scores).unwrap();
    let object = json.as_object().unwrap();
    assert!(object.values().all(|value| !value.is_object() && !value.is_array()));
    assert_eq!(json["macro_f_over"], "occurring");
    assert_eq!(serde_json::from_value::<DialogueScores>(json).unwrap(), scores);
}

proptest! {
    #[test]
    fn order_of_the_pairs_does_not_matter_and_percentages_stay_in_range(
        pairs in proptest::collection::vec(("[w-z .]{0,10}", "[w-z .]{1,10}"), 1..10)
    ) {
        let run = |pairs: &[(String, String)]| {
            let replies: Vec<_> = pairs.iter().map(|(reply, _)| reply.clone()).collect();
            let references: Vec<_> = pairs.iter().map(|(_, text)| vec![text.clone()]).collect();
            score(&replies, &references, &ScoreOptions::default()).unwrap()
        };
        let forward = run(&pairs);
        let reversed: Vec<_> = pairs.iter().rev().cloned().collect();
        let backward = run(&reversed);
        for (a, b) in [
            (forward.f1, backward.f1),
            (forward.micro_f, backward.micro_f),
            (forward.macro_f, backward.macro_f),
            (forward.macro_f_reference_types, backward.macro_f_reference_types),
            (forward.distinct_4, backward.distinct_4),
        ] {
            prop_assert!((a - b).abs() < 1e-9);
            prop_assert!((0.0..=100.0 + 1e-9).contains(&a));
        }
    }

    #[test]
    fn a_perfect_system_scores_a_hundred(texts in proptest::collection::vec("[w-z]( [w-z]){0,5}", 1..8)) {
        let references: Vec<_> = texts.iter().map(|text| vec![text.clone()]).collect();
        let scores = score(&texts, &references, &ScoreOptions::default()).unwrap();
        prop_assert!((scores.f1 - 100.0).abs() < 1e-9);
        prop_assert!((scores.micro_f - 100.0).abs() < 1e-9);
        prop_assert!((scores.macro_f - 100.0).abs() < 1e-9);
    }
}
