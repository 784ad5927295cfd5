use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use assay_engine::{Engine, EngineError, LoadedModel, ModelPackage};
use assay_primitives::{Digest, Method};
use assay_receipt::{EngineUsed, ModelUsed};
use thiserror::Error;

use crate::prices::timeout_floor;
use crate::{Certifier, Certifiers, Latency, Price, PriceList};

/// What is sold: models, each with the methods and prices it is offered at.
#[derive(Debug)]
pub struct Catalogue {
    entries: BTreeMap<String, Arc<CatalogueEntry>>,
    /// The price list as it is kept for what is quoted by it.
    prices: Vec<u8>,
    prices_digest: Digest,
}

/// A model that is sold.
#[derive(Debug)]
pub struct CatalogueEntry {
    package: ModelPackage,
    loaded: Arc<dyn LoadedModel>,
    used: ModelUsed,
    prices: Vec<Price>,
    latency: BTreeMap<Method, Latency>,
}

/// A catalogue that cannot be sold from.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum CatalogueError {
    /// Two packages with one name.
    #[error("catalogue: two model packages are called `{0}`")]
    Twice(String),
    /// A price for a model that is not there.
    #[error("prices: there is no model `{model}`; there are: {known}")]
    UnknownModel {
        /// The model of the price.
        model: String,
        /// The models there are.
        known: String,
    },
    /// A price by a method that nobody certifies.
    #[error("prices: model `{model}` cannot be certified by `{method}`; methods here: {known}")]
    UnknownMethod {
        /// The model of the price.
        model: String,
        /// The method of the price.
        method: Method,
        /// The methods there are.
        known: String,
    },
    /// A price of a model by a method that cannot certify it.
    #[error("prices: model `{model}` cannot be certified by `{method}`: {reason}")]
    Method {
        /// The model of the price.
        model: String,
        /// The method of the price.
        method: Method,
        /// Why not.
        reason: String,
    },
    /// A price list that cannot be written.
    #[error("prices: {0}")]
    Prices(String),
    /// The engine cannot run a model.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Catalogue {
    /// Loads the packages into the engine and gives each its prices.
    ///
    /// # Errors
    /// When a model cannot be loaded, or a price names a model or method that is not there.
    pub fn new(
        packages: Vec<ModelPackage>,
        prices: &PriceList,
        engine: &dyn Engine,
        certifiers: &Certifiers,
    ) -> Result<Self, CatalogueError> {
        let mut entries = BTreeMap::new();
        for package in packages {
            let name = package.card().name.clone();
            let entry = CatalogueEntry::new(package, prices, engine)?;
            if entries.insert(name.clone(), Arc::new(entry)).is_some() {
                return Err(CatalogueError::Twice(name));
            }
        }
        for price in prices.iter() {
            let (model, method) = (price.model.clone(), price.method.clone());
            let Some(entry) = entries.get(&model) else {
                let known = entries.keys().cloned().collect::<Vec<_>>().join(", ");
                return Err(CatalogueError::UnknownModel { model, known });
            };
            let Some(certifier) = certifiers.find(&method) else {
                let known = certifiers.names();
                return Err(CatalogueError::UnknownMethod { model, method, known });
            };
            if let Err(reason) = certifier.accepts(entry.package()) {
                return Err(CatalogueError::Method { model, method, reason });
            }
        }
        let prices =
            prices.to_bytes().map_err(|error| CatalogueError::Prices(error.to_string()))?;
        let prices_digest = Digest::of(&prices);
        Ok(Self { entries, prices, prices_digest })
    }

    /// Finds a model by name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<CatalogueEntry>> {
        self.entries.get(name)
    }

    /// Returns the price list as it is kept, and its digest.
    pub(crate) fn prices(&self) -> (&[u8], Digest) {
        (&self.prices, self.prices_digest)
    }

    /// Iterates over the models by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CatalogueEntry>> {
        self.entries.values()
    }
}

impl CatalogueEntry {
    fn new(
        package: ModelPackage,
        prices: &PriceList,
        engine: &dyn Engine,
    ) -> Result<Self, CatalogueError> {
        let loaded = engine.load(&package)?;
        let card = package.card();
        let prices: Vec<Price> = prices.of_model(&card.name).cloned().collect();
        let engine =
            EngineUsed { name: engine.name().to_owned(), version: engine.version().to_owned() };
        let used = ModelUsed {
            name: card.name.clone(),
            version: card.version.clone(),
            package: package.id(),
            program: None,
            engine,
        };
        let latency =
            prices.iter().map(|price| (price.method.clone(), Latency::default())).collect();
        Ok(Self { package, loaded, used, prices, latency })
    }

    /// Returns the package.
    #[must_use]
    pub const fn package(&self) -> &ModelPackage {
        &self.package
    }

    /// Returns the model as the engine runs it.
    #[must_use]
    pub const fn loaded(&self) -> &Arc<dyn LoadedModel> {
        &self.loaded
    }

    /// Returns how receipts name the float model.
    #[must_use]
    pub const fn used(&self) -> &ModelUsed {
        &self.used
    }

    /// Returns the prices, in the order of offering.
    #[must_use]
    pub fn prices(&self) -> &[Price] {
        &self.prices
    }

    /// Returns the methods the model is sold by, in the order of offering.
    #[must_use]
    pub fn methods(&self) -> Vec<&Method> {
        let mut methods = Vec::new();
        for price in &self.prices {
            if !methods.contains(&&price.method) {
                methods.push(&price.method);
            }
        }
        methods
    }

    /// Returns how long a buyer has to give an inference by a method: what he ends earlier is charged.
    #[must_use]
    pub fn timeout_floor(&self, certifier: &dyn Certifier) -> Duration {
        let method = certifier.method();
        let prices = self.prices.iter().filter(|price| price.method == method);
        timeout_floor(prices, certifier.timeout_floor())
    }

    /// Returns how long runs by a method take.
    #[must_use]
    pub fn latency(&self, method: &Method) -> Option<&Latency> {
        self.latency.get(method)
    }
}
