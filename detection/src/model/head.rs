//! The two towers that all levels share (Lin et al., 2017, section 4).

use imbalance_train::InitialValues;
use tch::{TchError, Tensor, nn};

use super::config::RetinaNetConfig;
use super::conv::{Conv, ConvShape, Start};

/// What the head says of one level.
#[derive(Debug)]
pub struct HeadOutput {
    /// Logits, `[n, height · width · anchors, classes]`.
    pub logits: Tensor,
    /// Offsets from the anchors, `[n, height · width · anchors, 4]`.
    pub offsets: Tensor,
}

/// Deviation of the initial weights.
const DEVIATION: f64 = 0.01;

#[derive(Debug)]
struct Tower {
    convs: Vec<Conv>,
    last: Conv,
    /// Numbers an anchor gets.
    each: i64,
}

/// Class logits and box offsets.
#[derive(Debug)]
pub(super) struct Head {
    classes: Tower,
    boxes: Tower,
}

impl Tower {
    fn new(
        path: &nn::Path,
        values: &mut InitialValues,
        last: &str,
        each: i64,
        config: &RetinaNetConfig,
    ) -> Result<Self, TchError> {
        let inputs = config.channels;
        let conv = |path: nn::Path, values: &mut InitialValues, outputs| {
            Conv::new(&path, values, Start::Normal(DEVIATION), ConvShape { inputs, outputs, kernel: 3, stride: 1 })
        };
        let convs = (0..config.tower).map(|index| conv(path / "conv" / index / 0, values, inputs));
        let convs = convs.collect::<Result<Vec<_>, _>>()?;
        let last = conv(path / last, values, each * config.anchors.per_position() as i64)?;
        Ok(Self { convs, last, each })
    }

    /// `[n, positions · anchors, each]`, without a copy where channels lie side by side.
    fn forward(&self, level: &Tensor) -> Result<Tensor, TchError> {
        let mut xs = level.shallow_clone();
        for conv in &self.convs {
            xs = conv.forward(&xs)?.f_relu_()?;
        }
        let xs = self.last.forward(&xs)?;
        let n = xs.size()[0];
        xs.f_permute([0, 2, 3, 1])?.f_reshape([n, -1, self.each])
    }
}

impl Head {
    pub(super) fn new(path: &nn::Path, values: &mut InitialValues, config: &RetinaNetConfig) -> Result<Self, TchError> {
        let mut classes = Tower::new(&(path / "classification_head"), values, "cls_logits", config.classes, config)?;
        classes.last.fill_bias(-((1.0 - config.prior) / config.prior).ln())?;
        let boxes = Tower::new(&(path / "regression_head"), values, "bbox_reg", 4, config)?;
        Ok(Self { classes, boxes })
    }

    /// # Shapes
    /// - `level`: `[n, channels, height, width]`
    pub(super) fn forward(&self, level: &Tensor) -> Result<HeadOutput, TchError> {
        Ok(HeadOutput { logits: self.classes.forward(level)?, offsets: self.boxes.forward(level)? })
    }
}
