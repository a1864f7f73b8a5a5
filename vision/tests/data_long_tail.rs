//! Long-tailed subsets: counts, choices and what the data cannot give.

use imbalance_vision::data::{
    DataError, DatasetKind, HoldOut, ImageSet, Images, LongTail, LongTailError, MissingImages, Pixels, Profile, Split,
    SubsetManifest, SubsetRng, choose, class_counts,
};
use proptest::prelude::*;

/// A set of one-pixel images whose first byte is the class and whose other two are the place.
fn set(counts: &[usize]) -> ImageSet {
    let labels: Vec<u32> = (0..).zip(counts).flat_map(|(class, &count)| vec![class; count]).collect();
    let bytes = labels.iter().enumerate().flat_map(|(i, &label)| [label as u8, i as u8, (i >> 8) as u8]).collect();
    let images = Images::Memory(Pixels { height: 1, width: 1, bytes });
    let train = Split { images, labels };
    let test = train.select(&[0]).unwrap();
    ImageSet {
        name: "made".into(),
        classes: (0..counts.len()).map(|class| format!("c{class}")).collect(),
        train,
        validation: None,
        test,
        sources: vec![],
        missing: MissingImages::default(),
        notes: vec![],
    }
}

fn tail(ratio: f64) -> LongTail {
    LongTail { ratio, profile: Profile::Exponential, n_max: None, rng: SubsetRng::Seeded(0) }
}

#[test]
fn the_published_totals() {
    for (n_max, classes, totals) in [(5000, 10, [12_406, 13_996, 20_431]), (500, 100, [10_847, 12_608, 19_573])] {
        for (ratio, total) in [100.0, 50.0, 10.0].into_iter().zip(totals) {
            let counts = class_counts(n_max, classes, ratio, Profile::Exponential).unwrap();
            assert_eq!(counts.iter().sum::<usize>(), total, "{classes} classes at {ratio}");
        }
    }
    let counts = class_counts(5000, 10, 100.0, Profile::Exponential).unwrap();
    assert_eq!(counts, [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]);
}

#[test]
fn step_and_the_ends_of_the_range() {
    assert_eq!(class_counts(100, 5, 20.0, Profile::Step), Ok(vec![100, 100, 5, 5, 5]));
    assert_eq!(class_counts(100, 3, 1.0, Profile::Exponential), Ok(vec![100; 3]));
    assert_eq!(class_counts(100, 1, 10.0, Profile::Exponential), Ok(vec![100]));
    assert_eq!(class_counts(100, 1, 10.0, Profile::Step), Ok(vec![100]));
    for ratio in [0.5, 0.0, -3.0, f64::INFINITY] {
        assert_eq!(class_counts(100, 3, ratio, Profile::Exponential), Err(LongTailError::Ratio { ratio }));
    }
    assert!(class_counts(100, 3, f64::NAN, Profile::Exponential).is_err());
    // 100/101 is below one.
    let none = LongTailError::EmptyTail { ratio: 101.0, n_max: 100, class: 2, largest: 100.0 };
    assert_eq!(class_counts(100, 3, 101.0, Profile::Exponential), Err(none));
}

#[test]
fn the_largest_ratio_that_is_named_can_be_had() {
    // 49 · (1/49) is below 1 in float64.
    for n_max in [1, 2, 10, 49, 98, 103, 5000] {
        for profile in [Profile::Exponential, Profile::Step] {
            let Err(LongTailError::EmptyTail { largest, .. }) = class_counts(n_max, 10, 2.0 * n_max as f64, profile)
            else {
                panic!("{n_max} images were enough")
            };
            assert!(largest > n_max as f64 - 0.02, "{largest}");
            assert_eq!(class_counts(n_max, 10, largest, profile).unwrap()[9], 1, "{n_max}, {largest}");
        }
    }
    let error = class_counts(49, 10, 49.0, Profile::Exponential).unwrap_err().to_string();
    assert!(error.ends_with("the ratio can be at most 48.99"), "{error}");
}

#[test]
fn the_choices_of_numpy() {
    let fixture: serde_json::Value = serde_json::from_str(include_str!("fixtures/numpy_subset.json")).unwrap();
    let numbers = |value: &serde_json::Value| -> Vec<usize> { serde_json::from_value(value.clone()).unwrap() };

    let small = &fixture["small"];
    let labels: Vec<u32> = serde_json::from_value(small["labels"].clone()).unwrap();
    assert_eq!(choose(&labels, &numbers(&small["counts"]), SubsetRng::Numpy), numbers(&small["kept"]));

    for case in fixture["large"].as_array().unwrap() {
        let (classes, ratio) = (case["classes"].as_u64().unwrap() as usize, case["ratio"].as_f64().unwrap());
        let labels: Vec<u32> = (0..50_000).map(|i| (i * 7919 % 50_000 % classes) as u32).collect();
        let counts = class_counts(50_000 / classes, classes, ratio, Profile::Exponential).unwrap();
        let kept = choose(&labels, &counts, SubsetRng::Numpy);
        assert_eq!(kept.len() as u64, case["total"].as_u64().unwrap());
        assert_eq!(kept[..5], numbers(&case["first"]));
        assert_eq!(SubsetManifest::hash(&kept), case["sha256"].as_str().unwrap(), "{classes} classes at {ratio}");
    }
}

#[test]
fn a_seeded_choice_is_the_same_everywhere_and_another_for_another_seed() {
    let labels: Vec<u32> = (0..200).map(|i| i % 4).collect();
    let chosen = |seed| choose(&labels, &[10, 6, 3, 1], SubsetRng::Seeded(seed));
    // Recorded from the first version: later ones must not choose other images for runs that exist.
    assert_eq!(SubsetManifest::hash(&chosen(3)), "6d74f64a7618f56b4da11988ffaf6271e04eab5eddf4b15ac13dfeb43ca7ee94");
    assert_ne!(chosen(3), chosen(4));
}

#[test]
fn a_set_is_made_long_tailed_from_what_its_classes_have() {
    // 40 · 8^(−i/2): 40, 14.1, 5.
    let (made, manifest) = set(&[40, 30, 20]).make_long_tailed(&tail(8.0)).unwrap();
    assert_eq!(made.train_counts(), [40, 14, 5]);
    assert_eq!(manifest.class_counts, [40, 14, 5]);
    assert_eq!((manifest.available, manifest.indices.len()), (90, 59));
    assert_eq!(made.test.len(), 1);
    let Images::Memory(pixels) = &made.train.images else { panic!("not in memory") };
    for (place, &index) in manifest.indices.iter().enumerate() {
        assert_eq!(pixels.image(place), [made.train.labels[place] as u8, index as u8, 0]);
    }
    assert_eq!(manifest.sha256, SubsetManifest::hash(&manifest.indices));
    let text = serde_json::to_string(&manifest).unwrap();
    assert_eq!(serde_json::from_str::<SubsetManifest>(&text).unwrap(), manifest);

    let (fewer, _) = set(&[40, 30, 20]).make_long_tailed(&LongTail { n_max: Some(16), ..tail(8.0) }).unwrap();
    assert_eq!(fewer.train_counts(), [16, 5, 2]);
}

#[test]
fn what_the_data_cannot_give_is_named() {
    let message = |set: ImageSet, tail: LongTail| match set.make_long_tailed(&tail) {
        Err(error @ DataError::LongTail(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    // At ratio 2: 40, 28, 20. 18 of class 1 are there: ⌊40·r^(−1/2)⌋ ≤ 18 needs r ≥ 5 (17.9; at 4 it is 20); with the ratio
    // 2, ⌊n·2^(−1/2)⌋ ≤ 18 allows n = 26 (18.4; at 27 it is 19.1).
    assert_eq!(
        message(set(&[40, 18, 20]), tail(2.0)),
        "an imbalance ratio of 2 needs 28 images of class 1 (c1), which has 18; the smallest whole ratio that this data \
         can give is 5; with at most 26 images in the largest class this ratio can be had"
    );
    // The largest class must come first: no ratio makes up for that.
    assert_eq!(
        message(set(&[30, 40, 20]), tail(2.0)),
        "an imbalance ratio of 2 needs 40 images of class 0 (c0), which has 30; with at most 30 images in the largest class \
         this ratio can be had"
    );
    assert!(
        message(set(&[40, 30, 20]), tail(41.0)).contains("leaves no image of class 2 when the largest class has 40")
    );
    assert!(message(set(&[40, 30, 20]), tail(0.5)).contains("must be at least 1"));
}

#[test]
fn holding_out_keeps_the_classes_apart() {
    let set = set(&[40, 10, 1]);
    let parts = set.hold_out(HoldOut::Fraction(0.1), 5).unwrap();
    assert_eq!(set.train.select(&parts.held_out).unwrap().class_counts(3), [4, 1, 0]);
    let mut all = [parts.train.clone(), parts.held_out.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, (0..51).collect::<Vec<_>>());
    assert_eq!(set.hold_out(HoldOut::Fraction(0.1), 5).unwrap(), parts);
    assert_ne!(set.hold_out(HoldOut::Fraction(0.1), 6).unwrap(), parts);

    // A class is never emptied: of its one image 0.9 would round to one.
    let most = set.hold_out(HoldOut::Fraction(0.9), 5).unwrap();
    assert_eq!(set.train.select(&most.train).unwrap().class_counts(3), [4, 1, 1]);

    let error = set.hold_out(HoldOut::PerClass(1), 5).unwrap_err().to_string();
    assert_eq!(error, "1 images of class 2 (c2) are to be held out, of 1; at least one must be left for training");
    for fraction in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(matches!(set.hold_out(HoldOut::Fraction(fraction), 5), Err(DataError::HoldOutFraction { .. })));
    }
}

#[test]
fn selecting_repeats_and_refuses() {
    let split = set(&[2, 1]).train;
    assert_eq!(split.select(&[2, 0, 2]).unwrap().labels, [1, 0, 1]);
    let error = split.select(&[0, 3]).unwrap_err().to_string();
    assert_eq!(error, "image 3 is asked for, of 3; was the choice made from other data?");
}

#[test]
fn generated_images_are_made_long_tailed() {
    let set = ImageSet::load(DatasetKind::Synthetic, None).unwrap();
    let (set, _) = set.make_long_tailed(&tail(50.0)).unwrap();
    assert_eq!((set.train_counts()[0], set.train_counts()[9]), (1000, 20));
    assert_eq!(set.test.class_counts(10), [100; 10]);
}

proptest! {
    #[test]
    fn a_choice_has_the_counts_and_no_image_twice(
        labels in prop::collection::vec(0u32..4, 0..200),
        counts in prop::collection::vec(0usize..60, 4),
        seed in any::<u64>(),
        numpy in any::<bool>(),
    ) {
        let rng = if numpy { SubsetRng::Numpy } else { SubsetRng::Seeded(seed) };
        let chosen = choose(&labels, &counts, rng);
        for class in 0..4 {
            let available = labels.iter().filter(|&&label| label == class).count();
            let kept = chosen.iter().filter(|&&index| labels[index] == class).count();
            prop_assert_eq!(kept, counts[class as usize].min(available));
        }
        let distinct: std::collections::BTreeSet<_> = chosen.iter().collect();
        prop_assert_eq!(distinct.len(), chosen.len());
        // Fewer are chosen from among more.
        let halves: Vec<usize> = counts.iter().map(|count| count / 2).collect();
        prop_assert!(choose(&labels, &halves, rng).iter().all(|index| distinct.contains(index)));
    }

    #[test]
    fn any_advice_is_right(available in prop::collection::vec(1usize..60, 2..6), ratio in 1u32..12, step in any::<bool>()) {
        let profile = if step { Profile::Step } else { Profile::Exponential };
        let asked = LongTail { profile, ..tail(f64::from(ratio)) };
        let n_max = *available.iter().max().unwrap();
        let fits = |ratio: f64, n_max| {
            class_counts(n_max, available.len(), ratio, profile)
                .is_ok_and(|counts| counts.iter().zip(&available).all(|(needed, available)| needed <= available))
        };
        match set(&available).make_long_tailed(&asked) {
            Ok((set, _)) => prop_assert!(fits(asked.ratio, n_max) && set.train_counts()[0] == n_max),
            Err(DataError::LongTail(LongTailError::TooFew { smallest_ratio, largest_n_max, .. })) => {
                let by_trying = (1..=n_max).find(|&ratio| fits(ratio as f64, n_max));
                prop_assert_eq!(smallest_ratio, by_trying);
                prop_assert_eq!(largest_n_max, (1..=n_max).rev().find(|&n_max| fits(asked.ratio, n_max)));
            }
            Err(DataError::LongTail(LongTailError::EmptyTail { .. })) => prop_assert!((ratio as usize) > n_max),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
