//! Several questions to contracts in one request, about one state of the chain.

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolCall;

use crate::outgoing::batch::{Call3, aggregate3Call};
use crate::rpc::reverted;
use crate::{Chain, ChainError, MULTICALL3};

impl Chain {
    /// Runs calls on the latest block, one after the other, and returns what each returns. Changes
    /// nothing. `None` where the chain lacks [`MULTICALL3`], which is who calls.
    ///
    /// # Errors
    /// When the node does not answer, or not as the contract does. A call that reverts is
    /// [`ChainError::Reverted`] in its place.
    pub async fn call_together(
        &self,
        calls: &[(Address, Bytes)],
    ) -> Result<Option<Vec<Result<Bytes, ChainError>>>, ChainError> {
        if !self.is_contract(MULTICALL3).await? {
            return Ok(None);
        }
        let one = |(target, data): &(Address, Bytes)| Call3 {
            target: *target,
            allowFailure: true,
            callData: data.clone(),
        };
        let call = aggregate3Call { calls: calls.iter().map(one).collect() };
        let answer = self.call(Address::ZERO, MULTICALL3, &call.abi_encode()).await?;
        let function = aggregate3Call::SIGNATURE;
        let length = answer.len();
        let wrong = || ChainError::NotAsCalled { to: MULTICALL3, function, length };
        let returned = aggregate3Call::abi_decode_returns(&answer).map_err(|_| wrong())?;
        if returned.len() != calls.len() {
            return Err(wrong());
        }
        let outcomes = returned.into_iter().zip(calls).map(|(returned, (to, _))| {
            if returned.success {
                Ok(returned.returnData)
            } else {
                Err(reverted(*to, returned.returnData))
            }
        });
        Ok(Some(outcomes.collect()))
    }
}
