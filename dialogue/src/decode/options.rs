//! The decoding flags.

use serde::{Deserialize, Serialize};

use super::DecodeError;

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DecodeMethod {
    /// The most probable token.
    #[default]
    Greedy,
    /// Beam search for the most probable reply.
    Beam,
    /// A sample from the k most probable tokens (Fan, Lewis and Dauphin, 2018).
    TopK,
    /// A sample from the fewest tokens that hold the probability p (Holtzman et al., 2020).
    Nucleus,
    /// A sample from all tokens.
    Sample,
}

/// Decoding flags, the same for every model and command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, clap::Args)]
#[command(next_help_heading = "Decoding")]
#[serde(default, rename_all = "kebab-case")]
pub struct DecodeOptions {
    /// How the next token is chosen
    #[arg(long, value_enum, default_value_t)]
    pub decode: DecodeMethod,
    /// Hypotheses kept by beam search
    #[arg(long, value_name = "N", default_value_t = Self::default().beam_size)]
    pub beam_size: usize,
    /// Exponent α of beam search's length penalty: a reply of n tokens, its end counted, scores log p / ((5 + n) / 6)^α
    /// (Wu et al., 2016); 0 compares log-probabilities, more favours longer replies
    #[arg(long, value_name = "ALPHA", default_value_t = Self::default().length_penalty)]
    pub length_penalty: f64,
    /// Forbids the same N tokens in a row twice in a reply; 0 allows it
    #[arg(long, value_name = "N", default_value_t = Self::default().block_ngram)]
    pub block_ngram: usize,
    /// Tokens to sample from with --decode top-k
    #[arg(long, value_name = "K", default_value_t = Self::default().top_k)]
    pub top_k: usize,
    /// Probability of the tokens to sample from with --decode nucleus
    #[arg(long, value_name = "P", default_value_t = Self::default().top_p)]
    pub top_p: f64,
    /// Divides the logits before sampling: below 1 sharpens, above 1 flattens
    #[arg(long, value_name = "T", default_value_t = Self::default().temperature)]
    pub temperature: f64,
    /// Logit adjustment after training: subtracts TAU · log π from the logits, π being each token's share of the training replies;
    /// 0 is off, more favours rare tokens. Tokens that no reply has count once; perplexity stays the model's own
    #[arg(long, allow_negative_numbers = true, value_name = "TAU", default_value_t = Self::default().adjust_logits)]
    pub adjust_logits: f64,
    /// Most tokens of a reply, its end not counted
    #[arg(long, value_name = "TOKENS", default_value_t = Self::default().max_length)]
    pub max_length: usize,
    /// Fewest tokens of a reply, its end not counted
    #[arg(long, value_name = "TOKENS", default_value_t = Self::default().min_length)]
    pub min_length: usize,
    /// Seed of the sampling methods
    #[arg(long, value_name = "SEED", default_value_t = Self::default().decode_seed)]
    pub decode_seed: u64,
    /// Replies decoded at once; changes speed and memory only
    #[arg(long, value_name = "N", default_value_t = Self::default().decode_batch_size)]
    pub decode_batch_size: usize,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            decode: DecodeMethod::Greedy,
            beam_size: 5,
            length_penalty: 0.6,
            block_ngram: 0,
            top_k: 40,
            top_p: 0.9,
            temperature: 1.0,
            adjust_logits: 0.0,
            max_length: 40,
            min_length: 1,
            decode_seed: 1,
            decode_batch_size: 256,
        }
    }
}

impl DecodeOptions {
    /// Checks the ranges; to be called once flags and recipe are merged, since a recipe's values pass no flag parser.
    ///
    /// # Errors
    /// [`DecodeError::Option`] names the first flag outside its range.
    pub fn validate(&self) -> Result<(), DecodeError> {
        let check = |flag, right: bool, found: &dyn ToString, expected| match right {
            true => Ok(()),
            false => Err(DecodeError::Option { flag, found: found.to_string(), expected }),
        };
        check("--beam-size", (1..=1024).contains(&self.beam_size), &self.beam_size, "between 1 and 1024")?;
        check(
            "--length-penalty",
            (0.0..=10.0).contains(&self.length_penalty),
            &self.length_penalty,
            "between 0 and 10",
        )?;
        check("--top-k", self.top_k >= 1, &self.top_k, "at least 1")?;
        check("--top-p", self.top_p > 0.0 && self.top_p <= 1.0, &self.top_p, "above 0 and at most 1")?;
        check("--temperature", (1e-3..=1e3).contains(&self.temperature), &self.temperature, "between 0.001 and 1000")?;
        check("--adjust-logits", (0.0..=10.0).contains(&self.adjust_logits), &self.adjust_logits, "between 0 and 10")?;
        check("--max-length", (1..=100_000).contains(&self.max_length), &self.max_length, "between 1 and 100000")?;
        check("--min-length", self.min_length <= self.max_length, &self.min_length, "at most --max-length")?;
        check("--decode-batch-size", self.decode_batch_size >= 1, &self.decode_batch_size, "at least 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        options: DecodeOptions,
    }

    fn parse(arguments: &[&str]) -> DecodeOptions {
        Command::try_parse_from([&["test"], arguments].concat()).unwrap().options
    }

    #[test]
    fn flags_and_recipes_agree() {
        assert_eq!(parse(&[]), DecodeOptions::default());
        let flags = parse(&["--decode", "top-k", "--top-k", "7", "--block-ngram", "3", "--decode-batch-size", "2"]);
        let recipe = r#"{"decode": "top-k", "top-k": 7, "block-ngram": 3, "decode-batch-size": 2}"#;
        assert_eq!(flags, serde_json::from_str(recipe).unwrap());
    }

    #[test]
    fn values_outside_their_range_name_the_flag() {
        let error = |arguments: &[&str]| parse(arguments).validate().unwrap_err().to_string();
        assert!(DecodeOptions::default().validate().is_ok());
        assert_eq!(error(&["--top-p", "1.5"]), "--top-p 1.5: should be above 0 and at most 1");
        assert_eq!(error(&["--top-p", "0"]), "--top-p 0: should be above 0 and at most 1");
        assert_eq!(error(&["--temperature", "NaN"]), "--temperature NaN: should be between 0.001 and 1000");
        assert_eq!(error(&["--adjust-logits", "-1"]), "--adjust-logits -1: should be between 0 and 10");
        assert_eq!(error(&["--adjust-logits", "NaN"]), "--adjust-logits NaN: should be between 0 and 10");
        assert_eq!(error(&["--beam-size", "0"]), "--beam-size 0: should be between 1 and 1024");
        assert_eq!(error(&["--top-k", "0"]), "--top-k 0: should be at least 1");
        assert_eq!(error(&["--length-penalty=-1"]), "--length-penalty -1: should be between 0 and 10");
        assert_eq!(error(&["--min-length", "41"]), "--min-length 41: should be at most --max-length");
        assert_eq!(error(&["--max-length", "0"]), "--max-length 0: should be between 1 and 100000");
        assert_eq!(error(&["--decode-batch-size", "0"]), "--decode-batch-size 0: should be at least 1");
    }
}
