//! Descriptions of image sets.

use std::fs;
use std::io::Write;
use std::path::Path;

use imbalance_vision::data::{ClassDescription, DatasetKind, ImageSet};

fn write_png(path: &Path, width: u32, height: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut png = png::Encoder::new(fs::File::create(path).unwrap(), width, height);
    png.set_color(png::ColorType::Grayscale);
    png.write_header().unwrap().write_image_data(&vec![7; (width * height) as usize]).unwrap();
}

/// The markers of a JPEG up to its frame, which is all that a size takes.
fn write_jpeg_header(path: &Path, width: u16, height: u16) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::File::create(path).unwrap();
    file.write_all(&[0xff, 0xd8, 0xff, 0xc0, 0, 11, 8]).unwrap();
    file.write_all(&height.to_be_bytes()).unwrap();
    file.write_all(&width.to_be_bytes()).unwrap();
    file.write_all(&[1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0xff, 0xd9]).unwrap();
}

#[test]
fn classes_counts_and_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_png(&at("train/a/1.png"), 10, 20);
    write_png(&at("train/a/2.png"), 30, 5);
    // Told by its content.
    write_png(&at("train/a/3.jpg"), 12, 12);
    write_jpeg_header(&at("train/b/1.jpg"), 40, 21);
    write_png(&at("test/a/1.png"), 8, 9);
    fs::create_dir_all(at("test/b")).unwrap();
    fs::write(at("test/b/bad.jpg"), "no image").unwrap();

    let set = ImageSet::load(DatasetKind::Folder, Some(folder.path())).unwrap().describe();
    assert_eq!((set.name.as_str(), set.imbalance_ratio), ("folder", 3.0));
    let class = |name: &str, train, test| ClassDescription { name: name.into(), train, validation: None, test };
    assert_eq!(set.classes, [class("a", 3, 1), class("b", 1, 1)]);
    let [train, test] = &set.splits[..] else { panic!("{:?}", set.splits) };
    assert_eq!((train.name, train.images, train.sizes.looked_at), ("train", 4, 4));
    assert_eq!((train.sizes.width, train.sizes.height), (Some([10, 40]), Some([5, 21])));
    assert!(train.sizes.unreadable.is_empty());
    assert_eq!((test.sizes.width, test.sizes.height), (Some([8, 8]), Some([9, 9])));
    assert_eq!(test.sizes.unreadable, [at("test/b/bad.jpg")]);
}

#[test]
fn generated_images() {
    let set = ImageSet::load(DatasetKind::Synthetic, None).unwrap().describe();
    assert_eq!((set.imbalance_ratio, set.splits[1].images), (1.0, 1000));
    assert_eq!((set.splits[0].sizes.width, set.splits[0].sizes.height), (Some([32, 32]), Some([32, 32])));
}
