//! What is committed and what is opened together, checked once.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use p3_sumcheck::{OpeningBatch, OpeningProtocol, PrescribedPointPcs, TableShape, TableSpec};
use p3_whir::ProtocolParameters;

use super::code::SubgroupCode;
use super::error::ScheduleError;
use super::price::terms;
use super::profile::{AdviceProfile, of_weights};
use super::scheme::{Config, Pcs};
use super::shape::ProofShape;
use super::stack::Stack;
use crate::soundness::Term;
use crate::tensor_code::column_tree;

/// The columns of one proof and the batches of its opening.
///
/// Held by the verifier, never read from a proof. Columns of one arity form a class, in the order
/// given; p3 sees the classes from the largest arity to the smallest, and the batches of a class in
/// the order given.
#[derive(Clone)]
pub struct Schedule {
    inner: Arc<Inner>,
}

struct Inner {
    arities: Vec<usize>,
    batches: Vec<Batch>,
    classes: Vec<Class>,
    protocol: OpeningProtocol,
    pcs: Pcs,
    stack: Stack,
    shape: ProofShape,
    security_bits: f64,
    log2_list_size: f64,
    terms: Vec<Term>,
    log_inverse_rate: usize,
}

/// Columns that are opened at one point.
struct Batch {
    arity: usize,
    columns: Vec<usize>,
}

/// All columns of one arity.
pub(super) struct Class {
    pub(super) arity: usize,
    pub(super) columns: Vec<usize>,
    /// The batches of these columns.
    batches: Vec<usize>,
}

impl Schedule {
    /// Checks the arities and batches and prices the opening.
    ///
    /// `arities` are those of the columns in the order of section 5. Each batch lists columns of
    /// one arity, which are opened at one point.
    ///
    /// # Errors
    ///
    /// Returns [`ScheduleError`] if there is no column or no batch, an arity is outside 6 to 28,
    /// there are more than `2^28` cells or `2^15` columns, a batch is empty, mixed, or names a
    /// column twice or one that is not there, or the opening has no proven bound of at least 104
    /// bits.
    pub fn new(
        profile: AdviceProfile,
        arities: Vec<u32>,
        batches: Vec<Vec<usize>>,
    ) -> Result<Self, ScheduleError> {
        let log_cells = check_columns(&arities)?;
        Self::with(profile.parameters(log_cells), log_cells, arities, batches)
    }

    /// Prices the opening of the weights of a `small` program at two points (section 6.6): one column
    /// of `2^log_weights` cells, opened at the point of the weight sumcheck, then at that of the
    /// key's sample.
    ///
    /// # Errors
    ///
    /// Returns [`ScheduleError`] if `log_weights` is outside 6 to 28.
    pub fn for_weights(log_weights: u32) -> Result<Self, ScheduleError> {
        let arities = vec![log_weights];
        let log_cells = check_columns(&arities)?;
        Self::with(of_weights(log_cells), log_cells, arities, vec![vec![0], vec![0]])
    }

    fn with(
        parameters: ProtocolParameters,
        log_cells: usize,
        arities: Vec<u32>,
        batches: Vec<Vec<usize>>,
    ) -> Result<Self, ScheduleError> {
        check_batches(&arities, &batches)?;
        let arities: Vec<usize> = arities.into_iter().map(|arity| arity as usize).collect();
        let batches: Vec<Batch> = batches.into_iter().map(|b| Batch::new(&arities, b)).collect();
        let classes = classes(&arities, &batches);
        let protocol = protocol(&classes, &batches);
        let log_inverse_rate = parameters.starting_log_inv_rate;
        let config = Config::new(log_cells, parameters)?;
        let shape = ProofShape::new(&config);
        let stack = Stack::new(&classes, &protocol, shape.initial_rounds);
        let terms = terms(&config, batches.iter().map(|batch| batch.columns.len()).sum());
        let pcs = Pcs::new(config, SubgroupCode, column_tree());
        let security = pcs.prescribed_security(&protocol).ok_or(ScheduleError::Unpriced)?;
        let security_bits = security.error().bits();
        if security.candidates().is_none() {
            return Err(ScheduleError::Unpriced);
        }
        check_security(security_bits)?;
        let log2_list_size = security.log2_max_candidates;
        let inner = Inner {
            arities,
            batches,
            classes,
            protocol,
            pcs,
            stack,
            shape,
            security_bits,
            log2_list_size,
            terms,
            log_inverse_rate,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.inner.arities.len()
    }

    /// Returns the number of batches.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.inner.batches.len()
    }

    /// Returns the bits of proven security of the opening, all terms together (section 8).
    #[must_use]
    pub fn security_bits(&self) -> f64 {
        self.inner.security_bits
    }

    /// Returns the terms whose sum [`security_bits`](Self::security_bits) is (section 8).
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.inner.terms
    }

    /// Returns the base-2 logarithm of the number of vectors that a root may stand for: the factor
    /// on every error that depends on advice (section 8).
    #[must_use]
    pub fn log2_list_size(&self) -> f64 {
        self.inner.log2_list_size
    }

    /// Returns `lg(1 / rate)` of the first code.
    pub(crate) fn log_inverse_rate(&self) -> usize {
        self.inner.log_inverse_rate
    }

    /// Returns the size in bytes that no encoded proof exceeds.
    #[must_use]
    pub fn max_proof_bytes(&self) -> usize {
        self.inner.shape.max_bytes()
    }

    pub(super) fn shape(&self) -> &ProofShape {
        &self.inner.shape
    }

    pub(super) fn pcs(&self) -> &Pcs {
        &self.inner.pcs
    }

    pub(super) fn stack(&self) -> &Stack {
        &self.inner.stack
    }

    pub(super) fn protocol(&self) -> &OpeningProtocol {
        &self.inner.protocol
    }

    pub(super) fn classes(&self) -> &[Class] {
        &self.inner.classes
    }

    pub(super) fn arities(&self) -> &[usize] {
        &self.inner.arities
    }

    /// Returns the arity and the number of columns of each batch.
    pub(super) fn batch_sizes(&self) -> impl Iterator<Item = (usize, usize)> {
        self.inner.batches.iter().map(|batch| (batch.arity, batch.columns.len()))
    }

    /// Returns what stands at each batch in `items`, in p3's order of batches.
    pub(super) fn in_class_order<'a, T>(&self, items: &'a [T]) -> impl Iterator<Item = &'a T> {
        let order = self.inner.classes.iter().flat_map(|class| &class.batches);
        order.filter_map(|&batch| items.get(batch))
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("arities", &self.inner.arities)
            .field("batches", &self.batches())
            .finish_non_exhaustive()
    }
}

impl Batch {
    fn new(arities: &[usize], columns: Vec<usize>) -> Self {
        let arity = columns.first().and_then(|&first| arities.get(first)).copied();
        Self { arity: arity.unwrap_or_default(), columns }
    }
}

/// Returns `lg` of the number of cells, rounded up.
fn check_columns(arities: &[u32]) -> Result<usize, ScheduleError> {
    if arities.is_empty() {
        return Err(ScheduleError::Empty { what: "columns" });
    }
    let mut cells = 0_usize;
    for (column, &got) in arities.iter().enumerate() {
        if !(MIN_ARITY..=MAX_LOG_CELLS).contains(&got) {
            return Err(ScheduleError::Arity { column, low: MIN_ARITY, high: MAX_LOG_CELLS, got });
        }
        cells = cells.saturating_add(1 << got);
    }
    at_most("columns", MAX_COLUMNS, arities.len())?;
    let max = 1 << MAX_LOG_CELLS;
    if cells > max {
        return Err(ScheduleError::Cells { max, got: cells });
    }
    Ok(cells.next_power_of_two().trailing_zeros() as usize)
}

fn check_batches(arities: &[u32], batches: &[Vec<usize>]) -> Result<(), ScheduleError> {
    if batches.is_empty() {
        return Err(ScheduleError::Empty { what: "batches" });
    }
    at_most("opened values", 2 * MAX_COLUMNS, batches.iter().map(Vec::len).sum())?;
    for (batch, columns) in batches.iter().enumerate() {
        let mut first = None;
        let mut seen = BTreeSet::new();
        for &column in columns {
            let Some(&got) = arities.get(column) else {
                return Err(ScheduleError::NoSuchColumn { batch, column, columns: arities.len() });
            };
            let expected = *first.get_or_insert(got);
            if expected != got {
                return Err(ScheduleError::Mixed { batch, column, expected, got });
            }
            if !seen.insert(column) {
                return Err(ScheduleError::Repeated { batch, column });
            }
        }
        if first.is_none() {
            return Err(ScheduleError::Empty { what: "columns in a batch" });
        }
    }
    Ok(())
}

/// A bound that is not a number is refused, too.
fn check_security(got: f64) -> Result<(), ScheduleError> {
    let required = REQUIRED_BITS;
    if got >= required { Ok(()) } else { Err(ScheduleError::Security { required, got }) }
}

const fn at_most(what: &'static str, max: usize, got: usize) -> Result<(), ScheduleError> {
    if got > max { Err(ScheduleError::TooMany { what, max, got }) } else { Ok(()) }
}

fn classes(arities: &[usize], batches: &[Batch]) -> Vec<Class> {
    let distinct: BTreeSet<usize> = arities.iter().copied().collect();
    let class = |arity: usize| Class {
        arity,
        columns: positions(arities.iter().map(|&a| a == arity)),
        batches: positions(batches.iter().map(|b| b.arity == arity)),
    };
    distinct.into_iter().rev().map(class).collect()
}

fn positions(wanted: impl Iterator<Item = bool>) -> Vec<usize> {
    wanted.enumerate().filter_map(|(position, wanted)| wanted.then_some(position)).collect()
}

fn protocol(classes: &[Class], batches: &[Batch]) -> OpeningProtocol {
    let spec = |class: &Class| {
        let request = |batch: &Batch| {
            let place = |column: &usize| class.columns.binary_search(column).ok();
            OpeningBatch::new(batch.columns.iter().filter_map(place).collect(), Vec::new())
        };
        let requests = class.batches.iter().filter_map(|&batch| batches.get(batch)).map(request);
        TableSpec::new(TableShape::new(class.arity, class.columns.len()), requests.collect())
    };
    OpeningProtocol::new(classes.iter().map(spec).collect())
}

/// Fewest bits of proven security that an opening of advice may have (section 7).
const REQUIRED_BITS: f64 = 104.0;

/// Smallest arity of a column: WHIR's largest first fold (section 1).
pub(crate) const MIN_ARITY: u32 = 6;

/// Cap of N4 on the cells of all columns.
pub(crate) const MAX_LOG_CELLS: u32 = 28;

/// More columns than N4's 4096 sites of three columns each and its tables can have. p3 compares the
/// columns of a batch with one another, so their number has to be bounded.
const MAX_COLUMNS: usize = 1 << 15;

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns of a quarter, two of an eighth, one of a 64th: just under `2^log_cells` cells.
    fn schedule(log_cells: u32) -> Schedule {
        let arities: Vec<u32> = [2, 2, 3, 3, 6].map(|less| log_cells - less).to_vec();
        let batches = vec![vec![0, 1], vec![2, 3], vec![4], vec![0], vec![2]];
        Schedule::new(AdviceProfile::default(), arities, batches).unwrap()
    }

    #[test]
    fn every_size_is_worth_the_bits_required_and_the_terms_add_up() {
        for log_cells in 12..=28 {
            let schedule = schedule(log_cells);
            assert!(schedule.security_bits() >= REQUIRED_BITS, "2^{log_cells}: {schedule:?}");
            let sum: f64 = schedule.terms().iter().map(|term| term.log2_error.exp2()).sum();
            let difference = schedule.security_bits() + sum.log2();
            assert!(difference.abs() < 1e-6, "2^{log_cells}: {:?}", schedule.terms());
        }
        for arity in 6..=12 {
            let one = Schedule::new(AdviceProfile::default(), vec![arity], vec![vec![0]]);
            assert!(one.unwrap().security_bits() >= REQUIRED_BITS);
        }
    }

    /// No schedule that the profile makes is worth so little.
    #[test]
    fn fewer_bits_than_104_are_refused() {
        for got in [104.0, 104.5] {
            assert!(check_security(got).is_ok(), "{got}");
        }
        for got in [103.99, -104.0, f64::NAN] {
            assert!(check_security(got).is_err(), "{got}");
        }
    }

    #[test]
    fn a_root_stands_for_ten_vectors_over_its_rate() {
        for (log_cells, list_size) in [(14, 40.0), (17, 40.0), (18, 20.0), (28, 20.0)] {
            let difference = schedule(log_cells).log2_list_size().exp2() - list_size;
            assert!(f64::abs(difference) < 1e-6, "2^{log_cells}: {difference}");
        }
    }
}
