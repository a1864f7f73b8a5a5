//! Images a second of the loader on a folder of image files, and of the augmentation of CIFAR-like images in memory.
//!
//!     cargo run --release -p imbalance-vision --example image_folder -- FOLDER [--threads 1] [--passes 5] [--batch-size 64]
//!
//! The other side: `python benches/peers/image_folder.py FOLDER` with the same arguments.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use imbalance_vision::augment::{Augment, Layout, Loader, LoaderOptions, Preset};
use imbalance_vision::data::{Images, Pixels, Split};

type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
struct Args {
    /// Folder whose JPEG and PNG files (not those of its subfolders) are loaded.
    folder: PathBuf,
    /// Threads that load; 0 for the main thread alone.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// How often the folder is loaded; the best counts.
    #[arg(long, default_value_t = 5)]
    passes: usize,
    /// Images of a batch.
    #[arg(long, default_value_t = 64)]
    batch_size: usize,
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let files = image_files(&args.folder)?;
    if files.is_empty() {
        return Err(format!("{}: no .jpg, .jpeg or .png", args.folder.display()).into());
    }
    let folder = Arc::new(Split { labels: vec![0; files.len()], images: Images::Files(files) });
    let imagenet = Preset::imagenet();
    rate("folder, training", &folder, Augment::train(&imagenet), Layout::ChannelsFirst, &args)?;
    rate("folder, evaluation", &folder, Augment::evaluate(&imagenet), Layout::ChannelsFirst, &args)?;

    let bytes = (0..12_800u32 * 32 * 32 * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let images = Images::Memory(Pixels { height: 32, width: 32, bytes });
    let memory = Arc::new(Split { labels: vec![0; images.len()], images });
    let args = Args { batch_size: 128, ..args };
    for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
        let name = format!("memory 32x32, training, {layout:?}");
        rate(&name, &memory, Augment::train(&Preset::cifar()), layout, &args)?;
    }
    Ok(())
}

fn rate(name: &str, split: &Arc<Split>, augment: Augment, layout: Layout, args: &Args) -> Result<(), Failure> {
    let options = LoaderOptions { layout, threads: args.threads, ..LoaderOptions::default() };
    let mut loader = Loader::new(Arc::clone(split), augment, options)?;
    let indices: Vec<usize> = (0..split.images.len()).collect();
    let batches: Vec<Vec<usize>> = indices.chunks(args.batch_size.max(1)).map(<[usize]>::to_vec).collect();
    let mut best = f64::INFINITY;
    for epoch in 0..args.passes.max(1) {
        let start = Instant::now();
        loader.start_epoch(batches.clone(), 0, 0, epoch as u64)?;
        while loader.next_batch()?.is_some() {}
        best = best.min(start.elapsed().as_secs_f64());
    }
    let (images, batches) = (indices.len() as f64, batches.len() as f64);
    println!("{name}: {:.0} images/s, {:.3} ms a batch of {}", images / best, best / batches * 1e3, args.batch_size);
    Ok(())
}

fn image_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
        if ["jpg", "jpeg", "png"].contains(&extension.as_str()) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
