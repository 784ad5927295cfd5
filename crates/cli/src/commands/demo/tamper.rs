use assay_primitives::{ItemId, Timestamp};
use assay_receipt::{Bundle, ItemStatement};
use assay_verify::{Expectation, Refusal, Verifier};
use serde::Serialize;

use crate::error::CliError;

/// What became of a bundle with one byte changed.
#[derive(Serialize)]
pub(super) struct Tampered {
    pub(super) item: Option<ItemId>,
    pub(super) byte: usize,
    pub(super) from: char,
    pub(super) to: char,
    pub(super) refusal: Refusal,
}

/// Changes one byte of an item's output in the bundle's file, and verifies it again.
pub(super) fn tamper(
    bought: &Bundle,
    index: usize,
    verifier: &Verifier,
    now: Timestamp,
) -> Result<Tampered, CliError> {
    let mut bundle = bought.clone();
    let nothing = || CliError::Failed("there is no output".to_owned());
    let item = bundle.items.get_mut(index).ok_or_else(nothing)?;
    let statement = ItemStatement::from_bytes(&item.statement).map_err(CliError::failed)?;
    let output = item.output.as_mut().ok_or_else(nothing)?;
    // The first digit of the first number of the output's data.
    let data = output.windows(8).position(|window| window == b"\"data\":[").unwrap_or_default();
    let at = output.iter().skip(data).position(u8::is_ascii_digit).unwrap_or_default() + data;
    let byte = output.get_mut(at).ok_or_else(nothing)?;
    let from = char::from(*byte);
    // Never to 0: a number may not begin with one.
    *byte = if *byte == b'9' { b'1' } else { *byte + 1 };
    let to = char::from(*byte);
    let file = bundle.to_bytes().map_err(CliError::failed)?;
    let report = verifier.verify(&file, &Expectation::default(), now).map_err(CliError::failed)?;
    match report.refusal {
        Some(refusal) => Ok(Tampered { item: statement.details.id, byte: at, from, to, refusal }),
        None => Err(CliError::Failed("a changed output was not refused".to_owned())),
    }
}
