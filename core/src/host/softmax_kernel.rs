//! The passes over a row of softmax logits: largest, exponentials and their sum, gradient.

use crate::lanes::{Isa, LANES, Lanes};

/// What is done to a logit before it is used: nothing, or a scale and a bias a class.
pub(super) trait Adjust: Copy {
    /// Whether ∂z'/∂z is 1 for every class.
    const IDENTITY: bool;

    /// A row of adjusted logits from `at` on.
    ///
    /// # Safety
    /// `from` and the tables must hold `at + LANES` numbers.
    unsafe fn lanes<I: Isa>(self, from: *const f32, at: usize) -> Lanes<I>;

    /// One adjusted logit.
    ///
    /// # Safety
    /// `from` and the tables must hold more than `at` numbers.
    unsafe fn one(self, from: *const f32, at: usize) -> f32;

    /// The same for the classes from `classes` on.
    ///
    /// # Safety
    /// The tables must hold `classes` numbers.
    unsafe fn skip(self, classes: usize) -> Self;

    /// ∂z'/∂z of class `at`.
    ///
    /// # Safety
    /// The tables must hold more than `at` numbers.
    unsafe fn slope(self, at: usize) -> f32;
}

/// Logits as they are.
#[derive(Clone, Copy)]
pub(super) struct Unchanged;

impl Adjust for Unchanged {
    const IDENTITY: bool = true;

    #[inline(always)]
    unsafe fn lanes<I: Isa>(self, from: *const f32, at: usize) -> Lanes<I> {
        // SAFETY: the caller's promise.
        unsafe { Lanes::load(from.add(at)) }
    }

    #[inline(always)]
    unsafe fn one(self, from: *const f32, at: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { from.add(at).read() }
    }

    #[inline(always)]
    unsafe fn skip(self, _: usize) -> Self {
        self
    }

    #[inline(always)]
    unsafe fn slope(self, _: usize) -> f32 {
        1.0
    }
}

/// `scale · z + bias`. What is the same for all classes, or nothing, is not read from memory class by class.
#[derive(Clone, Copy)]
pub(super) struct Affine<S, B> {
    pub scale: S,
    pub bias: B,
}

/// The scales or the biases of the classes.
pub(super) trait Numbers: Copy {
    /// Whether scales are all 1, biases all 0.
    const NEUTRAL: bool;

    /// Those of a row of classes from `at` on.
    ///
    /// # Safety
    /// A table must hold `at + LANES` numbers.
    unsafe fn lanes<I: Isa>(self, at: usize) -> Lanes<I>;

    /// That of class `at`.
    ///
    /// # Safety
    /// A table must hold more than `at` numbers.
    unsafe fn one(self, at: usize) -> f32;

    /// Those from class `classes` on.
    ///
    /// # Safety
    /// A table must hold `classes` numbers.
    unsafe fn skip(self, classes: usize) -> Self;
}

/// Scales of 1, biases of 0.
#[derive(Clone, Copy)]
pub(super) struct Neutral;

impl Numbers for Neutral {
    const NEUTRAL: bool = true;

    #[inline(always)]
    unsafe fn lanes<I: Isa>(self, _: usize) -> Lanes<I> {
        Lanes::splat(1.0)
    }

    #[inline(always)]
    unsafe fn one(self, _: usize) -> f32 {
        1.0
    }

    #[inline(always)]
    unsafe fn skip(self, _: usize) -> Self {
        self
    }
}

/// The same number for all classes.
#[derive(Clone, Copy)]
pub(super) struct Same(pub f32);

impl Numbers for Same {
    const NEUTRAL: bool = false;

    #[inline(always)]
    unsafe fn lanes<I: Isa>(self, _: usize) -> Lanes<I> {
        Lanes::splat(self.0)
    }

    #[inline(always)]
    unsafe fn one(self, _: usize) -> f32 {
        self.0
    }

    #[inline(always)]
    unsafe fn skip(self, _: usize) -> Self {
        self
    }
}

/// A number for each class.
#[derive(Clone, Copy)]
pub(super) struct Each(pub *const f32);

impl Numbers for Each {
    const NEUTRAL: bool = false;

    #[inline(always)]
    unsafe fn lanes<I: Isa>(self, at: usize) -> Lanes<I> {
        // SAFETY: the caller's promise.
        unsafe { Lanes::load(self.0.add(at)) }
    }

    #[inline(always)]
    unsafe fn one(self, at: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(at).read() }
    }

    #[inline(always)]
    unsafe fn skip(self, classes: usize) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { self.0.add(classes) })
    }
}

impl<S: Numbers, B: Numbers> Adjust for Affine<S, B> {
    const IDENTITY: bool = S::NEUTRAL;

    #[inline(always)]
    unsafe fn lanes<I: Isa>(self, from: *const f32, at: usize) -> Lanes<I> {
        // SAFETY: the caller's promise.
        unsafe {
            let z = Lanes::load(from.add(at));
            match (S::NEUTRAL, B::NEUTRAL) {
                (true, true) => z,
                (true, false) => z + self.bias.lanes(at),
                (false, true) => z * self.scale.lanes(at),
                (false, false) => z.mul_add(self.scale.lanes(at), self.bias.lanes(at)),
            }
        }
    }

    #[inline(always)]
    unsafe fn one(self, from: *const f32, at: usize) -> f32 {
        // SAFETY: the caller's promise.
        let (z, scale) = unsafe { (from.add(at).read(), self.scale.one(at)) };
        // SAFETY: as above.
        if B::NEUTRAL { z * scale } else { z.mul_add(scale, unsafe { self.bias.one(at) }) }
    }

    #[inline(always)]
    unsafe fn skip(self, classes: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self { scale: self.scale.skip(classes), bias: self.bias.skip(classes) } }
    }

    #[inline(always)]
    unsafe fn slope(self, at: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { self.scale.one(at) }
    }
}

/// What a row's exponentials came to.
#[derive(Clone, Copy, Default)]
pub(super) struct Exponentials {
    /// m, before the true class's margin is taken off.
    pub log_odds: f32,
    /// 1 / Σ_{j≠y} exp(z_j − max)
    pub inverse_sum: f32,
}

/// Log-odds of class `target`, less `margin`; the exponentials of the other classes are left at `out` unless that is null.
///
/// # Safety
/// `logits`, the tables of `adjust` and, unless null, `out` must hold `classes` numbers; `logits` and `out` may be the
/// same. `target < classes`.
pub(super) unsafe fn exponentiate<A: Adjust>(
    adjust: A,
    logits: *const f32,
    out: *mut f32,
    classes: usize,
    target: usize,
    margin: f32,
) -> Exponentials {
    // SAFETY: the target is one of the classes.
    let true_logit = f64::from(unsafe { adjust.one(logits, target) }) - f64::from(margin);
    if classes == 1 {
        // No other class: the true one is certain, m = +∞. Nothing can be learnt; the caller refuses it.
        return Exponentials { log_odds: f32::INFINITY, inverse_sum: 0.0 };
    }
    let (before, after) = (target, classes - target - 1);
    // The parts before and after the true class.
    // SAFETY: both lie within the row.
    let (sum, largest) = unsafe {
        let (rest, adjust_rest) = (logits.add(target + 1), adjust.skip(target + 1));
        let largest = largest_of(adjust, logits, before).max(largest_of(adjust_rest, rest, after));
        let out_rest = if out.is_null() { out } else { out.add(target + 1) };
        let sum =
            exp_sum_of(adjust, logits, out, before, largest) + exp_sum_of(adjust_rest, rest, out_rest, after, largest);
        (sum, largest)
    };
    Exponentials { log_odds: (true_logit - f64::from(largest) - f64::from(sum).ln()) as f32, inverse_sum: 1.0 / sum }
}

crate::dispatch_isa! {
    /// The largest of `n` adjusted logits; −∞ of none. A NaN may be passed over: it shows in the sum.
    unsafe fn largest_of<A: Adjust>(adjust: A, from: *const f32, n: usize) -> f32, Best => {
        // SAFETY: the caller's promise: `n` numbers.
        unsafe { largest_lanes::<Best, A>(adjust, from, n) }
    }
}

/// # Safety
/// `from` and the tables must hold `n` numbers.
#[inline(always)]
unsafe fn largest_lanes<I: Isa, A: Adjust>(adjust: A, from: *const f32, n: usize) -> f32 {
    let mut best = Lanes::<I>::splat(f32::NEG_INFINITY);
    let mut at = 0;
    while at + LANES <= n {
        // SAFETY: within the `n` numbers.
        best = best.max(unsafe { adjust.lanes(from, at) });
        at += LANES;
    }
    let mut most = best.largest();
    while at < n {
        // SAFETY: within the `n` numbers.
        let value = unsafe { adjust.one(from, at) };
        most = if most < value { value } else { most };
        at += 1;
    }
    most
}

crate::dispatch_isa! {
    /// `Σ exp(z − largest)` over `n` adjusted logits; each exponential is stored at `to` unless that is null.
    unsafe fn exp_sum_of<A: Adjust>(adjust: A, from: *const f32, to: *mut f32, n: usize, largest: f32) -> f32, Best => {
        // SAFETY: the caller's promise: `n` numbers at each.
        unsafe { exp_sum_lanes::<Best, A>(adjust, from, to, n, largest) }
    }
}

/// # Safety
/// `from`, the tables and, unless null, `to` must hold `n` numbers.
#[inline(always)]
unsafe fn exp_sum_lanes<I: Isa, A: Adjust>(adjust: A, from: *const f32, to: *mut f32, n: usize, largest: f32) -> f32 {
    let shift = Lanes::<I>::splat(largest);
    let mut sum = Lanes::<I>::splat(0.0);
    let mut at = 0;
    while at + LANES <= n {
        // SAFETY: within the `n` numbers of each.
        unsafe {
            let value = (adjust.lanes::<I>(from, at) - shift).exp();
            sum = sum + value;
            if !to.is_null() {
                value.store(to.add(at));
            }
        }
        at += LANES;
    }
    while at < n {
        let taken = LANES.min(n - at);
        let mut rest = [f32::NEG_INFINITY; LANES];
        for (lane, value) in rest.iter_mut().take(taken).enumerate() {
            // SAFETY: `taken` numbers are left.
            *value = unsafe { adjust.one(from, at + lane) };
        }
        let value = (Lanes::<I>::new(rest) - shift).exp();
        sum = sum + value;
        if !to.is_null() {
            // SAFETY: as above.
            unsafe { to.add(at).copy_from_nonoverlapping(value.to_array().as_ptr(), taken) };
        }
        at += taken;
    }
    sum.sum()
}

crate::dispatch_isa! {
    /// The sum of `n` adjusted logits.
    unsafe fn sum_of<A: Adjust>(adjust: A, from: *const f32, n: usize) -> f32, Best => {
        let mut sum = Lanes::<Best>::splat(0.0);
        let mut at = 0;
        while at + LANES <= n {
            // SAFETY: within the `n` numbers.
            sum = sum + unsafe { adjust.lanes(from, at) };
            at += LANES;
        }
        // SAFETY: within the `n` numbers.
        sum.sum() + (at..n).map(|at| unsafe { adjust.one(from, at) }).sum::<f32>()
    }
}

crate::dispatch_isa! {
    /// `number · factor + shift`, times the adjustment's slope: from exponentials to the gradient of the logits.
    // A plain loop: of one over lanes, the compiler makes gathers.
    unsafe fn finish_of<A: Adjust>(adjust: A, numbers: &mut [f32], factor: f32, shift: f32) -> (), _Best => {
        for (at, number) in numbers.iter_mut().enumerate() {
            *number = *number * factor + shift;
            if !A::IDENTITY {
                // SAFETY: the caller's promise: the tables are as long as the numbers.
                *number *= unsafe { adjust.slope(at) };
            }
        }
    }
}

pub(super) use {finish_of as finish, sum_of as sum};
