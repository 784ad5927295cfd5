use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256};
use serde_json::json;

use crate::pace::Lately;
use crate::transaction::{Fees, UnsignedCall};
use crate::{
    AccountKey, Chain, ChainError, SignedTransaction, SignerError, is_development_address,
};

/// How long fees are taken to be what they were.
const FEES_LAST: Duration = Duration::from_secs(2);

/// How long the gas of a function is taken to be what it was.
const GAS_LASTS: Duration = Duration::from_secs(60);

/// What a call may need more than its like a moment before: the first transfer to an account that
/// holds nothing stores where nothing was (EIP-2929, EIP-3529).
const FIRST_STORE_GAS: u64 = 20_000;

/// A contract and the selector of one of its functions.
type Function = (Address, Vec<u8>);

/// The gas of a settlement that is alone in its transaction, with the tokens in use; on a rollup the
/// fee for its data comes on top.
const SETTLEMENT_GAS: u64 = 100_000;

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

/// An account that signs transactions and pays for their gas. Clones share it.
#[derive(Clone, Debug)]
pub struct SettlementSigner {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    chain: Chain,
    key: AccountKey,
    limits: FeeLimits,
    fees: Lately<(), Fees>,
    /// The wei that the account had.
    balance: Lately<(), U256>,
    /// The gas that calls of a contract's functions needed.
    gas: Lately<Function, u64>,
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
        let (fees, balance, gas) = (Lately::default(), Lately::default(), Lately::default());
        Ok(Self { shared: Arc::new(Shared { chain, key, limits, fees, balance, gas }) })
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

    /// Returns the gas that a call is given. What a function of a contract needed a moment ago is
    /// taken to be what it needs, unless the call may need another amount than its like.
    ///
    /// # Errors
    /// When it would revert ([`ChainError::Reverted`]), needs more than the limits allow, or the node
    /// does not answer.
    pub async fn gas_of(
        &self,
        to: Address,
        data: &Bytes,
        is_odd: bool,
    ) -> Result<u64, SignerError> {
        if is_odd {
            return self.estimate_gas(to, data).await;
        }
        let function = (to, data.get(..4).map(<[u8]>::to_vec).unwrap_or_default());
        let now = self.chain().clock().monotonic();
        if let Some(gas) = self.shared.gas.get(&function, now, GAS_LASTS) {
            return Ok(gas);
        }
        let limit = self.shared.limits.gas;
        let gas = self.estimate_gas(to, data).await?.saturating_add(FIRST_STORE_GAS).min(limit);
        self.shared.gas.keep(function, now, gas);
        Ok(gas)
    }

    /// Returns how many settlements the account can pay for, each alone in its transaction, at the
    /// fees that it is given now. What it had is asked for every two seconds at most.
    ///
    /// # Errors
    /// When one would cost more than the limits allow, or the node does not answer.
    pub async fn affordable(&self) -> Result<u64, SignerError> {
        let now = self.chain().clock().monotonic();
        let fees = self.fees().await?;
        let balance = match self.shared.balance.get(&(), now, FEES_LAST) {
            Some(balance) => balance,
            None => {
                let balance = self.chain().gas_balance(self.address()).await?;
                self.shared.balance.keep((), now, balance);
                balance
            }
        };
        let each = U256::from(fees.max_fee).saturating_mul(U256::from(SETTLEMENT_GAS));
        Ok(balance.checked_div(each).unwrap_or(U256::MAX).saturating_to())
    }

    /// Signs a call of a contract under an account nonce. Sends nothing.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub(crate) fn sign(
        &self,
        nonce: u64,
        to: Address,
        data: Bytes,
        gas_limit: u64,
        fees: Fees,
    ) -> Result<SignedTransaction, SignerError> {
        let chain_id = self.chain().chain_id();
        let call = UnsignedCall { chain_id, nonce, to, data, gas_limit, fees };
        Ok(call.sign(&self.shared.key)?)
    }

    /// Signs a stored transaction anew, with fees as they are now, and enough higher than its own for
    /// nodes to take it in its place.
    ///
    /// # Errors
    /// When that would cost more than the limits allow, or the node does not answer.
    pub(crate) async fn replacement(
        &self,
        transaction: &SignedTransaction,
    ) -> Result<SignedTransaction, SignerError> {
        let mut call = UnsignedCall::decode(&transaction.raw)?;
        let now = self.fees().await?;
        let fees = Fees {
            max_fee: now.max_fee.max(raised(call.fees.max_fee)),
            priority_fee: now.priority_fee.max(raised(call.fees.priority_fee)),
        };
        let cap = self.shared.limits.fee_per_gas;
        if fees.max_fee > cap {
            return Err(SignerError::FeeCap { needed: fees.max_fee, cap });
        }
        call.fees = fees;
        Ok(call.sign(&self.shared.key)?)
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

    /// Returns the fees that a transaction is given now.
    pub(crate) async fn fees(&self) -> Result<Fees, SignerError> {
        let now = self.chain().clock().monotonic();
        if let Some(fees) = self.shared.fees.get(&(), now, FEES_LAST) {
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
        self.shared.fees.keep((), now, fees);
        Ok(fees)
    }
}

impl Default for FeeLimits {
    fn default() -> Self {
        Self { gas: 500_000, gas_margin_percent: 25, fee_per_gas: 500_000_000_000 }
    }
}

/// An eighth more, and at least one: nodes ask for a tenth, some for an eighth.
const fn raised(fee: u128) -> u128 {
    fee.saturating_add(fee / 8).saturating_add(1)
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
