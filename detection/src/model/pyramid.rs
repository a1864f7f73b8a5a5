//! The feature pyramid (Lin et al., 2017, "Feature Pyramid Networks for Object Detection"), P3 to P7.

use imbalance_train::InitialValues;
use tch::{TchError, Tensor, nn};

use super::config::P6From;
use super::conv::{Conv, ConvShape, Start};

/// Makes levels of equal width of the last three stages of a backbone.
#[derive(Debug)]
pub(super) struct Pyramid {
    /// 1×1, finest first.
    inner: Vec<Conv>,
    /// 3×3, finest first.
    outer: Vec<Conv>,
    p6: Conv,
    p7: Conv,
    p6_from: P6From,
}

impl Pyramid {
    /// `stages`: channels of C3, C4 and C5.
    pub(super) fn new(
        path: &nn::Path,
        values: &mut InitialValues,
        stages: [i64; 3],
        channels: i64,
        p6_from: P6From,
    ) -> Result<Self, TchError> {
        let conv = |path: nn::Path, values: &mut InitialValues, inputs, kernel, stride| {
            Conv::new(&path, values, Start::Uniform, ConvShape { inputs, outputs: channels, kernel, stride })
        };
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        for (index, &inputs) in stages.iter().enumerate() {
            inner.push(conv(path / "inner_blocks" / index / 0, values, inputs, 1, 1)?);
            outer.push(conv(path / "layer_blocks" / index / 0, values, channels, 3, 1)?);
        }
        let inputs = match p6_from {
            P6From::C5 => stages[2],
            P6From::P5 => channels,
        };
        let extra = path / "extra_blocks";
        let p6 = conv(&extra / "p6", values, inputs, 3, 2)?;
        let p7 = conv(&extra / "p7", values, channels, 3, 2)?;
        Ok(Self { inner, outer, p6, p7, p6_from })
    }

    /// # Shapes
    /// - `stages`: C3, C4, C5, each half as high and wide as the one before
    /// - outputs: P3 to P7, `[n, channels, height, width]` each
    pub(super) fn forward(&self, stages: &[Tensor]) -> Result<Vec<Tensor>, TchError> {
        let mut levels = Vec::with_capacity(5);
        let mut above: Option<Tensor> = None;
        for ((stage, inner), outer) in stages.iter().zip(&self.inner).zip(&self.outer).rev() {
            let lateral = inner.forward(stage)?;
            let merged = match above {
                Some(above) => {
                    let size = &lateral.size()[2..];
                    lateral.f_add(&above.f_upsample_nearest2d(size, None, None)?)?
                }
                None => lateral,
            };
            levels.push(outer.forward(&merged)?);
            above = Some(merged);
        }
        levels.reverse();
        let p6 = match (self.p6_from, stages.last(), levels.last()) {
            (P6From::C5, Some(c5), _) => self.p6.forward(c5)?,
            (P6From::P5, _, Some(p5)) => self.p6.forward(p5)?,
            _ => return Err(TchError::Torch("a pyramid needs stages".into())),
        };
        let p7 = self.p7.forward(&p6.f_relu()?)?;
        levels.extend([p6, p7]);
        Ok(levels)
    }
}
