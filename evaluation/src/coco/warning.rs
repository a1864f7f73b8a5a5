//! What a score leaves out or takes for something, said aloud.

use std::fmt;

use serde::{Serialize, Serializer};

/// Something about the data that changes no number here but that a reader of the numbers should know.
///
/// Its text ([`Display`](fmt::Display), and JSON) goes on after the name of the file that [`Warning::of_detections`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A ground-truth box has the id 0.
    AnnotationIdZero {
        /// Its image.
        image_id: i64,
    },
    /// Ground-truth boxes without `iscrowd`.
    MissingIscrowd {
        /// Their number.
        annotations: usize,
    },
    /// Ground-truth boxes without `area`.
    MissingArea {
        /// Their number.
        annotations: usize,
    },
    /// Ground-truth boxes of images that are not listed.
    AnnotationsOfUnknownImages {
        /// Their number.
        annotations: usize,
        /// The id of the first.
        first: i64,
        /// Its image.
        image_id: i64,
    },
    /// Ground-truth boxes of categories that are not listed.
    AnnotationsOfUnknownCategories {
        /// Their number.
        annotations: usize,
        /// The id of the first.
        first: i64,
        /// Its category.
        category_id: i64,
    },
    /// Ground-truth boxes whose width or height is not above 0.
    EmptyAnnotations {
        /// Their number.
        annotations: usize,
        /// The id of the first.
        first: i64,
    },
    /// No ground-truth box is there to be found.
    NoAnnotations,
    /// Categories without boxes to be found, which no mean includes.
    CategoriesWithoutBoxes {
        /// Their number.
        without: usize,
        /// All categories.
        categories: usize,
    },
    /// The ground truth is annotated in the federated way of LVIS.
    Federated {
        /// Images that say which categories were looked for.
        images: usize,
    },
    /// No detections.
    NoDetections,
    /// Detections of categories that the ground truth has not.
    DetectionsOfUnknownCategories {
        /// Their number.
        detections: usize,
        /// The place of the first in the list, from 0.
        first: usize,
        /// Its category.
        category_id: i64,
        /// How many such categories there are.
        categories: usize,
    },
    /// More detections of one category in one image than count.
    ManyDetections {
        /// Detections that do not count.
        detections: usize,
        /// Pairs of image and category with too many.
        pairs: usize,
        /// How many count.
        limit: usize,
    },
    /// Detections whose width or height is not above 0.
    EmptyDetections {
        /// Their number.
        detections: usize,
        /// The place of the first in the list, from 0.
        first: usize,
    },
}

impl Warning {
    /// Whether it is about the detections rather than the ground truth.
    pub fn of_detections(&self) -> bool {
        matches!(
            self,
            Self::NoDetections
                | Self::DetectionsOfUnknownCategories { .. }
                | Self::ManyDetections { .. }
                | Self::EmptyDetections { .. }
        )
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnnotationIdZero { image_id } => write!(
                f,
                "the annotation with id 0 (image {image_id}) counts here, but pycocotools takes whatever matches it for a \
                 false positive; ids should start at 1"
            ),
            Self::MissingIscrowd { annotations } => {
                write!(f, "{} no iscrowd, which is taken as 0 (a single object)", lacking(*annotations))
            }
            Self::MissingArea { annotations } => write!(
                f,
                "{} no area, which is taken as that of the box; COCO's own is that of the mask",
                lacking(*annotations)
            ),
            Self::AnnotationsOfUnknownImages { annotations, first, image_id } => write!(
                f,
                "{} of images that are not in its list `images`, and left out (first: annotation {first} of \
                 image {image_id})",
                being(*annotations, "annotation")
            ),
            Self::AnnotationsOfUnknownCategories { annotations, first, category_id } => write!(
                f,
                "{} of categories that are not in its list `categories`, and left out (first: annotation {first} \
                 of category {category_id})",
                being(*annotations, "annotation")
            ),
            Self::EmptyAnnotations { annotations, first } => write!(
                f,
                "{} without width or height and cannot be found (first: annotation {first}); bbox must be [x, y, width, \
                 height]",
                being(*annotations, "annotation")
            ),
            Self::NoAnnotations => f.write_str("no annotation is there to be found; every number is -1"),
            Self::CategoriesWithoutBoxes { without, categories } => {
                let have = if *without == 1 { "has" } else { "have" };
                write!(f, "{without} of {categories} categories {have} no ground truth and no part in any mean")
            }
            Self::Federated { images } => write!(
                f,
                "{} neg_category_ids, as in LVIS, whose protocol this is not (`toolkit eval lvis` is): here detections of categories \
                 that were not looked for are false positives",
                plural_of(*images, "image has", "images have")
            ),
            Self::NoDetections => f.write_str("holds no detections; AP is 0"),
            Self::DetectionsOfUnknownCategories { detections, first, category_id, categories } => write!(
                f,
                "{} of {} that the ground truth has not, and left out (first: detection {first}, of category \
                 {category_id}); category_id must be that of the ground truth",
                being(*detections, "detection"),
                plural_of(*categories, "category", "categories")
            ),
            Self::ManyDetections { detections, pairs, limit } => write!(
                f,
                "{} nothing: in {pairs} {} of image and category there are more than {limit}, of which those of the \
                 highest scores count",
                if *detections == 1 {
                    "1 detection counts for".into()
                } else {
                    format!("{detections} detections count for")
                },
                if *pairs == 1 { "pair" } else { "pairs" }
            ),
            Self::EmptyDetections { detections, first } => write!(
                f,
                "{} without width or height (first: detection {first}); bbox must be [x, y, width, height]",
                being(*detections, "detection")
            ),
        }
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn plural_of(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

fn being(count: usize, one: &str) -> String {
    plural_of(count, &format!("{one} is"), &format!("{one}s are"))
}

fn lacking(annotations: usize) -> String {
    plural_of(annotations, "annotation has", "annotations have")
}
