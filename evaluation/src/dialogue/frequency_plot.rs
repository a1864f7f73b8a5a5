//! Word frequency against rank, on logarithmic axes: how long the tail of a set of replies is (after the paper's
//! Figure 7, which shows the words of ConvAI2).

use std::collections::HashMap;
use std::path::Path;

use super::interner::Interner;
use super::text::tokenise;
use crate::figure::{Axis, Colour, Figure, FigureError, Format, Key, Line, Panel, Stroke};

/// One line of the picture: the tokens of each word type of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrequencySeries {
    /// Name in the legend.
    pub name: String,
    /// Count of each type, in any order; zeros are ignored.
    pub counts: Vec<u64>,
}

impl FrequencySeries {
    /// Counts the tokens ([`tokenise`]) of texts.
    pub fn from_texts<T: AsRef<str>>(name: impl Into<String>, texts: impl IntoIterator<Item = T>) -> Self {
        let mut interner = Interner::default();
        let mut counts: Vec<u64> = Vec::new();
        for text in texts {
            for token in tokenise(text.as_ref()) {
                let id = interner.intern(&token) as usize;
                counts.resize(counts.len().max(id + 1), 0);
                counts[id] += 1;
            }
        }
        Self { name: name.into(), counts }
    }

    /// Takes counts made elsewhere, such as those of the training replies.
    pub fn from_counts(name: impl Into<String>, counts: &HashMap<String, u64>) -> Self {
        Self { name: name.into(), counts: counts.values().copied().collect() }
    }

    /// Frequencies from the most frequent type on, as (rank, frequency), ranks from 1.
    ///
    /// Of a run of equal frequencies only the two ends are kept: the line is the same, and the picture of a vocabulary
    /// of 20,000 types, most of them seen once or twice, stays small.
    fn points(&self) -> Vec<(f64, f64)> {
        let mut counts: Vec<u64> = self.counts.iter().copied().filter(|&count| count > 0).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let inside_run =
            |i: usize| i > 0 && i + 1 < counts.len() && counts[i - 1] == counts[i] && counts[i] == counts[i + 1];
        (0..counts.len()).filter(|&i| !inside_run(i)).map(|i| ((i + 1) as f64, counts[i] as f64)).collect()
    }
}

/// Why a picture was not made.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// There is nothing to draw.
    #[error("the word-frequency picture needs at least one series")]
    NoSeries,
    /// The file's name or the file.
    #[error(transparent)]
    Figure(#[from] FigureError),
}

/// Draws frequency against rank, both logarithmic, a line for each series, into an SVG or PNG file.
///
/// A series without words, of a model whose replies are all empty, is there by name. The bytes depend on the series alone. An existing file is replaced; on an error nothing is left behind.
///
/// # Errors
/// No series; a file name that ends in neither `.svg` nor `.png`; a file that cannot be written.
pub fn plot_word_frequencies(series: &[FrequencySeries], path: &Path) -> Result<(), PlotError> {
    Format::of(path)?;
    Ok(figure(series)?.write(path)?)
}

fn figure(series: &[FrequencySeries]) -> Result<Figure, PlotError> {
    if series.is_empty() {
        return Err(PlotError::NoSeries);
    }
    // A logarithmic axis needs room: a text of one word would give the range 1 to 1.
    let (mut ranks, mut largest) = (10.0_f64, 10.0_f64);
    let (mut lines, mut legend) = (Vec::new(), Vec::new());
    for (at, one) in series.iter().enumerate() {
        let points = one.points();
        let stroke = Stroke::solid(Colour::of(at));
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            legend.push(Key { text: format!("{}: no words", one.name), stroke });
            continue;
        };
        (ranks, largest) = (ranks.max(last.0), largest.max(first.1));
        lines.push(Line { points, stroke });
        legend.push(Key { text: one.name.clone(), stroke });
    }
    let x = Axis::log("rank of the word type", 0.9, ranks * 1.2);
    let y = Axis::log("frequency (tokens)", 0.8, largest * 1.5);
    Ok(Figure {
        panels: vec![Panel { lines, ..Panel::new(x, y) }],
        panel_size: (640, 420),
        legend: vec![legend],
        ..Figure::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, counts: &[u64]) -> FrequencySeries {
        FrequencySeries { name: name.to_owned(), counts: counts.to_vec() }
    }

    #[test]
    fn points_are_ranked_and_runs_are_shortened() {
        let points = series("x", &[1, 7, 0, 1, 3, 1, 1]).points();
        assert_eq!(points, [(1.0, 7.0), (2.0, 3.0), (3.0, 1.0), (6.0, 1.0)]);
    }

    #[test]
    fn texts_are_counted_by_token() {
        let mut counts = FrequencySeries::from_texts("x", ["The cat.", "the dog ."]).counts;
        counts.sort_unstable();
        assert_eq!(counts, [1, 1, 2, 2]);
    }

    #[test]
    fn the_picture_shows_every_series_and_is_the_same_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.svg");
        let lines = [series("training <replies>", &[100, 50, 20, 5, 1, 1]), series("generated", &[40])];
        plot_word_frequencies(&lines, &path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("training &lt;replies&gt;") && svg.contains("generated"));
        assert!(svg.contains("rank of the word type") && svg.contains("frequency (tokens)"));
        // One line each in its colour, the single point as a dot.
        assert!(svg.contains("stroke=\"#0072B2\"") && svg.contains("fill=\"#D55E00\""));
        plot_word_frequencies(&lines, &path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), svg);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_series_without_words_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.svg");
        plot_word_frequencies(&[series("silent", &[0]), series("generated", &[40, 2])], &path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.contains("silent: no words") && svg.contains("generated") && !svg.contains("generated: no words"));
        plot_word_frequencies(&[series("silent", &[])], &path).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("silent: no words"));
    }

    #[test]
    fn what_cannot_be_drawn_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.svg");
        assert!(matches!(plot_word_frequencies(&[], &path), Err(PlotError::NoSeries)));
        let one = [series("one", &[1])];
        let wrong = |name: &str| match plot_word_frequencies(&one, &folder.path().join(name)) {
            Err(PlotError::Figure(error)) => error,
            other => panic!("{other:?}"),
        };
        assert!(matches!(wrong("words.pdf"), FigureError::Extension { .. }));
        assert!(matches!(wrong("no/such/words.svg"), FigureError::Write { .. }));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
