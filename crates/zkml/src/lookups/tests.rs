//! Provers that cheat where only the verifier's own rules stop them: the rows of a table, the gap
//! after the last slot, a pole (sections 5 and 12).

use p3_field::{Field, PrimeCharacteristicRing};

use super::leaves::Leaves;
use super::prove::prove_tree;
use super::*;
use crate::field::F;
use crate::program::Table;

/// 72 lookups in RANGE_4, and a gap of 120 leaves.
struct Cheat {
    layout: Layout,
    columns: [Vec<F>; 2],
    counts: Vec<Vec<F>>,
    tables: Vec<Vec<Vec<F>>>,
}

impl Cheat {
    /// Looks up the values below `end`, each in the row of the same number.
    fn below(end: usize) -> Self {
        Self::of([6, 3], end)
    }

    /// The same with columns of these arities.
    fn of(arities: [usize; 2], end: usize) -> Self {
        let table = Table::Range { bits: 4 };
        let lookups = arities.map(|arity| Lookup { table: 0, arity });
        let layout = Layout::new(vec![table.clone()], lookups.to_vec()).unwrap();
        let [long, short] = arities.map(|arity| 1_usize << arity);
        let columns = [long, short].map(|n| (0..n).map(|i| F::from_usize(i % end)).collect());
        let mut counts = vec![vec![F::ZERO; 64]];
        for i in (0..long).chain(0..short) {
            counts[0][i % end] += F::ONE;
        }
        Self { layout, columns, counts, tables: vec![table.columns()] }
    }

    /// Proves with a gap that `gap` makes from the sum of all fractions in slots.
    fn run(&self, gap: impl FnOnce(K) -> (F, K)) -> Result<(), LookupError> {
        let tuples: Vec<Vec<&[F]>> = self.columns.iter().map(|c| vec![c.as_slice()]).collect();
        let mut transcript = Transcript::new();
        let challenges = Challenges::draw(&mut transcript);
        let mut leaves = Leaves::new(&self.layout, &tuples, &self.counts, &self.tables, challenges);
        let used = leaves.block(0..136);
        leaves.gap = gap(used.iter().map(|(n, d)| d.inverse() * n).sum());
        let proved = prove_tree(&leaves, &mut transcript).unwrap();
        let claim = verify(&self.layout, &proved.proof, &mut Transcript::new())?;
        let values = leaf_values(&self.layout, &tuples, &self.counts, &proved.point).unwrap();
        claim.check_leaves(&self.layout, &values)
    }
}

const EMPTY: (F, K) = (F::ZERO, K::ONE);

/// Pitfall 3: the prover's RANGE_4 has 64 rows; its tree holds, the verifier's rows do not.
#[test]
fn rows_after_the_last_of_a_small_range_are_refused() {
    let honest = Cheat::below(16);
    assert!(honest.run(|_| EMPTY).is_ok());
    for end in [17, 33, 64] {
        let mut wide = Cheat::below(end);
        wide.tables[0][0] = (0..64).map(F::from_u32).collect();
        let error = wide.run(|_| EMPTY).unwrap_err();
        assert!(matches!(error, LookupError::LeafDenominator { .. }), "{end}: {error}");
    }
}

/// Pitfall 19: what the gap holds is the verifier's to say, even where it makes the sum 0.
#[test]
fn garbage_in_the_gap_is_refused() {
    let error = Cheat::below(16).run(|_| (F::ZERO, K::TWO)).unwrap_err();
    assert!(matches!(error, LookupError::LeafDenominator { .. }), "{error}");
    let error = Cheat::below(16).run(|_| (F::ONE, K::ONE)).unwrap_err();
    assert!(matches!(error, LookupError::RootNumerator { .. }), "{error}");
    let mut wrong = Cheat::below(16);
    wrong.columns[0][5] = F::from_u32(99);
    let error = wrong.run(|_| EMPTY).unwrap_err();
    assert!(matches!(error, LookupError::RootNumerator { .. }), "{error}");
    let cancel = |sum: K| (F::ONE, -(sum.inverse() * F::from_u32(120)));
    let error = wrong.run(cancel).unwrap_err();
    assert!(matches!(error, LookupError::LeafNumerator { .. }), "{error}");
}

/// Pitfall 15: with a pole among the leaves the numerator at the root can be 0 for any columns.
#[test]
fn a_pole_among_the_leaves_is_refused() {
    let error = Cheat::below(16).run(|_| (F::ONE, K::ZERO)).unwrap_err();
    assert_eq!(error, LookupError::ZeroRoot { got: K::ZERO });
}

/// A tree so large that the level above its leaves is made twice: what is made the second time is what
/// the tree was built from.
#[test]
fn a_tree_that_is_not_all_stored_holds() {
    let honest = Cheat::of([16, 3], 16);
    assert_eq!(honest.layout.log_leaves(), super::tree::MAX_STORED + 1);
    assert_eq!(honest.run(|_| EMPTY), Ok(()));
    let mut wrong = Cheat::of([16, 3], 16);
    wrong.columns[0][40_000] = F::from_u32(16);
    let error = wrong.run(|_| EMPTY).unwrap_err();
    assert!(matches!(error, LookupError::RootNumerator { .. }), "{error}");
}
