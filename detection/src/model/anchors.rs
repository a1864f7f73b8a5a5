//! Anchors: boxes of fixed shapes around every position of every level (Lin et al., 2017, section 4).

use serde::{Deserialize, Serialize};

use super::ModelError;

/// Whose rounding the anchors follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnchorRule {
    /// Sizes as they come, strides 8 to 128 (Detectron2)
    #[default]
    Detectron,
    /// Sizes cut and half sizes rounded to whole pixels, strides that divide the image by the level (torchvision)
    Torchvision,
}

/// The shapes of anchors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct AnchorConfig {
    /// Size (root of the area) of a level's smallest anchors, in pixels, by level.
    pub sizes: Vec<f64>,
    /// What a level's sizes are multiplied by.
    pub scales: Vec<f64>,
    /// Heights over widths.
    pub ratios: Vec<f64>,
    /// Rounding.
    pub rule: AnchorRule,
}

impl Default for AnchorConfig {
    fn default() -> Self {
        Self {
            sizes: vec![32.0, 64.0, 128.0, 256.0, 512.0],
            scales: vec![1.0, 2f64.powf(1.0 / 3.0), 2f64.powf(2.0 / 3.0)],
            ratios: vec![0.5, 1.0, 2.0],
            rule: AnchorRule::Detectron,
        }
    }
}

/// Pixels between positions of the finest level, P3; each further level doubles them.
const FINEST_STRIDE: usize = 8;

/// An anchor around (0, 0).
pub type AnchorShape = [f32; 4];

/// A level of the pyramid over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Rows of positions.
    pub height: usize,
    /// Positions in a row.
    pub width: usize,
    /// Pixels from row to row.
    pub stride_y: usize,
    /// Pixels from position to position.
    pub stride_x: usize,
}

impl Level {
    /// Positions.
    pub fn positions(self) -> usize {
        self.height * self.width
    }
}

/// All anchors of an image: level by level, row by row, position by position, shape by shape (ratio by ratio, then scale
/// by scale).
#[derive(Clone, Debug, PartialEq)]
pub struct Anchors {
    /// The levels, finest first.
    pub levels: Vec<Level>,
    /// The shapes of each level.
    pub shapes: Vec<Vec<AnchorShape>>,
    /// The boxes.
    pub boxes: Vec<[f32; 4]>,
}

impl AnchorConfig {
    /// Anchors at one position.
    pub fn per_position(&self) -> usize {
        self.scales.len() * self.ratios.len()
    }

    /// # Errors
    /// [`ModelError::Setting`] for nothing at all, or a number that is none above 0.
    pub fn check(&self) -> Result<(), ModelError> {
        for (name, values) in [("sizes", &self.sizes), ("scales", &self.scales), ("ratios", &self.ratios)] {
            if values.is_empty() || values.iter().any(|value| !value.is_finite() || *value <= 0.0) {
                return Err(ModelError::Setting(format!(
                    "anchor {name} are {values:?}, but should be numbers above 0"
                )));
            }
        }
        Ok(())
    }

    /// The shapes of level `index`.
    fn shapes(&self, index: usize) -> Vec<AnchorShape> {
        let size = self.sizes[index];
        let of = |ratio: f64| {
            self.scales.iter().map(move |scale| match self.rule {
                AnchorRule::Detectron => {
                    let area = (size * scale).powi(2);
                    let width = (area / ratio).sqrt();
                    let (x, y) = ((width / 2.0) as f32, (width * ratio / 2.0) as f32);
                    [-x, -y, x, y]
                }
                AnchorRule::Torchvision => {
                    // In float32, ties to even, as torchvision does it.
                    let size = (size * scale).trunc() as f32;
                    let height = (ratio as f32).sqrt();
                    let half = |factor: f32| (factor * size / 2.0).round_ties_even();
                    let (x, y) = (half(1.0 / height), half(height));
                    [-x, -y, x, y]
                }
            })
        };
        self.ratios.iter().flat_map(|&ratio| of(ratio)).collect()
    }

    /// The anchors of an image that is padded to `height × width` pixels, over levels of these `(height, width)`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if there are more levels than sizes.
    pub fn over(&self, (height, width): (usize, usize), levels: &[(usize, usize)]) -> Result<Anchors, ModelError> {
        if levels.len() != self.sizes.len() {
            let (levels, sizes) = (levels.len(), self.sizes.len());
            return Err(ModelError::Setting(format!("{levels} levels have {sizes} anchor sizes; one each is needed")));
        }
        let level = |(index, &(rows, columns)): (usize, &(usize, usize))| {
            let (stride_y, stride_x) = match self.rule {
                AnchorRule::Detectron => (FINEST_STRIDE << index, FINEST_STRIDE << index),
                AnchorRule::Torchvision => (height / rows.max(1), width / columns.max(1)),
            };
            Level { height: rows, width: columns, stride_y, stride_x }
        };
        let levels: Vec<Level> = levels.iter().enumerate().map(level).collect();
        let shapes: Vec<_> = (0..levels.len()).map(|index| self.shapes(index)).collect();
        let count = levels.iter().map(|level| level.positions()).sum::<usize>() * self.per_position();
        let mut boxes = Vec::with_capacity(count);
        for (level, shapes) in levels.iter().zip(&shapes) {
            for y in 0..level.height {
                let y = (y * level.stride_y) as f32;
                for x in 0..level.width {
                    let x = (x * level.stride_x) as f32;
                    boxes.extend(shapes.iter().map(|[x1, y1, x2, y2]| [x + x1, y + y1, x + x2, y + y2]));
                }
            }
        }
        Ok(Anchors { levels, shapes, boxes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_by_hand() {
        let config = AnchorConfig { scales: vec![1.0], ..AnchorConfig::default() };
        let shapes = config.shapes(0);
        // Area 1024: ratio 1 is 32 × 32; ratio ¼ would be 64 × 16; ratio ½ is 45.25 × 22.63.
        assert_eq!(shapes[1], [-16.0, -16.0, 16.0, 16.0]);
        let [x1, y1, x2, y2] = shapes[0];
        assert!(((x2 - x1) * (y2 - y1) - 1024.0).abs() < 1e-2);
        assert!(((y2 - y1) / (x2 - x1) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn whole_shapes_are_torchvisions() {
        let config = AnchorConfig { rule: AnchorRule::Torchvision, ..AnchorConfig::default() };
        // What torchvision's generator prints for size 32 (32, 40, 50) and its three ratios.
        let expected: [AnchorShape; 9] = [
            [-23., -11., 23., 11.],
            [-28., -14., 28., 14.],
            [-35., -18., 35., 18.],
            [-16., -16., 16., 16.],
            [-20., -20., 20., 20.],
            [-25., -25., 25., 25.],
            [-11., -23., 11., 23.],
            [-14., -28., 14., 28.],
            [-18., -35., 18., 35.],
        ];
        assert_eq!(config.shapes(0), expected);
    }

    #[test]
    fn positions_go_row_by_row() {
        let rule = AnchorRule::Torchvision;
        let config = AnchorConfig { sizes: vec![8.0, 16.0], rule, ..AnchorConfig::default() };
        let anchors = config.over((16, 24), &[(2, 3), (1, 2)]).unwrap();
        assert_eq!(anchors.boxes.len(), (6 + 2) * 9);
        let centre = |index: usize| {
            let [x1, y1, x2, y2] = anchors.boxes[index * 9 + 4];
            ((x1 + x2) / 2.0, (y1 + y2) / 2.0)
        };
        assert_eq!(
            [0, 1, 2, 3, 6, 7].map(centre),
            [(0.0, 0.0), (8.0, 0.0), (16.0, 0.0), (0.0, 8.0), (0.0, 0.0), (12.0, 0.0)]
        );
    }

    #[test]
    fn strides_follow_the_rule() {
        let strides = |rule| {
            let config = AnchorConfig { rule, ..AnchorConfig::default() };
            let anchors = config.over((800, 1216), &[(100, 152), (50, 76), (25, 38), (13, 19), (7, 10)]).unwrap();
            anchors.levels.iter().map(|level| (level.stride_y, level.stride_x)).collect::<Vec<_>>()
        };
        assert_eq!(strides(AnchorRule::Detectron), [(8, 8), (16, 16), (32, 32), (64, 64), (128, 128)]);
        assert_eq!(strides(AnchorRule::Torchvision), [(8, 8), (16, 16), (32, 32), (61, 64), (114, 121)]);
    }

    #[test]
    fn bad_settings_are_named() {
        let bad = AnchorConfig { ratios: vec![1.0, 0.0], ..AnchorConfig::default() };
        assert!(bad.check().unwrap_err().to_string().contains("ratios"));
        assert!(AnchorConfig::default().over((8, 8), &[(1, 1)]).unwrap_err().to_string().contains("1 levels"));
    }
}
