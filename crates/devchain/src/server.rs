use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chain::DevChain;
use crate::rpc::{self, RpcError};

/// The largest request body, in bytes.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Why a server cannot be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is in use or not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others could reach the address, and there is no access control.
    #[error("{0} is not a loopback address, and a development chain is for this machine alone")]
    NotLoopback(SocketAddr),
}

/// A server that answers JSON-RPC until its token is cancelled.
#[derive(Debug)]
#[non_exhaustive]
pub struct RunningServer {
    /// Where it answers, as clients want it: `http://127.0.0.1:8545`.
    pub url: String,
    /// The address it listens on, with the port that was chosen if 0 was asked for.
    pub addr: SocketAddr,
    tasks: TaskTracker,
}

impl RunningServer {
    /// Waits until the server has stopped: its token is cancelled, and all requests are answered.
    pub async fn stopped(self) {
        self.tasks.wait().await;
    }
}

/// Answers JSON-RPC for `chain` on a loopback address until `shutdown` is cancelled. Port 0 takes a
/// free one.
///
/// # Errors
/// When the address is not a loopback address, or cannot be listened on.
pub async fn serve(
    chain: DevChain,
    address: SocketAddr,
    shutdown: CancellationToken,
) -> Result<RunningServer, ServeError> {
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    let bind = |source| ServeError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let addr = listener.local_addr().map_err(bind)?;
    let router = Router::new()
        .route("/", post(answer))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(chain);
    let tasks = TaskTracker::new();
    tasks.spawn(async move {
        let server = axum::serve(listener, router);
        if let Err(error) = server.with_graceful_shutdown(shutdown.cancelled_owned()).await {
            tracing::error!(%error, "Development chain server failed.");
        }
    });
    tasks.close();
    Ok(RunningServer { url: format!("http://{addr}"), addr, tasks })
}

/// Answers one HTTP request. The EVM runs on a thread of its own, so that a long call does not hold
/// up other connections.
async fn answer(State(chain): State<DevChain>, body: Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            let error = RpcError::invalid_request(rejection.body_text());
            return json(rejection.status(), rpc::failure(error));
        }
    };
    match tokio::task::spawn_blocking(move || rpc::answer(&chain, &body)).await {
        Ok(Some(answer)) => json(StatusCode::OK, answer),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => json(StatusCode::OK, rpc::failure(RpcError::internal(error.to_string()))),
    }
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
