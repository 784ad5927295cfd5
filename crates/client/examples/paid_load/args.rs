use std::path::PathBuf;
use std::time::Duration;

use assay_primitives::{DurationError, parse_duration};
use clap::Parser;

use crate::Failure;

/// Send paid requests at a fixed rate and print what came of them as one JSON object
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The gateway's URL
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: String,
    /// The URL of the development chain, to fund the payers on
    #[arg(long, value_name = "URL")]
    pub(crate) rpc_url: String,
    /// The model
    #[arg(long, default_value = "digits")]
    pub(crate) model: String,
    /// How the inferences are to be certified
    #[arg(long, default_value = "signed")]
    pub(crate) method: String,
    /// The request's body, as `assay models --example` prints it
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Requests a second
    #[arg(long, default_value_t = 50.0)]
    pub(crate) rate: f64,
    /// How many requests in all
    #[arg(long, conflicts_with = "duration", required_unless_present = "duration")]
    pub(crate) count: Option<usize>,
    /// For how long, as `30s` or `10m`
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// How many accounts pay, in turn
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) payers: usize,
    /// The development account that the payers' money comes from
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub(crate) funder: u8,
    /// The most connections; a request for which none is free waits, and the wait counts
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) connections: usize,
    /// How long an answer may take
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Write one line of JSON for each request into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) lines: Option<PathBuf>,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Requests a second.
    pub(crate) rate: f64,
    /// Requests in all.
    pub(crate) count: usize,
}

impl Args {
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let rate = self.rate;
        if !(rate > 0.0 && rate <= 100_000.0) {
            return Err(format!("--rate: expected more than 0 to 100000, got {rate}").into());
        }
        if self.payers == 0 || self.connections == 0 {
            return Err("--payers and --connections: expected 1 or more, got 0".into());
        }
        let count = match (self.count, self.duration) {
            (Some(count), _) => count,
            (None, Some(duration)) => requests(rate, duration),
            (None, None) => 0,
        };
        Ok(Plan { rate, count })
    }
}

impl Plan {
    /// Returns when a request is due, from the start on.
    pub(crate) fn due(&self, number: usize) -> Duration {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Duration::try_from_secs_f64(f64::from(number) / self.rate).unwrap_or(Duration::MAX)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate and a duration are positive; a cast of what is too large gives the largest"
)]
fn requests(rate: f64, duration: Duration) -> usize {
    (rate * duration.as_secs_f64()).round() as usize
}

fn duration(text: &str) -> Result<Duration, DurationError> {
    parse_duration(text)
}
