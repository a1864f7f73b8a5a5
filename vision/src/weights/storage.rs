//! Bytes to tensors and back.

use safetensors::Dtype;
use tch::{Device, Kind, TchError, Tensor};

/// libtorch's types, those of safetensors, and the storages that `torch.save` names.
const KINDS: [(Kind, Dtype, &str); 10] = [
    (Kind::Float, Dtype::F32, "FloatStorage"),
    (Kind::Double, Dtype::F64, "DoubleStorage"),
    (Kind::Half, Dtype::F16, "HalfStorage"),
    (Kind::BFloat16, Dtype::BF16, "BFloat16Storage"),
    (Kind::Int64, Dtype::I64, "LongStorage"),
    (Kind::Int, Dtype::I32, "IntStorage"),
    (Kind::Int16, Dtype::I16, "ShortStorage"),
    (Kind::Int8, Dtype::I8, "CharStorage"),
    (Kind::Uint8, Dtype::U8, "ByteStorage"),
    (Kind::Bool, Dtype::BOOL, "BoolStorage"),
];

pub(super) fn dtype_of(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(known, ..)| *known == kind).map(|(_, dtype, _)| *dtype)
}

pub(super) fn kind_of_dtype(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(_, known, _)| *known == dtype).map(|(kind, ..)| *kind)
}

pub(super) fn kind_of_storage(name: &str) -> Option<Kind> {
    KINDS.iter().find(|(.., known)| *known == name).map(|(kind, ..)| *kind)
}

/// Where a tensor's values are in its storage, in elements.
pub(super) struct Layout {
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl Layout {
    /// Elements of a storage that reaches just as far as the tensor; `None` where that is no number, or where strides do not
    /// belong to the shape.
    fn end(&self) -> Option<usize> {
        if self.strides.len() != self.shape.len() {
            return None;
        }
        if self.shape.contains(&0) {
            return Some(self.offset);
        }
        let last = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |last, (&size, &stride)| last.checked_add((size - 1).checked_mul(stride)?))?;
        last.checked_add(1)
    }
}

/// The contiguous copy of a tensor whose values lie in `storage`; `None` if the storage is too short for it.
pub(super) fn tensor(storage: &[u8], kind: Kind, layout: &Layout) -> Result<Option<Tensor>, TchError> {
    let width = kind.elt_size_in_bytes();
    let Some(end) = layout.end().filter(|end| end.checked_mul(width).is_some_and(|bytes| bytes <= storage.len()))
    else {
        return Ok(None);
    };
    // Each size is below the storage's length (or there is nothing to read), so it fits.
    let signed = |sizes: &[usize]| sizes.iter().map(|&size| size as i64).collect::<Vec<i64>>();
    let (shape, strides) = (signed(&layout.shape), signed(&layout.strides));
    if layout.shape.contains(&0) {
        return Tensor::f_zeros(&shape, (kind, Device::Cpu)).map(Some);
    }
    let values = &storage[layout.offset * width..end * width];
    let values = Tensor::f_from_data_size(values, &[(end - layout.offset) as i64], kind)?;
    values.f_as_strided(&shape, &strides, 0)?.f_contiguous().map(Some)
}

/// The values of a tensor, in rows.
pub(super) fn bytes(tensor: &Tensor) -> Result<Vec<u8>, TchError> {
    let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(offset: usize, shape: &[usize], strides: &[usize]) -> Layout {
        Layout { offset, shape: shape.into(), strides: strides.into() }
    }

    #[test]
    fn strides_and_offsets_choose_values() {
        let storage: Vec<u8> = (0..6i16).flat_map(i16::to_le_bytes).collect();
        let read = |layout: Layout| -> Option<Vec<i16>> {
            let tensor = tensor(&storage, Kind::Int16, &layout).unwrap()?;
            assert_eq!(tensor.size(), layout.shape.iter().map(|&size| size as i64).collect::<Vec<_>>());
            Some(Vec::try_from(tensor.flatten(0, -1)).unwrap())
        };
        assert_eq!(read(layout(0, &[2, 3], &[3, 1])).unwrap(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(read(layout(0, &[3, 2], &[1, 3])).unwrap(), [0, 3, 1, 4, 2, 5]);
        assert_eq!(read(layout(4, &[2], &[1])).unwrap(), [4, 5]);
        assert_eq!(read(layout(3, &[2, 2], &[0, 2])).unwrap(), [3, 5, 3, 5]);
        assert_eq!(read(layout(5, &[], &[])).unwrap(), [5]);
        assert_eq!(read(layout(6, &[0, 4], &[4, 1])).unwrap(), [0i16; 0]);
        // One element beyond the end, and sizes whose product is no number.
        assert_eq!(read(layout(4, &[3], &[1])), None);
        assert_eq!(read(layout(0, &[usize::MAX, 2], &[usize::MAX, 1])), None);
        assert_eq!(read(layout(usize::MAX, &[1], &[1])), None);
        assert_eq!(read(layout(0, &[2], &[1, 1])), None);
    }
}
