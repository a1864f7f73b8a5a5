//! `toolkit eval lvis`: scores detected boxes by LVIS's protocol.

use std::path::PathBuf;

use anyhow::Context as _;
use imbalance_evaluation::coco::{evaluate_lvis, lvis_class_table, read_detections, read_ground_truth};

use super::print;

/// Arguments of `toolkit eval lvis`.
#[derive(Debug, clap::Args)]
pub struct LvisArgs {
    /// Ground truth: a JSON file of LVIS annotations, whose images have `neg_category_ids` and `not_exhaustive_category_ids`
    #[arg(long, value_name = "FILE")]
    gt: PathBuf,

    /// Detections to score: a JSON file in COCO's results format; of an image the 300 of highest score count
    #[arg(long, value_name = "FILE")]
    dt: PathBuf,

    /// Print a line for each category too: frequency, AP, AP50
    #[arg(long)]
    per_class: bool,

    /// Print one JSON object in full precision in place of the text
    #[arg(long)]
    json: bool,
}

/// Runs `toolkit eval lvis`: scores on standard output, warnings on standard error and in the JSON object.
///
/// # Errors
/// A file that cannot be read, is of another kind or malformed; ground truth that is not LVIS's; detections of images that it has
/// not.
pub fn run(args: &LvisArgs) -> anyhow::Result<()> {
    let truth = read_ground_truth(&args.gt).context("--gt")?;
    let detections = read_detections(&args.dt).context("--dt")?;
    let flags = || format!("--gt {}, --dt {}", args.gt.display(), args.dt.display());
    let mut summary = evaluate_lvis(&truth, &detections).with_context(flags)?;
    for warning in &summary.warnings {
        let (flag, path) = if warning.of_detections() { ("--dt", &args.dt) } else { ("--gt", &args.gt) };
        eprintln!("warning: {flag} {}: {warning}", path.display());
    }
    if args.json {
        if !args.per_class {
            summary.per_class.clear();
        }
        return print(&(serde_json::to_string_pretty(&summary).context("scores as JSON")? + "\n"));
    }
    let mut text = summary.stats.to_string();
    if args.per_class {
        text += &format!("\n{}", lvis_class_table(&summary.per_class));
    }
    print(&text)
}
