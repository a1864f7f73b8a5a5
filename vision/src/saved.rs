//! What a run folder holds of its model, and taking it up again.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imbalance_core::ClassCounts;
use imbalance_evaluation::longtail::Groups;
use imbalance_train::{Group, Precision, RunFolder, checkpoint, post_hoc_bias, write_atomically};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

use crate::VisionError;
use crate::augment::{Augment, Crop, Loader, LoaderOptions, OnBadImage, Skipped};
use crate::data::list::ListFiles;
use crate::data::{DatasetKind, ImageSet, Images, MissingImage, Split};
use crate::flags::MemoryFormat;
use crate::network::{Network, NetworkConfig};
use crate::task::Evaluate;
use crate::weights::{ClassifierWeights, LoadOptions, load_weights, read_metadata, save_model};

/// What the model is, beside `config.toml`.
const MODEL: &str = "model.json";
/// The weights that the results are of, with the contents of `model.json`.
const WEIGHTS: &str = "model.safetensors";

/// `model.json`, and the metadata of an exported model: all that predicting takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelFile {
    /// Architecture and classifier.
    #[serde(flatten)]
    pub network: NetworkConfig,
    /// The name of each class.
    #[serde(rename = "class-names")]
    pub classes: Vec<String>,
    /// Training images of each class.
    pub train_counts: Vec<u64>,
    /// Which classes are many-, medium- and few-shot.
    pub groups: Groups,
    /// The data set.
    pub dataset: String,
    /// How images are prepared.
    pub augment: Augment,
    /// Precision of the arithmetic.
    pub precision: Precision,
    /// How activations lie in memory.
    pub memory_format: MemoryFormat,
    /// τ of the post-hoc adjustment of the logits; 0 for none.
    pub adjust_logits: f64,
}

impl ModelFile {
    pub(crate) fn write(&self, run: &Path) -> Result<(), VisionError> {
        write_json(&run.join(MODEL), self)
    }

    /// What is added to the logits, `[classes]`.
    pub(crate) fn bias(&self) -> Result<Option<Tensor>, VisionError> {
        if self.adjust_logits == 0.0 {
            return Ok(None);
        }
        let counts = ClassCounts::new(self.train_counts.clone())?;
        Ok(Some(Tensor::f_from_slice(&post_hoc_bias(&counts, self.adjust_logits))?))
    }

    /// Writes weights and description into one file.
    pub(crate) fn export(&self, path: &Path, store: &VarStore) -> Result<(), VisionError> {
        let metadata = match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(metadata)) => metadata,
            Ok(_) => serde_json::Map::new(),
            Err(error) => return Err(VisionError::on(path, "describe")(error)),
        };
        Ok(save_model(path, store, &metadata)?)
    }
}

/// Writes JSON whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), VisionError> {
    write_text(path, &serde_json::to_string_pretty(value).map_err(VisionError::on(path, "write"))?)
}

/// Writes a text and the end of its last line, whole or not at all.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), VisionError> {
    write_atomically(path, |file| writeln!(file, "{text}")).map_err(VisionError::on(path, "write"))
}

/// The description in an exported model.
fn exported(path: &Path) -> Result<ModelFile, VisionError> {
    let metadata = serde_json::Value::Object(read_metadata(path)?);
    serde_json::from_value(metadata).map_err(VisionError::on(path, "read its description"))
}

/// Where a finished run keeps the weights of its results.
pub(crate) fn weights_path(run: &Path) -> PathBuf {
    run.join(WEIGHTS)
}

/// A trained model that predicts.
#[derive(Debug)]
pub struct SavedModel {
    /// What it is.
    pub file: ModelFile,
    /// The file that its weights are from.
    pub weights: PathBuf,
    network: Network,
    store: VarStore,
    bias: Option<Tensor>,
}

impl SavedModel {
    /// The model of a run folder (of its results, or of `checkpoint`, which may be an exported model too), or an exported one.
    ///
    /// # Errors
    /// Names the file that is missing or does not fit, and the first parameter of another model; a checkpoint beside a file.
    pub fn load(run_or_file: &Path, checkpoint: Option<&Path>) -> Result<Self, VisionError> {
        if run_or_file.is_file() {
            return match checkpoint {
                None => Self::with(exported(run_or_file)?, run_or_file, false),
                Some(path) => Err(VisionError::Usage(format!(
                    "--checkpoint {} is for a run folder; {} is an exported model with weights of its own",
                    path.display(),
                    run_or_file.display()
                ))),
            };
        }
        let file = Self::description(run_or_file)?;
        let weights = weights_path(run_or_file);
        match checkpoint {
            // Its own description says what it is.
            Some(path) if read_metadata(path).is_ok() => Self::with(exported(path)?, path, false),
            Some(path) => Self::with(file, path, true),
            // The method may have made another classifier than was trained.
            None if weights.exists() => Self::with(exported(&weights)?, &weights, false),
            // Interrupted: the best so far, or what there is.
            None => {
                let best = run_or_file.join("checkpoints/best.safetensors");
                let last = run_or_file.join("checkpoints/last.safetensors");
                Self::with(file, if best.exists() { &best } else { &last }, true)
            }
        }
    }

    /// The description in a run folder.
    ///
    /// # Errors
    /// There is none.
    pub fn description(run: &Path) -> Result<ModelFile, VisionError> {
        let path = run.join(MODEL);
        let text = fs::read_to_string(&path).map_err(|error| VisionError::File {
            path: path.clone(),
            reason: format!("cannot read: {error}; a run folder of `toolkit vision` has it"),
        })?;
        serde_json::from_str(&text)
            .map_err(|error| VisionError::on(&path, "parse")(format!("{error}; is this a run of `toolkit vision`?")))
    }

    fn with(file: ModelFile, weights: &Path, checkpoint: bool) -> Result<Self, VisionError> {
        let store = VarStore::new(Device::Cpu);
        let network = Network::new(&store, &file.network, 0)?;
        if checkpoint {
            checkpoint::load_weights(weights, &store)?;
        } else {
            let options =
                LoadOptions { strict: true, classifier: ClassifierWeights::Load, other_name: None, translate: None };
            load_weights(weights, &store, &options)?;
        }
        let bias = file.bias()?;
        Ok(Self { file, weights: weights.to_owned(), network, store, bias })
    }

    /// Replaces the run's post-hoc adjustment of the logits.
    ///
    /// # Errors
    /// As [`SavedModel::load`].
    pub fn adjust_logits(&mut self, tau: f64) -> Result<(), VisionError> {
        self.file.adjust_logits = tau;
        self.bias = self.file.bias()?;
        Ok(())
    }

    /// Logits of the test images of a split, as far as they can be used.
    ///
    /// # Errors
    /// Images that cannot be used, unless they are skipped; all of them in any case.
    pub fn logits(&self, split: Split, options: LoaderOptions) -> Result<Logits, VisionError> {
        self.logits_as(split, self.file.augment.clone(), options)
    }

    fn logits_as(&self, split: Split, augment: Augment, options: LoaderOptions) -> Result<Logits, VisionError> {
        let options = LoaderOptions { layout: crate::train::layout(self.file.memory_format), ..options };
        let loader = Loader::new(Arc::new(split), augment, options)?;
        let evaluate = Evaluate {
            network: &self.network,
            scale: None,
            precision: self.file.precision,
            device: Device::Cpu,
            bias: self.bias.as_ref(),
            group: &Group::alone(),
        };
        let (logits, labels) = evaluate.logits(&loader)?.unwrap_or_default();
        match labels.is_empty() {
            true => Err(VisionError::no_usable_image("test", loader.skipped())),
            false => Ok(Logits { logits, labels, skipped: loader.skipped() }),
        }
    }

    /// The likeliest classes of each image file with their likelihoods, at most `top`, the likeliest first. Where the
    /// model was trained on images of one size (CIFAR's), a file's shorter side is scaled to it.
    ///
    /// # Errors
    /// An image that cannot be used, named.
    pub fn predict(&self, images: &[PathBuf], top: usize) -> Result<Vec<Vec<(usize, f64)>>, VisionError> {
        let split = Split { images: Images::Files(images.to_vec()), labels: vec![0; images.len()] };
        let mut augment = self.file.augment.clone();
        if let Crop::Center { resize: resize @ None, size } = &mut augment.crop {
            *resize = Some(*size);
        }
        let Logits { logits, .. } = self.logits_as(split, augment, LoaderOptions::default())?;
        let classes = self.file.classes.len();
        logits
            .chunks_exact(classes)
            .map(|row| {
                let likelihoods = Tensor::f_from_slice(row)?.f_softmax(0, Kind::Double)?;
                let likelihoods = Vec::<f64>::try_from(likelihoods)?;
                let mut order: Vec<usize> = (0..classes).collect();
                order.sort_by(|&a, &b| likelihoods[b].total_cmp(&likelihoods[a]));
                Ok(order.into_iter().take(top).map(|class| (class, likelihoods[class])).collect())
            })
            .collect()
    }

    /// Writes the model into one file that [`SavedModel::load`] takes, with torchvision's parameter names.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn export(&self, path: &Path) -> Result<(), VisionError> {
        self.file.export(path, &self.store)
    }
}

/// What a model makes of images.
#[derive(Debug)]
pub struct Logits {
    /// `[n, classes]`.
    pub logits: Vec<f32>,
    /// The class of each of the n images.
    pub labels: Vec<usize>,
    /// The images that were left out.
    pub skipped: Vec<Skipped>,
}

/// The images to score a model on.
#[derive(Debug)]
pub struct TestImages {
    /// The images.
    pub split: Split,
    /// Those that are not there, and were left out.
    pub missing: Vec<MissingImage>,
    /// What should be looked at: lists whose classes have other names, which may only be spelt otherwise.
    pub warning: Option<String>,
}

/// Which images a model is scored on: of `test_list`, of `data` in the layout of `dataset`, or of what its run trained on.
#[derive(Clone, Debug, Default)]
pub struct TestRequest {
    /// The layout of `data`.
    pub dataset: Option<DatasetKind>,
    /// A data set.
    pub data: Option<PathBuf>,
    /// A list of images.
    pub test_list: Option<PathBuf>,
    /// Where the paths in lists start.
    pub images: Option<PathBuf>,
    /// With [`OnBadImage::Skip`], lists may name images that are not there.
    pub on_bad_image: OnBadImage,
}

/// The images to score a run's model on, whose classes have these names.
///
/// # Errors
/// Data that cannot be read, or have other classes; an exported model without a word on where images are.
pub fn test_images(run: &Path, classes: &[String], request: &TestRequest) -> Result<TestImages, VisionError> {
    let TestRequest { dataset, data, test_list, images, on_bad_image } = request;
    let stored = if run.is_dir() { StoredData::read(run)? } else { StoredData::default() };
    let stored_images = || stored.images.clone().filter(|_| data.is_none() && test_list.is_none());
    let options = crate::data::LoadOptions {
        images: images.clone().or_else(stored_images),
        allow_empty_classes: true,
        on_bad_image: *on_bad_image,
        seed: stored.subset_seed,
    };
    if let Some(list) = test_list {
        let (split, missing) = Split::from_list(list, classes.len(), &options)?;
        return Ok(TestImages { split, missing, warning: None });
    }
    let Some(kind) = dataset.or(stored.dataset) else {
        return Err(VisionError::Usage(format!(
            "{} is an exported model, which does not say where images are; give --dataset and --data, or --test-list",
            run.display()
        )));
    };
    if let Some(folder) = images.as_deref().filter(|_| !kind.is_listed()) {
        return Err(VisionError::Usage(format!("--images {} is for lists of images, not {kind}", folder.display())));
    }
    let path = data.as_deref().or(stored.data.as_deref());
    let set = match stored.lists().filter(|_| kind == DatasetKind::List && path.is_none()) {
        Some(files) => ImageSet::from_lists(&kind.name(), &files, &options)?,
        None => ImageSet::load_with(kind, path, &options)?,
    };
    if set.classes.len() != classes.len() {
        return Err(VisionError::Usage(format!(
            "{}: {} classes, but the model was trained on {}",
            set.name,
            set.classes.len(),
            classes.len()
        )));
    }
    let mut names = set.classes.iter().zip(classes).enumerate();
    let other = names.find(|(_, (found, known))| found != known);
    let warning = other.map(|(class, (found, known))| {
        format!(
            "{}: class {class} is named {found:?}, but {known:?} in the model; predictions are scored by the numbers of classes",
            set.name
        )
    });
    match warning {
        // The names of lists are what their paths happen to begin with.
        Some(warning) if !kind.is_listed() => Err(VisionError::Usage(format!(
            "{warning}, so the data must have the classes that it was trained on, in the same order"
        ))),
        warning => Ok(TestImages { split: set.test, missing: set.missing.test, warning }),
    }
}

/// Where a run's images came from, as its config.toml says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct StoredData {
    dataset: Option<DatasetKind>,
    data: Option<PathBuf>,
    images: Option<PathBuf>,
    train_list: Option<PathBuf>,
    test_list: Option<PathBuf>,
    val_list: Option<PathBuf>,
    #[serde(default)]
    subset_seed: u64,
}

impl StoredData {
    /// Lists that were named one by one.
    fn lists(&self) -> Option<ListFiles> {
        let (train, test) = (self.train_list.clone()?, self.test_list.clone()?);
        Some(ListFiles { train, validation: self.val_list.clone(), test })
    }

    fn read(run: &Path) -> Result<Self, VisionError> {
        let text = RunFolder::stored_config(run)?;
        toml::from_str(&text).map_err(VisionError::on(&run.join("config.toml"), "parse"))
    }
}
