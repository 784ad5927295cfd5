//! Permits of Permit2 that the proxy of `upto` carries out. Permit2 says nothing of why a token did not
//! move, so what could be the reason is asked for beside the simulation.

use alloy_sol_types::SolCall;
use assay_chain::bindings::{Permit2, Token, UptoProxy};
use assay_chain::{
    B256, Bytes, Call, ChainError, PERMIT2, U256, UPTO_PROXY, is_nonce_used, nonce_bitmap_call,
};
use assay_primitives::Amount;

use super::verify::decoded;
use super::{LocalFacilitator, unreadable};
use crate::evm::v_r_s;
use crate::facilitator::examine::permit_revert_meaning;
use crate::facilitator::{FacilitatorError, SettleError, SettlementIntent};
use crate::{
    CheckedPayment, ErrorReason, SignedPermit, TokenPermit, UptoPayload, UptoPermit, UptoRefusal,
};

/// What token and Permit2 say of a payer.
struct PermitState {
    balance: Result<U256, ChainError>,
    allowance: Result<U256, ChainError>,
    /// The word of Permit2 with the nonce's bit.
    nonces: Result<U256, ChainError>,
}

impl LocalFacilitator {
    /// Says whether the contracts of `upto` are on the chain.
    pub(super) async fn has_upto(&self) -> Result<bool, ChainError> {
        let (proxy, permit2) =
            tokio::join!(self.chain.is_contract(UPTO_PROXY), self.chain.is_contract(PERMIT2));
        Ok(proxy? && permit2?)
    }

    /// Asks the chain everything at once. Returns a block at which the permit was unused, and what of
    /// the payer's tokens could be taken.
    pub(super) async fn check_upto(
        &self,
        payment: &CheckedPayment,
        signed: &SignedPermit,
    ) -> Result<(u64, Amount), FacilitatorError> {
        let refused = |reason, detail: String| Err(FacilitatorError::refused(reason, detail));
        let (permit, token) = (signed.permit(), payment.token());
        self.check_facilitator(permit)?;
        let (since_block, is_contract, has_upto, is_wallet, is_signed, state, simulated) = tokio::join!(
            self.since_block(),
            self.chain.is_contract(token),
            self.has_upto(),
            self.is_refused_wallet(permit),
            self.is_signed(payment),
            self.permit_state(permit),
            self.simulate(signed),
        );
        let since_block = since_block?;
        self.check_deployed(token, is_contract?)?;
        if !has_upto? {
            let network = self.chain.network();
            let detail = format!("{UPTO_PROXY} or {PERMIT2} has no code on {network}");
            return refused(ErrorReason::Permit2ProxyNotDeployed, detail);
        }
        let PermitState { balance, allowance, nonces } = state?;
        let (payer, nonce) = (permit.from, permit.nonce);
        if is_nonce_used(nonces?, nonce) {
            let detail = format!("permit nonce {nonce} of {payer} is used or given up");
            return refused(ErrorReason::Permit2InvalidNonce, detail);
        }
        if is_wallet? || !is_signed? {
            let detail = format!("the signature is neither the key's nor the wallet's of {payer}");
            return refused(ErrorReason::InvalidPermit2Signature, detail);
        }
        let (balance, allowance) = (balance?, allowance?);
        let available = available(signed, balance, allowance)?;
        match simulated {
            Ok(_) => Ok((since_block, available)),
            Err(ChainError::Reverted { reason, .. }) => {
                let meaning = permit_revert_meaning(&reason);
                // The token's own permit does not do what it says.
                let is_short = allowance < permit.permitted.amount
                    && meaning == ErrorReason::Permit2SimulationFailed;
                let meaning =
                    if is_short { ErrorReason::Permit2AllowanceRequired } else { meaning };
                refused(meaning, format!("would revert: {reason}"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn check_facilitator(&self, permit: &UptoPermit) -> Result<(), UptoRefusal> {
        let (expected, got) = (self.signer(), permit.witness.facilitator);
        if expected == got { Ok(()) } else { Err(UptoRefusal::Facilitator { expected, got }) }
    }

    /// Permit2 asks any payer that has code, also one whose key signed.
    async fn is_refused_wallet(&self, permit: &UptoPermit) -> Result<bool, ChainError> {
        if self.config.contract_wallets {
            return Ok(false);
        }
        Ok(!self.chain.code_at(permit.from).await?.is_empty())
    }

    /// Asks for what could stand in the way: in one request, where the chain can.
    async fn permit_state(&self, permit: &UptoPermit) -> Result<PermitState, ChainError> {
        let (token, payer) = (permit.permitted.token, permit.from);
        let balance = Token::balanceOfCall { account: payer };
        let allowance = Token::allowanceCall { owner: payer, spender: PERMIT2 };
        let nonces = nonce_bitmap_call(payer, permit.nonce);
        let calls = [
            (token, Bytes::from(balance.abi_encode())),
            (token, Bytes::from(allowance.abi_encode())),
            (PERMIT2, Bytes::from(nonces.abi_encode())),
        ];
        let answers = match self.chain.call_together(&calls).await? {
            Some(answers) => answers,
            None => {
                let [balance, allowance, nonces] = &calls;
                let one = |(to, data): &(_, Bytes)| {
                    let (to, data) = (*to, data.clone());
                    async move { self.chain.call(self.signer(), to, &data).await }
                };
                let (a, b, c) = tokio::join!(one(balance), one(allowance), one(nonces));
                vec![a, b, c]
            }
        };
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Bytes::new()));
        Ok(PermitState {
            balance: decoded::<Token::balanceOfCall>(token, next()),
            allowance: decoded::<Token::allowanceCall>(token, next()),
            nonces: decoded::<Permit2::nonceBitmapCall>(PERMIT2, next()),
        })
    }

    /// Tries out the settlement of the most, by whom it has to come from.
    async fn simulate(&self, signed: &SignedPermit) -> Result<Bytes, ChainError> {
        let most = signed.permit().permitted.amount;
        let data = settle_call(&signed.payload, signed.token_permit.as_ref(), most);
        self.chain.call(self.signer(), UPTO_PROXY, &data).await
    }

    /// Makes the call that settles a stored permit. It goes alone: the proxy has to be called by the
    /// facilitator himself. The token's own permit is handed in only where the allowance is missing.
    pub(super) async fn upto_call(&self, intent: &SettlementIntent) -> Result<Call, SettleError> {
        let payment = &intent.request.payment_payload;
        let payload =
            UptoPayload::from_json(&payment.payload).map_err(|error| unreadable(&error))?;
        let token_permit =
            TokenPermit::of(payment.extensions.as_ref()).map_err(|error| unreadable(&error))?;
        let permit = payload.permit2_authorization;
        self.check_facilitator(&permit).map_err(|refusal| {
            let detail =
                format!("{refusal}: the key of {} has to settle it", permit.witness.facilitator);
            SettleError::Unreachable { detail }
        })?;
        let (permitted, actual) = (intent.terms.amount, intent.amount());
        if actual > permitted {
            let refusal = UptoRefusal::Exceeds { permitted, actual };
            return Err(SettleError::Failed {
                reason: refusal.reason(),
                detail: refusal.to_string(),
                transaction: None,
                open_until: None,
            });
        }
        let amount = U256::from(actual.0);
        let token_permit = match token_permit {
            Some(own) if self.lacks_allowance(&permit, amount).await? => Some(own),
            _ => None,
        };
        let data = settle_call(&payload, token_permit.as_ref(), amount);
        Ok(Call { id: B256::from(intent.id().0), to: UPTO_PROXY, data, alone: true })
    }

    async fn lacks_allowance(
        &self,
        permit: &UptoPermit,
        amount: U256,
    ) -> Result<bool, SettleError> {
        let allowance = self.chain.allowance(permit.permitted.token, permit.from, PERMIT2).await;
        let unreachable =
            |error: ChainError| SettleError::Unreachable { detail: error.to_string() };
        Ok(allowance.map_err(unreachable)? < amount)
    }
}

/// Returns what could be taken from the payer: what he has, as far as Permit2 may move it or, with the
/// token's own permit, will.
fn available(
    signed: &SignedPermit,
    balance: U256,
    allowance: U256,
) -> Result<Amount, FacilitatorError> {
    let UptoPermit { from, permitted, .. } = *signed.permit();
    let (token, most) = (permitted.token, permitted.amount);
    if balance < most {
        let detail = format!("{from} has {balance} of {token}, the most is {most}");
        return Err(FacilitatorError::refused(ErrorReason::Permit2InsufficientBalance, detail));
    }
    let promised = signed.token_permit.as_ref().map_or(U256::ZERO, |own| own.amount);
    let movable = allowance.max(promised);
    if movable < most {
        let detail = format!(
            "Permit2 may move {allowance} of {token} of {from}, the most is {most}: approve {PERMIT2}"
        );
        return Err(FacilitatorError::refused(ErrorReason::Permit2AllowanceRequired, detail));
    }
    Ok(Amount(balance.min(movable).saturating_to()))
}

/// The call that settles an amount of a permit.
fn settle_call(payload: &UptoPayload, token_permit: Option<&TokenPermit>, amount: U256) -> Bytes {
    let UptoPermit { from: owner, permitted, nonce, deadline, witness, .. } =
        payload.permit2_authorization;
    let permit = UptoProxy::PermitTransferFrom {
        permitted: UptoProxy::TokenPermissions { token: permitted.token, amount: permitted.amount },
        nonce,
        deadline,
    };
    let witness = UptoProxy::Witness {
        to: witness.to,
        facilitator: witness.facilitator,
        validAfter: witness.valid_after,
    };
    let signature = normal(&payload.signature);
    let with = token_permit.and_then(|own| own.v_r_s().map(|parts| (own, parts)));
    let Some((own, (v, r, s))) = with else {
        return UptoProxy::settleCall { permit, amount, owner, witness, signature }
            .abi_encode()
            .into();
    };
    let (value, deadline) = (own.amount, own.deadline);
    let permit2612 = UptoProxy::EIP2612Permit { value, deadline, r, s, v };
    let call =
        UptoProxy::settleWithPermitCall { permit2612, permit, amount, owner, witness, signature };
    call.abi_encode().into()
}

/// Spells `v` as Permit2 takes it. What a contract wallet takes is left as it is.
fn normal(signature: &Bytes) -> Bytes {
    match v_r_s(signature) {
        Some((v @ (27 | 28), r, s)) => [r.as_slice(), s.as_slice(), &[v]].concat().into(),
        _ => signature.clone(),
    }
}
