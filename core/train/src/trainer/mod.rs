//! The training loop, one for all tasks.

mod outcome;
mod saving;
mod start;
mod step;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use tch::Tensor;

use crate::average::Average;
use crate::checkpoint::{Parts, Pending, Snapshot, Writer};
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::group::{Group, Reducer};
use crate::interrupt::Interrupt;
use crate::memory::peak_resident_bytes;
use crate::metrics::{Metrics, Record};
use crate::optimiser::{Optimiser, freeze};
use crate::progress::{Pace, Progress};
use crate::run_folder::RunFolder;
use crate::schedule::{Decay, Span};
use crate::seeding::{Stream, seed_libtorch};
use crate::state::{LossSum, TrainState};
use crate::task::{Share, Task};

pub use outcome::{BestValue, Outcome, Summary};
use start::{restore, start_alike};
use step::{Found, Seen};

/// Trains a task in a run folder, from the start or, for a resumed folder, from its last checkpoint. Before the
/// call the task must have built its variables; their first values should come from
/// [`Stream::Weights`]. With a moving average of the weights, the task's variables are the average at the end.
///
/// Of several processes only the first, which alone evaluates and writes, has a run folder; the others go through the same
/// steps and end with the same weights.
///
/// A run that was stopped anywhere and resumed ends with the same bytes of weights, optimiser state and metrics
/// (their field `seconds` apart) as one that never was, given the same machine and numbers of threads and processes.
/// libtorch's random generator belongs to the process, so only one run may train in it at a time.
///
/// # Errors
/// [`TrainError`]; the last good checkpoint stays.
pub fn fit(
    task: &mut dyn Task,
    config: &TrainConfig,
    run: Option<&mut RunFolder>,
    interrupt: &Interrupt,
    group: &Group,
) -> Result<Outcome, TrainError> {
    config.check()?;
    crate::memory::keep_freed();
    freeze(task.variables(), &config.frozen)?;
    let optimiser = Optimiser::new(task.variables(), config.rule, |name| task.decays(name))?;
    let mut optimiser = optimiser.with_rates(&config.layer_rates)?;
    let mut average = config.average.map(|decay| Average::new(task.variables(), decay)).transpose()?;
    let mut state = TrainState::new(run.as_ref().map_or("", |run| run.settings_hash()));
    let resumed = group.sum([f64::from(run.as_ref().is_some_and(|run| run.resumed()))])? != [0.0];
    if resumed {
        state = restore(task, &mut optimiser, average.as_mut(), run.as_deref(), group)?;
    } else {
        start_alike(task, average.as_mut(), group)?;
    }
    let span = config.schedule.span(|epoch| -> Result<u64, TrainError> {
        Ok(task.batches(epoch)?.len().div_ceil(config.accumulate) as u64)
    })?;
    let metrics = match &run {
        Some(run) if resumed => Some(Metrics::resume(run.path(), state.records, state.step)?),
        Some(run) => Some(Metrics::create(run.path())?),
        None => None,
    };
    let quiet = config.quiet || !group.is_first();
    let progress = Progress::new(config.schedule.epochs, task.units_name(), quiet);
    let mut reducer = {
        let variables: Vec<&Tensor> = optimiser.parameters().map(|(_, weights)| weights).collect();
        Reducer::new(group, &variables)?
    };
    if !state.gradient_order.is_empty() {
        reducer.follow(&state.gradient_order)?;
    }
    let mut fit = Fit {
        task,
        config,
        span,
        run,
        interrupt,
        group,
        reducer,
        optimiser,
        average,
        state,
        metrics,
        progress,
        writer: RefCell::default(),
        stop: false,
        found: Vec::new(),
        seen: None,
    };
    let finished = fit.run();
    fit.progress.finish();
    let finished = finished?;
    fit.writer.borrow_mut().finish()?;
    if let (true, Some(average)) = (finished, &mut fit.average) {
        average.swap()?;
    }
    let summary = fit.summary();
    Ok(if finished { Outcome::Finished(summary) } else { Outcome::Interrupted(summary) })
}

struct Fit<'a> {
    task: &'a mut dyn Task,
    config: &'a TrainConfig,
    span: Span,
    /// In the first process.
    run: Option<&'a mut RunFolder>,
    interrupt: &'a Interrupt,
    group: &'a Group,
    reducer: Reducer<'a>,
    optimiser: Optimiser,
    average: Option<Average>,
    state: TrainState,
    /// In the first process.
    metrics: Option<Metrics>,
    progress: Progress,
    writer: RefCell<Writer>,
    /// Whether a process of the group has been asked to stop, as of this step.
    stop: bool,
    /// What the last steps found, until it is read.
    found: Vec<Found>,
    /// What the newest step that was read has found.
    seen: Option<Seen>,
}

/// The clock of the records: units and time since the last one, in this process.
struct Window {
    start: Instant,
    units: f64,
}

impl Window {
    fn new() -> Window {
        Window { start: Instant::now(), units: 0.0 }
    }

    fn rate(&self) -> f64 {
        self.units / self.start.elapsed().as_secs_f64()
    }
}

impl Fit<'_> {
    /// Returns whether the run is finished, as against interrupted.
    fn run(&mut self) -> Result<bool, TrainError> {
        while self.state.epoch <= self.config.schedule.epochs && !self.state.stopping.stopped() {
            if !self.train_epoch()? {
                return Ok(false);
            }
            self.end_epoch()?;
            if self.agreed_to_stop()? {
                return Ok(self.state.epoch > self.config.schedule.epochs || self.state.stopping.stopped());
            }
        }
        Ok(true)
    }

    /// The rest of the current epoch; returns `false` when interrupted, with a checkpoint written.
    fn train_epoch(&mut self) -> Result<bool, TrainError> {
        let epoch = self.state.epoch;
        let batches = self.task.batches(epoch)?;
        if batches.is_empty() {
            return Err(TrainError::NoBatches { epoch });
        }
        let count = batches.len();
        if self.state.batch > count {
            return Err(TrainError::Settings(format!(
                "the checkpoint is at batch {} of epoch {epoch}, which now has {count}: the data have changed",
                self.state.batch
            )));
        }
        let batches = self.shares(&batches);
        self.task.begin_epoch(epoch, &batches, self.state.batch).map_err(|error| self.placed(error))?;
        self.progress.begin_epoch(epoch, self.state.batch, count);
        let mut window = Window::new();
        for batches in batches[self.state.batch..].chunks(self.config.accumulate) {
            window.units += self.step(batches, count)?;
            // A full disk is told now, and not when the next checkpoint is due.
            self.writer.get_mut().look()?;
            let last = self.state.batch == count;
            let recorded = last || every(self.config.log_every, self.state.step);
            if recorded {
                self.settle()?;
            }
            let pace = Pace {
                epoch,
                done: self.state.batch,
                batches: count,
                loss: self.seen.map_or(f64::NAN, |seen| seen.loss),
                rate: window.rate(),
            };
            self.progress.step(batches.len(), || pace);
            if recorded {
                self.record_step(&window)?;
                self.progress.record(pace);
                window = Window::new();
            }
            if self.stop || (self.group.size() == 1 && self.interrupt.requested()) {
                self.save()?;
                return Ok(false);
            }
            // The end of the epoch has its own, after validation.
            if !last && every(self.config.checkpoint_every, self.state.step) {
                self.save()?;
            }
        }
        Ok(true)
    }

    /// This process's parts of the batches of an epoch.
    fn shares(&self, batches: &[Vec<usize>]) -> Vec<Share> {
        let share = |start: &mut usize, batch: &Vec<usize>| {
            let first = *start + self.group.part(batch.len()).start;
            *start += batch.len();
            Some(Share { examples: self.task.share(batch, self.group), first })
        };
        batches.iter().scan(0, share).collect()
    }

    /// Whether any process has been asked to stop.
    fn agreed_to_stop(&self) -> Result<bool, TrainError> {
        Ok(self.group.sum([f64::from(self.interrupt.requested())])? != [0.0])
    }

    /// `step` is from 1.
    fn check_finite(&self, what: &'static str, value: f64, step: u64) -> Result<(), TrainError> {
        if value.is_finite() {
            return Ok(());
        }
        let (epoch, _, checkpoint) = self.place();
        Err(TrainError::NonFinite { what, value, epoch, step, checkpoint })
    }

    /// Epoch, step and newest checkpoint, for an error.
    fn place(&self) -> (usize, u64, Option<PathBuf>) {
        // One that is being written will be there; what is wrong with it is not what is told here.
        let _ = self.writer.borrow_mut().finish();
        let checkpoint = self.run.as_ref().map(|run| run.last_checkpoint()).filter(|path| path.exists());
        (self.state.epoch, self.state.step + 1, checkpoint)
    }

    /// Says where in the training the task failed.
    fn placed(&self, error: TrainError) -> TrainError {
        let (epoch, step, checkpoint) = self.place();
        match error {
            TrainError::Task(reason) => TrainError::Step { epoch, step, checkpoint, reason },
            error => error,
        }
    }

    /// Records the last step, which has been read.
    fn record_step(&mut self, window: &Window) -> Result<(), TrainError> {
        let Some(Seen { loss, lr, gradient_norm }) = self.seen else { return Ok(()) };
        let values =
            vec![("loss".to_string(), loss), ("lr".to_string(), lr), ("gradient_norm".to_string(), gradient_norm)];
        let timings = vec![(format!("{}_per_second", self.task.units_name()), window.rate())];
        self.state.recent_loss = LossSum::default();
        self.record("train", values, timings)
    }

    fn record(
        &mut self,
        kind: &'static str,
        values: Vec<(String, f64)>,
        timings: Vec<(String, f64)>,
    ) -> Result<(), TrainError> {
        let TrainState { epoch, step, .. } = self.state;
        let phase = self.config.phase(epoch);
        match &mut self.metrics {
            Some(metrics) => Ok(metrics.write(&Record { kind, epoch, step, phase, values, timings })?),
            None => Ok(()),
        }
    }

    /// Validation, what follows from it, and the checkpoints.
    fn end_epoch(&mut self) -> Result<(), TrainError> {
        let epoch = self.state.epoch;
        let train_loss = self.state.epoch_loss.mean();
        self.record("epoch", vec![("loss".into(), train_loss)], Vec::new())?;

        seed_libtorch(self.config.seed, Stream::Validation, epoch as u64);
        let start = Instant::now();
        self.swap_average()?;
        let results = self.validate()?;
        let took = start.elapsed().as_secs_f64();
        let (monitor, goal) = self.task.monitor();
        let monitor = monitor.to_string();
        let value = *results.get(&monitor).ok_or_else(|| TrainError::NoMonitor {
            wanted: monitor.clone(),
            reported: results.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        self.check_finite("validation value", value, self.state.step)?;
        let line = results.iter().map(|(name, value)| format!(", {name} {value:.4}")).collect::<String>();
        self.record("valid", results.into_iter().collect(), vec![("validation".into(), took)])?;

        // Values of the base loss and of the chosen one do not compare; the best weights of the former are not
        // a result of the latter, and patience with it must not end the run before the other had its turn.
        if epoch == self.config.defer_epochs + 1 {
            self.state.plateau.restart();
            self.state.stopping.restart();
        }
        if let Decay::Plateau(plateau) = self.config.schedule.decay {
            self.state.plateau.observe(value, goal, plateau);
        }
        let patience = if epoch <= self.config.defer_epochs { 0 } else { self.config.patience };
        let improved = self.state.stopping.observe(epoch, value, goal, patience);
        let note = if improved { " (best so far)" } else { "" };
        self.progress
            .line(&format!("epoch {epoch}/{}: train loss {train_loss:.4}{line}{note}", self.config.schedule.epochs));

        self.state.epoch += 1;
        self.state.batch = 0;
        self.state.epoch_loss = LossSum::default();
        let mut pending = Vec::new();
        if improved {
            self.ready_to_save()?;
            if let Some(run) = &self.run {
                let snapshot = Snapshot::take(&Parts::weights(self.task.variables()), &self.state)?;
                pending.push(Pending { snapshot, path: run.best_checkpoint(), previous: None });
            }
        }
        self.swap_average()?;
        // Best before last: a crash between the two repeats the epoch, which writes the same best again.
        self.save_after(pending)
    }

    /// The metrics on the validation data: the first process's for all.
    fn validate(&mut self) -> Result<BTreeMap<String, f64>, TrainError> {
        if self.group.size() > 1 {
            // Running statistics are each process's own until here.
            self.group.broadcast_variables(self.task.variables(), |variable| !variable.requires_grad())?;
        }
        let phase = self.config.phase(self.state.epoch);
        let results = tch::no_grad(|| self.task.validate(phase, self.group)).map_err(|error| self.placed(error))?;
        Ok(self.group.broadcast_value(results)?)
    }

    /// Exchanges weights and averages, where results are those of the average.
    fn swap_average(&mut self) -> Result<(), TrainError> {
        match &mut self.average {
            Some(average) => Ok(average.swap()?),
            None => Ok(()),
        }
    }

    fn summary(&self) -> Summary {
        let best = self.state.stopping.best().map(|best| BestValue {
            metric: self.task.monitor().0.to_string(),
            epoch: best.epoch,
            value: best.value.0,
        });
        Summary {
            epochs: self.state.epoch - 1,
            steps: self.state.step,
            stopped_early: self.state.stopping.stopped(),
            best,
            seconds: self.metrics.as_ref().map_or(0.0, Metrics::elapsed),
            peak_memory_bytes: peak_resident_bytes(),
            last_checkpoint: self.run.as_ref().map(|run| run.last_checkpoint()).unwrap_or_default(),
        }
    }
}

fn every(period: u64, step: u64) -> bool {
    period > 0 && step.is_multiple_of(period)
}
