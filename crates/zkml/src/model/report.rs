//! What was measured when a model was compiled: for people, not for verifiers.

use crate::program::{DecodeError, Encoded, Reader};

/// Longest text in a file, in bytes.
pub(super) const MAX_TEXT: usize = 1 << 10;

/// How a program compares with the model that it was made of.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the file")]
pub struct Report {
    /// The program against the float model on the samples.
    pub agreement: Agreement,
    /// For each site, the node that it computes.
    pub nodes: Vec<NodeName>,
}

/// A node of the model that was compiled.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the file")]
pub struct NodeName {
    /// Its name.
    pub node: String,
    /// Its operator.
    pub operator: String,
}

/// Outputs of a program against those of the float model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the file")]
pub struct Agreement {
    /// Samples compared.
    pub samples: u32,
    /// Samples on which the largest output is the same.
    pub same_argmax: u32,
    /// Input values outside what the input's interval stands for.
    pub clamped: u64,
    /// The greatest absolute difference of an output.
    pub greatest_error: f32,
    /// The greatest absolute output of the float model.
    pub greatest_output: f32,
}

impl Agreement {
    /// Adds one sample.
    pub fn add(&mut self, expected: &[f32], got: &[f32], clamped: usize) {
        self.samples = self.samples.saturating_add(1);
        let same = u32::from(argmax(expected) == argmax(got));
        self.same_argmax = self.same_argmax.saturating_add(same);
        self.clamped = self.clamped.saturating_add(clamped as u64);
        for (expected, got) in expected.iter().zip(got) {
            self.greatest_error = self.greatest_error.max((expected - got).abs());
            self.greatest_output = self.greatest_output.max(expected.abs());
        }
    }
}

/// Returns the index of the largest value, the first of equal ones.
#[must_use]
pub fn argmax(values: &[f32]) -> Option<usize> {
    let better = |best: (usize, f32), (index, &value): (usize, &f32)| {
        if value > best.1 { (index, value) } else { best }
    };
    let first = *values.first()?;
    Some(values.iter().enumerate().fold((0, first), better).0)
}

impl Encoded for Agreement {
    const LEAST: usize = 24;

    fn write(&self, out: &mut Vec<u8>) {
        self.samples.write(out);
        self.same_argmax.write(out);
        self.clamped.write(out);
        self.greatest_error.to_bits().write(out);
        self.greatest_output.to_bits().write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            samples: u32::read(from)?,
            same_argmax: u32::read(from)?,
            clamped: u64::read(from)?,
            greatest_error: f32::from_bits(u32::read(from)?),
            greatest_output: f32::from_bits(u32::read(from)?),
        })
    }
}

impl Encoded for NodeName {
    const LEAST: usize = 8;

    fn write(&self, out: &mut Vec<u8>) {
        self.node.write(out);
        self.operator.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { node: String::read(from)?, operator: String::read(from)? })
    }
}

impl Encoded for Report {
    const LEAST: usize = Agreement::LEAST + 4;

    fn write(&self, out: &mut Vec<u8>) {
        self.agreement.write(out);
        self.nodes.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { agreement: Agreement::read(from)?, nodes: Vec::read(from)? })
    }
}
