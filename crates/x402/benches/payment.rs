//! What a seller computes for each payment before anything is asked of the chain.
//!
//! `cargo bench -p assay-x402 --bench payment`. The target is 150 µs for `check_exact`.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::hint::black_box;

use alloy_primitives::{B256, Signature};
use assay_chain::{AccountKey, recover};
use assay_primitives::{Account, Amount, Network, Randomness, RandomnessError, Timestamp};
use assay_x402::{
    ChosenOffer, PaymentRequired, PaymentRequirements, ResourceInfo, authorization_hash,
    check_exact, decode_payment_signature, pay,
};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Map, json};

#[derive(Debug)]
struct Fixed;

impl Randomness for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        bytes.fill(7);
        Ok(())
    }
}

fn account(text: &str) -> Account {
    text.parse().expect("a constant address")
}

fn offer() -> PaymentRequirements {
    PaymentRequirements {
        scheme: "exact".to_owned(),
        network: Network::eip155(84_532),
        amount: Amount(1_000),
        asset: account("0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
        pay_to: account("0x209693Bc6afc0C5328bA36FaF03C514EF312287C"),
        max_timeout_seconds: 60,
        extra: json!({ "name": "USDC", "version": "2", "method": "zkml" }).as_object().cloned(),
        other: Map::new(),
    }
}

fn payments(criterion: &mut Criterion) {
    let now = Timestamp::from_seconds(1_795_253_400);
    let key = AccountKey::from_bytes(&[0x11; 32]).expect("a constant key");
    let required = PaymentRequired {
        x402_version: 2,
        error: None,
        resource: ResourceInfo::new("https://seller.example/v1/run"),
        accepts: vec![offer()],
        extensions: None,
    };
    let offer = offer();
    let sign = || {
        let chosen = ChosenOffer { index: 0, offer: &offer };
        pay(&required, chosen, &Map::new(), &key, now, &Fixed).expect("payable")
    };
    let payment = sign();
    let checked = check_exact(&payment.payload, &offer, now).expect("a good payment");
    let (token, hash) = (checked.token(), checked.hash());
    let authorization = *payment.signed.authorization().expect("of the scheme exact");

    criterion.bench_function("check_exact", |bencher| {
        bencher.iter(|| check_exact(black_box(&payment.payload), &offer, now));
    });
    criterion.bench_function("decode_payment_signature", |bencher| {
        bencher.iter(|| decode_payment_signature(black_box(&payment.header)));
    });
    criterion.bench_function("authorization_hash", |bencher| {
        bencher.iter(|| authorization_hash(black_box(&authorization), token, "USDC", "2", 84_532));
    });
    criterion.bench_function("pay", |bencher| bencher.iter(sign));
    recoveries(criterion, &key, hash);
}

/// The two libraries that could recover the signer; [`recover`] is built on the faster.
fn recoveries(criterion: &mut Criterion, key: &AccountKey, hash: B256) {
    let bytes = key.sign_hash(&hash);
    let (v, r_s) = bytes.split_last().expect("65 bytes");
    let (odd, r_s): (bool, &[u8; 64]) = (*v == 28, r_s.try_into().expect("64 bytes"));
    let signature = Signature::from_raw_array(&bytes).expect("a good signature");
    assert_eq!(recover(&hash, r_s, odd), Ok(key.address()));
    assert_eq!(signature.recover_address_from_prehash(&hash).ok(), Some(key.address()));

    let mut group = criterion.benchmark_group("recover");
    group.bench_function("secp256k1", |bencher| {
        bencher.iter(|| recover(black_box(&hash), black_box(r_s), odd));
    });
    group.bench_function("k256", |bencher| {
        bencher.iter(|| black_box(&signature).recover_address_from_prehash(black_box(&hash)));
    });
    group.finish();
}

criterion_group!(benches, payments);
criterion_main!(benches);
