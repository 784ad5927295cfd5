use alloy::network::TxSignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::TxKind;
use assay_primitives::SystemClock;
use tempfile::TempDir;

use super::*;
use crate::accounts::dev_accounts;
use crate::config::{BASE_FEE, CHAIN_ID};

fn transfer(account: usize, nonce: u64) -> Vec<u8> {
    let mut transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: BASE_FEE.into(),
        to: TxKind::Call(Address::ZERO),
        value: U256::ONE,
        ..Default::default()
    };
    let signer = PrivateKeySigner::from_bytes(&dev_accounts()[account].key).unwrap();
    let signature = signer.sign_transaction_sync(&mut transaction).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}

#[test]
fn a_block_that_cannot_be_recorded_is_not_made() {
    let folder = TempDir::new().unwrap();
    let chain = DevChain::open(Config::persistent(folder.path()), Arc::new(SystemClock::default()));
    let chain = chain.unwrap();
    chain.submit(&transfer(0, 0)).unwrap();
    let (head, balance) = (chain.head(), chain.balance(Address::ZERO));
    chain.pause();
    chain.submit(&transfer(0, 1)).unwrap();
    chain.state_mut().journal.as_mut().unwrap().fail();

    assert!(matches!(chain.mine(), Err(SubmitError::Journal(_))));
    assert!(matches!(chain.resume(), Err(SubmitError::Journal(_))));
    assert_eq!((chain.head(), chain.balance(Address::ZERO)), (head, balance));
    assert_eq!(chain.nonce(dev_accounts()[0].address), 1);
    let pending = chain.state().pending_nonce(dev_accounts()[0].address);
    assert_eq!(pending, 2, "what could not be mined no longer waits");
}

#[test]
fn calls_need_no_server() {
    let chain = DevChain::open(Config::in_memory(), Arc::new(SystemClock::default())).unwrap();
    // The identity precompile.
    let identity = Address::with_last_byte(4);
    let request =
        TransactionRequest::default().to(identity).input(Bytes::from_static(b"same").into());
    assert_eq!(chain.call(&request).unwrap(), Bytes::from_static(b"same"));
    assert!(chain.estimate_gas(&request).unwrap() > 21_000);
}

#[test]
fn many_may_submit_at_once() {
    let chain = DevChain::open(Config::in_memory(), Arc::new(SystemClock::default())).unwrap();
    std::thread::scope(|scope| {
        for account in 0..10 {
            let chain = &chain;
            scope.spawn(move || {
                // In pairs the wrong way round, so that half of them wait.
                for nonce in [1, 0, 3, 2, 5, 4] {
                    chain.submit(&transfer(account, nonce)).unwrap();
                }
            });
        }
    });
    assert_eq!(chain.head().number, 60);
    assert_eq!(chain.balance(Address::ZERO), U256::from(60));
    assert!(dev_accounts().iter().all(|account| chain.nonce(account.address) == 6));
}
