use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::{ApiError, ErrorCode};

/// The one parameter of a path. What is not UTF-8 names nothing here.
pub(crate) struct PathText(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let text: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        text.map(|Path(text)| Self(text))
            .map_err(|error| ApiError::new(ErrorCode::UnknownRoute, error.body_text()))
    }
}
