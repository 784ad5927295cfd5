//! Tensors that are known when compiling.

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};

use crate::error::Refusal;
use crate::limits;

/// Most dimensions of a tensor.
pub(crate) const MAX_RANK: usize = 8;

/// A tensor that is known when compiling, row-major.
#[derive(Clone, Debug)]
pub(crate) struct Constant {
    pub(crate) dims: Vec<u32>,
    pub(crate) data: Data,
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    Float(Vec<f32>),
    Int(Integer, Vec<i64>),
}

/// The types of integers that the compiler tells apart: those that QuantizeLinear gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Integer {
    Int8,
    Uint8,
    Other,
}

impl Constant {
    pub(crate) fn floats(dims: Vec<u32>, values: Vec<f32>) -> Self {
        Self { dims, data: Data::Float(values) }
    }

    pub(crate) fn integers(dims: Vec<u32>, values: Vec<i64>) -> Self {
        Self { dims, data: Data::Int(Integer::Other, values) }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.data {
            Data::Float(values) => values.len(),
            Data::Int(_, values) => values.len(),
        }
    }

    /// Returns the values as floats; `what` names them in the refusal.
    pub(crate) fn as_floats(&self, what: &'static str) -> Result<&[f32], Refusal> {
        match &self.data {
            Data::Float(values) => Ok(values),
            Data::Int(..) => Err(Refusal::mismatch(what, "floats", "integers")),
        }
    }

    /// Returns the values as integers; `what` names them in the refusal.
    pub(crate) fn as_integers(&self, what: &'static str) -> Result<&[i64], Refusal> {
        match &self.data {
            Data::Int(_, values) => Ok(values),
            Data::Float(_) => Err(Refusal::mismatch(what, "integers", "floats")),
        }
    }

    /// Reads a tensor of the file; every value is finite.
    pub(crate) fn read(proto: &TensorProto) -> Result<Self, Refusal> {
        if proto.data_location == Some(i32::from(DataLocation::External as u8)) {
            return Err(Refusal::unsupported("data outside the file"));
        }
        limits::rank(proto.dims.len())?;
        let dims = proto.dims.iter().map(|&dim| {
            u32::try_from(dim).map_err(|_| Refusal::mismatch("dimension", "0 to 2^32 - 1", dim))
        });
        let dims: Vec<u32> = dims.collect::<Result<_, _>>()?;
        let data = read_data(proto)?;
        let constant = Self { dims, data };
        let (expected, got) = (element_count(&constant.dims), constant.len() as u64);
        if expected != Some(got) {
            let expected = expected.map_or_else(|| "below 2^64".to_owned(), |n| n.to_string());
            return Err(Refusal::mismatch("number of values", expected, got));
        }
        if let Data::Float(values) = &constant.data {
            check_finite(values)?;
        }
        Ok(constant)
    }
}

/// Returns the number of elements of a tensor, or `None` if it is above `u64`.
pub(crate) fn element_count(dims: &[u32]) -> Option<u64> {
    dims.iter().try_fold(1_u64, |count, &dim| count.checked_mul(u64::from(dim)))
}

/// Refuses NaN and infinities.
pub(crate) fn check_finite(values: &[f32]) -> Result<(), Refusal> {
    match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some((index, value)) => Err(Refusal::NotFinite { index, value: value.to_string() }),
    }
}

fn read_data(proto: &TensorProto) -> Result<Data, Refusal> {
    let raw = proto.raw_data.as_slice();
    let integers = |kind, values: Vec<i64>| Ok(Data::Int(kind, values));
    let typed = || proto.int32_data.iter().map(|&value| i64::from(value)).collect();
    match DataType::try_from(proto.data_type).unwrap_or(DataType::Undefined) {
        DataType::Float if raw.is_empty() => Ok(Data::Float(proto.float_data.clone())),
        DataType::Float => Ok(Data::Float(words(raw, f32::from_le_bytes)?)),
        DataType::Double if raw.is_empty() => {
            Ok(Data::Float(proto.double_data.iter().map(|&value| narrow(value)).collect()))
        }
        DataType::Double => Ok(Data::Float(words(raw, |word| narrow(f64::from_le_bytes(word)))?)),
        DataType::Float16 if raw.is_empty() => {
            let half = |&word: &i32| half_to_f32(u16::try_from(word).unwrap_or(NAN_HALF));
            Ok(Data::Float(proto.int32_data.iter().map(half).collect()))
        }
        DataType::Float16 => {
            Ok(Data::Float(words(raw, |word| half_to_f32(u16::from_le_bytes(word)))?))
        }
        DataType::Int8 if raw.is_empty() => integers(Integer::Int8, typed()),
        DataType::Int8 => {
            integers(Integer::Int8, words(raw, |word| i64::from(i8::from_le_bytes(word)))?)
        }
        DataType::Uint8 if raw.is_empty() => integers(Integer::Uint8, typed()),
        DataType::Uint8 => {
            integers(Integer::Uint8, words(raw, |word| i64::from(u8::from_le_bytes(word)))?)
        }
        DataType::Int32 if raw.is_empty() => integers(Integer::Other, typed()),
        DataType::Int32 => {
            integers(Integer::Other, words(raw, |word| i64::from(i32::from_le_bytes(word)))?)
        }
        DataType::Int64 if raw.is_empty() => integers(Integer::Other, proto.int64_data.clone()),
        DataType::Int64 => integers(Integer::Other, words(raw, i64::from_le_bytes)?),
        DataType::Bool if raw.is_empty() => integers(Integer::Other, typed()),
        DataType::Bool => integers(Integer::Other, words(raw, |[byte]: [u8; 1]| i64::from(byte))?),
        other => Err(Refusal::unsupported(format!("element type {}", other.as_str_name()))),
    }
}

fn words<const N: usize, T>(raw: &[u8], read: impl Fn([u8; N]) -> T) -> Result<Vec<T>, Refusal> {
    let (words, rest) = raw.as_chunks::<N>();
    if rest.is_empty() {
        Ok(words.iter().map(|word| read(*word)).collect())
    } else {
        Err(Refusal::mismatch("bytes of raw data", format!("a multiple of {N}"), raw.len()))
    }
}

/// The nearest `f32`; what is too large becomes infinite and is refused with the other infinities.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
pub(crate) const fn narrow(value: f64) -> f32 {
    value as f32
}

const NAN_HALF: u16 = 0x7e00;

/// IEEE 754 binary16, exactly.
fn half_to_f32(half: u16) -> f32 {
    let sign = if half >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from((half >> 10) & 0x1f), f32::from(half & 0x3ff));
    sign * match exponent {
        0 => mantissa * 2_f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (mantissa + 1024.0) * 2_f32.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: DataType, dims: &[i64], raw: &[u8]) -> Result<Constant, Refusal> {
        Constant::read(&TensorProto {
            data_type: kind as i32,
            dims: dims.to_vec(),
            raw_data: raw.to_vec(),
            ..Default::default()
        })
    }

    #[test]
    fn halves_and_doubles_become_floats() {
        for (half, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x0001, 2_f32.powi(-24)),
            (0x03ff, 1023.0 * 2_f32.powi(-24)),
            (0x0400, 2_f32.powi(-14)),
            (0x7bff, 65504.0),
        ] {
            assert_eq!(half_to_f32(half), value, "{half:04x}");
        }
        assert_eq!(half_to_f32(0xfc00), f32::NEG_INFINITY);
        assert!(half_to_f32(0x7c01).is_nan());
        let half = read(DataType::Float16, &[1], &0x3c00_u16.to_le_bytes()).unwrap();
        assert_eq!(half.as_floats("it").unwrap(), [1.0]);
        let double = read(DataType::Double, &[1], &0.1_f64.to_le_bytes()).unwrap();
        assert_eq!(double.as_floats("it").unwrap(), [0.1]);
        assert!(read(DataType::Double, &[1], &1e300_f64.to_le_bytes()).is_err());
        assert!(read(DataType::Float16, &[1], &0x7c00_u16.to_le_bytes()).is_err());
    }

    #[test]
    fn fields_of_each_type_are_read_as_raw_data_is() {
        let typed = TensorProto {
            data_type: DataType::Float as i32,
            dims: vec![2],
            float_data: vec![1.5, -2.0],
            ..Default::default()
        };
        let floats = Constant::read(&typed).unwrap();
        assert_eq!(floats.as_floats("it").unwrap(), [1.5, -2.0]);
        assert!(floats.as_integers("it").is_err());
        let typed = TensorProto {
            data_type: DataType::Uint8 as i32,
            dims: vec![],
            int32_data: vec![200],
            ..Default::default()
        };
        let byte = Constant::read(&typed).unwrap();
        assert_eq!(byte.as_integers("it").unwrap(), [200]);
        assert!(matches!(byte.data, Data::Int(Integer::Uint8, _)));
        let signed = read(DataType::Int8, &[2], &[0xff, 0x80]).unwrap();
        assert_eq!(signed.as_integers("it").unwrap(), [-1, -128]);
        assert!(read(DataType::Int64, &[1; 9], &[0; 8]).is_err());
    }
}
