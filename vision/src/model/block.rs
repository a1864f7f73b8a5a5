//! Residual blocks (He et al., 2016, "Deep residual learning"), with the groups of ResNeXt (Xie et al., 2017).

use imbalance_train::BatchNorm;
use imbalance_train::batch_norm::Then;
use tch::{Tensor, nn};

use super::ModelError;
use super::backbone::{Norm, StrideIn};
use super::init::{Fan, Initializer};
use super::layers::{Conv, ConvShape};

/// What all blocks of a network have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockStyle {
    pub(super) body: BodyStyle,
    pub(super) shortcut: ShortcutStyle,
    pub(super) fan: Fan,
    pub(super) norm: Norm,
    pub(super) stride_in: StrideIn,
}

/// The convolutions of a block.
#[derive(Clone, Copy, Debug)]
pub(super) enum BodyStyle {
    /// 3×3, 3×3.
    Basic,
    /// 1×1, 3×3, 1×1, the last four times as wide. The 3×3 has `groups` groups of `width_per_group · planes / 64` channels.
    Bottleneck { groups: i64, width_per_group: i64 },
}

/// The shortcut where a block changes the shape.
#[derive(Clone, Copy, Debug)]
pub(super) enum ShortcutStyle {
    /// Option A: every second pixel, channels of zeros; no parameters.
    Pad,
    /// Option B: a 1×1 convolution with batch normalisation.
    Projection,
}

/// Where in the network a block stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockShape {
    pub(super) inputs: i64,
    /// Channels of the 3×3 convolution, before groups.
    pub(super) planes: i64,
    pub(super) stride: i64,
}

impl BodyStyle {
    /// Channels that a block of `planes` gives.
    pub(super) fn outputs(self, planes: i64) -> i64 {
        match self {
            Self::Basic => planes,
            Self::Bottleneck { .. } => 4 * planes,
        }
    }
}

/// `relu(body(x) + shortcut(x))`.
#[derive(Debug)]
pub(super) struct Block {
    body: Vec<(Conv, BatchNorm)>,
    shortcut: Shortcut,
}

#[derive(Debug)]
enum Shortcut {
    Identity,
    Pad { stride: i64, channels: i64 },
    Projection(Conv, BatchNorm),
}

impl Block {
    pub(super) fn new(
        path: &nn::Path,
        init: &mut Initializer,
        style: BlockStyle,
        shape: BlockShape,
    ) -> Result<Self, ModelError> {
        let BlockShape { inputs, planes, stride } = shape;
        let outputs = style.body.outputs(planes);
        let convs = match style.body {
            BodyStyle::Basic => vec![
                ConvShape { inputs, outputs: planes, kernel: 3, stride, groups: 1 },
                ConvShape { inputs: planes, outputs, kernel: 3, stride: 1, groups: 1 },
            ],
            BodyStyle::Bottleneck { groups, width_per_group } => {
                let width = planes * width_per_group / 64 * groups;
                let (first, second) = match style.stride_in {
                    StrideIn::Conv1 => (stride, 1),
                    StrideIn::Conv2 => (1, stride),
                };
                vec![
                    ConvShape { inputs, outputs: width, kernel: 1, stride: first, groups: 1 },
                    ConvShape { inputs: width, outputs: width, kernel: 3, stride: second, groups },
                    ConvShape { inputs: width, outputs, kernel: 1, stride: 1, groups: 1 },
                ]
            }
        };
        let mut body = Vec::new();
        for (index, conv) in convs.into_iter().enumerate() {
            body.push((
                Conv::new(&(path / format!("conv{}", index + 1)), init, style.fan, conv)?,
                style.norm.layer(&(path / format!("bn{}", index + 1)), conv.outputs)?,
            ));
        }
        let shortcut = match style.shortcut {
            _ if stride == 1 && inputs == outputs => Shortcut::Identity,
            ShortcutStyle::Pad => Shortcut::Pad { stride, channels: (outputs - inputs) / 2 },
            ShortcutStyle::Projection => {
                let path = path / "downsample";
                let shape = ConvShape { inputs, outputs, kernel: 1, stride, groups: 1 };
                let conv = Conv::new(&(&path / 0), init, style.fan, shape)?;
                Shortcut::Projection(conv, style.norm.layer(&(&path / 1), outputs)?)
            }
        };
        Ok(Self { body, shortcut })
    }

    /// # Shapes
    /// - `xs`: `[n, inputs, height, width]`
    /// - output: `[n, outputs, ⌈height/stride⌉, ⌈width/stride⌉]`
    pub(super) fn forward(&self, xs: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        let shortcut = self.shortcut.forward(xs, train)?;
        let mut ys = xs.shallow_clone();
        for (index, (conv, norm)) in self.body.iter().enumerate() {
            let last = index + 1 == self.body.len();
            let then = if last { Then::AddRelu(&shortcut) } else { Then::Relu };
            ys = norm.forward(&conv.forward(&ys)?, train, then)?;
        }
        Ok(ys)
    }
}

impl Shortcut {
    fn forward(&self, xs: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        match self {
            Self::Identity => Ok(xs.shallow_clone()),
            Self::Pad { stride, channels } => {
                let kept = xs.f_slice(2, None, None, *stride)?.f_slice(3, None, None, *stride)?;
                Ok(kept.f_constant_pad_nd([0, 0, 0, 0, *channels, *channels])?)
            }
            Self::Projection(conv, norm) => Ok(norm.forward(&conv.forward(xs)?, train, Then::Nothing)?),
        }
    }
}
