//! The second stage of methods that have one: a classifier, or factors for its logits, on frozen features.

use imbalance_core::ClassCounts;
use imbalance_train::config::TrainConfig;
use imbalance_train::optimiser::{LayerRates, Prefixes};
use imbalance_train::schedule::{Decay, Schedule, WarmUp};
use imbalance_train::{
    ExampleClasses, Interrupt, Losses, Outcome, RunFolder, RunMode, RunRequest, Sampling, Stream, Summary, TrainError,
    derive, fit,
};

use super::{Prepared, single_sampler};
use crate::VisionError;
use crate::flags::VisionFlags;
use crate::method::Method;
use crate::model::LearnableScale;
use crate::network::Network;
use crate::outcome::count_skipped;
use crate::task::Trained;

/// The folder of the second stage within the run's.
const SECOND_STAGE: &str = "stage-2";

/// What the weights that the stage starts from are called among its data.
const START: &str = "the weights of the first stage";

impl Prepared {
    /// The run folder of the second stage, within that of the run. A stage that began from other weights than `start`, the
    /// hash of the first stage's, begins anew: its checkpoints hold the whole network, and would bring those weights back.
    fn open_second_stage(
        &self,
        flags: &VisionFlags,
        losses: &Losses,
        config: &str,
        run: &RunFolder,
        start: String,
    ) -> Result<RunFolder, VisionError> {
        let folder = run.path().join(SECOND_STAGE);
        let began_so = || {
            RunFolder::check(Some(&folder), RunMode::Resume).is_ok()
                && RunFolder::stored_manifest(&folder).is_ok_and(|stored| stored.data.get(START) == Some(&start))
        };
        let mode = if began_so() {
            RunMode::Resume
        } else if folder.exists() {
            RunMode::Overwrite
        } else {
            RunMode::New
        };
        let mut manifest = self.manifest(flags, losses);
        manifest.data.insert(START.into(), start);
        let request = RunRequest {
            folder: Some(folder),
            root: run.path().to_owned(),
            name: SECOND_STAGE.into(),
            mode,
            config: config.to_owned(),
            manifest,
        };
        Ok(RunFolder::open(&request)?)
    }

    /// Trains the classifier, or factors for its logits, on frozen features (Kang et al., 2020, sections 4.1 and 4.4);
    /// `None` when interrupted.
    pub(super) fn second_stage(
        &mut self,
        flags: &VisionFlags,
        losses: &Losses,
        config: &str,
        first: &TrainConfig,
        run: Option<&RunFolder>,
        interrupt: &Interrupt,
    ) -> Result<Option<Summary>, VisionError> {
        let epochs = flags.method.stage_epochs() as usize;
        let settings = TrainConfig {
            schedule: Schedule {
                lr: flags.method.stage_lr.unwrap_or(first.schedule.lr),
                start: 0.0,
                min_lr: 0.0,
                warm_up: WarmUp::None,
                decay: Decay::Cosine,
                epochs,
            },
            // The stage says itself what is trained, which layers' rates and --freeze were not meant for.
            layer_rates: LayerRates::default(),
            frozen: Prefixes::default(),
            defer_epochs: 0,
            patience: 0,
            ..first.clone()
        };
        let open = |run: &RunFolder| -> Result<RunFolder, VisionError> {
            let start = crate::weights::sha256(&self.store)?;
            self.open_second_stage(flags, losses, config, run, start)
        };
        let mut stage = run.map(open).transpose()?;
        let plan = single_sampler(flags.method.stage_sampler, flags.train.sampler_beta, epochs);
        let counts = ClassCounts::new(self.train_counts.clone())?;
        let labels = ExampleClasses::single(self.train.labels.clone());
        let sampling = Sampling::new(plan, counts, labels).map_err(TrainError::from)?;

        for (_, mut variable) in self.store.variables() {
            let _ = variable.requires_grad_(false);
        }
        let scale = if flags.method.method == Method::Lws {
            Some(LearnableScale::new(&(self.store.root() / "scale"), self.classes.len() as i64)?)
        } else {
            let seed = derive(flags.train.seed, Stream::Weights, 1);
            if let Network::Plain(model) = &mut self.network {
                model.reset_classifier(seed)?;
            }
            for (name, mut variable) in self.store.variables() {
                if name.starts_with(crate::model::CLASSIFIER) {
                    let _ = variable.requires_grad_(true);
                }
            }
            None
        };
        let trained = scale.as_ref().map_or(Trained::Classifier, Trained::Scale);
        let mut task = self.task(flags, &sampling, trained, epochs)?;
        let outcome = fit(&mut task, &settings, stage.as_mut(), interrupt, &self.compute.group)?;
        let skipped = task.loader.skipped();
        drop(task);
        count_skipped(&mut self.skipped, skipped);
        let Outcome::Finished(summary) = outcome else { return Ok(None) };
        if let Some(scale) = scale {
            // The factors become part of the classifier.
            crate::rebuild::fold_scale(&self.network, &scale)?;
            (self.network, self.store) = crate::rebuild::copy(&self.store, &self.file.network)?;
        }
        Ok(Some(summary))
    }
}
