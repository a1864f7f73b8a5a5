//! Word frequency against rank, on logarithmic axes: how long the tail of a set of replies is (after the paper's
//! Figure 7, which shows the words of ConvAI2).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::interner::Interner;
use super::text::tokenise;

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
    /// A series has no words.
    #[error("the word-frequency picture cannot show {name:?}: it has no words")]
    EmptySeries {
        /// The series.
        name: String,
    },
    /// Another format is asked for.
    #[error("cannot write a picture to {}: the file name must end in .svg", path.display())]
    NotSvg {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The drawing library failed.
    #[error("cannot draw the word-frequency picture: {0}")]
    Draw(String),
}

/// Draws frequency against rank, both logarithmic, a line for each series, into an SVG file.
///
/// Text in the picture stays text (the reader's fonts), so the bytes depend on the series alone. An existing file is
/// replaced; on an error nothing is left behind.
///
/// # Errors
/// No series; a series without words; a file name that does not end in `.svg`; a file that cannot be written.
pub fn plot_word_frequencies(series: &[FrequencySeries], path: &Path) -> Result<(), PlotError> {
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg")) {
        return Err(PlotError::NotSvg { path: path.to_owned() });
    }
    let svg = draw(series)?;
    let write_error = |source| PlotError::Write { path: path.to_owned(), source };
    // Written beside its place and renamed: a full disk leaves no half picture.
    let partial = path.with_extension("svg.partial");
    let written = std::fs::write(&partial, svg).and_then(|()| std::fs::rename(&partial, path));
    written.map_err(|source| {
        let _ = std::fs::remove_file(&partial);
        write_error(source)
    })
}

/// Lines that readers with any colour vision can tell apart (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

fn draw(series: &[FrequencySeries]) -> Result<String, PlotError> {
    if series.is_empty() {
        return Err(PlotError::NoSeries);
    }
    let mut lines = Vec::with_capacity(series.len());
    for one in series {
        let points = one.points();
        if points.is_empty() {
            return Err(PlotError::EmptySeries { name: one.name.clone() });
        }
        lines.push((one.name.as_str(), points));
    }
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (800, 560)).into_drawing_area();
        draw_on(&area, &lines).map_err(|error| PlotError::Draw(error.to_string()))?;
        area.present().map_err(|error| PlotError::Draw(error.to_string()))?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw_on<'a>(area: &Area<'a>, lines: &[(&str, Vec<(f64, f64)>)]) -> Result<(), DrawError<'a>> {
    let largest = |pick: fn(&(f64, f64)) -> f64| {
        // A logarithmic axis needs room: a text of one word would give the range 1 to 1.
        lines.iter().flat_map(|(_, points)| points.iter().map(pick)).fold(10.0, f64::max)
    };
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area).margin(16).x_label_area_size(48).y_label_area_size(72).build_cartesian_2d(
        (1.0..largest(|point| point.0) * 1.2).log_scale(),
        (0.8..largest(|point| point.1) * 1.5).log_scale(),
    )?;
    chart
        .configure_mesh()
        .x_desc("rank of the word type")
        .y_desc("frequency (tokens)")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 16))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for ((name, points), &colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        // A text of one word type is a point, which a line cannot show.
        if let [point] = points[..] {
            chart.draw_series([Circle::new(point, 3, colour.filled())])?;
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.4))
        .label_font(("sans-serif", 14))
        .draw()
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
        // One line each in its colour, the single point as a circle.
        assert!(svg.contains("#0072B2") && svg.contains("#D55E00") && svg.contains("<circle"));
        plot_word_frequencies(&lines, &path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), svg);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_drawn_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.svg");
        assert!(matches!(plot_word_frequencies(&[], &path), Err(PlotError::NoSeries)));
        let empty = [series("silent", &[0])];
        let message = plot_word_frequencies(&empty, &path).unwrap_err().to_string();
        assert!(message.contains("\"silent\""));
        let one = [series("one", &[1])];
        assert!(matches!(plot_word_frequencies(&one, &folder.path().join("words.png")), Err(PlotError::NotSvg { .. })));
        assert!(matches!(
            plot_word_frequencies(&one, &folder.path().join("no/such/words.svg")),
            Err(PlotError::Write { .. })
        ));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
