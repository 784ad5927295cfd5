//! The files of inputs and outputs.

use std::path::Path;

use assay_zkml::model::{Dequantisation, Quantisation, Quantised};
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::files::{self, Readers};

/// The most bytes a file of inputs or outputs may have.
const MAX_FILE: u64 = 256 << 20;

/// The most inferences under one proof.
pub(super) const MAX_BATCH: usize = 1 << 10;

#[derive(Deserialize)]
struct Inputs {
    input_data: Vec<Vec<f32>>,
}

/// Outputs as the program gives them, and what they stand for.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Outputs {
    /// Dequantised.
    pub(super) output_data: Vec<Vec<f32>>,
    /// Raw, in the program's order: what is proven.
    pub(super) output_int: Vec<Vec<i32>>,
}

/// The most inputs to calibrate on.
pub(in crate::commands) const MAX_SAMPLES: usize = 1 << 16;

/// Reads a list of inputs, at least one.
pub(in crate::commands) fn read_inputs(
    path: &Path,
    most: usize,
) -> Result<Vec<Vec<f32>>, CliError> {
    let wrong = |error: String| CliError::Input(format!("{}: {error}", path.display()));
    let text = files::read(path, MAX_FILE)?;
    let inputs: Inputs = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    match inputs.input_data.len() {
        0 => Err(wrong("input_data is empty, one list for each inference is needed".to_owned())),
        got if got > most => {
            Err(wrong(format!("input_data has {got} lists, at most {most} can be used")))
        }
        _ => Ok(inputs.input_data),
    }
}

/// Makes integers of inputs; what is out of range is clamped or refused.
pub(super) fn quantise(
    path: &Path,
    inputs: &[Vec<f32>],
    quantisation: &Quantisation,
    clamp: bool,
) -> Result<Vec<Quantised>, CliError> {
    let quantise = |(row, input): (usize, &Vec<f32>)| {
        let quantised = quantisation.quantise(input).and_then(|quantised| {
            if quantised.clamped > 0 && !clamp {
                // Names the first value that is out of range.
                quantisation.quantise_within(input)?;
            }
            Ok(quantised)
        });
        quantised.map_err(|error| {
            CliError::Input(format!("{}: list {row} of input_data: {error}", path.display()))
        })
    };
    inputs.iter().enumerate().map(quantise).collect()
}

impl Outputs {
    /// Makes real numbers of raw outputs.
    pub(super) fn new(
        dequantisation: &Dequantisation,
        output_int: Vec<Vec<i32>>,
    ) -> Result<Self, CliError> {
        let real = output_int.iter().map(|raw| dequantisation.dequantise(raw));
        let output_data = real.collect::<Result<_, _>>().map_err(CliError::input)?;
        Ok(Self { output_data, output_int })
    }

    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let text = files::read(path, MAX_FILE)?;
        serde_json::from_slice(&text)
            .map_err(|error| CliError::Input(format!("{}: {error}", path.display())))
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), CliError> {
        let text = serde_json::to_vec(self).map_err(CliError::failed)?;
        files::replace_alike(path, &text, Readers::Everybody)
    }
}
