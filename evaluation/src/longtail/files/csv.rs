//! Predictions as comma-separated values.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use super::{ReadError, check_not_empty};
use crate::longtail::Predictions;

/// What the columns of scores hold.
#[derive(Clone, Copy)]
enum Scores {
    Logits,
    Probabilities,
}

impl Scores {
    fn prefix(self) -> char {
        match self {
            Self::Logits => 'z',
            Self::Probabilities => 'p',
        }
    }
}

/// Reads predictions; the format is that of [`read_predictions`](super::read_predictions).
pub(super) fn read(path: &Path) -> Result<Predictions, ReadError> {
    let expected = "the headings label,z0,z1,… or label,p0,p1,… and an image a line";
    check_not_empty(path, expected)?;
    let empty = || ReadError::Empty { path: path.to_owned(), expected };
    let mut lines = Lines::open(path)?;
    let (heading_line, headings) = lines.next()?.ok_or_else(empty)?;
    let headings: Vec<String> = fields(headings).map(str::to_owned).collect();
    let scores = kind(path, heading_line, &headings)?;
    let classes = headings.len() - 1;

    let (mut values, mut labels, mut line_of) = (Vec::<f32>::new(), Vec::<usize>::new(), Vec::<usize>::new());
    while let Some((line, content)) = lines.next()? {
        let wrong = |column: usize, found: &str, expected| ReadError::Field {
            path: path.to_owned(),
            line,
            column: headings[column].clone(),
            found: found.to_owned(),
            expected,
        };
        let mut found = 0;
        for (column, field) in fields(content).enumerate() {
            found += 1;
            if column == 0 {
                let expected = "the index of a class, a whole number of at least 0";
                labels.push(field.parse().map_err(|_| wrong(column, field, expected))?);
            } else if column <= classes {
                values.push(field.parse().map_err(|_| wrong(column, field, "a number"))?);
            }
        }
        if found != headings.len() {
            return Err(ReadError::Fields { path: path.to_owned(), line, found, expected: headings.len() });
        }
        line_of.push(line);
    }
    if labels.is_empty() {
        return Err(empty());
    }
    let predictions = match scores {
        Scores::Logits => Predictions::from_logits(classes, values, labels),
        Scores::Probabilities => Predictions::from_probabilities(classes, values, labels),
    };
    predictions.map_err(|source| {
        let line = source.row().and_then(|row| line_of.get(row).copied());
        ReadError::Predictions { path: path.to_owned(), line, source }
    })
}

/// Checks the headings.
fn kind(path: &Path, line: usize, headings: &[String]) -> Result<Scores, ReadError> {
    let wrong = |column: usize, expected: String| ReadError::Heading {
        path: path.to_owned(),
        line,
        column: column + 1,
        found: headings.get(column).cloned().unwrap_or_default(),
        expected,
    };
    let heading = |column: usize| headings.get(column).map(String::as_str);
    if heading(0) != Some("label") {
        return Err(wrong(0, "label, before z0,z1,… (logits) or p0,p1,… (probabilities)".to_owned()));
    }
    let scores = match heading(1) {
        Some("z0") => Scores::Logits,
        Some("p0") => Scores::Probabilities,
        _ => return Err(wrong(1, "z0 (logits) or p0 (probabilities)".to_owned())),
    };
    for (class, heading) in headings[1..].iter().enumerate() {
        let expected = format!("{}{class}", scores.prefix());
        if *heading != expected {
            return Err(wrong(class + 1, expected));
        }
    }
    Ok(scores)
}

/// The fields of a line. Quotes around one, which some programs put around headings, are no part of it.
fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|field| {
        let field = field.trim();
        field.strip_prefix('"').and_then(|field| field.strip_suffix('"')).unwrap_or(field)
    })
}

/// The lines of a file that are not blank, one in memory at a time: a test set of ImageNet has half a gigabyte of them.
struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    line: usize,
    bytes: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        Ok(Self { path, reader: BufReader::new(file), line: 0, bytes: Vec::new() })
    }

    /// The next line with its number, from 1.
    fn next(&mut self) -> Result<Option<(usize, &str)>, ReadError> {
        let path = || self.path.to_owned();
        loop {
            self.bytes.clear();
            let read = self.reader.read_until(b'\n', &mut self.bytes);
            if read.map_err(|source| ReadError::Io { path: path(), source })? == 0 {
                return Ok(None);
            }
            self.line += 1;
            if !self.bytes.trim_ascii().is_empty() {
                break;
            }
        }
        let bytes = if self.line == 1 { self.bytes.strip_prefix(b"\xef\xbb\xbf") } else { None };
        match std::str::from_utf8(bytes.unwrap_or(&self.bytes)) {
            Ok(text) => Ok(Some((self.line, text))),
            Err(_) => Err(ReadError::Utf8 { path: path(), line: self.line }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(content: impl AsRef<[u8]>) -> Result<Predictions, ReadError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        read(file.path())
    }

    #[test]
    fn logits_and_probabilities_are_read() {
        let predictions = read_text("\u{feff}\"label\", \"z0\",z1\r\n1, 0, -1e3\r\n\r\n0,0.5,0.25").unwrap();
        assert_eq!((predictions.classes(), predictions.labels()), (2, &[1, 0][..]));
        assert_eq!(predictions.probabilities()[..2], [1.0, 0.0]);
        let predictions = read_text("label,p0,p1,p2\n2,0.25,0,.75").unwrap();
        assert_eq!(predictions.probabilities(), [0.25, 0.0, 0.75]);
    }

    #[test]
    fn bad_lines_are_named() {
        for (content, want) in [
            ("", " is empty; it must hold the headings label,z0,z1,"),
            ("label,z0,z1\n", " is empty; it must hold"),
            ("class,z0,z1\n", ", line 1, column 1: found the heading \"class\"; it must be label, before"),
            ("label\n", ", line 1, column 2: found the heading \"\"; it must be z0 (logits) or p0"),
            ("label,x0\n", ", line 1, column 2: found the heading \"x0\""),
            ("label,p0,z1\n", ", line 1, column 3: found the heading \"z1\"; it must be p1"),
            ("label,p0,p2\n", "it must be p1"),
            ("label,z0\n0,1\n", "predictions over 1 class(es); at least 2 are needed"),
            ("label,z0,z1\n0,1,2\n1,3\n", ", line 3: 2 fields; it must have 3, as the headings do"),
            ("label,z0,z1\n0,1,2,3\n", ", line 2: 4 fields; it must have 3, as the headings do"),
            ("label,z0,z1\n0,1,2\n\n1,3,x\n", ", line 4, column z1: found \"x\"; it must be a number"),
            ("label,z0,z1\n-1,1,2\n", ", line 2, column label: found \"-1\"; it must be the index of a class"),
            (
                "label,z0,z1\n0,1,2\n2,1,2\n",
                ", line 3: row 1: the label 2 is no class; it must be at least 0 and below 2",
            ),
            ("label,z0,z1\n\n0,1,nan\n", ", line 3: row 0, class 1: the logit is NaN"),
            ("label,p0,p1\n0,.5,.6\n", ", line 2: row 0: the probabilities sum to 1.100000"),
            ("label,p0,p1\n0,-1,2\n", ", line 2: row 0, class 0: -1 is no probability"),
        ] {
            let message = read_text(content).unwrap_err().to_string();
            assert!(message.contains(want), "{want:?} is not in {message:?}");
        }
        let message = read_text(b"label,z0,z1\n0,1,\xff\n").unwrap_err().to_string();
        assert!(message.ends_with(", line 2: not valid UTF-8; the file must be UTF-8 text"), "{message}");
    }
}
