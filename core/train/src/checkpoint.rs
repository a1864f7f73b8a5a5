//! Checkpoints: one safetensors file with weights, the optimiser's state and that of the run.
//!
//! Tensors are named `model.<variable>`, `ema.<variable>` (averaged weights), and `sgd.<variable>` or `adamw.….<variable>`. The
//! metadata hold `format`, `state` (JSON) and `crc32c`, the checksum of the whole file with its own eight digits as zeros:
//! safetensors alone would not notice a flipped bit in the data.

mod snapshot;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use tch::nn::VarStore;
use tch::{Kind, Tensor};

pub use snapshot::{Parts, Snapshot};
pub use writer::{Pending, Writer};

use crate::average::Average;
use crate::error::TrainError;
use crate::optimiser::Optimiser;
use crate::state::TrainState;

const FORMAT: &str = "imbalance-checkpoint/1";
const MODEL: &str = "model.";
const AVERAGE: &str = "ema.";
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
    /// The state of the run has no JSON.
    #[error("the state of the run cannot be written: {0}")]
    State(serde_json::Error),
    /// libtorch could not give or take a tensor's data.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// Writes `parts` and `state` to `path`, atomically. With `previous`, the file that was at `path` is kept under that name.
///
/// # Errors
/// As [`Snapshot::take`] and [`Snapshot::write`].
pub fn save(
    path: &Path,
    parts: &Parts<'_>,
    state: &TrainState,
    previous: Option<&Path>,
) -> Result<(), CheckpointError> {
    Snapshot::take(parts, state)?.write(path, previous)
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
        Checkpoint::from_bytes(path, std::fs::read(path).map_err(|source| io_error(path, source))?)
    }

    /// Verifies the bytes of a checkpoint that came from `path`.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`].
    pub fn from_bytes(path: &Path, mut bytes: Vec<u8>) -> Result<Checkpoint, CheckpointError> {
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
        bytes[place.clone()].copy_from_slice(ZERO_CRC.as_bytes());
        let found = format!("{:08x}", crc32c::crc32c(&bytes));
        if found != recorded {
            return Err(damaged(format!("its checksum is {found}, but {recorded} was written")));
        }
        let state = serde_json::from_str(text.get("state").map(String::as_str).unwrap_or_default())
            .map_err(|error| damaged(format!("its state: {error}")))?;
        bytes[place].copy_from_slice(found.as_bytes());
        Ok(Checkpoint { path: path.to_path_buf(), bytes, state })
    }

    /// Where it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the run stood.
    pub fn state(&self) -> &TrainState {
        &self.state
    }

    /// Puts the weights that results are made with into `variables`, which must be the model that was saved: the averaged ones
    /// where there are any. Nothing is changed unless all of it fits.
    ///
    /// # Errors
    /// [`CheckpointError::Mismatch`], naming the first variable (by name) that differs.
    pub fn load_weights(&self, variables: &VarStore) -> Result<(), CheckpointError> {
        let averaged = self.tensors()?.names().iter().any(|name| name.starts_with(AVERAGE));
        self.load_weights_of(if averaged { AVERAGE } else { MODEL }, variables)
    }

    fn load_weights_of(&self, part: &str, variables: &VarStore) -> Result<(), CheckpointError> {
        let tensors = self.tensors()?;
        let mut named: Vec<(String, Tensor)> = variables.variables().into_iter().collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, variable) in &named {
            self.check(&tensors, &format!("{part}{name}"), variable)?;
        }
        let mut names = tensors.names();
        names.sort_unstable();
        let unknown = names
            .into_iter()
            .filter_map(|name| name.strip_prefix(part))
            .find(|name| named.binary_search_by(|(known, _)| known.as_str().cmp(name)).is_err());
        if let Some(name) = unknown {
            return Err(self.mismatch(format!("it has a variable `{name}`, which the model has not")));
        }
        let _no_grad = tch::no_grad_guard();
        for (name, mut variable) in named {
            variable.f_copy_(&self.tensor(&tensors, &format!("{part}{name}"))?)?;
        }
        Ok(())
    }

    /// Puts back weights, the optimiser's state and the averaged weights, if there are any.
    ///
    /// # Errors
    /// [`CheckpointError::Mismatch`], naming the first variable that differs.
    pub fn load(
        &self,
        variables: &VarStore,
        optimiser: &mut Optimiser,
        average: Option<&mut Average>,
    ) -> Result<(), TrainError> {
        let tensors = self.tensors()?;
        let mut state = HashMap::new();
        for (name, like) in optimiser.expected() {
            // A variable that had no gradient yet has no state.
            if tensors.tensor(&name).is_ok() {
                self.check(&tensors, &name, &like)?;
                let tensor = self.tensor(&tensors, &name)?;
                state.insert(name, tensor);
            }
        }
        let mut averages = Vec::new();
        for (name, like) in average.iter().flat_map(|average| average.values()) {
            let name = format!("{AVERAGE}{name}");
            self.check(&tensors, &name, like)?;
            averages.push(self.tensor(&tensors, &name)?);
        }
        self.load_weights_of(MODEL, variables)?;
        if let Some(average) = average {
            average.restore(&averages)?;
        }
        optimiser.restore(state)
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
