//! What is printed of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::args::Plan;
use crate::run::{Finished, Measured};

/// How many parts a run is cut into, to show whether it is steady.
const PARTS: usize = 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    rate_asked: f64,
    /// Results a second, from the first request to the last answer.
    rate_reached: f64,
    requests: usize,
    results: usize,
    seconds: f64,
    /// Of the requests that brought a result, from the moment they were due.
    latency: Latency,
    /// Of all requests, whatever came of them.
    latency_of_all: Latency,
    /// How late requests were sent: the load's own fault.
    sent_late: Latency,
    /// How many were answered with which status and code; status 0 is no answer.
    outcomes: BTreeMap<String, usize>,
    /// The same latency for each tenth of the run.
    tenths: Vec<Latency>,
}

/// In milliseconds.
#[derive(Serialize)]
struct Latency {
    count: usize,
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

pub(crate) fn report(plan: &Plan, finished: &Finished) -> Report {
    let all = &finished.outcomes;
    let results = || all.iter().filter(|outcome| outcome.is_result);
    let mut outcomes = BTreeMap::new();
    for outcome in all {
        let name = format!("{} {}", outcome.status, outcome.code);
        *outcomes.entry(name).or_default() += 1;
    }
    let part_length = plan.due(plan.count).as_secs_f64() / PARTS as f64;
    let part = |n: usize| {
        let (from, to) = (part_length * n as f64, part_length * (n + 1) as f64);
        let within = |outcome: &&Measured| (from..to).contains(&outcome.due.as_secs_f64());
        latency(results().filter(within).map(|outcome| outcome.took))
    };
    let (count, seconds) = (results().count(), finished.took.as_secs_f64());
    Report {
        rate_asked: plan.rate,
        rate_reached: count as f64 / seconds,
        requests: all.len(),
        results: count,
        seconds,
        latency: latency(results().map(|outcome| outcome.took)),
        latency_of_all: latency(all.iter().map(|outcome| outcome.took)),
        sent_late: latency(all.iter().map(|outcome| outcome.late)),
        outcomes,
        tenths: (0..PARTS).map(part).collect(),
    }
}

fn latency(durations: impl Iterator<Item = Duration>) -> Latency {
    let mut sorted: Vec<Duration> = durations.collect();
    sorted.sort_unstable();
    let at = |percent: usize| {
        let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(place).map_or(0.0, |duration| duration.as_secs_f64() * 1e3)
    };
    Latency { count: sorted.len(), p50: at(50), p90: at(90), p99: at(99), max: at(100) }
}
