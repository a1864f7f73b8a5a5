//! What a run folder holds of its model, and taking it up again.

use std::fs;
use std::path::{Path, PathBuf};

use imbalance_train::{Group, checkpoint};
use serde::{Deserialize, Serialize};
use tch::nn::VarStore;
use tch::{Device, Tensor};

use crate::DialogueError;
use crate::data::{Corpus, Split};
use crate::dataset::Examples;
use crate::decode::DecodeOptions;
use crate::evaluate::{Evaluation, Replies, evaluate, word_counts};
use crate::flags::DataFlags;
use crate::model::{
    Batch, DecoderState, Gpt2Config, Gpt2Model, LstmConfig, LstmModel, ModelError, ReplyModel, Special,
};
use crate::task::perplexity;
use crate::vocabulary::Vocabulary;

/// The file beside `config.toml` that says what the model is.
const MODEL: &str = "model.json";
/// The vocabulary: a tokenizer in the format of the `tokenizers` crate.
const VOCABULARY: &str = "vocabulary.json";

/// A model's architecture and shape.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelSpec {
    /// [`LstmModel`].
    Lstm(LstmConfig),
    /// [`Gpt2Model`].
    Gpt2(Gpt2Config),
}

/// Where a run's data came from, absolute.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataSource {
    /// The generated corpus of this seed.
    BuiltIn(u64),
    /// A folder with one file a split.
    Folder(PathBuf),
    /// Files of their own.
    Files {
        /// Training.
        train: PathBuf,
        /// Validation.
        valid: PathBuf,
        /// Test.
        test: Option<PathBuf>,
    },
}

impl DataSource {
    /// What `flags` name, with absolute paths.
    pub fn of(flags: &DataFlags) -> Self {
        let absolute = |path: &PathBuf| fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        match (&flags.data, &flags.train_data, &flags.valid_data) {
            (Some(folder), ..) => Self::Folder(absolute(folder)),
            (None, Some(train), Some(valid)) => Self::Files {
                train: absolute(train),
                valid: absolute(valid),
                test: flags.test_data.as_ref().map(absolute),
            },
            _ => Self::BuiltIn(flags.corpus_seed),
        }
    }

    /// Reads or generates the corpus.
    ///
    /// # Errors
    /// See [`crate::data::DataError`].
    pub fn corpus(&self) -> Result<Corpus, DialogueError> {
        Ok(match self {
            Self::BuiltIn(seed) => Corpus::built_in(*seed),
            Self::Folder(folder) => Corpus::load(folder)?,
            Self::Files { train, valid, test } => Corpus::from_files(train, valid, test.as_deref())?,
        })
    }
}

/// A model of either architecture.
#[allow(clippy::large_enum_variant, reason = "there is one, and it lives as long as the run")]
pub enum AnyModel {
    /// LSTM encoder-decoder.
    Lstm(LstmModel),
    /// GPT-2.
    Gpt2(Gpt2Model),
}

impl AnyModel {
    /// Adds the model's parameters to `store`, with first values that the seed decides.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn new(store: &VarStore, spec: &ModelSpec, vocabulary: &Vocabulary, seed: u64) -> Result<Self, ModelError> {
        let (size, special) = (vocabulary.len(), vocabulary.special());
        Ok(match spec {
            ModelSpec::Lstm(config) => Self::Lstm(LstmModel::new(&store.root(), config, size, special, seed)?),
            ModelSpec::Gpt2(config) => Self::Gpt2(Gpt2Model::new(store, config, size, special, seed)?),
        })
    }

    fn inner(&self) -> &dyn ReplyModel {
        match self {
            Self::Lstm(model) => model,
            Self::Gpt2(model) => model,
        }
    }
}

impl ReplyModel for AnyModel {
    fn logits(&self, batch: &Batch, train: bool) -> Result<Tensor, ModelError> {
        self.inner().logits(batch, train)
    }

    fn cosines(&self, batch: &Batch, train: bool) -> Result<Tensor, ModelError> {
        self.inner().cosines(batch, train)
    }

    fn cosine_scale(&self) -> Option<f64> {
        self.inner().cosine_scale()
    }

    fn start<'a>(&'a self, histories: &Batch) -> Result<Box<dyn DecoderState + 'a>, ModelError> {
        self.inner().start(histories)
    }

    fn vocabulary_len(&self) -> usize {
        self.inner().vocabulary_len()
    }
}

/// `model.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ModelFile {
    pub model: ModelSpec,
    pub data: DataSource,
    pub history_tokens: usize,
}

impl ModelFile {
    pub(crate) fn write(&self, run: &Path, vocabulary: &Vocabulary) -> Result<(), DialogueError> {
        vocabulary.save(&run.join(VOCABULARY))?;
        let path = run.join(MODEL);
        let text = serde_json::to_string_pretty(self).map_err(DialogueError::on(&path, "write"))?;
        imbalance_train::write_atomically(&path, |file| std::io::Write::write_all(file, text.as_bytes()))
            .map_err(DialogueError::on(&path, "write"))
    }
}

/// A finished or interrupted run: its model with trained weights, its vocabulary, its data.
pub struct SavedRun {
    /// The model.
    pub model: AnyModel,
    /// The vocabulary.
    pub vocabulary: Vocabulary,
    /// Where the data came from.
    pub data: DataSource,
    /// Most tokens of a history that the model reads; 0 for all.
    pub history_tokens: usize,
    /// The checkpoint that the weights are from.
    pub checkpoint: PathBuf,
    _store: VarStore,
}

impl SavedRun {
    /// Loads the best weights of the run in `folder`, or `checkpoint` where one is named.
    ///
    /// # Errors
    /// Names the file that is missing or does not fit.
    pub fn load(folder: &Path, checkpoint: Option<&Path>) -> Result<Self, DialogueError> {
        let path = folder.join(MODEL);
        let text = fs::read_to_string(&path).map_err(|error| DialogueError::File {
            path: path.clone(),
            reason: format!("cannot read: {error}; a run folder of `toolkit dialogue` has it"),
        })?;
        let file: ModelFile = serde_json::from_str(&text).map_err(|error| {
            DialogueError::on(&path, "parse")(format!("{error}; is this a run of `toolkit dialogue`?"))
        })?;
        let vocabulary = Vocabulary::load(&folder.join(VOCABULARY))?;
        let store = VarStore::new(Device::Cpu);
        let model = AnyModel::new(&store, &file.model, &vocabulary, 0)?;
        let best = folder.join("checkpoints/best.safetensors");
        let checkpoint = match checkpoint {
            Some(path) => path.to_owned(),
            None if best.exists() => best,
            // Interrupted before its first validation.
            None => folder.join("checkpoints/last.safetensors"),
        };
        checkpoint::load_weights(&checkpoint, &store)?;
        let ModelFile { data, history_tokens, .. } = file;
        Ok(Self { model, vocabulary, data, history_tokens, checkpoint, _store: store })
    }

    /// The special tokens.
    pub fn special(&self) -> Special {
        self.vocabulary.special()
    }

    /// Scores the model's replies to `split` (test, or validation where there is no test) of `data` (the
    /// run's own).
    ///
    /// # Errors
    /// The data is gone, or has no such split.
    pub fn evaluate(
        &self,
        data: Option<&DataSource>,
        split: Option<Split>,
        options: &DecodeOptions,
    ) -> Result<Evaluation, DialogueError> {
        let own = self.data.corpus();
        // The classes are those of the training, whatever is scored; the data scored may be all there is.
        let other = data.map(DataSource::corpus).transpose()?;
        let corpus = match &other {
            Some(corpus) => corpus,
            None => own
                .as_ref()
                .map_err(|error| DialogueError::Usage(format!("the run's data: {error}; name others with --data")))?,
        };
        let dialogues = match (split, &corpus.test) {
            (Some(Split::Train), _) => &corpus.train,
            (Some(Split::Valid), _) | (None, None) => &corpus.valid,
            (_, Some(test)) => test,
            (Some(Split::Test), None) => {
                return Err(DialogueError::Usage("the data have no test split; evaluate with --split valid".into()));
            }
        };
        let train = own.as_ref().map_or(&corpus.train, |own| &own.train);
        let words = word_counts(train, &self.vocabulary);
        let examples = Examples::new(dialogues, &self.vocabulary, self.history_tokens, 0);
        let (model, vocabulary) = (&self.model, &self.vocabulary);
        let replies = Replies::decode(model, vocabulary, &examples, options, Device::Cpu, &Group::alone())?;
        let mut evaluation = evaluate(replies.unwrap_or_default(), dialogues, &words)?;
        evaluation.scores.perplexity = Some(perplexity(&self.model, &examples)?);
        Ok(evaluation)
    }
}
