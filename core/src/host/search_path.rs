//! Where plugins are looked for, by id, without opening any but the one that is asked for.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::plugin::{check_owner, is_plugin_name};
use super::{OpenError, Plugin};

/// The folders that are searched, in order.
#[derive(Clone, Debug)]
pub struct SearchPath(Vec<PathBuf>);

/// A file that has a plugin's name.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Found {
    /// The id that its name stands for.
    pub id: String,
    /// The file.
    pub path: PathBuf,
    /// Why it would not be opened; none if it would.
    pub refused: Option<String>,
}

/// Why no plugin could be found or opened for an id.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No file of that name in any folder.
    #[error(
        "no loss `{id}`{}; found: {}; searched: {}{}",
        suggestion.as_ref().map(|near| format!(", did you mean `{near}`?")).unwrap_or_default(),
        if found.is_empty() { "none".into() } else { found.join(", ") },
        if searched.is_empty() { "nowhere".into() } else { searched.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ") },
        if found.is_empty() { "; in a source checkout, `cargo build` builds the plugins" } else { "" }
    )]
    Unknown {
        /// The id asked for.
        id: String,
        /// The ids found, sorted.
        found: Vec<String>,
        /// The folders searched.
        searched: Vec<PathBuf>,
        /// The nearest id found.
        suggestion: Option<String>,
    },
    /// Different files for one id.
    #[error("two plugins for the loss `{id}`: {} and {}; remove one", first.display(), second.display())]
    Ambiguous {
        /// The id asked for.
        id: String,
        /// The one found first.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A folder given by hand is not there.
    #[error("--plugin-dir {}: {reason}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was found but cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file was opened, and calls itself something else.
    #[error("plugin {}: its name stands for the loss `{asked}`, but it says that it is `{says}`; rename it to {}", path.display(), file_name(says))]
    Renamed {
        /// The file.
        path: PathBuf,
        /// The id that its name stands for.
        asked: String,
        /// The id that it gives itself.
        says: String,
    },
}

/// The file name of the plugin for `id`.
pub fn file_name(id: &str) -> String {
    format!("libtoolkit_loss_{}.so", id.replace('-', "_"))
}

impl SearchPath {
    /// The folders `given` by hand (`--plugin-dir`), then `TOOLKIT_PLUGIN_PATH`, the user's data folder,
    /// `../lib/toolkit` beside the executable, and the executable's own folder where that is a cargo
    /// build folder. Never the working directory.
    ///
    /// # Errors
    /// A folder given by hand is not a folder.
    pub fn standard(given: &[PathBuf]) -> Result<Self, FindError> {
        for folder in given {
            if !folder.is_dir() {
                return Err(FindError::Folder { folder: folder.clone(), reason: "is not a folder".into() });
            }
        }
        let mut folders = given.to_vec();
        if let Some(path) = env::var_os("TOOLKIT_PLUGIN_PATH") {
            folders.extend(env::split_paths(&path).filter(|folder| folder.is_absolute()));
        }
        folders.extend(Self::user_folder());
        if let Some(beside) = env::current_exe().ok().as_deref().and_then(Path::parent) {
            folders.extend(beside.parent().map(|prefix| prefix.join("lib/toolkit")));
            if beside.join(".fingerprint").is_dir() {
                folders.push(beside.to_owned());
            }
        }
        Ok(Self(folders))
    }

    /// These folders, and then the folder of a cargo build if it still is one.
    #[must_use]
    pub fn and_build(mut self, folder: &Path) -> Self {
        if folder.join(".fingerprint").is_dir() && !self.0.iter().any(|known| known == folder) {
            self.0.push(folder.to_owned());
        }
        self
    }

    /// Just these folders.
    pub fn of(folders: Vec<PathBuf>) -> Self {
        Self(folders)
    }

    /// The user's own plugin folder: `$XDG_DATA_HOME/imbalance-toolkit/plugins`, by default under
    /// `~/.local/share`.
    pub fn user_folder() -> Option<PathBuf> {
        let data = match env::var_os("XDG_DATA_HOME").map(PathBuf::from) {
            Some(data) if data.is_absolute() => data,
            _ => PathBuf::from(env::var_os("HOME")?).join(".local/share"),
        };
        Some(data.join("imbalance-toolkit/plugins"))
    }

    /// The folders, in order.
    pub fn folders(&self) -> &[PathBuf] {
        &self.0
    }

    /// Every file that has a plugin's name, sorted by id and then in the order of the folders. Opens none.
    pub fn list(&self) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        for folder in &self.0 {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
            names.sort();
            for name in names {
                let Some(stem) = is_plugin_name(&name) else {
                    continue;
                };
                let path = folder.join(&name);
                if found.iter().any(|earlier| earlier.path == path) {
                    continue;
                }
                found.push(Found { id: stem.replace('_', "-"), refused: check_owner(&path).err(), path });
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    }

    /// Opens the plugin for `id`, and only that.
    ///
    /// # Errors
    /// See [`FindError`].
    pub fn open(&self, id: &str) -> Result<Plugin, FindError> {
        let path = self.find(id)?;
        let plugin = Plugin::open(&path)?;
        if plugin.id() != id {
            return Err(FindError::Renamed { path, asked: id.into(), says: plugin.id().into() });
        }
        Ok(plugin)
    }

    /// The file of the plugin for `id`, without opening it.
    ///
    /// # Errors
    /// [`FindError::Unknown`] and [`FindError::Ambiguous`].
    pub fn find(&self, id: &str) -> Result<PathBuf, FindError> {
        let name = file_name(id);
        let mut files: Vec<PathBuf> =
            self.0.iter().map(|folder| folder.join(&name)).filter(|path| path.exists()).collect();
        files.dedup_by_key(|path| fs::canonicalize(path).ok());
        let known_id = id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let (Some(first), true) = (files.first(), known_id) else {
            return Err(self.unknown(id));
        };
        for second in &files[1..] {
            // An installed copy of the same build is no contradiction.
            if digest(first) != digest(second) {
                return Err(FindError::Ambiguous { id: id.into(), first: first.clone(), second: second.clone() });
            }
        }
        Ok(first.clone())
    }

    fn unknown(&self, id: &str) -> FindError {
        let mut found: Vec<String> = self.list().into_iter().map(|found| found.id).collect();
        found.dedup();
        let suggestion = found
            .iter()
            .map(|known| (edit_distance(known, id), known))
            .min()
            .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
            .map(|(_, known)| known.clone());
        FindError::Unknown { id: id.into(), found, searched: self.0.clone(), suggestion }
    }
}

fn digest(path: &Path) -> Option<Vec<u8>> {
    fs::read(path).ok().map(|bytes| Sha256::digest(bytes).to_vec())
}

/// Levenshtein's distance, for suggestions.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_by_hand() {
        assert_eq!(edit_distance("eureka", "eureka"), 0);
        assert_eq!(edit_distance("eureka", "eurkea"), 2);
        assert_eq!(edit_distance("focal", "local"), 1);
        assert_eq!(edit_distance("", "abc"), 3);
    }

    #[test]
    fn unknown_losses_name_what_there_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("libtoolkit_loss_class_balanced.so"), "").unwrap();
        let path = SearchPath::of(vec![folder.path().to_owned()]);
        let said = path.open("class-balancd").unwrap_err().to_string();
        assert!(said.contains("did you mean `class-balanced`"), "{said}");
        assert!(said.contains(&folder.path().display().to_string()), "{said}");
        let said = path.open("../evil").unwrap_err().to_string();
        assert!(said.starts_with("no loss `../evil`"), "{said}");
    }

    #[test]
    fn different_files_for_one_id_are_refused() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(one.path().join(file_name("x")), "1").unwrap();
        fs::write(two.path().join(file_name("x")), "2").unwrap();
        let path = SearchPath::of(vec![one.path().to_owned(), two.path().to_owned()]);
        assert!(matches!(path.open("x"), Err(FindError::Ambiguous { .. })));
    }
}
