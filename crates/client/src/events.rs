//! The events that tell how far a purchase is (server-sent events, WHATWG HTML, section 9.2).

use assay_primitives::{Digest, ItemId};
use assay_x402::SettleResponse;
use reqwest::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::wire::{WireError, described};

/// The most bytes that an event may have: the last of them has all outputs.
const MAX_EVENT: usize = 64 << 20;

/// How far an item of a transaction is, by the gateway.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ItemUpdate {
    /// The item.
    pub id: ItemId,
    /// `waiting`, `running`, `certified` or `failed`.
    pub state: String,
    /// What is done of it, where its method tells.
    pub stage: Option<String>,
    /// How long it took since its input was there, in microseconds.
    pub latency_us: Option<u64>,
    /// The commitment to its output.
    pub output_commitment: Option<Digest>,
}

/// Is told how far the items of a transaction are.
pub type Watch<'a> = &'a (dyn Fn(&ItemUpdate) + Send + Sync);

/// How a stream of events ended.
pub(crate) enum Ended {
    /// With the result; what became of the payment.
    Result(Option<SettleResponse>),
    /// With an error and its HTTP status.
    Error(u16, WireError),
}

#[derive(Deserialize)]
struct Progress {
    #[serde(default)]
    items: Vec<ItemUpdate>,
}

#[derive(Deserialize)]
struct LastEvent {
    settlement: Option<SettleResponse>,
}

#[derive(Deserialize)]
struct Failure {
    status: u16,
    #[serde(flatten)]
    error: Value,
}

/// Says whether an answer is a stream of events.
pub(crate) fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

/// Follows a stream to its last event. What an update says is a word and no more: one that cannot be read
/// is passed over.
pub(crate) async fn follow(mut response: Response, watch: Watch<'_>) -> Result<Ended, String> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(described)? {
        text.extend_from_slice(&chunk);
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = text.drain(..end + 2).collect();
            if let Some(ended) = event(&String::from_utf8_lossy(&block), watch) {
                return Ok(ended);
            }
        }
        if text.len() > MAX_EVENT {
            return Err(format!("an event of more than {MAX_EVENT} bytes"));
        }
    }
    Err("the events broke off".to_owned())
}

fn event(block: &str, watch: Watch<'_>) -> Option<Ended> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name));
        lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
    };
    let (kind, data) = (field("event:"), field("data:"));
    match kind.as_str() {
        "progress" => {
            let progress: Option<Progress> = serde_json::from_str(&data).ok();
            progress.iter().flat_map(|progress| &progress.items).for_each(watch);
            None
        }
        "result" => {
            let last: Option<LastEvent> = serde_json::from_str(&data).ok();
            Some(Ended::Result(last.and_then(|last| last.settlement)))
        }
        "error" => {
            let failure: Failure = serde_json::from_str(&data).ok()?;
            let error = serde_json::from_value(failure.error).ok()?;
            Some(Ended::Error(failure.status, error))
        }
        _ => None,
    }
}
