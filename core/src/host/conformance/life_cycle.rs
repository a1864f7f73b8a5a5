//! Making and freeing instances: with what a host gives, and with what none gives.

use super::exam::{Case, Exam, Stop};
use super::probe::{BadMessage, Instance, Refusal};
use crate::ParamKind;
use crate::host::Plugin;

/// Instances with the defaults, for both heads or the one that the loss is for, then at the edges of each parameter's
/// range. What a loss refuses in words becomes a note: a head, or parameters that make no sense together.
pub(super) fn check(exam: &mut Exam<'_>) -> Result<String, Stop> {
    let mut refusals = Vec::new();
    for case in exam.cases() {
        exam.doing(format!("create, prepare and destroy: {}", case.label));
        match exam.make(&case) {
            Ok(made) => {
                if let Some(breach) = &made.breach {
                    return Err(format!("{}: {breach}", case.label).into());
                }
            }
            Err(refusal) => refusals.push((case, refusal)),
        }
    }
    match refusals.as_slice() {
        [] => {}
        [(case, refusal)] if refusal.bad_message.is_none() && !refusal.is_panic() => {
            exam.note(format!("no {}: {refusal}", case.label));
            exam.refused = Some(case.head);
        }
        [(case, refusal), ..] => return Err(Stop::Stuck(format!("{}: {refusal}", case.label))),
    }
    let edges = exam.edges();
    for case in &edges {
        exam.doing(format!("create, prepare and destroy: {}", case.label));
        match exam.make(case) {
            Ok(_) => {}
            Err(refusal) if refusal.bad_message.is_none() && !refusal.is_panic() => {
                exam.note(format!("{}: {refusal}", case.label));
            }
            Err(refusal) => {
                return Err(format!(
                    "{}: {refusal}; what lies in the declared range is accepted, or refused in words",
                    case.label
                )
                .into());
            }
        }
    }
    for counts in [vec![7], vec![10, 0, 1]] {
        exam.doing(format!("prepare with the counts {counts:?}"));
        for case in exam.cases() {
            if let Err(refusal) = Instance::make(exam.plugin, case.head, &case.values, &counts) {
                exam.note(format!("{}, counts {counts:?}: {refusal}", case.label));
            }
        }
    }
    exam.doing("a hundred instances made and freed");
    for _ in 0..50 {
        for case in exam.cases() {
            exam.make(&case)?;
        }
    }
    let heads: Vec<String> = exam.cases().into_iter().map(|case| case.label).collect();
    Ok(format!(
        "instances for the {}, with the defaults and at {} edges of the parameters",
        heads.join(" and the "),
        edges.len()
    ))
}

/// Values and counts that break the host's promises: each is refused, or does no harm.
pub(super) fn out_of_range(exam: &mut Exam<'_>) -> Result<String, Stop> {
    let (mut refused, mut harmless) = (0, 0);
    for (case, counts) in wrong(exam) {
        exam.doing(format!("create, prepare, eval and destroy: {}", case.label));
        match Instance::make(exam.plugin, case.head, &case.values, &counts) {
            Err(_) => refused += 1,
            Ok(instance) => {
                let breach = match instance.eval(&[-2.0, 0.0, 2.0_f64], &[0; 3]) {
                    Ok(evaluated) => evaluated.breach,
                    Err(_) => None,
                };
                if let Some(breach) = breach.or_else(|| instance.breach.clone()) {
                    return Err(format!("{}: {breach}", case.label).into());
                }
                harmless += 1;
            }
        }
    }
    Ok(format!("{refused} of {} wrong inputs are refused, {harmless} do no harm", refused + harmless))
}

/// Refusals come with a message that says something and ends within its buffer, however small that is.
pub(super) fn messages(exam: &mut Exam<'_>) -> Result<String, Stop> {
    let (mut seen, mut silent): (Option<String>, Vec<String>) = (None, Vec::new());
    for (case, counts) in wrong(exam) {
        exam.doing(format!("the message of a refusal: {}", case.label));
        let Some(refusal) = refusal_of(exam.plugin, &case, &counts, 512) else { continue };
        match refusal.bad_message {
            None => {}
            Some(BadMessage::Missing) => silent.push(case.label.clone()),
            Some(bad) => {
                return Err(format!("{}: `{}` refuses, and its message {bad}", case.label, refusal.step).into());
            }
        }
        // A message that does not fit must be cut, not continued; what is cut may end inside a character.
        for size in [1, 8] {
            exam.doing(format!("the message of a refusal in a buffer of {size} bytes: {}", case.label));
            let cut = refusal_of(exam.plugin, &case, &counts, size).and_then(|refusal| refusal.bad_message);
            if let Some(bad @ (BadMessage::Breach(_) | BadMessage::Open)) = cut {
                return Err(format!("{}: in a buffer of {size} bytes, its message {bad}", case.label).into());
            }
        }
        if !refusal.message.is_empty() {
            seen.get_or_insert(refusal.message);
        }
    }
    if let [first, ..] = silent.as_slice() {
        exam.note(format!(
            "{} refusals come without a message, the first of {first}: say what would be right",
            silent.len()
        ));
    }
    Ok(match seen {
        Some(message) => format!("refusals say why and end within their buffer: “{message}”"),
        None => "no refusal with a message was seen".into(),
    })
}

fn refusal_of(plugin: &Plugin, case: &Case, counts: &[u64], size: usize) -> Option<Refusal> {
    Instance::make_with_message_size(plugin, case.head, &case.values, counts, size).err()
}

/// Inputs that no host gives, with their counts: each parameter out of its range, and no training example at all.
fn wrong(exam: &Exam<'_>) -> Vec<(Case, Vec<u64>)> {
    let mut all = Vec::new();
    for case in exam.cases() {
        for (at, param) in exam.plugin.params().iter().enumerate() {
            let values = match &param.kind {
                ParamKind::Flag => vec![2.0, -1.0, f64::NAN],
                ParamKind::Choice(choices) => vec![choices.len() as f64, -1.0, 0.5, f64::NAN, f64::INFINITY],
                ParamKind::Number { minimum, maximum } => {
                    let below = minimum.0.is_finite().then_some(minimum.0 - 1.0);
                    let above = maximum.0.is_finite().then_some(maximum.0 + 1.0);
                    let excluded = [*minimum, *maximum].into_iter().filter(|bound| !bound.1).map(|bound| bound.0);
                    below.into_iter().chain(above).chain(excluded).chain([f64::NAN, f64::INFINITY]).collect()
                }
            };
            for value in values {
                let mut wrong = case.clone();
                wrong.values[at] = value;
                wrong.label = format!("{}, {} = {value}", case.label, param.name);
                all.push((wrong, exam.counts.clone()));
            }
        }
        let label = format!("{}, no training example of any class", case.label);
        all.push((Case { label, ..case }, vec![0; exam.counts.len()]));
    }
    all
}
