//! That there is an image to use at all, where those that cannot be used are left out.

use std::sync::Arc;

use crate::VisionError;
use crate::augment::{Augment, Loader, LoaderOptions, OnBadImage};
use crate::data::Split;

/// Looks for an image of `split` that can be used, which as a rule is the first. `what` says which images they are.
///
/// # Errors
/// [`VisionError::NoUsableImage`], before a training comes to nothing.
pub(super) fn check(
    split: &Arc<Split>,
    what: &'static str,
    augment: &Augment,
    options: LoaderOptions,
) -> Result<(), VisionError> {
    if options.on_bad_image == OnBadImage::Fail {
        return Ok(());
    }
    // A loader of its own, so that what it leaves out is not counted.
    let loader = Loader::new(Arc::clone(split), augment.clone(), LoaderOptions { threads: 0, ..options })?;
    for index in 0..split.len() {
        if !loader.load_batch(&[index], 0, 0, 0)?.positions().is_empty() {
            return Ok(());
        }
    }
    Err(VisionError::no_usable_image(what, loader.skipped()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::augment::Preset;
    use crate::data::Images;

    #[test]
    fn one_image_is_enough() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/augment");
        let of = |names: &[&str], on_bad_image| {
            let images = Images::Files(names.iter().map(|name| folder.join(name)).collect());
            let split = Arc::new(Split { images, labels: vec![0; names.len()] });
            let options = LoaderOptions { on_bad_image, ..LoaderOptions::default() };
            check(&split, "test", &Augment::evaluate(&Preset::imagenet()), options)
        };
        of(&["none.jpg", "colour.jpg"], OnBadImage::Skip).unwrap();
        of(&["none.jpg"], OnBadImage::Fail).unwrap();
        let error = of(&["none.jpg", "nothing.jpg"], OnBadImage::Skip).unwrap_err().to_string();
        assert!(error.contains("none.jpg: cannot be read: ") && error.ends_with("of 2 test images none can be used"));
    }
}
