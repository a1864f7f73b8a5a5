//! Global attention (Luong, Pham and Manning, 2015, section 3.1).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, nn};

use super::ModelError;
use super::encoder::Memory;
use super::init::Initializer;

/// How a decoder state `h` scores an encoder state `s` (Luong et al., 2015, eq. 8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Attention {
    /// `hᵀ W s`.
    #[default]
    General,
    /// `hᵀ s`.
    Dot,
    /// No attention: the decoder sees the history only through its first state.
    None,
}

/// Combines decoder states with what they attend to: `tanh(W_c [context; h])` (eq. 5).
#[derive(Debug)]
pub(super) struct GlobalAttention {
    /// `W`, `[hidden, hidden]`; absent for dot scores.
    query: Option<Tensor>,
    /// `W_c`, `[hidden, 2·hidden]`.
    combine: Tensor,
}

impl GlobalAttention {
    /// `None` for [`Attention::None`].
    pub(super) fn new(path: &nn::Path, init: &mut Initializer, kind: Attention, hidden: i64) -> Option<Self> {
        let query = match kind {
            Attention::General => Some(init.linear(&(path / "query"), "weight", hidden, hidden)),
            Attention::Dot => None,
            Attention::None => return None,
        };
        let combine = init.linear(&(path / "combine"), "weight", hidden, 2 * hidden);
        Some(Self { query, combine })
    }

    /// The mean of the memory, weighted by the softmax of the scores; padding has no weight.
    ///
    /// # Shapes
    /// - `states`: `[batch, target, hidden]`
    /// - output: `[batch, target, hidden]`
    ///
    /// # Errors
    /// libtorch's: scores of long replies and long histories may not fit into memory.
    pub(super) fn context(&self, states: &Tensor, memory: &Memory) -> Result<Tensor, ModelError> {
        // The few decoder states are projected, not the many encoder states: the scores are the same.
        let queries =
            self.query.as_ref().map_or_else(|| Ok(states.shallow_clone()), |weight| states.f_matmul(weight))?;
        let scores = queries.f_bmm(&memory.states.transpose(1, 2))?;
        let scores = scores.f_masked_fill(&memory.padding.unsqueeze(1), f64::NEG_INFINITY)?;
        Ok(scores.f_softmax(-1, None::<Kind>)?.f_bmm(&memory.states)?)
    }

    /// # Shapes
    /// - `context`, `states`, output: `[tokens, hidden]`
    pub(super) fn combine(&self, context: &Tensor, states: &Tensor) -> Tensor {
        Tensor::cat(&[context, states], -1).linear(&self.combine, None::<&Tensor>).tanh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn weighs_by_scores_and_ignores_padding() {
        let store = nn::VarStore::new(Device::Cpu);
        let attention = GlobalAttention::new(&store.root(), &mut Initializer::new(1), Attention::General, 2).unwrap();
        let weight = Tensor::from_slice(&[0.0f32, 1.0, 2.0, 0.0]).view([2, 2]);
        tch::no_grad(|| attention.query.as_ref().unwrap().shallow_clone().copy_(&weight));
        let memory = Memory {
            states: Tensor::from_slice(&[1.0f32, 0.0, 0.0, 1.0, 9.0, 9.0]).view([1, 3, 2]),
            padding: Tensor::from_slice(&[false, false, true]).view([1, 3]),
        };
        // h = (1, 1): h W = (2, 1), so the scores are 2 and 1, and the weights σ(1) and σ(−1).
        let context = attention.context(&Tensor::from_slice(&[1.0f32, 1.0]).view([1, 1, 2]), &memory).unwrap();
        let sigmoid = 1.0 / (1.0 + (-1.0f64).exp());
        assert!((context.double_value(&[0, 0, 0]) - sigmoid).abs() < 1e-6);
        assert!((context.double_value(&[0, 0, 1]) - (1.0 - sigmoid)).abs() < 1e-6);
    }
}
