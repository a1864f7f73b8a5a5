//! The optional halves of a loss: its adjustment of logits, and its formula as data.

use super::exam::{Exam, Stop};
use super::numbers::{exceeds, grid};
use crate::host::{Adjustment, Expression};

/// What the extensions say is well formed; the recorded formula gives what evaluation gives.
pub(super) fn check(exam: &mut Exam<'_>) -> Result<String, Stop> {
    let offered = exam.plugin.capabilities().map_err(|error| error.to_string())?;
    let mut seen = Vec::new();
    for case in exam.cases() {
        let instance = exam.make(&case)?;
        exam.doing(format!("the logit adjustment, {}", case.label));
        Adjustment::of(exam.plugin, instance.pointer(), exam.counts.len()).map_err(|error| error.to_string())?;
        exam.doing(format!("the recorded expression, {}", case.label));
        let expression = Expression::of(exam.plugin, instance.pointer(), exam.counts.len());
        let Some(expression) = expression.map_err(|error| error.to_string())? else { continue };
        if seen.is_empty() {
            seen.push(format!(
                "the recorded expression ({} operations) agrees with `eval_f64`",
                expression.nodes().len()
            ));
        }
        for class in exam.classes() {
            for m in grid() {
                let (want, want_slope) = instance.at(m, class)?;
                let (got, got_slope) = expression.eval(m, class);
                for (name, got, want) in [("loss", got, want), ("slope", got_slope, want_slope)] {
                    if exceeds((got - want).abs(), 1e-9 * (1.0 + want.abs())) {
                        return Err(format!(
                            "{}, class {class}, log-odds {m}: {name} {got} by the recorded expression, {want} by `eval_f64`",
                            case.label
                        )
                        .into());
                    }
                }
            }
        }
    }
    if offered.contains(&"logit adjustment") {
        seen.push("the logit adjustment is well formed".into());
    }
    match seen.as_slice() {
        [] => Err(Stop::NotApplicable("it offers none".into())),
        seen => Ok(seen.join("; ")),
    }
}
