//! What a training saves, and when it must not.

use crate::checkpoint::{Parts, Pending, Snapshot};
use crate::error::TrainError;
use crate::metrics::Metrics;
use crate::multi_tensor::largest_of_all;
use crate::state::Accumulated;

use super::Fit;

impl Fit<'_> {
    /// Weights can overflow in the very step that is then saved; such a checkpoint must not replace a good one.
    fn check_weights(&self) -> Result<(), TrainError> {
        let variables = self.task.variables().trainable_variables();
        let variables: Vec<_> = variables.iter().filter(|variable| variable.numel() > 0).collect();
        if variables.is_empty() {
            return Ok(());
        }
        let largest = largest_of_all(&variables)?.f_double_value(&[])?;
        self.check_finite("largest weight", largest, self.state.step)
    }

    /// Puts what the losses of all processes accumulated into the first one's state.
    fn note_losses(&mut self) -> Result<(), TrainError> {
        let mut own = Accumulated::new();
        for (name, loss) in self.task.losses() {
            let bytes = loss.state().map_err(TrainError::task)?;
            if !bytes.is_empty() {
                let digits = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                own.insert(name.to_owned(), digits);
            }
        }
        let mut all = self.group.gather(self.group.size(), vec![own])?.into_iter();
        self.state.losses = all.next().unwrap_or_default();
        self.state.losses_of_others = all.collect();
        if self.state.losses_of_others.iter().all(Accumulated::is_empty) {
            self.state.losses_of_others.clear();
        }
        Ok(())
    }

    /// Puts into the state what it must hold when it is saved. All processes call it; those that save nothing only tell the
    /// first what it needs of them.
    pub(super) fn ready_to_save(&mut self) -> Result<(), TrainError> {
        self.note_losses()?;
        if self.run.is_none() {
            return Ok(());
        }
        self.settle()?;
        self.check_weights()?;
        if let Some(order) = self.reducer.order() {
            self.state.gradient_order = order;
        }
        self.state.records = self.metrics.as_ref().map_or(0, Metrics::records);
        Ok(())
    }

    pub(super) fn save(&mut self) -> Result<(), TrainError> {
        self.save_after(Vec::new())
    }

    /// Begins to write `pending` and then the last checkpoint; all processes call it.
    pub(super) fn save_after(&mut self, mut pending: Vec<Pending>) -> Result<(), TrainError> {
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
}
