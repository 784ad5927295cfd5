//! The Fiat-Shamir transcript (section 3).
//!
//! The sponge is p3's `SerializingChallenger32<KoalaBear, HashChallenger<u8, Blake3, 32>>`, because
//! p3-whir runs on the same one. That challenger absorbs field elements in Montgomery form, so the
//! protocol's own messages never go in as elements: [`Transcript::absorb`] hashes a label, a length
//! and the canonical bytes, and the sponge sees the 32-byte digest only.
//!
//! That a hash may stand for the verifier is Fiat and Shamir's (CRYPTO 1986); with which error, round
//! by round, is in section 8.
//!
//! Challenges in [`K`] are five values of 31 bits, each drawn again until it is below `p`. Query
//! indices are masked words, uniform because the range is a power of two.

use p3_blake3::Blake3;
use p3_challenger::{
    CanObserve, CanSample, CanSampleBits, HashChallenger, SerializingChallenger32,
};
use p3_symmetric::Hash;

use crate::field::{F, K, encode_k_list};

/// What a message is, absorbed with it.
///
/// The set is closed, so two messages can share a label only by being the same row of the table of
/// section 3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Label {
    /// Step 0: the statement.
    Proof,
    /// Step 2: the denominator at the root of the lookup tree.
    LookupRoot,
    /// Step 3: a round message `g(0), g(2), g(3)` of a level of the tree.
    LookupRound,
    /// Step 3: the values `n0, n1, d0, d1` at which a level ends.
    LookupChildren,
    /// Step 4: the values of columns and lookups at `rho`.
    ColumnValues,
    /// Step 6: the values of tensors and the claims on weights at `tau`.
    LayerEnds,
    /// Step 5: a round message `g(0), g(2)` of the layer sumcheck.
    LayerRound,
    /// Step 7: a round message `g(0), g(2)` of the weight sumcheck.
    WeightRound,
    /// Step 8: the claimed value `v_w` of the weights at `(zeta, chi)`.
    WeightValue,
    /// Step 9: the combined row `u`.
    WeightRow,
    /// Not of a proof: the root of the weights of a `small` program, from which the point of its
    /// sample is drawn.
    WeightSample,
}

impl Label {
    /// Returns the bytes that are absorbed for the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proof => "assay-zkml/1/proof",
            Self::LookupRoot => "assay-zkml/1/lookup-root",
            Self::LookupRound => "assay-zkml/1/lookup-round",
            Self::LookupChildren => "assay-zkml/1/lookup-children",
            Self::ColumnValues => "assay-zkml/1/column-values",
            Self::LayerEnds => "assay-zkml/1/layer-ends",
            Self::LayerRound => "assay-zkml/1/layer-round",
            Self::WeightRound => "assay-zkml/1/weight-round",
            Self::WeightValue => "assay-zkml/1/weight-value",
            Self::WeightRow => "assay-zkml/1/weight-row",
            Self::WeightSample => "assay-zkml/1/weight-sample",
        }
    }
}

/// p3's sponge.
pub(crate) type Challenger = SerializingChallenger32<F, HashChallenger<u8, Blake3, 32>>;

/// The running transcript of one proof.
#[derive(Clone, Debug)]
pub struct Transcript {
    challenger: Challenger,
}

impl Transcript {
    /// Starts an empty transcript. The caller absorbs the statement first (step 0).
    #[must_use]
    pub const fn new() -> Self {
        Self { challenger: SerializingChallenger32::from_hasher(Vec::new(), Blake3) }
    }

    /// Lends the sponge to p3-whir, which absorbs and samples by its own rules (steps 1 and 10).
    pub(crate) const fn challenger(&mut self) -> &mut Challenger {
        &mut self.challenger
    }

    /// Absorbs `bytes` under `label`: the sponge observes
    /// `BLAKE3(len8(label) || label || le64(len bytes) || bytes)`.
    pub fn absorb(&mut self, label: Label, bytes: &[u8]) {
        self.challenger.observe(Hash::<F, u8, 32>::from(message_digest(label.as_str(), bytes)));
    }

    /// Absorbs a list of extension elements in canonical form.
    pub fn absorb_k(&mut self, label: Label, values: &[K]) {
        self.absorb(label, &encode_k_list(values));
    }

    /// Draws one challenge from the extension field.
    pub fn sample_k(&mut self) -> K {
        self.challenger.sample()
    }

    /// Draws the `count` coordinates of a point, coordinate 0 first.
    pub fn sample_point(&mut self, count: usize) -> Vec<K> {
        (0..count).map(|_| self.sample_k()).collect()
    }

    /// Draws `count` indices below `2^log_size`, uniform and with replacement.
    ///
    /// `log_size` is at most 24 in the protocol; more than [`MAX_INDEX_BITS`] is clamped to it,
    /// the widest range that the sponge draws without bias.
    pub fn sample_indices(&mut self, log_size: usize, count: usize) -> Vec<usize> {
        let bits = log_size.min(MAX_INDEX_BITS);
        (0..count).map(|_| self.challenger.sample_bits(bits)).collect()
    }
}

impl Default for Transcript {
    fn default() -> Self {
        Self::new()
    }
}

/// Widest range of query indices, in bits: p3 wants it below the field order.
pub const MAX_INDEX_BITS: usize = 30;

fn message_digest(label: &str, bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    // Every `Label` is under 256 bytes, tested below.
    hasher.update(&[u8::try_from(label.len()).unwrap_or(u8::MAX)]);
    hasher.update(label.as_bytes());
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use p3_field::PrimeField32;

    use super::*;
    use crate::field::{MODULUS, coefficients};

    const LABELS: [Label; 11] = [
        Label::Proof,
        Label::LookupRoot,
        Label::LookupRound,
        Label::LookupChildren,
        Label::ColumnValues,
        Label::LayerEnds,
        Label::LayerRound,
        Label::WeightRound,
        Label::WeightValue,
        Label::WeightRow,
        Label::WeightSample,
    ];

    #[test]
    fn labels_fit_one_length_byte_and_differ() {
        for (index, label) in LABELS.iter().enumerate() {
            assert!(label.as_str().len() <= 255);
            assert!(LABELS[..index].iter().all(|other| other.as_str() != label.as_str()));
        }
    }

    /// The sponge by hand: absorb one digest, hash the buffer, read words.
    #[test]
    fn absorbing_and_sampling_follow_the_definition() {
        let mut message = vec![18];
        message.extend_from_slice(b"assay-zkml/1/proof");
        message.extend_from_slice(&3_u64.to_le_bytes());
        message.extend_from_slice(b"abc");
        let digest = blake3::hash(&message);

        // p3 reads words from the end of the sponge's output.
        let output = *blake3::hash(digest.as_bytes()).as_bytes();
        let mut bytes = output.iter().rev().copied();
        let mut word = || u32::from_le_bytes(std::array::from_fn(|_| bytes.next().unwrap()));
        let first = word() & ((1 << 31) - 1);

        let mut transcript = Transcript::new();
        transcript.absorb(Label::Proof, b"abc");
        let drawn = transcript.clone().sample_k();
        if first < MODULUS {
            assert_eq!(coefficients(&drawn)[0].as_canonical_u32(), first);
        }
        let indices = transcript.sample_indices(5, 1);
        assert_eq!(indices, [(first & 31) as usize]);
    }

    #[test]
    fn every_part_of_a_message_changes_the_challenge() {
        let draw = |label, bytes: &[u8]| {
            let mut transcript = Transcript::new();
            transcript.absorb(label, bytes);
            transcript.sample_k()
        };
        let base = draw(Label::Proof, b"abc");
        assert_ne!(base, draw(Label::WeightRow, b"abc"));
        assert_ne!(base, draw(Label::Proof, b"abd"));
        assert_ne!(base, draw(Label::Proof, b"abc\0"));
        assert_ne!(base, draw(Label::Proof, b""));
    }

    #[test]
    fn challenges_fill_the_extension_and_indices_their_range() {
        let mut transcript = Transcript::new();
        transcript.absorb(Label::Proof, b"x");
        let (a, b) = (transcript.sample_k(), transcript.sample_k());
        let differ = coefficients(&a).iter().zip(coefficients(&b)).filter(|(x, y)| x != y);
        assert_eq!(differ.count(), 5);

        let indices = transcript.sample_indices(3, 200);
        assert!((0..8).all(|index| indices.contains(&index)));
        assert!(indices.iter().all(|&index| index < 8));
        assert_eq!(transcript.sample_indices(0, 2), [0, 0]);
    }

    /// Fixed by this implementation: a change of the sponge or of its encoding shows here.
    #[test]
    fn golden_challenge() {
        let mut transcript = Transcript::new();
        transcript.absorb(Label::Proof, b"golden");
        let drawn: Vec<u32> =
            coefficients(&transcript.sample_k()).iter().map(|c| c.as_canonical_u32()).collect();
        assert_eq!(drawn, GOLDEN);
    }

    const GOLDEN: [u32; 5] = [1569590678, 1434328840, 869831680, 300716744, 779145763];
}
