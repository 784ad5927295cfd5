use std::process::ExitCode;

use assay_primitives::SystemClock;
use assay_zkml::circuit::Circuit;
use assay_zkml::model::{MAX_PROOF_BYTES, ProofFile, context, statement};
use assay_zkml::statement::Instance;
use assay_zkml::tensor_code::Digest;
use assay_zkml::verifier::{VerifiedProof, verify_bytes};
use serde_json::json;

use super::data::{MAX_BATCH, Outputs, quantise, read_inputs};
use super::{in_file, load_verifying, milliseconds, peak_memory, request_digest};
use crate::args::ZkmlVerifyArgs;
use crate::error::CliError;
use crate::files;
use crate::output::{self, Style};

pub(super) fn run(args: &ZkmlVerifyArgs) -> Result<ExitCode, CliError> {
    let (verifying, key_bytes) = load_verifying(&args.key)?;
    let content = files::read(&args.proof, MAX_PROOF_BYTES as u64)?;
    let file = ProofFile::decode(&content).map_err(in_file(&args.proof))?;
    let rows = read_inputs(&args.input, MAX_BATCH)?;
    let outputs = Outputs::read(&args.output)?;

    let started = SystemClock::default();
    let inputs = quantise(&args.input, &rows, verifying.input(), args.clamp)?;
    let expected = Outputs::new(verifying.output(), outputs.output_int.clone())
        .map_err(|error| CliError::Input(format!("{}: {error}", args.output.display())))?;
    check_same(&expected.output_data, &outputs.output_data).map_err(CliError::Failed)?;
    let (got, rows) = (file.salts().len(), inputs.len());
    if got != rows || outputs.output_int.len() != rows {
        return Err(CliError::Failed(format!(
            "the proof is about {got} inferences; there are {rows} inputs and {} outputs",
            outputs.output_int.len()
        )));
    }
    let circuit = Circuit::new(verifying.descriptor(), file.lb()).map_err(CliError::input)?;
    if file.model() != circuit.model_id() {
        let (of, key) = (file.model(), circuit.model_id());
        return Err(CliError::Failed(format!("the proof is of model {of}, the key of {key}")));
    }
    let bound = context(&verifying.digest(), &request_digest(&args.context));
    let parts = inputs.iter().zip(&outputs.output_int).zip(file.salts());
    let instances = parts.map(|((input, output), &salt)| Instance {
        context: bound,
        salt,
        input: &input.values,
        output,
    });
    let instances: Vec<Instance<'_>> = instances.collect();
    let (said, claims) = statement(&circuit, &instances).map_err(CliError::input)?;
    let verified = verify_bytes(&circuit, &said, &claims, file.proof());
    let verified = verified.map_err(|error| {
        let told = "refused: this proof is of other inputs, outputs, verifying file or context";
        CliError::Failed(format!("{told}, or was changed ({error})"))
    })?;
    let time = milliseconds(started);
    told(args.json, &verified, time, [content.len(), key_bytes], verifying.digest(), &outputs)?;
    Ok(ExitCode::SUCCESS)
}

fn told(
    as_json: bool,
    verified: &VerifiedProof,
    time: f64,
    [proof_bytes, key_bytes]: [usize; 2],
    digest: Digest,
    outputs: &Outputs,
) -> Result<(), CliError> {
    let statement = verified.statement();
    if as_json {
        return output::json(&json!({
            "verified": true,
            "model_id": statement.model.to_string(),
            "verifying_digest": digest.to_string(),
            "verify_ms": time,
            "proof_bytes": proof_bytes,
            "verifying_bytes": key_bytes,
            "peak_rss_bytes": peak_memory(),
            "security_bits": verified.security_bits(),
            "inferences": verified.instances().len(),
            "output": outputs.output_data,
            "output_int": outputs.output_int,
        }));
    }
    output::line(Style::of_stdout().good("proven"));
    output::field("model", statement.model);
    output::field("digest", format_args!("{digest} of the verifying file"));
    output::field("inferences", verified.instances().len());
    let bits = verified.security_bits();
    output::field("security", format_args!("{bits:.1} bits, proven; not zero-knowledge"));
    output::field("time", format_args!("{time} ms"));
    Ok(())
}

/// Checks that the real outputs given are those that the integers stand for.
fn check_same(expected: &[Vec<f32>], got: &[Vec<f32>]) -> Result<(), String> {
    if expected.len() != got.len() {
        let (expected, got) = (expected.len(), got.len());
        return Err(format!("output_data has {got} lists, output_int has {expected}"));
    }
    for (row, (expected, got)) in expected.iter().zip(got).enumerate() {
        if expected.len() != got.len() {
            let (expected, got) = (expected.len(), got.len());
            return Err(format!("list {row} of output_data has {got} values, expected {expected}"));
        }
        for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
            if expected != got {
                return Err(format!(
                    "value {index} of list {row} of output_data is {got}, its integer stands for \
                     {expected}"
                ));
            }
        }
    }
    Ok(())
}
