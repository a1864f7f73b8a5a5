//! Training images of each class, from a text file.

use std::collections::BTreeMap;
use std::path::Path;

use super::{ReadError, check_not_empty};

/// Training images of each class: a count a line, class 0 first; or on each line the index of a class, a tab or comma, and
/// its count, in any order.
///
/// Spaces around numbers and a byte-order mark are skipped, and so is a first line `class,count` in the second form.
///
/// # Errors
/// A file that cannot be read or is empty; a line that is not in the form of the first; a class without or with two counts.
pub fn read_train_counts(path: &Path) -> Result<Vec<u64>, ReadError> {
    let expected = "the training images of each class, a class a line";
    check_not_empty(path, expected)?;
    let text = std::fs::read_to_string(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line)).peekable();
    let heading = |line: &str| line.split([',', '\t']).map(str::trim).eq(["class", "count"]);
    let headed = lines.next_if(|(_, line)| heading(line)).is_some();
    let paired = match lines.peek() {
        Some((_, first)) => headed || first.contains([',', '\t']),
        None => return Err(ReadError::Empty { path: path.to_owned(), expected }),
    };
    if paired {
        return pairs(path, lines);
    }
    lines
        .map(|(line, content)| {
            content.trim().parse().map_err(|_| ReadError::Count {
                path: path.to_owned(),
                line,
                found: content.to_owned(),
                expected: "the training images of a class, a whole number of at least 0",
            })
        })
        .collect()
}

fn pairs<'a>(path: &Path, lines: impl Iterator<Item = (usize, &'a str)>) -> Result<Vec<u64>, ReadError> {
    // A map, so that a class index out of all bounds costs nothing.
    let mut counts: BTreeMap<usize, (usize, u64)> = BTreeMap::new();
    for (line, content) in lines {
        let mut fields = content.split([',', '\t']).map(str::trim);
        let pair = match (fields.next(), fields.next(), fields.next()) {
            (Some(class), Some(count), None) => class.parse().ok().zip(count.parse().ok()),
            _ => None,
        };
        let Some((class, count)) = pair else {
            return Err(ReadError::Count {
                path: path.to_owned(),
                line,
                found: content.to_owned(),
                expected: "the index of a class, a tab or comma, and its training images, both whole numbers of at least 0",
            });
        };
        if let Some((first, _)) = counts.insert(class, (line, count)) {
            return Err(ReadError::CountTwice { path: path.to_owned(), line, class, first });
        }
    }
    let last = counts.last_key_value().map_or(0, |(&last, _)| last);
    match counts.keys().enumerate().find(|(at, class)| at != *class) {
        Some((class, _)) => Err(ReadError::CountMissing { path: path.to_owned(), class, last }),
        None => Ok(counts.into_values().map(|(_, count)| count).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(content: &str) -> Result<Vec<u64>, ReadError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        read_train_counts(file.path())
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(read_text("5000\r\n2997\r\n0").unwrap(), [5000, 2997, 0]);
        assert_eq!(read_text("\u{feff}1,30\n0, 20\n2\t10\n").unwrap(), [20, 30, 10]);
        assert_eq!(read_text("class,count\n0,20\n1,3\n").unwrap(), [20, 3]);
    }

    #[test]
    fn bad_lines_are_named() {
        for (content, want) in [
            ("", " is empty; it must hold the training images of each class, a class a line"),
            ("class,count\n", " is empty"),
            ("5\nmany\n", ", line 2: found \"many\"; it must be the training images of a class, a whole number"),
            ("5\n\n4\n", ", line 2: found \"\""),
            ("5\n-4\n", ", line 2: found \"-4\""),
            ("5\n1,4\n", ", line 2: found \"1,4\""),
            ("0,5\n4\n", ", line 2: found \"4\"; it must be the index of a class, a tab or comma"),
            ("0,5,6\n", ", line 1: found \"0,5,6\""),
            ("class,count\n3\n", ", line 2: found \"3\"; it must be the index"),
            ("0,5\n1,4\n0,3\n", ", line 3: class 0 has its count already on line 1"),
            ("0,5\n2,4\n", " has counts of classes up to 2 but none of class 1; each class needs a line"),
            ("18446744073709551615,5\n", "up to 18446744073709551615 but none of class 0"),
        ] {
            let message = read_text(content).unwrap_err().to_string();
            assert!(message.contains(want), "{want:?} is not in {message:?}");
        }
    }
}
