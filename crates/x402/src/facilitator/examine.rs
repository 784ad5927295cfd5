//! What became of an authorisation, read from the chain.

use assay_chain::{
    Address, AuthorizationFate, B256, Chain, ChainError, MinedTransaction, PERMIT2, PermitFate,
    PermittedTransfer, Receipt, TransactionOutcome, Transfer, U256, transfer_under, transfers_of,
};
use tracing::info;

use super::{SettleError, Settled, SettlementIntent};
use crate::evm::address;
use crate::{ErrorReason, UPTO};

/// An authorisation and where to look for its use.
pub(super) struct Examiner<'a> {
    pub(super) chain: &'a Chain,
    pub(super) confirmations: u64,
    pub(super) intent: &'a SettlementIntent,
    /// The newest transaction of one's own that carries the authorisation out.
    pub(super) own: Option<B256>,
}

/// The transfer that was authorised, in the chain's terms.
#[derive(Clone, Copy, Debug)]
struct Expected {
    token: Address,
    transfer: Transfer,
    nonce: B256,
    means: Means,
}

/// What the payer signed, as far as the chain treats it differently.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Means {
    /// An authorisation of the token, which anybody may carry out (EIP-3009).
    Authorization,
    /// A permit that its facilitator alone may carry out (`upto`).
    Permit,
}

/// What became of an authorisation, of either kind.
enum Fate {
    Unused,
    Used(B256),
    GivenUp(B256),
    /// It is used or given up; whether all was looked at that could say how.
    Untraced {
        is_complete: bool,
    },
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
        let Expected { token, transfer, nonce, means } = self.expected().ok()?;
        let state = match means {
            Means::Authorization => {
                self.chain.authorization_state(token, transfer.from, nonce).await
            }
            Means::Permit => self.chain.permit_state(transfer.from, nonce.into()).await,
        };
        state.ok()
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
        let (transaction, asset) = (mined.receipt.transaction, &self.intent.terms.asset);
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
        match self.fate(expected).await? {
            Fate::Used(transaction) => self.used(expected, transaction).await,
            Fate::GivenUp(transaction) => self.given_up(transaction).await,
            Fate::Untraced { is_complete } => self.untraced(expected, is_complete).await.map(Err),
            Fate::Unused => self.unused(expected, reverted).await.map(Err),
        }
    }

    async fn fate(&self, expected: Expected) -> Result<Fate, ChainError> {
        let Expected { token, transfer, nonce, means } = expected;
        let (owner, since) = (transfer.from, self.since_block());
        Ok(match means {
            Means::Authorization => {
                match self.chain.authorization_fate(token, owner, nonce, since).await? {
                    AuthorizationFate::Unused => Fate::Unused,
                    AuthorizationFate::Used { transaction, .. } => Fate::Used(transaction),
                    AuthorizationFate::Canceled { transaction, .. } => Fate::GivenUp(transaction),
                    // A token may log otherwise than it should.
                    AuthorizationFate::Untraced => Fate::Untraced { is_complete: false },
                }
            }
            Means::Permit => {
                let Transfer { to, value, .. } = transfer;
                let permitted = PermittedTransfer { token, owner, to, value, nonce: nonce.into() };
                match self.chain.permit_fate(&permitted, since).await? {
                    PermitFate::Unused => Fate::Unused,
                    PermitFate::Settled { transaction, .. } => Fate::Used(transaction),
                    PermitFate::Invalidated { transaction, .. } => Fate::GivenUp(transaction),
                    PermitFate::Untraced { is_complete } => Fate::Untraced { is_complete },
                }
            }
        })
    }

    fn since_block(&self) -> u64 {
        self.intent.since_block.unwrap_or(0)
    }

    /// What it means that a nonce is used and nobody says how. A permit whose time is over and that no
    /// transfer to the seller stands for was not settled: the payer used its nonce for another one.
    async fn untraced(
        &self,
        expected: Expected,
        is_complete: bool,
    ) -> Result<SettleError, ChainError> {
        let since = self.since_block();
        if is_complete && self.has_expired().await? {
            return Ok(SettleError::Failed {
                reason: expected.means.used(),
                detail: format!(
                    "the nonce is used, and no transfer of {} to {} since block {since} settled it",
                    expected.transfer.value, expected.transfer.to
                ),
                transaction: None,
                open_until: None,
            });
        }
        Ok(self.pending(format!(
            "the authorisation is used or cancelled, and no log since block {since} says how"
        )))
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
        let Expected { transfer, means, .. } = expected;
        Ok(match transfer_in(&mined.receipt, expected) {
            Some(found) if found == transfer => {
                info!(%transaction, "The chain shows the authorisation as carried out.");
                Ok(self.settled(&mined))
            }
            Some(found) => Err(SettleError::Failed {
                reason: means.used(),
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

    async fn given_up(
        &self,
        transaction: B256,
    ) -> Result<Result<Settled, SettleError>, ChainError> {
        if let TransactionOutcome::Unknown { confirmations, .. } =
            self.chain.look_at(transaction, self.confirmations).await?
        {
            return Ok(Err(self.shallow(transaction, confirmations)));
        }
        let used = self.expected().map_or(ErrorReason::NonceAlreadyUsed, |e| e.means.used());
        Ok(Err(SettleError::Failed {
            reason: used,
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
        let valid_before = self.intent.terms.valid_before;
        if self.has_expired().await? {
            return Ok(SettleError::Failed {
                reason: expected.means.expired(),
                detail: format!("the authorisation expired unused at {valid_before}"),
                transaction: reverted.map(|mined| mined.receipt.transaction),
                open_until: None,
            });
        }
        if let Some(mined) = reverted {
            let transaction = mined.receipt.transaction;
            let (reason, shortage) = self.shortage(expected).await?;
            return Ok(SettleError::Failed {
                reason: reason.unwrap_or_else(|| expected.means.failed()),
                detail: format!("transaction {transaction} was reverted; {shortage}"),
                transaction: Some(transaction),
                open_until: self.open_until(expected),
            });
        }
        Ok(self.pending(format!("the authorisation is unused and valid until {valid_before}")))
    }

    /// What it means that a call of one's own would revert, while the authorisation is unused: nothing
    /// was sent.
    pub(super) async fn would_revert(&self, revert: &str) -> SettleError {
        let expected = match self.expected() {
            Ok(expected) => expected,
            Err(error) => return error,
        };
        let meant = expected.means.meant_by(revert);
        let short = self.shortage(expected).await.ok().filter(|(reason, _)| reason.is_some());
        let (reason, detail) = match (expected.means, short) {
            // Permit2 does not say why the token did not move.
            (Means::Permit, Some((Some(reason), shortage))) => {
                (reason, format!("would revert: {revert}; {shortage}"))
            }
            _ => (meant, format!("would revert: {revert}")),
        };
        let open_until = self.open_until(expected);
        SettleError::Failed { reason, detail, transaction: None, open_until }
    }

    /// Until when somebody else could carry the authorisation out.
    fn open_until(&self, expected: Expected) -> Option<assay_primitives::Timestamp> {
        match expected.means {
            Means::Authorization => Some(self.intent.terms.valid_before),
            // Nobody but who settles here.
            Means::Permit => None,
        }
    }

    /// Says what the payer has, and what it is short of, if anything.
    async fn shortage(
        &self,
        expected: Expected,
    ) -> Result<(Option<ErrorReason>, String), ChainError> {
        let Expected { token, transfer, means, .. } = expected;
        let (payer, value) = (transfer.from, transfer.value);
        let balance = self.chain.balance(token, payer).await?;
        if means == Means::Authorization {
            let detail = format!("the payer has {balance}, the price is {value}");
            return Ok(((balance < value).then_some(ErrorReason::InsufficientBalance), detail));
        }
        let allowance = self.chain.allowance(token, payer, PERMIT2).await?;
        let detail = format!(
            "the payer has {balance}, Permit2 may move {allowance}, to be settled are {value}"
        );
        let reason = match () {
            () if balance < value => Some(ErrorReason::Permit2InsufficientBalance),
            () if allowance < value => Some(ErrorReason::Permit2AllowanceRequired),
            () => None,
        };
        Ok((reason, detail))
    }

    /// Says whether no block can carry the authorisation out any more, reorganisations as deep as
    /// the confirmations included. It goes by the chain's time: after an outage a rollup may make
    /// blocks of the past. A development chain makes none without transactions, so there the clock
    /// decides as well, unless a transaction of one's own is under way that makes one.
    async fn has_expired(&self) -> Result<bool, ChainError> {
        let valid_before = self.intent.terms.valid_before;
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
        let terms = &self.intent.terms;
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
                value: U256::from(self.intent.amount().0),
            },
            nonce: terms.nonce,
            means: if terms.scheme == UPTO { Means::Permit } else { Means::Authorization },
        })
    }

    fn settled(&self, mined: &MinedTransaction) -> Settled {
        Settled::new(self.intent, Some(mined.receipt.transaction), Some(mined.block))
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

/// Says whether a receipt shows by itself the authorised transfer under its authorisation. That of a
/// permit names none.
fn pays(receipt: &Receipt, expected: Expected) -> bool {
    expected.means == Means::Authorization
        && transfer_in(receipt, expected) == Some(expected.transfer)
}

/// Returns the transfer in a transaction that is known to have used the authorisation.
fn transfer_in(receipt: &Receipt, expected: Expected) -> Option<Transfer> {
    let Expected { token, transfer, nonce, means } = expected;
    match means {
        Means::Authorization => transfer_under(receipt, token, transfer.from, nonce),
        Means::Permit => transfers_of(receipt, token).into_iter().find(|found| *found == transfer),
    }
}

impl Means {
    const fn used(self) -> ErrorReason {
        match self {
            Self::Authorization => ErrorReason::NonceAlreadyUsed,
            Self::Permit => ErrorReason::Permit2InvalidNonce,
        }
    }

    const fn expired(self) -> ErrorReason {
        match self {
            Self::Authorization => ErrorReason::ValidBefore,
            Self::Permit => ErrorReason::Permit2DeadlineExpired,
        }
    }

    const fn failed(self) -> ErrorReason {
        match self {
            Self::Authorization => ErrorReason::TransactionFailed,
            Self::Permit => ErrorReason::UptoTransactionFailed,
        }
    }

    fn meant_by(self, revert: &str) -> ErrorReason {
        match self {
            Self::Authorization => revert_meaning(revert),
            Self::Permit => permit_revert_meaning(revert),
        }
    }
}

/// What Permit2 and the proxy of `upto` mean by a revert.
pub(super) fn permit_revert_meaning(reason: &str) -> ErrorReason {
    for (name, meaning) in [
        ("AmountExceedsPermitted", ErrorReason::UptoAmountExceedsPermitted),
        ("InvalidAmount", ErrorReason::Permit2InvalidAmount),
        ("InvalidContractSignature", ErrorReason::InvalidPermit2Signature),
        ("InvalidDestination", ErrorReason::Permit2InvalidDestination),
        ("InvalidNonce", ErrorReason::Permit2InvalidNonce),
        ("InvalidOwner", ErrorReason::Permit2InvalidOwner),
        ("InvalidSignature", ErrorReason::InvalidPermit2Signature),
        ("InvalidSigner", ErrorReason::InvalidPermit2Signature),
        ("PaymentTooEarly", ErrorReason::Permit2PaymentTooEarly),
        ("Permit2612AmountMismatch", ErrorReason::Permit2612AmountMismatch),
        ("SignatureExpired", ErrorReason::Permit2DeadlineExpired),
        ("UnauthorizedFacilitator", ErrorReason::UptoUnauthorizedFacilitator),
    ] {
        if reason.starts_with(name) {
            return meaning;
        }
    }
    ErrorReason::Permit2SimulationFailed
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
