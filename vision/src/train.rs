//! A training from flags to results.

mod second_stage;
mod usable;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imbalance_core::host::Loss;
use imbalance_core::{ClassCounts, Head};
use imbalance_evaluation::longtail::Groups;
use imbalance_train::device::Shapes;
use imbalance_train::losses::MadeLosses;
use imbalance_train::{
    Compute, ExampleClasses, Interrupt, Losses, Manifest, Outcome, RunFolder, RunRequest, Sampler, Sampling,
    SamplingPlan, Stream, TrainError, checkpoint, derive, fit, manifest,
};
use tch::nn::VarStore;

use crate::VisionError;
use crate::augment::{Augment, Layout, Loader, LoaderOptions};
use crate::data::{ImageSet, Split, SubsetManifest};
use crate::device_images::DeviceImages;
use crate::flags::{MemoryFormat, VisionFlags};
use crate::method::Method;
use crate::model::{ImageModelConfig, plain_name};
use crate::network::{Network, NetworkConfig};
use crate::outcome::{SkippedFiles, TrainedRun, count_skipped};
use crate::saved::ModelFile;
use crate::task::{Evaluate, OnDevice, Rows, Trained, VisionTask};
use crate::weights::{ClassifierWeights, LoadOptions as WeightsOptions, LoadReport, load_weights};

/// What became of every variable of `--weights`, in the run folder.
const WEIGHTS_REPORT: &str = "weights.txt";

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

/// Trains, evaluates and fills a run folder. `config` is the resolved configuration, TOML; progress goes to
/// stderr unless the flags ask for quiet.
///
/// # Errors
/// See [`VisionError`]; nothing half-written is left where the run could not start.
pub fn train(flags: &VisionFlags, losses: &Losses, config: String) -> Result<Ended, VisionError> {
    let settings = flags.train.resolve()?;
    flags.check(losses)?;
    let compute = Compute::open(&flags.train, Shapes::Alike)?;
    let mut prepared = Prepared::new(flags, losses, compute)?;
    let interrupt = Interrupt::install()?;
    let mut run = prepared.open_run(flags, losses, &config)?;
    if let Some(run) = &run {
        prepared.file.write(run.path())?;
        if let Some(subset) = &prepared.subset {
            crate::saved::write_json(&run.path().join("subset.json"), subset)?;
        }
        if let Some(loaded) = &prepared.loaded {
            crate::saved::write_text(&run.path().join(WEIGHTS_REPORT), &format!("{loaded:#}"))?;
        }
    }
    let (outcome, skipped) = {
        let mut task = prepared.task(flags, &prepared.sampling, Trained::All, settings.schedule.epochs)?;
        let outcome = fit(&mut task, &settings, run.as_mut(), &interrupt, &prepared.compute.group)?;
        (outcome, task.loader.skipped())
    };
    count_skipped(&mut prepared.skipped, skipped);
    let interrupted = |run: &Option<RunFolder>| match run {
        Some(run) => Ended::Interrupted(run.path().to_owned()),
        None => Ended::Helped,
    };
    let Outcome::Finished(first) = outcome else { return Ok(interrupted(&run)) };
    let second = if flags.method.method.has_second_stage() {
        match prepared.second_stage(flags, losses, &config, &settings, run.as_ref(), &interrupt)? {
            Some(summary) => Some(summary),
            None => return Ok(interrupted(&run)),
        }
    } else {
        None
    };
    // The model of the run is the first process's; from here on all of them only evaluate it.
    prepared.compute.group.broadcast_variables(&prepared.store, |_| true).map_err(TrainError::from)?;
    let tau = prepared.rebuild_classifier(flags)?;
    let trained = crate::outcome::finish(&prepared, flags, run.as_ref(), first, second, tau)?;
    Ok(trained.map_or(Ended::Helped, |trained| Ended::Finished(Box::new(trained))))
}

/// Everything that a training needs, before anything is written.
pub(crate) struct Prepared {
    pub classes: Vec<String>,
    pub train_counts: Vec<u64>,
    pub groups: Groups,
    pub subset: Option<SubsetManifest>,
    pub train: Arc<Split>,
    /// Training images as they are evaluated.
    pub train_loader: Loader,
    /// What epochs are chosen by.
    pub valid_loader: Loader,
    /// Whether those are other images than the test images.
    pub held_out: bool,
    pub test_loader: Loader,
    pub losses: MadeLosses,
    pub network: Network,
    pub store: VarStore,
    pub file: ModelFile,
    pub compute: Compute,
    /// What has been left out so far: what is not there, and what training could not use.
    pub skipped: SkippedFiles,
    /// What became of the weights that the model starts from.
    loaded: Option<LoadReport>,
    sampling: Sampling,
    reversed: Option<Sampling>,
    sources: BTreeMap<String, String>,
    augment: Augment,
    options: LoaderOptions,
}

impl Prepared {
    fn new(flags: &VisionFlags, losses: &Losses, compute: Compute) -> Result<Self, VisionError> {
        compute.check_run(&flags.train)?;
        let say = |text: &str| compute.say(&flags.train, text);
        let (set, subset) = flags.data.load()?;
        set.notes.iter().for_each(|note| say(note));
        let mut sources = data_hashes(&set);
        let mut skipped = SkippedFiles::new();
        for image in set.missing.iter().filter(|_| compute.group.is_first()) {
            *skipped.entry(image.path.clone()).or_default() += 1;
        }
        let (set, valid) = held_out(set, flags)?;
        let train_counts: Vec<u64> = set.train_counts().into_iter().map(|count| count as u64).collect();
        let groups = flags.data.group_rule()?;
        let flag = if flags.data.group_classes.is_some() { "--group-classes" } else { "--groups" };
        groups.assign(&train_counts).map_err(|error| VisionError::Usage(format!("{flag}: {error}")))?;
        let counts = ClassCounts::new(train_counts.clone())?;
        say(&format!(
            "{}: {} training images of {} classes (largest {}, smallest {}), {} test images",
            set.name,
            set.train.labels.len(),
            set.classes.len(),
            train_counts.iter().max().copied().unwrap_or_default(),
            train_counts.iter().min().copied().unwrap_or_default(),
            set.test.labels.len()
        ));
        let losses = losses.make(Head::Softmax, &counts)?;
        let labels = ExampleClasses::single(set.train.labels.clone());
        let bilateral = flags.method.method == Method::Bbn;
        let reversed = bilateral
            .then(|| {
                let plan = single_sampler(Sampler::Reversed, flags.train.sampler_beta, flags.train.epochs);
                Sampling::new(plan, counts.clone(), labels.clone())
            })
            .transpose()
            .map_err(TrainError::from)?;
        let sampling = Sampling::new(flags.train.sampling(), counts, labels).map_err(TrainError::from)?;

        let preset = flags.data.preset();
        let options = loader_options(flags, compute.threads);
        let evaluated = Augment::evaluate(&preset);
        let loader = |split: &Arc<Split>| crate::task::loader(Arc::clone(split), evaluated.clone(), options);
        let (train, test) = (Arc::new(set.train), Arc::new(set.test));
        let held_out = valid.is_some();
        let valid = valid.map_or_else(|| Arc::clone(&test), Arc::new);
        let augment = Augment::train(&preset);
        for (what, split, seen) in
            [("training", &train, &augment), ("validation", &valid, &evaluated), ("test", &test, &evaluated)]
        {
            usable::check(split, what, seen, options)?;
        }
        let config = NetworkConfig {
            model: ImageModelConfig {
                model: flags.model.model,
                classes: set.classes.len() as i64,
                cosine_scale: flags.model.normalised_classifier.cosine_scale(flags.model.cosine_scale, losses.all())?,
            },
            bilateral,
        };
        if let (Method::Lws | Method::TauNorm, Some(_)) = (flags.method.method, config.model.cosine_scale) {
            return Err(VisionError::Usage(
                "--method lws and tau-norm change the lengths of class vectors, which a normalised classifier does not have; \
                 give --normalised-classifier no"
                    .into(),
            ));
        }
        let store = VarStore::new(compute.device);
        let network = Network::new(&store, &config, derive(flags.train.seed, Stream::Weights, 0))?;
        flags.model.memory_format.lay_out(&store)?;
        let loaded = flags.model.weights.as_deref().map(|path| load(path, &store, &config)).transpose()?;
        if let Some(loaded) = &loaded {
            say(&loaded.to_string());
            let hash = manifest::sha256_file(&loaded.path).map_err(TrainError::from)?;
            sources.insert(named(&loaded.path), hash);
        }
        let file = ModelFile {
            network: config,
            classes: set.classes.clone(),
            train_counts: train_counts.clone(),
            groups,
            dataset: set.name.clone(),
            augment: evaluated.clone(),
            precision: flags.train.precision,
            memory_format: flags.model.memory_format,
            adjust_logits: flags.method.adjust_logits,
        };
        Ok(Self {
            classes: set.classes,
            train_counts,
            groups,
            subset,
            train_loader: loader(&train)?,
            valid_loader: loader(&valid)?,
            held_out,
            test_loader: loader(&test)?,
            train,
            losses,
            network,
            store,
            file,
            compute,
            skipped,
            loaded,
            sampling,
            reversed,
            sources,
            augment,
            options,
        })
    }

    fn open_run(&self, flags: &VisionFlags, losses: &Losses, config: &str) -> Result<Option<RunFolder>, VisionError> {
        let request = RunRequest {
            folder: flags.train.run.clone(),
            root: "runs".into(),
            name: format!("vision-{}", self.losses.main.id()),
            mode: flags.train.run_mode(),
            config: config.to_owned(),
            manifest: self.manifest(flags, losses),
        };
        Ok(self.compute.open_run(&flags.train, &request)?)
    }

    fn manifest(&self, flags: &VisionFlags, losses: &Losses) -> Manifest {
        let mut manifest = Manifest::collect(flags.train.seed);
        manifest.plugins = losses.plugins();
        manifest.data = self.sources.clone();
        manifest
    }

    fn task<'a>(
        &'a self,
        flags: &VisionFlags,
        sampling: &'a Sampling,
        trained: Trained<'a>,
        epochs: usize,
    ) -> Result<VisionTask<'a>, VisionError> {
        Ok(VisionTask {
            store: &self.store,
            network: &self.network,
            trained,
            loader: crate::task::loader(Arc::clone(&self.train), self.augment.clone(), self.options)?,
            on_device: match self.compute.device.is_cuda() {
                true => DeviceImages::new(&self.train, &self.augment, self.compute.device)?
                    .map(|images| OnDevice { images, keys: Vec::new() }),
                false => None,
            },
            sampling,
            reversed: self.reversed.as_ref(),
            valid: &self.valid_loader,
            losses: &self.losses,
            train_counts: &self.train_counts,
            groups: self.groups,
            batch_size: flags.train.batch_size,
            epochs,
            loss_path: flags.train.loss_path,
            mixing: match trained {
                Trained::All => flags.method.mixing(self.compute.group.seed(flags.train.seed)),
                // The second stage learns from images as they are.
                _ => None,
            },
            precision: self.compute.precision,
            device: self.compute.device,
            seed: flags.train.seed,
        })
    }

    /// How images are evaluated.
    pub(crate) fn evaluate(&self) -> Evaluate<'_> {
        Evaluate {
            network: &self.network,
            scale: None,
            precision: self.compute.precision,
            device: self.compute.device,
            bias: None,
            group: &self.compute.group,
        }
    }

    /// What tau-norm and ncm do to the classifier after training; τ, if there is one.
    fn rebuild_classifier(&mut self, flags: &VisionFlags) -> Result<Option<f64>, VisionError> {
        match flags.method.method {
            Method::TauNorm => {
                let given = flags.method.norm_tau;
                let tau = match (given, self.held_out) {
                    (Some(tau), _) => tau,
                    (None, true) => crate::rebuild::best_tau(&self.evaluate(), &self.valid_loader, self.classes.len())?,
                    (None, false) => crate::rebuild::COMMON_TAU,
                };
                crate::rebuild::tau_normalise(&self.network, tau)?;
                Ok(Some(tau))
            }
            Method::Ncm => {
                let means = crate::rebuild::class_means(&self.evaluate(), &self.train_loader, self.classes.len())?;
                let scale = crate::rebuild::MEAN_SCALE;
                (self.network, self.store) = crate::rebuild::nearest_mean(&self.network, &self.store, &means, scale)?;
                self.file.network = self.network.config();
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Logits of the test images by the weights of a checkpoint of the first stage, which the first process reads.
    pub(crate) fn test_logits_of(&self, checkpoint: Option<&Path>) -> Result<Option<Rows>, VisionError> {
        let store = VarStore::new(self.compute.device);
        let network = Network::new(&store, &self.file.network, 0)?;
        self.file.memory_format.lay_out(&store)?;
        if let Some(path) = checkpoint {
            checkpoint::load_weights(path, &store)?;
        }
        self.compute.group.broadcast_variables(&store, |_| true).map_err(TrainError::from)?;
        Evaluate { network: &network, ..self.evaluate() }.logits(&self.test_loader)
    }

    /// A loader of other images, as they are evaluated.
    pub(crate) fn loader_of(&self, split: Split) -> Result<Loader, VisionError> {
        crate::task::loader(Arc::new(split), self.file.augment.clone(), self.options)
    }

    /// The loss of the run.
    pub(crate) fn loss(&self) -> &Loss {
        &self.losses.main
    }
}

/// One sampler from start to end.
fn single_sampler(sampler: Sampler, beta: f64, epochs: usize) -> SamplingPlan {
    SamplingPlan { sampler, deferred: sampler, beta, defer_epochs: 0, epochs }
}

/// The images that epochs are chosen by: the data set's own validation images, or those that `--hold-out` takes from the
/// training images.
fn held_out(set: ImageSet, flags: &VisionFlags) -> Result<(ImageSet, Option<Split>), VisionError> {
    let Some(how) = flags.data.held_out() else {
        let valid = set.validation.clone();
        return Ok((set, valid));
    };
    let parts = set.hold_out(how, flags.data.subset_seed)?;
    let held_out = set.train.select(&parts.held_out)?;
    Ok((set.select(&parts.train)?, Some(held_out)))
}

fn loader_options(flags: &VisionFlags, threads: usize) -> LoaderOptions {
    LoaderOptions {
        layout: layout(flags.model.memory_format),
        threads: flags.data.loader_threads.map_or(threads, |threads| threads as usize),
        on_bad_image: flags.data.on_bad_image,
        ..LoaderOptions::default()
    }
}

/// The order of a batch's numbers for a memory format.
pub(crate) fn layout(format: MemoryFormat) -> Layout {
    match format {
        MemoryFormat::ChannelsLast => Layout::ChannelsLast,
        MemoryFormat::ChannelsFirst => Layout::ChannelsFirst,
    }
}

/// Puts the weights in `path` into the network. Of a classifier for other classes nothing is loaded.
///
/// # Errors
/// As [`load_weights`]; a variable before the classifier that has another shape in the file, which is of another model then.
fn load(path: &Path, store: &VarStore, config: &NetworkConfig) -> Result<LoadReport, VisionError> {
    let both = |name: &str| plain_name(config.model.model, name).into_owned();
    let options = WeightsOptions {
        strict: false,
        classifier: ClassifierWeights::IfItFits,
        other_name: config.bilateral.then_some(&both),
        translate: None,
    };
    let loaded = load_weights(path, store, &options)?;
    loaded.check_shapes()?;
    Ok(loaded)
}

/// What a run's data are called, wherever it is taken up again from.
fn named(path: &Path) -> String {
    std::path::absolute(path).as_deref().unwrap_or(path).display().to_string()
}

fn data_hashes(set: &ImageSet) -> BTreeMap<String, String> {
    let name = |path: &Option<PathBuf>| path.as_deref().map_or("generated".into(), named);
    let sources = set.sources.iter().map(|source| (name(&source.path), source.sha256.clone()));
    sources.chain(set.missing.sha256().map(|hash| ("images that are missing".into(), hash))).collect()
}
