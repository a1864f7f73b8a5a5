//! Curves from a run's `metrics.jsonl`.

use std::io;
use std::path::Path;

use serde_json::Value;

use super::Curve;

impl Curve {
    /// The field `value` over the field `at` of the records of one `kind` in a run's `metrics.jsonl`, as the curve of `name`.
    /// Records without these fields, or cut off where a run was stopped, are passed over.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of_metrics(path: &Path, name: &str, kind: &str, at: &str, value: &str) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let points = records
            .filter(|record| record["kind"] == kind)
            .filter_map(|record| Some((record[at].as_f64()?, record[value].as_f64()?)))
            .collect();
        Ok(Self { name: name.to_owned(), points })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_a_kind_are_taken() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines = [
            r#"{"kind":"train","epoch":1,"step":5,"loss":2.5}"#,
            r#"{"kind":"valid","epoch":1,"step":8,"AP":17.5}"#,
            r#"{"kind":"train","epoch":2,"step":10,"loss":null}"#,
            r#"{"kind":"train","epoch":2,"step":15,"loss":1.25}"#,
            r#"{"kind":"train","ep"#,
        ];
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        let curve = |kind, at, value| Curve::of_metrics(file.path(), "run", kind, at, value).unwrap().points;
        assert_eq!(curve("train", "step", "loss"), [(5.0, 2.5), (15.0, 1.25)]);
        assert_eq!(curve("valid", "epoch", "AP"), [(1.0, 17.5)]);
        assert!(Curve::of_metrics(Path::new("/nowhere/metrics.jsonl"), "run", "train", "step", "loss").is_err());
    }
}
