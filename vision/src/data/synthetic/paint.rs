//! Colours, and patterns of them.

use super::Draws;

/// Red, green, blue.
pub(super) type Colour = [i32; 3];

/// Any colour.
pub(super) fn any_colour(draws: &mut Draws) -> Colour {
    std::array::from_fn(|_| draws.within(0, 255))
}

/// The colours of shapes, each of them usual for one class.
pub(super) const PALETTE: [Colour; 10] = [
    [225, 50, 50],
    [235, 140, 35],
    [225, 215, 45],
    [115, 205, 45],
    [40, 165, 85],
    [45, 200, 205],
    [55, 95, 225],
    [140, 65, 215],
    [225, 75, 200],
    [245, 165, 175],
];

/// A colour within `by` of `colour` in each channel.
fn near(colour: Colour, by: i32, draws: &mut Draws) -> Colour {
    colour.map(|channel| (channel + draws.within(-by, by)).clamp(0, 255))
}

/// What fills an area. Widths are in sixteenths of a pixel.
#[derive(Clone, Copy)]
pub(super) enum Pattern {
    /// One colour.
    Plain,
    /// Stripes across the first axis.
    Stripes { width: i32 },
    /// Squares.
    Checks { width: i32 },
    /// From one colour to the other along the first axis, over the image.
    Gradient,
}

/// A pattern of two colours.
pub(super) struct Paint {
    pub pattern: Pattern,
    pub colours: [Colour; 2],
    /// Where the pattern starts.
    pub offset: [i32; 2],
}

impl Paint {
    /// Two similar greys in any pattern, coarser than that of the shapes.
    pub fn background(draws: &mut Draws) -> Self {
        let width = draws.within(56, 160);
        let pattern = match draws.within(0, 3) {
            0 => Pattern::Plain,
            1 => Pattern::Stripes { width },
            2 => Pattern::Checks { width },
            _ => Pattern::Gradient,
        };
        let grey = [draws.within(30, 225); 3];
        Self { pattern, colours: [near(grey, 25, draws), near(grey, 40, draws)], offset: offset(draws) }
    }

    /// Nearly this colour, and black or white.
    pub fn shape(pattern: Pattern, colour: Colour, draws: &mut Draws) -> Self {
        let other = if draws.once_in(2) { [25; 3] } else { [240; 3] };
        Self { pattern, colours: [near(colour, 30, draws), near(other, 25, draws)], offset: offset(draws) }
    }

    /// The colour at a place, in sixteenths of a pixel.
    pub fn at(&self, x: i32, y: i32) -> Colour {
        let [first, second] = self.colours;
        let (x, y) = (x + self.offset[0], y + self.offset[1]);
        let odd = match self.pattern {
            Pattern::Plain => false,
            Pattern::Stripes { width } => x.div_euclid(width) & 1 == 1,
            Pattern::Checks { width } => (x.div_euclid(width) + y.div_euclid(width)) & 1 == 1,
            Pattern::Gradient => {
                let share = x.clamp(0, 511);
                return std::array::from_fn(|c| (first[c] * (511 - share) + second[c] * share) / 511);
            }
        };
        if odd { second } else { first }
    }
}

fn offset(draws: &mut Draws) -> [i32; 2] {
    [draws.within(0, 255), draws.within(0, 255)]
}
