//! Token embeddings.

use tch::{Tensor, nn};

use super::ModelError;
use super::init::Initializer;

/// A lookup table `[vocabulary, width]` whose pad row is zero and receives no gradient.
#[derive(Debug)]
pub(super) struct Embedding {
    weight: Tensor,
    pad: i64,
}

impl Embedding {
    /// Values from `N(0, 1/width)`.
    pub(super) fn new(path: &nn::Path, init: &mut Initializer, vocabulary: i64, width: i64, pad: u32) -> Self {
        let values = init.normal(&[vocabulary, width], (width as f64).sqrt().recip());
        let pad = i64::from(pad);
        let _ = values.get(pad).zero_();
        Self { weight: path.var_copy("weight", &values), pad }
    }

    /// A second handle to the same parameter.
    pub(super) fn share(&self) -> Self {
        Self { weight: self.weight.shallow_clone(), pad: self.pad }
    }

    /// Ids of any shape to vectors, `[…, width]`.
    pub(super) fn forward(&self, ids: &Tensor) -> Tensor {
        Tensor::embedding(&self.weight, ids, self.pad, false, false)
    }

    /// The table as an output layer's weight, through which the pad row receives no gradient either.
    pub(super) fn as_output(&self) -> Tensor {
        // A product and not an index: the backward pass of an index into so large a table is slower.
        let mask = self.weight.new_ones([self.weight.size()[0], 1], (self.weight.kind(), self.weight.device()));
        let _ = mask.get(self.pad).zero_();
        &self.weight * mask
    }

    /// Replaces the table by `values`, row after row; the pad row stays zero.
    pub(super) fn set(&self, values: &[f32]) -> Result<(), ModelError> {
        let size = self.weight.size();
        let (vocabulary, width) = (size[0] as usize, size[1] as usize);
        if values.len() != vocabulary * width {
            return Err(ModelError::EmbeddingSize { found: values.len(), vocabulary, width });
        }
        tch::no_grad(|| {
            self.weight.shallow_clone().copy_(&Tensor::from_slice(values).view([size[0], size[1]]));
            let _ = self.weight.get(self.pad).zero_();
        });
        Ok(())
    }
}
