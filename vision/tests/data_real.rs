//! The real CIFAR images, long-tailed choices of them, and the published lists.
//!
//! They are no part of the project: `TOOLKIT_DATA` names their folder, `../shared/data` by default.

use std::path::{Path, PathBuf};

use imbalance_vision::data::{
    DatasetKind, ImageSet, Images, LongTail, LongTailError, Profile, SubsetRng, class_counts, list,
};

/// The data folder, or none, said plainly, where it lacks `file`.
fn folder(file: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TOOLKIT_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    if !root.join(file).exists() {
        println!("skipped: no {}; name the folder of the data with TOOLKIT_DATA", root.join(file).display());
        return None;
    }
    Some(root)
}

fn tail(ratio: f64) -> LongTail {
    LongTail { ratio, profile: Profile::Exponential, n_max: None, rng: SubsetRng::Seeded(0) }
}

/// Mean of each colour over the training images, as the usual normalisation has it for the whole set.
fn means(set: &ImageSet) -> [f64; 3] {
    let Images::Memory(pixels) = &set.test.images else { panic!("not in memory") };
    let sum = |channel: usize| pixels.bytes.iter().skip(channel).step_by(3).map(|&byte| u64::from(byte)).sum::<u64>();
    std::array::from_fn(|channel| sum(channel) as f64 / (pixels.bytes.len() / 3) as f64 / 255.0)
}

#[test]
fn cifar_10() {
    let Some(folder) = folder("cifar-10-ir10.tar.xz") else { return };
    let set = ImageSet::load(DatasetKind::Cifar10, Some(&folder)).unwrap();
    assert_eq!(set.train_counts(), class_counts(5000, 10, 10.0, Profile::Exponential).unwrap());
    assert_eq!(set.test.class_counts(10), [1000; 10]);
    assert_eq!(set.notes, ["CIFAR-10: 20431 training images, where the official files have 50000"]);
    assert_eq!((set.classes[0].as_str(), set.classes[9].as_str()), ("airplane", "truck"));
    // Colours in their places: the means that everyone normalises by.
    for (mean, expected) in means(&set).into_iter().zip([0.4914, 0.4822, 0.4465]) {
        assert!((mean - expected).abs() < 0.006, "{mean} for {expected}");
    }

    let refused = set.clone().make_long_tailed(&tail(5.0)).unwrap_err().to_string();
    let of = LongTailError::TooFew {
        ratio: 5.0,
        class: 1,
        name: "automobile".into(),
        // 5000 · 5^(−1/9) = 4181.3.
        needed: 4181,
        available: 3871,
        smallest_ratio: Some(10),
        // The data has 10 to 1 from 5000; of 500 in the last class ⌊n/5⌋ ≤ 500 allows 2504.
        largest_n_max: Some(2504),
    };
    assert_eq!(refused, of.to_string());

    let (set, manifest) = set.make_long_tailed(&tail(100.0)).unwrap();
    assert_eq!(set.train_counts(), [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]);
    assert_eq!(manifest.indices.len(), 12_406);
}

#[test]
fn cifar_100() {
    let Some(folder) = folder("cifar-100-ir50.tar.xz") else { return };
    let set = ImageSet::load(DatasetKind::Cifar100, Some(&folder.join("cifar-100-ir50.tar.xz"))).unwrap();
    assert_eq!(set.train_counts(), class_counts(500, 100, 50.0, Profile::Exponential).unwrap());
    assert_eq!(set.test.class_counts(100), [100; 100]);
    assert_eq!((set.classes[0].as_str(), set.classes[99].as_str()), ("apple", "worm"));
    let (set, _) = set.make_long_tailed(&tail(100.0)).unwrap();
    assert_eq!(set.train.len(), 10_847);
}

#[test]
fn the_published_lists() {
    let Some(folder) = folder("longtail-lists") else { return };
    let read = |name: &str| list::parse(&std::fs::read_to_string(folder.join("longtail-lists").join(name)).unwrap());
    for (name, images, classes) in [
        ("Places_LT_train.txt", 62_500, 365),
        ("Places_LT_val.txt", 7_300, 365),
        ("Places_LT_test.txt", 36_500, 365),
        ("iNaturalist18_val.txt", 24_426, 8_142),
    ] {
        let list = read(name).unwrap();
        assert_eq!((list.labels.len(), list.labels.iter().max()), (images, Some(&(classes - 1))), "{name}");
    }
    // Without the images, the first and how many are missing.
    let error = ImageSet::load(DatasetKind::PlacesLt, Some(&folder.join("longtail-lists"))).unwrap_err().to_string();
    assert!(error.contains("Places_LT_train.txt:1: no image "), "{error}");
    assert!(error.contains("62500 of the 62500 images of this list are missing"), "{error}");
}
