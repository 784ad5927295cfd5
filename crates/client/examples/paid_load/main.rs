//! Paid requests at a fixed rate against a gateway on a development chain.
//!
//! `cargo run --release -p assay-client --example paid_load -- --help`; `bench/gateway/run.py` drives
//! it. It is open-loop: a request is due at its moment whether or not those before it were answered,
//! and its latency counts from that moment, so a stall of the gateway shows in every request that
//! was due while it lasted. All payments are signed before the first is sent.

mod args;
mod connections;
mod outcome;
mod payers;
mod payments;
mod report;
mod run;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use assay_primitives::{Clock, SystemClock};
use clap::Parser as _;

use crate::args::Args;
use crate::connections::Connections;

/// What ends the program: said once, to people.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let args = Args::parse();
    // One thread: the load is not to take the cores from what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(start(&args)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("paid_load: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn start(args: &Args) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let plan = args.plan()?;
    let body = std::fs::read(&args.input)?;
    let connections = Arc::new(Connections::new(args, body.into())?);
    let offer = payments::ask(args, &connections).await?;
    let payers = payers::funded(args, &offer, &plan, &clock).await?;
    note(&format!("Signing {} payments of {} payers.", plan.count, payers.len()));
    let payments = payments::sign(&offer, &payers, &plan, clock.as_ref())?;
    note(&format!("Sending {} a second.", plan.rate));
    let finished = run::run(args, &plan, payments, connections, clock).await?;
    let report = report::report(&plan, &finished);
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &report)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn note(text: &str) {
    // Nobody to tell when standard error is gone.
    let _written = writeln!(std::io::stderr(), "{text}");
}
