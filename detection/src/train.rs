//! A training from flags to results.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imbalance_core::Head;
use imbalance_evaluation::coco::{
    self, Evaluation, GroundTruth, Options, ScoreHistograms, Stats, Summary as Scores, write_detections,
};
use imbalance_train::config::TrainConfig;
use imbalance_train::device::Shapes;
use imbalance_train::losses::MadeLosses;
use imbalance_train::{
    Compute, Interrupt, Losses, Manifest, Outcome, RunFolder, RunRequest, Stream, Summary, TrainError, checkpoint,
    derive, fit, write_atomically,
};
use imbalance_vision::flags::MemoryFormat;
use imbalance_vision::weights::{ClassifierWeights, LoadOptions, load_weights};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;

use crate::DetectionError;
use crate::data::{Dataset, ImageDraw, Loader, LoaderOptions, Sampler, SamplerOptions, Skipped, Transform};
use crate::flags::DetectionFlags;
use crate::histogram::{Matching, add_scores};
use crate::model::{ClassView, ImageTargets, MatchOptions, NormaliserState, RetinaNet, Targets};
use crate::pictures::{self, Counted, Shown};
use crate::saved::{ModelFile, NamedCategory};
use crate::schedule::{BatchScale, Rounds, drops_after};
use crate::sets::{Sets, ground_truth};
use crate::task::{DetectionTask, Evaluate, Loading};

/// Detections of the images that were evaluated, in COCO's results format.
pub const DETECTIONS: &str = "detections.json";
/// The same of the training images, where they were evaluated.
pub const TRAIN_DETECTIONS: &str = "detections-train.json";
/// The results.
pub(crate) const RESULTS: &str = "results.json";

/// How a training ended without an error.
#[derive(Debug)]
pub enum Ended {
    /// Trained and scored.
    Finished(Box<TrainedRun>),
    /// The user stopped it; this run folder can be resumed.
    Interrupted(PathBuf),
    /// This process helped another, which has the results.
    Helped,
}

/// What a training ended with; `results.json` in the run folder.
#[derive(Debug, Serialize)]
pub struct TrainedRun {
    /// The run folder.
    pub run: PathBuf,
    /// The loss's id.
    pub loss: String,
    /// The data set.
    pub dataset: String,
    /// Trained parameters.
    pub parameters: usize,
    /// Images trained on and evaluated.
    pub images: [usize; 2],
    /// Anchors of the training images that answer for objects, and that answer for none.
    pub anchors: [u64; 2],
    /// Training images that hold each category, by its id.
    pub train_images: HashMap<i64, u64>,
    /// Scores that the best weights give the anchors of the evaluated images.
    pub anchor_scores: ScoreHistograms,
    /// What the training loop did.
    pub training: Summary,
    /// Scores of the best weights.
    pub scores: Scores,
    /// Scores on the training images, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_scores: Option<Scores>,
    /// Image files that were left out, and what is wrong with them.
    pub skipped: BTreeMap<String, String>,
}

impl TrainedRun {
    /// The 12 numbers of a finished run.
    ///
    /// # Errors
    /// The folder has no results, or another task's.
    pub fn read_stats(run: &Path) -> Result<Stats, DetectionError> {
        #[derive(Deserialize)]
        struct Results {
            scores: OfScores,
        }
        #[derive(Deserialize)]
        struct OfScores {
            stats: Stats,
        }
        Ok(read_results::<Results>(run)?.scores.stats)
    }
}

/// What `T` takes of the results of a finished run.
pub(crate) fn read_results<T: DeserializeOwned>(run: &Path) -> Result<T, DetectionError> {
    let path = run.join(RESULTS);
    let text = std::fs::read_to_string(&path).map_err(|error| DetectionError::File {
        path: path.clone(),
        reason: format!("cannot read: {error}; a finished run of `toolkit detection` has it"),
    })?;
    serde_json::from_str(&text).map_err(DetectionError::on(&path, "parse"))
}

/// Trains, evaluates and fills a run folder. `config` is the resolved configuration, TOML; progress goes to
/// stderr unless the flags ask for quiet.
///
/// # Errors
/// See [`DetectionError`]; nothing half-written is left where the run could not start.
pub fn train(flags: &DetectionFlags, losses: &Losses, config: String) -> Result<Ended, DetectionError> {
    let mut settings = flags.train.resolve()?;
    let compute = Compute::open(&flags.train, Shapes::Varied)?;
    let prepared = Prepared::new(flags, losses, &mut settings, compute)?;
    let interrupt = Interrupt::install()?;
    let request = RunRequest {
        folder: flags.train.run.clone(),
        root: "runs".into(),
        name: format!("detection-{}", prepared.losses.main.id()),
        mode: flags.train.run_mode(),
        config,
        manifest: prepared.manifest(flags, losses),
    };
    let mut run = prepared.compute.open_run(&flags.train, &request)?;
    if let Some(run) = &run {
        prepared.file.write(run.path())?;
    }
    let evaluate = prepared.evaluate(&prepared.sets.valid, &prepared.truth);
    let mut task = prepared.task(flags, &evaluate)?;
    let outcome = fit(&mut task, &settings, run.as_mut(), &interrupt, &prepared.compute.group)?;
    let skipped = task.loading.skipped();
    drop(task);
    match outcome {
        Outcome::Interrupted(_) => Ok(run.map_or(Ended::Helped, |run| Ended::Interrupted(run.path().to_owned()))),
        Outcome::Finished(summary) => {
            let trained = prepared.finish(run.as_ref(), summary, &evaluate, skipped)?;
            Ok(trained.map_or(Ended::Helped, |trained| Ended::Finished(Box::new(trained))))
        }
    }
}

/// Everything that a training needs, before anything is written.
struct Prepared {
    sets: Sets,
    truth: GroundTruth,
    train_truth: Option<GroundTruth>,
    categories: Vec<i64>,
    sampler: Sampler,
    rounds: Rounds,
    losses: MadeLosses,
    network: RetinaNet,
    normaliser: NormaliserState,
    store: VarStore,
    file: ModelFile,
    anchors: [u64; 2],
    matching: MatchOptions,
    options: LoaderOptions,
    compute: Compute,
}

impl Prepared {
    fn new(
        flags: &DetectionFlags,
        losses: &Losses,
        settings: &mut TrainConfig,
        compute: Compute,
    ) -> Result<Self, DetectionError> {
        compute.check_run(&flags.train)?;
        let say = |text: &str| compute.say(&flags.train, text);
        let sets = flags.data.load()?;
        sets.notes.iter().for_each(|note| say(note));
        sets.train.check_trainable()?;
        let classes = sets.train.categories.len();

        let detector = &flags.detector;
        let options = SamplerOptions {
            batch_size: flags.train.batch_size,
            aspect_buckets: true,
            repeat_threshold: (flags.data.repeat_threshold > 0.0).then_some(flags.data.repeat_threshold),
            seed: flags.train.seed,
        };
        let sampler = Sampler::new(&sets.train, sets.train.trainable(), options)?;
        // Images of a step.
        let step = flags.train.batch_size * flags.train.accumulate;
        let pass = (sampler.epoch_images() / step as f64).round().max(1.0) as usize;
        let scale = BatchScale { meant: detector.schedule_batch, step };
        let rounds =
            Rounds::new(scale.steps(detector.iterations), flags.train.epochs, scale.steps(detector.eval_every), pass)?
                .accumulating(flags.train.accumulate);
        scale.apply(&mut settings.schedule);
        settings.schedule.epochs = rounds.count();
        settings.check()?;
        if let Some(late) = drops_after(&settings.schedule, rounds.all()) {
            say(&format!("note: --step-after {late} lies behind the run's {} steps", rounds.all()));
        }
        say(&format!(
            "{}: {} training images with {} objects of {classes} classes, {} images to evaluate; {} steps of {} are {} images",
            sets.name,
            sets.train.images.len(),
            sets.train.images.iter().map(|image| image.objects.len()).sum::<usize>(),
            sets.valid.images.len(),
            rounds.all(),
            step,
            rounds.all() * step
        ));

        let transform = flags.evaluation_transform();
        let options = LoaderOptions {
            threads: flags.data.loader_threads.map_or(compute.threads, |threads| threads as usize),
            on_bad_image: flags.data.on_bad_image,
            ..LoaderOptions::default()
        };
        let categories: Vec<i64> = sets.train.categories.iter().map(|category| category.id).collect();
        let truth = ground_truth(&sets.valid)?;
        let train_truth = flags.data.evaluate_train.then(|| ground_truth(&sets.train)).transpose()?;

        let store = VarStore::new(compute.device);
        let network = RetinaNet::new(&store, flags.network(classes), derive(flags.train.seed, Stream::Weights, 0))?;
        flags.model.memory_format.lay_out(&store)?;
        let normaliser = NormaliserState::new(&store.root(), detector.normaliser)?;
        if let Some(path) = &flags.model.weights {
            let body = |name: &str| name.strip_prefix("backbone.body.").unwrap_or(name).to_owned();
            let shapes = (network.config().anchors.scales.len(), network.config().anchors.ratios.len());
            let translate = |file| crate::detectron::translated(file, shapes.0, shapes.1);
            let options = LoadOptions {
                strict: false,
                classifier: ClassifierWeights::Load,
                other_name: Some(&body),
                translate: Some(&translate),
            };
            say(&load_weights(path, &store, &options)?.to_string());
        }
        let (objects, background) = class_counts(&network, &sets, flags, &transform)?;
        let anchors = [objects.iter().sum(), background];
        let made = losses.make(Head::Sigmoid, &detector.loss_classes.counts(&objects, background)?)?;
        let file = ModelFile {
            network: network.config().clone(),
            categories: sets
                .train
                .categories
                .iter()
                .map(|category| NamedCategory { id: category.id, name: category.name.clone() })
                .collect(),
            transform,
            detecting: flags.detecting(),
            normaliser: detector.normaliser,
            precision: flags.train.precision,
            memory_format: flags.model.memory_format,
        };
        Ok(Self {
            sets,
            truth,
            train_truth,
            categories,
            sampler,
            rounds,
            losses: made,
            network,
            normaliser,
            store,
            file,
            anchors,
            matching: flags.matching(),
            options,
            compute,
        })
    }

    fn manifest(&self, flags: &DetectionFlags, losses: &Losses) -> Manifest {
        let mut manifest = Manifest::collect(flags.train.seed);
        manifest.plugins = losses.plugins();
        manifest.data = self.sets.sources.clone();
        manifest
    }

    fn evaluate<'a>(&'a self, set: &'a Arc<Dataset>, truth: &'a GroundTruth) -> Evaluate<'a> {
        Evaluate {
            set,
            transform: &self.file.transform,
            loading: self.options,
            truth,
            categories: &self.categories,
            options: self.file.detecting,
            precision: self.compute.precision,
            device: self.compute.device,
            channels_last: self.file.memory_format == MemoryFormat::ChannelsLast,
            group: &self.compute.group,
        }
    }

    fn task<'a>(
        &'a self,
        flags: &DetectionFlags,
        valid: &'a Evaluate<'a>,
    ) -> Result<DetectionTask<'a>, DetectionError> {
        Ok(DetectionTask {
            store: &self.store,
            network: &self.network,
            loading: Loading::new(Loader::new(Arc::clone(&self.sets.train), flags.training_transform(), self.options)?),
            sampler: &self.sampler,
            rounds: self.rounds,
            valid,
            losses: &self.losses,
            two_counts: flags.detector.loss_classes == ClassView::Binary,
            normaliser: &self.normaliser,
            matching: self.matching,
            box_loss: flags.detector.box_loss,
            loss_path: flags.train.loss_path,
            precision: self.compute.precision,
            device: self.compute.device,
            group: &self.compute.group,
            seed: flags.train.seed,
        })
    }

    /// Scores the best weights and fills the run folder, which the first process has; the others take their share of the images,
    /// and have no results.
    fn finish(
        &self,
        run: Option<&RunFolder>,
        summary: Summary,
        evaluate: &Evaluate<'_>,
        mut skipped: Vec<Skipped>,
    ) -> Result<Option<TrainedRun>, DetectionError> {
        let group = &self.compute.group;
        if let Some(best) = run.map(RunFolder::best_checkpoint).filter(|best| best.exists()) {
            checkpoint::load_weights(&best, &self.store)?;
        }
        group.broadcast_variables(&self.store, |_| true).map_err(TrainError::from)?;
        let mut anchor_scores = ScoreHistograms::default();
        let (found, left_out) = evaluate.detections_and(&self.network, |loaded, said| {
            for (index, image) in loaded.images.iter().enumerate() {
                let matching = Matching { boxes: &image.boxes, classes: &image.classes, options: self.matching };
                add_scores(&mut anchor_scores, &said.outputs, &said.anchors, index, &matching)?;
            }
            Ok(())
        })?;
        skipped.extend(left_out);
        let in_training = match &self.train_truth {
            Some(truth) => {
                let (found, left_out) = self.evaluate(&self.sets.train, truth).detections(&self.network)?;
                skipped.extend(left_out);
                found.map(|found| (truth, found))
            }
            None => None,
        };
        let skipped: Vec<(String, String)> = skipped.into_iter().map(|one| (one.file, one.fault.to_string())).collect();
        let of_all = group.gather(group.size(), vec![(skipped, anchor_scores)]).map_err(TrainError::from)?;
        let (Some(run), Some(found)) = (run, found) else { return Ok(None) };
        let (mut skipped, mut anchor_scores) = (BTreeMap::new(), ScoreHistograms::default());
        for (files, scores) in of_all {
            skipped.extend(files);
            anchor_scores.add(&scores);
        }
        save_detections(&run.path().join(DETECTIONS), &found)?;
        let evaluation = Evaluation::new(&self.truth, &found, &Options::default())?;
        let train_scores = match in_training {
            Some((truth, found)) => {
                save_detections(&run.path().join(TRAIN_DETECTIONS), &found)?;
                Some(Evaluation::new(truth, &found, &Options::default())?.summary())
            }
            None => None,
        };
        let trained = self.store.variables().into_values().filter(tch::Tensor::requires_grad);
        let results = TrainedRun {
            run: run.path().to_owned(),
            loss: self.losses.main.id().to_owned(),
            dataset: self.sets.name.clone(),
            parameters: trained.map(|variable| variable.numel()).sum(),
            images: [self.sets.train.images.len(), self.sets.valid.images.len()],
            anchors: self.anchors,
            train_images: self.categories.iter().copied().zip(self.sets.train.image_counts()).collect(),
            anchor_scores,
            training: summary,
            scores: evaluation.summary(),
            train_scores,
            skipped,
        };
        run.write_results(&results)?;
        let counted = Counted {
            train_images: Some(results.train_images.clone()),
            anchor_scores: Some(results.anchor_scores.clone()),
        };
        pictures::of_run(&Shown::new(results.loss.clone(), run.path(), &self.truth, &evaluation, counted))?;
        Ok(Some(results))
    }
}

/// Writes a results file, whole or not at all.
pub(crate) fn save_detections(path: &Path, found: &[coco::Detection]) -> Result<(), DetectionError> {
    write_atomically(path, |file| write_detections(file, found)).map_err(DetectionError::on(path, "write"))
}

/// The anchors of all training images, as they are resized for evaluation, that answer for objects of each class, and for none.
fn class_counts(
    network: &RetinaNet,
    sets: &Sets,
    flags: &DetectionFlags,
    transform: &Transform,
) -> Result<(Vec<u64>, u64), DetectionError> {
    let classes = sets.train.categories.len();
    let (mut objects, mut background) = (vec![0; classes], 0);
    // Many images have the same size.
    let mut anchors_of = BTreeMap::new();
    for image in &sets.train.images {
        let draw = ImageDraw { short_side: transform.short_sides[0], flip: false };
        let resized = transform.resized((image.height as usize, image.width as usize), &draw);
        let padded = (resized.0.next_multiple_of(RetinaNet::DIVISOR), resized.1.next_multiple_of(RetinaNet::DIVISOR));
        let anchors = match anchors_of.entry(padded) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => place.insert(network.anchors(padded)?),
        };
        let (y, x) = (resized.0 as f32 / image.height as f32, resized.1 as f32 / image.width as f32);
        let usable = image.objects.iter().filter(|object| !object.crowd);
        let targets = usable.fold(ImageTargets::default(), |mut targets, object| {
            let [x1, y1, x2, y2] = object.bbox;
            targets.boxes.push([x1 * x, y1 * y, x2 * x, y2 * y]);
            targets.classes.push(object.class);
            targets
        });
        let matched = Targets::new(anchors, &[targets], &flags.matching());
        let (of_image, none) = matched.class_counts(classes);
        objects.iter_mut().zip(of_image).for_each(|(all, own)| *all += own);
        background += none;
    }
    Ok((objects, background))
}
