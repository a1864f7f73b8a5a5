//! Time of an optimiser's step on the weights of ResNet-50: `--optimiser`, `--threads`.
//!
//! The other side: `benches/peers/optimiser_step.py`.

use std::time::Instant;

use clap::Parser;
use imbalance_train::flags::OptimiserKind;
use imbalance_train::optimiser::{AdamWConfig, Optimiser, Rule, SgdConfig};
use imbalance_vision::model::{ImageModel, ImageModelConfig, ModelKind};
use tch::nn::VarStore;
use tch::{Device, Tensor};

/// Times the steps of an optimiser
#[derive(Parser)]
struct Args {
    /// The optimiser
    #[arg(long, value_enum, default_value = "sgd")]
    optimiser: OptimiserKind,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Steps of which the median is taken
    #[arg(long, default_value_t = 51)]
    repeats: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    imbalance_train::set_threads(Some(args.threads));
    let store = VarStore::new(Device::Cpu);
    let config = ImageModelConfig { model: ModelKind::ResNet50, classes: 1000, cosine_scale: None };
    let _model = ImageModel::new(&store.root(), config, 1)?;
    let rule = match args.optimiser {
        OptimiserKind::Sgd => Rule::Sgd(SgdConfig { momentum: 0.9, weight_decay: 1e-4, nesterov: false }),
        OptimiserKind::AdamW => Rule::AdamW(AdamWConfig { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.01 }),
    };
    let mut optimiser = Optimiser::new(&store, rule, |_| true)?;
    let gradients: Vec<Tensor> = optimiser.parameters().map(|(_, weights)| weights.randn_like() * 1e-3).collect();
    let numbers: usize = gradients.iter().map(Tensor::numel).sum();
    let mut times = Vec::new();
    for at in 0..args.repeats + 3 {
        let start = Instant::now();
        optimiser.step(&gradients, 1.0, 1e-4)?;
        // The first make the state.
        if at >= 3 {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{:?} of {numbers} weights, {} threads: {:.2} ms a step (least {:.2})",
        args.optimiser,
        args.threads,
        times[times.len() / 2],
        times[0]
    );
    Ok(())
}
