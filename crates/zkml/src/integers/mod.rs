//! Products of small integers with elements of `K`, without field arithmetic for any integer.
//!
//! Weights and activations are 16-bit integers, so sums are taken in integers and reduced modulo `p`
//! once: a coefficient of a challenge is below `2^31`, an integer shifted by `2^15` is below `2^16`,
//! and `2^16` of their products stay below `2^63`. Unsigned operands let the compiler use the
//! 32 x 32 to 64 bit multiply that every x86-64 and AArch64 machine has in vector form, and `pulp`
//! picks the widest one of the processor at run time, whatever the build was told.

mod combine;
mod products;

use p3_field::PrimeField32;

pub(crate) use self::combine::{combine, combine_rows};
pub(crate) use self::products::row_products;
use crate::field::{DEGREE, F, K, MODULUS, coefficients};

/// `value + 2^15`, which is not negative.
#[inline(always)]
const fn shifted(value: i16) -> u16 {
    value.cast_unsigned() ^ (1 << 15)
}

fn words(value: &K) -> [u32; DEGREE] {
    let mut words = [0; DEGREE];
    for (word, coefficient) in words.iter_mut().zip(coefficients(value)) {
        *word = coefficient.as_canonical_u32();
    }
    words
}

/// Returns `sum` modulo `p`. The library goes through 128 bits for this.
#[inline(always)]
fn reduced(sum: u64) -> F {
    F::new(u32::try_from(sum % u64::from(MODULUS)).unwrap_or(0))
}

/// Turns an integer into a number that is not negative.
const SHIFT: u64 = 1 << 15;

/// Products whose sum does not wrap: each is below `2^47`.
const MAX_TERMS: usize = 1 << 16;
