//! Weights of a file into a model, by name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use tch::{Tensor, nn};

use super::{LoadReport, OtherShape, WeightsError, read_weights};
use crate::model::CLASSIFIER;

/// What the classifier is called elsewhere: in the usual CIFAR baselines.
const OTHER_CLASSIFIER: &str = "linear.";

/// What PyTorch's batch normalisations count without need.
const COUNTER: &str = "num_batches_tracked";

/// What becomes of the classifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClassifierWeights {
    /// It is loaded as all else is.
    #[default]
    Load,
    /// It is loaded if all of it is there in the right shape, and else left out: fine-tuning on other classes.
    IfItFits,
    /// It is left out.
    LeaveOut,
}

/// How [`load_weights`] goes about differences.
#[derive(Clone, Copy, Default)]
pub struct LoadOptions<'a> {
    /// Whether a missing, left-over or differently shaped variable is an error. The classifier, where it is left out, is none.
    pub strict: bool,
    /// What becomes of the classifier.
    pub classifier: ClassifierWeights,
    /// Under which name to look for a variable whose own name the file lacks, as [`crate::model::plain_name`] says.
    pub other_name: Option<&'a dyn Fn(&str) -> String>,
    /// What is done to all of the file's tensors first: that of another framework's layout.
    pub translate: Option<&'a Translate<'a>>,
}

/// Tensors by name, under other names.
pub type Translate<'a> = dyn Fn(BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>, tch::TchError> + 'a;

/// Puts the weights in `path` into `store`, by name. What all names of the file start with (`module.`, `model.`,
/// `backbone.body.`) is dropped where the model's names lack it, `linear.` is taken for `fc.`, and counters of batches are ignored.
/// Values are converted to the variables' type and device. Nothing is changed on an error.
///
/// # Errors
/// Those of [`read_weights`]; [`WeightsError::NothingMatches`], or [`WeightsError::Shape`] where names match and shapes do not; with [`LoadOptions::strict`], [`WeightsError::Missing`],
/// [`WeightsError::Shape`] or [`WeightsError::Unexpected`], which name the first parameter (by name) that differs.
pub fn load_weights(path: &Path, store: &nn::VarStore, options: &LoadOptions) -> Result<LoadReport, WeightsError> {
    let variables: BTreeMap<String, Tensor> = store.variables().into_iter().collect();
    let file = match options.translate {
        Some(translate) => {
            translate(read_weights(path)?).map_err(|source| WeightsError::Torch { path: path.into(), source })?
        }
        None => read_weights(path)?,
    };
    let (prefix, mut file) = without_prefix(file, &variables);
    file.retain(|name, _| !name.ends_with(COUNTER));
    rename_classifier(&mut file, &variables);

    let mut plan = Plan::new(path, prefix, &file, variables, options)?;
    if plan.report.matched.is_empty() {
        plan.report.check_shapes()?;
        return Err(WeightsError::NothingMatches {
            path: path.into(),
            count: file.len(),
            examples: file.keys().take(3).map(String::as_str).collect::<Vec<_>>().join(", "),
            expected: plan.report.missing.into_iter().next().unwrap_or_default(),
        });
    }
    if options.strict {
        plan.check()?;
    }
    let _no_grad = tch::no_grad_guard();
    for (variable, values) in &mut plan.copies {
        variable.f_copy_(values).map_err(|source| WeightsError::Torch { path: path.into(), source })?;
    }
    Ok(plan.report)
}

/// What is to be copied where.
struct Plan<'a> {
    report: LoadReport,
    copies: Vec<(Tensor, &'a Tensor)>,
}

impl<'a> Plan<'a> {
    fn new(
        path: &Path,
        prefix: String,
        file: &'a BTreeMap<String, Tensor>,
        variables: BTreeMap<String, Tensor>,
        options: &LoadOptions,
    ) -> Result<Self, WeightsError> {
        let find = |name: &str| match file.get_key_value(name) {
            None => options.other_name.and_then(|other_name| file.get_key_value(&other_name(name))),
            found => found,
        };
        let fits =
            |name: &str, variable: &Tensor| find(name).is_some_and(|(_, values)| values.size() == variable.size());
        let leave_out = match options.classifier {
            ClassifierWeights::Load => false,
            ClassifierWeights::LeaveOut => true,
            ClassifierWeights::IfItFits => {
                !variables.iter().filter(|(name, _)| is_classifier(name)).all(|(name, variable)| fits(name, variable))
            }
        };

        let mut plan =
            Self { report: LoadReport { path: path.into(), prefix, ..LoadReport::default() }, copies: Vec::new() };
        let report = &mut plan.report;
        let mut used = BTreeSet::new();
        for (name, variable) in variables {
            let found = find(&name);
            used.extend(found.map(|(name, _)| name));
            match found {
                _ if leave_out && is_classifier(&name) => report.left_out.push(name),
                None => report.missing.push(name),
                Some((_, values)) if values.size() != variable.size() => {
                    report.other_shape.push(OtherShape { name, found: values.size(), expected: variable.size() });
                }
                Some((_, values)) if !values.is_floating_point() => {
                    return Err(WeightsError::Kind { path: path.into(), name, kind: values.kind() });
                }
                Some((_, values)) => {
                    plan.copies.push((variable, values));
                    report.matched.push(name);
                }
            }
        }
        let left_over = file.keys().filter(|name| !(used.contains(name) || leave_out && is_classifier(name)));
        report.left_over = left_over.cloned().collect();
        Ok(plan)
    }

    /// The first difference, if any.
    fn check(&self) -> Result<(), WeightsError> {
        let LoadReport { path, missing, other_shape, left_over, .. } = &self.report;
        let path = path.clone();
        let (missing, reshaped) = (missing.first(), other_shape.first());
        match (missing, reshaped) {
            (Some(name), reshaped) if reshaped.is_none_or(|reshaped| *name < reshaped.name) => {
                Err(WeightsError::Missing { path, name: name.clone() })
            }
            (_, Some(_)) => self.report.check_shapes(),
            _ => match left_over.first() {
                Some(name) => Err(WeightsError::Unexpected { path, name: name.clone() }),
                None => Ok(()),
            },
        }
    }
}

pub(super) fn is_classifier(name: &str) -> bool {
    name.strip_prefix(CLASSIFIER).is_some_and(|rest| rest.starts_with('.'))
}

/// The prefix under which most names of the file are the model's (the shortest of such), and the tensors without it.
fn without_prefix(
    file: BTreeMap<String, Tensor>,
    variables: &BTreeMap<String, Tensor>,
) -> (String, BTreeMap<String, Tensor>) {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for name in file.keys() {
        let ends = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
        for end in ends.filter(|&end| variables.contains_key(&name[end..])) {
            *counts.entry(&name[..end]).or_default() += 1;
        }
    }
    let best = counts.into_iter().max_by(|(a, a_count), (b, b_count)| {
        a_count.cmp(b_count).then_with(|| b.len().cmp(&a.len())).then_with(|| b.cmp(a))
    });
    let prefix = best.map_or(String::new(), |(prefix, _)| prefix.to_string());
    // Names without the prefix first, so that they give way where two become one.
    let (with, mut tensors): (BTreeMap<_, _>, BTreeMap<_, _>) =
        file.into_iter().partition(|(name, _)| name.starts_with(&prefix));
    tensors.extend(with.into_iter().map(|(name, values)| (name[prefix.len()..].to_string(), values)));
    (prefix, tensors)
}

fn rename_classifier(file: &mut BTreeMap<String, Tensor>, variables: &BTreeMap<String, Tensor>) {
    for name in variables.keys().filter(|name| is_classifier(name)) {
        let other = format!("{OTHER_CLASSIFIER}{}", &name[CLASSIFIER.len() + 1..]);
        if !file.contains_key(name)
            && let Some(values) = file.remove(&other)
        {
            file.insert(name.clone(), values);
        }
    }
}
