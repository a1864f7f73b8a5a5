//! The C ABI between the toolkit and a loss plugin; `include/toolkit_loss.h` says the same in C.
//!
//! A plugin exports one data symbol, [`SYMBOL`], a [`RawPlugin`]. Nothing but C types crosses: no Rust
//! type, no allocation, no panic. All strings are UTF-8, NUL-terminated and live as long as the library.

use std::ffi::{c_char, c_void};

/// The exported symbol's name.
pub const SYMBOL: &str = "toolkit_loss_plugin";
/// First field of every plugin: "TKLOSS" and two bytes that no text has.
pub const MAGIC: u64 = 0x544B_4C4F_5353_A51E;
/// Changes when an old plugin can no longer be read.
pub const ABI_MAJOR: u16 = 1;
/// Grows when fields are appended.
pub const ABI_MINOR: u16 = 0;
/// What an entry point returns on success. Not 0, so that a function that does nothing has failed.
pub const OK: i32 = 0x600D;

/// The head a loss is made for: its defaults may depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum Head {
    /// One of C classes, by softmax.
    #[default]
    Softmax = 0,
    /// Each class for itself, by sigmoid.
    Sigmoid = 1,
}

/// A parameter is a number.
pub const KIND_NUMBER: u32 = 0;
/// A parameter is 0 or 1.
pub const KIND_FLAG: u32 = 1;
/// A parameter is the index of one of its `choices`.
pub const KIND_CHOICE: u32 = 2;

/// The parameter may equal `minimum`.
pub const MINIMUM_INCLUSIVE: u32 = 1;
/// The parameter may equal `maximum`.
pub const MAXIMUM_INCLUSIVE: u32 = 2;

/// A parameter that a plugin declares.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawParam {
    /// Lower-case words joined by `-`; becomes a flag.
    pub name: *const c_char,
    /// One line.
    pub help: *const c_char,
    /// The choices joined by `|`; null for other kinds.
    pub choices: *const c_char,
    /// One of the `KIND_` constants.
    pub kind: u32,
    /// `MINIMUM_INCLUSIVE | MAXIMUM_INCLUSIVE`.
    pub bounds: u32,
    /// The default for a softmax head.
    pub default: f64,
    /// The default for a sigmoid head.
    pub default_sigmoid: f64,
    /// Least value; −∞ for none.
    pub minimum: f64,
    /// Greatest value; ∞ for none.
    pub maximum: f64,
}

/// A caller's buffer for a message, which the plugin fills and ends with NUL.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawMessage {
    /// The buffer.
    pub data: *mut c_char,
    /// Its size in bytes, the NUL included.
    pub size: usize,
}

/// Makes an instance from one value a parameter, in the order of declaration.
pub type Create = unsafe extern "C" fn(
    values: *const f64,
    count: usize,
    head: u32,
    instance: *mut *mut c_void,
    message: RawMessage,
) -> i32;
/// Gives an instance the training counts `[classes]`; called once, before the first `eval`.
pub type Prepare =
    unsafe extern "C" fn(instance: *mut c_void, counts: *const u64, classes: usize, message: RawMessage) -> i32;
/// Writes the loss and its derivative by the log-odds, each `[n]`, for log-odds and class ids `[n]`.
/// Called from several threads at once on one instance.
pub type Eval<F> = unsafe extern "C" fn(
    instance: *const c_void,
    n: usize,
    log_odds: *const F,
    classes: *const u32,
    loss: *mut F,
    slope: *mut F,
    message: RawMessage,
) -> i32;
/// Frees an instance.
pub type Destroy = unsafe extern "C" fn(instance: *mut c_void);
/// A named extension, for what comes later; null where the plugin has none of that name.
pub type Extension = unsafe extern "C" fn(name: *const c_char) -> *const c_void;

/// What a plugin exports. The first five fields never change; the rest is read only when they fit.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawPlugin {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`ABI_MAJOR`] of the header it was built with.
    pub abi_major: u16,
    /// [`ABI_MINOR`] of the header it was built with.
    pub abi_minor: u16,
    /// `sizeof` this struct.
    pub struct_size: u32,
    /// `sizeof` a [`RawParam`].
    pub param_size: u32,
    /// How many parameters follow at `params`.
    pub param_count: u32,
    /// The parameters; may be null when there are none.
    pub params: *const RawParam,
    /// The id, the file's name without `libtoolkit_loss_` and with `-` for `_`.
    pub id: *const c_char,
    /// The plugin's own version.
    pub version: *const c_char,
    /// The formula, one line.
    pub formula: *const c_char,
    /// Where it comes from.
    pub citation: *const c_char,
    /// See [`Create`].
    pub create: Option<Create>,
    /// See [`Prepare`].
    pub prepare: Option<Prepare>,
    /// See [`Eval`]; null: the host evaluates in float64 and rounds.
    pub eval_f32: Option<Eval<f32>>,
    /// See [`Eval`]; required.
    pub eval_f64: Option<Eval<f64>>,
    /// See [`Destroy`].
    pub destroy: Option<Destroy>,
    /// See [`Extension`]; null: none.
    pub extension: Option<Extension>,
}

// SAFETY: the pointers are to constants of the library that holds the struct.
unsafe impl Sync for RawPlugin {}
// SAFETY: as above.
unsafe impl Sync for RawParam {}
