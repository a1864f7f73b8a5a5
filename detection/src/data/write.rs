//! Annotations in COCO's format, as files.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use imbalance_train::write_atomically;
use serde::Serialize;
use serde::ser::{SerializeSeq, SerializeStruct, Serializer};

use super::{DataError, Dataset};

impl Dataset {
    /// Writes the annotations in COCO's format. The names of the images are those of their files, without folders.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write_annotations(&self, to: impl Write) -> io::Result<()> {
        serde_json::to_writer(to, &File(self)).map_err(io::Error::from)
    }

    /// Writes the annotations to a file, which is there whole or not at all.
    ///
    /// # Errors
    /// [`DataError::Io`].
    pub fn save_annotations(&self, path: &Path) -> Result<(), DataError> {
        write_atomically(path, |file| {
            let mut to = BufWriter::new(file);
            self.write_annotations(&mut to)?;
            to.flush()
        })
        .map_err(|reason| DataError::Io { path: path.into(), reason })
    }
}

/// The whole, written as it is walked through: all of COCO need not be in memory twice.
struct File<'a>(&'a Dataset);

#[derive(Serialize)]
struct ImageRecord {
    id: i64,
    file_name: String,
    width: u32,
    height: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    neg_category_ids: Option<Vec<i64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_exhaustive_category_ids: Option<Vec<i64>>,
}

#[derive(Serialize)]
struct AnnotationRecord {
    id: i64,
    image_id: i64,
    category_id: i64,
    bbox: [f64; 4],
    area: f64,
    iscrowd: u8,
}

#[derive(Serialize)]
struct CategoryRecord<'a> {
    id: i64,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency: Option<&'a str>,
}

impl Serialize for File<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut file = to.serialize_struct("File", 3)?;
        file.serialize_field("images", &List(self.0, images))?;
        file.serialize_field("annotations", &List(self.0, annotations))?;
        file.serialize_field("categories", &List(self.0, categories))?;
        file.end()
    }
}

/// A list of what a function makes of the set.
struct List<'a, I>(&'a Dataset, fn(&'a Dataset) -> I);

impl<'a, I: Iterator<Item: Serialize> + 'a> Serialize for List<'a, I> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(None)?;
        for item in self.1(self.0) {
            list.serialize_element(&item)?;
        }
        list.end()
    }
}

fn images(set: &Dataset) -> impl Iterator<Item = ImageRecord> {
    let federated = set.is_federated();
    let ids = move |classes: &[usize]| {
        federated.then(|| classes.iter().map(|&class| set.categories[class].id).collect::<Vec<_>>())
    };
    set.images.iter().map(move |image| ImageRecord {
        id: image.id,
        file_name: image.file_name(),
        width: image.width,
        height: image.height,
        neg_category_ids: ids(&image.negative),
        not_exhaustive_category_ids: ids(&image.not_exhaustive),
    })
}

fn annotations(set: &Dataset) -> impl Iterator<Item = AnnotationRecord> {
    set.images.iter().flat_map(move |image| {
        image.objects.iter().map(move |object| AnnotationRecord {
            id: object.annotation,
            image_id: image.id,
            category_id: set.categories[object.class].id,
            bbox: object.xywh(),
            area: object.area,
            iscrowd: object.crowd.into(),
        })
    })
}

fn categories(set: &Dataset) -> impl Iterator<Item = CategoryRecord<'_>> {
    set.categories.iter().map(|category| CategoryRecord {
        id: category.id,
        name: &category.name,
        frequency: category.frequency.map(|frequency| &frequency.name()[..1]),
    })
}
