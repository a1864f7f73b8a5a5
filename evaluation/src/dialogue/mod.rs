//! Scores of generated replies: F1, micro and macro F over word types, n-gram diversity, length, rare words,
//! perplexity, and the word-frequency picture (paper, section 5.1, Table 4, Figure 7).
//!
//! ```
//! use imbalance_evaluation::dialogue::{ScoreOptions, score, table};
//!
//! let replies = vec!["I like the cat .".to_owned()];
//! let references = vec![vec!["i like dogs .".to_owned()]];
//! let scores = score(&replies, &references, &ScoreOptions::default())?;
//! // "i like cat" against "i like dogs": 2·2/(3+3).
//! assert!((scores.f1 - 66.67).abs() < 0.01);
//! print!("{}", table(&[("ours".to_owned(), &scores)]));
//! # Ok::<(), imbalance_evaluation::dialogue::ScoreError>(())
//! ```

mod f1;
mod frequency_plot;
mod interner;
mod length;
mod ngrams;
mod perplexity;
mod rare;
mod read;
mod score;
mod scores;
mod table;
mod text;
mod type_f;

pub use f1::unigram_f1;
pub use frequency_plot::{FrequencySeries, PlotError, plot_word_frequencies};
pub use length::{LengthStatistics, length_statistics};
pub use ngrams::{MAX_NGRAM, NgramDiversity, ngram_diversity};
pub use perplexity::{PerplexityError, perplexity};
pub use rare::RareWords;
pub use read::{ReadError, TypeList, read_references, read_replies, read_types};
pub use score::{ScoreError, ScoreOptions, score};
pub use scores::{DialogueScores, MacroTypes};
pub use table::{details, table};
pub use text::{NgramText, Punctuation, normalise, tokenise};
