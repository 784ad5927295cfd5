//! The `zkml` method: what is a package's program, and what becomes of a proof that nobody wants.

use std::collections::HashSet;
use std::sync::{Arc, Barrier, mpsc};

use assay_engine::{Engine as _, ModelPackage, Tract};
use assay_primitives::{Digest, InferenceRequest, Method, Tensor, TensorData};
use assay_receipt::TransactionSecret;
use assay_service::{
    Catalogue, CatalogueError, Certified, Certifier as _, Certifiers, Inference, Program,
    ProgramError, Stages, Zkml,
};
use assay_testkit::SeededRandomness;
use assay_zkml::model::{CLAIM_MEDIA_TYPE, ModelFile, PROOF_MEDIA_TYPE, VERIFYING_MEDIA_TYPE};
use assay_zkml::program::Mode;
use assay_zkml_onnx::{Options, compile};
use tokio::task::JoinSet;

use crate::catalogue::{package, prices};

fn compiled(package: &ModelPackage) -> ModelFile {
    compiled_for(package, Mode::Fast)
}

fn compiled_for(package: &ModelPackage, mode: Mode) -> ModelFile {
    let samples = package.samples();
    let values = (0..8).filter_map(|index| match samples.get(index).unwrap().input.data() {
        TensorData::Fp32(values) => Some(values.clone()),
        _ => None,
    });
    let samples: Vec<Vec<f32>> = values.collect();
    let mut options = Options::default();
    options.mode = mode;
    let compiled = compile(package.artifact(), &samples, &options).unwrap();
    compiled.into_file("of tests".to_owned()).unwrap()
}

fn zkml(packages: &[ModelPackage]) -> Zkml {
    let program = |package| Program::new(package, compiled(package)).unwrap();
    let programs = packages.iter().map(program).collect();
    Zkml::new(programs, 1, u64::MAX, Arc::new(SeededRandomness::new(1)))
}

fn inference(stages: Stages) -> Inference {
    inference_of("digits", stages)
}

fn inference_of(model: &str, stages: Stages) -> Inference {
    let package = package(model);
    let sample = package.samples().get(0).unwrap().input.clone();
    let prices = prices(&[]);
    let catalogue = Catalogue::new(vec![package], &prices, &Tract, &Certifiers::standard(1));
    let entry = catalogue.unwrap().find(model).unwrap().clone();
    let secret = TransactionSecret::from_bytes([3; 32]);
    let salts = [secret.request_salt(0), secret.output_salt(0)];
    let request = Arc::new(InferenceRequest { inputs: vec![sample] }.into());
    Inference { entry, request, salts, stages }
}

#[test]
fn a_program_is_that_of_its_package() {
    let [digits, tumour] = ["digits", "tumour"].map(package);
    let program = Program::new(&digits, compiled(&digits)).unwrap();
    assert_eq!(program.package(), digits.id());
    // Compiled from another model, whatever its card says.
    let error = Program::new(&digits, compiled(&tumour)).unwrap_err();
    assert!(matches!(error, ProgramError::Source), "{error}");
}

/// A price by a method that cannot certify the model is found at the start.
#[test]
fn only_what_has_a_program_is_sold_with_proofs() {
    let [digits, tumour] = ["digits", "tumour"].map(package);
    let certifiers = || Certifiers::standard(1).with(zkml(std::slice::from_ref(&digits)));
    let open = |model: &str| {
        let (packages, prices) =
            (vec![digits.clone(), tumour.clone()], prices(&[(model, Method::ZKML)]));
        Catalogue::new(packages, &prices, &Tract, &certifiers())
    };
    open("digits").unwrap();
    let error = open("tumour").unwrap_err();
    let reason = "there is no program of it".to_owned();
    let (model, method) = ("tumour".to_owned(), Method::ZKML);
    assert_eq!(error, CatalogueError::Method { model, method, reason });
}

/// Found at the start, and not by who has paid.
#[test]
fn what_takes_more_memory_than_proofs_may_is_not_sold() {
    let digits = package("digits");
    let open = |parallel: usize, memory: u64| {
        let program = Program::new(&digits, compiled(&digits)).unwrap();
        let zkml = Zkml::new(vec![program], parallel, memory, Arc::new(SeededRandomness::new(1)));
        let prices = prices(&[("digits", Method::ZKML)]);
        let certifiers = Certifiers::standard(1).with(zkml);
        Catalogue::new(vec![digits.clone()], &prices, &Tract, &certifiers).map(|_| ())
    };
    let needed = Program::new(&digits, compiled(&digits)).unwrap().prover_memory();
    open(1, needed).unwrap();
    open(2, 2 * needed).unwrap();
    for (parallel, memory) in [(1, needed - 1), (2, needed)] {
        let error = open(parallel, memory).unwrap_err().to_string();
        let mebibytes = (needed * parallel as u64).div_ceil(1 << 20);
        let told = format!("may take {mebibytes} MiB of memory, {} MiB are allowed", memory >> 20);
        assert!(error.contains(&told), "{error}");
    }
}

#[tokio::test]
async fn an_answer_is_the_programs_with_its_evidence() {
    let zkml = zkml(&[package("digits")]);
    let (told, stages) = mpsc::channel();
    let inference = inference(Stages::to(move |stage| told.send(stage).unwrap()));
    let certified = zkml.certify(&inference).await.unwrap();
    let kinds: Vec<&str> =
        certified.evidence.iter().map(|one| one.reference.kind.as_str()).collect();
    assert_eq!(kinds, [VERIFYING_MEDIA_TYPE, PROOF_MEDIA_TYPE, CLAIM_MEDIA_TYPE]);
    // The program is everybody's, proof and claim are the buyer's.
    let public: Vec<bool> = certified.evidence.iter().map(|one| one.is_public).collect();
    assert_eq!(public, [true, false, false]);
    let program = certified.model.program.unwrap();
    assert_eq!(program.0, certified.evidence[0].reference.sha256);
    assert_eq!(zkml.model(inference.entry.package()), Some(program));
    assert_eq!(certified.model.package, inference.entry.package().id());
    drop(inference);
    let stages: Vec<&str> = stages.iter().collect();
    assert_eq!(stages, ["witness", "commitment", "lookups", "layers", "weights", "opening"]);
}

/// Trees are certified as networks are; the engine has nearly the same answer, and `signed` gives it.
#[tokio::test]
async fn an_ensemble_is_certified() {
    let wine = package("wine");
    let zkml = zkml(std::slice::from_ref(&wine));
    let inference = inference_of("wine", Stages::default());
    let certified = zkml.certify(&inference).await.unwrap();
    let float = Tract.load(&wine).unwrap().run(&inference.request).unwrap();
    let values = |output: &assay_primitives::InferenceOutput| match output.outputs[0].data() {
        TensorData::Fp32(values) => values.clone(),
        other => panic!("{other:?}"),
    };
    let (proven, float) = (values(&certified.output), values(&float));
    assert_eq!(proven.len(), 3);
    for (proven, float) in proven.iter().zip(&float) {
        assert!((proven - float).abs() < 1e-5, "{proven} {float}");
    }
}

/// The mode is the program's: it is offered with the most bytes that its proofs have.
#[tokio::test]
async fn a_small_program_is_offered_as_such() {
    let digits = package("digits");
    let sold = [Mode::Fast, Mode::Small].map(|mode| {
        let program = Program::new(&digits, compiled_for(&digits, mode)).unwrap();
        assert_eq!(program.mode(), mode);
        Zkml::new(vec![program], 1, u64::MAX, Arc::new(SeededRandomness::new(1)))
    });
    let mut sizes = Vec::new();
    for (zkml, mode) in sold.iter().zip(["fast", "small"]) {
        let offered = zkml.proof(&digits).unwrap();
        assert_eq!(offered.mode, mode);
        let certified = zkml.certify(&inference(Stages::default())).await.unwrap();
        let bytes = certified.evidence[1].content.len() as u64;
        // The proof file's own head.
        assert!(bytes <= offered.max_bytes + 100, "{bytes} of {}", offered.max_bytes);
        sizes.push(bytes);
    }
    assert!(sizes[1] < sizes[0], "{sizes:?}");
    assert_eq!(sold[0].proof(&package("tumour")), None);
}

/// Different samples of one model, as items of one transaction.
fn items(count: u32) -> Vec<Inference> {
    let first = inference(Stages::default());
    let package = package("digits");
    let secret = TransactionSecret::from_bytes([3; 32]);
    let item = |index: u32| {
        let input = package.samples().get(index as usize).unwrap().input.clone();
        let salts = [secret.request_salt(index), secret.output_salt(index)];
        let request = Arc::new(InferenceRequest { inputs: vec![input] }.into());
        Inference { request, salts, ..first.clone() }
    };
    (0..count).map(item).collect()
}

/// One proof for all, a claim for each; as many proofs as memory asks for.
#[tokio::test]
async fn inferences_are_proven_in_one_batch() {
    let digits = package("digits");
    let parts = |certified: &[Certified], at: usize| -> HashSet<Digest> {
        certified.iter().map(|one| one.evidence[at].reference.sha256).collect()
    };
    let open = |memory: u64| {
        let program = Program::new(&digits, compiled(&digits)).unwrap();
        Zkml::new(vec![program], 1, memory, Arc::new(SeededRandomness::new(1)))
    };
    let zkml = open(u64::MAX);
    let batching = zkml.batching().unwrap();
    let certified = batching.certify_all(items(5)).await.unwrap();
    assert_eq!([0, 1, 2].map(|at| parts(&certified, at).len()), [1, 1, 5]);
    for (item, certified) in items(5).iter().zip(&certified) {
        // What is answered is what it is without a batch, and without a proof.
        assert_eq!(certified.output, zkml.certify(item).await.unwrap().output);
        assert_eq!(certified.output, batching.run(item).await.unwrap());
    }
    assert!(batching.certify_all(Vec::new()).await.unwrap().is_empty());
    let alone = Program::new(&digits, compiled(&digits)).unwrap().prover_memory();
    let tight = open(alone);
    let certified = tight.batching().unwrap().certify_all(items(3)).await.unwrap();
    assert_eq!([0, 1, 2].map(|at| parts(&certified, at).len()), [1, 3, 3]);
}

/// Two proofs of one request differ in their salts: nobody can tell by them that it was asked twice.
#[tokio::test]
async fn a_claim_is_salted() {
    let zkml = zkml(&[package("digits")]);
    let inference = inference(Stages::default());
    let [one, other] = [(); 2].map(|()| zkml.certify(&inference));
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    assert_eq!(one.output, other.output);
    assert_ne!(one.evidence[2].content, other.evidence[2].content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_nobody_wants_is_not_finished() {
    let zkml = Arc::new(zkml(&[package("digits")]));
    let (told, stages) = mpsc::channel();
    let gate = Arc::new(Barrier::new(2));
    let at_gate = gate.clone();
    let inference = inference(Stages::to(move |stage| {
        told.send(stage).unwrap();
        if stage == "witness" {
            at_gate.wait();
        }
    }));
    let prover = zkml.clone();
    let mut certifying = JoinSet::new();
    certifying.spawn(async move { prover.certify(&inference).await });
    assert_eq!(stages.recv(), Ok("witness"));
    certifying.abort_all();
    assert!(certifying.join_next().await.unwrap().unwrap_err().is_cancelled());
    gate.wait();
    // It ends there, and the next one has its turn.
    assert_eq!(stages.recv(), Err(mpsc::RecvError));
    zkml.certify(&self::inference(Stages::default())).await.unwrap();
}

#[test]
fn what_the_program_cannot_take_is_said() {
    let digits = package("digits");
    let zkml = zkml(std::slice::from_ref(&digits));
    let tensor =
        |data: TensorData| Tensor::new("image".to_owned(), vec![1, 1, 8, 8], data).unwrap();
    let check = |inputs: Vec<Tensor>| zkml.check(&digits, &InferenceRequest { inputs });
    let mut pixels = vec![0.0; 64];
    check(vec![tensor(TensorData::Fp32(pixels.clone()))]).unwrap();
    pixels[63] = -1.0;
    let told = check(vec![tensor(TensorData::Fp32(pixels))]).unwrap_err();
    assert_eq!(told, "input value 63 is -1, outside 0..=16");
    let told = check(vec![tensor(TensorData::Int32(vec![0; 64]))]).unwrap_err();
    assert_eq!(told, "expected FP32, got INT32");
    assert_eq!(check(Vec::new()).unwrap_err(), "expected 1 input, got 0");
    let tumour = package("tumour");
    let request = InferenceRequest { inputs: Vec::new() };
    assert_eq!(zkml.check(&tumour, &request).unwrap_err(), "there is no program of it");
}
