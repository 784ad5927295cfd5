use std::fmt;
use std::str::FromStr;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::float::write_float;

/// The element type of a tensor, named as in the Open Inference Protocol v2.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Datatype {
    /// `BOOL`
    Bool,
    /// `UINT8`
    Uint8,
    /// `INT8`
    Int8,
    /// `INT32`
    Int32,
    /// `INT64`
    Int64,
    /// `FP32`
    Fp32,
    /// `FP64`
    Fp64,
}

/// What is wrong with a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TensorError {
    /// A data type this project does not take.
    #[error(
        "datatype `{0}` is not supported: expected BOOL, UINT8, INT8, INT32, INT64, FP32 or FP64"
    )]
    Datatype(String),
    /// The data has another number of elements than the shape.
    #[error("tensor `{name}` has shape {shape:?} ({expected} elements) but {got} elements of data")]
    Elements {
        /// The tensor's name.
        name: String,
        /// Its shape.
        shape: Vec<u64>,
        /// The product of the shape.
        expected: u64,
        /// How many elements the data has.
        got: u64,
    },
    /// An element that is not a value of the data type.
    #[error("tensor `{name}`: element {index} is `{got}`, not a {datatype}")]
    Element {
        /// The tensor's name.
        name: String,
        /// The element's place in row-major order.
        index: usize,
        /// The tensor's data type.
        datatype: Datatype,
        /// What stands there.
        got: String,
    },
    /// NaN or infinite.
    #[error("tensor `{name}`: element {index} is not finite")]
    NotFinite {
        /// The tensor's name.
        name: String,
        /// The element's place in row-major order.
        index: usize,
    },
    /// Nested data whose brackets do not follow the shape.
    #[error("tensor `{name}`: nested data does not follow its shape {shape:?}")]
    Nesting {
        /// The tensor's name.
        name: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// Raw data whose length is no multiple of the element size.
    #[error("tensor `{name}`: {got} bytes of data where {expected} were expected")]
    Bytes {
        /// The tensor's name.
        name: String,
        /// Bytes the shape and data type ask for.
        expected: u64,
        /// Bytes found.
        got: u64,
    },
    /// More than a tensor may have: rank, name or elements.
    #[error("tensor `{name}`: {what} {got} exceeds {limit}")]
    Limit {
        /// The tensor's name, shortened.
        name: String,
        /// What is too much.
        what: &'static str,
        /// How much was asked for.
        got: u64,
        /// The most there may be.
        limit: u64,
    },
}

/// The greatest number of dimensions a tensor may have.
const MAX_RANK: usize = 8;
/// The longest name a tensor may have, in bytes.
const MAX_NAME: usize = 128;
/// The greatest number of elements a tensor may have.
const MAX_ELEMENTS: u64 = 1 << 24;

/// Gives each data type its name, its Rust type and its place in [`TensorData`].
macro_rules! datatypes {
    ($($variant:ident, $type:ty, $name:literal;)*) => {
        /// The elements of a tensor in row-major order. Floats are finite.
        #[derive(Clone, Debug, PartialEq)]
        pub enum TensorData {
            $(#[doc = concat!("`", $name, "`")] $variant(Vec<$type>),)*
        }

        impl TensorData {
            /// Returns the elements' type.
            #[must_use]
            pub const fn datatype(&self) -> Datatype {
                match self { $(Self::$variant(_) => Datatype::$variant,)* }
            }

            /// Returns the number of elements.
            #[must_use]
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(values) => values.len(),)* }
            }

            /// Returns the elements little-endian, as the protocol's binary extension has them.
            #[must_use]
            pub fn to_le_bytes(&self) -> Vec<u8> {
                match self {
                    $(Self::$variant(values) => {
                        values.iter().flat_map(|value| value.to_le()).collect()
                    })*
                }
            }

            /// Returns one element, or all of them; nothing where there is no such element.
            #[must_use]
            pub fn part(&self, element: Option<usize>) -> Option<Self> {
                match self {
                    $(Self::$variant(values) => part(values, element).map(Self::$variant),)*
                }
            }

            /// Puts other data in the place of one element, or of all of them, if it has their datatype
            /// and number. Returns whether it has.
            fn put(&mut self, element: Option<usize>, data: &Self) -> bool {
                match (self, data) {
                    $((Self::$variant(values), Self::$variant(data)) => put(values, element, data),)*
                    _ => false,
                }
            }

            fn argmax(&self) -> Option<usize> {
                match self { $(Self::$variant(values) => greatest(values),)* }
            }

            fn from_tokens<'a>(
                name: &str,
                datatype: Datatype,
                tokens: impl Iterator<Item = &'a str>,
            ) -> Result<Self, TensorError> {
                match datatype {
                    $(Datatype::$variant => parse_all::<$type>(name, datatype, tokens).map(Self::$variant),)*
                }
            }

            fn from_le_bytes(datatype: Datatype, bytes: &[u8]) -> Option<Self> {
                match datatype {
                    $(Datatype::$variant => bytes
                        .chunks(size_of::<$type>())
                        .map(<$type as Element>::from_le)
                        .collect::<Option<Vec<_>>>()
                        .map(Self::$variant),)*
                }
            }
        }

        impl Datatype {
            /// Returns the bytes one element takes.
            #[must_use]
            pub const fn size(self) -> usize {
                match self { $(Self::$variant => size_of::<$type>(),)* }
            }

            /// Returns the protocol's name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl FromStr for Datatype {
            type Err = TensorError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(TensorError::Datatype(text.chars().take(32).collect())),
                }
            }
        }

        impl Serialize for TensorData {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$variant(values) => Element::write(values, serializer),)* }
            }
        }
    };
}

datatypes! {
    Bool, bool, "BOOL";
    Uint8, u8, "UINT8";
    Int8, i8, "INT8";
    Int32, i32, "INT32";
    Int64, i64, "INT64";
    Fp32, f32, "FP32";
    Fp64, f64, "FP64";
}

impl TensorData {
    /// Says whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn first_not_finite(&self) -> Option<usize> {
        match self {
            Self::Fp32(values) => values.iter().position(|value| !value.is_finite()),
            Self::Fp64(values) => values.iter().position(|value| !value.is_finite()),
            _ => None,
        }
    }
}

fn part<T: Copy>(values: &[T], element: Option<usize>) -> Option<Vec<T>> {
    match element {
        None => Some(values.to_vec()),
        Some(element) => values.get(element).map(|value| vec![*value]),
    }
}

fn put<T: Copy>(values: &mut [T], element: Option<usize>, data: &[T]) -> bool {
    let place = match element {
        None => Some(values),
        Some(element) => values.get_mut(element..).and_then(|values| values.get_mut(..1)),
    };
    match place.filter(|place| place.len() == data.len()) {
        Some(place) => {
            place.copy_from_slice(data);
            true
        }
        None => false,
    }
}

fn greatest<T: PartialOrd>(values: &[T]) -> Option<usize> {
    let mut best: Option<(usize, &T)> = None;
    for (index, value) in values.iter().enumerate() {
        if best.is_none_or(|(_, greatest)| value > greatest) {
            best = Some((index, value));
        }
    }
    best.map(|(index, _)| index)
}

/// One element: how it is read and written as JSON text and as little-endian bytes.
trait Element: FromStr + Serialize {
    fn from_le(bytes: &[u8]) -> Option<Self>;
    fn to_le(&self) -> impl Iterator<Item = u8> + use<Self>;

    fn write<S: Serializer>(values: &[Self], serializer: S) -> Result<S::Ok, S::Error> {
        values.serialize(serializer)
    }
}

macro_rules! numeric_elements {
    ($($type:ty $(, $write:item)?;)*) => {$(
        impl Element for $type {
            $($write)?

            fn from_le(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(<$type>::from_le_bytes)
            }

            fn to_le(&self) -> impl Iterator<Item = u8> + use<> {
                self.to_le_bytes().into_iter()
            }
        }
    )*};
}

numeric_elements! {
    u8;
    i8;
    i32;
    i64;
    f32, fn write<S: Serializer>(values: &[Self], serializer: S) -> Result<S::Ok, S::Error> {
        write_floats(values, serializer)
    };
    f64, fn write<S: Serializer>(values: &[Self], serializer: S) -> Result<S::Ok, S::Error> {
        write_floats(values, serializer)
    };
}

fn write_floats<S: Serializer>(
    values: &[impl Serialize],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut text = b"[".to_vec();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        write_float(value, &mut text);
    }
    text.push(b']');
    let text = String::from_utf8(text).map_err(serde::ser::Error::custom)?;
    RawValue::from_string(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

impl Element for bool {
    fn from_le(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn to_le(&self) -> impl Iterator<Item = u8> + use<> {
        [u8::from(*self)].into_iter()
    }
}

fn parse_all<'a, T: Element>(
    name: &str,
    datatype: Datatype,
    tokens: impl Iterator<Item = &'a str>,
) -> Result<Vec<T>, TensorError> {
    tokens
        .enumerate()
        .map(|(index, token)| {
            token.parse().map_err(|_| TensorError::Element {
                name: name.to_owned(),
                index,
                datatype,
                got: token.chars().take(32).collect(),
            })
        })
        .collect()
}

/// A named tensor whose data fits its shape and holds only finite numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    name: String,
    shape: Vec<u64>,
    data: TensorData,
}

impl Tensor {
    /// Makes a tensor of checked parts.
    ///
    /// # Errors
    /// When the data does not fit the shape, a float is not finite, or a limit is exceeded (name
    /// 128 bytes, rank 8, 2^24 elements).
    pub fn new(name: String, shape: Vec<u64>, data: TensorData) -> Result<Self, TensorError> {
        let expected = element_count(&name, &shape)?;
        let got = data.len() as u64;
        if expected != got {
            return Err(TensorError::Elements { name, shape, expected, got });
        }
        if let Some(index) = data.first_not_finite() {
            return Err(TensorError::NotFinite { name, index });
        }
        Ok(Self { name, shape, data })
    }

    /// Reads a tensor of the Open Inference Protocol whose data is JSON: flat in row-major order, or
    /// nested as its shape.
    ///
    /// # Errors
    /// When an element is not of the data type, or as [`Tensor::new`].
    pub fn from_json(
        name: String,
        shape: Vec<u64>,
        datatype: Datatype,
        data: &RawValue,
    ) -> Result<Self, TensorError> {
        let expected = element_count(&name, &shape)?;
        check_nesting(&name, &shape, data.get())?;
        let got = elements(data.get()).count() as u64;
        if got != expected {
            return Err(TensorError::Elements { name, shape, expected, got });
        }
        let data = TensorData::from_tokens(&name, datatype, elements(data.get()))?;
        Self::new(name, shape, data)
    }

    /// Reads a tensor whose data is little-endian bytes: the protocol's binary tensor extension.
    ///
    /// # Errors
    /// When the length differs from what the shape asks for, or as [`Tensor::new`].
    pub fn from_le_bytes(
        name: String,
        shape: Vec<u64>,
        datatype: Datatype,
        bytes: &[u8],
    ) -> Result<Self, TensorError> {
        let expected = element_count(&name, &shape)? * datatype.size() as u64;
        let got = bytes.len() as u64;
        let wrong = || TensorError::Bytes { name: name.clone(), expected, got };
        if expected != got {
            return Err(wrong());
        }
        let data = TensorData::from_le_bytes(datatype, bytes).ok_or_else(wrong)?;
        Self::new(name, shape, data)
    }

    /// Makes a tensor of zeros.
    ///
    /// # Errors
    /// When a limit is exceeded.
    pub(crate) fn zeros(
        name: String,
        shape: Vec<u64>,
        datatype: Datatype,
    ) -> Result<Self, TensorError> {
        let bytes = element_count(&name, &shape)? * datatype.size() as u64;
        let bytes = vec![0; usize::try_from(bytes).unwrap_or_default()];
        Self::from_le_bytes(name, shape, datatype, &bytes)
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the shape, outermost dimension first.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Returns the elements.
    #[must_use]
    pub const fn data(&self) -> &TensorData {
        &self.data
    }

    /// Puts other data, which is as finite, in the place of one element or of all of them.
    pub(crate) fn put(&mut self, element: Option<usize>, data: &TensorData) -> bool {
        data.first_not_finite().is_none() && self.data.put(element, data)
    }

    /// Returns the place of the greatest element in row-major order, the first of several; `None`
    /// when there is no element.
    #[must_use]
    pub fn argmax(&self) -> Option<usize> {
        self.data.argmax()
    }
}

/// Returns the product of the shape, within the limits.
fn element_count(name: &str, shape: &[u64]) -> Result<u64, TensorError> {
    let limit = |what, got, limit| {
        let name = name.chars().take(32).collect();
        Err(TensorError::Limit { name, what, got, limit })
    };
    if name.len() > MAX_NAME {
        return limit("name length", name.len() as u64, MAX_NAME as u64);
    }
    if shape.len() > MAX_RANK {
        return limit("rank", shape.len() as u64, MAX_RANK as u64);
    }
    let count = shape.iter().try_fold(1_u64, |count, side| count.checked_mul(*side));
    match count {
        Some(count) if count <= MAX_ELEMENTS => Ok(count),
        other => limit("element count", other.unwrap_or(u64::MAX), MAX_ELEMENTS),
    }
}

/// Iterates over the scalars of a JSON array, nested or flat, as text.
fn elements(json: &str) -> impl Iterator<Item = &str> {
    json.split(|c: char| matches!(c, '[' | ']' | ',') || c.is_ascii_whitespace())
        .filter(|token| !token.is_empty())
}

/// Checks that the brackets of `json` are those of a flat array, or of arrays nested as `shape`.
fn check_nesting(name: &str, shape: &[u64], json: &str) -> Result<(), TensorError> {
    let wrong = || TensorError::Nesting { name: name.to_owned(), shape: shape.to_vec() };
    if !json.starts_with('[') || json.bytes().any(|b| matches!(b, b'{' | b'"')) {
        return Err(wrong());
    }
    if !json.bytes().skip(1).any(|b| b == b'[') {
        return Ok(());
    }
    // How many children each open array has so far; a scalar or a closed array is a child.
    let mut open: Vec<u64> = Vec::with_capacity(MAX_RANK);
    let mut in_scalar = false;
    for byte in json.bytes() {
        let delimiter = matches!(byte, b'[' | b']' | b',') || byte.is_ascii_whitespace();
        if !delimiter && !in_scalar {
            if open.len() != shape.len() {
                return Err(wrong());
            }
            *open.last_mut().ok_or_else(wrong)? += 1;
        }
        in_scalar = !delimiter;
        match byte {
            b'[' if open.len() < shape.len() => open.push(0),
            b'[' => return Err(wrong()),
            b']' => {
                let children = open.pop().ok_or_else(wrong)?;
                if shape.get(open.len()) != Some(&children) {
                    return Err(wrong());
                }
                if let Some(parent) = open.last_mut() {
                    *parent += 1;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Tensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tensor = serializer.serialize_struct("Tensor", 4)?;
        tensor.serialize_field("name", &self.name)?;
        tensor.serialize_field("shape", &self.shape)?;
        tensor.serialize_field("datatype", self.data.datatype().as_str())?;
        tensor.serialize_field("data", &self.data)?;
        tensor.end()
    }
}

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wire {
            name: String,
            shape: Vec<u64>,
            datatype: String,
            data: Box<RawValue>,
        }

        let wire = Wire::deserialize(deserializer)?;
        let datatype = wire.datatype.parse().map_err(serde::de::Error::custom)?;
        Self::from_json(wire.name, wire.shape, datatype, &wire.data)
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(shape: &[u64], datatype: Datatype, data: &str) -> Result<Tensor, TensorError> {
        let raw = RawValue::from_string(data.to_owned()).unwrap();
        Tensor::from_json("x".to_owned(), shape.to_vec(), datatype, &raw)
    }

    #[test]
    fn flat_and_nested_data_are_one_tensor() {
        let flat = read(&[2, 3], Datatype::Fp32, "[1,2,3,4,5,6]").unwrap();
        let nested = read(&[2, 3], Datatype::Fp32, " [[1, 2,3],\n[4,5 ,6.0]]".trim()).unwrap();
        assert_eq!(flat, nested);
    }

    #[test]
    fn nesting_must_follow_the_shape() {
        for wrong in [
            "[[1,2],[3,4],[5,6]]",
            "[[1,2,3],[4,5,6],[]]",
            "[[1,2,3],4,5,6]",
            "[[[1,2,3]],[4,5,6]]",
        ] {
            let error = read(&[2, 3], Datatype::Fp32, wrong).unwrap_err();
            assert!(matches!(error, TensorError::Nesting { .. }), "{wrong}: {error}");
        }
        assert!(matches!(
            read(&[1], Datatype::Fp32, r#"{"a":1}"#).unwrap_err(),
            TensorError::Nesting { .. }
        ));
    }

    #[test]
    fn elements_must_be_of_the_datatype() {
        for (datatype, data) in [
            (Datatype::Fp32, "[true]"),
            (Datatype::Fp32, "[null]"),
            (Datatype::Int8, "[128]"),
            (Datatype::Uint8, "[-1]"),
            (Datatype::Int32, "[1.5]"),
            (Datatype::Bool, "[1]"),
        ] {
            let error = read(&[1], datatype, data).unwrap_err();
            assert!(matches!(error, TensorError::Element { .. }), "{datatype} {data}: {error}");
        }
        let error = read(&[1], Datatype::Fp32, "[1e39]").unwrap_err();
        assert_eq!(error, TensorError::NotFinite { name: "x".into(), index: 0 });
    }

    #[test]
    fn sizes_are_bounded_before_anything_is_allocated() {
        let error = read(&[1 << 40, 1 << 40], Datatype::Fp32, "[1]").unwrap_err();
        assert!(matches!(error, TensorError::Limit { what: "element count", .. }), "{error}");
        let error = read(&[1; 9], Datatype::Fp32, "[1]").unwrap_err();
        assert!(matches!(error, TensorError::Limit { what: "rank", .. }), "{error}");
    }

    proptest! {
        #[test]
        fn floats_round_trip_bit_for_bit(bits: u32) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            let tensor = Tensor::new("x".into(), vec![1], TensorData::Fp32(vec![value])).unwrap();
            let text = serde_json::to_string(&tensor).unwrap();
            let back: Tensor = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(back.data.to_le_bytes(), tensor.data.to_le_bytes());
            prop_assert_eq!(serde_json::to_string(&back).unwrap(), text);
        }

        #[test]
        fn bytes_round_trip(values: Vec<i64>) {
            let shape = vec![values.len() as u64];
            let tensor = Tensor::new("x".into(), shape.clone(), TensorData::Int64(values)).unwrap();
            let bytes = tensor.data.to_le_bytes();
            prop_assert_eq!(Tensor::from_le_bytes("x".into(), shape, Datatype::Int64, &bytes), Ok(tensor));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]0-9,. e-]{0,40}") {
            if let Ok(raw) = RawValue::from_string(text) {
                let _ = Tensor::from_json("x".into(), vec![2, 2], Datatype::Fp64, &raw);
            }
        }
    }
}
