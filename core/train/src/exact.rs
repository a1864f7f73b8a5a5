//! A float64 that survives JSON with all its bits, infinities and NaN included.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A float64 written to JSON as its 16 hexadecimal digits: decimal text read back by a parser that rounds
/// differently would end a resumed run with other bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Exact(pub f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:016x}", self.0.to_bits()))
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Exact, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16)
            .map(|bits| Exact(f64::from_bits(bits)))
            .map_err(|_| D::Error::custom(format!("`{text}` is not 16 hexadecimal digits of a float64")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_survives() {
        for value in [0.1 + 0.2, -0.0, f64::MIN_POSITIVE / 3.0, f64::INFINITY] {
            let text = serde_json::to_string(&Exact(value)).unwrap();
            let back: Exact = serde_json::from_str(&text).unwrap();
            assert_eq!(back.0.to_bits(), value.to_bits());
        }
        // 1.0 is sign 0, exponent 0x3ff, fraction 0.
        assert_eq!(serde_json::to_string(&Exact(1.0)).unwrap(), "\"3ff0000000000000\"");
        assert!(serde_json::from_str::<Exact>("\"1.5\"").is_err());
    }
}
