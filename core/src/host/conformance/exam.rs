//! What the checks of one plugin share.

use super::probe::{Instance, Refusal};
use super::{Check, Event, Finding, Options, Verdict};
use crate::host::Plugin;
use crate::{Head, ParamKind, ParamSpec};

/// Examples of each class of long-tailed CIFAR-10 at imbalance ratio 100 (Cui et al. 2019): `5000 · 100^(−c/9)`.
const CIFAR_10_LT_100: [u64; 10] = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50];

/// Why a check does not pass.
pub(super) enum Stop {
    /// The contract is broken.
    Failed(String),
    /// The contract is broken such that no later check makes sense.
    Stuck(String),
    /// The plugin has nothing to check here.
    NotApplicable(String),
}

impl From<String> for Stop {
    fn from(said: String) -> Self {
        Self::Failed(said)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(refusal.to_string())
    }
}

/// A head with values for all parameters.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub head: Head,
    pub values: Vec<f64>,
    /// How it is named in messages.
    pub label: String,
}

/// A log-odds where the slope jumps.
pub(super) struct Kink {
    /// Which of [`Exam::cases`].
    pub case: usize,
    pub class: u32,
    pub m: f64,
}

/// The state of an examination.
pub(super) struct Exam<'a> {
    pub plugin: &'a Plugin,
    /// `[classes]`
    pub counts: Vec<u64>,
    params: &'a [(String, f64)],
    tell: &'a mut dyn FnMut(Event),
    notes: Vec<String>,
    stuck: bool,
    /// A head that the loss says it is not for.
    pub refused: Option<Head>,
    /// What the continuity check found, for the derivative's.
    pub kinks: Vec<Kink>,
}

impl<'a> Exam<'a> {
    pub fn new(plugin: &'a Plugin, options: &'a Options, tell: &'a mut dyn FnMut(Event)) -> Self {
        let counts = options.counts.as_ref().map_or(CIFAR_10_LT_100.to_vec(), |counts| counts.as_slice().to_vec());
        Self {
            plugin,
            counts,
            params: &options.params,
            tell,
            notes: Vec::new(),
            stuck: false,
            refused: None,
            kinks: Vec::new(),
        }
    }

    /// Runs one check and tells what it found.
    pub fn run(&mut self, check: Check, body: impl FnOnce(&mut Self) -> Result<String, Stop>) {
        if self.stuck {
            let said = "an earlier failure leaves nothing to check".into();
            return (self.tell)(Event::Finished(Finding { check, verdict: Verdict::NotRun, said, notes: Vec::new() }));
        }
        (self.tell)(Event::Started(check));
        let outcome = if check.evaluates() && self.plugin.raw().eval_f64.is_none() {
            Err(Stop::NotApplicable("it takes whole tensors, and evaluates no log-odds".into()))
        } else {
            body(self)
        };
        self.stuck = matches!(outcome, Err(Stop::Stuck(_)));
        let finding = finding(check, outcome, std::mem::take(&mut self.notes));
        (self.tell)(Event::Finished(finding));
    }

    /// Says what comes next, in case it never returns.
    pub fn doing(&mut self, what: impl Into<String>) {
        (self.tell)(Event::Doing(what.into()));
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The heads that the loss takes, with the parameters given and each head's defaults for the others.
    pub fn cases(&self) -> Vec<Case> {
        let heads = [Head::Softmax, Head::Sigmoid].into_iter().filter(|head| Some(*head) != self.refused);
        let case = |head| {
            let value = |param: &ParamSpec| {
                let given = self.params.iter().rev().find(|(name, _)| *name == param.name);
                given.map_or(param.defaults[head as usize], |(_, value)| *value)
            };
            let values = self.plugin.params().iter().map(value).collect();
            Case { head, values, label: head_name(head).to_owned() }
        };
        heads.map(case).collect()
    }

    /// These heads with one parameter at a time at, or just inside, an edge of its range.
    pub fn edges(&self) -> Vec<Case> {
        let mut all = Vec::new();
        for case in self.cases() {
            for (at, param) in self.plugin.params().iter().enumerate() {
                for value in edges_of(param) {
                    let mut values = case.values.clone();
                    values[at] = value;
                    let label = format!("{}, {} = {}", case.label, param.name, param.text(value));
                    all.push(Case { values, label, ..case });
                }
            }
        }
        all
    }

    pub fn make(&self, case: &Case) -> Result<Instance<'a>, Refusal> {
        Instance::make(self.plugin, case.head, &case.values, &self.counts)
    }

    /// The most frequent, a middle and the rarest class (as counts are usually sorted), each once.
    pub fn classes(&self) -> Vec<u32> {
        let last = self.counts.len().saturating_sub(1) as u32;
        let mut classes = vec![0, last / 2, last];
        classes.dedup();
        classes
    }

    pub fn class_count(&self) -> u32 {
        self.counts.len() as u32
    }
}

pub(super) fn finding(check: Check, outcome: Result<String, Stop>, notes: Vec<String>) -> Finding {
    let (verdict, said) = match outcome {
        Ok(said) => (Verdict::Passed, said),
        Err(Stop::Failed(said) | Stop::Stuck(said)) => (Verdict::Failed, said),
        Err(Stop::NotApplicable(said)) => (Verdict::NotApplicable, said),
    };
    Finding { check, verdict, said, notes }
}

pub(super) fn head_name(head: Head) -> &'static str {
    match head {
        Head::Softmax => "softmax head",
        Head::Sigmoid => "sigmoid head",
    }
}

/// The least and greatest values that a parameter allows; a millionth inside where the bound itself is excluded.
fn edges_of(param: &ParamSpec) -> Vec<f64> {
    match &param.kind {
        ParamKind::Flag => vec![0.0, 1.0],
        ParamKind::Choice(choices) => (0..choices.len()).map(|at| at as f64).collect(),
        ParamKind::Number { minimum, maximum } => {
            let width = maximum.0 - minimum.0;
            let inside = |bound: f64| {
                let step = 1e-6 * bound.abs().max(1.0);
                if width.is_finite() { step.min(width / 4.0) } else { step }
            };
            let low = if minimum.1 { minimum.0 } else { minimum.0 + inside(minimum.0) };
            let high = if maximum.1 { maximum.0 } else { maximum.0 - inside(maximum.0) };
            [low, high].into_iter().filter(|value| value.is_finite()).collect()
        }
    }
}
