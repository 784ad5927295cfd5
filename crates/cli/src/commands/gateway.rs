//! What a gateway tells without being paid.

use std::error::Error;
use std::time::Duration;

use assay_primitives::printable;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::error::{CliError, without_number};
use crate::output;

/// The most bytes an answer may have.
const MAX_ANSWER: usize = 8 << 20;
/// How long a connection and an answer may take.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

/// Gets JSON from a gateway.
pub(super) async fn get<T: DeserializeOwned>(gateway: &str, path: &[&str]) -> Result<T, CliError> {
    output::patiently(&format!("Asking {gateway}"), exchange(gateway, path, None)).await
}

/// Posts JSON to a gateway, and returns its answer.
pub(super) async fn post<T: DeserializeOwned>(
    gateway: &str,
    path: &[&str],
    body: Vec<u8>,
) -> Result<T, CliError> {
    output::patiently(&format!("Telling {gateway}"), exchange(gateway, path, Some(body))).await
}

async fn exchange<T: DeserializeOwned>(
    gateway: &str,
    path: &[&str],
    body: Option<Vec<u8>>,
) -> Result<T, CliError> {
    let failed = |error: String| CliError::Failed(format!("gateway {gateway}: {error}"));
    let broken = |error: reqwest::Error| failed(described(&error.without_url()));
    let url = url(gateway, path)?;
    let http = assay_chain::http_client(&url, CONNECT, ANSWER).map_err(broken)?;
    let request = match body {
        None => http.get(url),
        Some(body) => http.post(url).header(CONTENT_TYPE, "application/json").body(body),
    };
    let mut response = request.send().await.map_err(broken)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err(failed("the answer is too long".to_owned()));
        }
    }
    if !status.is_success() {
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        let error = told.get("error").and_then(Value::as_str);
        let error = error.map_or_else(|| format!("answered {status}"), |e| printable(e, 512));
        let message = format!("gateway {gateway}: {error}");
        return Err(match status {
            StatusCode::NOT_FOUND if path.contains(&"models") => {
                CliError::Input(format!("{message}; see `assay models`"))
            }
            status if status.is_client_error() => CliError::Input(message),
            _ => CliError::Failed(message),
        });
    }
    serde_json::from_slice(&body)
        .map_err(|error| failed(format!("this does not answer as a gateway does: {error}")))
}

fn url(gateway: &str, path: &[&str]) -> Result<Url, CliError> {
    let wrong = || {
        let gateway = printable(gateway, 128);
        CliError::Input(format!(
            "`{gateway}` is not the URL of a gateway, as http://127.0.0.1:8402"
        ))
    };
    let mut url = Url::parse(gateway).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong());
    }
    url.set_query(None);
    url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(path);
    Ok(url)
}

/// Returns what went wrong and the first cause of it: what lies between says little to people.
fn described(error: &reqwest::Error) -> String {
    let what = if error.is_connect() {
        "cannot be reached"
    } else if error.is_timeout() {
        "did not answer in time"
    } else {
        "broke off"
    };
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("{what}: {}", without_number(&cause.to_string()))
}
