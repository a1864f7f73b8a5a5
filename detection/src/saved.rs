//! What a run folder holds of its detector, and taking it up again.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use imbalance_train::{Precision, checkpoint, write_atomically};
use imbalance_vision::flags::MemoryFormat;
use serde::{Deserialize, Serialize};
use tch::Device;
use tch::nn::VarStore;

use crate::DetectionError;
use crate::data::Transform;
use crate::model::{DetectOptions, Normaliser, NormaliserState, RetinaNet, RetinaNetConfig};

/// What the detector is, beside `config.toml`.
const MODEL: &str = "model.json";

/// `model.json`: all that detecting takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelFile {
    /// The network.
    pub network: RetinaNetConfig,
    /// The categories, in the order of the classes.
    pub categories: Vec<NamedCategory>,
    /// How images are prepared for evaluation.
    pub transform: Transform,
    /// How detections are made.
    pub detecting: DetectOptions,
    /// What the losses were divided by.
    pub normaliser: Normaliser,
    /// Precision of the arithmetic.
    pub precision: Precision,
    /// How activations lie in memory.
    pub memory_format: MemoryFormat,
}

/// A category that a class stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedCategory {
    /// Its id in the annotations.
    pub id: i64,
    /// Its name.
    pub name: String,
}

impl ModelFile {
    pub(crate) fn write(&self, run: &Path) -> Result<(), DetectionError> {
        write_json(&run.join(MODEL), self)
    }

    /// The description in a run folder.
    ///
    /// # Errors
    /// There is none, or it is another task's.
    pub fn read(run: &Path) -> Result<Self, DetectionError> {
        let path = run.join(MODEL);
        let text = fs::read_to_string(&path).map_err(|error| DetectionError::File {
            path: path.clone(),
            reason: format!("cannot read: {error}; a run folder of `toolkit detection` has it"),
        })?;
        serde_json::from_str(&text).map_err(|error| {
            DetectionError::on(&path, "parse")(format!("{error}; is this a run of `toolkit detection`?"))
        })
    }
}

/// Writes JSON whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), DetectionError> {
    let text = serde_json::to_string_pretty(value).map_err(DetectionError::on(path, "write"))?;
    write_atomically(path, |file| writeln!(file, "{text}")).map_err(DetectionError::on(path, "write"))
}

/// A trained detector.
#[derive(Debug)]
pub struct SavedDetector {
    /// What it is.
    pub file: ModelFile,
    /// The file that its weights are from.
    pub weights: PathBuf,
    /// The network.
    pub network: RetinaNet,
    /// Its variables.
    pub store: VarStore,
}

impl SavedDetector {
    /// The detector of a run folder: by `checkpoint`, or the best one so far, or the last.
    ///
    /// # Errors
    /// Names the file that is missing or does not fit, and the first parameter of another model.
    pub fn load(run: &Path, checkpoint: Option<&Path>) -> Result<Self, DetectionError> {
        let file = ModelFile::read(run)?;
        let best = run.join("checkpoints/best.safetensors");
        let last = run.join("checkpoints/last.safetensors");
        let weights = match checkpoint {
            Some(path) => path.to_owned(),
            None if best.exists() => best,
            None => last,
        };
        let store = VarStore::new(Device::Cpu);
        let network = RetinaNet::new(&store, file.network.clone(), 0)?;
        // Part of every checkpoint.
        NormaliserState::new(&store.root(), file.normaliser)?;
        checkpoint::load_weights(&weights, &store)?;
        Ok(Self { file, weights, network, store })
    }
}
