//! The order in which a libtorch is looked for.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::libtorch::{Libtorch, Unusable};

/// Where a libtorch may come from, in the order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `LIBTORCH` of the environment: the user's word, so nothing else is tried.
    Environment,
    /// The checkout's `.libtorch`.
    Link,
    /// The torch of a Python that the user has.
    Python(PathBuf),
    /// What an earlier set-up fetched, maybe for another checkout.
    Cache,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("LIBTORCH of the environment"),
            Self::Link => f.write_str(".libtorch"),
            Self::Python(program) => write!(f, "the torch of {}", program.display()),
            Self::Cache => f.write_str("the cache"),
        }
    }
}

/// A folder that may hold a libtorch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it comes from.
    pub source: Source,
    /// The folder that should have `include/` and `lib/`.
    pub folder: PathBuf,
}

/// What came of looking at the candidates.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// The first usable candidate; without one, libtorch has to be fetched.
    pub found: Option<(Source, Libtorch)>,
    /// The candidates before it, each with the reason why it is not used.
    pub passed_over: Vec<(Candidate, Unusable)>,
}

/// A candidate that the user insists on and that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The candidate.
    pub candidate: Candidate,
    /// What is wrong with it.
    pub reason: Unusable,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LIBTORCH={} cannot be used: {}. Let LIBTORCH name the folder of a libtorch 2.11 \
             that has include/ and lib/, or unset it to have one found or fetched",
            self.candidate.folder.display(),
            self.reason
        )
    }
}

impl std::error::Error for Refusal {}

/// Takes the first of `candidates` that passes `inspect`; later ones are not looked at, nor even
/// computed if the iterator is lazy.
///
/// # Errors
/// `LIBTORCH` of the environment does not pass.
pub fn choose(
    candidates: impl IntoIterator<Item = Candidate>,
    inspect: impl Fn(&Path) -> Result<Libtorch, Unusable>,
) -> Result<Choice, Refusal> {
    let mut passed_over = Vec::new();
    for candidate in candidates {
        match inspect(&candidate.folder) {
            Ok(libtorch) => {
                return Ok(Choice { found: Some((candidate.source, libtorch)), passed_over });
            }
            Err(reason) if candidate.source == Source::Environment => {
                return Err(Refusal { candidate, reason });
            }
            Err(reason) => passed_over.push((candidate, reason)),
        }
    }
    Ok(Choice { found: None, passed_over })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtorch::fake::TempFolder;
    use crate::libtorch::{Need, inspect};

    fn candidate(source: Source, folder: impl Into<PathBuf>) -> Candidate {
        Candidate { source, folder: folder.into() }
    }

    fn on_cpu(folder: &Path) -> Result<Libtorch, Unusable> {
        inspect(folder, Need::Cpu)
    }

    #[test]
    fn the_first_usable_one_is_taken_and_the_rest_is_not_computed() {
        let temp = TempFolder::new("order");
        let old = temp.wheel("old", "2.10.0");
        let python = temp.wheel("python", "2.11.0+cpu");
        let candidates = [candidate(Source::Link, &old), candidate(Source::Python("python3".into()), &python)]
            .into_iter()
            .chain(std::iter::once_with(|| unreachable!("computed too early")));
        let choice = choose(candidates, on_cpu).unwrap();
        let (source, libtorch) = choice.found.unwrap();
        assert_eq!(source, Source::Python("python3".into()));
        assert_eq!(libtorch.folder, python);
        assert_eq!(choice.passed_over, [(candidate(Source::Link, &old), Unusable::WrongVersion("2.10.0".to_owned()))]);
    }

    #[test]
    fn the_environment_is_refused_rather_than_passed_over() {
        let temp = TempFolder::new("environment");
        let old = temp.wheel("old", "2.7.0");
        let good = temp.wheel("good", "2.11.0");
        let candidates = [candidate(Source::Environment, &old), candidate(Source::Link, &good)];
        let refusal = choose(candidates, on_cpu).unwrap_err();
        let message = refusal.to_string();
        for part in ["LIBTORCH=", "libtorch 2.7.0", "2.11", "unset it"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn the_environment_comes_first_when_it_is_good() {
        let temp = TempFolder::new("both");
        let first = temp.wheel("first", "2.11.0");
        let second = temp.wheel("second", "2.11.0");
        let candidates = [candidate(Source::Environment, &first), candidate(Source::Link, &second)];
        let found = choose(candidates, on_cpu).unwrap().found.unwrap();
        assert_eq!((found.0, found.1.folder), (Source::Environment, first));
    }

    #[test]
    fn with_nothing_usable_all_reasons_are_kept() {
        let temp = TempFolder::new("nothing");
        let candidates = [candidate(Source::Link, temp.0.join("gone")), candidate(Source::Cache, &temp.0)];
        let choice = choose(candidates, on_cpu).unwrap();
        assert_eq!(choice.found, None);
        let reasons: Vec<_> = choice.passed_over.into_iter().map(|(_, why)| why).collect();
        assert_eq!(reasons, [Unusable::NoFolder, Unusable::NoVersion]);
    }
}
