//! The fixed binary encoding of a program: little-endian, lists with a `u32` length (section 3).

use thiserror::Error;

use super::form::{Axis, AxisMap, Conv, Form, Outside, Pick, Term, Window};
use super::segment::Segment;
use super::table::Table;
use super::tensor::{Interval, Tensor, TensorShape};
use super::{Mode, Program, Site};
use crate::advice::AdviceProfile;
use crate::field::{K, K_BYTES, NonCanonical, decode_k, encode_k};
use crate::tensor_code::{CodeProfile, Digest, Shape, ShapeError};

/// Bytes that are no encoding.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("{what} at byte {at}: {expected} bytes are needed, {got} are left")]
    Truncated {
        /// The value being read.
        what: &'static str,
        /// Where it starts.
        at: usize,
        /// Least number of bytes that it takes.
        expected: usize,
        /// Bytes that are left.
        got: usize,
    },
    /// A variant that does not exist.
    #[error("{what} at byte {at}: variant {got}, there are {count}")]
    Variant {
        /// The type being read.
        what: &'static str,
        /// Where the variant stands.
        at: usize,
        /// Number of variants.
        count: u8,
        /// The variant found.
        got: u8,
    },
    /// A text is no UTF-8.
    #[error("text at byte {at}: {valid} of {got} bytes are UTF-8")]
    Text {
        /// Where its bytes start.
        at: usize,
        /// Bytes before the first that is not.
        valid: usize,
        /// Bytes of the text.
        got: usize,
    },
    /// An element of the extension field has another encoding than its canonical one.
    #[error("{what} at byte {at}: {source}")]
    Element {
        /// The value being read.
        what: &'static str,
        /// Where it starts.
        at: usize,
        /// The word read.
        source: NonCanonical,
    },
    /// The weight matrix is not one of the protocol.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// Bytes being read.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Number of bytes that are left.
    pub(crate) const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Takes the next `N` bytes.
    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let chunk = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let chunk = chunk.ok_or_else(|| self.truncated(what, N))?;
        self.at += N;
        Ok(*chunk)
    }

    /// Takes the next `length` bytes.
    pub(crate) fn bytes(
        &mut self,
        what: &'static str,
        length: usize,
    ) -> Result<&'a [u8], DecodeError> {
        let rest = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        let taken = rest.ok_or_else(|| self.truncated(what, length))?;
        self.at += length;
        Ok(taken)
    }

    const fn truncated(&self, what: &'static str, expected: usize) -> DecodeError {
        DecodeError::Truncated { what, at: self.at, expected, got: self.left() }
    }

    fn variant(&mut self, what: &'static str, count: u8) -> Result<u8, DecodeError> {
        let at = self.at;
        let [got] = self.array(what)?;
        if got < count { Ok(got) } else { Err(DecodeError::Variant { what, at, count, got }) }
    }
}

/// A part of the descriptor.
pub(crate) trait Encoded: Sized {
    /// Fewest bytes of any value: what a list's length is checked against.
    const LEAST: usize;

    fn write(&self, out: &mut Vec<u8>);

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

macro_rules! encoded_integer {
    ($($integer:ty),+) => {$(
        impl Encoded for $integer {
            const LEAST: usize = size_of::<Self>();

            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self::from_le_bytes(from.array(stringify!($integer))?))
            }
        }
    )+};
}

/// Fields one after the other.
macro_rules! encoded_struct {
    ($name:ident { $($field:ident: $kind:ty),+ $(,)? }) => {
        impl Encoded for $name {
            const LEAST: usize = 0 $(+ <$kind>::LEAST)+;

            fn write(&self, out: &mut Vec<u8>) {
                $(self.$field.write(out);)+
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $($field: <$kind>::read(from)?),+ })
            }
        }
    };
}

/// One byte for the variant, then its fields.
macro_rules! encoded_enum {
    ($name:ident, $count:literal { $($tag:literal => $variant:ident { $($field:ident),* }),+ $(,)? }) => {
        impl Encoded for $name {
            const LEAST: usize = 1;

            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant { $($field),* } => {
                        out.push($tag);
                        $($field.write(out);)*
                    })+
                }
            }

            fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let at = from.at;
                match from.variant(stringify!($name), $count)? {
                    $($tag => Ok(Self::$variant { $($field: Encoded::read(from)?),* }),)+
                    got => Err(DecodeError::Variant { what: stringify!($name), at, count: $count, got }),
                }
            }
        }
    };
}

impl<T: Encoded> Encoded for Vec<T> {
    const LEAST: usize = 4;

    fn write(&self, out: &mut Vec<u8>) {
        // A longer list cannot be decoded, and no checked program has one.
        u32::try_from(self.len()).unwrap_or(u32::MAX).write(out);
        self.iter().for_each(|item| item.write(out));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = u32::read(from)? as usize;
        let least = count.saturating_mul(T::LEAST);
        if least > from.left() {
            return Err(from.truncated("list", least));
        }
        // Grows with what is read: nothing is reserved for what the bytes only announce.
        let mut items = Self::new();
        for _ in 0..count {
            items.push(T::read(from)?);
        }
        Ok(items)
    }
}

impl Encoded for String {
    const LEAST: usize = 4;

    fn write(&self, out: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).write(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = u32::read(from)? as usize;
        let at = from.at;
        let bytes = from.bytes("text", length)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| DecodeError::Text {
            at,
            valid: error.valid_up_to(),
            got: bytes.len(),
        })
    }
}

impl<T: Encoded> Encoded for [T; 3] {
    const LEAST: usize = 3 * T::LEAST;

    fn write(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|item| item.write(out));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok([T::read(from)?, T::read(from)?, T::read(from)?])
    }
}

impl Encoded for Digest {
    const LEAST: usize = 32;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from(from.array::<32>("digest")?))
    }
}

impl Encoded for K {
    const LEAST: usize = K_BYTES;

    fn write(&self, out: &mut Vec<u8>) {
        encode_k(*self, out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (what, at) = ("element of K", from.at);
        let bytes = from.array::<K_BYTES>(what)?;
        decode_k(bytes).map_err(|source| DecodeError::Element { what, at, source })
    }
}

impl Encoded for Shape {
    const LEAST: usize = 6;

    fn write(&self, out: &mut Vec<u8>) {
        // The caps of a shape make all of these fit.
        out.push(u8::try_from(self.log_weights()).unwrap_or(u8::MAX));
        out.push(u8::try_from(self.log_columns()).unwrap_or(u8::MAX));
        u32::try_from(self.rows_used()).unwrap_or(u32::MAX).write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [log_weights, log_columns] = from.array("n_w and kappa")?;
        let rows_used = u32::read(from)? as usize;
        let (log_weights, log_columns) = (usize::from(log_weights), usize::from(log_columns));
        Ok(Self::new(CodeProfile::default(), log_weights, log_columns, rows_used)?)
    }
}

encoded_integer!(u32, u64, i32);
encoded_enum!(AdviceProfile, 1 { 0 => WhirJohnson106 {} });
encoded_enum!(Mode, 2 { 0 => Fast {}, 1 => Small {} });
encoded_struct!(TensorShape { y: u32, x: u32, c: u32 });
encoded_struct!(Interval { lo: i32, hi: i32 });
encoded_struct!(Tensor { shape: TensorShape, interval: Interval });
encoded_enum!(Table, 4 {
    0 => Range { bits },
    1 => Max2 { kmax },
    2 => Clamp { bq, lo, hi },
    3 => Function { bq, values },
});
encoded_struct!(Segment {
    off: u64,
    taps: u32,
    outputs: u32,
    outputs_padded: u32,
    channels: u32,
    log_channels: u32,
});
encoded_struct!(Window { taps: u32, stride: u32, pad: u32, dilation: u32 });
encoded_struct!(Conv { tensor: u32, segment: u32, y: Window, x: Window, groups: u32, c_off: u32 });
encoded_enum!(Axis, 3 { 0 => Y {}, 1 => X {}, 2 => C {} });
encoded_enum!(Outside, 2 { 0 => Zero {}, 1 => Lowest {} });
encoded_enum!(AxisMap, 3 {
    0 => Taps { stride, pad, taps },
    1 => FromInput { start },
    2 => IntoOutput { start },
});
encoded_struct!(Pick {
    tensor: u32,
    order: [Axis; 3],
    axes: [AxisMap; 3],
    outside: Outside,
    m: i32,
});
encoded_struct!(Form { terms: Vec<Term> });
encoded_enum!(Site, 4 {
    0 => Requant { form, shift, table },
    1 => Max2 { a, b },
    2 => Copy { form },
    3 => Output { form },
});
encoded_struct!(Program {
    advice: AdviceProfile,
    limb_bits: u32,
    tensors: Vec<Tensor>,
    tables: Vec<Table>,
    segments: Vec<Segment>,
    sites: Vec<Site>,
    mode: Mode,
    weights: Shape,
});

impl Encoded for Term {
    const LEAST: usize = 1;

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Local { tensor, m } => {
                out.push(0);
                tensor.write(out);
                m.write(out);
            }
            Self::Conv(conv) => {
                out.push(1);
                conv.write(out);
            }
            Self::Pick(pick) => {
                out.push(2);
                pick.write(out);
            }
            Self::Bias { segment, m } => {
                out.push(3);
                segment.write(out);
                m.write(out);
            }
            Self::Const { v } => {
                out.push(4);
                v.write(out);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.variant("Term", 5)? {
            0 => Self::Local { tensor: u32::read(from)?, m: i32::read(from)? },
            1 => Self::Conv(Conv::read(from)?),
            2 => Self::Pick(Pick::read(from)?),
            3 => Self::Bias { segment: u32::read(from)?, m: i32::read(from)? },
            _ => Self::Const { v: i32::read(from)? },
        })
    }
}
