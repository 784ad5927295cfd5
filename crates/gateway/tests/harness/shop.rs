//! A whole seller in this process: real store, real models, served on loopback.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use assay_devchain::{CHAIN_ID, DEV_TOKEN};
use assay_engine::{Engine, EngineError, LoadedModel, ModelPackage, Tract};
use assay_gateway::{ClientLimits, Gateway, GatewayConfig, RunningServer, serve};
use assay_primitives::{
    Account, AssetId, Method, Network, OperatorId, SystemRandomness, Timestamp, TransactionId,
};
use assay_receipt::{
    Envelope, KeyManifest, KeyPurpose, KeyRevocation, ManifestContent, ManifestKey,
    SettlementAddress, SigningKey,
};
use assay_service::{
    AssetTerms, Catalogue, Certifiers, Limits, Operator, PriceList, Release, Service, ServiceParts,
    Settings,
};
use assay_store::{
    BlobStore, Durability, SqliteStore, StorageKey, TransactionState, TransactionStore as _,
};
use assay_verify::Methods;
use assay_x402::Facilitator;
use tokio_util::task::TaskTracker;

use super::disk::Disk;
use super::toy::{Mood, TOY, ToyCertifier, ToyVerifier};
use super::world::{SELLER, TOKEN_NAME, World, address};

pub(crate) const SIGNED_PRICE: u128 = 1_000;
pub(crate) const TOY_PRICE: u128 = 2_000;
pub(crate) const BODY_LIMIT: usize = 64 * 1024;
pub(crate) const PUBLIC_URL: &str = "https://seller.example";
/// More than any test waits for anything that happens.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A seller that is open.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) url: String,
    pub(crate) service: Arc<Service>,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) disk: Disk,
    pub(crate) toy: ToyCertifier,
    pub(crate) keys: Keys,
    server: RunningServer,
}

/// What a seller is opened with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) keys: Keys,
    pub(crate) durability: Durability,
    pub(crate) limits: Limits,
    pub(crate) body_timeout: Duration,
    pub(crate) max_timeout_seconds: u64,
    /// How many jobs of the toy method are in hand at a time.
    pub(crate) toy_slots: usize,
    /// What happens while the toy method runs, until it is told otherwise.
    pub(crate) toy_mood: Mood,
    /// Whether the toy method certifies in batches.
    pub(crate) toy_batches: bool,
    pub(crate) body_limit: usize,
    /// Whether everything costs ten times as much.
    pub(crate) dearer: bool,
    pub(crate) release: Release,
    pub(crate) retention: Duration,
    pub(crate) clients: ClientLimits,
}

/// An operator's keys.
#[derive(Clone)]
pub(crate) struct Keys {
    identity: SigningKey,
    pub(crate) receipt: SigningKey,
    content: ManifestContent,
    pub(crate) manifest: Envelope,
}

impl Shop {
    /// Opens a seller on a folder, with what it left there before.
    pub(crate) async fn open(
        world: &World,
        folder: &Path,
        facilitator: Arc<dyn Facilitator>,
        setup: Setup,
    ) -> Self {
        let toy = ToyCertifier::new(setup.toy_slots, setup.toy_mood).in_batches(setup.toy_batches);
        let certifiers = Certifiers::standard(2).with(toy.clone());
        let catalogue =
            Catalogue::new(packages().to_vec(), &prices(setup.dearer), &Preloaded, &certifiers);
        let catalogue = catalogue.unwrap();
        let keys = setup.keys.clone();
        let Keys { receipt, manifest, .. } = setup.keys;
        let store = Arc::new(open_store(folder, setup.durability).await);
        let disk = Disk::new(store.clone());
        let upto = facilitator.supported().await.unwrap().upto(world.chain.network());
        let service = Service::new(ServiceParts {
            operator: Operator::new(manifest, receipt, world.clock.now()).unwrap(),
            catalogue,
            certifiers,
            methods: Methods::standard().with(ToyVerifier),
            store: Arc::new(disk.clone()),
            blobs: BlobStore::in_folder(&folder.join("evidence")).unwrap(),
            facilitator,
            clock: world.clock.clone(),
            randomness: Arc::new(SystemRandomness),
            tasks: TaskTracker::new(),
            settings: Settings {
                pay_to: account(SELLER),
                max_timeout_seconds: setup.max_timeout_seconds,
                reorg_depth: 16,
                release: setup.release,
                retention: setup.retention,
                upto,
            },
        });
        let service = Arc::new(service.with_limits(setup.limits));
        service.resume().await.unwrap();
        let config = GatewayConfig {
            public_url: format!("{PUBLIC_URL}/"),
            body_limit: setup.body_limit,
            body_timeout: setup.body_timeout,
            clients: setup.clients,
        };
        let gateway = Gateway::new(service.clone(), config);
        let server = serve(gateway, (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let url = format!("http://{}", server.address());
        Self { url, service, store, disk, toy, keys, server }
    }

    /// Finishes what was paid for and closes the store.
    pub(crate) async fn close(self) {
        self.server.stop().await.unwrap();
        drop(self.service);
        self.store.close().await;
    }

    /// Waits until a transaction is in a state.
    pub(crate) async fn wait_for(&self, id: TransactionId, state: TransactionState) {
        let arrives = async {
            while self.state(id).await != Some(state) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, arrives).await.is_err() {
            panic!("transaction {id} is {:?}, not {state:?}", self.state(id).await);
        }
    }

    pub(crate) async fn state(&self, id: TransactionId) -> Option<TransactionState> {
        self.store.transaction(id).await.unwrap().map(|row| row.state)
    }

    /// Returns how many transactions are in a state.
    pub(crate) async fn count(&self, state: TransactionState) -> u64 {
        let counts = self.store.count_by_state().await.unwrap();
        counts.into_iter().find(|(other, _)| *other == state).unwrap().1
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            keys: Keys::new(),
            durability: Durability::Normal,
            limits: Limits::default(),
            body_timeout: Duration::from_secs(10),
            max_timeout_seconds: 60,
            toy_slots: 256,
            toy_mood: Mood::default(),
            toy_batches: false,
            body_limit: BODY_LIMIT,
            dearer: false,
            release: Release::Settlement,
            retention: Duration::from_secs(86_400),
            clients: ClientLimits::default(),
        }
    }
}

impl Keys {
    pub(crate) fn new() -> Self {
        let (identity, receipt) = (new_key(), new_key());
        let network = Network::eip155(CHAIN_ID);
        let content = ManifestContent {
            operator: OperatorId(identity.public().id().0),
            identity_key: Vec::new(),
            version: 1,
            previous: None,
            issued_at: start(),
            keys: vec![listed(&receipt, start())],
            settlement_addresses: vec![SettlementAddress { network, account: account(SELLER) }],
            gateways: Vec::new(),
            enclave_measurements: Vec::new(),
            revocations: Vec::new(),
        };
        let manifest = KeyManifest::sign(content.clone(), &identity).unwrap();
        Self { identity, receipt, content, manifest }
    }

    /// Returns the keys with a new receipt key; the one before is used no longer.
    pub(crate) fn rotate(&self, now: Timestamp) -> Self {
        let receipt = new_key();
        let mut content = self.content.clone();
        content.version += 1;
        content.previous = Some(self.manifest.digest());
        content.issued_at = now;
        for key in &mut content.keys {
            key.valid_to = key.valid_to.min(now);
        }
        content.keys.push(listed(&receipt, now));
        let manifest = KeyManifest::sign(content.clone(), &self.identity).unwrap();
        Self { identity: self.identity.clone(), receipt, content, manifest }
    }
}

impl Keys {
    /// Returns the keys with a new receipt key; the one before is revoked.
    pub(crate) fn revoke(&self, now: Timestamp) -> Self {
        let mut rotated = self.rotate(now);
        rotated.content.revocations.push(KeyRevocation {
            key: self.receipt.public().id(),
            time: now,
            reason: "stolen".to_owned(),
        });
        rotated.manifest = KeyManifest::sign(rotated.content.clone(), &self.identity).unwrap();
        rotated
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({:?})", self.receipt)
    }
}

/// Opens a store; one that was closed by a crash a moment ago may still be in use.
async fn open_store(folder: &Path, durability: Durability) -> SqliteStore {
    let opened = async {
        loop {
            let randomness = Arc::new(SystemRandomness);
            match SqliteStore::open(folder, durability, &storage_key(), randomness).await {
                Ok(store) => return store,
                Err(assay_store::StoreError::InUse(_)) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, opened).await.expect("the store stays in use")
}

/// The key that every seller here seals with.
fn storage_key() -> StorageKey {
    StorageKey::from_hex(&"5e".repeat(32)).unwrap()
}

/// Returns the packages of this repository's models, read once.
pub(crate) fn packages() -> &'static [ModelPackage] {
    static PACKAGES: OnceLock<Vec<ModelPackage>> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        ["digits", "tumour"].map(|name| ModelPackage::open(&models.join(name)).unwrap()).into()
    })
}

/// The engine of production, which loads each model once for all tests.
#[derive(Debug)]
struct Preloaded;

impl Engine for Preloaded {
    fn name(&self) -> &'static str {
        Tract.name()
    }

    fn version(&self) -> &'static str {
        Tract.version()
    }

    fn load(&self, package: &ModelPackage) -> Result<Arc<dyn LoadedModel>, EngineError> {
        static LOADED: OnceLock<Vec<Arc<dyn LoadedModel>>> = OnceLock::new();
        let loaded = LOADED.get_or_init(|| {
            packages().iter().map(|package| Tract.load(package).unwrap()).collect()
        });
        let at = packages().iter().position(|other| other.id() == package.id()).unwrap();
        Ok(loaded[at].clone())
    }
}

fn prices(dearer: bool) -> PriceList {
    let mut prices = PriceList::default();
    for (model, method, amount, dear) in [
        ("digits", Method::SIGNED.as_str(), "0.001", "0.01"),
        ("digits", TOY, "0.002", "0.02"),
        ("tumour", Method::SIGNED.as_str(), "0.001", "0.01"),
    ] {
        let amount = if dearer { dear } else { amount };
        prices.add(model.to_owned(), method.parse().unwrap(), amount, asset_terms()).unwrap();
    }
    prices
}

fn asset_terms() -> AssetTerms {
    AssetTerms { id: asset(), decimals: 6, name: TOKEN_NAME.to_owned(), version: "1".to_owned() }
}

pub(crate) fn asset() -> AssetId {
    AssetId::erc20(Network::eip155(CHAIN_ID), DEV_TOKEN.to_checksum(None).parse().unwrap())
}

pub(crate) fn account(account: u8) -> Account {
    address(account).to_checksum(None).parse().unwrap()
}

fn listed(key: &SigningKey, from: Timestamp) -> ManifestKey {
    ManifestKey {
        purpose: KeyPurpose::Receipt,
        public_key: key.public().as_der().to_vec(),
        valid_from: from,
        valid_to: from.plus(Duration::from_secs(10 * 365 * 86_400)),
    }
}

fn new_key() -> SigningKey {
    SigningKey::generate(&SystemRandomness).unwrap()
}

/// Before any test runs.
fn start() -> Timestamp {
    "2026-01-01T00:00:00.000Z".parse().unwrap()
}
