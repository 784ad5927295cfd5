//! Models of a few nodes, compared with the float model.
//!
//! The bound is 2 % of the largest output: one requantisation is off by half a step in 127 at most,
//! a wrong tap, channel or order by about the whole output.

use assay_zkml_onnx::synthetic::{Attribute, Builder, Seeded};
use assay_zkml_onnx::{Compiled, Options, compile};

pub(crate) const BOUND: f32 = 0.02;

/// Attributes of a node by name.
pub(crate) type Attributes = Vec<(&'static str, Attribute)>;

/// A graph whose input is `x`, with random numbers at hand.
pub(crate) struct Net {
    pub(crate) builder: Builder,
    pub(crate) numbers: Seeded,
    pub(crate) inputs: usize,
}

impl Net {
    pub(crate) fn new(dims: &[u32]) -> Self {
        let inputs = dims.iter().map(|&dim| dim as usize).product();
        Self { builder: Builder::batched(dims), numbers: Seeded::new(11), inputs }
    }

    pub(crate) fn random(&mut self, dims: &[u32]) -> String {
        let count = dims.iter().map(|&dim| dim as usize).product();
        let values = self.numbers.uniform(count, 1.0);
        self.builder.floats(dims, &values)
    }

    pub(crate) fn positive(&mut self, dims: &[u32]) -> String {
        let count = dims.iter().map(|&dim| dim as usize).product();
        let mut values = self.numbers.uniform(count, 0.4);
        values.iter_mut().for_each(|value| *value += 1.0);
        self.builder.floats(dims, &values)
    }

    pub(crate) fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> String {
        self.builder.node(operator, inputs, attributes)
    }

    pub(crate) fn conv(
        &mut self,
        input: &str,
        dims: &[u32],
        attributes: &[(&str, Attribute)],
    ) -> String {
        let weights = self.random(dims);
        let bias = self.random(dims.get(..1).unwrap());
        self.builder.node("Conv", &[input, &weights, &bias], attributes)
    }

    pub(crate) fn compile(&self, output: &str) -> Compiled {
        let mut numbers = Seeded::new(3);
        let samples: Vec<_> = (0..8).map(|_| numbers.uniform(self.inputs, 1.0)).collect();
        compile(&self.builder.finish(output), &samples, &Options::default()).unwrap()
    }

    /// Compiles, checks the error, and returns the operators of the sites.
    pub(crate) fn close(&self, output: &str) -> Vec<String> {
        self.close_within(BOUND, output)
    }

    pub(crate) fn close_within(&self, bound: f32, output: &str) -> Vec<String> {
        let summary = self.compile(output).summary;
        let agreement = summary.agreement;
        let error = agreement.greatest_error / agreement.greatest_output;
        assert!(error < bound, "{error}: {agreement:?}");
        summary.sites.into_iter().map(|site| site.operator).collect()
    }
}

pub(crate) fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}
