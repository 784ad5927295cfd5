//! Traces for a collector on loopback, which reads them as OTLP has them.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::support::{ANY, Gateway, Place, Served};

struct Collector {
    taken: Arc<Mutex<Vec<Bytes>>>,
    server: Served,
}

impl Collector {
    fn start() -> Self {
        let taken: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let shared = taken.clone();
        let take = move |headers: axum::http::HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            shared.lock().unwrap().push(body);
            async { StatusCode::OK }
        };
        let router = axum::Router::new().route("/v1/traces", post(take));
        Self { taken, server: Served::start(router) }
    }

    fn exports(&self) -> Vec<ExportTraceServiceRequest> {
        let taken = self.taken.lock().unwrap();
        taken.iter().map(|body| ExportTraceServiceRequest::decode(body.clone()).unwrap()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self.exports().into_iter().flat_map(|export| export.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()? {
        AnyValue { value: Some(Value::StringValue(text)) } => Some(text),
        _ => None,
    }
}

#[test]
fn the_spans_of_a_purchase_are_one_trace() {
    let (place, collector) = (Place::new(), Collector::start());
    let shop = Gateway::start(&place, &[("ASSAY_OTLP_ENDPOINT", &collector.server.url)]);
    let bought = place.buy(&shop.url, "one.assay");
    place.buy(&shop.url, "two.assay");
    // What was not sent yet is sent at the end.
    shop.stop();

    let id = bought["report"]["transaction"].as_str().unwrap();
    let spans = collector.spans();
    let of = |name: &str| -> &Span {
        let is_it = |span: &&Span| {
            let route = text(&span.attributes, "route").unwrap_or("infer");
            span.name == name
                && text(&span.attributes, "transaction") == Some(id)
                && route.ends_with("infer")
        };
        let mut found = spans.iter().filter(is_it);
        let span = found.next().unwrap_or_else(|| panic!("no `{name}` of {id} in {spans:#?}"));
        assert!(found.next().is_none(), "two `{name}` of {id}");
        span
    };
    let (request, purchase) = (of("request"), of("purchase"));
    assert_eq!((request.trace_id.len(), &request.trace_id), (16, &purchase.trace_id));
    assert_eq!(purchase.parent_span_id, request.span_id);
    assert_eq!(text(&request.attributes, "request_id").map(str::len), Some(32));
    let events: Vec<&str> = purchase.events.iter().map(|event| event.name.as_str()).collect();
    let way = ["Receipt and settlement intent are stored.", "The settlement is recorded."];
    assert_eq!(events, way);
    // The other purchase is another trace.
    let purchases = spans.iter().filter(|span| span.name == "purchase");
    let traces: std::collections::BTreeSet<_> = purchases.map(|span| &span.trace_id).collect();
    assert_eq!(traces.len(), 2);

    let exports = collector.exports();
    let resource = exports[0].resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(text(&resource.attributes, "service.name"), Some("assay"));
    let token = bought["accessToken"].as_str().unwrap();
    assert!(!format!("{exports:?}").contains(token), "the access token is in the traces");
}

#[test]
fn a_collector_that_is_away_costs_a_warning() {
    let place = Place::new();
    let gone = TcpListener::bind(ANY).unwrap().local_addr().unwrap();
    let url = format!("http://{gone}/?key=s3cret");
    let shop = Gateway::start(&place, &[("ASSAY_OTLP_ENDPOINT", &url)]);
    place.buy(&shop.url, "one.assay");
    let ran = shop.stop();
    assert_eq!(ran.stderr.matches("No traces are taken").count(), 1, "{ran:#?}");
    assert!(!ran.stderr.contains("s3cret"), "{ran:#?}");
}

#[test]
fn a_collector_that_does_not_answer_is_not_waited_for() {
    let place = Place::new();
    // It takes connections, by the system's word, and says nothing.
    let silent = TcpListener::bind(ANY).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let shop = Gateway::start(&place, &[("ASSAY_OTLP_ENDPOINT", &url)]);
    place.buy(&shop.url, "one.assay");
    shop.stop();
    drop(silent);
}

#[test]
fn what_is_no_collector_is_refused() {
    let place = Place::new();
    let file = place.file("assay.toml", "[telemetry]\notlp_endpoint = \"grpc://s3cret\"\n");
    let told = place.run(&["serve", "--config", &file]);
    let told = told.expect_told(2, "telemetry.otlp_endpoint: this is not the URL");
    assert!(!told.stderr.contains("s3cret"));
}
