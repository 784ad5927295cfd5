//! What is the same for every scheme.

use std::time::Duration;

use alloy_sol_types::SolCall;
use assay_chain::{Address, Bytes, ChainError};

use super::{LocalFacilitator, SEARCH_MARGIN};
use crate::facilitator::FacilitatorError;
use crate::{CheckedPayment, ErrorReason, SignatureCheck, Signed};

/// How old the number of a block may be from which on an authorisation's use is looked for.
const RECENT: Duration = Duration::from_secs(5);

impl LocalFacilitator {
    /// What is refused without asking the chain.
    pub(super) fn check_allowed(&self, payment: &CheckedPayment) -> Result<(), FacilitatorError> {
        let refused = |reason, detail| Err(FacilitatorError::refused(reason, detail));
        let (network, recipient, signature) = match payment.signed() {
            Signed::Exact(_) => (
                ErrorReason::NetworkMismatch,
                ErrorReason::RecipientMismatch,
                ErrorReason::InvalidSignature,
            ),
            Signed::Upto(_) => (
                ErrorReason::UptoNetworkMismatch,
                ErrorReason::Permit2RecipientMismatch,
                ErrorReason::InvalidPermit2Signature,
            ),
        };
        let (got, own) = (&payment.terms().network, self.chain.network());
        if got != own {
            return refused(network, format!("network: expected {own}, got {got}"));
        }
        let token = payment.token();
        if !self.config.assets.contains(&token) {
            let detail = format!("asset {token} is not among those settled here");
            return refused(ErrorReason::InvalidPaymentRequirements, detail);
        }
        let to = payment.signed().pay_to();
        if self.config.pay_to.as_ref().is_some_and(|allowed| !allowed.contains(&to)) {
            return refused(recipient, format!("payTo {to} is not among those paid here"));
        }
        let by_wallet = payment.signature_check() == SignatureCheck::NeedsChain;
        if by_wallet && !self.config.contract_wallets {
            let payer = payment.signed().payer();
            let detail =
                format!("the signature is not the key's of {payer}; no wallet is asked here");
            return refused(signature, detail);
        }
        payment.check_time(self.chain.clock().now())?;
        Ok(())
    }

    /// Returns a block from which on a use of what is signed now would be found.
    pub(super) async fn since_block(&self) -> Result<u64, ChainError> {
        Ok(self.chain.recent_number(RECENT).await?.saturating_sub(SEARCH_MARGIN))
    }

    /// Refuses an asset without code.
    pub(super) fn check_deployed(
        &self,
        token: Address,
        is_contract: bool,
    ) -> Result<(), FacilitatorError> {
        if is_contract {
            return Ok(());
        }
        let detail = format!("asset {token} has no code on {}", self.chain.network());
        Err(FacilitatorError::refused(ErrorReason::AssetNotDeployed, detail))
    }

    /// Says whether the signature is good, where that is a contract wallet's to say.
    pub(super) async fn is_signed(&self, payment: &CheckedPayment) -> Result<bool, ChainError> {
        if payment.signature_check() == SignatureCheck::Recovered {
            return Ok(true);
        }
        let payer = payment.signed().payer();
        if self.chain.code_at(payer).await?.is_empty() {
            return Ok(false);
        }
        let signature = Bytes::copy_from_slice(payment.signed().signature());
        self.chain.is_wallet_signature(payer, payment.hash(), signature).await
    }
}

/// Reads what a function returned.
pub(super) fn decoded<C: SolCall>(
    to: Address,
    answer: Result<Bytes, ChainError>,
) -> Result<C::Return, ChainError> {
    let answer = answer?;
    C::abi_decode_returns(&answer).map_err(|_| ChainError::NotAsCalled {
        to,
        function: C::SIGNATURE,
        length: answer.len(),
    })
}
