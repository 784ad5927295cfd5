//! This machine's clock against those of others: payments are valid for a minute, so a clock that is
//! wrong by half of it sells nothing.

use std::time::{Duration, UNIX_EPOCH};

use assay_primitives::Timestamp;
use reqwest::header::DATE;
use url::Url;

use super::Patient;
use super::report::Report;

/// How far clocks may differ: without being spoken of, and at the most. A `Date` has whole seconds.
pub(super) const MUCH: Duration = Duration::from_secs(5);
const TOO_MUCH: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(5);

/// Compares the clock with the `Date` of the services that prove who they are.
pub(super) async fn dates(patient: &Patient, report: &mut Report) {
    for (setting, url) in super::services(&patient.config) {
        if url.scheme() != "https" || setting == "chain.rpc_url" {
            continue;
        }
        let Some(date) = date(&url).await else { continue };
        let now = patient.clock.now();
        let whose = format!("the `Date` of {setting}");
        let (behind, ahead) = (date.since(now), now.since(date));
        if behind > ahead {
            judge(report, &whose, behind, "behind");
        } else {
            judge(report, &whose, ahead, "ahead of");
        }
    }
}

pub(super) fn judge(report: &mut Report, whose: &str, apart: Duration, side: &str) {
    let found = format!("this machine is {} s {side} {whose}", apart.as_secs());
    let mend = "set the clock by NTP: `timedatectl set-ntp true`";
    if apart <= MUCH {
        report.ok("clock", found);
    } else if apart <= TOO_MUCH {
        report.warning("clock", found, mend);
    } else {
        report.wrong("clock", found, mend);
    }
}

async fn date(url: &Url) -> Option<Timestamp> {
    let http = assay_chain::http_client(url, ANSWER, ANSWER).ok()?;
    let response = http.head(url.join("/").ok()?).send().await.ok()?;
    let date = httpdate::parse_http_date(response.headers().get(DATE)?.to_str().ok()?).ok()?;
    Some(Timestamp::from_millis(0).plus(date.duration_since(UNIX_EPOCH).ok()?))
}
