//! Vectors from the definitions (`tests/oracle/vectors.py` prints them) and golden values of
//! this implementation.

use assay_zkml::field::{F, K, MODULUS};
use assay_zkml::multilinear::{evaluate, lt, shift, shift3};
use assay_zkml::tensor_code::{CodeProfile, CommittedWeights, Shape};
use assay_zkml::transcript::{Label, Transcript};

/// The generator of the script's words.
struct Words(u64);

impl Words {
    fn next(&mut self) -> F {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        F::new(((self.0 >> 33) % u64::from(MODULUS)) as u32)
    }

    fn point(&mut self, n: usize) -> Vec<K> {
        (0..n).map(|_| K::new(std::array::from_fn(|_| self.next()))).collect()
    }
}

fn k(words: [u32; 5]) -> K {
    K::new(words.map(F::new))
}

#[test]
fn closed_forms_agree_with_their_definitions() {
    let mut words = Words(7);
    let (r, q, z) = (words.point(4), words.point(4), words.point(6));

    assert_eq!(r[0] * q[0], k([1718007979, 1371470047, 934432467, 233097152, 9015046]));
    let expected = k([1604363079, 1577702863, 1334452370, 1174031180, 1869029285]);
    assert_eq!(lt(&r, 11), expected);
    let expected = k([1117994897, 15453765, 1433805020, 1435542839, 1807515033]);
    assert_eq!(shift(&r, &z, 29, 13), Ok(expected));
    let expected = k([593888022, 1410319580, 977342349, 1427997936, 188298489]);
    assert_eq!(shift(&r, &z, 55, 16), Ok(expected));
    let expected = k([539398523, 1442287568, 582863152, 1237424385, 287942532]);
    assert_eq!(shift3(&r, &q, &z, 29, 13), Ok(expected));
    let values: Vec<F> = (100..116).map(F::new).collect();
    let expected = k([950832387, 759034096, 334641346, 1103804665, 923434355]);
    assert_eq!(evaluate(&values, &r), Ok(expected));
}

/// A change of the code, the leaves, the transcript or the encoding shows here: it needs another
/// version of the protocol.
#[test]
fn golden_root_and_opening() {
    let shape = Shape::new(CodeProfile::QuarterUnique152, 13, 9, 10).expect("a valid shape");
    let weights = (0..10 << 9).map(|i: i32| (i.wrapping_mul(40_503) >> 4) as i16).collect();
    let committed = CommittedWeights::commit(shape, weights).expect("they fit");
    assert_eq!(committed.root().to_string(), GOLDEN_ROOT);

    let mut transcript = Transcript::new();
    transcript.absorb(Label::Proof, b"golden");
    let point = shape.sample_point(&mut transcript);
    let opening = committed.open(&mut transcript, &point).expect("the point fits");
    assert_eq!(opening.value, k(GOLDEN_VALUE));
    assert_eq!(blake3::hash(&opening.proof.encode()).to_hex().as_str(), GOLDEN_PROOF);
}

const GOLDEN_ROOT: &str = "f4e86ecf3ec4d117c565de3a780a520a4ea9aa21dbee6159ff9ee7763606492b";
const GOLDEN_VALUE: [u32; 5] = [1916180372, 228139194, 1132239408, 293521736, 1921944018];
const GOLDEN_PROOF: &str = "d8bb5908ddef3445aafbd486bafd35b5ad0aaee0b7fe780dfb3ad7f5801b3aff";
