//! The confusion matrix as a heat map.

use super::PlotError;
use crate::figure::{Axis, Block, Colour, Figure, Grid, Key, Panel, Place, Stroke, Text};
use crate::longtail::LongTailScores;
use crate::longtail::groups::by_frequency;
use crate::plot::shortened;

/// More rows than this are merged.
const ROWS: usize = 100;
/// Up to so many rows have their names and numbers.
const NAMED: usize = 20;
/// The longest name of a class that is shown whole, in letters.
const NAME: usize = 12;
/// Wide enough for the note.
const WIDTH: usize = 400;
const DARK: Colour = Colour(8, 48, 107);

/// Draws which classes are taken for which, from the class with the most training images to the one with the fewest: a row
/// for each true class, its cells the shares of its test images, so that a tail taken for the head darkens the left. Of
/// more than 100 classes, neighbours are merged. Darkness is the square root of the share, to show rare mistakes.
///
/// # Shapes
/// - `class_names`: `[classes]`; empty for their indices
///
/// # Errors
/// Names of other classes than there are.
pub fn confusion_figure(title: &str, scores: &LongTailScores, class_names: &[String]) -> Result<Figure, PlotError> {
    let classes = scores.confusion.classes;
    if !(class_names.is_empty() || class_names.len() == classes) {
        return Err(PlotError::Names { names: class_names.len(), classes });
    }
    let counts: Vec<u64> = scores.per_class.iter().map(|class| class.train_images).collect();
    let order = by_frequency(&counts);
    let merged = classes.div_ceil(ROWS);
    let rows = classes.div_ceil(merged);
    let shares = merged_shares(scores, &order, merged, rows);

    let labels: Vec<(usize, String)> = if rows <= NAMED {
        order.iter().enumerate().map(|(row, &class)| (row, name(class_names, class))).collect()
    } else {
        let at = |tick: usize| tick * (rows - 1) / 5;
        (0..=5).map(at).map(|row| (row, counts[order[row * merged]].to_string())).collect()
    };
    let longest = labels.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0);
    // Whole pixels, so that no seams show between cells.
    let across = if rows <= NAMED { longest * 8 + 6 } else { 0 }.max(WIDTH.div_ceil(rows));
    let down = if rows <= NAMED { 34.max(200 / rows) } else { across };
    let what = if rows <= NAMED { "" } else { " (numbers: its training images)" };
    let ticks = |place: fn(usize, usize) -> f64| -> Vec<(f64, String)> {
        labels.iter().map(|(row, label)| (place(*row, rows), label.clone())).collect()
    };
    let axis = |label: &str| Axis::linear(format!("{label} class{what}"), 0.0, rows as f64);
    let x = axis("predicted").with_ticks(ticks(|row, _| row as f64 + 0.5));
    // The first row is the highest.
    let y = axis("true").with_ticks(ticks(|row, rows| (rows - row) as f64 - 0.5));
    let mut panel = Panel { grid: Grid::None, note: note(merged), ..Panel::new(x, y) };
    for (row, column, share) in shares {
        let (left, top) = (column as f64, (rows - row) as f64);
        panel.blocks.push(Block { x: (left, left + 1.0), y: (top - 1.0, top), fill: fill(share) });
        if rows <= NAMED {
            panel.texts.push(Text {
                at: (left + 0.5, top - 0.5),
                text: percent(share),
                size: 11.0,
                colour: if share > 0.25 { Colour::WHITE } else { Colour(0, 0, 0) },
                place: Place::Centre,
            });
        }
    }
    let key = |share: f64| Key { text: format!("{} %", 100.0 * share), stroke: Stroke::patch(fill(share)) };
    Ok(Figure {
        title: title.to_owned(),
        panels: vec![panel],
        panel_size: ((across * rows) as u32, (down * rows) as u32),
        legend: vec![[0.01, 0.05, 0.2, 0.5, 1.0].map(key).to_vec()],
        ..Figure::default()
    })
}

/// Row, column and share of the row's images, of cells that have any; classes in `order`, `merged` to a row.
fn merged_shares(scores: &LongTailScores, order: &[usize], merged: usize, rows: usize) -> Vec<(usize, usize, f64)> {
    let mut row_of = vec![0; order.len()];
    for (place, &class) in order.iter().enumerate() {
        row_of[class] = place / merged;
    }
    let mut images = vec![0_u64; rows * rows];
    for (label, predicted, count) in scores.confusion.pairs() {
        images[row_of[label] * rows + row_of[predicted]] += count;
    }
    let mut shares = Vec::new();
    for (row, cells) in images.chunks(rows.max(1)).enumerate() {
        let sum: u64 = cells.iter().sum();
        let shown = cells.iter().enumerate().filter(|(_, count)| **count > 0);
        shares.extend(shown.map(|(column, &count)| (row, column, count as f64 / sum as f64)));
    }
    shares
}

fn fill(share: f64) -> Colour {
    Colour::WHITE.towards(DARK, share.sqrt())
}

fn percent(share: f64) -> String {
    match 100.0 * share {
        percent if percent < 1.0 => "<1".to_owned(),
        percent => format!("{percent:.0}"),
    }
}

fn name(names: &[String], class: usize) -> String {
    names.get(class).map_or_else(|| class.to_string(), |name| shortened(name, NAME))
}

fn note(merged: usize) -> String {
    match merged {
        1 => "% of the test images of each true class; most training images first".to_owned(),
        _ => format!("% of a row's test images; {merged} classes a row, most training images first"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::longtail::{Groups, Predictions, score};

    fn scores(classes: usize, labels: &[usize], predicted: &[usize], counts: &[u64]) -> LongTailScores {
        let mut probabilities = vec![0.0; classes * labels.len()];
        for (row, class) in predicted.iter().enumerate() {
            probabilities[row * classes + class] = 1.0;
        }
        let predictions = Predictions::from_probabilities(classes, probabilities, labels.to_vec()).unwrap();
        score(&predictions, counts, &Groups::default()).unwrap()
    }

    #[test]
    fn cells_are_shares_of_the_true_class_by_frequency() {
        // Class 1 has the most training images: it is row and column 0.
        let scores = scores(3, &[0, 0, 0, 0, 1], &[1, 1, 1, 0, 1], &[10, 500, 10]);
        let figure = confusion_figure("CE", &scores, &["cat", "a long-haired dog", "owl"].map(str::to_owned)).unwrap();
        let panel = &figure.panels[0];
        let cells: Vec<_> = panel.blocks.iter().map(|block| (block.x.0, block.y.1, block.fill)).collect();
        assert_eq!(cells, [(0.0, 3.0, fill(1.0)), (0.0, 2.0, fill(0.75)), (1.0, 2.0, fill(0.25))]);
        assert_eq!(panel.texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>(), ["100", "75", "25"]);
        let names: Vec<_> = panel.y.ticks.iter().map(|(at, name)| (*at, name.as_str())).collect();
        assert_eq!(names, [(2.5, "a long-hair…"), (1.5, "cat"), (0.5, "owl")]);
        let wrong = confusion_figure("", &scores, &["cat".to_owned()]);
        assert_eq!(wrong, Err(PlotError::Names { names: 1, classes: 3 }));
    }

    #[test]
    fn many_classes_are_merged() {
        // Class c and c + 1 of 250: three to a row.
        let labels: Vec<usize> = (0..249).collect();
        let predicted: Vec<usize> = (1..250).collect();
        let counts: Vec<u64> = (0..250).rev().map(|count| count + 1).collect();
        let figure = confusion_figure("", &scores(250, &labels, &predicted, &counts), &[]).unwrap();
        let panel = &figure.panels[0];
        assert_eq!(panel.x.high, 84.0);
        // Of each row two images stay and one goes a column further.
        assert_eq!(panel.blocks[0].fill, fill(2.0 / 3.0));
        assert_eq!(panel.blocks[1].fill, fill(1.0 / 3.0));
        assert_eq!(panel.x.ticks.iter().map(|(_, count)| count.as_str()).collect::<Vec<_>>()[0], "250");
        assert!(panel.texts.is_empty() && panel.note.contains("; 3 classes a row,"));
    }

    #[test]
    fn shares_are_written_short() {
        assert_eq!([0.001, 0.0099, 0.01, 0.996, 1.0].map(percent), ["<1", "<1", "1", "100", "100"]);
    }
}
