//! What a purchase costs beside the inference: the whole paid request over HTTP, with the
//! development chain in it and without, against the bare run of the model. As it is shipped:
//! `cargo bench -p assay-gateway --profile dist`
#![expect(
    dead_code,
    unused_imports,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot be set up should stop; it needs a part of the tests' harness"
)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use assay_engine::{Engine as _, Tract};
use assay_primitives::{Clock as _, SystemRandomness};
use assay_store::Durability;
use assay_x402::{
    CheckedPayment, ChosenOffer, Facilitator, FacilitatorError, SettleError, Settled, SettledBlock,
    SettlementIntent, SignatureCheck, SupportedResponse, VerifiedPayment, pay,
};
use async_trait::async_trait;
use criterion::{Criterion, criterion_group, criterion_main};
use mimalloc::MiMalloc;
use serde_json::{Map, Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::harness::{Buyer, DIGITS, Setup, Shop, TRANSACTIONS, World, digit, now, packages, send};

/// The binary's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Settles at once, on no chain: what is left is the gateway's own time.
#[derive(Debug)]
struct Instant;

fn settled(intent: &SettlementIntent) -> Settled {
    let terms = &intent.terms;
    let hash = B256::repeat_byte(7);
    Settled {
        network: terms.network.clone(),
        transaction: Some(hash),
        block: Some(SettledBlock { number: 1, hash, time: now() }),
        amount: terms.amount,
        asset: terms.asset.clone(),
        payer: terms.payer.clone(),
        pay_to: terms.pay_to.clone(),
    }
}

#[async_trait]
impl Facilitator for Instant {
    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        Ok(SupportedResponse::default())
    }

    async fn verify(&self, payment: &CheckedPayment) -> Result<VerifiedPayment, FacilitatorError> {
        assert_eq!(payment.signature_check(), SignatureCheck::Recovered);
        Ok(VerifiedPayment::assertion(payment.clone(), Some(0)))
    }

    async fn settle(&self, intent: &SettlementIntent) -> Result<Settled, SettleError> {
        Ok(settled(intent))
    }

    async fn reconcile(&self, intent: &SettlementIntent) -> Result<Settled, SettleError> {
        Ok(settled(intent))
    }
}

/// What is bought, and where.
struct Wanted {
    path: &'static str,
    body: String,
}

impl Wanted {
    fn inference() -> Self {
        Self { path: DIGITS, body: digit(0) }
    }

    /// A transaction of signed items.
    fn transaction(items: usize) -> Self {
        let input: Value = serde_json::from_str(&digit(0)).unwrap();
        let item = |index: usize| {
            let id = format!("item-{index}");
            json!({ "id": id, "model": "digits", "method": "signed", "input": input })
        };
        let items: Vec<Value> = (0..items).map(item).collect();
        Self { path: TRANSACTIONS, body: json!({ "items": items }).to_string() }
    }
}

/// An open connection to a gateway: what a buyer's HTTP client would take is none of the gateway's time.
struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Wire {
    fn connect(url: &str) -> Self {
        let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: vec![0; 1 << 20] }
    }

    /// Writes down a request for what is wanted, with further headers.
    fn request(wanted: &Wanted, headers: &str) -> Vec<u8> {
        let Wanted { path, body } = wanted;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{headers}\r\n"
        );
        [head.as_bytes(), body.as_bytes()].concat()
    }

    /// Sends a request, and waits for the last byte of its answer, which has this status.
    fn exchange(&mut self, request: &[u8], status: u16) {
        self.stream.write_all(request).unwrap();
        let (mut read, mut whole) = (0, None);
        while whole.is_none_or(|whole| read < whole) {
            let more = self.stream.read(&mut self.received[read..]).unwrap();
            assert_ne!(more, 0, "the gateway closed the connection");
            read += more;
            whole = whole.or_else(|| Self::length(&self.received[..read]));
        }
        assert!(self.received.starts_with(format!("HTTP/1.1 {status} ").as_bytes()));
    }

    /// Returns how long an answer is, once its head is there.
    fn length(received: &[u8]) -> Option<usize> {
        let head = received.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let lines = std::str::from_utf8(&received[..head]).unwrap().to_ascii_lowercase();
        let length = lines.lines().find_map(|line| line.strip_prefix("content-length:"));
        Some(head + length.unwrap().trim().parse::<usize>().unwrap())
    }
}

/// Measures purchases one after the other, with the payments signed beforehand. A sample is the
/// median of its purchases: now and then one of them waits while SQLite moves its log.
fn purchases(
    criterion: &mut Criterion,
    name: &str,
    durability: Durability,
    on_chain: bool,
    wanted: &Wanted,
) {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let (shop, buyer, _world) = runtime.block_on(async {
        let world = World::start().await;
        let facilitator: Arc<dyn Facilitator> =
            if on_chain { Arc::new(world.direct_facilitator().await) } else { Arc::new(Instant) };
        let setup = Setup { durability, ..Setup::default() };
        let shop = Shop::open(&world, folder.path(), facilitator, setup).await;
        let buyer = Buyer::of(&shop.url);
        (shop, buyer, world)
    });
    let required = runtime.block_on(buyer.ask(wanted.path, wanted.body.clone())).required();
    let mut wire = Wire::connect(&shop.url);
    let clock = assay_primitives::SystemClock::default();
    criterion.benchmark_group("purchase").bench_function(name, |bencher| {
        bencher.iter_custom(|count| {
            let sign = || {
                let chosen = ChosenOffer { index: 0, offer: &required.accepts[0] };
                let (nothing, random) = (Map::new(), SystemRandomness);
                let paid = pay(&required, chosen, &nothing, &*buyer.key, now(), &random).unwrap();
                format!("payment-signature: {}\r\n", paid.header)
            };
            let requests = (0..count).map(|_| Wire::request(wanted, &sign()));
            let requests: Vec<Vec<u8>> = requests.collect();
            let exchange = |request: &Vec<u8>| {
                let started = clock.monotonic();
                wire.exchange(request, 200);
                clock.monotonic() - started
            };
            let mut took: Vec<Duration> = requests.iter().map(exchange).collect();
            took.sort_unstable();
            took[took.len() / 2] * u32::try_from(count).unwrap()
        });
    });
    drop(wire);
    runtime.block_on(shop.close());
}

fn bench(criterion: &mut Criterion) {
    let model = Tract.load(&packages()[0]).unwrap();
    let input = packages()[0].samples().get(0).unwrap().input.clone();
    let request = packages()[0].card().request(vec![input]).unwrap();
    criterion.benchmark_group("purchase").bench_function("bare engine call", |bencher| {
        bencher.iter(|| model.run(black_box(&request)).unwrap());
    });
    let (normal, full) = (Durability::Normal, Durability::Full);
    let one = Wanted::inference();
    purchases(criterion, "without a chain, durability normal", normal, false, &one);
    purchases(criterion, "without a chain, durability full", full, false, &one);
    purchases(criterion, "with the development chain, durability normal", normal, true, &one);
    purchases(criterion, "with the development chain, durability full", full, true, &one);
    // The same twenty inferences, in one transaction and bare: what is between them is the gateway's.
    criterion.benchmark_group("transaction").bench_function("20 bare engine calls", |bencher| {
        bencher.iter(|| {
            for _ in 0..20 {
                black_box(model.run(black_box(&request)).unwrap());
            }
        });
    });
    let twenty = Wanted::transaction(20);
    purchases(criterion, "20 signed items without a chain", normal, false, &twenty);
    offers(criterion);
}

/// What of it is HTTP: a request for a price, and one for nothing.
fn offers(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let (shop, _world) = runtime.block_on(async {
        let world = World::start().await;
        let shop = Shop::open(&world, folder.path(), Arc::new(Instant), Setup::default()).await;
        (shop, world)
    });
    let mut wire = Wire::connect(&shop.url);
    let unpaid = Wire::request(&Wanted::inference(), "");
    let health = b"GET /v2/health/live HTTP/1.1\r\nhost: gateway\r\n\r\n";
    let mut group = criterion.benchmark_group("request");
    group.bench_function("402 with offers", |bencher| {
        bencher.iter(|| wire.exchange(&unpaid, 402));
    });
    group.bench_function("health", |bencher| {
        bencher.iter(|| wire.exchange(health, 200));
    });
    group.finish();
    drop(wire);
    runtime.block_on(shop.close());
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50).measurement_time(Duration::from_secs(8));
    targets = bench
}
criterion_main!(benches);
