//! The output layer with its softmax head, whole and in chunks of rows.

use imbalance_core::host::Loss;
use serde_json::Value;

/// The paper's vocabulary.
pub const CLASSES: usize = 18_848;

/// Times and memory of a training step of the layer; none in a build without libtorch.
#[cfg(not(feature = "training"))]
pub fn bench(_: &Loss, _: usize) -> anyhow::Result<Option<Value>> {
    Ok(None)
}

/// Times and memory of a training step of the layer; none in a build without libtorch.
#[cfg(feature = "training")]
pub fn bench(loss: &Loss, repeats: usize) -> anyhow::Result<Option<Value>> {
    use imbalance_train::heads::{HeadOptions, LossHeadError, linear_softmax_loss};
    use tch::{Device, Kind, Tensor};

    use super::timing::median_ms;

    const ROWS: i64 = 1280;
    const WIDTH: i64 = 1024;
    const CHUNK: i64 = 128;

    tch::manual_seed(1);
    let leaf = |size: &[i64]| -> anyhow::Result<Tensor> {
        Ok((Tensor::f_randn(size, (Kind::Float, Device::Cpu))? * 0.05).set_requires_grad(true))
    };
    let classes = CLASSES as i64;
    let (hidden, weight, bias) = (leaf(&[ROWS, WIDTH])?, leaf(&[classes, WIDTH])?, leaf(&[classes])?);
    let targets = Tensor::f_arange(ROWS, (Kind::Int64, Device::Cpu))?;
    let step = |chunk: i64| -> Result<usize, LossHeadError> {
        let options = HeadOptions::default();
        let head = match chunk {
            0 => {
                let logits = hidden.f_linear(&weight, Some(&bias))?;
                imbalance_train::heads::softmax_loss_with(loss, logits, &targets, &options)?
            }
            chunk => linear_softmax_loss(loss, &hidden, &weight, Some(&bias), &targets, chunk, &options)?,
        };
        let of = Tensor::f_run_backward(&[head.sum], &[&hidden, &weight, &bias], false, false)?;
        Ok(of.iter().map(|gradient| gradient.numel() * 4).sum())
    };
    let measure = |chunk: i64| -> anyhow::Result<(f64, Option<f64>)> {
        let took = median_ms(repeats, || step(chunk))?;
        let before = memory::restart_peak();
        let gradients = step(chunk)?;
        let extra = before.zip(memory::peak()).map(|(before, peak)| peak.saturating_sub(before) as f64);
        Ok((took, extra.map(|bytes| (bytes - gradients as f64) / f64::from(1 << 20))))
    };
    let (whole, whole_extra) = measure(0)?;
    let (chunked, chunked_extra) = measure(CHUNK)?;
    Ok(Some(serde_json::json!({
        "loss": loss.id(),
        "head": "linear",
        "shape": [ROWS, WIDTH, classes],
        "chunk": CHUNK,
        "chunked_ms": chunked,
        "whole_ms": whole,
        "chunked_extra_mib": chunked_extra,
        "whole_extra_mib": whole_extra,
    })))
}

/// The process's memory as Linux counts it; nothing elsewhere.
#[cfg(feature = "training")]
mod memory {
    use std::fs;

    /// Forgets the peak so far; the bytes held now.
    pub fn restart_peak() -> Option<u64> {
        fs::write("/proc/self/clear_refs", "5").ok()?;
        field("VmRSS:")
    }

    /// The most bytes held since.
    pub fn peak() -> Option<u64> {
        field("VmHWM:")
    }

    fn field(name: &str) -> Option<u64> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }
}
