//! Images a second of the loader on a folder of image files: decoding, scaling (shorter side 800, longer at most 1333), mirror,
//! normalisation, padding.
//!
//!     cargo run --release -p imbalance-detection --example detection_images -- FOLDER [--threads 0] [--passes 5] [--batch-size 4]
//!
//! The other side: `python benches/peers/detection_images.py FOLDER` with the same arguments.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use imbalance_detection::data::{
    Category, Colour, Dataset, Image, ImageSource, Loader, LoaderOptions, Transform, evaluation_batches,
};
use imbalance_vision::augment::{Orientation, decode_file};

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
    #[arg(long, default_value_t = 4)]
    batch_size: usize,
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let set = Arc::new(folder(&args.folder)?);
    let transform = Transform { flip: 0.5, ..Transform::evaluate(Colour::DETECTRON) };
    let options = LoaderOptions { threads: args.threads, ..LoaderOptions::default() };
    let mut loader = Loader::new(Arc::clone(&set), transform, options)?;
    let all: Vec<usize> = (0..set.images.len()).collect();
    let batches = evaluation_batches(&set, &all, args.batch_size);
    let mut best = f64::INFINITY;
    for seed in 0..args.passes.max(1) as u64 {
        let start = Instant::now();
        loader.start(batches.clone(), seed);
        while loader.next_batch()?.is_some() {}
        best = best.min(start.elapsed().as_secs_f64());
    }
    let images = all.len() as f64;
    println!("folder, 800/1333: {:.1} images/s, {:.2} ms an image", images / best, best / images * 1e3);
    Ok(())
}

/// The images of a folder, without boxes.
fn folder(folder: &Path) -> Result<Dataset, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
        if ["jpg", "jpeg", "png"].contains(&extension.as_str()) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(format!("{}: no .jpg, .jpeg or .png", folder.display()).into());
    }
    let mut images = Vec::new();
    for (path, id) in files.into_iter().zip(1..) {
        // Once, unmeasured; it brings the files into the system's cache, too.
        let pixels = decode_file(&path, Orientation::Exif)?;
        images.push(Image {
            id,
            source: ImageSource::File(path),
            width: pixels.width as u32,
            height: pixels.height as u32,
            objects: Vec::new(),
            negative: Vec::new(),
            not_exhaustive: Vec::new(),
        });
    }
    let categories = vec![Category { id: 1, name: "none".into(), frequency: None }];
    Ok(Dataset { categories, images, file: None, sha256: String::new() })
}
