//! The LSTM encoder-decoder with attention (the dialogue model of the paper, section 5.1 and appendix C.2).

use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use super::decoder::{Decoder, Decoding};
use super::embedding::Embedding;
use super::encoder::Encoder;
use super::init::Initializer;
use super::output::{OutputLayer, OutputShape};
use super::{Attention, Batch, DecoderState, ModelError, ReplyModel, Special};

/// Which of the three `[vocabulary, embedding]` tables are one parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SharedEmbeddings {
    /// None: one for the encoder, one for the decoder, an output layer of its own.
    None,
    /// The encoder's and the decoder's.
    #[default]
    EncoderDecoder,
    /// The decoder's and the output layer's, which projects to the embedding width first.
    DecoderOutput,
    /// All three.
    All,
}

impl SharedEmbeddings {
    fn inputs(self) -> bool {
        matches!(self, Self::EncoderDecoder | Self::All)
    }

    fn output(self) -> bool {
        matches!(self, Self::DecoderOutput | Self::All)
    }
}

/// The shape of an [`LstmModel`]; the defaults are the paper's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LstmConfig {
    /// Width of the token embeddings.
    pub embedding: i64,
    /// Width of the hidden states.
    pub hidden: i64,
    /// Layers of the encoder, and of the decoder.
    pub layers: i64,
    /// Probability of dropping a value of the embeddings, between layers, and before the output layer.
    pub dropout: f64,
    /// Which embedding tables are one.
    pub share_embeddings: SharedEmbeddings,
    /// The attention's score.
    pub attention: Attention,
    /// Scale s of a normalised classifier, whose logits are `s · cos(w_c, h)` of features h and class vectors w_c, without bias
    /// (Wang et al., 2018, "CosFace", eq. 2; what LDAM asks for); none for the linear layer.
    pub cosine_scale: Option<f64>,
}

impl Default for LstmConfig {
    fn default() -> Self {
        Self {
            embedding: 256,
            hidden: 1024,
            layers: 2,
            dropout: 0.1,
            share_embeddings: SharedEmbeddings::default(),
            attention: Attention::default(),
            cosine_scale: None,
        }
    }
}

impl LstmConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ModelError::Setting`] names the first field outside its range.
    pub fn validate(&self) -> Result<(), ModelError> {
        let fail = |field, found: String, expected: &str| {
            Err(ModelError::Setting { origin: "the LSTM model".into(), field, found, expected: expected.into() })
        };
        for (field, value) in [("embedding", self.embedding), ("hidden", self.hidden), ("layers", self.layers)] {
            // The bound keeps sizes far from overflow, so that a slip of the keyboard is an error and not an abort.
            if !(1..=65_536).contains(&value) {
                return fail(field, value.to_string(), "between 1 and 65536");
            }
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return fail("dropout", self.dropout.to_string(), "at least 0 and below 1");
        }
        if let Some(scale) = self.cosine_scale
            && !(scale > 0.0 && scale.is_finite())
        {
            return fail("cosine_scale", scale.to_string(), "above 0");
        }
        Ok(())
    }
}

/// Encoder, attention, decoder and output layer.
///
/// Parameters are named `embedding.weight` (or `encoder.embedding.weight` and `decoder.embedding.weight`),
/// `encoder.lstm.weight_ih_l0` …, `decoder.lstm.weight_ih_l0` …, `decoder.attention.query.weight`,
/// `decoder.attention.combine.weight`, `output.weight` (or `output.projection.weight`, `output.projection.bias`), and, unless the
/// classifier is normalised, `output.bias`.
#[derive(Debug)]
pub struct LstmModel {
    encoder: Encoder,
    decoder: Decoder,
    embeddings: Vec<Embedding>,
    vocabulary: usize,
    cosine_scale: Option<f64>,
}

impl LstmModel {
    /// Adds the parameters to `path`, with initial values that the seed alone decides.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for a setting, vocabulary or special token outside its range.
    pub fn new(
        path: &nn::Path,
        config: &LstmConfig,
        vocabulary: usize,
        special: Special,
        seed: u64,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        special.check("the LSTM model", vocabulary)?;
        if special.pad == special.start || special.pad == special.end {
            return Err(ModelError::Setting {
                origin: "the LSTM model".into(),
                field: "special",
                found: format!("{special:?}"),
                expected: "a pad token of its own, since its embedding stays zero".into(),
            });
        }
        let init = &mut Initializer::new(seed);
        let (tokens, width) = (vocabulary as i64, config.embedding);
        let (encoder, decoder) = (path / "encoder", path / "decoder");
        let mut table = |path: nn::Path| Embedding::new(&(path / "embedding"), init, tokens, width, special.pad);
        let embeddings = match config.share_embeddings.inputs() {
            true => vec![table(path.clone())],
            false => vec![table(encoder.clone()), table(decoder.clone())],
        };
        let (source, target) = (embeddings[0].share(), embeddings[embeddings.len() - 1].share());
        let shared = config.share_embeddings.output().then(|| target.share());
        let encoder = Encoder::new(&encoder, init, config, source);
        let LstmConfig { hidden, cosine_scale, .. } = *config;
        let shape = OutputShape { vocabulary: tokens, hidden, embedding: width, cosine_scale };
        let output = OutputLayer::new(&(path / "output"), init, &shape, shared);
        let decoder = Decoder::new(&decoder, init, config, target, output, special.start);
        Ok(Self { encoder, decoder, embeddings, vocabulary, cosine_scale })
    }

    /// Replaces the input embeddings, row after row `[vocabulary, embedding]` (GloVe, say); the pad row stays zero.
    ///
    /// # Errors
    /// [`ModelError::EmbeddingSize`] if there are more or fewer values.
    pub fn set_embeddings(&self, values: &[f32]) -> Result<(), ModelError> {
        self.embeddings.iter().try_for_each(|embedding| embedding.set(values))
    }
}

impl ReplyModel for LstmModel {
    fn logits(&self, batch: &Batch, train: bool) -> Result<Tensor, ModelError> {
        let (memory, state) = self.encoder.forward(batch, train)?;
        self.decoder.teacher_forced(batch, &memory, &state, train)
    }

    fn cosines(&self, batch: &Batch, train: bool) -> Result<Tensor, ModelError> {
        let (memory, state) = self.encoder.forward(batch, train)?;
        self.decoder.teacher_forced_cosines(batch, &memory, &state, train)
    }

    fn cosine_scale(&self) -> Option<f64> {
        self.cosine_scale
    }

    fn start<'a>(&'a self, histories: &Batch) -> Result<Box<dyn DecoderState + 'a>, ModelError> {
        let (memory, state) = tch::no_grad(|| self.encoder.forward(histories, false))?;
        Ok(Box::new(Decoding::new(&self.decoder, memory, state)))
    }

    fn vocabulary_len(&self) -> usize {
        self.vocabulary
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imbalance_train::{Autocast, Precision};
    use tch::{Device, Kind};

    const SPECIAL: Special = Special { pad: 0, start: 1, end: 2, unknown: Some(3) };
    const VOCABULARY: usize = 17;
    const HISTORIES: [&[u32]; 4] = [&[5, 6, 7, 8, 9, 10, 11], &[4, 16], &[], &[12, 12, 13]];
    const REPLIES: [&[u32]; 4] = [&[4, 5], &[6, 7, 8, 9, 10], &[11], &[]];

    fn config(share_embeddings: SharedEmbeddings, attention: Attention) -> LstmConfig {
        LstmConfig { embedding: 6, hidden: 8, share_embeddings, attention, ..Default::default() }
    }

    fn every_config() -> Vec<LstmConfig> {
        use SharedEmbeddings::{All, DecoderOutput, EncoderDecoder, None};
        vec![
            config(None, Attention::Dot),
            config(EncoderDecoder, Attention::General),
            config(DecoderOutput, Attention::None),
            config(All, Attention::General),
            LstmConfig { cosine_scale: Some(30.0), ..config(EncoderDecoder, Attention::General) },
            LstmConfig { cosine_scale: Some(16.0), ..config(All, Attention::Dot) },
        ]
    }

    fn model(config: &LstmConfig) -> (nn::VarStore, LstmModel) {
        let store = nn::VarStore::new(Device::Cpu);
        let model = LstmModel::new(&store.root(), config, VOCABULARY, SPECIAL, 7).unwrap();
        // Weights large enough that states, gates and attention differ from token to token.
        tch::no_grad(|| {
            store.trainable_variables().iter().for_each(|weight| drop(weight.shallow_clone().g_mul_scalar_(3.0)))
        });
        (store, model)
    }

    fn difference(a: &Tensor, b: &Tensor) -> f64 {
        assert_eq!(a.size(), b.size());
        (a - b).abs().max().double_value(&[])
    }

    fn batch(rows: std::ops::Range<usize>) -> Batch {
        Batch::new(&HISTORIES[rows.clone()], &REPLIES[rows], SPECIAL, Device::Cpu)
    }

    #[test]
    fn a_batch_gives_the_logits_of_its_rows() {
        for config in every_config() {
            let (_store, model) = model(&config);
            let together = model.logits(&batch(0..4), false).unwrap();
            let alone: Vec<Tensor> = (0..4).map(|row| model.logits(&batch(row..row + 1), false).unwrap()).collect();
            assert!(together.std(false).double_value(&[]) > 0.05);
            assert!(difference(&together, &Tensor::cat(&alone, 0)) < 1e-5, "{config:?}");
        }
    }

    #[test]
    fn the_state_at_a_rows_end_is_that_of_packed_sequences() {
        let store = nn::VarStore::new(Device::Cpu);
        let lstm = super::super::recurrent::Lstm::new(&store.root(), &mut Initializer::new(5), 2, 3, 4, 0.0);
        let inputs = Initializer::new(6).normal(&[6, 3, 3], 2.0);
        let names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
        let weights = store.variables();
        let weights: Vec<Tensor> =
            (0..2).flat_map(|layer| names.map(|name| weights[&format!("{name}_l{layer}")].shallow_clone())).collect();
        let zeros = || Tensor::zeros([2, 3, 4], (Kind::Float, Device::Cpu));
        let gradient = |outputs: &Tensor, hidden: &Tensor, cell: &Tensor| {
            (outputs.square().sum(Kind::Float) + (hidden * 3.0 + cell * 2.0).sum(Kind::Float)).backward();
            let all: Vec<Tensor> = weights.iter().map(|weight| weight.grad().flatten(0, -1).copy()).collect();
            weights.iter().for_each(|weight| drop(weight.grad().zero_()));
            Tensor::cat(&all, 0)
        };
        for (lengths, order) in [([6, 4, 1], [0i64, 1, 2]), ([2, 5, 3], [1, 2, 0]), ([6, 6, 6], [0, 1, 2])] {
            // libtorch's own packing wants the longest first.
            let sorted = order.map(|row| lengths[row as usize]);
            let order = Tensor::from_slice(&order);
            let pack = |padded: &Tensor| {
                padded.index_select(1, &order).internal_pack_padded_sequence(&Tensor::from_slice(&sorted), false)
            };
            let (packed, sizes) = pack(&inputs);
            let (expected, hidden, cell) =
                Tensor::lstm_data(&packed, &sizes, &[zeros(), zeros()], &weights, true, 2, 0.0, false, false);
            let packed_gradient = gradient(&expected, &hidden, &cell);
            assert!(packed_gradient.abs().max().double_value(&[]) > 1.0);
            for on_gpu in [false, true] {
                let (outputs, state) = if on_gpu {
                    lstm.forward_packed(&inputs, &lengths, false).unwrap()
                } else {
                    lstm.forward_to_lengths(&inputs, &lengths, false).unwrap()
                };
                assert_eq!(outputs.size(), [6, 3, 4]);
                let (outputs, _) = pack(&outputs);
                assert!(difference(&outputs, &expected) < 1e-6, "{lengths:?}");
                let state = state.select(&order);
                assert!(difference(&state.hidden, &hidden) < 1e-6, "{lengths:?}");
                assert!(difference(&state.cell, &cell) < 1e-6, "{lengths:?}");
                let found = gradient(&outputs, &state.hidden, &state.cell);
                assert!(difference(&found, &packed_gradient) < 1e-4, "{lengths:?}");
            }
        }
    }

    #[test]
    fn teacher_forcing_equals_decoding_step_by_step() {
        for config in every_config() {
            let (_store, model) = model(&config);
            let all = batch(0..4);
            let forced = model.logits(&all, false).unwrap().split_with_sizes(all.reply_lengths.as_slice(), 0);
            let mut state = model.start(&Batch::histories(&HISTORIES, SPECIAL, Device::Cpu)).unwrap();
            // Rows in another order, one twice, as beam search and finished rows leave them.
            let rows = [1i64, 1, 0];
            state.select(&Tensor::from_slice(&rows));
            let mut last = Tensor::from_slice(&[1i64; 3]);
            for step in 0..3 {
                let logits = state.step(&last).unwrap();
                for (index, &row) in rows.iter().enumerate() {
                    let expected = forced[row as usize].get(step);
                    assert!(
                        difference(&logits.get(index as i64), &expected) < 1e-5,
                        "{config:?} step {step} row {row}"
                    );
                }
                last = all.reply.select(1, step).index_select(0, &Tensor::from_slice(&rows));
            }
        }
    }

    #[test]
    fn the_pad_row_is_zero_and_gets_no_gradient() {
        for config in every_config() {
            let (store, model) = model(&config);
            model.logits(&batch(0..4), true).unwrap().logsumexp([1], false).sum(Kind::Float).backward();
            let tables = store.variables().into_iter().filter(|(name, _)| name.ends_with("embedding.weight"));
            for (name, table) in tables {
                assert_eq!(table.get(0).abs().sum(Kind::Float).double_value(&[]), 0.0, "{name}");
                assert_eq!(table.grad().get(0).abs().sum(Kind::Float).double_value(&[]), 0.0, "{name}");
                assert!(table.grad().get(5).abs().sum(Kind::Float).double_value(&[]) > 0.0, "{name}");
            }
        }
    }

    #[test]
    fn the_logits_of_a_normalised_classifier_are_its_scaled_cosines() {
        for config in every_config() {
            let (_store, model) = model(&config);
            let (logits, cosines) = (model.logits(&batch(0..4), false).unwrap(), model.cosines(&batch(0..4), false));
            assert_eq!(model.cosine_scale(), config.cosine_scale);
            let Some(scale) = config.cosine_scale else {
                assert!(cosines.unwrap_err().to_string().contains("no normalised classifier"));
                continue;
            };
            let cosines = cosines.unwrap();
            assert!(cosines.abs().max().double_value(&[]) <= 1.0 + 1e-6);
            assert!(difference(&(cosines * scale), &logits) < 1e-4, "{config:?}");
        }
    }

    #[test]
    fn parameters_have_lasting_names_and_are_restored() {
        let config = config(SharedEmbeddings::EncoderDecoder, Attention::General);
        let (store, model_) = model(&config);
        let mut names: Vec<String> = store.variables().into_keys().collect();
        names.sort();
        let lstm = [
            "bias_hh_l0",
            "bias_hh_l1",
            "bias_ih_l0",
            "bias_ih_l1",
            "weight_hh_l0",
            "weight_hh_l1",
            "weight_ih_l0",
            "weight_ih_l1",
        ];
        let mut expected = vec!["decoder.attention.combine.weight".into(), "decoder.attention.query.weight".into()];
        expected.extend(lstm.map(|name| format!("decoder.lstm.{name}")));
        expected.push("embedding.weight".into());
        expected.extend(lstm.map(|name| format!("encoder.lstm.{name}")));
        expected.extend(["output.bias".into(), "output.weight".into()]);
        assert_eq!(names, expected);

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.safetensors");
        store.save(&file).unwrap();
        let mut other = nn::VarStore::new(Device::Cpu);
        let restored = LstmModel::new(&other.root(), &config, VOCABULARY, SPECIAL, 8).unwrap();
        let logits = |model: &LstmModel| model.logits(&batch(0..4), false).unwrap();
        assert!(difference(&logits(&restored), &logits(&model_)) > 1e-2);
        other.load(&file).unwrap();
        assert_eq!(difference(&logits(&restored), &logits(&model_)), 0.0);
    }

    #[test]
    fn the_seed_decides_the_weights() {
        let build = |seed| {
            let store = nn::VarStore::new(Device::Cpu);
            let config = config(SharedEmbeddings::None, Attention::General);
            LstmModel::new(&store.root(), &config, VOCABULARY, SPECIAL, seed).unwrap();
            let weight = store.variables()["encoder.lstm.weight_hh_l1"].shallow_clone();
            assert!(weight.abs().max().double_value(&[]) <= 8.0f64.sqrt().recip());
            weight
        };
        assert_eq!(difference(&build(1), &build(1)), 0.0);
        assert!(difference(&build(1), &build(2)) > 0.1);
    }

    #[test]
    fn embeddings_can_be_given() {
        let (store, model) = model(&config(SharedEmbeddings::None, Attention::General));
        let values: Vec<f32> = (0..VOCABULARY * 6).map(|value| value as f32 + 1.0).collect();
        model.set_embeddings(&values).unwrap();
        for name in ["encoder.embedding.weight", "decoder.embedding.weight"] {
            let table = &store.variables()[name];
            assert_eq!(table.double_value(&[0, 3]), 0.0);
            assert_eq!(table.double_value(&[2, 1]), 14.0);
        }
        let error = model.set_embeddings(&values[1..]).unwrap_err().to_string();
        assert_eq!(error, "the embedding matrix has 101 values, but 17 tokens of width 6 need 102");
    }

    #[test]
    fn what_libtorch_cannot_compute_is_an_error() {
        let (_store, model) = model(&config(SharedEmbeddings::None, Attention::General));
        // It has no float16 on the processor.
        let _autocast = Autocast::begin(Precision::Float16, Device::Cpu);
        let error = model.logits(&batch(0..4), true).unwrap_err().to_string();
        assert!(error.starts_with("the model could not be evaluated: libtorch: "), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let store = nn::VarStore::new(Device::Cpu);
        let build = |config: LstmConfig, special| {
            LstmModel::new(&store.root(), &config, 4, special, 1).unwrap_err().to_string()
        };
        let error = build(LstmConfig { dropout: 1.0, ..Default::default() }, SPECIAL);
        assert_eq!(error, "the LSTM model: dropout is 1, but should be at least 0 and below 1");
        assert!(build(LstmConfig { layers: 0, ..Default::default() }, SPECIAL).contains("layers is 0"));
        let scaled = |scale| LstmConfig { cosine_scale: Some(scale), ..Default::default() };
        assert!(build(scaled(0.0), SPECIAL).contains("cosine_scale is 0, but should be above 0"));
        assert!(build(scaled(f64::NAN), SPECIAL).contains("cosine_scale is NaN"));
        assert!(build(LstmConfig::default(), Special { end: 4, ..SPECIAL }).contains("below the vocabulary's size, 4"));
        assert!(build(LstmConfig::default(), Special { end: 0, ..SPECIAL }).contains("a pad token of its own"));
    }
}
