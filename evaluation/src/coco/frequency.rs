//! Scores of rare, common and frequent categories.

use std::collections::HashMap;

use serde::Serialize;

use super::{Category, CocoError, GroundTruth, Summary};

/// How frequent a category is in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    /// LVIS: in 1 to 10 training images.
    Rare,
    /// LVIS: in 11 to 100 training images.
    Common,
    /// LVIS: in more than 100 training images.
    Frequent,
}

/// LVIS: rare up to so many training images.
const RARE: u64 = 10;

/// LVIS: common up to so many.
const COMMON: u64 = 100;

impl Frequency {
    /// All, from the rarest.
    pub const ALL: [Self; 3] = [Self::Rare, Self::Common, Self::Frequent];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rare => "rare",
            Self::Common => "common",
            Self::Frequent => "frequent",
        }
    }

    /// Of a category that so many training images hold.
    pub fn of_train_images(images: u64) -> Self {
        if images <= RARE {
            Self::Rare
        } else if images <= COMMON {
            Self::Common
        } else {
            Self::Frequent
        }
    }
}

/// What says how frequent a category is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupSource {
    /// The `frequency` of the categories in the ground truth.
    GroundTruth,
    /// The training images that hold it, with the bounds of LVIS: 10 and 100.
    TrainImages,
    /// The images of the ground truth itself that hold it: the third of the categories with the fewest, the middle third,
    /// and the third with the most, of those with boxes. As nothing is known of training, these are only stand-ins.
    Thirds,
}

impl GroupSource {
    /// What makes the groups, to go after "groups by".
    pub fn text(self) -> &'static str {
        match self {
            Self::GroundTruth => "the frequency (r, c, f) of the categories in the ground truth",
            Self::TrainImages => "training images of the category: rare at most 10, common at most 100, frequent more",
            Self::Thirds => {
                "images of the category in the ground truth itself, a third of the categories with boxes each"
            }
        }
    }
}

/// Scores of the categories of one frequency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct GroupScores {
    /// Its categories.
    pub categories: usize,
    /// Those of them with boxes to be found, which the means are over.
    pub categories_with_boxes: usize,
    /// Boxes to be found.
    pub boxes: usize,
    /// Mean of the categories' average precision, 0 to 1; `None` when none has boxes.
    #[serde(rename = "AP")]
    pub ap: Option<f64>,
    /// The same at IoU .5.
    #[serde(rename = "AP50")]
    pub ap50: Option<f64>,
    /// Mean of the categories' average recall of 100 detections.
    #[serde(rename = "AR100")]
    pub ar100: Option<f64>,
}

/// Scores of rare, common and frequent categories.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FrequencyGroups {
    /// What says which category is in which.
    pub source: GroupSource,
    /// Rare categories.
    pub rare: GroupScores,
    /// Common categories.
    pub common: GroupScores,
    /// Frequent categories.
    pub frequent: GroupScores,
}

impl FrequencyGroups {
    /// The scores of one group.
    pub fn of(&self, frequency: Frequency) -> &GroupScores {
        match frequency {
            Frequency::Rare => &self.rare,
            Frequency::Common => &self.common,
            Frequency::Frequent => &self.frequent,
        }
    }
}

/// Groups the categories of a summary by the training images that hold them, by their id; without these by their own
/// `frequency`; without that in thirds ([`GroupSource`]).
///
/// # Errors
/// A category without a number of training images; one without `frequency` though another has one, or one that is not
/// `r`, `c` or `f`.
pub fn frequency_groups(
    ground_truth: &GroundTruth,
    summary: &Summary,
    train_images: Option<&HashMap<i64, u64>>,
) -> Result<FrequencyGroups, CocoError> {
    let categories = ground_truth.categories();
    let (source, frequencies) = if let Some(images) = train_images {
        (
            GroupSource::TrainImages,
            categories.iter().map(|category| of_train(category, images)).collect::<Result<_, _>>()?,
        )
    } else if categories.iter().any(|category| category.frequency.is_some()) {
        (GroupSource::GroundTruth, categories.iter().map(of_file).collect::<Result<_, _>>()?)
    } else {
        (GroupSource::Thirds, thirds(summary))
    };
    let group = |frequency| group_scores(summary, &frequencies, frequency);
    Ok(FrequencyGroups {
        source,
        rare: group(Frequency::Rare),
        common: group(Frequency::Common),
        frequent: group(Frequency::Frequent),
    })
}

fn of_train(category: &Category, images: &HashMap<i64, u64>) -> Result<Option<Frequency>, CocoError> {
    match images.get(&category.id) {
        Some(&images) => Ok(Some(Frequency::of_train_images(images))),
        None => Err(CocoError::TrainImages { id: category.id, name: category.name.clone() }),
    }
}

fn of_file(category: &Category) -> Result<Option<Frequency>, CocoError> {
    match category.frequency.as_deref() {
        Some("r") => Ok(Some(Frequency::Rare)),
        Some("c") => Ok(Some(Frequency::Common)),
        Some("f") => Ok(Some(Frequency::Frequent)),
        found => {
            let found = found.map(str::to_owned);
            Err(CocoError::Frequency { id: category.id, name: category.name.clone(), found })
        }
    }
}

/// Of n categories with boxes, that with the k-th fewest images (from 0) is in the third ⌊3k/n⌋; of equal numbers the lower
/// id comes first.
fn thirds(summary: &Summary) -> Vec<Option<Frequency>> {
    let mut ranked: Vec<usize> =
        (0..summary.per_class.len()).filter(|&class| summary.per_class[class].ap.is_some()).collect();
    ranked.sort_by_key(|&class| summary.per_class[class].images);
    let mut frequencies = vec![None; summary.per_class.len()];
    for (rank, &class) in ranked.iter().enumerate() {
        frequencies[class] = Some(Frequency::ALL[3 * rank / ranked.len()]);
    }
    frequencies
}

fn group_scores(summary: &Summary, frequencies: &[Option<Frequency>], group: Frequency) -> GroupScores {
    let classes = || {
        let pairs = summary.per_class.iter().zip(frequencies);
        pairs.filter(|(_, frequency)| **frequency == Some(group)).map(|(class, _)| class)
    };
    let with_boxes = || classes().filter(|class| class.ap.is_some());
    let count = with_boxes().count();
    let mean = |values: &mut dyn Iterator<Item = f64>| (count > 0).then(|| values.sum::<f64>() / count as f64);
    GroupScores {
        categories: classes().count(),
        categories_with_boxes: count,
        boxes: classes().map(|class| class.boxes).sum(),
        ap: mean(&mut with_boxes().filter_map(|class| class.ap)),
        ap50: mean(&mut with_boxes().filter_map(|class| class.ap50)),
        ar100: mean(&mut with_boxes().filter_map(|class| class.ar100)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Annotation, Detection, Options, evaluate};
    use super::*;

    /// Category c is in c images, each with one box; it is found in the first of them only, so that recall is 1/c and AP
    /// the share of the 101 recalls 0, .01, … up to 1/c.
    fn example(categories: Vec<Category>) -> (GroundTruth, Summary) {
        let (mut annotations, mut detections) = (Vec::new(), Vec::new());
        for category in &categories {
            for image_id in 0..category.id {
                let bbox = [10.0 * category.id as f64, 0.0, 8.0, 8.0];
                let id = annotations.len() as i64 + 1;
                let category_id = category.id;
                annotations.push(Annotation { id, image_id, category_id, bbox, area: 64.0, iscrowd: false });
                if image_id == 0 {
                    detections.push(Detection { image_id, category_id, bbox, score: 0.5 });
                }
            }
        }
        let truth = GroundTruth::new(&[0, 1, 2, 3, 4, 5, 6], &annotations, categories).unwrap();
        let summary = evaluate(&truth, &detections, &Options::default()).unwrap();
        (truth, summary)
    }

    fn categories(frequencies: [Option<&str>; 6]) -> Vec<Category> {
        let of = |(id, frequency): (i64, Option<&str>)| Category {
            frequency: frequency.map(str::to_owned),
            ..Category::new(id, format!("c{id}"))
        };
        (0..).zip(frequencies).map(of).collect()
    }

    fn close(got: Option<f64>, want: f64) {
        assert!((got.unwrap() - want).abs() < 1e-12, "{got:?} is not {want}");
    }

    /// Recalls 0, .01, … up to 1/c, of 101.
    const AP: [f64; 6] = [f64::NAN, 1.0, 51.0 / 101.0, 34.0 / 101.0, 26.0 / 101.0, 21.0 / 101.0];

    #[test]
    fn the_file_says_the_groups() {
        // Category 0 is rare too but has no boxes.
        let (truth, summary) = example(categories([Some("r"), Some("f"), Some("f"), Some("c"), Some("r"), Some("r")]));
        let groups = frequency_groups(&truth, &summary, None).unwrap();
        assert_eq!(groups.source, GroupSource::GroundTruth);
        close(groups.rare.ap, (AP[4] + AP[5]) / 2.0);
        close(groups.common.ap50, AP[3]);
        close(groups.frequent.ap, (AP[1] + AP[2]) / 2.0);
        close(groups.rare.ar100, (0.25 + 0.2) / 2.0);
        assert_eq!((groups.rare.categories, groups.rare.categories_with_boxes, groups.rare.boxes), (3, 2, 9));
    }

    #[test]
    fn training_images_come_before_the_file() {
        let (truth, summary) = example(categories([Some("r"); 6]));
        let images = HashMap::from([(0, 5), (1, 10), (2, 11), (3, 100), (4, 101), (5, 0)]);
        let groups = frequency_groups(&truth, &summary, Some(&images)).unwrap();
        assert_eq!(groups.source, GroupSource::TrainImages);
        close(groups.rare.ap, (AP[1] + AP[5]) / 2.0);
        close(groups.common.ap, (AP[2] + AP[3]) / 2.0);
        close(groups.frequent.ap, AP[4]);
        let some = HashMap::from([(0, 5), (1, 10)]);
        let message = frequency_groups(&truth, &summary, Some(&some)).unwrap_err().to_string();
        assert!(message.starts_with("no number of training images of category 2 (c2)"), "{message}");
    }

    #[test]
    fn else_thirds_of_the_categories_with_boxes() {
        let (truth, summary) = example(categories([None; 6]));
        let groups = frequency_groups(&truth, &summary, None).unwrap();
        assert_eq!(groups.source, GroupSource::Thirds);
        // Categories 1 to 5 in ranks 0 to 4: ⌊3·rank/5⌋ is 0, 0, 1, 1, 2.
        close(groups.rare.ap, (AP[1] + AP[2]) / 2.0);
        close(groups.common.ap, (AP[3] + AP[4]) / 2.0);
        close(groups.frequent.ap, AP[5]);
        assert_eq!(groups.rare.categories, 2);
    }

    #[test]
    fn half_a_frequency_is_refused() {
        let (truth, summary) = example(categories([Some("r"), None, None, None, None, None]));
        let message = frequency_groups(&truth, &summary, None).unwrap_err().to_string();
        assert!(message.starts_with("category 1 (c1) has no frequency though others have one"), "{message}");
        let (truth, summary) = example(categories([Some("x"); 6]));
        let message = frequency_groups(&truth, &summary, None).unwrap_err().to_string();
        assert!(message.starts_with("category 0 (c0) has the frequency \"x\"; frequency must be"), "{message}");
    }
}
