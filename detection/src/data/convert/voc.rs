//! PASCAL VOC (Everingham et al., 2010): one XML file an image.

use std::collections::BTreeSet;
use std::path::Path;

use rayon::prelude::*;
use roxmltree::{Document, Node};

use super::{ConvertError, Split, text};
use crate::data::{Image, ImageSource, Object};

const LAYOUT: &str = "a VOC folder with Annotations/*.xml, JPEGImages/ and ImageSets/Main/train.txt or val.txt";

/// An image's annotations, classes by name.
struct Annotated {
    image: Image,
    names: Vec<String>,
}

/// Names of the classes, and the parts.
pub(super) fn read(folder: &Path, notes: &mut Vec<String>) -> Result<(Vec<String>, Vec<Split>), ConvertError> {
    let lists = folder.join("ImageSets/Main");
    let mut parts = Vec::new();
    for name in ["train", "val", "test"] {
        let list = lists.join(format!("{name}.txt"));
        if list.is_file() {
            parts.push((name, read_part(folder, &text(&list, LAYOUT)?)?));
        }
    }
    if parts.is_empty() {
        return Err(ConvertError::Missing { path: lists.join("train.txt"), expected: LAYOUT.into() });
    }
    let names: BTreeSet<String> = parts.iter().flat_map(|(_, part)| part).flat_map(|one| one.names.clone()).collect();
    let names: Vec<String> = names.into_iter().collect();
    if names.is_empty() {
        let problem = "no annotation of it has an object; there should be at least one".into();
        return Err(ConvertError::Folder { path: folder.join("Annotations"), problem });
    }
    let split = |(name, part): (&str, Vec<Annotated>)| {
        let images: Vec<Image> = part.into_iter().map(|one| one.with_classes(&names)).collect();
        let crowds = images.iter().flat_map(|image| &image.objects).filter(|object| object.crowd).count();
        if crowds > 0 {
            notes.push(format!("{name}: objects marked as difficult, made crowds, which are not trained on: {crowds}"));
        }
        Split { name: name.to_owned(), folder: folder.join("JPEGImages"), images }
    };
    let splits = parts.into_iter().map(split).collect();
    Ok((names, splits))
}

/// The images of a list, whose lines are a name, and for lists of one class its label.
fn read_part(folder: &Path, list: &str) -> Result<Vec<Annotated>, ConvertError> {
    let names: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    names.par_iter().map(|name| read_image(folder, name)).collect()
}

impl Annotated {
    fn with_classes(mut self, classes: &[String]) -> Image {
        for (object, name) in self.image.objects.iter_mut().zip(&self.names) {
            object.class = classes.binary_search(name).unwrap_or_default();
        }
        self.image
    }
}

fn read_image(folder: &Path, name: &str) -> Result<Annotated, ConvertError> {
    let path = folder.join("Annotations").join(format!("{name}.xml"));
    let xml = text(&path, LAYOUT)?;
    let wrong = |line: u32, problem: String| ConvertError::Line { path: path.clone(), line: line as usize, problem };
    let document = Document::parse(&xml).map_err(|error| {
        let place = error.pos();
        wrong(place.row, format!("it is no XML: {error}"))
    })?;
    let root = document.root_element();
    let at = |node: Node<'_, '_>| document.text_pos_at(node.range().start).row;
    let child = |node: Node<'_, '_>, tag: &str| -> Result<String, ConvertError> {
        let found = node.children().find(|child| child.has_tag_name(tag)).and_then(|child| child.text());
        let problem = || format!("<{}> has no <{tag}>", node.tag_name().name());
        found.map(|text| text.trim().to_owned()).ok_or_else(|| wrong(at(node), problem()))
    };
    let number = |node: Node<'_, '_>, tag: &str| -> Result<f64, ConvertError> {
        let text = child(node, tag)?;
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| wrong(at(node), format!("<{tag}> is {text:?}; it should be a number")))
    };
    let part = |node: Node<'_, '_>, tag: &str| -> Result<(), ConvertError> {
        match node.children().any(|child| child.has_tag_name(tag)) {
            true => Ok(()),
            false => Err(wrong(at(node), format!("<{}> has no <{tag}>", node.tag_name().name()))),
        }
    };
    part(root, "size")?;
    let size = |tag: &str| -> Result<u32, ConvertError> {
        let node = root.children().find(|child| child.has_tag_name("size")).unwrap_or(root);
        let side = number(node, tag)?;
        match side >= 1.0 && side <= f64::from(u16::MAX) {
            true => Ok(side as u32),
            false => Err(wrong(at(node), format!("<{tag}> is {side}; it should be from 1 to 65535"))),
        }
    };
    let (width, height) = (size("width")?, size("height")?);
    let file = child(root, "filename").unwrap_or_else(|_| format!("{name}.jpg"));
    let source = ImageSource::File(folder.join("JPEGImages").join(&file));
    let (objects, negative, not_exhaustive) = (Vec::new(), Vec::new(), Vec::new());
    let mut image = Image { id: 0, source, width, height, objects, negative, not_exhaustive };
    let mut names = Vec::new();
    // Parts of an object (heads, hands) have boxes too, one level deeper.
    for object in root.children().filter(|child| child.has_tag_name("object")) {
        part(object, "bndbox")?;
        let bndbox = object.children().find(|child| child.has_tag_name("bndbox")).unwrap_or(object);
        let [x1, y1] = [number(bndbox, "xmin")? - 1.0, number(bndbox, "ymin")? - 1.0];
        let [x2, y2] = [number(bndbox, "xmax")?, number(bndbox, "ymax")?];
        let clipped = [x1.max(0.0), y1.max(0.0), x2.min(f64::from(width)), y2.min(f64::from(height))];
        if clipped[2] <= clipped[0] || clipped[3] <= clipped[1] {
            let problem = format!(
                "its box from ({}, {}) to ({x2}, {y2}) has no pixel in the image of {width}x{height}; xmin ≤ xmax and ymin ≤ \
                 ymax should be from 1 to the image's width and height",
                x1 + 1.0,
                y1 + 1.0
            );
            return Err(wrong(at(object), problem));
        }
        let crowd = child(object, "difficult").is_ok_and(|difficult| difficult == "1");
        let area = (clipped[2] - clipped[0]) * (clipped[3] - clipped[1]);
        let bbox = clipped.map(|side| side as f32);
        image.objects.push(Object { annotation: 0, class: 0, bbox, area, crowd });
        names.push(child(object, "name")?);
    }
    Ok(Annotated { image, names })
}
