//! The passes over memory of batch normalisation, for pixels whose channels lie side by side (NHWC).
//!
//! Work is cut into blocks by the shape alone and the blocks' sums are added in their order, so the number of threads
//! changes no bit.

use imbalance_core::host::bf16;

use crate::parallel;

/// Columns handled side by side.
const LANES: usize = 64;

/// Values a task of the pool works on: 128 KiB of bfloat16.
const BLOCK: usize = 1 << 16;

/// A number in memory; the arithmetic is float32's.
pub(super) trait Value: Copy + Default + Send + Sync {
    fn widen(self) -> f32;
    /// To nearest, ties to even; of infinite and NaN the same.
    fn narrow(value: f32) -> Self;
}

impl Value for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
    #[inline(always)]
    fn narrow(value: f32) -> f32 {
        value
    }
}

/// `half`'s own conversions branch, which keeps loops over them from becoming vectors.
impl Value for bf16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
        // Rounding could carry a NaN's fraction into its sign; a set quiet bit keeps it a NaN.
        let kept = if value.is_nan() { bits | 0x0040_0000 } else { rounded };
        Self::from_bits((kept >> 16) as u16)
    }
}

/// What follows the normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    Relu,
    /// A tensor of the same shape is added before the ReLU.
    AddRelu,
}

/// `rows × width` values; a channel recurs every `channels` columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    channels: usize,
    width: usize,
    rows: usize,
    /// Rows that a task of the pool works on.
    block_rows: usize,
}

impl Shape {
    /// `count` values of `channels` channels. Narrow pixels are taken several a row, so that lanes are full.
    pub(super) fn new(count: usize, channels: usize) -> Self {
        let mut width = channels.max(1);
        while width < LANES && count.is_multiple_of(2 * width) {
            width *= 2;
        }
        Self { channels, width, rows: count / width, block_rows: (BLOCK / width).max(1) }
    }

    /// Values a channel has.
    pub(super) fn values_per_channel(self) -> usize {
        self.rows * (self.width / self.channels.max(1))
    }

    /// `per_channel`, for every column of a row.
    fn spread(self, per_channel: &[f32]) -> Vec<f32> {
        per_channel.iter().copied().cycle().take(self.width).collect()
    }
}

/// Mean and (biased) variance of a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub(super) mean: f64,
    pub(super) variance: f64,
}

/// Makes the function `$name`: `$body` for 64 columns from `$start` on at a time, then for 16, then for single ones, compiled for
/// what the processor has. `AFTER` is an [`After`] that is known to the compiler.
macro_rules! by_columns {
    (
        $(#[$meta:meta])*
        fn $name:ident($($arg:ident: $type:ty),* $(,)?), $width:ident columns, |$start:ident, $lanes:ident| $body:block
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "buffers and factors of one pass, which no other pass has alike")]
        fn $name<V: Value>(after: After, $($arg: $type),*) {
            #[inline(always)]
            fn columns<V: Value, const AFTER: u8, const $lanes: usize>($start: usize, $($arg: $type),*) $body
            #[inline(always)]
            fn all<V: Value, const AFTER: u8>($($arg: $type),*) {
                let mut start = 0;
                while start < $width {
                    match $width - start {
                        LANES.. => {
                            columns::<V, AFTER, LANES>(start, $($arg),*);
                            start += LANES;
                        }
                        16.. => {
                            columns::<V, AFTER, 16>(start, $($arg),*);
                            start += 16;
                        }
                        _ => {
                            columns::<V, AFTER, 1>(start, $($arg),*);
                            start += 1;
                        }
                    }
                }
            }
            #[inline(always)]
            fn any<V: Value>(after: After, $($arg: $type),*) {
                match after {
                    After::Nothing => all::<V, NOTHING>($($arg),*),
                    After::Relu => all::<V, RELU>($($arg),*),
                    After::AddRelu => all::<V, ADD_RELU>($($arg),*),
                }
            }
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
                fn avx512<V: Value>(after: After, $($arg: $type),*) {
                    any::<V>(after, $($arg),*);
                }
                #[target_feature(enable = "avx2")]
                fn avx2<V: Value>(after: After, $($arg: $type),*) {
                    any::<V>(after, $($arg),*);
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                {
                    // SAFETY: the processor has the instructions, as just asked.
                    return unsafe { avx512::<V>(after, $($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: as above.
                    return unsafe { avx2::<V>(after, $($arg),*) };
                }
            }
            any::<V>(after, $($arg),*);
        }
    };
}

const NOTHING: u8 = After::Nothing as u8;
const RELU: u8 = After::Relu as u8;
const ADD_RELU: u8 = After::AddRelu as u8;

/// `N` of `values` from `start` on.
#[inline(always)]
fn lanes<T: Copy, const N: usize>(values: &[T], start: usize) -> &[T; N] {
    values[start..start + N].try_into().expect("N values")
}

by_columns! {
    /// Adds to `sums` and `squares` those of `x − shift`.
    fn add_moments(x: &[V], shift: &[f32], width: usize, sums: &mut [f32], squares: &mut [f32]),
    width columns, |start, N| {
        let shift: [f32; N] = *lanes(shift, start);
        let (mut sum, mut square) = ([0.0; N], [0.0; N]);
        for row in x.chunks_exact(width) {
            let x: &[V; N] = lanes(row, start);
            for i in 0..N {
                let value = x[i].widen() - shift[i];
                sum[i] += value;
                square[i] += value * value;
            }
        }
        sums[start..start + N].copy_from_slice(&sum);
        squares[start..start + N].copy_from_slice(&square);
    }
}

by_columns! {
    /// `y = after(x · scale + bias)`.
    fn apply(x: &[V], added: &[V], scale: &[f32], bias: &[f32], width: usize, y: &mut [V]),
    width columns, |start, N| {
        let (scale, bias): ([f32; N], [f32; N]) = (*lanes(scale, start), *lanes(bias, start));
        for (row, (x, y)) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).enumerate() {
            let x: &[V; N] = lanes(x, start);
            let y: &mut [V; N] = (&mut y[start..start + N]).try_into().expect("N values");
            let added: [V; N] = if AFTER == ADD_RELU { *lanes(added, row * width + start) } else { [V::default(); N] };
            for i in 0..N {
                let mut value = x[i].widen() * scale[i] + bias[i];
                if AFTER == ADD_RELU {
                    value += added[i].widen();
                }
                if AFTER != NOTHING {
                    // Not `max`, which would make a zero of NaN.
                    value = if value < 0.0 { 0.0 } else { value };
                }
                y[i] = V::narrow(value);
            }
        }
    }
}

by_columns! {
    /// Adds to `sums` and `products` those of the gradient by the normalised value, and of it and `x − mean`. With `AddRelu`,
    /// writes that gradient, which is also the added tensor's.
    fn add_products(
        x: &[V], y: &[V], gradient: &[V], scale: &[f32], bias: &[f32], mean: &[f32], width: usize,
        masked: &mut [V], sums: &mut [f32], products: &mut [f32],
    ),
    width columns, |start, N| {
        let (scale, bias): ([f32; N], [f32; N]) = (*lanes(scale, start), *lanes(bias, start));
        let mean: [f32; N] = *lanes(mean, start);
        let (mut sum, mut product) = ([0.0; N], [0.0; N]);
        for (row, (x, gradient)) in x.chunks_exact(width).zip(gradient.chunks_exact(width)).enumerate() {
            let x: &[V; N] = lanes(x, start);
            let gradient: &[V; N] = lanes(gradient, start);
            let y: [V; N] = if AFTER == ADD_RELU { *lanes(y, row * width + start) } else { [V::default(); N] };
            let mut passed = [V::default(); N];
            for i in 0..N {
                let value = x[i].widen();
                let stopped = match AFTER {
                    ADD_RELU => y[i].widen() <= 0.0,
                    RELU => value * scale[i] + bias[i] <= 0.0,
                    _ => false,
                };
                let gradient = if stopped { 0.0 } else { gradient[i].widen() };
                passed[i] = V::narrow(gradient);
                sum[i] += gradient;
                product[i] += gradient * (value - mean[i]);
            }
            if AFTER == ADD_RELU {
                masked[row * width + start..row * width + start + N].copy_from_slice(&passed);
            }
        }
        sums[start..start + N].copy_from_slice(&sum);
        products[start..start + N].copy_from_slice(&product);
    }
}

by_columns! {
    /// The gradient by `x`: `by_gradient · g − (x − mean) · by_deviation − constant`, `g` the gradient by the normalised value.
    fn differentiate(
        x: &[V], gradient: &[V], scale: &[f32], bias: &[f32], mean: &[f32], by_deviation: &[f32], constant: &[f32],
        width: usize, out: &mut [V],
    ),
    width columns, |start, N| {
        let (scale, bias): ([f32; N], [f32; N]) = (*lanes(scale, start), *lanes(bias, start));
        let (mean, by_deviation): ([f32; N], [f32; N]) = (*lanes(mean, start), *lanes(by_deviation, start));
        let constant: [f32; N] = *lanes(constant, start);
        let rows = x.chunks_exact(width).zip(gradient.chunks_exact(width)).zip(out.chunks_exact_mut(width));
        for ((x, gradient), out) in rows {
            let x: &[V; N] = lanes(x, start);
            let gradient: &[V; N] = lanes(gradient, start);
            let out: &mut [V; N] = (&mut out[start..start + N]).try_into().expect("N values");
            for i in 0..N {
                let value = x[i].widen();
                let stopped = AFTER == RELU && value * scale[i] + bias[i] <= 0.0;
                let gradient = if stopped { 0.0 } else { gradient[i].widen() };
                out[i] = V::narrow(scale[i] * gradient - (value - mean[i]) * by_deviation[i] - constant[i]);
            }
        }
    }
}

/// Two sums of each column of a block.
#[derive(Clone)]
struct Sums {
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Shape {
    fn blocks(self) -> usize {
        self.rows.div_ceil(self.block_rows)
    }

    /// The part of `values` that is of block `at`; nothing where there are no `values`.
    fn of_block<V>(self, values: &[V], at: usize) -> &[V] {
        let block = self.block_rows * self.width;
        let start = (at * block).min(values.len());
        &values[start..(start + block).min(values.len())]
    }

    /// `values` in blocks, each empty where there are no `values`.
    fn blocks_mut<V>(self, values: &mut [V]) -> Vec<&mut [V]> {
        let mut blocks: Vec<&mut [V]> = values.chunks_mut(self.block_rows * self.width).collect();
        blocks.resize_with(self.blocks(), Default::default);
        blocks
    }

    /// As many zeros as blocks need.
    fn sums(self) -> Vec<Sums> {
        vec![Sums { first: vec![0.0; self.width], second: vec![0.0; self.width] }; self.blocks()]
    }

    /// Sums over the blocks and over the columns of a channel.
    fn gather<'a>(self, blocks: impl Iterator<Item = &'a Vec<f32>>) -> Vec<f64> {
        let mut sums = vec![0.0; self.channels];
        for block in blocks {
            for (column, &sum) in block.iter().enumerate() {
                sums[column % self.channels] += f64::from(sum);
            }
        }
        sums
    }
}

/// Mean and variance of each channel. Sums are of deviations from the first value, so that they do not cancel.
pub(super) fn moments<V: Value>(x: &[V], shape: Shape) -> Vec<Moments> {
    let first: Vec<f32> = x.iter().take(shape.channels).map(|value| value.widen()).collect();
    let shift = shape.spread(&first);
    let mut blocks = shape.sums();
    parallel::for_each(&mut blocks, |at, Sums { first, second }| {
        add_moments(After::Nothing, shape.of_block(x, at), &shift, shape.width, first, second);
    });
    let count = shape.values_per_channel() as f64;
    let sums = shape.gather(blocks.iter().map(|block| &block.first));
    let squares = shape.gather(blocks.iter().map(|block| &block.second));
    sums.iter()
        .zip(squares)
        .zip(first)
        .map(|((sum, square), first)| Moments {
            mean: f64::from(first) + sum / count,
            variance: ((square - sum * sum / count) / count).max(0.0),
        })
        .collect()
}

/// `after(x · scale + bias)`, `scale` and `bias` by channel; `added` is empty unless `after` adds it.
pub(super) fn forward<V: Value>(
    (x, added, y): (&[V], &[V], &mut [V]),
    shape: Shape,
    after: After,
    scale: &[f32],
    bias: &[f32],
) {
    let (scale, bias) = (shape.spread(scale), shape.spread(bias));
    parallel::for_each(&mut shape.blocks_mut(y), |at, y| {
        let (x, added) = (shape.of_block(x, at), shape.of_block(added, at));
        apply(after, x, added, &scale, &bias, shape.width, y);
    });
}

/// What the backward pass takes; `y` and `masked` are empty unless a tensor was added.
pub(super) struct Backward<'a, V> {
    pub(super) x: &'a [V],
    pub(super) y: &'a [V],
    pub(super) gradient: &'a [V],
    /// Of the forward pass, by channel.
    pub(super) scale: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) mean: &'a [f32],
    pub(super) inverse_deviation: &'a [f32],
    /// Whether mean and deviation are those of `x`, which then differentiate too.
    pub(super) of_batch: bool,
    /// Whether weight or bias need a gradient.
    pub(super) of_weights: bool,
    /// Where the gradient of the added tensor goes.
    pub(super) masked: &'a mut [V],
    /// Where the gradient of `x` goes.
    pub(super) out: &'a mut [V],
}

/// Fills the gradients of `x` and of the added tensor, and returns those of weight and bias.
pub(super) fn backward<V: Value>(pass: Backward<'_, V>, shape: Shape, after: After) -> (Vec<f32>, Vec<f32>) {
    let Backward { x, y, gradient, scale, bias, mean, inverse_deviation, of_batch, of_weights, masked, out } = pass;
    let width = shape.width;
    let (scales, biases, means) = (shape.spread(scale), shape.spread(bias), shape.spread(mean));

    let mut blocks: Vec<(Sums, &mut [V])> = shape.sums().into_iter().zip(shape.blocks_mut(&mut *masked)).collect();
    let frozen = !of_batch && !of_weights && after != After::AddRelu;
    parallel::for_each(if frozen { &mut [] } else { &mut blocks[..] }, |at, (Sums { first, second }, masked)| {
        let (x, y, gradient) = (shape.of_block(x, at), shape.of_block(y, at), shape.of_block(gradient, at));
        add_products(after, x, y, gradient, &scales, &biases, &means, width, masked, first, second);
    });
    let sums = shape.gather(blocks.iter().map(|(block, _)| &block.first));
    let products = shape.gather(blocks.iter().map(|(block, _)| &block.second));

    let count = shape.values_per_channel() as f64;
    let (mut by_deviation, mut constant) = (vec![0.0; shape.channels], vec![0.0; shape.channels]);
    if of_batch {
        for channel in 0..shape.channels {
            let (scale, inverse) = (f64::from(scale[channel]), f64::from(inverse_deviation[channel]));
            by_deviation[channel] = (scale * inverse * inverse * products[channel] / count) as f32;
            constant[channel] = (scale * sums[channel] / count) as f32;
        }
    }
    let (by_deviation, constant) = (shape.spread(&by_deviation), shape.spread(&constant));
    let gradient = if after == After::AddRelu { &*masked } else { gradient };
    parallel::for_each(&mut shape.blocks_mut(out), |at, out| {
        let (x, gradient) = (shape.of_block(x, at), shape.of_block(gradient, at));
        differentiate(after, x, gradient, &scales, &biases, &means, &by_deviation, &constant, width, out);
    });
    let by_weight = products.iter().zip(inverse_deviation).map(|(sum, &inverse)| (sum * f64::from(inverse)) as f32);
    (by_weight.collect(), sums.iter().map(|&sum| sum as f32).collect())
}
