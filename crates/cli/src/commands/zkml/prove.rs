use std::process::ExitCode;

use assay_primitives::{Randomness, SystemClock, SystemRandomness};
use assay_zkml::circuit::Circuit;
use assay_zkml::execute::execute_batch;
use assay_zkml::model::{PROOF_MAGIC, ProofFile, VerifyingFile, batch_bits, context, statement};
use assay_zkml::program::ModelId;
use assay_zkml::prover::ProvingModel;
use assay_zkml::statement::Instance;
use assay_zkml::verifier::verify_bytes;
use serde_json::json;

use super::data::{MAX_BATCH, Outputs, quantise, read_inputs};
use super::{OUTPUTS, load, milliseconds, peak_memory, proving, request_digest, tell_clamped};
use crate::args::ProveArgs;
use crate::error::CliError;
use crate::files::{self, Readers};
use crate::output;

pub(super) fn run(args: &ProveArgs) -> Result<ExitCode, CliError> {
    files::check_replaceable(&args.out, &PROOF_MAGIC)?;
    if let Some(path) = &args.output {
        if files::are_one(path, &args.out) {
            let message = format!("{}: proof and outputs cannot be one file", path.display());
            return Err(CliError::Input(message));
        }
        files::check_replaceable(path, OUTPUTS)?;
    }
    let prepared = Prepared::new(args)?;
    let proven = prepared.prove(args)?;
    files::replace_alike(&args.out, &proven.file, Readers::Everybody)?;
    if let Some(path) = &args.output {
        proven.outputs.write(path)?;
    }
    proven.tell(args, &prepared)?;
    Ok(ExitCode::SUCCESS)
}

/// A model, ready to prove its inferences.
struct Prepared {
    key: VerifyingFile,
    program_bytes: usize,
    inputs: Vec<Vec<i32>>,
    clamped: usize,
    model: ProvingModel,
    circuit: Circuit,
    took: f64,
}

/// A proof, checked unless that was not wanted.
struct Proven {
    model: ModelId,
    file: Vec<u8>,
    outputs: Outputs,
    run_took: f64,
    took: f64,
    verify_took: Option<f64>,
}

impl Prepared {
    fn new(args: &ProveArgs) -> Result<Self, CliError> {
        let rows = read_inputs(&args.input, MAX_BATCH)?;
        let started = SystemClock::default();
        let (file, program_bytes) = load(&args.model)?;
        let inputs = quantise(&args.input, &rows, file.key().input(), args.clamp)?;
        let clamped = inputs.iter().map(|input| input.clamped).sum();
        let inputs: Vec<Vec<i32>> = inputs.into_iter().map(|input| input.values).collect();
        let (key, model) = proving(file, &args.model)?;
        let lb = batch_bits(inputs.len());
        let circuit = Circuit::new(model.descriptor(), lb).map_err(CliError::input)?;
        let took = milliseconds(started);
        Ok(Self { key, program_bytes, inputs, clamped, model, circuit, took })
    }

    fn prove(&self, args: &ProveArgs) -> Result<Proven, CliError> {
        let Self { circuit, model, inputs, .. } = self;
        let started = SystemClock::default();
        let lb = circuit.sizes().lb;
        let runs = execute_batch(circuit.program(), model.weights(), lb, inputs);
        let runs = runs.map_err(CliError::failed)?;
        let run_took = milliseconds(started);
        let context = context(&self.key.digest(), &request_digest(&args.context));
        let mut salts = vec![[0; 32]; inputs.len()];
        for salt in &mut salts {
            SystemRandomness.fill(salt).map_err(CliError::failed)?;
        }
        let parts = inputs.iter().zip(&runs).zip(&salts);
        let instances = parts.map(|((input, run), &salt)| Instance {
            context,
            salt,
            input,
            output: run.output(),
        });
        let instances: Vec<Instance<'_>> = instances.collect();
        let (said, claims) = statement(circuit, &instances).map_err(CliError::input)?;
        let proof = model.prove(circuit, &said, &runs).map_err(CliError::failed)?.encode();
        let took = milliseconds(started);
        let check = || {
            let started = SystemClock::default();
            let refused = |error| CliError::Failed(format!("the proof made is refused: {error}"));
            let _verified = verify_bytes(circuit, &said, &claims, &proof).map_err(refused)?;
            Ok(milliseconds(started))
        };
        let verify_took = if args.no_check { None } else { Some(check()?) };
        let raw = runs.iter().take(inputs.len()).map(|run| run.output().to_vec()).collect();
        let outputs = Outputs::new(self.key.output(), raw)?;
        let file = ProofFile::new(said.model, lb, salts, proof).encode();
        Ok(Proven { model: said.model, file, outputs, run_took, took, verify_took })
    }
}

impl Proven {
    fn tell(&self, args: &ProveArgs, prepared: &Prepared) -> Result<(), CliError> {
        let bits = prepared.circuit.budget().bits();
        let batch = 1_u64 << prepared.circuit.sizes().lb;
        let Self { took, run_took, .. } = self;
        if args.json {
            return output::json(&json!({
                "model_id": self.model.to_string(),
                "verifying_digest": prepared.key.digest().to_string(),
                "load_ms": prepared.took,
                "run_ms": run_took,
                "prove_ms": took,
                "verify_ms": self.verify_took,
                "proof_bytes": self.file.len(),
                "program_bytes": prepared.program_bytes,
                "verifying_bytes": prepared.key.encode().len(),
                "peak_rss_bytes": peak_memory(),
                "security_bits": bits,
                "batch": batch,
                "clamped": prepared.clamped,
                "output": self.outputs.output_data,
                "output_int": self.outputs.output_int,
            }));
        }
        output::field("model", self.model);
        let count = prepared.inputs.len();
        output::field("inferences", format_args!("{count} in a batch of {batch}"));
        let size = self.file.len();
        output::field("proof", format_args!("{} ({size} bytes)", args.out.display()));
        output::field("security", format_args!("{bits:.1} bits, proven; not zero-knowledge"));
        output::field("proven in", format_args!("{took} ms, {run_took} of it running the program"));
        match self.verify_took {
            Some(took) => output::field("checked in", format_args!("{took} ms")),
            None => output::field("checked", "no: --no-check"),
        }
        tell_clamped(prepared.clamped);
        Ok(())
    }
}
