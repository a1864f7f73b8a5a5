//! Images with boxes: annotations, their checks, and batches for training and evaluation.
//!
//! [`Dataset::open`] reads a COCO or LVIS annotation file, [`convert()`] makes one of a VOC or YOLO folder, [`synthetic`] needs
//! no files at all. [`Sampler`] says which images make each batch of a run, [`Transform`] what is done to an image and its
//! boxes, [`Loader`] does it on threads of its own, ahead of the training step. Nothing here sees a tensor library.

mod convert;
mod dataset;
mod error;
mod layout;
mod loader;
mod read;
mod report;
mod sampler;
pub mod synthetic;
mod transform;
mod write;

pub use convert::{ConvertError, Converted, Source, Written, convert};
pub use dataset::{Category, Dataset, Image, ImageSource, Object};
pub use error::{BoxFault, DataError, ImageFault};
pub use layout::{Layout, Part};
pub use loader::{
    DecodeFault, LoadError, LoadedBatch, LoadedImage, Loader, LoaderOptions, PixelBuffer, Skipped, evaluation_batches,
};
pub use read::{Checks, OnBadBox};
pub use report::{Report, SkipCount};
pub use sampler::{Batch, Sampler, SamplerOptions, SamplerState, repeat_factors};
pub use transform::{
    ChannelOrder, Colour, ImageDraw, Scratch, Transform, TransformError, flip_box, resized, scale_box,
};
