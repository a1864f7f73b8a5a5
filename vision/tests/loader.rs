//! Loading: the same batches whatever the threads, wherever an epoch starts; images that cannot be used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use imbalance_vision::augment::{
    Augment, Crop, DecodeError, Layout, LoadError, LoadedBatch, Loader, LoaderOptions, OnBadImage, Preset,
};
use imbalance_vision::data::{Images, Pixels, Split};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/augment").join(name)
}

fn files(paths: Vec<PathBuf>) -> Arc<Split> {
    Arc::new(Split { labels: vec![0; paths.len()], images: Images::Files(paths) })
}

fn good_files() -> Arc<Split> {
    let names = ["colour.jpg", "grey.jpg", "cmyk.jpg", "progressive.jpg", "colour.png", "alpha.png", "ycck.jpg"];
    files(names.map(fixture).to_vec())
}

/// Images of 32×32 whose pixels all differ from image to image.
fn memory(images: usize) -> Arc<Split> {
    let bytes = (0..(images * 32 * 32 * 3) as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    Arc::new(Split { labels: vec![0; images], images: Images::Memory(Pixels { height: 32, width: 32, bytes }) })
}

fn augment() -> Augment {
    let crop = Crop::RandomResized { size: 16, scale: [0.3, 1.0], ratio: [0.75, 4.0 / 3.0] };
    Augment { crop, ..Augment::train(&Preset::imagenet()) }
}

fn options(threads: usize) -> LoaderOptions {
    LoaderOptions { threads, ..LoaderOptions::default() }
}

fn batches() -> Vec<Vec<usize>> {
    vec![vec![0, 3, 1], vec![6, 2], vec![], vec![4, 4, 5, 0, 6], vec![1], vec![2, 5, 3]]
}

fn rest(loader: &mut Loader) -> Vec<(Vec<f32>, Vec<usize>)> {
    let copy = |batch: LoadedBatch| (batch.pixels().to_vec(), batch.positions().to_vec());
    std::iter::from_fn(|| loader.next_batch().unwrap().map(copy)).collect()
}

fn epoch(split: &Arc<Split>, augment: Augment, options: LoaderOptions, first: usize) -> Vec<(Vec<f32>, Vec<usize>)> {
    let mut loader = Loader::new(Arc::clone(split), augment, options).unwrap();
    loader.start_epoch(batches(), first, 7, 2).unwrap();
    rest(&mut loader)
}

#[test]
fn threads_and_prefetching_change_nothing() {
    for (split, augment) in
        [(good_files(), augment()), (memory(7), augment()), (memory(7), Augment::train(&Preset::cifar()))]
    {
        let inline = epoch(&split, augment.clone(), options(0), 0);
        assert_eq!(inline.len(), 6);
        assert!(
            inline.iter().zip(batches()).all(|((_, positions), batch)| *positions == Vec::from_iter(0..batch.len()))
        );
        for threads in [1, 2, 4] {
            for prefetch in [0, 1, 5] {
                let options = LoaderOptions { prefetch, ..options(threads) };
                assert!(epoch(&split, augment.clone(), options, 0) == inline, "{threads} threads, {prefetch} ahead");
            }
        }
    }
}

#[test]
fn an_epoch_that_starts_later_has_the_same_batches() {
    for threads in [0, 2] {
        let all = epoch(&good_files(), augment(), options(threads), 0);
        for first in 0..=all.len() {
            assert!(epoch(&good_files(), augment(), options(threads), first) == all[first..], "from {first}");
        }
    }
}

#[test]
fn an_image_that_comes_twice_differs_and_so_do_seeds_and_epochs() {
    let mut loader = Loader::new(memory(3), Augment::train(&Preset::cifar()), options(0)).unwrap();
    let mut load = |seed, epoch| {
        loader.start_epoch(vec![vec![1; 16]], 0, seed, epoch).unwrap();
        rest(&mut loader).remove(0).0
    };
    let pixels = load(0, 0);
    let image = 3 * 32 * 32;
    assert!(pixels.chunks(image).skip(1).any(|other| other != &pixels[..image]));
    assert_ne!(pixels, load(1, 0));
    assert_ne!(pixels, load(0, 1));
    assert_eq!(pixels, load(0, 0));
}

#[test]
fn a_batch_alone_is_the_one_of_the_epoch() {
    let loader = Loader::new(good_files(), augment(), options(2)).unwrap();
    let all = epoch(&good_files(), augment(), options(2), 0);
    // Batches 0 to 2 have five images.
    let batch = loader.load_batch(&batches()[3], 7, 2, 5).unwrap();
    assert_eq!(batch.pixels(), all[3].0);
}

#[test]
fn layouts_hold_the_same_numbers() {
    let first = epoch(&good_files(), augment(), options(1), 0);
    let last = epoch(&good_files(), augment(), LoaderOptions { layout: Layout::ChannelsLast, ..options(1) }, 0);
    let area = 16 * 16;
    for ((first, _), (last, _)) in first.iter().zip(&last) {
        for (first, last) in first.chunks(3 * area).zip(last.chunks(3 * area)) {
            assert!((0..3 * area).all(|i| first[i] == last[i % area * 3 + i / area]));
        }
    }
}

#[test]
fn evaluation_in_memory_is_normalisation_alone() {
    let split = memory(4);
    let loader = Loader::new(Arc::clone(&split), Augment::evaluate(&Preset::cifar()), options(2)).unwrap();
    let batch = loader.load_batch(&[2], 0, 0, 0).unwrap();
    let Images::Memory(pixels) = &split.images else { unreachable!() };
    // Green of row 5, column 9.
    let level = f32::from(pixels.image(2)[(5 * 32 + 9) * 3 + 1]);
    assert_eq!(batch.pixels()[32 * 32 + 5 * 32 + 9], (level / 255.0 - 0.4822) / 0.1994);
}

#[test]
fn an_epoch_may_be_left_at_any_time() {
    let mut loader = Loader::new(good_files(), augment(), options(2)).unwrap();
    let many = vec![vec![0, 1, 2]; 500];
    for taken in [0, 1, 3] {
        loader.start_epoch(many.clone(), 0, 0, 0).unwrap();
        for _ in 0..taken {
            loader.next_batch().unwrap();
        }
    }
    loader.start_epoch(batches(), 0, 7, 2).unwrap();
    assert!(rest(&mut loader) == epoch(&good_files(), augment(), options(0), 0));
    assert!(loader.next_batch().unwrap().is_none(), "and stays at its end");
}

/// A folder of four good images and, at 1, 3, 4 and 6, one that is truncated, empty, text, and missing.
fn with_bad_files(folder: &Path) -> Arc<Split> {
    let whole = std::fs::read(fixture("colour.jpg")).unwrap();
    std::fs::write(folder.join("truncated.jpg"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(folder.join("empty.jpg"), "").unwrap();
    std::fs::write(folder.join("text.jpg"), "no image").unwrap();
    files(vec![
        fixture("colour.jpg"),
        folder.join("truncated.jpg"),
        fixture("cmyk.jpg"),
        folder.join("empty.jpg"),
        folder.join("text.jpg"),
        fixture("grey.jpg"),
        folder.join("missing.jpg"),
        fixture("alpha.png"),
    ])
}

#[test]
fn a_bad_image_is_an_error_at_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let split = with_bad_files(folder.path());
    for threads in [0, 1, 3] {
        for (bad, message) in [
            (1, "truncated.jpg: is truncated: its JPEG data end before the image does"),
            (3, "empty.jpg: is empty; an image file was expected"),
            (4, "text.jpg: starts with \"no image\", so it is neither JPEG nor PNG"),
            (6, "missing.jpg: cannot be read: "),
        ] {
            let mut loader = Loader::new(Arc::clone(&split), augment(), options(threads)).unwrap();
            loader.start_epoch(vec![vec![0, 2], vec![5, bad, 7, 1], vec![0]], 0, 0, 0).unwrap();
            assert_eq!(loader.next_batch().unwrap().unwrap().positions(), [0, 1]);
            let error = loader.next_batch().unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.to_string().starts_with(&folder.path().display().to_string()), "{error}");
            assert_eq!(loader.next_batch().unwrap_err(), LoadError::NotStarted);
            // Another epoch is another chance.
            loader.start_epoch(vec![vec![0, 2]], 0, 0, 0).unwrap();
            assert_eq!(rest(&mut loader).len(), 1);
        }
    }
}

#[test]
fn skipped_images_are_left_out_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let split = with_bad_files(folder.path());
    let indices = vec![vec![0, 1, 2, 3], vec![4, 6], vec![5, 1, 7]];
    for threads in [0, 2] {
        let options = LoaderOptions { on_bad_image: OnBadImage::Skip, ..options(threads) };
        let mut loader = Loader::new(Arc::clone(&split), augment(), options).unwrap();
        loader.start_epoch(indices.clone(), 0, 7, 2).unwrap();
        let first = loader.next_batch().unwrap().unwrap();
        assert_eq!(loader.skipped().iter().map(|skipped| skipped.index).collect::<Vec<_>>(), [1, 3]);
        let rest = rest(&mut loader);
        assert_eq!((first.positions(), &rest[0].1[..], &rest[1].1[..]), (&[0, 2][..], &[][..], &[0, 2][..]));
        assert!(rest[0].0.is_empty());

        // Those that are left have the pixels that they have alone at their positions.
        let numbers = 3 * 16 * 16;
        assert_eq!(first.pixels().len(), 2 * numbers);
        assert_eq!(first.pixels()[numbers..], *loader.load_batch(&[2], 7, 2, 2).unwrap().pixels());
        assert_eq!(rest[1].0[numbers..], *loader.load_batch(&[7], 7, 2, 8).unwrap().pixels());

        let skipped = loader.skipped();
        let times: Vec<_> = skipped.iter().map(|skipped| (skipped.index, skipped.times)).collect();
        assert_eq!(times, [(1, 2), (3, 1), (4, 1), (6, 1)]);
        assert_eq!(skipped[0].path, folder.path().join("truncated.jpg"));
        assert_eq!(skipped[0].reason, DecodeError::Truncated("JPEG"));
    }
}

#[test]
fn an_image_too_small_to_crop_is_a_bad_image() {
    let split = files(vec![fixture("colour.png")]);
    let loader = Loader::new(split, Augment::train(&Preset::cifar()), options(1)).unwrap();
    let error = loader.load_batch(&[0], 0, 0, 0).unwrap_err().to_string();
    assert!(error.contains("colour.png: an image 12 wide and 7 high with 4 pixels of padding"), "{error}");
}

#[test]
fn wrong_use_is_an_error() {
    let mut loader = Loader::new(memory(3), Augment::train(&Preset::cifar()), options(0)).unwrap();
    assert_eq!(loader.next_batch().unwrap_err(), LoadError::NotStarted);
    let error = loader.start_epoch(vec![vec![0], vec![1, 3]], 0, 0, 0).unwrap_err();
    assert_eq!(error.to_string(), "batch 1 asks for image 3 of 3");
    let error = loader.start_epoch(vec![vec![0]], 2, 0, 0).unwrap_err();
    assert_eq!(error, LoadError::First { first: 2, batches: 1 });
    assert!(matches!(loader.load_batch(&[3], 0, 0, 0), Err(LoadError::Index { index: 3, len: 3, .. })));
    let bad = Augment { flip: 2.0, ..Augment::train(&Preset::cifar()) };
    assert!(matches!(Loader::new(memory(3), bad, options(0)), Err(LoadError::Augment(_))));
}
