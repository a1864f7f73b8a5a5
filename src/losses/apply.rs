//! `toolkit losses apply`: a loss on logits from a file, with its gradient.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::{Arg, ArgMatches, Command};
use imbalance_core::Head;
use imbalance_core::host::{Element, Loss, Reduction, SigmoidHead, SoftmaxHead, bf16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{class_counts, class_counts_arg, head, head_arg};
use crate::failure::UsageError;
use crate::loss_flags::{LossFlags, plugin_dir_arg};
use crate::output::write_whole;

/// The verb's flags, without those of any particular loss.
pub fn command() -> Command {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FILE.safetensors")
            .required(true)
            .value_parser(clap::value_parser!(PathBuf))
            .help(help)
    };
    Command::new("apply")
        .about("A loss on logits from a file: each row's loss, and the gradient of their sum")
        .after_help(
            "The loss's own parameters are flags too: `toolkit losses apply eureka --help` shows those of eureka.\n\
             A sigmoid head takes one count for each logit and, last, that of the background, or two counts: foreground \
             and background.",
        )
        .arg(Arg::new("id").value_name("ID").required(true).help("The loss"))
        .arg(class_counts_arg().required(true))
        .arg(file("input", "Tensors `logits` [n, classes] (F32 or BF16), `target` [n] (I64) and, if wanted, `weight` [n] (F32)"))
        .arg(file("output", "Gets tensors `loss` [n] (F32) and `grad` [n, classes] (as the logits)"))
        .arg(head_arg().help("softmax, or sigmoid: targets are classes, -1 for background, -2 for ignored"))
        .arg(
            Arg::new("ignore-index")
                .long("ignore-index")
                .value_name("TARGET")
                .allow_negative_numbers(true)
                .value_parser(clap::value_parser!(i64))
                .help("Rows of a softmax head with this target count for nothing"),
        )
        .arg(
            Arg::new("reduction")
                .long("reduction")
                .value_name("REDUCTION")
                .value_parser(["sum", "mean", "weighted-mean"])
                .default_value("sum")
                .help("What `grad` is the gradient of"),
        )
        .arg(
            Arg::new("loss-path")
                .long("loss-path")
                .value_name("PATH")
                .value_parser(["auto", "fused", "tensor"])
                .default_value("auto")
                .help("The fused kernels of the CPU, or tensor operations of the recorded expression (needs libtorch)"),
        )
        .arg(plugin_dir_arg())
}

/// Applies the loss.
///
/// # Errors
/// A file that is none or lacks a tensor, tensors of other kinds or shapes, targets out of range, or what the loss says.
pub fn run(matches: &ArgMatches, flags: &LossFlags) -> anyhow::Result<()> {
    let path = |name: &str| matches.get_one::<PathBuf>(name).map(PathBuf::as_path).unwrap_or(Path::new(""));
    let head = head(matches);
    let loss = flags.choice(matches)?.make(head, &class_counts(matches)?)?;
    let input = path("input");
    if let (Ok(from), Ok(to)) = (input.canonicalize(), path("output").canonicalize())
        && from == to
    {
        return Err(UsageError(format!("--output {}: is the input, which would be lost", input.display())).into());
    }
    let bytes = fs::read(input).with_context(|| format!("{} cannot be read", input.display()))?;
    let batch = Batch::read(&bytes).with_context(|| format!("{}", input.display()))?;
    let ignore_index = matches.get_one::<i64>("ignore-index").copied();
    let word = |name: &str| matches.get_one::<String>(name).map(String::as_str).unwrap_or_default();
    if let (Head::Sigmoid, Some(index)) = (head, ignore_index) {
        return Err(UsageError(format!(
            "--ignore-index {index} is for the softmax head; on the sigmoid head the target {} is ignored",
            SigmoidHead::IGNORED
        ))
        .into());
    }
    let tensors = match word("loss-path") {
        "auto" => loss.is_whole_tensor(),
        path => path == "tensor",
    };
    let applied = match (tensors, batch.dtype) {
        (true, _) => by_tensors(&loss, &batch, ignore_index),
        (false, Dtype::BF16) => batch.fused::<bf16>(&loss, ignore_index),
        (false, _) => batch.fused::<f32>(&loss, ignore_index),
    };
    let mut applied = applied.with_context(|| format!("{}", input.display()))?;
    let reduction = match word("reduction") {
        "mean" => Reduction::Mean,
        "weighted-mean" => Reduction::WeightedMean,
        _ => Reduction::Sum,
    };
    if batch.targets.is_empty() {
        bail!("{}: the batch has no rows", input.display());
    }
    let ignored = |target: i64| match head {
        Head::Softmax => Some(target) == ignore_index,
        Head::Sigmoid => target == SigmoidHead::IGNORED,
    };
    if batch.targets.iter().all(|&target| ignored(target)) {
        bail!("{}: all {} targets are ignored, there is nothing to compute", input.display(), batch.targets.len());
    }
    let denominator = reduction.denominator(&loss, &batch.targets, ignored, batch.weights.as_deref())?;
    if denominator != 1.0 {
        applied.gradient.iter_mut().for_each(|value| *value = (f64::from(*value) / denominator) as f32);
    }
    write_whole(path("output"), &batch.written(&applied)?)
}

/// What the input file holds.
struct Batch<'a> {
    logits: &'a [u8],
    dtype: Dtype,
    rows: usize,
    columns: usize,
    targets: Vec<i64>,
    weights: Option<Vec<f32>>,
}

/// The results, the gradient in float32 whatever the logits are.
struct Applied {
    loss: Vec<f32>,
    gradient: Vec<f32>,
}

impl<'a> Batch<'a> {
    fn read(bytes: &'a [u8]) -> anyhow::Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| anyhow!("is no safetensors file: {error}"))?;
        let names = || file.names().iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ");
        let find = |name: &str, kinds: &[Dtype], dimensions: usize| -> anyhow::Result<TensorView<'a>> {
            let tensor = file.tensor(name).map_err(|_| anyhow!("has no tensor `{name}`; it has: {}", names()))?;
            if !kinds.contains(&tensor.dtype()) || tensor.shape().len() != dimensions {
                bail!(
                    "tensor `{name}` is {:?} {:?}; expected {} of {dimensions} dimension{}",
                    tensor.dtype(),
                    tensor.shape(),
                    kinds.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(" or "),
                    if dimensions == 1 { "" } else { "s" }
                );
            }
            Ok(tensor)
        };
        let logits = find("logits", &[Dtype::F32, Dtype::BF16], 2)?;
        let (rows, columns) = (logits.shape()[0], logits.shape()[1]);
        let of_rows = |name: &str, tensor: &TensorView<'_>| match tensor.shape()[0] == rows {
            true => Ok(()),
            false => Err(anyhow!("tensor `{name}` has {} entries for {rows} rows of logits", tensor.shape()[0])),
        };
        let target = find("target", &[Dtype::I64], 1)?;
        of_rows("target", &target)?;
        let weights = match file.tensor("weight") {
            Ok(_) => {
                let weight = find("weight", &[Dtype::F32], 1)?;
                of_rows("weight", &weight)?;
                Some(numbers(weight.data(), f32::from_le_bytes))
            }
            Err(_) => None,
        };
        Ok(Self {
            logits: logits.data(),
            dtype: logits.dtype(),
            rows,
            columns,
            targets: numbers(target.data(), i64::from_le_bytes),
            weights,
        })
    }

    fn logits<E: Element + FromBytes>(&self) -> Vec<E> {
        E::read(self.logits)
    }

    fn fused<E: Element + FromBytes>(&self, loss: &Loss, ignore_index: Option<i64>) -> anyhow::Result<Applied> {
        let mut logits = self.logits::<E>();
        let mut values = vec![0.0; self.rows];
        match loss.head() {
            Head::Softmax => {
                check_columns(loss, self.columns)?;
                let mut head = SoftmaxHead::new(loss);
                if let Some(index) = ignore_index {
                    head = head.ignoring(index);
                }
                if let Some(weights) = &self.weights {
                    head = head.weighting(weights);
                }
                let mut log_odds = vec![0.0; self.rows];
                head.forward_backward_in_place(&mut logits, &self.targets, &mut values, &mut log_odds)?;
            }
            Head::Sigmoid => {
                let mut head = SigmoidHead::new(loss, self.columns)?;
                if let Some(weights) = &self.weights {
                    head = head.weighting(weights);
                }
                head.forward_backward_in_place(&mut logits, &self.targets, &mut values)?;
            }
        }
        let mut gradient = vec![0.0; logits.len()];
        E::widen(&logits, &mut gradient);
        Ok(Applied { loss: values, gradient })
    }

    /// The output file.
    fn written(&self, applied: &Applied) -> anyhow::Result<Vec<u8>> {
        let loss: Vec<u8> = applied.loss.iter().flat_map(|value| value.to_le_bytes()).collect();
        let gradient: Vec<u8> = match self.dtype {
            Dtype::BF16 => applied.gradient.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
            _ => applied.gradient.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        let tensors = [
            ("loss", TensorView::new(Dtype::F32, vec![self.rows], &loss)?),
            ("grad", TensorView::new(self.dtype, vec![self.rows, self.columns], &gradient)?),
        ];
        Ok(safetensors::serialize(tensors, None::<HashMap<String, String>>)?)
    }
}

fn check_columns(loss: &Loss, columns: usize) -> anyhow::Result<()> {
    if columns == loss.classes() {
        return Ok(());
    }
    bail!(
        "{columns} logits a row, but --class-counts names {} classes; a softmax head takes one count for each",
        loss.classes()
    )
}

/// A number as safetensors files hold it.
trait FromBytes: Sized {
    fn read(bytes: &[u8]) -> Vec<Self>;
}

impl FromBytes for f32 {
    fn read(bytes: &[u8]) -> Vec<Self> {
        numbers(bytes, Self::from_le_bytes)
    }
}

impl FromBytes for bf16 {
    fn read(bytes: &[u8]) -> Vec<Self> {
        numbers(bytes, Self::from_le_bytes)
    }
}

/// Little-endian numbers of `N` bytes each.
fn numbers<T, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| read(bytes)).collect()
}

#[cfg(feature = "training")]
fn by_tensors(loss: &Loss, batch: &Batch<'_>, ignore_index: Option<i64>) -> anyhow::Result<Applied> {
    use imbalance_train::heads::{HeadOptions, LossPath, sigmoid_gradients, softmax_gradients};
    use tch::{Kind, Tensor};

    let shape = [batch.rows as i64, batch.columns as i64];
    let logits = match batch.dtype {
        Dtype::BF16 => {
            let mut wide = vec![0.0; batch.rows * batch.columns];
            bf16::widen(&batch.logits::<bf16>(), &mut wide);
            Tensor::f_from_slice(&wide)?.f_to_kind(Kind::BFloat16)?
        }
        _ => Tensor::f_from_slice(&batch.logits::<f32>())?,
    }
    .f_reshape(shape)?;
    let targets = Tensor::f_from_slice(&batch.targets)?;
    let weights = batch.weights.as_deref().map(Tensor::f_from_slice).transpose()?;
    let options = HeadOptions { path: LossPath::Tensor, ignore_index, weights: weights.as_ref(), ..Default::default() };
    let gradients = match loss.head() {
        Head::Softmax => softmax_gradients(loss, &logits, &targets, &options)?,
        Head::Sigmoid => sigmoid_gradients(loss, &logits, &targets, &options)?,
    };
    let numbers = |tensor: &Tensor| -> anyhow::Result<Vec<f32>> {
        Ok(Vec::<f32>::try_from(tensor.f_to_kind(Kind::Float)?.f_flatten(0, -1)?)?)
    };
    Ok(Applied { loss: numbers(&gradients.loss)?, gradient: numbers(&gradients.gradient)? })
}

#[cfg(not(feature = "training"))]
fn by_tensors(_: &Loss, _: &Batch<'_>, _: Option<i64>) -> anyhow::Result<Applied> {
    Err(UsageError("--loss-path tensor: this toolkit was built without libtorch; the fused path has every head".into())
        .into())
}
