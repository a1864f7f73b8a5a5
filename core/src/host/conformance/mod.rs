//! Does a plugin keep the contract of the ABI? Checks of any plugin, also one written elsewhere.
//!
//! [`open`] opens the file, [`examine`] runs the rest of [`Check::ALL`]. A plugin that breaks the contract badly kills
//! the process, or never gives it back: run them in a process of their own, which reports each [`Event`] before it
//! goes on, as `toolkit losses check` does. The last event then says what was being done.
//!
//! # Example
//! ```no_run
//! use imbalance_core::host::conformance::{self, Event, Options, Verdict};
//!
//! let mut failed = 0;
//! let mut tell = |event: Event| {
//!     if let Event::Finished(finding) = event {
//!         failed += usize::from(finding.verdict == Verdict::Failed);
//!         println!("{}: {}", finding.check.name(), finding.said);
//!     }
//! };
//! if let Some(plugin) = conformance::open("libtoolkit_loss_mine.so".as_ref(), &mut tell) {
//!     conformance::examine(&plugin, &Options::default(), &mut tell);
//! }
//! assert_eq!(failed, 0);
//! ```

mod buffers;
mod calls;
mod declarations;
mod exam;
mod extensions;
mod life_cycle;
mod memory;
mod numbers;
mod probe;
mod smoothness;

use std::path::Path;

use serde::{Deserialize, Serialize};

use exam::{Exam, Stop};

pub use declarations::is_well_formed;

use super::Plugin;
use crate::ClassCounts;

/// One thing that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// It opens, and speaks this ABI.
    Handshake,
    /// Its file name stands for its id.
    Name,
    /// What it declares of itself and its parameters is usable.
    Declarations,
    /// Instances for both heads, with default parameters and at the edges of each parameter's range.
    LifeCycle,
    /// It stays within its buffers, and leaves its inputs alone.
    Buffers,
    /// Parameters and counts that no host gives are refused or do no harm.
    OutOfRange,
    /// A refusal comes with a message that ends within its buffer.
    Messages,
    /// Finite at every log-odds of −80…80, for every class and at the edges of the parameters.
    Finite,
    /// The loss makes no jump.
    Continuity,
    /// The slope is the derivative of the loss.
    Derivative,
    /// float32 gives what float64 gives.
    Float32,
    /// The same values in batches of every size.
    BatchSize,
    /// The same bits every time.
    Determinism,
    /// The same bits while other threads use the same instance.
    Threads,
    /// One instance knows nothing of another.
    Instances,
    /// What its extensions say is well formed and agrees with its evaluation.
    Extensions,
}

impl Check {
    /// Every check, in the order in which they run.
    pub const ALL: [Self; 16] = [
        Self::Handshake,
        Self::Name,
        Self::Declarations,
        Self::LifeCycle,
        Self::Buffers,
        Self::OutOfRange,
        Self::Messages,
        Self::Finite,
        Self::Continuity,
        Self::Derivative,
        Self::Float32,
        Self::BatchSize,
        Self::Determinism,
        Self::Threads,
        Self::Instances,
        Self::Extensions,
    ];

    /// Its name, as reports print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Name => "name",
            Self::Declarations => "declarations",
            Self::LifeCycle => "life-cycle",
            Self::Buffers => "buffers",
            Self::OutOfRange => "out-of-range",
            Self::Messages => "messages",
            Self::Finite => "finite",
            Self::Continuity => "continuity",
            Self::Derivative => "derivative",
            Self::Float32 => "float32",
            Self::BatchSize => "batch-size",
            Self::Determinism => "determinism",
            Self::Threads => "threads",
            Self::Instances => "instances",
            Self::Extensions => "extensions",
        }
    }

    /// Whether it is about nothing but loss and slope at log-odds, which a loss of whole tensors does not give.
    fn evaluates(self) -> bool {
        match self {
            Self::Finite | Self::Continuity | Self::Derivative | Self::Float32 => true,
            Self::BatchSize | Self::Determinism | Self::Threads | Self::Instances => true,
            Self::Handshake | Self::Name | Self::Declarations | Self::LifeCycle => false,
            Self::Buffers | Self::OutOfRange | Self::Messages | Self::Extensions => false,
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The plugin keeps this part of the contract.
    Passed,
    /// It does not.
    Failed,
    /// It has nothing to check here.
    NotApplicable,
    /// An earlier failure left no way to tell.
    NotRun,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen: of a failure, what is wrong, where, and what would be right.
    pub said: String,
    /// What is allowed, but worth knowing.
    pub notes: Vec<String>,
}

/// What happens while a plugin is checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A check begins.
    Started(Check),
    /// Within a check: what is done next.
    Doing(String),
    /// A check ended.
    Finished(Finding),
}

/// With what a plugin is checked.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Parameters by name; the others take their defaults.
    pub params: Vec<(String, f64)>,
    /// Training examples of each class; none: those of long-tailed CIFAR-10 at imbalance ratio 100.
    pub counts: Option<ClassCounts>,
}

/// Opens the plugin at `path` and checks [`Check::Handshake`] and [`Check::Name`]; none where it cannot be opened.
pub fn open(path: &Path, tell: &mut dyn FnMut(Event)) -> Option<Plugin> {
    tell(Event::Started(Check::Handshake));
    let opened = Plugin::open(path);
    let handshake = match &opened {
        Ok(plugin) => Ok(declarations::opened(plugin)),
        Err(error) => Err(Stop::Failed(error.reason.clone())),
    };
    tell(Event::Finished(exam::finding(Check::Handshake, handshake, Vec::new())));
    let plugin = opened.ok()?;
    tell(Event::Started(Check::Name));
    tell(Event::Finished(exam::finding(Check::Name, declarations::name(&plugin, path), Vec::new())));
    Some(plugin)
}

/// Runs the checks that follow [`open`].
pub fn examine(plugin: &Plugin, options: &Options, tell: &mut dyn FnMut(Event)) {
    let mut exam = Exam::new(plugin, options, tell);
    for check in Check::ALL {
        let run: fn(&mut Exam<'_>) -> Result<String, Stop> = match check {
            Check::Handshake | Check::Name => continue,
            Check::Declarations => declarations::check,
            Check::LifeCycle => life_cycle::check,
            Check::Buffers => buffers::check,
            Check::OutOfRange => life_cycle::out_of_range,
            Check::Messages => life_cycle::messages,
            Check::Finite => numbers::finite,
            Check::Continuity => smoothness::continuity,
            Check::Derivative => smoothness::derivative,
            Check::Float32 => numbers::float32,
            Check::BatchSize => calls::batch_size,
            Check::Determinism => calls::determinism,
            Check::Threads => calls::threads,
            Check::Instances => calls::instances,
            Check::Extensions => extensions::check,
        };
        exam.run(check, run);
    }
}
