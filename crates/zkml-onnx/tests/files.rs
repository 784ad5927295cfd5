//! From a file's bytes to the model file and back.

use assay_zkml::execute::execute;
use assay_zkml::model::{ModelFile, VerifyingFile};
use assay_zkml_onnx::{Options, compile};

use crate::models::package;

#[test]
fn a_compiled_model_answers_the_same_from_its_file() {
    let model = package("digits");
    let samples = model.inputs.get(..20).unwrap();
    let compiled = compile(&model.bytes, samples, &Options::default()).unwrap();
    let outputs: Vec<_> = samples.iter().map(|input| compiled.run(input).unwrap().0).collect();
    let agreement = compiled.summary.agreement;
    let sites = compiled.summary.sites.len();
    let file = compiled.into_file("digits".to_owned()).unwrap();
    let read = ModelFile::decode(&file.encode()).unwrap();
    assert_eq!(read.source().as_bytes(), blake3::hash(&model.bytes).as_bytes());
    assert_eq!((read.report().agreement, read.report().nodes.len()), (agreement, sites));
    let key = VerifyingFile::decode(&read.key().encode()).unwrap();
    assert_eq!(key.model_id(), file.key().model_id());
    for (input, expected) in samples.iter().zip(outputs) {
        let quantised = key.input().quantise(input).unwrap();
        let run = execute(read.program(), read.weights(), &quantised.values).unwrap();
        assert_eq!(key.output().dequantise(run.output()).unwrap(), expected);
    }
    assert_eq!(read.into_prover().unwrap().1.descriptor(), key.descriptor());
    // Small enough to be sent along with an answer: the key holds no weights.
    assert!(key.encode().len() < 4096, "{}", key.encode().len());
}

/// Ranges come from the samples only: nothing else of the machine or the day is in the file.
#[test]
fn compiling_twice_gives_the_same_bytes() {
    let model = package("tumour");
    let file = || {
        let samples = model.inputs.get(..20).unwrap();
        let compiled = compile(&model.bytes, samples, &Options::default()).unwrap();
        compiled.into_file("tumour".to_owned()).unwrap().encode()
    };
    assert_eq!(file(), file());
}
