//! The pictures of one run, and of several beside each other.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use imbalance_evaluation::coco::{
    ClassCurves, CocoError, Evaluation, FrequencyGroups, GroundTruth, Options, ScoreHistograms, Stats, Summary,
    class_precision_figure, frequency_groups, group_precision_figure, precision_recall_figure, read_detections,
    scores_figure,
};
use imbalance_evaluation::figure::Figure;
use imbalance_evaluation::plot::{Curve, CurvePanel, curves_figure};
use imbalance_evaluation::report::run_names;
use serde::{Deserialize, Serialize};

use crate::DetectionError;
use crate::predict::DataOfRun;
use crate::train::{DETECTIONS, RESULTS, read_results};

/// What pictures are made of beside detections; a part of `results.json`, some of which runs of earlier versions lack.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Counted {
    pub train_images: Option<HashMap<i64, u64>>,
    pub anchor_scores: Option<ScoreHistograms>,
}

/// A run as it is drawn.
pub(crate) struct Shown<'a> {
    /// Its name in legends.
    name: String,
    folder: &'a Path,
    summary: Summary,
    curves: Vec<ClassCurves>,
    groups: Result<FrequencyGroups, CocoError>,
    counted: Counted,
}

/// Pictures of runs.
#[derive(Debug, Serialize)]
pub struct Pictures {
    /// The files written.
    pub written: Vec<PathBuf>,
    /// Pictures that were not drawn, and why.
    pub left_out: Vec<String>,
    /// The runs, by their names in legends.
    pub runs: Vec<ShownRun>,
}

/// A run of [`Pictures`].
#[derive(Debug, Serialize)]
pub struct ShownRun {
    /// Its name in legends.
    pub name: String,
    /// Its scores.
    pub stats: Stats,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(
        name: String,
        folder: &'a Path,
        truth: &GroundTruth,
        evaluation: &Evaluation<'_>,
        counted: Counted,
    ) -> Self {
        let summary = evaluation.summary();
        // What the annotations say of frequency comes before counts.
        let said = truth.categories().iter().any(|category| category.frequency.is_some());
        let groups = frequency_groups(truth, &summary, counted.train_images.as_ref().filter(|_| !said));
        Self { name, folder, curves: evaluation.curves(), groups, summary, counted }
    }

    /// Of a finished run.
    fn read(folder: &'a Path, name: String) -> Result<Self, DetectionError> {
        let counted = read_results(folder)?;
        let found = read_detections(&folder.join(DETECTIONS))?;
        let truth = crate::sets::ground_truth(&DataOfRun::read(folder)?.open()?)?;
        let evaluation = Evaluation::new(&truth, &found, &Options::default())?;
        Ok(Self::new(name, folder, &truth, &evaluation, counted))
    }

    fn lacks(&self, what: &str) -> String {
        format!("{} has no {what}: an earlier version made it", self.folder.join(RESULTS).display())
    }
}

/// Draws a finished run into its folder.
pub(crate) fn of_run(run: &Shown<'_>) -> Result<Pictures, DetectionError> {
    draw(std::slice::from_ref(run), run.folder, "svg")
}

/// Draws the runs in `folders` beside each other into `to`, as `format` (`svg` or `png`). A run is named by what
/// its folder's path does not share with the others'. A picture for which a run lacks the numbers is left out, with the reason.
///
/// # Errors
/// A folder that is no finished run; images or annotations that the run was evaluated on and that are gone; runs of other
/// categories than the first's; a picture that cannot be written.
pub fn compare(folders: &[PathBuf], to: &Path, format: &str) -> Result<Pictures, DetectionError> {
    let named = folders.iter().zip(run_names(folders));
    let shown: Vec<Shown<'_>> = named.map(|(folder, name)| Shown::read(folder, name)).collect::<Result<_, _>>()?;
    fn categories<'a>(run: &'a Shown<'_>) -> impl Iterator<Item = i64> + 'a {
        run.summary.per_class.iter().map(|class| class.category_id)
    }
    if let Some(other) = shown.iter().find(|run| !categories(run).eq(categories(&shown[0]))) {
        return Err(DetectionError::Usage(format!(
            "{} has {} categories, {} has {}, or others; runs on one data set can be compared",
            other.folder.display(),
            categories(other).count(),
            shown[0].folder.display(),
            categories(&shown[0]).count()
        )));
    }
    std::fs::create_dir_all(to).map_err(DetectionError::on(to, "create"))?;
    draw(&shown, to, format)
}

fn draw(runs: &[Shown<'_>], to: &Path, format: &str) -> Result<Pictures, DetectionError> {
    let figures = [
        ("precision-recall", precision_recall(runs)),
        ("class-ap", class_precision(runs)),
        ("frequency-ap", group_precision(runs)),
        ("scores", scores(runs)),
        ("curves", curves(runs)),
    ];
    let runs = runs.iter().map(|run| ShownRun { name: run.name.clone(), stats: run.summary.stats }).collect();
    let mut pictures = Pictures { written: Vec::new(), left_out: Vec::new(), runs };
    for (name, figure) in figures {
        let path = to.join(format!("{name}.{format}"));
        match figure {
            Ok(figure) => {
                figure.write(&path)?;
                pictures.written.push(path);
            }
            Err(reason) => pictures.left_out.push(format!("{}: {reason}", path.display())),
        }
    }
    Ok(pictures)
}

/// A picture, or why there is none. A training of days must not fail for a picture of it.
type Drawn = Result<Figure, String>;

/// The runs by name with what a figure takes of each.
fn each<'a, T>(
    runs: &'a [Shown<'_>],
    of: impl Fn(&'a Shown<'_>) -> Result<T, String>,
) -> Result<Vec<(String, T)>, String> {
    runs.iter().map(|run| Ok((run.name.clone(), of(run)?))).collect()
}

fn precision_recall(runs: &[Shown<'_>]) -> Drawn {
    precision_recall_figure(&each(runs, |run| Ok(run.curves.as_slice()))?).map_err(|error| error.to_string())
}

fn class_precision(runs: &[Shown<'_>]) -> Drawn {
    let lacking = || runs.first().map_or_else(String::new, |run| run.lacks("train_images"));
    // Runs that are compared may have been trained on other parts of the data; the axis is the first's.
    let images = runs.iter().find_map(|run| run.counted.train_images.as_ref()).ok_or_else(lacking)?;
    let classes = each(runs, |run| Ok(run.summary.per_class.as_slice()))?;
    class_precision_figure(&classes, images).map_err(|error| error.to_string())
}

fn group_precision(runs: &[Shown<'_>]) -> Drawn {
    let groups = each(runs, |run| run.groups.as_ref().copied().map_err(ToString::to_string))?;
    group_precision_figure(&groups).map_err(|error| error.to_string())
}

fn scores(runs: &[Shown<'_>]) -> Drawn {
    let histograms = each(runs, |run| run.counted.anchor_scores.as_ref().ok_or_else(|| run.lacks("anchor_scores")))?;
    scores_figure(&histograms).map_err(|error| error.to_string())
}

fn curves(runs: &[Shown<'_>]) -> Drawn {
    let panel = |kind: &str, value: &str, label: &str| -> Result<CurvePanel, String> {
        let curve = |run: &Shown<'_>| {
            let path = run.folder.join("metrics.jsonl");
            let curve = Curve::of_metrics(&path, &run.name, kind, "step", value);
            curve.map_err(|error| format!("{}: cannot read: {error}", path.display()))
        };
        Ok(CurvePanel { label: label.into(), curves: runs.iter().map(curve).collect::<Result<_, _>>()? })
    };
    let panels = [
        panel("train", "loss", "training loss")?,
        panel("valid", "AP", "AP (%)")?,
        panel("valid", "AP50", "AP50 (%)")?,
    ];
    curves_figure("step", &panels).map_err(|error| error.to_string())
}
