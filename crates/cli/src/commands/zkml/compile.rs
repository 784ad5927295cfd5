use std::process::ExitCode;

use assay_primitives::SystemClock;
use assay_zkml::circuit::Circuit;
use assay_zkml::model::{KEY_MAGIC, MODEL_MAGIC};
use assay_zkml::program::ModelId;
use assay_zkml::tensor_code::Digest;
use assay_zkml_onnx::synthetic::Seeded;
use assay_zkml_onnx::{MAX_MODEL_BYTES, Options, Summary, compile, input_values};
use serde_json::{Value, json};

use super::data::{MAX_SAMPLES, read_inputs};
use super::{in_onnx, milliseconds, peak_memory};
use crate::args::CompileArgs;
use crate::error::CliError;
use crate::files::{self, Readers};
use crate::output;

/// How many random inputs stand in for samples.
const RANDOM_SAMPLES: usize = 32;

/// How many random numbers there are at most, unless one input has more.
const RANDOM_NUMBERS: usize = 1 << 24;

pub(super) fn run(args: &CompileArgs) -> Result<ExitCode, CliError> {
    let started = SystemClock::default();
    let bytes = files::read(&args.model, MAX_MODEL_BYTES as u64)?;
    let key_path = args.key.clone().unwrap_or_else(|| args.out.with_extension("vk"));
    if files::are_one(&key_path, &args.out) {
        let message = format!("{}: model and verifying file cannot be one", key_path.display());
        return Err(CliError::Input(message));
    }
    files::check_replaceable(&args.out, &MODEL_MAGIC)?;
    files::check_replaceable(&key_path, &KEY_MAGIC)?;
    let refused = in_onnx(&args.model);
    let samples = match &args.calibrate {
        Some(path) => read_inputs(path, MAX_SAMPLES)?,
        None => {
            let values = input_values(&bytes, args.logits.as_deref()).map_err(&refused)?;
            random_inputs(values)
        }
    };
    let mut options = Options::default();
    options.output = args.logits.clone();
    options.activations = args.activations.into();
    options.mode = args.mode.into();
    let compiled = compile(&bytes, &samples, &options).map_err(refused)?;
    drop(bytes);
    let summary = compiled.summary.clone();
    let name = args.model.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let file = compiled.into_file(name.unwrap_or_default()).map_err(CliError::input)?;
    let ids = (file.key().model_id(), file.key().digest());
    let circuit = Circuit::new(file.key().descriptor(), 0).map_err(CliError::input)?;
    let key = file.key().encode();
    let content = file.encode();
    drop(file);
    files::replace_alike(&args.out, &content, Readers::Everybody)?;
    files::replace_alike(&key_path, &key, Readers::Everybody)?;
    let took = milliseconds(started);
    let bits = circuit.budget().bits();
    if args.json {
        let sizes = [content.len(), key.len()];
        output::json(&as_json(ids, &summary, took, sizes, &circuit, args.calibrate.is_some()))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::field("model", ids.0);
    output::field("digest", format_args!("{} of the verifying file", ids.1));
    output::field("written", format_args!("{} ({} bytes)", args.out.display(), content.len()));
    output::field("verifying", format_args!("{} ({} bytes)", key_path.display(), key.len()));
    tell(&summary);
    if args.calibrate.is_none() {
        output::note("Calibrated on random numbers of -1 to 1: give real inputs with --calibrate.");
    }
    let most = circuit.max_proof_bytes();
    output::field("proof", format_args!("{}, at most {most} bytes", circuit.mode()));
    output::field("security", format_args!("{bits:.1} bits, proven"));
    output::field("time", format_args!("{took} ms"));
    Ok(ExitCode::SUCCESS)
}

fn tell(summary: &Summary) {
    let told = &summary.agreement;
    output::field("weights", summary.weights);
    output::field("cells", summary.activations);
    let same = format!("{} of {} have the same largest output", told.same_argmax, told.samples);
    let error = format!("greatest error {} of {}", told.greatest_error, told.greatest_output);
    output::field("agreement", format_args!("{same}; {error}"));
}

fn as_json(
    (id, digest): (ModelId, Digest),
    summary: &Summary,
    took: f64,
    [program_bytes, verifying_bytes]: [usize; 2],
    circuit: &Circuit,
    is_calibrated: bool,
) -> Value {
    let told = &summary.agreement;
    let shifts: Vec<u32> = summary.sites.iter().filter_map(|site| site.shift).collect();
    json!({
        "model_id": id.to_string(),
        "verifying_digest": digest.to_string(),
        "compile_ms": took,
        "program_bytes": program_bytes,
        "verifying_bytes": verifying_bytes,
        "peak_rss_bytes": peak_memory(),
        "security_bits": circuit.budget().bits(),
        "mode": circuit.mode().as_str(),
        "max_proof_bytes": circuit.max_proof_bytes(),
        "weights": summary.weights,
        "activations": summary.activations,
        "shifts": shifts,
        "calibrated_on": if is_calibrated { "inputs" } else { "random numbers" },
        "agreement": {
            "samples": told.samples,
            "same_argmax": told.same_argmax,
            "greatest_error": told.greatest_error,
            "greatest_output": told.greatest_output,
            "clamped": told.clamped,
        },
    })
}

/// Numbers of -1 to 1 that are the same each time.
fn random_inputs(values: usize) -> Vec<Vec<f32>> {
    let mut numbers = Seeded::new(0);
    let samples = (RANDOM_NUMBERS / values.max(1)).clamp(1, RANDOM_SAMPLES);
    (0..samples).map(|_| (0..values).map(|_| numbers.unit()).collect()).collect()
}
