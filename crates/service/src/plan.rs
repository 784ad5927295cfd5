//! What is to be bought together: the items of a transaction, checked against the catalogue before any
//! price is told.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use assay_engine::TensorSpec;
use assay_primitives::{
    Amount, AssetId, InferenceRequest, InputPointer, ItemId, Method, OutputPointer, WrittenRequest,
};
use assay_receipt::{OutcomePolicy, Reference};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::prices::timeout_floor;
use crate::{CatalogueEntry, Certifiers, Latency, Price, PriceList};

/// The most items of a transaction.
pub const MAX_ITEMS: usize = 1_000;

/// The most references of a transaction: the statement of one item has to hold them.
const MAX_REFERENCES: usize = 4_096;

/// An item as its buyer asks for it.
#[derive(Clone, Debug)]
pub struct NewItem {
    /// Its name within the transaction.
    pub id: ItemId,
    /// The model.
    pub entry: Arc<CatalogueEntry>,
    /// How it is to be certified.
    pub method: Method,
    /// What the model is asked; anything where a reference points to.
    pub request: InferenceRequest,
    /// What of it is earlier items' output.
    pub references: Vec<NewReference>,
    /// For how long it may run, from when its turn has come; as long as it takes where it is `None`.
    pub timeout: Option<Duration>,
}

/// A part of an item's input that is an earlier item's output.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewReference {
    /// The earlier item.
    pub from: ItemId,
    /// What of its output.
    pub pointer: OutputPointer,
    /// Where in the item's own request.
    pub at: InputPointer,
}

/// Inferences that are bought together. Ids are different, every item refers to earlier ones only, and
/// what is referred to is there by the models' cards.
#[derive(Clone, Debug)]
pub struct Plan(pub(crate) Planned);

/// What is planned.
#[derive(Clone, Debug)]
pub(crate) enum Planned {
    /// One inference, by the method of the offer that its payment accepts.
    One {
        /// The model.
        entry: Arc<CatalogueEntry>,
        /// What it is asked.
        request: Arc<WrittenRequest>,
    },
    /// A transaction.
    Several(Several),
}

/// The items of a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Several {
    items: Arc<Vec<PlannedItem>>,
    outcome_policy: OutcomePolicy,
    /// At which prices, if not those in force.
    prices: Option<Arc<PriceList>>,
}

#[derive(Clone, Debug)]
struct PlannedItem {
    id: ItemId,
    entry: Arc<CatalogueEntry>,
    method: Method,
    request: Arc<WrittenRequest>,
    references: Vec<Reference>,
    timeout: Option<Duration>,
    /// The method's own.
    timeout_floor: Duration,
}

/// An item whose method and price are fixed.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) id: Option<ItemId>,
    pub(crate) entry: Arc<CatalogueEntry>,
    pub(crate) method: Method,
    pub(crate) price: Amount,
    pub(crate) request: Arc<WrittenRequest>,
    pub(crate) references: Vec<Reference>,
    pub(crate) timeout: Option<Timeout>,
}

/// For how long an item may run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Timeout {
    pub(crate) after: Duration,
    /// Whether that is less than the seller asks for.
    pub(crate) is_below_floor: bool,
}

/// An item of a transaction as it is quoted.
#[derive(Clone, Copy, Debug)]
pub struct NamedItem<'a> {
    /// Its name within the transaction.
    pub id: &'a ItemId,
    /// The model.
    pub entry: &'a CatalogueEntry,
    /// How it is to be certified.
    pub method: &'a Method,
    /// How long its buyer has to give it: what he ends earlier is charged.
    pub timeout_floor: Duration,
}

/// What a transaction costs in one asset.
#[derive(Clone, Debug)]
pub struct Quote {
    /// The price of the first item, which names the asset.
    pub(crate) price: Price,
    /// The sum.
    pub amount: Amount,
    /// What each item costs, in their order.
    pub items: Vec<Amount>,
}

/// Items that cannot be bought together.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PlanError {
    /// None, or too many.
    #[error("a transaction has 1 to {MAX_ITEMS} items, got {0}")]
    Count(usize),
    /// Two items of one id.
    #[error("two items are called `{0}`")]
    DuplicateId(ItemId),
    /// A model that is not sold by the item's method.
    #[error("item `{item}`: model `{model}` is not sold by method `{method}`; it is by: {sold}")]
    NotSold {
        /// The item.
        item: ItemId,
        /// Its model.
        model: String,
        /// Its method.
        method: Method,
        /// The methods that the model is sold by.
        sold: String,
    },
    /// No asset in which every item has a price.
    #[error("there is no asset in which every item has a price")]
    NoCommonAsset,
    /// An input that the method cannot certify an answer to.
    #[error("item `{item}`: {reason}")]
    Request {
        /// The item.
        item: ItemId,
        /// Why, for the buyer.
        reason: String,
    },
    /// A timeout that would end for nothing, under `all`, what the seller had no time for.
    #[error(
        "item `{item}`: timeout: expected {floor:?} or more under the outcome policy `all`, got {got:?}"
    )]
    Timeout {
        /// The item.
        item: ItemId,
        /// The least.
        floor: Duration,
        /// The timeout.
        got: Duration,
    },
    /// More references than a transaction may have.
    #[error("{0} references, and a transaction has at most {MAX_REFERENCES}")]
    References(usize),
    /// A reference that does not hold by the models' cards.
    #[error("item `{item}`: {at}: {reason}")]
    Reference {
        /// The item that refers.
        item: ItemId,
        /// Where in its request.
        at: InputPointer,
        /// What is wrong.
        reason: Box<ReferenceError>,
    },
}

/// What is wrong with a reference.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ReferenceError {
    /// To an item that is not there.
    #[error("there is no item `{0}`")]
    Unknown(ItemId),
    /// To itself or one that comes after it, as every circle does somewhere.
    #[error("item `{0}` does not stand before it: an item refers to earlier ones only")]
    NotEarlier(ItemId),
    /// To what the output does not have.
    #[error("{pointer} of item `{from}`: the model's outputs are {outputs}")]
    Dangling {
        /// The item that is referred to.
        from: ItemId,
        /// What of it.
        pointer: OutputPointer,
        /// What its model gives.
        outputs: String,
    },
    /// Of another datatype, or another number of elements.
    #[error("{pointer} of item `{from}`: expected {expected}, got {got}")]
    Mistyped {
        /// The item that is referred to.
        from: ItemId,
        /// What of it.
        pointer: OutputPointer,
        /// What the input takes there.
        expected: String,
        /// What the pointer points to.
        got: String,
    },
    /// Two references for one place.
    #[error("two references for one element")]
    Twice,
}

impl Plan {
    /// Makes the plan of one inference, by the method of the offer that its payment accepts.
    #[must_use]
    pub fn of_one(entry: Arc<CatalogueEntry>, request: InferenceRequest) -> Self {
        Self(Planned::One { entry, request: Arc::new(request.into()) })
    }

    /// Makes the plan of a transaction.
    ///
    /// # Errors
    /// Names the first item that cannot be bought, and why.
    pub fn new(
        items: Vec<NewItem>,
        outcome_policy: OutcomePolicy,
        certifiers: &Certifiers,
    ) -> Result<Self, PlanError> {
        if items.is_empty() || items.len() > MAX_ITEMS {
            return Err(PlanError::Count(items.len()));
        }
        let references = items.iter().map(|item| item.references.len()).sum();
        if references > MAX_REFERENCES {
            return Err(PlanError::References(references));
        }
        let mut known: HashMap<ItemId, u32> = HashMap::new();
        for (index, item) in (0..).zip(&items) {
            if known.insert(item.id.clone(), index).is_some() {
                return Err(PlanError::DuplicateId(item.id.clone()));
            }
        }
        let mut planned: Vec<PlannedItem> = Vec::with_capacity(items.len());
        for item in items {
            let next = PlannedItem::new(item, &planned, &known, certifiers)?;
            planned.push(next);
        }
        let several = Several { items: Arc::new(planned), outcome_policy, prices: None };
        several.check_timeouts()?;
        Ok(Self(Planned::Several(several)))
    }

    /// Returns what a transaction costs in each asset in which every item has a price, in the operator's
    /// order; of one inference nothing, as its offers have their prices.
    #[must_use]
    pub fn quotes(&self) -> Vec<Quote> {
        self.several().map(Several::quotes).unwrap_or_default()
    }

    /// Returns the plan at other prices than those in force.
    pub(crate) fn at_prices(self, prices: PriceList) -> Result<Self, PlanError> {
        match self.0 {
            Planned::Several(several) => {
                let several = Several { prices: Some(Arc::new(prices)), ..several };
                several.check_timeouts()?;
                Ok(Self(Planned::Several(several)))
            }
            one @ Planned::One { .. } => Ok(Self(one)),
        }
    }

    /// Returns what becomes of the whole if an item fails.
    #[must_use]
    pub const fn outcome_policy(&self) -> OutcomePolicy {
        match &self.0 {
            Planned::Several(several) => several.outcome_policy,
            Planned::One { .. } => OutcomePolicy::All,
        }
    }

    /// Returns how many items there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is one at least")]
    pub fn len(&self) -> usize {
        self.several().map_or(1, |several| several.items.len())
    }

    /// Returns a transaction's items, in their order.
    pub fn named(&self) -> impl Iterator<Item = NamedItem<'_>> {
        self.several().into_iter().flat_map(|several| {
            several.items.iter().map(|item| item.named(several.prices.as_deref()))
        })
    }

    /// Returns the methods of a transaction's items, each once.
    #[must_use]
    pub fn methods(&self) -> BTreeSet<&Method> {
        let items = self.several().into_iter().flat_map(|several| several.items.iter());
        items.map(|item| &item.method).collect()
    }

    const fn several(&self) -> Option<&Several> {
        match &self.0 {
            Planned::Several(several) => Some(several),
            Planned::One { .. } => None,
        }
    }
}

impl Several {
    fn quotes(&self) -> Vec<Quote> {
        let Some(first) = self.items.first() else { return Vec::new() };
        let prices = first.prices(self.prices.as_deref());
        prices.filter_map(|price| self.quote(price)).collect()
    }

    fn quote(&self, price: &Price) -> Option<Quote> {
        let list = self.prices.as_deref();
        let items = self.items.iter().map(|item| item.price_in(&price.asset.id, list));
        let items = items.collect::<Option<Vec<Amount>>>()?;
        let amount = items.iter().try_fold(Amount::ZERO, |sum, one| sum.checked_add(*one))?;
        Some(Quote { price: price.clone(), amount, items })
    }

    /// Fixes the prices: those in the asset. Nothing if an item has none.
    pub(crate) fn priced(&self, asset: &AssetId) -> Option<Vec<Item>> {
        let list = self.prices.as_deref();
        let fix = |item: &PlannedItem| {
            let price = item.price_in(asset, list)?;
            let timeout = item.timeout.map(|after| {
                let is_below_floor = after < item.timeout_floor(list);
                Timeout { after, is_below_floor }
            });
            let PlannedItem { id, entry, method, request, references, .. } = item.clone();
            Some(Item { id: Some(id), entry, method, price, request, references, timeout })
        };
        self.items.iter().map(fix).collect()
    }

    /// Checks that no timeout ends anything for nothing that the seller had no time for.
    fn check_timeouts(&self) -> Result<(), PlanError> {
        if self.outcome_policy != OutcomePolicy::All {
            return Ok(());
        }
        for item in self.items.iter() {
            let Some(got) = item.timeout else { continue };
            let floor = item.timeout_floor(self.prices.as_deref());
            if got < floor {
                return Err(PlanError::Timeout { item: item.id.clone(), floor, got });
            }
        }
        Ok(())
    }
}

impl Item {
    /// Says whether its input is built of other items' outputs.
    pub(crate) const fn refers(&self) -> bool {
        !self.references.is_empty()
    }

    /// Returns its model's name and its method: items that have both in common are alike.
    pub(crate) fn kind(&self) -> (&str, &Method) {
        (&self.entry.package().card().name, &self.method)
    }

    /// Returns how long those take that are like it.
    pub(crate) fn latency(&self) -> Option<&Latency> {
        self.entry.latency(&self.method)
    }
}

impl PlannedItem {
    fn new(
        item: NewItem,
        earlier: &[Self],
        known: &HashMap<ItemId, u32>,
        certifiers: &Certifiers,
    ) -> Result<Self, PlanError> {
        let NewItem { id, entry, method, request, references: wanted, timeout } = item;
        let certifier = certifiers.find(&method);
        let certifier = certifier.filter(|_| entry.methods().contains(&&method));
        let Some(certifier) = certifier else {
            let sold = entry.methods().iter().map(|m| m.as_str()).collect::<Vec<_>>().join(", ");
            let model = entry.package().card().name.clone();
            return Err(PlanError::NotSold { item: id, model, method, sold });
        };
        let mut references = Vec::with_capacity(wanted.len());
        for reference in wanted {
            let at = reference.at;
            let found = find(&reference, &request, earlier, known);
            let found = found.map_err(|reason| {
                let reason = Box::new(reason);
                PlanError::Reference { item: id.clone(), at, reason }
            });
            references.push(found?);
        }
        references.sort_unstable_by_key(|reference: &Reference| reference.at);
        for pair in references.windows(2) {
            if let [one, next] = pair
                && one.at.overlaps(&next.at)
            {
                let (at, reason) = (next.at, Box::new(ReferenceError::Twice));
                return Err(PlanError::Reference { item: id, at, reason });
            }
        }
        // What another item's output will be nobody knows yet.
        if references.is_empty() {
            let checked = certifier.check(entry.package(), &request);
            checked.map_err(|reason| PlanError::Request { item: id.clone(), reason })?;
        }
        let (request, timeout_floor) = (Arc::new(request.into()), certifier.timeout_floor());
        Ok(Self { id, entry, method, request, references, timeout, timeout_floor })
    }

    /// Returns its prices, of a list or of those in force.
    fn prices<'a>(&'a self, list: Option<&'a PriceList>) -> impl Iterator<Item = &'a Price> {
        let (in_force, listed) = match list {
            None => (self.entry.prices(), None),
            Some(list) => ([].as_slice(), Some(list.of_model(&self.entry.used().name))),
        };
        let prices = in_force.iter().chain(listed.into_iter().flatten());
        prices.filter(|price| price.method == self.method)
    }

    fn named<'a>(&'a self, list: Option<&PriceList>) -> NamedItem<'a> {
        let Self { id, entry, method, .. } = self;
        NamedItem { id, entry, method, timeout_floor: self.timeout_floor(list) }
    }

    fn timeout_floor(&self, list: Option<&PriceList>) -> Duration {
        timeout_floor(self.prices(list), self.timeout_floor)
    }

    fn price_in(&self, asset: &AssetId, list: Option<&PriceList>) -> Option<Amount> {
        let mut prices = self.prices(list);
        prices.find(|price| price.asset.id == *asset).map(|price| price.amount)
    }
}

/// Finds the item that is referred to, and checks the reference by its model's card.
fn find(
    reference: &NewReference,
    request: &InferenceRequest,
    earlier: &[PlannedItem],
    known: &HashMap<ItemId, u32>,
) -> Result<Reference, ReferenceError> {
    let NewReference { from, pointer, at } = reference.clone();
    let Some(item) = known.get(&from).copied() else { return Err(ReferenceError::Unknown(from)) };
    let Some(source) = earlier.get(item as usize) else {
        return Err(ReferenceError::NotEarlier(from));
    };
    let outputs = &source.entry.package().card().outputs;
    let Some(got) = pointed(outputs, pointer) else {
        let outputs: Vec<String> = outputs.iter().map(shown).collect();
        return Err(ReferenceError::Dangling { from, pointer, outputs: outputs.join(", ") });
    };
    let expected = at.read(request);
    let expected = expected.map(|data| (data.datatype().as_str().to_owned(), data.len() as u64));
    if expected.as_ref() == Some(&got) {
        return Ok(Reference { item, pointer, at });
    }
    let shown = |(datatype, count): (String, u64)| format!("{count} of {datatype}");
    let expected = expected.map_or_else(|| "nothing".to_owned(), shown);
    Err(ReferenceError::Mistyped { from, pointer, expected, got: shown(got) })
}

/// Returns datatype and number of what a pointer points to in outputs by their card.
fn pointed(outputs: &[TensorSpec], pointer: OutputPointer) -> Option<(String, u64)> {
    let spec = outputs.get(pointer.output() as usize)?;
    let count = spec.shape.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim))?;
    match pointer.element() {
        None => Some((spec.datatype.to_string(), count)),
        Some(element) if u64::from(element) < count => Some((spec.datatype.to_string(), 1)),
        Some(_) => None,
    }
}

fn shown(spec: &TensorSpec) -> String {
    let TensorSpec { name, datatype, shape, .. } = spec;
    format!("`{name}` {datatype} {shape:?}")
}
