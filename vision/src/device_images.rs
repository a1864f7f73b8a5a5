//! Images that stay on an accelerator, where their batches are cut, mirrored and normalised.
//!
//! The processor only draws, exactly as the loader does, and sends a row, a column and a bit an image; a batch has the bytes
//! that the loader would make of it.

use imbalance_train::sent;
use tch::{Device, IndexOp as _, Kind, Tensor};

use crate::VisionError;
use crate::augment::{Augment, AugmentError, Crop, DrawKey, Placement};
use crate::data::{Images, Split};

/// All images of a split on a device, with what is done to them.
#[derive(Debug)]
pub struct DeviceImages {
    /// `[images · height · width + 1, 3]` bytes; the last row is black.
    pixels: Tensor,
    /// What each level of each channel becomes, `[3 · 256]`.
    levels: Tensor,
    /// Where the levels of each channel begin.
    channels: Tensor,
    height: i64,
    width: i64,
    augment: Augment,
}

/// What the random choices about a batch are a function of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchKey {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
    /// Images of the epoch before it.
    pub first: u64,
}

impl DeviceImages {
    /// The images of `split` on `device`; `None` where they are files, or are scaled or recoloured, which the loader does.
    ///
    /// # Errors
    /// libtorch's: the device's memory, say.
    pub fn new(split: &Split, augment: &Augment, device: Device) -> Result<Option<Self>, VisionError> {
        let Images::Memory(images) = &split.images else { return Ok(None) };
        let copies = matches!(augment.crop, Crop::Padded { .. } | Crop::Center { resize: None, .. });
        if !copies || augment.jitter.is_some() {
            return Ok(None);
        }
        let bytes = Tensor::f_from_slice(&images.bytes)?.f_view([-1, 3])?;
        let black = Tensor::f_zeros([1, 3], (Kind::Uint8, Device::Cpu))?;
        let (mean, std) = (augment.mean, augment.std);
        let level = |at: usize| ((at % 256) as f32 / 255.0 - mean[at / 256]) / std[at / 256];
        Ok(Some(Self {
            pixels: Tensor::f_cat(&[bytes, black], 0)?.f_to_device(device)?,
            levels: Tensor::f_from_slice(&(0..768).map(level).collect::<Vec<f32>>())?.f_to_device(device)?,
            channels: Tensor::f_from_slice(&[0i64, 256, 512])?.f_to_device(device)?,
            height: images.height as i64,
            width: images.width as i64,
            augment: augment.clone(),
        }))
    }

    /// The images of `indices`, augmented.
    ///
    /// # Shapes
    /// - output: `[n, 3, size, size]`, channels last in memory
    ///
    /// # Errors
    /// Images too small for the crop; libtorch's.
    pub fn batch(&self, indices: &[usize], key: BatchKey) -> Result<Tensor, VisionError> {
        let (n, size) = (indices.len() as i64, self.augment.size() as i64);
        let mut drawn = Vec::with_capacity(4 * indices.len());
        for (at, &index) in indices.iter().enumerate() {
            let place =
                DrawKey { seed: key.seed, epoch: key.epoch, image: index as u64, position: key.first + at as u64 };
            let draw = self.augment.draw(&place, self.height as usize, self.width as usize)?;
            let Placement::Copy { top, left } = draw.placement else {
                return Err(AugmentError::Mismatch {
                    what: "the crop",
                    found: format!("{:?}", draw.placement),
                    expected: "a part of the image as it is".into(),
                }
                .into());
            };
            drawn.extend([index as i64, top, left, i64::from(draw.flip)]);
        }
        let device = self.pixels.device();
        let drawn = sent(&Tensor::f_from_slice(&drawn)?.f_view([n, 4, 1, 1])?, device)?;
        let [index, top, left, flip] = [0, 1, 2, 3].map(|at| drawn.i((.., at)));
        let steps = Tensor::f_arange(size, (Kind::Int64, device))?;
        let rows = top.f_add(&steps.f_view([1, size, 1])?)?;
        let across = steps.f_view([1, 1, size])?;
        let mirrored = across.f_mul_scalar(-1)?.f_add_scalar(size - 1)?;
        let columns = left.f_add(&mirrored.f_where_self(&flip.f_to_kind(Kind::Bool)?, &across)?)?;
        let inside = |at: &Tensor, length: i64| at.f_ge(0)?.f_logical_and(&at.f_lt(length)?);
        let inside = inside(&rows, self.height)?.f_logical_and(&inside(&columns, self.width)?)?;
        let start = index.f_mul_scalar(self.height * self.width)?;
        let place = start.f_add(&rows.f_mul_scalar(self.width)?)?.f_add(&columns)?;
        let black = Tensor::f_full([1], self.pixels.size()[0] - 1, (Kind::Int64, device))?;
        let place = place.f_where_self(&inside, &black)?.f_view([-1])?;
        let level = self.pixels.f_index_select(0, &place)?.f_to_kind(Kind::Int64)?.f_add(&self.channels)?;
        let values = self.levels.f_index_select(0, &level.f_view([-1])?)?;
        Ok(values.f_view([n, size, size, 3])?.f_permute([0, 3, 1, 2])?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::augment::{Layout, Loader, LoaderOptions, Preset};
    use crate::data::Pixels;

    /// Twelve images of 32 × 32 whose bytes are all kinds of numbers.
    fn split() -> Split {
        let bytes = (0..12 * 32 * 32 * 3u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        Split { images: Images::Memory(Pixels { height: 32, width: 32, bytes }), labels: vec![0; 12] }
    }

    #[test]
    fn batches_have_the_bytes_of_the_loader() {
        let split = Arc::new(split());
        let (train, evaluate) = (Augment::train(&Preset::cifar()), Augment::evaluate(&Preset::cifar()));
        let smaller = Augment { crop: Crop::Center { resize: None, size: 40 }, ..evaluate.clone() };
        for augment in [train, evaluate, smaller] {
            let options = LoaderOptions { layout: Layout::ChannelsLast, ..LoaderOptions::default() };
            let mut loader = Loader::new(Arc::clone(&split), augment.clone(), options).unwrap();
            let images = DeviceImages::new(&split, &augment, Device::Cpu).unwrap().unwrap();
            let batches = vec![vec![3, 1, 4, 1, 5], vec![9, 2, 6], vec![11]];
            loader.start_epoch(batches.clone(), 0, 7, 2).unwrap();
            let mut first = 0;
            for batch in &batches {
                let loaded = loader.next_batch().unwrap().unwrap();
                let made = images.batch(batch, BatchKey { seed: 7, epoch: 2, first }).unwrap();
                assert_eq!(made.size()[1], 3);
                let made = Vec::<f32>::try_from(made.permute([0, 2, 3, 1]).contiguous().view([-1])).unwrap();
                assert!(made == loaded.pixels(), "{augment:?}");
                first += batch.len() as u64;
            }
        }
    }

    #[test]
    fn what_the_loader_must_do_is_left_to_it() {
        let imagenet = Augment::train(&Preset::imagenet());
        assert!(DeviceImages::new(&split(), &imagenet, Device::Cpu).unwrap().is_none());
        let files = Split { images: Images::Files(vec!["a.jpg".into()]), labels: vec![0] };
        assert!(DeviceImages::new(&files, &Augment::train(&Preset::cifar()), Device::Cpu).unwrap().is_none());
    }
}
