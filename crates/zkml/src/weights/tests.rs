//! The closed form and the class rows against coefficients by their definition.

use p3_field::PrimeCharacteristicRing;

use super::rows::Coefficients;
use super::statement::{Term, TermChannels};
use crate::field::{F, K};
use crate::multilinear::{eq_index, evaluate};
use crate::program::Segment;
use crate::sumcheck::{Pair, add};
use crate::tensor_code::{CodeProfile, Shape};
use crate::transcript::Transcript;

/// `kappa = 4`, `n_w = 10`.
fn shape() -> Shape {
    Shape::new(CodeProfile::default(), 10, 4, 64).unwrap()
}

/// A point whose suffixes are all the points in use, as `rho` and `tau` are.
struct Points {
    rho: Vec<K>,
    tau: Vec<K>,
    rng: Transcript,
}

impl Points {
    fn new() -> Self {
        let mut rng = Transcript::new();
        Self { rho: rng.sample_point(10), tau: rng.sample_point(10), rng }
    }

    /// A term with random factors of its taps.
    fn term(&self, segment: Segment, channels: TermChannels) -> Term<'_> {
        let lg = |n: u32| n.next_power_of_two().trailing_zeros() as usize;
        let tau = match channels {
            TermChannels::Window { count, .. } => count,
            TermChannels::Depthwise => segment.outputs,
            TermChannels::Groups { groups, inputs, .. } => groups * inputs,
        };
        let taps = self.rng.clone().sample_point(segment.taps as usize);
        let (rho, tau) = (&self.rho[10 - lg(segment.outputs)..], &self.tau[10 - lg(tau)..]);
        Term { segment, taps, rho, tau, channels }
    }
}

fn segment(off: u64, taps: u32, outputs: u32, outputs_padded: u32, channels: u32) -> Segment {
    let segment = Segment { outputs_padded, ..Segment::new(off, taps, outputs, channels) };
    assert!(segment.end().unwrap() <= 1 << 10, "{segment:?}");
    segment
}

const fn window(first: u32, count: u32) -> TermChannels {
    TermChannels::Window { first, count }
}

/// Coefficients as section 6.3 defines them.
fn by_definition(terms: &[Term<'_>]) -> Vec<K> {
    let mut coefficients = vec![K::ZERO; 1 << 10];
    for term in terms {
        let segment = &term.segment;
        for (t, o) in (0..segment.taps).flat_map(|t| (0..segment.outputs).map(move |o| (t, o))) {
            for c in 0..segment.channels {
                let channel = match term.channels {
                    TermChannels::Window { first, count }
                        if (first..first + count).contains(&c) =>
                    {
                        eq_index(term.tau, (c - first).into())
                    }
                    TermChannels::Window { .. } => K::ZERO,
                    TermChannels::Depthwise => eq_index(term.tau, o.into()),
                    TermChannels::Groups { outputs, inputs, .. } => {
                        eq_index(term.tau, (o / outputs * inputs + c).into())
                    }
                };
                let at = usize::try_from(segment.index(o, t, c)).unwrap();
                coefficients[at] += term.taps[t as usize] * eq_index(term.rho, o.into()) * channel;
            }
        }
    }
    coefficients
}

fn check_closed_form(segment: Segment, channels: TermChannels) {
    let mut points = Points::new();
    let z = points.rng.sample_point(10);
    let term = points.term(segment, channels);
    let wanted = evaluate(&by_definition(std::slice::from_ref(&term)), &z);
    assert_eq!(term.at(&z), wanted, "{segment:?} {channels:?}");
}

#[test]
fn closed_forms_agree_with_their_sums() {
    for (outputs, padded, channels) in [(1, 1, 1), (5, 6, 3), (8, 8, 4), (7, 8, 6), (3, 3, 16)] {
        for (off, taps) in [(0, 1), (48, 2), (112, 4)] {
            for (first, count) in [(0, channels), (1, channels - 1), (channels / 2, 1), (0, 1)] {
                if count > 0 {
                    let segment = segment(off, taps, outputs, padded, channels);
                    check_closed_form(segment, window(first, count));
                }
            }
        }
    }
    for (outputs, padded) in [(1, 1), (5, 5), (8, 11), (13, 16)] {
        check_closed_form(segment(37, 9, outputs, padded, 1), TermChannels::Depthwise);
    }
    for (groups, outputs, inputs) in [(2, 2, 4), (3, 4, 2), (5, 1, 2), (4, 2, 1)] {
        let channels = TermChannels::Groups { groups, outputs, inputs };
        check_closed_form(segment(16, 4, groups * outputs, groups * outputs + 1, inputs), channels);
    }
}

/// Messages of every round from the class rows and from the coefficients in full; returns how many
/// classes and written rows there are.
fn check_rows(terms: &[(Segment, TermChannels)]) -> (usize, usize) {
    let (shape, mut points) = (shape(), Points::new());
    let weights: Vec<i16> = (0..1 << 10).map(|i: i16| i.wrapping_mul(12_345)).collect();
    let challenges = points.rng.sample_point(10);
    let terms: Vec<Term<'_>> =
        terms.iter().map(|&(s, channels)| points.term(s, channels)).collect();
    let coefficients = Coefficients::new(&shape, &terms);
    let matrix: Vec<&[i16]> = weights.chunks(16).collect();
    let mut fast = super::prove::column_pairs(&matrix, &coefficients);

    let elements: Vec<K> = weights.iter().map(|&weight| F::from_i16(weight).into()).collect();
    let full = by_definition(&terms);
    let rows = elements.chunks(16).zip(full.chunks(16));
    let mut naive: Vec<Pair> = rows.map(|(x, a)| Pair::new(x.to_vec(), a.to_vec())).collect();
    let (chi, zeta) = challenges.split_at(4);
    for &challenge in chi {
        let message = |pairs: &[Pair]| pairs.iter().map(Pair::message).fold([K::ZERO; 2], add);
        assert_eq!(message(&fast), message(&naive));
        fast.iter_mut().for_each(|pair| pair.bind(challenge));
        naive.iter_mut().for_each(|pair| pair.bind(challenge));
    }
    let mut rows = super::prove::row_pair(&shape, &weights, &coefficients, &fast, chi);
    let bound = naive.iter().map(Pair::first);
    let (x, a) = bound.map(|[x, a]| (x, a)).unzip();
    let mut naive = Pair::new(x, a);
    for &challenge in zeta {
        assert_eq!(rows.message(), naive.message());
        rows.bind(challenge);
        naive.bind(challenge);
    }
    assert_eq!(rows.first(), naive.first());
    (coefficients.classes().count(), coefficients.written().count())
}

#[test]
fn class_rows_give_the_messages_of_the_coefficients() {
    // Aligned with partial blocks; wide channels; unaligned; a bias.
    let mixed = [
        (segment(0, 3, 6, 8, 3), window(0, 3)),
        (segment(96, 2, 11, 12, 4), window(0, 4)),
        (segment(192, 2, 5, 8, 2), window(0, 2)),
        (segment(256, 1, 3, 3, 50), window(0, 50)),
        (segment(449, 1, 11, 11, 1), window(0, 1)),
    ];
    let (classes, written) = check_rows(&mixed);
    assert!(classes >= 4 && written > 0, "{classes} {written}");
    // One number of channels and of real outputs, another number of outputs.
    let narrow =
        [(segment(0, 16, 1, 4, 4), window(0, 4)), (segment(256, 4, 5, 8, 4), window(0, 4))];
    assert_eq!(check_rows(&narrow), (2, 16), "the first has less than a row of each tap");
    // Parts of a concatenation in one segment, narrow and wide.
    let parts = [
        (segment(0, 2, 8, 8, 4), window(0, 3)),
        (segment(0, 2, 8, 8, 4), window(3, 1)),
        (segment(128, 2, 8, 8, 4), window(0, 4)),
        (segment(256, 1, 2, 2, 40), window(0, 16)),
        (segment(256, 1, 2, 2, 40), window(16, 21)),
        (segment(512, 1, 2, 2, 40), window(5, 12)),
        (segment(640, 1, 1, 1, 64), window(16, 5)),
    ];
    let (classes, written) = check_rows(&parts);
    assert_eq!((classes, written), (6, 4), "5 of 40 channels at an odd start are written");
    // Depthwise, a bias and an ordinary column of weights, of one size.
    let kinds = [
        (segment(0, 2, 32, 32, 1), TermChannels::Depthwise),
        (segment(64, 1, 64, 64, 1), window(0, 1)),
        (segment(128, 1, 64, 64, 1), window(0, 1)),
        (segment(192, 1, 30, 32, 1), TermChannels::Depthwise),
    ];
    assert_eq!(check_rows(&kinds), (3, 0));
    let groups = TermChannels::Groups { groups: 4, outputs: 4, inputs: 2 };
    assert_eq!(check_rows(&[(segment(0, 2, 16, 16, 2), groups)]), (0, 4));
}
