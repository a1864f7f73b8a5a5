//! The training loop, one for all tasks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use tch::Tensor;

use crate::average::Average;
use crate::checkpoint::{Checkpoint, CheckpointError, Parts, Pending, Snapshot, Writer};
use crate::clipping::{clip_factor, gradient_norm};
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::exact::Exact;
use crate::group::{Group, GroupError, Reducer};
use crate::interrupt::Interrupt;
use crate::memory::peak_resident_bytes;
use crate::metrics::{Metrics, Record};
use crate::optimiser::{Optimiser, freeze};
use crate::progress::{Pace, Progress};
use crate::run_folder::RunFolder;
use crate::schedule::{Decay, Position};
use crate::seeding::{Stream, seed_libtorch};
use crate::state::{LossSum, TrainState};
use crate::task::{self, BatchLoss, Share, Task};

/// How a call of [`fit`] ended without an error.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All epochs are done, or patience ran out.
    Finished(Summary),
    /// A stop was requested; the checkpoint to resume from is written.
    Interrupted(Summary),
}

/// What a run amounted to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Epochs completed.
    pub epochs: usize,
    /// Steps taken.
    pub steps: u64,
    /// Whether patience ran out before the last epoch.
    pub stopped_early: bool,
    /// The best validation value, whose weights are in `checkpoints/best.safetensors`; none before the first validation.
    pub best: Option<BestValue>,
    /// Seconds of training and validation, earlier parts of a resumed run included.
    pub seconds: f64,
    /// Peak resident memory of this process, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// The newest checkpoint.
    pub last_checkpoint: PathBuf,
}

/// A validation value with where it came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BestValue {
    /// Name of the metric.
    pub metric: String,
    /// Epoch, from 1.
    pub epoch: usize,
    /// The value.
    pub value: f64,
}

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
    let metrics = match &run {
        Some(run) if resumed => Some(Metrics::resume(run.path(), state.records, state.step)?),
        Some(run) => Some(Metrics::create(run.path())?),
        None => None,
    };
    let quiet = config.quiet || !group.is_first();
    let progress = Progress::new(config.schedule.epochs, task.units_name(), quiet);
    let reducer = {
        let variables: Vec<&Tensor> = optimiser.parameters().map(|(_, weights)| weights).collect();
        Reducer::new(group, &variables)?
    };
    let mut fit = Fit {
        task,
        config,
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

/// Gives every process the first one's weights.
fn start_alike(task: &dyn Task, average: Option<&mut Average>, group: &Group) -> Result<(), TrainError> {
    if group.size() == 1 {
        return Ok(());
    }
    let mut named: Vec<(String, Tensor)> = task.variables().variables().into_iter().collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named.iter().try_for_each(|(_, variable)| group.broadcast(variable))?;
    match average {
        Some(average) => Ok(average.start()?),
        None => Ok(()),
    }
}

/// Loads the last checkpoint of the run folder, which the first process reads, into all.
fn restore(
    task: &dyn Task,
    optimiser: &mut Optimiser,
    average: Option<&mut Average>,
    run: Option<&RunFolder>,
    group: &Group,
) -> Result<TrainState, TrainError> {
    let read = run.map(read_last).transpose()?;
    let checkpoint = match (read, group.size()) {
        (Some(checkpoint), 1) => checkpoint,
        (read, _) => {
            let path = read.as_ref().map_or_else(|| PathBuf::from("checkpoint"), |read| read.path().to_owned());
            let bytes = group.broadcast_bytes(read.map_or_else(Vec::new, |read| read.bytes().to_vec()))?;
            Checkpoint::from_bytes(&path, bytes)?
        }
    };
    checkpoint.load(task.variables(), optimiser, average)?;
    for (name, loss) in task.losses() {
        if let Some(digits) = checkpoint.state().losses.get(name) {
            let bytes =
                bytes_of(digits).ok_or_else(|| checkpoint.mismatch(format!("the state of {name} is damaged")))?;
            loss.restore(&bytes).map_err(|error| checkpoint.mismatch(error.to_string()))?;
        }
    }
    Ok(checkpoint.state().clone())
}

/// The last checkpoint, or the one before it when the last is damaged.
fn read_last(run: &RunFolder) -> Result<Checkpoint, TrainError> {
    let (last, previous) = (run.last_checkpoint(), run.previous_checkpoint());
    let checkpoint = match Checkpoint::read(&last) {
        Ok(checkpoint) => checkpoint,
        Err(error) if previous.exists() => {
            let checkpoint = Checkpoint::read(&previous).map_err(|second| {
                let reason = format!("{error}; {second}; start the run again with --overwrite");
                CheckpointError::Damaged { path: run.checkpoints(), reason }
            })?;
            eprintln!("warning: {error}; going on from {}", previous.display());
            checkpoint
        }
        Err(error) => return Err(error.into()),
    };
    if checkpoint.state().settings != run.settings_hash() {
        return Err(checkpoint.mismatch("it was written with other settings than this run's".into()).into());
    }
    Ok(checkpoint)
}

/// The bytes of an even number of hexadecimal digits.
fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if rest.is_empty() { pairs.iter().map(pair).collect() } else { None }
}

struct Fit<'a> {
    task: &'a mut dyn Task,
    config: &'a TrainConfig,
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
}

/// What one step found, for its record.
struct Step {
    lr: f64,
    gradient_norm: f64,
}

/// The gradients of a step's batches so far.
#[derive(Default)]
struct Added {
    /// One a variable, or none before the first batch.
    gradients: Vec<Tensor>,
    /// What the losses of all batches were divided by: the units of the first, before those of the others are known.
    divisor: f64,
    /// The units of all, over all processes.
    units: f64,
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
            let step = self.step(batches, count, &mut window)?;
            let last = self.state.batch == count;
            let pace = Pace {
                epoch,
                done: self.state.batch,
                batches: count,
                loss: self.state.recent_loss.mean(),
                rate: window.rate(),
            };
            self.progress.step(|| pace);
            if last || every(self.config.log_every, self.state.step) {
                self.record_step(&step, &window)?;
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

    /// One step with the gradient of all of these batches: that of the sum of their losses over the sum of their units.
    fn step(&mut self, batches: &[Share], count: usize, window: &mut Window) -> Result<Step, TrainError> {
        let TrainState { epoch, batch: first, step, .. } = self.state;
        seed_libtorch(self.group.seed(self.config.seed), Stream::Step, step);
        let mut added = Added::default();
        for (batch, number) in batches.iter().zip(first + 1..) {
            let at = task::Step { epoch, phase: self.config.phase(epoch), step };
            let loss = self.task.forward(&batch.examples, at).map_err(|error| self.placed(error))?;
            self.add(&mut added, loss.as_ref(), number, batches.len() == 1)?;
        }
        if batches.len() > 1 && added.units > 0.0 {
            self.reducer.begin()?;
            self.reducer.finish(&mut added.gradients)?;
        }

        let at = Position { step, epoch, batch: first, batches: count };
        let lr = self.config.schedule.rate(at, self.state.plateau.scale());
        // 1 for a single batch.
        let share = if added.units > 0.0 { added.divisor / added.units } else { 0.0 };
        let share = share / self.loss_factor();
        let norm = share * gradient_norm(&added.gradients)?;
        if self.config.scale_loss && self.state.loss_scale.observe(norm.is_finite()) && !norm.is_finite() {
            // float16 could not hold the gradients; the next step scales them less.
        } else {
            self.check_finite("gradient norm", norm)?;
            let scale = share * self.config.clip_norm.map_or(1.0, |largest| clip_factor(norm, largest));
            self.optimiser.step(&added.gradients, scale, lr)?;
            if let Some(average) = &mut self.average {
                average.update(step)?;
            }
        }

        if step == 0
            && let Some(run) = &mut self.run
        {
            run.keep()?;
        }
        self.state.step += 1;
        self.state.batch += batches.len();
        window.units += added.units;
        Ok(Step { lr, gradient_norm: norm })
    }

    /// Adds the gradient of a batch, the `number`th of its epoch. `only` says that it is all of a step: its gradients are
    /// summed over the processes while they are computed.
    fn add(
        &mut self,
        added: &mut Added,
        loss: Option<&BatchLoss>,
        number: usize,
        only: bool,
    ) -> Result<(), TrainError> {
        let wrong = |reason: &str| TrainError::Batch { epoch: self.state.epoch, batch: number, reason: reason.into() };
        let mut own = [0.0; 2];
        if let Some(loss) = loss {
            if !(loss.units > 0.0 && loss.units.is_finite()) {
                return Err(wrong(&format!("its loss sums over {} {}", loss.units, self.task.units_name())));
            }
            if loss.sum.numel() != 1 || !loss.sum.requires_grad() {
                return Err(wrong("its loss is not a scalar with a graph"));
            }
            own = [loss.sum.f_double_value(&[])?, loss.units];
        }
        let asked = f64::from(self.group.size() > 1 && self.interrupt.requested());
        let [sum, units, asked] = self.group.sum([own[0], own[1], asked])?;
        self.stop |= asked > 0.0;
        if units == 0.0 {
            return Ok(());
        }
        self.check_finite("loss", sum)?;
        if added.units == 0.0 {
            added.divisor = units;
        }
        if only {
            self.reducer.begin()?;
        }
        let mut gradients = match loss {
            Some(loss) => {
                let scaled = loss.sum.f_div_scalar(added.divisor)?;
                let scaled = match self.loss_factor() {
                    1.0 => scaled,
                    factor => scaled.f_mul_scalar(factor)?,
                };
                self.optimiser.gradients(&scaled)?
            }
            None => self.optimiser.parameters().map(|_| Tensor::new()).collect(),
        };
        if only {
            self.reducer.finish(&mut gradients)?;
        }
        added.units += units;
        added.gradients = match std::mem::take(&mut added.gradients) {
            none if none.is_empty() => gradients,
            before => sums(before, gradients)?,
        };
        self.state.epoch_loss.add(sum, units);
        self.state.recent_loss.add(sum, units);
        Ok(())
    }

    /// What the loss is multiplied by before the backward pass.
    fn loss_factor(&self) -> f64 {
        if self.config.scale_loss { self.state.loss_scale.factor() } else { 1.0 }
    }

    /// Whether any process has been asked to stop.
    fn agreed_to_stop(&self) -> Result<bool, TrainError> {
        Ok(self.group.sum([f64::from(self.interrupt.requested())])? != [0.0])
    }

    fn check_finite(&self, what: &'static str, value: f64) -> Result<(), TrainError> {
        if value.is_finite() {
            return Ok(());
        }
        let (epoch, step, checkpoint) = self.place();
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

    fn record_step(&mut self, step: &Step, window: &Window) -> Result<(), TrainError> {
        let values = vec![
            ("loss".to_string(), self.state.recent_loss.mean()),
            ("lr".to_string(), step.lr),
            ("gradient_norm".to_string(), step.gradient_norm),
        ];
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
        self.check_finite("validation value", value)?;
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
        if let (true, Some(run)) = (improved, &self.run) {
            let path = run.best_checkpoint();
            self.ready_to_save()?;
            let snapshot = Snapshot::take(&Parts::weights(self.task.variables()), &self.state)?;
            pending.push(Pending { snapshot, path, previous: None });
        }
        self.swap_average()?;
        // Best before last: a crash between the two repeats the epoch, which writes the same best again.
        self.save_after(pending)
    }

    /// The metrics on the validation data, which the first process measures for all.
    fn validate(&mut self) -> Result<BTreeMap<String, f64>, TrainError> {
        let unreadable = |error: serde_json::Error| GroupError::Message(error.to_string());
        let mut text = String::new();
        if self.group.is_first() {
            let phase = self.config.phase(self.state.epoch);
            let results = tch::no_grad(|| self.task.validate(phase)).map_err(|error| self.placed(error))?;
            if self.group.size() == 1 {
                return Ok(results);
            }
            let exact: BTreeMap<String, Exact> =
                results.into_iter().map(|(name, value)| (name, Exact(value))).collect();
            text = serde_json::to_string(&exact).map_err(unreadable)?;
        }
        let text = self.group.broadcast_text(text)?;
        let exact: BTreeMap<String, Exact> = serde_json::from_str(&text).map_err(unreadable)?;
        Ok(exact.into_iter().map(|(name, value)| (name, value.0)).collect())
    }

    /// Exchanges weights and averages, where results are those of the average.
    fn swap_average(&mut self) -> Result<(), TrainError> {
        match &mut self.average {
            Some(average) => Ok(average.swap()?),
            None => Ok(()),
        }
    }

    /// Weights can overflow in the very step that is then saved; such a checkpoint must not replace a good one.
    fn check_weights(&self) -> Result<(), TrainError> {
        for variable in self.task.variables().trainable_variables() {
            let largest = tch::no_grad(|| variable.f_abs()?.f_max()?.f_double_value(&[]))?;
            self.check_finite("largest weight", largest)?;
        }
        Ok(())
    }

    /// Puts what the losses accumulated into the state.
    fn note_losses(&mut self) -> Result<(), TrainError> {
        self.state.losses.clear();
        for (name, loss) in self.task.losses() {
            let bytes = loss.state().map_err(TrainError::task)?;
            if !bytes.is_empty() {
                let digits = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                self.state.losses.insert(name.to_owned(), digits);
            }
        }
        Ok(())
    }

    /// Puts into the state what it must hold when it is saved.
    fn ready_to_save(&mut self) -> Result<(), TrainError> {
        self.check_weights()?;
        self.note_losses()?;
        self.state.records = self.metrics.as_ref().map_or(0, Metrics::records);
        Ok(())
    }

    fn save(&mut self) -> Result<(), TrainError> {
        self.save_after(Vec::new())
    }

    /// Begins to write `pending` and then the last checkpoint.
    fn save_after(&mut self, mut pending: Vec<Pending>) -> Result<(), TrainError> {
        if self.run.is_none() {
            return Ok(());
        }
        self.ready_to_save()?;
        let (Some(run), Some(metrics)) = (&self.run, &self.metrics) else { return Ok(()) };
        let parts = Parts {
            variables: self.task.variables(),
            optimiser: Some(&self.optimiser),
            average: self.average.as_ref(),
        };
        let snapshot = Snapshot::take(&parts, &self.state)?;
        pending.push(Pending { snapshot, path: run.last_checkpoint(), previous: Some(run.previous_checkpoint()) });
        Ok(self.writer.borrow_mut().begin(metrics.file()?, pending)?)
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

/// Gradients of two losses added, of which either may be undefined.
fn sums(first: Vec<Tensor>, second: Vec<Tensor>) -> Result<Vec<Tensor>, TrainError> {
    let _no_grad = tch::no_grad_guard();
    let sum = |(a, b): (Tensor, Tensor)| match (a.defined(), b.defined()) {
        // Not in place: two variables can share a gradient.
        (true, true) => Ok(a.f_add(&b)?),
        (true, false) => Ok(a),
        (false, _) => Ok(b),
    };
    first.into_iter().zip(second).map(sum).collect()
}

fn every(period: u64, step: u64) -> bool {
    period > 0 && step.is_multiple_of(period)
}
