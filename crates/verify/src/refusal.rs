use std::fmt;

use assay_primitives::{checks, printable};
use serde::Serialize;
use thiserror::Error;

checks! {
    /// A check that a bundle can fail. Of several that fail, the least is reported.
    pub enum Check {
        /// The file is the one spelling of a bundle.
        BundleEncoding = "bundle.encoding",
        /// The file is of a version that is known here.
        BundleVersion = "bundle.version",
        /// The key manifest can be read in one way only.
        ManifestContent = "manifest.content",
        /// The key manifest is signed by the identity key it names.
        ManifestSignature = "manifest.signature",
        /// The key manifest and the ones the verifier knows of this operator are one history.
        ManifestHistory = "manifest.history",
        /// The operator is one the policy accepts.
        PolicyOperator = "policy.operator",
        /// The key manifest is as new as the policy asks.
        PolicyManifestVersion = "policy.manifest-version",
        /// The receipt can be read.
        ReceiptContent = "receipt.content",
        /// The receipt is the manifest's operator's.
        ReceiptOperator = "receipt.operator",
        /// The receipt's key is in the manifest, for receipts.
        ReceiptKey = "receipt.key",
        /// The receipt is signed by its key.
        ReceiptSignature = "receipt.signature",
        /// The receipt's key was not revoked.
        ReceiptKeyRevoked = "receipt.key-revoked",
        /// The receipt was signed while its key was in use.
        ReceiptKeyValidity = "receipt.key-validity",
        /// The receipt is not from the future.
        ReceiptTime = "receipt.time",
        /// The money goes to an address in the manifest.
        ReceiptPayTo = "receipt.pay-to",
        /// The item's bytes are an item statement.
        ItemStatement = "item.statement",
        /// The disclosed items are in order, each and each id once, and there is one.
        ItemIndex = "item.index",
        /// The item is in the receipt's tree.
        ItemInclusion = "item.inclusion",
        /// The request is the one committed to.
        ItemRequest = "item.request",
        /// The output is the one committed to.
        ItemOutput = "item.output",
        /// The item depends on earlier items only, and its input is built of their outputs as it says.
        ItemDependency = "item.dependency",
        /// The evidence is what the items refer to, and all of it.
        ItemEvidence = "item.evidence",
        /// The method is known here.
        ItemMethod = "item.method",
        /// The method's own checks.
        ItemCertification = "item.certification",
        /// The prices add up to what was authorised.
        ReceiptPrice = "receipt.price",
        /// The settlement record can be read.
        SettlementContent = "settlement.content",
        /// The settlement record's key is in the manifest, for receipts.
        SettlementKey = "settlement.key",
        /// The settlement record is signed by its key.
        SettlementSignature = "settlement.signature",
        /// The settlement record's key was not revoked.
        SettlementKeyRevoked = "settlement.key-revoked",
        /// The settlement record was signed while its key was in use.
        SettlementKeyValidity = "settlement.key-validity",
        /// The settlement record is about this receipt.
        SettlementReceipt = "settlement.receipt",
        /// The settlement record moves the money as authorised.
        SettlementTerms = "settlement.terms",
        /// The settlement record's times fit the receipt's, each other and the verifier's.
        SettlementTime = "settlement.time",
        /// Each settlement record can follow from the ones before it.
        SettlementOrder = "settlement.order",
        /// The method is one the policy accepts.
        PolicyMethod = "policy.method",
        /// The model is one the policy accepts.
        PolicyModel = "policy.model",
        /// The network is one the policy accepts.
        PolicyNetwork = "policy.network",
        /// The money goes where the policy accepts it.
        PolicyPayTo = "policy.pay-to",
        /// The price is one the policy accepts.
        PolicyPrice = "policy.price",
        /// The receipt is as young as the policy asks.
        PolicyAge = "policy.age",
        /// The receipt's time is based on what the policy accepts.
        PolicyTime = "policy.time",
        /// The payment is as far as the policy asks.
        PolicyPayment = "policy.payment",
        /// The nonce is the verifier's own.
        ExpectedNonce = "expected.nonce",
        /// The request is the verifier's own.
        ExpectedInput = "expected.input",
    }
}

/// A check that failed, with both values.
#[derive(Clone, Debug, Eq, Error, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Refusal {
    /// Which check.
    pub check: Check,
    /// In which item, if in one.
    pub item: Option<u32>,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub got: String,
}

/// The most characters of a value that a refusal shows.
const MAX_VALUE: usize = 512;

impl Refusal {
    /// Makes a refusal that concerns no single item.
    pub fn new(check: Check, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        let shown = |value: &dyn fmt::Display| printable(&value.to_string(), MAX_VALUE);
        Self { check, item: None, expected: shown(&expected), got: shown(&got) }
    }

    /// Says in which item.
    #[must_use]
    pub fn in_item(mut self, index: u32) -> Self {
        self.item = Some(index);
        self
    }

    /// Returns the refusal to report of several: the one whose check is the least, and of these the
    /// one in the first item.
    pub(crate) fn first(refusals: impl IntoIterator<Item = Self>) -> Option<Self> {
        refusals.into_iter().min_by_key(|refusal| (refusal.check, refusal.item))
    }

    /// Returns all values, or of all refusals the one to report.
    pub(crate) fn all_or_first<T>(
        results: impl IntoIterator<Item = Result<T, Self>>,
    ) -> Result<Vec<T>, Self> {
        let (mut values, mut refusals) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(value) => values.push(value),
                Err(refusal) => refusals.push(refusal),
            }
        }
        Self::first(refusals).map_or(Ok(values), Err)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(item) = self.item {
            write!(f, "item {item}: ")?;
        }
        write!(f, "{}: expected {}, got {}", self.check, self.expected, self.got)
    }
}

/// Returns the values in words.
pub(crate) fn listed<T: fmt::Display>(values: &[T]) -> String {
    let shown: Vec<String> = values.iter().take(8).map(ToString::to_string).collect();
    let more = if values.len() > shown.len() { ", …" } else { "" };
    match shown.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        _ => format!("one of {}{more}", shown.join(", ")),
    }
}

/// A file that is no bundle at all, so that there is nothing to verify.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("not a bundle: {0}")]
pub struct Unusable(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_check_is_reported_and_of_one_check_the_first_item() {
        let refusal = |check, item| Refusal { item, ..Refusal::new(check, "a", "b") };
        let (early, late) = (Check::ItemStatement, Check::PolicyModel);
        let all = [refusal(late, Some(0)), refusal(early, Some(2)), refusal(early, Some(1))];
        assert_eq!(Refusal::first(all.clone()), Some(refusal(early, Some(1))));
        assert_eq!(Refusal::all_or_first([Ok(1), Err(all[0].clone())]), Err(all[0].clone()));
        assert_eq!(Refusal::all_or_first([Ok(1), Ok(2)]), Ok(vec![1, 2]));
    }

    #[test]
    fn a_refusal_shows_no_raw_text_of_the_file() {
        let refusal = Refusal::new(Check::ReceiptContent, "a", "\u{1b}[2Jverified");
        assert_eq!(refusal.to_string(), "receipt.content: expected a, got \\u{1b}[2Jverified");
        let long = Refusal::new(Check::ReceiptContent, "a", "x".repeat(10_000));
        assert_eq!(long.got.chars().count(), MAX_VALUE + 1);
    }

    #[test]
    fn names_are_unique() {
        for (at, check) in Check::ALL.iter().enumerate() {
            assert!(!Check::ALL[..at].iter().any(|other| other.as_str() == check.as_str()));
        }
        assert!(Check::ALL.is_sorted());
    }
}
