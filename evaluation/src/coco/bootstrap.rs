//! How sure a difference between two systems is: the paired bootstrap over images (Efron and Tibshirani, "An Introduction to
//! the Bootstrap", 1993).

use rayon::prelude::*;
use serde::Serialize;

use super::matches::{Precisions, Scratch};
use super::{CocoError, Matches};
use crate::significance::{draw, percentile};

/// How many resamples, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootstrapOptions {
    /// Resamples; 1000 if nothing else is said.
    pub resamples: usize,
    /// Decides, with the number of a resample, which images are in it.
    pub seed: u64,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        Self { resamples: 1000, seed: 0 }
    }
}

/// Differences of average precision between two systems over resamples of the images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bootstrap {
    /// Resamples asked for.
    pub resamples: usize,
    /// Those of them without a box to be found, which are left out.
    pub resamples_without_boxes: usize,
    /// Their seed.
    pub seed: u64,
    /// Images in each.
    pub images: usize,
    /// At IoU .5 to .95; `None` when no resample has a box to be found.
    #[serde(rename = "AP")]
    pub ap: Option<Resampled>,
    /// At IoU .5.
    #[serde(rename = "AP50")]
    pub ap50: Option<Resampled>,
    /// At IoU .75.
    #[serde(rename = "AP75")]
    pub ap75: Option<Resampled>,
}

/// A difference, of the first system less the second, over resamples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Resampled {
    /// Lower end of the 95 % interval: the 2.5th percentile, linear between resamples.
    pub lower: f64,
    /// Upper end of the 95 % interval: the 97.5th percentile.
    pub upper: f64,
    /// Resamples in which the difference is above 0, 0 to 1.
    pub share_above_zero: f64,
}

/// Draws as many images as there are, with replacement, again and again, and takes the difference of average precision
/// between the systems on the images drawn. An image that is drawn twice counts twice.
///
/// The result depends on the seed alone, not on the number of threads.
///
/// # Errors
/// Systems that were scored on other images or boxes; no resamples.
pub fn paired_bootstrap(first: &Matches, second: &Matches, options: &BootstrapOptions) -> Result<Bootstrap, CocoError> {
    if !first.same_ground_truth(second) {
        return Err(CocoError::OtherGroundTruth);
    }
    let BootstrapOptions { resamples, seed } = *options;
    if resamples == 0 {
        return Err(CocoError::NoResamples);
    }
    let images = first.images();
    let (first, second) = (resampled_precisions(first, options), resampled_precisions(second, options));
    let differences = first.into_iter().zip(second).filter_map(|pair| pair.0.zip(pair.1));
    let drawn: Vec<Precisions> =
        differences.map(|(first, second)| std::array::from_fn(|at| first[at] - second[at])).collect();
    let of = |at: usize| resampled(drawn.iter().map(|differences| differences[at]).collect());
    Ok(Bootstrap {
        resamples,
        resamples_without_boxes: resamples - drawn.len(),
        seed,
        images,
        ap: of(0),
        ap50: of(1),
        ap75: of(2),
    })
}

/// Average precision at IoU .5 to .95, at .5 and at .75, on resamples of the images, which are the same for all systems that were
/// scored on the same images; `None` where a resample has no box to be found.
pub fn resampled_precisions(matches: &Matches, options: &BootstrapOptions) -> Vec<Option<[f64; 3]>> {
    let scratch = || (Scratch::default(), vec![0; matches.images()]);
    (0..options.resamples as u64)
        .into_par_iter()
        .map_init(scratch, |(scratch, copies), resample| {
            draw(options.seed, resample, copies);
            matches.precisions(copies, scratch)
        })
        .collect()
}

fn resampled(mut differences: Vec<f64>) -> Option<Resampled> {
    if differences.is_empty() {
        return None;
    }
    differences.sort_by(f64::total_cmp);
    let above = differences.iter().filter(|&&difference| difference > 0.0).count();
    Some(Resampled {
        lower: percentile(&differences, 0.025),
        upper: percentile(&differences, 0.975),
        share_above_zero: above as f64 / differences.len() as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Annotation, Category, Detection, Evaluation, GroundTruth, Options};
    use super::*;

    /// Two images with a box each. The first system finds that of image 0, the second that of image 1.
    fn example() -> (Matches, Matches) {
        let bbox = [0.0, 0.0, 50.0, 50.0];
        let annotation =
            |image_id| Annotation { id: image_id + 1, image_id, category_id: 1, bbox, area: 2500.0, iscrowd: false };
        let truth = GroundTruth::new(&[0, 1], &[annotation(0), annotation(1)], vec![Category::new(1, "cat")]).unwrap();
        let matches = |image_id| {
            let found = Detection { image_id, category_id: 1, bbox, score: 0.5 };
            Evaluation::new(&truth, &[found], &Options::default()).unwrap().matches().unwrap()
        };
        (matches(0), matches(1))
    }

    /// With copies (2, 0) the first finds all, AP 1, the second nothing; with (0, 2) the reverse; with (1, 1) both find
    /// half. The differences are 1, −1 and 0.
    #[test]
    fn differences_are_those_by_hand() {
        let (first, second) = example();
        let mut scratch = Scratch::default();
        let mut ap = |matches: &Matches, copies: [u32; 2]| matches.precisions(&copies, &mut scratch).unwrap();
        let near = |got: Precisions, want: f64| got.iter().all(|got| (got - want).abs() < 1e-12);
        assert!(near(ap(&first, [2, 0]), 1.0) && near(ap(&second, [2, 0]), 0.0));
        assert!(near(ap(&first, [0, 2]), 0.0) && near(ap(&second, [0, 2]), 1.0));
        assert!(near(ap(&first, [1, 1]), 51.0 / 101.0) && near(ap(&second, [1, 1]), 51.0 / 101.0));

        let options = BootstrapOptions { resamples: 400, seed: 3 };
        let bootstrap = paired_bootstrap(&first, &second, &options).unwrap();
        // Counted by the same draws: above 0 where both are of image 0.
        let mut copies = [0, 0];
        let above = (0..400).filter(|&resample| {
            draw(3, resample, &mut copies);
            copies == [2, 0]
        });
        let share = above.count() as f64 / 400.0;
        let ap = bootstrap.ap.unwrap();
        assert_eq!(ap.share_above_zero, share);
        // A quarter of 400, with a standard deviation of 8.7.
        assert!((share - 0.25).abs() < 0.1, "{share}");
        assert!((ap.lower + 1.0).abs() < 1e-12 && (ap.upper - 1.0).abs() < 1e-12);
        assert_eq!((bootstrap.images, bootstrap.resamples_without_boxes), (2, 0));
        let back = paired_bootstrap(&second, &first, &options).unwrap();
        assert_eq!(back.ap.unwrap().lower, -ap.upper);
    }

    #[test]
    fn threads_and_runs_do_not_matter_but_the_seed_does() {
        let (first, second) = example();
        let run = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let options = BootstrapOptions { resamples: 101, seed };
            pool.install(|| paired_bootstrap(&first, &second, &options).unwrap())
        };
        assert_eq!(run(1, 7), run(3, 7));
        assert_ne!(run(1, 7).ap.unwrap().share_above_zero, run(1, 8).ap.unwrap().share_above_zero);
    }

    #[test]
    fn other_ground_truth_is_refused() {
        let (first, _) = example();
        let truth = GroundTruth::new(&[0, 1], &[], vec![Category::new(1, "cat")]).unwrap();
        let other = Evaluation::new(&truth, &[], &Options::default()).unwrap().matches().unwrap();
        let message = paired_bootstrap(&first, &other, &BootstrapOptions::default()).unwrap_err().to_string();
        assert!(message.contains("not scored on the same ground truth"), "{message}");
        // No boxes anywhere: no resample counts.
        let bootstrap = paired_bootstrap(&other, &other, &BootstrapOptions { resamples: 5, seed: 0 }).unwrap();
        assert_eq!((bootstrap.ap, bootstrap.resamples_without_boxes), (None, 5));
        let none = BootstrapOptions { resamples: 0, seed: 0 };
        assert!(matches!(paired_bootstrap(&other, &other, &none), Err(CocoError::NoResamples)));
    }
}
