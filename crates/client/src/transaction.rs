//! A transaction as it is ordered, and whether that is what was asked.

use std::time::Duration;

use assay_primitives::{
    InferenceRequest, InputPointer, ItemId, Method, OutputReference, Tensor, TensorDraft,
};
use assay_receipt::{Bundle, BundleItem, ItemStatement, Outcome, OutcomePolicy, Reference};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::ClientError;
use crate::delivery::{Expected, contents};
use crate::error::DeliveryError;

/// An inference of a transaction.
#[derive(Clone, Debug)]
pub struct ItemOrder {
    /// Its name within the transaction.
    pub id: ItemId,
    /// The model's name.
    pub model: String,
    /// How it is to be certified.
    pub method: Method,
    /// What it is asked.
    pub inputs: Vec<TensorOrder>,
    /// For how long it may run from when its turn has come, in whole milliseconds. What ends by it is charged under `each` if that is less than
    /// the gateway's floor; under `all` it may not be.
    pub timeout: Option<Duration>,
}

/// An input tensor, as the Open Inference Protocol has it; in the place of an element, or of all the
/// data, may stand an [`OutputReference`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TensorOrder {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its datatype.
    pub datatype: String,
    /// Its elements, flat or nested.
    pub data: Box<RawValue>,
}

impl TensorOrder {
    /// Returns the order of a tensor whose elements are all known.
    ///
    /// # Errors
    /// When its elements cannot be written.
    pub fn of(tensor: &Tensor) -> Result<Self, serde_json::Error> {
        Ok(Self {
            name: tensor.name().to_owned(),
            shape: tensor.shape().to_vec(),
            datatype: tensor.data().datatype().to_string(),
            data: to_raw_value(tensor.data())?,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireTransaction<'a> {
    items: Vec<WireItem<'a>>,
    #[serde(skip_serializing_if = "OutcomePolicy::is_all")]
    outcome_policy: OutcomePolicy,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireItem<'a> {
    id: &'a ItemId,
    model: &'a str,
    method: &'a Method,
    input: WireInput<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u32>,
}

#[derive(Serialize)]
struct WireInput<'a> {
    inputs: &'a [TensorOrder],
}

impl ItemOrder {
    pub(crate) fn expected(&self) -> Expected<'_> {
        let Self { id, model, method, timeout, .. } = self;
        Expected { id: Some(id), model, method, timeout: *timeout }
    }
}

/// Writes what is posted.
pub(crate) fn body(
    items: &[ItemOrder],
    outcome_policy: OutcomePolicy,
) -> Result<Vec<u8>, ClientError> {
    let item = |order| {
        let ItemOrder { id, model, method, inputs, timeout }: &ItemOrder = order;
        let timeout_ms = timeout.map(|after| u32::try_from(after.as_millis()).unwrap_or(u32::MAX));
        WireItem { id, model, method, input: WireInput { inputs }, timeout_ms }
    };
    let items = items.iter().map(item).collect();
    let transaction = WireTransaction { items, outcome_policy };
    serde_json::to_vec(&transaction).map_err(|error| ClientError::Protocol {
        expected: "a transaction that can be written",
        got: error.to_string(),
    })
}

/// Checks that every item was asked what was ordered, and built of the outputs that it was to be built of:
/// that these are there is what verification found.
pub(crate) fn check_inputs(
    orders: &[ItemOrder],
    bundle: &Bundle,
    statements: &[ItemStatement],
) -> Result<(), DeliveryError> {
    for ((order, item), statement) in orders.iter().zip(&bundle.items).zip(statements) {
        if !is_asked(order, orders, item, statement)? {
            return Err(DeliveryError::OtherOrder {
                field: "input",
                expected: format!("what item `{}` was to be asked", order.id),
                got: "another".to_owned(),
            });
        }
    }
    Ok(())
}

fn is_asked(
    order: &ItemOrder,
    orders: &[ItemOrder],
    item: &BundleItem,
    statement: &ItemStatement,
) -> Result<bool, DeliveryError> {
    let request = InferenceRequest::from_bytes(&item.request);
    let request = request.map_err(|error| contents("a request", &error))?;
    // What failed may never have had the outputs that it refers to.
    let is_filled = statement.details.outcome == Outcome::Ok;
    let is_filled = is_filled || statement.details.references.is_empty();
    if request.inputs.len() != order.inputs.len() {
        return Ok(false);
    }
    let mut references = Vec::new();
    for tensor in &order.inputs {
        let place = request.inputs.iter().position(|input| input.name() == tensor.name);
        let asked = place.and_then(|place| request.inputs.get(place));
        let (Some(place), Some(asked)) = (place, asked) else { return Ok(false) };
        let draft = draft(tensor)?;
        if is_filled && !draft.is_of(asked) {
            return Ok(false);
        }
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let (_, of_tensor) = draft.into_parts();
        for (element, OutputReference { from, pointer }) in of_tensor {
            let source = orders.iter().position(|order| order.id == from);
            let Some(source) = source.and_then(|source| u32::try_from(source).ok()) else {
                return Ok(false);
            };
            references.push(Reference {
                item: source,
                pointer,
                at: InputPointer::new(place, element),
            });
        }
    }
    references.sort_unstable_by_key(|reference| reference.at);
    Ok(references == statement.details.references)
}

fn draft(tensor: &TensorOrder) -> Result<TensorDraft, DeliveryError> {
    let datatype = tensor.datatype.parse().map_err(|error| contents("a datatype", &error))?;
    let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
    TensorDraft::from_json(name, shape, datatype, &tensor.data)
        .map_err(|error| contents("an input of elements and references", &error))
}
