//! Safetensors: reading, and exporting a model.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use imbalance_train::write_atomically;
use safetensors::SafeTensors;
use safetensors::tensor::{Metadata, TensorView};
use serde_json::{Map, Value};
use tch::{Tensor, nn};

use super::WeightsError;
use super::pth::Fault;
use super::storage::{self, dtype_of, kind_of_dtype};

/// Where the exported metadata are among those of the file, which safetensors allows to be text only.
const METADATA: &str = "config";

/// The longest header that is read, as in the safetensors library.
const LONGEST_HEADER: u64 = 100_000_000;

pub(super) fn read_safetensors(bytes: &[u8]) -> Result<Vec<(String, Tensor)>, Fault> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| Fault::Damaged(error.to_string()))?;
    let read = |(name, view): (String, TensorView)| {
        let Some(kind) = kind_of_dtype(view.dtype()) else {
            return Err(Fault::Tensor { name, found: format!("of type {}", view.dtype()) });
        };
        let shape = view.shape();
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        let layout = storage::Layout { offset: 0, shape: shape.into(), strides };
        let tensor = storage::tensor(view.data(), kind, &layout)?;
        let tensor = tensor.ok_or_else(|| Fault::Damaged(format!("`{name}` has too few values")))?;
        Ok((name, tensor))
    };
    file.tensors().into_iter().map(read).collect()
}

/// Writes all variables of `store` (parameters and running statistics, with torchvision's names) and `metadata` as safetensors,
/// atomically. The same model and metadata give the same bytes.
///
/// # Errors
/// [`WeightsError::Io`], or [`WeightsError::Kind`] for a variable whose type the format has not.
pub fn save_model(path: &Path, store: &nn::VarStore, metadata: &Map<String, Value>) -> Result<(), WeightsError> {
    let torch = |source| WeightsError::Torch { path: path.into(), source };
    let mut tensors = Vec::new();
    for (name, variable) in store.variables() {
        let kind = variable.kind();
        let dtype = dtype_of(kind).ok_or_else(|| WeightsError::Kind { path: path.into(), name: name.clone(), kind })?;
        let shape = variable.size().iter().map(|&size| size as usize).collect();
        tensors.push((name, dtype, shape, storage::bytes(&variable).map_err(torch)?));
    }
    let io = |source| WeightsError::Io { path: path.into(), source };
    let invalid = |error| io(std::io::Error::other(error));
    let views = tensors.iter().map(|(name, dtype, shape, bytes): &(_, _, Vec<usize>, _)| {
        Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?))
    });
    let views: Vec<(&str, TensorView)> = views.collect::<Result<_, _>>().map_err(invalid)?;
    let metadata = HashMap::from([(METADATA.to_string(), Value::Object(metadata.clone()).to_string())]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(invalid)?;
    write_atomically(path, |file| file.write_all(&bytes)).map_err(io)
}

/// The metadata of a file that [`save_model`] wrote; reads no tensors.
///
/// # Errors
/// [`WeightsError`]: a file that cannot be read, or that [`save_model`] did not write.
pub fn read_metadata(path: &Path) -> Result<Map<String, Value>, WeightsError> {
    let io = |source| WeightsError::Io { path: path.into(), source };
    let damaged = |reason: String| WeightsError::Damaged { path: path.into(), reason };
    let mut file = File::open(path).map_err(io)?;
    let mut length = Vec::new();
    Read::by_ref(&mut file).take(8).read_to_end(&mut length).map_err(io)?;
    let length = length.try_into().map(u64::from_le_bytes).ok().filter(|length| *length <= LONGEST_HEADER);
    let Some(length) = length else {
        return Err(WeightsError::Format { path: path.into(), found: "no safetensors file".into() });
    };
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(io)?;
    let header: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(format!("its header: {error}")))?;
    let texts = header.metadata().clone().unwrap_or_default();
    let text = texts.get(METADATA).ok_or_else(|| WeightsError::Format {
        path: path.into(),
        found: "a safetensors file without the configuration of an exported model".into(),
    })?;
    serde_json::from_str(text).map_err(|error| damaged(format!("its configuration: {error}")))
}
