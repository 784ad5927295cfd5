use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::oip::{ModelMetadata, ServerMetadata};
use crate::path::PathText;
use crate::{ApiError, ErrorCode, Gateway};

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
    params(("model", description = "the model's name")),
    responses((status = 200, body = ModelMetadata), (status = 404, body = crate::error::ErrorBody)))]
pub(crate) async fn model(
    State(gateway): State<Gateway>,
    PathText(model): PathText,
) -> Result<Json<ModelMetadata>, ApiError> {
    let entry = find(&gateway, &model)?;
    Ok(Json(entry.package().card().into()))
}

/// Says whether a model can be asked.
#[utoipa::path(get, path = "/v2/models/{model}/ready", tag = "open-inference",
    params(("model", description = "the model's name")),
    responses((status = 200), (status = 404, body = crate::error::ErrorBody)))]
pub(crate) async fn model_ready(
    State(gateway): State<Gateway>,
    PathText(model): PathText,
) -> Result<StatusCode, ApiError> {
    find(&gateway, &model).map(|_| StatusCode::OK)
}

pub(super) fn find<'a>(
    gateway: &'a Gateway,
    model: &str,
) -> Result<&'a std::sync::Arc<assay_service::CatalogueEntry>, ApiError> {
    gateway.service.parts().catalogue.find(model).ok_or_else(|| {
        let shown: String = model.chars().take(64).collect();
        ApiError::new(ErrorCode::UnknownModel, format!("there is no model `{shown}`"))
    })
}
