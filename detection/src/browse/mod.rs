//! One HTML page with the evaluated images, their objects and what was detected.

mod data;
mod embed;

use std::path::PathBuf;
use std::sync::Arc;

use imbalance_evaluation::coco::{Evaluation, Options, read_detections};
use imbalance_evaluation::page::Page;
use imbalance_train::write_atomically;
use serde::Serialize;

use self::data::PageData;
use crate::predict::DataOfRun;
use crate::train::DETECTIONS;
use crate::{DetectionError, SavedDetector};

const PAGE: Page<'_> =
    Page { body: include_str!("body.html"), style: include_str!("style.css"), scripts: &[include_str!("page.js")] };

/// What [`browse`] is asked.
#[derive(Clone, Debug)]
pub struct BrowseRequest {
    /// The run folder.
    pub run: PathBuf,
    /// The page to write.
    pub output: PathBuf,
    /// Where detections come from.
    pub detections: DetectionSource,
    /// At most so many images, spread evenly over those that were evaluated.
    pub images: usize,
    /// Least score of a detection on the page.
    pub score_above: f64,
}

/// Where the detections of a page come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetectionSource {
    /// The run's `detections.json`.
    Run,
    /// A file in COCO's results format.
    File(PathBuf),
    /// The run's network with these weights.
    Weights(PathBuf),
}

/// A page that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Browsed {
    /// The page.
    pub page: PathBuf,
    /// Images on it.
    pub images: usize,
    /// Images that were evaluated.
    pub evaluated: usize,
    /// Images that cannot be shown, and what is wrong with them.
    pub skipped: Vec<String>,
    /// Size of the page.
    pub bytes: usize,
}

/// Writes a page that shows evaluated images with their objects and detections; it needs no other file and no network.
///
/// # Errors
/// A folder that is no run; detections that are missing or of other images; annotations that are gone; a page that cannot be
/// written.
pub fn browse(request: &BrowseRequest) -> Result<Browsed, DetectionError> {
    let of = DataOfRun::read(&request.run)?;
    let set = Arc::new(of.open()?);
    let truth = crate::sets::ground_truth(&set)?;
    let found = match &request.detections {
        DetectionSource::Run => {
            let path = request.run.join(DETECTIONS);
            if !path.exists() {
                let reason = "there is none; a finished run has it. --checkpoint FILE detects with weights of this run, \
                              --detections FILE takes a results file";
                return Err(DetectionError::File { path, reason: reason.to_owned() });
            }
            read_detections(&path)?
        }
        DetectionSource::File(path) => read_detections(path)?,
        DetectionSource::Weights(path) => {
            SavedDetector::load(&request.run, Some(path))?.detections(&set, &truth, of.on_bad_image)?.0
        }
    };
    let evaluation = Evaluation::new(&truth, &found, &Options::default())?;
    let (data, skipped) = PageData::new(&set, &evaluation, request)?;
    let name = request.run.file_name().unwrap_or(request.run.as_os_str()).to_string_lossy();
    let page =
        PAGE.fill(&format!("{name}: detections"), &data).map_err(DetectionError::on(&request.output, "write"))?;
    write_atomically(&request.output, |file| std::io::Write::write_all(file, page.as_bytes()))
        .map_err(DetectionError::on(&request.output, "write"))?;
    Ok(Browsed {
        page: request.output.clone(),
        images: data.images.len(),
        evaluated: set.images.len(),
        skipped,
        bytes: page.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_fetched() {
        let page = PAGE.fill("run", &0).unwrap().replace("http://www.w3.org/2000/svg", "");
        for address in ["http://", "https://", "src=\"/", "@import"] {
            assert!(!page.contains(address), "{address}");
        }
    }
}
