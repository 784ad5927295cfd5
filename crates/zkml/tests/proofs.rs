//! Whole proofs: made, encoded, verified; statements, instances and batches that do not belong.

use assay_zkml::circuit::Circuit;
use assay_zkml::execute::execute_batch;
use assay_zkml::prover::ProvingModel;
use assay_zkml::statement::{Claim, Hash, Instance, IoTree, Statement};
use assay_zkml::verifier::{VerifiedProof, VerifyError, verify_bytes};

use crate::network::{Net, network};

/// A proof with everything that a verifier is given.
pub(crate) struct Case {
    pub(crate) circuit: Circuit,
    pub(crate) inputs: Vec<Vec<i32>>,
    pub(crate) outputs: Vec<Vec<i32>>,
    pub(crate) statement: Statement,
    pub(crate) proof: Vec<u8>,
    tree: IoTree,
}

impl Case {
    /// Proves `net` on `count` inputs in a batch of `2^lb`.
    pub(crate) fn new(net: &mut Net, lb: u32, count: usize) -> Self {
        let inputs: Vec<Vec<i32>> = (0..count).map(|_| net.input()).collect();
        let model = ProvingModel::register(net.checked(), net.weights.clone()).unwrap();
        let circuit = Circuit::new(model.descriptor(), lb).unwrap();
        let runs = execute_batch(circuit.program(), model.weights(), lb, &inputs).unwrap();
        let outputs: Vec<Vec<i32>> =
            runs.iter().take(count).map(|run| run.output().to_vec()).collect();
        let tree = IoTree::new(lb, &instances(&inputs, &outputs)).unwrap();
        let context = if lb == 0 { context(0) } else { [0; 32] };
        let statement = Statement { model: circuit.model_id(), context, lb, io_root: tree.root() };
        let proof = model.prove(&circuit, &statement, &runs).unwrap().encode();
        Self { circuit, inputs, outputs, statement, proof, tree }
    }

    pub(crate) fn claim(&self, index: usize) -> Claim<'_> {
        let instance = instances(&self.inputs, &self.outputs)[index];
        Claim { index: index as u32, instance, path: self.tree.path(index) }
    }

    pub(crate) fn claims(&self) -> Vec<Claim<'_>> {
        (0..self.inputs.len()).map(|index| self.claim(index)).collect()
    }

    pub(crate) fn verify(&self, proof: &[u8]) -> Result<VerifiedProof, VerifyError> {
        verify_bytes(&self.circuit, &self.statement, &self.claims(), proof)
    }
}

fn context(index: usize) -> Hash {
    [index as u8 + 1; 32]
}

fn instances<'a>(inputs: &'a [Vec<i32>], outputs: &'a [Vec<i32>]) -> Vec<Instance<'a>> {
    let pairs = inputs.iter().zip(outputs).enumerate();
    pairs
        .map(|(index, (input, output))| Instance {
            context: context(index),
            salt: [index as u8 + 100; 32],
            input,
            output,
        })
        .collect()
}

#[test]
fn a_network_of_every_kind_of_site_is_proven_alone_and_in_batches() {
    for (seed, lb, count) in [(0, 0, 1), (1, 1, 2), (2, 2, 3), (3, 3, 1)] {
        let case = Case::new(&mut network(seed), lb, count);
        let verified = case.verify(&case.proof).unwrap();
        assert_eq!(verified.statement(), &case.statement);
        assert_eq!(verified.instances(), (0..count as u32).collect::<Vec<_>>());
        assert!(verified.security_bits() >= 100.0);
        assert!(case.proof.len() <= case.circuit.max_proof_bytes());
        // Each instance can be checked without the others.
        for index in 0..count {
            let claim = [case.claim(index)];
            let alone = verify_bytes(&case.circuit, &case.statement, &claim, &case.proof);
            assert_eq!(alone.unwrap().instances(), [index as u32]);
        }
    }
}
