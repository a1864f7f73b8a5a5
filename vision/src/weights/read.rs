//! Named tensors of a file, whatever its format.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use tch::Tensor;

use super::WeightsError;
use super::exported::read_safetensors;
use super::pth::{LEGACY, ZIP, read_legacy, read_zip};

/// All tensors of a file, on the host, by their names there. The content decides how it is read, not the file's name.
///
/// # Errors
/// [`WeightsError`]: a file that cannot be read, is damaged, of another format, or holds a tensor that is not dense.
pub fn read_weights(path: &Path) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    let io = |source| WeightsError::Io { path: path.into(), source };
    let mut start = Vec::new();
    File::open(path).map_err(io)?.take(64).read_to_end(&mut start).map_err(io)?;
    let tensors = if start.starts_with(ZIP) {
        read_zip(File::open(path).map_err(io)?)
    } else if start.get(2..).is_some_and(|rest| rest.starts_with(LEGACY)) {
        read_legacy(&std::fs::read(path).map_err(io)?)
    } else if start.get(8) == Some(&b'{') {
        read_safetensors(&std::fs::read(path).map_err(io)?)
    } else {
        return Err(WeightsError::Format { path: path.into(), found: guess(&start).into() });
    };
    Ok(tensors.map_err(|fault| fault.at(path))?.into_iter().collect())
}

/// What a file that is no weights seems to be.
fn guess(start: &[u8]) -> &'static str {
    match start {
        [] => "empty",
        _ if start.starts_with(b"version https://git-lfs") => "a Git LFS pointer (`git lfs pull` gets the file itself)",
        [b'<', ..] => "a web page or XML",
        [0x80, ..] => "a Python pickle that torch.save did not write",
        _ => "no file of weights",
    }
}
