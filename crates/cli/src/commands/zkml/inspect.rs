use std::process::ExitCode;

use assay_zkml::advice::Schedule;
use assay_zkml::circuit::Circuit;
use assay_zkml::explain::{Layer, layers, table};
use assay_zkml::model::{
    KEY_MAGIC, MAX_MODEL_BYTES, MODEL_MAGIC, ModelFile, PROOF_MAGIC, ProofFile, VerifyingFile,
    batch_bits,
};
use assay_zkml::program::{Interval, Site, Tensor};
use assay_zkml::soundness::{Budget, Term as ErrorTerm};
use serde_json::{Value, json};

use super::in_file;
use crate::args::InspectArgs;
use crate::error::CliError;
use crate::{files, output};

pub(super) fn run(args: &InspectArgs) -> Result<ExitCode, CliError> {
    let content = files::read(&args.file, MAX_MODEL_BYTES as u64)?;
    let wrong = in_file(&args.file);
    match content.first_chunk().copied() {
        Some(KEY_MAGIC) => {
            let file = VerifyingFile::decode(&content).map_err(wrong)?;
            model("verifying file", &file, None, content.len(), args)?;
        }
        Some(MODEL_MAGIC) => {
            let file = ModelFile::decode(&content).map_err(wrong)?;
            let weights = Some(file.weights().len());
            model("compiled model", file.key(), weights, content.len(), args)?;
        }
        Some(PROOF_MAGIC) => {
            proof(&ProofFile::decode(&content).map_err(wrong)?, content.len(), args.json)?;
        }
        _ => {
            let path = args.file.display();
            let message = format!("{path}: no compiled model, no verifying file and no proof");
            return Err(CliError::Input(message));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn proof(file: &ProofFile, bytes: usize, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return output::json(&json!({
            "kind": "proof",
            "model_id": file.model().to_string(),
            "inferences": file.salts().len(),
            "batch": 1_u64 << file.lb(),
            "proof_bytes": bytes,
        }));
    }
    output::field("kind", "proof");
    output::field("model", file.model());
    let batch = 1_u64 << file.lb();
    output::field("inferences", format_args!("{} in a batch of {batch}", file.salts().len()));
    output::field("size", format_args!("{bytes} bytes"));
    Ok(())
}

fn model(
    kind: &str,
    file: &VerifyingFile,
    weights: Option<usize>,
    bytes: usize,
    args: &InspectArgs,
) -> Result<(), CliError> {
    let lb = batch_bits(args.batch.into());
    let circuit = Circuit::new(file.descriptor(), lb).map_err(CliError::input)?;
    if args.json {
        return output::json(&model_json(kind, file, &circuit, weights, bytes));
    }
    let program = circuit.program().program();
    let (input, results) = (file.input(), file.output());
    output::field("kind", kind);
    output::field("model", circuit.model_id());
    output::field("digest", format_args!("{} of the verifying file", file.digest()));
    match weights {
        Some(weights) => {
            output::field("size", format_args!("{bytes} bytes, {} of them weights", 2 * weights));
        }
        None => output::field("size", format_args!("{bytes} bytes")),
    }
    let dims = input.order().dims();
    output::field("input", format_args!("{dims:?} in steps of {:?}", input.scales()));
    let dims = results.order().dims();
    output::field("output", format_args!("{dims:?} in steps of {}", results.scale()));
    for layer in layers(program) {
        let [y, x, c] = layer.shape;
        output::detail(&layer.tensor.to_string(), format_args!("{} {y}x{x}x{c}", layer.kind));
        output::detail("", format_args!("sums {}", layer.sums.join(", ")));
        output::detail("", layer.claim);
    }
    program.tables.iter().for_each(|index| output::field("table", table(index)));
    let sizes = circuit.sizes();
    let (batch, cells, leaves) = (1_u64 << sizes.lb, sizes.advice_cells, sizes.leaves);
    output::field("proof of", format_args!("{batch} in a batch"));
    output::field("advice", format_args!("{cells} cells, {leaves} lookups and rows"));
    let (mode, most) = (circuit.mode(), circuit.max_proof_bytes());
    output::field("proof", format_args!("{mode}, at most {most} bytes"));
    let memory = circuit.prover_memory().div_ceil(1 << 20);
    output::field("memory", format_args!("at most {memory} MiB to prove"));
    output::field("security", format_args!("{:.2} bits, proven", circuit.budget().bits()));
    circuit.budget().to_string().lines().for_each(|line| output::line(format_args!("  {line}")));
    let openings = [("WHIR of weights", circuit.weight_schedule()), ("WHIR", circuit.schedule())];
    for (name, schedule) in openings {
        let Some(schedule) = schedule else { continue };
        output::line(format_args!("{name}, all terms:"));
        let terms = Budget::new(schedule.terms().to_vec()).to_string();
        terms.lines().for_each(|line| output::line(format_args!("  {line}")));
    }
    Ok(())
}

fn model_json(
    kind: &str,
    file: &VerifyingFile,
    circuit: &Circuit,
    weights: Option<usize>,
    bytes: usize,
) -> Value {
    let program = circuit.program().program();
    let (input, results, sizes) = (file.input(), file.output(), circuit.sizes());
    let tensor = |tensor: &Tensor| {
        let Interval { lo, hi } = tensor.interval;
        json!({ "shape": tensor.shape.extents(), "low": lo, "high": hi })
    };
    let site = |((site, of), layer): ((&Site, &Tensor), Layer)| {
        let Layer { kind, sums, claim, committed, lookups, .. } = layer;
        json!({
            "kind": kind,
            "shift": shift_of(site),
            "reads": sums,
            "claim": claim,
            "committed": committed,
            "lookups": lookups,
            "tensor": tensor(of),
        })
    };
    let sites = program.sites.iter().zip(program.tensors.iter().skip(1));
    let sites = sites.zip(layers(program)).map(site);
    let term = |term: &ErrorTerm| json!({ "term": term.name, "log2_error": term.log2_error });
    let terms = |opening: &Schedule| opening.terms().iter().map(term).collect::<Vec<_>>();
    json!({
        "kind": kind,
        "bytes": bytes,
        "model_id": circuit.model_id().to_string(),
        "verifying_digest": file.digest().to_string(),
        "mode": circuit.mode().as_str(),
        "weight_root": circuit.weight_root().to_string(),
        "weights": weights,
        "input": {
            "dims": input.order().dims(),
            "scales": input.scales(),
            "tensor": program.tensors.first().map(tensor),
        },
        "output": { "dims": results.order().dims(), "scale": results.scale() },
        "tables": program.tables.iter().map(table).collect::<Vec<_>>(),
        "sites": sites.collect::<Vec<_>>(),
        "advice_cells": sizes.advice_cells,
        "lookup_leaves": sizes.leaves,
        "max_proof_bytes": circuit.max_proof_bytes(),
        "prover_memory_bytes": circuit.prover_memory(),
        "security_bits": circuit.budget().bits(),
        "batch": 1_u64 << sizes.lb,
        "security": circuit.budget().terms().iter().map(term).collect::<Vec<_>>(),
        "security_whir": circuit.schedule().map(terms),
        "security_whir_of_weights": circuit.weight_schedule().map(terms),
    })
}

const fn shift_of(site: &Site) -> Option<u32> {
    match site {
        Site::Requant { shift, .. } => Some(*shift),
        Site::Max2 { .. } | Site::Copy { .. } | Site::Output { .. } => None,
    }
}
