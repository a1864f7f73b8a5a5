//! The values themselves: finite, and the same in both precisions.

use super::exam::{Exam, Stop};
use super::probe::Instance;
use crate::host::EvalFloat;

/// The log-odds at which losses are looked at: −80…80 in quarters. Beyond, p or 1 − p is below any float32.
pub(super) fn grid() -> impl Iterator<Item = f64> {
    (-320..=320).map(|step| f64::from(step) * 0.25)
}

/// Whether `off` is more than `limit`, or no number.
pub(super) fn exceeds(off: f64, limit: f64) -> bool {
    off.is_nan() || off > limit
}

/// How far out a loss is asked for; logits of a diverging model, not of a sane one.
const FAR: [f64; 8] = [-1e4, -1e3, -300.0, -100.0, 100.0, 300.0, 1e3, 1e4];

/// What is not finite there, of any of `classes`.
fn not_finite<F: EvalFloat>(instance: &Instance<'_>, points: &[f64], classes: &[u32]) -> Result<Option<String>, Stop> {
    for &class in classes {
        let log_odds: Vec<F> = points.iter().map(|&m| F::from_f64(m)).collect();
        let got = instance.eval(&log_odds, &vec![class; log_odds.len()])?;
        for (i, &m) in points.iter().enumerate() {
            let (loss, slope): (f64, f64) = (got.loss[i].into(), got.slope[i].into());
            if !(loss.is_finite() && slope.is_finite()) {
                let precision = if size_of::<F>() == 4 { "float32" } else { "float64" };
                return Ok(Some(format!("class {class}, log-odds {m}, {precision}: loss {loss}, slope {slope}")));
            }
        }
    }
    Ok(None)
}

fn not_finite_in_either(
    exam: &Exam<'_>,
    instance: &Instance<'_>,
    points: &[f64],
    classes: &[u32],
) -> Result<Option<String>, Stop> {
    let wide = not_finite::<f64>(instance, points, classes)?;
    if wide.is_some() || exam.plugin.raw().eval_f32.is_none() {
        return Ok(wide);
    }
    not_finite::<f32>(instance, points, classes)
}

/// Loss and slope over −80…80; beyond that only a note, up to ±10⁴.
pub(super) fn finite(exam: &mut Exam<'_>) -> Result<String, Stop> {
    let points: Vec<f64> = grid().collect();
    let all: Vec<u32> = (0..exam.class_count().min(1000)).collect();
    let (few, mut cases) = (exam.classes(), 0);
    let plain = exam.cases().into_iter().map(|case| (case, &all));
    let edges = exam.edges().into_iter().map(|case| (case, &few));
    for (case, classes) in plain.chain(edges) {
        exam.doing(format!("log-odds −80…80, {}", case.label));
        // An edge that is refused is in the notes of the life cycle.
        let Ok(instance) = exam.make(&case) else { continue };
        if let Some(what) = not_finite_in_either(exam, &instance, &points, classes)? {
            return Err(format!("{}, {what}; both must be finite for every finite log-odds", case.label).into());
        }
        cases += 1;
    }
    for case in exam.cases() {
        exam.doing(format!("a class without training examples, {}", case.label));
        // A head that cannot be made with such counts is in the notes of the life cycle.
        let Ok(instance) = Instance::make(exam.plugin, case.head, &case.values, &[10, 0, 1]) else { continue };
        if let Some(what) = not_finite_in_either(exam, &instance, &points, &[0, 1, 2])? {
            return Err(
                format!("{}, counts [10, 0, 1], {what}; a class may have no training example", case.label).into()
            );
        }
    }
    for case in exam.cases() {
        exam.doing(format!("log-odds up to ±10⁴, {}", case.label));
        let instance = exam.make(&case)?;
        if let Some(what) = not_finite_in_either(exam, &instance, &FAR, &few)? {
            exam.note(format!("{}, {what}: a diverging model would end with an error here", case.label));
        }
    }
    Ok(format!("loss and slope over −80…80 for {} classes, {cases} settings of the parameters", all.len()))
}

/// Rounding of float32 with some room: a formula's few operations, each to 6e-8.
const FLOAT32_TOLERANCE: f64 = 2e-5;

/// `eval_f32` against `eval_f64` at the same log-odds.
pub(super) fn float32(exam: &mut Exam<'_>) -> Result<String, Stop> {
    if exam.plugin.raw().eval_f32.is_none() {
        return Err(Stop::NotApplicable("it has no `eval_f32`; hosts use `eval_f64` and round".into()));
    }
    let narrow: Vec<f32> = grid().map(|m| m as f32 + 0.013).collect();
    let wide: Vec<f64> = narrow.iter().map(|&m| f64::from(m)).collect();
    let mut worst = 0.0_f64;
    for case in exam.cases() {
        let instance = exam.make(&case)?;
        for class in exam.classes() {
            exam.doing(format!("both precisions over −80…80, class {class}, {}", case.label));
            let classes = vec![class; wide.len()];
            let (got, want) = (instance.eval(&narrow, &classes)?, instance.eval(&wide, &classes)?);
            // The slope has no unit of its own where it nearly vanishes: its rounding is that of the steepest part.
            let steepest = want.slope.iter().fold(0.0_f64, |most, slope| most.max(slope.abs()));
            for (i, &m) in wide.iter().enumerate() {
                // Terms as large as slope · m may cancel in the loss.
                let loss_scale = want.loss[i].abs() + steepest * (1.0 + m.abs());
                for (name, got, want, scale) in
                    [("loss", got.loss[i], want.loss[i], loss_scale), ("slope", got.slope[i], want.slope[i], steepest)]
                {
                    let off = (f64::from(got) - want).abs() / (scale + f64::from(f32::MIN_POSITIVE));
                    worst = worst.max(off);
                    if exceeds(off, FLOAT32_TOLERANCE) {
                        return Err(format!(
                            "{}, class {class}, log-odds {m}: {name} {got} in float32, {want} in float64",
                            case.label
                        )
                        .into());
                    }
                }
            }
        }
    }
    Ok(format!("agrees with float64 to {worst:.0e} of the largest term"))
}
