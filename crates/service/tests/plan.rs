//! What can be bought together, without a gateway around it.

use std::sync::Arc;

use assay_engine::Tract;
use assay_primitives::{InferenceRequest, InputPointer, Method};
use assay_receipt::OutcomePolicy;
use assay_service::{
    AssetTerms, Catalogue, CatalogueEntry, Certifiers, MAX_ITEMS, NewItem, NewReference, Plan,
    PlanError, PriceList,
};

use crate::catalogue::{package, prices};

fn entry(prices: &PriceList) -> Arc<CatalogueEntry> {
    let packages = vec![package("digits")];
    let catalogue = Catalogue::new(packages, prices, &Tract, &Certifiers::standard(1)).unwrap();
    catalogue.find("digits").unwrap().clone()
}

fn item(id: &str, entry: &Arc<CatalogueEntry>, references: Vec<NewReference>) -> NewItem {
    let input = entry.package().samples().get(0).unwrap().input.clone();
    NewItem {
        id: id.parse().unwrap(),
        entry: entry.clone(),
        method: Method::SIGNED,
        request: InferenceRequest { inputs: vec![input] },
        references,
        timeout: None,
    }
}

fn to_first(element: u32) -> NewReference {
    let pointer = "/outputs/0/data/0".parse().unwrap();
    let at = InputPointer::new(0, Some(element));
    NewReference { from: "first".parse().unwrap(), pointer, at }
}

#[test]
fn a_plan_is_bounded() {
    let entry = entry(&prices(&[("digits", Method::SIGNED)]));
    let plan = |items| Plan::new(items, OutcomePolicy::All, &Certifiers::standard(1));
    assert_eq!(plan(Vec::new()).unwrap_err(), PlanError::Count(0));
    let many = (0..=MAX_ITEMS).map(|n| item(&n.to_string(), &entry, Vec::new())).collect();
    assert_eq!(plan(many).unwrap_err(), PlanError::Count(MAX_ITEMS + 1));
    let references = |count: u32| (0..count).map(|element| to_first(element % 64)).collect();
    let two = |count| {
        plan(vec![item("first", &entry, Vec::new()), item("second", &entry, references(count))])
    };
    two(64).unwrap();
    let error = two(65).unwrap_err();
    assert!(matches!(error, PlanError::Reference { .. }), "one element twice: {error}");
    let error = two(4_097).unwrap_err();
    assert!(matches!(error, PlanError::References(4_097)), "{error}");
}

/// The offers are for the assets in which every item has a price, each at the sum.
#[test]
fn a_quote_is_in_an_asset_of_every_item() {
    let mut prices = prices(&[("digits", Method::SIGNED)]);
    let asset = |id: &str| AssetTerms {
        id: id.parse().unwrap(),
        decimals: 2,
        name: "Other".to_owned(),
        version: "1".to_owned(),
    };
    let other = asset("eip155:31337/erc20:0x0000000000000000000000000000000000000001");
    prices.add("digits".to_owned(), Method::SIGNED, "0.05", other).unwrap();
    let entry = entry(&prices);
    let items = ["a", "b", "c"].map(|id| item(id, &entry, Vec::new())).into();
    let plan = Plan::new(items, OutcomePolicy::All, &Certifiers::standard(1)).unwrap();
    let quoted: Vec<(u128, Vec<u128>)> = plan
        .quotes()
        .iter()
        .map(|quote| (quote.amount.0, quote.items.iter().map(|one| one.0).collect()))
        .collect();
    assert_eq!(quoted, [(3_000, vec![1_000; 3]), (15, vec![5; 3])]);
}
