//! The outlines of the classes. Places and lengths are in sixteenths of a pixel.

use super::draws::Draws;

/// Units of length in a pixel.
pub(super) const UNIT: i32 = 16;

/// The border of a shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outline {
    /// Straight sides, the last corner joined to the first.
    Polygon(Vec<[i32; 2]>),
    /// A disc less another; one of radius 0 has nothing in it.
    Round { centre: [i32; 2], radius: i32, hole: [i32; 2], hole_radius: i32 },
}

/// Corners of the polygons, within a circle of radius 1024 about the origin.
const SQUARE: [[i32; 2]; 4] = [[-720, -720], [720, -720], [720, 720], [-720, 720]];
const TRIANGLE: [[i32; 2]; 3] = [[0, -1024], [887, 512], [-887, 512]];
const BAR: [[i32; 2]; 4] = [[-980, -290], [980, -290], [980, 290], [-980, 290]];
const STAR: [[i32; 2]; 10] = [
    [0, -1024],
    [253, -348],
    [974, -316],
    [409, 133],
    [602, 828],
    [0, 430],
    [-602, 828],
    [-409, 133],
    [-974, -316],
    [-253, -348],
];
const CROSS: [[i32; 2]; 12] = [
    [-280, -980],
    [280, -980],
    [280, -280],
    [980, -280],
    [980, 280],
    [280, 280],
    [280, 980],
    [-280, 980],
    [-280, 280],
    [-980, 280],
    [-980, -280],
    [-280, -280],
];

impl Outline {
    /// The outline of `class` within a circle, turned by up to 28 degrees; bars lie or stand.
    pub fn of_class(class: usize, centre: [i32; 2], radius: i32, draws: &mut Draws) -> Self {
        // A rational point of the circle, (1 − t²)/(1 + t²) and 2t/(1 + t²) with t = k/16.
        let k = draws.within(-4, 4);
        let norm = 256 + k * k;
        let upright = [(256 - k * k) * 4096 / norm, 32 * k * 4096 / norm];
        let axis = if class == 7 && draws.once_in(2) { [-upright[1], upright[0]] } else { upright };
        let place = |[x, y]: [i32; 2]| {
            let turned = [x * axis[0] - y * axis[1], x * axis[1] + y * axis[0]];
            // Corners have 10 bits, the axis 12, a radius up to 14.
            let scaled = turned.map(|side| ((i64::from(side) * i64::from(radius)) >> 22) as i32);
            [centre[0] + scaled[0], centre[1] + scaled[1]]
        };
        let round = |hole, hole_radius| Self::Round { centre, radius, hole, hole_radius };
        let polygon = |corners: &[[i32; 2]]| Self::Polygon(corners.iter().copied().map(place).collect());
        match class {
            0 => round(centre, 0),
            1 => polygon(&SQUARE),
            2 => polygon(&TRIANGLE),
            3 => polygon(&STAR),
            4 => polygon(&CROSS),
            5 => round(centre, radius * 9 / 16),
            6 => round(place([420, 0]), radius * 13 / 16),
            _ => polygon(&BAR),
        }
    }

    /// Whether a place is within.
    pub fn contains(&self, x: i32, y: i32) -> bool {
        let near = |[u, v]: [i32; 2], radius: i32| (x - u) * (x - u) + (y - v) * (y - v) < radius * radius;
        match self {
            Self::Round { centre, radius, hole, hole_radius } => near(*centre, *radius) && !near(*hole, *hole_radius),
            Self::Polygon(corners) => {
                // A ray to the right crosses the border an odd number of times.
                let mut inside = false;
                let mut from = corners[corners.len() - 1];
                for &to in corners {
                    if (from[1] > y) != (to[1] > y) {
                        let across = (x - from[0]) * (to[1] - from[1]);
                        let along = (to[0] - from[0]) * (y - from[1]);
                        inside ^= if to[1] > from[1] { across < along } else { across > along };
                    }
                    from = to;
                }
                inside
            }
        }
    }

    /// Pixels that it may touch: first column, first row, and the column and row after the last.
    pub fn extent(&self) -> [i32; 4] {
        let (low, high) = match self {
            Self::Round { centre: [x, y], radius, .. } => ([x - radius, y - radius], [x + radius, y + radius]),
            Self::Polygon(corners) => corners.iter().fold(([i32::MAX; 2], [i32::MIN; 2]), |(low, high), [x, y]| {
                ([low[0].min(*x), low[1].min(*y)], [high[0].max(*x), high[1].max(*y)])
            }),
        };
        [low[0].div_euclid(UNIT), low[1].div_euclid(UNIT), high[0].div_euclid(UNIT) + 1, high[1].div_euclid(UNIT) + 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outlines_contain_what_they_should() {
        let mut draws = Draws::new(0, b"test    ", 0);
        // (class, places within, places without), in parts of the radius, right at any angle that is drawn.
        type Places = &'static [[i32; 2]];
        let cases: [(usize, Places, Places); 8] = [
            (0, &[[0, 0], [95, 0], [-60, -60]], &[[105, 0], [80, 80]]),
            (1, &[[0, 0], [60, 0], [0, -60]], &[[0, 102], [-102, 0]]),
            (2, &[[0, 0], [0, 40], [0, -40]], &[[-70, -60], [70, -60]]),
            (3, &[[0, 0], [0, -40], [30, 0]], &[[0, 105], [-105, 0]]),
            (4, &[[0, 0], [0, 50], [-50, 0]], &[[70, 70], [-70, 70]]),
            (5, &[[70, 0], [0, -70]], &[[0, 0], [30, 30], [105, 0]]),
            (6, &[[-80, 0]], &[[0, 0], [60, 0], [105, 0]]),
            (7, &[[0, 0]], &[[70, 70], [-70, 70]]),
        ];
        for _ in 0..50 {
            for (class, within, without) in cases {
                let outline = Outline::of_class(class, [800, 640], 320, &mut draws);
                let [left, top, right, bottom] = outline.extent();
                assert!(left >= 29 && top >= 19 && right <= 72 && bottom <= 62, "class {class}");
                for ([x, y], expected) in
                    within.iter().map(|place| (place, true)).chain(without.iter().map(|place| (place, false)))
                {
                    let found = outline.contains(800 + x * 320 / 100, 640 + y * 320 / 100);
                    assert_eq!(found, expected, "class {class} at {x}, {y}: {outline:?}");
                }
            }
        }
    }
}
