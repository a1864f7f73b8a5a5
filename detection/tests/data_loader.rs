//! Batches, whatever the number of threads.

mod data_files;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use data_files::{FAIL, write_png};
use imbalance_detection::data::{
    Batch, ChannelOrder, Colour, Dataset, LoadError, LoadedBatch, Loader, LoaderOptions, Sampler, SamplerOptions,
    Transform, evaluation_batches,
};
use imbalance_vision::augment::OnBadImage;
use serde_json::json;
use tempfile::TempDir;

const COLOUR: Colour = Colour { order: ChannelOrder::Bgr, mean: [10.0, 20.0, 30.0], std: [1.0, 2.0, 4.0] };

/// Nine images of all shapes, each with a box of class `index % 2` that fills its left half, and a crowd.
fn files() -> (TempDir, Dataset) {
    let folder = tempfile::tempdir().unwrap();
    let sizes: [(u32, u32); 9] =
        [(40, 30), (30, 40), (64, 20), (33, 33), (20, 64), (41, 29), (50, 50), (29, 41), (60, 45)];
    let (mut images, mut objects) = (Vec::new(), Vec::new());
    for (index, (width, height)) in sizes.into_iter().enumerate() {
        write_png(&folder.path().join(format!("{index}.png")), width, height, |x, y| {
            [x as u8 * 3, y as u8 * 3, index as u8 * 25]
        });
        images.push(json!({"id": index + 100, "file_name": format!("{index}.png"), "width": width, "height": height}));
        let bbox = [0.0, 0.0, f64::from(width) / 2.0, f64::from(height)];
        let object = |id: usize, bbox: [f64; 4], crowd: u8| json!({"id": id, "image_id": index + 100, "category_id": index % 2, "bbox": bbox, "area": 9, "iscrowd": crowd});
        objects.push(object(index + 1, bbox, 0));
        objects.push(object(index + 50, [1.0, 1.0, 5.0, 5.0], 1));
    }
    let categories = json!([{"id": 0, "name": "a"}, {"id": 1, "name": "b"}]);
    let all = json!({"images": images, "annotations": objects, "categories": categories});
    let file = folder.path().join("boxes.json");
    fs::write(&file, all.to_string()).unwrap();
    let set = Dataset::open(folder.path(), &file, &FAIL).unwrap().0;
    (folder, set)
}

fn transform() -> Transform {
    Transform { short_sides: vec![24, 32, 40], long_side: 70, flip: 0.5, ..Transform::evaluate(COLOUR) }
}

fn loader(set: &Dataset, threads: usize, on_bad_image: OnBadImage) -> Loader {
    Loader::new(Arc::new(set.clone()), transform(), LoaderOptions { threads, prefetch: 3, on_bad_image }).unwrap()
}

fn sampler(set: &Dataset) -> Sampler {
    let options = SamplerOptions { batch_size: 2, aspect_buckets: true, repeat_threshold: None, seed: 1 };
    Sampler::new(set, set.trainable(), options).unwrap()
}

fn batches(loader: &mut Loader, count: usize) -> Vec<LoadedBatch> {
    (0..count).map(|_| loader.next_batch().unwrap().unwrap()).collect()
}

#[track_caller]
fn same(one: &LoadedBatch, other: &LoadedBatch) {
    assert_eq!((one.height, one.width, &one.images), (other.height, other.width, &other.images));
    assert_eq!(one.used_up, other.used_up);
    assert!(one.pixels[..] == other.pixels[..]);
}

#[test]
fn the_same_with_any_number_of_threads() {
    let (_folder, set) = files();
    let of = |threads: usize| {
        let mut loader = loader(&set, threads, OnBadImage::Fail);
        loader.start(sampler(&set), 7);
        batches(&mut loader, 20)
    };
    let inline = of(0);
    for threads in [1, 3] {
        of(threads).iter().zip(&inline).for_each(|(one, other)| same(one, other));
    }
    let first = inline.iter().map(|batch| batch.images[0].index);
    assert!(first.eq(sampler(&set).take(20).map(|batch| batch.indices[0])));
    assert!(inline.iter().any(|batch| batch.images.iter().any(|image| image.flipped)));
    // Another seed of the transform draws other sizes.
    let mut other = loader(&set, 1, OnBadImage::Fail);
    other.start(sampler(&set), 8);
    assert!(batches(&mut other, 20).iter().zip(&inline).any(|(one, other)| one.images != other.images));
}

#[test]
fn started_later_it_goes_on_as_if_never_stopped() {
    let (_folder, set) = files();
    let mut whole = loader(&set, 2, OnBadImage::Fail);
    whole.start(sampler(&set), 7);
    let whole = batches(&mut whole, 12);
    let mut rest = sampler(&set);
    rest.resume(imbalance_detection::data::SamplerState { batches: 5 });
    let mut late = loader(&set, 2, OnBadImage::Fail);
    late.start(rest, 7);
    for (one, other) in batches(&mut late, 7).iter().zip(&whole[5..]) {
        assert_eq!(one.images, other.images);
        assert!(one.pixels[..] == other.pixels[..]);
        assert_eq!(one.used_up + 5, other.used_up);
    }
}

#[test]
fn boxes_lie_where_the_pixels_do() {
    let (_folder, set) = files();
    let mut loader = loader(&set, 2, OnBadImage::Fail);
    loader.start(sampler(&set), 3);
    for batch in batches(&mut loader, 30) {
        assert!(batch.height % 32 == 0 && batch.width % 32 == 0);
        let numbers = batch.height * batch.width * 3;
        assert_eq!(batch.pixels.len(), batch.images.len() * numbers);
        for (image, pixels) in batch.images.iter().zip(batch.pixels.chunks(numbers)) {
            let (height, width) = image.resized;
            // Without the crowd.
            assert_eq!(image.classes, [image.index % 2]);
            let [x1, y1, x2, y2] = image.boxes[0];
            let (columns, half) = (width as f32, width as f32 / 2.0);
            let expected = if image.flipped { [half, columns] } else { [0.0, half] };
            assert!((x1 - expected[0]).abs() < 1e-3 && (x2 - expected[1]).abs() < 1e-3, "{image:?}");
            assert!(y1 == 0.0 && (y2 - height as f32).abs() < 1e-3);
            let at = |y: usize, x: usize, channel: usize| {
                pixels[(y * batch.width + x) * 3 + channel] * COLOUR.std[channel] + COLOUR.mean[channel]
            };
            // Red, last in this order, grows from left to right of the file; blue tells which it is.
            let (left, right) = (at(height / 2, 0, 2), at(height / 2, width - 1, 2));
            assert!(if image.flipped { left > right } else { left < right }, "{left} {right}");
            assert!((at(height - 1, width - 1, 0) - image.index as f32 * 25.0).abs() < 0.01);
            // Padding is 0 after the mean was subtracted.
            for (at, value) in pixels.iter().enumerate() {
                let (y, x) = (at / 3 / batch.width, at / 3 % batch.width);
                assert!(y < height && x < width || *value == 0.0, "row {y}, column {x}: {value}");
            }
        }
    }
}

#[test]
fn evaluation_has_every_image_once() {
    let (_folder, set) = files();
    let all: Vec<usize> = (0..9).collect();
    let indices = |batches: &[Batch]| batches.iter().flat_map(|batch| batch.indices.clone()).collect::<Vec<_>>();
    assert_eq!(indices(&evaluation_batches(&set, &all, 1)), all);
    let grouped = evaluation_batches(&set, &all, 4);
    assert_eq!(grouped.iter().map(|batch| batch.indices.len()).collect::<Vec<_>>(), [4, 4, 1]);
    // By width over height: .31, .71, .75, .71 … the highest first, the widest last.
    assert_eq!(indices(&grouped), [4, 7, 1, 3, 6, 0, 8, 5, 2]);
    let mut loader = loader(&set, 3, OnBadImage::Fail);
    for _ in 0..2 {
        loader.start(grouped.clone(), 0);
        let mut found = Vec::new();
        while let Some(batch) = loader.next_batch().unwrap() {
            found.extend(batch.images.iter().map(|image| image.index));
        }
        assert_eq!(found, indices(&grouped));
        assert!(loader.next_batch().unwrap().is_none());
    }
}

/// Damages image 3 and replaces image 5 by one of another size.
fn damage(folder: &Path) {
    let whole = fs::read(folder.join("3.png")).unwrap();
    fs::write(folder.join("3.png"), &whole[..whole.len() / 2]).unwrap();
    write_png(&folder.join("5.png"), 29, 41, |_, _| [0; 3]);
}

#[test]
fn bad_images_are_named() {
    let (folder, set) = files();
    damage(folder.path());
    for threads in [0, 2] {
        for (index, fault) in [
            (3, "3.png: image 103: is truncated"),
            (
                5,
                "5.png: image 105: has 41x29 pixels (rows x columns) where its annotations say 29x41 (a camera's EXIF \
                 orientation may have turned it); the \"height\" and \"width\" should be those of the file",
            ),
        ] {
            let mut loader = loader(&set, threads, OnBadImage::Fail);
            loader.start(evaluation_batches(&set, &[0, index, 1], 1), 0);
            assert_eq!(loader.next_batch().unwrap().unwrap().images[0].index, 0);
            let text = loader.next_batch().unwrap_err().to_string();
            assert!(text.contains(fault) && text.ends_with("--on-bad-image skip leaves such images out"), "{text}");
            // The pass is over then.
            assert!(matches!(loader.next_batch(), Err(LoadError::NotStarted)));
        }
    }
}

#[test]
fn bad_images_can_be_left_out_and_are_remembered() {
    let (folder, set) = files();
    let mut whole = loader(&set, 0, OnBadImage::Skip);
    whole.start([Batch { indices: vec![2, 3, 4, 5, 6], first: 0 }], 9);
    let whole = batches(&mut whole, 1).remove(0);
    damage(folder.path());
    for threads in [0, 3] {
        let mut loader = loader(&set, threads, OnBadImage::Skip);
        let one = |index| Batch { indices: vec![index], first: 0 };
        loader.start([Batch { indices: vec![2, 3, 4, 5, 6], first: 0 }, one(3), one(0)], 9);
        let batch = loader.next_batch().unwrap().unwrap();
        let numbers = batch.height * batch.width * 3;
        assert_eq!((batch.height, batch.width, batch.pixels.len()), (whole.height, whole.width, 3 * numbers));
        // What is left is what it would have been.
        for (at, place) in [0, 2, 4].into_iter().enumerate() {
            assert_eq!(batch.images[at], whole.images[place]);
            assert!(batch.pixels[at * numbers..][..numbers] == whole.pixels[place * numbers..][..numbers]);
        }
        let batch = loader.next_batch().unwrap().unwrap();
        assert_eq!((batch.images[0].index, batch.used_up), (0, 3), "a batch without images is passed over");
        let skipped: Vec<_> = loader.skipped().into_iter().map(|one| (one.index, one.image, one.times)).collect();
        assert_eq!(skipped, [(3, 103, 2), (5, 105, 1)]);
        assert!(loader.skipped()[0].file.ends_with("3.png"));
    }
}

#[test]
fn a_set_of_bad_images_ends() {
    let (folder, set) = files();
    (0..9).for_each(|index| fs::remove_file(folder.path().join(format!("{index}.png"))).unwrap());
    let mut loader = loader(&set, 2, OnBadImage::Skip);
    loader.start(sampler(&set), 0);
    let text = loader.next_batch().unwrap_err().to_string();
    assert!(text.contains("the last 10 batches had no image that could be used"), "{text}");
}

#[test]
fn an_orientation_of_the_camera_is_followed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vision/tests/fixtures/augment/orientation.jpg");
    let mut bytes = fs::read(file).unwrap();
    // Tag 0x0112, type SHORT, count 1, value, in either order of bytes.
    let at = |tag: &[u8]| bytes.windows(8).position(|eight| eight == tag);
    let little = at(&[0x12, 0x01, 3, 0, 1, 0, 0, 0]).map(|at| at + 8);
    let value = little.or_else(|| at(&[0x01, 0x12, 0, 3, 0, 0, 0, 1]).map(|at| at + 9)).unwrap();
    bytes[value] = 6;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("turned.jpg"), bytes).unwrap();
    // Stored as 8 rows of 16 pixels; upright, 16 rows of 8.
    for (width, height, right) in [(8, 16, true), (16, 8, false)] {
        let all = json!({
            "images": [{"id": 1, "file_name": "turned.jpg", "width": width, "height": height}],
            "annotations": [], "categories": [{"id": 1, "name": "a"}],
        });
        fs::write(folder.path().join("boxes.json"), all.to_string()).unwrap();
        let set = Dataset::open(folder.path(), &folder.path().join("boxes.json"), &FAIL).unwrap().0;
        let mut loader = loader(&set, 0, OnBadImage::Fail);
        loader.start(evaluation_batches(&set, &[0], 1), 0);
        assert_eq!(loader.next_batch().is_ok(), right);
    }
}

#[test]
fn what_cannot_be_loaded() {
    let (_folder, set) = files();
    let mut loader = loader(&set, 2, OnBadImage::Fail);
    assert!(matches!(loader.next_batch(), Err(LoadError::NotStarted)));
    loader.start([Batch { indices: vec![9], first: 0 }], 0);
    let text = loader.next_batch().unwrap_err().to_string();
    assert!(text.contains("image 9 is asked for, of 9"), "{text}");
    // Dropped with work under way, it ends all the same.
    loader.start(sampler(&set), 0);
    drop(loader);
    let bad = Transform { short_sides: vec![], ..transform() };
    assert!(Loader::new(Arc::new(set), bad, LoaderOptions::default()).is_err());
}
