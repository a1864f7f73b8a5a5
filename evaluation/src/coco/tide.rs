//! Which kinds of error cost how much (TIDE: Bolya, Foley, Hays, Hoffman, "TIDE: A General Toolbox for Identifying Object
//! Detection Errors", ECCV 2020).
//!
//! Counts are those of the paper's own code, tidecv, where there are no crowds. With crowds they are not: here a crowd counts as an
//! object that a detection may miss by little. A category without objects is in no mean, as for pycocotools; tidecv takes its AP for 0.

use serde::Serialize;

use super::{CocoError, Evaluation};

/// IoU from which a detection is right.
const FOREGROUND: f64 = 0.5;

/// IoU below which a detection has nothing to do with an object.
const BACKGROUND: f64 = 0.1;

/// A kind of error. Overlap is the highest IoU with an object of the class, or of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TideErrorType {
    /// The right place, the wrong class: overlap of at least .5 with an object of another class.
    Classification,
    /// The right class, not quite the place: overlap of .1 to .5.
    Localisation,
    /// Neither class nor place: overlap of .1 to .5 with an object of another class.
    Both,
    /// The object was found already, with a higher score.
    Duplicate,
    /// Overlap below .1 with every object.
    Background,
    /// An object that no detection finds, and that no other correction would.
    Missed,
}

impl TideErrorType {
    /// All, in the paper's order.
    pub const ALL: [Self; 6] =
        [Self::Classification, Self::Localisation, Self::Both, Self::Duplicate, Self::Background, Self::Missed];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Localisation => "localisation",
            Self::Both => "both",
            Self::Duplicate => "duplicate",
            Self::Background => "background",
            Self::Missed => "missed",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Classification => "Cls",
            Self::Localisation => "Loc",
            Self::Both => "Both",
            Self::Duplicate => "Dupe",
            Self::Background => "Bkg",
            Self::Missed => "Miss",
        }
    }
}

/// Errors of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TideError {
    /// The kind.
    #[serde(rename = "type")]
    pub error: TideErrorType,
    /// Detections, or of missed objects these, with the error.
    pub count: u64,
    /// How much AP50 would rise if they were corrected.
    pub delta_ap50: f64,
}

/// How much AP50 each kind of error costs.
///
/// The parts do not add up to `1 − ap50`: correcting one error shows another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tide {
    /// Average precision at IoU .5 with the errors.
    #[serde(rename = "AP50")]
    pub ap50: f64,
    /// The kinds of error.
    pub errors: Vec<TideError>,
    /// How much AP50 would rise if there were no false positives.
    pub delta_ap50_false_positives: f64,
    /// How much AP50 would rise if every object were found.
    pub delta_ap50_false_negatives: f64,
}

impl Evaluation<'_> {
    /// How much AP50 each kind of error costs.
    ///
    /// # Errors
    /// None that data can cause.
    pub fn tide(&self) -> Result<Tide, CocoError> {
        let tide = self.matched.tide_errors(FOREGROUND, BACKGROUND)?;
        let delta = |key: &str| tide.delta_ap.get(key).copied().unwrap_or_default();
        let errors = TideErrorType::ALL.map(|error| TideError {
            error,
            count: tide.counts.get(error.key()).copied().unwrap_or_default(),
            delta_ap50: delta(error.key()),
        });
        Ok(Tide {
            ap50: tide.ap_base,
            errors: errors.to_vec(),
            delta_ap50_false_positives: delta("FP"),
            delta_ap50_false_negatives: delta("FN"),
        })
    }
}
