//! Repeat-factor sampling.

use crate::data::{DataError, Dataset};

/// How often an epoch visits each of these images: `r_i = max over the classes c in it of max(1, √(t / f_c))`, where `f_c` is
/// the fraction of these images that class c is in (Gupta et al., 2019, "LVIS: A Dataset for Large Vocabulary Instance
/// Segmentation"). 1 for an image without boxes. Crowds do not count.
///
/// # Shapes
/// - `indices`: images of `set`; result: as many
///
/// # Errors
/// [`DataError::Setting`] unless 0 < `threshold` ≤ 1; [`DataError::Index`].
pub fn repeat_factors(set: &Dataset, indices: &[usize], threshold: f64) -> Result<Vec<f64>, DataError> {
    if !(threshold > 0.0 && threshold <= 1.0) {
        let (name, expected) = ("the threshold of repeat-factor sampling", "above 0 and at most 1");
        return Err(DataError::Setting { name, found: threshold.to_string(), expected });
    }
    let mut counts = vec![0u64; set.categories.len()];
    let mut classes = Vec::with_capacity(indices.len());
    for &index in indices {
        let image = set.images.get(index).ok_or(DataError::Index { index, len: set.images.len() })?;
        let mut of_image: Vec<usize> = image.trained_on().map(|object| object.class).collect();
        of_image.sort_unstable();
        of_image.dedup();
        of_image.iter().for_each(|&class| counts[class] += 1);
        classes.push(of_image);
    }
    let factor = |class: usize| (threshold * indices.len() as f64 / counts[class] as f64).sqrt();
    Ok(classes.into_iter().map(|of_image| of_image.into_iter().map(factor).fold(1.0, f64::max)).collect())
}
