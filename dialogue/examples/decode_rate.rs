//! Replies a second of greedy decoding, one at a time and in batches, at the paper's size (untrained weights, every
//! reply of full length): `cargo run --release -p imbalance-dialogue --example decode_rate -- [--threads 2] …`.

use std::time::Instant;

use clap::Parser;
use imbalance_dialogue::decode::{DecodeOptions, decode};
use imbalance_dialogue::model::{LstmConfig, LstmModel, Special};
use imbalance_train::set_threads;
use tch::Device;
use tch::nn::VarStore;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, default_value_t = 18848)]
    vocabulary: usize,
    #[arg(long, default_value_t = 1024)]
    hidden: i64,
    /// Tokens of each history.
    #[arg(long, default_value_t = 60)]
    source: usize,
    /// Tokens of each reply.
    #[arg(long, default_value_t = 15)]
    target: usize,
    #[arg(long, default_value_t = DecodeOptions::default().decode_batch_size)]
    batch: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    set_threads(Some(args.threads));
    let special = Special { pad: 0, start: 1, end: 2, unknown: Some(3) };
    let store = VarStore::new(Device::Cpu);
    let config = LstmConfig { hidden: args.hidden, ..LstmConfig::default() };
    let model = LstmModel::new(&store.root(), &config, args.vocabulary, special, 1)?;
    let word = |row: usize, at: usize| 4 + ((row * 7919 + at * 104_729) % (args.vocabulary - 4)) as u32;
    let histories: Vec<Vec<u32>> =
        (0..args.batch).map(|row| (0..args.source).map(|at| word(row, at)).collect()).collect();
    let mut rates = Vec::new();
    for (size, histories) in [(1, &histories[..histories.len().min(8)]), (args.batch, &histories[..])] {
        let options = DecodeOptions {
            min_length: args.target,
            max_length: args.target,
            decode_batch_size: size,
            ..DecodeOptions::default()
        };
        decode(&model, &histories[..1], &options, special, &[], Device::Cpu)?;
        let start = Instant::now();
        decode(&model, histories, &options, special, &[], Device::Cpu)?;
        let rate = histories.len() as f64 / start.elapsed().as_secs_f64();
        println!("batches of {size}: {rate:.2} replies/s");
        rates.push(rate);
    }
    println!("ratio {:.1}", rates[1] / rates[0]);
    Ok(())
}
