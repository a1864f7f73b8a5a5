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

/// Name of the extension that gives a [`RawAdjustmentExtension`].
pub const ADJUSTMENT_EXTENSION: &str = "toolkit.adjustment.1";
/// Name of the extension that gives a [`RawExpressionExtension`].
pub const EXPRESSION_EXTENSION: &str = "toolkit.expression.1";

/// Bit of [`RawAdjustment::flags`]: the logits should be cosines.
pub const NORMALISED_CLASSIFIER: u32 = 1;

/// What a loss does to the logits; the plugin changes what differs from the host's initial values.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawAdjustment {
    /// Multiplies each logit; `[classes]`, 1 at first.
    pub scale: *mut f64,
    /// Added to each logit; `[classes]`, 0 at first.
    pub bias: *mut f64,
    /// Taken off the true class's logit; `[classes]`, 0 at first.
    pub margin: *mut f64,
    /// Class weights for the reduction `weighted-mean`; `[classes]`, 1 at first.
    pub weight: *mut f64,
    /// Label smoothing of a softmax head; 0 at first.
    pub label_smoothing: f64,
    /// `NORMALISED_CLASSIFIER` or 0; 0 at first.
    pub flags: u32,
}

/// The second, optional half of a loss.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawAdjustmentExtension {
    /// `sizeof` this struct.
    pub struct_size: usize,
    /// Describes what a prepared instance does to the logits of `classes` classes.
    pub describe: unsafe extern "C" fn(
        instance: *const c_void,
        classes: usize,
        adjustment: *mut RawAdjustment,
        message: RawMessage,
    ) -> i32,
}

/// The log-odds m.
pub const NODE_LOG_ODDS: u32 = 0;
/// `value`.
pub const NODE_CONSTANT: u32 = 1;
/// The true class's entry of table `args[0]`.
pub const NODE_TABLE: u32 = 2;
/// `−a`.
pub const NODE_NEG: u32 = 3;
/// `a + b`.
pub const NODE_ADD: u32 = 4;
/// `a − b`.
pub const NODE_SUB: u32 = 5;
/// `a · b`.
pub const NODE_MUL: u32 = 6;
/// `a / b`.
pub const NODE_DIV: u32 = 7;
/// `e^a`.
pub const NODE_EXP: u32 = 8;
/// `c` where `a > b`, else `d`.
pub const NODE_SELECT_GREATER: u32 = 9;
/// `σ(a)`.
pub const NODE_P: u32 = 10;
/// `1 − σ(a)`.
pub const NODE_NOT_P: u32 = 11;
/// `log σ(a)`.
pub const NODE_LOG_P: u32 = 12;
/// `log(1 − σ(a))`.
pub const NODE_LOG_NOT_P: u32 = 13;
/// `log a`
pub const NODE_LN: u32 = 14;

/// One operation of a recorded formula.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct RawNode {
    /// One of the `NODE_` constants.
    pub op: u32,
    /// Earlier nodes, counted from 0: a, b, c, d. Those that the operation does not take are 0.
    pub args: [u32; 4],
    /// The number of a `NODE_CONSTANT`.
    pub value: f64,
}

/// Where a plugin says its recorded formula: tables and nodes in order, the last node being the loss.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawRecorder {
    /// First argument of both functions.
    pub context: *mut c_void,
    /// Takes the next table, `[classes]`, and copies it.
    pub table: unsafe extern "C" fn(context: *mut c_void, values: *const f64),
    /// Takes the next node.
    pub node: unsafe extern "C" fn(context: *mut c_void, node: *const RawNode),
}

/// The formula of a loss, for evaluation by operations of another kind (on another device).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawExpressionExtension {
    /// `sizeof` this struct.
    pub struct_size: usize,
    /// Says the formula of a prepared instance.
    pub record: unsafe extern "C" fn(instance: *const c_void, recorder: *const RawRecorder, message: RawMessage) -> i32,
}

/// Name of the extension that gives a [`RawTensorExtension`].
pub const TENSOR_EXTENSION: &str = "toolkit.tensor.1";
/// What stands before [`RawTensorExtension::libtorch`] in the library, so that a host that cannot even load the file (a
/// libtorch without one of its symbols, say) can still tell which libtorch it was built for.
pub const TENSOR_NEEDS: &str = "toolkit.tensor.1 needs libtorch ";

/// A batch for a whole-tensor loss. The pointers are to `at::Tensor`, borrowed for the call.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawTensorInputs {
    /// `sizeof` this struct.
    pub struct_size: usize,
    /// `[n, columns]`, float32 or float64, after the loss's own scale and bias; with its graph.
    pub logits: *mut c_void,
    /// `[n]`, int64, on the same device: a class, or −1 for the background of a sigmoid head.
    pub targets: *mut c_void,
    /// `[n, width]`, what the classifier made the logits from, with its graph; null where the front-end gives none.
    pub features: *mut c_void,
    /// 1 while training, 0 while measuring.
    pub training: u32,
}

/// The third, gated half of a loss: one that takes whole tensors. Only a host that runs the very libtorch that
/// `libtorch` names may call `forward`; a plugin that offers this may leave its `eval` entries null.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawTensorExtension {
    /// `sizeof` this struct.
    pub struct_size: usize,
    /// `TORCH_VERSION` of the headers that it was compiled with: `2.11.0`.
    pub libtorch: *const c_char,
    /// Writes the loss of each example, `[n]` with its graph, as a new `at::Tensor` that the host deletes. Called by one
    /// thread at a time on one instance, as the two below are.
    pub forward: unsafe extern "C" fn(
        instance: *mut c_void,
        inputs: *const RawTensorInputs,
        loss: *mut *mut c_void,
        message: RawMessage,
    ) -> i32,
    /// Writes the length of what the loss has accumulated to `size`, and those bytes to `data` where `capacity` suffices.
    pub save_state: unsafe extern "C" fn(
        instance: *mut c_void,
        data: *mut u8,
        capacity: usize,
        size: *mut usize,
        message: RawMessage,
    ) -> i32,
    /// Goes on from bytes that `save_state` of an equal instance wrote.
    pub load_state:
        unsafe extern "C" fn(instance: *mut c_void, data: *const u8, size: usize, message: RawMessage) -> i32,
}

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
    /// See [`Eval`]; required, except of a plugin with a [`RawTensorExtension`].
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
// SAFETY: as above.
unsafe impl Sync for RawTensorExtension {}
