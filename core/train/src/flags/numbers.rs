//! Parsers of flags' values, whose errors say what would be right; for `value_parser`.

/// A whole number of at least 1.
///
/// # Errors
/// What it must be.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a whole number of at least 1".into()),
        Ok(number) => Ok(number),
    }
}

fn number(text: &str, right: impl Fn(f64) -> bool, must: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|&value| value.is_finite() && right(value))
        .ok_or_else(|| format!("must be a number {must}"))
}

/// A number above 0.
///
/// # Errors
/// What it must be.
pub fn above_zero(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0, "above 0")
}

/// A number of 0 or more.
///
/// # Errors
/// What it must be.
pub fn zero_or_more(text: &str) -> Result<f64, String> {
    number(text, |value| value >= 0.0, "of 0 or more")
}

/// A number from 0 to 1.
///
/// # Errors
/// What it must be.
pub fn zero_to_one(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..=1.0).contains(&value), "from 0 to 1")
}

/// A number from 0 to below 1.
///
/// # Errors
/// What it must be.
pub fn zero_to_below_one(text: &str) -> Result<f64, String> {
    number(text, |value| (0.0..1.0).contains(&value), "from 0 to below 1")
}

/// A number between 0 and 1, both excluded.
///
/// # Errors
/// What it must be.
pub fn between_zero_and_one(text: &str) -> Result<f64, String> {
    number(text, |value| value > 0.0 && value < 1.0, "between 0 and 1, both excluded")
}
