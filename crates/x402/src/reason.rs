use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use assay_primitives::{encoding, printable};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most characters of a foreign code that are kept.
const MAX_FOREIGN: usize = 128;

macro_rules! error_reasons {
    ($($(#[$doc:meta])* $name:ident = $wire:literal,)*) => {
        /// Why a payment was refused or not settled: x402's error codes, spelt as `@x402/evm` 2.27
        /// and the protocol's core spell them.
        #[derive(Clone, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum ErrorReason {
            $($(#[$doc])* $name,)*
            /// A code of another implementation, shortened.
            Other(String),
        }

        impl ErrorReason {
            /// Returns the code on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $wire,)*
                    Self::Other(code) => code,
                }
            }
        }

        impl From<&str> for ErrorReason {
            fn from(code: &str) -> Self {
                match code {
                    $($wire => Self::$name,)*
                    other => Self::Other(printable(other, MAX_FOREIGN)),
                }
            }
        }

        #[cfg(test)]
        const ALL: &[(ErrorReason, &str)] = &[$((ErrorReason::$name, $wire),)*];
    };
}

error_reasons! {
    /// The asset's address has no code.
    AssetNotDeployed = "asset_not_deployed_contract",
    /// The facilitator does not deploy this wallet (ERC-6492).
    FactoryNotAllowed = "eip6492_factory_not_allowed",
    /// The payer's balance is too low.
    InsufficientBalance = "invalid_exact_evm_insufficient_balance",
    /// The payer's balance is too low, in the core's spelling.
    InsufficientFunds = "insufficient_funds",
    /// The asset knows no EIP-3009.
    Eip3009NotSupported = "invalid_exact_evm_eip3009_not_supported",
    /// The signature's form is unknown.
    FailedToParseSignature = "invalid_exact_evm_failed_to_parse_signature",
    /// The authorised value is no amount.
    InvalidAuthorizationValue = "invalid_exact_evm_authorization_value",
    /// The network is unknown, in the core's spelling.
    InvalidNetwork = "invalid_network",
    /// The payload cannot be read.
    InvalidPayload = "invalid_payload",
    /// The offer cannot be served, or is not the seller's.
    InvalidPaymentRequirements = "invalid_payment_requirements",
    /// The scheme is not `exact`.
    InvalidExactScheme = "invalid_exact_evm_scheme",
    /// The scheme is unknown, in the core's spelling.
    InvalidScheme = "invalid_scheme",
    /// The signature is not the payer's.
    InvalidSignature = "invalid_exact_evm_signature",
    /// The transaction is in a state that cannot be.
    InvalidTransactionState = "invalid_transaction_state",
    /// The protocol version is not 2.
    InvalidX402Version = "invalid_x402_version",
    /// The offer lacks the token's EIP-712 name or version.
    MissingEip712Domain = "invalid_exact_evm_missing_eip712_domain",
    /// The networks differ.
    NetworkMismatch = "invalid_exact_evm_network_mismatch",
    /// The authorisation is used or cancelled.
    NonceAlreadyUsed = "invalid_exact_evm_nonce_already_used",
    /// The token's own permit is for another token.
    Eip2612AssetMismatch = "eip2612_asset_mismatch",
    /// The token's own permit has expired, or is about to.
    Eip2612DeadlineExpired = "eip2612_deadline_expired",
    /// The token's own permit is somebody else's.
    Eip2612FromMismatch = "eip2612_from_mismatch",
    /// The token's own permit is not for Permit2.
    Eip2612SpenderNotPermit2 = "eip2612_spender_not_permit2",
    /// The token's own permit cannot be read.
    InvalidEip2612Extension = "invalid_eip2612_extension_format",
    /// The permit's signature is not the payer's.
    InvalidPermit2Signature = "invalid_permit2_signature",
    /// The permit is not for x402's proxy.
    InvalidPermit2Spender = "invalid_permit2_spender",
    /// The scheme is not `upto`.
    InvalidUptoScheme = "invalid_upto_evm_scheme",
    /// The token's own permit is for another amount.
    Permit2612AmountMismatch = "permit2_2612_amount_mismatch",
    /// An allowance for Permit2 is required first.
    Permit2AllowanceRequired = "permit2_allowance_required",
    /// The permit is for another amount than the offer's most.
    Permit2AmountMismatch = "permit2_amount_mismatch",
    /// The permit has expired, or is about to.
    Permit2DeadlineExpired = "permit2_deadline_expired",
    /// The payer's balance is too low for the permit.
    Permit2InsufficientBalance = "permit2_insufficient_balance",
    /// Permit2 was asked for more than is permitted.
    Permit2InvalidAmount = "permit2_invalid_amount",
    /// The permit pays nobody.
    Permit2InvalidDestination = "permit2_invalid_destination",
    /// The permit's nonce is used or given up.
    Permit2InvalidNonce = "permit2_invalid_nonce",
    /// The permit is nobody's.
    Permit2InvalidOwner = "permit2_invalid_owner",
    /// The permit is not valid yet.
    Permit2NotYetValid = "permit2_not_yet_valid",
    /// The permit was not valid yet when it was settled.
    Permit2PaymentTooEarly = "permit2_payment_too_early",
    /// There is no such proxy on the chain.
    Permit2ProxyNotDeployed = "permit2_proxy_not_deployed",
    /// The permit pays somebody else.
    Permit2RecipientMismatch = "invalid_permit2_recipient_mismatch",
    /// The permit's settlement would revert.
    Permit2SimulationFailed = "permit2_simulation_failed",
    /// The permit is for another token.
    Permit2TokenMismatch = "permit2_token_mismatch",
    /// The authorisation pays somebody else.
    RecipientMismatch = "invalid_exact_evm_recipient_mismatch",
    /// The transaction is sent and its outcome not known yet. Not a failure.
    SettlementPending = "settlement_pending",
    /// The wallet could not be deployed.
    SmartWalletDeploymentFailed = "smart_wallet_deployment_failed",
    /// The token's name is not the offer's.
    TokenNameMismatch = "invalid_exact_evm_token_name_mismatch",
    /// The token's version is not the offer's.
    TokenVersionMismatch = "invalid_exact_evm_token_version_mismatch",
    /// The transaction was reverted, or could not be sent.
    TransactionFailed = "invalid_exact_evm_transaction_failed",
    /// The transfer would revert.
    TransactionSimulationFailed = "invalid_exact_evm_transaction_simulation_failed",
    /// The transaction shows no such transfer.
    TransferEventMismatch = "invalid_exact_evm_transfer_event_mismatch",
    /// The payer's wallet is not deployed.
    UndeployedSmartWallet = "invalid_exact_evm_payload_undeployed_smart_wallet",
    /// The facilitator failed while settling.
    UnexpectedSettleError = "unexpected_settle_error",
    /// The facilitator failed while verifying.
    UnexpectedVerifyError = "unexpected_verify_error",
    /// The payload is of a kind that is not settled here, such as Permit2.
    UnsupportedPayloadType = "unsupported_payload_type",
    /// The scheme is not settled here.
    UnsupportedScheme = "unsupported_scheme",
    /// The proxy was asked for more than is permitted.
    UptoAmountExceedsPermitted = "upto_amount_exceeds_permitted",
    /// The permit is for somebody else to settle.
    UptoFacilitatorMismatch = "upto_facilitator_mismatch",
    /// The networks differ.
    UptoNetworkMismatch = "invalid_upto_evm_network_mismatch",
    /// More is to be settled than is permitted.
    UptoSettlementExceedsAmount = "invalid_upto_evm_payload_settlement_exceeds_amount",
    /// The transaction was reverted, or could not be sent.
    UptoTransactionFailed = "invalid_upto_evm_transaction_failed",
    /// The proxy was not called by the permit's facilitator.
    UptoUnauthorizedFacilitator = "upto_unauthorized_facilitator",
    /// The authorisation is not valid yet.
    ValidAfter = "invalid_exact_evm_payload_authorization_valid_after",
    /// The authorisation has expired, or is about to.
    ValidBefore = "invalid_exact_evm_payload_authorization_valid_before",
    /// The authorised value is not the offered amount.
    ValueMismatch = "invalid_exact_evm_payload_authorization_value_mismatch",
}

impl ErrorReason {
    /// Returns the HTTP status of a seller's answer that gives this reason: 400 for what is
    /// malformed, 412 where an allowance comes first, 503 while a settlement is pending (a 402 would
    /// ask to sign again), 500 for one's own faults, otherwise 402.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::InvalidPayload | Self::InvalidX402Version => 400,
            Self::Permit2AllowanceRequired => 412,
            Self::SettlementPending => 503,
            Self::UnexpectedSettleError | Self::UnexpectedVerifyError => 500,
            _ => 402,
        }
    }
}

impl FromStr for ErrorReason {
    type Err = Infallible;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Ok(Self::from(code))
    }
}

impl fmt::Display for ErrorReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        encoding::deserialize_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for (reason, wire) in ALL {
            assert_eq!(reason.as_str(), *wire);
            assert_eq!(ErrorReason::from(*wire), *reason);
        }
        let mut codes: Vec<_> = ALL.iter().map(|(_, wire)| wire).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ALL.len());
        let foreign = ErrorReason::from("x".repeat(1_000).as_str());
        assert_eq!(foreign.as_str().chars().count(), MAX_FOREIGN + 1);
    }
}
