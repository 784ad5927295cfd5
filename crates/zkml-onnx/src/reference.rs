//! The float model by itself: what a program is compared with.

use crate::error::CompileError;
use crate::float::FloatModel;
use crate::graph;
use crate::limits;
use crate::lower::lower;
use crate::trees::Ensemble;

/// Returns the number of values of a model's input; `output` is the value to compile up to, if not
/// the graph's output.
///
/// # Errors
///
/// Returns [`CompileError`] if the file is no model of one input and one output.
pub fn input_values(bytes: &[u8], output: Option<&str>) -> Result<usize, CompileError> {
    let (_, graph) = graph::open(bytes, output)?;
    Ok(graph.input.values())
}

/// A float model, run by tract on one thread; tree ensembles are run here.
#[derive(Debug)]
pub struct Reference {
    float: Float,
}

#[derive(Debug)]
enum Float {
    Tract(FloatModel),
    Trees(Ensemble),
}

impl Reference {
    /// Reads an ONNX model. It is one that could be compiled, up to what turns logits into
    /// probabilities, which tree ensembles are read without: tract would make whatever the file asks for, or panic at it.
    ///
    /// # Errors
    ///
    /// Returns [`CompileError`] if it is no model of one input and one output that can be run.
    pub fn new(bytes: &[u8]) -> Result<Self, CompileError> {
        let (model, mut graph) = graph::open(bytes, None)?;
        if let Some(ensemble) = Ensemble::of(&graph, true)? {
            return Ok(Self { float: Float::Trees(ensemble) });
        }
        let (input, output) = (graph.input.clone(), graph.output.clone());
        graph.drop_probabilities();
        limits::check(&lower(graph)?)?;
        let float = FloatModel::new(model, &input, &[output])?;
        Ok(Self { float: Float::Tract(float) })
    }

    /// Returns the output for one input, row-major.
    ///
    /// # Errors
    ///
    /// Returns [`CompileError`] if the input has another number of values.
    pub fn run(&self, input: &[f32]) -> Result<Vec<f32>, CompileError> {
        match &self.float {
            Float::Tract(model) => Ok(model.run(input)?.pop().unwrap_or_default()),
            Float::Trees(ensemble) => ensemble.run(input),
        }
    }
}
