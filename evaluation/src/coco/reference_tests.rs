//! Against pycocotools and tidecv, whose values `tests/fixtures/coco/make.py` recorded.

use std::path::PathBuf;

use serde_json::Value;

use super::*;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/coco").join(name)
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap()
}

fn truth() -> GroundTruth {
    read_ground_truth(&fixture("truth.json")).unwrap()
}

fn close(got: f64, want: &Value) {
    let want = want.as_f64().unwrap();
    assert!((got - want).abs() < 1e-12, "{got} is not {want}");
}

#[test]
fn numbers_are_pycocotools_to_the_last_bit() {
    let (truth, expected) = (truth(), expected());
    for system in ["found", "other"] {
        let detections = read_detections(&fixture(&format!("{system}.json"))).unwrap();
        let summary = evaluate(&truth, &detections, &Options::default()).unwrap();
        let want = &expected[system];
        for (name, (got, want)) in
            Stats::NAMES.iter().zip(summary.stats.values().iter().zip(want["stats"].as_array().unwrap()))
        {
            assert_eq!(got.to_bits(), want.as_f64().unwrap().to_bits(), "{name} of {system}");
        }
        assert_eq!(summary.stats.to_string(), want["text"].as_str().unwrap());
    }
}

/// Values of LVIS's own evaluator, from `tests/fixtures/lvis/make.py`.
#[test]
fn federated_numbers_are_those_of_lvis() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/lvis");
    let federated = read_ground_truth(&folder.join("truth.json")).unwrap();
    let detections = read_detections(&folder.join("found.json")).unwrap();
    let summary = evaluate_lvis(&federated, &detections).unwrap();
    let expected: [f64; 13] = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    for (name, (got, want)) in LvisStats::NAMES.iter().zip(summary.stats.0.into_iter().zip(expected)) {
        assert!((got - want).abs() < 1e-12, "{name}: {got} is not {want}");
    }
    // The mean over categories that have boxes.
    let of_classes: Vec<f64> = summary.per_class.iter().filter_map(|class| class.ap).collect();
    assert_eq!((summary.per_class.len(), of_classes.len()), (5, 4));
    assert!((of_classes.iter().sum::<f64>() / 4.0 - expected[0]).abs() < 1e-12);
    assert!(!summary.warnings.iter().any(|warning| matches!(warning, Warning::Federated { .. })));
    // By COCO's protocol the same detections score otherwise.
    let coco = evaluate(&federated, &detections, &Options::default()).unwrap();
    assert!(coco.stats.ap < expected[0]);
    assert!(coco.warnings.iter().any(|warning| matches!(warning, Warning::Federated { .. })));
    assert!(matches!(evaluate_lvis(&truth(), &detections), Err(CocoError::NotFederated)));
}

#[test]
fn classes_and_curves_are_pycocotools() {
    let (truth, expected) = (truth(), expected());
    let detections = read_detections(&fixture("found.json")).unwrap();
    let evaluation = Evaluation::new(&truth, &detections, &Options::default()).unwrap();
    let classes = evaluation.summary().per_class;
    let want = expected["found"]["per_class"].as_array().unwrap();
    assert_eq!(classes.len(), want.len());
    for (got, want) in classes.iter().zip(want) {
        assert_eq!(got.category_id, want["category_id"].as_i64().unwrap());
        for (got, want) in [(got.ap, &want["AP"]), (got.ap50, &want["AP50"]), (got.ar100, &want["AR100"])] {
            match got {
                Some(got) => close(got, want),
                None => assert!(want.is_null()),
            }
        }
    }
    let curves = evaluation.curves();
    assert_eq!(curves.iter().map(|curves| curves.category_id).collect::<Vec<_>>(), [1, 2, 5, 11]);
    let dog = &curves[2];
    let want = want.iter().find(|class| class["category_id"] == 5).unwrap();
    let precision: Vec<f64> = want["iou_75"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
    assert_eq!(dog.iou_75, precision);
    close(dog.mean.iter().sum::<f64>() / RECALL_POINTS as f64, &want["AP"]);
    close(dog.iou_50.iter().sum::<f64>() / RECALL_POINTS as f64, &want["AP50"]);
    assert_eq!((recall_points().len(), recall_points()[0], recall_points()[100]), (RECALL_POINTS, 0.0, 1.0));
}

#[test]
fn every_image_once_is_the_score_itself() {
    let truth = truth();
    for system in ["found.json", "other.json"] {
        let detections = read_detections(&fixture(system)).unwrap();
        let evaluation = Evaluation::new(&truth, &detections, &Options::default()).unwrap();
        let matches = evaluation.matches().unwrap();
        let got = matches.precisions(&vec![1; matches.images()], &mut Default::default()).unwrap();
        let Stats { ap, ap50, ap75, .. } = evaluation.stats();
        for (got, want) in got.into_iter().zip([ap, ap50, ap75]) {
            assert!((got - want).abs() < 1e-12, "{got} is not {want}");
        }
    }
}

/// The script says what tidecv is given and why.
#[test]
fn errors_are_tides() {
    let expected = &expected()["tide"];
    let file: Value = serde_json::from_slice(&std::fs::read(fixture("truth.json")).unwrap()).unwrap();
    let number = |value: &Value, key: &str| value[key].as_i64().unwrap();
    let annotations: Vec<Annotation> = file["annotations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|annotation| annotation["iscrowd"] == 0)
        .map(|annotation| Annotation {
            id: number(annotation, "id"),
            image_id: number(annotation, "image_id"),
            category_id: number(annotation, "category_id"),
            bbox: serde_json::from_value(annotation["bbox"].clone()).unwrap(),
            area: 1.0,
            iscrowd: false,
        })
        .collect();
    let truth = GroundTruth::new(truth().image_ids(), &annotations, truth().categories().to_vec()).unwrap();
    let mut detections = read_detections(&fixture("other.json")).unwrap();
    for (at, detection) in detections.iter_mut().enumerate() {
        detection.score += at as f64 / 1e6;
    }
    detections.retain(|detection| detection.category_id != 9);
    let tide = Evaluation::new(&truth, &detections, &Options::default()).unwrap().tide().unwrap();
    close(tide.ap50, &expected["AP50"]);
    for (error, key) in tide.errors.iter().zip(["Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"]) {
        assert_eq!(error.count, expected["counts"][key].as_u64().unwrap(), "{key}");
        close(error.delta_ap50, &expected["delta"][key]);
    }
    close(tide.delta_ap50_false_positives, &expected["delta"]["FalsePos"]);
    close(tide.delta_ap50_false_negatives, &expected["delta"]["FalseNeg"]);
}

#[test]
fn chosen_images_are_scored_alone() {
    let truth = truth();
    let detections = read_detections(&fixture("found.json")).unwrap();
    let chosen = vec![truth.image_ids()[4], truth.image_ids()[1], truth.image_ids()[4]];
    let options = Options { images: Some(chosen.clone()) };
    let summary = evaluate(&truth, &detections, &options).unwrap();
    // The same of a ground truth that has no other images.
    let file: Value = serde_json::from_slice(&std::fs::read(fixture("truth.json")).unwrap()).unwrap();
    let mut few = file.clone();
    let is_chosen = |value: &Value, key: &str| chosen.contains(&value[key].as_i64().unwrap());
    few["images"].as_array_mut().unwrap().retain(|image| is_chosen(image, "id"));
    few["annotations"].as_array_mut().unwrap().retain(|annotation| is_chosen(annotation, "image_id"));
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), few.to_string()).unwrap();
    let few = read_ground_truth(path.path()).unwrap();
    let of_chosen: Vec<Detection> = detections.iter().filter(|d| chosen.contains(&d.image_id)).copied().collect();
    let want = evaluate(&few, &of_chosen, &Options::default()).unwrap();
    assert_eq!(summary.images, 2);
    assert!(summary.detections > 0 && summary.stats.ap > 0.0);
    assert_eq!(summary, want);
    let none = Options { images: Some(vec![]) };
    assert!(matches!(evaluate(&truth, &detections, &none), Err(CocoError::NoChosenImages)));
    let unknown = Options { images: Some(vec![1_000_000]) };
    let message = evaluate(&truth, &detections, &unknown).unwrap_err().to_string();
    assert_eq!(message, "image 1000000 is to be scored but is not in the ground truth; choose among its 14 images");
}

#[test]
fn numbers_of_detections_must_be_finite() {
    let truth = truth();
    let image_id = truth.image_ids()[0];
    let mut detections = vec![Detection { image_id, category_id: 1, bbox: [0.0, 0.0, 1.0, 1.0], score: 0.5 }; 3];
    detections[1].score = f64::NAN;
    let message = |detections: &[Detection]| evaluate(&truth, detections, &Options::default()).unwrap_err().to_string();
    let want = format!("detection 1 (from 0), of image {image_id}, has the score NaN; it must be finite");
    assert_eq!(message(&detections), want);
    detections[0].bbox[2] = f64::INFINITY;
    assert!(message(&detections).contains("has the width of bbox inf"));
}
