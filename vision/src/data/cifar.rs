//! CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their binary versions.
//!
//! ```text
//! CIFAR-10    <label> <1024 red> <1024 green> <1024 blue>                  3073 bytes an image
//! CIFAR-100   <coarse label> <fine label> <1024 red> <1024 green> …       3074 bytes an image
//! ```
//!
//! The rows of a channel follow each other, from the top. There is no header: a file is its records. The files are read
//! from their folder, or from the archive that they are published in.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::archive::{self, Member};
use super::source::utf8;
use super::{DataError, Images, Pixels, Source, Split};

const SIDE: usize = 32;
const CHANNEL: usize = SIDE * SIDE;
const IMAGE: usize = 3 * CHANNEL;

/// One of the two data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cifar {
    /// 10 classes.
    Ten,
    /// 100 classes, the fine labels.
    Hundred,
}

/// What was read of a CIFAR data set.
#[derive(Debug, Clone)]
pub struct CifarImages {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// The training images, in the order of the files.
    pub train: Split,
    /// The test images.
    pub test: Split,
    /// The files, or the one archive.
    pub sources: Vec<Source>,
    /// Where the numbers of images are not the official ones.
    pub notes: Vec<String>,
}

impl Cifar {
    /// `CIFAR-10` or `CIFAR-100`.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Ten => "CIFAR-10",
            Self::Hundred => "CIFAR-100",
        }
    }

    /// How many classes there are.
    pub const fn classes(self) -> usize {
        match self {
            Self::Ten => 10,
            Self::Hundred => 100,
        }
    }

    const fn train_files(self) -> &'static [&'static str] {
        match self {
            Self::Ten => {
                &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"]
            }
            Self::Hundred => &["train.bin"],
        }
    }

    const fn test_file(self) -> &'static str {
        match self {
            Self::Ten => "test_batch.bin",
            Self::Hundred => "test.bin",
        }
    }

    const fn names_file(self) -> &'static str {
        match self {
            Self::Ten => "batches.meta.txt",
            Self::Hundred => "fine_label_names.txt",
        }
    }

    /// The folder in the published archive.
    const fn folder(self) -> &'static str {
        match self {
            Self::Ten => "cifar-10-batches-bin",
            Self::Hundred => "cifar-100-binary",
        }
    }

    const fn published_archive(self) -> &'static str {
        match self {
            Self::Ten => "cifar-10-binary.tar.gz",
            Self::Hundred => "cifar-100-binary.tar.gz",
        }
    }

    /// What the label bytes of a record are called, and how many classes each has. The last is the class.
    const fn label_bytes(self) -> &'static [(&'static str, usize)] {
        match self {
            Self::Ten => &[("label", 10)],
            Self::Hundred => &[("coarse label", 20), ("fine label", 100)],
        }
    }

    /// All files, training files first.
    fn files(self) -> impl Iterator<Item = &'static str> {
        self.train_files().iter().copied().chain([self.test_file(), self.names_file()])
    }

    fn expected(self) -> String {
        format!(
            "{} there or in {}/, or one archive like {}",
            self.train_files()[0],
            self.folder(),
            self.published_archive()
        )
    }

    fn is_archive_name(self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let begins = match self {
            Self::Ten => name.starts_with("cifar-10") && !name.starts_with("cifar-100"),
            Self::Hundred => name.starts_with("cifar-100"),
        };
        begins && [".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz"].iter().any(|end| name.ends_with(end))
    }

    /// Reads the images from `path`: the folder of the files; a folder with that folder in it, or with one archive
    /// whose name begins with `cifar-10` (`cifar-100`); or the archive. Files with fewer images than the official ones
    /// are read as they are, and [`CifarImages::notes`] says so.
    ///
    /// # Errors
    /// Files that are missing, cut off or of another data set, and damaged archives, each named.
    pub fn read(self, path: &Path) -> Result<CifarImages, DataError> {
        let is_folder = fs::metadata(path)
            .map_err(|reason| DataError::from_io(path, reason, format!("{} in its binary version", self.title())))?
            .is_dir();
        let (place, members, sources) = if is_folder {
            match self.binary_folder(path) {
                Some(folder) => {
                    let members = self.read_folder(&folder)?;
                    let sources = members.iter().map(|member| Source::of_bytes(&member.path, &member.bytes));
                    let sources = sources.collect();
                    (folder, members, sources)
                }
                None => self.read_archive(&self.archive_in(path)?)?,
            }
        } else {
            self.read_archive(path)?
        };
        self.assemble(&place, members, sources)
    }

    /// The folder with the files: this one, or the published archive's folder in it.
    fn binary_folder(self, folder: &Path) -> Option<PathBuf> {
        let holds = |folder: &Path| self.files().any(|name| name.ends_with(".bin") && folder.join(name).is_file());
        [folder.to_owned(), folder.join(self.folder())].into_iter().find(|folder| holds(folder))
    }

    fn archive_in(self, folder: &Path) -> Result<PathBuf, DataError> {
        let unreadable = |reason| DataError::Unreadable { path: folder.into(), reason };
        let mut archives = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if self.is_archive_name(&path.file_name().unwrap_or_default().to_string_lossy()) && path.is_file() {
                archives.push(path);
            }
        }
        archives.sort();
        // The versions for Python and Matlab have the same beginning.
        let other = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            name.contains("python") || name.contains("matlab")
        };
        let (others, mut archives): (Vec<_>, Vec<_>) = archives.into_iter().partition(other);
        if archives.len() > 1 {
            let wanted = format!("{}'s archive", self.title());
            return Err(DataError::Ambiguous { place: folder.into(), wanted, candidates: archives });
        }
        archives.pop().ok_or_else(|| DataError::NoCifar {
            place: folder.into(),
            set: self.title(),
            expected: self.expected(),
            hint: match others.first() {
                Some(path) => format!("; {} is another version", path.display()),
                None => String::new(),
            },
        })
    }

    fn read_folder(self, folder: &Path) -> Result<Vec<Member>, DataError> {
        let files = self.files().map(|name| (name, folder.join(name))).filter(|(_, path)| path.is_file());
        let read = |(name, path): (&str, PathBuf)| {
            let bytes = fs::read(&path).map_err(|reason| DataError::from_io(&path, reason, "a file"))?;
            Ok(Member { path, name: name.to_owned(), bytes })
        };
        files.map(read).collect()
    }

    fn read_archive(self, path: &Path) -> Result<(PathBuf, Vec<Member>, Vec<Source>), DataError> {
        let unpack = || archive::read(path, |name| self.files().any(|file| file == name));
        // The hash is of the packed bytes; it is done by the time they are unpacked.
        let (unpacked, source) = rayon::join(unpack, || Source::of_file(path));
        let (members, others) = unpacked?;
        if members.is_empty() {
            let hint = match others.iter().any(|name| name == "data_batch_1" || name == "train") {
                true => "; this is the version for Python",
                false => "",
            };
            return Err(DataError::NoCifar {
                place: path.into(),
                set: self.title(),
                expected: format!("{} in the archive", self.train_files()[0]),
                hint: hint.into(),
            });
        }
        Ok((path.to_owned(), members, vec![source?]))
    }

    fn assemble(self, place: &Path, members: Vec<Member>, sources: Vec<Source>) -> Result<CifarImages, DataError> {
        let find = |name: &str| {
            let mut found = members.iter().filter(|member| member.name == name);
            match (found.next(), found.next()) {
                (Some(_), Some(_)) => Err(DataError::Ambiguous {
                    place: place.into(),
                    wanted: name.into(),
                    candidates: members.iter().filter(|m| m.name == name).map(|m| m.path.clone()).collect(),
                }),
                (member, _) => Ok(member),
            }
        };
        let mut missing = Vec::new();
        for name in self.files() {
            if find(name)?.is_none() {
                missing.push(name.to_owned());
            }
        }
        if !missing.is_empty() {
            let files = self.files().map(str::to_owned).collect();
            return Err(DataError::IncompleteCifar { place: place.into(), set: self.title(), missing, files });
        }
        let of = |names: &[&str]| -> Vec<&Member> {
            names.iter().filter_map(|name| members.iter().find(|member| member.name == *name)).collect()
        };
        let classes = self.class_names(&of(&[self.names_file()]))?;
        let train = self.decode(&of(self.train_files()))?;
        let test = self.decode(&of(&[self.test_file()]))?;
        let mut notes = Vec::new();
        for (split, what, official) in [(&train, "training", 50_000), (&test, "test", 10_000)] {
            if split.labels.len() != official {
                notes.push(format!(
                    "{}: {} {what} images, where the official files have {official}",
                    self.title(),
                    split.labels.len()
                ));
            }
        }
        Ok(CifarImages { classes, train, test, sources, notes })
    }

    fn class_names(self, members: &[&Member]) -> Result<Vec<String>, DataError> {
        let mut names = Vec::new();
        for member in members {
            let text = utf8(&member.path, member.bytes.clone())?;
            names.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
            if names.len() != self.classes() {
                let (file, found) = (member.path.clone(), names.len());
                return Err(DataError::ClassNames { file, found, expected: self.classes() });
            }
        }
        Ok(names)
    }

    /// The images of these files, one file after the other.
    fn decode(self, members: &[&Member]) -> Result<Split, DataError> {
        let size = self.label_bytes().len() + IMAGE;
        let total: usize = members.iter().map(|member| member.bytes.len() / size).sum();
        let mut labels = Vec::with_capacity(total);
        let mut bytes = vec![0; total * IMAGE];
        let mut rest = bytes.as_mut_slice();
        for member in members {
            self.check(member)?;
            labels.extend(member.bytes.chunks_exact(size).map(|record| u32::from(record[size - IMAGE - 1])));
            let (images, after) = rest.split_at_mut(member.bytes.len() / size * IMAGE);
            rest = after;
            images
                .par_chunks_exact_mut(IMAGE)
                .zip(member.bytes.par_chunks_exact(size))
                .for_each(|(image, record)| interleave(&record[size - IMAGE..], image));
        }
        Ok(Split { images: Images::Memory(Pixels { height: SIDE, width: SIDE, bytes }), labels })
    }

    fn check(self, member: &Member) -> Result<(), DataError> {
        let size = self.label_bytes().len() + IMAGE;
        if member.bytes.is_empty() {
            let expected = format!("records of {size} bytes");
            return Err(DataError::NoImages { path: member.path.clone(), expected });
        }
        for (record, bytes) in member.bytes.chunks(size).enumerate() {
            // Labels first: in a file of another layout the first of them is wrong, long before the end is.
            for (&label, &(which, classes)) in bytes.iter().zip(self.label_bytes()) {
                if usize::from(label) >= classes {
                    return Err(DataError::WrongLabel { file: member.path.clone(), record, which, label, classes });
                }
            }
            if bytes.len() < size {
                return Err(DataError::Truncated { file: member.path.clone(), record, found: bytes.len(), size });
            }
        }
        Ok(())
    }
}

/// Three planes to one pixel after the other.
fn interleave(planes: &[u8], image: &mut [u8]) {
    let (red, rest) = planes.split_at(CHANNEL);
    let (green, blue) = rest.split_at(CHANNEL);
    for ((pixel, &red), (&green, &blue)) in image.chunks_exact_mut(3).zip(red).zip(green.iter().zip(blue)) {
        pixel.copy_from_slice(&[red, green, blue]);
    }
}
