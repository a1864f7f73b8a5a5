//! GPT-2's initial weights, and those of files.

use std::collections::HashMap;
use std::path::Path;

use tch::{Kind, Tensor, nn};

use super::Gpt2Config;
use crate::model::ModelError;
use crate::model::init::Initializer;

const PREFIX: &str = "transformer.";
const EMBEDDING: &str = "wte.weight";

/// How many tokens a vocabulary may have beyond the file's: those added for padding, start, end and the like. A vocabulary that
/// is larger still is not the one that the weights were trained with.
const ADDED_TOKENS: i64 = 16;

/// GPT-2's initial values: `N(0, range²)`, the residual projections divided by √(2·layers) (Radford et al., 2019, section
/// 2.3), biases 0, layer normalisations 1.
pub(super) fn initialise(store: &nn::VarStore, config: &Gpt2Config, init: &mut Initializer) {
    let residual = (2.0 * config.n_layer as f64).sqrt();
    for (name, mut parameter) in sorted(store) {
        let size = parameter.size();
        let values = match name {
            _ if name.ends_with(".bias") => Tensor::zeros_like(&parameter),
            _ if name.contains(".ln_") => Tensor::ones_like(&parameter),
            _ if name.ends_with(".c_proj.weight") => init.normal(&size, config.initializer_range / residual),
            _ => init.normal(&size, config.initializer_range),
        };
        tch::no_grad(|| parameter.copy_(&values));
    }
}

/// By name, so that a seed gives the same values at every run and the first error is always the same.
fn sorted(store: &nn::VarStore) -> Vec<(String, Tensor)> {
    let mut parameters: Vec<(String, Tensor)> = store.variables().into_iter().collect();
    parameters.sort_by(|(a, _), (b, _)| a.cmp(b));
    parameters
}

/// Fills the store from the weights in `folder`. A failure leaves the store as it was.
pub(super) fn load(store: &nn::VarStore, folder: &Path) -> Result<(), ModelError> {
    let safetensors = folder.join("model.safetensors");
    let archive = folder.join("rust_model.ot");
    let (path, tensors) = if safetensors.is_file() {
        let tensors = Tensor::read_safetensors(&safetensors);
        (safetensors, tensors)
    } else if archive.is_file() {
        let tensors = Tensor::load_multi(&archive);
        (archive, tensors)
    } else {
        let sharded = folder.join("model.safetensors.index.json").is_file();
        return Err(ModelError::NoWeights { folder: folder.into(), sharded });
    };
    let tensors = tensors.map_err(|source| ModelError::Weights { path: path.clone(), source })?;
    let tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
    let find = |name: &str| tensors.get(name).or_else(|| tensors.get(name.strip_prefix(PREFIX)?));

    let embedding = format!("{PREFIX}{EMBEDDING}");
    if let (Some(head), Some(table)) = (tensors.get("lm_head.weight"), find(&embedding))
        && (head.size() != table.size() || !head.equal(table))
    {
        return Err(ModelError::UntiedHead { path, name: embedding });
    }
    let mut copies = Vec::new();
    for (name, parameter) in sorted(store) {
        let values = find(&name).ok_or_else(|| ModelError::MissingTensor { path: path.clone(), name: name.clone() })?;
        let (found, expected) = (values.size(), parameter.size());
        let is_embedding = name.strip_prefix(PREFIX) == Some(EMBEDDING);
        let added = expected[0] - found.first().unwrap_or(&0);
        if found == expected {
            copies.push((parameter, values));
        } else if is_embedding && found.get(1..) == expected.get(1..) && (1..=ADDED_TOKENS).contains(&added) {
            copies.push((parameter.narrow(0, 0, found[0]), values));
        } else {
            let hint = if is_embedding { "; use the tokenizer that belongs to these weights" } else { "" };
            return Err(ModelError::TensorShape { path, name, found, expected, hint });
        }
    }
    for (mut parameter, values) in copies {
        let values = values.to_kind(Kind::Float);
        tch::no_grad(|| parameter.f_copy_(&values))
            .map_err(|source| ModelError::Weights { path: path.clone(), source })?;
    }
    Ok(())
}

/// Writes `folder/model.safetensors`. The output layer is left out, as Hugging Face leaves out what is tied.
pub(super) fn save(store: &nn::VarStore, folder: &Path) -> Result<(), ModelError> {
    let path = folder.join("model.safetensors");
    store.save(&path).map_err(|source| ModelError::Weights { path, source })
}
