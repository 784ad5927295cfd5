use assay_primitives::{Digest, InferenceRequest};
use assay_receipt::ReceiptPredicate;

use crate::items::OpenedItem;
use crate::refusal::listed;
use crate::{Check, Refusal};

/// What a verifier itself knows of the transaction.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// The request that one of the items must have been asked.
    pub input: Option<InferenceRequest>,
    /// The nonce that was sent.
    pub nonce: Option<String>,
}

impl Expectation {
    pub(crate) fn check(
        &self,
        receipt: &ReceiptPredicate,
        items: &[OpenedItem<'_>],
    ) -> Result<(), Refusal> {
        if let Some(nonce) = &self.nonce
            && receipt.nonce.as_ref() != Some(nonce)
        {
            let got = receipt.nonce.as_ref().map_or("none".to_owned(), |got| format!("`{got}`"));
            return Err(Refusal::new(Check::ExpectedNonce, format!("`{nonce}`"), got));
        }
        let Some(input) = &self.input else { return Ok(()) };
        let input = input
            .to_bytes()
            .map_err(|error| Refusal::new(Check::ExpectedInput, "an input", error))?;
        if items.iter().any(|item| item.disclosed.request == input) {
            return Ok(());
        }
        let expected = format!("a request with SHA-256 {}", Digest::of(&input));
        let got: Vec<Digest> =
            items.iter().take(9).map(|item| Digest::of(&item.disclosed.request)).collect();
        Err(Refusal::new(Check::ExpectedInput, expected, listed(&got)))
    }
}
