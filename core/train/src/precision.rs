//! Reduced precision of the model's arithmetic (`--precision`). Weights, their gradients, the optimiser and the loss stay
//! float32.

use std::fmt;

use tch::{Device, Kind, TchError, Tensor};

unsafe extern "C" {
    fn imbalance_autocast_begin(cuda: bool, half: bool) -> bool;
    fn imbalance_autocast_end(cuda: bool, before: bool);
    fn imbalance_autocast_pause_bfloat16(cuda: bool) -> bool;
    fn imbalance_autocast_go_on(cuda: bool);
    fn imbalance_gpu_has_bfloat16() -> bool;
}

/// `--precision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// bfloat16 where the processor or GPU computes with it, else float32
    #[default]
    Auto,
    /// All arithmetic in float32
    Float32,
    /// Convolutions and products in bfloat16, the rest in float32
    Bfloat16,
    /// The same in float16, the loss scaled so that small gradients survive
    Float16,
}

impl Precision {
    /// What it is on `device`; never [`Precision::Auto`].
    pub fn on(self, device: Device) -> Self {
        match self {
            Self::Auto if native_bfloat16(device) => Self::Bfloat16,
            Self::Auto => Self::Float32,
            given => given,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
            Self::Float16 => "float16",
        })
    }
}

/// Whether products in bfloat16 are faster than in float32; elsewhere libtorch only imitates them.
fn native_bfloat16(device: Device) -> bool {
    match device {
        #[cfg(target_arch = "x86_64")]
        Device::Cpu => is_x86_feature_detected!("avx512bf16"),
        // SAFETY: asks libtorch; the device was opened.
        device => device.is_cuda() && unsafe { imbalance_gpu_has_bfloat16() },
    }
}

/// While it lives, libtorch's operations on this thread choose their precision as its autocast does: convolutions and
/// products in bfloat16 or float16, sums and normalisations in float32.
///
/// tch's own autocast is for CUDA only and takes no kind.
#[derive(Debug)]
pub struct Autocast {
    cuda: bool,
    before: bool,
}

impl Autocast {
    /// Begins it if `precision` is bfloat16 or float16 on `device`; the graph may be walked backward after its end.
    pub fn begin(precision: Precision, device: Device) -> Option<Self> {
        let precision = precision.on(device);
        (precision != Precision::Float32).then(|| {
            let (cuda, half) = (device.is_cuda(), precision == Precision::Float16);
            // SAFETY: sets libtorch's state of this thread, which `drop` puts back.
            Self { cuda, before: unsafe { imbalance_autocast_begin(cuda, half) } }
        })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { imbalance_autocast_end(self.cuda, self.before) };
    }
}

/// While it lives, operations on this thread are in float32 where an [`Autocast`] has them in bfloat16; float16 stays.
#[derive(Debug)]
pub struct Bfloat16Paused {
    cuda: bool,
    was_on: bool,
}

impl Bfloat16Paused {
    /// Begins it for operations on `device`.
    pub fn begin(device: Device) -> Self {
        let cuda = device.is_cuda();
        // SAFETY: as for `Autocast`.
        Self { cuda, was_on: unsafe { imbalance_autocast_pause_bfloat16(cuda) } }
    }
}

impl Drop for Bfloat16Paused {
    fn drop(&mut self) {
        if self.was_on {
            // SAFETY: as above.
            unsafe { imbalance_autocast_go_on(self.cuda) };
        }
    }
}

/// `xs` `[n, channels, height, width]` as a convolution of this stride may take it. With a stride, of images one pixel wide libtorch 2.11 leaves the weights' gradient
/// in bfloat16 partly unwritten on the processor: what was in memory before. They are taken in float32, while what is returned beside
/// them lives.
///
/// # Errors
/// libtorch's.
pub fn for_convolution(xs: &Tensor, stride: i64) -> Result<(Option<Bfloat16Paused>, Tensor), TchError> {
    let narrow = stride > 1 && xs.device() == Device::Cpu && xs.size().last() == Some(&1);
    Ok(match narrow {
        true => (Some(Bfloat16Paused::begin(Device::Cpu)), xs.f_to_kind(Kind::Float)?),
        false => (None, xs.shallow_clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_one_column_have_the_gradient_that_they_should() {
        let options = (Kind::Float, Device::Cpu);
        for rows in [1, 2] {
            let (xs, weight) = (Tensor::randn([2, 32, rows, 1], options), Tensor::randn([16, 32, 3, 3], options) * 0.1);
            let gradient = |kind: Kind| {
                let weight = weight.to_kind(kind).detach().set_requires_grad(true);
                let (_float32, xs) = for_convolution(&xs, 2).unwrap();
                let made = xs.to_kind(kind).conv2d(&weight, None::<&Tensor>, [2, 2], [1, 1], [1, 1], 1);
                made.square().sum(kind).backward();
                weight.grad().to_kind(Kind::Double)
            };
            let want = gradient(Kind::Double);
            for _ in 0..8 {
                // Memory that is used again is not zero.
                drop([(); 4].map(|()| Tensor::full([100_000], 1e18, (Kind::BFloat16, Device::Cpu))));
                let _autocast = Autocast::begin(Precision::Bfloat16, Device::Cpu);
                let off = (gradient(Kind::Float) - &want).abs().max().double_value(&[]);
                assert!(off < 0.02 * want.abs().max().double_value(&[]), "off by {off}");
            }
        }
    }

    #[test]
    fn products_are_in_bfloat16_while_it_lives() {
        let a = Tensor::ones([3, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let product = |precision| {
            let _autocast = Autocast::begin(precision, Device::Cpu);
            a.matmul(&a)
        };
        assert_eq!(product(Precision::Float32).kind(), Kind::Float);
        let low = product(Precision::Bfloat16);
        assert_eq!(low.kind(), Kind::BFloat16);
        assert_eq!(product(Precision::Float16).kind(), Kind::Half);
        for (precision, paused) in [(Precision::Bfloat16, Kind::Float), (Precision::Float16, Kind::Half)] {
            let _autocast = Autocast::begin(precision, Device::Cpu);
            let low = a.matmul(&a).kind();
            {
                let _paused = Bfloat16Paused::begin(Device::Cpu);
                assert_eq!(a.matmul(&a).kind(), paused, "{precision}");
            }
            assert_eq!(a.matmul(&a).kind(), low, "it goes on afterwards");
        }
        assert_eq!(a.matmul(&a).kind(), Kind::Float, "its end restores float32");
        low.sum(Kind::Float).backward();
        assert_eq!(a.grad().kind(), Kind::Float);
        assert_eq!(Vec::<f32>::try_from(a.grad().reshape([-1])).unwrap(), [6.0; 9]);
    }
}
