//! What an enclave answers over a socket.

use assay_attest::{Expectation, MAX_NONCE};
use assay_enclave::{Client, ClientError, FailureReason};
use assay_engine::{Engine as _, Tract};
use assay_primitives::{Digest, InferenceRequest, KeyId, ModelId, Tensor, TensorData};
use assay_receipt::{EvidenceScope, Salt, SignedEnclaveStatement, commit_output, commit_request};

use crate::support::{NOW, PACKAGES, World, digits, request, salts};

#[track_caller]
fn reason<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (FailureReason, String) {
    match result {
        Err(ClientError::Failed { reason, detail, .. }) => (reason, detail),
        other => panic!("not refused by the enclave: {other:?}"),
    }
}

#[test]
fn it_says_what_it_runs() {
    let description = World::new().client().describe().unwrap();
    let mut models: Vec<ModelId> = PACKAGES.iter().map(|package| package.id()).collect();
    models.sort_unstable();
    let configuration = description.configuration;
    assert_eq!(configuration.models, models);
    assert_eq!(configuration.engine.name, Tract.name());
    assert_eq!(configuration.engine.version, Tract.version());
    assert_eq!(configuration.scope, EvidenceScope::Model);
    assert_eq!(description.version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn its_key_is_attested_with_what_it_runs() {
    let world = World::new();
    let client = world.client();
    let file = client.attestation().unwrap();
    let key = world.appraise(&file, NOW).unwrap();
    assert!(key.is_simulated());
    assert_eq!(key.binding().configuration, client.describe().unwrap().configuration);
    assert_eq!((key.binding().not_before, &key.binding().nonce), (NOW, &None));
    // The same file each time: it is made once an epoch.
    assert_eq!(client.attestation().unwrap(), file);
    assert_eq!(client.attestation_of(key.key().id()).unwrap(), file);
    assert_eq!(world.gate.asked(), 1);
    let other = KeyId(Digest::of(b"another"));
    assert_eq!(reason(client.attestation_of(other)).0, FailureReason::UnknownKey);
}

#[test]
fn a_nonce_is_answered_with_new_evidence_for_the_same_key() {
    let world = World::new();
    let client = world.client();
    let epoch = world.appraise(&client.attestation().unwrap(), NOW).unwrap();
    for nonce in [&[7][..], &[7; MAX_NONCE]] {
        let key = world.appraise(&client.attest(nonce).unwrap(), NOW).unwrap();
        let answers = |nonce: &[u8]| {
            Expectation { nonce: Some(nonce.to_vec()), user_data: None }.check_key(&key)
        };
        answers(nonce).unwrap();
        assert_eq!(key.key(), epoch.key());
        answers(b"another").unwrap_err();
    }
    assert_ne!(client.attest(b"again").unwrap(), client.attest(b"again").unwrap());
    let asked = world.gate.asked();
    for wrong in [&[][..], &[7; MAX_NONCE + 1], &[7; 10_000]] {
        let (reason, detail) = reason(client.attest(wrong));
        assert_eq!(reason, FailureReason::Request);
        assert!(detail.contains(&format!("got {}", wrong.len())), "{detail}");
    }
    // Nothing was collected for these, and the key of the epoch is what it was.
    assert_eq!(world.gate.asked(), asked);
    assert_eq!(world.appraise(&client.attestation().unwrap(), NOW).unwrap().key(), epoch.key());
}

#[test]
fn it_answers_what_the_engine_does_and_signs_it() {
    let world = World::new();
    let client = world.client();
    for package in PACKAGES.iter() {
        let request = request(package);
        let expected = Tract.load(package).unwrap().run(&request).unwrap().to_bytes().unwrap();
        let request = request.to_bytes().unwrap();
        let inferred = client.infer(package.id(), salts(), request.clone()).unwrap();
        assert_eq!(inferred.output, expected);
        let file = client.attestation_of(inferred.key).unwrap();
        let key = world.appraise(&file, NOW).unwrap();
        let signed = SignedEnclaveStatement::from_bytes(&inferred.statement).unwrap();
        let statement = signed.verify(key.key()).unwrap();
        assert_eq!(statement.request_commitment, commit_request(&salts()[0], &request));
        assert_eq!(statement.output_commitment, commit_output(&salts()[1], &expected));
        assert_eq!(statement.model.package, package.id());
        assert_eq!(statement.model.name, package.card().name);
        assert_eq!(statement.model.version, package.card().version);
        assert_eq!(statement.model.engine, key.binding().configuration.engine);
        assert_eq!(statement.usage.inferences, 1);
        assert_eq!((statement.scope, statement.signed_at), (EvidenceScope::Model, NOW));
    }
}

/// The salts are of one item of one transaction: the same question for another buyer is signed anew.
#[test]
fn other_salts_are_another_statement() {
    let client = World::new().client();
    let request = request(digits()).to_bytes().unwrap();
    let signed = |salts: [Salt; 2]| {
        let inferred = client.infer(digits().id(), salts, request.clone()).unwrap();
        (inferred.output, inferred.statement)
    };
    let (output, statement) = signed(salts());
    for other in [[salts()[0], salts()[0]], [salts()[1], salts()[1]], [salts()[1], salts()[0]]] {
        let (same_output, other_statement) = signed(other);
        assert_eq!(same_output, output);
        assert_ne!(other_statement, statement);
    }
    assert_eq!(signed(salts()).1, statement);
}

#[test]
fn a_model_that_it_was_not_started_with_is_not_run() {
    let client = World::new().client();
    let other = ModelId(Digest::of(b"another"));
    let (reason, detail) =
        reason(client.infer(other, salts(), request(digits()).to_bytes().unwrap()));
    assert_eq!(reason, FailureReason::UnknownModel);
    assert!(detail.contains(&other.to_string()));
}

#[test]
fn a_request_has_one_spelling() {
    let client = World::new().client();
    let request = request(digits()).to_bytes().unwrap();
    let text = String::from_utf8(request).unwrap();
    for wrong in [
        format!("{text}\n"),
        text.replace(r#"{"inputs""#, r#"{ "inputs""#),
        text.replace(r#"{"inputs""#, r#"{"id":"1","inputs""#),
        text.replace(",6.0,", ",6,"),
        text.replace(",6.0,", ",6e0,"),
        text.replace(",6.0,", ",6.00,"),
        text.trim_end_matches('}').to_owned(),
        String::new(),
        "\0".repeat(100_000),
        "[".repeat(100_000),
    ] {
        assert_ne!(wrong, text);
        let answer = client.infer(digits().id(), salts(), wrong.clone().into_bytes());
        assert_eq!(reason(answer).0, FailureReason::Request, "{wrong:.80}");
    }
    client.infer(digits().id(), salts(), text.into_bytes()).unwrap();
}

#[test]
fn a_request_is_of_the_models_inputs() {
    let client = World::new().client();
    let image = request(digits()).inputs.remove(0);
    let tensor = |name: &str, shape: &[u64], data: TensorData| {
        Tensor::new(name.to_owned(), shape.to_vec(), data).unwrap()
    };
    let zeros = || TensorData::Fp32(vec![0.0; 64]);
    let wrong = [
        vec![],
        vec![image.clone(), image.clone()],
        vec![image.clone(), tensor("more", &[1], TensorData::Fp32(vec![0.0]))],
        vec![tensor("Image", &[1, 1, 8, 8], zeros())],
        vec![tensor("image", &[1, 8, 8], zeros())],
        vec![tensor("image", &[1, 1, 8, 8], TensorData::Fp64(vec![0.0; 64]))],
        vec![tensor(&"x".repeat(128), &[1, 1, 8, 8], zeros())],
    ];
    for inputs in wrong {
        let request = InferenceRequest { inputs }.to_bytes().unwrap();
        let (reason, detail) = reason(client.infer(digits().id(), salts(), request));
        assert_eq!(reason, FailureReason::Request, "{detail}");
        assert!(detail.starts_with("request: "), "{detail}");
    }
}

#[test]
fn an_output_that_is_not_finite_is_not_signed() {
    let client = World::new().client();
    let data = TensorData::Fp32(vec![f32::MAX; 64]);
    let image = Tensor::new("image".to_owned(), vec![1, 1, 8, 8], data).unwrap();
    let request = InferenceRequest { inputs: vec![image] }.to_bytes().unwrap();
    let (reason, detail) = reason(client.infer(digits().id(), salts(), request));
    assert_eq!(reason, FailureReason::Engine);
    assert!(detail.contains("not finite"), "{detail}");
}

#[test]
fn many_ask_at_once() {
    let world = World::new();
    let client: Client = world.client();
    let request = request(digits()).to_bytes().unwrap();
    let expected = client.infer(digits().id(), salts(), request.clone()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..8 {
                    let inferred = client.infer(digits().id(), salts(), request.clone()).unwrap();
                    assert_eq!(inferred, expected);
                }
            });
        }
    });
    assert_eq!(world.gate.asked(), 1);
}
