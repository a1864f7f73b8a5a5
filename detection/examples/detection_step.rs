//! Time of a training step and of the detection of one image by RetinaNet-R50-FPN, and the memory they take.
//!
//!     cargo run --release -p imbalance-detection --example detection_step -- [--precision float32] [--batch 1] [--inference] …
//!
//! Run from the workspace, where it builds the focal loss. The other side: `benches/peers/detection_step.py`.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use imbalance_core::Head;
use imbalance_core::host::{Loss, Plugin, SearchPath};
use imbalance_detection::model::{
    BoxLoss, ClassView, DetectOptions, ImageTargets, MatchOptions, RetinaLoss, RetinaNet, RetinaNetConfig, Targets,
    detect,
};
use imbalance_train::device::{Shapes, set_switches};
use imbalance_train::heads::LossPath;
use imbalance_train::layout::channels_last;
use imbalance_train::memory::{keep_freed, peak_resident_bytes};
use imbalance_train::optimiser::{Optimiser, Rule, SgdConfig};
use imbalance_train::{Autocast, DeviceChoice, Group, Precision};
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// Times RetinaNet-R50-FPN
#[derive(Parser)]
struct Args {
    /// Images in a step
    #[arg(long, default_value_t = 1)]
    batch: i64,
    /// Rows of an image
    #[arg(long, default_value_t = 800)]
    height: usize,
    /// Columns of an image
    #[arg(long, default_value_t = 1216)]
    width: usize,
    /// Precision of convolutions and products
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
    /// Keep a channel's pixels side by side, and not the channels of a pixel
    #[arg(long)]
    channels_first: bool,
    /// Time the detection of one image, without a gradient
    #[arg(long)]
    inference: bool,
    /// cpu, cuda or cuda:0
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Steps (on a GPU: fives of them) of which the median is taken
    #[arg(long, default_value_t = 5)]
    repeats: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let threads = imbalance_train::set_threads(Some(args.threads));
    imbalance_core::host::set_threads(threads);
    keep_freed();
    let device = args.device.open(&Group::alone())?.device;
    set_switches(false, false, Shapes::Varied);
    let store = VarStore::new(device);
    let network = RetinaNet::new(&store, RetinaNetConfig::default(), 1)?;
    if !args.channels_first {
        channels_last(&store)?;
    }
    let n = if args.inference { 1 } else { args.batch };
    let (height, width) = (args.height as i64, args.width as i64);
    let images = if args.channels_first {
        Tensor::randn([n, 3, height, width], (Kind::Float, device))
    } else {
        Tensor::randn([n, height, width, 3], (Kind::Float, device)).permute([0, 3, 1, 2])
    };
    let mut work: Box<dyn FnMut() -> Result<(), Box<dyn Error>>> = if args.inference {
        Box::new(|| {
            let outputs = tch::no_grad(|| {
                let _autocast = Autocast::begin(args.precision, device);
                network.forward(&images, false)
            })?;
            let anchors = network.anchors((args.height, args.width))?;
            detect(&outputs, &anchors, 0, (args.height, args.width), &DetectOptions::default())?;
            Ok(())
        })
    } else {
        let sgd = SgdConfig { momentum: 0.9, weight_decay: 1e-4, nesterov: false };
        let mut sgd = Optimiser::new(&store, Rule::Sgd(sgd), |_| true)?;
        let anchors = network.anchors((args.height, args.width))?;
        let boxes: Vec<ImageTargets> = (0..n).map(|image| targets(image as usize, (height, width))).collect();
        let (objects, background) =
            Targets::new(&anchors, &boxes, &MatchOptions::default()).class_counts(network.config().classes as usize);
        let counts = ClassView::Binary.counts(&objects, background)?;
        let params = [("alpha".to_owned(), 0.25), ("gamma".to_owned(), 2.0)];
        let loss = Loss::new(focal()?, Head::Sigmoid, &params, &counts)?;
        let (network, images) = (&network, &images);
        Box::new(move || {
            let targets = Targets::new(&network.anchors((args.height, args.width))?, &boxes, &MatchOptions::default());
            let outputs = {
                let _autocast = Autocast::begin(args.precision, device);
                network.forward(images, true)?
            };
            let sums = RetinaLoss::new(outputs, &targets, &loss, BoxLoss::L1, LossPath::Auto)?;
            let gradients = sgd.gradients(&((sums.class + sums.boxes) / targets.count as f64))?;
            Ok(sgd.step(&gradients, 1.0, 1e-4)?)
        })
    };
    work()?;
    let (together, wait): (u32, Box<dyn Fn()>) = match device {
        Device::Cuda(number) => (5, Box::new(move || tch::Cuda::synchronize(number as i64))),
        _ => (1, Box::new(|| ())),
    };
    wait();
    let mut times = Vec::new();
    for _ in 0..args.repeats {
        let start = Instant::now();
        for _ in 0..together {
            work()?;
        }
        wait();
        times.push(start.elapsed().as_secs_f64() * 1e3 / f64::from(together));
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{} of {n}, {height}x{width}, {}, channels-{}: {:.0} ms on {} (least {:.0}), {} MiB at most",
        if args.inference { "detection" } else { "step" },
        args.precision.on(device),
        if args.channels_first { "first" } else { "last" },
        times[times.len() / 2],
        args.device,
        times[0],
        peak_resident_bytes().unwrap_or_default() >> 20
    );
    Ok(())
}

/// Ten boxes of sizes from 40 to 400 pixels; `benches/peers/detection_step.py` has the same.
fn targets(image: usize, (height, width): (i64, i64)) -> ImageTargets {
    let boxes = (0..10).map(|object| {
        let side = 40.0 + 40.0 * object as f32;
        let (x, y) =
            ((97 * (object + image + 1)) % (width as usize - 420), (61 * (object + 1)) % (height as usize - 420));
        [x as f32, y as f32, x as f32 + side, y as f32 + 0.8 * side]
    });
    ImageTargets { boxes: boxes.collect(), classes: (0..10).collect() }
}

fn focal() -> Result<Arc<Plugin>, Box<dyn Error>> {
    let built = std::process::Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--package", "toolkit-loss-focal"])
        .status()?;
    if !built.success() {
        return Err("the focal loss does not build".into());
    }
    let program = std::env::current_exe()?;
    let folders = program.ancestors().skip(1).take(2).map(std::path::Path::to_owned).collect();
    Ok(Arc::new(SearchPath::of(folders).open("focal")?))
}
