//! The prover: from runs of a program to a proof (section 3).
//!
//! What may be switched off nowhere: the order of steps is the chain of [`crate::chain`], and every
//! challenge comes from it.

use std::fmt;
use std::ops::ControlFlow;

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;
use thiserror::Error;

use crate::advice::{self, AdviceError, AdviceProof, CommittedAdvice};
use crate::chain::Started;
use crate::circuit::Circuit;
use crate::columns::ClaimedValues;
use crate::execute::Execution;
use crate::field::{F, K};
use crate::layers::{self, LayerEnds, LayerError, LayerStatement};
use crate::lookups::{self, LookupProof, ProveError as LookupError};
use crate::multilinear::{ArityError, evaluate_column, same_length, suffix};
use crate::program::{CheckedProgram, Descriptor, DescriptorError, ModelId, Program, ProgramError};
use crate::proof::{Proof, SentEnds};
use crate::statement::Statement;
use crate::tensor_code::{Opening, Point};
use crate::transcript::Transcript;
use crate::weight_commitment::{CommitError, CommittedWeights, WeightCommitment, WeightOpening};
use crate::weights::{self, WeightError, WeightStatement};
use crate::witness::{Witness, WitnessError};

/// A model that proofs can be made with: the key and the weights under its root.
#[derive(Debug)]
pub struct ProvingModel {
    descriptor: Descriptor,
    weights: CommittedWeights,
}

/// A step that takes time, for who waits for a proof.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Stage {
    /// The runs become columns.
    Witness,
    /// The columns are committed to (section 7).
    Commitment,
    /// The tree of lookups (section 5).
    Lookups,
    /// The linear layers (section 4).
    Layers,
    /// The weights, and their opening (section 6).
    Weights,
    /// The opening of the columns (section 7).
    Opening,
}

/// Is told each stage as it begins; what breaks ends the prover there.
pub type Watch<'a> = &'a (dyn Fn(Stage) -> ControlFlow<()> + Sync);

/// Why no proof was made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProveError {
    /// Nobody wants the proof any more.
    #[error("the prover was stopped before the {0}")]
    Stopped(Stage),
    /// The program's accumulators could wrap, or its weights are out of range (N1 to N3).
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The program has no descriptor that a verifier would read.
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    /// The weights do not fit their matrix.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The circuit is of another model than the statement, or of another batch.
    #[error(
        "proof of model {expected}: circuit of {circuit} in batches of 2^{circuit_lb}, statement \
         about {statement} in a batch of 2^{statement_lb}"
    )]
    OtherCircuit {
        /// The prover's model.
        expected: ModelId,
        /// The circuit's.
        circuit: ModelId,
        /// `lb` of the circuit.
        circuit_lb: u32,
        /// The statement's model.
        statement: ModelId,
        /// `lb` of the statement.
        statement_lb: u32,
    },
    /// The runs make no witness.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The lookups.
    #[error(transparent)]
    Lookups(#[from] LookupError),
    /// The layers.
    #[error(transparent)]
    Layers(#[from] LayerError),
    /// The weights.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The advice.
    #[error(transparent)]
    Advice(#[from] AdviceError),
    /// A list of another length than the circuit's.
    #[error(transparent)]
    Arity(#[from] ArityError),
}

/// Weights that are not those of the key.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("weights have the root {got}, the key says {expected}")]
#[expect(clippy::exhaustive_structs, reason = "both values of a check")]
pub struct OtherWeights {
    /// The commitment in the key.
    pub expected: WeightCommitment,
    /// That of the weights.
    pub got: WeightCommitment,
}

impl ProvingModel {
    /// Registers a program: checks N1 to N3 and commits to its weights.
    ///
    /// # Errors
    ///
    /// Returns [`ProveError`] that names the site whose accumulators could wrap, or the size that
    /// does not fit.
    pub fn register(program: CheckedProgram, weights: Vec<i16>) -> Result<Self, ProveError> {
        program.check_weights(&weights)?;
        let Program { mode, weights: shape, .. } = *program.program();
        let weights = CommittedWeights::commit(mode, shape, weights)?;
        let descriptor = Descriptor::new(program, weights.commitment())?;
        Ok(Self { descriptor, weights })
    }

    /// Takes up a registered program again, with its weights committed to again.
    ///
    /// # Errors
    ///
    /// Returns [`OtherWeights`] if the weights, or their mode, are not those of the key.
    pub fn load(descriptor: Descriptor, weights: CommittedWeights) -> Result<Self, OtherWeights> {
        let (expected, got) = (descriptor.weights(), weights.commitment());
        if expected != got {
            return Err(OtherWeights { expected, got });
        }
        Ok(Self { descriptor, weights })
    }

    /// Returns the verifying key.
    #[must_use]
    pub const fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns the weight vector.
    #[must_use]
    pub fn weights(&self) -> &[i16] {
        self.weights.weights()
    }

    /// Proves `statement` from the runs of all `2^lb` instances, by the steps of section 3.
    ///
    /// Whether the runs are those of the statement's inputs and outputs is the caller's to say: a
    /// proof that they are not is refused.
    ///
    /// # Errors
    ///
    /// Returns [`ProveError`] if the circuit is not this model's, or the runs are not of it.
    pub fn prove(
        &self,
        circuit: &Circuit,
        statement: &Statement,
        runs: &[Execution],
    ) -> Result<Proof, ProveError> {
        self.prove_watched(circuit, statement, runs, &|_| ControlFlow::Continue(()))
    }

    /// Proves as [`prove`](Self::prove) does, and tells each stage as it begins.
    ///
    /// # Errors
    ///
    /// As [`prove`](Self::prove), and [`ProveError::Stopped`] where the watch breaks.
    pub fn prove_watched(
        &self,
        circuit: &Circuit,
        statement: &Statement,
        runs: &[Execution],
        watch: Watch<'_>,
    ) -> Result<Proof, ProveError> {
        let (expected, lb) = (self.descriptor.model_id(), circuit.sizes().lb);
        let (of_circuit, of_statement) = (circuit.model_id(), statement.model);
        if of_circuit != expected || of_statement != expected || statement.lb != lb {
            return Err(ProveError::OtherCircuit {
                expected,
                circuit: of_circuit,
                circuit_lb: lb,
                statement: of_statement,
                statement_lb: statement.lb,
            });
        }
        begin(watch, Stage::Witness)?;
        let witness = Witness::new(circuit.program(), circuit.columns(), lb, runs)?;
        self.prove_steps(circuit, statement, &witness, watch)
    }

    /// Proves `statement` from a witness, honest or not, by the steps of section 3.
    ///
    /// [`prove`](Self::prove) makes the witness from runs, and checks that statement and circuit are
    /// of this model. This does neither: it is the prover of whoever cheats, and what the verifier
    /// refuses is measured with it. A proof of a witness that is not the one of the statement's
    /// inputs under the statement's model is refused.
    ///
    /// # Errors
    ///
    /// Returns [`ProveError`] if a column has another length than the circuit's.
    pub fn prove_witness(
        &self,
        circuit: &Circuit,
        statement: &Statement,
        witness: &Witness,
    ) -> Result<Proof, ProveError> {
        self.prove_steps(circuit, statement, witness, &|_| ControlFlow::Continue(()))
    }

    fn prove_steps(
        &self,
        circuit: &Circuit,
        statement: &Statement,
        witness: &Witness,
        watch: Watch<'_>,
    ) -> Result<Proof, ProveError> {
        let lb = circuit.sizes().lb;
        let program = circuit.program();
        let sizes = *circuit.sizes();
        let started = Started::new(statement);
        begin(watch, Stage::Commitment)?;
        let (committed, advice) =
            started.commit(|transcript| commit(circuit, witness, transcript))?;
        begin(watch, Stage::Lookups)?;
        let run = |transcript: &mut Transcript| look_up(circuit, witness, transcript);
        let (looked, tree) = committed.look_up(run, sizes.claim_arity as usize)?;
        let (values, claims) = claim(circuit, witness, looked.rho())?;
        let claimed = looked.claim(&[&values.columns, &values.virtuals, &values.outputs]);
        begin(watch, Stage::Layers)?;
        let (layered, proved) = claimed.layer(|rho, lambda, transcript| {
            let statement = LayerStatement { program, sizes, rho, lambda };
            let tensors = &witness.tensors;
            let proved = layers::prove(&statement, &claims, tensors, self.weights(), transcript)?;
            let tau = proved.tau.clone();
            Ok::<_, ProveError>((proved, tau))
        })?;
        let ends = sent_ends(circuit, witness, &proved.ends, layered.tau())?;
        let ended = layered.end(&[&ends.tensors, &ends.convs, &ends.biases, &ends.inputs], lb);
        begin(watch, Stage::Weights)?;
        let (weighed, (weight_rounds, opening)) = ended.weigh(|rho, tau, lambda, transcript| {
            let statement = WeightStatement { program, sizes, rho, tau, lambda };
            let summed = weights::prove(&statement, &proved.ends, self.weights(), transcript)?;
            let opening = self.open_weights(transcript, &summed.point)?;
            Ok::<_, ProveError>((summed.rounds, opening))
        })?;
        begin(watch, Stage::Opening)?;
        let advice_root = advice.as_ref().map(CommittedAdvice::root);
        let advice =
            weighed.open(|points, transcript| open(circuit, advice, points, transcript))?;
        let (weight_value, weights) = opening;
        Ok(Proof {
            advice_root,
            lookups: tree,
            values,
            layer_rounds: proved.rounds,
            ends,
            weight_rounds,
            weight_value,
            weights,
            advice,
        })
    }
}

impl ProvingModel {
    /// Steps 8 and 9.
    fn open_weights(
        &self,
        transcript: &mut Transcript,
        point: &Point,
    ) -> Result<(K, WeightOpening), ProveError> {
        Ok(match &self.weights {
            CommittedWeights::Fast(weights) => {
                let Opening { value, proof } = weights.open(transcript, point)?;
                (value, WeightOpening::Fast(proof))
            }
            CommittedWeights::Small(weights) => {
                let (value, proof) = weights.open(transcript, point)?;
                (value, WeightOpening::Small(proof))
            }
        })
    }
}

impl Stage {
    /// Returns the stage's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Witness => "witness",
            Self::Commitment => "commitment",
            Self::Lookups => "lookups",
            Self::Layers => "layers",
            Self::Weights => "weights",
            Self::Opening => "opening",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn begin(watch: Watch<'_>, stage: Stage) -> Result<(), ProveError> {
    match watch(stage) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ProveError::Stopped(stage)),
    }
}

/// Step 1.
fn commit<'a>(
    circuit: &Circuit,
    witness: &'a Witness,
    transcript: &mut Transcript,
) -> Result<Option<CommittedAdvice<&'a [F]>>, ProveError> {
    let Some(schedule) = circuit.schedule() else { return Ok(None) };
    let columns = witness.committed(circuit.columns());
    Ok(Some(advice::commit(schedule, columns, transcript)?))
}

/// Steps 2 and 3.
fn look_up(
    circuit: &Circuit,
    witness: &Witness,
    transcript: &mut Transcript,
) -> Result<(Option<LookupProof>, Vec<K>), ProveError> {
    let Some(layout) = circuit.columns().layout() else { return Ok((None, Vec::new())) };
    let tuples = witness.tuples(circuit.program().program());
    let proved = lookups::prove(layout, &tuples, &witness.multiplicities, transcript)?;
    Ok((Some(proved.proof), proved.point))
}

/// Step 4: the values of all columns at `rho`, and `C_l` of every form.
fn claim(
    circuit: &Circuit,
    witness: &Witness,
    rho: &[K],
) -> Result<(ClaimedValues, Vec<K>), ProveError> {
    let (program, columns) = (circuit.program(), circuit.columns());
    let sites = program.program().sites.len();
    same_length("tensors of the witness", sites + 1, witness.tensors.len())?;
    // A public input larger than `rho` stands in no form as it is: nobody asks for its value.
    let at_rho = |column: &[_]| match lg(column.len()) {
        arity if arity > rho.len() => Ok(K::ZERO),
        arity => evaluate_column(column, suffix(rho, arity)?),
    };
    let committed = witness.committed(columns);
    let virtuals: Vec<_> = witness.virtuals.iter().flatten().collect();
    let mut values = ClaimedValues {
        columns: committed.into_par_iter().map(at_rho).collect::<Result<_, _>>()?,
        virtuals: virtuals
            .into_par_iter()
            .map(|column| at_rho(column))
            .collect::<Result<_, _>>()?,
        outputs: Vec::new(),
    };
    let ends = [witness.tensors.first(), witness.tensors.last()];
    let [input, output] = ends.map(|column| column.map(Vec::as_slice).unwrap_or_default());
    values.outputs = instance_values(circuit, output, rho)?;
    let public =
        if circuit.sizes().lb == 0 { [at_rho(input)?, at_rho(output)?] } else { [K::ZERO; 2] };
    let tensors = columns.tensor_values(&values, public);
    let forms = columns.form_values(&values, &tensors);
    let claims = layers::form_claims(program, *circuit.sizes(), rho, &forms, &tensors)?;
    Ok((values, claims))
}

/// Step 6: the ends that the verifier cannot compute, and in a batch `e_i`.
fn sent_ends(
    circuit: &Circuit,
    witness: &Witness,
    ends: &LayerEnds,
    tau: &[K],
) -> Result<SentEnds, ProveError> {
    let remote = circuit.remote().iter().zip(&ends.tensors);
    let tensors = remote.filter(|(tensor, _)| **tensor != 0).map(|(_, value)| *value).collect();
    let lb = circuit.sizes().lb as usize;
    let input = witness.tensors.first().map(Vec::as_slice).unwrap_or_default();
    // Values without batch are at `tau_in`: coordinates for the batch follow, and are not read.
    let point = [tau, &vec![K::ZERO; lb]].concat();
    let inputs = instance_values(circuit, input, &point)?;
    Ok(SentEnds { tensors, convs: ends.convs.clone(), biases: ends.biases.clone(), inputs })
}

/// In a batch, the value of each instance's slice of `column` at the last coordinates of `point`
/// but the `lb` of the batch; empty without batch.
fn instance_values(circuit: &Circuit, column: &[F], point: &[K]) -> Result<Vec<K>, ArityError> {
    let lb = circuit.sizes().lb;
    if lb == 0 {
        return Ok(Vec::new());
    }
    let own = suffix(point, lg(column.len()))?;
    let point = own.get(..own.len().saturating_sub(lb as usize)).unwrap_or_default();
    let slice = |b: usize| {
        let cells: Vec<_> = column.iter().skip(b).step_by(1 << lb).copied().collect();
        evaluate_column(&cells, point)
    };
    (0..1_usize << lb).into_par_iter().map(slice).collect()
}

/// Step 10.
fn open(
    circuit: &Circuit,
    advice: Option<CommittedAdvice<&[F]>>,
    points: [&[K]; 3],
    transcript: &mut Transcript,
) -> Result<Option<AdviceProof>, ProveError> {
    let Some(advice) = advice else { return Ok(None) };
    Ok(Some(advice.open(&circuit.points(points)?, transcript)?))
}

const fn lg(length: usize) -> usize {
    length.trailing_zeros() as usize
}
