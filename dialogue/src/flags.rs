//! The command-line flags of dialogue runs.

use std::path::PathBuf;

use imbalance_core::host::Loss;
use imbalance_train::flags::numbers::zero_to_below_one;
use imbalance_train::normalised_classifier::parse_cosine_scale;
use imbalance_train::{NormalisedClassifier, TrainFlags};
use serde::{Deserialize, Serialize};

use crate::DialogueError;
use crate::data::Corpus;
use crate::decode::DecodeOptions;
use crate::model::{Attention, LstmConfig, SharedEmbeddings};
use crate::vocabulary::{VocabularyKind, VocabularyOptions};

/// All flags of a training, whose names are a recipe's keys too.
#[derive(Clone, Debug, clap::Args, Serialize)]
pub struct DialogueFlags {
    /// Data and vocabulary.
    #[command(flatten)]
    #[serde(flatten)]
    pub data: DataFlags,
    /// The model.
    #[command(flatten)]
    #[serde(flatten)]
    pub model: ModelFlags,
    /// The training loop.
    #[command(flatten)]
    #[serde(flatten)]
    pub train: TrainFlags,
    /// How replies are decoded for the evaluation.
    #[command(flatten)]
    #[serde(flatten)]
    pub decode: DecodeOptions,
}

/// `--vocabulary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VocabularyFlag {
    /// Each word type is a class
    Word,
    /// Byte-level BPE
    Bpe,
}

/// Where conversations come from and how they become tokens.
#[derive(Clone, Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Data")]
#[serde(rename_all = "kebab-case")]
pub struct DataFlags {
    /// Folder with a training, a validation and perhaps a test file, in ConvAI2's numbered lines or JSON Lines
    /// [default: a corpus that the program generates]
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["train_data", "valid_data", "test_data"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,

    /// Training file, in place of --data
    #[arg(long, value_name = "FILE", requires = "valid_data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_data: Option<PathBuf>,

    /// Validation file
    #[arg(long, value_name = "FILE", requires = "train_data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_data: Option<PathBuf>,

    /// Test file
    #[arg(long, value_name = "FILE", requires = "train_data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_data: Option<PathBuf>,

    /// Seed of the generated corpus
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    pub corpus_seed: u64,

    /// How text is cut into tokens
    #[arg(long, value_enum, default_value_t = VocabularyFlag::Word)]
    pub vocabulary: VocabularyFlag,

    /// Most entries of the vocabulary; 0 for all words (word) or 8000 (bpe)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub vocabulary_size: usize,

    /// Words that occur less often in the training text become unknown
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub min_count: u64,

    /// Most tokens of a history that the model reads, the latest; 0 for all
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    pub history_tokens: usize,

    /// Most tokens of a reply that training learns from; 0 for all
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    pub reply_tokens: usize,
}

impl DataFlags {
    /// Reads or generates the corpus.
    ///
    /// # Errors
    /// See [`crate::data::DataError`].
    pub fn corpus(&self) -> Result<Corpus, DialogueError> {
        Ok(match (&self.data, &self.train_data, &self.valid_data) {
            (Some(folder), ..) => Corpus::load(folder)?,
            (None, Some(train), Some(valid)) => Corpus::from_files(train, valid, self.test_data.as_deref())?,
            _ => Corpus::built_in(self.corpus_seed),
        })
    }

    /// How the vocabulary is built.
    pub fn vocabulary_options(&self) -> VocabularyOptions {
        let size = Some(self.vocabulary_size).filter(|&size| size > 0);
        let (kind, max_size) = match self.vocabulary {
            VocabularyFlag::Word => (VocabularyKind::Word, size),
            VocabularyFlag::Bpe => (VocabularyKind::Bpe { size: size.unwrap_or(8000) }, None),
        };
        VocabularyOptions { kind, min_count: self.min_count, max_size }
    }
}

/// `--model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelFlag {
    /// LSTM encoder-decoder with attention (the paper's)
    Lstm,
    /// GPT-2 through rust-bert
    Gpt2,
}

/// The model and its first values.
#[derive(Clone, Debug, clap::Args, Serialize)]
#[command(next_help_heading = "Model")]
#[serde(rename_all = "kebab-case")]
pub struct ModelFlags {
    /// Architecture
    #[arg(long, value_enum, default_value_t = ModelFlag::Lstm)]
    pub model: ModelFlag,

    /// Width of the word embeddings (lstm)
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(i64).range(1..=65536))]
    pub embedding: i64,

    /// Width of the hidden states (lstm)
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(i64).range(1..=65536))]
    pub hidden: i64,

    /// Layers of the encoder, and of the decoder (lstm)
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(i64).range(1..=64))]
    pub layers: i64,

    /// Probability of dropping a value (lstm)
    #[arg(long, allow_negative_numbers = true, value_name = "P", default_value_t = 0.1, value_parser = zero_to_below_one)]
    pub dropout: f64,

    /// How the decoder attends to the history (lstm)
    #[arg(long, value_enum, default_value_t = Attention::General)]
    pub attention: Attention,

    /// Which embedding tables are one (lstm)
    #[arg(long, value_enum, default_value_t = SharedEmbeddings::EncoderDecoder)]
    pub share_embeddings: SharedEmbeddings,

    /// Whether logits are scaled cosines of unit features and unit class vectors, without bias (lstm)
    #[arg(long, value_enum, default_value_t = NormalisedClassifier::Auto)]
    pub normalised_classifier: NormalisedClassifier,

    /// Logits over cosines of a normalised classifier, for decoding and for losses that do not scale the cosines themselves
    /// [default: the scale of the loss that asks for the classifier, or 30]
    #[arg(long, allow_negative_numbers = true, value_name = "SCALE", value_parser = parse_cosine_scale)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine_scale: Option<f64>,

    /// GloVe vectors (text, a word and its numbers a line) that the word embeddings start from (lstm)
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glove: Option<PathBuf>,

    /// Configuration in Hugging Face's JSON of a GPT-2 to train from scratch (gpt2)
    #[arg(long, value_name = "FILE", conflicts_with = "gpt2_weights")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpt2_config: Option<PathBuf>,

    /// Folder with config.json, model.safetensors (or rust_model.ot) and the tokenizer of a GPT-2 to go on from (gpt2)
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpt2_weights: Option<PathBuf>,
}

impl ModelFlags {
    /// Flags that belong to the other architecture, or are missing for this one.
    ///
    /// # Errors
    /// [`DialogueError::Usage`], naming the flag.
    pub fn check(&self) -> Result<(), DialogueError> {
        let wrong = |message: &str| Err(DialogueError::Usage(message.into()));
        match self.model {
            ModelFlag::Lstm if self.gpt2_config.is_some() || self.gpt2_weights.is_some() => {
                wrong("--gpt2-config and --gpt2-weights need --model gpt2")
            }
            ModelFlag::Gpt2 if self.gpt2_config.is_none() && self.gpt2_weights.is_none() => {
                wrong("--model gpt2 needs --gpt2-config FILE (to train from scratch) or --gpt2-weights FOLDER")
            }
            ModelFlag::Gpt2 if self.glove.is_some() => {
                wrong("--glove is for --model lstm: GPT-2's embeddings have a width of their own")
            }
            _ => Ok(()),
        }
    }

    /// The scale of a normalised classifier's cosines, for the losses of the run, the chosen one first; `None` for a linear
    /// classifier.
    ///
    /// # Errors
    /// [`DialogueError::Usage`]: a GPT-2, whose output layer cannot be normalised, or a scale without such a classifier.
    pub fn cosine_scale<'a>(&self, losses: impl IntoIterator<Item = &'a Loss>) -> Result<Option<f64>, DialogueError> {
        let losses: Vec<&Loss> = losses.into_iter().collect();
        let scale = self.normalised_classifier.cosine_scale(self.cosine_scale, losses.iter().copied())?;
        if scale.is_some() && self.model == ModelFlag::Gpt2 {
            let asking = losses.into_iter().find(|loss| loss.wants_normalised_classifier());
            return Err(DialogueError::Usage(match (self.normalised_classifier, asking) {
                (NormalisedClassifier::Auto, Some(loss)) => format!(
                    "loss `{}` asks for a normalised classifier, which GPT-2 does not have: its output layer is its embedding table; \
                     give --normalised-classifier no, or --model lstm",
                    loss.id()
                ),
                _ => "--normalised-classifier yes is for --model lstm: GPT-2's output layer is its embedding table"
                    .into(),
            }));
        }
        Ok(scale)
    }

    /// The LSTM's shape; `cosine_scale` is [`ModelFlags::cosine_scale`].
    pub fn lstm(&self, cosine_scale: Option<f64>) -> LstmConfig {
        LstmConfig {
            embedding: self.embedding,
            hidden: self.hidden,
            layers: self.layers,
            dropout: self.dropout,
            share_embeddings: self.share_embeddings,
            attention: self.attention,
            cosine_scale,
        }
    }
}
