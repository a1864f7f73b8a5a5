//! Does what else happens change a result? Batch sizes, repetitions, other threads, other instances.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::buffers::batch;
use super::exam::{Case, Exam, Stop};
use super::numbers::exceeds;
use super::probe::{Evaluated, Instance, Refusal, name_of_eval};
use crate::host::EvalFloat;

/// The first example whose bits differ.
fn first_difference<F: EvalFloat>(a: &Evaluated<F>, b: &Evaluated<F>) -> Option<String> {
    for (name, a, b) in [("loss", &a.loss, &b.loss), ("slope", &a.slope, &b.slope)] {
        let differ = |i: &usize| a[*i].into().to_bits() != b[*i].into().to_bits();
        if let Some(i) = (0..a.len()).find(differ) {
            return Some(format!("example {i}: {name} {} and {}", a[i].into(), b[i].into()));
        }
    }
    None
}

/// Runs `check` for both heads in each precision that the plugin has.
fn each<'a>(
    exam: &mut Exam<'a>,
    wide: fn(&mut Exam<'a>, &Case) -> Result<(), Stop>,
    narrow: fn(&mut Exam<'a>, &Case) -> Result<(), Stop>,
) -> Result<(), Stop> {
    for case in exam.cases() {
        wide(exam, &case)?;
        if exam.plugin.raw().eval_f32.is_some() {
            narrow(exam, &case)?;
        }
    }
    Ok(())
}

/// Batches of 0, 1, 15, 16, 17 and 1000 examples give each example the value that it has alone, to rounding.
pub(super) fn batch_size(exam: &mut Exam<'_>) -> Result<String, Stop> {
    each(exam, batch_size_of::<f64>, batch_size_of::<f32>)?;
    Ok("the same values in batches of 1, 15, 16, 17 and 1000; none is allowed too".into())
}

fn batch_size_of<F: EvalFloat>(exam: &mut Exam<'_>, case: &Case) -> Result<(), Stop> {
    let name = name_of_eval::<F>();
    let instance = exam.make(case)?;
    exam.doing(format!("{name} of no example, {}", case.label));
    instance.eval::<F>(&[], &[]).map_err(|refusal| format!("{}: of no example, {refusal}", case.label))?;
    let (log_odds, classes) = batch::<F>(1000, exam.class_count());
    exam.doing(format!("{name} of one example at a time, {}", case.label));
    let mut alone = Evaluated { loss: Vec::new(), slope: Vec::new(), breach: None };
    for i in 0..log_odds.len() {
        let one = instance.eval(&log_odds[i..=i], &classes[i..=i])?;
        alone.loss.push(one.loss[0]);
        alone.slope.push(one.slope[0]);
    }
    // A compiler may contract a vector loop and its remainder differently.
    let room = if size_of::<F>() == 4 { 1e-5 } else { 1e-13 };
    for n in [15, 16, 17, 1000] {
        exam.doing(format!("{name} of {n} examples, {}", case.label));
        let together = instance.eval(&log_odds[..n], &classes[..n])?;
        for i in 0..n {
            for (what, got, want) in
                [("loss", together.loss[i], alone.loss[i]), ("slope", together.slope[i], alone.slope[i])]
            {
                let (got, want): (f64, f64) = (got.into(), want.into());
                if exceeds((got - want).abs(), room * (1.0 + want.abs())) {
                    return Err(format!(
                        "{name}, {}: {what} of example {i} is {got} among {n}, but {want} alone",
                        case.label
                    )
                    .into());
                }
            }
        }
    }
    Ok(())
}

/// A batch evaluated three times, with another in between.
pub(super) fn determinism(exam: &mut Exam<'_>) -> Result<String, Stop> {
    each(exam, determinism_of::<f64>, determinism_of::<f32>)?;
    Ok("the same bits every time".into())
}

fn determinism_of<F: EvalFloat>(exam: &mut Exam<'_>, case: &Case) -> Result<(), Stop> {
    let name = name_of_eval::<F>();
    exam.doing(format!("{name} again and again, {}", case.label));
    let instance = exam.make(case)?;
    let (log_odds, classes) = batch::<F>(1000, exam.class_count());
    let first = instance.eval(&log_odds, &classes)?;
    for _ in 0..3 {
        instance.eval(&log_odds[3..20], &classes[500..517])?;
        let again = instance.eval(&log_odds, &classes)?;
        if let Some(what) = first_difference(&first, &again) {
            return Err(format!("{name}, {}: the same batch twice gives, for {what}", case.label).into());
        }
    }
    let other = exam.make(case)?.eval(&log_odds, &classes)?;
    match first_difference(&first, &other) {
        Some(what) => Err(format!("{name}, {}: two instances made alike give, for {what}", case.label).into()),
        None => Ok(()),
    }
}

/// How many threads use one instance, and for how long.
const THREADS: usize = 4;
const LONG_ENOUGH: Duration = Duration::from_millis(150);

/// Threads with batches of their own on one instance, against one thread.
pub(super) fn threads(exam: &mut Exam<'_>) -> Result<String, Stop> {
    each(exam, threads_of::<f64>, threads_of::<f32>)?;
    Ok(format!("{THREADS} threads on one instance give the bits that one gives"))
}

fn threads_of<F: EvalFloat + Send + Sync>(exam: &mut Exam<'_>, case: &Case) -> Result<(), Stop> {
    let name = name_of_eval::<F>();
    exam.doing(format!("{name} in {THREADS} threads, {}", case.label));
    let instance = exam.make(case)?;
    let mut work = Vec::new();
    for thread in 0..THREADS {
        // Batches that differ in every example, so that one thread's result is never another's.
        let (log_odds, mut classes) = batch::<F>(1024, exam.class_count());
        let log_odds: Vec<F> = log_odds.iter().map(|&m| F::from_f64(m.into() + 0.03 * (thread as f64 + 1.0))).collect();
        classes.rotate_left(thread);
        let want = instance.eval(&log_odds, &classes)?;
        work.push((log_odds, classes, want));
    }
    let start = Barrier::new(THREADS);
    let outcomes: Vec<Result<Option<String>, Refusal>> = thread::scope(|scope| {
        let run = |(log_odds, classes, want): &(Vec<F>, Vec<u32>, Evaluated<F>)| {
            start.wait();
            let began = Instant::now();
            while began.elapsed() < LONG_ENOUGH {
                if let Some(what) = first_difference(want, &instance.eval(log_odds, classes)?) {
                    return Ok(Some(what));
                }
            }
            Ok(None)
        };
        let handles: Vec<_> = work.iter().map(|work| scope.spawn(move || run(work))).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|_| Ok(Some("which a thread panicked".into()))))
            .collect()
    });
    for outcome in outcomes {
        if let Some(what) = outcome? {
            return Err(format!(
                "{name}, {}: in one thread and among {THREADS}, for {what}; several threads call it at once on one instance",
                case.label
            )
            .into());
        }
    }
    Ok(())
}

/// An instance gives the same bits before, while and after another one exists, made for other counts and, where the
/// loss has both, for the other head.
pub(super) fn instances(exam: &mut Exam<'_>) -> Result<String, Stop> {
    let cases = exam.cases();
    for case in &cases {
        exam.doing(format!("two instances side by side, {}", case.label));
        let (log_odds, classes) = batch::<f64>(100, exam.class_count());
        let instance = exam.make(case)?;
        let before = instance.eval(&log_odds, &classes)?;
        let counts: Vec<u64> = exam.counts.iter().rev().chain(&[1]).copied().collect();
        let other = cases.iter().find(|other| other.head != case.head).unwrap_or(case);
        let other = Instance::make(exam.plugin, other.head, &other.values, &counts)?;
        other.eval(&log_odds, &classes)?;
        for (when, other) in [("while another one exists", Some(other)), ("after another one was freed", None)] {
            let now = instance.eval(&log_odds, &classes)?;
            if let Some(what) = first_difference(&before, &now) {
                return Err(format!("{}: of one instance before and {when}, for {what}", case.label).into());
            }
            drop(other);
        }
    }
    Ok("one instance does not disturb another".into())
}
