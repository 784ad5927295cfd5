use std::fmt;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// Gives each check its name in messages and JSON.
macro_rules! checks {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A check that a bundle can fail.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum Check {
            $($(#[$doc])* $variant,)*
        }

        impl Check {
            /// Every check, in the order in which they are made.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the check's name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

checks! {
    /// The file is the one spelling of a bundle.
    BundleEncoding = "bundle.encoding",
    /// The file is of a version that is known here.
    BundleVersion = "bundle.version",
    /// The key manifest is signed by the identity key it names.
    ManifestSignature = "manifest.signature",
    /// The key manifest can be read.
    ManifestContent = "manifest.content",
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
    /// The disclosed items are in order, each once, and as many as there can be.
    ItemIndex = "item.index",
    /// The item's bytes are an item statement.
    ItemStatement = "item.statement",
    /// The item is in the receipt's tree.
    ItemInclusion = "item.inclusion",
    /// The request is the one committed to.
    ItemRequest = "item.request",
    /// The output is the one committed to.
    ItemOutput = "item.output",
    /// Items depend only on others of the transaction.
    ItemDependency = "item.dependency",
    /// The evidence is what the item refers to.
    ItemEvidence = "item.evidence",
    /// The method is known here.
    ItemMethod = "item.method",
    /// The method's own checks.
    ItemCertification = "item.certification",
    /// The prices add up to what was authorised.
    ReceiptPrice = "receipt.price",
    /// The settlement record is signed by a key of the operator's.
    SettlementSignature = "settlement.signature",
    /// The settlement record can be read.
    SettlementContent = "settlement.content",
    /// The settlement record is about this receipt.
    SettlementReceipt = "settlement.receipt",
    /// The settlement record moves the money as authorised.
    SettlementTerms = "settlement.terms",
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

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
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

impl Refusal {
    /// Makes a refusal that concerns no single item.
    pub fn new(check: Check, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self { check, item: None, expected: expected.to_string(), got: got.to_string() }
    }

    /// Says in which item.
    #[must_use]
    pub fn in_item(mut self, index: u32) -> Self {
        self.item = Some(index);
        self
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

/// A file that is no bundle at all, so that there is nothing to verify.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("not a bundle: {0}")]
pub struct Unusable(pub String);
