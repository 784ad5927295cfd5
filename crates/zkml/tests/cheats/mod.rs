//! Provers that cheat: one site, cell or constant is not what the program says, everything after it
//! is computed, counted and proven as an honest prover would. The verifier refuses each, at the
//! check that is there for it.

mod liar;
mod places;
mod programs;
mod sites;
mod steps;

use std::cell::RefCell;

pub(crate) use self::programs::CHANGES;
use assay_zkml::circuit::Circuit;
use assay_zkml::columns::ClaimedValues;
use assay_zkml::execute::execute_batch;
use assay_zkml::field::K;
use assay_zkml::layers::LayerError;
use assay_zkml::lookups::LookupError;
use assay_zkml::program::{Program, Site};
use assay_zkml::proof::Proof;
use assay_zkml::prover::ProvingModel;
use assay_zkml::statement::{Claim, Hash, Instance, IoTree, Statement};
use assay_zkml::tensor_code::OpeningError;
use assay_zkml::verifier::{VerifiedProof, VerifyError, verify_bytes};
use assay_zkml::weights::WeightError;
use assay_zkml::witness::Witness;

use crate::network::Net;
use crate::reference::{Grid, Reference, Step, Trace};

/// A program with its key and some inputs, and the witness of an honest run.
pub(crate) struct Stage {
    pub(crate) net: Net,
    pub(crate) lb: u32,
    pub(crate) model: ProvingModel,
    pub(crate) circuit: Circuit,
    pub(crate) inputs: Vec<Vec<i32>>,
    pub(crate) witness: Witness,
}

impl Stage {
    /// Sets up `count` inputs in a batch of `2^lb`.
    pub(crate) fn new(mut net: Net, lb: u32, count: usize) -> Self {
        let inputs = (0..count).map(|_| net.input()).collect();
        Self::of(net, lb, inputs)
    }

    pub(crate) fn of(net: Net, lb: u32, inputs: Vec<Vec<i32>>) -> Self {
        let model = ProvingModel::register(net.checked(), net.weights.clone()).unwrap();
        let circuit = Circuit::new(model.descriptor(), lb).unwrap();
        let runs = execute_batch(circuit.program(), model.weights(), lb, &inputs).unwrap();
        let witness = Witness::new(circuit.program(), circuit.columns(), lb, &runs).unwrap();
        Self { net, lb, model, circuit, inputs, witness }
    }

    pub(crate) fn program(&self) -> &Program {
        &self.net.program
    }

    pub(crate) fn reference(&self) -> Reference<'_> {
        Reference { program: self.program(), weights: &self.net.weights, lb: self.lb }
    }

    pub(crate) fn grid(&self, tensor: usize) -> Grid {
        self.reference().grid(tensor)
    }

    /// Runs the program by definition; `change` may change what a site computed.
    pub(crate) fn run(&self, change: &mut dyn FnMut(usize, &mut Step)) -> Trace {
        let reference = self.reference();
        reference.run(reference.input(&self.inputs), change)
    }

    /// Returns the witness of a run, and the outputs of its instances.
    pub(crate) fn written(&self, trace: &Trace) -> (Witness, Vec<Vec<i32>>) {
        let mut witness = self.witness.clone();
        self.reference().write(self.circuit.columns().layout(), trace, &mut witness);
        (witness, self.outputs(trace))
    }

    pub(crate) fn outputs(&self, trace: &Trace) -> Vec<Vec<i32>> {
        let last = self.program().sites.len();
        let of = |b| self.grid(last).instance(trace.tensor(last), b);
        (0..self.inputs.len()).map(of).collect()
    }

    /// The run in which what one site computed is changed.
    pub(crate) fn run_changed(&self, site: usize, change: &mut dyn FnMut(&mut Step)) -> Trace {
        self.run(&mut |index, step| {
            if index == site {
                change(step);
            }
        })
    }

    /// Proves a run, whatever it is, with the outputs that it has, and verifies.
    pub(crate) fn prove_run(&self, trace: &Trace) -> Result<VerifiedProof, VerifyError> {
        let (witness, outputs) = self.written(trace);
        self.prove(&witness, &outputs)
    }

    /// Proves `witness` with the public outputs `outputs`, and verifies every instance.
    pub(crate) fn prove(
        &self,
        witness: &Witness,
        outputs: &[Vec<i32>],
    ) -> Result<VerifiedProof, VerifyError> {
        self.prove_as(&self.model, &self.circuit, witness, outputs)
    }

    /// Proves with another prover's key, and verifies under this one's.
    pub(crate) fn prove_as(
        &self,
        model: &ProvingModel,
        circuit: &Circuit,
        witness: &Witness,
        outputs: &[Vec<i32>],
    ) -> Result<VerifiedProof, VerifyError> {
        let public = Public::new(self, outputs);
        let proof = model.prove_witness(circuit, &public.statement, witness).unwrap();
        verify_bytes(&self.circuit, &public.statement, &public.claims(), &proof.encode())
    }
}

/// What the verifier is told.
pub(crate) struct Public<'a> {
    pub(crate) statement: Statement,
    instances: Vec<Instance<'a>>,
    tree: IoTree,
}

impl<'a> Public<'a> {
    pub(crate) fn new(stage: &'a Stage, outputs: &'a [Vec<i32>]) -> Self {
        let context = |index: usize| -> Hash { [index as u8 + 1; 32] };
        let instance = |(index, (input, output)): (usize, (&'a Vec<i32>, &'a Vec<i32>))| Instance {
            context: context(index),
            salt: [index as u8 + 100; 32],
            input,
            output,
        };
        let instances: Vec<_> =
            stage.inputs.iter().zip(outputs).enumerate().map(instance).collect();
        let tree = IoTree::new(stage.lb, &instances).unwrap();
        let statement = Statement {
            model: stage.circuit.model_id(),
            context: if stage.lb == 0 { context(0) } else { [0; 32] },
            lb: stage.lb,
            io_root: tree.root(),
        };
        Self { statement, instances, tree }
    }

    pub(crate) fn claims(&self) -> Vec<Claim<'a>> {
        let claim = |(index, &instance): (usize, &Instance<'a>)| Claim {
            index: index as u32,
            instance,
            path: self.tree.path(index),
        };
        self.instances.iter().enumerate().map(claim).collect()
    }
}

/// The check that refused, without its numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Check {
    /// The fractions of the lookups do not add up to 0.
    LookupSum,
    /// The leaves are not those of the verifier's own tables.
    LookupLeaves,
    /// A linear layer.
    Layers,
    /// The coefficients of the weights.
    Weights,
    /// The root of the weights.
    WeightRoot,
    /// The opening of the columns.
    Advice,
    /// The input given.
    Input,
    /// The output given.
    Output,
    /// Any other.
    Other,
}

/// Asserts that a proof was refused, and says by which check.
#[track_caller]
pub(crate) fn refused(case: &str, result: Result<VerifiedProof, VerifyError>) -> Check {
    let Err(error) = result else { panic!("{case}: the forged proof was accepted") };
    match error {
        VerifyError::Lookups(LookupError::RootNumerator { .. }) => Check::LookupSum,
        VerifyError::Lookups(
            LookupError::LeafNumerator { .. } | LookupError::LeafDenominator { .. },
        ) => Check::LookupLeaves,
        VerifyError::Layers(LayerError::End { .. }) => Check::Layers,
        VerifyError::Weights(WeightError::End { .. }) => Check::Weights,
        VerifyError::Opening(OpeningError::Root { .. }) => Check::WeightRoot,
        VerifyError::Advice(_) => Check::Advice,
        VerifyError::Extension { what: "input", .. } => Check::Input,
        VerifyError::Extension { what: "output", .. } | VerifyError::Outputs { .. } => {
            Check::Output
        }
        _ => Check::Other,
    }
}

/// Proves an honest run, and says at which `rho`.
pub(crate) fn prove_recorded(stage: &Stage, statement: &Statement) -> (Vec<K>, Proof) {
    let seen = RefCell::new(Vec::new());
    let see = |rho: &[K], _: &mut ClaimedValues| seen.replace(rho.to_vec()).clear();
    let lies = liar::Lies { values: Some(&see), ..liar::Lies::default() };
    let proof = liar::prove(stage, statement, &stage.witness, &lies);
    (seen.into_inner(), proof)
}

/// The kind of a site, for messages.
pub(crate) const fn kind(site: &Site) -> &'static str {
    match site {
        Site::Requant { .. } => "Requant",
        Site::Max2 { .. } => "Max2",
        Site::Copy { .. } => "Copy",
        Site::Output { .. } => "Output",
    }
}
