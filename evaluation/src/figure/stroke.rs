//! How a line looks: colour, dashes, width.

/// A colour, red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

impl Colour {
    /// Colours that readers with any colour vision can tell apart on white (Okabe and Ito, 2008; their yellow is too
    /// light for a line).
    pub const PALETTE: [Self; 7] = [
        Self(0, 114, 178),
        Self(213, 94, 0),
        Self(0, 158, 115),
        Self(204, 121, 167),
        Self(86, 180, 233),
        Self(230, 159, 0),
        Self(0, 0, 0),
    ];
    /// For what stands for no curve of its own, such as the dashes in a legend.
    pub const INK: Self = Self(64, 64, 64);
    /// The background.
    pub const WHITE: Self = Self(255, 255, 255);
    /// For a curve that others are compared with.
    pub const REFERENCE: Self = Self(170, 170, 170);

    /// The colour of curve number `index`; after the last of the palette, the first again.
    pub fn of(index: usize) -> Self {
        Self::PALETTE[index % Self::PALETTE.len()]
    }

    /// The colour `share` of the way to another: 0 is this one, 1 the other.
    pub fn towards(self, other: Self, share: f64) -> Self {
        let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share).round() as u8;
        Self(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }
}

/// Whether a line is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dash {
    /// It is not.
    Solid,
    /// Long dashes.
    Dashed,
    /// Dots.
    Dotted,
}

impl Dash {
    /// Length of a dash and of a gap, in CSS pixels.
    pub(super) fn lengths(self) -> Option<(f64, f64)> {
        match self {
            Self::Solid => None,
            Self::Dashed => Some((8.0, 4.0)),
            Self::Dotted => Some((2.0, 3.0)),
        }
    }
}

/// Colour, dashes and width of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stroke {
    /// Its colour.
    pub colour: Colour,
    /// Its dashes.
    pub dash: Dash,
    /// Its width in CSS pixels.
    pub width: f64,
}

impl Stroke {
    /// An uninterrupted line of the usual width.
    pub fn solid(colour: Colour) -> Self {
        Self { colour, dash: Dash::Solid, width: 1.8 }
    }

    /// The same with dashes.
    pub fn dashed(self, dash: Dash) -> Self {
        Self { dash, ..self }
    }

    /// The line of curve number `index`: the colours of the palette, then again with dashes, then dotted.
    pub fn of(index: usize) -> Self {
        let dashes = [Dash::Solid, Dash::Dashed, Dash::Dotted];
        Self::solid(Colour::of(index)).dashed(dashes[index / Colour::PALETTE.len() % dashes.len()])
    }

    /// A line so wide that a legend's sample of it is a patch of its colour, for what is filled.
    pub fn patch(colour: Colour) -> Self {
        Self { colour, dash: Dash::Solid, width: 11.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_mixed() {
        let blue = Colour(0, 100, 200);
        assert_eq!(blue.towards(Colour::WHITE, 0.0), blue);
        assert_eq!(blue.towards(Colour::WHITE, 1.0), Colour::WHITE);
        assert_eq!(blue.towards(Colour(10, 0, 200), 0.5), Colour(5, 50, 200));
    }

    #[test]
    fn curves_beyond_the_palette_are_told_apart_by_dashes() {
        let strokes: Vec<Stroke> = (0..21).map(Stroke::of).collect();
        assert_eq!(strokes[7], Stroke::solid(Colour::of(0)).dashed(Dash::Dashed));
        for (at, stroke) in strokes.iter().enumerate() {
            assert!(!strokes[..at].contains(stroke));
        }
    }
}
