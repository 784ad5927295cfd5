//! x402's extension `sign-in-with-x` for EVM accounts: a payer shows by a fresh signature that he is
//! one, and moves no money (CAIP-122 in the form of EIP-4361, signed as EIP-191 has it).
//!
//! The message is written again from the fields of the header, so that what is checked is what was
//! signed. [`check_sign_in`] is pure; [`SpentSignIns`] remembers which were used.

mod check;
mod spent;
#[cfg(test)]
mod tests;

use alloy_primitives::{B256, eip191_hash_message};
use assay_primitives::{Randomness, Timestamp, encoding};
use serde::{Deserialize, Serialize};

pub use check::{CheckedSignIn, MAX_SIGN_IN_AGE, SignInRefusal, SignInScope, check_sign_in};
pub use spent::SpentSignIns;

use crate::{PaymentSigner, SigningError};

/// The version of CAIP-122 messages.
const VERSION: &str = "1";
/// The type of a signature by an Ethereum account.
const EIP191: &str = "eip191";

/// The header `SIGN-IN-WITH-X`: what was signed, field by field, and the signature.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignIn {
    /// Host, and port where it is not the scheme's own, of the server.
    pub domain: String,
    /// Who signs, in EIP-55 spelling.
    pub address: String,
    /// What for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// What is asked for.
    pub uri: String,
    /// The version of the message.
    pub version: String,
    /// The account's network, CAIP-2.
    pub chain_id: String,
    /// How it is signed.
    #[serde(rename = "type")]
    pub kind: String,
    /// At least 8 letters and digits, used once.
    pub nonce: String,
    /// When it was signed, RFC 3339.
    pub issued_at: String,
    /// When it ends, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<String>,
    /// When it begins, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// The client's name for the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What else is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<String>>,
    /// `r || s || v` in hexadecimal with `0x`, or whatever the contract wallet takes.
    pub signature: String,
}

impl SignIn {
    /// Signs in: for the scope, from now on, with a new nonce.
    ///
    /// # Errors
    /// When the signer declines, or there is no randomness for the nonce.
    pub fn sign(
        scope: &SignInScope<'_>,
        signer: &dyn PaymentSigner,
        now: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<Self, SigningError> {
        let mut sign_in = Self {
            domain: scope.domain.to_owned(),
            address: signer.address().to_checksum(None),
            statement: scope.statement.map(str::to_owned),
            uri: scope.uri.to_owned(),
            version: VERSION.to_owned(),
            chain_id: scope.network.to_string(),
            kind: EIP191.to_owned(),
            nonce: encoding::hex(&randomness.array::<16>()?),
            issued_at: now.to_string(),
            expiration_time: Some(now.plus(MAX_SIGN_IN_AGE).to_string()),
            not_before: None,
            request_id: None,
            resources: None,
            signature: String::new(),
        };
        let signature = signer.sign_hash(&sign_in.hash())?;
        sign_in.signature = format!("0x{}", encoding::hex(&signature));
        Ok(sign_in)
    }

    /// Returns the text that is signed (EIP-4361, section "Message Format").
    fn message(&self) -> String {
        let domain = &self.domain;
        let chain = self.chain_id.split_once(':').map_or("", |(_, reference)| reference);
        let mut lines = vec![
            format!("{domain} wants you to sign in with your Ethereum account:"),
            self.address.clone(),
            String::new(),
        ];
        lines.extend(self.statement.clone());
        lines.extend([
            String::new(),
            format!("URI: {}", self.uri),
            format!("Version: {}", self.version),
            format!("Chain ID: {chain}"),
            format!("Nonce: {}", self.nonce),
            format!("Issued At: {}", self.issued_at),
        ]);
        for (name, value) in [
            ("Expiration Time", &self.expiration_time),
            ("Not Before", &self.not_before),
            ("Request ID", &self.request_id),
        ] {
            lines.extend(value.as_ref().map(|value| format!("{name}: {value}")));
        }
        if let Some(resources) = self.resources.as_deref().filter(|list| !list.is_empty()) {
            lines.push("Resources:".to_owned());
            lines.extend(resources.iter().map(|resource| format!("- {resource}")));
        }
        lines.join("\n")
    }

    /// Returns the hash that is signed (EIP-191, version 0x45).
    fn hash(&self) -> B256 {
        eip191_hash_message(self.message())
    }
}
