//! Time of a training step of an image classifier on random pixels: `--model`, `--batch`, `--precision`, `--layout`.
//!
//! The other side: `benches/peers/image_step.py`.

use std::time::Instant;

use clap::Parser;
use imbalance_train::optimiser::{Optimiser, Rule, SgdConfig};
use imbalance_train::{Autocast, Precision};
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
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Steps of which the median is taken
    #[arg(long, default_value_t = 9)]
    repeats: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    imbalance_train::set_threads(Some(args.threads));
    imbalance_train::memory::keep_freed();
    let store = VarStore::new(Device::Cpu);
    let config = ImageModelConfig { model: args.model, classes: args.classes, cosine_scale: None };
    let model = ImageModel::new(&store.root(), config, 1)?;
    let mut sgd =
        Optimiser::new(&store, Rule::Sgd(SgdConfig { momentum: 0.9, weight_decay: 2e-4, nesterov: false }), |_| true)?;
    let (n, size) = (args.batch, args.size);
    let xs = if args.channels_last {
        Tensor::randn([n, size, size, 3], (Kind::Float, Device::Cpu)).permute([0, 3, 1, 2])
    } else {
        Tensor::randn([n, 3, size, size], (Kind::Float, Device::Cpu))
    };
    let targets = Tensor::arange(n, (Kind::Int64, Device::Cpu)).remainder(args.classes);
    let mut step = || -> Result<(), Box<dyn std::error::Error>> {
        let logits = {
            let _autocast = Autocast::begin(args.precision, Device::Cpu);
            model.forward_t(&xs, true)?
        };
        let loss = logits.to_kind(Kind::Float).cross_entropy_for_logits(&targets);
        let gradients = sgd.gradients(&loss)?;
        Ok(sgd.step(&gradients, 1.0, 0.1)?)
    };
    step()?;
    step()?;
    let mut times = Vec::new();
    for _ in 0..args.repeats {
        let start = Instant::now();
        step()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{:?} {} {} channels-{} {:.1} ms a step of {n} (least {:.1})",
        args.model,
        args.precision.on(Device::Cpu),
        size,
        if args.channels_last { "last" } else { "first" },
        times[times.len() / 2],
        times[0]
    );
    Ok(())
}
