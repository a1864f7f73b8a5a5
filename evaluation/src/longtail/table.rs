//! Scores as plain text, aligned for a terminal.

use super::{ClassScores, Group, LongTailScores, Summary};
use crate::Spread;
use crate::align::align;

type Column = (&'static str, fn(&Summary) -> Option<Spread>);

/// Headline scores, in the order of the paper's Table 2 and then what goes beyond it.
const COLUMNS: [Column; 8] = [
    ("All", |s| Some(s.all)),
    ("Many", |s| s.many),
    ("Medium", |s| s.medium),
    ("Few", |s| s.few),
    ("Natural", |s| s.natural),
    ("ECE", |s| Some(s.calibration_error.all)),
    ("top-5", |s| Some(s.top_5)),
    ("macro F1", |s| Some(s.macro_f1)),
];

/// Headline scores of several systems in per cent, one a line under a line of headings, each line ended.
///
/// A system of one run shows its scores, one of several the mean ± standard deviation. A score that there is none of is `-`.
/// Where classes lack test images, a line below says so. No rows give an empty text.
pub fn table(rows: &[(String, Summary)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heading = std::iter::once("system").chain(COLUMNS.map(|column| column.0)).map(str::to_owned).collect();
    let mut lines: Vec<Vec<String>> = vec![heading];
    for (name, summary) in rows {
        let cells = COLUMNS.iter().map(|(_, value)| value(summary).map_or_else(|| "-".to_owned(), spread));
        lines.push(std::iter::once(name.clone()).chain(cells).collect());
    }
    let mut text = align(&lines);
    for (name, summary) in rows.iter().filter(|(_, summary)| summary.classes_without_test_images > 0) {
        text += &format!("{name}: {}\n", untested(summary.classes_without_test_images, summary.classes));
    }
    text
}

/// The groups of one system's classes: classes, training and test images, mean class accuracy and calibration error in per
/// cent, mean likelihood; a group a line, each line ended.
pub fn group_table(scores: &LongTailScores) -> String {
    let heading = ["group", "classes", "train", "test", "accuracy", "ECE", "likelihood"];
    let mut lines: Vec<Vec<String>> = vec![heading.map(str::to_owned).to_vec()];
    for group in std::iter::once(None).chain(Group::ALL.map(Some)) {
        let accuracy = scores.accuracy();
        let (size, accuracy, error, likelihood) = match group {
            None => (
                Some(&scores.sizes.all),
                Some(accuracy.all),
                Some(scores.calibration_error.all),
                Some(scores.likelihood.all),
            ),
            Some(group) => (
                scores.sizes.of(group),
                accuracy.of(group).copied(),
                scores.calibration_error.of(group).copied(),
                scores.likelihood.of(group).copied(),
            ),
        };
        let size = size.copied().unwrap_or_default();
        let name = match group {
            None => "All".to_owned(),
            Some(group) => format!("{} ({})", group.name(), scores.groups.describe(group)),
        };
        lines.push(vec![
            name,
            size.classes.to_string(),
            size.train_images.to_string(),
            size.test_images.to_string(),
            number(accuracy, 2),
            number(error, 2),
            number(likelihood, 4),
        ]);
    }
    align(&lines)
}

/// Scores of each class, one a line: training and test images, accuracy, precision, recall and F1 in per cent, mean
/// likelihood. A class without test images shows `-`; a line below counts them.
///
/// # Shapes
/// - `names`: `[classes]`, shown beside the indices; empty for none
pub fn class_table(per_class: &[ClassScores], names: &[String]) -> String {
    let heading = ["class", "group", "train", "test", "accuracy", "precision", "recall", "F1", "likelihood"];
    let mut lines: Vec<Vec<String>> = vec![heading.map(str::to_owned).to_vec()];
    for class in per_class {
        let name = names.get(class.class).map(|name| format!(" {name}")).unwrap_or_default();
        lines.push(vec![
            format!("{}{name}", class.class),
            class.group.name().to_owned(),
            class.train_images.to_string(),
            class.test_images.to_string(),
            number(class.accuracy, 2),
            number(class.precision, 2),
            number(class.recall, 2),
            number(class.f1, 2),
            number(class.likelihood, 4),
        ]);
    }
    let mut text = align(&lines);
    let without = per_class.iter().filter(|class| class.test_images == 0).count();
    if without > 0 {
        text += &format!("{}\n", untested(without, per_class.len()));
    }
    text
}

fn untested(without: usize, classes: usize) -> String {
    let have = if without == 1 { "has" } else { "have" };
    format!("{without} of {classes} classes {have} no test images and no part in any mean")
}

fn spread(spread: Spread) -> String {
    match spread.sd {
        Some(sd) => format!("{:.2} ± {sd:.2}", spread.mean),
        None => format!("{:.2}", spread.mean),
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::longtail::{Groups, Predictions, score, summarise};

    /// Three classes, the last without test images; class 1 is taken for class 0 once.
    fn scores(groups: Groups) -> LongTailScores {
        let rows = [[1.0, 0.0, 0.0], [0.75, 0.25, 0.0], [0.0, 1.0, 0.0]];
        let predictions = Predictions::from_probabilities(3, rows.concat(), vec![0, 1, 1]).unwrap();
        score(&predictions, &[300, 100, 10], &groups).unwrap()
    }

    #[test]
    fn systems_line_up() {
        let one = scores(Groups::default());
        let mut other = one.clone();
        (other.all, other.classes_without_test_images) = (77.0, 0);
        let rows = [
            ("ours".to_owned(), summarise(&[one.clone(), other.clone()]).unwrap()),
            ("other".to_owned(), summarise(&[other]).unwrap()),
        ];
        // Class accuracies 100 and 50; natural (300·100 + 100·50)/400; ECE (0 + .75 + 0)/3; F1 2/3 for both classes.
        let want = "\
system           All           Many        Medium  Few       Natural           ECE          top-5      macro F1
ours    76.00 ± 1.41  100.00 ± 0.00  50.00 ± 0.00    -  87.50 ± 0.00  25.00 ± 0.00  100.00 ± 0.00  66.67 ± 0.00
other          77.00         100.00         50.00    -         87.50         25.00         100.00         66.67
ours: 1 of 3 classes has no test images and no part in any mean
";
        assert_eq!(table(&rows), want);
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn groups_line_up() {
        let want = "\
group                                 classes  train  test  accuracy    ECE  likelihood
All                                         3    410     3     75.00  25.00      0.7500
Many (more than 100 training images)        1    300     1    100.00   0.00      1.0000
Medium (20 to 100 training images)          1    100     2     50.00  37.50      0.6250
Few (fewer than 20 training images)         1     10     0         -      -           -
";
        assert_eq!(group_table(&scores(Groups::default())), want);
    }

    #[test]
    fn classes_line_up() {
        let scores = scores(Groups::by_rank(1, 1, 1));
        let want = "\
class   group  train  test  accuracy  precision  recall     F1  likelihood
0 cat    Many    300     1    100.00      50.00  100.00  66.67      1.0000
1 dog  Medium    100     2     50.00     100.00   50.00  66.67      0.6250
2 owl     Few     10     0         -          -       -      -           -
1 of 3 classes has no test images and no part in any mean
";
        assert_eq!(class_table(&scores.per_class, &["cat", "dog", "owl"].map(str::to_owned)), want);
        assert!(class_table(&scores.per_class, &[]).contains("\n2         Few  "));
    }
}
