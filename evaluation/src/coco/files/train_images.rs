//! How many training images hold each category.

use std::collections::HashMap;
use std::path::Path;

use super::{ReadError, json, read_ground_truth};

const EXPECTED: &str = "the id of a category, a tab or comma, and the training images that hold it, a category a line; or \
                        the COCO annotations of the training images";

/// The training images that hold each category, by its id: counted in a COCO annotation file, or from lines of an id, a tab
/// or comma, and a number, below headings `category_id,images` or none.
///
/// # Errors
/// A file that cannot be read or is empty; a line of another form, a category on two lines; what [`read_ground_truth`]
/// refuses.
pub fn read_train_images(path: &Path) -> Result<HashMap<i64, u64>, ReadError> {
    let (bytes, first) = json::read(path, EXPECTED)?;
    if first == b'{' {
        let truth = read_ground_truth(path)?;
        let images = truth.images_of_categories();
        return Ok(truth.categories().iter().map(|category| category.id).zip(images).collect());
    }
    let mut images: HashMap<i64, (usize, u64)> = HashMap::new();
    for (at, content) in String::from_utf8_lossy(&bytes).lines().enumerate() {
        let line = at + 1;
        let mut fields = content.split([',', '\t']).map(str::trim);
        let (category, count) = match (fields.next(), fields.next(), fields.next()) {
            (Some("category_id"), Some("images"), None) if line == 1 => continue,
            (Some(category), Some(count), None) => (category.parse().ok(), count.parse().ok()),
            _ => (None, None),
        };
        let Some((category, count)) = category.zip(count) else {
            let (path, found) = (path.to_owned(), content.to_owned());
            return Err(ReadError::Line { path, line, found, expected: EXPECTED });
        };
        if let Some((first, _)) = images.insert(category, (line, count)) {
            return Err(ReadError::LineTwice { path: path.to_owned(), line, category, first });
        }
    }
    Ok(images.into_iter().map(|(category, (_, count))| (category, count)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Result<HashMap<i64, u64>, ReadError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        read_train_images(file.path())
    }

    #[test]
    fn lines_and_annotations_are_counted() {
        assert_eq!(read("category_id,images\n3,10\n90, 2\n").unwrap(), HashMap::from([(3, 10), (90, 2)]));
        assert_eq!(read("3\t10\r\n90\t2").unwrap(), HashMap::from([(3, 10), (90, 2)]));
        let annotation = |id: i64, image: i64, category: i64| {
            format!(
                r#"{{"id":{id},"image_id":{image},"category_id":{category},"bbox":[0,0,1,1],"area":1,"iscrowd":0}}"#
            )
        };
        let annotations = [annotation(1, 5, 3), annotation(2, 5, 3), annotation(3, 6, 3)].join(",");
        let json = format!(
            r#"{{"images":[{{"id":5}},{{"id":6}}],"annotations":[{annotations}],"categories":[{{"id":3}},{{"id":4}}]}}"#
        );
        assert_eq!(read(&json).unwrap(), HashMap::from([(3, 2), (4, 0)]));
    }

    #[test]
    fn bad_lines_are_named() {
        for (content, want) in [
            ("3,1\n3\n", ", line 2: found \"3\"; it must be the id of a category, a tab or comma"),
            ("3,-1\n", ", line 1: found \"3,-1\""),
            ("a,1\n", ", line 1: found \"a,1\""),
            ("3,1\n4,1\n3,2\n", ", line 3: category 3 has its training images already on line 1"),
            ("\n", " is empty; it must hold the id of a category"),
        ] {
            let message = read(content).unwrap_err().to_string();
            assert!(message.contains(want), "{want:?} is not in {message:?}");
        }
    }
}
