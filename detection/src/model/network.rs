//! The network.

use imbalance_train::{InitialValues, Stream, derive};
use imbalance_vision::model::{Backbone, ModelKind};
use tch::{Tensor, nn};

use super::ModelError;
use super::anchors::Anchors;
use super::config::RetinaNetConfig;
use super::head::{Head, HeadOutput};
use super::pyramid::Pyramid;

/// Backbone, pyramid and head.
#[derive(Debug)]
pub struct RetinaNet {
    backbone: Backbone,
    pyramid: Pyramid,
    head: Head,
    config: RetinaNetConfig,
}

impl RetinaNet {
    /// Images are padded to a multiple of this.
    pub const DIVISOR: usize = 32;

    /// Adds the network's variables to `store`, with initial values that `seed` decides. Frozen ones need no gradient.
    ///
    /// # Errors
    /// [`ModelError::Setting`]; libtorch's.
    pub fn new(store: &nn::VarStore, config: RetinaNetConfig, seed: u64) -> Result<Self, ModelError> {
        config.check()?;
        let root = store.root();
        let path = &root / "backbone";
        let options = config.backbone_options();
        let backbone = Backbone::with_options(&(&path / "body"), config.backbone, options, seed)?;
        let values = &mut InitialValues::new(derive(seed, Stream::Weights, 1));
        let stages = stage_channels(config.backbone);
        let pyramid = Pyramid::new(&(&path / "fpn"), values, stages, config.channels, config.p6_from)?;
        let head = Head::new(&(&root / "head"), values, &config)?;
        for (name, mut variable) in store.variables() {
            if config.frozen(&name) {
                let _ = variable.f_requires_grad_(false)?;
            }
        }
        Ok(Self { backbone, pyramid, head, config })
    }

    /// What the network was made from.
    pub fn config(&self) -> &RetinaNetConfig {
        &self.config
    }

    /// The pyramid's levels, finest first.
    ///
    /// # Shapes
    /// - `images`: `[n, 3, height, width]`, a multiple of [`RetinaNet::DIVISOR`] high and wide
    /// - outputs: `[n, channels, height/2^l, width/2^l]`, l = 3 to 7, rounded up
    ///
    /// # Errors
    /// libtorch's.
    pub fn levels(&self, images: &Tensor, train: bool) -> Result<Vec<Tensor>, ModelError> {
        let stages = self.backbone.stages(images, train)?;
        Ok(self.pyramid.forward(&stages[1..])?)
    }

    /// Logits and offsets of every level.
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(&self, images: &Tensor, train: bool) -> Result<Vec<HeadOutput>, ModelError> {
        let levels = self.levels(images, train)?;
        Ok(levels.iter().map(|level| self.head.forward(level)).collect::<Result<_, _>>()?)
    }

    /// The anchors of images that are padded to `height × width` pixels.
    ///
    /// # Errors
    /// [`ModelError::Setting`]
    pub fn anchors(&self, (height, width): (usize, usize)) -> Result<Anchors, ModelError> {
        let half = |size: usize| size.div_ceil(2);
        // Each convolution of stride 2 rounds up; the stem and its pooling are two of them.
        let mut size = (half(half(half(height))), half(half(half(width))));
        let mut levels = Vec::new();
        for _ in &self.config.anchors.sizes {
            levels.push(size);
            size = (half(size.0), half(size.1));
        }
        self.config.anchors.over((height, width), &levels)
    }
}

/// Channels of C3, C4 and C5.
fn stage_channels(kind: ModelKind) -> [i64; 3] {
    let last = kind.width();
    [last / 4, last / 2, last]
}
