//! A checkpoint in memory, and how it becomes a file.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use safetensors::Dtype;
use serde_json::json;
use tch::nn::VarStore;
use tch::{Device, Tensor};

use super::{AVERAGE, CRC_OFFSET, CheckpointError, FORMAT, MODEL, ZERO_CRC, dtype_of, io_error};
use crate::atomic_file::write_then;
use crate::average::Average;
use crate::optimiser::Optimiser;
use crate::state::TrainState;

/// What a checkpoint holds beside the state of the run.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The weights.
    pub variables: &'a VarStore,
    /// The optimiser, if the run is to go on from here.
    pub optimiser: Option<&'a Optimiser>,
    /// The averaged weights, if there are any.
    pub average: Option<&'a Average>,
}

impl<'a> Parts<'a> {
    /// The weights alone.
    pub fn weights(variables: &'a VarStore) -> Self {
        Self { variables, optimiser: None, average: None }
    }
}

/// A copy of everything that a checkpoint holds, so that training can go on while it is written.
#[derive(Debug)]
pub struct Snapshot {
    header: Vec<u8>,
    data: Vec<u8>,
}

struct Entry {
    name: String,
    tensor: Tensor,
    dtype: Dtype,
    bytes: usize,
}

impl Entry {
    fn new(name: String, tensor: &Tensor) -> Result<Entry, CheckpointError> {
        let kind = tensor.kind();
        let dtype = dtype_of(kind).ok_or_else(|| CheckpointError::Kind { name: name.clone(), kind })?;
        let bytes = tensor.numel() * kind.elt_size_in_bytes();
        Ok(Entry { name, tensor: tensor.shallow_clone(), dtype, bytes })
    }
}

impl Snapshot {
    /// Copies `parts` and `state`.
    ///
    /// # Errors
    /// [`CheckpointError::Kind`] and [`CheckpointError::Torch`].
    pub fn take(parts: &Parts<'_>, state: &TrainState) -> Result<Self, CheckpointError> {
        let mut entries = Vec::new();
        for (name, tensor) in parts.variables.variables() {
            entries.push(Entry::new(format!("{MODEL}{name}"), &tensor)?);
        }
        for (name, tensor) in parts.optimiser.iter().flat_map(|optimiser| optimiser.state()) {
            entries.push(Entry::new(name, &tensor)?);
        }
        for (name, tensor) in parts.average.iter().flat_map(|average| average.values()) {
            entries.push(Entry::new(format!("{AVERAGE}{name}"), tensor)?);
        }
        // Widest types first keeps every tensor aligned to its type, as the format asks of writers.
        entries.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
        let header = header(&entries, state).map_err(CheckpointError::State)?;
        let mut data = vec![0; entries.iter().map(|entry| entry.bytes).sum()];
        let mut rest = &mut data[..];
        for entry in &entries {
            let (bytes, after) = rest.split_at_mut(entry.bytes);
            copy_bytes(&entry.tensor, bytes)?;
            rest = after;
        }
        Ok(Self { header, data })
    }

    /// Writes it to `path`, atomically. With `previous`, the file that was at `path` is kept under that name.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] when the disk refuses; the old file is then untouched.
    pub fn write(&self, path: &Path, previous: Option<&Path>) -> Result<(), CheckpointError> {
        let rotate = || match previous {
            Some(previous) if path.exists() => std::fs::rename(path, previous),
            _ => Ok(()),
        };
        write_then(path, |file| self.write_to(file), rotate).map_err(|source| io_error(path, source))
    }

    fn write_to(&self, file: &mut File) -> std::io::Result<()> {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&self.header), &self.data);
        file.write_all(&self.header)?;
        file.write_all(&self.data)?;
        file.seek(SeekFrom::Start(CRC_OFFSET as u64))?;
        file.write_all(format!("{crc:08x}").as_bytes())
    }
}

fn header(entries: &[Entry], state: &TrainState) -> serde_json::Result<Vec<u8>> {
    let mut header = serde_json::Map::new();
    header.insert(
        "__metadata__".into(),
        json!({ "crc32c": ZERO_CRC, "format": FORMAT, "state": serde_json::to_string(state)? }),
    );
    let mut offset = 0;
    for entry in entries {
        let info = json!({
            "dtype": entry.dtype,
            "shape": entry.tensor.size(),
            "data_offsets": [offset, offset + entry.bytes],
        });
        header.insert(entry.name.clone(), info);
        offset += entry.bytes;
    }
    let mut json = serde_json::to_vec(&header)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    Ok(bytes)
}

fn copy_bytes(tensor: &Tensor, bytes: &mut [u8]) -> Result<(), tch::TchError> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    tensor.f_copy_data_u8(bytes, tensor.numel())
}
