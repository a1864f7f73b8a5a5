//! Word vectors in GloVe's text format (Pennington, Socher and Manning, 2014), to start an embedding from.
//!
//! Each row is `word v₁ … v_d`, separated by single spaces, d the same in every row. In some published files a word
//! has spaces in itself (`. . .`); such rows are read and, since no vocabulary has such a word, passed over.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::vocabulary::Vocabulary;

/// Why word vectors could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GloveError {
    /// No such file.
    #[error("{}: no such file; expected word vectors, rows of `word v1 … vd`", .path.display())]
    Missing {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The file is there but cannot be read.
    #[error("{}: cannot be read: {reason}", .path.display())]
    Unreadable {
        /// The path that was asked for.
        path: PathBuf,
        /// What the operating system said.
        reason: io::Error,
    },
    /// The file has no rows.
    #[error("{}: the file is empty; expected word vectors, rows of `word v1 … vd`", .path.display())]
    Empty {
        /// The empty file.
        path: PathBuf,
    },
    /// A line is not UTF-8.
    #[error("{}:{line}: invalid UTF-8 at byte {column} of the line; word vectors are UTF-8 text", .path.display())]
    InvalidUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The first wrong byte of the line, from 1.
        column: usize,
    },
    /// A row has more or fewer numbers than the first one.
    #[error("{}:{line}: {found} numbers after the word, where the first row has {expected}; every row has the same width", .path.display())]
    Width {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The width of the first row.
        expected: usize,
        /// The width of this row.
        found: usize,
    },
    /// A row without any number.
    #[error("{}:{line}: no numbers after the word; expected `word v1 … vd`", .path.display())]
    NoNumbers {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Something in a row is no finite number.
    #[error("{}:{line}:{column}: {found:?} is not a finite number; expected `word v1 … vd`", .path.display())]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Where in the line, in characters from 1.
        column: usize,
        /// What is there.
        found: String,
    },
}

/// How much of a vocabulary has a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// Entries with a vector in the file.
    pub found: usize,
    /// Entries that could have one, that is all but the special tokens.
    pub words: usize,
}

/// The vectors of a file for the words of a vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub struct Glove {
    width: usize,
    vectors: HashMap<String, Vec<f32>>,
}

impl Glove {
    /// Reads the rows whose word is a token of the vocabulary, and checks the others. The special tokens have no
    /// vector, whatever the file says. Of several rows for a word the first counts.
    ///
    /// # Errors
    /// Every [`GloveError`]; each names the file, and the line where there is one.
    pub fn read(path: &Path, vocabulary: &Vocabulary) -> Result<Self, GloveError> {
        let file = File::open(path).map_err(|reason| from_io(path, reason))?;
        let mut lines = BufReader::with_capacity(1 << 20, file);
        let special = vocabulary.special();
        let special = [Some(special.pad), Some(special.start), Some(special.end), special.unknown];
        let mut glove = Self { width: 0, vectors: HashMap::new() };
        let mut bytes = Vec::new();
        for line in 1.. {
            bytes.clear();
            if lines.read_until(b'\n', &mut bytes).map_err(|reason| from_io(path, reason))? == 0 {
                break;
            }
            let text = std::str::from_utf8(&bytes).map_err(|wrong| GloveError::InvalidUtf8 {
                path: path.into(),
                line,
                column: wrong.valid_up_to() + 1,
            })?;
            let text = text.trim_end();
            if text.is_empty() {
                continue;
            }
            let row = Row { path, line, text };
            let (word, vector) = row.parse(glove.width)?;
            glove.width = vector.len();
            let id = vocabulary.id(word);
            if id.is_some() && !special.contains(&id) && !glove.vectors.contains_key(word) {
                glove.vectors.insert(word.to_owned(), vector);
            }
        }
        if glove.width == 0 {
            return Err(GloveError::Empty { path: path.into() });
        }
        Ok(glove)
    }

    /// How many numbers a vector of the file has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The initial embedding `[vocabulary.len(), dim]`, row-major, and how many of its rows come from the file.
    ///
    /// - A word of the file gets its vector. When `dim` is not the width of the file, all vectors are multiplied by
    ///   one random matrix `[width, dim]` with elements N(0, 1)/dim, as the public ConvAI2 baseline does.
    /// - Any other word gets elements N(0, 1/dim), that is of standard deviation 1/√dim, the same whichever file is
    ///   read.
    /// - The row of `<pad>` is zero where padding has a token of its own.
    ///
    /// The same seed gives the same matrix. `vocabulary` is the one that the file was read for.
    pub fn matrix(&self, vocabulary: &Vocabulary, dim: usize, seed: u64) -> (Vec<f32>, Coverage) {
        let mut rows = Normal::new(seed, 0);
        let deviation = 1.0 / (dim as f64).sqrt();
        let mut matrix: Vec<f32> = (0..vocabulary.len() * dim).map(|_| (rows.sample() * deviation) as f32).collect();

        let projection = (dim != self.width).then(|| {
            let mut elements = Normal::new(seed, 1);
            let scale = 1.0 / dim as f64;
            (0..self.width * dim).map(|_| (elements.sample() * scale) as f32).collect::<Vec<f32>>()
        });
        let mut found = 0;
        for (word, vector) in &self.vectors {
            let Some(id) = vocabulary.id(word) else { continue };
            found += 1;
            let row = &mut matrix[id as usize * dim..][..dim];
            match &projection {
                None => row.copy_from_slice(vector),
                Some(projection) => project(vector, projection, row),
            }
        }
        let special = vocabulary.special();
        if special.pad != special.end {
            matrix[special.pad as usize * dim..][..dim].fill(0.0);
        }
        let mut ids = vec![special.pad, special.start, special.end];
        ids.extend(special.unknown);
        ids.sort_unstable();
        ids.dedup();
        (matrix, Coverage { found, words: vocabulary.len() - ids.len() })
    }
}

/// `row = vector · projection`, with the projection `[vector.len(), row.len()]`.
fn project(vector: &[f32], projection: &[f32], row: &mut [f32]) {
    row.fill(0.0);
    for (value, factors) in vector.iter().zip(projection.chunks_exact(row.len())) {
        for (sum, factor) in row.iter_mut().zip(factors) {
            *sum += value * factor;
        }
    }
}

/// A line of a file.
struct Row<'a> {
    path: &'a Path,
    line: usize,
    text: &'a str,
}

impl<'a> Row<'a> {
    /// The word and its vector. `width` is the width of the rows before, 0 for the first one.
    fn parse(&self, width: usize) -> Result<(&'a str, Vec<f32>), GloveError> {
        let &Row { path, line, text } = self;
        let separator = |c: char| c == ' ' || c == '\t';
        let fields = text.matches(separator).count();
        if fields == 0 {
            return Err(GloveError::NoNumbers { path: path.into(), line });
        }
        let expected = if width == 0 { fields } else { width };
        let mut vector = vec![0.0; expected];
        // From the end, for the word may have spaces in it.
        let mut rest = text;
        for value in vector.iter_mut().rev() {
            let Some(at) = rest.rfind(separator) else {
                return Err(GloveError::Width { path: path.into(), line, expected, found: fields });
            };
            let field = &rest[at + 1..];
            *value = match field.parse::<f32>() {
                Ok(number) if number.is_finite() => number,
                // A row of another width has its word where a number should be.
                _ if fields != expected => {
                    return Err(GloveError::Width { path: path.into(), line, expected, found: fields });
                }
                _ => {
                    return Err(GloveError::NotANumber {
                        path: path.into(),
                        line,
                        column: text[..at + 1].chars().count() + 1,
                        found: field.to_owned(),
                    });
                }
            };
            rest = &rest[..at];
        }
        let mut inner = rest.split(separator).skip(1);
        if inner.any(|part| part.parse::<f32>().is_ok()) {
            return Err(GloveError::Width { path: path.into(), line, expected, found: fields });
        }
        Ok((rest, vector))
    }
}

fn from_io(path: &Path, reason: io::Error) -> GloveError {
    match reason.kind() {
        io::ErrorKind::NotFound => GloveError::Missing { path: path.into() },
        _ => GloveError::Unreadable { path: path.into(), reason },
    }
}

/// Samples of N(0, 1) by the method of Box and Muller (1958).
struct Normal {
    rng: ChaCha8Rng,
    /// The second of the two samples that come together.
    spare: Option<f64>,
}

impl Normal {
    fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self { rng, spare: None }
    }

    fn sample(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 53 random bits; in (0, 1] where the logarithm is taken.
        let mut uniform = || (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * uniform()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::{Dialogue, Turn};
    use crate::vocabulary::VocabularyOptions;

    fn vocabulary(text: &str) -> Vocabulary {
        let turns = vec![Turn::partner(text), Turn::own(text)];
        Vocabulary::build(&[Dialogue { persona: vec![], turns }], &VocabularyOptions::default()).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Glove, GloveError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("glove.txt");
        fs::write(&path, bytes).unwrap();
        Glove::read(&path, &vocabulary("a b ."))
    }

    fn row(matrix: &[f32], id: u32, dim: usize) -> &[f32] {
        &matrix[id as usize * dim..][..dim]
    }

    #[test]
    fn words_of_the_vocabulary_are_kept() {
        let glove = read(b"the 1 2\na 0.5 -1e-1\r\n. 3 4\n<pad> 9 9\na 7 7\n. . . 5 6\nat b@c.d 5 6\n\n").unwrap();
        assert_eq!(glove.width(), 2);
        let expected = HashMap::from([("a".to_owned(), vec![0.5, -0.1]), (".".to_owned(), vec![3.0, 4.0])]);
        assert_eq!(glove.vectors, expected);
    }

    #[test]
    fn equal_widths_are_copied_and_the_rest_drawn() {
        let vocabulary = vocabulary("a b .");
        let glove = read(b". 3 4\nb 1 2\n").unwrap();
        let (matrix, coverage) = glove.matrix(&vocabulary, 2, 5);
        assert_eq!(matrix.len(), 7 * 2);
        assert_eq!(coverage, Coverage { found: 2, words: 3 });
        assert_eq!(row(&matrix, vocabulary.id(".").unwrap(), 2), [3.0, 4.0]);
        assert_eq!(row(&matrix, vocabulary.id("b").unwrap(), 2), [1.0, 2.0]);
        assert_eq!(row(&matrix, 0, 2), [0.0, 0.0]);
        let drawn = vocabulary.id("a").unwrap();
        assert!(row(&matrix, drawn, 2).iter().all(|&value| value != 0.0));

        assert_eq!(glove.matrix(&vocabulary, 2, 5).0, matrix);
        let (other, _) = glove.matrix(&vocabulary, 2, 6);
        assert_ne!(row(&other, drawn, 2), row(&matrix, drawn, 2));
        // what is drawn does not depend on the file
        let (with_a, _) = read(b"a 3 4\n").unwrap().matrix(&vocabulary, 2, 5);
        assert_eq!(row(&with_a, 1, 2), row(&matrix, 1, 2));
    }

    #[test]
    fn other_widths_are_projected_linearly() {
        let vocabulary = vocabulary("a b .");
        let (matrix, _) = read(b"a 1 0\nb 0 1\n. 2 -3\n").unwrap().matrix(&vocabulary, 4, 1);
        let [a, b, stop] = ["a", "b", "."].map(|word| row(&matrix, vocabulary.id(word).unwrap(), 4));
        for ((a, b), stop) in a.iter().zip(b).zip(stop) {
            assert!((2.0 * a - 3.0 * b - stop).abs() < 1e-6);
            assert!(*a != 0.0);
        }
    }

    #[test]
    fn scales_are_those_documented() {
        let words: Vec<String> = (0..300).map(|n| format!("w{n}")).collect();
        let vocabulary = vocabulary(&words.join(" "));
        let deviation = |values: &[f32]| {
            (values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("glove.txt");
        // The unit vector of `w0` picks out the first row of the projection.
        fs::write(&path, "w0 1 0 0\n").unwrap();
        let dim = 400;
        let (matrix, _) = Glove::read(&path, &vocabulary).unwrap().matrix(&vocabulary, dim, 3);
        let w0 = vocabulary.id("w0").unwrap();
        let projected = deviation(row(&matrix, w0, dim));
        // 400 samples: the standard error is 3.5 %.
        assert!((projected * 400.0 - 1.0).abs() < 0.15, "{projected}");
        let mut drawn = matrix.clone();
        drawn.drain(w0 as usize * dim..(w0 as usize + 1) * dim);
        drawn.drain(..dim);
        // 120,000 samples: 0.2 %.
        assert!((deviation(&drawn) * 20.0 - 1.0).abs() < 0.01, "{}", deviation(&drawn));
        let beyond = drawn.iter().filter(|value| value.abs() * 20.0 > 1.96).count() as f64 / drawn.len() as f64;
        assert!((beyond - 0.05).abs() < 0.004, "{beyond} beyond 1.96 deviations");
    }

    #[test]
    fn wrong_rows_are_named() {
        let cases: [(&[u8], &str); 12] = [
            (b"a 1 2\nb 1 2 3\n", "glove.txt:2: 3 numbers after the word, where the first row has 2"),
            (b"a 1 2\nthe 1\n", "glove.txt:2: 1 numbers after the word, where the first row has 2"),
            (b"a 1 2 3\nb 1 2\n", "glove.txt:2: 2 numbers after the word, where the first row has 3"),
            (b"a 1 2\nb 1 x\n", "glove.txt:2:5: \"x\" is not a finite number"),
            ("a 1 2\né y 3\n".as_bytes(), "glove.txt:2:3: \"y\" is not a finite number"),
            (b"the 1 nan\n", "glove.txt:1:7: \"nan\" is not a finite number"),
            (b"a 1 1e99\n", "glove.txt:1:5: \"1e99\" is not a finite number"),
            (b"a 1  2\n", "glove.txt:1:5: \"\" is not a finite number"),
            (b"a 1 2\nb\n", "glove.txt:2: no numbers after the word"),
            (b"a 1 2\n\xe9t\xe9 1 2\n", "glove.txt:2: invalid UTF-8 at byte 1 of the line"),
            (b"", "glove.txt: the file is empty"),
            (b"\n \n", "glove.txt: the file is empty"),
        ];
        for (bytes, expected) in cases {
            let message = read(bytes).unwrap_err().to_string();
            assert!(message.contains(expected), "{message} instead of {expected}");
        }
        let absent = Path::new("absent/glove.txt");
        let message = Glove::read(absent, &vocabulary("a")).unwrap_err().to_string();
        assert!(message.contains("absent/glove.txt: no such file"), "{message}");
    }
}
