//! What records and checkpoints cost the training of ResNet-32: the time of each, during which no step is taken.

use std::time::Instant;

use imbalance_train::LossPhase;
use imbalance_train::checkpoint::{Parts, Pending, Snapshot, Writer};
use imbalance_train::metrics::{Metrics, Record};
use imbalance_train::optimiser::{Optimiser, Rule, SgdConfig};
use imbalance_train::state::TrainState;
use imbalance_vision::model::{ImageModel, ImageModelConfig, ModelKind};
use tch::Device;
use tch::nn::VarStore;

const REPEATS: usize = 51;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    imbalance_train::set_threads(Some(2));
    let folder = std::env::temp_dir().join(format!("record-cost-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let store = VarStore::new(Device::Cpu);
    let config = ImageModelConfig { model: ModelKind::ResNet32, classes: 10, cosine_scale: None };
    let _model = ImageModel::new(&store.root(), config, 1)?;
    let rule = Rule::Sgd(SgdConfig { momentum: 0.9, weight_decay: 2e-4, nesterov: false });
    let mut optimiser = Optimiser::new(&store, rule, |_| true)?;
    let gradients: Vec<_> = optimiser.parameters().map(|(_, weights)| weights.zeros_like()).collect();
    optimiser.step(&gradients, 1.0, 0.1)?;
    let mut metrics = Metrics::create(&folder)?;
    let (mut writer, state) = (Writer::default(), TrainState::new(""));
    let (mut records, mut copies, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for step in 0..REPEATS as u64 {
        let start = Instant::now();
        let values = ["loss", "lr", "gradient_norm"].map(|name| (name.to_owned(), 1.0 / (step + 1) as f64));
        let timings = vec![("images_per_second".to_owned(), 600.0)];
        metrics.write(&Record {
            kind: "train",
            epoch: 1,
            step,
            phase: LossPhase::Main,
            values: values.to_vec(),
            timings,
        })?;
        records.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let parts = Parts { optimiser: Some(&optimiser), ..Parts::weights(&store) };
        let snapshot = Snapshot::take(&parts, &state)?;
        let path = folder.join("last.safetensors");
        writer.begin(metrics.file()?, vec![Pending { snapshot, path, previous: None }])?;
        copies.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        writer.finish()?;
        files.push(start.elapsed().as_secs_f64() * 1e3);
    }
    println!(
        "a record {:.3} ms; a checkpoint {:.2} ms, and {:.1} ms beside the next steps",
        median(records),
        median(copies),
        median(files)
    );
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
