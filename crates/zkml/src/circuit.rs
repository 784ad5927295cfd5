//! One program for batches of one size: everything that is fixed before a proof is read (sections 2.2,
//! 3, 7 and 8).
//!
//! Making a [`Circuit`] checks the caps of N4 and the soundness budget with the actual sizes. Prover
//! and verifier start from it, so neither works on a pair (key, `lb`) that is not sound.

use thiserror::Error;

use crate::advice::{Schedule, ScheduleError};
use crate::columns::Columns;
use crate::field::K;
use crate::layers::{LayerEnds, NumberedForm, convs, forms, remote_tensors};
use crate::lookups::{Layout, LayoutError, LookupProof};
use crate::multilinear::{ArityError, suffix};
use crate::program::{CheckedProgram, Descriptor, ModelId, Program, ProgramError, Sizes, Table};
use crate::soundness::{
    Budget, Counts, InsufficientSecurity, REQUIRED_BITS, Term as ErrorTerm, opening_terms,
    small_opening_terms,
};
use crate::tensor_code::{Digest, Shape};
use crate::weight_commitment::{Mode, WeightCommitment};

/// A program, a batch size, and what follows from them.
#[derive(Clone, Debug)]
pub struct Circuit {
    program: CheckedProgram,
    model: ModelId,
    weights: WeightCommitment,
    sizes: Sizes,
    columns: Columns,
    remote: Vec<usize>,
    lengths: Lengths,
    batches: Vec<OpeningBatch>,
    /// Without columns, as for one linear layer, there is nothing to commit to.
    schedule: Option<Schedule>,
    /// Of a `small` program.
    weight_schedule: Option<Schedule>,
    budget: Budget,
}

/// The lengths of the lists of a proof, none of which the proof itself gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Lengths {
    pub(crate) instances: usize,
    pub(crate) columns: usize,
    pub(crate) virtuals: usize,
    pub(crate) layer_rounds: usize,
    pub(crate) ends: usize,
    pub(crate) convs: usize,
    pub(crate) biases: usize,
    pub(crate) weight_rounds: usize,
}

/// At which point a batch of columns is opened (section 7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the points of section 7")]
pub enum OpeningPoint {
    /// `rho|n`.
    Rho,
    /// `(tau|d, rho_b)`.
    Tau,
    /// The input at `(tau_in, omega)`.
    Input,
    /// The output at `(rho_out without batch, omega)`.
    Output,
}

/// Columns of one arity that are opened at one point.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct OpeningBatch {
    /// The point.
    pub at: OpeningPoint,
    /// Variables of each column.
    pub arity: usize,
    /// The columns, by their positions in [`Columns::list`].
    pub columns: Vec<usize>,
}

/// A pair (key, `lb`) that cannot be proven soundly.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CircuitError {
    /// A cap of N4.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The lookups have no layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The advice has no sound opening.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The weights have no sound opening.
    #[error("opening of the weights: {0}")]
    Weights(#[source] ScheduleError),
    /// The sum of all terms is too large.
    #[error("soundness: {0}")]
    Security(#[from] InsufficientSecurity),
}

impl Circuit {
    /// Prepares proofs of batches of `2^lb` for the program under `descriptor`.
    ///
    /// # Errors
    ///
    /// Returns [`CircuitError`] if a cap is exceeded or under 100 bits of security are proven.
    pub fn new(descriptor: &Descriptor, lb: u32) -> Result<Self, CircuitError> {
        let program = descriptor.program().clone();
        let sizes = program.sizes(lb)?;
        let columns = Columns::new(&program, &sizes)?;
        let remote = remote_tensors(&program, lb);
        let batches = opening_batches(&columns, &remote, program.program());
        let schedule = schedule(&program, &columns, &batches)?;
        let weight_schedule = weight_schedule(program.program())?;
        let lengths = Lengths::new(program.program(), &sizes, &columns, &remote);
        let schedules = [schedule.as_ref(), weight_schedule.as_ref()];
        let budget = budget(program.program(), &sizes, &columns, &lengths, schedules);
        budget.require(REQUIRED_BITS)?;
        let (model, weights) = (descriptor.model_id(), descriptor.weights());
        Ok(Self {
            program,
            model,
            weights,
            sizes,
            columns,
            remote,
            lengths,
            batches,
            schedule,
            weight_schedule,
            budget,
        })
    }

    /// Returns the program.
    #[must_use]
    pub const fn program(&self) -> &CheckedProgram {
        &self.program
    }

    /// Returns the id of the model.
    #[must_use]
    pub const fn model_id(&self) -> ModelId {
        self.model
    }

    /// Returns the root of the weights' commitment.
    #[must_use]
    pub const fn weight_root(&self) -> Digest {
        self.weights.root()
    }

    /// Returns the weights' commitment.
    #[must_use]
    pub const fn commitment(&self) -> WeightCommitment {
        self.weights
    }

    /// Returns the mode that the weights are opened in.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.weights.mode()
    }

    /// Returns the sizes, `lb` among them.
    #[must_use]
    pub const fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Returns the committed columns and the lookups.
    #[must_use]
    pub const fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Returns every term of the soundness budget.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Returns the schedule of the advice's opening; `None` without columns.
    #[must_use]
    pub const fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref()
    }

    /// Returns the schedule of the opening of a `small` program's weights.
    #[must_use]
    pub const fn weight_schedule(&self) -> Option<&Schedule> {
        self.weight_schedule.as_ref()
    }

    /// Returns what is opened where, in the order of the schedule.
    #[must_use]
    pub fn batches(&self) -> &[OpeningBatch] {
        &self.batches
    }

    /// Returns the shape of the weight matrix.
    #[must_use]
    pub fn weights(&self) -> &Shape {
        &self.program.program().weights
    }

    /// Returns the size in bytes that no encoded proof exceeds.
    #[must_use]
    pub fn max_proof_bytes(&self) -> usize {
        let advice = self.schedule.as_ref().map_or(0, Schedule::max_proof_bytes);
        self.fixed_bytes() + self.max_weight_bytes() + advice
    }

    /// Returns the size in bytes that no encoded opening of the weights exceeds.
    pub(crate) fn max_weight_bytes(&self) -> usize {
        match &self.weight_schedule {
            Some(schedule) => schedule.max_proof_bytes(),
            None => self.weights().max_proof_bytes(),
        }
    }

    /// Returns the bytes of memory that no prover exceeds, weights and their code included.
    ///
    /// Witness, lookup tree and the code of the committed columns grow with the cells; by measurement they
    /// take 52 to 64 bytes for each.
    #[must_use]
    pub fn prover_memory(&self) -> u64 {
        const BASE: u64 = 32 << 20;
        const OF_CELL: u64 = 96;
        let cells = self.sizes.advice_cells.max(self.sizes.leaves);
        let weights = self.weights().places() as u64;
        let of_weights = weights.saturating_mul(match &self.weight_schedule {
            None => 24,
            // The code, its tree, and what the opening copies: by measurement 19 to 27 for each place.
            Some(schedule) => 32 << schedule.log_inverse_rate(),
        });
        BASE.saturating_add(of_weights).saturating_add(cells.saturating_mul(OF_CELL))
    }

    pub(crate) const fn lengths(&self) -> &Lengths {
        &self.lengths
    }

    /// Tensors whose value at `tau` is claimed.
    pub(crate) fn remote(&self) -> &[usize] {
        &self.remote
    }

    /// Bytes of everything but the two openings.
    pub(crate) fn fixed_bytes(&self) -> usize {
        let lookups = self
            .columns
            .layout()
            .map_or(0, |layout| LookupProof::encoded_bytes(layout.log_leaves()));
        let root = if self.schedule.is_some() { 32 } else { 0 };
        root + lookups + self.lengths.elements() * crate::field::K_BYTES + 4
    }

    /// Returns the point of each batch from `rho`, `tau` and `omega`.
    ///
    /// # Errors
    ///
    /// Returns [`ArityError`] if `rho` or `tau` are shorter than a column's arity.
    pub(crate) fn points(&self, [rho, tau, omega]: [&[K]; 3]) -> Result<Vec<Vec<K>>, ArityError> {
        let lb = self.sizes.lb as usize;
        let rho_b = suffix(rho, lb)?;
        let point = |batch: &OpeningBatch| {
            let inner = batch.arity.saturating_sub(lb);
            Ok(match batch.at {
                OpeningPoint::Rho => suffix(rho, batch.arity)?.to_vec(),
                OpeningPoint::Tau => [suffix(tau, inner)?, rho_b].concat(),
                OpeningPoint::Input => [suffix(tau, inner)?, omega].concat(),
                OpeningPoint::Output => {
                    let own = suffix(rho, batch.arity)?;
                    [own.get(..inner).unwrap_or_default(), omega].concat()
                }
            })
        };
        self.batches.iter().map(point).collect()
    }

    /// Returns the values that each batch is opened to: of the columns at `rho`, of the remote
    /// tensors at `tau`, and of input and output at `omega`.
    ///
    /// # Errors
    ///
    /// Returns [`ArityError`] if there are fewer values at `rho` or `tau` than columns opened there.
    pub(crate) fn values(
        &self,
        at_rho: &[K],
        ends: &LayerEnds,
        at_omega: [K; 2],
    ) -> Result<Vec<Vec<K>>, ArityError> {
        let [input, output] = at_omega;
        let at_tau = |column: &usize| {
            let remote = |tensor: &usize| self.columns.of_tensor(*tensor) == Some(*column);
            let position = self.remote.iter().position(remote);
            position.and_then(|position| ends.tensors.get(position)).copied()
        };
        let value = |batch: &OpeningBatch, column: &usize| {
            let (what, value, got) = match batch.at {
                OpeningPoint::Rho => ("values at rho", at_rho.get(*column).copied(), at_rho.len()),
                OpeningPoint::Tau => ("values at tau", at_tau(column), ends.tensors.len()),
                OpeningPoint::Input => return Ok(input),
                OpeningPoint::Output => return Ok(output),
            };
            value.ok_or(ArityError { what, expected: self.columns.list().len(), got })
        };
        let values = |batch: &OpeningBatch| batch.columns.iter().map(|c| value(batch, c)).collect();
        self.batches.iter().map(values).collect()
    }
}

impl Lengths {
    fn new(program: &Program, sizes: &Sizes, columns: &Columns, remote: &[usize]) -> Self {
        Self {
            instances: if sizes.lb == 0 { 0 } else { 1 << sizes.lb },
            columns: columns.list().len(),
            virtuals: columns.virtuals(),
            layer_rounds: sizes.layer_arity as usize,
            // The input is evaluated by the verifier, or follows from the instances' values.
            ends: remote.iter().filter(|&&tensor| tensor != 0).count(),
            convs: convs(program).count(),
            biases: forms(program).filter(NumberedForm::has_bias).count(),
            weight_rounds: program.weights.log_weights(),
        }
    }

    /// Elements of `K` outside the lookup tree and the two openings.
    const fn elements(&self) -> usize {
        let claimed = self.columns + self.virtuals + self.instances;
        let ends = self.ends + self.convs + self.biases + self.instances;
        claimed + ends + 2 * (self.layer_rounds + self.weight_rounds) + 1
    }
}

fn opening_batches(columns: &Columns, remote: &[usize], program: &Program) -> Vec<OpeningBatch> {
    let mut batches: Vec<OpeningBatch> = Vec::new();
    let mut add = |at: OpeningPoint, column: usize| {
        let Some(arity) = columns.list().get(column).map(|column| column.arity) else { return };
        let same = |batch: &&mut OpeningBatch| batch.at == at && batch.arity == arity;
        match batches.iter_mut().find(same) {
            Some(batch) => batch.columns.push(column),
            None => batches.push(OpeningBatch { at, arity, columns: vec![column] }),
        }
    };
    (0..columns.list().len()).for_each(|column| add(OpeningPoint::Rho, column));
    let mut committed: Vec<usize> =
        remote.iter().filter_map(|&tensor| columns.of_tensor(tensor)).collect();
    committed.sort_unstable();
    committed.into_iter().for_each(|column| add(OpeningPoint::Tau, column));
    // Without a batch neither has a column.
    let ends = [(OpeningPoint::Input, 0), (OpeningPoint::Output, program.sites.len())];
    for (at, tensor) in ends {
        if let Some(column) = columns.of_tensor(tensor) {
            add(at, column);
        }
    }
    batches
}

fn schedule(
    program: &CheckedProgram,
    columns: &Columns,
    batches: &[OpeningBatch],
) -> Result<Option<Schedule>, ScheduleError> {
    if columns.list().is_empty() {
        return Ok(None);
    }
    let arity = |column: &crate::columns::Column| u32::try_from(column.arity).unwrap_or(u32::MAX);
    let arities = columns.list().iter().map(arity).collect();
    let batches = batches.iter().map(|batch| batch.columns.clone()).collect();
    Schedule::new(program.program().advice, arities, batches).map(Some)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn weight_schedule(program: &Program) -> Result<Option<Schedule>, CircuitError> {
    match program.mode {
        Mode::Fast => Ok(None),
        Mode::Small => {
            let log_weights = u32::try_from(program.weights.log_weights()).unwrap_or(u32::MAX);
            Schedule::for_weights(log_weights).map(Some).map_err(CircuitError::Weights)
        }
    }
}

fn budget(
    program: &Program,
    sizes: &Sizes,
    columns: &Columns,
    lengths: &Lengths,
    [schedule, weight_schedule]: [Option<&Schedule>; 2],
) -> Budget {
    let width = program.tables.iter().map(Table::width).max().unwrap_or(0);
    let counts = Counts {
        // The levels that the verifier walks.
        tree_arity: count(columns.layout().map_or(0, Layout::log_leaves)),
        tuple_width: count(width),
        claim_arity: sizes.claim_arity,
        layer_arity: sizes.layer_arity,
        lb: sizes.lb,
        forms: count(forms(program).count()),
        weight_claims: count(lengths.convs + lengths.biases),
        log_weights: count(program.weights.log_weights()),
    };
    let mut terms = counts.terms(schedule.map_or(0.0, Schedule::log2_list_size));
    match weight_schedule {
        Some(schedule) => terms.extend(small_opening_terms(&program.weights, schedule)),
        None => terms.extend(opening_terms(&program.weights)),
    }
    terms.extend(schedule.map(|schedule| ErrorTerm {
        name: "WHIR, all terms",
        log2_error: -schedule.security_bits(),
    }));
    Budget::new(terms)
}
