//! Weight files written by PyTorch and by safetensors (`fixtures/make_models.py`), and our own.

use std::path::{Path, PathBuf};

use imbalance_vision::model::{ImageModel, ImageModelConfig, ModelKind};
use imbalance_vision::weights::{
    ClassifierWeights, LoadOptions, LoadReport, OtherShape, WeightsError, load_weights, read_metadata, read_weights,
    save_model,
};
use serde_json::json;
use tch::{Device, Kind, Tensor, nn};

const STRICT: LoadOptions =
    LoadOptions { strict: true, classifier: ClassifierWeights::Load, other_name: None, translate: None };
const LENIENT: LoadOptions = LoadOptions { strict: false, ..STRICT };
const FINE_TUNING: LoadOptions = LoadOptions { classifier: ClassifierWeights::IfItFits, ..STRICT };

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Variables named and shaped as the fixtures' tensors, all −1.
fn store(classes: i64) -> nn::VarStore {
    let store = nn::VarStore::new(Device::Cpu);
    let root = store.root();
    let minus_one = nn::Init::Const(-1.0);
    let _ = (&root / "conv1").var("weight", &[2, 3, 2, 2], minus_one);
    let norm = &root / "bn1";
    for name in ["weight", "bias"] {
        let _ = norm.var(name, &[2], minus_one);
    }
    for name in ["running_mean", "running_var"] {
        let _ = norm.add(name, Tensor::full([2], -1.0, (Kind::Float, Device::Cpu)), false);
    }
    let _ = (&root / "fc").var("weight", &[classes, 2], minus_one);
    let _ = (&root / "fc").var("bias", &[classes], minus_one);
    store
}

fn values(store: &nn::VarStore, name: &str) -> Vec<f64> {
    Vec::try_from(store.variables()[name].detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// The order of the fixtures' tensors; element j of tensor i is (10·i + j) / 8.
const NAMES: [&str; 7] =
    ["conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var", "fc.weight", "fc.bias"];

#[track_caller]
fn check_values(store: &nn::VarStore, names: &[&str]) {
    for (i, name) in NAMES.iter().enumerate().filter(|(_, name)| names.contains(name)) {
        let found = values(store, name);
        let expected: Vec<f64> = (0..found.len()).map(|j| (10 * i + j) as f64 / 8.0).collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn every_format_gives_the_same_weights() {
    for (file, prefix) in [
        ("state_dict.safetensors", ""),
        ("state_dict.pth", ""),
        ("legacy.pth", ""),
        ("parameters.pth", ""),
        ("checkpoint.pth", "module."),
        ("checkpoint_legacy.pth", "module."),
    ] {
        let store = store(3);
        let report = load_weights(&fixture(file), &store, &STRICT).unwrap_or_else(|error| panic!("{error}"));
        check_values(&store, &NAMES);
        assert!(report.is_complete(), "{report:#}");
        assert_eq!((report.matched.len(), report.prefix.as_str()), (7, prefix), "{file}");
        assert!(store.variables().values().all(|variable| variable.kind() == Kind::Float));
        assert!(store.variables()["fc.weight"].requires_grad());
    }
}

#[test]
fn tensors_keep_the_type_of_the_file() {
    for file in ["state_dict.safetensors", "state_dict.pth", "legacy.pth"] {
        let tensors = read_weights(&fixture(file)).unwrap();
        assert_eq!(tensors.len(), 8);
        assert_eq!(tensors["bn1.weight"].kind(), Kind::Half);
        assert_eq!(tensors["bn1.running_var"].kind(), Kind::Double);
        assert_eq!(tensors["fc.bias"].kind(), Kind::BFloat16);
        assert_eq!(i64::try_from(&tensors["bn1.num_batches_tracked"]).unwrap(), 7);
        assert!(tensors.values().all(Tensor::is_contiguous));
    }
}

#[test]
fn a_classifier_for_other_classes_is_left_out_if_asked() {
    let path = fixture("checkpoint.pth");
    let other = store(5);
    let report = load_weights(&path, &other, &FINE_TUNING).unwrap();
    assert_eq!(report.left_out, ["fc.bias", "fc.weight"]);
    assert_eq!(report.left_over, [""; 0]);
    check_values(&other, &NAMES[..5]);
    assert_eq!(values(&other, "fc.bias"), [-1.0; 5]);

    let same = store(3);
    assert!(load_weights(&path, &same, &FINE_TUNING).unwrap().is_complete());
    check_values(&same, &NAMES);

    let same = store(3);
    let options = LoadOptions { classifier: ClassifierWeights::LeaveOut, ..STRICT };
    assert_eq!(load_weights(&path, &same, &options).unwrap().left_out.len(), 2);
    assert_eq!(values(&same, "fc.bias"), [-1.0; 3]);
}

#[test]
fn differences_are_reported() {
    let store = store(5);
    let _ = (store.root() / "layer1").zeros("weight", &[2]);
    let report = load_weights(&fixture("state_dict.pth"), &store, &LENIENT).unwrap();
    let shape = |name: &str, found: &[i64], expected: &[i64]| OtherShape {
        name: name.into(),
        found: found.into(),
        expected: expected.into(),
    };
    let expected = LoadReport {
        path: fixture("state_dict.pth"),
        matched: ["bn1.bias", "bn1.running_mean", "bn1.running_var", "bn1.weight", "conv1.weight"]
            .map(String::from)
            .to_vec(),
        missing: vec!["layer1.weight".into()],
        other_shape: vec![shape("fc.bias", &[3], &[5]), shape("fc.weight", &[3, 2], &[5, 2])],
        ..LoadReport::default()
    };
    assert_eq!(report, expected);
    check_values(&store, &NAMES[..5]);
    assert_eq!(values(&store, "fc.weight"), [-1.0; 10]);
}

/// The error of a strict loading, which must change nothing.
#[track_caller]
fn refused(file: &str, store: &nn::VarStore, options: &LoadOptions) -> WeightsError {
    let error = load_weights(&fixture(file), store, options).unwrap_err();
    assert!(error.to_string().contains(file), "{error} names the file");
    for (name, variable) in store.variables() {
        assert!(variable.eq(-1.0).all().int64_value(&[]) == 1, "{name} was changed");
    }
    error
}

#[test]
fn strict_loading_names_the_first_difference() {
    let error = refused("state_dict.pth", &store(5), &STRICT);
    assert!(
        error.to_string().ends_with(
            "weights of another model: `fc.bias` is [3] there and [5] in this model; leave the classifier out to train on other \
             classes"
        ),
        "{error}"
    );

    let deeper = store(5);
    let _ = deeper.root().var("conv2", &[1], nn::Init::Const(-1.0));
    let error = refused("state_dict.pth", &deeper, &FINE_TUNING);
    assert!(matches!(&error, WeightsError::Missing { name, .. } if name == "conv2"), "{error}");
    // By name, whatever the difference is.
    let error = refused("state_dict.pth", &deeper, &STRICT);
    assert!(matches!(&error, WeightsError::Missing { name, .. } if name == "conv2"), "{error}");

    let shallower = nn::VarStore::new(Device::Cpu);
    let _ = (shallower.root() / "bn1").var("weight", &[2], nn::Init::Const(-1.0));
    let error = refused("state_dict.pth", &shallower, &STRICT);
    assert!(matches!(&error, WeightsError::Unexpected { name, .. } if name == "bn1.bias"), "{error}");

    let other = nn::VarStore::new(Device::Cpu);
    let _ = other.root().var("embedding", &[2], nn::Init::Const(-1.0));
    let error = refused("state_dict.pth", &other, &LENIENT);
    assert!(
        error.to_string().ends_with(
            "none of its 7 tensors (bn1.bias, bn1.running_mean, bn1.running_var) has a name of this model, as `embedding`"
        ),
        "{error}"
    );
}

#[test]
fn another_model_is_refused_by_its_first_difference() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resnet-18.safetensors");
    let build = |model, classes| {
        let store = nn::VarStore::new(Device::Cpu);
        let model = ImageModel::new(&store.root(), ImageModelConfig { model, classes, cosine_scale: None }, 1).unwrap();
        (store, model)
    };
    let (saved, _) = build(ModelKind::ResNet18, 7);
    save_model(&path, &saved, &serde_json::Map::new()).unwrap();
    let (larger, _) = build(ModelKind::ResNet50, 7);
    let error = load_weights(&path, &larger, &STRICT).unwrap_err();
    assert!(
        matches!(&error, WeightsError::Shape { name, found, expected, .. }
            if name == "fc.weight" && found == &[7, 512] && expected == &[7, 2048]),
        "{error}"
    );
    assert!(error.to_string().ends_with("in this model"), "{error}");
    let error = load_weights(&path, &larger, &FINE_TUNING).unwrap_err();
    assert!(matches!(&error, WeightsError::Missing { name, .. } if name == "layer1.0.bn3.bias"), "{error}");
}

#[test]
fn other_shapes_are_named_where_names_are_the_same() {
    // None of the file's variables fits, though it has them all.
    let other = nn::VarStore::new(Device::Cpu);
    let _ = (other.root() / "bn1").var("weight", &[3], nn::Init::Const(-1.0));
    let _ = (other.root() / "conv1").var("weight", &[3, 3, 2, 2], nn::Init::Const(-1.0));
    let error = refused("state_dict.pth", &other, &LENIENT);
    assert!(error.to_string().ends_with("`bn1.weight` is [2] there and [3] in this model"), "{error}");

    // Some do: the first residual block is of the other kind.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resnet-18.safetensors");
    let build = |model| {
        let store = nn::VarStore::new(Device::Cpu);
        ImageModel::new(&store.root(), ImageModelConfig { model, classes: 3, cosine_scale: None }, 1).unwrap();
        store
    };
    save_model(&path, &build(ModelKind::ResNet18), &serde_json::Map::new()).unwrap();
    let options = LoadOptions { classifier: ClassifierWeights::IfItFits, ..LENIENT };
    let report = load_weights(&path, &build(ModelKind::ResNet50), &options).unwrap();
    assert!(!report.matched.is_empty() && !report.left_out.is_empty());
    let error = report.check_shapes().unwrap_err().to_string();
    assert!(
        error.ends_with("`layer1.0.conv1.weight` is [64, 64, 3, 3] there and [64, 64, 1, 1] in this model"),
        "{error}"
    );
    load_weights(&path, &build(ModelKind::ResNet18), &options).unwrap().check_shapes().unwrap();
}

#[test]
fn a_name_may_be_looked_up_under_another() {
    let store = nn::VarStore::new(Device::Cpu);
    for branch in ["cb_block", "rb_block"] {
        let _ = (store.root() / branch).var("bias", &[2], nn::Init::Const(-1.0));
    }
    let _ = (store.root() / "bn1").var("weight", &[2], nn::Init::Const(-1.0));
    let other_name = |name: &str| name.replace("cb_block", "bn1").replace("rb_block", "bn1");
    let options = LoadOptions { other_name: Some(&other_name), ..LENIENT };
    let report = load_weights(&fixture("state_dict.pth"), &store, &options).unwrap();
    assert_eq!(report.matched, ["bn1.weight", "cb_block.bias", "rb_block.bias"]);
    assert!(!report.left_over.contains(&"bn1.bias".to_string()), "{report}");
    assert_eq!(values(&store, "cb_block.bias"), [2.5, 2.625]);
    assert_eq!(values(&store, "rb_block.bias"), [2.5, 2.625]);
}

#[test]
fn integers_are_no_weights() {
    let store = nn::VarStore::new(Device::Cpu);
    let path = tempfile::tempdir().unwrap();
    let path = path.path().join("integers.safetensors");
    Tensor::write_safetensors(&[("weight", Tensor::from_slice(&[1i64, 2]))], &path).unwrap();
    let _ = store.root().var("weight", &[2], nn::Init::Const(-1.0));
    let error = load_weights(&path, &store, &LENIENT).unwrap_err();
    assert!(error.to_string().ends_with("`weight` holds Int64 values, but weights should be floating-point numbers"));
}

#[test]
fn what_is_no_state_dict_is_named() {
    for (file, expected) in [
        ("whole_model.pth", "is a pickled object (torch.nn.modules.linear.Linear), not its state dict, but should be"),
        ("nothing.pth", "is a dictionary without tensors (it starts with epoch), but should be"),
        ("script.pt", "is a TorchScript archive (torch.jit.save), but should be"),
        ("sparse.pth", "`fc.weight` is made by `_rebuild_sparse_tensor`, but should be a dense tensor of numbers"),
        ("make_models.py", "is no file of weights, but should be"),
    ] {
        let error = read_weights(&fixture(file)).unwrap_err().to_string();
        assert!(error.contains(&format!("{file}: {expected}")), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.pth");
    for (bytes, expected) in [
        (&b""[..], "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a Git LFS pointer"),
        (b"<!DOCTYPE html>", "is a web page or XML"),
        (b"\x80\x04N.", "is a Python pickle that torch.save did not write"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = read_weights(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let missing = read_weights(&folder.path().join("none.pth")).unwrap_err();
    assert!(matches!(missing, WeightsError::Io { .. }));
    assert!(matches!(read_weights(folder.path()), Err(WeightsError::Io { .. })));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut");
    for file in ["state_dict.pth", "legacy.pth", "state_dict.safetensors"] {
        let whole = std::fs::read(fixture(file)).unwrap();
        for length in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = read_weights(&path).unwrap_err();
            assert!(
                matches!(error, WeightsError::Damaged { .. } | WeightsError::Format { .. }),
                "{file} of {length} bytes: {error}"
            );
        }
    }
}

#[test]
fn a_changed_byte_never_panics_and_is_noticed_in_archives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed");
    for file in ["state_dict.pth", "legacy.pth", "checkpoint.pth"] {
        let mut bytes = std::fs::read(fixture(file)).unwrap();
        for index in (0..bytes.len()).step_by(3) {
            bytes[index] ^= 0x41;
            std::fs::write(&path, &bytes).unwrap();
            let _ = read_weights(&path);
            bytes[index] ^= 0x41;
        }
    }
    // The archive's checksums cover the values: 61.25 to 61.5 are no more than two bits.
    let mut bytes = std::fs::read(fixture("state_dict.pth")).unwrap();
    let bias: Vec<u8> = [2.5f32, 2.625].into_iter().flat_map(f32::to_le_bytes).collect();
    let place = bytes.windows(8).position(|window| window == bias).unwrap();
    bytes[place + 2] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = read_weights(&path).unwrap_err();
    assert!(matches!(&error, WeightsError::Damaged { reason, .. } if reason.contains("data/")), "{error}");
}

#[test]
fn an_exported_model_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let config = ImageModelConfig { model: ModelKind::ResNet32, classes: 10, cosine_scale: Some(30.0) };
    let build = |seed| {
        let store = nn::VarStore::new(Device::Cpu);
        let model = ImageModel::new(&store.root(), config, seed).unwrap();
        (store, model)
    };
    let (saved, model) = build(1);
    // Running statistics are saved too.
    let images = Tensor::rand([4, 3, 32, 32], (Kind::Float, Device::Cpu));
    let _ = model.forward_t(&images, true).unwrap();
    let metadata = json!({ "config": config, "classes": ["aeroplane", "Straße"], "mean": [0.4914, 0.4822, 0.4465] });
    let metadata = metadata.as_object().unwrap();
    save_model(&path, &saved, metadata).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    save_model(&path, &saved, metadata).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "the same model gives the same bytes");

    let read = read_metadata(&path).unwrap();
    assert_eq!(&read, metadata);
    let read: ImageModelConfig = serde_json::from_value(read["config"].clone()).unwrap();
    assert_eq!(read, config);
    let (loaded, again) = build(2);
    assert!(load_weights(&path, &loaded, &STRICT).unwrap().is_complete());
    let logits = |model: &ImageModel| model.forward_t(&images, false).unwrap();
    assert!(logits(&again).equal(&logits(&model)));
}

#[test]
fn metadata_of_other_files_are_refused() {
    let error = read_metadata(&fixture("state_dict.safetensors")).unwrap_err();
    assert!(error.to_string().contains("without the configuration of an exported model"), "{error}");
    assert!(matches!(read_metadata(&fixture("state_dict.pth")), Err(WeightsError::Format { .. })));
}
