use std::sync::Arc;

use assay_service::CatalogueEntry;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::Deserialize;

use crate::{ApiError, ErrorCode, Gateway};

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

/// The model of a path, `/v2/models/{model}` with or without `/versions/{version}` after it.
pub(crate) struct ModelPath(pub(crate) Arc<CatalogueEntry>);

#[derive(Deserialize)]
struct ModelParts {
    model: String,
    version: Option<String>,
}

impl FromRequestParts<Gateway> for ModelPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Gateway) -> Result<Self, ApiError> {
        let named: Result<Path<ModelParts>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        let Path(ModelParts { model, version }) =
            named.map_err(|error| ApiError::new(ErrorCode::UnknownRoute, error.body_text()))?;
        let unknown = |message| ApiError::new(ErrorCode::UnknownModel, message);
        let found = state.service.parts().catalogue.find(&model);
        let entry =
            found.ok_or_else(|| unknown(format!("there is no model `{}`", shown(&model))))?;
        let card = entry.package().card();
        match version {
            Some(version) if version != card.version => Err(unknown(format!(
                "model `{}` has version `{}` here, not `{}`",
                card.name,
                card.version,
                shown(&version)
            ))),
            _ => Ok(Self(entry.clone())),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
