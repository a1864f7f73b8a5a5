//! Accumulated numbers as bytes.

use imbalance_core::LossError;
use tch::{Kind, Tensor};

use crate::TensorError;

/// The numbers of `tensors`, one after the other, as float64 in little-endian bytes.
///
/// # Errors
/// A tensor that cannot be read.
pub fn pack(tensors: &[&Tensor]) -> Result<Vec<u8>, TensorError> {
    let mut bytes = Vec::new();
    for tensor in tensors {
        let numbers = Vec::<f64>::try_from(tensor.f_to_kind(Kind::Double)?.f_flatten(0, -1)?)?;
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
    Ok(bytes)
}

/// `N` float64 tensors `[classes]` on the CPU from bytes of [`pack`].
///
/// # Errors
/// Bytes of another length.
pub fn unpack<const N: usize>(bytes: &[u8], classes: usize) -> Result<[Tensor; N], TensorError> {
    if bytes.len() != N * classes * size_of::<f64>() {
        let (got, expected) = (bytes.len(), N * classes * size_of::<f64>());
        return Err(
            LossError::new(format!("{got} bytes are given, a state for {classes} classes has {expected}")).into()
        );
    }
    let (numbers, _) = bytes.as_chunks();
    let numbers: Vec<f64> = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    Ok(std::array::from_fn(|at| Tensor::from_slice(&numbers[at * classes..(at + 1) * classes])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let (a, b) = (Tensor::from_slice(&[0.1_f64, 1e300]), Tensor::from_slice(&[2.5_f32, -0.0]));
        let bytes = pack(&[&a, &b]).unwrap();
        let [again_a, again_b] = unpack(&bytes, 2).unwrap();
        assert!(again_a.equal(&a) && again_b.equal(&b.to_kind(Kind::Double)));
        let said = unpack::<1>(&bytes, 3).unwrap_err().to_string();
        assert_eq!(said, "32 bytes are given, a state for 3 classes has 24");
    }
}
