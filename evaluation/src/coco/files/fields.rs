//! Values as different writers of COCO files put them.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// An id: a whole number, also written as `7.0`, as pandas does.
pub(crate) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    struct Id;

    impl Visitor<'_> for Id {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number")
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<i64, E> {
            Ok(value)
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<i64, E> {
            i64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &"an id below 2^63"))
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<i64, E> {
            // Above 2^53 not every whole number is a double.
            let whole = value.fract() == 0.0 && value.abs() <= (1_u64 << 53) as f64;
            if whole { Ok(value as i64) } else { Err(E::invalid_type(Unexpected::Float(value), &self)) }
        }
    }

    deserializer.deserialize_any(Id)
}

/// Yes or no: `true`, `1` or `1.0`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Yes;

        impl Visitor<'_> for Yes {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0 or 1")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Flag, E> {
                if value <= 1 {
                    Ok(Flag(value == 1))
                } else {
                    Err(E::invalid_value(Unexpected::Unsigned(value), &self))
                }
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Flag, E> {
                Err(E::invalid_value(Unexpected::Signed(value), &self))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Flag, E> {
                if value == 0.0 || value == 1.0 {
                    Ok(Flag(value == 1.0))
                } else {
                    Err(E::invalid_value(Unexpected::Float(value), &self))
                }
            }
        }

        deserializer.deserialize_any(Yes)
    }
}
