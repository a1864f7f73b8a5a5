//! The networks against torchvision's, on weights that both sides make by one rule (`fixtures/make_models.py`).

use std::collections::BTreeMap;

use imbalance_train::BatchNormError;
use imbalance_train::precision::{Autocast, Precision};
use imbalance_vision::model::{
    BilateralModel, CLASSIFIER, Classifier, ImageModel, ImageModelConfig, LearnableScale, ModelError, ModelKind,
    bilateral_alpha, plain_name,
};
use serde::Deserialize;
use tch::{Device, Kind, Tensor, nn};

const CLASSES: i64 = 10;
const IMAGES: u64 = 1_000_000;
const LOSS: u64 = 1_000_001;

#[derive(Deserialize)]
struct Expected {
    size: i64,
    parameters: BTreeMap<String, Vec<i64>>,
    count: usize,
    evaluation: Outputs,
    training: Outputs,
    gradients: BTreeMap<String, Digest>,
    statistics: BTreeMap<String, Digest>,
}

#[derive(Deserialize)]
struct Outputs {
    logits: Vec<Vec<f64>>,
    features: Vec<Digest>,
}

#[derive(Deserialize)]
struct Digest {
    sum: f64,
    magnitude: f64,
    first: Vec<f64>,
}

impl Digest {
    /// Compares with a tensor; a sum of values of either sign is as exact as the sum of their magnitudes.
    #[track_caller]
    fn check(&self, what: &str, found: &Tensor, tolerance: f64) {
        let flat = found.detach().to_kind(Kind::Double).flatten(0, -1);
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
    match name {
        _ if shape.len() > 1 => u * (3.0 / shape[1..].iter().product::<i64>() as f64).sqrt(),
        _ if name.ends_with("bias") || name.ends_with("running_mean") => u / 8.0,
        _ => 1.0 + u / 4.0,
    }
}

fn fill(store: &nn::VarStore) {
    let variables: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
    for (sequence, (name, mut variable)) in (0..).zip(variables) {
        tch::no_grad(|| variable.copy_(&parameter(sequence, &name, &variable.size())));
    }
}

fn config(model: ModelKind, classes: i64) -> ImageModelConfig {
    ImageModelConfig { model, classes, cosine_scale: None }
}

fn build(model: ModelKind, classes: i64) -> (nn::VarStore, ImageModel) {
    let store = nn::VarStore::new(Device::Cpu);
    let model = ImageModel::new(&store.root(), config(model, classes), 1).unwrap();
    (store, model)
}

fn shapes(store: &nn::VarStore) -> BTreeMap<String, Vec<i64>> {
    store.variables().into_iter().map(|(name, variable)| (name, variable.size())).collect()
}

fn count(store: &nn::VarStore) -> usize {
    store.trainable_variables().iter().map(Tensor::numel).sum()
}

#[track_caller]
fn close(found: &Tensor, expected: &[f64], tolerance: f64) {
    let found: Vec<f64> = Vec::try_from(found.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap();
    let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    assert_eq!(found.len(), expected.len());
    assert!(
        found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance * largest),
        "{found:?} is not {expected:?}"
    );
}

#[track_caller]
fn check_outputs(model: &ImageModel, images: &Tensor, train: bool, expected: &Outputs, tolerance: f64) -> Tensor {
    let features = model.backbone.features(images, train).unwrap();
    for (row, digest) in expected.features.iter().enumerate() {
        digest.check("features", &features.get(row as i64), tolerance);
    }
    let logits = model.classifier.logits(&features).unwrap();
    close(&logits, &expected.logits.concat(), tolerance);
    logits
}

fn agrees_with_reference(kind: ModelKind) {
    let all: BTreeMap<String, Expected> = serde_json::from_str(include_str!("fixtures/models.json")).unwrap();
    let expected = &all[kind.name()];
    let (mut store, model) = build(kind, CLASSES);
    assert_eq!(shapes(&store), expected.parameters);
    assert_eq!(count(&store), expected.count);
    let images = uniform(IMAGES, &[2, 3, expected.size, expected.size]);

    // In float32, as in use.
    fill(&store);
    let _ = check_outputs(&model, &images.to_kind(Kind::Float), false, &expected.evaluation, 1e-4);

    // In float64 only the order of sums differs.
    store.double();
    fill(&store);
    let _ = check_outputs(&model, &images, false, &expected.evaluation, 1e-9);
    let logits = check_outputs(&model, &images, true, &expected.training, 1e-9);
    (&logits * uniform(LOSS, &logits.size())).sum(Kind::Double).backward();
    let variables = store.variables();
    assert!(expected.gradients.len() > 6 && expected.statistics.len() > 4);
    for (name, digest) in &expected.gradients {
        digest.check(name, &variables[name].grad(), 1e-8);
    }
    for (name, digest) in &expected.statistics {
        digest.check(name, &variables[name], 1e-9);
    }
}

#[test]
fn resnet_32_agrees_with_plain_pytorch() {
    agrees_with_reference(ModelKind::ResNet32);
}

#[test]
fn resnet_18_agrees_with_torchvision() {
    agrees_with_reference(ModelKind::ResNet18);
}

#[test]
fn resnet_50_agrees_with_torchvision() {
    agrees_with_reference(ModelKind::ResNet50);
}

#[test]
fn resnext_50_agrees_with_torchvision() {
    agrees_with_reference(ModelKind::ResNeXt50);
}

#[test]
fn parameter_counts_are_the_published_ones() {
    for (kind, classes, expected) in [
        (ModelKind::ResNet32, 10, 464_154),
        (ModelKind::ResNet18, 1000, 11_689_512),
        (ModelKind::ResNet50, 1000, 25_557_032),
        (ModelKind::ResNeXt50, 1000, 25_028_904),
    ] {
        let (store, model) = build(kind, classes);
        assert_eq!(count(&store), expected, "{kind}");
        assert_eq!(model.classifier.weight().size(), [classes, kind.width()]);
    }
}

#[test]
fn a_seed_decides_the_weights() {
    let values = |seed| {
        let store = nn::VarStore::new(Device::Cpu);
        ImageModel::new(&store.root(), config(ModelKind::ResNet32, 10), seed).unwrap();
        store.variables()
    };
    let (a, b, c) = (values(7), values(7), values(8));
    assert!(a.iter().all(|(name, value)| value.equal(&b[name])));
    assert!(!a["conv1.weight"].equal(&c["conv1.weight"]));
    assert!(!a["fc.bias"].equal(&c["fc.bias"]));
}

#[test]
fn initial_weights_have_the_deviation_of_their_fan() {
    let deviation = |tensor: &Tensor| tensor.to_kind(Kind::Double).std(true).double_value(&[]);
    let (cifar, _) = build(ModelKind::ResNet32, 10);
    let cifar = cifar.variables();
    // Fan-in: 32 inputs of 3×3 pixels.
    assert!((deviation(&cifar["layer2.1.conv1.weight"]) / (2.0_f64 / 288.0).sqrt() - 1.0).abs() < 0.05);
    // The first convolution of a stage tells fan-in (32·9) from fan-out (64·9).
    assert!((deviation(&cifar["layer3.0.conv1.weight"]) / (2.0_f64 / 288.0).sqrt() - 1.0).abs() < 0.05);
    assert!((deviation(&cifar["fc.weight"]) / (2.0_f64 / 64.0).sqrt() - 1.0).abs() < 0.15);

    let (image_net, _) = build(ModelKind::ResNet18, 100);
    let image_net = image_net.variables();
    assert!((deviation(&image_net["layer2.0.conv1.weight"]) / (2.0_f64 / 1152.0).sqrt() - 1.0).abs() < 0.05);
    // U(−1/√512, 1/√512) has deviation 1/√(3·512).
    assert!((deviation(&image_net["fc.weight"]) * (3.0_f64 * 512.0).sqrt() - 1.0).abs() < 0.05);
    assert!(image_net["fc.weight"].abs().max().double_value(&[]) <= 512.0_f64.sqrt().recip());
    for (name, variable) in &image_net {
        let constant = match name.rsplit('.').next().unwrap() {
            "running_var" => 1.0,
            "running_mean" => 0.0,
            "bias" if !name.starts_with(CLASSIFIER) => 0.0,
            "weight" if variable.dim() == 1 => 1.0,
            _ => continue,
        };
        assert_eq!(f64::try_from(variable.min()).unwrap(), constant, "{name}");
        assert_eq!(f64::try_from(variable.max()).unwrap(), constant, "{name}");
    }
}

#[test]
fn channels_last_and_bfloat16_pass_through() {
    let (mut store, model) = build(ModelKind::ResNet32, 10);
    let images = uniform(IMAGES, &[4, 3, 32, 32]).to_kind(Kind::Float);
    let plain = model.backbone.features(&images, false).unwrap();

    let channels_last = images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    let trunk = model.backbone.trunk(&channels_last, false).unwrap();
    assert_eq!(trunk.size(), [4, 64, 8, 8]);
    assert_eq!(trunk.stride(), [64 * 64, 1, 64 * 8, 64], "channels_last stays");
    let features = model.backbone.features(&channels_last, false).unwrap();
    close(&features, &Vec::try_from(plain.to_kind(Kind::Double).flatten(0, -1)).unwrap(), 1e-5);

    store.bfloat16();
    let logits = model.forward_t(&channels_last.to_kind(Kind::BFloat16), true).unwrap();
    assert_eq!(logits.kind(), Kind::BFloat16);
    assert_eq!(model.backbone.features(&images.to_kind(Kind::BFloat16), false).unwrap().kind(), Kind::BFloat16);
}

#[test]
fn under_autocast_the_gradient_is_about_that_of_float32() {
    for (kind, size) in [(ModelKind::ResNet32, 32), (ModelKind::ResNet18, 64)] {
        let images = uniform(IMAGES, &[16, 3, size, size]).to_kind(Kind::Float);
        let images = images.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        let gradient = |precision| {
            let (store, model) = build(kind, CLASSES);
            let logits = {
                let _autocast = Autocast::begin(precision, Device::Cpu);
                model.forward_t(&images, true).unwrap()
            };
            let kind = logits.kind();
            let loss = logits.to_kind(Kind::Float).log_softmax(-1, Kind::Float).select(1, 0).mean(Kind::Float);
            loss.backward();
            let variables: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
            assert!(variables.values().all(|variable| variable.kind() == Kind::Float));
            let gradients = variables.values().filter(|variable| variable.requires_grad());
            (kind, Tensor::cat(&gradients.map(|variable| variable.grad().flatten(0, -1)).collect::<Vec<_>>(), 0))
        };
        let (plain_kind, plain) = gradient(Precision::Float32);
        let (low_kind, low) = gradient(Precision::Bfloat16);
        assert_eq!((plain_kind, low_kind), (Kind::Float, Kind::BFloat16));
        let cosine = (&plain * &low).sum(Kind::Double) / (plain.norm() * low.norm());
        // Rounding to 8 bits through 32 layers leaves most of the direction.
        assert!(cosine.double_value(&[]) > 0.95, "{kind}: {}", cosine.double_value(&[]));
    }
}

#[test]
fn running_statistics_change_in_training_only() {
    let (store, model) = build(ModelKind::ResNet32, 10);
    let images = uniform(IMAGES, &[2, 3, 16, 16]).to_kind(Kind::Float);
    let mean = || store.variables()["layer3.4.bn2.running_mean"].copy();
    let start = mean();
    let _ = model.forward_t(&images, false).unwrap();
    assert!(mean().equal(&start));
    let _ = model.forward_t(&images, true).unwrap();
    assert!(!mean().equal(&start));
    assert!(!store.variables()["layer3.4.bn2.running_mean"].requires_grad());
}

fn set(variable: &Tensor, values: &[f64]) {
    let values = Tensor::from_slice(values).view(variable.size().as_slice());
    tch::no_grad(|| variable.shallow_clone().copy_(&values));
}

#[test]
fn classifiers_by_hand() {
    let weight = Tensor::from_slice(&[2.0f32, 0.0, 0.0, -0.5, 3.0, 4.0]).view([3, 2]);
    let features = Tensor::from_slice(&[0.6f32, 0.8, 0.0, 0.0]).view([2, 2]);
    let linear =
        Classifier::Linear { weight: weight.shallow_clone(), bias: Some(Tensor::from_slice(&[1.0f32, 2.0, 3.0])) };
    close(&linear.logits(&features).unwrap(), &[2.2, 1.6, 8.0, 1.0, 2.0, 3.0], 1e-6);
    assert!(linear.cosines(&features).unwrap().is_none());
    close(&linear.weight_norms().unwrap(), &[2.0, 0.5, 5.0], 1e-6);

    let normalised = Classifier::Normalised { weight: weight.shallow_clone(), scale: 10.0 };
    let cosines = [0.6, -0.8, 0.36 + 0.64, 0.0, 0.0, 0.0];
    close(&normalised.cosines(&features).unwrap().unwrap(), &cosines, 1e-6);
    close(&normalised.logits(&features).unwrap(), &cosines.map(|cosine| 10.0 * cosine), 1e-6);
    assert!(matches!(normalised.tau_normalised(1.0), Err(ModelError::AlreadyNormalised)));

    // Lengths 2, ½, 5 to the power ½: the logits 1.2, −.4, 5 are divided by them, and the bias is gone.
    let tau = linear.tau_normalised(0.5).unwrap();
    let expected = [1.2 / 2.0_f64.sqrt(), -0.4 / 0.5_f64.sqrt(), 5.0 / 5.0_f64.sqrt(), 0.0, 0.0, 0.0];
    close(&tau.logits(&features).unwrap(), &expected, 1e-6);
    close(linear.tau_normalised(0.0).unwrap().weight(), &[2.0, 0.0, 0.0, -0.5, 3.0, 4.0], 1e-6);
    close(linear.weight(), &[2.0, 0.0, 0.0, -0.5, 3.0, 4.0], 0.0);
}

#[test]
fn learnable_scale_starts_as_the_identity_and_learns() {
    let store = nn::VarStore::new(Device::Cpu);
    let scale = LearnableScale::new(&(store.root() / "lws"), 3).unwrap();
    let logits = Tensor::from_slice(&[1.0f32, -2.0, 3.0, 4.0, 5.0, 6.0]).view([2, 3]);
    assert!(scale.apply(&logits).unwrap().equal(&logits));
    set(&store.variables()["lws.scale"], &[2.0, 0.5, 1.0]);
    let scaled = scale.apply(&logits).unwrap();
    close(&scaled, &[2.0, -1.0, 3.0, 8.0, 2.5, 6.0], 1e-6);
    scaled.sum(Kind::Float).backward();
    close(&scale.factors().grad(), &[5.0, 3.0, 9.0], 1e-6);
}

#[test]
fn a_reset_changes_the_classifier_alone() {
    for cosine_scale in [None, Some(30.0)] {
        let store = nn::VarStore::new(Device::Cpu);
        let config = ImageModelConfig { cosine_scale, ..config(ModelKind::ResNet32, 10) };
        let mut model = ImageModel::new(&store.root(), config, 1).unwrap();
        assert_eq!(store.variables().contains_key("fc.bias"), cosine_scale.is_none());
        if cosine_scale.is_some() {
            close(&model.classifier.weight_norms().unwrap(), &[1.0; 10], 1e-5);
        }
        let copies = || -> BTreeMap<String, Tensor> {
            store.variables().into_iter().map(|(name, value)| (name, value.detach().copy())).collect()
        };
        let before = copies();
        model.reset_classifier(2).unwrap();
        let reset = copies();
        for (name, value) in &before {
            assert_eq!(value.equal(&reset[name]), !name.starts_with(CLASSIFIER), "{name}");
        }
        model.reset_classifier(3).unwrap();
        model.reset_classifier(2).unwrap();
        assert!(copies()["fc.weight"].equal(&reset["fc.weight"]), "the seed decides");
        assert!(store.variables()["fc.weight"].requires_grad());
    }
}

#[test]
fn bilateral_alpha_falls_parabolically() {
    assert_eq!(bilateral_alpha(1, 200), 1.0);
    assert_eq!(bilateral_alpha(101, 200), 0.75);
    assert_eq!(bilateral_alpha(200, 200), 1.0 - 0.995 * 0.995);
}

#[test]
fn bilateral_features_are_mixed_by_hand() {
    let conventional = Tensor::from_slice(&[1.0f32, 2.0]).view([1, 2]);
    let rebalancing = Tensor::from_slice(&[10.0f32, 20.0]).view([1, 2]);
    close(&BilateralModel::mix(&conventional, &rebalancing, 0.75).unwrap(), &[1.5, 3.0, 5.0, 10.0], 1e-6);
    close(&BilateralModel::mix(&conventional, &rebalancing, 0.5).unwrap(), &[1.0, 2.0, 10.0, 20.0], 1e-6);
    let wrong = BilateralModel::mix(&conventional, &rebalancing, 1.5).unwrap_err();
    assert_eq!(wrong.to_string(), "alpha, the share of the conventional branch, is 1.5, but should be from 0 to 1");
}

#[test]
fn branches_filled_from_a_plain_model_give_its_features() {
    for kind in [ModelKind::ResNet32, ModelKind::ResNet18] {
        let (plain_store, plain) = build(kind, 10);
        let store = nn::VarStore::new(Device::Cpu);
        let model = BilateralModel::new(&store.root(), config(kind, 10), 2).unwrap();
        let blocks = store.variables();
        assert!(!blocks["cb_block.conv1.weight"].equal(&blocks["rb_block.conv1.weight"]));
        let plain_variables = plain_store.variables();
        for (name, mut variable) in blocks {
            if !name.starts_with(CLASSIFIER) {
                tch::no_grad(|| variable.copy_(&plain_variables[plain_name(kind, &name).as_ref()]));
            }
        }
        let images = uniform(IMAGES, &[2, 3, 32, 32]).to_kind(Kind::Float);
        let expected = plain.backbone.features(&images, false).unwrap();
        let features = model.features(&images).unwrap();
        assert!(features.equal(&Tensor::cat(&[&expected, &expected], 1)), "{kind}");
        assert_eq!(model.classifier.logits(&features).unwrap().size(), [2, 10]);

        // Each branch learns from its own images: at α = 1 the re-balancing one not at all.
        let mixed = model.mixed_features(&images, &(&images + 1.0), 1.0).unwrap();
        mixed.sum(Kind::Float).backward();
        let gradient = |name: &str| store.variables()[name].grad().abs().sum(Kind::Double).double_value(&[]);
        assert!(gradient("cb_block.conv1.weight") > 0.0);
        assert_eq!(gradient("rb_block.conv1.weight"), 0.0);
    }
}

#[test]
fn bad_settings_and_images_are_named() {
    let store = nn::VarStore::new(Device::Cpu);
    let wrong = |classes, cosine_scale| {
        let config = ImageModelConfig { model: ModelKind::ResNet32, classes, cosine_scale };
        ImageModel::new(&store.root(), config, 1).unwrap_err().to_string()
    };
    assert_eq!(wrong(0, None), "a classifier needs at least one class, but was given 0");
    assert_eq!(wrong(2, Some(-1.0)), "the cosine scale is -1, but should be a finite number above 0");
    assert_eq!(wrong(2, Some(f64::NAN)), "the cosine scale is NaN, but should be a finite number above 0");
    assert!(store.is_empty(), "nothing was added");

    let (_, model) = build(ModelKind::ResNet18, 10);
    let grey = model.forward_t(&Tensor::zeros([2, 1, 32, 32], (Kind::Float, Device::Cpu)), false).unwrap_err();
    assert_eq!(grey.to_string(), "images have shape [2, 1, 32, 32], but should be [n, 3, height, width]");
    // 32 pixels become one in the last stage.
    let one = Tensor::zeros([1, 3, 32, 32], (Kind::Float, Device::Cpu));
    assert!(matches!(model.forward_t(&one, true), Err(ModelError::BatchNorm(BatchNormError::OneValuePerChannel))));
    assert_eq!(model.forward_t(&one, false).unwrap().size(), [1, 10]);
}
