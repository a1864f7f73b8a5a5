//! What a person sees while a run trains: a bar on a terminal, plain lines elsewhere. All on stderr.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::memory::resident_bytes;

enum Display {
    Bar(ProgressBar),
    Lines,
    Silent,
}

/// Progress of a run.
pub struct Progress {
    display: Display,
    epochs: usize,
    units_name: String,
    start: Instant,
    /// Batches trained by this process.
    trained: usize,
    /// As of the last record: asking the system takes as long as a small model's step.
    memory: Option<u64>,
}

/// Where the run is, for one update.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Batches of the epoch that are done.
    pub done: usize,
    /// Batches in the epoch.
    pub batches: usize,
    /// Loss a unit since the last record.
    pub loss: f64,
    /// Units a second since the last record.
    pub rate: f64,
}

impl Progress {
    /// Progress over `epochs`, measured in the units of the task.
    pub fn new(epochs: usize, units_name: &str, quiet: bool) -> Progress {
        let display = if quiet {
            Display::Silent
        } else if std::io::stderr().is_terminal() {
            Display::Bar(ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()))
        } else {
            Display::Lines
        };
        Progress {
            display,
            epochs,
            units_name: units_name.to_string(),
            start: Instant::now(),
            trained: 0,
            memory: None,
        }
    }

    /// An epoch begins, `done` of its batches having been trained before an interruption.
    pub fn begin_epoch(&mut self, epoch: usize, done: usize, batches: usize) {
        if let Display::Bar(bar) = &self.display {
            bar.set_style(style(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())));
            bar.set_length(batches as u64);
            bar.set_position(done as u64);
            bar.set_prefix(format!("epoch {epoch}/{}", self.epochs));
        }
    }

    /// A step of so many batches was taken. `pace` is worked out only when it is shown.
    pub fn step(&mut self, batches: usize, pace: impl FnOnce() -> Pace) {
        self.trained += batches;
        if let Display::Bar(bar) = &self.display {
            let pace = pace();
            bar.set_position(pace.done as u64);
            bar.set_message(self.describe(pace));
        }
    }

    /// A record of the training loss was written.
    pub fn record(&mut self, pace: Pace) {
        self.memory = resident_bytes();
        if matches!(self.display, Display::Lines) {
            let Pace { epoch, done, batches, .. } = pace;
            eprintln!("epoch {epoch}/{} step {done}/{batches}: {}", self.epochs, self.describe(pace));
        }
    }

    /// A line of its own: the result of an epoch, or a note.
    pub fn line(&self, text: &str) {
        match &self.display {
            Display::Bar(bar) => bar.suspend(|| eprintln!("{text}")),
            Display::Lines => eprintln!("{text}"),
            Display::Silent => {}
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }

    fn describe(&self, pace: Pace) -> String {
        let left = (self.epochs.saturating_sub(pace.epoch) * pace.batches + pace.batches - pace.done) as f64;
        let seconds = self.start.elapsed().as_secs_f64() / self.trained.max(1) as f64 * left;
        let left = duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        let memory = self.memory.map(|bytes| format!(", {} MiB", bytes >> 20)).unwrap_or_default();
        format!("loss {:.4}, {:.0} {}/s, {left} left{memory}", pace.loss, pace.rate, self.units_name)
    }
}

fn style(colour: bool) -> ProgressStyle {
    let template =
        if colour { "{prefix:.bold} {bar:30.cyan} {pos}/{len} {msg}" } else { "{prefix} {bar:30} {pos}/{len} {msg}" };
    // The templates are constants that the tests parse; the default is only there instead of a panic.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `45s`, `3m 20s`, `2h 05m`.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m {s:02}s"),
        (h, m, _) => format!("{h}h {m:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_two_units() {
        for (seconds, want) in [(45, "45s"), (200, "3m 20s"), (7500, "2h 05m")] {
            assert_eq!(duration(Duration::from_secs(seconds)), want);
        }
    }

    #[test]
    fn both_templates_parse() {
        for template in ["{prefix:.bold} {bar:30.cyan} {pos}/{len} {msg}", "{prefix} {bar:30} {pos}/{len} {msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn time_left_spans_the_epochs_to_come() {
        let mut progress = Progress::new(3, "tokens", true);
        // 3 steps of 2 batches, 2 s a batch.
        progress.start -= Duration::from_secs(12);
        (0..3).for_each(|_| progress.step(2, || unreachable!("nothing is shown")));
        let pace = Pace { epoch: 2, done: 4, batches: 10, loss: 0.25, rate: 1234.4 };
        // 6 batches of epoch 2 and 10 of epoch 3: 32 s.
        assert_eq!(progress.describe(pace), "loss 0.2500, 1234 tokens/s, 32s left");
        progress.memory = Some(412 << 20);
        assert_eq!(progress.describe(pace), "loss 0.2500, 1234 tokens/s, 32s left, 412 MiB");
    }
}
