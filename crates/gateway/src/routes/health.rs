use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::Gateway;
use crate::oip::{ModelMetadata, ServerMetadata};
use crate::path::ModelPath;

/// Describes the server.
#[utoipa::path(get, path = "/v2", tag = "open-inference", responses((status = 200, body = ServerMetadata)))]
pub(crate) async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata::new())
}

/// Says that the process runs.
#[utoipa::path(get, path = "/v2/health/live", tag = "open-inference", responses((status = 200)))]
pub(crate) async fn live() -> StatusCode {
    StatusCode::OK
}

/// Says whether inferences can be bought: the store answers and there is something to sell.
#[utoipa::path(get, path = "/v2/health/ready", tag = "open-inference",
    responses((status = 200), (status = 503, description = "not ready")))]
pub(crate) async fn ready(State(gateway): State<Gateway>) -> StatusCode {
    let stored = gateway.service.parts().store.count_by_state().await;
    let sells = gateway.service.cards().next().is_some();
    if stored.is_ok() && sells { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Describes a model's tensors.
#[utoipa::path(get, path = "/v2/models/{model}", tag = "open-inference",
    params(("model" = String, Path, description = "the model's name")),
    responses((status = 200, body = ModelMetadata), (status = 404, body = crate::error::ErrorBody)))]
pub(crate) async fn model(ModelPath(entry): ModelPath) -> Json<ModelMetadata> {
    Json(entry.package().card().into())
}

/// Describes the tensors of a model's version.
#[utoipa::path(get, path = "/v2/models/{model}/versions/{version}", tag = "open-inference",
    params(("model" = String, Path, description = "the model's name"), ("version" = String, Path, description = "its version")),
    responses((status = 200, body = ModelMetadata), (status = 404, body = crate::error::ErrorBody)))]
pub(crate) async fn model_version(path: ModelPath) -> Json<ModelMetadata> {
    model(path).await
}

/// Says whether a model can be asked.
#[utoipa::path(get, path = "/v2/models/{model}/ready", tag = "open-inference",
    params(("model" = String, Path, description = "the model's name")),
    responses((status = 200), (status = 404, body = crate::error::ErrorBody)))]
pub(crate) async fn model_ready(_: ModelPath) -> StatusCode {
    StatusCode::OK
}

/// Says whether a model's version can be asked.
#[utoipa::path(get, path = "/v2/models/{model}/versions/{version}/ready", tag = "open-inference",
    params(("model" = String, Path, description = "the model's name"), ("version" = String, Path, description = "its version")),
    responses((status = 200), (status = 404, body = crate::error::ErrorBody)))]
pub(crate) async fn model_version_ready(_: ModelPath) -> StatusCode {
    StatusCode::OK
}
