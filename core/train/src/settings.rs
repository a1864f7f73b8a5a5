//! Which settings a resumed run must share with its start.

use toml::{Table, Value};

/// Keys that do not change what a step computes, so a resumed run may be given others. `epochs` is among them:
/// a run may be made longer. `data` is, because the data's hashes are compared instead of their place.
const FREE: [&str; 14] = [
    "checkpoint-every",
    "data",
    "device",
    "epochs",
    "json",
    "loader-threads",
    "overwrite",
    "plugin-dir",
    "processes",
    "quiet",
    "resume",
    "run",
    "threads",
    "verbose",
];

/// The first bound key whose value differs, in words.
pub(crate) fn difference(old: &Table, new: &Table) -> Option<String> {
    let (old, new) = (bound(old), bound(new));
    let keys = old.iter().chain(&new).map(|(key, _)| key);
    let value = |list: &[(String, String)], key: &str| {
        list.iter().find(|(known, _)| known == key).map_or("unset".to_string(), |(_, value)| value.clone())
    };
    keys.into_iter().find_map(|key| {
        let (before, now) = (value(&old, key), value(&new, key));
        (before != now).then(|| format!("`{key}` was {before} and is now {now}"))
    })
}

/// In words that `new` has fewer epochs than `old`.
pub(crate) fn fewer_epochs(old: &Table, new: &Table) -> Option<String> {
    let epochs = |of: &Table| of.get("epochs").and_then(Value::as_integer);
    let (before, now) = (epochs(old)?, epochs(new)?);
    (now < before)
        .then(|| format!("`epochs` was {before} and is now {now}, and a run that is finished can only be made longer"))
}

/// The bound keys with their values, one a line, in one order.
pub(crate) fn canonical(table: &Table) -> String {
    bound(table).iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

fn bound(table: &Table) -> Vec<(String, String)> {
    let mut list = Vec::new();
    flatten("", table, &mut list);
    list.sort();
    list
}

fn flatten(prefix: &str, table: &Table, list: &mut Vec<(String, String)>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, list),
            _ if FREE.contains(&key.as_str()) => {}
            _ => list.push((format!("{prefix}{key}"), value.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn order_and_free_keys_do_not_matter() {
        let old = table("lr = 0.1\nepochs = 3\n[loss]\nbeta = 0.9\n");
        let new = table("quiet = true\nepochs = 9\nlr = 0.1\nloss = { beta = 0.9 }\n");
        assert_eq!(difference(&old, &new), None);
        assert_eq!(canonical(&old), canonical(&new));
        assert_eq!(canonical(&old), "loss.beta = 0.9\nlr = 0.1\n");
    }

    #[test]
    fn names_the_key_that_differs_or_is_missing() {
        let old = table("lr = 0.1\n[loss]\nbeta = 0.9\n");
        let changed = difference(&old, &table("lr = 0.1\nloss = { beta = 0.99 }\n")).unwrap();
        assert_eq!(changed, "`loss.beta` was 0.9 and is now 0.99");
        let missing = difference(&old, &table("lr = 0.1\n")).unwrap();
        assert_eq!(missing, "`loss.beta` was 0.9 and is now unset");
        let added = difference(&table(""), &table("seed = 1")).unwrap();
        assert_eq!(added, "`seed` was unset and is now 1");
    }
}
