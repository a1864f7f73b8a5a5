use super::*;
use tch::Device;

use crate::optimiser::{Rule, SgdConfig};

const RULE: Rule = Rule::Sgd(SgdConfig { momentum: 0.9, weight_decay: 0.0, nesterov: false });

fn model(values: [f32; 3]) -> VarStore {
    let store = VarStore::new(Device::Cpu);
    let root = store.root();
    let mut weight = root.zeros("weight", &[1, 3]);
    let mut mean = root.zeros_no_train("mean", &[3]);
    tch::no_grad(|| {
        weight.copy_(&Tensor::from_slice(&values).reshape([1, 3]));
        mean.copy_(&(Tensor::from_slice(&values) * 10.0));
    });
    store
}

fn values(store: &VarStore, name: &str) -> Vec<f32> {
    Vec::try_from(store.variables()[name].reshape([-1])).unwrap()
}

fn optimiser(store: &VarStore) -> Optimiser {
    Optimiser::new(store, RULE, |_| true).unwrap()
}

/// A checkpoint of a model after one step of gradient 1 at rate 1, in its own folder.
fn saved() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let store = model([1.0, 2.0, 3.0]);
    let mut sgd = optimiser(&store);
    sgd.step(&[Tensor::ones([1, 3], (Kind::Float, Device::Cpu))], 1.0, 1.0).unwrap();
    let mut state = TrainState::new("hash");
    state.step = 7;
    state.epoch_loss.add(0.1 + 0.2, 3.0);
    save(&path, &Parts { optimiser: Some(&sgd), ..Parts::weights(&store) }, &state, None).unwrap();
    (folder, path)
}

#[test]
fn weights_velocities_and_state_come_back() {
    let (folder, path) = saved();
    let store = model([0.0; 3]);
    let mut sgd = optimiser(&store);
    let checkpoint = Checkpoint::read(&path).unwrap();
    checkpoint.load(&store, &mut sgd, None).unwrap();
    assert_eq!(values(&store, "weight"), [0.0, 1.0, 2.0]);
    assert_eq!(values(&store, "mean"), [10.0, 20.0, 30.0]);
    assert_eq!(checkpoint.state().step, 7);
    assert_eq!(checkpoint.state().epoch_loss.mean(), (0.1 + 0.2) / 3.0);
    // The velocity was 1, so a zero gradient now moves by .9.
    sgd.step(&[Tensor::zeros([1, 3], (Kind::Float, Device::Cpu))], 1.0, 1.0).unwrap();
    for (got, want) in values(&store, "weight").iter().zip([-0.9, 0.1, 1.1]) {
        assert!((got - want).abs() < 1e-6, "{got} is not {want}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn what_was_loaded_is_written_back_byte_for_byte() {
    let (folder, path) = saved();
    let store = model([0.0; 3]);
    let mut sgd = optimiser(&store);
    let checkpoint = Checkpoint::read(&path).unwrap();
    checkpoint.load(&store, &mut sgd, None).unwrap();
    let again = folder.path().join("again.safetensors");
    save(&again, &Parts { optimiser: Some(&sgd), ..Parts::weights(&store) }, checkpoint.state(), None).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
}

#[test]
fn any_reader_of_the_format_reads_it() {
    let (_folder, path) = saved();
    let mut named = Tensor::read_safetensors(&path).unwrap();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["model.mean", "model.weight", "sgd.weight"]);
    assert_eq!(Vec::<f32>::try_from(named[1].1.reshape([-1])).unwrap(), [0.0, 1.0, 2.0]);
}

#[test]
fn every_flipped_byte_is_noticed() {
    let (_folder, path) = saved();
    let good = std::fs::read(&path).unwrap();
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        let result = Checkpoint::read(&path);
        assert!(matches!(result, Err(CheckpointError::Damaged { .. })), "byte {place}");
    }
}

#[test]
fn a_truncated_an_empty_and_a_foreign_file_are_damaged() {
    let (folder, path) = saved();
    let good = std::fs::read(&path).unwrap();
    for length in [0, 4, 100, good.len() - 1] {
        std::fs::write(&path, &good[..length]).unwrap();
        assert!(matches!(Checkpoint::read(&path), Err(CheckpointError::Damaged { .. })), "{length} bytes");
    }
    let foreign = folder.path().join("foreign.safetensors");
    Tensor::write_safetensors(&[("x", Tensor::from(1.0))], &foreign).unwrap();
    let error = Checkpoint::read(&foreign).err().unwrap().to_string();
    assert!(error.contains("without the state of a run"), "{error}");
    assert!(matches!(Checkpoint::read(&folder.path().join("none")), Err(CheckpointError::Io { .. })));
}

#[test]
fn another_model_is_refused_by_its_first_difference_and_left_alone() {
    let (_folder, path) = saved();
    let shape = VarStore::new(Device::Cpu);
    let _mean = shape.root().ones_no_train("mean", &[3]);
    let _weight = shape.root().ones("weight", &[3]);
    let missing = model([5.0; 3]);
    let _bias = missing.root().ones("bias", &[1]);
    let extra = VarStore::new(Device::Cpu);
    let _weight = extra.root().ones("weight", &[1, 3]);
    let mut kind = model([5.0; 3]);
    kind.double();
    for (store, message) in [
        (&shape, "`model.weight` is [1, 3] there and [3] in the model"),
        (&missing, "it has no `model.bias`, which the model has"),
        (&extra, "it has a variable `mean`, which the model has not"),
        (&kind, "`model.mean` is F32 there and Double in the model"),
    ] {
        let before: Vec<(String, Tensor)> =
            store.variables().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
        let error = load_weights(&path, store).unwrap_err();
        assert!(matches!(error, CheckpointError::Mismatch { .. }));
        assert!(error.to_string().contains(message), "{error}");
        let after = store.variables();
        let unchanged = before.iter().all(|(name, tensor)| tensor.equal(&after[name]));
        assert!(unchanged, "{message}");
    }
}

#[test]
fn the_file_before_is_kept_and_a_failed_write_leaves_both() {
    let (folder, path) = saved();
    let previous = folder.path().join("previous.safetensors");
    let first = std::fs::read(&path).unwrap();
    let store = model([4.0; 3]);
    save(&path, &Parts::weights(&store), &TrainState::new("hash"), Some(&previous)).unwrap();
    assert_eq!(std::fs::read(&previous).unwrap(), first);
    let second = std::fs::read(&path).unwrap();
    assert_ne!(second, first);

    let mut complex = model([4.0; 3]);
    complex.set_kind(Kind::ComplexFloat);
    let error = save(&path, &Parts::weights(&complex), &TrainState::new("hash"), Some(&previous)).unwrap_err();
    assert!(error.to_string().contains("is ComplexFloat, which a checkpoint cannot hold"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), second);
    assert_eq!(std::fs::read(&previous).unwrap(), first);

    let nowhere = folder.path().join("no such folder").join("last.safetensors");
    let error = save(&nowhere, &Parts::weights(&store), &TrainState::new("hash"), None).unwrap_err();
    assert!(matches!(error, CheckpointError::Io { .. }) && error.to_string().contains("no such folder"));
}
