//! Every step of RetinaNet against torchvision's, on weights that both sides make by one rule (`fixtures/make_retinanet.py`).

use std::collections::BTreeMap;
use std::sync::Arc;

use imbalance_core::Head;
use imbalance_core::host::{Loss, Plugin, SearchPath};
use imbalance_detection::model::{
    AnchorConfig, AnchorRule, BACKGROUND, BoxLoss, ClassView, DetectOptions, ImageTargets, MatchOptions, P6From,
    RetinaLoss, RetinaNet, RetinaNetConfig, Targets, detect, intersection_over_union, match_anchors,
};
use imbalance_train::heads::LossPath;
use serde::Deserialize;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

const IMAGES: u64 = 1_000_000;

#[derive(Deserialize)]
struct Expected {
    classes: i64,
    size: (usize, usize),
    boxes: Vec<[f32; 4]>,
    labels: Vec<usize>,
    parameters: BTreeMap<String, Vec<i64>>,
    levels: Vec<Digest>,
    anchors: Digest,
    logits: Vec<Digest>,
    offsets: Vec<Digest>,
    matches: BTreeMap<String, i64>,
    class_loss: f64,
    box_loss: f64,
    gradients: BTreeMap<String, Digest>,
    detections: Vec<Found>,
}

#[derive(Deserialize)]
struct Digest {
    sum: f64,
    magnitude: f64,
    first: Vec<f64>,
}

#[derive(Deserialize)]
struct Found {
    bbox: [f32; 4],
    class: usize,
    score: f32,
}

impl Digest {
    /// Compares with a tensor; a sum of values of either sign is as exact as the sum of their magnitudes.
    #[track_caller]
    fn check(&self, what: &str, found: &Tensor, tolerance: f64) {
        let flat = found.detach().to_kind(Kind::Double).contiguous().flatten(0, -1);
        let near = |part: &str, found: f64, expected: f64, scale: f64| {
            assert!((found - expected).abs() <= tolerance * scale, "{what}, {part}: {found} is not {expected}");
        };
        near("sum", flat.sum(Kind::Double).double_value(&[]), self.sum, self.magnitude);
        near("magnitude", flat.abs().sum(Kind::Double).double_value(&[]), self.magnitude, self.magnitude);
        let mean = self.magnitude / flat.numel() as f64;
        for (index, &expected) in self.first.iter().enumerate() {
            near("first values", flat.double_value(&[index as i64]), expected, mean.max(expected.abs()));
        }
    }
}

/// Element j of a sequence, in [−1, 1).
fn uniform(sequence: u64, shape: &[i64]) -> Tensor {
    let value = |j: i64| {
        let mut z = ((sequence << 32) + j as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    let values: Vec<f64> = (0..shape.iter().product()).map(value).collect();
    Tensor::from_slice(&values).view(shape)
}

fn parameter(sequence: u64, name: &str, shape: &[i64]) -> Tensor {
    let u = uniform(sequence, shape);
    let value = match name {
        _ if shape.len() > 1 => u * (3.0 / shape[1..].iter().product::<i64>() as f64).sqrt(),
        _ if name.ends_with("bias") || name.ends_with("running_mean") => u / 8.0,
        _ => 1.0 + u / 4.0,
    };
    let spread = name.ends_with("cls_logits.weight") || name.ends_with("bbox_reg.weight");
    if spread { value * 3.0 } else { value }
}

fn fill(store: &VarStore) {
    let variables: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
    for (sequence, (name, mut variable)) in (0..).zip(variables) {
        tch::no_grad(|| variable.copy_(&parameter(sequence, &name, &variable.size())));
    }
}

fn network(classes: i64) -> (VarStore, RetinaNet) {
    let store = VarStore::new(Device::Cpu);
    let anchors = AnchorConfig { rule: AnchorRule::Torchvision, ..AnchorConfig::default() };
    let config =
        RetinaNetConfig { classes, p6_from: P6From::P5, frozen_parts: 0, anchors, ..RetinaNetConfig::default() };
    let network = RetinaNet::new(&store, config, 1).unwrap();
    (store, network)
}

fn focal() -> Arc<Plugin> {
    let exe = std::env::current_exe().unwrap();
    let profile = exe.parent().and_then(std::path::Path::parent).unwrap();
    let mut build = std::process::Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "toolkit-loss-focal"]);
    build.args(profile.ends_with("release").then_some("--release"));
    build.arg("--target-dir").arg(profile.parent().unwrap());
    assert!(build.status().unwrap().success(), "the plugin does not build");
    Arc::new(SearchPath::of(vec![profile.to_owned()]).open("focal").unwrap())
}

#[test]
fn every_step_agrees_with_torchvision() {
    let expected: Expected = serde_json::from_str(include_str!("fixtures/retinanet.json")).unwrap();
    let (mut store, network) = network(expected.classes);
    let variables: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
    let shapes: BTreeMap<String, Vec<i64>> =
        variables.iter().map(|(name, value)| (name.clone(), value.size())).collect();
    assert_eq!(shapes, expected.parameters);
    fill(&store);
    let (height, width) = expected.size;
    let image = uniform(IMAGES, &[1, 3, height as i64, width as i64]).to_kind(Kind::Float);
    // As in use, with the channels of a pixel side by side.
    let image = image.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);

    for (level, digest) in network.levels(&image, true).unwrap().iter().zip(&expected.levels) {
        digest.check("level", level, 1e-4);
    }
    let outputs = network.forward(&image, true).unwrap();
    assert_eq!(outputs.len(), 5);
    for (output, (logits, offsets)) in outputs.iter().zip(expected.logits.iter().zip(&expected.offsets)) {
        logits.check("logits", &output.logits, 1e-4);
        offsets.check("offsets", &output.offsets, 1e-4);
    }
    let anchors = network.anchors(expected.size).unwrap();
    let flat: Vec<f32> = anchors.boxes.iter().flatten().copied().collect();
    expected.anchors.check("anchors", &Tensor::from_slice(&flat), 1e-4);

    let matches = match_anchors(&anchors, &expected.boxes, &MatchOptions::default());
    for (anchor, &of) in matches.of_anchor.iter().enumerate() {
        let wanted = expected.matches.get(&anchor.to_string()).copied().unwrap_or(BACKGROUND);
        assert_eq!(of, wanted, "anchor {anchor}");
    }

    let options = DetectOptions { most: 60, ..DetectOptions::default() };
    let found = detect(&outputs, &anchors, 0, expected.size, &options).unwrap();
    // torchvision keeps empty boxes, which count among its 60.
    let wanted: Vec<&Found> =
        expected.detections.iter().filter(|one| one.bbox[2] > one.bbox[0] && one.bbox[3] > one.bbox[1]).collect();
    assert!(wanted.len() > 30 && found.len() >= wanted.len());
    for one in wanted {
        let same = |other: &&imbalance_detection::model::Detection| {
            other.class == one.class
                && (other.score - one.score).abs() < 1e-4
                && intersection_over_union(other.bbox, one.bbox) > 0.999
        };
        assert!(found.iter().any(|other| same(&other)), "{:?} of class {} is missing", one.bbox, one.class);
    }

    let targets = ImageTargets { boxes: expected.boxes.clone(), classes: expected.labels.clone() };
    let targets = Targets::new(&anchors, &[targets], &MatchOptions::default());
    let (objects, background) = targets.class_counts(expected.classes as usize);
    assert_eq!(objects.iter().sum::<u64>(), targets.count as u64);
    let counts = ClassView::Binary.counts(&objects, background).unwrap();
    let params = [("alpha".to_owned(), 0.25), ("gamma".to_owned(), 2.0)];
    let loss = Loss::new(focal(), Head::Sigmoid, &params, &counts).unwrap();
    let check = |outputs, path, tolerance: f64| {
        let losses = RetinaLoss::new(outputs, &targets, &loss, BoxLoss::L1, path).unwrap();
        let divided = |sum: &Tensor| sum / targets.count as f64;
        let (class, boxes) = (divided(&losses.class), divided(&losses.boxes));
        for (what, found, wanted) in [("class", &class, expected.class_loss), ("box", &boxes, expected.box_loss)] {
            let found = found.double_value(&[]);
            assert!((found / wanted - 1.0).abs() < tolerance, "{what} loss {found} is not {wanted}");
        }
        class + boxes
    };
    let _ = check(outputs, LossPath::Fused, 1e-4);

    // In float64 no ReLU near zero falls the other way, which would show in the gradients.
    store.double();
    fill(&store);
    let outputs = network.forward(&image.to_kind(Kind::Double), true).unwrap();
    check(outputs, LossPath::Tensor, 1e-6).backward();
    let variables = store.variables();
    assert!(expected.gradients.len() > 8);
    for (name, digest) in &expected.gradients {
        digest.check(name, &variables[name].grad(), 1e-6);
    }
}

#[test]
fn the_paths_of_the_class_loss_agree() {
    let plugin = focal();
    let sums = [LossPath::Fused, LossPath::Tensor].map(|path| {
        let (_store, network) = network(4);
        let image = uniform(IMAGES, &[2, 3, 64, 96]).to_kind(Kind::Float);
        let outputs = network.forward(&image, true).unwrap();
        let anchors = network.anchors((64, 96)).unwrap();
        let image = ImageTargets { boxes: vec![[4.0, 4.0, 60.0, 50.0]], classes: vec![3] };
        let targets = Targets::new(&anchors, &[image, ImageTargets::default()], &MatchOptions::default());
        let (objects, background) = targets.class_counts(4);
        let counts = ClassView::PerClass.counts(&objects, background).unwrap();
        let loss = Loss::new(Arc::clone(&plugin), Head::Sigmoid, &[], &counts).unwrap();
        RetinaLoss::new(outputs, &targets, &loss, BoxLoss::SmoothL1, path).unwrap().class.double_value(&[])
    });
    assert!((sums[0] / sums[1] - 1.0).abs() < 1e-5, "{sums:?}");
}

#[test]
fn the_default_network_has_the_published_number_of_parameters() {
    let store = VarStore::new(Device::Cpu);
    let config = RetinaNetConfig { frozen_parts: 0, ..RetinaNetConfig::default() };
    let network = RetinaNet::new(&store, config, 1).unwrap();
    let trained = store.variables().into_values().filter(Tensor::requires_grad);
    let count: usize = trained.map(|variable| variable.numel()).sum();
    // Lin et al.'s RetinaNet-R50-FPN at 80 classes: 37.92 million in convolutions.
    assert_eq!((count as f64 / 1e4).round() / 1e2, 37.92, "{count}");
    assert_eq!(network.config().classes, 80);
}
