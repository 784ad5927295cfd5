use axum::Json;
use axum::extract::State;

use crate::Gateway;

/// Returns the operator's key manifest: a DSSE envelope.
#[utoipa::path(get, path = "/.well-known/assay/keys", tag = "assay",
    responses((status = 200, description = "DSSE envelope of the key manifest", body = Object)))]
pub(crate) async fn keys(State(gateway): State<Gateway>) -> Json<assay_receipt::Envelope> {
    Json(gateway.service.parts().operator.manifest_envelope().clone())
}
