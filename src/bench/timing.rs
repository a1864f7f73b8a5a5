//! Medians of repeated runs.

use std::hint::black_box;
use std::time::Instant;

/// Below this, waking another thread takes longer than copying alone.
const ALONE: usize = 1 << 18;

/// The median time of `repeats` runs after one that does not count, in milliseconds.
///
/// # Errors
/// The first error of a run.
pub fn median_ms<T, E>(repeats: usize, mut run: impl FnMut() -> Result<T, E>) -> Result<f64, E> {
    run()?;
    let mut times = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        let start = Instant::now();
        black_box(run()?);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// The median time of one copy by `threads` threads, in milliseconds.
pub fn copy_ms(from: &[f32], to: &mut [f32], threads: usize, repeats: usize) -> f64 {
    let part = if from.len() < ALONE { from.len() } else { from.len().div_ceil(threads) };
    let copy = || -> Result<(), std::convert::Infallible> {
        std::thread::scope(|scope| {
            let mut parts = black_box(from).chunks(part.max(1)).zip(to.chunks_mut(part.max(1)));
            let first = parts.next();
            for (from, to) in parts {
                scope.spawn(move || to.copy_from_slice(from));
            }
            if let Some((from, to)) = first {
                to.copy_from_slice(from);
            }
        });
        Ok(())
    };
    match median_ms(repeats, copy) {
        Ok(took) => took,
        Err(never) => match never {},
    }
}
