//! A set of images with their boxes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use imbalance_evaluation::coco::{self, CocoError, Frequency, GroundTruth};

use super::DataError;
use super::synthetic::Scene;

/// A class of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// Its id in the annotation file. The ids of a set may have holes, and start anywhere.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// How frequent it is in training, where the file says so (LVIS).
    pub frequency: Option<Frequency>,
}

/// A set of images with their boxes.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The classes, sorted by id: class `c` is the `c`-th of them.
    pub categories: Vec<Category>,
    /// The images, in the order of the annotation file.
    pub images: Vec<Image>,
    /// The annotation file; none for a generated set.
    pub file: Option<PathBuf>,
    /// SHA-256, in lower-case hexadecimal, of the annotation file; of a generated set, of the annotations that
    /// [`Dataset::write_annotations`] writes.
    pub sha256: String,
}

/// An image and what is to be found in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Its id in the annotation file.
    pub id: i64,
    /// Where its pixels are.
    pub source: ImageSource,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The boxes in it, crowds among them, in the order of the annotation file.
    pub objects: Vec<Object>,
    /// Classes that were looked for and are not in it (LVIS; empty for others).
    pub negative: Vec<usize>,
    /// Classes of which not every object has a box (LVIS; empty for others).
    pub not_exhaustive: Vec<usize>,
}

/// Where the pixels of an image are.
#[derive(Clone, Debug, PartialEq)]
pub enum ImageSource {
    /// In a JPEG or PNG file.
    File(PathBuf),
    /// Nowhere: they are drawn when they are asked for.
    Generated(Arc<Scene>),
}

/// An object, or a crowd of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Object {
    /// The id of its annotation.
    pub annotation: i64,
    /// Its class, an index into [`Dataset::categories`].
    pub class: usize,
    /// x1, y1, x2, y2 in pixels, the end exclusive (x2 = x + width), within the image, with an area.
    pub bbox: [f32; 4],
    /// Pixels of the object (in COCO of its mask, not of the box), which decide whether it is small, medium or large.
    pub area: f64,
    /// Whether it is a crowd: many objects in one box, which is not trained on.
    pub crowd: bool,
}

impl fmt::Display for ImageSource {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(to, "{}", path.display()),
            Self::Generated(_) => to.write_str("generated"),
        }
    }
}

impl Image {
    /// The boxes that are trained on.
    pub fn trained_on(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(|object| !object.crowd)
    }

    /// The name of its file within its folder, or one made from its id.
    pub fn file_name(&self) -> String {
        let name = match &self.source {
            ImageSource::File(path) => path.file_name(),
            ImageSource::Generated(_) => None,
        };
        name.map_or_else(|| format!("{:06}.png", self.id), |name| name.to_string_lossy().into_owned())
    }
}

impl Dataset {
    /// The annotation file, or `generated`.
    pub fn name(&self) -> String {
        self.file.as_deref().map_or("generated".into(), |file: &Path| file.display().to_string())
    }

    /// Names of the classes, by index.
    pub fn class_names(&self) -> Vec<String> {
        self.categories.iter().map(|category| category.name.clone()).collect()
    }

    /// How many objects each class has, without crowds.
    pub fn object_counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.categories.len()];
        self.images.iter().flat_map(Image::trained_on).for_each(|object| counts[object.class] += 1);
        counts
    }

    /// How many images each class is in, without crowds: what the frequency groups of LVIS are made by.
    pub fn image_counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.categories.len()];
        let mut last = vec![usize::MAX; self.categories.len()];
        for (index, image) in self.images.iter().enumerate() {
            for object in image.trained_on() {
                // A class with several objects counts once.
                if std::mem::replace(&mut last[object.class], index) != index {
                    counts[object.class] += 1;
                }
            }
        }
        counts
    }

    /// Indices of the images with a box that can be trained on.
    pub fn trainable(&self) -> Vec<usize> {
        (0..self.images.len()).filter(|&index| self.images[index].trained_on().next().is_some()).collect()
    }

    /// Whether there is anything to train on.
    ///
    /// # Errors
    /// [`DataError::NoForeground`].
    pub fn check_trainable(&self) -> Result<(), DataError> {
        if self.images.iter().any(|image| image.trained_on().next().is_some()) {
            return Ok(());
        }
        let crowds = self.images.iter().map(|image| image.objects.len()).sum();
        Err(DataError::NoForeground { name: self.name(), images: self.images.len(), crowds })
    }

    /// Whether any image says which classes were looked for (LVIS): then detections of others are not to be judged.
    pub fn is_federated(&self) -> bool {
        self.images.iter().any(|image| !image.negative.is_empty() || !image.not_exhaustive.is_empty())
    }

    /// What is to be found, for evaluation.
    ///
    /// Boxes are those here: clipped, in float32, without those left out. Figures that compare with pycocotools' on the
    /// same file come from [`imbalance_evaluation::coco::read_ground_truth`] instead.
    ///
    /// # Errors
    /// As [`GroundTruth::new`]; none for what [`Dataset::open`] read.
    pub fn ground_truth(&self) -> Result<GroundTruth, CocoError> {
        let images: Vec<i64> = self.images.iter().map(|image| image.id).collect();
        let mut annotations = Vec::new();
        for image in &self.images {
            annotations.extend(image.objects.iter().map(|object| coco::Annotation {
                id: object.annotation,
                image_id: image.id,
                category_id: self.categories[object.class].id,
                bbox: object.xywh(),
                area: object.area,
                iscrowd: object.crowd,
            }));
        }
        let categories = self.categories.iter().map(|category| coco::Category {
            frequency: category.frequency.map(|frequency| frequency.name()[..1].to_owned()),
            ..coco::Category::new(category.id, category.name.clone())
        });
        GroundTruth::new(&images, &annotations, categories.collect())
    }
}

impl Object {
    /// x, y, width and height, as COCO writes boxes.
    pub fn xywh(&self) -> [f64; 4] {
        let [x1, y1, x2, y2] = self.bbox.map(f64::from);
        [x1, y1, x2 - x1, y2 - y1]
    }
}
