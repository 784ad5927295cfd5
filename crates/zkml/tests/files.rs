//! The two files of a model: one encoding each, and nothing else is read.

use assay_zkml::model::{
    Agreement, Cut, CutError, Dequantisation, FileError, MAX_KEY_BYTES, ModelFile, NodeName, Order,
    ProofFile, Quantisation, Report, VerifyingFile,
};
use assay_zkml::program::{Form, Interval, Program, Rule, Site, TensorShape, Term};
use assay_zkml::tensor_code::{CodeProfile, Digest, Shape};

use crate::network::{INT8, Net, network};

fn order(dims: &[u32]) -> Order {
    let axes = (0..dims.len() as u32).collect();
    Order::new(dims.to_vec(), dims.to_vec(), axes).unwrap()
}

fn report() -> Report {
    let agreement = Agreement {
        samples: 10,
        same_argmax: 9,
        clamped: 3,
        greatest_error: 0.25,
        greatest_output: 8.0,
    };
    let name =
        |node: &str, operator: &str| NodeName { node: node.into(), operator: operator.into() };
    Report { agreement, nodes: vec![name("conv1", "Conv"), name("ausgang", "Gemm")] }
}

fn build(input: Quantisation, output: u32, name: &str) -> Result<ModelFile, FileError> {
    let net = network(0);
    let output = Dequantisation::new(order(&[1, output]), 0.5).unwrap();
    let source = Digest::from([9; 32]);
    ModelFile::new(name.into(), net.checked(), net.weights, input, output, source, report())
}

fn outputs() -> u32 {
    network(0).program.tensors.last().unwrap().shape.cells() as u32
}

fn model() -> ModelFile {
    let input = Quantisation::new(order(&[6, 5, 3]), vec![0.1, 0.2, 0.3], INT8).unwrap();
    build(input, outputs(), "network").unwrap()
}

/// Puts the right digest behind a changed body.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = bytes.len() - 32;
    let digest = blake3::hash(&bytes[..body]);
    bytes[body..].copy_from_slice(digest.as_bytes());
    bytes
}

#[test]
fn both_files_round_trip() {
    let model = model();
    let read = ModelFile::decode(&model.encode()).unwrap();
    assert_eq!(read, model);
    assert_eq!(read.report(), &report());
    assert_eq!(read.weights(), network(0).weights);
    assert_eq!(read.source().as_bytes(), &[9; 32]);
    let key = VerifyingFile::decode(&model.key().encode()).unwrap();
    assert_eq!(&key, model.key());
    assert_eq!(key.name(), "network");
    assert_eq!(key.input().scales(), [0.1, 0.2, 0.3]);
    assert_eq!(key.output().scale(), 0.5);
    assert_eq!(key.encode()[key.encode().len() - 32..], *key.digest().as_bytes());
    let (again, prover) = model.into_prover().unwrap();
    assert_eq!((&again, prover.descriptor()), (&key, key.descriptor()));
}

#[test]
fn the_formats_are_pinned() {
    let model = model();
    let key = model.key().encode();
    assert_eq!(key[..27], *b"assay-zkml-key\0\0\x01\0\0\0\x07\0\0\0net");
    assert_eq!(model.encode()[..20], *b"assay-zkml-model\x01\0\0\0");
    assert_eq!(model.key().digest().to_string(), PINNED_KEY);
    assert_eq!(blake3::hash(&model.encode()).to_string(), PINNED_MODEL);
}

const PINNED_KEY: &str = "505278862296221e42ebdac668770a93c15e028e77b7e3858898bec8869fd8b4";
const PINNED_MODEL: &str = "9fc31c1429040d95031eb1e3294f7e7f5129a681a91487db524e2998e6bca573";

#[test]
fn a_damaged_file_is_refused() {
    let bytes = model().encode();
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(ModelFile::decode(&damaged).is_err(), "byte {at}");
    }
    let mut damaged = bytes.clone();
    damaged[300] ^= 1;
    assert!(matches!(ModelFile::decode(&damaged), Err(FileError::Checksum { .. })));
    damaged.clone_from(&bytes);
    damaged[16] = 2;
    let error = ModelFile::decode(&damaged).unwrap_err();
    assert_eq!(error, FileError::Version { expected: 1, got: 2 });
    let key = model().key().encode();
    assert!(matches!(ModelFile::decode(&key), Err(FileError::Magic { .. })));
    assert!(matches!(VerifyingFile::decode(&bytes), Err(FileError::Magic { .. })));
    assert!(matches!(VerifyingFile::decode(&[1; 40]), Err(FileError::Size { got: 40, .. })));
    let large = vec![0; MAX_KEY_BYTES + 1];
    assert!(matches!(VerifyingFile::decode(&large), Err(FileError::Size { .. })));
    for length in 0..key.len() {
        assert!(VerifyingFile::decode(&key[..length]).is_err(), "{length}");
    }
}

/// A writer with a valid digest: what is read is written the same way again, or refused.
#[test]
fn every_changed_byte_is_refused_or_another_file() {
    let key = model().key().encode();
    for at in 20..key.len() - 32 {
        for flip in [1, 0x80] {
            let mut bytes = key.clone();
            bytes[at] ^= flip;
            let bytes = resealed(bytes);
            if let Ok(read) = VerifyingFile::decode(&bytes) {
                assert_eq!(read.encode(), bytes, "byte {at}");
                assert_ne!(&read, model().key(), "byte {at}");
            }
        }
    }
    let whole = model().encode();
    for at in (20..whole.len() - 32).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x80;
        let bytes = resealed(bytes);
        if let Ok(read) = ModelFile::decode(&bytes) {
            assert_eq!(read.encode(), bytes, "byte {at}");
        }
    }
}

#[test]
fn bytes_behind_and_lengths_that_lie_are_refused() {
    let model = model();
    let behind = |bytes: Vec<u8>| {
        let mut longer = bytes;
        longer.insert(longer.len() - 32, 0);
        resealed(longer)
    };
    let bytes = behind(model.encode());
    let error = ModelFile::decode(&bytes).unwrap_err();
    assert_eq!(error, FileError::NotCanonical { expected: bytes.len() - 1, got: bytes.len() });
    let bytes = behind(model.key().encode());
    let error = VerifyingFile::decode(&bytes).unwrap_err();
    assert_eq!(error, FileError::NotCanonical { expected: bytes.len() - 1, got: bytes.len() });
    let mut bytes = model.key().encode();
    bytes[20..24].fill(0xff);
    assert!(matches!(VerifyingFile::decode(&resealed(bytes)), Err(FileError::Decode(_))));
}

/// A few bytes that would keep a reader busy for hours, or have a prover commit to `2^30` zeros.
#[test]
fn small_files_that_ask_for_much_are_refused() {
    let build = |program: Program, cells: u32| {
        let input = Quantisation::new(order(&[1]), vec![1.0], INT8).unwrap();
        let output = Dequantisation::new(order(&[cells]), 1.0).unwrap();
        let (program, name) = (program.check().unwrap(), String::new());
        let source = Digest::from([0; 32]);
        ModelFile::new(name, program, Vec::new(), input, output, source, Report::default())
    };
    let output = |form, cells| {
        let mut net = Net::new(0, TensorShape::vector(1), Vec::new());
        net.site(TensorShape::vector(cells), Interval::RAW, Site::Output { form });
        net.program
    };
    let refused = |result: Result<ModelFile, FileError>| match result {
        Err(FileError::Program(error)) => (error.rule, error.required, error.got),
        other => panic!("{other:?}"),
    };
    let constants = Form::new(vec![Term::Const { v: 1 }; 1 << 12]);
    let program = output(constants, 1 << 20);
    let sums = (1 << 32) + (1 << 20);
    assert_eq!(refused(build(program, 1 << 20)), (Rule::WeightSums, 1 << 32, sums));

    let mut program = output(Form::new(vec![Term::Local { tensor: 0, m: 1 }]), 1);
    assert!(build(program.clone(), 1).is_ok());
    program.weights = Shape::new(CodeProfile::default(), 30, 22, 256).unwrap();
    assert_eq!(refused(build(program, 1)), (Rule::RowsFilled, 1, 256));
}

#[test]
fn a_file_in_the_place_of_another_is_named() {
    let (model, key) = (model().encode(), model().key().encode());
    let told = |error: FileError| error.to_string();
    let read = told(ModelFile::decode(&key).unwrap_err());
    assert_eq!(read, "this is a verifying file, not a compiled model");
    let read = told(VerifyingFile::decode(&model).unwrap_err());
    assert_eq!(read, "this is a compiled model, not a verifying file");
    let read = told(ProofFile::decode(&[7; 100]).unwrap_err());
    assert_eq!(read, "this is a file of another kind, not a proof");
}

#[test]
fn weights_under_another_root_are_refused() {
    let mut bytes = model().encode();
    let last_weight = bytes.len() - 34;
    bytes[last_weight] ^= 1;
    let changed = ModelFile::decode(&resealed(bytes)).unwrap();
    assert!(matches!(changed.into_prover(), Err(FileError::Root(_))));
}

#[test]
fn ends_that_are_not_the_programs_are_refused() {
    let scale = vec![0.1];
    let refused = |input: Quantisation, outputs: u32| match build(input, outputs, "n").unwrap_err()
    {
        FileError::Tensor { what, expected, got } => (what, expected, got),
        other => panic!("{other}"),
    };
    let fits = || Quantisation::new(order(&[6, 5, 3]), vec![0.1], INT8).unwrap();
    let short = Quantisation::new(order(&[6, 5]), scale.clone(), INT8).unwrap();
    assert_eq!(refused(short, outputs()), ("number of input values", 90, 30));
    let cells = i64::from(outputs());
    assert_eq!(refused(fits(), outputs() + 1), ("number of output values", cells, cells + 1));
    let wide =
        Quantisation::new(order(&[6, 5, 3]), scale.clone(), Interval::new(-128, 127)).unwrap();
    assert_eq!(refused(wide, outputs()), ("low end of the input's interval", -127, -128));
    let high = Quantisation::new(order(&[6, 5, 3]), scale, Interval::new(-127, 128)).unwrap();
    assert_eq!(refused(high, outputs()), ("high end of the input's interval", 127, 128));
    let scales = Quantisation::new(order(&[6, 5, 3]), vec![0.1; 5], INT8).unwrap();
    assert_eq!(refused(scales, outputs()), ("number of scales", 3, 5));
    let error = build(fits(), outputs(), &"n".repeat(1025)).unwrap_err();
    assert_eq!(error, FileError::Text { got: 1025 });
}

/// A program whose input are the answers to three cuts.
fn by_cuts(cuts: Vec<Cut>) -> Result<ModelFile, FileError> {
    let mut net = Net::new(0, TensorShape::vector(3), Vec::new());
    net.program.tensors[0].interval = Interval::new(0, 1);
    let form = Form::new(vec![Term::Local { tensor: 0, m: 7 }]);
    net.site(TensorShape::vector(3), Interval::RAW, Site::Output { form });
    let input = Quantisation::by_cuts(order(&[1, 2]), cuts).unwrap();
    let output = Dequantisation::new(order(&[1, 3]), 0.5).unwrap();
    let (program, name) = (net.program.check().unwrap(), "cuts".to_owned());
    let source = Digest::from([9; 32]);
    ModelFile::new(name, program, Vec::new(), input, output, source, Report::default())
}

const CUTS: [Cut; 3] = [
    Cut { feature: 1, value: 0.5 },
    Cut { feature: 0, value: -2.0 },
    Cut { feature: 1, value: 0.5 },
];

#[test]
fn cuts_stand_in_the_verifying_file() {
    let file = by_cuts(CUTS.to_vec()).unwrap();
    assert_eq!(ModelFile::decode(&file.encode()).unwrap(), file);
    let bytes = file.key().encode();
    let key = VerifyingFile::decode(&bytes).unwrap();
    assert_eq!((key.input().cuts(), key.input().scales()), (&CUTS[..], &[][..]));
    assert_eq!(key.input().quantise_within(&[-2.0, 0.25]).unwrap(), [0, 1, 0]);
    // Every other byte is another file, or none.
    for at in 20..bytes.len() - 32 {
        for flip in [1, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let changed = resealed(changed);
            if let Ok(read) = VerifyingFile::decode(&changed) {
                assert_eq!(read.encode(), changed, "byte {at}");
                assert_ne!(read.digest(), key.digest(), "byte {at}");
            }
        }
    }
}

#[test]
fn cuts_that_are_none_are_refused() {
    let number = by_cuts(CUTS[..2].to_vec()).unwrap_err();
    let what = "number of input values";
    assert_eq!(number, FileError::Tensor { what, expected: 3, got: 2 });
    let bytes = by_cuts(CUTS.to_vec()).unwrap().key().encode();
    let first = bytes.windows(8).position(|word| word == [1, 0, 0, 0, 0, 0, 0, 0x3f]).unwrap();
    let changed = |at: usize, word: [u8; 4]| {
        let mut bytes = bytes.clone();
        bytes[first + at..first + at + 4].copy_from_slice(&word);
        VerifyingFile::decode(&resealed(bytes)).unwrap_err()
    };
    let feature = CutError::Feature { index: 1, features: 2, got: 2 };
    assert_eq!(changed(8, 2_u32.to_le_bytes()), FileError::Cut(feature));
    for value in [f32::NAN, f32::NEG_INFINITY, -0.0] {
        let error = changed(4, value.to_le_bytes());
        assert!(matches!(error, FileError::Cut(CutError::Value { index: 0, .. })), "{error}");
    }
    // One more is announced than there are, and another interval than that of answers.
    let mut longer = bytes.clone();
    longer[first - 4] = 255;
    assert!(matches!(VerifyingFile::decode(&resealed(longer)), Err(FileError::Decode(_))));
    let mut wider = bytes.clone();
    wider[first - 8] = 2;
    let error = VerifyingFile::decode(&resealed(wider)).unwrap_err();
    assert!(matches!(error, FileError::NotCanonical { .. }), "{error}");
}
