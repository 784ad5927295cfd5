//! AWS Nitro attestation documents.

use crate::evidence::Context;
use crate::{Check, Claims, Refusal};

pub(crate) fn claims(document: &[u8], context: &Context<'_>) -> Result<Claims, Refusal> {
    let _ = (document, context);
    Err(Refusal::new(Check::EvidenceEncoding, "", ""))
}
