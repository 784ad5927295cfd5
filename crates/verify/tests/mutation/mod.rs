//! What changes a bundle in any way makes it refused, and by the check that is for it.

mod bytes;
mod encodings;
mod fields;
pub(crate) mod signatures;
mod tree;

use assay_testkit::VERIFIED_AT;
use assay_verify::{Expectation, Verifier};

/// What becomes of a file: the verdict's name, the name of the check that refused it, or `unusable`
/// when it is no bundle.
pub(crate) fn outcome(verifier: &Verifier, file: &[u8]) -> &'static str {
    match verifier.verify(file, &Expectation::default(), VERIFIED_AT) {
        Ok(report) => report
            .verdict
            .refusal()
            .map_or(report.verdict.as_str(), |refusal| refusal.check.as_str()),
        Err(_) => "unusable",
    }
}
