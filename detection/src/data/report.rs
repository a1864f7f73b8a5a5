//! What reading annotations found.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// How often a fault was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkipCount {
    /// How many.
    pub count: usize,
    /// The id of the first annotation or image.
    pub first: i64,
}

/// What reading an annotation file found, and what it left out. Nothing is left out or changed without being counted here.
///
/// Displayed, it is one line a kind, those with a count of 0 left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The file.
    pub file: PathBuf,
    /// Images that can be used.
    pub images: usize,
    /// Boxes that can be used, without those of crowds.
    pub objects: usize,
    /// Boxes of crowds: not trained on, and when evaluated, detections of them count neither way.
    pub crowds: usize,
    /// Boxes that reached beyond their image by more than 0.001 pixels and were cut at its border.
    pub clipped: usize,
    /// Annotations with the id 0. pycocotools takes a detection that matches one for a false one.
    pub zero_ids: usize,
    /// Annotations without an area (or one that is no number); that of the box is taken.
    pub without_area: usize,
    /// Annotations without `iscrowd`, taken for 0. Not counted where the categories have LVIS frequencies: LVIS has no crowds.
    pub without_iscrowd: usize,
    /// Images without a box that could be trained on.
    pub without_boxes: usize,
    /// Boxes left out because their image was.
    pub of_skipped_images: usize,
    /// Images left out, by what is wrong with them ([`super::ImageFault::kind`]).
    pub skipped_images: BTreeMap<&'static str, SkipCount>,
    /// Boxes left out, by what is wrong with them ([`super::BoxFault::kind`]).
    pub skipped_boxes: BTreeMap<&'static str, SkipCount>,
}

impl Report {
    pub(super) fn skip(kinds: &mut BTreeMap<&'static str, SkipCount>, kind: &'static str, id: i64) {
        kinds.entry(kind).or_insert(SkipCount { count: 0, first: id }).count += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        write!(to, "{file}: {} images with {} boxes", self.images, self.objects)?;
        for (count, what) in [
            (self.crowds, "boxes of crowds, not trained on"),
            (self.clipped, "boxes that reach beyond their image, clipped"),
            (self.zero_ids, "annotations with the id 0, detections of which pycocotools takes for false ones"),
            (self.without_area, "annotations without an area, that of the box taken"),
            (self.without_iscrowd, "annotations without \"iscrowd\", taken for 0"),
            (self.without_boxes, "images without a box to train on"),
            (self.of_skipped_images, "boxes of images that were left out"),
        ] {
            if count > 0 {
                write!(to, "\n{file}: {what}: {count}")?;
            }
        }
        for (skipped, of) in [(&self.skipped_images, "image"), (&self.skipped_boxes, "annotation")] {
            for (kind, SkipCount { count, first }) in skipped {
                write!(to, "\n{file}: {kind}, left out: {count} (the first is {of} {first})")?;
            }
        }
        Ok(())
    }
}
