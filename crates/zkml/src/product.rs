//! Products in `K` with one reduction for each coefficient.
//!
//! Multiplication by `b` is linear: coefficient `i` of `a b` is the inner product of the
//! coefficients of `a` with row `i` of a matrix made from `b`, because `X^5 = 1 - X^2`. Five inner
//! products of five terms take five reductions, where the library's product takes nine; and a
//! factor that is used again, as a challenge is, has its matrix made once.

use p3_field::PrimeCharacteristicRing;

use crate::field::{DEGREE, F, K, coefficients};

/// An element of `K` made ready to be multiplied by.
#[derive(Clone, Copy)]
pub(crate) struct Factor {
    rows: [[F; DEGREE]; DEGREE],
}

impl Factor {
    #[inline(always)]
    pub(crate) fn new(value: K) -> Self {
        let [b0, b1, b2, b3, b4] = array(&value);
        let (b03, b14, b42) = (b0 - b3, b1 - b4, b4 - b2);
        let rows = [
            [b0, b4, b3, b2, b14],
            [b1, b0, b4, b3, b2],
            [b2, b14, b03, b42, b3 - b14],
            [b3, b2, b14, b03, b42],
            [b4, b3, b2, b14, b03],
        ];
        Self { rows }
    }

    /// The product with `value`.
    #[inline(always)]
    pub(crate) fn times(&self, value: K) -> K {
        let value = array(&value);
        let [r0, r1, r2, r3, r4] = &self.rows;
        // Spelt out: a closure given to `map` is called, not inlined, and costs half the time.
        K::new([
            F::dot_product(&value, r0),
            F::dot_product(&value, r1),
            F::dot_product(&value, r2),
            F::dot_product(&value, r3),
            F::dot_product(&value, r4),
        ])
    }
}

/// `a b`.
#[inline(always)]
pub(crate) fn mul(a: K, b: K) -> K {
    Factor::new(b).times(a)
}

#[inline(always)]
fn array(value: &K) -> [F; DEGREE] {
    match *coefficients(value) {
        [a, b, c, d, e] => [a, b, c, d, e],
        _ => [F::ZERO; DEGREE],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Transcript;

    #[test]
    fn products_are_those_of_the_field() {
        let mut rng = Transcript::new();
        let mut values = rng.sample_point(20);
        values.extend(
            (0..DEGREE).map(|i| {
                K::new(std::array::from_fn(|j| if i == j { F::NEG_ONE } else { F::ZERO }))
            }),
        );
        values.extend([K::ZERO, K::ONE, K::new([F::NEG_ONE; DEGREE])]);
        for &a in &values {
            for &b in &values {
                assert_eq!(mul(a, b), a * b);
            }
        }
    }
}
