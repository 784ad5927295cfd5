//! The whole way from a file's bytes to a program that was compared with the float model.

use assay_zkml::execute::execute;
use assay_zkml::model::{
    Agreement, Dequantisation, FileError, ModelFile, NodeName, Order, Quantisation, Report,
};
use assay_zkml::program::{CheckedProgram, Mode, Place, Program, ProgramError};
use assay_zkml::tensor_code::Digest;

use crate::draft::{self, Draft, Label, Scale};
use crate::error::{CompileError, Refusal};
use crate::float::{FloatModel, input_ranges};
use crate::graph::{self, Graph};
use crate::limits;
use crate::lower::lower;
use crate::quantise::{Resolution, finest, quantise, refine, scales};
use crate::report::{SiteSummary, Summary};
use crate::trees::{self, Ensemble};

/// A model that can be served and proven.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Compiled {
    /// The program.
    pub program: CheckedProgram,
    /// The weight vector; places behind its end are zero.
    pub weights: Vec<i16>,
    /// Real inputs to the program's.
    pub input: Quantisation,
    /// The program's raw output to real ones.
    pub output: Dequantisation,
    /// The digest of the ONNX file.
    pub source: Digest,
    /// How large it is, and how it compares with the float model.
    pub summary: Summary,
}

/// How a model is compiled.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// The value that is the output, if not the graph's: the logits in front of a Softmax.
    pub output: Option<String>,
    /// How finely values between sites are stored.
    pub activations: Activations,
    /// The largest stored value between sites with [`Activations::Int8`], 1 to 255; 127 is an int8.
    pub largest: u8,
    /// How the weights are committed to, hence how large and how fast to make its proofs are.
    pub mode: Mode,
}

impl Default for Options {
    fn default() -> Self {
        Self { output: None, activations: Activations::Int8, largest: 127, mode: Mode::Fast }
    }
}

/// How finely values between sites are stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Activations {
    /// In 8 bits.
    #[default]
    Int8,
    /// In up to 16 bits, as many as the lookup tables allow; the input in 12.
    Int16,
}

/// Compiles the ONNX model `bytes`, calibrated on `samples`: inputs as the model takes them, row-major.
///
/// # Errors
///
/// Returns [`CompileError`] with the first thing that cannot be compiled, or a sample that the model
/// does not take.
pub fn compile(
    bytes: &[u8],
    samples: &[Vec<f32>],
    options: &Options,
) -> Result<Compiled, CompileError> {
    let (model, graph) = graph::open(bytes, options.output.as_deref())?;
    let (input, output) = (graph.input.clone(), graph.output.clone());
    let is_float = input.check_float();
    is_float.map_err(|refusal| CompileError::Tensor { name: input.name.clone(), refusal })?;
    if samples.is_empty() {
        let refusal = Refusal::mismatch("number of samples", "1 or more", 0);
        return Err(CompileError::Sample { index: 0, refusal });
    }
    if let Some(ensemble) = Ensemble::of(&graph, options.output.is_some())? {
        if options.activations == Activations::Int16 {
            return Err(not_wide(&graph));
        }
        return ensemble.compile(bytes, samples, options.mode);
    }
    let mut draft = lower(graph)?;
    if options.activations == Activations::Int16 {
        refine(&mut draft, &input.name)?;
    }
    limits::check(&draft)?;
    let values = calibrated(&draft, &input.name, &output);
    let float = FloatModel::new(model, &input, &values)?;
    let mut calibration = float.calibrate(&values, samples)?;
    drop(float);
    let order = order_of(draft.input.clone())?;
    let channels = draft.tensors.first().map_or(1, |tensor| tensor.shape.c as usize);
    let (by_channel, range) = input_ranges(samples, &order.places(), channels);
    calibration.ranges.insert(input.name, range);
    let quanta = match options.activations {
        Activations::Int8 => {
            scales(&draft, &calibration, &by_channel, Resolution::narrow(options.largest))
        }
        Activations::Int16 => finest(&draft, &calibration, &by_channel)?,
    };
    let Draft { tensors, sites, output, .. } = draft;
    let labels: Vec<Label> = sites.iter().map(|site| site.label.clone()).collect();
    let quantised = quantise(&tensors, sites, &quanta, options.mode)?;
    let program = check(quantised.program, &labels)?;
    let weights = quantised.weights;
    program.check_weights(&weights).map_err(|error| at_site(error, &labels))?;
    let quantum = quanta.first().ok_or(CompileError::Ends { what: "input", got: 0 })?;
    let input = Quantisation::new(order, quantum.scales(), quantum.interval)?;
    let output = Dequantisation::new(order_of(output)?, quantised.output_scale)?;
    let summary = Summary::new(&program, &labels);
    let source = Digest::from(*blake3::hash(bytes).as_bytes());
    let mut compiled = Compiled { program, weights, input, output, source, summary };
    compiled.summary.agreement = compiled.compare(samples, &calibration.outputs)?;
    Ok(compiled)
}

impl Compiled {
    /// Returns the output for one input, and how many values of it were clamped.
    ///
    /// # Errors
    ///
    /// Returns [`CompileError`] if the input is none of the model's.
    pub fn run(&self, input: &[f32]) -> Result<(Vec<f32>, usize), CompileError> {
        let quantised = self.input.quantise(input)?;
        let execution = execute(&self.program, &self.weights, &quantised.values)?;
        Ok((self.output.dequantise(execution.output())?, quantised.clamped))
    }

    /// Commits to the weights and returns the model's file.
    ///
    /// # Errors
    ///
    /// Returns [`FileError`] if the model is larger than a file may be.
    pub fn into_file(self, name: String) -> Result<ModelFile, FileError> {
        let Self { program, weights, input, output, source, summary } = self;
        let name_of = |site: &SiteSummary| NodeName {
            node: site.node.clone(),
            operator: site.operator.clone(),
        };
        let nodes = summary.sites.iter().map(name_of).collect();
        let report = Report { agreement: summary.agreement, nodes };
        ModelFile::new(name, program, weights, input, output, source, report)
    }

    /// Compares the program with `outputs` of another executor of the model on `samples`.
    ///
    /// # Errors
    ///
    /// Returns [`CompileError`] if a sample is no input of the model.
    pub fn compare(
        &self,
        samples: &[Vec<f32>],
        outputs: &[Vec<f32>],
    ) -> Result<Agreement, CompileError> {
        let mut agreement = Agreement::default();
        for (sample, expected) in samples.iter().zip(outputs) {
            let (got, clamped) = self.run(sample)?;
            agreement.add(expected, &got, clamped);
        }
        Ok(agreement)
    }
}

/// The decisions of trees are exact as they are.
fn not_wide(graph: &Graph) -> CompileError {
    let refusal = Refusal::unsupported("a tree ensemble with int16 activations");
    match graph.nodes.iter().find(|node| trees::is_one(&node.operator)) {
        Some(node) => node.refuse(refusal),
        None => CompileError::Tensor { name: graph.output.clone(), refusal },
    }
}

/// Returns the names of the values whose ranges are wanted, and the output's last.
fn calibrated(draft: &Draft, input: &str, output: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for tensor in &draft.tensors {
        if let Scale::Calibrated { value, .. } = &tensor.scale
            && value != input
            && value != output
            && !names.contains(value)
        {
            names.push(value.clone());
        }
    }
    names.push(output.to_owned());
    names
}

pub(crate) fn check(program: Program, labels: &[Label]) -> Result<CheckedProgram, CompileError> {
    program.check().map_err(|error| at_site(error, labels))
}

/// Names the node of a site.
pub(crate) fn at_site(error: ProgramError, labels: &[Label]) -> CompileError {
    let label = match error.place {
        Place::Site(index) => labels.get(index),
        _ => None,
    };
    match label {
        Some(Label { node, operator }) => {
            CompileError::Rule { node: node.clone(), operator: operator.clone(), error }
        }
        None => CompileError::Program(error),
    }
}

fn order_of(order: draft::Order) -> Result<Order, CompileError> {
    let axes = order.axes.iter().filter_map(|&axis| u32::try_from(axis).ok()).collect();
    Ok(Order::new(order.dims, order.extents, axes)?)
}
