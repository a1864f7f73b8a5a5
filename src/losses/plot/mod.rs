//! `toolkit losses plot`: loss and likelihood gradient over p, several losses on one picture.

mod curve;
mod figure;
mod flags;
mod spec;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ArgMatches;
use imbalance_core::ClassCounts;
use imbalance_core::host::{LossChoice, Plugin, SearchPath};
use imbalance_evaluation::figure::{Colour, Figure, Panel};
use serde_json::{Value, json};

pub use self::curve::Curve;
pub use self::figure::{DASHES, LossCurves, Quantity, legend, panel};
use self::flags::DEFAULT_FILE;
pub use self::flags::{CIFAR_10_LT, command, with_flags};
use self::spec::LossSpec;
use super::{class_counts, head};
use crate::failure::UsageError;

/// A loss as it was asked for.
struct Drawn {
    plugin: Arc<Plugin>,
    params: Vec<(String, f64)>,
    curves: LossCurves,
}

/// Draws the curves, or prints their points.
///
/// # Errors
/// Losses, parameters, counts or classes that make no sense, what a plugin says, or a file that cannot be written.
pub fn run(matches: &ArgMatches, search: &SearchPath) -> anyhow::Result<()> {
    let counts = class_counts(matches)?;
    let classes = classes(matches, &counts)?;
    let typed: Vec<&String> = matches.get_many("losses").into_iter().flatten().collect();
    let most = Colour::PALETTE.len();
    if typed.len() > most {
        let count = typed.len();
        return Err(UsageError(format!("{count} losses: at most {most} can be told apart on one picture")).into());
    }
    let drawn = typed
        .into_iter()
        .enumerate()
        .map(|(at, typed)| drawn(typed, matches, search, (&counts, &classes), Colour::of(at)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let curves: Vec<LossCurves> = drawn.iter().map(|drawn| drawn.curves.clone()).collect();
    let figure = Figure {
        title: matches.get_one("title").cloned().unwrap_or_else(|| title(&drawn)),
        panels: panels(matches, &curves),
        legend: legend(&curves, &classes, &counts, None),
        ..Figure::default()
    };
    let as_json = matches.get_flag("json");
    let mut files: Vec<PathBuf> = matches.get_many("output").into_iter().flatten().cloned().collect();
    if files.is_empty() && !as_json {
        files.push(PathBuf::from(DEFAULT_FILE));
    }
    let mut out = std::io::stdout().lock();
    for file in &files {
        figure.write(file)?;
        if !as_json {
            writeln!(out, "{}", file.display())?;
        }
    }
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&points(&drawn, &classes))?)?;
    }
    Ok(())
}

/// The classes to draw: those that were named, or the most frequent and the rarest.
fn classes(matches: &ArgMatches, counts: &ClassCounts) -> anyhow::Result<Vec<u32>> {
    let mut classes: Vec<u32> = matches.get_many("class").into_iter().flatten().copied().collect();
    if classes.is_empty() {
        // Of equal counts, the first class and the last.
        let of = || counts.as_slice().iter().enumerate().rev();
        let ends = [of().max_by_key(|(_, count)| **count), of().min_by_key(|(_, count)| **count)];
        classes.extend(ends.into_iter().flatten().map(|(class, _)| class as u32));
        classes.dedup();
    }
    let wrong = |what: String| Err(UsageError(format!("--class: {what}")).into());
    if classes.len() > DASHES.len() {
        return wrong(format!("{} classes, at most {} can be told apart", classes.len(), DASHES.len()));
    }
    for (at, &class) in classes.iter().enumerate() {
        if class as usize >= counts.len() {
            let last = counts.len() - 1;
            return wrong(format!("{class}: --class-counts names {} classes, 0 to {last}", counts.len()));
        }
        if classes[..at].contains(&class) {
            return wrong(format!("{class} is given twice"));
        }
    }
    Ok(classes)
}

/// The curves of the loss that `typed` and the flags ask for.
fn drawn(
    typed: &str,
    matches: &ArgMatches,
    search: &SearchPath,
    (counts, classes): (&ClassCounts, &[u32]),
    colour: Colour,
) -> anyhow::Result<Drawn> {
    let spec = LossSpec::parse(typed)?;
    let plugin = Arc::new(search.open(&spec.id)?);
    let mut shared = Vec::new();
    for param in plugin.params() {
        // A flag that is not there was not asked for: its loss came after a flag that clap did not know.
        if let Ok(Some(typed)) = matches.try_get_one::<String>(&param.name) {
            shared.push((param.name.clone(), typed.clone()));
        }
    }
    let params = spec.values(&plugin, &shared)?;
    let choice = LossChoice { plugin: Arc::clone(&plugin), params: params.clone() };
    let loss = choice.make(head(matches), counts)?;
    let curves = classes.iter().map(|&class| Curve::of(&loss, class)).collect::<Result<_, _>>()?;
    let curves = LossCurves { name: name(&plugin, &params), curves, colour };
    Ok(Drawn { plugin, params, curves })
}

/// The loss and the parameters that were set: `eureka (beta=0.999)`.
fn name(plugin: &Plugin, params: &[(String, f64)]) -> String {
    let set: Vec<String> =
        params.iter().map(|(name, value)| format!("{name}={}", text(plugin, name, *value))).collect();
    if set.is_empty() { plugin.id().to_owned() } else { format!("{} ({})", plugin.id(), set.join(", ")) }
}

fn text(plugin: &Plugin, name: &str, value: f64) -> String {
    let param = plugin.params().iter().find(|param| param.name == name);
    param.map_or_else(|| value.to_string(), |param| param.text(value))
}

fn title(drawn: &[Drawn]) -> String {
    match drawn {
        // A longer formula would make the picture wider.
        [one] if one.plugin.formula().len() <= 60 => format!("{}: {}", one.plugin.id(), one.plugin.formula()),
        [one] => one.plugin.id().to_owned(),
        _ => "Losses over the likelihood of the true class".to_owned(),
    }
}

fn panels(matches: &ArgMatches, curves: &[LossCurves]) -> Vec<Panel> {
    let wanted = matches.get_one::<String>("quantity").map_or("both", String::as_str);
    [("loss", Quantity::Loss, "loss-range"), ("gradient", Quantity::Gradient, "gradient-range")]
        .into_iter()
        .filter(|(name, ..)| wanted == "both" || wanted == *name)
        .map(|(_, quantity, range)| panel(quantity, curves, None, matches.get_one::<(f64, f64)>(range).copied()))
        .collect()
}

/// The points of every curve.
fn points(drawn: &[Drawn], classes: &[u32]) -> Value {
    let of_class = |(drawn, class, curve): (&Drawn, &u32, &Curve)| {
        let params: serde_json::Map<String, Value> =
            drawn.params.iter().map(|(name, value)| (name.clone(), json!(text(&drawn.plugin, name, *value)))).collect();
        json!({
            "id": drawn.plugin.id(), "params": params, "class": class,
            "p": curve.p, "log_odds": curve.log_odds, "loss": curve.loss, "gradient": curve.gradient,
        })
    };
    let each = drawn
        .iter()
        .flat_map(|drawn| classes.iter().zip(&drawn.curves.curves).map(move |(class, curve)| (drawn, class, curve)));
    Value::Array(each.map(of_class).collect())
}
