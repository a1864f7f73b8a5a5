//! Calling a plugin's entry points with buffers that are watched.

use std::ffi::{c_char, c_void};
use std::fmt;

use super::memory::Fenced;
use crate::Head;
use crate::abi::{self, RawMessage};
use crate::host::{EvalFloat, Plugin};

/// The size of the buffer for messages that the host gives.
const MESSAGE_SIZE: usize = 512;
/// What a buffer for messages is filled with: no NUL, which the plugin must write itself.
const FILLER: u8 = b'?';

/// A buffer for messages that tells what is wrong with how it was used.
struct WatchedMessage(Fenced<u8>);

impl WatchedMessage {
    fn new(size: usize) -> Self {
        Self(Fenced::new(&vec![FILLER; size], FILLER))
    }

    fn raw(&mut self) -> RawMessage {
        RawMessage { data: self.0.as_mut_ptr().cast::<c_char>(), size: self.0.get().len() }
    }

    /// The text, and how the buffer was misused.
    fn read(&self) -> (String, Option<BadMessage>) {
        let bytes = self.0.get();
        if let Some(breach) = self.0.breach() {
            return (String::new(), Some(BadMessage::Breach(breach)));
        }
        let Some(end) = bytes.iter().position(|&byte| byte == 0) else {
            let untouched = bytes.iter().all(|&byte| byte == FILLER);
            return (String::new(), Some(if untouched { BadMessage::Missing } else { BadMessage::Open }));
        };
        match std::str::from_utf8(&bytes[..end]) {
            Ok("") => (String::new(), Some(BadMessage::Missing)),
            Ok(text) => (text.to_owned(), None),
            Err(_) => (String::from_utf8_lossy(&bytes[..end]).into_owned(), Some(BadMessage::NotUtf8)),
        }
    }
}

/// What is wrong with a message.
#[derive(Clone, Debug)]
pub(super) enum BadMessage {
    /// There is none.
    Missing,
    /// It does not end with NUL.
    Open,
    /// It goes on outside of its buffer.
    Breach(String),
    NotUtf8,
}

impl fmt::Display for BadMessage {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => to.write_str("is missing"),
            Self::Open => to.write_str("does not end with NUL within its buffer"),
            Self::Breach(breach) => write!(to, "{breach} of its buffer"),
            Self::NotUtf8 => to.write_str("is not UTF-8"),
        }
    }
}

/// An entry point that returned something else than success.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub step: &'static str,
    pub code: i32,
    pub message: String,
    /// What is wrong with the message itself.
    pub bad_message: Option<BadMessage>,
}

impl Refusal {
    /// Whether it is a panic that export_loss! caught, and no refusal at all.
    pub(super) fn is_panic(&self) -> bool {
        self.message.starts_with("panicked: ")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.message, self.code) {
            (message, _) if !message.is_empty() => write!(to, "`{}` failed: {message}", self.step),
            (_, 0) => write!(to, "`{}` returned 0, which is no success (that is {:#x})", self.step, abi::OK),
            (_, code) => write!(to, "`{}` failed without a message (code {code})", self.step),
        }
    }
}

/// An instance of a plugin's loss, made by hand so that the host's own checks do not stand in between.
pub(super) struct Instance<'a> {
    plugin: &'a Plugin,
    pointer: *mut c_void,
    /// What `create` and `prepare` did outside of their buffers.
    pub breach: Option<String>,
}

// SAFETY: the ABI asks every plugin for an `eval` that many threads may call at once on one instance; whether it keeps
// to that is what is being checked.
unsafe impl Sync for Instance<'_> {}

/// What one call of `eval` gave.
#[derive(Clone, Debug)]
pub(super) struct Evaluated<F> {
    pub loss: Vec<F>,
    pub slope: Vec<F>,
    /// What it did outside of its buffers, or to its inputs.
    pub breach: Option<String>,
}

impl<'a> Instance<'a> {
    /// `create`, then `prepare`.
    pub fn make(plugin: &'a Plugin, head: Head, values: &[f64], counts: &[u64]) -> Result<Self, Refusal> {
        Self::make_with_message_size(plugin, head, values, counts, MESSAGE_SIZE)
    }

    pub fn make_with_message_size(
        plugin: &'a Plugin,
        head: Head,
        values: &[f64],
        counts: &[u64],
        message_size: usize,
    ) -> Result<Self, Refusal> {
        let mut watched_values = Fenced::new(values, 0.0);
        let mut watched_counts = Fenced::new(counts, 0);
        // SAFETY: as many numbers as are said, in memory that lives through the calls.
        let mut made = unsafe {
            Self::make_at(
                plugin,
                head,
                (watched_values.as_mut_ptr(), values.len()),
                (watched_counts.as_mut_ptr(), counts.len()),
                message_size,
            )
        }?;
        made.breach = watched_values
            .breach()
            .map(|breach| format!("`create` {breach} of `values`"))
            .or_else(|| watched_counts.breach().map(|breach| format!("`prepare` {breach} of `counts`")))
            .or_else(|| changed(watched_values.get(), values).then(|| "`create` changed `values`, an input".to_owned()))
            .or_else(|| (watched_counts.get() != counts).then(|| "`prepare` changed `counts`, an input".to_owned()));
        Ok(made)
    }

    /// # Safety
    /// `values` and `counts` must point to as many numbers as they say.
    pub unsafe fn make_at(
        plugin: &'a Plugin,
        head: Head,
        values: (*const f64, usize),
        counts: (*const u64, usize),
        message_size: usize,
    ) -> Result<Self, Refusal> {
        let raw = plugin.raw();
        let missing = |step| Refusal { step, code: 0, message: "is missing".into(), bad_message: None };
        let create = raw.create.ok_or_else(|| missing("create"))?;
        let prepare = raw.prepare.ok_or_else(|| missing("prepare"))?;
        let mut pointer = std::ptr::null_mut();
        let mut message = WatchedMessage::new(message_size);
        // SAFETY: the caller's promise.
        let code = unsafe { create(values.0, values.1, head as u32, &mut pointer, message.raw()) };
        outcome("create", code, &message)?;
        if pointer.is_null() {
            return Err(Refusal { step: "create", code, message: "gave no instance".into(), bad_message: None });
        }
        // From here on the instance is destroyed when it is dropped, also on errors.
        let made = Self { plugin, pointer, breach: None };
        let mut message = WatchedMessage::new(message_size);
        // SAFETY: the caller's promise.
        let code = unsafe { prepare(pointer, counts.0, counts.1, message.raw()) };
        outcome("prepare", code, &message)?;
        Ok(made)
    }

    /// Loss and slope of a batch `[n]`, with fences around every buffer.
    pub fn eval<F: EvalFloat>(&self, log_odds: &[F], classes: &[u32]) -> Result<Evaluated<F>, Refusal> {
        let n = log_odds.len();
        let nan = vec![F::NAN; n];
        let mut watched_log_odds = Fenced::new(log_odds, F::NAN);
        let mut watched_classes = Fenced::new(classes, 0);
        let (mut loss, mut slope) = (Fenced::new(&nan, F::NAN), Fenced::new(&nan, F::NAN));
        // SAFETY: four buffers of `n`.
        unsafe {
            self.eval_at(
                n,
                watched_log_odds.as_mut_ptr(),
                watched_classes.as_mut_ptr(),
                loss.as_mut_ptr(),
                slope.as_mut_ptr(),
            )
        }?;
        let breach = [
            ("log_odds", watched_log_odds.breach()),
            ("classes", watched_classes.breach()),
            ("loss", loss.breach()),
            ("slope", slope.breach()),
        ]
        .into_iter()
        .find_map(|(name, breach)| breach.map(|breach| format!("{breach} of `{name}`")))
        .or_else(|| changed(watched_log_odds.get(), log_odds).then(|| "changed `log_odds`, an input".to_owned()))
        .or_else(|| (watched_classes.get() != classes).then(|| "changed `classes`, an input".to_owned()));
        Ok(Evaluated { loss: loss.get().to_vec(), slope: slope.get().to_vec(), breach })
    }

    /// # Safety
    /// Four buffers of `n`, the last two writable.
    pub unsafe fn eval_at<F: EvalFloat>(
        &self,
        n: usize,
        log_odds: *const F,
        classes: *const u32,
        loss: *mut F,
        slope: *mut F,
    ) -> Result<(), Refusal> {
        let step = name_of_eval::<F>();
        let Some(entry) = F::entry(self.plugin) else {
            return Err(Refusal { step, code: 0, message: "is missing".into(), bad_message: None });
        };
        let mut message = WatchedMessage::new(MESSAGE_SIZE);
        // SAFETY: the caller's promise, and a prepared instance.
        let code = unsafe { entry(self.pointer, n, log_odds, classes, loss, slope, message.raw()) };
        outcome(step, code, &message)
    }

    /// Loss and slope at one log-odds, in float64.
    pub fn at(&self, m: f64, class: u32) -> Result<(f64, f64), Refusal> {
        let (mut loss, mut slope) = (f64::NAN, f64::NAN);
        // SAFETY: four buffers of one.
        unsafe { self.eval_at(1, &m, &class, &mut loss, &mut slope) }?;
        Ok((loss, slope))
    }

    /// The instance, for extensions.
    pub fn pointer(&self) -> *const c_void {
        self.pointer
    }
}

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        if let Some(destroy) = self.plugin.raw().destroy {
            // SAFETY: made by this plugin's `create`, destroyed once.
            unsafe { destroy(self.pointer) };
        }
    }
}

/// `eval_f32` or `eval_f64`.
pub(super) fn name_of_eval<F>() -> &'static str {
    if size_of::<F>() == 4 { "eval_f32" } else { "eval_f64" }
}

/// Whether any number is another one now; NaN counts as the same.
fn changed<F: EvalFloat>(now: &[F], before: &[F]) -> bool {
    let bits = |value: F| -> u64 { value.into().to_bits() };
    now.iter().zip(before).any(|(&now, &before)| bits(now) != bits(before))
}

fn outcome(step: &'static str, code: i32, message: &WatchedMessage) -> Result<(), Refusal> {
    if code == abi::OK {
        return Ok(());
    }
    let (message, bad_message) = message.read();
    Err(Refusal { step, code, message, bad_message })
}
