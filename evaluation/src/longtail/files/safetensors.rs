//! Predictions as tensors.

use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{ReadError, WriteError, check_not_empty};
use crate::figure::write_whole;
use crate::longtail::{PredictionError, Predictions, SUM_TOLERANCE};

const LOGITS: &str = "logits";
const PROBABILITIES: &str = "probabilities";
const LABELS: &str = "labels";

/// How far from 1 bfloat16 probabilities may sum: rounding changes each by up to 2⁻⁹ of it.
const BF16_SUM_TOLERANCE: f64 = SUM_TOLERANCE + 1.0 / 512.0;

/// Reads predictions; the format is that of [`read_predictions`](super::read_predictions).
pub(super) fn read(path: &Path) -> Result<Predictions, ReadError> {
    check_not_empty(path, "the tensors labels and logits or probabilities")?;
    let bytes = std::fs::read(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    let file =
        SafeTensors::deserialize(&bytes).map_err(|source| ReadError::SafeTensors { path: path.to_owned(), source })?;
    let wrong = |tensor, found, expected| ReadError::Tensor { path: path.to_owned(), tensor, found, expected };
    let both = "the only tensor of scores, logits or probabilities";
    let (name, tensor) = match (file.tensor(LOGITS), file.tensor(PROBABILITIES)) {
        (Ok(_), Ok(_)) => return Err(wrong(PROBABILITIES, "it beside logits".to_owned(), both)),
        (Ok(logits), Err(_)) => (LOGITS, logits),
        (Err(_), Ok(probabilities)) => (PROBABILITIES, probabilities),
        (Err(_), Err(_)) => {
            return Err(wrong(LOGITS, names(&file), "there, or probabilities, of shape [images, classes]"));
        }
    };
    let [images, classes] = *tensor.shape() else {
        return Err(wrong(name, shape(&tensor), "of shape [images, classes]"));
    };
    let scores = floats(&tensor)
        .ok_or_else(|| wrong(name, format!("type {:?}", tensor.dtype()), "of type F32, F64, F16 or BF16"))?;
    let tensor_of_labels = file.tensor(LABELS).map_err(|_| wrong(LABELS, names(&file), "there, of shape [images]"))?;
    if *tensor_of_labels.shape() != [images] {
        let found = format!("{} beside {name} of {}", shape(&tensor_of_labels), shape(&tensor));
        return Err(wrong(LABELS, found, "of shape [images], a label for each row"));
    }
    let labels = integers(&tensor_of_labels).ok_or_else(|| {
        wrong(LABELS, format!("type {:?}", tensor_of_labels.dtype()), "of an integer type, such as I64")
    })?;
    let failed = |source| ReadError::Predictions { path: path.to_owned(), line: None, source };
    let index = |(row, label): (usize, i128)| {
        usize::try_from(label).map_err(|_| failed(PredictionError::Label { row, label, classes }))
    };
    let labels = labels.into_iter().enumerate().map(index).collect::<Result<Vec<_>, _>>()?;
    let predictions = match (name, tensor.dtype()) {
        (LOGITS, _) => Predictions::from_logits(classes, scores, labels),
        (_, Dtype::BF16) => Predictions::from_rounded(classes, scores, labels, BF16_SUM_TOLERANCE),
        _ => Predictions::from_probabilities(classes, scores, labels),
    };
    predictions.map_err(failed)
}

/// Writes predictions of a run for [`read_predictions`](super::read_predictions): the tensors `logits`, float32 `[images,
/// classes]`, and `labels`, int64 `[images]`. An existing file is replaced; on an error nothing is left behind.
///
/// # Shapes
/// - `logits`: `[images, classes]`, row by row; `labels`: `[images]`
///
/// # Errors
/// Numbers that do not pair up; a label that is no class; a file that cannot be written.
pub fn write_predictions(path: &Path, classes: usize, logits: &[f32], labels: &[usize]) -> Result<(), WriteError> {
    if labels.len().checked_mul(classes) != Some(logits.len()) {
        return Err(PredictionError::Shape { scores: logits.len(), labels: labels.len(), classes }.into());
    }
    if let Some(row) = labels.iter().position(|&label| label >= classes) {
        return Err(PredictionError::Label { row, label: labels[row] as i128, classes }.into());
    }
    let failed = |source| WriteError::SafeTensors { path: path.to_owned(), source };
    let logit_bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
    let label_bytes: Vec<u8> = labels.iter().flat_map(|&label| (label as i64).to_le_bytes()).collect();
    let tensors = [
        (LOGITS, TensorView::new(Dtype::F32, vec![labels.len(), classes], &logit_bytes).map_err(failed)?),
        (LABELS, TensorView::new(Dtype::I64, vec![labels.len()], &label_bytes).map_err(failed)?),
    ];
    let bytes = safetensors::serialize(tensors, None).map_err(failed)?;
    write_whole(path, &bytes).map_err(|source| WriteError::Io { path: path.to_owned(), source })
}

fn names(file: &SafeTensors) -> String {
    let mut names = file.names();
    names.sort_unstable();
    if names.is_empty() { "no tensor".to_owned() } else { format!("the tensors {}", names.join(", ")) }
}

fn shape(tensor: &TensorView) -> String {
    format!("shape {:?}", tensor.shape())
}

/// `None` when the elements are not floating-point numbers of a common kind.
fn floats(tensor: &TensorView) -> Option<Vec<f32>> {
    let data = tensor.data();
    Some(match tensor.dtype() {
        Dtype::F32 => elements(data, f32::from_le_bytes),
        Dtype::F64 => elements(data, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F16 => elements(data, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => elements(data, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        _ => return None,
    })
}

/// `None` when the elements are not integers.
fn integers(tensor: &TensorView) -> Option<Vec<i128>> {
    let data = tensor.data();
    Some(match tensor.dtype() {
        Dtype::I64 => elements(data, |bytes| i64::from_le_bytes(bytes).into()),
        Dtype::I32 => elements(data, |bytes| i32::from_le_bytes(bytes).into()),
        Dtype::I16 => elements(data, |bytes| i16::from_le_bytes(bytes).into()),
        Dtype::I8 => elements(data, |bytes| i8::from_le_bytes(bytes).into()),
        Dtype::U64 => elements(data, |bytes| u64::from_le_bytes(bytes).into()),
        Dtype::U32 => elements(data, |bytes| u32::from_le_bytes(bytes).into()),
        Dtype::U16 => elements(data, |bytes| u16::from_le_bytes(bytes).into()),
        Dtype::U8 => elements(data, |bytes| u8::from_le_bytes(bytes).into()),
        _ => return None,
    })
}

/// The numbers that little-endian `bytes` stand for.
fn elements<T, const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| number(*chunk)).collect()
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
