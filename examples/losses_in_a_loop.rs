//! A plugin's loss in one's own training loop on tch: no runtime, no command.
//!
//!     cargo build --release && cargo run --release --example losses_in_a_loop
//!
//! Three classes of points, of which the last is rare, are told apart by a small network.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use imbalance_core::host::{Loss, SearchPath};
use imbalance_core::{ClassCounts, Head};
use imbalance_train::heads::{HeadOptions, softmax_loss_with};
use tch::nn::{self, Module, OptimizerConfig as _, VarStore};
use tch::{Device, Kind, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    tch::manual_seed(1);
    let counts = [900, 90, 10];
    let labels: Vec<i64> = counts.iter().zip(0..).flat_map(|(&count, class)| vec![class; count as usize]).collect();
    let labels = Tensor::from_slice(&labels);
    // Points of class c lie around (c, −c).
    let centre = labels.to_kind(Kind::Float).unsqueeze(1) * Tensor::from_slice(&[1f32, -1.0]);
    let points = centre + Tensor::randn([1000, 2], (Kind::Float, Device::Cpu)) * 0.6;

    // A loss is found by its id, given its parameters, the head it is for and the training data's class counts.
    let plugins = SearchPath::of(vec![built_plugins()?]);
    let plugin = Arc::new(plugins.open("eureka")?);
    let loss = Loss::new(plugin, Head::Softmax, &[("beta".into(), 0.999)], &ClassCounts::new(counts.to_vec())?)?;

    let store = VarStore::new(Device::Cpu);
    let root = store.root();
    let model = nn::seq()
        .add(nn::linear(&root / "hidden", 2, 16, nn::LinearConfig::default()))
        .add_fn(|xs| xs.tanh())
        .add(nn::linear(&root / "logits", 16, 3, nn::LinearConfig::default()));
    let mut optimiser = nn::Sgd { momentum: 0.9, ..nn::Sgd::default() }.build(&store, 0.1)?;
    for epoch in 1..=40 {
        // The sum of the losses carries libtorch's graph; its gradient was computed with it, in one pass.
        let summed = softmax_loss_with(&loss, model.forward(&points), &labels, &HeadOptions::default())?.sum;
        let mean = summed / labels.size()[0];
        optimiser.backward_step(&mean);
        if epoch % 10 == 0 {
            let right = tch::no_grad(|| model.forward(&points)).argmax(-1, false).eq_tensor(&labels);
            let of = |class: i64| {
                let own = labels.eq(class);
                let share = right.logical_and(&own).sum(Kind::Float) / own.sum(Kind::Float);
                format!("{:.0}%", 100.0 * share.double_value(&[]))
            };
            println!("epoch {epoch}: loss {:.3}, right {} {} {}", mean.double_value(&[]), of(0), of(1), of(2));
        }
    }
    Ok(())
}

/// The folder that `cargo build` puts plugins into, two above this program. The toolkit itself searches
/// `SearchPath::standard`.
fn built_plugins() -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).ok_or("the program is in no folder")?.to_owned())
}
