//! Scores as plain text, aligned for a terminal.

use super::scores::DialogueScores;
use crate::align::align;

type Column = (&'static str, fn(&DialogueScores) -> Option<f64>);

/// Headline scores, in the order of the paper's Table 4 and then what explains them. Column names carry their unit
/// where it is not per cent.
const COLUMNS: [Column; 10] = [
    ("F1", |s| Some(s.f1)),
    ("micro F", |s| Some(s.micro_f)),
    ("macro F", |s| Some(s.macro_f)),
    ("macro F (ref. types)", |s| Some(s.macro_f_reference_types)),
    ("dist-1", |s| Some(s.distinct_1)),
    ("dist-2", |s| Some(s.distinct_2)),
    ("dist-4", |s| Some(s.distinct_4)),
    ("rare", |s| s.rare_share),
    ("length (tokens)", |s| Some(s.length_mean)),
    ("perplexity", |s| s.perplexity),
];

/// Headline scores of several systems, one a line under a line of headings, each line ended.
///
/// Scores are percentages except length and perplexity. A column that no system has a value for is left out; a system
/// without a value in a column that others have shows `-`. No rows give an empty text.
pub fn table(rows: &[(String, &DialogueScores)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut lines: Vec<Vec<String>> = vec![vec!["system".to_owned()]];
    lines.extend(rows.iter().map(|(name, _)| vec![name.clone()]));
    for (heading, value) in COLUMNS {
        if rows.iter().all(|(_, scores)| value(scores).is_none()) {
            continue;
        }
        lines[0].push(heading.to_owned());
        for (line, (_, scores)) in lines[1..].iter_mut().zip(rows) {
            line.push(value(scores).map_or_else(|| "-".to_owned(), |v| format!("{v:.2}")));
        }
    }
    align(&lines)
}

/// Every score of one system, one a line: its name as in the JSON object and its value; `-` where there is none.
pub fn details(scores: &DialogueScores) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(scores) else {
        // Not reached: a struct of numbers serialises to an object.
        return String::new();
    };
    let lines: Vec<Vec<String>> = fields
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                serde_json::Value::Number(number) if number.is_f64() => {
                    format!("{:.4}", number.as_f64().unwrap_or(f64::NAN))
                }
                serde_json::Value::String(text) => text,
                serde_json::Value::Null => "-".to_owned(),
                other => other.to_string(),
            };
            vec![name, value]
        })
        .collect();
    align(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::{ScoreOptions, score};

    fn scores() -> DialogueScores {
        // F1 4/6; micro 4/6; types i, like right, cats, dogs wrong: macro 1/2, over reference types 2/3.
        let references = [vec!["i like dogs".to_owned()]];
        score(&["i like cats".to_owned()], &references, &ScoreOptions::default()).unwrap()
    }

    #[test]
    fn columns_line_up_and_empty_ones_are_left_out() {
        let scores = scores();
        let want = "\
system     F1  micro F  macro F  macro F (ref. types)  dist-1  dist-2  dist-4  length (tokens)
x       66.67    66.67    50.00                 66.67  100.00  100.00    0.00             3.00
";
        assert_eq!(table(&[("x".to_owned(), &scores)]), want);
    }

    #[test]
    fn a_value_that_one_system_lacks_is_a_dash() {
        let (without, mut with) = (scores(), scores());
        with.perplexity = Some(29.8);
        let text = table(&[("é".to_owned(), &without), ("long name".to_owned(), &with)]);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].ends_with("  perplexity"));
        assert!(lines[1].starts_with("é          66.67") && lines[1].ends_with("           -"));
        assert!(lines[2].ends_with("       29.80"));
        let widths: Vec<_> = lines.iter().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|&width| width == widths[0]));
    }

    #[test]
    fn no_rows_no_text() {
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn details_name_every_score() {
        let text = details(&scores());
        assert!(text.contains("\nf1 ") && text.contains("66.6667\n"));
        let line = |name: &str| {
            text.lines()
                .find(|line| line.split_whitespace().next() == Some(name))
                .and_then(|line| line.split_whitespace().nth(1))
        };
        assert_eq!(line("replies"), Some("1"));
        assert_eq!(line("macro_f_over"), Some("occurring"));
        assert_eq!(line("ead_4"), Some("-"));
        assert_eq!(line("length_median"), Some("3.0000"));
    }
}
