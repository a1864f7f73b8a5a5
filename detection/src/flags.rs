//! The command-line flags of runs of detection.

use std::path::PathBuf;

use imbalance_train::TrainFlags;
use imbalance_train::flags::numbers::{at_least_one, zero_to_one};
use imbalance_vision::flags::MemoryFormat;
use imbalance_vision::model::ModelKind;
use serde::Serialize;

use imbalance_vision::augment::OnBadImage;

use crate::data::{Checks, Colour, OnBadBox, Transform};
use crate::model::{
    AnchorConfig, AnchorRule, BackboneWeights, BoxLoss, ClassView, DetectOptions, MatchOptions, Normaliser, P6From,
    RetinaNetConfig,
};

/// All flags of a training, whose names are a recipe's keys too.
#[derive(Clone, Debug, clap::Args, Serialize)]
pub struct DetectionFlags {
    /// The images.
    #[command(flatten)]
    #[serde(flatten)]
    pub data: DataFlags,
    /// The network.
    #[command(flatten)]
    #[serde(flatten)]
    pub model: ModelFlags,
    /// What it is trained with and how detections are made.
    #[command(flatten)]
    #[serde(flatten)]
    pub detector: DetectorFlags,
    /// The training loop.
    #[command(flatten)]
    #[serde(flatten)]
    pub train: TrainFlags,
}

/// Whole numbers, separated by commas.
// A type of its own and not a list, which clap would append to when a flag overrides a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Sizes(pub Vec<usize>);

impl std::str::FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = |part: &str| match part.trim().parse() {
            Ok(size) if size > 0 => Ok(size),
            _ => Err(format!("`{part}` is not a whole number of at least 1; write 640,672,704, say")),
        };
        text.split(',').map(size).collect::<Result<_, _>>().map(Sizes)
    }
}

/// `--channels`: whose pixels the weights were trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PixelsFlag {
    /// RGB, mean 123.675/116.28/103.53, deviation 58.395/57.12/57.375
    Torchvision,
    /// BGR, mean 103.53/116.28/123.675, deviation 1
    Detectron,
}

/// Where the images come from.
#[derive(Clone, Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Data")]
#[serde(rename_all = "kebab-case")]
pub struct DataFlags {
    /// Folder in COCO's layout: annotations/instances_train2017.json, train2017/ and the same with val2017; without it
    /// images are generated
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,

    /// Training images, instead of --data
    #[arg(long, value_name = "FOLDER", requires = "train_annotations")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_images: Option<PathBuf>,

    /// Annotations of the training images
    #[arg(long, value_name = "FILE", requires = "train_images")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_annotations: Option<PathBuf>,

    /// Images to evaluate on, instead of --data
    #[arg(long, value_name = "FOLDER", requires = "val_annotations")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_images: Option<PathBuf>,

    /// Annotations of the images to evaluate on
    #[arg(long, value_name = "FILE", requires = "val_images")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_annotations: Option<PathBuf>,

    /// Evaluate on the training images too, at the end
    #[arg(long)]
    pub evaluate_train: bool,

    /// Short sides that training images are resized to, one drawn for each
    #[arg(long, value_name = "N,N", default_value = "640,672,704,736,768,800")]
    pub short_sides: Sizes,

    /// Short side of images to evaluate
    #[arg(long, value_name = "N", default_value_t = 800, value_parser = at_least_one)]
    pub short_side: usize,

    /// Longest side of any image
    #[arg(long, value_name = "N", default_value_t = 1333, value_parser = at_least_one)]
    pub long_side: usize,

    /// Share of training images that are mirrored
    #[arg(long, value_name = "P", default_value_t = 0.5, value_parser = zero_to_one)]
    pub flip: f64,

    /// Draws images with rare classes more often: classes in a smaller share of the images than this count as rare (Gupta et
    /// al., 2019, who take 0.001); 0 draws every image once an epoch
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = zero_to_one)]
    pub repeat_threshold: f64,

    /// What to do with boxes that cannot be trained on
    #[arg(long, value_enum, default_value_t = OnBadBox::Fail)]
    pub on_bad_box: OnBadBox,

    /// What to do with images that are missing, cannot be decoded or have another size than the annotations say
    #[arg(long, value_enum, default_value_t = OnBadImage::Fail)]
    pub on_bad_image: OnBadImage,

    /// Seed of generated images; not --seed, so that runs with several seeds train on the same
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    pub data_seed: u64,

    /// Threads that decode images [default: --threads]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader_threads: Option<u64>,
}

/// The network and its first values.
#[derive(Clone, Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Model")]
#[serde(rename_all = "kebab-case")]
pub struct ModelFlags {
    /// Backbone: resnet-18, resnet-50 or resnext-50-32x4d
    #[arg(long, value_enum, default_value_t = ModelKind::ResNet50)]
    pub backbone: ModelKind,

    /// Weights to start from, of a whole detector or of a backbone, named as torchvision's or Detectron2's (.safetensors or .pth)
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,

    /// Whose layout the backbone has
    #[arg(long, value_enum, default_value_t)]
    pub backbone_weights: BackboneWeights,

    /// Colours and scale of pixels
    #[arg(long, value_enum, default_value_t = PixelsFlag::Torchvision)]
    pub pixels: PixelsFlag,

    /// Train the backbone's batch normalisations, as without --weights; else they stay affine maps
    #[arg(long, value_name = "BOOL", default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub train_norm: bool,

    /// Parts of the backbone that are not trained: the stem, then each stage
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=5))]
    pub frozen_parts: u64,

    /// Channels of the pyramid and of the head
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..))]
    pub channels: u64,

    /// Convolutions of each of the head's towers
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub tower: u64,

    /// What the pyramid's sixth level is made of
    #[arg(long, value_enum, default_value_t)]
    pub p6_from: P6From,

    /// Sizes of the smallest anchors, by level
    #[arg(long, value_name = "N,N", default_value = "32,64,128,256,512")]
    pub anchor_sizes: Sizes,

    /// Whose rounding anchors follow
    #[arg(long, value_enum, default_value_t)]
    pub anchor_rule: AnchorRule,

    /// The probability that every class starts with
    #[arg(long, value_name = "P", default_value_t = 0.01, value_parser = zero_to_one)]
    pub prior: f64,

    /// How activations lie in memory
    #[arg(long, value_enum, default_value_t = MemoryFormat::ChannelsLast)]
    pub memory_format: MemoryFormat,
}

/// Losses and detections.
#[derive(Clone, Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Detector")]
#[serde(rename_all = "kebab-case")]
pub struct DetectorFlags {
    /// Classes as the class loss sees them
    #[arg(long, value_enum, default_value_t)]
    pub loss_classes: ClassView,

    /// Loss of box offsets
    #[arg(long, value_enum, default_value_t)]
    pub box_loss: BoxLoss,

    /// What the losses of a batch are divided by
    #[arg(long, value_enum, default_value_t)]
    pub normaliser: Normaliser,

    /// Overlap from which on an anchor answers for an object
    #[arg(long, value_name = "IOU", default_value_t = 0.5, value_parser = zero_to_one)]
    pub foreground_overlap: f64,

    /// Overlap below which an anchor is background
    #[arg(long, value_name = "IOU", default_value_t = 0.4, value_parser = zero_to_one)]
    pub background_overlap: f64,

    /// Least score of a detection
    #[arg(long, value_name = "P", default_value_t = 0.05, value_parser = zero_to_one)]
    pub score_above: f64,

    /// Overlap above which the lesser of two detections of a class is dropped
    #[arg(long, value_name = "IOU", default_value_t = 0.5, value_parser = zero_to_one)]
    pub nms_overlap: f64,

    /// Detections of an image
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    pub most_detections: usize,

    /// Steps of the whole run, instead of --epochs
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub iterations: usize,

    /// Steps between evaluations; 0 for a pass over the training images
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub eval_every: usize,

    /// Images of a step that --iterations, --eval-every, --warmup-steps and --step-after are counted for: with another number
    /// all four are scaled so that the run sees as many images; 0 to take them as they are
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub schedule_batch: usize,
}

impl DataFlags {
    /// Which faults of the data are errors.
    pub fn checks(&self) -> Checks {
        Checks { on_bad_box: self.on_bad_box, on_bad_image: self.on_bad_image }
    }
}

impl DetectionFlags {
    /// The network for so many classes.
    pub fn network(&self, classes: usize) -> RetinaNetConfig {
        let ModelFlags { backbone, backbone_weights, train_norm, channels, tower, p6_from, prior, .. } = self.model;
        RetinaNetConfig {
            backbone,
            classes: classes as i64,
            backbone_weights,
            frozen_norm: !train_norm,
            frozen_parts: self.model.frozen_parts as usize,
            channels: channels as i64,
            tower: tower as usize,
            p6_from,
            anchors: AnchorConfig {
                sizes: self.model.anchor_sizes.0.iter().map(|&size| size as f64).collect(),
                rule: self.model.anchor_rule,
                ..AnchorConfig::default()
            },
            prior,
            ..RetinaNetConfig::default()
        }
    }

    /// How training images are prepared.
    pub fn training_transform(&self) -> Transform {
        Transform { short_sides: self.data.short_sides.0.clone(), flip: self.data.flip, ..self.evaluation_transform() }
    }

    /// How images are prepared for evaluation.
    pub fn evaluation_transform(&self) -> Transform {
        let colour = match self.model.pixels {
            PixelsFlag::Torchvision => Colour::TORCHVISION,
            PixelsFlag::Detectron => Colour::DETECTRON,
        };
        let (short, long_side) = (self.data.short_side, self.data.long_side);
        Transform { short_sides: vec![short], long_side, ..Transform::evaluate(colour) }
    }

    /// When anchors answer for objects.
    pub fn matching(&self) -> MatchOptions {
        MatchOptions {
            background_below: self.detector.background_overlap as f32,
            foreground_from: self.detector.foreground_overlap as f32,
            low_quality: true,
        }
    }

    /// How detections are made.
    pub fn detecting(&self) -> DetectOptions {
        DetectOptions {
            score_above: self.detector.score_above as f32,
            overlap: self.detector.nms_overlap as f32,
            most: self.detector.most_detections,
            ..DetectOptions::default()
        }
    }
}
