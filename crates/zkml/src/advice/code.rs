//! The Reed-Solomon code of WHIR, as p3 defines it, without work on the zeros.
//!
//! A message of `m` coefficients is encoded at rate `1/c` as its evaluations on the group of order
//! `n = cm`. With `g` its generator, place `ck + b` is `sum_i (f_i g^(bi)) g^(cki)`: place `k` of
//! the transform of length `m` of the message scaled by the powers of `g^b`. So `c` transforms of
//! length `m`, each of which stays in the cache, are the whole code; p3's own transform of the
//! message with its `n - m` zeros goes `lg n` times over all of it.

use p3_commit::Encoder;
use p3_dft::{Radix2DFTSmallBatch, TwoAdicSubgroupDft};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, TwoAdicField};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use p3_maybe_rayon::prelude::*;
use p3_whir::{WhirDomain, WhirQueryPoint};

use crate::field::{F, K};

/// The code on the two-adic subgroups of [`F`]. It keeps the roots of unity that it has used.
#[derive(Debug, Default)]
pub(super) struct SubgroupCode {
    dft: Radix2DFTSmallBatch<F>,
}

impl SubgroupCode {
    /// Encodes the columns of `message`, of which all rows from `height / 2^log_inverse_rate` on
    /// are zero.
    fn encode(&self, message: RowMajorMatrix<F>, log_inverse_rate: usize) -> RowMajorMatrix<F> {
        if log_inverse_rate < MIN_LOG_COSETS {
            return self.dft.dft_batch(message);
        }
        let (height, width) = (message.height(), message.width());
        let cosets = 1 << log_inverse_rate;
        let mut values = message.values;
        let message: Vec<F> = values.iter().take(values.len() / cosets).copied().collect();
        let generator = F::two_adic_generator(height.trailing_zeros() as usize);
        let parts: Vec<Vec<F>> = (0..cosets)
            .into_par_iter()
            .map(|coset| {
                let shift = generator.exp_u64(coset as u64);
                self.dft.dft_batch(scaled(&message, width, shift)).values
            })
            .collect();
        values.par_chunks_mut(cosets * width).enumerate().for_each(|(place, rows)| {
            for (row, part) in rows.chunks_mut(width).zip(&parts) {
                let source = part.get(place * width..(place + 1) * width).unwrap_or_default();
                row.iter_mut().zip(source).for_each(|(slot, &value)| *slot = value);
            }
        });
        RowMajorMatrix::new(values, width)
    }
}

/// Multiplies row `i` by `shift^i`.
fn scaled(message: &[F], width: usize, shift: F) -> RowMajorMatrix<F> {
    let mut values = Vec::with_capacity(message.len());
    let mut power = F::ONE;
    for row in message.chunks(width) {
        values.extend(row.iter().map(|&value| value * power));
        power *= shift;
    }
    RowMajorMatrix::new(values, width)
}

impl Encoder<F> for SubgroupCode {
    fn encode_batch(
        &self,
        mut message: RowMajorMatrix<F>,
        log_inv_rate: usize,
    ) -> RowMajorMatrix<F> {
        let length = message.values.len() << log_inv_rate;
        message.values.resize(length, F::ZERO);
        self.encode(message, log_inv_rate)
    }

    fn encode_batch_padded(
        &self,
        message: RowMajorMatrix<F>,
        log_inv_rate: usize,
    ) -> RowMajorMatrix<F> {
        self.encode(message, log_inv_rate)
    }
}

impl WhirDomain<F, K> for SubgroupCode {
    /// Empty: p3's canonical code, of which this is another implementation.
    fn protocol_id(&self) -> &'static [u8] {
        b""
    }

    fn max_log_domain_size(&self) -> usize {
        F::TWO_ADICITY
    }

    fn encode_extension_batch_padded(
        &self,
        message: RowMajorMatrix<K>,
        log_inv_rate: usize,
    ) -> RowMajorMatrix<K> {
        let width = message.width();
        let flat = K::flatten_to_base(message.values);
        let flat = RowMajorMatrix::new(flat, width * <K as BasedVectorSpace<F>>::DIMENSION);
        let code = self.encode(flat, log_inv_rate);
        RowMajorMatrix::new(K::reconstitute_from_base(code.values), width)
    }

    fn query_point(
        &self,
        log_domain_size: usize,
        _num_variables: usize,
        index: usize,
    ) -> WhirQueryPoint<F> {
        let generator = F::two_adic_generator(log_domain_size);
        WhirQueryPoint::Univariate(generator.exp_u64(index as u64))
    }
}

/// From this many cosets on, transforms of single ones are faster than one with zeros.
const MIN_LOG_COSETS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Transcript;

    #[test]
    fn the_code_is_that_of_p3() {
        let mut rng = Transcript::new();
        let (ours, p3) = (SubgroupCode::default(), Radix2DFTSmallBatch::<F>::default());
        for (log_height, log_inverse_rate, width) in
            [(3, 3, 1), (5, 3, 2), (6, 4, 3), (9, 5, 4), (8, 2, 2), (7, 1, 8), (4, 0, 2)]
        {
            let length = width << (log_height - log_inverse_rate);
            let mut values = rng.sample_point(length);
            values.resize(width << log_height, K::ZERO);
            let message = RowMajorMatrix::new(values, width);
            let expected =
                WhirDomain::encode_extension_batch_padded(&p3, message.clone(), log_inverse_rate);
            let got = ours.encode_extension_batch_padded(message.clone(), log_inverse_rate);
            assert_eq!(got, expected, "{log_height} {log_inverse_rate} {width}");

            let base = |value: &K| value.as_basis_coefficients_slice()[0];
            let values: Vec<F> = message.values.iter().take(length).map(base).collect();
            let message = RowMajorMatrix::new(values, width);
            let expected = p3.encode_batch(message.clone(), log_inverse_rate);
            assert_eq!(ours.encode_batch(message, log_inverse_rate), expected);
        }
    }

    #[test]
    fn query_points_are_those_of_p3() {
        let (ours, p3) = (SubgroupCode::default(), Radix2DFTSmallBatch::<F>::default());
        for index in [0, 1, 5, 31] {
            let expected = WhirDomain::<F, K>::query_point(&p3, 5, 2, index);
            assert_eq!(ours.query_point(5, 2, index), expected);
        }
    }
}
