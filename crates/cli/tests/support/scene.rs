//! A chain and a buyer, and what became of the buyer's money.

use serde_json::{Value, json};

use super::{Devchain, Gateway, Place, SELLER, rpc};

/// What an inference costs, in atomic units.
const PRICE: u128 = 1_000;
/// `Transfer(address,address,uint256)`.
const TRANSFER: &str = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/// A chain, and a folder for a gateway and its buyer, who pays with development account 2.
pub(crate) struct Scene {
    pub(crate) place: Place,
    pub(crate) chain: Devchain,
    pub(crate) buyer: String,
}

impl Scene {
    pub(crate) fn open() -> Self {
        let place = Place::new();
        let chain = Devchain::start(&place, &[]);
        let buyer = chain.told["accounts"][2]["address"].as_str().unwrap().to_owned();
        Self { place, chain, buyer }
    }

    /// Prints the head of the table that [`Scene::ends`] prints a line of.
    pub(crate) fn table(faults: &str) {
        println!("{faults:<56} settled  charged");
    }

    /// Returns how often the buyer paid, by the token's logs: the price each time, and to the seller.
    pub(crate) fn payments(&self) -> u128 {
        let topic = |account: &str| {
            let digits = account.strip_prefix("0x").unwrap();
            format!("0x{:0>64}", digits.to_lowercase())
        };
        let filter = json!([{
            "address": self.chain.told["token"],
            "topics": [TRANSFER, topic(&self.buyer)],
            "fromBlock": "0x0",
            "toBlock": "latest",
        }]);
        let logs = rpc(&self.chain.url, "eth_getLogs", &filter);
        let logs = logs.as_array().unwrap();
        for log in logs {
            assert_eq!(log["topics"][2], json!(topic(SELLER)), "{log}");
            assert_eq!(log["data"], json!(format!("0x{PRICE:064x}")), "{log}");
        }
        u128::try_from(logs.len()).unwrap()
    }

    /// Waits until no transaction is open, asserts that the buyer paid so often and that there is a
    /// settled receipt for each time, and that nothing is in the way of the next purchase.
    #[track_caller]
    pub(crate) fn ends(&self, shop: &Gateway, fault: &str, settled: u128) {
        shop.wait_for_metric("assay_transactions{state=\"reorged\"} 0");
        shop.wait_for_ends();
        assert_eq!((self.payments(), shop.count("settled")), (settled, settled), "{fault}");
        println!("{fault:<56} {settled:>7} {:>8}", settled * PRICE);
        let next: Value = self.place.buy(&shop.url, "next.assay");
        assert_eq!(next["report"]["payment"]["state"], "settled", "{fault}");
        assert_eq!(self.payments(), settled + 1, "{fault}");
    }
}
