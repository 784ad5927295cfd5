//! A table of the items while they run: redrawn on a terminal, printed once elsewhere.

use std::io::IsTerminal as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assay_client::ItemUpdate;
use assay_primitives::{ItemId, printable};
use assay_verify::Report;

use super::{Asked, print};
use crate::output::{self, Style};

pub(super) struct Board {
    lines: Mutex<Vec<Line>>,
    /// Whether nothing is printed.
    is_silent: bool,
    is_live: bool,
    style: Style,
}

struct Line {
    id: ItemId,
    model: String,
    method: String,
    state: String,
    latency: Option<Duration>,
    price: String,
    evidence: Option<u64>,
}

impl Board {
    pub(super) fn new(asked: &[Asked], is_silent: bool) -> Self {
        let line = |one: &Asked| Line {
            id: one.id.clone(),
            model: one.card().name.clone(),
            method: one.method.to_string(),
            state: "quoted".to_owned(),
            latency: None,
            price: one.price(),
            evidence: None,
        };
        let is_live = !is_silent && std::io::stdout().is_terminal();
        let lines = Mutex::new(asked.iter().map(line).collect());
        let board = Self { lines, is_silent, is_live, style: Style::of_stdout() };
        if !is_silent {
            output::line(board.style.faint(
                "  item        model   method  state       took       price           evidence",
            ));
        }
        if is_live {
            board.draw(&board.lines(), false);
        }
        board
    }

    /// Takes in how far an item is.
    pub(super) fn update(&self, update: &ItemUpdate) {
        let mut lines = self.lines();
        let Some(line) = lines.iter_mut().find(|line| line.id == update.id) else { return };
        let state = update.stage.as_ref().unwrap_or(&update.state);
        line.state = printable(state, 10);
        if let Some(latency) = update.latency_us {
            line.latency = Some(Duration::from_micros(latency));
        }
        if self.is_live {
            self.draw(&lines, true);
        }
    }

    /// Fills in what the receipt says, and returns how long each item took.
    pub(super) fn finish(&self, report: &Report) -> Vec<Option<Duration>> {
        let mut lines = self.lines();
        for (line, item) in lines.iter_mut().zip(&report.items) {
            line.state = "certified".to_owned();
            line.evidence = Some(item.evidence_bytes);
        }
        if !self.is_silent {
            self.draw(&lines, self.is_live);
        }
        lines.iter().map(|line| line.latency).collect()
    }

    /// Prints the lines, over those that were printed before or below.
    fn draw(&self, lines: &[Line], is_over: bool) {
        for (index, line) in lines.iter().enumerate() {
            let Line { id, model, method, state, latency, price, evidence } = line;
            let took = latency.map(print::millis).unwrap_or_default();
            let evidence = evidence.map(|bytes| format!("{bytes} bytes")).unwrap_or_default();
            let id = id.as_str();
            let state = format!("{state:<10}");
            let state =
                if state.starts_with("certified") { self.style.good(&state) } else { state };
            let text = format!(
                "  {id:<10}  {model:<6}  {method:<6}  {state}  {took:<9}  {price:<14}  {evidence}"
            );
            let start = match index {
                0 if is_over => format!("\u{1b}[{}A", lines.len()),
                _ => String::new(),
            };
            // What stood there before may have been longer.
            let end = if self.is_live { "\u{1b}[K" } else { "" };
            output::line(format_args!("{start}{}{end}", text.trim_end()));
        }
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
