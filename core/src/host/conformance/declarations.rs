//! What a plugin says of itself.

use std::path::Path;

use super::exam::{Exam, Stop};
use crate::ParamKind;
use crate::host::plugin::is_plugin_name;
use crate::host::{Plugin, file_name};

/// What the handshake showed.
pub(super) fn opened(plugin: &Plugin) -> String {
    let (major, minor) = plugin.abi();
    let params = plugin.params().len();
    format!("opens, speaks ABI {major}.{minor}, declares {params} parameter{}", if params == 1 { "" } else { "s" })
}

/// Lower-case words of letters and digits joined by `-`, beginning with a letter.
pub fn is_well_formed(id: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    id.starts_with(|first: char| first.is_ascii_lowercase()) && id.split('-').all(word)
}

/// The id, and the name of the file at `path`.
pub(super) fn name(plugin: &Plugin, path: &Path) -> Result<String, Stop> {
    let id = plugin.id();
    if !is_well_formed(id) {
        return Err(format!("its id is `{id}`; an id is lower-case words joined by -, such as `my-loss`").into());
    }
    let name = path.file_name().unwrap_or_default();
    let wanted = file_name(id);
    match is_plugin_name(name) {
        Some(stem) if stem.replace('_', "-") == id => Ok(format!("{wanted} is `{id}`")),
        _ => Err(format!(
            "the file is named {}, but its id is `{id}`: nobody finds it unless it is named {wanted} \
             (`toolkit losses install` names it so)",
            name.display()
        )
        .into()),
    }
}

/// Texts on one line, ranges that hold something, names once.
pub(super) fn check(exam: &mut Exam<'_>) -> Result<String, Stop> {
    let plugin = exam.plugin;
    for (what, text) in [("version", plugin.version()), ("formula", plugin.formula()), ("citation", plugin.citation())]
    {
        one_line(text).map_err(|why| format!("its {what} {why}"))?;
    }
    for (at, param) in plugin.params().iter().enumerate() {
        let name = &param.name;
        one_line(&param.help).map_err(|why| format!("parameter `{name}`: its help {why}"))?;
        if name.starts_with('-') || name.ends_with('-') {
            return Err(format!("parameter `{name}`: a flag's name is words joined by -, with none at its ends").into());
        }
        if plugin.params()[..at].iter().any(|earlier| earlier.name == *name) {
            return Err(format!("parameter `{name}` is declared twice").into());
        }
        match &param.kind {
            ParamKind::Number { minimum, maximum } if minimum.0.is_nan() || maximum.0.is_nan() => {
                return Err(format!("parameter `{name}`: a bound is NaN; for none, give -INFINITY or INFINITY").into());
            }
            ParamKind::Choice(choices) => {
                if choices.iter().any(String::is_empty) {
                    return Err(format!("parameter `{name}`: one of its choices is empty").into());
                }
                if (1..choices.len()).any(|at| choices[..at].contains(&choices[at])) {
                    return Err(format!("parameter `{name}`: two of its choices are the same").into());
                }
            }
            ParamKind::Number { .. } | ParamKind::Flag => {}
        }
    }
    let names: Vec<&str> = plugin.params().iter().map(|param| param.name.as_str()).collect();
    Ok(match names.as_slice() {
        [] => "texts are in order; no parameters".into(),
        names => format!("texts, names and ranges are in order: {}", names.join(", ")),
    })
}

fn one_line(text: &str) -> Result<(), &'static str> {
    match text {
        text if text.trim().is_empty() => Err("is empty; one line is needed"),
        text if text.contains('\n') => Err("has more than one line"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_words() {
        for id in ["eureka", "class-balanced", "poly-1", "a"] {
            assert!(is_well_formed(id), "{id}");
        }
        for id in ["", "Eureka", "my_loss", "-a", "a-", "a--b", "1-poly", "../a", "é", "a b"] {
            assert!(!is_well_formed(id), "{id}");
        }
    }
}
