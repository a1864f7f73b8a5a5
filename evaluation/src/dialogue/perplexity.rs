//! Perplexity from what a training or evaluation loop sums up.

/// Why a perplexity cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PerplexityError {
    /// There is no token to average over.
    #[error("perplexity needs at least one target token, got 0")]
    NoTokens,
    /// The sum is not a number, infinite, or below 0.
    #[error("perplexity needs a summed negative log-likelihood that is finite and at least 0 nats, got {0}")]
    BadLikelihood(f64),
}

/// Perplexity `exp(nll / tokens)`.
///
/// `nll`: the negative log-likelihood in nats, summed over all target tokens; `tokens`: how many these are. The
/// ConvAI2 baseline counts the end token of each reply in both. May overflow to infinity for a mean above 709 nats.
///
/// # Errors
/// No tokens; a sum that is NaN, infinite or negative.
pub fn perplexity(nll: f64, tokens: u64) -> Result<f64, PerplexityError> {
    if tokens == 0 {
        return Err(PerplexityError::NoTokens);
    }
    if !nll.is_finite() || nll < 0.0 {
        return Err(PerplexityError::BadLikelihood(nll));
    }
    Ok((nll / tokens as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uniform_guess_has_the_vocabulary_size() {
        // Ten tokens, each with probability 1/50.
        assert!((perplexity(10.0 * 50.0_f64.ln(), 10).unwrap() - 50.0).abs() < 1e-10);
        assert_eq!(perplexity(0.0, 3), Ok(1.0));
    }

    #[test]
    fn impossible_sums_are_errors() {
        assert_eq!(perplexity(1.0, 0), Err(PerplexityError::NoTokens));
        assert_eq!(perplexity(-1.0, 2), Err(PerplexityError::BadLikelihood(-1.0)));
        assert!(perplexity(f64::NAN, 2).is_err());
        assert!(perplexity(f64::INFINITY, 2).is_err());
    }
}
