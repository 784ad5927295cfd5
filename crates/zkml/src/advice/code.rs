//! The Reed-Solomon code of WHIR, as p3 defines it, by transforms of our own.
//!
//! p3's own transform of a message with its zeros goes over all of them, without vectors in a plain
//! build.

use p3_commit::Encoder;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, TwoAdicField};
use p3_matrix::Matrix;
use p3_matrix::dense::RowMajorMatrix;
use p3_whir::{WhirDomain, WhirQueryPoint};

use crate::field::{F, K};
use crate::transform::encode;

/// The code on the two-adic subgroups of [`F`].
#[derive(Debug)]
pub(super) struct SubgroupCode;

impl Encoder<F> for SubgroupCode {
    fn encode_batch(
        &self,
        mut message: RowMajorMatrix<F>,
        log_inv_rate: usize,
    ) -> RowMajorMatrix<F> {
        let length = message.values.len() << log_inv_rate;
        message.values.resize(length, F::ZERO);
        encode(message, log_inv_rate)
    }

    fn encode_batch_padded(
        &self,
        message: RowMajorMatrix<F>,
        log_inv_rate: usize,
    ) -> RowMajorMatrix<F> {
        encode(message, log_inv_rate)
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
        let code = encode(flat, log_inv_rate);
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

#[cfg(test)]
mod tests {
    use p3_dft::Radix2DFTSmallBatch;

    use super::*;
    use crate::transcript::Transcript;

    #[test]
    fn the_code_is_that_of_p3() {
        let mut rng = Transcript::new();
        let (ours, p3) = (SubgroupCode, Radix2DFTSmallBatch::<F>::default());
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
        let (ours, p3) = (SubgroupCode, Radix2DFTSmallBatch::<F>::default());
        for index in [0, 1, 5, 31] {
            let expected = WhirDomain::<F, K>::query_point(&p3, 5, 2, index);
            assert_eq!(ours.query_point(5, 2, index), expected);
        }
    }
}
