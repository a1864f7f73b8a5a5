//! The fields of an annotation file that boxes need. All others are passed over without being kept.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Unexpected, Visitor};

#[derive(Deserialize)]
pub(super) struct File {
    pub images: Option<Vec<ImageRecord>>,
    pub annotations: Option<Vec<AnnotationRecord>>,
    pub categories: Option<Vec<CategoryRecord>>,
}

#[derive(Deserialize)]
pub(super) struct ImageRecord {
    pub id: Id,
    pub file_name: Option<String>,
    /// LVIS names the file by its address; the last folder and the name in it are those on disk.
    pub coco_url: Option<String>,
    pub width: Option<Id>,
    pub height: Option<Id>,
    #[serde(default)]
    pub neg_category_ids: Vec<Id>,
    #[serde(default)]
    pub not_exhaustive_category_ids: Vec<Id>,
}

#[derive(Deserialize)]
pub(super) struct AnnotationRecord {
    pub id: Id,
    pub image_id: Id,
    pub category_id: Id,
    #[serde(default)]
    pub bbox: Numbers,
    pub area: Option<Number>,
    pub iscrowd: Option<Flag>,
}

#[derive(Deserialize)]
pub(super) struct CategoryRecord {
    pub id: Id,
    pub name: Option<String>,
    pub frequency: Option<String>,
}

/// A whole number, written as one or as `7.0`.
#[derive(Clone, Copy)]
pub(super) struct Id(pub i64);

/// A number, or what stands in the place of one: NaN, but for the words that [`super::not_finite`] quoted.
#[derive(Clone, Copy)]
pub(super) struct Number(pub f64);

/// The first four of a list of numbers, and how many it has.
#[derive(Clone, Copy, Default)]
pub(super) struct Numbers {
    pub first: [f64; 4],
    pub count: usize,
}

/// 0 or 1, or false or true.
#[derive(Clone, Copy)]
pub(super) struct Flag(pub bool);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Whole;
        impl Visitor<'_> for Whole {
            type Value = Id;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a whole number")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Id, E> {
                Ok(Id(value))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Id, E> {
                i64::try_from(value).map(Id).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Id, E> {
                // Beyond 2^53 not every whole number has a float64 of its own.
                match value.fract() == 0.0 && value.abs() <= 9.0e15 {
                    true => Ok(Id(value as i64)),
                    false => Err(E::invalid_value(Unexpected::Float(value), &self)),
                }
            }
        }
        from.deserialize_any(Whole)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Number;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a number")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }
            fn visit_unit<E: Error>(self) -> Result<Number, E> {
                Ok(Number(f64::NAN))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Number, E> {
                Ok(Number(match value {
                    "Infini" => f64::INFINITY,
                    "-Infini" => f64::NEG_INFINITY,
                    _ => f64::NAN,
                }))
            }
        }
        from.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Numbers;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a list of four numbers")
            }
            fn visit_unit<E: Error>(self) -> Result<Numbers, E> {
                Ok(Numbers::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Numbers, A::Error> {
                let mut numbers = Numbers::default();
                while numbers.count < 4 {
                    match list.next_element::<Number>()? {
                        Some(number) => numbers.first[numbers.count] = number.0,
                        None => return Ok(numbers),
                    }
                    numbers.count += 1;
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    numbers.count += 1;
                }
                Ok(numbers)
            }
        }
        from.deserialize_any(List)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ZeroOrOne;
        impl Visitor<'_> for ZeroOrOne {
            type Value = Flag;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("0 or 1")
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Flag, E> {
                match value {
                    0 | 1 => Ok(Flag(value == 1)),
                    _ => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
                }
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Flag, E> {
                Err(E::invalid_value(Unexpected::Signed(value), &self))
            }
        }
        from.deserialize_any(ZeroOrOne)
    }
}
