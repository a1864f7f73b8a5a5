//! The order of images in a run.

mod data_files;

use data_files::set;
use imbalance_detection::data::{Batch, Dataset, Sampler, SamplerOptions, SamplerState, repeat_factors};

const WIDE: (u32, u32) = (40, 30);
const HIGH: (u32, u32) = (30, 40);

fn options(batch_size: usize) -> SamplerOptions {
    SamplerOptions { batch_size, aspect_buckets: true, repeat_threshold: None, seed: 5 }
}

/// 13 wide images, the last of them square, and 6 high ones, by turns at first.
fn shapes() -> Dataset {
    let images: Vec<((u32, u32), &[usize])> = (0..19)
        .map(|index| match index {
            18 => ((30, 30), &[0][..]),
            _ if index % 2 == 1 && index < 12 => (HIGH, &[0][..]),
            _ => (WIDE, &[0][..]),
        })
        .collect();
    set(1, &images)
}

fn sampler(set: &Dataset, options: SamplerOptions) -> Sampler {
    Sampler::new(set, set.trainable(), options).unwrap()
}

#[test]
fn no_batch_has_both_shapes_and_none_is_left_out() {
    let set = shapes();
    let batches: Vec<Batch> = sampler(&set, options(4)).take(95).collect();
    let high = |index: &usize| set.images[*index].width < set.images[*index].height;
    for (number, batch) in batches.iter().enumerate() {
        assert_eq!((batch.indices.len(), batch.first), (4, number as u64 * 4));
        assert!(batch.indices.iter().all(high) || !batch.indices.iter().any(high), "{batch:?}");
    }
    // 95 batches of 4 are 380 images, 20 epochs, but for at most 3 that wait in each bucket.
    let mut counts = vec![0; 19];
    batches.iter().flat_map(|batch| &batch.indices).for_each(|&index| counts[index] += 1);
    assert!(counts.iter().all(|count| (19..=21).contains(count)), "{counts:?}");
    assert!(
        batches.iter().any(|batch| batch.indices.contains(&18) && batch.indices.iter().any(|index| index % 2 == 0))
    );
}

#[test]
fn without_buckets_an_epoch_is_a_permutation() {
    let set = shapes();
    let mut run = sampler(&set, SamplerOptions { aspect_buckets: false, ..options(1) });
    let mut epochs: Vec<Vec<usize>> = Vec::new();
    for _ in 0..3 {
        let epoch: Vec<usize> = (0..19).flat_map(|_| run.next_batch().indices).collect();
        let mut sorted = epoch.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..19).collect::<Vec<_>>());
        epochs.push(epoch);
    }
    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2]);
    let mixed = sampler(&set, SamplerOptions { aspect_buckets: false, ..options(4) }).take(10).any(|batch| {
        let high = batch.indices.iter().filter(|&&index| set.images[index].width < set.images[index].height).count();
        (1..4).contains(&high)
    });
    assert!(mixed);
}

#[test]
fn resumed_anywhere_it_goes_on_as_if_never_stopped() {
    let set = set(3, &[(WIDE, &[0]), (HIGH, &[0, 1]), (WIDE, &[2]), (WIDE, &[0]), (HIGH, &[0]), (WIDE, &[1])]);
    for repeat_threshold in [None, Some(0.8)] {
        let options = SamplerOptions { repeat_threshold, ..options(2) };
        let whole: Vec<Batch> = sampler(&set, options).take(60).collect();
        for position in 0..50 {
            let mut run = sampler(&set, options);
            run.resume(SamplerState { batches: position });
            assert_eq!(run.state(), SamplerState { batches: position });
            let rest: Vec<Batch> = run.by_ref().take(10).collect();
            assert_eq!(rest, whole[position as usize..position as usize + 10]);
            // And back.
            run.resume(SamplerState { batches: position / 2 });
            assert_eq!(run.next_batch(), whole[position as usize / 2]);
        }
        assert_ne!(sampler(&set, SamplerOptions { seed: 6, ..options }).take(60).collect::<Vec<_>>(), whole);
    }
    let state = serde_json::to_string(&SamplerState { batches: 7 }).unwrap();
    assert_eq!(state, "{\"batches\":7}");
}

#[test]
fn repeat_factors_by_hand() {
    // Class 0 is in 4 of 5 images, class 1 in 2, class 2 in 1; several boxes of a class count once, and one image has none.
    let set = set(3, &[(WIDE, &[0, 0, 0]), (WIDE, &[0, 1]), (WIDE, &[0, 1, 1]), (WIDE, &[0, 2]), (WIDE, &[])]);
    let factors = repeat_factors(&set, &[0, 1, 2, 3, 4], 0.9).unwrap();
    // √(.9/.8), √(.9/.4), √(.9/.4), √(.9/.2), 1
    let expected = [1.060_660_2, 1.5, 1.5, 2.121_320_3, 1.0];
    assert!(factors.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{factors:?}");
    // Frequent enough, nothing is repeated: with t = .1 only class 2 is near, and √(.1/.2) < 1.
    assert_eq!(repeat_factors(&set, &[0, 1, 2, 3, 4], 0.1).unwrap(), [1.0; 5]);
    // Of these two images alone, class 2 is in half.
    let of_two = repeat_factors(&set, &[0, 3], 1.0).unwrap();
    assert!((of_two[0] - 1.0).abs() < 1e-12 && (of_two[1] - 2f64.sqrt()).abs() < 1e-12, "{of_two:?}");
    for threshold in [0.0, -1.0, 1.5, f64::NAN] {
        let text = repeat_factors(&set, &[0], threshold).unwrap_err().to_string();
        assert!(text.contains("the threshold of repeat-factor sampling is"), "{text}");
    }
    assert!(repeat_factors(&set, &[9], 0.5).unwrap_err().to_string().contains("image 9 is asked for, of 5"));
}

#[test]
fn an_epoch_repeats_by_the_factor_and_its_fraction_by_chance() {
    let set = set(3, &[(WIDE, &[0, 0, 0]), (WIDE, &[0, 1]), (WIDE, &[0, 1, 1]), (WIDE, &[0, 2])]);
    // f: 1, ½, ¼; factors 1, √2, √2, 2.
    let options = SamplerOptions { repeat_threshold: Some(1.0), ..options(1) };
    let run = sampler(&set, options);
    assert!((run.epoch_images() - (3.0 + 2.0 * 2f64.sqrt())).abs() < 1e-12);
    let mut counts = [0.0; 4];
    run.take(5828).for_each(|batch| counts[batch.indices[0]] += 1.0);
    // About 1000 epochs; the second and third deviate by √(1000 · .414 · .586) = 15.6, and with them the number of epochs.
    assert_eq!((counts[3] / counts[0] * 100.0_f64).round(), 200.0);
    for image in [1, 2] {
        let ratio = counts[image] / counts[0];
        assert!((ratio - 2f64.sqrt()).abs() < 0.07, "{ratio}");
    }
}

#[test]
fn shares_of_processes_are_the_batch() {
    let batch = Batch { indices: vec![5, 6, 7, 8, 9], first: 20 };
    let shares: Vec<Batch> = (0..3).map(|rank| batch.share(rank, 3)).collect();
    assert_eq!(shares.iter().flat_map(|share| share.indices.clone()).collect::<Vec<_>>(), batch.indices);
    assert_eq!(shares.iter().map(|share| share.first).collect::<Vec<_>>(), [20, 22, 24]);
    assert_eq!(batch.share(0, 1), batch);
}

#[test]
fn what_cannot_be_sampled() {
    let empty = set(1, &[(WIDE, &[])]);
    let text = Sampler::new(&empty, empty.trainable(), options(2)).unwrap_err().to_string();
    assert!(text.contains("generated: none of its 1 images has a box to train on"), "{text}");
    let text = Sampler::new(&shapes(), vec![19], options(2)).unwrap_err().to_string();
    assert!(text.contains("image 19 is asked for, of 19"), "{text}");
    let text = Sampler::new(&shapes(), vec![0], options(0)).unwrap_err().to_string();
    assert_eq!(text, "the batch size is 0; it should be at least 1");
}
