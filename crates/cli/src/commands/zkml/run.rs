use std::process::ExitCode;

use assay_primitives::SystemClock;
use assay_zkml::execute::execute;
use assay_zkml::model::Agreement;
use assay_zkml_onnx::{MAX_MODEL_BYTES, Reference};
use serde_json::{Value, json};

use super::data::{Outputs, quantise, read_inputs};
use super::{OUTPUTS, in_onnx, load, milliseconds, peak_memory, tell_clamped};
use crate::args::RunArgs;
use crate::error::CliError;
use crate::{files, output};

/// The most inputs of one run.
const MAX_RUNS: usize = 1 << 16;

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, CliError> {
    if let Some(path) = &args.output {
        files::check_replaceable(path, OUTPUTS)?;
    }
    let (file, bytes) = load(&args.model)?;
    let verifying = file.key();
    let rows = read_inputs(&args.input, MAX_RUNS)?;
    let inputs = quantise(&args.input, &rows, verifying.input(), args.clamp)?;
    let program = verifying.descriptor().program();
    let started = SystemClock::default();
    let mut raw = Vec::with_capacity(inputs.len());
    for input in &inputs {
        let run = execute(program, file.weights(), &input.values).map_err(CliError::failed)?;
        raw.push(run.output().to_vec());
    }
    let time = milliseconds(started);
    let outputs = Outputs::new(verifying.output(), raw)?;
    if let Some(path) = &args.output {
        outputs.write(path)?;
    }
    let against = args.against.as_deref().map(|path| {
        let bytes = files::read(path, MAX_MODEL_BYTES as u64)?;
        compare(&bytes, &rows, &outputs).map_err(in_onnx(path))
    });
    let against = against.transpose()?;
    let clamped: usize = inputs.iter().map(|input| input.clamped).sum();
    let id = verifying.model_id();
    if args.json {
        output::json(&json!({
            "model_id": id.to_string(),
            "run_ms": time,
            "program_bytes": bytes,
            "peak_rss_bytes": peak_memory(),
            "clamped": clamped,
            "float": against,
            "float_us": against.as_ref().and_then(|told| told.get("median_us")),
            "output": outputs.output_data,
            "output_int": outputs.output_int,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::field("model", id);
    for row in &outputs.output_data {
        output::field("output", format_args!("{row:?}"));
    }
    tell_clamped(clamped);
    if let Some(told) = against {
        let of = |key: &str| told.get(key).cloned().unwrap_or_default();
        let same =
            format!("{} of {} have the same largest output", of("same_argmax"), of("samples"));
        output::field("float", format_args!("{same}; greatest error {}", of("greatest_error")));
    }
    output::field("time", format_args!("{time} ms"));
    Ok(ExitCode::SUCCESS)
}

/// Compares with the float model, and times that.
fn compare(
    onnx: &[u8],
    rows: &[Vec<f32>],
    outputs: &Outputs,
) -> Result<Value, assay_zkml_onnx::CompileError> {
    let reference = Reference::new(onnx)?;
    let mut times = Vec::with_capacity(rows.len());
    let mut expected = Vec::with_capacity(rows.len());
    for row in rows {
        let started = SystemClock::default();
        expected.push(reference.run(row)?);
        times.push(milliseconds(started) * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let mut told = Agreement::default();
    expected
        .iter()
        .zip(&outputs.output_data)
        .for_each(|(expected, got)| told.add(expected, got, 0));
    Ok(json!({
        "samples": told.samples,
        "same_argmax": told.same_argmax,
        "greatest_error": told.greatest_error,
        "greatest_output": told.greatest_output,
        "median_us": times.get(times.len() / 2),
    }))
}
