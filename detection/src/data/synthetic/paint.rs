//! Colours and textures.

use super::draws::{Draws, Hash};

/// Red, green, blue.
pub(super) type Colour = [i32; 3];

/// The colours of the classes.
const PALETTE: [Colour; 8] = [
    [215, 60, 55],
    [60, 110, 225],
    [235, 200, 50],
    [60, 170, 80],
    [165, 75, 200],
    [235, 135, 45],
    [55, 200, 210],
    [235, 120, 185],
];

/// A colour for a shape: in three of four cases nearly that of its class.
pub(super) fn of_class(class: usize, draws: &mut Draws) -> Colour {
    let usual = !draws.once_in(4);
    let hue = if usual { class } else { draws.within(0, PALETTE.len() as i32 - 1) as usize };
    near(PALETTE[hue], 25, draws)
}

fn near(colour: Colour, by: i32, draws: &mut Draws) -> Colour {
    colour.map(|channel| (channel + draws.within(-by, by)).clamp(0, 255))
}

/// `share` of 256 parts of the second colour, the rest of the first.
pub(super) fn mix(first: Colour, second: Colour, share: i32) -> Colour {
    std::array::from_fn(|c| (first[c] * (256 - share) + second[c] * share) >> 8)
}

/// Two colours in a cloudy pattern: random values on a grid, in between interpolated, and half as strong on one of a third of
/// its width.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Texture {
    colours: [Colour; 2],
    /// Pixels between two places of the grid.
    cell: i32,
    hash: Hash,
}

impl Texture {
    /// Of greyish colours, for the background.
    pub fn background(draws: &mut Draws) -> Self {
        let [light, dark] = [draws.within(110, 215), draws.within(40, 140)];
        Self {
            colours: [near([light; 3], 30, draws), near([dark; 3], 30, draws)],
            cell: draws.within(9, 36),
            hash: Hash(draws.seed()),
        }
    }

    /// Of this colour and a darker one, for a shape.
    pub fn shape(colour: Colour, draws: &mut Draws) -> Self {
        Self {
            colours: [colour, colour.map(|channel| channel * 3 / 4)],
            cell: draws.within(6, 20),
            hash: Hash(draws.seed()),
        }
    }

    /// The colour of a pixel.
    pub fn at(&self, x: i32, y: i32) -> Colour {
        let coarse = self.cloud(x, y, self.cell, 0);
        let fine = self.cloud(x, y, (self.cell / 3).max(2), 1 << 40);
        mix(self.colours[0], self.colours[1], (2 * coarse + fine) / 3)
    }

    /// A value from 0 to 255.
    fn cloud(&self, x: i32, y: i32, cell: i32, salt: u64) -> i32 {
        let (column, row) = (x.div_euclid(cell), y.div_euclid(cell));
        let (across, down) = (x.rem_euclid(cell), y.rem_euclid(cell));
        // Pixels are within the image, so that neither is negative.
        let value = |column: i32, row: i32| (self.hash.at(salt + ((row as u64) << 20) + column as u64) >> 56) as i32;
        let between = |left: i32, right: i32| left * (cell - across) + right * across;
        let above = between(value(column, row), value(column + 1, row));
        let below = between(value(column, row + 1), value(column + 1, row + 1));
        (above * (cell - down) + below * down) / (cell * cell)
    }
}
