//! How a program compares with the float model that it was made of.

use assay_zkml::program::Site;

/// What compiling a model gave.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Sites, in the order of the program.
    pub sites: Vec<SiteReport>,
    /// Weights and biases, without padding.
    pub weights: usize,
    /// Cells of all tensors but the input.
    pub activations: usize,
    /// The program against the float model on the samples.
    pub agreement: Agreement,
}

/// One site.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SiteReport {
    /// The node's name.
    pub node: String,
    /// The node's operator.
    pub operator: String,
    /// `s`, of a requantisation.
    pub shift: Option<u32>,
    /// Cells of the site's tensor.
    pub cells: usize,
}

/// Outputs of a program against those of the float model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Agreement {
    /// Samples compared.
    pub samples: usize,
    /// Samples on which the largest output is the same.
    pub same_argmax: usize,
    /// The greatest absolute difference of an output.
    pub greatest_error: f32,
    /// The greatest absolute output of the float model.
    pub greatest_output: f32,
    /// Input values that lay outside the calibrated range.
    pub clamped: usize,
}

impl Agreement {
    /// Adds one sample.
    pub(crate) fn add(&mut self, expected: &[f32], got: &[f32], clamped: usize) {
        self.samples += 1;
        self.same_argmax += usize::from(argmax(expected) == argmax(got));
        self.clamped += clamped;
        for (expected, got) in expected.iter().zip(got) {
            self.greatest_error = self.greatest_error.max((expected - got).abs());
            self.greatest_output = self.greatest_output.max(expected.abs());
        }
    }
}

/// Compares outputs, sample by sample.
pub fn agreement<'a>(pairs: impl IntoIterator<Item = (&'a [f32], &'a [f32])>) -> Agreement {
    let mut agreement = Agreement::default();
    for (expected, got) in pairs {
        agreement.add(expected, got, 0);
    }
    agreement
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

/// Returns `s` of a requantisation.
pub(crate) const fn shift(site: &Site) -> Option<u32> {
    match site {
        Site::Requant { shift, .. } => Some(*shift),
        Site::Max2 { .. } | Site::Copy { .. } | Site::Output { .. } => None,
    }
}
