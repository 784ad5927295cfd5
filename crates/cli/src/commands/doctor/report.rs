//! What the doctor found, and how it is told.

use serde::Serialize;
use serde_json::json;

use crate::error::CliError;
use crate::output::{self, Style};

/// How a check ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Nothing is to be done.
    Ok,
    /// It works; not well, or not for long.
    Warning,
    /// It does not work, or is not safe.
    Wrong,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

/// Every check that was made, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, State::Ok, found.into(), None);
    }

    pub(super) fn warning(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.add(check, State::Warning, found.into(), Some(mend.into()));
    }

    pub(super) fn wrong(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.add(check, State::Wrong, found.into(), Some(mend.into()));
    }

    fn add(&mut self, check: &'static str, state: State, found: String, mend: Option<String>) {
        self.findings.push(Finding { check, state, found, mend });
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.findings.iter().filter(|finding| finding.state == state).count()
    }

    pub(super) fn print(&self, as_json: bool) -> Result<(), CliError> {
        let (ok, warnings, wrong) =
            (self.count(State::Ok), self.count(State::Warning), self.count(State::Wrong));
        if as_json {
            let told = json!({
                "checks": self.findings, "ok": ok, "warnings": warnings, "wrong": wrong,
            });
            return output::json(&told);
        }
        let style = Style::of_stdout();
        for Finding { check, state, found, mend } in &self.findings {
            let state = match state {
                State::Ok => style.good("ok      "),
                State::Warning => style.middling("warning "),
                State::Wrong => style.bad("wrong   "),
            };
            output::line(format_args!("{state} {check:<14} {}", shown(found)));
            if let Some(mend) = mend {
                output::line(format_args!("         {:<14} {}", "to mend:", shown(mend)));
            }
        }
        output::line("");
        output::line(format_args!("{ok} ok, {warnings} to look at, {wrong} wrong"));
        Ok(())
    }
}

/// Keeps what others wrote on its line.
fn shown(text: &str) -> String {
    assay_primitives::printable(text, 1_024)
}
