//! The two fields of the protocol and their one encoding (sections 1, 3 and 11).
//!
//! `F` is KoalaBear, `p = 2^31 - 2^24 + 1`. `K = F[X]/(X^5 + X^2 - 1)` has `2^154.94` elements and
//! is where every challenge lives. An element of `F` is 4 bytes little-endian of its canonical
//! value, one of `K` is five of those, coefficient of `X^0` first. A value of `p` or more is
//! refused, so each element has exactly one encoding.

use p3_field::extension::QuinticTrinomialExtensionField;
use p3_field::{BasedVectorSpace, PrimeField32};
use p3_koala_bear::KoalaBear;
use thiserror::Error;

/// The base field, KoalaBear.
pub type F = KoalaBear;

/// The quintic extension, from which all challenges are drawn.
pub type K = QuinticTrinomialExtensionField<KoalaBear>;

/// The modulus `p` of [`F`].
pub const MODULUS: u32 = F::ORDER_U32;

/// Degree of [`K`] over [`F`].
pub const DEGREE: usize = 5;

/// Bytes of an encoded element of [`F`].
pub const F_BYTES: usize = 4;

/// Bytes of an encoded element of [`K`].
pub const K_BYTES: usize = DEGREE * F_BYTES;

/// A word that is not the canonical value of any field element.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("field element {got} is not canonical: it must be below {MODULUS}")]
#[non_exhaustive]
pub struct NonCanonical {
    /// The word as read.
    pub got: u32,
}

/// Appends the canonical encoding of `value` to `out`.
pub fn encode_f(value: F, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.as_canonical_u32().to_le_bytes());
}

/// Appends the canonical encoding of `value` to `out`, coefficient of `X^0` first.
pub fn encode_k(value: K, out: &mut Vec<u8>) {
    for &coefficient in coefficients(&value) {
        encode_f(coefficient, out);
    }
}

/// Returns the encoding of a list: the concatenation of its elements, without a length.
#[must_use]
pub fn encode_k_list(values: &[K]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() * K_BYTES);
    for &value in values {
        encode_k(value, &mut out);
    }
    out
}

/// Reads one element of [`F`].
///
/// # Errors
///
/// Returns [`NonCanonical`] if the word is `p` or more.
pub fn decode_f(bytes: [u8; F_BYTES]) -> Result<F, NonCanonical> {
    let got = u32::from_le_bytes(bytes);
    if got < MODULUS { Ok(F::new(got)) } else { Err(NonCanonical { got }) }
}

/// Reads one element of [`K`].
///
/// # Errors
///
/// Returns [`NonCanonical`] with the first word that is `p` or more.
pub fn decode_k(bytes: [u8; K_BYTES]) -> Result<K, NonCanonical> {
    let mut coefficients = [F::new(0); DEGREE];
    for (slot, &word) in coefficients.iter_mut().zip(bytes.as_chunks::<F_BYTES>().0) {
        *slot = decode_f(word)?;
    }
    Ok(K::new(coefficients))
}

/// Returns the coefficients of `value`, that of `X^0` first.
pub fn coefficients(value: &K) -> &[F] {
    value.as_basis_coefficients_slice()
}

#[cfg(test)]
mod tests {
    use p3_field::PrimeCharacteristicRing;

    use super::*;

    #[test]
    fn the_extension_is_the_one_of_the_protocol() {
        let x = K::new([F::ZERO, F::ONE, F::ZERO, F::ZERO, F::ZERO]);
        let x2 = x * x;
        assert_eq!(x2 * x2 * x + x2, K::ONE, "X^5 + X^2 = 1");
        assert_eq!(MODULUS, (1 << 31) - (1 << 24) + 1);
    }

    #[test]
    fn encoding_is_little_endian_and_round_trips() {
        let value = K::new([1, 2, 0x0102_0304, MODULUS - 1, 0].map(F::new));
        let mut bytes = Vec::new();
        encode_k(value, &mut bytes);
        assert_eq!(bytes.len(), K_BYTES);
        assert_eq!(bytes[..4], [1, 0, 0, 0]);
        assert_eq!(bytes[8..12], [4, 3, 2, 1]);
        assert_eq!(decode_k(bytes.try_into().unwrap()), Ok(value));
    }

    #[test]
    fn words_from_the_modulus_on_are_refused() {
        for got in [MODULUS, MODULUS + 1, u32::MAX] {
            assert_eq!(decode_f(got.to_le_bytes()), Err(NonCanonical { got }));
        }
        assert_eq!(decode_f((MODULUS - 1).to_le_bytes()), Ok(F::NEG_ONE));

        let mut bytes = [0; K_BYTES];
        bytes[16..].copy_from_slice(&MODULUS.to_le_bytes());
        assert_eq!(decode_k(bytes), Err(NonCanonical { got: MODULUS }));
    }
}
