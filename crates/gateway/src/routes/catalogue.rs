use assay_primitives::{Account, Amount, AssetId, Method, ModelId, OperatorId};
use assay_service::{CatalogueEntry, ProofOffered};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Gateway;

/// What is sold here.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Models {
    /// Who sells: pin this id in a policy.
    #[schema(value_type = String)]
    operator: OperatorId,
    /// Who is paid.
    #[schema(value_type = String)]
    pay_to: Account,
    models: Vec<Model>,
}

/// A model and what it costs by each method.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Model {
    name: String,
    version: String,
    title: String,
    description: String,
    category: String,
    licence: String,
    labels: Vec<String>,
    accuracy: ModelAccuracy,
    /// The model package's digest: pin this id in a policy.
    #[schema(value_type = String)]
    id: ModelId,
    engine: String,
    methods: Vec<ModelMethod>,
}

/// How well a model does on data it has not seen.
#[derive(Serialize, ToSchema)]
struct ModelAccuracy {
    metric: String,
    value: String,
    split: String,
}

/// A way in which a model's inferences can be certified.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ModelMethod {
    #[schema(value_type = String)]
    method: Method,
    /// Whom one has to believe.
    believe: &'static str,
    /// What runs in place of the model, if something does: the SHA-256 of its verifying file, which is
    /// to be had as evidence.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<ModelId>,
    /// What a proof is like, where the method makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<ModelProof>,
    prices: Vec<ModelPrice>,
    /// How long a buyer has to give an inference, in milliseconds: a timeout below it is at his own cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_floor_ms: Option<u64>,
    /// How long the latest inferences took, payment included and settlement not; absent before the
    /// first.
    latency: Option<ModelLatency>,
}

/// What a proof of one inference is like.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ModelProof {
    /// `fast`, or `small` and longer to make. The program's id fixes it.
    mode: &'static str,
    /// Its bytes, at most.
    max_bytes: u64,
}

/// A price.
#[derive(Serialize, ToSchema)]
struct ModelPrice {
    /// CAIP-19.
    #[schema(value_type = String)]
    asset: AssetId,
    /// In atomic units.
    #[schema(value_type = String)]
    amount: Amount,
    /// In whole units, exact.
    decimal: String,
}

/// Of the latest inferences that were the only one of their model and method in their transaction.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ModelLatency {
    p50_microseconds: u64,
    p99_microseconds: u64,
    inferences: usize,
}

/// Lists the models with their digests, methods, prices, latency and whom one has to believe.
#[utoipa::path(get, path = "/v1/models", tag = "assay", responses((status = 200, body = Models)))]
pub(crate) async fn models(State(gateway): State<Gateway>) -> Json<Models> {
    let parts = gateway.service.parts();
    Json(Models {
        operator: parts.operator.id(),
        pay_to: parts.settings.pay_to.clone(),
        models: parts.catalogue.iter().map(|entry| model(&gateway, entry)).collect(),
    })
}

fn model(gateway: &Gateway, entry: &CatalogueEntry) -> Model {
    let (card, used) = (entry.package().card(), entry.used());
    Model {
        name: card.name.clone(),
        version: card.version.clone(),
        title: card.title.clone(),
        description: card.description.clone(),
        category: card.category.clone(),
        licence: card.licence.clone(),
        labels: card.labels.clone(),
        accuracy: ModelAccuracy {
            metric: card.accuracy.metric.clone(),
            value: card.accuracy.value.clone(),
            split: card.accuracy.split.clone(),
        },
        id: used.id(),
        engine: format!("{} {}", used.engine.name, used.engine.version),
        methods: entry.methods().into_iter().map(|m| method(gateway, entry, m)).collect(),
    }
}

fn method(gateway: &Gateway, entry: &CatalogueEntry, method: &Method) -> ModelMethod {
    let certifier = gateway.service.parts().certifiers.find(method);
    let prices = entry.prices().iter().filter(|price| price.method == *method);
    let latency = entry.latency(method).and_then(assay_service::Latency::summary);
    let micros = |d: std::time::Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
    ModelMethod {
        method: method.clone(),
        believe: certifier.map_or("nobody", |certifier| certifier.believe()),
        program: certifier.and_then(|certifier| certifier.model(entry.package())),
        proof: certifier.and_then(|certifier| certifier.proof(entry.package())).map(proof),
        prices: prices
            .map(|price| ModelPrice {
                asset: price.asset.id.clone(),
                amount: price.amount,
                decimal: price.amount.to_decimal(price.asset.decimals),
            })
            .collect(),
        timeout_floor_ms: certifier.map(|certifier| {
            u64::try_from(entry.timeout_floor(certifier).as_millis()).unwrap_or(u64::MAX)
        }),
        latency: latency.map(|summary| ModelLatency {
            p50_microseconds: micros(summary.p50),
            p99_microseconds: micros(summary.p99),
            inferences: summary.runs,
        }),
    }
}

const fn proof(offered: ProofOffered) -> ModelProof {
    let ProofOffered { mode, max_bytes } = offered;
    ModelProof { mode, max_bytes }
}
