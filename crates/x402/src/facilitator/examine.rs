//! What became of an authorisation, read from the chain.

use assay_chain::{
    Address, AuthorizationFate, B256, Chain, ChainError, MinedTransaction, Receipt,
    TransactionOutcome, Transfer, U256, transfer_under, transfers_of,
};
use tracing::info;

use super::{SettleError, Settled};
use crate::exact::address;
use crate::{ErrorReason, PaymentTerms};

/// An authorisation and where to look for its use.
pub(super) struct Examiner<'a> {
    pub(super) chain: &'a Chain,
    pub(super) confirmations: u64,
    pub(super) terms: &'a PaymentTerms,
    pub(super) since_block: u64,
    /// The newest transaction of one's own that carries the authorisation out.
    pub(super) own: Option<B256>,
}

/// The transfer that was authorised, in the chain's terms.
#[derive(Clone, Copy, Debug)]
struct Expected {
    token: Address,
    transfer: Transfer,
    nonce: B256,
}

impl Examiner<'_> {
    /// Says what is known about the money. Sends nothing.
    pub(super) async fn examine(&self) -> Result<Settled, SettleError> {
        self.examine_after(None).await
    }

    /// As [`examine`](Self::examine), after a transaction of one's own was mined and did nothing.
    pub(super) async fn examine_after(
        &self,
        reverted: Option<&MinedTransaction>,
    ) -> Result<Settled, SettleError> {
        let expected = self.expected()?;
        self.look(expected, reverted).await.unwrap_or_else(|error| {
            Err(self.pending(format!("the chain cannot be asked: {error}")))
        })
    }

    /// Says whether the token has the authorisation as used or cancelled; not, when nobody answers.
    pub(super) async fn is_used(&self) -> bool {
        self.state().await == Some(true)
    }

    /// Says whether the token has the authorisation as neither; not, when nobody answers.
    pub(super) async fn is_unused(&self) -> bool {
        self.state().await == Some(false)
    }

    async fn state(&self) -> Option<bool> {
        let Expected { token, transfer, nonce } = self.expected().ok()?;
        self.chain.authorization_state(token, transfer.from, nonce).await.ok()
    }

    /// Says whether a mined transaction of one's own shows the transfer; `None` when it does not. One
    /// that does nothing else may show it anywhere: not every token logs in the same order.
    pub(super) fn settled_by(
        &self,
        mined: &MinedTransaction,
        alone: bool,
    ) -> Result<Option<Settled>, SettleError> {
        let expected = self.expected()?;
        let receipt = &mined.receipt;
        let is_logged = || transfers_of(receipt, expected.token).contains(&expected.transfer);
        let shows = pays(receipt, expected) || alone && is_logged();
        Ok(shows.then(|| self.settled(mined)))
    }

    /// What it means that a transaction with nothing but this call succeeded without the transfer.
    pub(super) fn no_transfer(&self, mined: &MinedTransaction) -> SettleError {
        let (transaction, asset) = (mined.receipt.transaction, &self.terms.asset);
        SettleError::Failed {
            reason: ErrorReason::TransferEventMismatch,
            detail: format!(
                "transaction {transaction} succeeded without {asset} logging the transfer"
            ),
            transaction: Some(transaction),
            open_until: None,
        }
    }

    async fn look(
        &self,
        expected: Expected,
        reverted: Option<&MinedTransaction>,
    ) -> Result<Result<Settled, SettleError>, ChainError> {
        let Expected { token, transfer, nonce } = expected;
        let since = self.since_block;
        match self.chain.authorization_fate(token, transfer.from, nonce, since).await? {
            AuthorizationFate::Used { transaction, .. } => self.used(expected, transaction).await,
            AuthorizationFate::Canceled { transaction, .. } => self.canceled(transaction).await,
            AuthorizationFate::Untraced => Ok(Err(self.pending(format!(
                "the authorisation is used or cancelled, and no log since block {since} says how"
            )))),
            AuthorizationFate::Unused => self.unused(expected, reverted).await.map(Err),
        }
    }

    async fn used(
        &self,
        expected: Expected,
        transaction: B256,
    ) -> Result<Result<Settled, SettleError>, ChainError> {
        let mined = match self.chain.look_at(transaction, self.confirmations).await? {
            TransactionOutcome::Mined(mined) => mined,
            TransactionOutcome::Unknown { confirmations, .. } => {
                return Ok(Err(self.shallow(transaction, confirmations)));
            }
            TransactionOutcome::Reverted(_) => {
                let detail =
                    format!("the node shows transaction {transaction} as used and reverted");
                return Ok(Err(self.pending(detail)));
            }
        };
        let Expected { token, transfer, nonce } = expected;
        Ok(match transfer_under(&mined.receipt, token, transfer.from, nonce) {
            Some(found) if found == transfer => {
                info!(%transaction, "The chain shows the authorisation as carried out.");
                Ok(self.settled(&mined))
            }
            Some(found) => Err(SettleError::Failed {
                reason: ErrorReason::NonceAlreadyUsed,
                detail: format!(
                    "the payer used the authorisation's nonce to pay {} to {}; authorised {} to {}",
                    found.value, found.to, transfer.value, transfer.to
                ),
                transaction: Some(transaction),
                open_until: None,
            }),
            None => Err(self.pending(format!(
                "transaction {transaction} used the authorisation without a transfer after it"
            ))),
        })
    }

    async fn canceled(
        &self,
        transaction: B256,
    ) -> Result<Result<Settled, SettleError>, ChainError> {
        if let TransactionOutcome::Unknown { confirmations, .. } =
            self.chain.look_at(transaction, self.confirmations).await?
        {
            return Ok(Err(self.shallow(transaction, confirmations)));
        }
        Ok(Err(SettleError::Failed {
            reason: ErrorReason::NonceAlreadyUsed,
            detail: format!("the payer cancelled the authorisation in transaction {transaction}"),
            transaction: None,
            open_until: None,
        }))
    }

    async fn unused(
        &self,
        expected: Expected,
        reverted: Option<&MinedTransaction>,
    ) -> Result<SettleError, ChainError> {
        let valid_before = self.terms.valid_before;
        if self.has_expired().await? {
            return Ok(SettleError::Failed {
                reason: ErrorReason::ValidBefore,
                detail: format!("the authorisation expired unused at {valid_before}"),
                transaction: reverted.map(|mined| mined.receipt.transaction),
                open_until: None,
            });
        }
        if let Some(mined) = reverted {
            let Expected { token, transfer, .. } = expected;
            let balance = self.chain.balance(token, transfer.from).await?;
            let reason = if balance < transfer.value {
                ErrorReason::InsufficientBalance
            } else {
                ErrorReason::TransactionFailed
            };
            let transaction = mined.receipt.transaction;
            let detail = format!(
                "transaction {transaction} was reverted; the payer has {balance}, the price is {}",
                transfer.value
            );
            let (transaction, open_until) = (Some(transaction), Some(valid_before));
            return Ok(SettleError::Failed { reason, detail, transaction, open_until });
        }
        Ok(self.pending(format!("the authorisation is unused and valid until {valid_before}")))
    }

    /// Says whether no block can carry the authorisation out any more, reorganisations as deep as
    /// the confirmations included. It goes by the chain's time: after an outage a rollup may make
    /// blocks of the past. A development chain makes none without transactions, so there the clock
    /// decides as well, unless a transaction of one's own is under way that makes one.
    async fn has_expired(&self) -> Result<bool, ChainError> {
        let valid_before = self.terms.valid_before;
        let is_still = self.chain.network().is_development() && self.own.is_none();
        if is_still && self.chain.clock().now() >= valid_before {
            return Ok(true);
        }
        let latest = self.chain.latest_block().await?;
        if latest.time < valid_before {
            return Ok(false);
        }
        let depth = self.confirmations.saturating_sub(1);
        let settled = self.chain.block_at(latest.number.saturating_sub(depth)).await?;
        Ok(settled.is_some_and(|block| block.time >= valid_before))
    }

    fn expected(&self) -> Result<Expected, SettleError> {
        let parse = |name, account: &assay_primitives::Account| {
            address(account.as_str()).ok_or_else(|| {
                self.pending(format!("the stored intent's {name} is no address: {account}"))
            })
        };
        let terms = self.terms;
        // What another chain shows says nothing, least of all that nothing was paid.
        if terms.network != *self.chain.network() {
            let (expected, got) = (&terms.network, self.chain.network());
            return Err(self.pending(format!("chain to look at: expected {expected}, got {got}")));
        }
        Ok(Expected {
            token: parse("asset", &terms.asset)?,
            transfer: Transfer {
                from: parse("payer", &terms.payer)?,
                to: parse("payTo", &terms.pay_to)?,
                value: U256::from(terms.amount.0),
            },
            nonce: terms.nonce,
        })
    }

    fn settled(&self, mined: &MinedTransaction) -> Settled {
        Settled::new(self.terms, mined.receipt.transaction, Some(mined.block))
    }

    fn shallow(&self, transaction: B256, confirmations: u64) -> SettleError {
        let detail = format!(
            "transaction {transaction} has {confirmations} of {} confirmations",
            self.confirmations
        );
        SettleError::Pending { transaction: Some(transaction), detail }
    }

    fn pending(&self, detail: String) -> SettleError {
        SettleError::Pending { transaction: self.own, detail }
    }
}

/// Says whether a receipt shows the authorised transfer under its authorisation.
fn pays(receipt: &Receipt, expected: Expected) -> bool {
    let Expected { token, transfer, nonce } = expected;
    transfer_under(receipt, token, transfer.from, nonce) == Some(transfer)
}

/// What a token means by a revert, as far as implementations in use can be told apart.
pub(super) fn revert_meaning(reason: &str) -> ErrorReason {
    let said = reason.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["authorization is expired", "authorizationexpired"]) {
        ErrorReason::ValidBefore
    } else if says(&["authorization is not yet valid", "authorizationnotyetvalid"]) {
        ErrorReason::ValidAfter
    } else if says(&["used or canceled", "usedauthorization", "authorizationalreadyused"]) {
        ErrorReason::NonceAlreadyUsed
    } else if says(&["exceeds balance", "insufficientbalance", "insufficient balance"]) {
        ErrorReason::InsufficientBalance
    } else if says(&["invalidsignature", "invalid signature", "signermismatch"]) {
        ErrorReason::InvalidSignature
    } else {
        ErrorReason::TransactionSimulationFailed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverts_are_understood() {
        for (reason, expected) in [
            ("FiatTokenV2: authorization is expired", ErrorReason::ValidBefore),
            ("FiatTokenV2: authorization is not yet valid", ErrorReason::ValidAfter),
            ("FiatTokenV2: authorization is used or canceled", ErrorReason::NonceAlreadyUsed),
            ("ERC3009UsedAuthorization(ERC3009UsedAuthorization {", ErrorReason::NonceAlreadyUsed),
            ("ERC20: transfer amount exceeds balance", ErrorReason::InsufficientBalance),
            ("ERC20InsufficientBalance(", ErrorReason::InsufficientBalance),
            ("FiatTokenV2: invalid signature", ErrorReason::InvalidSignature),
            ("ERC3009InvalidSignature", ErrorReason::InvalidSignature),
            ("Pausable: paused", ErrorReason::TransactionSimulationFailed),
        ] {
            assert_eq!(revert_meaning(reason), expected, "{reason}");
        }
    }
}
