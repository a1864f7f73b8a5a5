//! The losses that a run trains with.

use imbalance_core::host::{Loss, LossChoice};
use imbalance_core::{ClassCounts, Head, LossError};

use crate::manifest::PluginRecord;
use crate::task::LossPhase;

/// The losses of a training, as they were chosen.
#[derive(Clone, Debug)]
pub struct Losses {
    /// `--loss`.
    pub main: LossChoice,
    /// `--base-loss`, for the first `--defer-epochs` epochs.
    pub base: Option<LossChoice>,
}

/// The losses of a training, for its classes.
#[derive(Debug)]
pub struct MadeLosses {
    /// `--loss`.
    pub main: Loss,
    /// `--base-loss`, for the first `--defer-epochs` epochs.
    pub base: Option<Loss>,
}

impl Losses {
    /// Both for these class counts.
    ///
    /// # Errors
    /// What a plugin says of its parameters or the counts.
    pub fn make(&self, head: Head, counts: &ClassCounts) -> Result<MadeLosses, LossError> {
        Ok(MadeLosses {
            main: self.main.make(head, counts)?,
            base: self.base.as_ref().map(|base| base.make(head, counts)).transpose()?,
        })
    }

    /// Their plugins, for the run's manifest; a built-in one has no file.
    pub fn plugins(&self) -> Vec<PluginRecord> {
        let record = |choice: &LossChoice| {
            let (path, sha256) = (choice.plugin.path()?, choice.plugin.sha256()?);
            Some(PluginRecord { id: choice.plugin.id().into(), path: path.into(), sha256: sha256.into() })
        };
        std::iter::once(&self.main).chain(&self.base).filter_map(record).collect()
    }
}

impl MadeLosses {
    /// The loss of a phase.
    pub fn of(&self, phase: LossPhase) -> &Loss {
        match (phase, &self.base) {
            (LossPhase::Base, Some(base)) => base,
            _ => &self.main,
        }
    }

    /// Both, the chosen one first.
    pub fn all(&self) -> impl Iterator<Item = &Loss> {
        std::iter::once(&self.main).chain(&self.base)
    }

    /// Both by name, as [`crate::Task::losses`] gives them.
    pub fn named(&self) -> Vec<(&'static str, &Loss)> {
        let base = self.base.iter().map(|base| ("base", base));
        base.chain(std::iter::once(("main", &self.main))).collect()
    }
}
