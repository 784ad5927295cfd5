//! How many EIP-3009 transfers a second the chain settles, each in a block of its own: what a test
//! of many payments waits for.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on says so by panicking")]

use std::sync::Arc;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::network::TxSignerSync;
use alloy::primitives::{B256, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol;
use alloy::sol_types::{SolCall, SolStruct, eip712_domain};
use assay_devchain::{BASE_FEE, CHAIN_ID, Config, DEV_TOKEN, DevChain, dev_accounts};
use assay_primitives::SystemClock;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;

sol! {
    struct TransferWithAuthorization { address from; address to; uint256 value; uint256 validAfter; uint256 validBefore; bytes32 nonce; }

    function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s);
}

const TRANSFERS: u64 = 500;

/// Returns the signed transaction that relays a payment of one unit from account 0 to account 1.
fn relayed(payer: &PrivateKeySigner, relayer: &PrivateKeySigner, number: u64) -> Vec<u8> {
    let [from, to, ..] = dev_accounts();
    let authorisation = TransferWithAuthorization {
        from: from.address,
        to: to.address,
        value: U256::ONE,
        validAfter: U256::ZERO,
        validBefore: U256::MAX,
        nonce: B256::from(U256::from(number)),
    };
    let domain = eip712_domain! {
        name: "Assay Development Dollar",
        version: "1",
        chain_id: CHAIN_ID,
        verifying_contract: DEV_TOKEN,
    };
    let signature = payer.sign_hash_sync(&authorisation.eip712_signing_hash(&domain)).unwrap();
    let call = transferWithAuthorizationCall {
        from: authorisation.from,
        to: authorisation.to,
        value: authorisation.value,
        validAfter: authorisation.validAfter,
        validBefore: authorisation.validBefore,
        nonce: authorisation.nonce,
        v: 27 + u8::from(signature.v()),
        r: signature.r().into(),
        s: signature.s().into(),
    };
    let mut transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: number,
        gas_limit: 150_000,
        max_fee_per_gas: BASE_FEE.into(),
        to: DEV_TOKEN.into(),
        input: call.abi_encode().into(),
        ..Default::default()
    };
    let signature = relayer.sign_transaction_sync(&mut transaction).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}

fn settle(chain: &DevChain, transactions: &[Vec<u8>]) {
    for transaction in transactions {
        chain.submit(transaction).unwrap();
    }
    assert_eq!(chain.head().number, TRANSFERS);
}

fn transfers(criterion: &mut Criterion) {
    let [payer, _, relayer, ..] =
        dev_accounts().map(|account| PrivateKeySigner::from_bytes(&account.key).unwrap());
    let transactions: Vec<_> =
        (0..TRANSFERS).map(|number| relayed(&payer, &relayer, number)).collect();
    let open = |config| DevChain::open(config, Arc::new(SystemClock::default())).unwrap();

    let mut group = criterion.benchmark_group("EIP-3009 transfers");
    group.throughput(Throughput::Elements(TRANSFERS)).sample_size(10);
    group.bench_function("in memory", |bencher| {
        let fresh = || open(Config::in_memory());
        bencher.iter_batched(fresh, |chain| settle(&chain, &transactions), BatchSize::PerIteration);
    });
    group.bench_function("recorded", |bencher| {
        let fresh = || {
            let folder = TempDir::new().unwrap();
            (open(Config::persistent(folder.path())), folder)
        };
        let run = |(chain, _folder): (DevChain, TempDir)| settle(&chain, &transactions);
        bencher.iter_batched(fresh, run, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, transfers);
criterion_main!(benches);
