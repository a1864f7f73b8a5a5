//! GPT-2 (Radford et al., 2019) through `rust-bert`, fed `history, end, reply, end`.

mod config;
mod decoding;
mod weights;

pub use config::Gpt2Config;

use std::path::Path;

use imbalance_train::transfer::sent_slice;
use rust_bert::gpt2 as rust_bert_gpt2;
use tch::{Kind, Tensor, nn};

use self::decoding::Decoding;
use super::init::Initializer;
use super::{Batch, DecoderState, ModelError, ReplyModel, Special};

/// A GPT-2 whose output layer is its transposed token embedding.
///
/// Parameters have the names of Hugging Face's `GPT2LMHeadModel`: `transformer.wte.weight`, `transformer.h.0.attn.c_attn.weight` …
pub struct Gpt2Model {
    transformer: rust_bert_gpt2::Gpt2Model,
    embedding: Tensor,
    config: Gpt2Config,
    end: i64,
}

impl Gpt2Model {
    /// Adds the parameters to `store`, which must hold nothing else, with initial values that the seed alone decides.
    ///
    /// `config.vocab_size` is replaced by `vocabulary`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for a setting outside its range or one that `rust-bert`'s GPT-2 does not have.
    pub fn new(
        store: &nn::VarStore,
        config: &Gpt2Config,
        vocabulary: usize,
        special: Special,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let config = Gpt2Config { vocab_size: vocabulary as i64, ..config.clone() };
        let inner = config.to_rust_bert("the GPT-2 model")?;
        special.check("the GPT-2 model", vocabulary)?;
        let transformer = rust_bert_gpt2::Gpt2Model::new(store.root(), &inner);
        share_causal_masks(store);
        weights::initialise(store, &config, &mut Initializer::new(seed));
        let name = "transformer.wte.weight";
        let embedding =
            store.variables().remove(name).ok_or_else(|| ModelError::Forward(format!("no parameter {name}")))?;
        Ok(Self { transformer, embedding, config, end: i64::from(special.end) })
    }

    /// A model of `folder/config.json` with the weights of `folder/model.safetensors` (Hugging Face's names, with or without
    /// the prefix `transformer.`) or `folder/rust_model.ot`.
    ///
    /// The vocabulary may have a few tokens more than the weights (special tokens that were added at its end); their rows
    /// keep their initial values.
    ///
    /// # Errors
    /// Names the file, and the first tensor that is missing or has another shape than the configuration and vocabulary need.
    pub fn from_folder(
        store: &nn::VarStore,
        folder: &Path,
        vocabulary: usize,
        special: Special,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let config = Gpt2Config::read(&folder.join("config.json"))?;
        let model = Self::new(store, &config, vocabulary, special, seed)?;
        weights::load(store, folder)?;
        Ok(model)
    }

    /// Writes `config.json` and `model.safetensors` into an existing folder, for [`Gpt2Model::from_folder`] or Hugging Face's
    /// `GPT2LMHeadModel.from_pretrained`.
    ///
    /// # Errors
    /// [`ModelError::File`] or [`ModelError::Weights`] names the file that cannot be written.
    pub fn save(&self, store: &nn::VarStore, folder: &Path) -> Result<(), ModelError> {
        self.config.write(&folder.join("config.json"), self.end)?;
        weights::save(store, folder)
    }

    /// The configuration, with the vocabulary's size.
    pub fn config(&self) -> &Gpt2Config {
        &self.config
    }

    fn project(&self, states: &Tensor) -> Tensor {
        states.linear(&self.embedding, None::<&Tensor>)
    }
}

/// `rust-bert` makes every layer's causal mask, `[1, 1, positions, positions]`, a trainable parameter. This leaves one constant
/// for all layers, out of the store: an optimiser would change it, and a checkpoint of GPT-2 would grow by 50 MB.
fn share_causal_masks(store: &nn::VarStore) {
    let mut variables = store.variables_.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let is_mask = |name: &str| name.ends_with(".attn.bias");
    let mut shared: Option<Tensor> = None;
    for (_, mask) in variables.named_variables.iter_mut().filter(|(name, _)| is_mask(name)) {
        let _ = mask.set_requires_grad(false);
        match &shared {
            Some(shared) => mask.set_data(shared),
            None => shared = Some(mask.detach()),
        }
    }
    variables.named_variables.retain(|name, _| !is_mask(name));
    variables.trainable_variables.retain(|variable| variable.tensor.requires_grad());
}

impl ReplyModel for Gpt2Model {
    fn logits(&self, batch: &Batch, train: bool) -> Result<Tensor, ModelError> {
        let rows = batch.len() as i64;
        let (source, target) = (batch.history.size()[1], batch.reply.size()[1]);
        if target > self.config.n_positions {
            return Err(ModelError::ReplyTooLong { tokens: target, positions: self.config.n_positions });
        }
        // A row is fed `history, end, reply` without its last token, less what does not fit at its left.
        let lengths =
            || batch.history_lengths.iter().zip(&batch.reply_lengths).map(|(&history, &reply)| (history, reply));
        let kept = |history: i64, reply: i64| history.min(self.config.n_positions - reply);
        let width = lengths().map(|(history, reply)| kept(history, reply) + reply).max().unwrap_or(0);

        let separator = Tensor::full([rows, 1], self.end, (Kind::Int64, batch.history.device()));
        let everything = Tensor::cat(&[&batch.history, &separator, &batch.reply], 1);
        let (mut fed, mut scored) = (Vec::with_capacity((rows * width) as usize), Vec::new());
        for (row, (history, reply)) in (0..).zip(lengths()) {
            let (row_start, kept) = (row * (source + 1 + target), kept(history, reply));
            scored.extend((0..reply).map(|position| row * width + kept + position));
            fed.extend((history - kept..history).map(|column| row_start + column));
            fed.extend((0..reply).map(|column| row_start + source + column));
            // Padding at the right is never attended to by what is left of it, so any token will do.
            fed.resize(((row + 1) * width) as usize, row_start + source);
        }
        let device = batch.history.device();
        let fed = everything.flatten(0, 1).index_select(0, &sent_slice(&fed, device)).view([rows, width]);
        let output = self.transformer.forward_t(Some(&fed), None, None, None, None, None, train);
        let states = output.map_err(|error| ModelError::Forward(error.to_string()))?.output;
        // Only the replies' states go through the output layer, by far the widest.
        Ok(self.project(&states.flatten(0, 1).index_select(0, &sent_slice(&scored, device))))
    }

    fn start<'a>(&'a self, histories: &Batch) -> Result<Box<dyn DecoderState + 'a>, ModelError> {
        Ok(Box::new(Decoding::new(self, histories)))
    }

    fn vocabulary_len(&self) -> usize {
        self.config.vocab_size as usize
    }
}

#[cfg(test)]
mod tests;
