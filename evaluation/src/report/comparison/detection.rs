//! Detectors on the same images.

use std::path::{Path, PathBuf};

use super::{Compared, Comparison, Method, of_groups, percent, with_the_same};
use crate::coco::{
    BootstrapOptions, Evaluation, GroundTruth, Matches, Options, read_detections, read_ground_truth,
    resampled_precisions,
};
use crate::report::run::Run;
use crate::significance::Difference;

const DETECTIONS: &str = "detections.json";
const SCORES: [&str; 3] = ["AP", "AP50", "AP75"];

/// A run's detections with what they were scored on.
struct Found {
    /// The annotation file, and its SHA-256 when the run was made.
    truth: (PathBuf, String),
    detections: PathBuf,
}

/// A group's average precisions as they are and on each resample.
struct Resampled {
    observed: [f64; 3],
    resampled: Vec<Option<[f64; 3]>>,
}

/// Tests average precision, resampling the images; the annotations must still be where they were.
pub(super) fn compare(compared: Compared<'_>, comparison: &mut Comparison) {
    let groups = of_groups(compared, comparison, read);
    let groups = with_the_same(groups, compared, comparison, "annotations", |own| &own.truth);
    if groups.len() < 2 {
        return;
    }
    let path = &groups[0].1[0].truth.0;
    let truth = match read_ground_truth(path) {
        Ok(truth) => truth,
        Err(error) => return comparison.notes.push(format!("Nothing is resampled: {error}.")),
    };
    let (mut places, mut all) = (Vec::new(), Vec::new());
    for (place, own) in &groups {
        match resampled(own, &truth, compared.resamples) {
            Ok(found) => {
                places.push(*place);
                all.push(found);
            }
            Err(reason) => {
                let name = &compared.groups[*place].name;
                comparison.notes.push(format!("{name} is not compared by examples: {reason}."));
            }
        }
    }
    comparison.add_pairs(&places, &SCORES, "images", |first, second, score| {
        let (first, second): (&Resampled, &Resampled) = (&all[first].0, &all[second].0);
        let pairs = first.resampled.iter().zip(&second.resampled).filter_map(|(first, second)| first.zip(*second));
        let difference = first.observed[score] - second.observed[score];
        let resampled = pairs.map(|(first, second)| first[score] - second[score]);
        Some((Method::Bootstrap, percent(Difference::of_resamples(difference, resampled, all[0].1)?)))
    });
}

/// The means over a group's runs, and the number of images.
fn resampled(runs: &[Found], truth: &GroundTruth, resamples: usize) -> Result<(Resampled, usize), String> {
    let (mut observed, mut sums, mut images) = ([0.0; 3], Vec::new(), 0);
    for run in runs {
        let matches = matches(&run.detections, truth)?;
        images = matches.images();
        let options = BootstrapOptions { resamples, seed: super::SEED };
        let add = |sum: &mut [f64; 3], own: [f64; 3]| sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        add(&mut observed, matches.average_precisions().ok_or("its annotations have no boxes")?);
        let own = resampled_precisions(&matches, &options);
        sums = if sums.is_empty() { vec![Some([0.0; 3]); own.len()] } else { sums };
        for (sum, own) in sums.iter_mut().zip(own) {
            match (sum.as_mut(), own) {
                (Some(sum), Some(own)) => add(sum, own),
                _ => *sum = None,
            }
        }
    }
    let mean = |sum: [f64; 3]| sum.map(|sum| sum / runs.len() as f64);
    let resampled = sums.into_iter().map(|sum| sum.map(mean)).collect();
    Ok((Resampled { observed: mean(observed), resampled }, images))
}

fn matches(detections: &Path, truth: &GroundTruth) -> Result<Matches, String> {
    let found = read_detections(detections).map_err(|error| error.to_string())?;
    let evaluation = Evaluation::new(truth, &found, &Options::default()).map_err(|error| error.to_string())?;
    evaluation.matches().map_err(|error| error.to_string())
}

fn read(run: &Run) -> Result<Found, String> {
    let detections = run.folder.join(DETECTIONS);
    if !detections.exists() {
        return Err(format!("there is no {DETECTIONS}"));
    }
    let data = run.manifest["data"].as_object().ok_or("its manifest names no data")?;
    let given = run.config.get("val-annotations").and_then(toml::Value::as_str);
    let named = |path: &str| Path::new(path).file_name().is_some_and(|name| name.to_string_lossy().contains("val"));
    let path = given.map(str::to_owned).or_else(|| data.keys().find(|path| named(path)).cloned());
    let Some(path) = path else {
        return Err("it was scored on generated images, whose boxes no file holds".into());
    };
    if !Path::new(&path).is_file() {
        return Err(format!("its annotations {path} are gone"));
    }
    let sha256 = data.get(&path).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    Ok(Found { truth: (path.into(), sha256), detections })
}
