//! Authorisations of the token itself (EIP-3009).

use alloy_sol_types::SolCall;
use assay_chain::bindings::Token;
use assay_chain::{Bytes, ChainError, U256};
use assay_primitives::Amount;

use super::LocalFacilitator;
use super::verify::decoded;
use crate::evm::v_r_s;
use crate::facilitator::FacilitatorError;
use crate::facilitator::examine::revert_meaning;
use crate::wire::shown;
use crate::{Authorization, CheckedPayment, ErrorReason, ExactPayload, SignatureCheck};

/// What a token says of a payment.
struct TokenState {
    /// What the payer has.
    balance: Result<U256, ChainError>,
    /// Whether the authorisation is used or cancelled.
    used: Result<bool, ChainError>,
    /// What became of the transfer, tried out.
    simulated: Result<Bytes, ChainError>,
}

impl LocalFacilitator {
    /// Asks the chain everything at once. Returns a block at which the authorisation was unused, and
    /// the payer's balance.
    pub(super) async fn check_exact(
        &self,
        payment: &CheckedPayment,
        exact: &ExactPayload,
    ) -> Result<(u64, Amount), FacilitatorError> {
        let token = payment.token();
        let Authorization { from: payer, nonce, .. } = exact.authorization;
        let (since_block, is_contract, is_signed, state) = tokio::join!(
            self.since_block(),
            self.chain.is_contract(token),
            self.is_signed(payment),
            self.token_state(payment, exact),
        );
        let since_block = since_block?;
        self.check_deployed(token, is_contract?)?;
        let TokenState { balance, used, simulated } = state?;
        match used {
            Ok(false) => {}
            Ok(true) => {
                let detail = format!("authorisation nonce {nonce} of {payer} is used or cancelled");
                return Err(FacilitatorError::refused(ErrorReason::NonceAlreadyUsed, detail));
            }
            Err(error) if error.is_no_such_function() => {
                let detail = format!("asset {token} has no authorizationState: {error}");
                return Err(FacilitatorError::refused(ErrorReason::Eip3009NotSupported, detail));
            }
            Err(error) => return Err(error.into()),
        }
        if !is_signed? {
            let detail = format!("the signature is neither the key's nor the wallet's of {payer}");
            return Err(FacilitatorError::refused(ErrorReason::InvalidSignature, detail));
        }
        let balance = balance?;
        check_balance(payment, exact, balance)?;
        match simulated {
            Ok(_) => Ok((since_block, Amount(balance.saturating_to()))),
            Err(ChainError::Reverted { reason, .. }) => Err(self.diagnose(payment, &reason).await),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the token what it would do with a payment: in one request, where the chain can.
    async fn token_state(
        &self,
        payment: &CheckedPayment,
        exact: &ExactPayload,
    ) -> Result<TokenState, ChainError> {
        let token = payment.token();
        let Authorization { from: payer, nonce, .. } = exact.authorization;
        let by_wallet = payment.signature_check() == SignatureCheck::NeedsChain;
        let data = transfer_call(exact, by_wallet);
        let balance = Token::balanceOfCall { account: payer };
        let state = Token::authorizationStateCall { authorizer: payer, nonce };
        let calls = [
            (token, Bytes::from(balance.abi_encode())),
            (token, Bytes::from(state.abi_encode())),
            (token, data.clone()),
        ];
        if let Some(answers) = self.chain.call_together(&calls).await? {
            let mut answers = answers.into_iter();
            let mut next = || answers.next().unwrap_or(Ok(Bytes::new()));
            return Ok(TokenState {
                balance: decoded::<Token::balanceOfCall>(token, next()),
                used: decoded::<Token::authorizationStateCall>(token, next()),
                simulated: next(),
            });
        }
        let (balance, used, simulated) = tokio::join!(
            self.chain.balance(token, payer),
            self.chain.authorization_state(token, payer, nonce),
            self.chain.call(self.signer(), token, &data),
        );
        Ok(TokenState { balance, used, simulated })
    }

    /// Names the reason of a simulation that failed although balance, nonce and signature are good.
    async fn diagnose(&self, payment: &CheckedPayment, revert: &str) -> FacilitatorError {
        let token = payment.token();
        let (name, version) =
            tokio::join!(self.chain.token_name(token), self.chain.token_version(token));
        for (field, found, reason) in [
            ("name", name, ErrorReason::TokenNameMismatch),
            ("version", version, ErrorReason::TokenVersionMismatch),
        ] {
            let offered = payment.offer().extra_text(field).unwrap_or_default();
            if let Ok(found) = found
                && found != offered
            {
                let found = shown(&found);
                let detail = format!("token {field}: the offer says {offered}, {token} {found}");
                return FacilitatorError::refused(reason, detail);
            }
        }
        FacilitatorError::refused(revert_meaning(revert), format!("would revert: {revert}"))
    }
}

fn check_balance(
    payment: &CheckedPayment,
    exact: &ExactPayload,
    balance: U256,
) -> Result<(), FacilitatorError> {
    let Authorization { from, value, .. } = exact.authorization;
    if balance >= value {
        return Ok(());
    }
    let detail = format!("{from} has {balance} of {}, the price is {value}", payment.token());
    Err(FacilitatorError::refused(ErrorReason::InsufficientBalance, detail))
}

/// The call that carries a payment out: with `v, r, s` for a key's signature, with `bytes` for what
/// a contract wallet takes.
pub(super) fn transfer_call(exact: &ExactPayload, by_wallet: bool) -> Bytes {
    let authorization = exact.authorization;
    let (from, to, value) = (authorization.from, authorization.to, authorization.value);
    let (valid_after, valid_before) = (authorization.valid_after, authorization.valid_before);
    let (nonce, signature) = (authorization.nonce, &exact.signature);
    if let Some((v, r, s)) = v_r_s(signature).filter(|_| !by_wallet) {
        let call = Token::transferWithAuthorization_0Call {
            from,
            to,
            value,
            validAfter: valid_after,
            validBefore: valid_before,
            nonce,
            v,
            r,
            s,
        };
        return call.abi_encode().into();
    }
    let call = Token::transferWithAuthorization_1Call {
        from,
        to,
        value,
        validAfter: valid_after,
        validBefore: valid_before,
        nonce,
        signature: signature.clone(),
    };
    call.abi_encode().into()
}
