use std::process::ExitCode;

use assay_primitives::{Randomness, SystemClock, SystemRandomness};
use assay_zkml::circuit::Circuit;
use assay_zkml::execute::execute_batch;
use assay_zkml::model::{ProofFile, batch_bits, context, statement};
use assay_zkml::statement::Instance;
use assay_zkml::verifier::verify_bytes;
use serde_json::json;

use super::data::{MAX_BATCH, Outputs, quantise, read_inputs};
use super::{load, milliseconds, peak_memory, proving, request_digest};
use crate::args::ProveArgs;
use crate::error::CliError;
use crate::files::{self, Readers};
use crate::output;

pub(super) fn run(args: &ProveArgs) -> Result<ExitCode, CliError> {
    let rows = read_inputs(&args.input, MAX_BATCH)?;
    let started = SystemClock::default();
    let (file, program_bytes) = load(&args.model)?;
    let inputs = quantise(&args.input, &rows, file.key().input(), args.clamp)?;
    let clamped: usize = inputs.iter().map(|input| input.clamped).sum();
    let inputs: Vec<Vec<i32>> = inputs.into_iter().map(|input| input.values).collect();
    let model = proving(&file, &args.model)?;
    let lb = batch_bits(inputs.len());
    let circuit = Circuit::new(model.descriptor(), lb).map_err(CliError::input)?;
    let load_time = milliseconds(started);

    let started = SystemClock::default();
    let runs = execute_batch(circuit.program(), model.weights(), lb, &inputs);
    let runs = runs.map_err(CliError::failed)?;
    let run_time = milliseconds(started);
    let bound = context(&file.key().digest(), &request_digest(&args.context));
    let mut salts = vec![[0; 32]; inputs.len()];
    for salt in &mut salts {
        SystemRandomness.fill(salt).map_err(CliError::failed)?;
    }
    let instances = inputs.iter().zip(&runs).zip(&salts).map(|((input, run), &salt)| Instance {
        context: bound,
        salt,
        input,
        output: run.output(),
    });
    let instances: Vec<Instance<'_>> = instances.collect();
    let (said, claims) = statement(&circuit, &instances).map_err(CliError::input)?;
    let proof = model.prove(&circuit, &said, &runs).map_err(CliError::failed)?.encode();
    let time = milliseconds(started);

    let verify_time = if args.no_check {
        None
    } else {
        let started = SystemClock::default();
        let checked = verify_bytes(&circuit, &said, &claims, &proof);
        let refused = |error| CliError::Failed(format!("the proof made is refused: {error}"));
        let _verified = checked.map_err(refused)?;
        Some(milliseconds(started))
    };
    let raw = runs.iter().take(inputs.len()).map(|run| run.output().to_vec()).collect();
    let outputs = Outputs::new(file.key().output(), raw)?;
    let content = ProofFile::new(said.model, lb, salts, proof).encode();
    files::replace(&args.out, &content, Readers::Everybody)?;
    if let Some(path) = &args.output {
        outputs.write(path)?;
    }
    let bits = circuit.budget().bits();
    if args.json {
        output::json(&json!({
            "model_id": said.model.to_string(),
            "load_ms": load_time,
            "run_ms": run_time,
            "prove_ms": time,
            "verify_ms": verify_time,
            "proof_bytes": content.len(),
            "program_bytes": program_bytes,
            "verifying_bytes": file.key().encode().len(),
            "peak_rss_bytes": peak_memory(),
            "security_bits": bits,
            "batch": 1 << lb,
            "clamped": clamped,
            "output": outputs.output_data,
            "output_int": outputs.output_int,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::field("model", said.model);
    output::field("inferences", format_args!("{} in a batch of {}", inputs.len(), 1 << lb));
    output::field("proof", format_args!("{} ({} bytes)", args.out.display(), content.len()));
    output::field("security", format_args!("{bits:.1} bits, proven; not zero-knowledge"));
    output::field("proven in", format_args!("{time} ms, {run_time} ms of it running the program"));
    match verify_time {
        Some(time) => output::field("checked in", format_args!("{time} ms")),
        None => output::field("checked", "no: --no-check"),
    }
    if clamped > 0 {
        output::note(format_args!("{clamped} input values lay outside the calibrated range."));
    }
    Ok(ExitCode::SUCCESS)
}
