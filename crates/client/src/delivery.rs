//! From a payment that was taken to a result that is believed.

use std::time::Duration;

use assay_primitives::{
    AccessToken, Clock, InferenceOutput, ItemId, Method, Timestamp, TransactionId, printable,
};
use assay_receipt::{
    Bundle, BundleItem, ItemStatement, Outcome, OutcomePolicy, Receipt, TIMEOUT_BELOW_FLOOR,
};
use assay_verify::{CLOCK_TOLERANCE, Expectation, Report, Verdict, Verifier};
use assay_x402::{Payment, SettleResponse};
use reqwest::{Response, StatusCode};

use crate::announced::Announced;
use crate::error::{ClientError, DeliveryError, SignedPayment, Undelivered};
use crate::wire::{Endpoint, ReadError, described, read, wire_error};

/// The most bytes a bundle may have.
pub(crate) const MAX_BUNDLE: usize = 256 << 20;
/// How often a result that is not there yet is asked for.
const POLL: Duration = Duration::from_millis(500);

/// An inference that a gateway took the payment for: from here on every error keeps what the buyer needs to get his
/// result, or to show that he did not.
pub(crate) struct Sold<'a> {
    pub(crate) transaction: TransactionId,
    pub(crate) settlement: Option<SettleResponse>,
    pub(crate) access_token: &'a AccessToken,
    pub(crate) payment: &'a Payment,
    /// When the payment was signed.
    pub(crate) signed_at: Timestamp,
    /// What was ordered.
    pub(crate) items: &'a [Expected<'a>],
    /// What was announced of each, where anything was.
    pub(crate) announced: &'a [Announced],
    /// What was to become of the whole if an item failed.
    pub(crate) outcome_policy: OutcomePolicy,
}

/// What became of an item.
pub type ItemResult = Result<InferenceOutput, FailedItem>;

/// An item that failed, of a transaction whose other items were bought without it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FailedItem {
    /// Why, a short code of the receipt's.
    pub reason: String,
    /// Whether it was charged, as its buyer gave it too little time or cancelled it.
    pub is_charged: bool,
}

/// An item as it was ordered.
pub(crate) struct Expected<'a> {
    pub(crate) id: Option<&'a ItemId>,
    pub(crate) model: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) timeout: Option<Duration>,
}

/// A bundle that verifies, and is about the payment that was made.
pub(crate) struct Delivered<T> {
    pub(crate) file: Vec<u8>,
    pub(crate) bundle: Bundle,
    pub(crate) report: Report,
    /// What was accepted of the items' outputs.
    pub(crate) output: T,
}

/// What one question for the bundle came to.
enum Asked {
    Bundle(Vec<u8>),
    NotYet(String),
    SettlementFailed(String),
    /// Nothing was charged, by the gateway's word: HTTP status, code and words.
    GivenUp(u16, String, String),
    Never(DeliveryError),
}

impl Sold<'_> {
    fn lost(&self, file: Option<Vec<u8>>, cause: DeliveryError) -> ClientError {
        ClientError::Undelivered(Box::new(Undelivered {
            transaction: self.transaction,
            access_token: self.access_token.reveal(),
            settlement: self.settlement.clone(),
            file,
            cause,
        }))
    }

    /// Fetches the bundle. A settlement that is pending, a gateway that starts anew and a line that
    /// breaks are waited for.
    pub(crate) async fn fetch(
        &self,
        gateway: &Endpoint,
        clock: &dyn Clock,
        patience: Duration,
    ) -> Result<Vec<u8>, ClientError> {
        let url = gateway.url(&["v1", "receipts", &self.transaction.to_string()])?;
        let deadline = clock.monotonic() + patience;
        loop {
            let request = gateway.http.get(url.clone()).bearer_auth(self.access_token.reveal());
            let asked = match request.send().await {
                Ok(response) => asked(response).await,
                Err(error) => Asked::NotYet(described(error)),
            };
            let cause = match asked {
                Asked::Bundle(file) => return Ok(file),
                Asked::SettlementFailed(message) => {
                    let reason = "settlement_failed".to_owned();
                    let signed = SignedPayment::new(self.payment, self.access_token);
                    return Err(ClientError::PaymentRefused { reason, message, signed });
                }
                Asked::GivenUp(status, code, message) => {
                    let signed = SignedPayment::new(self.payment, self.access_token);
                    return Err(ClientError::NotServed { status, code, message, signed });
                }
                Asked::Never(cause) => return Err(self.lost(None, cause)),
                Asked::NotYet(cause) => cause,
            };
            if clock.monotonic() >= deadline {
                return Err(self.lost(None, DeliveryError::Late(cause)));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Verifies a bundle, and that it is about this payment and no other; `accept` has the last word, and
    /// takes what it wants of the items' outputs.
    pub(crate) fn check<T>(
        &self,
        file: Vec<u8>,
        verifier: &Verifier,
        expectation: &Expectation,
        accept: impl FnOnce(&Bundle, &[ItemStatement], Vec<ItemResult>) -> Result<T, DeliveryError>,
        now: Timestamp,
    ) -> Result<Delivered<T>, ClientError> {
        match self.examine(&file, verifier, expectation, accept, now) {
            Ok((bundle, report, output)) => Ok(Delivered { file, bundle, report, output }),
            Err(cause) => Err(self.lost(Some(file), cause)),
        }
    }

    fn examine<T>(
        &self,
        file: &[u8],
        verifier: &Verifier,
        expectation: &Expectation,
        accept: impl FnOnce(&Bundle, &[ItemStatement], Vec<ItemResult>) -> Result<T, DeliveryError>,
        now: Timestamp,
    ) -> Result<(Bundle, Report, T), DeliveryError> {
        let report = verifier.verify(file, expectation, now)?;
        if let Verdict::Refused(refusal) = report.verdict {
            return Err(DeliveryError::Refused(refusal));
        }
        let bundle = Bundle::from_bytes(file).map_err(|error| contents("a bundle", &error))?;
        self.check_order(&report, &bundle)?;
        let statements = bundle.items.iter().map(|item| {
            ItemStatement::from_bytes(&item.statement)
                .map_err(|e| contents("an item statement", &e))
        });
        let statements = statements.collect::<Result<Vec<_>, _>>()?;
        self.check_quoted(&statements, report.issued_at)?;
        let outputs = bundle.items.iter().zip(&statements).map(output);
        let outputs = outputs.collect::<Result<_, _>>()?;
        let output = accept(&bundle, &statements, outputs)?;
        Ok((bundle, report, output))
    }

    /// The receipt has to be about the authorisation that was signed here, not merely about one, not from
    /// before it, and about the model and the method that were asked for.
    fn check_order(&self, report: &Report, bundle: &Bundle) -> Result<(), DeliveryError> {
        let receipt =
            Receipt::from_bytes(&bundle.receipt.payload).map_err(|e| contents("a receipt", &e))?;
        let (issued_at, signed_at) = (receipt.predicate().issued_at, self.signed_at);
        if issued_at.plus(CLOCK_TOLERANCE) < signed_at {
            return Err(DeliveryError::Backdated { issued_at, signed_at });
        }
        let got = &receipt.predicate().authorization;
        let accepted = &self.payment.payload.accepted;
        let signed = &self.payment.signed;
        same("nonce", signed.nonce().to_string(), got.nonce.clone())?;
        same("payer", signed.payer().to_string(), got.payer.to_string())?;
        same("payTo", signed.pay_to().to_string(), got.pay_to.to_string())?;
        same("amount", accepted.amount.to_string(), got.amount.to_string())?;
        same("network", accepted.network.to_string(), got.network.to_string())?;
        same("asset", accepted.asset.to_string(), got.asset.to_string())?;
        let policy = |policy: OutcomePolicy| policy.as_str().to_owned();
        let got = policy(receipt.predicate().outcome_policy);
        same("outcomePolicy", policy(self.outcome_policy), got)?;
        same("items", self.items.len().to_string(), report.items.len().to_string())?;
        for (ordered, item) in self.items.iter().zip(&report.items) {
            let id = |id: Option<&ItemId>| id.map(ToString::to_string).unwrap_or_default();
            same("id", id(ordered.id), id(item.id.as_ref()))?;
            same("method", ordered.method.to_string(), item.method.to_string())?;
            same("model", ordered.model.to_owned(), item.model.name.clone())?;
        }
        Ok(())
    }

    /// Of several items each has to be what was quoted for it, at its price; and what failed may be charged only
    /// where too little time was given to it here.
    fn check_quoted(
        &self,
        statements: &[ItemStatement],
        issued_at: Option<Timestamp>,
    ) -> Result<(), DeliveryError> {
        for (index, (ordered, statement)) in self.items.iter().zip(statements).enumerate() {
            let details = &statement.details;
            let quoted = self.announced.get(index);
            if let Some(quoted) = quoted {
                same("price", quoted.amount.to_string(), details.price.amount.to_string())?;
            }
            if let Some(quoted) = quoted.filter(|_| ordered.id.is_some()) {
                same("model id", quoted.model_id.to_string(), details.model.id().to_string())?;
            }
            let Outcome::Failed { reason } = &details.outcome else { continue };
            let floor = quoted.and_then(|quoted| quoted.timeout_floor);
            let is_short = ordered.timeout.is_some_and(|timeout| {
                // It had its time, too: the receipt is not from before its end.
                let end = self.signed_at.plus(timeout);
                let has_ended = |at: Timestamp| at.plus(CLOCK_TOLERANCE) >= end;
                floor > Some(timeout) && issued_at.is_some_and(has_ended)
            });
            let may_charge = is_short && reason == TIMEOUT_BELOW_FLOOR;
            if details.usage.inferences > 0 && !may_charge {
                let expected = "nothing charged for what the seller failed to do".to_owned();
                let got = format!("failed: {}, and charged", printable(reason, 64));
                return Err(DeliveryError::OtherOrder { field: "usage", expected, got });
            }
        }
        Ok(())
    }
}

fn same(field: &'static str, expected: String, got: String) -> Result<(), DeliveryError> {
    if expected.eq_ignore_ascii_case(&got) {
        Ok(())
    } else {
        Err(DeliveryError::OtherOrder { field, expected, got })
    }
}

async fn asked(response: Response) -> Asked {
    let status = response.status();
    if status == StatusCode::OK {
        return match read(response, MAX_BUNDLE).await {
            Ok(file) => Asked::Bundle(file),
            Err(ReadError::BrokeOff(error)) => Asked::NotYet(described(error)),
            Err(ReadError::TooLong(limit)) => Asked::Never(DeliveryError::TooLong(limit)),
        };
    }
    let wire = wire_error(response).await;
    match status {
        StatusCode::CONFLICT if matches!(wire.state.as_deref(), Some("failed" | "failing")) => {
            Asked::SettlementFailed(wire.error)
        }
        StatusCode::CONFLICT if wire.code == "given_up" => {
            Asked::GivenUp(status.as_u16(), wire.code, wire.error)
        }
        StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Asked::NotYet(wire.error)
        }
        status if status.is_server_error() => Asked::NotYet(format!("{status}: {}", wire.error)),
        status => Asked::Never(DeliveryError::Gateway {
            status: status.as_u16(),
            code: wire.code,
            message: wire.error,
        }),
    }
}

fn output((item, statement): (&BundleItem, &ItemStatement)) -> Result<ItemResult, DeliveryError> {
    if let Outcome::Failed { reason } = &statement.details.outcome {
        let is_charged = statement.details.usage.inferences > 0;
        return Ok(Err(FailedItem { reason: printable(reason, 64), is_charged }));
    }
    let bytes = item.output.as_deref().ok_or_else(|| contents("an output", &"none"))?;
    let output = InferenceOutput::from_bytes(bytes);
    output.map(Ok).map_err(|error| contents("an output", &error))
}

pub(crate) fn contents(expected: &'static str, got: &dyn std::fmt::Display) -> DeliveryError {
    DeliveryError::Contents { expected, got: got.to_string() }
}
