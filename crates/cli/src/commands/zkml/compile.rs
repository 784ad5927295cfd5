use std::process::ExitCode;

use assay_primitives::SystemClock;
use assay_zkml::circuit::Circuit;
use assay_zkml::program::ModelId;
use assay_zkml_onnx::synthetic::Seeded;
use assay_zkml_onnx::{CompileError, MAX_MODEL_BYTES, Options, Reference, Summary, compile};
use serde_json::{Value, json};

use super::data::read_inputs;
use super::{milliseconds, peak_memory};
use crate::args::CompileArgs;
use crate::error::CliError;
use crate::files::{self, Readers};
use crate::output;

/// The most inputs to calibrate on.
const MAX_SAMPLES: usize = 1 << 16;

/// How many random inputs stand in for samples.
const RANDOM_SAMPLES: usize = 32;

pub(super) fn run(args: &CompileArgs) -> Result<ExitCode, CliError> {
    let started = SystemClock::default();
    let bytes = files::read(&args.model, MAX_MODEL_BYTES as u64)?;
    let refused =
        |error: CompileError| CliError::Input(format!("{}: {error}", args.model.display()));
    let samples = match &args.calibrate {
        Some(path) => read_inputs(path, MAX_SAMPLES)?,
        None => random_inputs(Reference::new(&bytes).map_err(refused)?.values()),
    };
    let mut options = Options::default();
    options.output = args.logits.clone();
    let compiled = compile(&bytes, &samples, &options).map_err(refused)?;
    drop(bytes);
    let summary = compiled.summary.clone();
    let name = args.model.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let file = compiled.into_file(name.unwrap_or_default()).map_err(CliError::input)?;
    let id = file.key().model_id();
    let circuit = Circuit::new(file.key().descriptor(), 0).map_err(CliError::input)?;
    let key = file.key().encode();
    let content = file.encode();
    drop(file);
    let key_path = args.key.clone().unwrap_or_else(|| args.out.with_extension("vk"));
    if key_path == args.out {
        let message = format!("{}: model and verifying file cannot be one", key_path.display());
        return Err(CliError::Input(message));
    }
    files::replace_alike(&args.out, &content, Readers::Everybody)?;
    files::replace_alike(&key_path, &key, Readers::Everybody)?;
    let took = milliseconds(started);
    let bits = circuit.budget().bits();
    if args.json {
        let sizes = [content.len(), key.len()];
        output::json(&as_json(id, &summary, took, sizes, bits, args.calibrate.is_some()))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::field("model", id);
    output::field("written", format_args!("{} ({} bytes)", args.out.display(), content.len()));
    output::field("verifying", format_args!("{} ({} bytes)", key_path.display(), key.len()));
    tell(&summary);
    if args.calibrate.is_none() {
        output::note("Calibrated on random numbers of -1 to 1: give real inputs with --calibrate.");
    }
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
    id: ModelId,
    summary: &Summary,
    took: f64,
    [program_bytes, verifying_bytes]: [usize; 2],
    bits: f64,
    is_calibrated: bool,
) -> Value {
    let told = &summary.agreement;
    let shifts: Vec<u32> = summary.sites.iter().filter_map(|site| site.shift).collect();
    json!({
        "model_id": id.to_string(),
        "compile_ms": took,
        "program_bytes": program_bytes,
        "verifying_bytes": verifying_bytes,
        "peak_rss_bytes": peak_memory(),
        "security_bits": bits,
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
    (0..RANDOM_SAMPLES).map(|_| (0..values).map(|_| numbers.unit()).collect()).collect()
}
