//! What `torch.save` writes: a zip archive with a pickle and the tensors' storages as members (since PyTorch 1.6), or pickles
//! followed by the storages (before).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use tch::{Kind, Tensor};
use zip::ZipArchive;
use zip::result::ZipError;

use super::WeightsError;
use super::pickle::{Id, Pickle, Value};
use super::storage::{self, Layout, kind_of_storage};

/// How a zip archive starts.
pub(super) const ZIP: &[u8] = b"PK\x03\x04";

/// How a file of before PyTorch 1.6 starts, after the two bytes of the pickle protocol: the number 0x1950a86a20f9469cfc6c.
pub(super) const LEGACY: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Where training scripts put the state dict among other things.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

const BIG_ENDIAN: &str = "a state dict saved on a big-endian machine";

/// How deep wrappers may be nested.
const DEPTH: usize = 4;

/// Why a file could not be read; the caller adds its path.
pub(super) enum Fault {
    Io(std::io::Error),
    Damaged(String),
    Format(String),
    Tensor { name: String, found: String },
    Torch(tch::TchError),
}

impl Fault {
    pub(super) fn at(self, path: &Path) -> WeightsError {
        let path = path.to_path_buf();
        match self {
            Self::Io(source) => WeightsError::Io { path, source },
            Self::Damaged(reason) => WeightsError::Damaged { path, reason },
            Self::Format(found) => WeightsError::Format { path, found },
            Self::Tensor { name, found } => WeightsError::Tensor { path, name, found },
            Self::Torch(source) => WeightsError::Torch { path, source },
        }
    }
}

impl From<tch::TchError> for Fault {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error)
    }
}

impl From<ZipError> for Fault {
    fn from(error: ZipError) -> Self {
        match error {
            // The zip reader reports a wrong checksum or an early end as an error of reading.
            ZipError::Io(error) if error.raw_os_error().is_some() => Self::Io(error),
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// A tensor as the pickle describes it.
struct Saved {
    name: String,
    storage: String,
    kind: Kind,
    layout: Layout,
}

impl Saved {
    fn read(&self, storage: &[u8]) -> Result<Tensor, Fault> {
        let tensor = storage::tensor(storage, self.kind, &self.layout)?;
        tensor.ok_or_else(|| Fault::Damaged(format!("`{}` has fewer values than its shape needs", self.name)))
    }
}

/// Reads a zip archive.
pub(super) fn read_zip(file: File) -> Result<Vec<(String, Tensor)>, Fault> {
    let mut archive = ZipArchive::new(BufReader::new(file))?;
    let root = archive.file_names().find_map(|name| name.ok()?.strip_suffix("data.pkl").map(String::from));
    let root = root.ok_or_else(|| Fault::Format("a zip archive without `data.pkl`".into()))?;
    if archive.index_for_name(&format!("{root}constants.pkl")).is_some() {
        return Err(Fault::Format("a TorchScript archive (torch.jit.save)".into()));
    }
    let byte_order = format!("{root}byteorder");
    if archive.index_for_name(&byte_order).is_some() && member(&mut archive, &byte_order)? != b"little" {
        return Err(Fault::Format(BIG_ENDIAN.into()));
    }
    let (pickle, _) = read_pickle(&member(&mut archive, &format!("{root}data.pkl"))?, 0)?;
    let mut saved = state_dict(&pickle)?;
    // Tensors of one storage stand together then, so that one storage at a time is enough.
    saved.sort_by(|a, b| a.storage.cmp(&b.storage));
    let mut tensors = Vec::with_capacity(saved.len());
    for sharing in saved.chunk_by(|a, b| a.storage == b.storage) {
        let storage = member(&mut archive, &format!("{root}data/{}", sharing[0].storage))?;
        for saved in sharing {
            tensors.push((saved.name.clone(), saved.read(&storage)?));
        }
    }
    Ok(tensors)
}

fn member(archive: &mut ZipArchive<BufReader<File>>, name: &str) -> Result<Vec<u8>, Fault> {
    let damaged = |error: &dyn std::fmt::Display| Fault::Damaged(format!("`{name}` in the archive: {error}"));
    let mut member = archive.by_name(name).map_err(|error| damaged(&error))?;
    let mut bytes = Vec::new();
    // Also checks the member's checksum.
    member.read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    Ok(bytes)
}

/// Reads the format of before PyTorch 1.6: five pickles (a magic number, a version, facts about the machine, the object, the keys
/// of its storages), then for each key the number of elements (8 bytes) and the elements.
pub(super) fn read_legacy(bytes: &[u8]) -> Result<Vec<(String, Tensor)>, Fault> {
    let mut offset = 0;
    let mut next = || {
        let (pickle, length) = read_pickle(&bytes[offset..], offset)?;
        offset += length;
        Ok::<Pickle, Fault>(pickle)
    };
    let (_magic, _version, system, object, keys) = (next()?, next()?, next()?, next()?, next()?);
    if let Value::Dict(facts) = system.root()
        && let Some(id) = system.entry(facts, "little_endian")
        && matches!(system.get(id), Value::Bool(false))
    {
        return Err(Fault::Format(BIG_ENDIAN.into()));
    }
    let Value::List(keys_of_storages) = keys.root() else {
        return Err(Fault::Damaged("its list of storages is missing".into()));
    };

    // Storages are read over whether or not the state dict uses them, as those of an optimiser.
    let kinds: HashMap<&str, Kind> = object
        .values()
        .filter_map(|value| match value {
            &Value::Persistent(id) => storage_key(&object, id).ok(),
            _ => None,
        })
        .collect();
    let mut storages: HashMap<&str, &[u8]> = HashMap::new();
    for &key in keys_of_storages {
        let key = keys.text(key).unwrap_or_default();
        let kind = kinds.get(key).ok_or_else(|| Fault::Damaged(format!("its storage `{key}` is of no known type")))?;
        let storage = legacy_storage(&bytes[offset..], kind.elt_size_in_bytes())
            .ok_or_else(|| Fault::Damaged(format!("it ends within the storage `{key}`")))?;
        offset += size_of::<u64>() + storage.len();
        storages.insert(key, storage);
    }
    let read = |saved: Saved| {
        let storage = storages.get(saved.storage.as_str());
        let storage = storage.ok_or_else(|| Fault::Damaged(format!("the storage of `{}` is missing", saved.name)))?;
        let tensor = saved.read(storage)?;
        Ok((saved.name, tensor))
    };
    state_dict(&object)?.into_iter().map(read).collect()
}

/// The elements, each `width` bytes, whose number stands at the start of `bytes`.
fn legacy_storage(bytes: &[u8], width: usize) -> Option<&[u8]> {
    let (count, rest) = bytes.split_first_chunk()?;
    let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
    rest.get(..count.checked_mul(width)?)
}

fn read_pickle(bytes: &[u8], start: usize) -> Result<(Pickle, usize), Fault> {
    Pickle::read(bytes)
        .map_err(|error| Fault::Damaged(format!("its pickle at byte {}: {}", start + error.offset, error.reason)))
}

/// The tensors of the state dict that the pickle is, or that it holds under a usual name.
fn state_dict(pickle: &Pickle) -> Result<Vec<Saved>, Fault> {
    let items = match pickle.root() {
        Value::Dict(items) => items,
        &Value::Call { callable, .. } => {
            let (module, name) = pickle.global(callable).unwrap_or(("an", "object"));
            return Err(Fault::Format(format!("a pickled object ({module}.{name}), not its state dict")));
        }
        _ => return Err(Fault::Format("a pickle that is no dictionary".into())),
    };
    let Some(items) = find_state_dict(pickle, items, DEPTH) else {
        let keys: Vec<&str> = items.iter().filter_map(|&(key, _)| pickle.text(key)).take(5).collect();
        return Err(Fault::Format(match keys[..] {
            [] => "a dictionary without tensors".into(),
            _ => format!("a dictionary without tensors (it starts with {})", keys.join(", ")),
        }));
    };
    let mut found = HashMap::new();
    for &(key, value) in items {
        if let (Some(name), Some(call)) = (pickle.text(key), tensor_call(pickle, value)) {
            let saved = describe(pickle, name, call).map_err(|found| Fault::Tensor { name: name.into(), found })?;
            found.insert(name, saved);
        }
    }
    Ok(found.into_values().collect())
}

/// Wrappers come first: a training checkpoint may have a lone tensor, as the best accuracy, beside its state dict.
fn find_state_dict<'a>(pickle: &'a Pickle, items: &'a [(Id, Id)], depth: usize) -> Option<&'a [(Id, Id)]> {
    let mut inner = WRAPPERS.iter().filter_map(|wrapper| match pickle.get(pickle.entry(items, wrapper)?) {
        Value::Dict(inner) if depth > 0 => find_state_dict(pickle, inner, depth - 1),
        _ => None,
    });
    let own = items.iter().any(|&(_, value)| tensor_call(pickle, value).is_some()).then_some(items);
    inner.next().or(own)
}

/// The function of `torch._utils` that makes a tensor, and its arguments.
type TensorCall<'a> = (&'a str, &'a [Id]);

fn tensor_call(pickle: &Pickle, id: Id) -> Option<TensorCall<'_>> {
    let &Value::Call { callable, args } = pickle.get(id) else { return None };
    let (module, name) = pickle.global(callable)?;
    let args = pickle.tuple(args)?;
    match (module, name) {
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => tensor_call(pickle, *args.first()?),
        // (function, type, arguments, attributes), of tensors with attributes.
        ("torch._tensor", "_rebuild_from_type_v2") => {
            let (_, name) = pickle.global(*args.first()?)?;
            Some((name, pickle.tuple(*args.get(2)?)?))
        }
        ("torch._utils", name) if name.starts_with("_rebuild") => Some((name, args)),
        _ => None,
    }
}

/// Where the values of a tensor are; the error says what it is instead of a dense tensor.
fn describe(pickle: &Pickle, name: &str, (function, args): TensorCall) -> Result<Saved, String> {
    // (storage, offset, shape, strides, …)
    let (Some(&[storage, offset, shape, strides]), "_rebuild_tensor" | "_rebuild_tensor_v2") =
        (args.first_chunk(), function)
    else {
        return Err(format!("made by `{function}`"));
    };
    let &Value::Persistent(id) = pickle.get(storage) else {
        return Err("a tensor without storage".into());
    };
    let (key, kind) = storage_key(pickle, id)?;
    let layout = pickle.size(offset).zip(pickle.sizes(shape)).zip(pickle.sizes(strides));
    let ((offset, shape), strides) = layout.ok_or("a tensor whose shape or strides are no sizes")?;
    Ok(Saved { name: name.into(), storage: key.into(), kind, layout: Layout { offset, shape, strides } })
}

/// Key and type of a storage, from `("storage", type, key, device, elements, …)`.
fn storage_key(pickle: &Pickle, id: Id) -> Result<(&str, Kind), String> {
    let parts = match pickle.tuple(id) {
        // Formats before 1.6 have a sixth part, which is set for a view of another storage (before PyTorch 0.4).
        Some(parts) if parts.get(5).is_some_and(|&view| !pickle.is_none(view)) => {
            return Err("a view of another tensor's storage".into());
        }
        Some(&[_, kind, key, ..]) => (pickle.global(kind), pickle.text(key)),
        _ => (None, None),
    };
    let (Some((_, class)), Some(key)) = parts else {
        return Err("a tensor whose storage is not described".into());
    };
    let kind = kind_of_storage(class).ok_or_else(|| format!("kept in a `{class}`"))?;
    Ok((key, kind))
}
