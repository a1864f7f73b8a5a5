//! Annotation files, good and bad.

mod data_files;

use std::fs;

use data_files::{FAIL, SKIP_BOXES, SKIP_IMAGES, annotations, images, message, open, open_text, write_png};
use imbalance_detection::data::{Dataset, ImageSource, Layout, SkipCount};
use imbalance_evaluation::coco::Frequency;
use serde_json::{Value, json};

/// The annotations with one change.
fn changed(pointer: &str, value: Value) -> Value {
    let mut all = annotations();
    *all.pointer_mut(pointer).unwrap() = value;
    all
}

fn with_first_box(bbox: Value) -> Value {
    changed("/annotations/0/bbox", bbox)
}

#[test]
fn classes_by_sorted_id_and_images_in_the_files_order() {
    let (set, report) = open(&annotations(), &FAIL).unwrap();
    assert_eq!(set.categories.iter().map(|one| one.id).collect::<Vec<_>>(), [0, 3, 7]);
    assert_eq!(set.class_names(), ["cat", "cow", "dog"]);
    assert_eq!(set.images.iter().map(|one| one.id).collect::<Vec<_>>(), [20, 10, 30]);
    let boxes: Vec<_> = set.images[1].objects.iter().map(|one| (one.annotation, one.class, one.bbox)).collect();
    assert_eq!(boxes, [(101, 2, [1.0, 2.0, 11.0, 7.5]), (103, 1, [20.0, 10.0, 25.0, 15.0])]);
    assert_eq!((set.images[0].objects[0].area, set.images[2].objects[0].crowd), (50.5, true));
    // The only box of image 30 is a crowd.
    assert_eq!((set.trainable(), set.object_counts()), (vec![0, 1], vec![1, 1, 1]));
    assert_eq!((report.objects, report.crowds, report.without_boxes), (3, 1, 1));
    let text = report.to_string();
    let lines: Vec<&str> =
        text.lines().filter_map(|line| line.split_once("boxes.json: ")).map(|(_, line)| line).collect();
    assert_eq!(
        lines,
        ["3 images with 3 boxes", "boxes of crowds, not trained on: 1", "images without a box to train on: 1"]
    );
    assert!(set.check_trainable().is_ok() && set.ground_truth().is_ok() && !set.is_federated());
}

#[test]
fn boxes_with_a_fault_are_named_and_can_be_left_out() {
    for (bbox, fault, kind) in [
        (json!([1, 2, 0, 5]), "is [1.0, 2.0, 0.0, 5.0]; width and height should be above 0", "boxes without area"),
        (json!([1, 2, 3, -5]), "is [1.0, 2.0, 3.0, -5.0]; width and height should be above 0", "boxes without area"),
        (
            json!([41, 2, 3, 5]),
            "is [41.0, 2.0, 3.0, 5.0], wholly outside of the image of 40x30 (width x height)",
            "boxes wholly outside of their image",
        ),
        (json!([1, 2, 3]), "has 3 numbers; it should be [x, y, width, height]", "boxes without four numbers"),
        (json!([1, 2, 3, 4, 5]), "has 5 numbers; it should be [x, y, width, height]", "boxes without four numbers"),
        (Value::Null, "has 0 numbers; it should be [x, y, width, height]", "boxes without four numbers"),
        (
            json!([1, null, 3, 4]),
            "[1.0, NaN, 3.0, 4.0] has a value that is not a finite number",
            "boxes with a value that is not a finite number",
        ),
    ] {
        let all = with_first_box(bbox);
        let text = message(open(&all, &FAIL));
        assert!(text.starts_with("boxes.json: annotation 101 (of image 10): its \"bbox\" "), "{text}");
        assert!(text.contains(fault) && text.ends_with("--on-bad-box skip leaves such boxes out"), "{text}");
        let (set, report) = open(&all, &SKIP_BOXES).unwrap();
        assert_eq!(report.skipped_boxes.get(kind), Some(&SkipCount { count: 1, first: 101 }), "{kind}");
        assert_eq!((set.images[1].objects.len(), report.objects), (1, 2));
        assert!(
            report.to_string().contains(&format!("boxes.json: {kind}, left out: 1 (the first is annotation 101)")),
            "{report}"
        );
    }
}

#[test]
fn the_words_of_python_for_no_number() {
    let text = annotations().to_string();
    for (word, shown) in [("NaN", "NaN"), ("Infinity", "inf"), ("-Infinity", "-inf")] {
        let text = text.replacen("[1.0,2.0,10.0,5.5]", &format!("[1.0,{word},10.0,5.5]"), 1);
        let error = message(open_text(text.as_bytes(), &FAIL));
        let fault =
            format!("annotation 101 (of image 10): its \"bbox\" [1.0, {shown}, 10.0, 5.5] has a value that is not");
        assert!(error.contains(&fault), "{error}");
        assert_eq!(open_text(text.as_bytes(), &SKIP_BOXES).unwrap().1.objects, 2);
    }
}

#[test]
fn ids_that_are_not_there_or_there_twice() {
    for (pointer, value, fault, kind) in [
        ("/annotations/0/category_id", 5, "its \"category_id\" 5 is none of the 3 ids", "boxes of unknown categories"),
        ("/annotations/0/image_id", 99, "its \"image_id\" 99 is none of the ids", "boxes of unknown images"),
        ("/annotations/1/id", 101, "an earlier annotation has the same id", "boxes with the id of an earlier one"),
    ] {
        let all = changed(pointer, json!(value));
        let text = message(open(&all, &FAIL));
        assert!(text.starts_with("boxes.json: annotation 101 (of image ") && text.contains(fault), "{text}");
        assert!(text.ends_with("--on-bad-box skip leaves such boxes out"), "{text}");
        let (_, report) = open(&all, &SKIP_BOXES).unwrap();
        assert_eq!(report.skipped_boxes.get(kind), Some(&SkipCount { count: 1, first: 101 }));
    }
    let text = message(open(&changed("/categories/2/id", json!(0)), &SKIP_BOXES));
    assert_eq!(text, "boxes.json: category id 0 is both \"cat\" and \"cow\"; the ids of categories should be unique");
}

#[test]
fn all_faults_are_counted() {
    let mut all = with_first_box(json!([1, 2, 0, 5]));
    all["annotations"][2]["category_id"] = json!(4);
    let text = message(open(&all, &FAIL));
    assert!(text.contains("annotation 101") && text.contains("(and 1 other has a fault)"), "{text}");
}

#[test]
fn boxes_that_reach_beyond_are_clipped_and_counted() {
    let (set, report) = open(&with_first_box(json!([35, -2, 10, 12])), &FAIL).unwrap();
    assert_eq!((set.images[1].objects[0].bbox, report.clipped), ([35.0, 0.0, 40.0, 10.0], 1));
    assert!(report.to_string().contains("boxes that reach beyond their image, clipped: 1"), "{report}");
}

#[test]
fn what_pycocotools_would_not_tell_is_counted() {
    let mut all = changed("/annotations/0/id", json!(0));
    all["annotations"][1].as_object_mut().unwrap().remove("iscrowd");
    all["annotations"][2]["area"] = json!(null);
    let (set, report) = open(&all, &FAIL).unwrap();
    assert_eq!((report.zero_ids, report.without_iscrowd, report.without_area), (1, 1, 1));
    assert_eq!(set.images[1].objects[1].area, 25.0);
    assert!(
        report
            .to_string()
            .contains("annotations with the id 0, detections of which pycocotools takes for false ones: 1"),
        "{report}"
    );
}

#[test]
fn images_with_a_fault_are_named_and_can_be_left_out() {
    for (pointer, value, id, fault, kind, skipped_with_it) in [
        ("/images/1/file_name", json!("no.png"), 10, "no file ", "images without a file", 2),
        ("/images/1/file_name", json!(""), 10, "it has neither \"file_name\" nor", "images without a file name", 2),
        ("/images/1/width", json!(0), 10, "its \"width\" and \"height\" are 0 and 30;", "images without a size", 2),
        ("/images/1/height", json!(null), 10, "its \"width\" and \"height\" are 40 and 0;", "images without a size", 2),
        ("/images/1/id", json!(20), 20, "an earlier image has the same id", "images with the id of an earlier one", 0),
    ] {
        let mut all = changed(pointer, value);
        if skipped_with_it == 0 {
            // Image 10 is gone with its id.
            all["annotations"].as_array_mut().unwrap().retain(|object| object["image_id"] != 10);
        }
        let text = message(open(&all, &FAIL));
        assert!(text.starts_with(&format!("boxes.json: image {id}: {fault}")), "{text}");
        assert!(text.ends_with("--on-bad-image skip leaves such images out"), "{text}");
        let (set, report) = open(&all, &SKIP_IMAGES).unwrap();
        assert_eq!(report.skipped_images.get(kind), Some(&SkipCount { count: 1, first: id }));
        assert_eq!((set.images.len(), report.of_skipped_images), (2, skipped_with_it), "{pointer}");
    }
}

#[test]
fn no_image_at_all_is_an_error_even_where_they_may_be_skipped() {
    let mut all = annotations();
    for image in all["images"].as_array_mut().unwrap() {
        image["file_name"] = json!("elsewhere.png");
    }
    let text = message(open(&all, &SKIP_IMAGES));
    assert!(
        text.starts_with("boxes.json: none of its 3 images can be used") && text.contains("image 20: no file"),
        "{text}"
    );
    let folder = images();
    let file = folder.path().join("boxes.json");
    fs::write(&file, annotations().to_string()).unwrap();
    let text = Dataset::open(&folder.path().join("none"), &file, &SKIP_IMAGES).unwrap_err().to_string();
    assert!(text.contains("none: no such file or folder; expected the folder of the images of"), "{text}");
}

#[test]
fn files_that_are_something_else() {
    let text = annotations().to_string();
    let expected = "; expected a COCO annotation file, a JSON object with the lists \"images\"";
    let cases: [(&str, &str); 7] = [
        ("", "boxes.json: the file is empty"),
        ("image,class\n", "boxes.json: it is no JSON, or none of this kind"),
        (
            "[{\"image_id\": 1, \"bbox\": [1, 2, 3, 4], \"score\": 0.5}]",
            "boxes.json: it starts with a list, as files of results do",
        ),
        ("{\"images\": [], \"annotations\": []}", "boxes.json: it has no list \"categories\""),
        ("{\"images\": [],\n \"annotations\": 3}", "boxes.json:2:17: invalid type: integer `3`, expected a sequence"),
        ("{\"images\": [{\"id\": \"a\"}]}", "boxes.json:1:22: invalid type: string \"a\", expected a whole number"),
        ("{\"annotations\": [{\"id\": 1, \"image_id\": 2, \"caption\": \"\"}]}", "missing field `category_id`"),
    ];
    for (content, problem) in cases {
        let found = message(open_text(content.as_bytes(), &FAIL));
        assert!(found.contains(problem) && found.contains(expected), "{found}");
    }
    let found = message(open_text(&text.as_bytes()[..text.len() / 2], &FAIL));
    let place = format!("boxes.json:1:{}: the file ends in the middle of its JSON", text.len() / 2);
    assert!(found.starts_with(&place), "{found}");
    for list in ["images", "categories"] {
        let found = message(open(&changed(&format!("/{list}"), json!([])), &FAIL));
        assert!(found.starts_with(&format!("boxes.json: the list \"{list}\" is empty")), "{found}");
    }
    let found = message(open(&changed("/annotations/0/iscrowd", json!(2)), &FAIL));
    assert!(found.contains("invalid value: integer `2`, expected 0 or 1"), "{found}");
}

#[test]
fn a_set_without_foreground_cannot_be_trained_on() {
    let mut all = annotations();
    for object in all["annotations"].as_array_mut().unwrap() {
        object["iscrowd"] = json!(1);
    }
    let (set, _) = open(&all, &FAIL).unwrap();
    let text = message(set.check_trainable().map(|()| unreachable!()));
    assert!(text.starts_with("boxes.json: none of its 3 images has a box to train on (4 boxes of crowds"), "{text}");
}

#[test]
fn lvis() {
    let folder = images();
    write_png(&folder.path().join("train2017/7.png"), 40, 30, |_, _| [0; 3]);
    let mut all = annotations();
    for (image, place) in all["images"].as_array_mut().unwrap().iter_mut().zip(["train2017/7", "train2017/20", "x/30"])
    {
        image.as_object_mut().unwrap().remove("file_name");
        image["coco_url"] = json!(format!("http://images.example/{place}.png"));
        image["neg_category_ids"] = json!([7]);
        image["not_exhaustive_category_ids"] = json!([3, 0]);
    }
    for (category, frequency) in all["categories"].as_array_mut().unwrap().iter_mut().zip(["r", "c", "f"]) {
        category["frequency"] = json!(frequency);
    }
    for object in all["annotations"].as_array_mut().unwrap() {
        object.as_object_mut().unwrap().remove("iscrowd");
    }
    let file = folder.path().join("boxes.json");
    fs::write(&file, all.to_string()).unwrap();
    let (set, report) = Dataset::open(folder.path(), &file, &FAIL).unwrap();
    let frequencies: Vec<_> = set.categories.iter().map(|category| category.frequency.unwrap()).collect();
    assert_eq!(frequencies, [Frequency::Rare, Frequency::Frequent, Frequency::Common]);
    assert_eq!((&set.images[0].negative, &set.images[0].not_exhaustive), (&vec![2], &vec![1, 0]));
    assert!(set.is_federated());
    let files: Vec<_> = set.images.iter().map(|image| image.source.clone()).collect();
    // Of the second and third, the folder in the address is the one that was named.
    let expected = ["train2017/7.png", "20.png", "30.png"].map(|name| ImageSource::File(folder.path().join(name)));
    assert_eq!(files, expected);
    assert_eq!(report.without_iscrowd, 0);

    all["images"][0]["neg_category_ids"] = json!([5]);
    fs::write(&file, all.to_string()).unwrap();
    let text = message(Dataset::open(folder.path(), &file, &FAIL));
    assert!(
        text.starts_with("boxes.json: image 20: its \"neg_category_ids\" or") && text.contains("have 5,"),
        "{text}"
    );
    all["categories"][0]["frequency"] = json!("often");
    fs::write(&file, all.to_string()).unwrap();
    let text = message(Dataset::open(folder.path(), &file, &FAIL));
    assert!(text.starts_with("boxes.json: category 0 has the frequency \"often\""), "{text}");
}

#[test]
fn what_is_written_reads_the_same() {
    let (set, _) = open(&annotations(), &FAIL).unwrap();
    let folder = images();
    let file = folder.path().join("again.json");
    set.save_annotations(&file).unwrap();
    let (again, _) = Dataset::open(folder.path(), &file, &FAIL).unwrap();
    assert_eq!(again.categories, set.categories);
    for (one, other) in set.images.iter().zip(&again.images) {
        assert_eq!(
            (one.id, one.width, one.height, &one.objects),
            (other.id, other.width, other.height, &other.objects)
        );
    }
}

#[test]
fn layouts_of_folders() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let put = |name: &str| {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), "{}").unwrap();
    };
    let missing = || Layout::find(root).unwrap_err().to_string();
    assert!(missing().contains("no folder annotations/; expected the layout of COCO"), "{}", missing());
    put("annotations/instances_train2017.json");
    assert!(missing().contains("no folder train2017/ with the images of annotations/instances_train2017.json"));
    fs::create_dir(root.join("train2017")).unwrap();
    assert!(missing().contains("no file annotations/instances_val2017.json"));
    put("annotations/instances_valminusminival.json");
    fs::create_dir_all(root.join("images/valminusminival")).unwrap();
    put("annotations/captions_val2017.json");
    let layout = Layout::find(root).unwrap();
    assert_eq!(layout.val.images, root.join("images/valminusminival"));
    assert_eq!(layout.train.annotations, root.join("annotations/instances_train2017.json"));
    put("annotations/instances_val_small.json");
    assert!(
        missing().contains(": instances_val_small.json, instances_valminusminival.json; name the one"),
        "{}",
        missing()
    );
    put("annotations/instances_val2017.json");
    fs::create_dir(root.join("val2017")).unwrap();
    assert_eq!(Layout::find(root).unwrap().val.images, root.join("val2017"));
    assert!(Layout::find(&root.join("none")).unwrap_err().to_string().contains("a folder in COCO's layout"));

    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("annotations")).unwrap();
    for name in ["lvis_v1_train.json", "lvis_v1_val.json"] {
        fs::write(folder.path().join("annotations").join(name), "{}").unwrap();
    }
    assert_eq!(Layout::find(folder.path()).unwrap().train.images, folder.path());
}
