//! Answers over HTTP/2 that nobody reads.
//!
//! Over HTTP/2 a client says itself how much of each answer it takes, and while it takes nothing the
//! transport neither writes nor asks for more of the body: nothing is seen to wait. So an answer is given on
//! in pieces, the next one when the one before is written, and an answer is given up when a piece
//! of it is not taken in time. The other answers of its connection go on.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;
use hyper::rt::Executor;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// The most bytes of an answer that wait in the transport to be taken.
pub(crate) const PIECE: usize = 16 * 1024;

tokio::task_local! {
    /// The answer that this task gives, if it is one over HTTP/2.
    static ANSWER: Answer;
}

/// Runs the streams of connections: each is a request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    patience: Duration,
    given_up: Counter,
    tasks: TaskTracker,
}

/// Whether a piece of an answer is in the transport.
#[derive(Clone, Debug, Default)]
struct Answer(watch::Sender<bool>);

/// A piece of an answer. The transport drops it once it is written.
struct Piece {
    bytes: Bytes,
    answer: Answer,
}

impl Streams {
    pub(crate) fn new(patience: Duration, given_up: Counter) -> Self {
        Self { patience, given_up, tasks: TaskTracker::new() }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (answer, patience, given_up) =
            (Answer::default(), self.patience, self.given_up.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = ANSWER.scope(answer.clone(), stream) => {}
                // The stream is dropped, which resets it.
                () = answer.is_left(patience) => { given_up.inc(); }
            }
        });
    }
}

impl Answer {
    fn give(&self, bytes: Bytes) -> Bytes {
        self.0.send_replace(true);
        Bytes::from_owner(Piece { bytes, answer: self.clone() })
    }

    /// Waits until no piece is in the transport.
    async fn is_taken(&self) {
        let _ = self.0.subscribe().wait_for(|is_out| !is_out).await;
    }

    /// Waits until a piece is in the transport for too long.
    async fn is_left(&self, patience: Duration) {
        let mut is_out = self.0.subscribe();
        loop {
            let _ = is_out.wait_for(|is_out| *is_out).await;
            if tokio::time::timeout(patience, is_out.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.answer.0.send_replace(false);
    }
}

/// Gives an answer over HTTP/2 on in pieces.
pub(crate) async fn in_pieces(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Ok(answer) = ANSWER.try_with(Answer::clone) else { return response };
    if response.body().is_end_stream() {
        return response;
    }
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
    }
    response.map(|body| pieces(body, answer))
}

fn pieces(body: Body, answer: Answer) -> Body {
    let begun = (body.into_data_stream(), Bytes::new(), answer);
    Body::from_stream(try_unfold(begun, |(mut chunks, mut rest, answer)| async move {
        answer.is_taken().await;
        while rest.is_empty() {
            match chunks.next().await {
                Some(chunk) => rest = chunk?,
                None => return Ok::<_, axum::Error>(None),
            }
        }
        let piece = rest.split_to(rest.len().min(PIECE));
        Ok(Some((answer.give(piece), (chunks, rest, answer))))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Takes so many pieces of an answer, each after a time, and then no more.
    async fn read(pieces: usize, after: Duration) -> (usize, u64) {
        let streams = Streams::new(PATIENCE, Counter::default());
        let (read, mut count) = watch::channel(0);
        streams.execute(async move {
            let answer = ANSWER.with(Answer::clone);
            let body = Body::from(vec![7; 5 * PIECE / 2]);
            let mut chunks = self::pieces(body, answer).into_data_stream();
            let mut held = None;
            while let Some(piece) = chunks.next().await {
                let piece = piece.unwrap();
                assert!(piece.len() <= PIECE && piece.iter().all(|byte| *byte == 7));
                if *read.borrow() < pieces {
                    tokio::time::sleep(after).await;
                    read.send_modify(|count| *count += 1);
                } else {
                    held = Some(piece);
                }
            }
            drop(held);
        });
        // Until the stream has ended or was dropped.
        while count.changed().await.is_ok() {}
        streams.tasks.close();
        streams.tasks.wait().await;
        (*count.borrow(), streams.given_up.get())
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_on_is_waited_for() {
        assert_eq!(read(3, PATIENCE - Duration::from_secs(1)).await, (3, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_read_is_given_up() {
        for pieces in 0..3 {
            assert_eq!(read(pieces, Duration::ZERO).await, (pieces, 1));
        }
        assert_eq!(read(3, PATIENCE + Duration::from_secs(1)).await, (0, 1));
    }

    /// An answer may come as slowly as it is made.
    #[tokio::test(start_paused = true)]
    async fn what_has_nothing_to_read_is_not_given_up() {
        let streams = Streams::new(PATIENCE, Counter::default());
        streams.execute(tokio::time::sleep(10 * PATIENCE));
        streams.tasks.close();
        streams.tasks.wait().await;
        assert_eq!(streams.given_up.get(), 0);
    }
}
