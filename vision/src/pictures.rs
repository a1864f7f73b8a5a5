//! The pictures of one run, and of several beside each other (paper, Figures 4 to 6).

use std::path::{Path, PathBuf};

use imbalance_evaluation::figure::Figure;
use imbalance_evaluation::longtail::{
    ClassScores, GeneralisationGap, LikelihoodHistograms, LongTailScores, class_accuracy_figure, confusion_figure,
    gap_figure, likelihood_figure,
};
use imbalance_evaluation::plot::{Curve, CurvePanel, PlotError, curves_figure};
use imbalance_evaluation::report::run_names;

use crate::VisionError;
use crate::outcome::{RunResults, TrainedRun};

/// A run with its name in legends.
struct Shown<'a> {
    name: String,
    folder: &'a Path,
    scores: &'a LongTailScores,
    gap: &'a GeneralisationGap,
}

/// Draws a finished run into its folder.
pub(crate) fn of_run(folder: &Path, run: &TrainedRun, classes: &[String]) -> Result<(), VisionError> {
    let shown = Shown { name: run.loss.clone(), folder, scores: &run.scores, gap: &run.gap };
    draw(&[shown], classes, folder, "svg").map(drop)
}

/// Draws the runs in `folders` beside each other into `to`, as `format` (`svg` or `png`); the files written. A run is
/// named by what its folder's path does not share with the others'.
///
/// # Errors
/// A folder that is no finished run; runs of other classes than the first's; a picture that cannot be written.
pub fn compare(folders: &[PathBuf], to: &Path, format: &str) -> Result<Vec<PathBuf>, VisionError> {
    let runs: Vec<RunResults> = folders.iter().map(|folder| RunResults::read(folder)).collect::<Result<_, _>>()?;
    let shown: Vec<Shown<'_>> = folders
        .iter()
        .zip(&runs)
        .zip(run_names(folders))
        .map(|((folder, run), name)| Shown { name, folder, scores: &run.scores, gap: &run.gap })
        .collect();
    if let Some(other) = shown.iter().find(|run| run.scores.classes != shown[0].scores.classes) {
        return Err(VisionError::Usage(format!(
            "{} is a run with {} classes, {} one with {}; runs on one data set can be compared",
            other.folder.display(),
            other.scores.classes,
            shown[0].folder.display(),
            shown[0].scores.classes
        )));
    }
    std::fs::create_dir_all(to).map_err(VisionError::on(to, "create"))?;
    let model = crate::SavedModel::description(&folders[0])?;
    draw(&shown, &model.classes, to, format)
}

fn draw(runs: &[Shown<'_>], classes: &[String], to: &Path, format: &str) -> Result<Vec<PathBuf>, VisionError> {
    let histograms: Vec<(String, &LikelihoodHistograms)> =
        runs.iter().map(|run| (run.name.clone(), &run.scores.likelihood_histograms)).collect();
    let gaps: Vec<(String, &GeneralisationGap)> = runs.iter().map(|run| (run.name.clone(), run.gap)).collect();
    let per_class: Vec<(String, &[ClassScores])> =
        runs.iter().map(|run| (run.name.clone(), run.scores.per_class.as_slice())).collect();
    let curves = [curves(runs, "valid", "accuracy", "accuracy (%)")?, curves(runs, "epoch", "loss", "training loss")?];
    let mut figures: Vec<(String, Result<Figure, PlotError>)> = vec![
        ("likelihood".into(), likelihood_figure(&histograms)),
        ("gap".into(), gap_figure(&gaps)),
        ("class-accuracy".into(), class_accuracy_figure(&per_class)),
        ("curves".into(), curves_figure("epoch", &curves)),
    ];
    for run in runs {
        let name = match runs.len() {
            1 => "confusion".into(),
            _ => format!("confusion-{}", run.name.replace(std::path::MAIN_SEPARATOR, "-")),
        };
        figures.push((name, confusion_figure(&run.name, run.scores, classes)));
    }
    figures
        .into_iter()
        .map(|(name, figure)| {
            let path = to.join(format!("{name}.{format}"));
            figure.map_err(VisionError::on(&path, "draw"))?.write(&path)?;
            Ok(path)
        })
        .collect()
}

/// A value of `metrics.jsonl` over the epochs of each run.
fn curves(runs: &[Shown<'_>], kind: &str, value: &str, label: &str) -> Result<CurvePanel, VisionError> {
    let curves = runs.iter().map(|run| {
        let path = run.folder.join("metrics.jsonl");
        Curve::of_metrics(&path, &run.name, kind, "epoch", value).map_err(VisionError::on(&path, "read"))
    });
    Ok(CurvePanel { label: label.into(), curves: curves.collect::<Result<_, VisionError>>()? })
}
