use std::sync::Arc;
use std::time::Duration;

use assay_engine::TensorSpec;
use assay_primitives::{
    Datatype, DraftError, InferenceRequest, InputPointer, ItemId, ItemIdError, Method, TensorDraft,
    printable, stands_for_all,
};
use assay_receipt::OutcomePolicy;
use assay_service::{CatalogueEntry, MAX_ITEMS, NewItem, NewReference, Plan, PlanError, Service};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::oip::{input_error, tensor_error};
use crate::{ApiError, ErrorCode};

/// The most elements that whole tensors of other items' output may fill in all of a transaction: what is
/// written in a few bytes takes this much room.
const MAX_FILLED: u64 = 1 << 22;

/// The JSON of a transaction.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TransactionRequest {
    /// The items, each after those whose output it refers to.
    items: Vec<WireItem>,
    /// What becomes of the whole if an item fails: `all`, which is also meant where it is missing, or `each`.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    outcome_policy: OutcomePolicy,
}

/// One inference of a transaction.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WireItem {
    /// Its name within the transaction: 1 to 64 characters of `A-Z a-z 0-9 - _ .`.
    id: String,
    /// The model's name.
    model: String,
    /// How it is to be certified.
    method: String,
    input: WireInput,
    /// For how many milliseconds it may run, from when its turn has come. What ends by it is charged under `each`
    /// if it is below the floor that the quote names; under `all` it may not be below.
    timeout_ms: Option<u32>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WireInput {
    inputs: Vec<WireTensor>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WireTensor {
    name: String,
    shape: Vec<u64>,
    datatype: String,
    /// The elements in row-major order, flat or nested as the shape. An object
    /// `{"$from": ITEM, "pointer": "/outputs/O/data/E"}` stands for an element of an earlier item's output,
    /// and in the place of all of them for its data, `/outputs/O/data`.
    #[schema(value_type = Vec<Object>)]
    data: Box<RawValue>,
}

/// Reads a transaction, and checks it against the catalogue.
pub(crate) fn read(service: &Service, body: &[u8]) -> Result<Plan, ApiError> {
    let wire: TransactionRequest = serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body is not a transaction: {error}");
        ApiError::new(ErrorCode::MalformedRequest, message)
    })?;
    if wire.items.len() > MAX_ITEMS {
        return Err(plan_error(&PlanError::Count(wire.items.len())));
    }
    let mut room = MAX_FILLED;
    let items = wire.items.into_iter().map(|item| item.read(service, &mut room));
    let items = items.collect::<Result<Vec<NewItem>, ApiError>>()?;
    Plan::new(items, wire.outcome_policy, &service.parts().certifiers)
        .map_err(|error| plan_error(&error))
}

impl WireItem {
    fn read(self, service: &Service, room: &mut u64) -> Result<NewItem, ApiError> {
        let id: ItemId = self.id.parse().map_err(|error: ItemIdError| {
            ApiError::new(ErrorCode::MalformedRequest, error.to_string())
        })?;
        let in_item = |error: ApiError| error.in_item(&id);
        let unknown = |code, what: &str, text: &str| {
            let shown = printable(text, 64);
            in_item(ApiError::new(code, format!("there is no {what} `{shown}`")))
        };
        let entry = service.parts().catalogue.find(&self.model).cloned();
        let entry = entry.ok_or_else(|| unknown(ErrorCode::UnknownModel, "model", &self.model))?;
        let method: Method = self
            .method
            .parse()
            .map_err(|_| unknown(ErrorCode::UnknownMethod, "method", &self.method))?;
        let (request, references) = self.input.read(&entry, room).map_err(in_item)?;
        let timeout = self.timeout_ms.map(|millis| Duration::from_millis(millis.into()));
        Ok(NewItem { id, entry, method, request, references, timeout })
    }
}

impl WireInput {
    fn read(
        self,
        entry: &Arc<CatalogueEntry>,
        room: &mut u64,
    ) -> Result<(InferenceRequest, Vec<NewReference>), ApiError> {
        let card = entry.package().card();
        let (mut tensors, mut references) = (Vec::with_capacity(self.inputs.len()), Vec::new());
        for tensor in self.inputs {
            let place = card.inputs.iter().position(|spec| spec.name == tensor.name);
            let draft = tensor.read(place.and_then(|place| card.inputs.get(place)), room)?;
            let (tensor, of_tensor) = draft.into_parts();
            // An input that the card does not have is refused below.
            let input = place.and_then(|place| u32::try_from(place).ok()).unwrap_or(u32::MAX);
            references.extend(of_tensor.into_iter().map(|(element, reference)| {
                let at = InputPointer::new(input, element);
                NewReference { from: reference.from, pointer: reference.pointer, at }
            }));
            tensors.push(tensor);
        }
        let request = card.request(tensors).map_err(input_error)?;
        Ok((request, references))
    }
}

impl WireTensor {
    fn read(self, spec: Option<&TensorSpec>, room: &mut u64) -> Result<TensorDraft, ApiError> {
        let datatype: Datatype = self.datatype.parse().map_err(tensor_error)?;
        if stands_for_all(&self.data) {
            let is_known = spec.is_some_and(|spec| spec.shape == self.shape);
            let count = self.shape.iter().try_fold(1_u64, |count, dim| count.checked_mul(*dim));
            let left = count.filter(|_| is_known).and_then(|count| room.checked_sub(count));
            *room = left.ok_or_else(|| {
                let name = printable(&self.name, 64);
                let message = format!(
                    "input `{name}`: a reference in the place of all its data fills the card's shape, and \
                     all of them at most {MAX_FILLED} elements"
                );
                ApiError::new(ErrorCode::InvalidReference, message)
            })?;
        }
        let draft = TensorDraft::from_json(self.name, self.shape, datatype, &self.data);
        draft.map_err(|error| match error {
            DraftError::Tensor(error) => tensor_error(error),
            error @ DraftError::Reference { .. } => {
                ApiError::new(ErrorCode::InvalidReference, error.to_string())
            }
        })
    }
}

/// Says why items cannot be bought together.
fn plan_error(error: &PlanError) -> ApiError {
    let (code, item) = match error {
        PlanError::Count(_) => (ErrorCode::ItemCount, None),
        PlanError::DuplicateId(item) => (ErrorCode::DuplicateItem, Some(item)),
        PlanError::NotSold { item, .. } => (ErrorCode::UnknownMethod, Some(item)),
        PlanError::NoCommonAsset => (ErrorCode::NotForSale, None),
        PlanError::Request { item, .. } => (ErrorCode::UncertifiableInput, Some(item)),
        PlanError::Timeout { item, .. } => (ErrorCode::InvalidTimeout, Some(item)),
        PlanError::Reference { item, .. } => (ErrorCode::InvalidReference, Some(item)),
        PlanError::References(_) => (ErrorCode::InvalidReference, None),
        error => return ApiError::internal(error),
    };
    let answer = ApiError::new(code, error.to_string());
    match item {
        Some(item) => answer.with("item", item.as_str()),
        None => answer,
    }
}
