//! One id for each request, in every log line that is about it and in the answer.

use std::fmt;

use assay_primitives::Randomness;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span, debug, info_span};

use crate::Gateway;
use crate::headers::TRANSACTION;

/// Request and response: the request's id.
pub const REQUEST_ID: &str = "x-request-id";
/// Request: where it belongs in a trace (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";
/// The longest id that is taken from a request.
const MAX_LENGTH: usize = 64;

/// The id of a request: visible ASCII, at most 64 characters.
#[derive(Clone, Debug, Eq, PartialEq)]
struct RequestId(String);

impl RequestId {
    /// Takes the id that a request brings: `x-request-id`, or else the trace id of `traceparent`.
    /// What is not one is as if it were not there.
    fn brought(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let own = text(REQUEST_ID).filter(|id| {
            (1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let id = own.or_else(|| text(TRACEPARENT).and_then(trace_id))?;
        Some(Self(id.to_owned()))
    }

    /// Makes an id, in the form of a trace id.
    fn fresh(randomness: &dyn Randomness) -> Self {
        let bytes: [u8; 16] = randomness.array().unwrap_or_default();
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the trace id of a `traceparent` of version 00, or of a later one, which begins alike.
fn trace_id(text: &str) -> Option<&str> {
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = text.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let ends = version != "00" || parts.next().is_none();
    let holds = is_hex(version, 2) && version != "ff" && is_hex(parent, 16) && is_hex(flags, 2);
    let is_id = is_hex(trace, 32) && trace.bytes().any(|byte| byte != b'0');
    (ends && holds && is_id).then_some(trace)
}

/// Gives a request its id, under which everything is logged that is done for it, and puts it into
/// the answer.
pub(crate) async fn identify(
    State(gateway): State<Gateway>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let id = RequestId::brought(request.headers())
        .unwrap_or_else(|| RequestId::fresh(gateway.service.parts().randomness.as_ref()));
    let route = path.as_ref().map_or("other", MatchedPath::as_str);
    let method = request.method();
    let span = info_span!("request", request_id = %id, %method, route, transaction = Empty);
    async move {
        let mut response = next.run(request).await;
        if let Some(transaction) = response.headers().get(TRANSACTION).and_then(|t| t.to_str().ok())
        {
            Span::current().record("transaction", display(transaction));
        }
        debug!(status = response.status().as_u16(), "Answered.");
        if let Ok(id) = HeaderValue::from_str(&id.0) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
    .instrument(span)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn brought(headers: &[(&'static str, &str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        RequestId::brought(&map).map(|id| id.0)
    }

    #[test]
    fn an_id_is_taken_from_what_can_be_one() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let longest = "x".repeat(64);
        assert_eq!(brought(&[(REQUEST_ID, "a-1"), (TRACEPARENT, &parent)]).unwrap(), "a-1");
        assert_eq!(brought(&[(REQUEST_ID, &longest)]).unwrap(), longest);
        assert_eq!(brought(&[(TRACEPARENT, &parent)]).unwrap(), TRACE);
        for wrong in ["", "a b", "\u{e4}", "a\tb", &"x".repeat(65)] {
            let headers = [(REQUEST_ID, wrong), (TRACEPARENT, &parent)];
            assert_eq!(brought(&headers).unwrap(), TRACE, "{wrong:?}");
        }
    }

    #[test]
    fn a_trace_id_is_read_as_the_recommendation_has_it() {
        let parent = |text: &str| trace_id(text).map(str::to_owned);
        let rest = "00f067aa0ba902b7-01";
        assert_eq!(parent(&format!("00-{TRACE}-{rest}")).unwrap(), TRACE);
        assert_eq!(parent(&format!("cc-{TRACE}-{rest}-what-will-be")).unwrap(), TRACE);
        for wrong in [
            String::new(),
            TRACE.to_owned(),
            format!("00-{TRACE}-{rest}-more"),
            format!("ff-{TRACE}-{rest}"),
            format!("0-{TRACE}-{rest}"),
            format!("00-{}-{rest}", TRACE.to_uppercase()),
            format!("00-{}-{rest}", "0".repeat(32)),
            format!("00-{TRACE}0-{rest}"),
            format!("00-{TRACE}-{}-01", "0".repeat(15)),
            format!("00-{TRACE}-00f067aa0ba902b7"),
        ] {
            assert_eq!(parent(&wrong), None, "{wrong}");
        }
    }
}
