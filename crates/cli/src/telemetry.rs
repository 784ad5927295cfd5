//! Traces for an OpenTelemetry collector, over OTLP/HTTP.
//!
//! Only this project's own spans are sent, at the level of information: they hold no secrets. A
//! collector that is away costs a warning; what it misses is dropped beyond [`MAX_WAITING`] spans.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider,
};
use reqwest::Url;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tracing::{Metadata, info, warn};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::{FilterFn, Filtered};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::error::CliError;
use crate::money;

/// The most spans that wait to be sent: a few megabytes.
const MAX_WAITING: usize = 4_096;
/// How long one export may take, its repetitions included.
const EXPORT: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
/// How long the end of the program waits for what has not been sent.
const FAREWELL: Duration = Duration::from_secs(3);
/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// Spans on their way to a collector.
#[derive(Debug)]
pub(crate) struct Telemetry {
    provider: SdkTracerProvider,
}

/// A layer that sends this project's spans.
pub(crate) type TraceLayer<S> =
    Filtered<OpenTelemetryLayer<S, SdkTracer>, FilterFn<fn(&Metadata<'_>) -> bool>, S>;

impl Telemetry {
    /// Begins to send spans to the collector at a URL, to which `/v1/traces` is added. Nothing is
    /// sent before there is a span, and nobody waits for it.
    pub(crate) fn start(endpoint: &str, runtime: &Handle) -> Result<Self, CliError> {
        let failed = |error: String| CliError::Input(format!("telemetry.otlp_endpoint: {error}"));
        let base = Url::parse(endpoint).map_err(|error| failed(error.to_string()))?;
        let http = assay_chain::http_client(&base, CONNECT, EXPORT)
            .map_err(|error| failed(error.without_url().to_string()))?;
        let collector = Collector {
            http,
            runtime: runtime.clone(),
            tasks: TaskTracker::new(),
            shown: money::public_part(endpoint),
            is_away: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_endpoint(traces_url(base).as_str())
            .with_timeout(EXPORT)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let batches = BatchConfigBuilder::default().with_max_queue_size(MAX_WAITING).build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder()
            .with_service_name("assay")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_span_processor(processor)
            .build();
        Ok(Self { provider })
    }

    /// Returns the layer that takes the spans.
    pub(crate) fn layer<S>(&self) -> TraceLayer<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        let is_ours: fn(&Metadata<'_>) -> bool = |metadata| {
            metadata.target().starts_with("assay_") && *metadata.level() <= tracing::Level::INFO
        };
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("assay"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(FilterFn::new(is_ours))
    }

    /// Sends what has not been sent, for as long as that is waited for. Not to be called by a thread
    /// of the runtime, which does the sending.
    pub(crate) fn stop(self) {
        // Whoever is away at the end was told of before.
        let _ = self.provider.shutdown_with_timeout(FAREWELL);
    }
}

/// Returns where traces go at a collector.
fn traces_url(mut base: Url) -> Url {
    if let Ok(mut path) = base.path_segments_mut() {
        path.pop_if_empty().extend(["v1", "traces"]);
    }
    base
}

/// Sends by the runtime of the program what the thread of the exporter gives it.
#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    runtime: Handle,
    tasks: TaskTracker,
    /// Its URL without what may be secret.
    shown: String,
    is_away: AtomicBool,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let sending = exchange(self.http.clone(), request);
        let answer = match self.tasks.spawn_on(sending, &self.runtime).await {
            Ok(answer) => answer.map_err(|error| HttpError::from(error.without_url())),
            Err(error) => Err(HttpError::from(error)),
        };
        self.tell(&answer);
        answer
    }
}

impl Collector {
    /// Says once that the collector is away, and once that it is back.
    fn tell(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let trouble = match answer {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        let was_away = self.is_away.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(error) if !was_away => {
                warn!(collector = %self.shown, %error, "No traces are taken; they are dropped.");
            }
            None if was_away => info!(collector = %self.shown, "Traces are taken again."),
            _ => {}
        }
    }
}

async fn exchange(
    http: reqwest::Client,
    request: reqwest::Request,
) -> Result<Response<Bytes>, reqwest::Error> {
    let mut response = http.execute(request).await?;
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    *answer.body_mut() = body.into();
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_have_their_place_at_a_collector() {
        for (base, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://c.example/otlp/?k=1", "https://c.example/otlp/v1/traces?k=1"),
        ] {
            assert_eq!(traces_url(base.parse().unwrap()).as_str(), url);
        }
    }
}
