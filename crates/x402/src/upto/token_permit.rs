//! The extension `eip2612GasSponsoring`: a token's own permit, which the facilitator hands in at its
//! cost, gives Permit2 the allowance that a payer has not given.

use alloy_primitives::{Address, B256, Bytes, U256};
use assay_chain::{Chain, ChainError, PERMIT2};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{UptoPermit, UptoRefusal, token_permit_hash};
use crate::evm::text::{bytes, checksummed, decimal};
use crate::evm::v_r_s;
use crate::wire::shown;
use crate::{PaymentSigner, SigningError};

/// The extension's key.
pub const EIP2612_GAS_SPONSORING: &str = "eip2612GasSponsoring";

/// The version of the extension's `info`.
const VERSION: &str = "1";

/// A token's own permit (EIP-2612) for Permit2.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenPermit {
    /// Whose tokens.
    #[serde(with = "checksummed")]
    pub from: Address,
    /// The token.
    #[serde(with = "checksummed")]
    pub asset: Address,
    /// Who gets the allowance: Permit2.
    #[serde(with = "checksummed")]
    pub spender: Address,
    /// The allowance, in atomic units.
    #[serde(with = "decimal")]
    pub amount: U256,
    /// The owner's nonce at the token.
    #[serde(with = "decimal")]
    pub nonce: U256,
    /// The Unix time until which it is valid.
    #[serde(with = "decimal")]
    pub deadline: U256,
    /// `r || s || v`.
    #[serde(with = "bytes")]
    pub signature: Bytes,
    /// The version of this form.
    pub version: String,
}

/// What a token says of an account that pays through Permit2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Permit2Standing {
    /// How much of it Permit2 may move, in atomic units.
    pub allowance: U256,
    /// The nonce of the account's next EIP-2612 permit; `None` where the token knows no such permits.
    pub permit_nonce: Option<U256>,
}

/// Returns the declaration of the extension that a seller adds to his challenge.
#[must_use]
pub fn eip2612_gas_sponsoring() -> Value {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let (account, number) = (text("^0x[a-fA-F0-9]{40}$"), text("^[0-9]+$"));
    json!({
        "info": {
            "description": "The facilitator hands in an EIP-2612 permit for Permit2 and pays for the gas.",
            "version": VERSION,
        },
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "from": account,
                "asset": account,
                "spender": account,
                "amount": number,
                "nonce": number,
                "deadline": number,
                "signature": text("^0x[a-fA-F0-9]+$"),
                "version": text("^[0-9]+(\\.[0-9]+)*$"),
            },
            "required": FIELDS,
        },
    })
}

const FIELDS: [&str; 8] =
    ["from", "asset", "spender", "amount", "nonce", "deadline", "signature", "version"];

impl TokenPermit {
    /// Reads the permit that comes with a payment. A seller's declaration that is echoed and not filled
    /// in is none.
    ///
    /// # Errors
    /// When it is filled in and malformed.
    pub fn of(extensions: Option<&Map<String, Value>>) -> Result<Option<Self>, UptoRefusal> {
        let extension = extensions.and_then(|extensions| extensions.get(EIP2612_GAS_SPONSORING));
        let Some(Value::Object(info)) = extension.and_then(|extension| extension.get("info"))
        else {
            return Ok(None);
        };
        if FIELDS.iter().any(|field| info.get(*field).is_none_or(Value::is_null)) {
            return Ok(None);
        }
        let wrong = |detail: String| UptoRefusal::TokenPermitFormat { detail };
        let permit: Self = serde_json::from_value(Value::Object(info.clone()))
            .map_err(|error| wrong(shown(&error.to_string())))?;
        if permit.v_r_s().is_none() {
            let length = permit.signature.len();
            return Err(wrong(format!("signature: expected 65 bytes, got {length}")));
        }
        Ok(Some(permit))
    }

    /// Signs the allowance that a permit needs, valid as long as the permit.
    ///
    /// # Errors
    /// When the signer declines.
    pub(crate) fn sign(
        permit: &UptoPermit,
        nonce: U256,
        domain: (&str, &str),
        chain_id: u64,
        signer: &dyn PaymentSigner,
    ) -> Result<Self, SigningError> {
        let UptoPermit { from, permitted, deadline, .. } = *permit;
        let (owner, token) = ((from, permitted.amount), permitted.token);
        let hash = token_permit_hash(owner, (nonce, deadline), token, domain, chain_id);
        Ok(Self {
            from,
            asset: token,
            spender: PERMIT2,
            amount: permitted.amount,
            nonce,
            deadline,
            signature: signer.sign_hash(&hash)?.to_vec().into(),
            version: VERSION.to_owned(),
        })
    }

    /// Returns the extension as it goes with a payment.
    #[must_use]
    pub fn to_extension(&self) -> Map<String, Value> {
        let extension = json!({ "info": self });
        [(EIP2612_GAS_SPONSORING.to_owned(), extension)].into_iter().collect()
    }

    /// Returns the signature's parts, as a token takes them.
    pub(crate) fn v_r_s(&self) -> Option<(u8, B256, B256)> {
        v_r_s(&self.signature)
    }

    /// Checks that it gives Permit2 what the payment's permit takes. The proxy has the amounts equal.
    pub(super) fn check(&self, permit: &UptoPermit) -> Result<(), UptoRefusal> {
        let same = |field, expected: Address, got: Address| {
            let (shown, found) = (expected.to_string(), got.to_string());
            let refusal = UptoRefusal::TokenPermit { field, expected: shown, got: found };
            if expected == got { Ok(()) } else { Err(refusal) }
        };
        same("from", permit.from, self.from)?;
        same("asset", permit.permitted.token, self.asset)?;
        same("spender", PERMIT2, self.spender)?;
        if self.amount != permit.permitted.amount {
            let (expected, got) = (permit.permitted.amount.to_string(), self.amount.to_string());
            return Err(UptoRefusal::TokenPermit { field: "amount", expected, got });
        }
        Ok(())
    }
}

impl Permit2Standing {
    /// Asks a token.
    ///
    /// # Errors
    /// When the node does not answer, or the contract is no token.
    pub async fn read(chain: &Chain, token: Address, payer: Address) -> Result<Self, ChainError> {
        let (allowance, nonce) =
            tokio::join!(chain.allowance(token, payer, PERMIT2), chain.permit_nonce(token, payer));
        let permit_nonce = match nonce {
            Ok(nonce) => Some(nonce),
            Err(error) if error.is_no_such_function() => None,
            Err(error) => return Err(error),
        };
        Ok(Self { allowance: allowance?, permit_nonce })
    }
}
