//! List files: the path of an image and its label a line, as ImageNet-LT, Places-LT and iNaturalist 2018 are published.
//!
//! ```text
//! train/n01440764/n01440764_190.JPEG 0
//! train/n01443537/n01443537_1029.JPEG 1
//! ```
//!
//! The label is what follows the last white space, a number from 0; a path may hold spaces. Blank lines are skipped.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::source::read_text;
use super::{DataError, ImageSet, Images, LoadOptions, MissingImage, MissingImages, Source, Split};
use crate::augment::OnBadImage;

/// Labels from here on are taken for mistakes: a set of a million classes would need as many images.
const MAX_CLASSES: u32 = 1 << 20;

const EXPECTED: &str = "a list of images, `path label` a line";

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListProblem {
    /// One word only.
    #[error("no label after the path {found:?}; each line is `path label`")]
    NoLabel {
        /// The line.
        found: String,
    },
    /// The last word is no class.
    #[error("the label {found:?} is not a class number; labels count from 0, below {MAX_CLASSES}")]
    NotALabel {
        /// The last word.
        found: String,
    },
    /// An image that is listed with another label too.
    #[error("{path} has label {label} here, and {known} in {}:{line}; an image has one label", before.display())]
    TwoLabels {
        /// The image, as written.
        path: String,
        /// Its label.
        label: u32,
        /// Its label where it is first.
        known: u32,
        /// The list where it is first.
        before: PathBuf,
        /// The line there, from 1.
        line: usize,
    },
    /// A class that the model does not have.
    #[error("the label {label} is no class of the model, which has {classes}, numbered from 0")]
    OtherClass {
        /// The label.
        label: u32,
        /// Classes of the model.
        classes: usize,
    },
}

/// The names that a data set's lists have.
pub(super) struct Lists {
    train: &'static str,
    test: &'static str,
    /// Tested on where there is no test list.
    validation: Option<&'static str>,
}

impl Lists {
    pub const IMAGENET_LT: Self =
        Self { train: "ImageNet_LT_train.txt", test: "ImageNet_LT_test.txt", validation: Some("ImageNet_LT_val.txt") };
    pub const PLACES_LT: Self =
        Self { train: "Places_LT_train.txt", test: "Places_LT_test.txt", validation: Some("Places_LT_val.txt") };
    /// The labels of its test images were never published; results are on the validation images.
    pub const INATURALIST_2018: Self =
        Self { train: "iNaturalist18_train.txt", test: "iNaturalist18_val.txt", validation: None };
    pub const PLAIN: Self = Self { train: "train.txt", test: "test.txt", validation: Some("val.txt") };
}

/// The lists of an image set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFiles {
    /// The training images.
    pub train: PathBuf,
    /// The images for choosing between models.
    pub validation: Option<PathBuf>,
    /// The test images.
    pub test: PathBuf,
}

/// Lines of a list: the path as written, and the label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// The paths, as written.
    pub paths: Vec<String>,
    /// The class of each.
    pub labels: Vec<u32>,
    /// The line of each, from 1.
    pub lines: Vec<usize>,
}

/// Reads the lines of a list.
///
/// # Errors
/// The line, from 1, and what is wrong with it.
pub fn parse(text: &str) -> Result<List, (usize, ListProblem)> {
    let mut list = List::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let at = |problem| (index + 1, problem);
        let no_label = || at(ListProblem::NoLabel { found: shortened(line) });
        let (path, label) = line.rsplit_once(char::is_whitespace).ok_or_else(no_label)?;
        let class = label.parse().ok().filter(|&class| class < MAX_CLASSES);
        let class = class.ok_or_else(|| at(ListProblem::NotALabel { found: shortened(label) }))?;
        list.paths.push(path.trim_end().to_owned());
        list.labels.push(class);
        list.lines.push(index + 1);
    }
    Ok(list)
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

impl ListFiles {
    /// Those of these names that are in `folder`, and a note where there is something to say about them.
    fn find(folder: &Path, names: &Lists) -> (Self, Option<String>) {
        let train = folder.join(names.train);
        let test = folder.join(names.test);
        let validation = names.validation.map(|name| folder.join(name)).filter(|path| path.is_file());
        match validation {
            Some(validation) if !test.is_file() => {
                let note = format!("no {}: tested on the images of {}", test.display(), validation.display());
                (Self { train, validation: None, test: validation }, Some(note))
            }
            validation => (Self { train, validation, test }, None),
        }
    }
}

/// Reads the lists of a folder. [`LoadOptions::images`] is where their paths start; without it, the folder.
pub(super) fn load(name: String, folder: &Path, names: &Lists, options: &LoadOptions) -> Result<ImageSet, DataError> {
    let (files, note) = ListFiles::find(folder, names);
    let mut set = read(name, &files, folder, folder, options)?;
    set.notes.extend(note);
    Ok(set)
}

impl ImageSet {
    /// Reads these lists, wherever they are. [`LoadOptions::images`] is where their paths start; without it, the folder of
    /// the training list.
    ///
    /// # Errors
    /// Lines that are no `path label`, images that are not there (of which some may be missing with [`OnBadImage::Skip`]), and
    /// a class without training images.
    pub fn from_lists(name: &str, files: &ListFiles, options: &LoadOptions) -> Result<Self, DataError> {
        let folder = files.train.parent().unwrap_or(Path::new(""));
        read(name.to_owned(), files, &files.train, folder, options)
    }
}

impl Split {
    /// Reads one list, of images of so many classes, and those that are not there and were left out. Paths start as for
    /// [`ImageSet::from_lists`].
    ///
    /// # Errors
    /// Likewise; a label that is no class.
    pub fn from_list(
        file: &Path,
        classes: usize,
        options: &LoadOptions,
    ) -> Result<(Self, Vec<MissingImage>), DataError> {
        let (list, _) = read_list(file)?;
        if let Some((&label, &line)) =
            list.labels.iter().zip(&list.lines).find(|(label, _)| **label as usize >= classes)
        {
            return Err(DataError::List {
                file: file.into(),
                line,
                problem: ListProblem::OtherClass { label, classes },
            });
        }
        let root = options.images.as_deref().or(file.parent()).unwrap_or(Path::new(""));
        let mut missing = Vec::new();
        let (split, _) = split(file, list, root, options.on_bad_image, &mut missing)?;
        Ok((split, missing))
    }
}

/// `place` is what errors call the set, and paths start from `folder` where the options do not say.
fn read(
    name: String,
    files: &ListFiles,
    place: &Path,
    folder: &Path,
    options: &LoadOptions,
) -> Result<ImageSet, DataError> {
    let root = options.images.as_deref().unwrap_or(folder);
    let mut sources = Vec::new();
    let mut read_one = |path: &Path| {
        let (list, source) = read_list(path)?;
        sources.push(source);
        Ok::<_, DataError>(list)
    };
    let train = read_one(&files.train)?;
    let validation = files.validation.as_deref().map(&mut read_one).transpose()?;
    let test = read_one(&files.test)?;

    let validation = validation.zip(files.validation.as_deref());
    let of_validation = validation.as_ref().map(|(list, file)| (*file, list));
    let lists = [Some((files.train.as_path(), &train)), of_validation, Some((files.test.as_path(), &test))];
    let highest = highest_label(lists.into_iter().flatten());
    let repeated = repeats(lists.into_iter().flatten());
    let classes = class_names(&train, highest.as_ref().map_or(0, |(label, _)| *label as usize + 1));
    let (mut missing, mut notes) = (MissingImages::default(), Vec::new());
    let mut split = |file: &Path, list: List, missing: &mut Vec<MissingImage>| {
        let (split, note) = split(file, list, root, options.on_bad_image, missing)?;
        notes.extend(note);
        Ok::<_, DataError>(split)
    };
    let train = split(&files.train, train, &mut missing.train)?;
    let validation = validation.map(|(list, file)| split(file, list, &mut missing.validation)).transpose()?;
    let test = split(&files.test, test, &mut missing.test)?;
    let mut set = ImageSet { name, classes, train, validation, test, sources, missing, notes };
    set.check_classes(place, options.allow_empty_classes, highest.map(|(_, line)| line))?;
    set.notes.extend(repeated?);
    Ok(set)
}

/// The highest label, and the list and the line, from 1, where it occurs first.
fn highest_label<'a>(lists: impl Iterator<Item = (&'a Path, &'a List)>) -> Option<(u32, (PathBuf, usize))> {
    let mut highest: Option<(u32, (&Path, usize))> = None;
    for (file, list) in lists {
        for (&label, &line) in list.labels.iter().zip(&list.lines) {
            if highest.is_none_or(|(known, _)| label > known) {
                highest = Some((label, (file, line)));
            }
        }
    }
    highest.map(|(label, (file, line))| (label, (file.to_owned(), line)))
}

/// What is said of images that are in the lists more than once: such lists weigh classes by more images than there are, or test on
/// images that were trained on.
///
/// # Errors
/// An image with two labels.
fn repeats<'a>(lists: impl Iterator<Item = (&'a Path, &'a List)>) -> Result<Vec<String>, DataError> {
    // The image's label, and the list and the line where it is first.
    let mut seen: HashMap<&str, (u32, &Path, usize)> = HashMap::new();
    // By the two lists: how many, and the first.
    let mut found: Vec<(&Path, &Path, usize, &str, usize)> = Vec::new();
    for (file, list) in lists {
        for ((path, &label), &line) in list.paths.iter().zip(&list.labels).zip(&list.lines) {
            let (known, before, at) = *seen.entry(path).or_insert((label, file, line));
            if known != label {
                let (path, before) = (path.clone(), before.to_owned());
                let problem = ListProblem::TwoLabels { path, label, known, before, line: at };
                return Err(DataError::List { file: file.into(), line, problem });
            }
            if (before, at) == (file, line) {
                continue;
            }
            match found.iter_mut().find(|(a, b, ..)| (*a, *b) == (before, file)) {
                Some((_, _, count, ..)) => *count += 1,
                None => found.push((before, file, 1, path, line)),
            }
        }
    }
    let said = found.into_iter().map(|(before, file, count, path, line)| {
        let also = if before == file { "more than once".into() } else { format!("in {} too", before.display()) };
        format!(
            "{}: {count} lines name an image that is listed {also}, the first {path} in line {line}",
            file.display()
        )
    });
    Ok(said.collect())
}

fn read_list(path: &Path) -> Result<(List, Source), DataError> {
    let (text, source) = read_text(path, EXPECTED)?;
    let list = parse(&text).map_err(|(line, problem)| DataError::List { file: path.into(), line, problem })?;
    match list.paths.is_empty() {
        true => Err(DataError::NoImages { path: path.into(), expected: "`path label` a line".into() }),
        false => Ok((list, source)),
    }
}

/// The images of a list. Those that are not there are an error, or put into `missing` and left out, which is worth a note; all of
/// them are an error in any case.
fn split(
    file: &Path,
    list: List,
    root: &Path,
    on_bad_image: OnBadImage,
    missing: &mut Vec<MissingImage>,
) -> Result<(Split, Option<String>), DataError> {
    let paths: Vec<PathBuf> = list.paths.into_par_iter().map(|path| root.join(path)).collect();
    let absent: Vec<usize> = (0..paths.len()).into_par_iter().filter(|&index| !paths[index].is_file()).collect();
    let total = paths.len();
    let Some(&first) = absent.first() else {
        return Ok((Split { images: Images::Files(paths), labels: list.labels }, None));
    };
    if on_bad_image == OnBadImage::Fail || absent.len() == total {
        return Err(DataError::MissingImages {
            file: file.into(),
            line: list.lines[first],
            image: paths[first].clone(),
            missing: absent.len(),
            total,
            root: root.into(),
        });
    }
    let note = format!(
        "{}: {} of the {total} images of this list are missing and left out, the first {} in line {}",
        file.display(),
        absent.len(),
        paths[first].display(),
        list.lines[first]
    );
    let (mut there, mut labels) = (Vec::new(), Vec::new());
    for (index, (path, label)) in paths.into_iter().zip(list.labels).enumerate() {
        match absent.binary_search(&index) {
            Ok(_) => missing.push(MissingImage { line: list.lines[index], path }),
            Err(_) => {
                there.push(path);
                labels.push(label);
            }
        }
    }
    Ok((Split { images: Images::Files(there), labels }, Some(note)))
}

/// The folder of each class's images, without what all folders begin with; the number of a class whose images are in
/// several folders, or in another's.
fn class_names(train: &List, classes: usize) -> Vec<String> {
    let mut folders: Vec<Option<&Path>> = vec![None; classes];
    let mut named = vec![true; classes];
    for (path, &label) in train.paths.iter().zip(&train.labels) {
        let folder = Path::new(path).parent().unwrap_or(Path::new(""));
        let known = *folders[label as usize].get_or_insert(folder);
        named[label as usize] &= known == folder;
    }
    let shared = folders.iter().flatten().copied().reduce(shared_start).unwrap_or(Path::new(""));
    let mut users = HashMap::new();
    folders.iter().flatten().for_each(|&folder| *users.entry(folder).or_insert(0) += 1);
    let name = |class: usize| {
        let folder = folders[class].filter(|folder| named[class] && users[folder] == 1)?;
        let name = folder.strip_prefix(shared).ok()?.to_string_lossy().into_owned();
        (!name.is_empty()).then_some(name)
    };
    (0..classes).map(|class| name(class).unwrap_or_else(|| class.to_string())).collect()
}

fn shared_start<'a>(a: &'a Path, b: &Path) -> &'a Path {
    a.ancestors().find(|start| b.starts_with(start)).unwrap_or(Path::new(""))
}
