//! Small images and annotation files in a folder that is removed at the end of a test.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use imbalance_detection::data::{Category, Checks, DataError, Dataset, Image, ImageSource, Object, OnBadBox, Report};
use imbalance_vision::augment::OnBadImage;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const FAIL: Checks = Checks { on_bad_box: OnBadBox::Fail, on_bad_image: OnBadImage::Fail };
pub const SKIP_BOXES: Checks = Checks { on_bad_box: OnBadBox::Skip, on_bad_image: OnBadImage::Fail };
pub const SKIP_IMAGES: Checks = Checks { on_bad_box: OnBadBox::Fail, on_bad_image: OnBadImage::Skip };

/// Writes an image whose pixel at (column, row) has the colour that `pixel` says.
pub fn write_png(path: &Path, width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), width, height);
    encoder.set_color(png::ColorType::Rgb);
    let bytes: Vec<u8> = (0..width * height).flat_map(|at| pixel(at % width, at / width)).collect();
    encoder.write_header().unwrap().write_image_data(&bytes).unwrap();
}

/// Three images of 40x30, categories 0, 7 and 3 (in this order), four boxes of which one is a crowd.
pub fn annotations() -> Value {
    let image = |id: i64| json!({"id": id, "file_name": format!("{id}.png"), "width": 40, "height": 30});
    let object = |id: i64, image: i64, category: i64, bbox: [f64; 4], crowd: i64| {
        json!({
            "id": id, "image_id": image, "category_id": category, "bbox": bbox, "area": 50.5, "iscrowd": crowd,
            "segmentation": [[1, 2, 3, 4, 5, 6]]
        })
    };
    json!({
        "info": {"year": 2017},
        "images": [image(20), image(10), image(30)],
        "annotations": [
            object(101, 10, 7, [1.0, 2.0, 10.0, 5.5], 0),
            object(102, 20, 0, [0.0, 0.0, 40.0, 30.0], 0),
            object(103, 10, 3, [20.0, 10.0, 5.0, 5.0], 0),
            object(104, 30, 7, [5.0, 5.0, 30.0, 20.0], 1),
        ],
        "categories": [{"id": 0, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 3, "name": "cow"}],
    })
}

/// A folder with the images that [`annotations`] names.
pub fn images() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for id in [10, 20, 30] {
        write_png(&folder.path().join(format!("{id}.png")), 40, 30, |x, y| [x as u8, y as u8, id]);
    }
    folder
}

/// Reads these annotations of [`images`].
pub fn open(annotations: &Value, checks: &Checks) -> Result<(Dataset, Report), DataError> {
    open_text(annotations.to_string().as_bytes(), checks)
}

/// Reads the annotations with this text.
pub fn open_text(text: &[u8], checks: &Checks) -> Result<(Dataset, Report), DataError> {
    let folder = images();
    let file = folder.path().join("boxes.json");
    fs::write(&file, text).unwrap();
    Dataset::open(folder.path(), &file, checks)
}

/// The error's text, without the folder's name.
pub fn message(result: Result<(Dataset, Report), DataError>) -> String {
    let text = result.map(drop).unwrap_err().to_string();
    let start = text.find("boxes.json").unwrap_or_default();
    text[start..].to_owned()
}

/// A set of images of these sizes (columns, rows), with boxes of these classes in each, whose files are not there.
pub fn set(classes: usize, images: &[((u32, u32), &[usize])]) -> Dataset {
    let category = |class: usize| Category { id: class as i64, name: class.to_string(), frequency: None };
    let image = |(index, ((width, height), classes)): (usize, &((u32, u32), &[usize]))| Image {
        id: index as i64,
        source: ImageSource::File(PathBuf::from(format!("{index}.png"))),
        width: *width,
        height: *height,
        objects: classes.iter().map(|&class| object(class)).collect(),
        negative: Vec::new(),
        not_exhaustive: Vec::new(),
    };
    Dataset {
        categories: (0..classes).map(category).collect(),
        images: images.iter().enumerate().map(image).collect(),
        file: None,
        sha256: String::new(),
    }
}

fn object(class: usize) -> Object {
    Object { annotation: 1, class, bbox: [0.0, 0.0, 4.0, 4.0], area: 16.0, crowd: false }
}
