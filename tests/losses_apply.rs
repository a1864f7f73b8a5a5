//! `toolkit losses apply`: files in, files out, values computed by hand.

mod support;

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use support::{Lab, contains, fails, succeeds};

const COUNTS: &str = "--class-counts=500,50,5";

/// Writes tensors of these kinds, shapes and little-endian bytes.
fn write(path: &Path, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) {
    let views =
        tensors.iter().map(|(name, kind, shape, bytes)| (*name, TensorView::new(*kind, shape.clone(), bytes).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None::<HashMap<String, String>>).unwrap()).unwrap();
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn i64s(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn read(path: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), Dtype::F32);
    (tensor.shape().to_vec(), tensor.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

fn batch(lab: &Lab, columns: usize, logits: &[f32], targets: &[i64]) {
    let rows = targets.len();
    write(
        &lab.path("in.safetensors"),
        &[("logits", Dtype::F32, vec![rows, columns], f32s(logits)), ("target", Dtype::I64, vec![rows], i64s(targets))],
    );
}

fn apply(lab: &Lab, words: &[&str]) -> assert_cmd::Command {
    lab.toolkit(&[&["losses", "apply"], words, &["--input", "in.safetensors", "--output", "out.safetensors"]].concat())
}

#[track_caller]
fn close(got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((f64::from(*got) - want).abs() < 1e-6, "{got} is not {want}");
    }
}

#[test]
fn softmax_by_hand() {
    let lab = Lab::new();
    batch(&lab, 3, &[0.0, 0.0, 0.0, 3.0_f32.ln(), 0.0, 0.0, 9.0, 9.0, 9.0], &[1, 0, -100]);
    succeeds(&mut apply(&lab, &["cross-entropy", COUNTS, "--ignore-index", "-100"]));
    let (shape, loss) = read(&lab.path("out.safetensors"), "loss");
    assert_eq!(shape, [3]);
    // p = 1/3, then 3/5.
    close(&loss, &[3.0_f64.ln(), (5.0_f64 / 3.0).ln(), 0.0]);
    let (shape, gradient) = read(&lab.path("out.safetensors"), "grad");
    assert_eq!(shape, [3, 3]);
    let third = 1.0 / 3.0;
    close(&gradient, &[third, -2.0 * third, third, -0.4, 0.2, 0.2, 0.0, 0.0, 0.0]);

    succeeds(&mut apply(&lab, &["cross-entropy", COUNTS, "--ignore-index=-100", "--reduction", "mean"]));
    let (_, halves) = read(&lab.path("out.safetensors"), "grad");
    close(&halves, &gradient.iter().map(|&value| f64::from(value) / 2.0).collect::<Vec<_>>());
}

#[test]
fn sigmoid_by_hand() {
    let lab = Lab::new();
    batch(&lab, 2, &[0.0, 0.0, 3.0_f32.ln(), 0.0, 1.0, 2.0], &[1, -1, -2]);
    succeeds(&mut apply(&lab, &["cross-entropy", COUNTS, "--head", "sigmoid"]));
    let (_, loss) = read(&lab.path("out.safetensors"), "loss");
    // Twice log 2; then log 4 (σ = 3/4, a negative) and log 2; then nothing.
    close(&loss, &[4.0_f64.ln(), 8.0_f64.ln(), 0.0]);
    let (_, gradient) = read(&lab.path("out.safetensors"), "grad");
    close(&gradient, &[0.5, -0.5, 0.75, 0.5, 0.0, 0.0]);
}

#[test]
fn two_counts_of_a_sigmoid_head_weigh_every_object_alike() {
    let lab = Lab::new();
    batch(&lab, 3, &[0.0; 12], &[0, 1, 2, -1]);
    // Only the denominator differs between the two.
    let words = ["class-balanced", "--beta", "0.9", "--class-counts=2,1000", "--head", "sigmoid"];
    let gradients = ["sum", "weighted-mean"].map(|reduction| {
        succeeds(&mut apply(&lab, &[&words[..], &["--reduction", reduction]].concat()));
        read(&lab.path("out.safetensors"), "grad").1
    });
    // 1/E of 2 and of 1000 examples, scaled to a sum of 2 (Cui et al., 2019).
    let inverse = [2, 1000].map(|n| 0.1 / (1.0 - 0.9_f64.powi(n)));
    let weight = inverse.map(|one| 2.0 * one / (inverse[0] + inverse[1]));
    let denominator = 3.0 * weight[0] + weight[1];
    close(&gradients[1], &gradients[0].iter().map(|&value| f64::from(value) / denominator).collect::<Vec<_>>());
}

#[cfg(feature = "training")]
#[test]
fn both_paths_give_the_same() {
    let lab = Lab::new();
    let logits: Vec<f32> = (0..60).map(|i| ((i * 37) % 19) as f32 - 9.0).collect();
    let targets: Vec<i64> = (0..20).map(|row| row % 3).collect();
    batch(&lab, 3, &logits, &targets);
    for words in [&["eureka", "--beta", "0.99"][..], &["focal", "--gamma", "0.5"], &["eureka", "--head", "sigmoid"]] {
        let counts = if words.contains(&"sigmoid") { "--class-counts=500,50,5,9000" } else { COUNTS };
        let both = ["fused", "tensor"].map(|path| {
            succeeds(&mut apply(&lab, &[words, &[counts, "--loss-path", path]].concat()));
            ["loss", "grad"].map(|name| read(&lab.path("out.safetensors"), name).1)
        });
        for (fused, tensor) in both[0].iter().zip(&both[1]) {
            let want: Vec<f64> = tensor.iter().map(|&value| f64::from(value)).collect();
            let largest = want.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
            close(
                &fused.iter().map(|&value| value / largest as f32).collect::<Vec<_>>(),
                &want.iter().map(|value| value / largest).collect::<Vec<_>>(),
            );
        }
    }
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_written() {
    let lab = Lab::new();
    let refused = |words: &[&str], parts: &[&str]| {
        let said = fails(&mut apply(&lab, words), 1);
        contains(&said, parts);
        assert!(!lab.path("out.safetensors").exists());
    };
    let plain = ["cross-entropy", COUNTS];
    refused(&plain, &["in.safetensors cannot be read"]);
    std::fs::write(lab.path("in.safetensors"), "no tensors").unwrap();
    refused(&plain, &["in.safetensors", "is no safetensors file"]);
    write(&lab.path("in.safetensors"), &[("scores", Dtype::F32, vec![1, 3], f32s(&[0.0; 3]))]);
    refused(&plain, &["has no tensor `logits`", "scores"]);
    write(
        &lab.path("in.safetensors"),
        &[("logits", Dtype::F32, vec![1, 3], f32s(&[0.0; 3])), ("target", Dtype::F32, vec![1], f32s(&[0.0]))],
    );
    refused(&plain, &["tensor `target` is F32 [1]; expected I64 of 1 dimension"]);
    batch(&lab, 3, &[0.0; 6], &[0, 3]);
    refused(&plain, &["row 1: target 3 is out of range, there are 3 classes (0 to 2)"]);
    batch(&lab, 3, &[0.0, 0.0, 0.0, 0.0, f32::NAN, 0.0], &[0, 1]);
    refused(&plain, &["row 1: its logits are not all finite"]);
    // The log-odds are finite, the mean that smoothing takes is not.
    batch(&lab, 3, &[0.0, 1.0, f32::NEG_INFINITY], &[0]);
    refused(&["cross-entropy", COUNTS, "--label-smoothing", "0.1"], &["row 0: its logits are not all finite"]);
    batch(&lab, 1, &[0.0], &[0]);
    refused(&["eureka", "--class-counts=500"], &["tells classes apart"]);
    batch(&lab, 3, &[0.0; 6], &[-1, -1]);
    refused(&["cross-entropy", COUNTS, "--ignore-index=-1"], &["all 2 targets are ignored"]);
    batch(&lab, 3, &[], &[]);
    refused(&plain, &["the batch has no rows"]);
    batch(&lab, 3, &[0.0; 3], &[0]);
    let said = fails(&mut apply(&lab, &["cross-entropy", COUNTS, "--head=sigmoid", "--ignore-index=0"]), 2);
    contains(&said, &["--ignore-index 0 is for the softmax head", "the target -2 is ignored"]);
    batch(&lab, 4, &[0.0; 4], &[0]);
    refused(&plain, &["4 logits a row", "--class-counts names 3 classes"]);
    refused(&["cross-entropy", COUNTS, "--head", "sigmoid"], &["4 logits a row, but the loss has 3 class counts"]);
    fails(&mut apply(&lab, &["focal", COUNTS, "--gama", "2"]), 2);
}
