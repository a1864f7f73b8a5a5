//! What became of the tensors of a file and of the parameters of a model.

use std::fmt;
use std::path::PathBuf;

use super::WeightsError;
use super::load::is_classifier;

/// How many names the short form of a report lists.
const LISTED: usize = 3;

/// A parameter whose shape in the file is not the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherShape {
    /// The parameter.
    pub name: String,
    /// Its shape in the file.
    pub found: Vec<i64>,
    /// Its shape in the model.
    pub expected: Vec<i64>,
}

/// What [`super::load_weights`] did. All lists are sorted by name. `{}` is one line for a log, `{:#}` lists every name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// The file.
    pub path: PathBuf,
    /// What all names of the file start with that the model's do not, as `module.`; empty as a rule.
    pub prefix: String,
    /// The model's variables that were loaded.
    pub matched: Vec<String>,
    /// The model's variables that the file lacks; they keep their values.
    pub missing: Vec<String>,
    /// The model's variables that have another shape in the file; they keep their values.
    pub other_shape: Vec<OtherShape>,
    /// The classifier's variables that were left out as asked; they keep their values.
    pub left_out: Vec<String>,
    /// Tensors of the file, without the prefix, that the model has no place for.
    pub left_over: Vec<String>,
}

impl LoadReport {
    /// Whether every variable was loaded and nothing of the file is left over.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.other_shape.is_empty() && self.left_out.is_empty() && self.left_over.is_empty()
    }

    /// Refuses variables of another shape, which say that the file is of another model.
    ///
    /// # Errors
    /// [`WeightsError::Shape`], of the first by name.
    pub fn check_shapes(&self) -> Result<(), WeightsError> {
        let Some(OtherShape { name, found, expected }) = self.other_shape.first() else { return Ok(()) };
        Err(WeightsError::Shape {
            path: self.path.clone(),
            name: name.clone(),
            found: found.clone(),
            expected: expected.clone(),
            // Where only the number of classes differs.
            hint: if is_classifier(name) && found.get(1..) == expected.get(1..) {
                "; leave the classifier out to train on other classes"
            } else {
                ""
            },
        })
    }
}

impl fmt::Display for OtherShape {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Self { name, found, expected } = self;
        write!(formatter, "{name} ({found:?} in the file, {expected:?} in the model)")
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let loaded = self.matched.len();
        let all = loaded + self.missing.len() + self.other_shape.len() + self.left_out.len();
        write!(formatter, "{}: {loaded} of {all} variables loaded", self.path.display())?;
        if !self.prefix.is_empty() {
            write!(formatter, ", their names without `{}`", self.prefix)?;
        }
        list(formatter, "left out", &self.left_out)?;
        list(formatter, "missing", &self.missing)?;
        list(formatter, "of another shape", &self.other_shape)?;
        list(formatter, "left over", &self.left_over)?;
        if formatter.alternate() {
            list(formatter, "loaded", &self.matched)?;
        }
        Ok(())
    }
}

fn list(formatter: &mut fmt::Formatter, what: &str, items: &[impl fmt::Display]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    if formatter.alternate() {
        write!(formatter, "\n{what}:")?;
        return items.iter().try_for_each(|item| write!(formatter, "\n  {item}"));
    }
    write!(formatter, "; {} {what}: ", items.len())?;
    for (index, item) in items.iter().take(LISTED).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(formatter, "{comma}{item}")?;
    }
    if items.len() > LISTED { formatter.write_str(", …") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        let report = LoadReport {
            path: "r.pth".into(),
            prefix: "module.".into(),
            matched: names(&["bn1.weight", "conv1.weight"]),
            other_shape: vec![OtherShape { name: "fc.weight".into(), found: vec![1000, 8], expected: vec![10, 8] }],
            left_over: names(&["a", "b", "c", "d"]),
            ..LoadReport::default()
        };
        assert!(!report.is_complete());
        assert_eq!(
            report.to_string(),
            "r.pth: 2 of 3 variables loaded, their names without `module.`; 1 of another shape: fc.weight ([1000, 8] in the \
             file, [10, 8] in the model); 4 left over: a, b, c, …"
        );
        let long = format!("{report:#}");
        assert!(long.ends_with("\nleft over:\n  a\n  b\n  c\n  d\nloaded:\n  bn1.weight\n  conv1.weight"), "{long}");
    }
}
