//! A training step of the paper's dialogue model: milliseconds and peak memory.
//!
//! `cargo run --release -p imbalance-dialogue --example lstm_step -- [--threads 2] [--steps 5] [--hidden 1024] …`;
//! `benches/peers/lstm_step.py` is the same step in Python PyTorch.

use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use imbalance_core::host::{Loss, Plugin};
use imbalance_core::{ClassCounts, Head};
use imbalance_dialogue::model::{Batch, LstmConfig, LstmModel, ReplyModel, Special};
use imbalance_train::clipping::{clip_factor, gradient_norm};
use imbalance_train::device::{Shapes, set_switches};
use imbalance_train::heads::{HeadOptions, softmax_loss_sum};
use imbalance_train::memory::peak_resident_bytes;
use imbalance_train::optimiser::{Optimiser, Rule, SgdConfig};
use imbalance_train::{DeviceChoice, Group, set_threads};
use tch::nn::VarStore;

#[path = "../../plugins/eureka/src/lib.rs"]
#[allow(dead_code, reason = "the plugin's own source, built into the example")]
mod eureka;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    #[arg(long, default_value_t = 5)]
    steps: usize,
    #[arg(long, default_value_t = 64)]
    batch: usize,
    #[arg(long, default_value_t = 18848)]
    vocabulary: usize,
    #[arg(long, default_value_t = 256)]
    embedding: i64,
    #[arg(long, default_value_t = 1024)]
    hidden: i64,
    #[arg(long, default_value_t = 2)]
    layers: i64,
    #[arg(long, default_value_t = 100)]
    source: usize,
    #[arg(long, default_value_t = 12)]
    target: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    set_threads(Some(args.threads));
    let device = args.device.open(&Group::alone())?.device;
    set_switches(false, false, Shapes::Alike);
    let counts = ClassCounts::new((1..=args.vocabulary as u64).map(|rank| 300_000 / rank + 1).collect())?;
    let plugin = Arc::new(Plugin::embedded(&eureka::toolkit_loss_plugin)?);
    let loss = Loss::new(plugin, Head::Softmax, &[("beta".into(), 0.999)], &counts)?;

    let special = Special { pad: 0, start: 1, end: 2, unknown: Some(3) };
    let store = VarStore::new(device);
    let config =
        LstmConfig { embedding: args.embedding, hidden: args.hidden, layers: args.layers, ..LstmConfig::default() };
    let model = LstmModel::new(&store.root(), &config, args.vocabulary, special, 1)?;
    let mut sgd =
        Optimiser::new(&store, Rule::Sgd(SgdConfig { momentum: 0.9, weight_decay: 0.0, nesterov: false }), |_| true)?;

    // Histories from half the source length to all of it, replies likewise: the same on the other side.
    let rows = |longest: usize, ended: usize| -> Vec<Vec<u32>> {
        let length = |row: usize| longest - row * (longest / 2) / args.batch - ended;
        let word = |row: usize, at: usize| 4 + ((row * 7919 + at * 104_729) % (args.vocabulary - 4)) as u32;
        (0..args.batch).map(|row| (0..length(row)).map(|at| word(row, at)).collect()).collect()
    };
    let (histories, replies) = (rows(args.source, 0), rows(args.target, 1));
    let slices = |rows: &'static [Vec<u32>]| rows.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let batch = Batch::new(&slices(histories.leak()), &slices(replies.leak()), special, device);
    let targets = batch.targets();

    let mut times = Vec::new();
    for _ in 0..=args.steps {
        let start = Instant::now();
        let sum = softmax_loss_sum(&loss, model.logits(&batch, true)?, &targets, &HeadOptions::default())?;
        let gradients = sgd.gradients(&(sum / targets.numel() as f64))?;
        let norm = gradient_norm(&gradients)?.map_or(0.0, |norm| norm.double_value(&[]));
        sgd.step(&gradients, clip_factor(norm, 0.1), 0.01)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let mut times = times.split_off(1);
    times.sort_by(f64::total_cmp);
    println!(
        "step {:.1} ms on {} (least {:.1}), {} target tokens, peak {} MiB",
        times[times.len() / 2],
        args.device,
        times[0],
        targets.numel(),
        peak_resident_bytes().unwrap_or(0) >> 20
    );
    Ok(())
}
