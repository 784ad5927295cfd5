//! The float model by itself: what a program is compared with.

use crate::error::CompileError;
use crate::float::FloatModel;
use crate::graph::{Graph, decode, output_name};

/// A float model, run by tract on one thread.
#[derive(Debug)]
pub struct Reference {
    float: FloatModel,
    values: usize,
}

impl Reference {
    /// Reads an ONNX model.
    ///
    /// # Errors
    ///
    /// Returns [`CompileError`] if it is no model of one input and one output that can be run.
    pub fn new(bytes: &[u8]) -> Result<Self, CompileError> {
        let model = decode(bytes)?;
        let output = output_name(&model)?;
        let graph = Graph::read(&model, &output)?;
        let values = graph.input.dims.iter().map(|&dim| dim as usize).product();
        Ok(Self { float: FloatModel::new(model, &graph.input, &[output])?, values })
    }

    /// Returns the number of values of an input.
    #[must_use]
    pub const fn values(&self) -> usize {
        self.values
    }

    /// Returns the output for one input, row-major.
    ///
    /// # Errors
    ///
    /// Returns [`CompileError`] if the input has another number of values.
    pub fn run(&self, input: &[f32]) -> Result<Vec<f32>, CompileError> {
        Ok(self.float.run(input)?.pop().unwrap_or_default())
    }
}
