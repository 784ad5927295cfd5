//! Real parts in one process: a development chain behind JSON-RPC, a local facilitator, a store on
//! disk, the models of this repository, and the gateway on a port of its own.

mod buyer;
mod disk;
mod line;
mod rail;
mod shop;
mod toy;
mod world;

use std::sync::Arc;

use tempfile::TempDir;

pub(crate) use self::buyer::{
    Answer, Buyer, DIGITS, TRANSACTIONS, TUMOUR, digit, forge, forge_under, header, header_of, now,
    send, tumour,
};
pub(crate) use self::disk::Step;
pub(crate) use self::line::{GatewayLine, Mishap};
pub(crate) use self::rail::{Rail, Twist};
pub(crate) use self::shop::{
    BODY_LIMIT, Keys, PATIENCE, PUBLIC_URL, SIGNED_PRICE, Setup, Shop, TOY_PRICE, account, asset,
    packages,
};
pub(crate) use self::toy::{Mood, TOY, TOY_FLOOR, ToyVerifier};
pub(crate) use self::world::{
    BUYER, Fault, SELLER, SETTLER, STRANGER, TOKEN_NAME, World, address, approve, balance, cancel,
    empty, front_run, invalidate, key,
};

/// A seller on its chain, and a buyer.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) shop: Shop,
    pub(crate) buyer: Buyer,
    pub(crate) world: World,
    _folder: TempDir,
}

impl Market {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub(crate) async fn open_with(edit: impl FnOnce(&mut Setup)) -> Self {
        let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
        let mut setup = Setup::default();
        edit(&mut setup);
        let facilitator = Arc::new(world.facilitator());
        let shop = Shop::open(&world, folder.path(), facilitator, setup).await;
        let buyer = Buyer::of(&shop.url);
        Self { shop, buyer, world, _folder: folder }
    }

    /// Closes the seller and opens it again, on what it left.
    pub(crate) async fn reopened(self, edit: impl FnOnce(&mut Setup)) -> Self {
        let Self { shop, world, _folder: folder, .. } = self;
        let mut setup = Setup { keys: shop.keys.clone(), ..Setup::default() };
        shop.close().await;
        edit(&mut setup);
        let facilitator = Arc::new(world.facilitator());
        let shop = Shop::open(&world, folder.path(), facilitator, setup).await;
        let buyer = Buyer::of(&shop.url);
        Self { shop, buyer, world, _folder: folder }
    }

    /// Opens a seller whose facilitator has a twist.
    pub(crate) async fn with(twist: Twist) -> (Self, Arc<Rail>) {
        Self::with_setup(twist, Setup::default()).await
    }

    pub(crate) async fn with_setup(twist: Twist, setup: Setup) -> (Self, Arc<Rail>) {
        let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
        let rail = Arc::new(Rail::new(world.facilitator(), twist));
        let shop = Shop::open(&world, folder.path(), rail.clone(), setup).await;
        let buyer = Buyer::of(&shop.url);
        (Self { shop, buyer, world, _folder: folder }, rail)
    }

    /// Buys on a chain that makes no blocks until it is resumed: the purchase is committed, and not
    /// settled.
    pub(crate) async fn buy_pending(&self) -> Answer {
        let payment = self.buyer.payment(DIGITS, "signed").await.header;
        self.world.dev.pause();
        let answer = self.buyer.buy(DIGITS, &digit(0), &payment).await;
        answer.is(503, "settlement_pending");
        answer
    }

    /// Checks how often, and how much in all, the seller was paid.
    pub(crate) async fn charged(&self, count: usize, amount: u128) {
        assert_eq!(self.world.charges().await, (count, amount));
    }

    /// Checks that the seller was never paid.
    pub(crate) async fn not_charged(&self) {
        self.charged(0, 0).await;
    }
}
