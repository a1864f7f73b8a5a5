//! `toolkit eval longtail`: scores the predictions of a classifier trained on a long tail.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use imbalance_evaluation::figure::{Figure, Format};
use imbalance_evaluation::longtail::{
    Groups, LikelihoodHistograms, LongTailScores, class_accuracy_figure, class_table, confusion_figure, group_table,
    likelihood_figure, read_predictions, read_train_counts, score, summarise, table,
};
use serde_json::Value;

use super::{name, print};

/// Arguments of `toolkit eval longtail`.
#[derive(Debug, clap::Args)]
pub struct LongtailArgs {
    /// Predictions to score: a .safetensors file with the tensors `labels` (of each image) and `logits` or `probabilities`
    /// [images, classes], or a .csv file with the headings label,z0,z1,… (logits) or label,p0,p1,… (probabilities)
    #[arg(long, value_name = "FILE")]
    predictions: PathBuf,

    /// Training images of each class: a count a line, class 0 first, or class, a tab or comma, and count
    #[arg(long, value_name = "FILE")]
    train_counts: PathBuf,

    /// Call classes Many with more than MANY training images, Few with fewer than FEW, others Medium [default: 100,20]
    #[arg(long, value_name = "MANY,FEW", value_parser = Groups::parse_counts, conflicts_with = "group_classes")]
    groups: Option<Groups>,

    /// Make groups of so many classes, from the most training images to the fewest
    #[arg(long, value_name = "MANY,MEDIUM,FEW", value_parser = Groups::parse_classes)]
    group_classes: Option<Groups>,

    /// Predictions of other systems on the same classes, scored beside the first
    #[arg(long, value_name = "FILE", num_args = 1..)]
    compare: Vec<PathBuf>,

    /// Print a line for each class too
    #[arg(long)]
    per_class: bool,

    /// Names of the classes in the lines and the confusion matrix, one a line, class 0 first
    #[arg(long, value_name = "FILE")]
    class_names: Option<PathBuf>,

    /// Draw which classes are taken for which
    #[arg(long, value_name = "FILE.svg")]
    confusion: Option<PathBuf>,

    /// Draw histograms of the likelihood of the true class for each group, of all systems
    #[arg(long, value_name = "FILE.svg")]
    histogram: Option<PathBuf>,

    /// Draw the accuracy of each class against its training images, of all systems
    #[arg(long, value_name = "FILE.svg")]
    class_accuracy: Option<PathBuf>,

    /// Print one JSON object in full precision in place of the tables; other systems are in its list `compare`
    #[arg(long)]
    json: bool,
}

/// Runs `toolkit eval longtail`: results on standard output.
///
/// # Errors
/// A file that cannot be read or is malformed (named, with its line), counts or groups of other classes than the
/// predictions', a picture that cannot be written.
pub fn run(args: &LongtailArgs) -> anyhow::Result<()> {
    // A wrong name is told before minutes of reading.
    let pictures = [
        ("--confusion", &args.confusion),
        ("--histogram", &args.histogram),
        ("--class-accuracy", &args.class_accuracy),
    ];
    for (flag, path) in pictures {
        if let Some(path) = path {
            Format::of(path).context(flag)?;
        }
    }
    let train_counts = read_train_counts(&args.train_counts).context("--train-counts")?;
    let groups = args.groups.or(args.group_classes).unwrap_or_default();
    let system = |flag: &'static str, path: &Path| -> anyhow::Result<LongTailScores> {
        let predictions = read_predictions(path).context(flag)?;
        if predictions.classes() != train_counts.len() {
            bail!(
                "--train-counts {} has counts of {} classes but {flag} {} has predictions over {}; each class needs its count",
                args.train_counts.display(),
                train_counts.len(),
                path.display(),
                predictions.classes(),
            );
        }
        let flag = if args.group_classes.is_some() { "--group-classes" } else { "--train-counts" };
        score(&predictions, &train_counts, &groups).context(flag)
    };
    let first = system("--predictions", &args.predictions)?;
    let class_names = match &args.class_names {
        Some(path) => read_class_names(path, first.classes)?,
        None => Vec::new(),
    };
    let mut systems = vec![(String::new(), first)];
    for path in &args.compare {
        systems.push((String::new(), system("--compare", path)?));
    }
    for ((label, _), name) in systems.iter_mut().zip(names(args)) {
        *label = name;
    }
    draw(args, &systems, &class_names)?;
    let output = if args.json { json(&systems)? } else { text(&systems, args.per_class, &class_names) };
    print(&output)
}

fn text(systems: &[(String, LongTailScores)], per_class: bool, class_names: &[String]) -> String {
    let rows: Vec<_> = systems
        .iter()
        .filter_map(|(name, scores)| Some((name.clone(), summarise(std::slice::from_ref(scores))?)))
        .collect();
    let mut output = table(&rows);
    for (name, scores) in systems {
        output += &format!("\n{name}\n{}", group_table(scores));
        if per_class {
            output += &format!("\n{}", class_table(&scores.per_class, class_names));
        }
    }
    output
}

/// The scores of the first system with its name, those of the others in a list.
fn json(systems: &[(String, LongTailScores)]) -> anyhow::Result<String> {
    let mut objects = Vec::with_capacity(systems.len());
    for (name, scores) in systems {
        let mut object = serde_json::Map::from_iter([("system".to_owned(), Value::from(name.as_str()))]);
        if let Value::Object(fields) = serde_json::to_value(scores).context("scores as JSON")? {
            object.extend(fields);
        }
        objects.push(Value::Object(object));
    }
    let others = objects.split_off(1);
    if let Some(Value::Object(first)) = objects.first_mut() {
        first.insert("compare".to_owned(), Value::Array(others));
    }
    Ok(serde_json::to_string_pretty(&objects[0]).context("scores as JSON")? + "\n")
}

fn draw(args: &LongtailArgs, systems: &[(String, LongTailScores)], class_names: &[String]) -> anyhow::Result<()> {
    let write = |flag: &'static str, figure: Figure, path: &Path| figure.write(path).context(flag);
    if let Some(path) = &args.confusion {
        let (name, scores) = &systems[0];
        write("--confusion", confusion_figure(name, scores, class_names)?, path)?;
    }
    if let Some(path) = &args.histogram {
        let runs: Vec<(String, &LikelihoodHistograms)> =
            systems.iter().map(|(name, scores)| (name.clone(), &scores.likelihood_histograms)).collect();
        write("--histogram", likelihood_figure(&runs)?, path)?;
    }
    if let Some(path) = &args.class_accuracy {
        let runs: Vec<_> = systems.iter().map(|(name, scores)| (name.clone(), scores.per_class.as_slice())).collect();
        write("--class-accuracy", class_accuracy_figure(&runs).context("--class-accuracy")?, path)?;
    }
    Ok(())
}

/// The files' names without extension; whole paths where two are the same.
fn names(args: &LongtailArgs) -> Vec<String> {
    let paths: Vec<&PathBuf> = std::iter::once(&args.predictions).chain(&args.compare).collect();
    let twice = |short: &str| paths.iter().filter(|path| name(path) == short).count() > 1;
    let long = |path: &Path| path.display().to_string();
    paths.iter().map(|path| Some(name(path)).filter(|short| !twice(short)).unwrap_or_else(|| long(path))).collect()
}

fn read_class_names(path: &Path, classes: usize) -> anyhow::Result<Vec<String>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("--class-names: cannot read {}", path.display()))?;
    let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    if let Some(line) = names.iter().position(String::is_empty) {
        bail!("--class-names {}, line {}: no name; each line must hold that of a class", path.display(), line + 1);
    }
    if names.len() != classes {
        bail!("--class-names {} has {} names; the {classes} classes need one each", path.display(), names.len());
    }
    Ok(names)
}
