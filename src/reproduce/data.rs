//! Where the data of a table are, in the folder that `--data` names.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// A data set, and where it may be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSet {
    /// What stands in braces in arguments.
    pub id: String,
    title: String,
    get: String,
    place: Vec<Place>,
}

/// A file or folder below that of the data. A `*` in the name stands for anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    path: String,
    /// What a folder must hold, `|` between alternatives.
    #[serde(default)]
    holds: Vec<String>,
    /// What differs from the paper's data, if the data are here.
    remark: Option<String>,
    /// Dialogues that the paper's training file has.
    dialogues: Option<usize>,
}

/// A data set that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file or folder.
    pub path: PathBuf,
    /// What differs from the paper's data.
    pub remark: Option<String>,
}

/// A data set that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The data set.
    pub id: String,
    /// What it is.
    pub title: String,
    /// What was looked for.
    pub wanted: String,
    /// Where it comes from.
    pub get: String,
}

impl DataSet {
    /// All data sets that tables name.
    ///
    /// # Errors
    /// A file that does not fit together, which the tests would have found.
    pub fn all() -> anyhow::Result<Vec<Self>> {
        #[derive(Deserialize)]
        struct File {
            set: Vec<DataSet>,
        }
        Ok(toml::from_str::<File>(include_str!("data.toml")).context("data.toml")?.set)
    }

    /// Looks for it in `folder`; without one, nothing is there.
    pub fn find(&self, folder: Option<&Path>) -> Result<Found, Missing> {
        let folder = folder.ok_or_else(|| self.missing(None))?;
        let there: Vec<_> = self.place.iter().filter_map(|place| Some((place, found(folder, &place.path)?))).collect();
        let lacks = |(place, path): &(&Place, PathBuf)| {
            let lacking = place.holds.iter().find(|names| !names.split('|').any(|name| found(path, name).is_some()))?;
            Some(format!("{}/{}", place.path, lacking.replace('|', " or ")))
        };
        let Some((place, path)) = there.iter().find(|place| lacks(place).is_none()) else {
            // What an incomplete folder lacks says more than what else would do.
            return Err(self.missing(there.first().and_then(lacks)));
        };
        let short = place.dialogues.and_then(|dialogues| few_dialogues(path, dialogues));
        Ok(Found { path: path.clone(), remark: place.remark.clone().or(short) })
    }

    fn missing(&self, wanted: Option<String>) -> Missing {
        let places = || self.place.iter().map(|place| place.path.as_str()).collect::<Vec<_>>().join(" or ");
        let inside = self.place.first().filter(|place| !place.holds.is_empty() && self.place.len() == 1);
        let with = inside.map(|place| format!(" with {}", place.holds.join(", ").replace('|', " or ")));
        Missing {
            id: self.id.clone(),
            title: self.title.clone(),
            wanted: wanted.unwrap_or_else(|| places() + &with.unwrap_or_default()),
            get: self.get.clone(),
        }
    }
}

/// The first file or folder of this name, in the order of names.
fn found(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    let last = path.file_name()?.to_str()?;
    let Some((start, rest)) = last.split_once('*') else { return path.exists().then_some(path) };
    let matches = |name: &str| {
        let Some(mut left) = name.strip_prefix(start) else { return false };
        let parts: Vec<&str> = rest.split('*').collect();
        let (end, inner) = parts.split_last().unwrap_or((&"", &[]));
        for part in inner {
            let Some(at) = left.find(part) else { return false };
            left = &left[at + part.len()..];
        }
        left.ends_with(end)
    };
    let entries = path.parent()?.read_dir().ok()?.flatten();
    let mut names: Vec<PathBuf> =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(matches)).map(|entry| entry.path()).collect();
    names.sort();
    names.into_iter().next()
}

/// That the training file in `folder` has fewer than `all` dialogues, each of which starts with a line numbered 1.
fn few_dialogues(folder: &Path, all: usize) -> Option<String> {
    let file = found(folder, "*train*.txt")?;
    let lines = BufReader::new(std::fs::File::open(&file).ok()?).split(b'\n');
    let count = lines.map_while(Result::ok).filter(|line| line.starts_with(b"1 ")).count();
    let name = file.file_name()?.to_string_lossy().into_owned();
    (count < all).then(|| format!("{name} has {count} dialogues, the challenge's training file {all}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(id: &str) -> DataSet {
        DataSet::all().unwrap().into_iter().find(|set| set.id == id).unwrap()
    }

    #[test]
    fn files_and_folders_are_found_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let find = |id: &str| set(id).find(Some(folder.path()));

        assert!(find("cifar-100").unwrap_err().wanted.contains("cifar-100-binary.tar.gz or "));
        touch("cifar-100-ir50.tar.xz", "");
        assert!(find("cifar-100").unwrap().remark.unwrap().contains("ratio 50"));
        assert!(find("cifar-100-ir10").is_err(), "its tail is too long for that");
        touch("cifar-100-binary.tar.gz", "");
        let all = Found { path: folder.path().join("cifar-100-binary.tar.gz"), remark: None };
        assert_eq!((find("cifar-100").unwrap(), find("cifar-100-ir10").unwrap()), (all.clone(), all));

        touch("convai2/train_self.txt", "1 a\tb\n2 c\td\n1 e\tf\n11 g\th\n");
        assert_eq!(find("convai2").unwrap_err().wanted, "convai2/*valid*.txt or *dev*.txt");
        touch("convai2/valid_self.txt", "");
        let remark = find("convai2").unwrap().remark.unwrap();
        assert_eq!(remark, "train_self.txt has 2 dialogues, the challenge's training file 17878");

        touch("glove/glove.6B.50d.txt", "");
        touch("glove/glove.6B.100d.txt", "");
        assert!(find("glove").unwrap().path.ends_with("glove.6B.100d.txt"));
        touch("imagenet-lt/ImageNet_LT_train.txt", "");
        assert_eq!(find("imagenet-lt").unwrap_err().wanted, "imagenet-lt/ImageNet_LT_test.txt or ImageNet_LT_val.txt");
    }

    #[test]
    fn without_a_folder_all_is_missing() {
        for set in DataSet::all().unwrap() {
            let missing = set.find(None).unwrap_err();
            assert!(!missing.wanted.is_empty() && !missing.get.is_empty());
        }
    }
}
