//! Image sets of one file an image: lists and folders of folders.

use std::fs;
use std::path::{Path, PathBuf};

use imbalance_vision::augment::OnBadImage;
use imbalance_vision::data::list::ListFiles;
use imbalance_vision::data::{DataError, DatasetKind, ImageSet, Images, LoadOptions, MissingImage, Split};
use tempfile::TempDir;

/// A folder with these files, whose content does not matter where it is not given.
fn folder(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|name| put(folder.path(), name, ""));
    folder
}

fn put(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// The images' paths within the folder.
fn paths(split: &Split, folder: &Path) -> Vec<String> {
    let Images::Files(paths) = &split.images else { panic!("not files") };
    paths.iter().map(|path| path.strip_prefix(folder).unwrap().to_string_lossy().into_owned()).collect()
}

fn message(kind: DatasetKind, folder: &Path) -> String {
    let error = ImageSet::load(kind, Some(folder)).unwrap_err().to_string();
    error.replace(folder.to_str().unwrap(), "DATA")
}

const IMAGES: [&str; 5] = ["train/cat/a b.jpg", "train/cat/c.jpg", "train/dog/d.jpg", "val/e.jpg", "val/f.jpg"];
const TRAIN: &str = "train/cat/a b.jpg 0\r\n\ntrain/dog/d.jpg\t1\ntrain/cat/c.jpg  0\n";

#[test]
fn lists_by_their_published_names() {
    for (kind, train, test, name) in [
        (DatasetKind::ImagenetLt, "ImageNet_LT_train.txt", "ImageNet_LT_test.txt", "imagenet-lt"),
        (DatasetKind::PlacesLt, "Places_LT_train.txt", "Places_LT_test.txt", "places-lt"),
        (DatasetKind::Inaturalist2018, "iNaturalist18_train.txt", "iNaturalist18_val.txt", "inaturalist-2018"),
        (DatasetKind::List, "train.txt", "test.txt", "list"),
    ] {
        let folder = folder(&IMAGES);
        put(folder.path(), train, TRAIN);
        put(folder.path(), test, "val/e.jpg 1\nval/f.jpg 0");
        let set = ImageSet::load(kind, Some(folder.path())).unwrap();
        assert_eq!(set.name, name);
        assert_eq!(set.classes, ["cat", "dog"]);
        assert_eq!(set.train.labels, [0, 1, 0]);
        assert_eq!(paths(&set.train, folder.path()), ["train/cat/a b.jpg", "train/dog/d.jpg", "train/cat/c.jpg"]);
        assert_eq!((set.test.labels.as_slice(), set.validation.is_none()), (&[1, 0][..], true));
        assert_eq!(set.sources[0].path, Some(folder.path().join(train)));
        assert!(set.notes.is_empty());
    }
}

#[test]
fn a_validation_list_is_tested_on_where_there_is_no_other() {
    let folder = folder(&IMAGES);
    put(folder.path(), "train.txt", TRAIN);
    put(folder.path(), "val.txt", "val/f.jpg 0");
    let set = ImageSet::load(DatasetKind::List, Some(folder.path())).unwrap();
    assert_eq!((paths(&set.test, folder.path()), set.validation.is_none()), (vec!["val/f.jpg".to_owned()], true));
    assert!(set.notes[0].contains("test.txt: tested on the images of") && set.notes[0].contains("val.txt"));

    put(folder.path(), "test.txt", "val/e.jpg 1");
    let set = ImageSet::load(DatasetKind::List, Some(folder.path())).unwrap();
    assert_eq!(paths(&set.test, folder.path()), ["val/e.jpg"]);
    assert_eq!(paths(&set.validation.unwrap(), folder.path()), ["val/f.jpg"]);
    assert_eq!(set.sources.len(), 3);
}

#[test]
fn lists_and_images_in_different_places() {
    let (images, lists) = (folder(&IMAGES), folder(&[]));
    put(lists.path(), "a.txt", TRAIN);
    put(lists.path(), "b.txt", format!("{} 1\n", images.path().join("val/e.jpg").display()));
    let files = ListFiles { train: lists.path().join("a.txt"), validation: None, test: lists.path().join("b.txt") };
    let options = LoadOptions { images: Some(images.path().into()), ..LoadOptions::default() };
    let set = ImageSet::from_lists("mine", &files, &options).unwrap();
    assert_eq!((set.name.as_str(), set.train.len(), set.test.len()), ("mine", 3, 1));

    let error = ImageSet::from_lists("mine", &files, &LoadOptions::default()).unwrap_err();
    let DataError::MissingImages { file, line, image, missing, total, root } = error else { panic!("{error}") };
    assert_eq!((file, line, missing, total), (files.train, 1, 3, 3));
    assert_eq!((image, root), (lists.path().join("train/cat/a b.jpg"), PathBuf::from(lists.path())));
}

#[test]
fn classes_are_named_by_folders_that_they_have_alone() {
    let names = |train: &str| {
        let folder = folder(&[]);
        for line in train.lines() {
            put(folder.path(), line.rsplit_once(' ').unwrap().0, "");
        }
        put(folder.path(), "train.txt", train);
        put(folder.path(), "test.txt", train);
        ImageSet::load(DatasetKind::List, Some(folder.path())).unwrap().classes
    };
    assert_eq!(names("t/x/in/1.jpg 0\nt/x/out/1.jpg 1\nt/y/1.jpg 2\n"), ["x/in", "x/out", "y"]);
    // Class 1 is in two folders.
    assert_eq!(names("t/x/1.jpg 0\nt/y/1.jpg 1\nt/z/1.jpg 1\n"), ["x", "1"]);
    // One folder for both.
    assert_eq!(names("t/1.jpg 0\nt/2.jpg 1\n"), ["0", "1"]);
}

#[test]
fn wrong_lines_of_lists() {
    let complaint = |train: &[u8]| {
        let folder = folder(&IMAGES);
        put(folder.path(), "train.txt", train);
        put(folder.path(), "test.txt", "val/e.jpg 0");
        message(DatasetKind::List, folder.path())
    };
    assert_eq!(
        complaint(b"val/e.jpg 0\n\nval/f.jpg\n"),
        "DATA/train.txt:3: no label after the path \"val/f.jpg\"; each line is `path label`"
    );
    for label in ["-1", "1.0", "cat", "1048576", "99999999999"] {
        assert_eq!(
            complaint(format!("val/e.jpg {label}").as_bytes()),
            format!("DATA/train.txt:1: the label {label:?} is not a class number; labels count from 0, below 1048576")
        );
    }
    assert_eq!(
        complaint(b"val/e.jpg 0\nval/g.jpg 0\nval/f.jpg 0\nval 0\n"),
        "DATA/train.txt:2: no image DATA/val/g.jpg; 2 of the 4 images of this list are missing; paths are taken from DATA"
    );
    assert_eq!(complaint(b"val/e.jpg 0\n\xff 0\n"), "DATA/train.txt:2: invalid UTF-8; convert the file to UTF-8");
    assert_eq!(complaint(b"\n\n"), "DATA/train.txt: has no images; expected `path label` a line");
    assert_eq!(
        complaint(b"val/e.jpg 1\nval/f.jpg 4\n"),
        "DATA: class 0 (0) has no training images, nor have 2 others; every class from 0 to 4 (the label in DATA/train.txt:2) \
         needs at least one"
    );
}

#[test]
fn images_that_are_missing_can_be_left_out() {
    let folder = folder(&IMAGES);
    put(folder.path(), "train.txt", TRAIN.to_owned() + "train/dog/gone.jpg 1\ntrain/cat/gone.jpg 0\n");
    put(folder.path(), "val.txt", "val/gone.jpg 0\nval/f.jpg 1\n");
    put(folder.path(), "test.txt", "val/e.jpg 0\n");
    let options = LoadOptions { on_bad_image: OnBadImage::Skip, ..LoadOptions::default() };
    let load = || ImageSet::load_with(DatasetKind::List, Some(folder.path()), &options);
    let set = load().unwrap();
    assert_eq!((&set.train.labels[..], set.train_counts()), (&[0, 1, 0][..], vec![2, 1]));
    assert_eq!(paths(&set.train, folder.path()), ["train/cat/a b.jpg", "train/dog/d.jpg", "train/cat/c.jpg"]);
    assert_eq!(paths(set.validation.as_ref().unwrap(), folder.path()), ["val/f.jpg"]);
    let gone = |line, name: &str| MissingImage { line, path: folder.path().join(name) };
    assert_eq!(set.missing.train, [gone(5, "train/dog/gone.jpg"), gone(6, "train/cat/gone.jpg")]);
    assert_eq!((set.missing.validation.len(), set.missing.test.len()), (1, 0));
    let list = folder.path().join("train.txt");
    let note = format!(
        "{}: 2 of the 5 images of this list are missing and left out, the first {} in line 5",
        list.display(),
        set.missing.train[0].path.display()
    );
    assert_eq!((set.notes.len(), &set.notes[0]), (2, &note));
    // With other images there, it is another set, though the lists are the same.
    put(folder.path(), "train/cat/gone.jpg", "");
    let more = load().unwrap();
    assert_eq!((more.train_counts(), &more.sources), (vec![3, 1], &set.sources));
    assert_ne!(more.missing.sha256(), set.missing.sha256());
    // None at all are a mistake.
    put(folder.path(), "test.txt", "val/gone.jpg 0\n");
    assert!(matches!(load().unwrap_err(), DataError::MissingImages { missing: 1, total: 1, .. }));
}

#[test]
fn images_that_are_listed_twice() {
    let folder = folder(&IMAGES);
    put(folder.path(), "train.txt", format!("{TRAIN}train/cat/c.jpg 0\n\ntrain/dog/d.jpg 1\n"));
    put(folder.path(), "test.txt", "train/dog/d.jpg 1\nval/f.jpg 0\n");
    let set = ImageSet::load(DatasetKind::List, Some(folder.path())).unwrap();
    let lines = TRAIN.lines().count();
    let (train, test) = (folder.path().join("train.txt"), folder.path().join("test.txt"));
    let twice = format!(
        "{}: 2 lines name an image that is listed more than once, the first train/cat/c.jpg in line {}",
        train.display(),
        lines + 1
    );
    let leaked = format!(
        "{}: 1 lines name an image that is listed in {} too, the first train/dog/d.jpg in line 1",
        test.display(),
        train.display()
    );
    assert_eq!(set.notes, [twice, leaked]);
    // With another label it is a mistake.
    put(folder.path(), "test.txt", "val/f.jpg 0\ntrain/dog/d.jpg 0\n");
    let said = message(DatasetKind::List, folder.path());
    assert!(said.starts_with("DATA/test.txt:2: train/dog/d.jpg has label 0 here, and 1 in DATA/train.txt:"), "{said}");
}

#[test]
fn missing_lists_and_paths() {
    let folder = folder(&IMAGES);
    assert_eq!(
        message(DatasetKind::Inaturalist2018, folder.path()),
        "DATA/iNaturalist18_train.txt: no such file or folder; expected a list of images, `path label` a line"
    );
    let error = ImageSet::load(DatasetKind::PlacesLt, None).unwrap_err().to_string();
    assert!(error.starts_with("places-lt is read from files: name a folder with Places_LT_train.txt"), "{error}");
    let error = ImageSet::load(DatasetKind::Synthetic, Some(Path::new("here"))).unwrap_err().to_string();
    assert_eq!(
        error,
        "synthetic is generated and reads no files; leave here out, or name the data set that it holds with --dataset"
    );
}

#[test]
fn empty_classes_can_be_taken() {
    let folder = folder(&IMAGES);
    put(folder.path(), "train.txt", TRAIN);
    // Class 2 occurs in the test list only.
    put(folder.path(), "test.txt", "val/e.jpg 2\nval/f.jpg 0\n");
    assert_eq!(
        message(DatasetKind::List, folder.path()),
        "DATA: class 2 (2) has no training images; every class from 0 to 2 (the label in DATA/test.txt:1) needs at least \
         one"
    );
    let options = LoadOptions { allow_empty_classes: true, ..LoadOptions::default() };
    let set = ImageSet::load_with(DatasetKind::List, Some(folder.path()), &options).unwrap();
    assert_eq!(set.train_counts(), [2, 1, 0]);
    assert_eq!(set.notes, ["1 classes without training images: 2"]);
}

#[test]
fn folders_of_folders() {
    let files = [
        "train/dog/2.PNG",
        "train/dog/deeper/1.jpeg",
        "train/cat/1.jpg",
        "train/cat/.hidden.jpg",
        "train/cat/notes.txt",
        "train/.cache/1.jpg",
        "test/cat/9.jpg",
        "test/dog/8.jpg",
        "val/dog/7.jpg",
        "readme.txt",
    ];
    let folder = folder(&files);
    let set = ImageSet::load(DatasetKind::Folder, Some(folder.path())).unwrap();
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!(paths(&set.train, folder.path()), ["train/cat/1.jpg", "train/dog/2.PNG", "train/dog/deeper/1.jpeg"]);
    assert_eq!(set.train.labels, [0, 1, 1]);
    assert_eq!(
        (paths(&set.test, folder.path()), &set.test.labels[..]),
        (vec!["test/cat/9.jpg".to_owned(), "test/dog/8.jpg".to_owned()], &[0, 1][..],)
    );
    let place = |name: &str| folder.path().join(name).display().to_string();
    assert_eq!(set.validation.as_ref().unwrap().labels, [1]);
    assert_eq!(
        set.notes,
        [
            format!("{}: 1 files that are neither JPEG nor PNG left out", place("train")),
            format!("{}: no folder for cat", place("val"))
        ]
    );

    // The hash is of what images there are.
    fs::remove_file(folder.path().join("train/cat/notes.txt")).unwrap();
    let again = ImageSet::load(DatasetKind::Folder, Some(folder.path())).unwrap();
    assert_eq!(again.sources, set.sources);
    fs::remove_file(folder.path().join("test/cat/9.jpg")).unwrap();
    let fewer = ImageSet::load(DatasetKind::Folder, Some(folder.path())).unwrap();
    assert_ne!(fewer.sources, set.sources);

    fs::remove_dir_all(folder.path().join("test")).unwrap();
    let set = ImageSet::load(DatasetKind::Folder, Some(folder.path())).unwrap();
    assert_eq!((paths(&set.test, folder.path()), set.validation.is_none()), (vec!["val/dog/7.jpg".to_owned()], true));
}

#[test]
fn wrong_folders() {
    let complaint = |files: &[&str]| message(DatasetKind::Folder, folder(files).path());
    let expected = "expected one folder a class in train/CLASS/ and in test/CLASS/ or val/CLASS/";
    assert_eq!(complaint(&["test/a/1.jpg"]), format!("DATA: no folder train; {expected}"));
    assert_eq!(complaint(&["train/a/1.jpg"]), format!("DATA: no folder test or val; {expected}"));
    assert_eq!(complaint(&["train/1.jpg", "val/a/1.jpg"]), "DATA/train: has no images; expected one folder a class");
    assert_eq!(
        complaint(&["train/a/1.gif", "val/a/1.jpg"]),
        "DATA/train: has no images; expected JPEG or PNG files in a folder a class"
    );
    assert_eq!(
        complaint(&["train/a/1.jpg", "val/a/1.jpg", "val/b/1.jpg"]),
        "DATA/val: class \"b\" has no folder DATA/train/b; training and test images need the same class folders"
    );
    assert_eq!(
        complaint(&["train/a/1.jpg", "train/b/1.txt", "val/a/1.jpg"]),
        "DATA: class 1 (b) has no training images; every class from 0 to 1 needs at least one"
    );
    let nowhere = ImageSet::load(DatasetKind::Folder, Some(Path::new("/no/such"))).unwrap_err().to_string();
    assert!(nowhere.starts_with("/no/such: no such file or folder; expected images in train/CLASS/"), "{nowhere}");
}
