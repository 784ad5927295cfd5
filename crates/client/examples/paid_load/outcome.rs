//! What came of a request.

use std::time::Duration;

use assay_primitives::Digest;
use assay_x402::{PAYMENT_RESPONSE, decode_payment_response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::connections::Answer;

/// What came of a request.
pub(crate) struct Outcome {
    /// Its place in the plan.
    pub(crate) number: usize,
    /// How late it was sent.
    pub(crate) late: Duration,
    /// From the moment it was due to the end of the answer.
    pub(crate) took: Duration,
    /// What was answered.
    pub(crate) told: Told,
}

/// What was answered, or why nothing was.
#[derive(Default)]
pub(crate) struct Told {
    /// The HTTP status; 0 when there was no answer.
    pub(crate) status: u16,
    /// The error's code and reason; `ok` for a result.
    pub(crate) code: String,
    /// The id of the gateway's transaction.
    pub(crate) transaction: Option<String>,
    /// The chain's transaction, by the gateway's word.
    pub(crate) settlement: Option<String>,
    /// SHA-256 of the output in the spelling that receipts commit to.
    pub(crate) output: Option<Digest>,
}

/// A line of the file about single requests.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line<'a> {
    pub(crate) number: usize,
    pub(crate) payer: String,
    pub(crate) nonce: String,
    pub(crate) status: u16,
    pub(crate) code: &'a str,
    pub(crate) transaction: Option<&'a str>,
    pub(crate) settlement: Option<&'a str>,
    pub(crate) output: Option<String>,
    pub(crate) microseconds: u128,
}

#[derive(Deserialize)]
struct Result200<'a> {
    #[serde(borrow)]
    outputs: Vec<Output<'a>>,
}

/// An output tensor, in the order of a commitment's spelling.
#[derive(Deserialize, Serialize)]
struct Output<'a> {
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow)]
    shape: &'a RawValue,
    #[serde(borrow)]
    datatype: &'a RawValue,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Serialize)]
struct Committed<'a> {
    outputs: Vec<Output<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody {
    code: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    transaction_id: Option<String>,
}

impl Told {
    /// Reads an answer.
    pub(crate) fn of(answer: &Answer) -> Self {
        let header = |name: &str| answer.headers.get(name)?.to_str().ok();
        let settlement =
            header(PAYMENT_RESPONSE).and_then(|text| decode_payment_response(text).ok());
        let settlement = settlement.map(|told| told.transaction).filter(|hash| !hash.is_empty());
        let transaction = header("assay-transaction").map(str::to_owned);
        let told =
            Self { status: answer.status.as_u16(), settlement, transaction, ..Self::default() };
        if told.status == 200 {
            let output = output_digest(&answer.body);
            let code = if output.is_some() { "ok" } else { "not a result" };
            return Self { code: code.to_owned(), output, ..told };
        }
        let Ok(body) = serde_json::from_slice::<ErrorBody>(&answer.body) else {
            return Self { code: "no code".to_owned(), ..told };
        };
        let code = match body.reason {
            Some(reason) => format!("{}: {reason}", body.code),
            None => body.code,
        };
        Self { code, transaction: told.transaction.or(body.transaction_id), ..told }
    }

    /// Says that there was no answer.
    pub(crate) fn nothing(why: String) -> Self {
        Self { code: why, ..Self::default() }
    }

    pub(crate) const fn is_result(&self) -> bool {
        self.output.is_some()
    }
}

/// Returns the digest of an answer's outputs as a receipt's output commitment spells them.
fn output_digest(body: &[u8]) -> Option<Digest> {
    let Result200 { outputs } = serde_json::from_slice(body).ok()?;
    serde_json::to_vec(&Committed { outputs }).ok().map(|bytes| Digest::of(&bytes))
}
