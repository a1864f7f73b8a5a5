//! The order of the gallery, read from a text file so that this command names no loss.

use std::collections::BTreeMap;

/// A heading, what is said below it, and the ids of its losses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The heading.
    pub title: String,
    /// A paragraph; may be empty.
    pub intro: String,
    /// The losses, in order.
    pub ids: Vec<String>,
    /// The commands that train with those that are not for every front-end.
    pub commands: BTreeMap<String, String>,
}

/// Reads groups: `# heading`, `> what is said below it`, one id a line, perhaps as `id: command that trains with it`. A heading
/// without ids is a comment.
///
/// # Errors
/// The number of a line that stands in no group or names an id again, and what is wrong with it.
pub fn parse(text: &str) -> Result<Vec<Group>, (usize, String)> {
    let mut groups: Vec<Group> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(title) = line.strip_prefix('#') {
            groups.push(Group { title: title.trim().to_owned(), ..Group::default() });
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let (id, command) = match line.split_once(':').filter(|_| !line.starts_with('>')) {
            Some((id, command)) => (id.trim_end(), Some(command.trim())),
            None => (line, None),
        };
        if groups.iter().any(|group| group.ids.iter().any(|named| named == id)) {
            return Err((at + 1, format!("`{id}` is named before")));
        }
        let Some(group) = groups.last_mut() else {
            return Err((at + 1, "stands in no group; a line `# heading` begins one".to_owned()));
        };
        match line.strip_prefix('>') {
            Some(intro) if group.intro.is_empty() => group.intro = intro.trim().to_owned(),
            Some(intro) => group.intro = format!("{} {}", group.intro, intro.trim()),
            None => {
                group.ids.push(id.to_owned());
                group.commands.extend(command.map(|command| (id.to_owned(), command.to_owned())));
            }
        }
    }
    groups.retain(|group| !group.ids.is_empty());
    Ok(groups)
}

/// Puts `found` in the order of `groups`; those that no group names come last.
///
/// # Errors
/// The ids that a group names and that were not found.
pub fn arrange(mut groups: Vec<Group>, found: &[String]) -> Result<Vec<Group>, Vec<String>> {
    let named: Vec<&String> = groups.iter().flat_map(|group| &group.ids).collect();
    let missing: Vec<String> = named.iter().filter(|id| !found.contains(id)).map(|id| (*id).clone()).collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    let others: Vec<String> = found.iter().filter(|id| !named.contains(id)).cloned().collect();
    if !others.is_empty() {
        let title = if groups.is_empty() { "Losses" } else { "Others" };
        groups.push(Group { title: title.to_owned(), ids: others, ..Group::default() });
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(title: &str, intro: &str, ids: &[&str]) -> Group {
        let ids = ids.iter().map(|&id| id.to_owned()).collect();
        Group { title: title.to_owned(), intro: intro.to_owned(), ids, ..Group::default() }
    }

    #[test]
    fn groups_are_read_and_others_come_last() {
        let groups = parse("# about this file\n\n# A\n> one\n> two\nx\ny\n# B\n z \n").unwrap();
        assert_eq!(groups, [group("A", "one two", &["x", "y"]), group("B", "", &["z"])]);
        let found = ["v", "w", "x", "y", "z"].map(str::to_owned);
        assert_eq!(arrange(groups.clone(), &found).unwrap()[2], group("Others", "", &["v", "w"]));
        assert_eq!(arrange(Vec::new(), &found).unwrap()[0].title, "Losses");
        assert_eq!(arrange(groups, &found[..3]).unwrap_err(), ["y", "z"]);
    }

    #[test]
    fn a_loss_may_have_a_command_of_its_own() {
        let groups = parse("# A\n> that: is said\nx: toolkit vision\ny\n").unwrap();
        let commands = [("x".to_owned(), "toolkit vision".to_owned())].into();
        assert_eq!(groups, [Group { commands, ..group("A", "that: is said", &["x", "y"]) }]);
    }

    #[test]
    fn wrong_lines_are_named() {
        assert_eq!(parse("\nx\n").unwrap_err().0, 2);
        assert_eq!(parse("# A\nx\n# B\nx\n").unwrap_err(), (4, "`x` is named before".to_owned()));
    }
}
