//! A training from flags to results.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use imbalance_core::{ClassCounts, Head};
use imbalance_evaluation::dialogue::{DialogueScores, FrequencySeries, plot_word_frequencies};
use imbalance_train::device::Shapes;
use imbalance_train::{
    Compute, Interrupt, Losses, Manifest, Outcome, Precision, RunFolder, RunRequest, Sampling, Stream, Summary,
    TrainError, checkpoint, derive, fit, losses::MadeLosses, write_atomically,
};
use serde::Serialize;
use tch::Device;
use tch::nn::VarStore;

use crate::data::{Corpus, Source, Split};
use crate::dataset::Examples;
use crate::evaluate::{Replies, evaluate, word_counts};
use crate::flags::ModelFlag;
use crate::glove::Glove;
use crate::model::{Gpt2Config, Gpt2Model};
use crate::reply::one_line;
use crate::saved::{AnyModel, DataSource, ModelFile, ModelSpec};
use crate::task::{DialogueTask, Measured, Measuring, measure};
use crate::vocabulary::Vocabulary;
use crate::{DialogueError, DialogueFlags};

/// Replies that are shown at the end of a run.
const SAMPLES: usize = 5;

/// What a training ended with; `results.json` in the run folder.
#[derive(Debug, Serialize)]
pub struct TrainedRun {
    /// The run folder.
    pub run: PathBuf,
    /// The loss's id.
    pub loss: String,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Trained parameters.
    pub parameters: i64,
    /// What the training loop did.
    pub training: Summary,
    /// The split that was scored: test, or validation where there is no test.
    pub split: String,
    /// The loss on that split, a mean over target tokens.
    pub split_loss: f64,
    /// All scores of the replies to that split, with the perplexity.
    pub scores: DialogueScores,
    /// Replies decoded a second.
    pub replies_per_second: f64,
    /// Some messages, what the model said, what people said.
    #[serde(skip)]
    pub samples: Vec<[String; 3]>,
}

/// Trains, evaluates and fills a run folder. `config` is the resolved configuration, TOML; progress goes to
/// stderr unless the flags ask for quiet.
///
/// # Errors
/// See [`DialogueError`]; nothing half-written is left where the run could not start.
pub fn train(flags: &DialogueFlags, losses: &Losses, config: String) -> Result<Ended, DialogueError> {
    let settings = flags.train.resolve()?;
    let compute = Compute::open(&flags.train, Shapes::Alike)?;
    let prepared = Prepared::new(flags, losses, &compute)?;
    let interrupt = Interrupt::install()?;
    let mut run = compute.open_run(&flags.train, &prepared.request(flags, losses, config))?;
    if let Some(run) = &run {
        prepared.file.write(run.path(), &prepared.vocabulary)?;
        write_words(&run.path().join("vocabulary.tsv"), &prepared.words)?;
    }
    let mut task = DialogueTask {
        store: &prepared.store,
        model: &prepared.model,
        train: &prepared.train,
        sampling: &prepared.sampling,
        valid: &prepared.valid,
        losses: &prepared.losses,
        batch_size: flags.train.batch_size,
        loss_path: flags.train.loss_path,
        seed: flags.train.seed,
        precision: compute.precision,
        device: compute.device,
    };
    let outcome = fit(&mut task, &settings, run.as_mut(), &interrupt, &compute.group)?;
    match outcome {
        Outcome::Interrupted(_) => Ok(run.map_or(Ended::Helped, |run| Ended::Interrupted(run.path().to_owned()))),
        Outcome::Finished(summary) => {
            let trained = prepared.finish(flags, &compute, run.as_ref(), summary)?;
            Ok(trained.map_or(Ended::Helped, |trained| Ended::Finished(Box::new(trained))))
        }
    }
}

/// How a training ended without an error.
#[derive(Debug)]
pub enum Ended {
    /// Trained and scored.
    Finished(Box<TrainedRun>),
    /// The user stopped it; this run folder can be resumed.
    Interrupted(PathBuf),
    /// This process helped another, which has the results.
    Helped,
}

/// Everything that a training needs, before anything is written.
struct Prepared {
    corpus: Corpus,
    vocabulary: Vocabulary,
    words: Vec<(String, u64)>,
    train: Examples,
    sampling: Sampling,
    valid: Examples,
    losses: MadeLosses,
    store: VarStore,
    model: AnyModel,
    file: ModelFile,
}

impl Prepared {
    fn new(flags: &DialogueFlags, losses: &Losses, compute: &Compute) -> Result<Self, DialogueError> {
        flags.model.check()?;
        check_precision(flags, compute)?;
        flags.decode.validate()?;
        compute.check_run(&flags.train)?;
        let say = |text: &str| compute.say(&flags.train, text);
        let corpus = flags.data.corpus()?;
        for source in &corpus.sources {
            say(&source.to_string());
        }
        if corpus.test.is_none() {
            say("there is no test split: the validation split is scored in its place");
        }
        let mut vocabulary = match &flags.model.gpt2_weights {
            Some(folder) => Vocabulary::from_tokenizer_file(folder)?,
            None => Vocabulary::build(&corpus.train, &flags.data.vocabulary_options())?,
        };
        vocabulary.count_replies(&corpus.train);
        let words = word_counts(&corpus.train, &vocabulary);
        let train = Examples::new(&corpus.train, &vocabulary, flags.data.history_tokens, flags.data.reply_tokens);
        let valid = Examples::new(&corpus.valid, &vocabulary, flags.data.history_tokens, 0);
        if train.cut_replies > 0 {
            say(&format!(
                "{} training replies were cut to --reply-tokens {}",
                train.cut_replies, flags.data.reply_tokens
            ));
        }
        let counts = ClassCounts::new(vocabulary.reply_counts().to_vec())?;
        say(&format!(
            "vocabulary: {} classes, {} without training examples (weighed as one), imbalance ratio {}",
            counts.len(),
            counts.unseen().count(),
            counts.imbalance_ratio()
        ));
        let losses = losses.make(Head::Softmax, &counts)?;
        let sampling = Sampling::new(flags.train.sampling(), counts, train.classes()).map_err(TrainError::from)?;
        let store = VarStore::new(compute.device);
        let cosine_scale = flags.model.cosine_scale(losses.all())?;
        let (model, spec) = build_model(flags, cosine_scale, &store, &vocabulary, &say)?;
        if let ModelSpec::Gpt2(config) = &spec {
            let test = corpus.test.as_ref().map(|test| Examples::new(test, &vocabulary, flags.data.history_tokens, 0));
            let splits = [(Split::Train, Some(&train)), (Split::Valid, Some(&valid)), (Split::Test, test.as_ref())];
            for (split, examples) in splits.into_iter().filter_map(|(split, examples)| Some((split, examples?))) {
                check_lengths(split, examples, config.n_positions)?;
            }
        }
        let file =
            ModelFile { model: spec, data: DataSource::of(&flags.data), history_tokens: flags.data.history_tokens };
        Ok(Self { corpus, vocabulary, words, train, sampling, valid, losses, store, model, file })
    }

    fn request(&self, flags: &DialogueFlags, losses: &Losses, config: String) -> RunRequest {
        let mut manifest = Manifest::collect(flags.train.seed);
        manifest.plugins = losses.plugins();
        manifest.data = data_hashes(&self.corpus.sources);
        RunRequest {
            folder: flags.train.run.clone(),
            root: "runs".into(),
            name: format!("dialogue-{}", self.losses.main.id()),
            mode: flags.train.run_mode(),
            config,
            manifest,
        }
    }

    /// Scores the best weights and writes what they said, into the run folder of the first process; the others take their share of
    /// the replies, and have no results.
    fn finish(
        &self,
        flags: &DialogueFlags,
        compute: &Compute,
        run: Option<&RunFolder>,
        training: Summary,
    ) -> Result<Option<TrainedRun>, DialogueError> {
        let Compute { device, precision, group, .. } = compute;
        if let Some(run) = run {
            checkpoint::load_weights(&run.best_checkpoint(), &self.store)?;
        }
        group.broadcast_variables(&self.store, |_| true).map_err(TrainError::from)?;
        let (split, dialogues) = match &self.corpus.test {
            Some(test) => ("test", test),
            None => ("valid", &self.corpus.valid),
        };
        let examples = Examples::new(dialogues, &self.vocabulary, flags.data.history_tokens, 0);
        let how = Measuring { path: flags.train.loss_path, precision: *precision, device: *device };
        let Measured { loss, perplexity } =
            measure(&self.model, &examples, &self.losses.main, flags.train.batch_size, how, group)?;
        let replies = Replies::decode(&self.model, &self.vocabulary, &examples, &flags.decode, *device, group)?;
        let (Some(run), Some(replies)) = (run, replies) else { return Ok(None) };
        let mut evaluation = evaluate(replies, dialogues, &self.words)?;
        evaluation.scores.perplexity = Some(perplexity);
        write_lines(&run.path().join(format!("replies-{split}.txt")), &evaluation.replies)?;
        write_lines(&run.path().join(format!("references-{split}.txt")), &evaluation.references)?;
        let plot = run.path().join("word-frequencies.svg");
        let training_words = self.words.iter().cloned().collect();
        plot_word_frequencies(
            &[
                FrequencySeries::from_counts("training replies", &training_words),
                FrequencySeries::from_texts(format!("{split} references"), &evaluation.references),
                FrequencySeries::from_texts(format!("replies ({})", self.losses.main.id()), &evaluation.replies),
            ],
            &plot,
        )
        .map_err(DialogueError::on(&plot, "draw"))?;
        let messages = dialogues.iter().flat_map(|dialogue| {
            dialogue.replies().map(|turn| dialogue.history(turn).last().unwrap_or_default().to_owned())
        });
        let samples = messages
            .zip(evaluation.replies.iter().zip(&evaluation.references))
            .enumerate()
            // One more than a fifth: samples from different places of their dialogues.
            .filter(|(at, _)| at % (evaluation.replies.len() / SAMPLES + 1) == 0)
            .map(|(_, sample)| sample)
            .map(|(message, (reply, reference))| [message, reply.clone(), reference.clone()])
            .take(SAMPLES)
            .collect();
        let trained = TrainedRun {
            run: run.path().to_owned(),
            loss: self.losses.main.id().to_owned(),
            vocabulary: self.vocabulary.len(),
            parameters: self.store.trainable_variables().iter().map(|tensor| tensor.numel() as i64).sum(),
            training,
            split: split.to_owned(),
            split_loss: loss,
            scores: evaluation.scores,
            replies_per_second: evaluation.replies_per_second,
            samples,
        };
        run.write_results(&trained)?;
        Ok(Some(trained))
    }
}

/// A GPT-2 has so many positions and no more; replies are not cut where they are scored.
fn check_lengths(split: Split, examples: &Examples, positions: i64) -> Result<(), DialogueError> {
    let longest = examples.longest_reply();
    if longest as i64 <= positions {
        return Ok(());
    }
    let cut = if split == Split::Train { ", or give --reply-tokens" } else { "" };
    Err(DialogueError::Usage(format!(
        "{split} split: its longest reply has {longest} tokens with its end, and the GPT-2 {positions} positions (n_positions); \
         shorten such replies{cut}"
    )))
}

/// The LSTM has no kernel for float16 on the processor.
fn check_precision(flags: &DialogueFlags, compute: &Compute) -> Result<(), DialogueError> {
    let in_float16 = compute.precision == Precision::Float16 && compute.device == Device::Cpu;
    match flags.model.model {
        ModelFlag::Lstm if in_float16 => Err(DialogueError::Usage(
            "--precision float16: on the processor the LSTM computes in float32 or bfloat16; give one of them, or --device cuda"
                .into(),
        )),
        _ => Ok(()),
    }
}

fn build_model(
    flags: &DialogueFlags,
    cosine_scale: Option<f64>,
    store: &VarStore,
    vocabulary: &Vocabulary,
    say: &dyn Fn(&str),
) -> Result<(AnyModel, ModelSpec), DialogueError> {
    let seed = derive(flags.train.seed, Stream::Weights, 0);
    if flags.model.model == ModelFlag::Lstm {
        let config = flags.model.lstm(cosine_scale);
        let embedding = config.embedding as usize;
        let spec = ModelSpec::Lstm(config);
        let model = AnyModel::new(store, &spec, vocabulary, seed)?;
        if let (Some(path), AnyModel::Lstm(lstm)) = (&flags.model.glove, &model) {
            let (matrix, coverage) = Glove::read(path, vocabulary)?.matrix(vocabulary, embedding, flags.train.seed);
            lstm.set_embeddings(&matrix)?;
            say(&format!("GloVe: {} of {} words found", coverage.found, coverage.words));
        }
        return Ok((model, spec));
    }
    let special = vocabulary.special();
    let model = match (&flags.model.gpt2_weights, &flags.model.gpt2_config) {
        (Some(folder), _) => Gpt2Model::from_folder(store, folder, vocabulary.len(), special, seed)?,
        (None, Some(path)) => Gpt2Model::new(store, &Gpt2Config::read(path)?, vocabulary.len(), special, seed)?,
        (None, None) => return Err(DialogueError::Usage("--model gpt2 needs --gpt2-config or --gpt2-weights".into())),
    };
    let spec = ModelSpec::Gpt2(model.config().clone());
    Ok((AnyModel::Gpt2(model), spec))
}

fn data_hashes(sources: &[Source]) -> BTreeMap<String, String> {
    sources.iter().map(|source| (source.split.to_string(), source.sha256.clone())).collect()
}

fn write_lines(path: &Path, lines: &[String]) -> Result<(), DialogueError> {
    write_atomically(path, |file| -> std::io::Result<()> {
        for line in lines {
            writeln!(file, "{}", one_line(line))?;
        }
        Ok(())
    })
    .map_err(DialogueError::on(path, "write"))
}

/// Word types with their counts in the training replies, for `toolkit eval dialogue --vocabulary`.
fn write_words(path: &Path, words: &[(String, u64)]) -> Result<(), DialogueError> {
    let lines: Vec<String> = words.iter().map(|(word, count)| format!("{word}\t{count}")).collect();
    write_lines(path, &lines)
}
