//! Connections that are kept alive, each for one request at a time.

use std::sync::{Mutex, PoisonError};

use assay_primitives::{AccessToken, SystemRandomness};
use assay_x402::PAYMENT_SIGNATURE;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::Failure;
use crate::args::Args;

/// The most bytes an answer may have.
const MAX_ANSWER: usize = 1 << 20;

type Sender = SendRequest<Full<Bytes>>;

/// The gateway, and the one request that is made of it.
pub(crate) struct Connections {
    address: String,
    path: String,
    method: HeaderValue,
    token_hash: HeaderValue,
    body: Bytes,
    /// The one used last is taken first, so that no more are open than are needed.
    idle: Mutex<Vec<Sender>>,
    places: Semaphore,
    tasks: TaskTracker,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Connections {
    pub(crate) fn new(args: &Args, body: Bytes) -> Result<Self, Failure> {
        let url = Url::parse(&args.gateway)?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(format!("--gateway: expected http://HOST:PORT, got {url}").into());
        };
        if url.scheme() != "http" {
            return Err(format!("--gateway: expected http, got {}", url.scheme()).into());
        }
        Ok(Self {
            address: format!("{host}:{port}"),
            path: format!("/v2/models/{}/infer", args.model),
            method: HeaderValue::try_from(&args.method)?,
            token_hash: HeaderValue::try_from(
                AccessToken::new(&SystemRandomness)?.hash().to_string(),
            )?,
            body,
            idle: Mutex::default(),
            places: Semaphore::new(args.connections),
            tasks: TaskTracker::new(),
        })
    }

    /// Sends the request, with a payment or without, over a connection of its own.
    pub(crate) async fn send(&self, payment: Option<HeaderValue>) -> Result<Answer, Failure> {
        let _place = self.places.acquire().await?;
        let mut sender = match self.take() {
            Some(sender) => sender,
            None => self.open().await?,
        };
        let response = sender.send_request(self.request(payment)?).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
        if sender.ready().await.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    fn request(&self, payment: Option<HeaderValue>) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(HOST, &self.address)
            .header(CONTENT_TYPE, "application/json")
            .header("assay-method", &self.method)
            .header("assay-access-token-hash", &self.token_hash);
        if let Some(payment) = payment {
            request = request.header(PAYMENT_SIGNATURE, payment);
        }
        Ok(request.body(Full::new(self.body.clone()))?)
    }

    fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = idle.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    async fn open(&self) -> Result<Sender, Failure> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // What ends a connection is told by the request on it.
        drop(self.tasks.spawn(connection));
        Ok(sender)
    }
}
