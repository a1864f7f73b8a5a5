use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::text::{TextFile, sha256_hex};
use super::{DataError, Dialogue, built_in, convai2, json_lines, parse_dialogues};

/// A part of a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What the model learns from; the only one that the vocabulary and the class counts see.
    Train,
    /// What learning rate and early stopping go by.
    Valid,
    /// What is reported at the end.
    Test,
}

impl Split {
    /// How a file name says that it holds this split.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train"],
            Self::Valid => &["valid", "dev"],
            Self::Test => &["test"],
        }
    }

    /// The names for a message: "`valid` or `dev`".
    pub(super) fn keywords(self) -> String {
        let quoted: Vec<_> = self.names().iter().map(|name| format!("`{name}`")).collect();
        quoted.join(" or ")
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names()[0])
    }
}

/// Where a split came from, for the run's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The split.
    pub split: Split,
    /// The file; none for the built-in corpus.
    pub path: Option<PathBuf>,
    /// SHA-256 of the file's bytes in lower-case hexadecimal; for the built-in corpus, of the split in the
    /// numbered-line format.
    pub sha256: String,
    /// How many dialogues it has.
    pub dialogues: usize,
    /// How many replies it has.
    pub exchanges: usize,
}

impl Source {
    fn new(split: Split, path: Option<&Path>, sha256: String, dialogues: &[Dialogue]) -> Self {
        Self {
            split,
            path: path.map(Path::to_owned),
            sha256,
            dialogues: dialogues.len(),
            exchanges: dialogues.iter().map(|dialogue| dialogue.replies().count()).sum(),
        }
    }
}

/// One line for a log: "train: 800 dialogues, 6247 exchanges from data/train.txt".
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} dialogues, {} exchanges from ", self.split, self.dialogues, self.exchanges)?;
        match &self.path {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str("the built-in corpus"),
        }
    }
}

/// The splits of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    /// Training dialogues.
    pub train: Vec<Dialogue>,
    /// Validation dialogues.
    pub valid: Vec<Dialogue>,
    /// Test dialogues; none where the data has no test split, and then [`sources`](Self::sources) names none.
    pub test: Option<Vec<Dialogue>>,
    /// Where each split came from, train first.
    pub sources: Vec<Source>,
}

impl Corpus {
    /// Reads the splits from a folder, which is not searched deeper.
    ///
    /// A file belongs to the split whose name occurs in its own: `train`, `valid` or `dev`, `test`, in lower or
    /// upper case, at the start of a word (`chitchat_valid.txt`); where no file has it so, anywhere in the name. A
    /// file that names two splits belongs to the one named first. Only `.txt`, `.tsv`, `.json`, `.jsonl`, `.ndjson`
    /// and names without extension count as data. The test split may be missing.
    ///
    /// # Errors
    /// [`DataError::NoFile`] and [`DataError::Ambiguous`], which list the files; [`DataError::NotAFolder`]; and
    /// those of [`from_files`](Self::from_files).
    pub fn load(folder: &Path) -> Result<Self, DataError> {
        let found = data_files(folder)?;
        let file = |split| pick(folder, split, &found);
        let missing = |split| DataError::NoFile { folder: folder.into(), split, found: found.clone() };
        let train = file(Split::Train)?.ok_or_else(|| missing(Split::Train))?;
        let valid = file(Split::Valid)?.ok_or_else(|| missing(Split::Valid))?;
        Self::from_files(train, valid, file(Split::Test)?)
    }

    /// Reads the splits from one file each, in either format.
    ///
    /// # Errors
    /// Those of [`read_dialogues`](super::read_dialogues), for the first file that has one.
    pub fn from_files(train: &Path, valid: &Path, test: Option<&Path>) -> Result<Self, DataError> {
        let mut sources = Vec::new();
        let mut read = |split, path: &Path| {
            let file = TextFile::read(path)?;
            let dialogues = parse_dialogues(path, &file, convai2::parse, json_lines::parse)?;
            sources.push(Source::new(split, Some(path), file.sha256, &dialogues));
            Ok(dialogues)
        };
        Ok(Self {
            train: read(Split::Train, train)?,
            valid: read(Split::Valid, valid)?,
            test: test.map(|path| read(Split::Test, path)).transpose()?,
            sources,
        })
    }

    /// The corpus that the program makes itself, the same for the same seed on every platform ([`built_in`]).
    pub fn built_in(seed: u64) -> Self {
        let built_in::Splits { train, valid, test } = built_in::generate(seed);
        let source = |split, dialogues: &[Dialogue]| {
            let sha256 = sha256_hex(convai2::format(dialogues).as_bytes());
            Source::new(split, None, sha256, dialogues)
        };
        let sources = vec![source(Split::Train, &train), source(Split::Valid, &valid), source(Split::Test, &test)];
        Self { train, valid, test: Some(test), sources }
    }
}

/// The files of a folder that may hold data, sorted by name.
fn data_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    if folder.is_file() {
        return Err(DataError::NotAFolder { path: folder.into() });
    }
    let unreadable = |reason| DataError::from_io(folder, reason);
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let is_data = matches!(extension.as_deref(), None | Some("txt" | "tsv" | "json" | "jsonl" | "ndjson"));
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_data && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The one file of a split, or none.
fn pick<'a>(folder: &Path, split: Split, files: &'a [PathBuf]) -> Result<Option<&'a Path>, DataError> {
    for at_word_start in [true, false] {
        let candidates: Vec<&PathBuf> = files
            .iter()
            .filter(|path| named_split(path, at_word_start) == Some(split))
            // What a stricter look has given to another split is not up for grabs.
            .filter(|path| at_word_start || named_split(path, true).is_none())
            .collect();
        match candidates[..] {
            [] => {}
            [one] => return Ok(Some(one)),
            _ => {
                return Err(DataError::Ambiguous {
                    folder: folder.into(),
                    split,
                    candidates: candidates.into_iter().cloned().collect(),
                });
            }
        }
    }
    Ok(None)
}

/// The split whose name comes first in the file's name.
fn named_split(path: &Path, at_word_start: bool) -> Option<Split> {
    let name = path.file_stem()?.to_string_lossy().to_lowercase();
    let place = |keyword: &str| {
        name.match_indices(keyword)
            .map(|(at, _)| at)
            .find(|&at| !at_word_start || !name[..at].ends_with(char::is_alphanumeric))
    };
    [Split::Train, Split::Valid, Split::Test]
        .into_iter()
        .filter_map(|split| Some((split.names().iter().filter_map(|name| place(name)).min()?, split)))
        .min_by_key(|&(at, _)| at)
        .map(|(_, split)| split)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            fs::write(folder.path().join(name), "1 hi\thello\n2 bye\tbye\n").unwrap();
        }
        folder
    }

    fn picked(files: &[&str]) -> Result<Vec<(Split, String)>, String> {
        let folder = folder(files);
        let corpus = Corpus::load(folder.path()).map_err(|error| error.to_string())?;
        let name = |source: &Source| {
            let path = source.path.as_ref().unwrap();
            (source.split, path.file_name().unwrap().to_string_lossy().into_owned())
        };
        Ok(corpus.sources.iter().map(name).collect())
    }

    #[test]
    fn files_are_found_by_name() {
        let names = ["LICENSE", "train_self.txt", "valid_self.txt", "test_self.txt", "train.log", ".train.txt"];
        assert_eq!(
            picked(&names).unwrap(),
            [
                (Split::Train, "train_self.txt".into()),
                (Split::Valid, "valid_self.txt".into()),
                (Split::Test, "test_self.txt".into()),
            ]
        );
        let names = ["chat-Training.jsonl.txt", "chat_dev", "device_latest.txt"];
        assert_eq!(
            picked(&names).unwrap_err().split("split: ").nth(1).unwrap().split(';').next().unwrap(),
            "chat_dev, device_latest.txt"
        );
        assert_eq!(
            picked(&["mytrain.txt", "mydev.txt"]).unwrap(),
            [(Split::Train, "mytrain.txt".into()), (Split::Valid, "mydev.txt".into())]
        );
        // `latest` holds `test` inside a word, which counts for less than `test` itself
        let found = picked(&["train.txt", "valid.txt", "test.txt", "latest.txt"]).unwrap();
        assert_eq!(found[2].1, "test.txt");
        // `test_train` names test first
        assert_eq!(picked(&["train.txt", "valid.txt", "test_train.txt"]).unwrap()[2].1, "test_train.txt");
    }

    #[test]
    fn missing_and_ambiguous_files_are_listed() {
        let message = picked(&["train.txt", "train_both.txt", "valid.txt"]).unwrap_err();
        assert!(message.contains("the train split: train.txt, train_both.txt"), "{message}");
        let message = picked(&["train.txt", "other.txt"]).unwrap_err();
        assert!(message.contains("no file for the valid split"), "{message}");
        assert!(message.contains("`valid` or `dev`; found: other.txt, train.txt"), "{message}");
        let message = picked(&[]).unwrap_err();
        assert!(message.contains("no file for the train split"), "{message}");
    }

    #[test]
    fn a_file_or_nothing_is_no_folder() {
        let folder = folder(&["train.txt"]);
        let error = Corpus::load(&folder.path().join("train.txt")).unwrap_err();
        assert!(error.to_string().contains("train.txt: is a file; give a folder"), "{error}");
        let error = Corpus::load(&folder.path().join("absent")).unwrap_err();
        assert!(error.to_string().contains("absent: no such file or folder"), "{error}");
    }

    #[test]
    fn sources_count_and_hash() {
        let folder = folder(&["train.txt", "valid.txt"]);
        let corpus = Corpus::load(folder.path()).unwrap();
        assert_eq!(corpus.test, None);
        let source = &corpus.sources[0];
        assert_eq!((source.dialogues, source.exchanges), (1, 2));
        // printf '1 hi\thello\n2 bye\tbye\n' | sha256sum
        assert_eq!(source.sha256, "a628bcb1d82883df07c3eace56fdcb48ff09f34ae58f637fdab8037d5e442fff");
        assert!(source.to_string().starts_with("train: 1 dialogues, 2 exchanges from "), "{source}");
    }

    #[test]
    fn an_error_names_the_file_of_its_split() {
        let folder = folder(&["train.txt", "valid.txt"]);
        fs::write(folder.path().join("valid.txt"), "1 hi\n").unwrap();
        let error = Corpus::load(folder.path()).unwrap_err();
        assert!(error.to_string().contains("valid.txt:1: no tab"), "{error}");
    }
}
