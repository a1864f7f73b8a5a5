//! What is to be found.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use hotcoco::{COCO, Dataset};

use super::{CocoError, Warning};

/// An object in an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Annotation {
    /// Its id, which no other annotation has.
    pub id: i64,
    /// The image it is in.
    pub image_id: i64,
    /// What it is.
    pub category_id: i64,
    /// x and y of the upper left corner, width, height; pixels.
    pub bbox: [f64; 4],
    /// Pixels of the object (in COCO of its mask, not of the box), which decide whether it is small, medium or large.
    pub area: f64,
    /// Whether it is a group of objects, which any number of detections may match without counting for or against them.
    pub iscrowd: bool,
}

/// A class of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// How frequent it is in training: `r`, `c` or `f` (LVIS).
    pub frequency: Option<String>,
}

impl Category {
    /// A category of no stated frequency.
    pub fn new(id: i64, name: impl Into<String>) -> Self {
        Self { id, name: name.into(), frequency: None }
    }
}

/// The objects of a set of images, indexed: made once, detections are scored against it any number of times.
#[derive(Clone)]
pub struct GroundTruth {
    // The evaluator's ids of images and categories are places in the sorted lists here: it has no negative ones.
    pub(super) coco: Arc<COCO>,
    pub(super) image_ids: Vec<i64>,
    pub(super) image_places: HashMap<i64, u32>,
    pub(super) categories: Vec<Category>,
    pub(super) category_places: HashMap<i64, u32>,
    pub(super) warnings: Vec<Warning>,
    /// Whether images say which categories were looked for in them.
    pub(super) federated: bool,
}

impl GroundTruth {
    /// Of all images (those without objects too), all objects, and all categories.
    ///
    /// Objects of images or categories that are not listed are left out, as pycocotools does, with a warning.
    ///
    /// # Errors
    /// No images or categories; an id that is used twice; a box or an area that is not finite.
    pub fn new(
        image_ids: &[i64],
        annotations: &[Annotation],
        mut categories: Vec<Category>,
    ) -> Result<Self, CocoError> {
        if image_ids.is_empty() {
            return Err(CocoError::NoImages);
        }
        if categories.is_empty() {
            return Err(CocoError::NoCategories);
        }
        check_unique("image", image_ids.iter().copied())?;
        check_unique("category", categories.iter().map(|category| category.id))?;
        check_unique("annotation", annotations.iter().map(|annotation| annotation.id))?;
        let mut image_ids = image_ids.to_vec();
        image_ids.sort_unstable();
        categories.sort_by_key(|category| category.id);
        let places = |ids: &mut dyn Iterator<Item = i64>| ids.zip(0..).collect::<HashMap<i64, u32>>();
        let mut truth = Self {
            coco: Arc::new(COCO::from_dataset(Dataset::default())),
            image_places: places(&mut image_ids.iter().copied()),
            image_ids,
            category_places: places(&mut categories.iter().map(|category| category.id)),
            categories,
            warnings: Vec::new(),
            federated: false,
        };
        let kept = truth.index(annotations)?;
        truth.coco = Arc::new(COCO::from_dataset(Dataset {
            images: (0..truth.image_ids.len() as u64).map(|id| hotcoco::Image { id, ..Default::default() }).collect(),
            annotations: kept,
            categories: truth
                .categories
                .iter()
                .zip(0..)
                .map(|(category, id): (_, u64)| hotcoco::Category {
                    id,
                    name: id.to_string(),
                    frequency: category.frequency.clone(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }));
        Ok(truth)
    }

    /// Ids of the images, sorted.
    pub fn image_ids(&self) -> &[i64] {
        &self.image_ids
    }

    /// The categories, sorted by id.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// Objects, groups of objects among them, without those of unknown images or categories.
    pub fn annotations(&self) -> usize {
        self.coco.dataset.annotations.len()
    }

    /// What is odd about it.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The images that hold each category, in the order of [`GroundTruth::categories`]; groups of objects count too.
    pub(super) fn images_of_categories(&self) -> Vec<u64> {
        let mut images = vec![0; self.categories.len()];
        for (_, category) in self.coco.nonempty_img_cat_pairs() {
            images[category as usize] += 1;
        }
        images
    }

    /// The evaluator's annotations; notes what is odd about them.
    fn index(&mut self, annotations: &[Annotation]) -> Result<Vec<hotcoco::Annotation>, CocoError> {
        let mut kept = Vec::with_capacity(annotations.len());
        let mut odd = Odd::default();
        for annotation in annotations {
            let mut numbers = annotation.bbox.into_iter().chain([annotation.area]);
            if let Some(value) = numbers.find(|value| !value.is_finite()) {
                let Annotation { id, image_id, .. } = *annotation;
                return Err(CocoError::AnnotationNotFinite { id, image_id, value });
            }
            let Some(&image) = self.image_places.get(&annotation.image_id) else {
                odd.unknown_images.add(annotation);
                continue;
            };
            let Some(&category) = self.category_places.get(&annotation.category_id) else {
                odd.unknown_categories.add(annotation);
                continue;
            };
            if annotation.id == 0 {
                odd.zero = Some(annotation.image_id);
            }
            if !(annotation.bbox[2] > 0.0 && annotation.bbox[3] > 0.0) {
                odd.empty.add(annotation);
            }
            kept.push(hotcoco::Annotation {
                id: kept.len() as u64 + 1,
                image_id: image.into(),
                category_id: category.into(),
                bbox: Some(annotation.bbox),
                area: Some(annotation.area),
                iscrowd: annotation.iscrowd,
                ..Default::default()
            });
        }
        self.warnings.extend(odd.warnings());
        Ok(kept)
    }
}

impl fmt::Debug for GroundTruth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroundTruth")
            .field("images", &self.image_ids.len())
            .field("annotations", &self.annotations())
            .field("categories", &self.categories.len())
            .field("warnings", &self.warnings)
            .finish()
    }
}

/// Annotations of one oddity.
#[derive(Default)]
struct Tally {
    annotations: usize,
    first: Option<Annotation>,
}

impl Tally {
    fn add(&mut self, annotation: &Annotation) {
        self.annotations += 1;
        self.first.get_or_insert(*annotation);
    }

    fn warning(&self, warning: impl FnOnce(usize, &Annotation) -> Warning) -> Option<Warning> {
        self.first.as_ref().map(|first| warning(self.annotations, first))
    }
}

#[derive(Default)]
struct Odd {
    zero: Option<i64>,
    unknown_images: Tally,
    unknown_categories: Tally,
    empty: Tally,
}

impl Odd {
    fn warnings(&self) -> impl Iterator<Item = Warning> {
        [
            self.zero.map(|image_id| Warning::AnnotationIdZero { image_id }),
            self.unknown_images.warning(|annotations, first| Warning::AnnotationsOfUnknownImages {
                annotations,
                first: first.id,
                image_id: first.image_id,
            }),
            self.unknown_categories.warning(|annotations, first| Warning::AnnotationsOfUnknownCategories {
                annotations,
                first: first.id,
                category_id: first.category_id,
            }),
            self.empty.warning(|annotations, first| Warning::EmptyAnnotations { annotations, first: first.id }),
        ]
        .into_iter()
        .flatten()
    }
}

fn check_unique(what: &'static str, ids: impl ExactSizeIterator<Item = i64>) -> Result<(), CocoError> {
    let mut places = HashMap::with_capacity(ids.len());
    for (second, id) in ids.enumerate() {
        if let Some(first) = places.insert(id, second) {
            return Err(CocoError::Twice { what, id, first, second });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(id: i64, image_id: i64, category_id: i64) -> Annotation {
        Annotation { id, image_id, category_id, bbox: [0.0, 0.0, 2.0, 3.0], area: 6.0, iscrowd: false }
    }

    fn truth(images: &[i64], annotations: &[Annotation]) -> Result<GroundTruth, CocoError> {
        GroundTruth::new(images, annotations, vec![Category::new(9, "cat"), Category::new(-1, "dog")])
    }

    #[test]
    fn ids_are_sorted_and_may_be_negative() {
        let truth = truth(&[5, -2, 3], &[annotation(1, 3, 9), annotation(2, 3, 9), annotation(3, 5, -1)]).unwrap();
        assert_eq!(truth.image_ids(), [-2, 3, 5]);
        assert_eq!(truth.categories().iter().map(|category| category.id).collect::<Vec<_>>(), [-1, 9]);
        assert_eq!((truth.annotations(), truth.images_of_categories()), (3, vec![1, 1]));
        assert_eq!(truth.warnings(), []);
    }

    #[test]
    fn oddities_are_told() {
        let empty = Annotation { bbox: [1.0, 1.0, 0.0, 4.0], ..annotation(0, 3, 9) };
        let truth = truth(&[3], &[annotation(4, 8, 9), annotation(5, 3, 1), annotation(6, 8, 1), empty]).unwrap();
        assert_eq!(truth.annotations(), 1);
        let want = [
            Warning::AnnotationIdZero { image_id: 3 },
            Warning::AnnotationsOfUnknownImages { annotations: 2, first: 4, image_id: 8 },
            Warning::AnnotationsOfUnknownCategories { annotations: 1, first: 5, category_id: 1 },
            Warning::EmptyAnnotations { annotations: 1, first: 0 },
        ];
        assert_eq!(truth.warnings(), want);
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        let message = |result: Result<GroundTruth, CocoError>| result.unwrap_err().to_string();
        let twice = message(truth(&[3], &[annotation(4, 3, 9), annotation(5, 3, 9), annotation(4, 3, 9)]));
        assert_eq!(
            twice,
            "annotation 4 is listed twice, as entries 0 and 2 (from 0); every annotation id may occur once"
        );
        assert!(message(truth(&[3, 4, 3], &[])).starts_with("image 3 is listed twice, as entries 0 and 2"));
        let categories = vec![Category::new(1, "a"), Category::new(1, "b")];
        assert!(message(GroundTruth::new(&[3], &[], categories)).starts_with("category 1 is listed twice"));
        let nan = Annotation { bbox: [0.0, f64::NAN, 1.0, 1.0], ..annotation(4, 3, 9) };
        assert!(message(truth(&[3], &[nan])).starts_with("annotation 4 (image 3) has the number NaN"));
        assert!(message(truth(&[], &[])).starts_with("the list `images` is empty"));
        assert!(message(GroundTruth::new(&[3], &[], Vec::new())).starts_with("the list `categories` is empty"));
    }
}
