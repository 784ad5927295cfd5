//! `assay zkml` as its users see it, on the model of digits.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Place, Ran};

/// A compiled model with inputs, outputs and a proof of some of them.
struct Case {
    place: Place,
}

fn digits(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/digits");
    folder.join(file).to_str().unwrap().to_owned()
}

/// The inputs of the model's samples.
fn samples() -> Vec<Value> {
    let text = std::fs::read(digits("samples.json")).unwrap();
    let samples: Value = serde_json::from_slice(&text).unwrap();
    let inputs = samples["samples"].as_array().unwrap().iter();
    inputs.map(|sample| sample["data"].clone()).collect()
}

impl Case {
    /// Compiles the model.
    fn new() -> (Self, Value) {
        Self::compiled(&[])
    }

    /// Compiles the model as `more` says.
    fn compiled(more: &[&str]) -> (Self, Value) {
        let place = Place::new();
        place.file("samples.json", json!({ "input_data": samples() }).to_string());
        let model = digits("model.onnx");
        let compile = ["zkml", "compile", &model, "--calibrate", "samples.json", "--out", "m.zkml"];
        let told = place.run(&[&compile[..], more, &["--json"]].concat()).expect(0).json();
        (Self { place }, told)
    }

    fn inputs(&self, count: usize) {
        let inputs: Vec<Value> = samples().into_iter().take(count).collect();
        self.place.file("input.json", json!({ "input_data": inputs }).to_string());
    }

    fn prove(&self, more: &[&str]) -> Ran {
        let prove = ["zkml", "prove", "m.zkml", "--input", "input.json", "--out", "proof"];
        self.place.run(&[&prove[..], &["--output", "output.json"], more].concat())
    }

    fn verify(&self, more: &[&str]) -> Ran {
        let verify = ["zkml", "verify", "proof", "--key", "m.vk", "--input", "input.json"];
        self.place.run(&[&verify[..], &["--output", "output.json"], more].concat())
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.place.path(name)).unwrap()
    }

    /// Changes a file, verifies, and puts the file back.
    fn verify_with(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Ran {
        let kept = self.read(name);
        let mut changed = kept.clone();
        change(&mut changed);
        self.place.file(name, &changed);
        let ran = self.verify(&[]);
        self.place.file(name, &kept);
        ran
    }

    /// Changes a number of a JSON file and verifies.
    fn verify_with_number(&self, name: &str, pointer: &str, by: i32) -> Ran {
        self.verify_with(name, |bytes| {
            let mut value: Value = serde_json::from_slice(bytes).unwrap();
            let number = value.pointer_mut(pointer).unwrap();
            *number = match number.as_i64() {
                Some(integer) => json!(integer + i64::from(by)),
                None => json!(number.as_f64().unwrap() + f64::from(by)),
            };
            *bytes = value.to_string().into_bytes();
        })
    }
}

#[test]
fn a_model_is_compiled_run_proven_and_verified() {
    let (case, compiled) = Case::new();
    assert!(compiled["security_bits"].as_f64().unwrap() >= 100.0);
    assert_eq!(compiled["agreement"]["same_argmax"], compiled["agreement"]["samples"]);
    assert_eq!(compiled["program_bytes"], case.read("m.zkml").len());
    assert_eq!(compiled["verifying_bytes"], case.read("m.vk").len());
    assert!(compiled["compile_ms"].as_f64().unwrap() > 0.0);

    case.inputs(1);
    let proven = case.prove(&["--json"]).expect(0).json();
    assert_eq!(proven["model_id"], compiled["model_id"]);
    assert_eq!(proven["proof_bytes"], case.read("proof").len());
    assert!(proven["verify_ms"].as_f64().unwrap() > 0.0);
    let run = ["zkml", "run", "m.zkml", "--input", "input.json", "--against"];
    let onnx = digits("model.onnx");
    let ran = case.place.run(&[&run[..], &[&onnx, "--json"]].concat()).expect(0).json();
    assert_eq!(ran["output_int"], proven["output_int"]);
    assert_eq!(ran["float"]["same_argmax"], 1);

    let verified = case.verify(&["--json"]).expect(0).json();
    assert_eq!(verified["verified"], true);
    assert_eq!(verified["model_id"], compiled["model_id"]);
    // The last bytes of the file, which fix the scales as well.
    let key = case.read("m.vk");
    let digest: String = key[key.len() - 32..].iter().map(|byte| format!("{byte:02x}")).collect();
    for told in [&compiled, &proven, &verified] {
        assert_eq!(told["verifying_digest"], digest);
    }
    assert_eq!(verified["output"], proven["output"]);
    let told = case.verify(&[]).expect(0).stdout;
    assert!(told.starts_with("proven\n") && told.contains("not zero-knowledge"), "{told}");
    assert!(told.contains(&digest), "{told}");
}

/// The same model with finer activations: another model, closer to the float one, proven alike.
#[test]
fn int16_activations_are_closer_to_the_float_model() {
    let (_, told) = Case::new();
    let (case, told_wide) = Case::compiled(&["--activations", "int16"]);
    assert_ne!(told["model_id"], told_wide["model_id"]);
    assert_eq!(told["activations"], told_wide["activations"]);
    let error = |told: &Value| told["agreement"]["greatest_error"].as_f64().unwrap();
    assert!(error(&told_wide) < error(&told) / 7.0, "{told_wide}");
    case.inputs(1);
    case.prove(&[]).expect(0);
    case.verify(&[]).expect(0);
    case.verify_with_number("output.json", "/output_int/0/3", 1).expect_told(1, "was changed");
}

/// The same model in mode `small`: smaller proofs of another model id, and neither mode's proof is good
/// for the other.
#[test]
fn a_small_program_has_small_proofs() {
    let (fast, told) = Case::new();
    let (small, told_small) = Case::compiled(&["--mode", "small"]);
    assert_eq!((&told["mode"], &told_small["mode"]), (&json!("fast"), &json!("small")));
    assert_ne!(told["model_id"], told_small["model_id"]);
    assert!(told_small["security_bits"].as_f64().unwrap() >= 100.0);
    let proofs = [&fast, &small].map(|case| {
        case.inputs(1);
        case.prove(&[]).expect(0);
        case.verify(&[]).expect(0);
        case.read("proof")
    });
    assert!(proofs[1].len() < proofs[0].len(), "{} bytes", proofs[1].len());
    assert!(proofs[1].len() as u64 <= told_small["max_proof_bytes"].as_u64().unwrap() + 200);
    for (case, other) in [(&fast, &proofs[1]), (&small, &proofs[0])] {
        case.verify_with("proof", |bytes| bytes.clone_from(other)).expect(1);
    }
    let inspect = ["zkml", "inspect", "m.vk"];
    let said = small.place.run(&inspect).expect(0).stdout;
    assert!(said.contains("small, at most") && said.contains("WHIR of weights"), "{said}");
    let said = small.place.run(&[&inspect[..], &["--json"]].concat()).expect(0).json();
    assert_eq!(said["mode"], "small");
    assert!(said["security_whir_of_weights"].as_array().unwrap().len() > 3);
}

#[test]
fn what_was_not_proven_is_refused() {
    let (case, _) = Case::new();
    case.inputs(1);
    let proven = case.prove(&["--no-check", "--json"]).expect(0).json();
    assert_eq!(proven["verify_ms"], Value::Null);
    // Inputs are 0 to 16, and this one is 1.
    case.verify_with_number("input.json", "/input_data/0/2", 1).expect_told(1, "refused");
    case.verify_with_number("output.json", "/output_int/0/3", 1).expect_told(1, "output_data");
    case.verify_with_number("output.json", "/output_data/0/3", 1).expect_told(1, "output_data");
    case.verify(&["--context", "another request"]).expect_told(1, "refused");
    let proof = case.read("proof");
    for at in [60, 100, 1_000, proof.len() / 2, proof.len() - 1] {
        case.verify_with("proof", |bytes| bytes[at] ^= 1).expect_told(1, "refused");
    }
    case.verify_with("proof", |bytes| bytes.truncate(proof.len() - 1)).expect_told(1, "refused");
    case.verify_with("proof", |bytes| bytes.push(0)).expect_told(1, "refused");
    // The model's id stands behind magic and version.
    case.verify_with("proof", |bytes| bytes[20] ^= 1).expect_told(1, "the proof is of model");
    case.verify(&[]).expect(0);
}

#[test]
fn a_batch_is_one_proof() {
    let (case, _) = Case::new();
    case.inputs(3);
    let proven = case.prove(&["--json", "--context", "r-1"]).expect(0).json();
    assert_eq!(proven["batch"], 4);
    assert_eq!(proven["output"].as_array().unwrap().len(), 3);
    let verified = case.verify(&["--json", "--context", "r-1"]).expect(0).json();
    assert_eq!(verified["inferences"], 3);
    case.verify(&[]).expect_told(1, "refused");
    case.inputs(2);
    case.verify(&["--context", "r-1"]).expect_told(1, "the proof is about 3 inferences");
}

/// What is said beforehand of the memory that a batch takes is no less than it does.
#[test]
fn the_memory_of_a_proof_is_foreseen() {
    let figure = |told: &Value, name: &str| told[name].as_u64().unwrap();
    let figures = |case: &Case, batch: usize| {
        case.inputs(batch);
        let inspect = ["zkml", "inspect", "m.zkml", "--json", "--batch", &batch.to_string()];
        let foreseen = figure(&case.place.run(&inspect).expect(0).json(), "prover_memory_bytes");
        let proven = case.prove(&["--json", "--no-check"]).expect(0).json();
        assert_eq!(figure(&proven, "batch"), batch as u64);
        [foreseen, figure(&proven, "peak_rss_bytes")]
    };
    let (fast, small) = (Case::new().0, Case::compiled(&["--mode", "small"]).0);
    let (one, many) = (figures(&fast, 1), figures(&fast, 128));
    for more in [many, figures(&small, 1), figures(&small, 128)] {
        let [foreseen, taken] = [0, 1].map(|of| more[of].saturating_sub(one[of]));
        assert!(taken <= foreseen, "{taken} bytes, {foreseen} foreseen");
    }
    let [foreseen, taken] = [0, 1].map(|of| many[of] - one[of]);
    assert!(foreseen <= 4 * taken, "{taken} bytes, {foreseen} foreseen");
}

/// A model of the input `x` and the output `y`, and of a node between them.
const NAMES: &[u8] = b":)\x0a\x0d\x0a\x01x\x12\x01y\x22\x05\x1b[2J!Z\x13\x0a\x01x\x12\x0e\x0a\x0c\
    \x08\x01\x12\x08\x0a\x02\x08\x01\x0a\x02\x08\x02b\x03\x0a\x01yB\x02\x10\x0d";

#[test]
fn unusable_files_are_told_in_a_sentence() {
    let (case, _) = Case::new();
    case.inputs(1);
    case.prove(&[]).expect(0);
    let place = &case.place;
    for (file, told) in [("m.vk", "m.vk"), ("input.json", "input.json"), ("proof", "proof")] {
        case.verify_with(file, |bytes| bytes.truncate(10)).expect_told(2, told);
        case.verify_with(file, |bytes| *bytes = b"garbage, and more of it".to_vec())
            .expect_told(2, told);
    }
    case.verify_with("m.vk", |bytes| bytes[60] ^= 1).expect_told(2, "digest");
    place.file("short.json", r#"{"input_data": [[1, 2]]}"#);
    let run = |input: &str| place.run(&["zkml", "run", "m.zkml", "--input", input]);
    run("short.json").expect_told(2, "2 values, expected 64");
    case.verify_with_number("input.json", "/input_data/0/2", 100).expect_told(2, "outside");
    let run = |more: &[&str]| {
        place.run(&[&["zkml", "run", "m.zkml", "--input", "far.json"], more].concat())
    };
    place.file("far.json", json!({ "input_data": [vec![100; 64]] }).to_string());
    run(&[]).expect_told(2, "100");
    assert_eq!(run(&["--clamp", "--json"]).expect(0).json()["clamped"], 64);
    let run = |input: &str| place.run(&["zkml", "run", "m.zkml", "--input", input]);
    place.file("none.json", r#"{"input_data": []}"#);
    run("none.json").expect_told(2, "input_data is empty");
    place.file("not.onnx", "not a model");
    // One node, whose operator is text that would clear a terminal.
    place.file("names.onnx", NAMES);
    let told = place.run(&["zkml", "compile", "names.onnx", "--out", "n.zkml"]).expect(2).stderr;
    assert!(told.contains(r"\u{1b}[2J") && !told.contains('\u{1b}'), "{told}");
    place.run(&["zkml", "compile", "not.onnx", "--out", "n.zkml"]).expect_told(2, "not.onnx");
    place.run(&["zkml", "prove", "m.vk", "--input", "input.json", "--out", "p"]).expect(2);
    place.run(&["zkml", "inspect", "input.json"]).expect_told(2, "no compiled model");
}

/// Before a proof is made that nobody could keep.
#[test]
fn what_cannot_be_written_is_found_out_before() {
    let (case, _) = Case::new();
    case.inputs(1);
    let prove = |more: &[&str]| {
        let prove = ["zkml", "prove", "m.zkml", "--input", "input.json", "--out"];
        case.place.run(&[&prove[..], more].concat())
    };
    prove(&["new", "--output", "m.vk"]).expect_told(2, "of another kind");
    prove(&["new", "--output", "none/outputs.json"]).expect_told(2, "no such file");
    prove(&["new", "--output", "./new"]).expect_told(2, "cannot be one");
    case.place.run(&["zkml", "inspect", "new"]).expect_told(2, "no such file");
    let compile = ["zkml", "compile", &digits("model.onnx"), "--out", "n.zkml", "--key"];
    let compile = |key: &str| case.place.run(&[&compile[..], &[key]].concat());
    compile("./n.zkml").expect_told(2, "cannot be one");
    compile("input.json").expect_told(2, "of another kind");
    case.place.run(&["zkml", "inspect", "n.zkml"]).expect_told(2, "no such file");
    let swapped = ["zkml", "verify", "m.vk", "--key", "m.vk", "--input", "input.json"];
    case.place
        .run(&[&swapped[..], &["--output", "input.json"]].concat())
        .expect_told(2, "m.vk: this is a verifying file, not a proof");
}

#[test]
fn what_is_in_a_file_is_said() {
    let (case, compiled) = Case::new();
    case.inputs(1);
    case.prove(&[]).expect(0);
    let inspect = |file: &str, more: &[&str]| {
        case.place.run(&[&["zkml", "inspect", file], more].concat()).expect(0)
    };
    for file in ["m.zkml", "m.vk", "proof"] {
        assert_eq!(inspect(file, &["--json"]).json()["model_id"], compiled["model_id"], "{file}");
    }
    let told = inspect("m.vk", &[]).stdout;
    for part in ["verifying file", "tensor queries", "WHIR", "requantise", "bits, proven"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

/// What was written by the first version of the formats: it verifies for ever, and the model still
/// compiles to it. `ASSAY_BLESS=1 cargo test -p assay-cli golden` writes the files anew, which is
/// for a format that was never released; a new version gets a new folder.
#[test]
fn golden_files_verify_and_are_compiled_to() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/zkml-v1");
    let (case, _) = Case::new();
    if std::env::var_os("ASSAY_BLESS").is_some() {
        case.inputs(2);
        case.prove(&["--context", "golden"]).expect(0);
        for name in ["m.vk", "input.json", "output.json", "proof"] {
            std::fs::write(golden.join(name), case.read(name)).unwrap();
        }
    }
    let compiled = case.read("m.vk");
    for name in ["m.vk", "input.json", "output.json", "proof"] {
        case.place.file(name, std::fs::read(golden.join(name)).unwrap());
    }
    assert_eq!(compiled, case.read("m.vk"), "the verifying file that is compiled to");
    case.verify(&["--context", "golden"]).expect(0);
    case.verify(&[]).expect_told(1, "refused");
}
