//! Makes the program of a package, so that it can be sold by `zkml`.

use std::path::Path;
use std::process::ExitCode;

use assay_engine::ModelPackage;
use assay_primitives::SystemClock;
use assay_service::Program;
use assay_zkml::model::Agreement;
use serde_json::json;

use crate::args::ModelsAddArgs;
use crate::commands::zkml::data::{MAX_SAMPLES, read_inputs};
use crate::config::Config;
use crate::error::CliError;
use crate::node::{Calibration, Programs, evidence, publish};
use crate::output;

pub(super) async fn run(args: &ModelsAddArgs) -> Result<ExitCode, CliError> {
    let config = Config::load(args.config.as_deref())?;
    let package = ModelPackage::open(folder(&args.package)).map_err(CliError::input)?;
    let calibration = Calibration {
        inputs: args.calibrate.as_deref().map(|path| read_inputs(path, MAX_SAMPLES)).transpose()?,
        output: args.logits.clone(),
        activations: args.activations.into(),
        mode: args.mode.into(),
    };
    let started = SystemClock::default();
    let (program, agreement) = Programs::of(&config.data).add(&package, calibration)?;
    let took = crate::commands::zkml::milliseconds(started);
    let blobs = evidence(&config.data)?;
    let bytes = program.verifying().len();
    publish(std::slice::from_ref(&program), &blobs).await?;
    if args.json {
        output::json(&as_json(&package, &program, &agreement))?;
        return Ok(ExitCode::SUCCESS);
    }
    let card = package.card();
    output::field("model", format_args!("{} {}", card.name, card.version));
    output::field("model id", package.id());
    output::field("program id", program.id());
    output::field("verifying", format_args!("{bytes} bytes, published under the program id"));
    let (same, samples) = (agreement.same_argmax, agreement.samples);
    let error = format!("greatest error {}", agreement.greatest_error);
    let told = format!("{same} of {samples} samples have the same largest output; {error}");
    output::field("agreement", format_args!("{told} of {}", agreement.greatest_output));
    let (mode, most) = (program.mode(), program.max_proof_bytes());
    let memory = program.prover_memory().div_ceil(1 << 20);
    let told = format!("{mode}, at most {most} bytes, made in at most {memory} MiB");
    output::field("proof", told);
    output::field("time", format_args!("{took} ms"));
    output::note(format_args!(
        "`assay serve` sells it by `zkml` at the price that the price list has for `{}`.",
        card.name
    ));
    Ok(ExitCode::SUCCESS)
}

/// Returns the folder of a package that is named itself, or by its `model.onnx`.
fn folder(path: &Path) -> &Path {
    match path.file_name() {
        Some(name) if name == "model.onnx" => match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => path,
        },
        _ => path,
    }
}

fn as_json(package: &ModelPackage, program: &Program, told: &Agreement) -> serde_json::Value {
    json!({
        "model": package.card().name,
        "modelId": package.id(),
        "programId": program.id(),
        "verifyingBytes": program.verifying().len(),
        "mode": program.mode().as_str(),
        "maxProofBytes": program.max_proof_bytes(),
        "proverMemoryBytes": program.prover_memory(),
        "agreement": {
            "samples": told.samples,
            "sameArgmax": told.same_argmax,
            "greatestError": told.greatest_error,
            "greatestOutput": told.greatest_output,
            "clamped": told.clamped,
        },
    })
}
