use axum::Router;
use axum::body::Bytes;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::classify::StatusInRangeAsFailures;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use tower_http::trace::TraceLayer;
use tracing::Span;
use utoipa::OpenApi;
use utoipa::openapi::RefOr;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::metrics::RequestLabels;
use crate::paywall::EXPOSED;
use crate::quota::limit;
use crate::request_id::identify;
use crate::routes::{
    attestation, catalogue, health, infer, jobs, keys, metrics, receipts, refunds, transactions,
};
use crate::{ApiError, ErrorCode, Gateway};

/// The description that the routes fill.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Assay gateway",
        description = "Inference by request, paid over x402, with receipts that verify offline.",
        license(name = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "open-inference", description = "Open Inference Protocol v2"),
        (name = "assay", description = "Catalogue, receipts, keys"),
        (name = "operation", description = "For who runs it"),
    )
)]
struct Description;

fn routes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(health::server))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::model))
        .routes(routes!(health::model_ready))
        .routes(routes!(health::model_version))
        .routes(routes!(health::model_version_ready))
        .routes(routes!(infer::infer))
        .routes(routes!(infer::infer_version))
        .routes(routes!(transactions::transact))
        .routes(routes!(catalogue::models))
        .routes(routes!(jobs::job, jobs::cancel))
        .routes(routes!(receipts::receipt, receipts::erase))
        .routes(routes!(receipts::proofs))
        .routes(routes!(refunds::record))
        .routes(routes!(receipts::evidence))
        .routes(routes!(attestation::attestation))
        .routes(routes!(keys::keys))
        .routes(routes!(metrics::metrics))
}

/// Returns the description of the routes, OpenAPI 3.1 in JSON.
///
/// # Errors
/// Never for this description; the signature is that of the JSON writer.
pub fn openapi() -> Result<String, serde_json::Error> {
    described(routes().to_openapi()).to_pretty_json()
}

/// Describes each answer, as OpenAPI asks for, by what its status means where nothing else is said.
fn described(mut description: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for item in description.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    let status = StatusCode::from_bytes(status.as_bytes()).ok();
                    let meaning = status.and_then(|status| status.canonical_reason());
                    response.description = meaning.unwrap_or_default().to_owned();
                }
            }
        }
    }
    description
}

/// Returns the routes of a gateway.
pub fn router(gateway: Gateway) -> Router {
    let (router, description) = routes().split_for_parts();
    // Once for all who ask.
    let description = Bytes::from(described(description).to_json().unwrap_or_default());
    let description = move || async move {
        ([("content-type", "application/json")], description).into_response()
    };
    router
        .route("/openapi.json", get(description))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(gateway.clone(), limit))
        .layer(from_fn_with_state(gateway.clone(), count))
        .layer(cors())
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::new(ErrorCode::Internal, "the request failed on our side").into_response()
        }))
        .layer(
            TraceLayer::new(our_fault().into_make_classifier())
                // The span of the request is ours, and without its URL.
                .make_span_with(|_: &Request| Span::none()),
        )
        .layer(from_fn_with_state(gateway.clone(), identify))
        .with_state(gateway)
}

/// What is logged as an error: not that there is too much to do, or that a chain does not answer,
/// which anybody can bring about and which is told where it happens.
fn our_fault() -> StatusInRangeAsFailures {
    StatusInRangeAsFailures::new(500..=500)
}

/// Pages of any origin may buy here: what protects a purchase is its payment.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::DELETE, Method::GET, Method::POST])
        // Not `*`, which leaves `Authorization` out (Fetch standard, CORS-preflight fetch).
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED.map(HeaderName::from_static))
}

async fn unknown_route() -> ApiError {
    ApiError::new(ErrorCode::UnknownRoute, "there is no such route; see /openapi.json")
}

async fn wrong_method() -> ApiError {
    ApiError::new(ErrorCode::MethodNotAllowed, "the route takes other methods; see /openapi.json")
}

/// Counts requests by route and status, and errors by code.
async fn count(
    State(gateway): State<Gateway>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let route = path.map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let method = match *request.method() {
        Method::DELETE => "DELETE",
        Method::GET => "GET",
        Method::POST => "POST",
        _ => "other",
    };
    let response = next.run(request).await;
    if let Some(code) = response.extensions().get::<ErrorCode>() {
        gateway.metrics.error(code.as_str());
    }
    let status = response.status().as_u16();
    gateway.metrics.request(&RequestLabels { route, method: method.to_owned(), status });
    response
}

#[cfg(test)]
mod tests {
    use tower_http::classify::{ClassifiedResponse, ClassifyResponse as _};

    use super::*;

    #[test]
    fn only_our_own_faults_are_logged_as_errors() {
        for code in ErrorCode::ALL {
            let response = ApiError::new(*code, "a test").into_response();
            let class = our_fault().classify_response(&response);
            let ours = matches!(code, ErrorCode::Internal | ErrorCode::InferenceFailed);
            assert_eq!(matches!(class, ClassifiedResponse::Ready(Err(_))), ours, "{code:?}");
        }
    }
}
