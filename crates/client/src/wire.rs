//! A gateway on the network: how it is reached, and what it answers, read up to a limit.

use std::time::Duration;

use assay_x402::{PAYMENT_RESPONSE, SettleResponse, decode_payment_response};
use reqwest::Response;
use serde::Deserialize;
use url::Url;

use crate::ClientError;

/// The most bytes an answer that is no bundle may have.
pub(crate) const MAX_ANSWER: usize = 1 << 20;
/// Stands for the code of an answer that has none.
pub(crate) const NO_CODE: &str = "no code";

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Where a gateway is, and the client that reaches it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    base: Url,
    pub(crate) http: reqwest::Client,
}

impl Endpoint {
    pub(crate) fn new(gateway: &str, timeout: Duration) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url(gateway.chars().take(128).collect());
        let base = Url::parse(gateway).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(wrong());
        }
        let http = assay_chain::http_client(&base, CONNECT, timeout)
            .map_err(|error| ClientError::Http(error.to_string()))?;
        Ok(Self { base, http })
    }

    pub(crate) fn url(&self, segments: &[&str]) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        url.set_query(None);
        url.path_segments_mut()
            .map_err(|()| ClientError::Url(self.base.to_string()))?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }
}

/// The body of a gateway's error.
#[derive(Deserialize)]
pub(crate) struct WireError {
    #[serde(default)]
    pub(crate) error: String,
    #[serde(default = "no_code")]
    pub(crate) code: String,
    #[serde(default, rename = "transactionId")]
    pub(crate) transaction: Option<String>,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) state: Option<String>,
}

fn no_code() -> String {
    NO_CODE.to_owned()
}

/// Why a body was not read.
pub(crate) enum ReadError {
    BrokeOff(reqwest::Error),
    TooLong(usize),
}

pub(crate) async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(ReadError::BrokeOff)? {
        if body.len() + chunk.len() > limit {
            return Err(ReadError::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads an error; what is none of this protocol's keeps its words and has no code.
pub(crate) async fn wire_error(response: Response) -> WireError {
    let body = read(response, MAX_ANSWER).await.unwrap_or_default();
    serde_json::from_slice(&body).unwrap_or_else(|_| WireError {
        error: String::from_utf8_lossy(&body).chars().take(200).collect(),
        code: no_code(),
        transaction: None,
        reason: None,
        state: None,
    })
}

pub(crate) async fn gateway_error(response: Response) -> ClientError {
    let status = response.status().as_u16();
    from_wire(status, wire_error(response).await)
}

pub(crate) fn from_wire(status: u16, wire: WireError) -> ClientError {
    ClientError::Gateway { status, code: wire.code, message: wire.error }
}

pub(crate) fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Returns what became of the payment, by the gateway. It is a word and no more, so one that cannot
/// be read is as good as none: what counts is the settlement record.
pub(crate) fn settlement(response: &Response) -> Option<SettleResponse> {
    decode_payment_response(&header(response, PAYMENT_RESPONSE)?).ok()
}

/// Returns a transport error without the URL: it may carry what should not be printed.
pub(crate) fn described(error: reqwest::Error) -> String {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
