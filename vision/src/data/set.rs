use std::fmt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::cifar::Cifar;
use super::list::{self, Lists};
use super::source::sha256_hex;
use super::{DataError, Source, Split, folder, synthetic};
use crate::augment::OnBadImage;

/// The data sets that are known by name, and the layouts that any other can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetKind {
    /// CIFAR-10, binary version: its folder or archive
    #[value(name = "cifar-10")]
    #[serde(rename = "cifar-10")]
    Cifar10,
    /// CIFAR-100, binary version: its folder or archive
    #[value(name = "cifar-100")]
    #[serde(rename = "cifar-100")]
    Cifar100,
    /// ImageNet-LT: a folder with ImageNet_LT_train.txt, ImageNet_LT_test.txt and the images
    ImagenetLt,
    /// Places-LT: a folder with Places_LT_train.txt, Places_LT_test.txt and the images
    PlacesLt,
    /// iNaturalist 2018: a folder with iNaturalist18_train.txt, iNaturalist18_val.txt and the images
    #[value(name = "inaturalist-2018")]
    #[serde(rename = "inaturalist-2018")]
    Inaturalist2018,
    /// Images in one folder a class, in train/ and in test/ or val/
    Folder,
    /// Images named in train.txt and in test.txt or val.txt, `path label` a line
    List,
    /// Shapes on textures, 10 classes, generated from a seed
    Synthetic,
}

/// What can be said about loading beside the data set and its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The folder that the paths of list files start from; without it, the folder of the lists.
    pub images: Option<PathBuf>,
    /// Takes classes without training images, and says so in the notes.
    pub allow_empty_classes: bool,
    /// What happens where a list names an image that is not there.
    pub on_bad_image: OnBadImage,
    /// What generated images are made from.
    pub seed: u64,
}

/// Images to learn from and to test on.
#[derive(Debug, Clone)]
pub struct ImageSet {
    /// The data set, as on the command line.
    pub name: String,
    /// The name of each class.
    pub classes: Vec<String>,
    /// The training images.
    pub train: Split,
    /// The images for choosing between models, where the data set has them beside the test images.
    pub validation: Option<Split>,
    /// The test images.
    pub test: Split,
    /// What they were read from.
    pub sources: Vec<Source>,
    /// What lists name beside the images.
    pub missing: MissingImages,
    /// What a user should know about the data, a sentence each.
    pub notes: Vec<String>,
}

/// Images that lists name and that are not there: left out, of labels and counts too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MissingImages {
    /// Of the training images.
    pub train: Vec<MissingImage>,
    /// Of the images for choosing between models.
    pub validation: Vec<MissingImage>,
    /// Of the test images.
    pub test: Vec<MissingImage>,
}

/// An image that a list names and that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingImage {
    /// The line of the list, from 1.
    pub line: usize,
    /// Where it should be.
    pub path: PathBuf,
}

impl MissingImages {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &MissingImage> {
        self.train.iter().chain(&self.validation).chain(&self.test)
    }

    /// SHA-256 of the numbers of their lines, in lower-case hexadecimal; none where nothing is missing. The hash of a list alone
    /// does not say which of its images a run has.
    pub fn sha256(&self) -> Option<String> {
        let lines = |images: &[MissingImage]| images.iter().map(|image| format!("{} ", image.line)).collect::<String>();
        let listing = [&self.train, &self.validation, &self.test].map(|images| lines(images)).join("\n");
        self.iter().next().map(|_| sha256_hex(listing.as_bytes()))
    }
}

impl DatasetKind {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether its images and classes are those of list files.
    pub const fn is_listed(self) -> bool {
        matches!(self, Self::ImagenetLt | Self::PlacesLt | Self::Inaturalist2018 | Self::List)
    }

    /// What `--data` names for it; none where there is nothing to read.
    pub const fn expected(self) -> Option<&'static str> {
        match self {
            Self::Cifar10 => Some("the folder of cifar-10-binary.tar.gz, unpacked or not"),
            Self::Cifar100 => Some("the folder of cifar-100-binary.tar.gz, unpacked or not"),
            Self::ImagenetLt => Some("a folder with ImageNet_LT_train.txt, ImageNet_LT_test.txt and the images"),
            Self::PlacesLt => Some("a folder with Places_LT_train.txt, Places_LT_test.txt and the images"),
            Self::Inaturalist2018 => {
                Some("a folder with iNaturalist18_train.txt, iNaturalist18_val.txt and the images")
            }
            Self::Folder => Some("a folder with train/CLASS/IMAGE and test/CLASS/IMAGE or val/CLASS/IMAGE"),
            Self::List => Some("a folder with train.txt and test.txt or val.txt, `path label` a line, and the images"),
            Self::Synthetic => None,
        }
    }
}

impl fmt::Display for DatasetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl ImageSet {
    /// Reads the data set from `path`, or generates it.
    ///
    /// # Errors
    /// What is wrong with the files, each named.
    pub fn load(kind: DatasetKind, path: Option<&Path>) -> Result<Self, DataError> {
        Self::load_with(kind, path, &LoadOptions::default())
    }

    /// Reads the data set from `path`, or generates it, with choices of how.
    ///
    /// # Errors
    /// What is wrong with the files, each named.
    pub fn load_with(kind: DatasetKind, path: Option<&Path>, options: &LoadOptions) -> Result<Self, DataError> {
        let mut set = match (kind.expected(), path) {
            (None, None) => synthetic::generate(options.seed),
            (None, Some(path)) => return Err(DataError::NeedlessPath { kind: kind.name(), path: path.into() }),
            (Some(expected), None) => {
                return Err(DataError::NoPath { kind: kind.name(), expected: expected.into() });
            }
            // Of lists the line is known that names a class.
            (Some(_), Some(path)) if kind.is_listed() => return Self::read(kind, path, options),
            (Some(_), Some(path)) => Self::read(kind, path, options)?,
        };
        set.check_classes(path.unwrap_or(Path::new("generated")), options.allow_empty_classes, None)?;
        Ok(set)
    }

    fn read(kind: DatasetKind, path: &Path, options: &LoadOptions) -> Result<Self, DataError> {
        let lists = |names: Lists| list::load(kind.name(), path, &names, options);
        match kind {
            DatasetKind::Cifar10 => Self::read_cifar(kind, Cifar::Ten, path),
            DatasetKind::Cifar100 => Self::read_cifar(kind, Cifar::Hundred, path),
            DatasetKind::ImagenetLt => lists(Lists::IMAGENET_LT),
            DatasetKind::PlacesLt => lists(Lists::PLACES_LT),
            DatasetKind::Inaturalist2018 => lists(Lists::INATURALIST_2018),
            DatasetKind::List => lists(Lists::PLAIN),
            DatasetKind::Folder => folder::load(kind.name(), path),
            DatasetKind::Synthetic => Ok(synthetic::generate(options.seed)),
        }
    }

    fn read_cifar(kind: DatasetKind, cifar: Cifar, path: &Path) -> Result<Self, DataError> {
        let read = cifar.read(path)?;
        Ok(Self {
            name: kind.name(),
            classes: read.classes,
            train: read.train,
            validation: None,
            test: read.test,
            sources: read.sources,
            missing: MissingImages::default(),
            notes: read.notes,
        })
    }

    /// Refuses or notes classes without training images. `highest` is the list and the line that name the last class.
    pub(super) fn check_classes(
        &mut self,
        place: &Path,
        allow_empty: bool,
        highest: Option<(PathBuf, usize)>,
    ) -> Result<(), DataError> {
        let counts = self.train_counts();
        let empty: Vec<usize> = (0..counts.len()).filter(|&class| counts[class] == 0).collect();
        let Some(&label) = empty.first() else { return Ok(()) };
        if !allow_empty {
            let (name, others, classes) = (self.classes[label].clone(), empty.len() - 1, counts.len());
            return Err(DataError::EmptyClass { place: place.into(), label, name, others, classes, highest });
        }
        let names: Vec<_> = empty.iter().take(10).map(|&class| self.classes[class].as_str()).collect();
        let more = if empty.len() > names.len() { ", …" } else { "" };
        self.notes.push(format!("{} classes without training images: {}{more}", empty.len(), names.join(", ")));
        Ok(())
    }

    /// How many training images each class has.
    pub fn train_counts(&self) -> Vec<usize> {
        self.train.class_counts(self.classes.len())
    }

    /// This set with only these training images, in this order.
    ///
    /// # Errors
    /// [`DataError::IndexOutOfRange`].
    pub fn select(self, indices: &[usize]) -> Result<Self, DataError> {
        Ok(Self { train: self.train.select(indices)?, ..self })
    }
}
