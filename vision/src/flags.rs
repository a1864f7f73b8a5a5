//! The command-line flags of runs of image classification.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use imbalance_evaluation::longtail::Groups;
use imbalance_train::layout::channels_last;
use imbalance_train::normalised_classifier::parse_cosine_scale;
use imbalance_train::{Losses, NormalisedClassifier, TrainFlags};
use serde::{Deserialize, Serialize};
use tch::TchError;
use tch::nn::VarStore;

use crate::VisionError;
use crate::augment::{OnBadImage, Preset};
use crate::data::list::ListFiles;
use crate::data::{DatasetKind, HoldOut, ImageSet, LoadOptions, LongTail, Profile, SubsetManifest, SubsetRng};
use crate::method::MethodFlags;
use crate::model::ModelKind;

/// All flags of a training, whose names are a recipe's keys too.
#[derive(Clone, Debug, clap::Args, Serialize)]
pub struct VisionFlags {
    /// The images.
    #[command(flatten)]
    #[serde(flatten)]
    pub data: DataFlags,
    /// The model.
    #[command(flatten)]
    #[serde(flatten)]
    pub model: ModelFlags,
    /// How it is trained.
    #[command(flatten)]
    #[serde(flatten)]
    pub method: MethodFlags,
    /// The training loop.
    #[command(flatten)]
    #[serde(flatten)]
    pub train: TrainFlags,
}

impl VisionFlags {
    /// Flags that do not fit together, as far as they tell without the data.
    ///
    /// # Errors
    /// [`VisionError::Usage`], naming the flag.
    pub fn check(&self, losses: &Losses) -> Result<(), VisionError> {
        self.data.check()?;
        self.method.check(&self.train, losses)
    }
}

/// `--subset-rng`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubsetRngFlag {
    /// ChaCha8 from --subset-seed
    Seeded,
    /// As the common baseline's NumPy code chooses with seed 0
    Numpy,
}

/// `--augment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AugmentFlag {
    /// What suits the data set
    Auto,
    /// Crop of 32 from the padded image, mirrored half of the time
    Cifar,
    /// Random resized crop of 224, mirrored, colours changed
    Imagenet,
    /// The same, with the channel statistics of iNaturalist 2018
    Inaturalist,
}

/// Where the images come from and which are trained on.
#[derive(Clone, Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Data")]
#[serde(rename_all = "kebab-case")]
pub struct DataFlags {
    /// The data set, or the layout of one's own; list where --train-list is given
    #[arg(
        long,
        value_enum,
        default_value_t = DatasetKind::Synthetic,
        default_value_if("train_list", clap::builder::ArgPredicate::IsPresent, "list")
    )]
    pub dataset: DatasetKind,

    /// Folder or archive of the data set
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,

    /// A list of training images, `path label` a line, in the place of a folder with lists of fixed names; needs --test-list
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_list: Option<PathBuf>,

    /// The list of test images that goes with --train-list
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_list: Option<PathBuf>,

    /// A list of images to choose the best epoch by, beside --train-list and --test-list
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_list: Option<PathBuf>,

    /// Folder that the paths in list files start from [default: that of the lists]
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,

    /// Makes the training images long-tailed: images of the largest class over those of the smallest; 1 takes as many of
    /// every class, 0 all that there are
    #[arg(long, allow_negative_numbers = true, value_name = "R", default_value_t = 0.0, value_parser = zero_or_from_one)]
    pub imbalance_ratio: f64,

    /// The shape of the tail
    #[arg(long, value_enum, default_value_t = Profile::Exponential)]
    pub imbalance_profile: Profile,

    /// Images of the largest class [default: all that it has]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_class: Option<NonZeroUsize>,

    /// What chooses the images of the long tail
    #[arg(long, value_enum, default_value_t = SubsetRngFlag::Seeded)]
    pub subset_rng: SubsetRngFlag,

    /// Seed of that choice, of held-out images and of generated ones; not --seed, so that runs with several seeds train
    /// on the same images
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    pub subset_seed: u64,

    /// Images of each class kept from training to choose the best epoch by; 0 chooses by the test images, as is common,
    /// and says so
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub hold_out: usize,

    /// Take classes without training images
    #[arg(long)]
    pub allow_empty_classes: bool,

    /// Groups by training images: many-shot classes have more than the first number, few-shot fewer than the second
    #[arg(long, value_name = "N,N", default_value = "100,20")]
    pub groups: Thresholds,

    /// Groups by rank instead: how many classes are many-, medium- and few-shot
    #[arg(long, value_name = "N,N,N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_classes: Option<Ranks>,

    /// Augmentation of training images
    #[arg(long, value_enum, default_value_t = AugmentFlag::Auto)]
    pub augment: AugmentFlag,

    /// What to do with image files that cannot be decoded, or that a list names and that are not there
    #[arg(long, value_enum, default_value_t = OnBadImage::Fail)]
    pub on_bad_image: OnBadImage,

    /// Threads that decode image files [default: --threads]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader_threads: Option<u64>,
}

/// Two class counts.
// Types of their own and not lists, which clap would append to when a flag overrides a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Thresholds(pub [u64; 2]);

/// Three numbers of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Ranks(pub [usize; 3]);

fn numbers<T: std::str::FromStr + Copy, const N: usize>(text: &str, must: &str) -> Result<[T; N], String> {
    let parts: Option<Vec<T>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    parts.and_then(|parts| parts.try_into().ok()).ok_or_else(|| must.to_owned())
}

impl std::str::FromStr for Thresholds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of = numbers(text, "must be two whole numbers, as in 100,20")?;
        if of[0] < of[1] { Err("the first number must not be below the second".into()) } else { Ok(Self(of)) }
    }
}

impl std::str::FromStr for Ranks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(numbers(text, "must be three whole numbers, as in 3,4,3")?))
    }
}

impl From<Thresholds> for String {
    fn from(Thresholds([many, few]): Thresholds) -> Self {
        format!("{many},{few}")
    }
}

impl From<Ranks> for String {
    fn from(Ranks([many, medium, few]): Ranks) -> Self {
        format!("{many},{medium},{few}")
    }
}

impl DataFlags {
    fn check(&self) -> Result<(), VisionError> {
        self.lists()?;
        if let (Some(largest), 0.0) = (self.largest_class, self.imbalance_ratio) {
            return Err(VisionError::Usage(format!(
                "--largest-class {largest} is for a long tail, which --imbalance-ratio 0 does not make; give a ratio, 1 for as \
                 many images of every class"
            )));
        }
        self.group_rule().map(drop)
    }

    /// The lists that are named one by one, if they are.
    ///
    /// # Errors
    /// One without the other; another data set, or a folder of lists, beside them.
    fn lists(&self) -> Result<Option<ListFiles>, VisionError> {
        let wrong = |message: String| Err(VisionError::Usage(message));
        let (train, test) = match (&self.train_list, &self.test_list) {
            (Some(train), Some(test)) => (train, test),
            (Some(train), None) => {
                return wrong(format!(
                    "--train-list {} needs --test-list FILE, the images to test on",
                    train.display()
                ));
            }
            (None, test) => {
                let others = [("--test-list", test), ("--val-list", &self.val_list)];
                let Some((flag, list)) = others.iter().find_map(|(flag, list)| Some((flag, list.as_ref()?))) else {
                    return Ok(None);
                };
                return wrong(format!("{flag} {} needs --train-list FILE, the images to train on", list.display()));
            }
        };
        if let (Some(list), 1..) = (&self.val_list, self.hold_out) {
            return wrong(format!(
                "--val-list {} and --hold-out {} both say which images epochs are chosen by; give one of them",
                list.display(),
                self.hold_out
            ));
        }
        if self.dataset != DatasetKind::List {
            return wrong(format!("--train-list {} is for --dataset list, not {}", train.display(), self.dataset));
        }
        if let Some(data) = &self.data {
            return wrong(format!(
                "--data {} names a folder with lists and --train-list {} a list; give one of them, and with lists --images for \
                 the folder of the images",
                data.display(),
                train.display()
            ));
        }
        Ok(Some(ListFiles { train: train.clone(), validation: self.val_list.clone(), test: test.clone() }))
    }

    /// How classes are grouped.
    ///
    /// # Errors
    /// Groups that overlap.
    pub fn group_rule(&self) -> Result<Groups, VisionError> {
        let Thresholds([many_above, few_below]) = self.groups;
        match self.group_classes {
            Some(Ranks([many, medium, few])) => Ok(Groups::by_rank(many, medium, few)),
            None => Groups::by_count(many_above, few_below)
                .map_err(|error| VisionError::Usage(format!("--groups: {error}"))),
        }
    }

    /// Reads or generates the images and makes them long-tailed.
    ///
    /// # Errors
    /// Flags about lists that do not fit together; see [`crate::data::DataError`].
    pub fn load(&self) -> Result<(ImageSet, Option<SubsetManifest>), VisionError> {
        let options = LoadOptions {
            images: self.images.clone(),
            allow_empty_classes: self.allow_empty_classes,
            on_bad_image: self.on_bad_image,
            seed: self.subset_seed,
        };
        let set = match self.lists()? {
            Some(files) => ImageSet::from_lists(&self.dataset.name(), &files, &options)?,
            None => ImageSet::load_with(self.dataset, self.data.as_deref(), &options)?,
        };
        if self.imbalance_ratio == 0.0 {
            return Ok((set, None));
        }
        let rng = match self.subset_rng {
            SubsetRngFlag::Seeded => SubsetRng::Seeded(self.subset_seed),
            SubsetRngFlag::Numpy => SubsetRng::Numpy,
        };
        let n_max = self.largest_class.map(NonZeroUsize::get);
        let tail = LongTail { ratio: self.imbalance_ratio, profile: self.imbalance_profile, n_max, rng };
        let (set, manifest) = set.make_long_tailed(&tail)?;
        Ok((set, Some(manifest)))
    }

    /// The held-out part that `--hold-out` asks for.
    pub fn held_out(&self) -> Option<HoldOut> {
        (self.hold_out > 0).then_some(HoldOut::PerClass(self.hold_out))
    }

    /// How images are augmented and normalised.
    pub fn preset(&self) -> Preset {
        match (self.augment, self.dataset) {
            (AugmentFlag::Cifar, _) => Preset::cifar(),
            (AugmentFlag::Imagenet, _) => Preset::imagenet(),
            (AugmentFlag::Inaturalist, _) => Preset::inaturalist(),
            (AugmentFlag::Auto, DatasetKind::Cifar10 | DatasetKind::Cifar100 | DatasetKind::Synthetic) => {
                Preset::cifar()
            }
            (AugmentFlag::Auto, DatasetKind::Inaturalist2018) => Preset::inaturalist(),
            (AugmentFlag::Auto, _) => Preset::imagenet(),
        }
    }
}

/// `--memory-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryFormat {
    /// The channels of a pixel side by side (NHWC)
    ChannelsLast,
    /// One plane a channel (NCHW)
    ChannelsFirst,
}

impl MemoryFormat {
    /// Lays the weights of convolutions out to suit images of this format.
    ///
    /// # Errors
    /// libtorch's.
    pub fn lay_out(self, store: &VarStore) -> Result<(), TchError> {
        match self {
            Self::ChannelsLast => channels_last(store),
            Self::ChannelsFirst => Ok(()),
        }
    }
}

/// The model and its first values.
#[derive(Clone, Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Model")]
#[serde(rename_all = "kebab-case")]
pub struct ModelFlags {
    /// Architecture
    #[arg(long, value_enum, default_value_t = ModelKind::ResNet32)]
    pub model: ModelKind,

    /// Weights to start from (.safetensors, or .pth of torchvision); a classifier for other classes is left out
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,

    /// Whether logits are scaled cosines of unit features and unit class vectors, without bias
    #[arg(long, value_enum, default_value_t = NormalisedClassifier::Auto)]
    pub normalised_classifier: NormalisedClassifier,

    /// Logits over cosines of a normalised classifier, for predictions and for losses that do not scale the cosines
    /// themselves [default: the scale of the loss that asks for the classifier, or 30]
    #[arg(long, allow_negative_numbers = true, value_name = "SCALE", value_parser = parse_cosine_scale)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine_scale: Option<f64>,

    /// How activations lie in memory
    #[arg(long, value_enum, default_value_t = MemoryFormat::ChannelsLast)]
    pub memory_format: MemoryFormat,
}

fn zero_or_from_one(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&number: &f64| number.is_finite() && (number == 0.0 || number >= 1.0));
    number.ok_or_else(|| "must be 0 or a number of at least 1".into())
}
