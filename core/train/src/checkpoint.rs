//! Checkpoints: one safetensors file with weights, velocities and the state of the run.
//!
//! Tensors are named `model.<variable>` and `sgd.<variable>`. The metadata hold `format`, `state` (JSON) and
//! `crc32c`, the checksum of the whole file with its own eight digits as zeros: safetensors alone would not
//! notice a flipped bit in the data.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::json;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::atomic_file::write_then;
use crate::error::TrainError;
use crate::sgd::Sgd;
use crate::state::TrainState;

const FORMAT: &str = "imbalance-checkpoint/1";
const ZERO_CRC: &str = "00000000";
/// The header starts with its length (8 bytes) and this, so the checksum's place is fixed.
const HEADER_START: &str = r#"{"__metadata__":{"crc32c":""#;
const CRC_OFFSET: usize = 8 + HEADER_START.len();

/// Why a checkpoint cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Writing or reading the file failed.
    #[error("checkpoint {}: {source}", path.display())]
    Io {
        /// The checkpoint.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not a whole checkpoint.
    #[error("checkpoint {} is damaged: {reason}", path.display())]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The checkpoint is whole but belongs to another model or other settings.
    #[error("checkpoint {} does not fit: {reason}", path.display())]
    Mismatch {
        /// The checkpoint.
        path: PathBuf,
        /// The first difference.
        reason: String,
    },
    /// A tensor's type has no place in the format.
    #[error("variable `{name}` is {kind:?}, which a checkpoint cannot hold")]
    Kind {
        /// The variable.
        name: String,
        /// Its type.
        kind: Kind,
    },
    /// libtorch could not give or take a tensor's data.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
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

/// Writes weights, the velocities of `sgd` if given, and `state` to `path`, atomically. With `previous`, the
/// file that was at `path` is kept under that name.
///
/// # Errors
/// [`CheckpointError::Io`] when the disk refuses; the old file is then untouched.
pub fn save(
    path: &Path,
    variables: &VarStore,
    sgd: Option<&Sgd>,
    state: &TrainState,
    previous: Option<&Path>,
) -> Result<(), CheckpointError> {
    let mut entries = Vec::new();
    for (name, tensor) in variables.variables() {
        entries.push(Entry::new(format!("model.{name}"), &tensor)?);
    }
    for (name, tensor) in sgd.iter().flat_map(|sgd| sgd.velocities()) {
        entries.push(Entry::new(format!("sgd.{name}"), tensor)?);
    }
    // Widest types first keeps every tensor aligned to its type, as the format asks of writers.
    entries.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
    let header = header(&entries, state).map_err(|error| io_error(path, error.into()))?;
    write_then(
        path,
        |file| write_file(file, &header, &entries),
        || match previous {
            Some(previous) if path.exists() => std::fs::rename(path, previous),
            _ => Ok(()),
        },
    )
    .map_err(|error| match error {
        WriteError::Io(source) => io_error(path, source),
        WriteError::Torch(error) => error.into(),
    })
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

enum WriteError {
    Io(std::io::Error),
    Torch(tch::TchError),
}

impl From<std::io::Error> for WriteError {
    fn from(error: std::io::Error) -> WriteError {
        WriteError::Io(error)
    }
}

/// One tensor at a time through one buffer: a whole second copy of the model would show in the peak memory.
fn write_file(file: &mut File, header: &[u8], entries: &[Entry]) -> Result<(), WriteError> {
    let mut crc = crc32c::crc32c(header);
    let mut out = BufWriter::new(&mut *file);
    out.write_all(header)?;
    let mut buffer = vec![0; entries.iter().map(|entry| entry.bytes).max().unwrap_or(0)];
    for entry in entries {
        let bytes = &mut buffer[..entry.bytes];
        copy_bytes(&entry.tensor, bytes).map_err(WriteError::Torch)?;
        crc = crc32c::crc32c_append(crc, bytes);
        out.write_all(bytes)?;
    }
    out.flush()?;
    drop(out);
    file.seek(SeekFrom::Start(CRC_OFFSET as u64))?;
    file.write_all(format!("{crc:08x}").as_bytes())?;
    Ok(())
}

fn copy_bytes(tensor: &Tensor, bytes: &mut [u8]) -> Result<(), tch::TchError> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    tensor.f_copy_data_u8(bytes, tensor.numel())
}

/// A checkpoint read into memory and found whole.
pub struct Checkpoint {
    path: PathBuf,
    bytes: Vec<u8>,
    state: TrainState,
}

impl Checkpoint {
    /// Reads and verifies a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError::Io`], or [`CheckpointError::Damaged`] when the file is not a whole checkpoint.
    pub fn read(path: &Path) -> Result<Checkpoint, CheckpointError> {
        let mut bytes = std::fs::read(path).map_err(|source| io_error(path, source))?;
        let damaged = |reason: String| CheckpointError::Damaged { path: path.to_path_buf(), reason };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
        let text = metadata.metadata().clone().unwrap_or_default();
        match text.get("format").map(String::as_str) {
            Some(FORMAT) => {}
            Some(other) => return Err(damaged(format!("its format is `{other}`, not `{FORMAT}`"))),
            None => return Err(damaged("it is a safetensors file without the state of a run".into())),
        }
        let recorded = text.get("crc32c").map(String::as_str).unwrap_or_default();
        let place = CRC_OFFSET..CRC_OFFSET + ZERO_CRC.len();
        if bytes.get(place.clone()) != Some(recorded.as_bytes()) {
            return Err(damaged("its checksum is not where it belongs".into()));
        }
        bytes[place].copy_from_slice(ZERO_CRC.as_bytes());
        let found = format!("{:08x}", crc32c::crc32c(&bytes));
        if found != recorded {
            return Err(damaged(format!("its checksum is {found}, but {recorded} was written")));
        }
        let state = serde_json::from_str(text.get("state").map(String::as_str).unwrap_or_default())
            .map_err(|error| damaged(format!("its state: {error}")))?;
        Ok(Checkpoint { path: path.to_path_buf(), bytes, state })
    }

    /// Where the run stood.
    pub fn state(&self) -> &TrainState {
        &self.state
    }

    /// Puts the weights into `variables`, which must be the model that was saved; nothing is changed unless
    /// all of it fits.
    ///
    /// # Errors
    /// [`CheckpointError::Mismatch`], naming the first variable (by name) that differs.
    pub fn load_weights(&self, variables: &VarStore) -> Result<(), CheckpointError> {
        let tensors = self.tensors()?;
        let mut named: Vec<(String, Tensor)> = variables.variables().into_iter().collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, variable) in &named {
            self.check(&tensors, &format!("model.{name}"), variable)?;
        }
        let mut names = tensors.names();
        names.sort_unstable();
        let unknown = names
            .into_iter()
            .filter_map(|name| name.strip_prefix("model."))
            .find(|name| named.binary_search_by(|(known, _)| known.as_str().cmp(name)).is_err());
        if let Some(name) = unknown {
            return Err(self.mismatch(format!("it has a variable `{name}`, which the model has not")));
        }
        let _no_grad = tch::no_grad_guard();
        for (name, mut variable) in named {
            variable.f_copy_(&self.tensor(&tensors, &format!("model.{name}"))?)?;
        }
        Ok(())
    }

    /// Puts back weights and velocities.
    ///
    /// # Errors
    /// [`CheckpointError::Mismatch`], naming the first variable that differs.
    pub fn load(&self, variables: &VarStore, sgd: &mut Sgd) -> Result<(), TrainError> {
        let tensors = self.tensors()?;
        let mut velocities = HashMap::new();
        for (name, weights) in sgd.parameters() {
            let saved = format!("sgd.{name}");
            // A variable that had no gradient yet has no velocity.
            if tensors.tensor(&saved).is_ok() {
                self.check(&tensors, &saved, weights)?;
                velocities.insert(name.to_string(), self.tensor(&tensors, &saved)?);
            }
        }
        self.load_weights(variables)?;
        sgd.restore(velocities)
    }

    fn tensors(&self) -> Result<SafeTensors<'_>, CheckpointError> {
        SafeTensors::deserialize(&self.bytes)
            .map_err(|error| CheckpointError::Damaged { path: self.path.clone(), reason: error.to_string() })
    }

    fn check(&self, tensors: &SafeTensors, name: &str, variable: &Tensor) -> Result<(), CheckpointError> {
        let Ok(view) = tensors.tensor(name) else {
            return Err(self.mismatch(format!("it has no `{name}`, which the model has")));
        };
        let shape = variable.size();
        if !view.shape().iter().map(|&size| size as i64).eq(shape.iter().copied()) {
            let saved = view.shape();
            return Err(self.mismatch(format!("`{name}` is {saved:?} there and {shape:?} in the model")));
        }
        let kind = variable.kind();
        if dtype_of(kind) != Some(view.dtype()) {
            let saved = view.dtype();
            return Err(self.mismatch(format!("`{name}` is {saved} there and {kind:?} in the model")));
        }
        Ok(())
    }

    fn tensor(&self, tensors: &SafeTensors, name: &str) -> Result<Tensor, CheckpointError> {
        let view = tensors.tensor(name).map_err(|error| self.mismatch(error.to_string()))?;
        let kind = kind_of(view.dtype())
            .ok_or_else(|| self.mismatch(format!("`{name}` is {}, which is unknown here", view.dtype())))?;
        let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
        Ok(Tensor::f_from_data_size(view.data(), &shape, kind)?)
    }

    pub(crate) fn mismatch(&self, reason: String) -> CheckpointError {
        CheckpointError::Mismatch { path: self.path.clone(), reason }
    }
}

/// Puts the weights of a checkpoint (`last.safetensors` or `best.safetensors`) into a model.
///
/// # Errors
/// As [`Checkpoint::read`] and [`Checkpoint::load_weights`].
pub fn load_weights(path: &Path, variables: &VarStore) -> Result<TrainState, CheckpointError> {
    let checkpoint = Checkpoint::read(path)?;
    checkpoint.load_weights(variables)?;
    Ok(checkpoint.state)
}

fn io_error(path: &Path, source: std::io::Error) -> CheckpointError {
    CheckpointError::Io { path: path.to_path_buf(), source }
}

const KINDS: [(Kind, Dtype); 10] = [
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Int64, Dtype::I64),
    (Kind::Int, Dtype::I32),
    (Kind::Int16, Dtype::I16),
    (Kind::Int8, Dtype::I8),
    (Kind::Uint8, Dtype::U8),
    (Kind::Bool, Dtype::BOOL),
];

fn dtype_of(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(known, _)| *known == kind).map(|(_, dtype)| *dtype)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(_, known)| *known == dtype).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests;
