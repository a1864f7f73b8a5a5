//! From an [`ImbalanceLoss`] to the entry points of the C ABI.

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use crate::abi::{
    self, Head, RawAdjustment, RawAdjustmentExtension, RawExpressionExtension, RawMessage, RawParam, RawPlugin,
    RawRecorder,
};
use crate::dual::Dual;
use crate::lanes::{Isa, LANES, Lanes, OneClass};
use crate::recorder::record;
use crate::{Class, ClassCounts, ImbalanceLoss, LogitAdjustment, LossError, Params, PerClass, Real};

/// Reads a C string of a plugin.
///
/// # Safety
/// `from` must be null or point to a NUL-terminated string.
#[doc(hidden)]
pub unsafe fn text(from: *const c_char, what: &str) -> Result<String, LossError> {
    if from.is_null() {
        return Err(LossError::new(format!("{what} is missing")));
    }
    // SAFETY: not null, and the caller's promise.
    let from = unsafe { CStr::from_ptr(from) };
    from.to_str().map(str::to_owned).map_err(|_| LossError::new(format!("{what} is not UTF-8")))
}

/// What an instance pointer points at: parameters first, the loss once the counts are known.
struct Instance<T> {
    params: Params,
    loss: Option<T>,
}

/// Writes `text`, cut to fit at a character's edge, and a NUL.
fn say(message: RawMessage, text: &str) {
    if message.data.is_null() || message.size == 0 {
        return;
    }
    let mut end = text.len().min(message.size - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // SAFETY: the caller's buffer holds `size` bytes, and `end < size`.
    unsafe {
        message.data.copy_from_nonoverlapping(text.as_ptr().cast(), end);
        message.data.add(end).write(0);
    }
}

/// Runs `body`; its error or panic becomes a message and a return value that is not [`abi::OK`].
#[doc(hidden)]
pub fn guarded(message: RawMessage, body: impl FnOnce() -> Result<(), LossError>) -> i32 {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return abi::OK,
        Ok(Err(error)) => say(message, &error.to_string()),
        Err(panic) => say(message, &format!("panicked: {}", panic_text(&*panic))),
    }
    1
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "without a message",
    }
}

/// The declarations that the macro gives; entry points other than `create` are missing.
#[doc(hidden)]
pub const fn declared(
    params: &'static [RawParam],
    id: *const c_char,
    version: *const c_char,
    formula: *const c_char,
    citation: *const c_char,
    create: abi::Create,
) -> RawPlugin {
    RawPlugin {
        magic: abi::MAGIC,
        abi_major: abi::ABI_MAJOR,
        abi_minor: abi::ABI_MINOR,
        struct_size: size_of::<RawPlugin>() as u32,
        param_size: size_of::<RawParam>() as u32,
        param_count: params.len() as u32,
        params: params.as_ptr(),
        id,
        version,
        formula,
        citation,
        create: Some(create),
        prepare: None,
        eval_f32: None,
        eval_f64: None,
        destroy: None,
        extension: None,
    }
}

/// The entry points of `T` added to its declarations.
#[doc(hidden)]
pub const fn plugin<T: ImbalanceLoss>(declared: RawPlugin) -> RawPlugin {
    RawPlugin {
        prepare: Some(prepare::<T>),
        eval_f32: Some(eval_f32::<T>),
        eval_f64: Some(eval_f64::<T>),
        destroy: Some(destroy::<T>),
        extension: Some(extension::<T>),
        ..declared
    }
}

/// # Safety
/// As the header says of `create`.
#[doc(hidden)]
pub unsafe fn create<T>(
    specs: &'static [RawParam],
    values: *const f64,
    count: usize,
    head: u32,
    instance: *mut *mut c_void,
    message: RawMessage,
) -> i32 {
    guarded(message, || {
        if count != specs.len() {
            return Err(LossError::new(format!("{count} parameter values for {} parameters", specs.len())));
        }
        let head = if head == Head::Sigmoid as u32 { Head::Sigmoid } else { Head::Softmax };
        // SAFETY: `count` values, as the host promises; a slice of none may come as null.
        let values = if count == 0 { &[] } else { unsafe { slice::from_raw_parts(values, count) } };
        let names = specs
            .iter()
            // SAFETY: declared by the macro.
            .map(|spec| unsafe { text(spec.name, "a parameter's name") })
            .collect::<Result<_, _>>()?;
        let made = Instance::<T> { params: Params::new(names, values.to_vec(), head), loss: None };
        // SAFETY: the host's pointer.
        unsafe { instance.write(Box::into_raw(Box::new(made)).cast()) };
        Ok(())
    })
}

unsafe extern "C" fn prepare<T: ImbalanceLoss>(
    instance: *mut c_void,
    counts: *const u64,
    classes: usize,
    message: RawMessage,
) -> i32 {
    // SAFETY: the host's promise.
    unsafe { prepare_with(T::new, instance, counts, classes, message) }
}

/// # Safety
/// As the header says of `prepare`, of an instance made by `create::<T>`.
#[doc(hidden)]
pub unsafe fn prepare_with<T>(
    new: impl FnOnce(&Params, &ClassCounts) -> Result<T, LossError>,
    instance: *mut c_void,
    counts: *const u64,
    classes: usize,
    message: RawMessage,
) -> i32 {
    guarded(message, || {
        // SAFETY: made by `create::<T>`, and nobody evaluates before it is prepared.
        let instance = unsafe { &mut *instance.cast::<Instance<T>>() };
        // SAFETY: `classes` counts, as the host promises.
        let counts = unsafe { slice::from_raw_parts(counts, classes) };
        instance.loss = Some(new(&instance.params, &ClassCounts::new(counts.to_vec())?)?);
        Ok(())
    })
}

/// # Safety
/// As the header says of `destroy`, of an instance made by `create::<T>`.
#[doc(hidden)]
pub unsafe extern "C" fn destroy<T>(instance: *mut c_void) {
    // A panic of the loss's own Drop must not cross the ABI, and has nobody to tell.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: made by `create::<T>`, destroyed once.
        drop(unsafe { Box::from_raw(instance.cast::<Instance<T>>()) });
    }));
}

unsafe extern "C" fn extension<T: ImbalanceLoss>(name: *const c_char) -> *const c_void {
    // SAFETY: the host's string.
    match unsafe { text(name, "the extension's name") }.as_deref() {
        Ok(abi::ADJUSTMENT_EXTENSION) => (&raw const *Extensions::<T>::ADJUSTMENT).cast(),
        Ok(abi::EXPRESSION_EXTENSION) => (&raw const *Extensions::<T>::EXPRESSION).cast(),
        _ => std::ptr::null(),
    }
}

/// Holds the extensions of `T`: there are no generic statics, but there are generic constants.
struct Extensions<T>(PhantomData<T>);

impl<T: ImbalanceLoss> Extensions<T> {
    const ADJUSTMENT: &'static RawAdjustmentExtension =
        &RawAdjustmentExtension { struct_size: size_of::<RawAdjustmentExtension>(), describe: describe::<T> };
    const EXPRESSION: &'static RawExpressionExtension =
        &RawExpressionExtension { struct_size: size_of::<RawExpressionExtension>(), record: record_formula::<T> };
}

unsafe extern "C" fn describe<T: ImbalanceLoss>(
    instance: *const c_void,
    classes: usize,
    adjustment: *mut RawAdjustment,
    message: RawMessage,
) -> i32 {
    // SAFETY: the host's promise.
    unsafe { describe_with(T::adjustment, instance, classes, adjustment, message) }
}

/// # Safety
/// As the header says of `describe`, of an instance made by `create::<T>`.
#[doc(hidden)]
pub unsafe fn describe_with<T>(
    of: impl FnOnce(&T) -> LogitAdjustment,
    instance: *const c_void,
    classes: usize,
    adjustment: *mut RawAdjustment,
    message: RawMessage,
) -> i32 {
    guarded(message, || {
        // SAFETY: made by `create::<T>`.
        let said = of(unsafe { prepared::<T>(instance)? });
        // SAFETY: the host's struct, nobody else's during the call.
        let out = unsafe { &mut *adjustment };
        let arrays = [
            ("scale", said.scale, out.scale),
            ("bias", said.bias, out.bias),
            ("margin", said.margin, out.margin),
            ("weight", said.weight, out.weight),
        ];
        for (name, values, to) in arrays {
            let Some(values) = values.as_ref().map(PerClass::values) else { continue };
            if values.len() != classes {
                return Err(LossError::new(format!(
                    "the adjustment's {name} has {} entries for {classes} classes",
                    values.len()
                )));
            }
            // SAFETY: `classes` numbers at each of the host's arrays.
            unsafe { to.copy_from_nonoverlapping(values.as_ptr(), classes) };
        }
        out.label_smoothing = said.smoothing;
        out.flags = if said.normalised { abi::NORMALISED_CLASSIFIER } else { 0 };
        Ok(())
    })
}

unsafe extern "C" fn record_formula<T: ImbalanceLoss>(
    instance: *const c_void,
    recorder: *const RawRecorder,
    message: RawMessage,
) -> i32 {
    guarded(message, || {
        // SAFETY: made by `create::<T>`.
        let loss = unsafe { prepared::<T>(instance)? };
        let tape = record(|m| loss.pointwise(m, Class(())));
        // SAFETY: the host's recorder, which takes copies.
        unsafe {
            let to = &*recorder;
            tape.tables.iter().for_each(|table| (to.table)(to.context, table.as_ptr()));
            tape.nodes.iter().for_each(|node| (to.node)(to.context, node));
        }
        Ok(())
    })
}

/// The loss of a prepared instance.
///
/// # Safety
/// `instance` was made by `create::<T>` and is not destroyed.
unsafe fn prepared<'a, T>(instance: *const c_void) -> Result<&'a T, LossError> {
    // SAFETY: the caller's promise.
    let instance = unsafe { &*instance.cast::<Instance<T>>() };
    instance.loss.as_ref().ok_or_else(unprepared)
}

/// The loss of a prepared instance, for an entry point that changes it.
///
/// # Safety
/// As for `prepared`, and nobody else uses the instance meanwhile.
#[doc(hidden)]
pub unsafe fn prepared_mut<'a, T>(instance: *mut c_void) -> Result<&'a mut T, LossError> {
    // SAFETY: the caller's promise.
    let instance = unsafe { &mut *instance.cast::<Instance<T>>() };
    instance.loss.as_mut().ok_or_else(unprepared)
}

fn unprepared() -> LossError {
    LossError::new("used before it was prepared with class counts".into())
}

/// The arrays of one `eval` call.
pub(crate) struct Batch<'a, F> {
    log_odds: &'a [F],
    classes: &'a [u32],
    loss: &'a mut [F],
    slope: &'a mut [F],
}

/// # Safety
/// As the header says of `eval`: four arrays of `n`.
unsafe fn batch<'a, T: ImbalanceLoss, F>(
    instance: *const c_void,
    n: usize,
    log_odds: *const F,
    classes: *const u32,
    loss: *mut F,
    slope: *mut F,
) -> Result<(&'a T, Batch<'a, F>), LossError> {
    // SAFETY: made by `create::<T>`.
    let prepared = unsafe { prepared::<T>(instance)? };
    // SAFETY: the caller's promise.
    let batch = unsafe {
        Batch {
            log_odds: slice::from_raw_parts(log_odds, n),
            classes: slice::from_raw_parts(classes, n),
            loss: slice::from_raw_parts_mut(loss, n),
            slope: slice::from_raw_parts_mut(slope, n),
        }
    };
    Ok((prepared, batch))
}

unsafe extern "C" fn eval_f64<T: ImbalanceLoss>(
    instance: *const c_void,
    n: usize,
    log_odds: *const f64,
    classes: *const u32,
    loss: *mut f64,
    slope: *mut f64,
    message: RawMessage,
) -> i32 {
    guarded(message, || {
        // SAFETY: the host's promise.
        let (prepared, batch) = unsafe { batch::<T, f64>(instance, n, log_odds, classes, loss, slope)? };
        for i in 0..n {
            let value = prepared.pointwise(Dual::variable(batch.log_odds[i]).log_odds(), Class(batch.classes[i]));
            (batch.loss[i], batch.slope[i]) = (value.value, value.slope);
        }
        Ok(())
    })
}

unsafe extern "C" fn eval_f32<T: ImbalanceLoss>(
    instance: *const c_void,
    n: usize,
    log_odds: *const f32,
    classes: *const u32,
    loss: *mut f32,
    slope: *mut f32,
    message: RawMessage,
) -> i32 {
    guarded(message, || {
        // SAFETY: the host's promise.
        let (prepared, batch) = unsafe { batch::<T, f32>(instance, n, log_odds, classes, loss, slope)? };
        eval_lanes(prepared, batch);
        Ok(())
    })
}

crate::dispatch_isa! {
    fn eval_lanes<T: ImbalanceLoss>(prepared: &T, batch: Batch<'_, f32>) -> (), Best => {
        // Arrays of a length that the compiler knows: no bounds are checked between the instructions.
        let (log_odds, log_odds_left) = batch.log_odds.as_chunks::<LANES>();
        let (classes, classes_left) = batch.classes.as_chunks::<LANES>();
        let (loss, loss_left) = batch.loss.as_chunks_mut::<LANES>();
        let (slope, slope_left) = batch.slope.as_chunks_mut::<LANES>();
        for ((log_odds, classes), (loss, slope)) in log_odds.iter().zip(classes).zip(loss.iter_mut().zip(slope)) {
            (*loss, *slope) = eval_row::<T, Best>(prepared, log_odds, classes);
        }
        if let left @ 1.. = log_odds_left.len() {
            // The spare lanes repeat the first example.
            let (mut log_odds, mut classes) = ([log_odds_left[0]; LANES], [classes_left[0]; LANES]);
            log_odds[..left].copy_from_slice(log_odds_left);
            classes[..left].copy_from_slice(classes_left);
            let (loss, slope) = eval_row::<T, Best>(prepared, &log_odds, &classes);
            loss_left.copy_from_slice(&loss[..left]);
            slope_left.copy_from_slice(&slope[..left]);
        }
    }
}

/// Loss and slope of a row of lanes.
///
/// Inlined by force, as is all below it: a function of its own would be compiled without the set's instructions.
#[inline(always)]
fn eval_row<T: ImbalanceLoss, I: Isa>(
    prepared: &T,
    log_odds: &[f32; LANES],
    classes: &[u32; LANES],
) -> ([f32; LANES], [f32; LANES]) {
    // On a sigmoid head nearly all examples are background; then no lane looks anything up.
    if classes.iter().fold(true, |all, &class| all & (class == classes[0])) {
        eval_row_of::<T, OneClass<I>>(prepared, log_odds, classes)
    } else {
        eval_row_of::<T, I>(prepared, log_odds, classes)
    }
}

#[inline(always)]
fn eval_row_of<T: ImbalanceLoss, I: Isa>(
    prepared: &T,
    log_odds: &[f32; LANES],
    classes: &[u32; LANES],
) -> ([f32; LANES], [f32; LANES]) {
    let value = prepared.pointwise(Dual::variable(Lanes::<I>::new(*log_odds)).log_odds(), Class(*classes));
    (value.value.to_array(), value.slope.to_array())
}

/// Exports a loss as a plugin: `export_loss!(Type { id: "…", formula: "…", citation: "…", params: […] });`
///
/// `params` takes declarations as [`param!`](crate::param) does, each ended by `;`, or constants of type
/// `RawParam` after `use`: `use WeightScale::PARAM`. The plugin's version is its crate's.
#[macro_export]
macro_rules! export_loss {
    ($loss:ty { $($declarations:tt)* }) => {
        $crate::export_loss!(@plugin $crate::export::plugin::<$loss>, $loss { $($declarations)* });
    };
    (@plugin $plugin:expr, $loss:ty { id: $id:literal, formula: $formula:literal, citation: $citation:literal, params: [$($params:tt)*] $(,)? }) => {
        #[cfg(panic = "abort")]
        compile_error!("a loss plugin must be built with panic = \"unwind\", so that a panic becomes an error message");

        #[doc(hidden)]
        static TOOLKIT_LOSS_PARAMS: &[$crate::RawParam] = &$crate::export_loss!(@params [] $($params)*);

        /// The plugin, as the toolkit's C ABI describes it.
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals, reason = "the symbol's name in the C header")]
        pub static toolkit_loss_plugin: $crate::abi::RawPlugin = {
            unsafe extern "C" fn create(
                values: *const f64,
                count: usize,
                head: u32,
                instance: *mut *mut std::ffi::c_void,
                message: $crate::abi::RawMessage,
            ) -> i32 {
                // SAFETY: the host keeps the header's contract.
                unsafe { $crate::export::create::<$loss>(TOOLKIT_LOSS_PARAMS, values, count, head, instance, message) }
            }
            $plugin($crate::export::declared(
                &$crate::export_loss!(@params [] $($params)*),
                $crate::params::c_str(concat!($id, "\0")),
                $crate::params::c_str(concat!(env!("CARGO_PKG_VERSION"), "\0")),
                $crate::params::c_str(concat!($formula, "\0")),
                $crate::params::c_str(concat!($citation, "\0")),
                create,
            ))
        };
    };
    (@params [$($done:expr,)*]) => { [$($done,)*] };
    (@params [$($done:expr,)*] use $param:expr $(; $($rest:tt)*)?) => {
        $crate::export_loss!(@params [$($done,)* $param,] $($($rest)*)?)
    };
    (@params [$($done:expr,)*] $name:literal : $default:literal $(or $sigmoid:literal for sigmoid)? in $low:literal .. $high:literal, $help:literal $(; $($rest:tt)*)?) => {
        $crate::export_loss!(@params [$($done,)* $crate::param!($name: $default $(or $sigmoid for sigmoid)? in $low .. $high, $help),] $($($rest)*)?)
    };
    (@params [$($done:expr,)*] $name:literal : $default:literal $(or $sigmoid:literal for sigmoid)? in $low:literal ..= $high:literal, $help:literal $(; $($rest:tt)*)?) => {
        $crate::export_loss!(@params [$($done,)* $crate::param!($name: $default $(or $sigmoid for sigmoid)? in $low ..= $high, $help),] $($($rest)*)?)
    };
    (@params [$($done:expr,)*] $name:literal : $default:literal $(or $sigmoid:literal for sigmoid)? in $low:literal .., $help:literal $(; $($rest:tt)*)?) => {
        $crate::export_loss!(@params [$($done,)* $crate::param!($name: $default $(or $sigmoid for sigmoid)? in $low .., $help),] $($($rest)*)?)
    };
    (@params [$($done:expr,)*] $name:literal : $default:literal of $choices:literal, $help:literal $(; $($rest:tt)*)?) => {
        $crate::export_loss!(@params [$($done,)* $crate::param!($name: $default of $choices, $help),] $($($rest)*)?)
    };
    (@params [$($done:expr,)*] $name:literal : $default:literal, $help:literal $(; $($rest:tt)*)?) => {
        $crate::export_loss!(@params [$($done,)* $crate::param!($name: $default, $help),] $($($rest)*)?)
    };
}
