//! What compiling a model gave.

use assay_zkml::model::Agreement;
use assay_zkml::program::{CheckedProgram, Site, Tensor};

use crate::draft::Label;

/// A program in numbers, and how it compares with the float model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Sites, in the order of the program.
    pub sites: Vec<SiteSummary>,
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
pub struct SiteSummary {
    /// The node's name.
    pub node: String,
    /// The node's operator.
    pub operator: String,
    /// `s`, of a requantisation.
    pub shift: Option<u32>,
    /// Cells of the site's tensor.
    pub cells: usize,
}

impl Summary {
    /// Counts what a program has; nothing is compared yet.
    pub(crate) fn new(program: &CheckedProgram, labels: &[Label]) -> Self {
        let program = program.program();
        let tensors = program.tensors.iter().skip(1);
        let site = |((site, tensor), label): ((&Site, &Tensor), &Label)| SiteSummary {
            node: label.node.clone(),
            operator: label.operator.clone(),
            shift: shift(site),
            cells: tensor.shape.cells(),
        };
        let sites: Vec<SiteSummary> =
            program.sites.iter().zip(tensors).zip(labels).map(site).collect();
        let weights = program.segments.iter().map(|segment| {
            segment.taps as usize * segment.outputs as usize * segment.channels as usize
        });
        Self {
            weights: weights.sum(),
            activations: sites.iter().map(|site| site.cells).sum(),
            sites,
            agreement: Agreement::default(),
        }
    }
}

const fn shift(site: &Site) -> Option<u32> {
    match site {
        Site::Requant { shift, .. } => Some(*shift),
        Site::Max2 { .. } | Site::Copy { .. } | Site::Output { .. } => None,
    }
}
