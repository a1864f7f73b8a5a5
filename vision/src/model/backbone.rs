//! Images to features.

use imbalance_train::BatchNorm;
use imbalance_train::batch_norm::Then;
use tch::{Tensor, nn};

use super::block::{Block, BlockShape, BlockStyle, BodyStyle, ShortcutStyle};
use super::init::{Fan, Initializer};
use super::layers::{Conv, ConvShape};
use super::{ModelError, ModelKind};

/// A residual network up to the features: [`ModelKind::ResNet32`] as He et al. (2016, section 4.2) describe it for CIFAR, the others
/// as torchvision builds them.
#[derive(Debug)]
pub struct Backbone {
    trunk: Trunk,
    last: Block,
}

/// How the batch normalisations of a backbone behave.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Norm {
    /// Weights are trained, statistics are the batch's.
    #[default]
    Trained,
    /// Affine maps that stay as they are.
    Frozen {
        /// Added to the variance: [`imbalance_train::batch_norm::EPSILON`] as a rule.
        epsilon: f64,
    },
}

/// Which convolution of a bottleneck has the stride.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StrideIn {
    /// The first 1×1, as in He et al. (2016) and the weights of the original Detectron.
    Conv1,
    /// The 3×3, as in torchvision's weights.
    #[default]
    Conv2,
}

/// In what a detector's backbone differs from a classifier's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BackboneOptions {
    /// Batch normalisation.
    pub norm: Norm,
    /// The stride of bottlenecks.
    pub stride_in: StrideIn,
}

impl Norm {
    pub(super) fn layer(self, path: &nn::Path, channels: i64) -> Result<BatchNorm, ModelError> {
        Ok(match self {
            Self::Trained => BatchNorm::new(path, channels)?,
            Self::Frozen { epsilon } => BatchNorm::frozen(path, channels, epsilon)?,
        })
    }
}

/// Everything before the last block of the last stage.
#[derive(Debug)]
pub(super) struct Trunk {
    conv: Conv,
    norm: BatchNorm,
    /// Whether a 3×3 maximum of stride 2 follows the first convolution.
    max_pool: bool,
    blocks: Vec<Block>,
    /// How many of the blocks come before the end of each stage but the last.
    ends: Vec<usize>,
}

/// The last block of the last stage, which [`Trunk::new`] leaves to its caller.
pub(super) struct LastBlock {
    stage: usize,
    index: usize,
    style: BlockStyle,
    shape: BlockShape,
}

struct Layout {
    style: BlockStyle,
    /// Kernel and stride of the first convolution; stride 2 brings the max pooling with it.
    stem: (i64, i64),
    /// Channels of the first convolution and planes of the first stage; they double from stage to stage.
    planes: i64,
    /// Blocks of each stage.
    stages: &'static [usize],
}

impl ModelKind {
    fn layout(self, BackboneOptions { norm, stride_in }: BackboneOptions) -> Layout {
        let image_net = |body, stages| Layout {
            style: BlockStyle { body, shortcut: ShortcutStyle::Projection, fan: Fan::Out, norm, stride_in },
            stem: (7, 2),
            planes: 64,
            stages,
        };
        match self {
            Self::ResNet32 => Layout {
                // Fan-in is what the usual long-tailed CIFAR baselines draw with (Cao et al., 2019, released code).
                style: BlockStyle {
                    body: BodyStyle::Basic,
                    shortcut: ShortcutStyle::Pad,
                    fan: Fan::In,
                    norm,
                    stride_in,
                },
                stem: (3, 1),
                planes: 16,
                stages: &[5, 5, 5],
            },
            Self::ResNet18 => image_net(BodyStyle::Basic, &[2, 2, 2, 2]),
            Self::ResNet50 => image_net(BodyStyle::Bottleneck { groups: 1, width_per_group: 64 }, &[3, 4, 6, 3]),
            Self::ResNeXt50 => image_net(BodyStyle::Bottleneck { groups: 32, width_per_group: 4 }, &[3, 4, 6, 3]),
        }
    }
}

impl Trunk {
    /// The trunk, and what its caller needs to build the block after it.
    pub(super) fn new(
        path: &nn::Path,
        init: &mut Initializer,
        kind: ModelKind,
        options: BackboneOptions,
    ) -> Result<(Self, LastBlock), ModelError> {
        let Layout { style, stem: (kernel, stride), planes, stages } = kind.layout(options);
        let stem = ConvShape { inputs: 3, outputs: planes, kernel, stride, groups: 1 };
        let conv = Conv::new(&(path / "conv1"), init, style.fan, stem)?;
        let norm = options.norm.layer(&(path / "bn1"), planes)?;

        let mut blocks = Vec::new();
        let mut shape = BlockShape { inputs: planes, planes, stride: 1 };
        let last = (stages.len() - 1, stages[stages.len() - 1] - 1);
        for (stage, &count) in stages.iter().enumerate() {
            shape.planes = planes << stage;
            shape.stride = if stage == 0 { 1 } else { 2 };
            for index in 0..count {
                if (stage, index) != last {
                    blocks.push(Block::new(&block_path(path, stage, index), init, style, shape)?);
                    shape = BlockShape { inputs: style.body.outputs(shape.planes), stride: 1, ..shape };
                }
            }
        }
        let last = LastBlock { stage: last.0, index: last.1, style, shape };
        let ends = stages[..stages.len() - 1].iter().scan(0, |end, &count| {
            *end += count;
            Some(*end)
        });
        Ok((Self { conv, norm, max_pool: stride == 2, blocks, ends: ends.collect() }, last))
    }

    pub(super) fn forward(&self, xs: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        self.stages(xs, train, |_| {})
    }

    /// As [`Trunk::forward`]; `stage` is called with the output of each stage but the last.
    fn stages(&self, xs: &Tensor, train: bool, mut stage: impl FnMut(&Tensor)) -> Result<Tensor, ModelError> {
        let size = xs.size();
        if !matches!(size[..], [_, 3, _, _]) {
            return Err(ModelError::Input { found: size });
        }
        let mut xs = self.norm.forward(&self.conv.forward(xs)?, train, Then::Relu)?;
        if self.max_pool {
            xs = xs.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
        }
        for (index, block) in self.blocks.iter().enumerate() {
            xs = block.forward(&xs, train)?;
            if self.ends.contains(&(index + 1)) {
                stage(&xs);
            }
        }
        Ok(xs)
    }
}

impl LastBlock {
    pub(super) fn build(&self, path: &nn::Path, init: &mut Initializer) -> Result<Block, ModelError> {
        Block::new(path, init, self.style, self.shape)
    }

    /// Its path in a plain network.
    pub(super) fn path<'a>(&self, root: &nn::Path<'a>) -> nn::Path<'a> {
        block_path(root, self.stage, self.index)
    }
}

fn block_path<'a>(root: &nn::Path<'a>, stage: usize, index: usize) -> nn::Path<'a> {
    root / format!("layer{}", stage + 1) / index
}

/// The mean over pixels.
///
/// # Shapes
/// - `xs`: `[n, width, rows, columns]`
/// - output: `[n, width]`
pub(super) fn pool(xs: &Tensor) -> Result<Tensor, ModelError> {
    Ok(xs.f_adaptive_avg_pool2d([1, 1])?.f_flatten(1, -1)?)
}

impl Backbone {
    /// Adds the backbone's variables under `path`.
    pub(super) fn new(
        path: &nn::Path,
        init: &mut Initializer,
        kind: ModelKind,
        options: BackboneOptions,
    ) -> Result<Self, ModelError> {
        let (trunk, last) = Trunk::new(path, init, kind, options)?;
        let last = last.build(&last.path(path), init)?;
        Ok(Self { trunk, last })
    }

    /// A backbone without classifier, with its variables under `path` and initial values that `seed` decides.
    ///
    /// # Errors
    /// libtorch's.
    pub fn with_options(
        path: &nn::Path,
        kind: ModelKind,
        options: BackboneOptions,
        seed: u64,
    ) -> Result<Self, ModelError> {
        Self::new(path, &mut Initializer::new(seed), kind, options)
    }

    /// The outputs of all stages, of strides 4, 8, 16 and 32 (C2 to C5 of Lin et al., 2017) where the first convolution has
    /// stride 2 and a pooling.
    ///
    /// # Shapes
    /// - `xs`: `[n, 3, height, width]`
    /// - outputs: `[n, channels, ⌈height/stride⌉, ⌈width/stride⌉]`
    ///
    /// # Errors
    /// As [`Backbone::features`].
    pub fn stages(&self, xs: &Tensor, train: bool) -> Result<Vec<Tensor>, ModelError> {
        let mut stages = Vec::new();
        let trunk = self.trunk.stages(xs, train, |stage| stages.push(stage.shallow_clone()))?;
        stages.push(self.last.forward(&trunk, train)?);
        Ok(stages)
    }

    /// Features, in the type that the convolutions give. `train` says which statistics batch normalisation uses.
    ///
    /// # Shapes
    /// - `xs`: `[n, 3, height, width]`
    /// - output: `[n, width]`, [`ModelKind::width`] wide
    ///
    /// # Errors
    /// [`ModelError`]: images of another shape, one value a channel in training, or libtorch.
    pub fn features(&self, xs: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        pool(&self.last.forward(&self.trunk(xs, train)?, train)?)
    }

    /// Everything before the last block of the last stage.
    ///
    /// # Shapes
    /// - `xs`: `[n, 3, height, width]`
    /// - output: `[n, width, rows, columns]`
    ///
    /// # Errors
    /// As [`Backbone::features`].
    pub fn trunk(&self, xs: &Tensor, train: bool) -> Result<Tensor, ModelError> {
        self.trunk.forward(xs, train)
    }
}
