use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::{ApiError, Gateway};

/// Returns figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "OpenMetrics text", content_type = "text/plain")))]
pub(crate) async fn metrics(State(gateway): State<Gateway>) -> Result<Response, ApiError> {
    let counts = gateway.service.parts().store.count_by_state().await;
    for (state, count) in counts.map_err(|error| ApiError::internal(&error))? {
        gateway.metrics.transactions(state.as_str(), count);
    }
    for load in gateway.service.load() {
        gateway.metrics.load(&load);
    }
    // Brings up to date what is looked up.
    let _ = gateway.service.metrics();
    let text = gateway.metrics.encode().map_err(|error| ApiError::internal(&error))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}
