//! What every loss of `plugins/` must do, asked of the libraries as built: at its defaults, and at each parameter's
//! other values, on each head.
#![cfg(feature = "host")]

use std::sync::Arc;

use imbalance_core::host::Loss;
use imbalance_core::{ClassCounts, Head, ParamKind, ParamSpec};

#[path = "support/every_plugin.rs"]
mod every_plugin;
use every_plugin::PLUGINS;

/// Losses of competing logits, which a sigmoid head has not.
const SOFTMAX_ONLY: [&str; 5] =
    ["balanced-softmax", "class-dependent-temperature", "ldam", "logit-adjustment", "vector-scaling"];

/// Where the difference quotients are taken, and their half width.
const STEPS: i32 = 80 * 16;
const H: f64 = 1e-5;

/// Training counts with a tie and, on a softmax head, a class that is never seen; the last of a sigmoid head is the
/// background.
fn counts(head: Head) -> ClassCounts {
    ClassCounts::new(match head {
        Head::Softmax => vec![5000, 400, 400, 3, 0],
        Head::Sigmoid => vec![900, 5, 100_000],
    })
    .unwrap()
}

/// Values worth trying beside the default: ends that are allowed, and a point between.
fn others(param: &ParamSpec) -> Vec<f64> {
    match &param.kind {
        ParamKind::Flag => vec![0.0, 1.0],
        ParamKind::Choice(choices) => (0..choices.len()).map(|at| at as f64).collect(),
        ParamKind::Number { minimum, maximum } => {
            let ends = [*minimum, *maximum].into_iter().filter(|&(end, allowed)| allowed && end.is_finite());
            let between = if maximum.0.is_finite() { (minimum.0 + maximum.0) / 2.0 } else { minimum.0 + 3.5 };
            ends.map(|(end, _)| end).chain([between]).collect()
        }
    }
}

/// Every loss at its defaults, then with one parameter changed.
fn for_each_loss(mut check: impl FnMut(&Loss, &str)) {
    for plugin in PLUGINS.iter() {
        for head in [Head::Softmax, Head::Sigmoid] {
            match Loss::new(Arc::clone(plugin), head, &[], &counts(head)) {
                Ok(loss) => check(&loss, &format!("{}, {head:?}, defaults", plugin.id())),
                Err(refusal) => {
                    let expected = head == Head::Sigmoid && SOFTMAX_ONLY.contains(&plugin.id());
                    assert!(expected && refusal.to_string().contains("needs a softmax head"), "{refusal}");
                    continue;
                }
            }
            for param in plugin.params() {
                for value in others(param) {
                    let what = format!("{}, {head:?}, {} = {}", plugin.id(), param.name, param.text(value));
                    match Loss::new(Arc::clone(plugin), head, &[(param.name.clone(), value)], &counts(head)) {
                        Ok(loss) => check(&loss, &what),
                        Err(refusal) => assert!(refusal.to_string().contains(&param.name), "{what}: {refusal}"),
                    }
                }
            }
        }
    }
}

/// Loss and slope at each log-odds for one class; the host refuses what is not finite.
fn eval(loss: &Loss, log_odds: &[f64], class: u32, what: &str) -> Vec<(f64, f64)> {
    let (mut value, mut slope) = (vec![0.0; log_odds.len()], vec![0.0; log_odds.len()]);
    loss.eval(log_odds, &vec![class; log_odds.len()], &mut value, &mut slope)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    value.into_iter().zip(slope).collect()
}

/// −80 to 80, and far beyond.
fn log_odds() -> Vec<f64> {
    let far = [1e2, 1e3, 1e5, 1e7].into_iter().flat_map(|m: f64| [-m, m]);
    (-STEPS..=STEPS).map(|step| f64::from(step) / 16.0).chain(far).collect()
}

fn classes(loss: &Loss) -> std::ops::Range<u32> {
    0..loss.classes() as u32
}

/// By the mean value theorem a difference quotient lies between the least and the largest slope of its interval. At a kink
/// those differ; elsewhere they are equal to within what the comparison allows.
#[test]
fn the_slope_is_the_difference_of_the_loss() {
    let points: Vec<f64> =
        (-STEPS..=STEPS).map(|step| f64::from(step) / 16.0).flat_map(|m| [m - H, m, m + H]).collect();
    for_each_loss(|loss, what| {
        for class in classes(loss) {
            let at = eval(loss, &points, class, what);
            for (near, of) in points.chunks(3).zip(at.chunks(3)) {
                let quotient = (of[2].0 - of[0].0) / (near[2] - near[0]);
                let slopes = of.iter().map(|&(_, slope)| slope);
                let (least, most) = (slopes.clone().fold(f64::INFINITY, f64::min), slopes.fold(f64::MIN, f64::max));
                let allowed = 1e-6 * (1.0 + quotient.abs());
                assert!(
                    (least - allowed..=most + allowed).contains(&quotient),
                    "{what}, class {class}, log-odds {}: slopes {least} to {most}, difference {quotient}",
                    near[1]
                );
            }
        }
    });
}

#[test]
fn float32_agrees_with_float64() {
    let wide = log_odds();
    let narrow: Vec<f32> = wide.iter().map(|&m| m as f32).collect();
    for_each_loss(|loss, what| {
        for class in classes(loss) {
            let expected = eval(loss, &wide, class, what);
            let (mut value, mut slope) = (vec![0.0_f32; narrow.len()], vec![0.0_f32; narrow.len()]);
            loss.eval(&narrow, &vec![class; narrow.len()], &mut value, &mut slope)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            for (i, &(of_value, of_slope)) in expected.iter().enumerate() {
                for (got, want) in [(value[i], of_value), (slope[i], of_slope)] {
                    assert!(
                        (f64::from(got) - want).abs() <= 1e-5 * (1e-1 + want.abs()),
                        "{what}, class {class}, log-odds {}: {got} against {want}",
                        wide[i]
                    );
                }
            }
        }
    });
}

#[test]
fn the_recorded_formula_is_the_formula() {
    let points = log_odds();
    for_each_loss(|loss, what| {
        let recorded = loss.expression().unwrap().unwrap_or_else(|| panic!("{what}: nothing recorded"));
        for class in classes(loss) {
            for (&m, (value, slope)) in points.iter().zip(eval(loss, &points, class, what)) {
                let (as_said, slope_as_said) = recorded.eval(m, class);
                assert!((as_said - value).abs() <= 1e-12 * (1.0 + value.abs()), "{what}: {as_said} against {value}");
                assert!((slope_as_said - slope).abs() <= 1e-12 * (1.0 + slope.abs()), "{what}: slope at {m}");
            }
        }
    });
}
