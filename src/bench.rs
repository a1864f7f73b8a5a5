//! `toolkit bench`: how long the losses take on this machine.

mod linear;
mod timing;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};
use imbalance_core::host::{Loss, Plugin, SigmoidHead, SoftmaxHead, set_threads};
use imbalance_core::{ClassCounts, Head};
use serde_json::{Value, json};

use self::timing::{copy_ms, median_ms};
use crate::loss_flags::plugin_dir_arg;

/// The paper's dialogue head, its ImageNet-LT head and its CIFAR head.
const SOFTMAX: [(usize, usize); 3] = [(1280, 18_848), (512, 1000), (128, 10)];
/// The anchors of an image at 800 pixels, in round numbers, by COCO's classes.
const SIGMOID: [(usize, usize); 1] = [(100_000, 80)];

/// The subcommand.
pub fn command() -> Command {
    Command::new("bench").about("How long the losses take on this machine").subcommand_required(true).subcommand(
        Command::new("losses")
            .about("Each loss on each head: fused, by tensor operations, beside one copy of the logits")
            .arg(
                Arg::new("loss")
                    .long("loss")
                    .value_name("ID")
                    .value_delimiter(',')
                    .help("Which losses [default: all that plugins provide]"),
            )
            .arg(
                Arg::new("head")
                    .long("head")
                    .value_name("HEAD")
                    .value_parser(["softmax", "sigmoid", "linear"])
                    .value_delimiter(',')
                    .help("Which heads [default: all]"),
            )
            .arg(number("threads", "2", "Threads of the kernels, of libtorch and of the copy"))
            .arg(number("repeats", "9", "Times of which the median is taken"))
            .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON"))
            .arg(plugin_dir_arg()),
    )
}

fn number(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("N")
        .default_value(default)
        .value_parser(clap::value_parser!(u32).range(1..=1024))
        .help(help)
}

/// Runs `toolkit bench …`.
///
/// # Errors
/// A loss that there is not, or that fails.
pub fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let Some(("losses", matches)) = matches.subcommand() else { return Ok(()) };
    let count = |name: &str| matches.get_one::<u32>(name).map_or(1, |&value| value as usize);
    let (threads, repeats) = (count("threads"), count("repeats"));
    set_threads(threads);
    #[cfg(feature = "training")]
    imbalance_train::set_threads(Some(threads));
    let folders: Vec<PathBuf> = matches.get_many("plugin-dir").into_iter().flatten().cloned().collect();
    let search = crate::loss_flags::plugins(&folders)?;
    let named = matches.contains_id("loss");
    let ids: Vec<String> = match matches.get_many::<String>("loss") {
        Some(ids) => ids.cloned().collect(),
        None => search.list().into_iter().filter(|found| found.refused.is_none()).map(|found| found.id).collect(),
    };
    let heads: Option<Vec<&String>> = matches.get_many("head").map(Iterator::collect);
    let wanted = |head: &str| heads.as_ref().is_none_or(|heads| heads.iter().any(|&other| other == head));
    let json = matches.get_flag("json");
    let mut entries = Vec::new();
    let mut report = |entry: Value| -> anyhow::Result<()> {
        if !json {
            print_line(&entry)?;
        }
        entries.push(entry);
        Ok(())
    };
    for id in &ids {
        let plugin = match search.open(id) {
            Ok(plugin) => Arc::new(plugin),
            // Of all that are found, some may need a libtorch that this command has not.
            Err(error) if !named => {
                eprintln!("left out: {error}");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if plugin.is_whole_tensor() {
            // There is no fused path to compare.
            continue;
        }
        if wanted("softmax") {
            for (rows, classes) in SOFTMAX {
                if let Some(loss) = made(&plugin, Head::Softmax, classes) {
                    report(softmax(&loss, rows, threads, repeats).with_context(|| format!("loss `{id}`"))?)?;
                }
            }
        }
        if wanted("sigmoid") {
            for (rows, columns) in SIGMOID {
                if let Some(loss) = made(&plugin, Head::Sigmoid, columns + 1) {
                    report(sigmoid(&loss, rows, columns, threads, repeats).with_context(|| format!("loss `{id}`"))?)?;
                }
            }
        }
        if wanted("linear")
            && let Some(loss) = made(&plugin, Head::Softmax, linear::CLASSES)
            && let Some(entry) = linear::bench(&loss, repeats).with_context(|| format!("loss `{id}`"))?
        {
            report(entry)?;
        }
    }
    if json {
        writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&entries)?)?;
    }
    Ok(())
}

/// The loss for classes after Zipf's law; none where it is not for this head.
fn made(plugin: &Arc<Plugin>, head: Head, classes: usize) -> Option<Loss> {
    let counts = ClassCounts::new((1..=classes as u64).map(|rank| 300_000 / rank + 1).collect()).ok()?;
    // A loss says no to a head that it is not defined for.
    Loss::new(Arc::clone(plugin), head, &[], &counts).ok()
}

/// Logits between −5 and 5 without a pattern that a branch predictor could learn.
fn logits(numbers: usize) -> Vec<f32> {
    (0..numbers).map(|i| ((i * 7919) % 1013) as f32 * 0.01 - 5.0).collect()
}

fn softmax(loss: &Loss, rows: usize, threads: usize, repeats: usize) -> anyhow::Result<Value> {
    let classes = loss.classes();
    let logits = logits(rows * classes);
    let targets: Vec<i64> = (0..rows).map(|row| ((row * 31) % classes) as i64).collect();
    let (mut value, mut log_odds, mut gradient) = (vec![0.0; rows], vec![0.0; rows], vec![0.0; logits.len()]);
    let head = SoftmaxHead::new(loss);
    let copy = copy_ms(&logits, &mut gradient, threads, repeats);
    let fused =
        median_ms(repeats, || head.forward_backward(&logits, &targets, &mut value, &mut log_odds, &mut gradient))?;
    Ok(entry(loss, [rows, classes], copy, fused, by_tensors(loss, &logits, &targets, repeats)?))
}

fn sigmoid(loss: &Loss, rows: usize, columns: usize, threads: usize, repeats: usize) -> anyhow::Result<Value> {
    let logits = logits(rows * columns);
    // One anchor in a hundred is of a class.
    let target =
        |row: usize| if row.is_multiple_of(100) { ((row * 31) % columns) as i64 } else { SigmoidHead::BACKGROUND };
    let targets: Vec<i64> = (0..rows).map(target).collect();
    let (mut value, mut gradient) = (vec![0.0; rows], vec![0.0; logits.len()]);
    let head = SigmoidHead::new(loss, columns)?;
    let copy = copy_ms(&logits, &mut gradient, threads, repeats);
    let fused = median_ms(repeats, || head.forward_backward(&logits, &targets, &mut value, &mut gradient))?;
    Ok(entry(loss, [rows, columns], copy, fused, by_tensors(loss, &logits, &targets, repeats)?))
}

fn entry(loss: &Loss, shape: [usize; 2], copy: f64, fused: f64, tensor: Option<f64>) -> Value {
    json!({
        "loss": loss.id(),
        "head": if loss.head() == Head::Softmax { "softmax" } else { "sigmoid" },
        "shape": shape,
        "copy_ms": copy,
        "fused_ms": fused,
        "fused_copies": fused / copy,
        "tensor_ms": tensor,
        "tensor_over_fused": tensor.map(|tensor| tensor / fused),
    })
}

fn print_line(entry: &Value) -> std::io::Result<()> {
    let number = |name: &str| entry[name].as_f64();
    let mut out = std::io::stdout().lock();
    write!(
        out,
        "{:28} {:8} {:>16}",
        entry["loss"].as_str().unwrap_or(""),
        entry["head"].as_str().unwrap_or(""),
        entry["shape"].to_string()
    )?;
    for (name, unit) in [
        ("copy_ms", "ms a copy"),
        ("fused_ms", "ms fused"),
        ("fused_copies", "copies"),
        ("tensor_ms", "ms by tensors"),
        ("tensor_over_fused", "times the fused"),
        ("chunked_ms", "ms chunked"),
        ("whole_ms", "ms whole"),
        ("chunked_extra_mib", "MiB beside the gradients chunked"),
        ("whole_extra_mib", "MiB whole"),
    ] {
        if let Some(value) = number(name) {
            write!(out, "  {value:.2} {unit}")?;
        }
    }
    writeln!(out)
}

#[cfg(feature = "training")]
fn by_tensors(loss: &Loss, logits: &[f32], targets: &[i64], repeats: usize) -> anyhow::Result<Option<f64>> {
    use imbalance_train::heads::{HeadOptions, LossPath, sigmoid_gradients, softmax_gradients};
    use tch::Tensor;

    let rows = targets.len() as i64;
    let logits = Tensor::f_from_slice(logits)?.f_reshape([rows, -1])?;
    let targets = Tensor::f_from_slice(targets)?;
    let options = HeadOptions { path: LossPath::Tensor, ..HeadOptions::default() };
    let took = match loss.head() {
        Head::Softmax => median_ms(repeats, || softmax_gradients(loss, &logits, &targets, &options)),
        Head::Sigmoid => median_ms(repeats, || sigmoid_gradients(loss, &logits, &targets, &options)),
    };
    Ok(Some(took?))
}

#[cfg(not(feature = "training"))]
fn by_tensors(_: &Loss, _: &[f32], _: &[i64], _: usize) -> anyhow::Result<Option<f64>> {
    Ok(None)
}
