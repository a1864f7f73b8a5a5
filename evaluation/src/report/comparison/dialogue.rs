//! Replies to the same messages.

use super::{Compared, Comparison, Method, means, of_groups, with_the_same};
use crate::dialogue::{Punctuation, read_references, read_replies, unigram_f1};
use crate::report::run::Run;
use crate::significance::{Examples, bootstrap};

struct Replies {
    references: Vec<Vec<String>>,
    f1: Vec<f64>,
}

/// Tests F1, the one score that is a mean over replies.
pub(super) fn compare(compared: Compared<'_>, comparison: &mut Comparison) {
    let groups = of_groups(compared, comparison, read);
    let groups = with_the_same(groups, compared, comparison, "references", |own| &own.references);
    let values: Vec<Vec<f64>> =
        groups.iter().map(|(_, own)| means(&own.iter().map(|run| run.f1.as_slice()).collect::<Vec<_>>())).collect();
    let Some(replies) = values.first().map(Vec::len) else { return };
    let examples = Examples { values: &values, strata: &vec![0; replies], weights: &[vec![1.0]] };
    let found = match bootstrap(&examples, compared.resamples, super::SEED) {
        Ok(found) => found,
        Err(error) => return comparison.notes.push(format!("Nothing is resampled: {error}.")),
    };
    let places: Vec<usize> = groups.iter().map(|(place, _)| *place).collect();
    comparison.add_pairs(&places, &["F1"], "replies", |first, second, _| {
        Some((Method::Bootstrap, found.difference(first, second, 0)?))
    });
}

fn read(run: &Run) -> Result<Replies, String> {
    let results = run.results.as_ref().ok_or("it is not finished")?;
    let split = results["split"].as_str().unwrap_or("test");
    let file = |kind: &str| run.folder.join(format!("{kind}-{split}.txt"));
    let replies = read_replies(&file("replies")).map_err(|error| error.to_string())?;
    let references = read_references(&file("references")).map_err(|error| error.to_string())?;
    if replies.len() != references.len() {
        return Err(format!("it has {} replies and {} references", replies.len(), references.len()));
    }
    let f1 = replies.iter().zip(&references).map(|(reply, own)| unigram_f1(reply, own, Punctuation::default()));
    Ok(Replies { f1: f1.collect(), references })
}
