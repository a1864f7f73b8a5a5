//! `toolkit losses gallery`: a page with formula, curve, parameters and citation of every plugin found.

mod groups;
mod page;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command};
use imbalance_core::host::{Loss, Plugin, SearchPath};
use imbalance_core::{ClassCounts, Head};
use imbalance_evaluation::figure::{Colour, Figure, Panel, write_whole};

use self::groups::Group;
use super::plot::{CIFAR_10_LT, Curve, LossCurves, Quantity, legend, panel};
use crate::failure::UsageError;
use crate::loss_flags::plugin_dir_arg;

/// What the grey curve is.
const REFERENCE: &str = "−log p, for comparison";
/// Of the ten classes, the most frequent and the rarest.
const CLASSES: [u32; 2] = [0, 9];
/// One for all panels of the overview, so that they can be compared; tail classes may be beyond it.
const OVERVIEW_RANGE: (f64, f64) = (-4.0, 6.0);

/// The verb's flags.
pub fn command() -> Command {
    Command::new("gallery")
        .about("Write losses.md and its pictures from what the plugins declare")
        .long_about(
            "Writes FOLDER/losses.md, and FOLDER/losses/ID.svg for each plugin found: formula, curve, parameters, \
             citation. FOLDER/losses/groups.txt, if there is one, gives the order: `# heading`, `> a remark`, one id a line, \
             perhaps as `id: command that trains with it`.",
        )
        // For whoever documents losses; a user of losses has `show` and `plot`.
        .hide(true)
        .arg(
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FOLDER")
                .value_parser(clap::value_parser!(PathBuf))
                .default_value("docs")
                .help("Folder to write to"),
        )
        .arg(plugin_dir_arg())
}

/// Writes the page and its pictures.
///
/// # Errors
/// No plugin, a plugin that cannot be used, an order that names one that is not there, or a file that cannot be written.
pub fn run(matches: &ArgMatches, search: &SearchPath) -> anyhow::Result<()> {
    let folder: &Path = matches.get_one::<PathBuf>("output").map_or(Path::new("docs"), PathBuf::as_path);
    let mut found: Vec<String> = search.list().into_iter().map(|found| found.id).collect();
    found.dedup();
    if found.is_empty() {
        return Err(UsageError("no plugins found; `toolkit losses list` says where they are looked for".into()).into());
    }
    let pictures = folder.join("losses");
    std::fs::create_dir_all(&pictures).with_context(|| format!("cannot create {}", pictures.display()))?;
    let groups = groups(&pictures.join("groups.txt"), &found)?;
    let counts = ClassCounts::new(CIFAR_10_LT.iter().filter_map(|count| count.parse().ok()).collect())?;
    let reference = Curve::negative_log_likelihood();
    let (mut plugins, mut panels) = (Vec::new(), Vec::new());
    for id in groups.iter().flat_map(|group| &group.ids) {
        let plugin = Arc::new(search.open(id)?);
        if !plugin.is_whole_tensor() {
            let losses = &[curves(&plugin, &counts)?];
            let of = |quantity| panel(quantity, losses, Some(&reference), None);
            let figure = Figure {
                panels: vec![of(Quantity::Loss), of(Quantity::Gradient)],
                legend: legend(losses, &CLASSES, &counts, Some(REFERENCE)),
                ..Figure::default()
            };
            figure.write(&pictures.join(format!("{id}.svg")))?;
            let mut small = panel(Quantity::Loss, losses, Some(&reference), Some(OVERVIEW_RANGE));
            (small.title, small.note) = (id.clone(), String::new());
            small.x.label.clear();
            small.y.label.clear();
            panels.push(small);
        }
        plugins.push(plugin);
    }
    overview(panels, &counts).write(&pictures.join("overview.svg"))?;
    let page = page::page(&groups, &plugins, &about(&counts), "losses");
    let file = folder.join("losses.md");
    write_whole(&file, page.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
    writeln!(std::io::stdout(), "{}", file.display())?;
    Ok(())
}

fn groups(file: &Path, found: &[String]) -> anyhow::Result<Vec<Group>> {
    let named = if file.exists() {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        groups::parse(&text).map_err(|(line, wrong)| UsageError(format!("{}, line {line}: {wrong}", file.display())))?
    } else {
        Vec::new()
    };
    groups::arrange(named, found).map_err(|missing| {
        let missing = missing.join(", ");
        UsageError(format!("{} names losses without a plugin: {missing}; build them first", file.display())).into()
    })
}

/// The curves of a loss with its defaults.
fn curves(plugin: &Arc<Plugin>, counts: &ClassCounts) -> anyhow::Result<LossCurves> {
    let loss = Loss::new(Arc::clone(plugin), Head::Softmax, &[], counts)?;
    let curves = CLASSES.iter().map(|&class| Curve::of(&loss, class)).collect::<Result<_, _>>()?;
    Ok(LossCurves { name: plugin.id().to_owned(), curves, colour: Colour::of(0) })
}

/// Every loss in a small panel.
fn overview(panels: Vec<Panel>, counts: &ClassCounts) -> Figure {
    Figure {
        title: "Loss over the likelihood p of the true class, clipped to −4 … 6".to_owned(),
        panels,
        columns: 4,
        panel_size: (160, 125),
        legend: legend(&[], &CLASSES, counts, Some(REFERENCE)),
    }
}

fn about(counts: &ClassCounts) -> String {
    let [most, least] = CLASSES.map(|class| counts.as_slice().get(class as usize).copied().unwrap_or(0));
    format!(
        "The curves show each loss with its defaults for a softmax head on CIFAR-10-LT (imbalance ratio {}): class {}, \
         {most} examples, solid; class {}, {least} examples, dashed; −log p in grey. p is the likelihood of the true \
         class before the loss adjusts any logits, while the other classes share 1 − p equally. Other parameters, counts and \
         classes, or several losses on one picture: `toolkit losses plot`.",
        counts.imbalance_ratio(),
        CLASSES[0],
        CLASSES[1],
    )
}
