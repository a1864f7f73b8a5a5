//! The pictures in run folders.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// Largest picture that is embedded, in bytes.
const LARGEST: u64 = 4 << 20;

/// A picture of one name in several run folders.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Picture {
    /// The file's name.
    pub name: String,
    /// Index of a run, and its picture as a `data:` URI.
    pub of: Vec<(usize, String)>,
}

/// The SVG and PNG files of the folders, by name; also what was left out and why.
pub(super) fn pictures(folders: &[&Path]) -> (Vec<Picture>, Vec<String>) {
    let (mut pictures, mut notes): (Vec<Picture>, _) = (Vec::new(), Vec::new());
    for (run, folder) in folders.iter().enumerate() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        for file in files {
            let kind = match file.extension().and_then(|extension| extension.to_str()) {
                Some("svg") => "svg+xml",
                Some("png") => "png",
                _ => continue,
            };
            if file.metadata().is_ok_and(|file| file.len() > LARGEST) {
                notes.push(format!("{} is larger than {} MiB and left out", file.display(), LARGEST >> 20));
                continue;
            }
            let bytes = match fs::read(&file) {
                Ok(bytes) => bytes,
                Err(error) => {
                    notes.push(format!("{}: {error}", file.display()));
                    continue;
                }
            };
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let uri = format!("data:image/{kind};base64,{}", STANDARD.encode(bytes));
            match pictures.iter_mut().find(|picture| picture.name == name) {
                Some(picture) => picture.of.push((run, uri)),
                None => pictures.push(Picture { name, of: vec![(run, uri)] }),
            }
        }
    }
    pictures.sort_by(|a, b| a.name.cmp(&b.name));
    (pictures, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_one_name_stand_together() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(a.path().join("gap.svg"), "<svg/>").unwrap();
        fs::write(a.path().join("config.toml"), "").unwrap();
        fs::write(b.path().join("gap.svg"), "<svg/>").unwrap();
        fs::write(b.path().join("a.png"), "x").unwrap();
        fs::File::create(b.path().join("huge.svg")).unwrap().set_len(LARGEST + 1).unwrap();
        let (found, notes) = pictures(&[a.path(), b.path()]);
        let svg = "data:image/svg+xml;base64,PHN2Zy8+".to_owned();
        assert_eq!(found[0], Picture { name: "a.png".into(), of: vec![(1, "data:image/png;base64,eA==".into())] });
        assert_eq!(found[1], Picture { name: "gap.svg".into(), of: vec![(0, svg.clone()), (1, svg)] });
        assert!(found.len() == 2 && notes.len() == 1 && notes[0].contains("huge.svg is larger"), "{notes:?}");
    }
}
