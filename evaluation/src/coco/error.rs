//! Why boxes cannot be scored.

/// Why boxes cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum CocoError {
    /// The ground truth lists no images.
    #[error("the list `images` is empty; every image needs an entry, those without objects too")]
    NoImages,
    /// The ground truth is not LVIS's.
    #[error(
        "no image says which categories were looked for (`neg_category_ids`), as LVIS's annotations do; `toolkit eval coco` \
         scores against annotations of all categories"
    )]
    NotFederated,
    /// The ground truth lists no categories.
    #[error("the list `categories` is empty; every category needs an entry with its id and name")]
    NoCategories,
    /// An id is used twice.
    #[error("{what} {id} is listed twice, as entries {first} and {second} (from 0); every {what} id may occur once")]
    Twice {
        /// What has the id: image, category or annotation.
        what: &'static str,
        /// The id.
        id: i64,
        /// The place of the first in its list, from 0.
        first: usize,
        /// The place of the second in its list, from 0.
        second: usize,
    },
    /// A ground-truth box with a number that is none.
    #[error("annotation {id} (image {image_id}) has the number {value} in its bbox or area; all must be finite")]
    AnnotationNotFinite {
        /// The id of the annotation.
        id: i64,
        /// Its image.
        image_id: i64,
        /// The number.
        value: f64,
    },
    /// A detection with a number that is none.
    #[error("detection {index} (from 0), of image {image_id}, has the {field} {value}; it must be finite")]
    DetectionNotFinite {
        /// Its place in the list, from 0.
        index: usize,
        /// Its image.
        image_id: i64,
        /// `score`, or `bbox` with the number's place in it.
        field: &'static str,
        /// The number.
        value: f64,
    },
    /// Detections of images that the ground truth has not.
    #[error(
        "{detections} of {all} detections are of images that the ground truth has not (first: detection {first}, from 0, \
         of image {image_id}); every image_id must be one of the ground truth's"
    )]
    UnknownImages {
        /// Their number.
        detections: usize,
        /// All detections.
        all: usize,
        /// The place of the first in the list, from 0.
        first: usize,
        /// Its image.
        image_id: i64,
    },
    /// Only images are to be scored that the ground truth has not.
    #[error("image {image_id} is to be scored but is not in the ground truth; choose among its {images} images")]
    UnknownChosenImage {
        /// The image.
        image_id: i64,
        /// Images of the ground truth.
        images: usize,
    },
    /// No image is to be scored.
    #[error("none of the images is to be scored; choose at least one, or leave the choice out for all")]
    NoChosenImages,
    /// A category is of no frequency.
    #[error(
        "category {id} ({name}) has {}; frequency must be \"r\", \"c\" or \"f\" for every category, or for none",
        found.as_ref().map_or_else(|| "no frequency though others have one".to_owned(), |found| format!("the frequency {found:?}"))
    )]
    Frequency {
        /// The category.
        id: i64,
        /// Its name.
        name: String,
        /// Its frequency, if it has one.
        found: Option<String>,
    },
    /// The number of training images of a category is not known.
    #[error("no number of training images of category {id} ({name}); every category of the ground truth needs one")]
    TrainImages {
        /// The category.
        id: i64,
        /// Its name.
        name: String,
    },
    /// Two systems were not scored on the same images and categories.
    #[error("the two systems are not scored on the same ground truth; give both the same images, boxes and categories")]
    OtherGroundTruth,
    /// No resamples are asked for.
    #[error("0 resamples are asked for; at least 1 is needed, and 1000 is usual")]
    NoResamples,
    /// The evaluator failed in a way that its inputs do not explain.
    #[error("the evaluator failed: {0}")]
    Evaluator(#[from] hotcoco::Error),
}
