//! VOC and YOLO folders.

mod data_files;

use std::fs;
use std::path::Path;

use data_files::{FAIL, write_png};
use imbalance_detection::data::{Dataset, Layout, Source, convert};
use tempfile::TempDir;

fn put(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn object(name: &str, difficult: u8, [x1, y1, x2, y2]: [i32; 4]) -> String {
    format!(
        "<object><name>{name}</name><difficult>{difficult}</difficult><part><name>head</name><bndbox><xmin>1</xmin>\
         <ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>\n<bndbox><xmax>{x2}</xmax><xmin>{x1}</xmin>\
         <ymin>{y1}</ymin><ymax>{y2}</ymax></bndbox></object>\n"
    )
}

fn xml(name: &str, objects: &str) -> String {
    format!(
        "<annotation>\n<filename>{name}.png</filename>\n<size><width>40</width><height>30</height><depth>3</depth></size>\n\
         {objects}</annotation>\n"
    )
}

fn voc() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["000001", "000002", "000003"] {
        write_png(&root.join(format!("JPEGImages/{name}.png")), 40, 30, |_, _| [9; 3]);
    }
    put(root, "Annotations/000001.xml", &xml("000001", &object("dog", 0, [1, 1, 40, 30])));
    let two = [object("cat", 0, [5, 6, 5, 8]), object("dog", 1, [30, 20, 44, 25])].concat();
    put(root, "Annotations/000002.xml", &xml("000002", &two));
    put(root, "Annotations/000003.xml", &xml("000003", ""));
    put(root, "ImageSets/Main/train.txt", "000001\n000002\n");
    put(root, "ImageSets/Main/val.txt", "000003 -1\n");
    folder
}

/// x1, y1, x2, y2, the class and whether it is a crowd.
fn boxes(set: &Dataset, image: usize) -> Vec<([f32; 4], usize, bool)> {
    set.images[image].objects.iter().map(|one| (one.bbox, one.class, one.crowd)).collect()
}

#[test]
fn voc_counts_pixels_from_1_and_includes_the_last() {
    let folder = voc();
    let done = convert(Source::Voc, folder.path(), &folder.path().join("annotations")).unwrap();
    assert_eq!(done.notes, ["train: objects marked as difficult, made crowds, which are not trained on: 1"]);
    let counts: Vec<_> = done.written.iter().map(|one| (one.split.as_str(), one.image_count, one.box_count)).collect();
    assert_eq!(counts, [("train", 2, 3), ("val", 1, 0)]);
    let layout = Layout::find(folder.path()).unwrap();
    assert_eq!(
        (&layout.train.images, &layout.train.annotations),
        (&done.written[0].images, &done.written[0].annotations)
    );
    let (set, report) = Dataset::open(&layout.train.images, &layout.train.annotations, &FAIL).unwrap();
    assert_eq!(set.class_names(), ["cat", "dog"]);
    assert_eq!(boxes(&set, 0), [([0.0, 0.0, 40.0, 30.0], 1, false)]);
    // One column, three rows; and one that reaches beyond column 40.
    assert_eq!(boxes(&set, 1), [([4.0, 5.0, 5.0, 8.0], 0, false), ([29.0, 19.0, 40.0, 25.0], 1, true)]);
    assert_eq!((report.objects, report.crowds, set.images[1].objects[0].area), (2, 1, 3.0));
    let (set, _) = Dataset::open(&layout.val.images, &layout.val.annotations, &FAIL).unwrap();
    assert_eq!((set.class_names().len(), set.images[0].objects.len()), (2, 0));
}

#[test]
fn faults_of_voc_are_named_with_their_line() {
    for (name, content, message) in [
        ("Annotations/000002.xml", "<annotation>\n<size></annotation>", "000002.xml:2: it is no XML"),
        ("Annotations/000002.xml", "<annotation>\n<a/></annotation>", "000002.xml:1: <annotation> has no <size>"),
        (
            "Annotations/000002.xml",
            "<annotation>\n<size><width>x</width><height>1</height></size></annotation>",
            "000002.xml:2: <width> is \"x\"; it should be a number",
        ),
        (
            "Annotations/000002.xml",
            "<annotation>\n<size><width>4</width><height>0</height></size></annotation>",
            "000002.xml:2: <height> is 0; it should be from 1 to 65535",
        ),
        (
            "Annotations/000002.xml",
            &xml("000002", "<object><name>a</name></object>"),
            "000002.xml:4: <object> has no <bndbox>",
        ),
        (
            "Annotations/000002.xml",
            &xml("000002", &object("dog", 0, [9, 9, 3, 12])),
            "000002.xml:4: its box from (9, 9) to (3, 12) has no pixel in the image of 40x30; xmin ≤ xmax",
        ),
        ("ImageSets/Main/val.txt", "000009\n", "000009.xml: no such file or folder; expected a VOC folder with"),
    ] {
        let folder = voc();
        put(folder.path(), name, content);
        let text = convert(Source::Voc, folder.path(), &folder.path().join("out")).unwrap_err().to_string();
        assert!(text.contains(message), "{text}");
        assert!(!folder.path().join("out").exists(), "nothing is written");
    }
    let text = convert(Source::Voc, tempfile::tempdir().unwrap().path(), Path::new("out")).unwrap_err().to_string();
    assert!(text.contains("ImageSets/Main/train.txt: no such file or folder; expected a VOC folder with"), "{text}");
}

fn yolo() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["train/a", "train/b", "val/c"] {
        write_png(&root.join(format!("images/{name}.png")), 40, 20, |_, _| [9; 3]);
    }
    put(root, "labels/train/a.txt", "1 0.5 0.5 0.25 0.5\n\n0 0.9 0.1 0.4 0.2\n");
    put(root, "labels/val/c.txt", "");
    put(root, "data.yaml", "train: images/train\nnames:\n  0: cat\n  1: dog\n");
    folder
}

#[test]
fn yolo_boxes_are_fractions_about_their_middle() {
    let folder = yolo();
    let done = convert(Source::Yolo, folder.path(), &folder.path().join("annotations")).unwrap();
    assert_eq!(done.notes, ["train: images without a label file, and so without boxes: 1"]);
    let layout = Layout::find(folder.path()).unwrap();
    assert_eq!(layout.train.images, folder.path().join("images/train"));
    let (set, _) = Dataset::open(&layout.train.images, &layout.train.annotations, &FAIL).unwrap();
    assert_eq!((set.class_names(), set.images.len()), (vec!["cat".to_owned(), "dog".into()], 2));
    // 40x20: the middle (20, 10), 10 wide, 10 high; and one cut at the right border, from 28 to 44.
    let found = boxes(&set, 0);
    assert_eq!(found[0], ([15.0, 5.0, 25.0, 15.0], 1, false));
    assert_eq!((found[1].1, found[1].0[2]), (0, 40.0));
    assert!((found[1].0[0] - 28.0).abs() < 1e-5 && found[1].0[1] == 0.0 && (found[1].0[3] - 4.0).abs() < 1e-5);
    assert!((set.images[0].objects[1].area - 48.0).abs() < 1e-5);
    assert!(Dataset::open(&layout.val.images, &layout.val.annotations, &FAIL).is_ok());
}

#[test]
fn labels_without_an_image_are_told_of() {
    let folder = yolo();
    for name in ["gone", "lost"] {
        put(folder.path(), &format!("labels/train/{name}.txt"), "0 0.5 0.5 1 1\n");
    }
    put(folder.path(), "labels/train/classes.txt", "cat\ndog\n");
    let done = convert(Source::Yolo, folder.path(), &folder.path().join("annotations")).unwrap();
    let first = folder.path().join("labels/train/gone.txt");
    let note = format!("train: label files without an image, which are left out: 2, the first {}", first.display());
    assert_eq!(done.notes[1], note);
}

#[test]
fn a_flat_yolo_folder_is_one_part() {
    let folder = tempfile::tempdir().unwrap();
    write_png(&folder.path().join("images/a.png"), 40, 20, |_, _| [9; 3]);
    put(folder.path(), "labels/a.txt", "0 0.5 0.5 1 1\n");
    put(folder.path(), "classes.txt", "cat\ndog\n");
    let out = folder.path().join("out");
    let done = convert(Source::Yolo, folder.path(), &out).unwrap();
    assert_eq!((done.written.len(), &done.written[0].annotations), (1, &out.join("instances_train.json")));
    let (set, _) = Dataset::open(&done.written[0].images, &done.written[0].annotations, &FAIL).unwrap();
    assert_eq!(boxes(&set, 0), [([0.0, 0.0, 40.0, 20.0], 0, false)]);
}

#[test]
fn faults_of_yolo_are_named_with_their_line() {
    for (line, message) in [
        ("0 0.5 0.5 0.5", "a.txt:2: it has 4 fields; expected `class cx cy w h`"),
        ("2 0.5 0.5 0.5 0.5", "a.txt:2: the class is \"2\"; there are names for 0 to 1"),
        ("0 0.5 x 0.5 0.5", "a.txt:2: \"x\" is no number"),
        ("0 0.5 nan 0.5 0.5", "a.txt:2: \"nan\" is no number"),
        ("0 20 10 10 10", "a.txt:2: its box [20.0, 10.0, 10.0, 10.0] should have an area within the image"),
        ("0 0.5 0.5 0 0.5", "a.txt:2: its box [0.5, 0.5, 0.0, 0.5] should have an area"),
    ] {
        let folder = yolo();
        put(folder.path(), "labels/train/a.txt", &format!("1 0.5 0.5 0.1 0.1\n{line}\n"));
        let text = convert(Source::Yolo, folder.path(), &folder.path().join("out")).unwrap_err().to_string();
        assert!(text.contains(message), "{text}");
        assert!(!folder.path().join("out").exists(), "nothing is written");
    }
    let remove = |name: &str, message: &str| {
        let folder = yolo();
        let path = folder.path().join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        let text = convert(Source::Yolo, folder.path(), &folder.path().join("out")).unwrap_err().to_string();
        assert!(text.contains(message), "{text}");
    };
    remove("images", "images: no such file or folder; expected a YOLO folder");
    remove("labels/val", "the labels of ");
    remove("data.yaml", "data.yaml: no such file or folder; expected the names of the classes");
    remove("images/val/c.png", "images/val: it has no .jpg, .jpeg or .png file");
}
