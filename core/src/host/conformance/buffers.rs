//! Does the plugin stay within its buffers? First between fences, which survive and name a small overflow; then at
//! the edge of pages that nobody may touch, where also a read too far is seen: it kills the process.

use super::exam::{Case, Exam, Stop};
use super::memory::{Wall, Walled};
use super::probe::{Instance, name_of_eval};
use crate::host::EvalFloat;

/// Batch sizes around the 16 and 64 lanes of common vector loops.
const SIZES: [usize; 7] = [1, 15, 16, 17, 63, 64, 65];

/// Every buffer of every entry point.
pub(super) fn check(exam: &mut Exam<'_>) -> Result<String, Stop> {
    let entries = [exam.plugin.raw().eval_f64.is_some(), exam.plugin.raw().eval_f32.is_some()];
    for case in exam.cases() {
        if entries[0] {
            fences::<f64>(exam, &case)?;
        }
        if entries[1] {
            fences::<f32>(exam, &case)?;
        }
    }
    for case in exam.cases() {
        parameters_and_counts(exam, &case)?;
        if entries[0] {
            walls::<f64>(exam, &case)?;
        }
        if entries[1] {
            walls::<f32>(exam, &case)?;
        }
    }
    Ok("reads and writes stay within every buffer, and inputs stay as they were".into())
}

/// `n` log-odds from −8 to 8 and classes in turn.
pub(super) fn batch<F: EvalFloat>(n: usize, classes: u32) -> (Vec<F>, Vec<u32>) {
    let log_odds = (0..n).map(|i| F::from_f64((i * 37 % 129) as f64 * 0.125 - 8.0)).collect();
    (log_odds, (0..n).map(|i| i as u32 % classes).collect())
}

fn fences<F: EvalFloat>(exam: &mut Exam<'_>, case: &Case) -> Result<(), Stop> {
    let instance = exam.make(case)?;
    for n in SIZES {
        let call = format!("{}, n = {n}, {}", name_of_eval::<F>(), case.label);
        exam.doing(format!("{call}, between fences"));
        let (log_odds, classes) = batch::<F>(n, exam.class_count());
        // What does not evaluate the plainest batch cannot be examined further.
        let evaluated =
            instance.eval(&log_odds, &classes).map_err(|refusal| Stop::Stuck(format!("{}: {refusal}", case.label)))?;
        if let Some(breach) = evaluated.breach {
            return Err(format!("{call}: it {breach}").into());
        }
        let unwritten = |values: &[F]| values.iter().position(|&value| value.into().is_nan());
        for (name, values) in [("loss", &evaluated.loss), ("slope", &evaluated.slope)] {
            if let Some(at) = unwritten(values) {
                return Err(format!("{call}: it left `{name}` of example {at} unwritten, or wrote NaN").into());
            }
        }
    }
    Ok(())
}

/// `values` of `create` and `counts` of `prepare`, read-only and next to a wall.
fn parameters_and_counts(exam: &mut Exam<'_>, case: &Case) -> Result<(), Stop> {
    let lost = |error: std::io::Error| format!("no memory to check with: {error}");
    for wall in [Wall::After, Wall::Before] {
        let mut values = Walled::new(&case.values, wall).and_then(Walled::read_only).map_err(lost)?;
        let mut counts = Walled::new(&exam.counts, wall).and_then(Walled::read_only).map_err(lost)?;
        exam.doing(format!(
            "create and prepare, {}, where {} must not be touched",
            case.label,
            beyond(wall, "`values` and `counts`")
        ));
        // SAFETY: as many numbers as are said.
        unsafe {
            Instance::make_at(
                exam.plugin,
                case.head,
                (values.as_mut_ptr(), values.get().len()),
                (counts.as_mut_ptr(), counts.get().len()),
                512,
            )
        }?;
    }
    Ok(())
}

fn beyond(wall: Wall, name: &str) -> String {
    match wall {
        Wall::After => format!("what follows {name}"),
        Wall::Before => format!("what precedes {name}"),
    }
}

/// Each buffer of `eval` in turn next to a wall; the inputs also read-only.
fn walls<F: EvalFloat>(exam: &mut Exam<'_>, case: &Case) -> Result<(), Stop> {
    let instance = exam.make(case)?;
    let lost = |error: std::io::Error| format!("no memory to check with: {error}");
    for n in SIZES {
        let (log_odds, classes) = batch::<F>(n, exam.class_count());
        let nan = vec![F::NAN; n];
        for wall in [Wall::After, Wall::Before] {
            let mut walled_log_odds = Walled::new(&log_odds, wall).and_then(Walled::read_only).map_err(lost)?;
            let mut walled_classes = Walled::new(&classes, wall).and_then(Walled::read_only).map_err(lost)?;
            let mut walled_loss = Walled::new(&nan, wall).map_err(lost)?;
            let mut walled_slope = Walled::new(&nan, wall).map_err(lost)?;
            for (at, name) in ["log_odds", "classes", "loss", "slope"].into_iter().enumerate() {
                let (mut log_odds, mut classes) = (log_odds.clone(), classes.clone());
                let (mut loss, mut slope) = (nan.clone(), nan.clone());
                let input = if at < 2 { format!("; `{name}` is read-only") } else { String::new() };
                exam.doing(format!(
                    "{}, n = {n}, {}, where {} must not be touched{input}",
                    name_of_eval::<F>(),
                    case.label,
                    beyond(wall, &format!("`{name}`"))
                ));
                let pick = |this: usize, walled: *mut F, plain: *mut F| if this == at { walled } else { plain };
                // SAFETY: four buffers of `n`, the last two writable.
                unsafe {
                    instance.eval_at(
                        n,
                        pick(0, walled_log_odds.as_mut_ptr(), log_odds.as_mut_ptr()),
                        if at == 1 { walled_classes.as_mut_ptr() } else { classes.as_mut_ptr() },
                        pick(2, walled_loss.as_mut_ptr(), loss.as_mut_ptr()),
                        pick(3, walled_slope.as_mut_ptr(), slope.as_mut_ptr()),
                    )
                }?;
            }
        }
    }
    Ok(())
}
