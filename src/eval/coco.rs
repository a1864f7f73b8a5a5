//! `toolkit eval coco`: scores detected boxes against ground truth in COCO format.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context as _;
use imbalance_evaluation::coco::{
    Bootstrap, BootstrapOptions, CocoError, Detection, Evaluation, FrequencyGroups, GroundTruth, Options, ReadError,
    Stats, Summary, Tide, Warning, class_table, comparison_table, frequency_groups, group_table, paired_bootstrap,
    read_detections, read_ground_truth, read_train_images, tide_table,
};
use serde::Serialize;

use super::{name, print};

/// Arguments of `toolkit eval coco`.
#[derive(Debug, clap::Args)]
pub struct CocoArgs {
    /// Ground truth: a JSON file of COCO annotations (images, annotations, categories)
    #[arg(long, value_name = "FILE")]
    gt: PathBuf,

    /// Detections to score: a JSON file in COCO's results format, a list of {"image_id", "category_id", "bbox": [x, y,
    /// width, height], "score"}
    #[arg(long, value_name = "FILE")]
    dt: PathBuf,

    /// Print a line for each category too: boxes, images, AP, AP50, AR100
    #[arg(long)]
    per_class: bool,

    /// Print the scores of rare, common and frequent categories too
    ///
    /// The groups are, with --train-counts, those of LVIS: rare in at most 10 training images, common in at most 100. Else
    /// they are the `frequency` that the ground truth gives its categories, or, where it gives none, thirds of the
    /// categories by the number of images in the ground truth itself.
    #[arg(long)]
    frequency_groups: bool,

    /// Training images that hold each category: id of the category, tab or comma, and number, one a line; or the COCO
    /// annotations of the training images
    #[arg(long, value_name = "FILE", requires = "frequency_groups")]
    train_counts: Option<PathBuf>,

    /// Print which kinds of error cost how much of AP50 (TIDE; where there are crowds, counts differ from those of tidecv)
    #[arg(long)]
    tide: bool,

    /// Detections of another system on the same ground truth: its scores, and those of --dt less these
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,

    /// Resamples of the images for the 95 % interval of the differences; 0 for no interval [default: 1000]
    #[arg(long, value_name = "COUNT", requires = "compare")]
    bootstrap: Option<usize>,

    /// Seed of the resamples [default: 0]
    #[arg(long, value_name = "SEED", requires = "compare")]
    seed: Option<u64>,

    /// Print one JSON object in full precision in place of the text
    #[arg(long)]
    json: bool,
}

/// All that is printed, as in JSON.
#[derive(Serialize)]
struct Output {
    ground_truth: String,
    detections: String,
    stats: Stats,
    images: usize,
    detection_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_class: Option<Vec<imbalance_evaluation::coco::ClassScores>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_groups: Option<FrequencyGroups>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tide: Option<Tide>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compare: Option<Comparison>,
    warnings: Vec<String>,
}

/// The other system, and how the first differs from it.
#[derive(Serialize)]
struct Comparison {
    detections: String,
    stats: Stats,
    /// Of the first system less the other; null where one has no value.
    differences: serde_json::Map<String, serde_json::Value>,
    bootstrap: Option<Bootstrap>,
}

/// Runs `toolkit eval coco`: scores on standard output, warnings on standard error and in the JSON object.
///
/// # Errors
/// A file that cannot be read, is of another kind or malformed (named, with line and column), numbers that are not finite,
/// detections of images that the ground truth has not, categories of no known frequency.
pub fn run(args: &CocoArgs) -> anyhow::Result<()> {
    let train_images = match &args.train_counts {
        Some(path) => Some(read_train_images(path).context("--train-counts")?),
        None => None,
    };
    let Files { ground_truth, detections, compared } = read(args)?;
    let first = evaluation("--dt", &args.dt, &ground_truth, &detections)?;
    let summary = first.summary();
    let mut warnings = texts(&summary.warnings, args, &args.dt);

    let groups = if args.frequency_groups {
        let flag = match &args.train_counts {
            Some(path) => format!("--train-counts {}", path.display()),
            None => format!("--gt {}", args.gt.display()),
        };
        Some(frequency_groups(&ground_truth, &summary, train_images.as_ref()).context(flag)?)
    } else {
        None
    };
    let tide = args.tide.then(|| first.tide()).transpose()?;
    let compare = match (&args.compare, &compared) {
        (Some(path), Some(detections)) => {
            let second = evaluation("--compare", path, &ground_truth, detections)?;
            let of_detections: Vec<Warning> =
                second.warnings().iter().filter(|warning| warning.of_detections()).cloned().collect();
            warnings.extend(texts(&of_detections, args, path));
            Some(comparison(args, path, &first, &second)?)
        }
        _ => None,
    };
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    let Summary { stats, images, detections, per_class, .. } = summary;
    let output = Output {
        ground_truth: args.gt.display().to_string(),
        detections: args.dt.display().to_string(),
        stats,
        images,
        detection_count: detections,
        per_class: args.per_class.then_some(per_class),
        frequency_groups: groups,
        tide,
        compare,
        warnings,
    };
    print(&if args.json {
        serde_json::to_string_pretty(&output).context("scores as JSON")? + "\n"
    } else {
        text(args, &output)
    })
}

struct Files {
    ground_truth: GroundTruth,
    detections: Vec<Detection>,
    compared: Option<Vec<Detection>>,
}

/// Reads all files at the same time.
fn read(args: &CocoArgs) -> anyhow::Result<Files> {
    thread::scope(|scope| {
        let ground_truth = scope.spawn(|| read_ground_truth(&args.gt));
        let compared = args.compare.as_ref().map(|path| scope.spawn(|| read_detections(path)));
        let detections = read_detections(&args.dt);
        Ok(Files {
            ground_truth: joined(ground_truth).context("--gt")?,
            detections: detections.context("--dt")?,
            compared: compared.map(joined).transpose().context("--compare")?,
        })
    })
}

fn joined<T>(reader: thread::ScopedJoinHandle<'_, Result<T, ReadError>>) -> Result<T, ReadError> {
    reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn evaluation<'a>(
    flag: &str,
    path: &Path,
    ground_truth: &'a GroundTruth,
    detections: &[Detection],
) -> anyhow::Result<Evaluation<'a>> {
    Evaluation::new(ground_truth, detections, &Options::default()).with_context(|| format!("{flag} {}", path.display()))
}

/// Warnings with the names of the files that they are about.
fn texts(warnings: &[Warning], args: &CocoArgs, detections: &Path) -> Vec<String> {
    let path = |warning: &Warning| if warning.of_detections() { detections } else { &args.gt };
    warnings.iter().map(|warning| format!("{}: {warning}", path(warning).display())).collect()
}

fn comparison(
    args: &CocoArgs,
    path: &Path,
    first: &Evaluation<'_>,
    second: &Evaluation<'_>,
) -> anyhow::Result<Comparison> {
    let resamples = args.bootstrap.unwrap_or(BootstrapOptions::default().resamples);
    let bootstrap = if resamples > 0 {
        let options = BootstrapOptions { resamples, seed: args.seed.unwrap_or_default() };
        Some(bootstrap(first, second, &options).context("--bootstrap")?)
    } else {
        None
    };
    let (a, b) = (first.stats().values(), second.stats().values());
    let differences = Stats::NAMES.iter().zip(a.into_iter().zip(b)).map(|(name, (a, b))| {
        let difference = (a >= 0.0 && b >= 0.0).then_some(a - b);
        ((*name).to_owned(), difference.into())
    });
    Ok(Comparison {
        detections: path.display().to_string(),
        stats: second.stats(),
        differences: differences.collect(),
        bootstrap,
    })
}

fn bootstrap(
    first: &Evaluation<'_>,
    second: &Evaluation<'_>,
    options: &BootstrapOptions,
) -> Result<Bootstrap, CocoError> {
    paired_bootstrap(&first.matches()?, &second.matches()?, options)
}

fn text(args: &CocoArgs, output: &Output) -> String {
    let mut text = output.stats.to_string();
    let mut add = |part: String| {
        text.push('\n');
        text += &part;
    };
    if let Some(classes) = &output.per_class {
        add(class_table(classes));
    }
    if let Some(groups) = &output.frequency_groups {
        add(group_table(groups));
    }
    if let Some(tide) = &output.tide {
        add(tide_table(tide));
    }
    if let (Some(comparison), Some(path)) = (&output.compare, &args.compare) {
        let (mut first, mut second) = (name(&args.dt), name(path));
        if first == second {
            (first, second) = (args.dt.display().to_string(), path.display().to_string());
        }
        let (a, b) = ((first.as_str(), &output.stats), (second.as_str(), &comparison.stats));
        add(comparison_table(a, b, comparison.bootstrap.as_ref()));
    }
    text
}
