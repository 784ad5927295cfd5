use std::time::Duration;

use alloy_sol_types::SolCall;
use assay_chain::bindings::Token;
use assay_chain::{Address, B256, Bytes, ChainError, U256};
use assay_primitives::Amount;

use super::{LocalFacilitator, SEARCH_MARGIN};
use crate::facilitator::FacilitatorError;
use crate::facilitator::examine::revert_meaning;
use crate::wire::shown;
use crate::{CheckedPayment, ErrorReason, ExactPayload, SignatureCheck};

/// How old the number of a block may be from which on an authorisation's use is looked for.
const RECENT: Duration = Duration::from_secs(5);

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
    /// What is refused without asking the chain.
    pub(super) fn check_allowed(&self, payment: &CheckedPayment) -> Result<(), FacilitatorError> {
        let (network, own) = (&payment.terms().network, self.chain.network());
        if network != own {
            let detail = format!("network: expected {own}, got {network}");
            return Err(FacilitatorError::refused(ErrorReason::NetworkMismatch, detail));
        }
        let token = payment.token();
        if !self.config.assets.contains(&token) {
            let detail = format!("asset {token} is not among those settled here");
            return Err(FacilitatorError::refused(ErrorReason::InvalidPaymentRequirements, detail));
        }
        let to = payment.authorization().to;
        if self.config.pay_to.as_ref().is_some_and(|allowed| !allowed.contains(&to)) {
            let detail = format!("payTo {to} is not among those paid here");
            return Err(FacilitatorError::refused(ErrorReason::RecipientMismatch, detail));
        }
        let by_wallet = payment.signature_check() == SignatureCheck::NeedsChain;
        if by_wallet && !self.config.contract_wallets {
            let payer = payment.authorization().from;
            let detail =
                format!("the signature is not the key's of {payer}; no wallet is asked here");
            return Err(FacilitatorError::refused(ErrorReason::InvalidSignature, detail));
        }
        payment.check_time(self.chain.clock().now())?;
        Ok(())
    }

    /// Asks the chain everything at once. Returns a block at which the authorisation was unused, and
    /// the payer's balance.
    pub(super) async fn check_chain(
        &self,
        payment: &CheckedPayment,
    ) -> Result<(u64, Amount), FacilitatorError> {
        let (token, authorization) = (payment.token(), payment.authorization());
        let (payer, nonce) = (authorization.from, authorization.nonce);
        let (recent, is_contract, wallet, state) = tokio::join!(
            self.chain.recent_number(RECENT),
            self.chain.is_contract(token),
            self.is_wallet_signature(payment),
            self.token_state(payment),
        );
        let recent = recent?;
        if !is_contract? {
            let detail = format!("asset {token} has no code on {}", self.chain.network());
            return Err(FacilitatorError::refused(ErrorReason::AssetNotDeployed, detail));
        }
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
        if !wallet? {
            let detail = format!("the signature is neither the key's nor the wallet's of {payer}");
            return Err(FacilitatorError::refused(ErrorReason::InvalidSignature, detail));
        }
        let balance = balance?;
        self.check_balance(payment, balance)?;
        match simulated {
            Ok(_) => {
                let since_block = recent.saturating_sub(SEARCH_MARGIN);
                Ok((since_block, Amount(balance.saturating_to())))
            }
            Err(ChainError::Reverted { reason, .. }) => Err(self.diagnose(payment, &reason).await),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the token what it would do with a payment: in one request, where the chain can.
    async fn token_state(&self, payment: &CheckedPayment) -> Result<TokenState, ChainError> {
        let (token, authorization) = (payment.token(), payment.authorization());
        let (payer, nonce) = (authorization.from, authorization.nonce);
        let by_wallet = payment.signature_check() == SignatureCheck::NeedsChain;
        let data = transfer_call(payment.exact(), by_wallet);
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

    fn check_balance(
        &self,
        payment: &CheckedPayment,
        balance: U256,
    ) -> Result<(), FacilitatorError> {
        let authorization = payment.authorization();
        if balance >= authorization.value {
            return Ok(());
        }
        let detail = format!(
            "{} has {balance} of {}, the price is {}",
            authorization.from,
            payment.token(),
            authorization.value
        );
        Err(FacilitatorError::refused(ErrorReason::InsufficientBalance, detail))
    }

    /// Says whether the signature is good, where that is a contract wallet's to say.
    async fn is_wallet_signature(&self, payment: &CheckedPayment) -> Result<bool, ChainError> {
        if payment.signature_check() == SignatureCheck::Recovered {
            return Ok(true);
        }
        let payer = payment.authorization().from;
        if self.chain.code_at(payer).await?.is_empty() {
            return Ok(false);
        }
        let signature = payment.exact().signature.clone();
        self.chain.is_wallet_signature(payer, payment.hash(), signature).await
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

/// Reads what a function returned.
fn decoded<C: SolCall>(
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

/// Splits a 65-byte signature; tokens take a `v` of 27 or 28 alone.
fn v_r_s(signature: &[u8]) -> Option<(u8, B256, B256)> {
    let (r, rest) = signature.split_at_checked(32)?;
    let (s, v) = rest.split_at_checked(32)?;
    let v = match v {
        [v @ (0 | 1)] => v + 27,
        [v] => *v,
        _ => return None,
    };
    Some((v, B256::from_slice(r), B256::from_slice(s)))
}
