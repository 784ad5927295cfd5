use std::path::Path;
use std::sync::Arc;

use assay_engine::{Engine, EngineError, LoadedModel, ModelPackage};
use assay_primitives::{InferenceOutput, InferenceRequest, Method};
use assay_service::{AssetTerms, Catalogue, CatalogueError, Certifiers, PriceList};

/// An engine that loads everything but one model, and runs nothing.
#[derive(Debug)]
struct Paper {
    refuses: &'static str,
}

#[derive(Debug)]
struct Blank;

impl Engine for Paper {
    fn name(&self) -> &'static str {
        "paper"
    }

    fn version(&self) -> &'static str {
        "7"
    }

    fn load(&self, package: &ModelPackage) -> Result<Arc<dyn LoadedModel>, EngineError> {
        let model = package.card().name.clone();
        if model == self.refuses {
            return Err(EngineError::Load { model, reason: "torn".to_owned() });
        }
        Ok(Arc::new(Blank))
    }
}

impl LoadedModel for Blank {
    fn run(&self, _: &InferenceRequest) -> Result<InferenceOutput, EngineError> {
        Ok(InferenceOutput { outputs: Vec::new() })
    }
}

pub(crate) fn package(name: &str) -> ModelPackage {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    ModelPackage::open(&folder.join(name)).unwrap()
}

pub(crate) fn prices(entries: &[(&str, Method)]) -> PriceList {
    let asset = AssetTerms {
        id: "eip155:31337/erc20:0x5FbDB2315678afecb367f032d93F642f64180aa3".parse().unwrap(),
        decimals: 6,
        name: "Dollar".to_owned(),
        version: "1".to_owned(),
    };
    let mut prices = PriceList::default();
    for (model, method) in entries {
        prices.add((*model).to_owned(), method.clone(), "0.001", asset.clone()).unwrap();
    }
    prices
}

fn open(packages: Vec<ModelPackage>, prices: &PriceList) -> Result<Catalogue, CatalogueError> {
    Catalogue::new(packages, prices, &Paper { refuses: "none" }, &Certifiers::standard(1))
}

#[test]
fn models_are_found_by_name_with_their_prices() {
    let prices = prices(&[("digits", Method::SIGNED)]);
    let catalogue = open(vec![package("tumour"), package("digits")], &prices).unwrap();
    let names: Vec<&str> =
        catalogue.iter().map(|entry| entry.package().card().name.as_str()).collect();
    assert_eq!(names, ["digits", "tumour"]);
    let digits = catalogue.find("digits").unwrap();
    assert_eq!(digits.methods(), [&Method::SIGNED]);
    assert_eq!(
        (digits.used().engine.name.as_str(), digits.used().engine.version.as_str()),
        ("paper", "7")
    );
    assert_eq!(digits.used().package, package("digits").id());
    assert!(digits.latency(&Method::SIGNED).is_some() && digits.latency(&Method::TEE).is_none());
    // A model without a price is there, and not for sale.
    assert!(catalogue.find("tumour").unwrap().prices().is_empty());
    assert!(catalogue.find("Digits").is_none());
}

#[test]
fn what_cannot_be_sold_is_named() {
    let twice = open(vec![package("digits"), package("digits")], &prices(&[])).unwrap_err();
    assert_eq!(twice, CatalogueError::Twice("digits".to_owned()));
    let unknown = open(vec![package("digits")], &prices(&[("ocr", Method::SIGNED)])).unwrap_err();
    let (model, known) = ("ocr".to_owned(), "digits".to_owned());
    assert_eq!(unknown, CatalogueError::UnknownModel { model, known });
    let nobody = open(vec![package("digits")], &prices(&[("digits", Method::ZKML)])).unwrap_err();
    let (model, known) = ("digits".to_owned(), "signed".to_owned());
    assert_eq!(nobody, CatalogueError::UnknownMethod { model, method: Method::ZKML, known });
    let engine = Paper { refuses: "digits" };
    let broken =
        Catalogue::new(vec![package("digits")], &prices(&[]), &engine, &Certifiers::standard(1));
    assert!(matches!(broken, Err(CatalogueError::Engine(EngineError::Load { .. }))));
}
