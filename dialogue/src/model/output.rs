//! From hidden states to logits.

use tch::{Tensor, nn};

use super::embedding::Embedding;
use super::init::Initializer;

/// The output layer `hidden → vocabulary`, or `hidden → embedding → vocabulary` through the embedding table.
#[derive(Debug)]
pub(super) struct OutputLayer {
    weight: Weight,
    bias: Tensor,
}

#[derive(Debug)]
enum Weight {
    Own(Tensor),
    Embedding { projection: Tensor, projection_bias: Tensor, table: Embedding },
}

impl OutputLayer {
    /// `table` is the embedding to share, if any; `embedding` is its width.
    pub(super) fn new(
        path: &nn::Path,
        init: &mut Initializer,
        vocabulary: i64,
        hidden: i64,
        embedding: i64,
        table: Option<Embedding>,
    ) -> Self {
        let bound = |inputs: i64| (inputs as f64).sqrt().recip();
        let (weight, inputs) = match table {
            None => (Weight::Own(init.linear(path, "weight", vocabulary, hidden)), hidden),
            Some(table) => {
                let path = path / "projection";
                let projection = init.linear(&path, "weight", embedding, hidden);
                let projection_bias = init.uniform(&path, "bias", &[embedding], bound(hidden));
                (Weight::Embedding { projection, projection_bias, table }, embedding)
            }
        };
        Self { weight, bias: init.uniform(path, "bias", &[vocabulary], bound(inputs)) }
    }

    /// # Shapes
    /// - `states`: `[tokens, hidden]`
    /// - output: `[tokens, vocabulary]`
    pub(super) fn forward(&self, states: &Tensor) -> Tensor {
        match &self.weight {
            Weight::Own(weight) => states.linear(weight, Some(&self.bias)),
            Weight::Embedding { projection, projection_bias, table } => {
                states.linear(projection, Some(projection_bias)).linear(&table.as_output(), Some(&self.bias))
            }
        }
    }
}
