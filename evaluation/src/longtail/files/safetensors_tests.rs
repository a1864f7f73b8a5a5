//! Files of tensors, read and written.

use super::*;

fn bytes<const N: usize>(numbers: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
    numbers.into_iter().flatten().collect()
}

/// Reads a file of these tensors.
fn read_tensors(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Result<Predictions, ReadError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, data)| (*name, TensorView::new(*dtype, shape.to_vec(), data).unwrap()));
    std::fs::write(file.path(), safetensors::serialize(views, None).unwrap()).unwrap();
    read(file.path())
}

fn labels(labels: &[i64]) -> (&'static str, Dtype, [usize; 1], Vec<u8>) {
    ("labels", Dtype::I64, [labels.len()], bytes(labels.iter().map(|label| label.to_le_bytes())))
}

#[test]
fn every_type_is_read() {
    let values = [0.25_f32, 0.75, 1.0, 0.0];
    let scores = [
        (Dtype::F32, bytes(values.map(f32::to_le_bytes))),
        (Dtype::F64, bytes(values.map(|value| f64::from(value).to_le_bytes()))),
        (Dtype::F16, bytes(values.map(|value| f16::from_f32(value).to_le_bytes()))),
        (Dtype::BF16, bytes(values.map(|value| bf16::from_f32(value).to_le_bytes()))),
    ];
    for (dtype, data) in scores {
        let (name, kind, shape, label_data) = labels(&[1, 0]);
        let predictions =
            read_tensors(&[("probabilities", dtype, &[2, 2], data), (name, kind, &shape, label_data)]).unwrap();
        assert_eq!(predictions.probabilities(), values, "{dtype:?}");
    }
    let integers = [
        (Dtype::I32, bytes([1_i32, 0].map(i32::to_le_bytes))),
        (Dtype::I16, bytes([1_i16, 0].map(i16::to_le_bytes))),
        (Dtype::I8, bytes([1_i8, 0].map(i8::to_le_bytes))),
        (Dtype::U64, bytes([1_u64, 0].map(u64::to_le_bytes))),
        (Dtype::U32, bytes([1_u32, 0].map(u32::to_le_bytes))),
        (Dtype::U16, bytes([1_u16, 0].map(u16::to_le_bytes))),
        (Dtype::U8, vec![1, 0]),
    ];
    for (dtype, data) in integers {
        let scores = ("logits", Dtype::F32, &[2, 2][..], bytes(values.map(f32::to_le_bytes)));
        let predictions = read_tensors(&[scores, ("labels", dtype, &[2], data)]).unwrap();
        assert_eq!(predictions.labels(), [1, 0], "{dtype:?}");
    }
}

#[test]
fn bfloat16_probabilities_may_be_rounded() {
    let rounded = [0.9_f32, 0.05, 0.05].map(bf16::from_f32);
    let sum: f64 = rounded.iter().map(|value| f64::from(value.to_f32())).sum();
    assert!((sum - 1.0).abs() > SUM_TOLERANCE);
    let (name, kind, shape, data) = labels(&[0]);
    let scores = bytes(rounded.map(bf16::to_le_bytes));
    read_tensors(&[("probabilities", Dtype::BF16, &[1, 3], scores), (name, kind, &shape, data)]).unwrap();
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictions.safetensors");
    let logits = [1.5, -2.0, 0.25, 3.0, 0.0, -1.0];
    write_predictions(&path, 3, &logits, &[2, 0]).unwrap();
    let want = Predictions::from_logits(3, logits.to_vec(), vec![2, 0]).unwrap();
    assert_eq!(read(&path).unwrap(), want);
    let wrong = |logits: &[f32], labels: &[usize]| {
        write_predictions(&folder.path().join("x"), 3, logits, labels).unwrap_err().to_string()
    };
    assert_eq!(wrong(&logits, &[2]), "1 labels over 3 classes need 1 × 3 scores, got 6");
    assert!(wrong(&logits, &[2, 3]).starts_with("row 1: the label 3 is no class"));
    let nowhere = write_predictions(&folder.path().join("none/x"), 3, &logits, &[2, 0]).unwrap_err();
    assert!(matches!(nowhere, WriteError::Io { .. }));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn wrong_tensors_are_named() {
    let two = || bytes([1.0_f32, 0.0].map(f32::to_le_bytes));
    let (_, kind, shape, data) = labels(&[0]);
    let label = || ("labels", kind, &shape[..], data.clone());
    for (tensors, want) in [
        (vec![], "tensor logits: found no tensor; it must be there, or probabilities, of shape [images, classes]"),
        (vec![label()], "tensor logits: found the tensors labels; it must be there"),
        (vec![("logits", Dtype::F32, &[2][..], two()), label()], "tensor logits: found shape [2]; it must be of shape"),
        (
            vec![("logits", Dtype::I32, &[1, 2], two()), label()],
            "tensor logits: found type I32; it must be of type F32, F64, F16 or BF16",
        ),
        (
            vec![("logits", Dtype::F32, &[1, 2], two()), ("probabilities", Dtype::F32, &[1, 2], two()), label()],
            "tensor probabilities: found it beside logits; it must be the only tensor of scores",
        ),
        (vec![("logits", Dtype::F32, &[1, 2], two())], "tensor labels: found the tensors logits; it must be there"),
        (
            vec![("logits", Dtype::F32, &[2, 1], two()), label()],
            "tensor labels: found shape [1] beside logits of shape [2, 1]; it must be of shape [images]",
        ),
        (
            vec![("logits", Dtype::F32, &[1, 2], two()), ("labels", Dtype::F32, &[1], vec![0; 4])],
            "tensor labels: found type F32; it must be of an integer type, such as I64",
        ),
        (
            vec![("logits", Dtype::F32, &[1, 2], two()), ("labels", Dtype::I8, &[1], vec![255])],
            ": row 0: the label -1 is no class; it must be at least 0 and below 2",
        ),
        (
            vec![("logits", Dtype::F32, &[0, 2], vec![]), ("labels", Dtype::I8, &[0], vec![])],
            "there are no predictions",
        ),
        (
            vec![("logits", Dtype::F32, &[1, 2], bytes([f32::NAN, 0.0].map(f32::to_le_bytes))), label()],
            ": row 0, class 0: the logit is NaN",
        ),
    ] {
        let message = read_tensors(&tensors).unwrap_err().to_string();
        assert!(message.contains(want), "{want:?} is not in {message:?}");
    }
}

#[test]
fn other_files_are_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(read(file.path()), Err(ReadError::Empty { .. })));
    for content in [&b"text"[..], &[255; 64]] {
        std::fs::write(file.path(), content).unwrap();
        let message = read(file.path()).unwrap_err().to_string();
        assert!(message.contains("is no safetensors file: "), "{message}");
    }
    assert!(matches!(read(Path::new("/nonexistent/x.safetensors")), Err(ReadError::Io { .. })));
}
