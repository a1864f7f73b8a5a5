//! Curves of losses as a figure: loss and likelihood gradient over p (after the paper's Figures 1 and 2, left).

use imbalance_core::ClassCounts;
use imbalance_evaluation::figure::{Axis, Colour, Dash, Key, Line, Panel, Stroke};

use super::curve::Curve;

/// The curves of one loss, one for each class that is shown, in the order of [`DASHES`].
#[derive(Clone, Debug)]
pub struct LossCurves {
    /// Its name in the legend.
    pub name: String,
    /// Its curves.
    pub curves: Vec<Curve>,
    /// Its colour.
    pub colour: Colour,
}

/// How the first, second and third class are drawn.
pub const DASHES: [Dash; 3] = [Dash::Solid, Dash::Dashed, Dash::Dotted];

/// What is shown over p.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// ℓ
    Loss,
    /// ∂ℓ/∂p
    Gradient,
}

impl Quantity {
    fn of(self, curve: &Curve) -> &[f64] {
        match self {
            Self::Loss => &curve.loss,
            Self::Gradient => &curve.gradient,
        }
    }

    /// Where curves have poles at 0 and 1: likelihoods nearer to them than the first do not decide the range of the
    /// axis, nor values beyond the second, unless they are those of the middle.
    fn bounds(self) -> (f64, f64) {
        match self {
            Self::Loss => (0.02, 6.0),
            Self::Gradient => (0.1, 10.0),
        }
    }

    fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Loss => ("Loss", "loss ℓ"),
            Self::Gradient => ("Likelihood gradient", "gradient ∂ℓ/∂p"),
        }
    }
}

impl LossCurves {
    /// Whether all its classes have one curve.
    fn alike(&self) -> bool {
        self.curves.windows(2).all(|pair| {
            let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-9 * (1.0 + a.abs()));
            near(&pair[0].loss, &pair[1].loss) && near(&pair[0].gradient, &pair[1].gradient)
        })
    }

    /// Curves that can be told apart, and their dashes.
    fn shown(&self) -> impl Iterator<Item = (&Curve, Dash)> {
        let count = if self.alike() { 1 } else { self.curves.len() };
        self.curves.iter().zip(DASHES).take(count)
    }
}

/// The panel of `quantity`, `reference` in grey behind the others. `range` is that of the vertical axis; by default it
/// is chosen so that the middle of every curve shows.
pub fn panel(quantity: Quantity, losses: &[LossCurves], reference: Option<&Curve>, range: Option<(f64, f64)>) -> Panel {
    let curves = || losses.iter().flat_map(|loss| &loss.curves).chain(reference);
    let (low, high) = range.unwrap_or_else(|| chosen_range(quantity, curves()));
    let line = |curve: &Curve, stroke| Line {
        points: curve.p.iter().copied().zip(quantity.of(curve).iter().copied()).collect(),
        stroke,
    };
    let mut lines: Vec<Line> =
        reference.map(|curve| line(curve, Stroke::solid(Colour::REFERENCE))).into_iter().collect();
    for loss in losses {
        lines.extend(loss.shown().map(|(curve, dash)| line(curve, Stroke::solid(loss.colour).dashed(dash))));
    }
    let (title, label) = quantity.labels();
    Panel {
        title: title.to_owned(),
        note: clip_note(quantity, curves(), low, high),
        lines,
        ..Panel::new(Axis::linear("likelihood p of the true class", 0.0, 1.0), Axis::linear(label, low, high))
    }
}

/// Shows the half of every curve around p = ½, and of the ends what the quantity's bounds allow.
fn chosen_range<'a>(quantity: Quantity, curves: impl Iterator<Item = &'a Curve>) -> (f64, f64) {
    let (edge, bound) = quantity.bounds();
    let (mut low, mut high) = (0.0_f64, 0.0_f64);
    for curve in curves {
        for (p, &value) in curve.p.iter().zip(quantity.of(curve)) {
            if (edge..=1.0 - edge).contains(p) {
                let middle = (0.25..=0.75).contains(p);
                let shown = if middle { value } else { value.clamp(-bound, bound) };
                (low, high) = (low.min(shown), high.max(shown));
            }
        }
    }
    if low == high {
        return (-1.0, 1.0);
    }
    // Out to whole steps, of which there are five to twelve.
    let rough = (high - low) / 6.0;
    let decade = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].map(|digit| digit * decade).into_iter().rfind(|step| *step <= rough).unwrap_or(decade);
    ((low / step).floor() * step, (high / step).ceil() * step)
}

/// Says which curves' ends the axis leaves out, if any.
fn clip_note<'a>(quantity: Quantity, curves: impl Iterator<Item = &'a Curve>, low: f64, high: f64) -> String {
    let (mut left, mut right) = (false, false);
    for curve in curves {
        for (p, value) in curve.p.iter().zip(quantity.of(curve)) {
            if !(low..=high).contains(value) {
                (left, right) = (left || *p < 0.5, right || *p >= 0.5);
            }
        }
    }
    let where_to = match (left, right) {
        (false, false) => return String::new(),
        (true, false) => "p → 0",
        (false, true) => "p → 1",
        (true, true) => "p → 0 and p → 1",
    };
    format!("axis clipped; curves go on beyond it towards {where_to}")
}

/// The legend: a row of losses, a row of classes.
pub fn legend(losses: &[LossCurves], classes: &[u32], counts: &ClassCounts, reference: Option<&str>) -> Vec<Vec<Key>> {
    let solid = |text: String, colour| Key { text, stroke: Stroke::solid(colour) };
    let mut of_losses: Vec<Key> = Vec::new();
    for loss in losses {
        let alike = classes.len() > 1 && loss.alike();
        let suffix = if alike { " (all classes alike)" } else { "" };
        of_losses.push(solid(format!("{}{suffix}", loss.name), loss.colour));
    }
    of_losses.extend(reference.map(|name| solid(name.to_owned(), Colour::REFERENCE)));
    let mut of_classes = Vec::new();
    for (&class, dash) in classes.iter().zip(DASHES) {
        let examples = counts.as_slice().get(class as usize).copied().unwrap_or(0);
        let text = format!("class {class} ({} example{})", grouped(examples), if examples == 1 { "" } else { "s" });
        of_classes.push(Key { text, stroke: Stroke::solid(Colour::INK).dashed(dash) });
    }
    // Where no loss tells classes apart, their dashes would only puzzle.
    let told_apart = losses.is_empty() || losses.iter().any(|loss| classes.len() < 2 || !loss.alike());
    if told_apart { vec![of_losses, of_classes] } else { vec![of_losses] }
}

/// 12345 as 12,345.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(loss: impl Fn(f64) -> f64) -> Curve {
        let p: Vec<f64> = (1..100).map(|i| f64::from(i) / 100.0).collect();
        let (loss, gradient) = p.iter().map(|&p| (loss(p), 0.0)).unzip();
        Curve { loss, gradient, log_odds: vec![0.0; p.len()], p }
    }

    fn curves(of: &[Curve]) -> LossCurves {
        LossCurves { name: "x".to_owned(), curves: of.to_vec(), colour: Colour::of(0) }
    }

    #[test]
    fn the_axis_is_clipped_where_curves_diverge_and_says_so() {
        let diverging = [curves(&[curve(|p| -p.ln())])];
        let shown = panel(Quantity::Loss, &diverging, None, None);
        // −log .02 = 3.9 in steps of a half, so the axis ends at 4, below −log .01 = 4.6.
        assert_eq!((shown.y.low, shown.y.high), (0.0, 4.0));
        assert_eq!(shown.note, "axis clipped; curves go on beyond it towards p → 0");
        let shown = panel(Quantity::Loss, &diverging, None, Some((-1.0, 5.0)));
        assert_eq!((shown.y.low, shown.y.high, shown.note.as_str()), (-1.0, 5.0, ""));
        let nothing = panel(Quantity::Gradient, &diverging, None, None);
        assert_eq!((nothing.y.low, nothing.y.high, nothing.note.as_str()), (-1.0, 1.0, ""));
    }

    #[test]
    fn the_middle_of_every_curve_shows() {
        // ±250 at p = ¼ and ¾, ±480 at .02 and .98.
        let steep = [curves(&[curve(|p| 1000.0 * (0.5 - p))])];
        let shown = panel(Quantity::Loss, &steep, None, None);
        assert_eq!((shown.y.low, shown.y.high), (-250.0, 250.0));
        assert!(shown.note.ends_with("p → 0 and p → 1"));
    }

    #[test]
    fn classes_with_one_curve_are_drawn_once_and_named_alike() {
        let counts = ClassCounts::new(vec![12_345, 1]).unwrap();
        let same = curves(&[curve(|p| p), curve(|p| p)]);
        let differing = curves(&[curve(|p| p), curve(|p| 2.0 * p)]);
        let losses = [same.clone(), differing];
        assert_eq!(panel(Quantity::Loss, &losses, None, None).lines.len(), 3);
        let texts: Vec<Vec<String>> = legend(&losses, &[0, 1], &counts, Some("r"))
            .into_iter()
            .map(|row| row.into_iter().map(|key| key.text).collect())
            .collect();
        assert_eq!(
            texts,
            [
                ["x (all classes alike)", "x", "r"].map(str::to_owned).to_vec(),
                vec!["class 0 (12,345 examples)".to_owned(), "class 1 (1 example)".to_owned()]
            ]
        );
        assert_eq!(legend(&[same], &[0, 1], &counts, None).len(), 1);
    }
}
