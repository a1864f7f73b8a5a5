//! Opening a plugin: who may have written it, what it is, whether it speaks this ABI.

use std::ffi::{CString, OsStr};
use std::fs;
use std::mem::{offset_of, size_of};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use sha2::{Digest, Sha256};

use crate::abi::{self, RawAdjustmentExtension, RawExpressionExtension, RawParam, RawPlugin, RawTensorExtension};
use crate::{LossError, ParamSpec, text};

/// An opened plugin; it stays loaded until the process ends.
#[derive(Debug)]
pub struct Plugin {
    raw: &'static RawPlugin,
    path: Option<PathBuf>,
    sha256: Option<String>,
    id: String,
    version: String,
    formula: String,
    citation: String,
    params: Vec<ParamSpec>,
    whole_tensor: Option<WholeTensor>,
}

/// What a whole-tensor loss states.
#[derive(Debug)]
struct WholeTensor {
    raw: &'static RawTensorExtension,
    libtorch: String,
    capability: String,
}

/// Why a file cannot be used as a plugin.
#[derive(Debug, thiserror::Error)]
#[error("plugin {}: {reason}", path.display())]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

/// The bytes that a 64-bit little-endian ELF file must have for its segments and its table of sections: what is cut off would
/// be memory that is not there.
fn whole_length(elf: &[u8]) -> Option<u64> {
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = elf.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (segments, sections) = (number(32, 8)?, number(40, 8)?);
    let table_end = |start: u64, size: u64, count: u64| start.checked_add(size * count);
    let mut whole = table_end(segments, number(54, 2)?, number(56, 2)?)?;
    whole = whole.max(table_end(sections, number(58, 2)?, number(60, 2)?)?);
    for at in 0..number(56, 2)? {
        let segment = usize::try_from(segments + at * number(54, 2)?).ok()?;
        // Offset and size in the file; the table itself may be cut off.
        let field = |at: usize| number(segment.checked_add(at)?, 8);
        let Some((offset, size)) = field(8).zip(field(32)) else { break };
        whole = whole.max(offset.checked_add(size)?);
    }
    Some(whole)
}

impl Plugin {
    /// Opens the library at `path`, which runs its constructors, and shakes hands with it.
    ///
    /// # Errors
    /// The file or a folder above it may be written by others, it is no library, it lacks the symbol, it
    /// speaks another ABI, or what it declares is malformed.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let fail = |reason: String| OpenError { path: path.to_owned(), reason };
        // What was checked is what is opened: a link could be made to point elsewhere in between.
        let checked = check_owner(path).map_err(fail)?;
        if !checked.is_file() {
            return Err(fail("is no file".into()));
        }
        let bytes = fs::read(&checked).map_err(|error| fail(format!("cannot be read: {error}")))?;
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if let Some(whole) = whole_length(&bytes).filter(|whole| *whole > bytes.len() as u64) {
            return Err(fail(format!(
                "is cut off: it has {} bytes of at least {whole}; copy or build it again",
                bytes.len()
            )));
        }
        // SAFETY: the user asked for this plugin by its id or path, and only its owner can have written
        // it; running its constructors is what opening means.
        let library = unsafe { Library::open(Some(&checked), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| {
            let needs =
                libtorch_needed(&bytes).map(|version| format!("; it says that it was built for libtorch {version}"));
            let (cause, needs) = (root_cause(&error), needs.unwrap_or_default());
            fail(format!("is not a library that can be loaded: {cause}{needs}"))
        })?;
        // SAFETY: read as a pointer only; what it points at is checked before it is believed.
        let symbol =
            unsafe { library.get::<*const RawPlugin>(format!("{}\0", abi::SYMBOL).as_bytes()) }.map_err(|_| {
                fail(format!(
                    "has no symbol `{}`; a loss plugin exports it with export_loss! or toolkit_loss.h",
                    abi::SYMBOL
                ))
            })?;
        // A data symbol's value is its address.
        let raw = symbol.into_raw().cast_const().cast::<RawPlugin>();
        // Losses made from it hold pointers into it, so it is never unloaded.
        std::mem::forget(library);
        // SAFETY: the symbol lives in a library that stays loaded, and `handshake` reads the struct's
        // size before any field beyond the first five.
        let raw = unsafe { handshake(raw) }.map_err(fail)?;
        Self::describe(raw, Some(path.to_owned()), Some(sha256)).map_err(|error| fail(error.to_string()))
    }

    /// A plugin that is linked into this program, for a library's users and tests.
    ///
    /// # Errors
    /// What it declares is malformed.
    pub fn embedded(raw: &'static RawPlugin) -> Result<Self, LossError> {
        // SAFETY: a `RawPlugin` of this very crate.
        unsafe { handshake(raw) }.map_err(LossError::new)?;
        Self::describe(raw, None, None)
    }

    fn describe(raw: &'static RawPlugin, path: Option<PathBuf>, sha256: Option<String>) -> Result<Self, LossError> {
        let count = raw.param_count as usize;
        if count > 0 && raw.params.is_null() {
            return Err(LossError::new(format!("declares {count} parameters but gives none")));
        }
        let params = (0..count)
            // SAFETY: `count` parameters stand at `params`, as the header asks.
            .map(|at| unsafe { ParamSpec::from_raw(&*raw.params.add(at)) })
            .collect::<Result<Vec<_>, _>>()?;
        for (at, param) in params.iter().enumerate() {
            if params[..at].iter().any(|earlier| earlier.name == param.name) {
                return Err(LossError::new(format!("declares parameter `{}` twice", param.name)));
            }
        }
        // SAFETY: the header asks for null or NUL-terminated strings.
        let [id, version, formula, citation] = unsafe {
            [
                text(raw.id, "the loss's id")?,
                text(raw.version, "the loss's version")?,
                text(raw.formula, "the loss's formula")?,
                text(raw.citation, "the loss's citation")?,
            ]
        };
        let mut plugin = Self { raw, path, sha256, id, version, formula, citation, params, whole_tensor: None };
        if let Some(raw) = plugin.extension::<RawTensorExtension>(abi::TENSOR_EXTENSION)? {
            // SAFETY: as above.
            let libtorch = unsafe { text(raw.libtorch, "the libtorch it was built for")? };
            let capability = format!("whole tensors (libtorch {libtorch})");
            plugin.whole_tensor = Some(WholeTensor { raw, libtorch, capability });
        }
        Ok(plugin)
    }

    /// The loss's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The plugin's own version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The formula, one line.
    pub fn formula(&self) -> &str {
        &self.formula
    }

    /// Where the loss comes from.
    pub fn citation(&self) -> &str {
        &self.citation
    }

    /// The declared parameters.
    pub fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    /// The file; none for an embedded plugin.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// SHA-256 of the file, in hexadecimal; none for an embedded plugin.
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    /// Major and minor version of the ABI that it was built for.
    pub fn abi(&self) -> (u16, u16) {
        (self.raw.abi_major, self.raw.abi_minor)
    }

    /// Whether its losses take whole tensors: they are no functions of the log-odds and have no [`Loss::eval`](super::Loss::eval).
    pub fn is_whole_tensor(&self) -> bool {
        self.whole_tensor.is_some()
    }

    /// The libtorch that a whole-tensor plugin was built for, as `2.11.0`; none for others.
    pub fn libtorch(&self) -> Option<&str> {
        self.whole_tensor.as_ref().map(|stated| stated.libtorch.as_str())
    }

    pub(super) fn tensor_extension(&self) -> Option<&'static RawTensorExtension> {
        self.whole_tensor.as_ref().map(|stated| stated.raw)
    }

    /// What it offers beside float64 evaluation, in words; a whole-tensor plugin offers that in its place.
    ///
    /// # Errors
    /// An extension that was built with a damaged header.
    pub fn capabilities(&self) -> Result<Vec<&str>, LossError> {
        let mut all = Vec::new();
        all.extend(self.whole_tensor.as_ref().map(|stated| stated.capability.as_str()));
        if self.raw.eval_f32.is_some() {
            all.push("float32 evaluation");
        }
        if self.extension::<RawAdjustmentExtension>(abi::ADJUSTMENT_EXTENSION)?.is_some() {
            all.push("logit adjustment");
        }
        if self.extension::<RawExpressionExtension>(abi::EXPRESSION_EXTENSION)?.is_some() {
            all.push("recorded expression");
        }
        Ok(all)
    }

    /// The extension `name`, whose struct begins with its size; none where the plugin has none of that name.
    ///
    /// # Errors
    /// The plugin's struct is smaller than this version's, or one of its functions is null.
    pub(super) fn extension<T: RawExtension>(&self, name: &str) -> Result<Option<&'static T>, LossError> {
        let Some(entry) = self.raw.extension else { return Ok(None) };
        let c_name = CString::new(name).map_err(|_| LossError::new(format!("extension name `{name}` holds a NUL")))?;
        // SAFETY: a NUL-terminated name; the plugin gives null or the extension of that name.
        let found = unsafe { entry(c_name.as_ptr()) };
        if found.is_null() {
            return Ok(None);
        }
        // SAFETY: every extension begins with its size.
        let size = unsafe { found.cast::<usize>().read_unaligned() };
        if size < size_of::<T>() {
            return Err(LossError::new(format!(
                "loss `{}`: its extension `{name}` has {size} bytes, this toolkit's has {}: it was built with a damaged header",
                self.id,
                size_of::<T>()
            )));
        }
        for &(function, offset) in T::FUNCTIONS {
            // SAFETY: within the struct, whose size was checked; read as a number, which a null pointer is, too.
            let address = unsafe { found.byte_add(offset).cast::<usize>().read_unaligned() };
            if address == 0 {
                return Err(LossError::new(format!(
                    "loss `{}`: its extension `{name}` lacks the function `{function}`",
                    self.id
                )));
            }
        }
        // SAFETY: as large as this version's, its functions not null, in a library that stays loaded.
        Ok(Some(unsafe { &*found.cast::<T>() }))
    }

    pub(super) fn raw(&self) -> &'static RawPlugin {
        self.raw
    }
}

/// A struct that a plugin's extension point gives. Its first field is its size.
pub(super) trait RawExtension: 'static {
    /// Name and offset of each function pointer in it; none may be null.
    const FUNCTIONS: &'static [(&'static str, usize)];
}

impl RawExtension for RawAdjustmentExtension {
    const FUNCTIONS: &'static [(&'static str, usize)] = &[("describe", offset_of!(Self, describe))];
}

impl RawExtension for RawExpressionExtension {
    const FUNCTIONS: &'static [(&'static str, usize)] = &[("record", offset_of!(Self, record))];
}

impl RawExtension for RawTensorExtension {
    const FUNCTIONS: &'static [(&'static str, usize)] = &[
        ("forward", offset_of!(Self, forward)),
        ("save_state", offset_of!(Self, save_state)),
        ("load_state", offset_of!(Self, load_state)),
    ];
}

/// The libtorch that a library which cannot be loaded says it needs ([`abi::TENSOR_NEEDS`]).
fn libtorch_needed(library: &[u8]) -> Option<&str> {
    let mark = abi::TENSOR_NEEDS.as_bytes();
    let at = library.windows(mark.len()).position(|window| window == mark)? + mark.len();
    let length = library[at..].iter().position(|byte| !(byte.is_ascii_digit() || *byte == b'.'))?;
    std::str::from_utf8(&library[at..at + length]).ok().filter(|version| !version.is_empty())
}

/// Checks magic, version and sizes, in this order, before anything else is read.
///
/// # Safety
/// `raw` must be null or point at readable memory that is never freed; if it begins with the magic, it
/// must be as large as its `struct_size` says.
unsafe fn handshake(raw: *const RawPlugin) -> Result<&'static RawPlugin, String> {
    if raw.is_null() {
        return Err(format!("its symbol `{}` is null", abi::SYMBOL));
    }
    // SAFETY: every version of the struct begins with these fields.
    let (magic, major, minor, struct_size, param_size) = unsafe {
        (
            (&raw const (*raw).magic).read_unaligned(),
            (&raw const (*raw).abi_major).read_unaligned(),
            (&raw const (*raw).abi_minor).read_unaligned(),
            (&raw const (*raw).struct_size).read_unaligned(),
            (&raw const (*raw).param_size).read_unaligned(),
        )
    };
    if magic != abi::MAGIC {
        return Err(format!(
            "its symbol `{}` is not a loss plugin's (magic {magic:#x}, expected {:#x})",
            abi::SYMBOL,
            abi::MAGIC
        ));
    }
    if major != abi::ABI_MAJOR {
        return Err(format!(
            "was built for ABI {major}.{minor}, this toolkit speaks {}.{}: build it again with this toolkit's header or crate",
            abi::ABI_MAJOR,
            abi::ABI_MINOR
        ));
    }
    let known = offset_of!(RawPlugin, extension) + size_of::<Option<abi::Extension>>();
    if (struct_size as usize) < known || param_size as usize != size_of::<RawParam>() {
        return Err(format!(
            "its structs have {struct_size} and {param_size} bytes, ABI {}.{} has {known} and {}: it was built with a damaged header",
            abi::ABI_MAJOR,
            abi::ABI_MINOR,
            size_of::<RawParam>()
        ));
    }
    // SAFETY: as large as the fields that this version knows.
    let raw = unsafe { &*raw };
    for (name, missing) in [
        ("create", raw.create.is_none()),
        ("prepare", raw.prepare.is_none()),
        ("eval_f64", raw.eval_f64.is_none() && !offers_whole_tensors(raw)),
        ("destroy", raw.destroy.is_none()),
    ] {
        if missing {
            return Err(format!("lacks the entry point `{name}`"));
        }
    }
    Ok(raw)
}

fn offers_whole_tensors(raw: &RawPlugin) -> bool {
    let Ok(name) = CString::new(abi::TENSOR_EXTENSION) else { return false };
    // SAFETY: a NUL-terminated name.
    raw.extension.is_some_and(|entry| !unsafe { entry(name.as_ptr()) }.is_null())
}

/// What the dynamic linker said, which libloading keeps as the source of its own words.
fn root_cause(error: &libloading::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Refuses a file that somebody other than its owner could have replaced: the file or a folder above it
/// is writable by everybody (a sticky folder such as /tmp protects what is in it), or it belongs to
/// neither root, nor this user, nor the owner of the running executable (who could do worse anyway). Gives the path without
/// links, for which that was checked.
pub(super) fn check_owner(path: &Path) -> Result<PathBuf, String> {
    let real = fs::canonicalize(path).map_err(|error| format!("cannot be read: {error}"))?;
    // SAFETY: no arguments, no state.
    let user = unsafe { libc_geteuid() };
    let builder = std::env::current_exe().and_then(fs::metadata).map_or(user, |meta| meta.uid());
    // Of a link, the folder that holds it too: whoever may write there chooses what is opened.
    let folder = match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => fs::canonicalize(folder),
        None => fs::canonicalize("."),
    };
    let folder = folder.map_err(|error| format!("its folder cannot be read: {error}"))?;
    let of_link = folder.ancestors().map(|part| (part, true));
    let of_file = real.ancestors().enumerate().map(|(depth, part)| (part, depth > 0));
    for (part, is_folder) in of_file.chain(of_link) {
        let meta = fs::metadata(part).map_err(|error| format!("{} cannot be read: {error}", part.display()))?;
        let sticky = meta.mode() & 0o1000 != 0;
        if meta.mode() & 0o002 != 0 && !(is_folder && sticky) {
            return Err(format!(
                "refused, since anybody may write to {}; `chmod o-w` it, or put the plugin elsewhere",
                part.display()
            ));
        }
        if ![0, user, builder].contains(&meta.uid()) {
            return Err(format!(
                "refused, since {} belongs to another user (uid {}); copy the plugin to a folder of your own",
                part.display(),
                meta.uid()
            ));
        }
    }
    Ok(real)
}

unsafe extern "C" {
    #[link_name = "geteuid"]
    fn libc_geteuid() -> u32;
}

/// Whether a folder entry has a plugin's file name.
pub(super) fn is_plugin_name(name: &OsStr) -> Option<&str> {
    name.to_str()?.strip_prefix("libtoolkit_loss_")?.strip_suffix(".so")
}
