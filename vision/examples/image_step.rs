//! Time of a training step of an image classifier on random pixels: `--model`, `--batch`, `--precision`, `--channels-last`,
//! `--device`. On a GPU twenty steps are waited for together, as in a training.
//!
//! The other side: `benches/peers/image_step.py`.

use std::time::Instant;

use clap::Parser;
use imbalance_train::device::{Shapes, set_switches};
use imbalance_train::layout::channels_last;
use imbalance_train::optimiser::{Optimiser, Rule, SgdConfig};
use imbalance_train::{Autocast, DeviceChoice, Group, Precision};
use imbalance_vision::model::{ImageModel, ImageModelConfig, ModelKind};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// Times a training step
#[derive(Parser)]
struct Args {
    /// Architecture
    #[arg(long, value_enum, default_value = "resnet-32")]
    model: ModelKind,
    /// Images in a step
    #[arg(long, default_value_t = 128)]
    batch: i64,
    /// Rows and columns of an image
    #[arg(long, default_value_t = 32)]
    size: i64,
    /// Classes
    #[arg(long, default_value_t = 10)]
    classes: i64,
    /// Precision of convolutions and products
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    /// Keep the channels of a pixel side by side
    #[arg(long)]
    channels_last: bool,
    /// cpu, cuda or cuda:0
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Steps (on a GPU: twenties of them) of which the median is taken
    #[arg(long, default_value_t = 9)]
    repeats: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    imbalance_train::set_threads(Some(args.threads));
    imbalance_train::memory::keep_freed();
    let device = args.device.open(&Group::alone())?.device;
    set_switches(false, false, Shapes::Alike);
    let store = VarStore::new(device);
    let config = ImageModelConfig { model: args.model, classes: args.classes, cosine_scale: None };
    let model = ImageModel::new(&store.root(), config, 1)?;
    if args.channels_last {
        channels_last(&store)?;
    }
    let mut sgd =
        Optimiser::new(&store, Rule::Sgd(SgdConfig { momentum: 0.9, weight_decay: 2e-4, nesterov: false }), |_| true)?;
    let (n, size) = (args.batch, args.size);
    let xs = if args.channels_last {
        Tensor::randn([n, size, size, 3], (Kind::Float, device)).permute([0, 3, 1, 2])
    } else {
        Tensor::randn([n, 3, size, size], (Kind::Float, device))
    };
    let targets = Tensor::arange(n, (Kind::Int64, device)).remainder(args.classes);
    let mut step = || -> Result<(), Box<dyn std::error::Error>> {
        let logits = {
            let _autocast = Autocast::begin(args.precision, device);
            model.forward_t(&xs, true)?
        };
        let loss = logits.to_kind(Kind::Float).cross_entropy_for_logits(&targets);
        let gradients = sgd.gradients(&loss)?;
        Ok(sgd.step(&gradients, 1.0, 0.1)?)
    };
    step()?;
    step()?;
    let (together, wait): (u32, Box<dyn Fn()>) = match device {
        Device::Cuda(number) => (20, Box::new(move || tch::Cuda::synchronize(number as i64))),
        _ => (1, Box::new(|| ())),
    };
    wait();
    let mut times = Vec::new();
    for _ in 0..args.repeats {
        let start = Instant::now();
        for _ in 0..together {
            step()?;
        }
        wait();
        times.push(start.elapsed().as_secs_f64() * 1e3 / f64::from(together));
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{:?} on {} {} {} channels-{} {:.2} ms a step of {n} (least {:.2})",
        args.model,
        args.device,
        args.precision.on(device),
        size,
        if args.channels_last { "last" } else { "first" },
        times[times.len() / 2],
        times[0]
    );
    Ok(())
}
