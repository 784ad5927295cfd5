use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256};
use serde_json::json;
use tracing::{info, warn};

use crate::transaction::{Fees, UnsignedCall};
use crate::{
    AccountKey, Broadcast, BroadcastError, Chain, ChainError, NonceLease, NonceQueue,
    SignedTransaction, SignerError, is_development_address,
};

/// How long fees are taken to be what they were.
const FEES_LAST: Duration = Duration::from_secs(2);

/// The tip where the node suggests none: 0.001 gwei, enough on the rollups that lack the method.
const DEFAULT_PRIORITY_FEE: u128 = 1_000_000;

/// How much the operator pays at most for a transaction.
#[derive(Clone, Copy, Debug)]
pub struct FeeLimits {
    /// The most gas a transaction may use. A contract wallet decides what its own check costs, so
    /// this cap is what a payer can make the seller burn. 500 000 by default.
    pub gas: u64,
    /// What is added to the node's estimate, in percent. 25 by default.
    pub gas_margin_percent: u64,
    /// The most wei per gas. 500 gwei by default.
    pub fee_per_gas: u128,
}

/// An account that pays for gas and sends what it signs, one nonce after the other. Clones share it.
#[derive(Clone, Debug)]
pub struct SettlementSigner {
    shared: Arc<Shared>,
}

/// A signed transaction and the lease on its nonce. Store the transaction, then
/// [keep](Self::keep) it; dropped, it gives its nonce back and must not be broadcast.
#[derive(Debug)]
#[must_use = "a dropped transaction gives its nonce back"]
pub struct PreparedTransaction {
    transaction: SignedTransaction,
    lease: NonceLease,
}

#[derive(Debug)]
struct Shared {
    chain: Chain,
    key: AccountKey,
    nonces: NonceQueue,
    limits: FeeLimits,
    /// The fees last seen, and when by the monotonic clock.
    fees: Mutex<Option<(Duration, Fees)>>,
}

impl SettlementSigner {
    /// Makes a signer of a key on a chain.
    ///
    /// # Errors
    /// When the key is one that everybody knows and the chain is not made for development.
    pub fn new(chain: Chain, key: AccountKey, limits: FeeLimits) -> Result<Self, SignerError> {
        let address = key.address();
        if !chain.network().is_development() && is_development_address(address) {
            let network = chain.network().clone();
            return Err(SignerError::DevelopmentKey { address, network });
        }
        let (nonces, fees) = (NonceQueue::default(), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { chain, key, nonces, limits, fees }) })
    }

    /// Returns the account's address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.shared.key.address()
    }

    /// Returns the chain it sends to.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.shared.chain
    }

    /// Signs a call of a contract, with the next nonce, gas as estimated and fees as they are.
    /// Sends nothing.
    ///
    /// # Errors
    /// When the call would revert ([`ChainError::Reverted`]), costs more than the limits allow, or
    /// the node does not answer.
    pub async fn prepare(
        &self,
        to: Address,
        data: Bytes,
    ) -> Result<PreparedTransaction, SignerError> {
        let estimate = self.estimate_gas(to, &data);
        let (gas_limit, fees, lease) = tokio::try_join!(estimate, self.fees(), self.lease())?;
        self.sign(lease, to, data, gas_limit, fees)
    }

    /// Fills the gaps below a nonce, which keep its transaction from being mined, with transfers of
    /// nothing to oneself. Gaps come from transactions that were prepared and then given up.
    ///
    /// # Errors
    /// When the node does not answer or does not take a filler.
    pub async fn fill_gaps_below(&self, nonce: u64) -> Result<(), SignerError> {
        while let Some(lease) = self.shared.nonces.lease_gap_below(nonce) {
            let nothing = Bytes::new();
            let (gas, fees) =
                tokio::try_join!(self.estimate_gas(self.address(), &nothing), self.fees())?;
            let gap = lease.nonce();
            let filler = self.sign(lease, self.address(), Bytes::new(), gas, fees)?;
            match self.chain().broadcast(filler.transaction()).await {
                Ok(Broadcast::Accepted | Broadcast::AlreadyKnown) => {
                    info!(nonce = gap, "Filled a gap in the account's nonces.");
                }
                Err(BroadcastError::NonceTooLow { .. } | BroadcastError::NonceTaken { .. }) => {}
                Err(BroadcastError::NoAnswer(error)) => {
                    // It may have arrived: the nonce is as good as spent.
                    drop(filler.keep());
                    return Err(error.into());
                }
                Err(error) => {
                    warn!(nonce = gap, %error, "A gap in the account's nonces stays open.");
                    return Ok(());
                }
            }
            drop(filler.keep());
        }
        Ok(())
    }

    /// Asks the chain again which nonces are spent, after it refused one.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn resync(&self) -> Result<(), ChainError> {
        let count = self.chain().transaction_count(self.address(), true).await?;
        self.shared.nonces.sync(count);
        Ok(())
    }

    /// Takes the nonces of transactions that were stored before a restart, so that no others get
    /// them. Transactions of another signer are left alone.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn adopt(
        &self,
        transactions: impl IntoIterator<Item = &SignedTransaction>,
    ) -> Result<(), ChainError> {
        let transactions = transactions.into_iter();
        let own: Vec<_> =
            transactions.filter(|transaction| transaction.signer == self.address()).collect();
        if own.is_empty() {
            return Ok(());
        }
        self.resync().await?;
        for transaction in own {
            self.shared.nonces.adopt(transaction.nonce, transaction.hash);
        }
        Ok(())
    }

    /// Gives back the nonce of a kept transaction that was not, and will not be, broadcast.
    pub fn give_up(&self, transaction: &SignedTransaction) {
        if transaction.signer == self.address() {
            self.shared.nonces.give_back(transaction.nonce, transaction.hash);
        }
    }

    async fn lease(&self) -> Result<NonceLease, SignerError> {
        loop {
            match self.shared.nonces.lease() {
                Some(lease) => return Ok(lease),
                None => self.resync().await?,
            }
        }
    }

    fn sign(
        &self,
        lease: NonceLease,
        to: Address,
        data: Bytes,
        gas_limit: u64,
        fees: Fees,
    ) -> Result<PreparedTransaction, SignerError> {
        let (nonce, chain_id) = (lease.nonce(), self.chain().chain_id());
        let call = UnsignedCall { chain_id, nonce, to, data, gas_limit, fees };
        let transaction = call.sign(&self.shared.key)?;
        Ok(PreparedTransaction { transaction, lease })
    }

    /// Estimates gas, adds the margin, and holds it against the cap.
    async fn estimate_gas(&self, to: Address, data: &Bytes) -> Result<u64, SignerError> {
        let call = json!({ "from": self.address(), "to": to, "data": data, "input": data });
        let rpc = self.chain().rpc();
        let estimate: U256 = rpc.call("eth_estimateGas", to, json!([call])).await?;
        let limits = &self.shared.limits;
        let needed = estimate
            .saturating_mul(U256::from(limits.gas_margin_percent.saturating_add(100)))
            .wrapping_div(U256::from(100))
            .saturating_to();
        if needed > limits.gas {
            return Err(SignerError::GasCap { to, needed, cap: limits.gas });
        }
        Ok(needed)
    }

    async fn fees(&self) -> Result<Fees, SignerError> {
        let now = self.chain().clock().monotonic();
        let known = *self.shared.fees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, fees)) = known.filter(|(seen, _)| now.saturating_sub(*seen) < FEES_LAST) {
            return Ok(fees);
        }
        let rpc = self.chain().rpc();
        let tip = rpc.read::<U256>("eth_maxPriorityFeePerGas", json!([]));
        let (block, tip) = tokio::join!(self.chain().latest_block(), tip);
        let priority_fee = match tip {
            Ok(tip) => tip.saturating_to(),
            Err(ChainError::Refused { .. }) => DEFAULT_PRIORITY_FEE,
            Err(error) => return Err(error.into()),
        };
        let fees = fees_within(self.shared.limits, block?.base_fee.unwrap_or(0), priority_fee)?;
        *self.shared.fees.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, fees));
        Ok(fees)
    }
}

impl PreparedTransaction {
    /// Returns the transaction, to be stored.
    #[must_use]
    pub const fn transaction(&self) -> &SignedTransaction {
        &self.transaction
    }

    /// Takes the nonce for good, now that the transaction is stored.
    #[must_use]
    pub fn keep(self) -> SignedTransaction {
        let _nonce = self.lease.keep(self.transaction.hash);
        self.transaction
    }
}

impl Default for FeeLimits {
    fn default() -> Self {
        Self { gas: 500_000, gas_margin_percent: 25, fee_per_gas: 500_000_000_000 }
    }
}

/// Twice the base fee, which lasts through six full blocks, and the tip; less under a lower cap, as
/// long as the next block's base fee, at most an eighth higher, still fits.
fn fees_within(limits: FeeLimits, base: u128, priority_fee: u128) -> Result<Fees, SignerError> {
    let (cap, base) = (limits.fee_per_gas, base.min(u128::MAX / 4));
    let needed = (base + base / 8).saturating_add(priority_fee);
    if needed > cap {
        return Err(SignerError::FeeCap { needed, cap });
    }
    let max_fee = (base * 2).saturating_add(priority_fee).min(cap);
    Ok(Fees { max_fee, priority_fee })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_stay_under_the_cap() {
        let limits = FeeLimits { fee_per_gas: 100, ..FeeLimits::default() };
        assert_eq!(fees_within(limits, 40, 10).unwrap().max_fee, 90);
        assert_eq!(fees_within(limits, 80, 10).unwrap().max_fee, 100);
        let error = fees_within(limits, 88, 10).unwrap_err();
        assert_eq!(error, SignerError::FeeCap { needed: 109, cap: 100 });
        assert!(fees_within(limits, u128::MAX, u128::MAX).is_err());
    }
}
