//! GPT-2's configuration in Hugging Face's `config.json`.

use std::path::Path;

use rust_bert::gpt2 as rust_bert_gpt2;
use serde::{Deserialize, Serialize};

use crate::model::ModelError;

/// The fields of `config.json` that shape the model, by their names there; others in the file are ignored.
///
/// The defaults are the small GPT-2's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gpt2Config {
    /// Always `gpt2`.
    pub model_type: String,
    /// Number of token types.
    pub vocab_size: i64,
    /// The longest sequence, in tokens.
    pub n_positions: i64,
    /// Width of the hidden states.
    pub n_embd: i64,
    /// Number of blocks.
    pub n_layer: i64,
    /// Attention heads of a block; divides `n_embd`.
    pub n_head: i64,
    /// Width of the feed-forward layers; only `4·n_embd`, the default, is supported.
    pub n_inner: Option<i64>,
    /// `gelu_new` (or its synonym `gelu_pytorch_tanh`), `relu`, `silu` (or `swish`), `tanh`.
    pub activation_function: String,
    /// Dropout of the blocks' outputs.
    pub resid_pdrop: f64,
    /// Dropout of the embeddings.
    pub embd_pdrop: f64,
    /// Dropout of the attention weights.
    pub attn_pdrop: f64,
    /// ε of the layer normalisations.
    pub layer_norm_epsilon: f64,
    /// Standard deviation of the initial weights.
    pub initializer_range: f64,
    /// Whether scores are divided by √(head width); only `true` is supported.
    pub scale_attn_weights: bool,
    /// Whether scores are divided by the layer's number too; only `false` is supported.
    pub scale_attn_by_inverse_layer_idx: bool,
    /// Whether the output layer is the transposed embedding; only `true` is supported.
    pub tie_word_embeddings: bool,
}

impl Default for Gpt2Config {
    fn default() -> Self {
        Self {
            model_type: "gpt2".into(),
            vocab_size: 50_257,
            n_positions: 1024,
            n_embd: 768,
            n_layer: 12,
            n_head: 12,
            n_inner: None,
            activation_function: "gelu_new".into(),
            resid_pdrop: 0.1,
            embd_pdrop: 0.1,
            attn_pdrop: 0.1,
            layer_norm_epsilon: 1e-5,
            initializer_range: 0.02,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
            tie_word_embeddings: true,
        }
    }
}

impl Gpt2Config {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// Names the file, and the line and column, or the field at fault.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path).map_err(|source| ModelError::File { path: path.into(), source })?;
        let config: Self =
            serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.into(), source })?;
        config.to_rust_bert(&path.display().to_string())?;
        Ok(config)
    }

    /// Writes a `config.json`; `end` is the token that begins and ends a text.
    pub(super) fn write(&self, path: &Path, end: i64) -> Result<(), ModelError> {
        let mut value = serde_json::to_value(self).map_err(|source| ModelError::Json { path: path.into(), source })?;
        value["architectures"] = serde_json::json!(["GPT2LMHeadModel"]);
        value["bos_token_id"] = end.into();
        value["eos_token_id"] = end.into();
        std::fs::write(path, format!("{value:#}\n")).map_err(|source| ModelError::File { path: path.into(), source })
    }

    /// The checked configuration in `rust-bert`'s form; `origin` names it in errors.
    pub(super) fn to_rust_bert(&self, origin: &str) -> Result<rust_bert_gpt2::Gpt2Config, ModelError> {
        self.validate(origin)?;
        let fields = serde_json::json!({
            "vocab_size": self.vocab_size,
            "n_ctx": self.n_positions,
            "n_positions": self.n_positions,
            "n_embd": self.n_embd,
            "n_layer": self.n_layer,
            "n_head": self.n_head,
            "afn": activation(&self.activation_function),
            "resid_pdrop": self.resid_pdrop,
            "embd_pdrop": self.embd_pdrop,
            "attn_pdrop": self.attn_pdrop,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "initializer_range": self.initializer_range,
        });
        // By way of JSON, since rust-bert keeps the type of the activation to itself.
        serde_json::from_value(fields).map_err(|source| ModelError::Json { path: origin.into(), source })
    }

    fn validate(&self, origin: &str) -> Result<(), ModelError> {
        let fail = |field, found: &dyn ToString, expected: &str| {
            Err(ModelError::Setting {
                origin: origin.into(),
                field,
                found: found.to_string(),
                expected: expected.into(),
            })
        };
        if self.model_type != "gpt2" {
            return fail("model_type", &self.model_type, "gpt2");
        }
        // The bounds keep sizes far from overflow.
        for (field, value, least, most) in [
            ("vocab_size", self.vocab_size, 1, 1 << 22),
            ("n_positions", self.n_positions, 2, 1 << 14),
            ("n_embd", self.n_embd, 1, 1 << 16),
            ("n_layer", self.n_layer, 1, 1 << 10),
            ("n_head", self.n_head, 1, 1 << 16),
        ] {
            if !(least..=most).contains(&value) {
                return fail(field, &value, &format!("between {least} and {most}"));
            }
        }
        if self.n_embd % self.n_head != 0 {
            return fail("n_embd", &self.n_embd, &format!("a multiple of n_head, {}", self.n_head));
        }
        if let Some(inner) = self.n_inner.filter(|&inner| inner != 4 * self.n_embd) {
            return fail("n_inner", &inner, &format!("4 times n_embd ({}) or null", 4 * self.n_embd));
        }
        for (field, value) in
            [("resid_pdrop", self.resid_pdrop), ("embd_pdrop", self.embd_pdrop), ("attn_pdrop", self.attn_pdrop)]
        {
            if !(0.0..1.0).contains(&value) {
                return fail(field, &value, "at least 0 and below 1");
            }
        }
        for (field, value) in
            [("layer_norm_epsilon", self.layer_norm_epsilon), ("initializer_range", self.initializer_range)]
        {
            if !(value > 0.0 && value < 1.0) {
                return fail(field, &value, "above 0 and below 1");
            }
        }
        if activation(&self.activation_function).is_none() {
            return fail(
                "activation_function",
                &self.activation_function,
                "gelu_new, gelu_pytorch_tanh, relu, silu, swish or tanh",
            );
        }
        for (field, value, only) in [
            ("scale_attn_weights", self.scale_attn_weights, true),
            ("scale_attn_by_inverse_layer_idx", self.scale_attn_by_inverse_layer_idx, false),
            ("tie_word_embeddings", self.tie_word_embeddings, true),
        ] {
            if value != only {
                return fail(field, &value, &format!("{only}; {value} is not supported"));
            }
        }
        Ok(())
    }
}

/// `rust-bert`'s name of an activation. Its GPT-2 computes `gelu` by the tanh approximation, so the exact one is left out.
fn activation(name: &str) -> Option<&'static str> {
    match name {
        "gelu_new" | "gelu_pytorch_tanh" => Some("gelu_new"),
        "relu" => Some("relu"),
        "silu" | "swish" => Some("swish"),
        "tanh" => Some("tanh"),
        _ => None,
    }
}
