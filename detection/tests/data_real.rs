//! Images of COCO 2017.
//!
//! They are no part of the project: `TOOLKIT_DATA` names the folder of the data, `../shared/data` by default.

mod data_files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_files::FAIL;
use imbalance_detection::data::{
    Colour, Dataset, Layout, Loader, LoaderOptions, Sampler, SamplerOptions, Transform, evaluation_batches,
};

/// The folder of the images, or none, said plainly.
fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("TOOLKIT_DATA").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    let folder = root.join("coco-mini");
    if !folder.exists() {
        println!("skipped: no {}; name the folder of the data with TOOLKIT_DATA", folder.display());
        return None;
    }
    Some(folder)
}

#[test]
fn counts() {
    let Some(folder) = folder() else { return };
    let layout = Layout::find(&folder).unwrap();
    let (train, of_train) = Dataset::open(&layout.train.images, &layout.train.annotations, &FAIL).unwrap();
    let (val, of_val) = Dataset::open(&layout.val.images, &layout.val.annotations, &FAIL).unwrap();
    assert_eq!((train.images.len(), of_train.objects + of_train.crowds), (100, 1167));
    assert_eq!((val.images.len(), of_val.objects + of_val.crowds), (164, 1560));
    assert_eq!(of_train.crowds + of_val.crowds, 28);
    assert_eq!(
        (train.categories.len(), train.categories[0].name.as_str(), train.categories[79].id),
        (80, "person", 90)
    );
    for (set, report) in [(&train, &of_train), (&val, &of_val)] {
        assert!(set.object_counts().iter().all(|&count| count > 0));
        assert_eq!((set.trainable().len(), report.clipped, report.without_boxes), (set.images.len(), 0, 0));
    }
    // Annotation 2232, as in the file: a dog (id 18, the 17th class) at [346.82, 283.14, 87.79, 102.41].
    let image = train.images.iter().find(|image| image.id == 30_752).unwrap();
    let dog = image.objects.iter().find(|object| object.annotation == 2232).unwrap();
    assert_eq!((dog.class, dog.bbox, dog.area), (16, [346.82, 283.14, 434.61, 385.55], 5_100.632_6));
}

#[test]
fn every_image_has_the_size_that_its_annotations_say() {
    let Some(folder) = folder() else { return };
    let layout = Layout::find(&folder).unwrap();
    for part in [layout.train, layout.val] {
        let set = Arc::new(Dataset::open(&part.images, &part.annotations, &FAIL).unwrap().0);
        let transform = Transform { short_sides: vec![100], ..Transform::evaluate(Colour::DETECTRON) };
        let mut loader = Loader::new(Arc::clone(&set), transform, LoaderOptions::default()).unwrap();
        let all: Vec<usize> = (0..set.images.len()).collect();
        loader.start(evaluation_batches(&set, &all, 1), 0);
        let mut count = 0;
        // Another size would be an error.
        while let Some(batch) = loader.next_batch().unwrap() {
            assert_eq!(batch.images[0].index, count);
            count += 1;
        }
        assert_eq!(count, set.images.len());
    }
}

#[test]
fn a_training_batch_of_the_1x_schedule() {
    let Some(folder) = folder() else { return };
    let part = Layout::find(&folder).unwrap().train;
    let set = Arc::new(Dataset::open(&part.images, &part.annotations, &FAIL).unwrap().0);
    let options = SamplerOptions { batch_size: 4, aspect_buckets: true, repeat_threshold: None, seed: 0 };
    let batches = |threads: usize| {
        let options_of = LoaderOptions { threads, ..LoaderOptions::default() };
        let mut loader = Loader::new(Arc::clone(&set), Transform::train(Colour::DETECTRON), options_of).unwrap();
        loader.start(Sampler::new(&set, set.trainable(), options).unwrap(), 0);
        (0..3).map(|_| loader.next_batch().unwrap().unwrap()).collect::<Vec<_>>()
    };
    for (one, three) in batches(1).iter().zip(&batches(3)) {
        assert_eq!((&one.images, one.height, one.width), (&three.images, three.height, three.width));
        assert!(one.pixels[..] == three.pixels[..]);
        assert!(one.height <= 1344 && one.width <= 1344);
        for image in &one.images {
            let short = image.resized.0.min(image.resized.1);
            assert!(
                Transform::train(Colour::DETECTRON).short_sides.contains(&short)
                    || image.resized.1.max(image.resized.0) == 1333
            );
            assert_eq!(image.boxes.len(), image.classes.len());
            let (height, width) = (image.resized.0 as f32 + 0.01, image.resized.1 as f32 + 0.01);
            assert!(image.boxes.iter().all(|b| b[0] >= -0.01 && b[1] >= -0.01 && b[2] <= width && b[3] <= height));
        }
    }
}
