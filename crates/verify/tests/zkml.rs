//! Items with a proof: what certifies them, and each way in which it does not.

use std::sync::LazyLock;

use assay_primitives::{
    Digest, InferenceOutput, InferenceRequest, Method, ModelId, Tensor, TensorData,
};
use assay_receipt::{Bundle, EvidenceScope, commit_request};
use assay_testkit::{SampleTransaction, sample_transaction};
use assay_verify::{Check, Methods, Report, Verifier};
use assay_zkml::circuit::Circuit;
use assay_zkml::execute::execute_batch;
use assay_zkml::model::{
    CLAIM_MEDIA_TYPE, ClaimFile, Cut, PROOF_MEDIA_TYPE, ProofFile, Quantisation,
    VERIFYING_MEDIA_TYPE, VerifyingFile, batch_bits, context, statement,
};
use assay_zkml::prover::ProvingModel;
use assay_zkml::statement::Instance;
use assay_zkml_onnx::synthetic::{Forest, forest};
use assay_zkml_onnx::{Options, compile, synthetic};

use crate::support::{pinning, refused, verdict, verify};

/// A program that is ready to prove.
struct Program {
    key: VerifyingFile,
    model: ProvingModel,
}

/// Two layers, of 4 inputs and 3 outputs.
static PROGRAM: LazyLock<Program> = LazyLock::new(|| Program::of_seed(1));
static OTHER: LazyLock<Program> = LazyLock::new(|| Program::of_seed(2));

impl Program {
    fn of_seed(seed: u64) -> Self {
        Self::of(&synthetic::dense(&[4, 8, 3], seed))
    }

    fn of(onnx: &[u8]) -> Self {
        let samples = [1.0, -1.0, 0.25].map(|value| vec![value; 4]);
        let compiled = compile(onnx, &samples, &Options::default()).unwrap();
        let (key, model) =
            compiled.into_file("of tests".to_owned()).unwrap().into_prover().unwrap();
        Self { key, model }
    }

    fn id(&self) -> ModelId {
        ModelId(Digest::of(&self.key.encode()))
    }

    fn tensor(name: &str, dims: &[u32], values: Vec<f32>) -> Tensor {
        let shape = dims.iter().map(|&dim| u64::from(dim)).collect();
        Tensor::new(name.to_owned(), shape, TensorData::Fp32(values)).unwrap()
    }

    fn request(&self, values: &[f32]) -> Vec<u8> {
        let dims = self.key.input().order().dims();
        let request = InferenceRequest { inputs: vec![Self::tensor("x", dims, values.to_vec())] };
        request.to_bytes().unwrap()
    }

    fn output(&self, raw: &[i32]) -> Vec<u8> {
        let values = self.key.output().dequantise(raw).unwrap();
        let dims = self.key.output().order().dims();
        InferenceOutput { outputs: vec![Self::tensor("y", dims, values)] }.to_bytes().unwrap()
    }

    /// Proves inferences as one batch; returns the proof, the claims and the raw outputs.
    fn prove(&self, key: &VerifyingFile, inputs: &[Asked]) -> (ProofFile, Vec<ClaimFile>) {
        let lb = batch_bits(inputs.len());
        let circuit = Circuit::new(self.model.descriptor(), lb).unwrap();
        let values: Vec<Vec<i32>> = inputs
            .iter()
            .map(|asked| key.input().quantise_within(&asked.values).unwrap())
            .collect();
        let runs = execute_batch(circuit.program(), self.model.weights(), lb, &values).unwrap();
        let instances: Vec<Instance<'_>> = inputs
            .iter()
            .zip(&values)
            .zip(&runs)
            .map(|((asked, input), run)| Instance {
                context: context(&key.digest(), &asked.commitment.0),
                salt: [9; 32],
                input,
                output: run.output(),
            })
            .collect();
        let (said, claims) = statement(&circuit, &instances).unwrap();
        let proof = self.model.prove(&circuit, &said, &runs).unwrap().encode();
        let claims = claims.iter().map(ClaimFile::of).collect();
        (ProofFile::new(said.model, lb, Vec::new(), proof), claims)
    }
}

/// What is asked, and how the item commits to it.
struct Asked {
    values: Vec<f32>,
    commitment: Digest,
}

fn asked(transaction: &SampleTransaction, index: u32, values: &[f32]) -> Asked {
    let salt = transaction.secret.request_salt(index);
    // All programs here have the same input.
    let commitment = commit_request(&salt, &PROGRAM.request(values));
    Asked { values: values.to_vec(), commitment }
}

const INPUT: [f32; 4] = [1.0, -1.0, 0.25, 0.5];

/// The evidence of an item, which tests change.
#[derive(Clone)]
struct Evidence {
    verifying: Vec<u8>,
    proof: ProofFile,
    claim: ClaimFile,
}

/// A transaction of one item with its proof. Change what is to be wrong with it.
#[derive(Clone)]
struct Sale {
    transaction: SampleTransaction,
    evidence: Evidence,
}

impl Sale {
    fn new() -> Self {
        Self::of(&PROGRAM)
    }

    fn of(program: &Program) -> Self {
        let mut transaction = sample_transaction(8_453).settled();
        let (proof, claims) = program.prove(&program.key, &[asked(&transaction, 0, &INPUT)]);
        let claim = claims[0].clone();
        sell(program, &mut transaction, 0, &INPUT, claim.output());
        let evidence = Evidence { verifying: program.key.encode(), proof, claim };
        Self { transaction, evidence }
    }

    fn parts(&self) -> [(&'static str, Vec<u8>); 3] {
        let Evidence { verifying, proof, claim } = &self.evidence;
        [
            (VERIFYING_MEDIA_TYPE, verifying.clone()),
            (PROOF_MEDIA_TYPE, proof.encode()),
            (CLAIM_MEDIA_TYPE, claim.encode()),
        ]
    }

    fn report(&self) -> Report {
        self.report_with(&self.parts())
    }

    fn report_with(&self, parts: &[(&str, Vec<u8>)]) -> Report {
        verify(&self.verifier(), &bundle(self.transaction.clone(), 0, parts))
    }

    /// A verifier whose policy pins the operator and the program.
    fn verifier(&self) -> Verifier {
        Verifier::new(pinning(&self.transaction), Methods::standard())
    }

    #[track_caller]
    fn assert_refused(&self) -> (String, String) {
        assert_uncertified(&self.report())
    }
}

/// Puts what was asked and answered into an item.
fn sell(
    program: &Program,
    transaction: &mut SampleTransaction,
    index: usize,
    input: &[f32],
    raw: &[i32],
) {
    let item = &mut transaction.items[index];
    item.details.method = Method::ZKML;
    item.details.model.program = Some(program.id());
    item.request = program.request(input);
    item.output = Some(program.output(raw));
}

fn bundle(transaction: SampleTransaction, index: usize, parts: &[(&str, Vec<u8>)]) -> Bundle {
    let add = |transaction: SampleTransaction, (kind, content): &(&str, Vec<u8>)| {
        transaction.with_evidence(index, kind, content)
    };
    parts.iter().fold(transaction, add).bundle()
}

#[track_caller]
fn assert_uncertified(report: &Report) -> (String, String) {
    assert_eq!(refused(report), (Check::ItemCertification, Some(0)));
    let refusal = report.refusal.clone().unwrap();
    (refusal.expected, refusal.got)
}

#[test]
fn a_proven_item_is_verified_and_nobody_has_to_be_believed() {
    let report = Sale::new().report();
    assert_eq!(verdict(&report), "verified", "{:?}", report.refusal);
    assert_eq!(report.items[0].believe, "mathematics and a hash function");
    assert!(report.items[0].notes.iter().any(|note| note.contains("not zero-knowledge")));
}

/// The same receipt, and a proof that is good, of something else.
#[test]
fn a_proof_of_another_input_is_refused() {
    let sale = Sale::new();
    let other = [0.5, -1.0, 0.25, 0.5];
    let mut of_other = asked(&sale.transaction, 0, &INPUT);
    of_other.values = other.to_vec();
    let (proof, claims) = PROGRAM.prove(&PROGRAM.key, &[of_other]);
    let claim = claims[0].clone();
    let mut forged = sale.clone();
    forged.evidence = Evidence { proof, claim: claim.clone(), ..sale.evidence };
    // Its answer is another one, too.
    assert!(forged.assert_refused().0.starts_with("output value "));
    forged.transaction.items[0].output = Some(PROGRAM.output(claim.output()));
    assert_eq!(forged.assert_refused().0, "a proof of this inference");
}

#[test]
fn another_answer_is_refused() {
    let sale = Sale::new();
    let mut raw = sale.evidence.claim.output().to_vec();
    raw[1] += 1;
    let mut answered = sale.clone();
    answered.transaction.items[0].output = Some(PROGRAM.output(&raw));
    assert!(answered.assert_refused().0.starts_with("output value 1 is "));
    // With a claim that says so.
    let instance = Instance { context: [0; 32], salt: [9; 32], input: &[], output: &raw };
    let claim = assay_zkml::statement::Claim { index: 0, instance, path: Vec::new() };
    answered.evidence.claim = ClaimFile::of(&claim);
    assert_eq!(answered.assert_refused().0, "a proof of this inference");
    // By a bit that is no other number.
    let mut zero = sale;
    zero.evidence.claim = ClaimFile::of(&claim);
    assert!(zero.assert_refused().0.starts_with("output value 1 is "));
}

/// A proof is for the request that was committed to: the salt of another item gives another context.
#[test]
fn a_proof_does_not_stand_for_the_same_question_asked_again() {
    let sale = Sale::new();
    let mut again = sale.clone();
    again.transaction.secret = assay_receipt::TransactionSecret::from_bytes([8; 32]);
    assert_eq!(again.assert_refused().0, "a proof of this inference");
}

#[test]
fn a_proof_is_of_the_program_that_the_receipt_names() {
    let sale = Sale::new();
    let mut named = sale.clone();
    named.transaction.items[0].details.model.program = Some(OTHER.id());
    assert!(named.assert_refused().0.starts_with("the program "));
    named.transaction.items[0].details.model.program = None;
    assert_eq!(named.assert_refused().1, "none");
    // Its verifying file, too.
    named.transaction.items[0].details.model.program = Some(OTHER.id());
    named.evidence.verifying = OTHER.key.encode();
    assert!(named.assert_refused().0.starts_with("a proof of "));
    // And its id in the proof.
    let proof = sale.evidence.proof.proof().to_vec();
    let id = OTHER.key.model_id();
    named.evidence.proof = ProofFile::new(id, 0, Vec::new(), proof);
    let expected = named.assert_refused().0;
    assert!(expected.starts_with("output value ") || expected == "a proof of this inference");
}

/// The program's id says nothing of what its integers stand for; the verifying file does.
#[test]
fn other_scales_are_another_program() {
    let sale = Sale::new();
    let (input, output) = (PROGRAM.key.input(), PROGRAM.key.output());
    let scales = input.scales().iter().map(|scale| scale * 2.0).collect();
    let doubled = Quantisation::new(input.order().clone(), scales, input.interval()).unwrap();
    let name = PROGRAM.key.name().to_owned();
    let descriptor = PROGRAM.key.descriptor().clone();
    let key = VerifyingFile::new(name, descriptor, doubled, output.clone()).unwrap();
    assert_eq!(key.model_id(), PROGRAM.key.model_id());
    let mut scaled = sale.clone();
    scaled.evidence.verifying = key.encode();
    assert!(scaled.assert_refused().0.starts_with("the program "));
    // A policy that names the program knows nothing of this one.
    let id = ModelId(Digest::of(&key.encode()));
    scaled.transaction.items[0].details.model.program = Some(id);
    assert_eq!(scaled.assert_refused().0, "a proof of this inference");
    let (proof, claims) = PROGRAM.prove(&key, &[asked(&sale.transaction, 0, &INPUT)]);
    scaled.transaction.items[0].output = Some(PROGRAM.output(claims[0].output()));
    scaled.evidence = Evidence { verifying: key.encode(), proof, claim: claims[0].clone() };
    let report = verify(&sale.verifier(), &bundle(scaled.transaction.clone(), 0, &scaled.parts()));
    assert_eq!(refused(&report), (Check::PolicyModel, Some(0)));
    assert_eq!(verdict(&scaled.report()), "verified");
}

/// Nine trees of 4 inputs and 3 outputs.
static TREES: LazyLock<Program> = LazyLock::new(|| {
    let shape = Forest { features: 4, trees: 9, depth: 4, targets: 3, is_classifier: true };
    Program::of(&forest(shape, 5))
});

/// The integers of an ensemble's input are answers, which the verifier gives himself.
#[test]
fn trees_answer_what_was_asked() {
    let sale = Sale::of(&TREES);
    let report = sale.report();
    assert_eq!(verdict(&report), "verified", "{:?}", report.refusal);
    assert_eq!(report.items[0].believe, "mathematics and a hash function");
    let quantise = |values: &[f32]| TREES.key.input().quantise_within(values).unwrap();
    // Another request: with other answers, and with the same.
    let elsewhere = [-1.0, 1.0, 0.25, 0.5];
    let nearby = |at: usize| {
        [1.0 / 64.0, -1.0 / 64.0].map(|step| {
            let mut input = INPUT;
            input[at] += step;
            input
        })
    };
    let mut nearby = (0..4).flat_map(nearby);
    let alike = nearby.find(|input| quantise(input) == quantise(&INPUT)).unwrap();
    assert_ne!(quantise(&elsewhere), quantise(&INPUT));
    for other in [elsewhere, alike] {
        let mut forged = sale.clone();
        forged.transaction.items[0].request = TREES.request(&other);
        assert_eq!(forged.assert_refused().0, "a proof of this inference");
    }
    // A proof of other answers, with its own output, under the same receipt.
    let mut of_other = asked(&sale.transaction, 0, &INPUT);
    of_other.values = elsewhere.to_vec();
    let (proof, claims) = TREES.prove(&TREES.key, &[of_other]);
    let mut forged = sale.clone();
    forged.transaction.items[0].output = Some(TREES.output(claims[0].output()));
    forged.evidence = Evidence { proof, claim: claims[0].clone(), ..sale.evidence.clone() };
    assert_eq!(forged.assert_refused().0, "a proof of this inference");
}

/// Cuts that lie elsewhere are another program, though its id in the proof system is the same.
#[test]
fn other_cuts_are_another_program() {
    let sale = Sale::of(&TREES);
    let (input, output) = (TREES.key.input(), TREES.key.output());
    let moved = |cut: &Cut| Cut { value: cut.value + 0.5, ..*cut };
    let cuts = input.cuts().iter().map(moved).collect();
    let moved = Quantisation::by_cuts(input.order().clone(), cuts).unwrap();
    let (name, descriptor) = (TREES.key.name().to_owned(), TREES.key.descriptor().clone());
    let key = VerifyingFile::new(name, descriptor, moved, output.clone()).unwrap();
    assert_eq!(key.model_id(), TREES.key.model_id());
    let mut forged = sale.clone();
    forged.evidence.verifying = key.encode();
    assert!(forged.assert_refused().0.starts_with("the program "));
    let id = ModelId(Digest::of(&key.encode()));
    forged.transaction.items[0].details.model.program = Some(id);
    assert_eq!(forged.assert_refused().0, "a proof of this inference");
    // With a proof of its own it is what it says, and not what a policy pins.
    let (proof, claims) = TREES.prove(&key, &[asked(&sale.transaction, 0, &INPUT)]);
    forged.transaction.items[0].output = Some(TREES.output(claims[0].output()));
    forged.evidence = Evidence { verifying: key.encode(), proof, claim: claims[0].clone() };
    let report = verify(&sale.verifier(), &bundle(forged.transaction.clone(), 0, &forged.parts()));
    assert_eq!(refused(&report), (Check::PolicyModel, Some(0)));
}

#[test]
fn evidence_is_three_pieces_in_order() {
    let sale = Sale::new();
    let parts = sale.parts();
    let [verifying, proof, claim] = parts.clone();
    for wrong in [
        vec![],
        vec![verifying.clone()],
        vec![verifying.clone(), proof.clone()],
        vec![proof.clone(), verifying.clone(), claim.clone()],
        vec![verifying.clone(), claim.clone(), proof.clone()],
        vec![verifying.clone(), proof.clone(), claim.clone(), claim.clone()],
    ] {
        assert_uncertified(&sale.report_with(&wrong));
    }
    let mut elsewhere = parts.iter().fold(sale.transaction.clone(), |transaction, part| {
        transaction.with_evidence(0, part.0, &part.1)
    });
    elsewhere.items[0].details.evidence[1].scope = EvidenceScope::Gateway;
    let report = verify(&sale.verifier(), &elsewhere.bundle());
    assert_eq!(assert_uncertified(&report), ("scope Model".to_owned(), "Gateway".to_owned()));
}

/// Salts of the other instances would let a reader of one item guess the rest.
#[test]
fn a_proof_brings_no_salts() {
    let mut sale = Sale::new();
    let proof = &sale.evidence.proof;
    sale.evidence.proof = ProofFile::new(proof.model(), 0, vec![[9; 32]], proof.proof().to_vec());
    assert_eq!(sale.assert_refused(), ("a proof without salts".to_owned(), "1".to_owned()));
}

#[test]
fn requests_and_outputs_that_are_not_the_programs_are_refused() {
    let sale = Sale::new();
    let mut changed = sale.clone();
    let dims = PROGRAM.key.input().order().dims();
    let request = |tensors: Vec<Tensor>| InferenceRequest { inputs: tensors }.to_bytes().unwrap();
    let tensor = |values: &[f32]| Program::tensor("x", dims, values.to_vec());
    let shape = vec![2, 2];
    let other_shape = Tensor::new("x".to_owned(), shape, TensorData::Fp32(INPUT.to_vec())).unwrap();
    let integers =
        Tensor::new("x".to_owned(), vec![1, 4], TensorData::Int32(vec![1, -1, 0, 0])).unwrap();
    for (tensors, expected) in [
        (vec![], "1 input"),
        (vec![tensor(&INPUT), tensor(&INPUT)], "1 input"),
        (vec![other_shape], "an input of shape"),
        (vec![integers], "an input of FP32"),
        (vec![tensor(&[1e9, -1.0, 0.25, 0.5])], "an input in the program's range"),
    ] {
        changed.transaction.items[0].request = request(tensors);
        let got = changed.assert_refused();
        assert!(got.0.starts_with(expected), "{got:?}");
    }
    let mut changed = sale.clone();
    changed.transaction.items[0].details.usage.inferences = 2;
    assert_eq!(changed.assert_refused(), ("1 inference".to_owned(), "2".to_owned()));
    let mut changed = sale;
    let raw = changed.evidence.claim.output().to_vec();
    let output = InferenceOutput::from_bytes(&PROGRAM.output(&raw)).unwrap();
    let twice = [output.outputs.clone(), output.outputs].concat();
    changed.transaction.items[0].output = InferenceOutput { outputs: twice }.to_bytes().ok();
    assert_eq!(changed.assert_refused().0, "1 output");
}

#[test]
fn pieces_that_were_cut_or_changed_are_refused() {
    let sale = Sale::new();
    let parts = sale.parts();
    for (piece, step) in [(0, 7), (1, 997), (2, 1)] {
        let length = parts[piece].1.len();
        for at in (0..length).step_by(step) {
            let mut changed = parts.clone();
            changed[piece].1[at] ^= 1 << (at % 8);
            assert_ne!(
                verdict(&sale.report_with(&changed)),
                "verified",
                "piece {piece}, byte {at}"
            );
            changed[piece].1.truncate(at);
            assert_ne!(verdict(&sale.report_with(&changed)), "verified", "piece {piece} of {at}");
        }
        let mut longer = parts.clone();
        longer[piece].1.push(0);
        assert_uncertified(&sale.report_with(&longer));
    }
}

/// One proof for the items of a transaction; each holds alone.
#[test]
fn items_of_a_batch_are_proven_as_one() {
    let inputs = [INPUT, [0.5, 0.5, 0.25, -1.0], [0.0, 0.25, -0.5, 0.5]];
    let mut transaction = sample_transaction(8_453).with_items(3).settled();
    let asked: Vec<Asked> =
        (0..3).zip(&inputs).map(|(index, input)| asked(&transaction, index, input)).collect();
    let (proof, claims) = PROGRAM.prove(&PROGRAM.key, &asked);
    for (index, (input, claim)) in inputs.iter().zip(&claims).enumerate() {
        sell(&PROGRAM, &mut transaction, index, input, claim.output());
        let evidence = Evidence {
            verifying: PROGRAM.key.encode(),
            proof: proof.clone(),
            claim: claim.clone(),
        };
        for (kind, content) in (Sale { transaction: transaction.clone(), evidence }).parts() {
            transaction = transaction.with_evidence(index, kind, &content);
        }
    }
    let sale = Sale { transaction: transaction.clone(), ..Sale::new() };
    let report = verify(&sale.verifier(), &transaction.bundle());
    assert_eq!(verdict(&report), "verified", "{:?}", report.refusal);
    // The program and the proof are there once.
    assert_eq!(transaction.evidence.len(), 2 + 3);
    // Of three items of one proof the one is refused that answers otherwise, and no other.
    let mut lied = transaction.clone();
    let other = claims[0].output().iter().map(|value| value + 1).collect::<Vec<_>>();
    lied.items[1].output = Some(PROGRAM.output(&other));
    let report = verify(&sale.verifier(), &lied.bundle());
    let verdicts: Vec<&str> = report.items.iter().map(|item| item.verdict.as_str()).collect();
    assert_eq!(verdicts, ["verified", "refused", "verified"]);
    // What ran once is no two inferences: the second item that claims it is refused.
    let mut twice = transaction.clone();
    let (first, second) = (twice.items[0].clone(), &mut twice.items[1]);
    second.details.evidence = first.details.evidence.clone();
    (second.request, second.output) = (first.request.clone(), first.output.clone());
    twice.evidence.retain(|blob| blob.content != claims[1].encode());
    let report = verify(&sale.verifier(), &twice.bundle());
    let verdicts: Vec<&str> = report.items.iter().map(|item| item.verdict.as_str()).collect();
    assert_eq!(verdicts, ["verified", "refused", "verified"]);
    let refusal = report.items[1].verdict.refusal().unwrap();
    assert_eq!(
        (refusal.expected.as_str(), refusal.got.as_str()),
        ("an instance for each item", "instance 0 again")
    );
    // A claim of one item does not stand for another.
    for item in &mut transaction.items {
        item.details.evidence.clear();
    }
    transaction.evidence.clear();
    let evidence = Evidence { verifying: PROGRAM.key.encode(), proof, claim: claims[1].clone() };
    let sale = Sale { transaction, evidence };
    assert_uncertified(&sale.report());
}
