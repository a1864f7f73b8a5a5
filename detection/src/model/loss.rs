//! What the network is trained with (Lin et al., 2017, sections 3 and 4.1).

use std::cell::Cell;

use imbalance_core::ClassCounts;
use imbalance_core::host::{Loss, SigmoidHead};
use imbalance_train::heads::{HeadOptions, LossPath, sigmoid_loss_sum};
use imbalance_train::transfer::sent;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, nn};

use super::ModelError;
use super::anchors::Anchors;
use super::coder::encode_all;
use super::head::HeadOutput;
use super::matcher::{IGNORED, MatchOptions, match_anchors};

/// How a class loss sees classes (`--loss-classes`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassView {
    /// Two: objects, which are rare, and background (the paper's section 3)
    #[default]
    Binary,
    /// Each class of objects, and background, for long-tailed sets such as LVIS
    PerClass,
}

impl ClassView {
    /// The counts that a loss is made for, from anchors that answer for objects of each class and for none.
    ///
    /// # Errors
    /// The counts' own.
    pub fn counts(self, objects: &[u64], background: u64) -> Result<ClassCounts, imbalance_core::LossError> {
        ClassCounts::new(match self {
            Self::Binary => vec![objects.iter().sum(), background],
            Self::PerClass => objects.iter().copied().chain([background]).collect(),
        })
    }
}

/// The loss of box offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoxLoss {
    /// Absolute differences
    #[default]
    L1,
    /// Quadratic below 0.11 (the original Detectron's)
    SmoothL1,
}

/// Where the quadratic part of [`BoxLoss::SmoothL1`] ends.
const SMOOTH_BELOW: f64 = 0.11;

/// What losses are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normaliser {
    /// A running mean of the foreground anchors of batches, from 100, at a rate of 0.1 (Detectron2)
    #[default]
    Running,
    /// The foreground anchors of the batch, at least one (the paper)
    Batch,
}

const NORMALISER_START: f64 = 100.0;
const NORMALISER_RATE: f64 = 0.1;

/// The objects of one image, in pixels of the resized image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageTargets {
    /// Corners.
    pub boxes: Vec<[f32; 4]>,
    /// Index of the class of each.
    pub classes: Vec<usize>,
}

/// What the anchors of a batch should say.
#[derive(Debug)]
pub struct Targets {
    /// The class, [`SigmoidHead::BACKGROUND`] or [`SigmoidHead::IGNORED`] of each row of the levels' logits.
    levels: Vec<Vec<i64>>,
    /// Rows of the levels' offsets that answer for a box, and the offsets they should give.
    foreground: Vec<(Vec<i64>, Vec<f32>)>,
    /// Foreground anchors of the batch.
    pub count: usize,
}

impl Targets {
    /// Matches the images of a batch with the anchors that they share.
    pub fn new(anchors: &Anchors, images: &[ImageTargets], options: &MatchOptions) -> Self {
        let per_level: Vec<usize> = anchors
            .levels
            .iter()
            .zip(&anchors.shapes)
            .map(|(level, shapes)| level.positions() * shapes.len())
            .collect();
        let mut targets = Self {
            levels: per_level.iter().map(|count| Vec::with_capacity(count * images.len())).collect(),
            foreground: vec![Default::default(); per_level.len()],
            count: 0,
        };
        for image in images {
            let matches = match_anchors(anchors, &image.boxes, options);
            targets.count += matches.foreground;
            let mut first = 0;
            for (index, &count) in per_level.iter().enumerate() {
                targets.add(
                    index,
                    &matches.of_anchor[first..first + count],
                    &anchors.boxes[first..first + count],
                    image,
                );
                first += count;
            }
        }
        targets
    }

    fn add(&mut self, level: usize, of_anchor: &[i64], anchors: &[[f32; 4]], image: &ImageTargets) {
        let (classes, (rows, offsets)) = (&mut self.levels[level], &mut self.foreground[level]);
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for (&of, &anchor) in of_anchor.iter().zip(anchors) {
            match usize::try_from(of) {
                Ok(of) => {
                    rows.push(classes.len() as i64);
                    from.push(anchor);
                    to.push(image.boxes[of]);
                    classes.push(image.classes[of] as i64);
                }
                Err(_) if of == IGNORED => classes.push(SigmoidHead::IGNORED),
                Err(_) => classes.push(SigmoidHead::BACKGROUND),
            }
        }
        offsets.extend(encode_all(&from, &to));
    }

    /// Anchors that answer for objects of each class, and for none.
    pub fn class_counts(&self, classes: usize) -> (Vec<u64>, u64) {
        let (mut objects, mut background) = (vec![0; classes], 0);
        for &class in self.levels.iter().flatten() {
            match usize::try_from(class) {
                Ok(class) => objects[class] += 1,
                Err(_) => background += u64::from(class == SigmoidHead::BACKGROUND),
            }
        }
        (objects, background)
    }
}

/// The losses of a batch, not yet divided.
#[derive(Debug)]
pub struct RetinaLoss {
    /// Sum over the anchors that are not ignored, and over classes.
    pub class: Tensor,
    /// Sum over the foreground anchors.
    pub boxes: Tensor,
}

impl RetinaLoss {
    /// The losses of what the network said. Level by level, so that nothing as large as all logits is made; the gradient takes
    /// the logits' own memory.
    ///
    /// # Errors
    /// Logits that are not finite; a loss made for other classes; libtorch's.
    pub fn new(
        outputs: Vec<HeadOutput>,
        targets: &Targets,
        loss: &Loss,
        box_loss: BoxLoss,
        path: LossPath,
    ) -> Result<Self, ModelError> {
        let device = outputs.first().map_or(Device::Cpu, |output| output.logits.device());
        let options = HeadOptions { path, ..HeadOptions::default() };
        let (mut logits, mut boxes) = (Vec::new(), Tensor::f_zeros([], (Kind::Float, device))?);
        for (output, (rows, offsets)) in outputs.into_iter().zip(&targets.foreground) {
            if !rows.is_empty() {
                let rows = sent(&Tensor::f_from_slice(rows)?, device)?;
                let said = output.offsets.f_reshape([-1, 4])?.f_index_select(0, &rows)?;
                let kind = if said.kind() == Kind::Double { Kind::Double } else { Kind::Float };
                let said = said.f_to_kind(kind)?;
                let expected = sent(&Tensor::f_from_slice(offsets)?.f_view([-1, 4])?, device)?.f_to_kind(kind)?;
                boxes = boxes.f_add(&box_loss.sum(&said, &expected)?)?;
            }
            let classes = output.logits.size()[2];
            logits.push(output.logits.f_reshape([-1, classes])?);
        }
        // A loss of all logits at once must see them at once.
        let batches: Vec<(Tensor, Vec<i64>)> = if loss.is_whole_tensor() {
            vec![(Tensor::f_cat(&logits, 0)?, targets.levels.concat())]
        } else {
            logits.into_iter().zip(targets.levels.iter().cloned()).collect()
        };
        let mut class = Tensor::f_zeros([], (Kind::Float, device))?;
        for (logits, classes) in batches {
            let classes = sent(&Tensor::f_from_slice(&classes)?, device)?;
            class = class.f_add(&sigmoid_loss_sum(loss, logits, &classes, &options)?)?;
        }
        Ok(Self { class, boxes })
    }
}

impl BoxLoss {
    fn sum(self, said: &Tensor, expected: &Tensor) -> Result<Tensor, ModelError> {
        let reduction = tch::Reduction::Sum;
        Ok(match self {
            Self::L1 => said.f_l1_loss(expected, reduction)?,
            Self::SmoothL1 => said.f_smooth_l1_loss(expected, reduction, SMOOTH_BELOW)?,
        })
    }
}

/// The state of a [`Normaliser`], which is saved with the weights. Weights are loaded before the first batch.
#[derive(Debug)]
pub struct NormaliserState {
    kind: Normaliser,
    running: Tensor,
    /// What `running` holds since this has written it, so that a GPU need not be asked.
    written: Cell<Option<f32>>,
}

impl NormaliserState {
    /// Adds its variable to `path`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn new(path: &nn::Path, kind: Normaliser) -> Result<Self, ModelError> {
        let running = path.f_zeros_no_train("loss_normaliser", &[1])?;
        let mut first = running.shallow_clone();
        let _ = first.f_fill_(NORMALISER_START)?;
        Ok(Self { kind, running, written: Cell::new(None) })
    }

    /// What the losses of a training batch with so many foreground anchors are divided by.
    ///
    /// # Errors
    /// libtorch's.
    pub fn next(&self, foreground: usize) -> Result<f64, ModelError> {
        let foreground = foreground.max(1) as f64;
        match self.kind {
            Normaliser::Batch => Ok(foreground),
            Normaliser::Running => {
                let before = match self.written.get() {
                    Some(written) => f64::from(written),
                    None => self.running.f_double_value(&[0])?,
                };
                let now = (1.0 - NORMALISER_RATE) * before + NORMALISER_RATE * foreground;
                let _ = tch::no_grad(|| self.running.shallow_clone().f_fill_(now))?;
                self.written.set(Some(now as f32));
                Ok(f64::from(now as f32))
            }
        }
    }
}
