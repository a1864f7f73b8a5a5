//! A detector as the training loop sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbalance_core::host::{HeadError, Loss};
use imbalance_evaluation::coco::{self, GroundTruth, Options, Stats};
use imbalance_train::heads::{LossHeadError, LossPath};
use imbalance_train::losses::MadeLosses;
use imbalance_train::transfer::sent;
use imbalance_train::{Autocast, BatchLoss, Goal, Group, LossPhase, Precision, Share, Step, Task, TrainError};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use crate::DetectionError;
use crate::data::{
    Batch, Dataset, LoadError, LoadedBatch, LoadedImage, Loader, LoaderOptions, Sampler, SamplerState, Skipped,
    Transform, evaluation_batches,
};
use crate::model::{
    Anchors, BoxLoss, DetectOptions, Detection, HeadOutput, ImageTargets, MatchOptions, ModelError, NormaliserState,
    RetinaLoss, RetinaNet, Targets, detect,
};
use crate::schedule::Rounds;

/// The network with its data and losses.
pub(crate) struct DetectionTask<'a> {
    pub store: &'a VarStore,
    pub network: &'a RetinaNet,
    pub loading: Loading,
    pub sampler: &'a Sampler,
    pub rounds: Rounds,
    pub valid: &'a Evaluate<'a>,
    pub losses: &'a MadeLosses,
    /// Whether the losses count objects and background, not categories.
    pub two_counts: bool,
    pub normaliser: &'a NormaliserState,
    pub matching: MatchOptions,
    pub box_loss: BoxLoss,
    pub loss_path: LossPath,
    pub precision: Precision,
    pub device: Device,
    pub group: &'a Group,
    pub seed: u64,
}

/// The batches of a round, of which the loader passes over those without a usable image.
pub(crate) struct Loading {
    loader: Loader,
    /// Batches asked for since the round was started.
    asked: u64,
    /// One that is for a later ask.
    early: Option<LoadedBatch>,
}

impl Loading {
    pub(crate) fn new(loader: Loader) -> Self {
        Self { loader, asked: 0, early: None }
    }

    fn start(&mut self, batches: Vec<Batch>, seed: u64) {
        (self.asked, self.early) = (0, None);
        self.loader.start(batches, seed);
    }

    /// The next batch of the round; none where it has no usable image.
    fn next(&mut self) -> Result<Option<LoadedBatch>, LoadError> {
        self.asked += 1;
        let loaded = match self.early.take() {
            Some(loaded) => Some(loaded),
            None => self.loader.next_batch()?,
        };
        match loaded {
            Some(loaded) if loaded.used_up > self.asked => {
                self.early = Some(loaded);
                Ok(None)
            }
            loaded => Ok(loaded),
        }
    }

    pub(crate) fn skipped(&self) -> Vec<Skipped> {
        self.loader.skipped()
    }
}

/// A batch's pixels as the network takes them, `[n, 3, height, width]`.
pub(crate) fn images(batch: &LoadedBatch, channels_last: bool, device: Device) -> Result<Tensor, tch::TchError> {
    let (n, height, width) = (batch.images.len() as i64, batch.height as i64, batch.width as i64);
    let pixels = Tensor::f_from_slice(&batch.pixels)?.f_view([n, height, width, 3])?.f_permute([0, 3, 1, 2])?;
    let pixels = if channels_last { pixels } else { pixels.f_contiguous()? };
    sent(&pixels, device)
}

impl DetectionTask<'_> {
    /// The batches of a round, a function of the seed alone.
    fn drawn(&self, round: usize) -> Vec<Batch> {
        let batches = self.rounds.batches(round);
        let mut sampler = self.sampler.clone();
        sampler.resume(SamplerState { batches: batches.start as u64 });
        batches.map(|_| sampler.next_batch()).collect()
    }

    /// This process's part of what the losses of all are divided by. So many anchors of its images are foreground; none
    /// where it has no images.
    fn units(&self, foreground: Option<usize>) -> Result<f64, DetectionError> {
        let own = [foreground.unwrap_or(0) as f64, f64::from(foreground.is_some())];
        let [foreground, processes] = self.group.sum(own).map_err(TrainError::from)?;
        if processes == 0.0 {
            return Ok(0.0);
        }
        Ok(self.normaliser.next(foreground as usize)? / processes)
    }

    fn loss(&self, loaded: &LoadedBatch, at: Step) -> Result<BatchLoss, DetectionError> {
        let targets: Vec<ImageTargets> = loaded
            .images
            .iter()
            .map(|image| ImageTargets { boxes: image.boxes.clone(), classes: image.classes.clone() })
            .collect();
        let anchors = self.network.anchors((loaded.height, loaded.width))?;
        let targets = Targets::new(&anchors, &targets, &self.matching);
        let outputs = {
            let _autocast = Autocast::begin(self.precision, self.device);
            self.network.forward(&images(loaded, self.valid.channels_last, self.device)?, true)?
        };
        let loss = RetinaLoss::new(outputs, &targets, self.losses.of(at.phase), self.box_loss, self.loss_path)?;
        let units = self.units(Some(targets.count))?;
        Ok(BatchLoss { sum: loss.class.f_add(&loss.boxes)?, units })
    }
}

impl Task for DetectionTask<'_> {
    fn variables(&self) -> &VarStore {
        self.store
    }

    fn batches(&self, epoch: usize) -> Result<Vec<Vec<usize>>, TrainError> {
        Ok(self.drawn(epoch).into_iter().map(|batch| batch.indices).collect())
    }

    fn begin_epoch(&mut self, epoch: usize, _: &[Share], done: usize) -> Result<(), TrainError> {
        let batches = self.drawn(epoch).split_off(done);
        let shares = batches.iter().map(|batch| batch.share(self.group.rank(), self.group.size()));
        self.loading.start(shares.filter(|share| !share.indices.is_empty()).collect(), self.seed);
        Ok(())
    }

    fn forward(&mut self, batch: &[usize], at: Step) -> Result<Option<BatchLoss>, TrainError> {
        let loaded = match batch {
            [] => None,
            _ => self.loading.next().map_err(TrainError::task)?,
        };
        let Some(loaded) = loaded else {
            // What the losses are divided by is counted by all processes together, or by none.
            self.units(None).map_err(TrainError::task)?;
            return Ok(None);
        };
        match self.loss(&loaded, at) {
            // Of logits that are not finite the loss is none either; the loop knows step and checkpoint to name.
            Err(DetectionError::Model(ModelError::Head(LossHeadError::Head(HeadError::NotFinite { .. })))) => {
                // What the others sum now, this process has to sum too.
                self.units(None).map_err(TrainError::task)?;
                Ok(Some(BatchLoss { sum: Tensor::from(f32::NAN).set_requires_grad(true), units: 1.0 }))
            }
            Err(error) if self.two_counts && self.losses.of(at.phase).is_whole_tensor() => {
                Err(TrainError::task(format!("{error} (--loss-classes per-class counts each category)")))
            }
            result => result.map(Some).map_err(TrainError::task),
        }
    }

    fn validate(&mut self, _: LossPhase, _: &Group) -> Result<BTreeMap<String, f64>, TrainError> {
        let (found, _) = self.valid.detections(self.network).map_err(TrainError::task)?;
        let Some(found) = found else { return Ok(BTreeMap::new()) };
        let stats = self.valid.score(&found).map_err(TrainError::task)?;
        Ok(named(&stats))
    }

    fn losses(&self) -> Vec<(&'static str, &Loss)> {
        self.losses.named()
    }

    fn monitor(&self) -> (&str, Goal) {
        ("AP", Goal::Maximise)
    }

    fn units_name(&self) -> &str {
        "anchors"
    }

    fn decays(&self, name: &str) -> bool {
        // Weights and biases of normalisations are not decayed.
        !(name.contains(".bn") || name.contains(".downsample.1."))
    }
}

/// The scores that a curve is drawn of.
fn named(stats: &Stats) -> BTreeMap<String, f64> {
    [("AP", stats.ap), ("AP50", stats.ap50), ("AP75", stats.ap75)]
        .into_iter()
        // Without any box to find there is no score, which COCO writes as −1.
        .map(|(name, value)| (name.to_owned(), value * 100.0))
        .collect()
}

/// How images become detections, and detections scores.
pub(crate) struct Evaluate<'a> {
    pub set: &'a Arc<Dataset>,
    pub transform: &'a Transform,
    pub loading: LoaderOptions,
    pub truth: &'a GroundTruth,
    /// The ids of the classes.
    pub categories: &'a [i64],
    pub options: DetectOptions,
    pub precision: Precision,
    pub device: Device,
    pub channels_last: bool,
    /// The processes that share the images.
    pub group: &'a Group,
}

/// Detections in all images, in the images' order.
pub(crate) type Found = Vec<coco::Detection>;

impl Evaluate<'_> {
    /// What `network` finds in all images, in pixels of the images as they are; nothing but in the first process of those that
    /// share them. With it the images that this process left out.
    pub(crate) fn detections(&self, network: &RetinaNet) -> Result<(Option<Found>, Vec<Skipped>), DetectionError> {
        self.detections_and(network, |_, _| Ok(()))
    }

    /// The same; `also` sees each batch of this process's and what the network says of it.
    pub(crate) fn detections_and(
        &self,
        network: &RetinaNet,
        mut also: impl FnMut(&LoadedBatch, &Said) -> Result<(), DetectionError>,
    ) -> Result<(Option<Found>, Vec<Skipped>), DetectionError> {
        let (group, count) = (self.group, self.set.images.len());
        let turns: Vec<usize> = group.turns(count).collect();
        // Class, box and score of each; none of an image that is left out.
        let mut own: Vec<Vec<(usize, [f32; 4], f32)>> = vec![Vec::new(); turns.len()];
        let skipped = self.each(network, &turns, |loaded, said, options| {
            also(loaded, said)?;
            for (image, found) in loaded.images.iter().zip(said.detections(loaded, options)?) {
                own[image.index / group.size()] = found.iter().map(|one| (one.class, one.bbox, one.score)).collect();
            }
            Ok(())
        })?;
        let all = group.gather(count, own).map_err(TrainError::from)?;
        let of_image = |(index, found): (usize, Vec<(usize, [f32; 4], f32)>)| {
            found.into_iter().map(move |(class, bbox, score)| self.detection(index, &Detection { class, bbox, score }))
        };
        let found = group.is_first().then(|| all.into_iter().enumerate().flat_map(of_image).collect());
        Ok((found, skipped))
    }

    /// A detection in an image of the set as COCO has it.
    fn detection(&self, image: usize, found: &Detection) -> coco::Detection {
        coco::Detection {
            image_id: self.set.images[image].id,
            category_id: self.categories[found.class],
            bbox: corners_to_coco(found.bbox),
            score: f64::from(found.score),
        }
    }

    /// Gives `of` image after image of those that can be decoded, with what the network says of it; returns the others.
    fn each(
        &self,
        network: &RetinaNet,
        indices: &[usize],
        mut of: impl FnMut(&LoadedBatch, &Said, &DetectOptions) -> Result<(), DetectionError>,
    ) -> Result<Vec<Skipped>, DetectionError> {
        let how = Detecting {
            options: self.options,
            precision: self.precision,
            device: self.device,
            channels_last: self.channels_last,
        };
        let mut loader = Loader::new(Arc::clone(self.set), self.transform.clone(), self.loading)?;
        loader.start(evaluation_batches(self.set, indices, 1), 0);
        while let Some(loaded) = loader.next_batch()? {
            of(&loaded, &Said::of(network, &loaded, how)?, &how.options)?;
        }
        Ok(loader.skipped())
    }

    pub(crate) fn score(&self, found: &[coco::Detection]) -> Result<Stats, DetectionError> {
        Ok(coco::evaluate(self.truth, found, &Options::default())?.stats)
    }
}

/// How a batch becomes detections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detecting {
    pub options: DetectOptions,
    pub precision: Precision,
    pub device: Device,
    pub channels_last: bool,
}

/// What the network says of a batch.
pub(crate) struct Said {
    pub outputs: Vec<HeadOutput>,
    pub anchors: Anchors,
}

impl Said {
    pub(crate) fn of(network: &RetinaNet, loaded: &LoadedBatch, how: Detecting) -> Result<Self, DetectionError> {
        let outputs = tch::no_grad(|| {
            let _autocast = Autocast::begin(how.precision, how.device);
            network.forward(&images(loaded, how.channels_last, how.device)?, false)
        })?;
        Ok(Self { outputs, anchors: network.anchors((loaded.height, loaded.width))? })
    }

    /// The detections of each image, in pixels of the image as it is.
    pub(crate) fn detections(
        &self,
        loaded: &LoadedBatch,
        options: &DetectOptions,
    ) -> Result<Vec<Vec<Detection>>, DetectionError> {
        let of = |(index, image): (usize, &LoadedImage)| {
            let mut found = detect(&self.outputs, &self.anchors, index, image.resized, options)?;
            let y = image.original.0 as f32 / image.resized.0 as f32;
            let x = image.original.1 as f32 / image.resized.1 as f32;
            for one in &mut found {
                let [x1, y1, x2, y2] = one.bbox;
                one.bbox = [x1 * x, y1 * y, x2 * x, y2 * y];
            }
            Ok(found)
        };
        loaded.images.iter().enumerate().map(of).collect()
    }
}

/// `[x, y, width, height]`.
pub(crate) fn corners_to_coco([x1, y1, x2, y2]: [f32; 4]) -> [f64; 4] {
    [x1, y1, x2 - x1, y2 - y1].map(f64::from)
}
