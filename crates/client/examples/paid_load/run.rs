//! Sending.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::sync::Arc;
use std::time::Duration;

use assay_primitives::Clock;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::Failure;
use crate::args::{Args, Plan};
use crate::connections::Connections;
use crate::outcome::{Line, Outcome, Told};
use crate::payments::Signed;

/// What a run brought.
pub(crate) struct Finished {
    pub(crate) outcomes: Vec<Measured>,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
}

/// What is kept of a request.
pub(crate) struct Measured {
    pub(crate) due: Duration,
    pub(crate) late: Duration,
    pub(crate) took: Duration,
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) is_result: bool,
}

/// Sends each payment at its moment, and collects what comes.
pub(crate) async fn run(
    args: &Args,
    plan: &Plan,
    payments: Vec<Signed>,
    connections: Arc<Connections>,
    clock: Arc<dyn Clock>,
) -> Result<Finished, Failure> {
    let lines = args.lines.as_ref().map(File::create).transpose()?.map(BufWriter::new);
    let (told, answers) = unbounded_channel();
    let tasks = TaskTracker::new();
    let names: Vec<_> = payments.iter().map(|payment| (payment.payer, payment.nonce)).collect();
    let begun = clock.monotonic();
    let sending = Sending {
        plan: *plan,
        begun,
        limit: args.timeout,
        connections,
        clock: clock.clone(),
        told,
    };
    drop(tasks.spawn(sending.send_all(payments, tasks.clone())));
    tasks.close();
    let outcomes = collect(plan, answers, lines, |number| {
        names.get(number).map(|(payer, nonce)| (payer.to_string(), nonce.to_string()))
    })
    .await?;
    tasks.wait().await;
    Ok(Finished { outcomes, took: clock.monotonic().saturating_sub(begun) })
}

/// What every request needs.
#[derive(Clone)]
struct Sending {
    plan: Plan,
    begun: Duration,
    limit: Duration,
    connections: Arc<Connections>,
    clock: Arc<dyn Clock>,
    told: UnboundedSender<Outcome>,
}

impl Sending {
    async fn send_all(self, payments: Vec<Signed>, tasks: TaskTracker) {
        for (number, payment) in payments.into_iter().enumerate() {
            let due = self.plan.due(number);
            let early = due.saturating_sub(self.elapsed());
            if !early.is_zero() {
                sleep(early).await;
            }
            drop(tasks.spawn(self.clone().send_one(number, due, payment)));
        }
    }

    async fn send_one(self, number: usize, due: Duration, payment: Signed) {
        let late = self.elapsed().saturating_sub(due);
        let answer = timeout(self.limit, self.connections.send(Some(payment.header))).await;
        let took = self.elapsed().saturating_sub(due);
        let told = match answer {
            Ok(Ok(answer)) => Told::of(&answer),
            Ok(Err(error)) => Told::nothing(format!("no answer: {error}")),
            Err(_) => Told::nothing(format!("no answer in {:?}", self.limit)),
        };
        // The collector goes when all senders are gone, never before.
        let _sent = self.told.send(Outcome { number, late, took, told });
    }

    fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.begun)
    }
}

async fn collect(
    plan: &Plan,
    mut answers: UnboundedReceiver<Outcome>,
    mut lines: Option<BufWriter<File>>,
    name: impl Fn(usize) -> Option<(String, String)>,
) -> Result<Vec<Measured>, Failure> {
    let mut outcomes = Vec::with_capacity(plan.count);
    while let Some(Outcome { number, late, took, told }) = answers.recv().await {
        if let (Some(lines), Some((payer, nonce))) = (&mut lines, name(number)) {
            let line = Line {
                number,
                payer,
                nonce,
                status: told.status,
                code: &told.code,
                transaction: told.transaction.as_deref(),
                settlement: told.settlement.as_deref(),
                output: told.output.map(|digest| digest.to_string()),
                microseconds: took.as_micros(),
            };
            serde_json::to_writer(&mut *lines, &line)?;
            lines.write_all(b"\n")?;
        }
        let is_result = told.is_result();
        let (due, status, code) = (plan.due(number), told.status, told.code);
        outcomes.push(Measured { due, late, took, status, code, is_result });
    }
    if let Some(mut lines) = lines {
        lines.flush()?;
    }
    Ok(outcomes)
}
