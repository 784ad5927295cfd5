//! The data folder: whether it can be written, how much room and how fast it is, and the database.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use assay_store::{SqliteStore, StoreError};

use super::Patient;
use super::report::Report;
use crate::error::Plain;

/// Free bytes: below the first it is time to look, below the second nothing can be sold for long.
const ROOM: u64 = 2 << 30;
const LEAST_ROOM: u64 = 128 << 20;
/// How often something is written through to the disk, to see how long it takes.
const SYNCS: usize = 9;
/// A purchase waits for about four.
const SLOW_SYNC: Duration = Duration::from_millis(20);

pub(super) fn folder(patient: &Patient, report: &mut Report) {
    let data = patient.config.data.as_path();
    // What does not exist is made at the first start, in the nearest folder that does.
    let Some(folder) = existing(data) else {
        return report.wrong(
            "data folder",
            format!("{}: no part of this path exists", data.display()),
            "`data` (ASSAY_DATA): a folder that can be made",
        );
    };
    let times = match synced(folder, patient) {
        Ok(times) => times,
        Err(error) => {
            return report.wrong(
                "data folder",
                format!("{} cannot be written: {}", folder.display(), Plain(&error)),
                "let the gateway's user write there, or choose another folder by `data` or ASSAY_DATA",
            );
        }
    };
    let made = if folder == data { "" } else { " is made at the first start, it" };
    report.ok("data folder", format!("{}{made} can be written", data.display()));
    others(data, report);
    room(folder, report);
    let (median, longest) = times;
    let found = format!(
        "a write reaches the disk in {:.1} ms, at most {:.1} ms",
        median.as_secs_f64() * 1e3,
        longest.as_secs_f64() * 1e3
    );
    if median > SLOW_SYNC {
        let mend =
            "a local solid-state disk for `data`; a purchase waits for about four such writes";
        report.warning("disk speed", found, mend);
    } else {
        report.ok("disk speed", found);
    }
}

/// In the data are inputs, outputs and payments.
fn others(data: &Path, report: &mut Report) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(data).map_or(0, |metadata| metadata.permissions().mode());
        if mode & 0o077 != 0 {
            let data = data.display();
            report.warning(
                "data folder",
                format!("others can look into {data}, where inputs and outputs are"),
                format!("chmod 700 {data}"),
            );
        }
    }
    #[cfg(not(unix))]
    let _ = (data, report);
}

#[cfg(unix)]
fn room(folder: &Path, report: &mut Report) {
    let found = match rustix::fs::statvfs(folder) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            let found = format!("the free space is not known: {}", Plain(&error.into()));
            return report.warning("disk space", found, "look at the disk of `data`");
        }
    };
    let told = format!("{:.1} GiB are free", found as f64 / f64::from(1 << 30));
    let mend = "make room on the disk of `data`: a full disk stops every sale";
    if found < LEAST_ROOM {
        report.wrong("disk space", told, mend);
    } else if found < ROOM {
        report.warning("disk space", told, mend);
    } else {
        report.ok("disk space", told);
    }
}

#[cfg(not(unix))]
fn room(_: &Path, _: &mut Report) {}

pub(super) async fn database(patient: &mut Patient, report: &mut Report) {
    let data = &patient.config.data;
    let path = data.join("assay.db");
    let path = path.display();
    let found = match SqliteStore::inspect(data).await {
        Ok(found) => found,
        Err(error) => {
            let (error, mend) = match &error {
                StoreError::Folder { error, .. } => {
                    (Plain(error).to_string(), "let the gateway's user read and write there")
                }
                error => (
                    error.to_string(),
                    "bring it back from a copy; what was settled is on the chain all the same",
                ),
            };
            return report.wrong("database", format!("{path} cannot be read: {error}"), mend);
        }
    };
    patient.is_running = found.is_held;
    let held = if found.is_held { "; a gateway runs on it" } else { "" };
    match found.version {
        None => report.ok("database", format!("{path} is made at the first start")),
        Some(version) if version > found.known => report.wrong(
            "database",
            format!(
                "{path} has schema version {version}, this program knows up to {}",
                found.known
            ),
            "run the version of assay that wrote it, or a newer one",
        ),
        Some(version) if version < found.oldest => report.wrong(
            "database",
            format!(
                "{path} has schema version {version}, this program knows {} and later",
                found.oldest
            ),
            "run the version of assay that wrote it, or start with a new data folder",
        ),
        Some(version) if version < found.known => report.ok(
            "database",
            format!("{path}: schema {version}, raised to {} at the next start{held}", found.known),
        ),
        Some(version) => report.ok("database", format!("{path}: schema {version}{held}")),
    }
}

fn existing(path: &Path) -> Option<&Path> {
    path.ancestors()
        .map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path })
        .find(|path| path.exists())
}

/// Writes a file through to the disk some times and removes it; returns the median and the longest
/// of the times that took.
fn synced(folder: &Path, patient: &Patient) -> std::io::Result<(Duration, Duration)> {
    let mut file = tempfile::Builder::new().prefix("assay-doctor-").tempfile_in(folder)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = patient.clock.monotonic();
        file.write_all(&[0; 4_096])?;
        file.as_file().sync_data()?;
        times.push(patient.clock.monotonic().saturating_sub(started));
    }
    times.sort_unstable();
    let at = |place: usize| times.get(place).copied().unwrap_or_default();
    Ok((at(SYNCS / 2), at(SYNCS - 1)))
}
