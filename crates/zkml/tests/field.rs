//! The fields are fields: what soundness would otherwise have to assume.

use assay_zkml::field::{DEGREE, F, K, MODULUS};
use p3_field::{Field, PrimeCharacteristicRing};

#[test]
fn the_modulus_is_prime() {
    assert_eq!(MODULUS, (1 << 31) - (1 << 24) + 1);
    let root = MODULUS.isqrt();
    assert!((2..=root).all(|divisor| !MODULUS.is_multiple_of(divisor)));
}

/// `X^i`.
fn power_of_x(i: usize) -> K {
    let mut words = [F::ZERO; DEGREE];
    words[i] = F::ONE;
    K::new(words)
}

/// The products of powers of `X` are those of `F[X]/(X^5 + X^2 - 1)`, and products are bilinear: so the
/// type is this ring.
#[test]
fn products_are_those_of_the_ring() {
    let reduced = |degree: usize| -> K {
        let below = |i: usize| if i < DEGREE { power_of_x(i) } else { K::ZERO };
        match degree {
            0..=4 => below(degree),
            // X^5 = 1 - X^2, X^6 = X - X^3, X^7 = X^2 - X^4.
            5..=7 => below(degree - 5) - below(degree - 3),
            // X^8 = X^3 - X^5 = X^3 - 1 + X^2.
            _ => below(3) - below(0) + below(2),
        }
    };
    for i in 0..DEGREE {
        for j in 0..DEGREE {
            assert_eq!(power_of_x(i) * power_of_x(j), reduced(i + j), "X^{i} X^{j}");
        }
    }
}

/// Rabin's test: a polynomial of prime degree `n` over `F_p` is irreducible if it divides
/// `X^(p^n) - X` and has no common factor with `X^p - X`. The second holds if `X^p - X` has an
/// inverse in the ring.
#[test]
fn x5_x2_1_is_irreducible() {
    let power_p = |base: K| {
        let bits = (0..u32::BITS).rev().map(|bit| MODULUS >> bit & 1);
        bits.fold(K::ONE, |result, bit| result * result * if bit == 1 { base } else { K::ONE })
    };
    let x = power_of_x(1);
    assert_eq!((0..DEGREE).fold(x, |result, _| power_p(result)), x);
    let difference = power_p(x) - x;
    assert_eq!(difference * difference.inverse(), K::ONE);
}
