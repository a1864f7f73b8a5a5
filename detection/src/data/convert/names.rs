//! Names of classes, as YOLO folders have them.

use std::fs;
use std::path::{Path, PathBuf};

use super::{ConvertError, text};

/// A file of names, a name a line, in some folders among the labels.
pub(super) const CLASSES: &str = "classes.txt";

/// The names in the folder: the one .yaml or .yml file with `names:`, or else `classes.txt`, `obj.names` or
/// `labels/classes.txt`, a name a line.
pub(super) fn find(folder: &Path) -> Result<Vec<String>, ConvertError> {
    let entries = fs::read_dir(folder).map_err(|reason| ConvertError::Io { path: folder.into(), reason })?;
    let mut yaml: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml"))
        .collect();
    yaml.sort();
    for path in yaml {
        if let Some(names) = of_yaml(&path, &text(&path, "names of classes")?)? {
            return Ok(names);
        }
    }
    for path in [folder.join(CLASSES), folder.join("obj.names"), folder.join("labels").join(CLASSES)] {
        if path.is_file() {
            let text = text(&path, "names of classes")?;
            return Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect());
        }
    }
    let expected = "the names of the classes, in a .yaml file as a list `names:` or in classes.txt, a name a line";
    Err(ConvertError::Missing { path: folder.join("data.yaml"), expected: expected.into() })
}

/// The names in a YAML file, written `names: [a, b]`, over several lines too, or below `names:` as `- a` or `0: a`.
fn of_yaml(path: &Path, text: &str) -> Result<Option<Vec<String>>, ConvertError> {
    let lines: Vec<&str> = text.lines().map(without_comment).collect();
    let Some(start) = lines.iter().position(|line| line.starts_with("names:")) else { return Ok(None) };
    let wrong = |line: usize, problem: String| ConvertError::Line { path: path.into(), line: line + 1, problem };
    let first = lines[start]["names:".len()..].trim();
    let mut names = Vec::new();
    if let Some(list) = first.strip_prefix('[') {
        let mut joined = list.to_owned();
        for line in &lines[start + 1..] {
            if joined.contains(']') {
                break;
            }
            joined.push(' ');
            joined.push_str(line);
        }
        let Some((list, _)) = joined.split_once(']') else {
            return Err(wrong(start, "the list of names has no end `]`".into()));
        };
        names.extend(list.split(',').map(unquoted).filter(|name| !name.is_empty()));
    } else if first.is_empty() {
        for (number, line) in lines.iter().enumerate().skip(start + 1) {
            let item = line.trim();
            if item.is_empty() {
                continue;
            }
            if let Some(name) = item.strip_prefix("- ") {
                names.push(unquoted(name));
            } else if line.starts_with(char::is_whitespace) {
                let entry = item.split_once(':').and_then(|(at, name)| Some((at.trim().parse::<usize>().ok()?, name)));
                match entry {
                    Some((at, name)) if at == names.len() => names.push(unquoted(name)),
                    _ => {
                        let next = names.len();
                        return Err(wrong(number, format!("{item:?} is no name; expected `- NAME` or `{next}: NAME`")));
                    }
                }
            } else {
                break;
            }
        }
    }
    match names.is_empty() {
        true => Err(wrong(start, "`names:` has no names; expected `[a, b]` or one a line, `- a` or `0: a`".into())),
        false => Ok(Some(names)),
    }
}

fn without_comment(line: &str) -> &str {
    let quoted = |at: usize| line[..at].matches(['"', '\'']).count() % 2 == 1;
    let comment = line
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|&at| !quoted(at) && (at == 0 || line[..at].ends_with(char::is_whitespace)));
    line[..comment.unwrap_or(line.len())].trim_end()
}

fn unquoted(name: &str) -> String {
    let name = name.trim();
    let within = |quote: char| name.strip_prefix(quote).and_then(|name| name.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Option<Vec<String>>, String> {
        of_yaml(Path::new("data.yaml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_usual_spellings() {
        let expected = Some(vec!["cat".to_owned(), "hot dog".to_owned(), "c#".to_owned()]);
        for text in [
            "train: x\nnames: [cat, 'hot dog', \"c#\"]  # three\nnc: 3\n",
            "names: [cat,\n  hot dog,\n  c#]\n",
            "nc: 3\nnames:\n  0: cat # the first\n  1: hot dog\n\n  2: c#\ntest: x\n",
            "names:\n- cat\n- 'hot dog'\n- c#\nval: x",
        ] {
            assert_eq!(names(text), Ok(expected.clone()), "{text}");
        }
        assert_eq!(names("nc: 3\n"), Ok(None));
    }

    #[test]
    fn what_is_no_list_of_names() {
        assert!(names("nc: 1\nnames: [a, b\n").unwrap_err().starts_with("data.yaml:2: the list of names has no end"));
        assert!(
            names("names:\n  0: a\n  2: b\n").unwrap_err().starts_with("data.yaml:3: \"2: b\" is no name; expected")
        );
        assert!(names("names:\nnc: 3\n").unwrap_err().starts_with("data.yaml:1: `names:` has no names"));
    }
}
