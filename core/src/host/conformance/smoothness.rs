//! Is the loss continuous, and is the slope its derivative?
//!
//! Where a loss has a kink (a term that is halted at a threshold), the slope may jump; the loss itself may not. The two
//! are told apart by following the loss against the integral of its slope.

use super::exam::{Exam, Kink, Stop};
use super::numbers::{exceeds, grid};
use super::probe::{Instance, Refusal};

/// A place that adaptive integration could not pass.
enum Place {
    /// The loss jumps by this much.
    Jump { m: f64, by: f64 },
    /// The slope goes from one value to another.
    Kink { m: f64, from: f64, to: f64 },
}

/// The width at which a place counts as one point.
const POINT: f64 = 1e-8;

/// Kinks that are worth a note each.
const NOTES: usize = 6;

/// Loss and slope at one log-odds.
#[derive(Clone, Copy)]
struct At {
    m: f64,
    loss: f64,
    slope: f64,
}

fn at(instance: &Instance<'_>, m: f64, class: u32) -> Result<At, Refusal> {
    let (loss, slope) = instance.at(m, class)?;
    Ok(At { m, loss, slope })
}

/// How far the loss between `a` and `b` is from the integral of the slope (Simpson's rule).
fn mismatch(a: At, middle: At, b: At) -> f64 {
    let integral = (b.m - a.m) / 6.0 * (a.slope + 4.0 * middle.slope + b.slope);
    (b.loss - a.loss - integral).abs()
}

/// Follows the half with the larger mismatch down to a point, and says what is there, if anything.
fn locate(instance: &Instance<'_>, class: u32, mut a: At, mut b: At) -> Result<Option<Place>, Refusal> {
    loop {
        let middle = at(instance, 0.5 * (a.m + b.m), class)?;
        let width = b.m - a.m;
        // What a smooth loss leaves: the rule's own error shrinks with the width's fifth power, rounding stays.
        let size = 1.0 + a.loss.abs() + b.loss.abs();
        if mismatch(a, middle, b) <= 1e-12 * size + 1e-7 * width * (1.0 + a.slope.abs() + b.slope.abs()) {
            return Ok(None);
        }
        if width <= POINT {
            let by = b.loss - a.loss;
            let expected = width * (a.slope.abs() + b.slope.abs());
            if by.abs() > 1e-9 * size + 2.0 * expected {
                return Ok(Some(Place::Jump { m: middle.m, by }));
            }
            let (from, to) = (a.slope, b.slope);
            let kink = (to - from).abs() > 1e-6 * (1.0 + from.abs() + to.abs());
            return Ok(kink.then_some(Place::Kink { m: middle.m, from, to }));
        }
        let left = at(instance, 0.5 * (a.m + middle.m), class)?;
        let right = at(instance, 0.5 * (middle.m + b.m), class)?;
        if mismatch(a, left, middle) >= mismatch(middle, right, b) {
            b = middle;
        } else {
            a = middle;
        }
    }
}

/// No jump of the loss over −80…80; jumps of the slope become notes.
pub(super) fn continuity(exam: &mut Exam<'_>) -> Result<String, Stop> {
    let points: Vec<f64> = grid().collect();
    // What was found, on which heads, for which classes.
    let mut notes: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for (number, case) in exam.cases().into_iter().enumerate() {
        let instance = exam.make(&case)?;
        for class in exam.classes() {
            exam.doing(format!("log-odds −80…80, class {class}, {}", case.label));
            let mut a = at(&instance, points[0], class)?;
            for &m in &points[1..] {
                let b = at(&instance, m, class)?;
                match locate(&instance, class, a, b)? {
                    Some(Place::Jump { m, by }) => {
                        return Err(format!(
                            "{}, class {class}: the loss jumps by {by:.3e} at log-odds {m:.6}; it must be continuous",
                            case.label
                        )
                        .into());
                    }
                    Some(Place::Kink { m, from, to }) => {
                        exam.kinks.push(Kink { case: number, class, m });
                        let p = 1.0 / (1.0 + (-m).exp());
                        let what = format!("the slope jumps from {from:.6} to {to:.6} at log-odds {m:.6} (p = {p:.4})");
                        let at = match notes.iter().position(|(known, _)| *known == what) {
                            Some(at) => at,
                            None => {
                                notes.push((what, Vec::new()));
                                notes.len() - 1
                            }
                        };
                        let places = &mut notes[at].1;
                        match places.iter_mut().find(|(label, _)| *label == case.label) {
                            Some((_, classes)) => *classes += &format!(", {class}"),
                            None => places.push((case.label.clone(), class.to_string())),
                        }
                    }
                    None => {}
                }
                a = b;
            }
        }
    }
    if notes.is_empty() {
        return Ok("the loss is continuous, and so is its slope".into());
    }
    let all = notes.len();
    for (what, places) in notes.into_iter().take(NOTES) {
        let place = |(label, classes): &(String, String)| format!("{label}, class {classes}");
        exam.note(format!("{what}: {}", places.iter().map(place).collect::<Vec<_>>().join("; ")));
    }
    if all > NOTES {
        exam.note(format!("and {} more such places", all - NOTES));
    }
    Ok("the loss is continuous; its slope jumps where the notes say, which is allowed".into())
}

/// The slope against central differences of the loss in float64, but for the kinks.
pub(super) fn derivative(exam: &mut Exam<'_>) -> Result<String, Stop> {
    let (mut compared, mut worst) = (0, 0.0_f64);
    for (number, case) in exam.cases().into_iter().enumerate() {
        let instance = exam.make(&case)?;
        for class in exam.classes() {
            exam.doing(format!("log-odds −80…80, class {class}, {}", case.label));
            for m in grid() {
                let near = |kink: &Kink| kink.case == number && kink.class == class && (kink.m - m).abs() < 3e-4;
                if exam.kinks.iter().any(near) {
                    continue;
                }
                let point = at(&instance, m, class)?;
                let (off, difference) = error_of_slope(&instance, class, point)?;
                worst = worst.max(off);
                if exceeds(off, 1e-6) {
                    return Err(format!(
                        "{}, class {class}, log-odds {m}: the slope is {}, but the loss changes by {difference} per unit",
                        case.label, point.slope
                    )
                    .into());
                }
                compared += 1;
            }
        }
    }
    let how_well =
        if worst > 1e-12 { format!("to {worst:.0e} of 1 + |slope|") } else { "as well as rounding allows".into() };
    Ok(format!("the slope is the difference of the loss at {compared} points, {how_well}"))
}

/// How far the slope is from the difference, less what rounding explains, in units of 1 + |slope|; and the difference.
/// The best of several steps: a large one suffers from curvature, a small one from rounding.
fn error_of_slope(instance: &Instance<'_>, class: u32, point: At) -> Result<(f64, f64), Refusal> {
    let mut best = (f64::INFINITY, f64::NAN);
    for h in [1e-4, 1e-5, 1e-6] {
        let (above, below) = (at(instance, point.m + h, class)?, at(instance, point.m - h, class)?);
        let difference = (above.loss - below.loss) / (above.m - below.m);
        let rounding = 4.0 * f64::EPSILON * (above.loss.abs() + below.loss.abs()) / h;
        let off = (difference - point.slope).abs() - rounding;
        if off < best.0 || best.1.is_nan() {
            best = (off, difference);
        }
    }
    // Not `max`, which would take 0 for NaN.
    let off = if best.0 < 0.0 { 0.0 } else { best.0 };
    Ok((off / (1.0 + point.slope.abs()), best.1))
}
