use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{
    AccessToken, Clock, InferenceOutput, InferenceRequest, Method, Randomness, Timestamp, encoding,
};
use assay_receipt::Bundle;
use assay_verify::{Expectation, Report, Verdict, Verifier};
use assay_x402::{
    PAYMENT_REQUIRED, PAYMENT_RESPONSE, PAYMENT_SIGNATURE, Payment, PaymentRequirements,
    PaymentSigner, Preferences, SettleResponse, choose_offer, decode_payment_required,
    decode_payment_response, pay,
};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::Map;
use url::Url;

use crate::ClientError;

/// The most bytes a bundle may have.
const MAX_BUNDLE: usize = 256 << 20;
/// The most bytes any other answer may have.
const MAX_ANSWER: usize = 1 << 20;
/// How often a pending result is asked for.
const POLL: Duration = Duration::from_millis(500);
/// The pauses before a payment that was not answered is sent again. It is the same payment, so it
/// can be charged once and no more.
const RESEND: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];

/// How a buyer buys.
#[derive(Clone, Debug)]
pub struct BuyerConfig {
    /// How long one answer may take, proofs and settlement included.
    pub timeout: Duration,
    /// How long to wait for a settlement that is pending.
    pub pending: Duration,
}

impl Default for BuyerConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(120), pending: Duration::from_secs(60) }
    }
}

/// Buys inferences at one gateway.
#[derive(Debug)]
pub struct Buyer {
    gateway: Url,
    http: reqwest::Client,
    signer: Arc<dyn PaymentSigner>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    config: BuyerConfig,
}

/// An inference to buy.
#[derive(Clone, Debug)]
pub struct InferenceOrder {
    /// The model's name.
    pub model: String,
    /// How it is to be certified.
    pub method: Method,
    /// What it is asked.
    pub request: InferenceRequest,
    /// What may be spent on it. Only offers by the method are looked at.
    pub preferences: Preferences,
}

/// An inference that was bought and verified.
#[derive(Debug)]
#[non_exhaustive]
pub struct Bought {
    /// The bundle's file.
    pub file: Vec<u8>,
    /// The bundle.
    pub bundle: Bundle,
    /// What verification found. Never a refusal.
    pub report: Report,
    /// What the model gave.
    pub output: InferenceOutput,
    /// What was paid.
    pub offer: PaymentRequirements,
    /// What became of the payment, by the gateway.
    pub settlement: Option<SettleResponse>,
    /// The token that opens the bundle at the gateway.
    pub access_token: AccessToken,
    /// How long the paid request took, until its answer.
    pub answered_in: Duration,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default)]
    error: String,
    #[serde(default = "no_code")]
    code: String,
    #[serde(default, rename = "transactionId")]
    transaction: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    state: Option<String>,
}

/// Stands for the code of an answer that has none.
const NO_CODE: &str = "no code";

fn no_code() -> String {
    NO_CODE.to_owned()
}

/// A request that pays.
struct PaidRequest<'a> {
    order: &'a InferenceOrder,
    body: &'a [u8],
    payment: &'a Payment,
    access_token: &'a AccessToken,
    nonce: &'a str,
}

/// What a paid request came to.
struct Answer {
    transaction: String,
    settlement: Option<SettleResponse>,
}

impl Buyer {
    /// Makes a buyer.
    ///
    /// # Errors
    /// When the URL is none, or no HTTP client can be made.
    pub fn new(
        gateway: &str,
        signer: Arc<dyn PaymentSigner>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
        config: BuyerConfig,
    ) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url(gateway.chars().take(128).collect());
        let gateway = Url::parse(gateway).map_err(|_| wrong())?;
        if !matches!(gateway.scheme(), "http" | "https") || gateway.cannot_be_a_base() {
            return Err(wrong());
        }
        let http = assay_chain::http_client(&gateway, Duration::from_secs(5), config.timeout)
            .map_err(|error| ClientError::Http(error.to_string()))?;
        Ok(Self { gateway, http, signer, clock, randomness, config })
    }

    /// Buys an inference and verifies what came.
    ///
    /// A payment that is not answered is sent again, the same one: it is charged once at the most.
    ///
    /// # Errors
    /// Says at which step it ended. After a payment was signed,
    /// [`ClientError::PaymentRefused`] and [`ClientError::Gateway`] say that by the gateway's word
    /// nothing was charged; after any other error it may have been.
    pub async fn infer(
        &self,
        order: InferenceOrder,
        verifier: &Verifier,
    ) -> Result<Bought, ClientError> {
        let body = order.request.to_bytes().map_err(|error| protocol("a request", &error))?;
        let asked = self.ask(&order, &body).await?;
        let method = order.method.clone();
        let preferences = order
            .preferences
            .clone()
            .with_filter(move |offer| offer.extra_text("method") == Some(method.as_str()));
        let chosen = choose_offer(&asked, &preferences)?;
        let offer = chosen.offer.clone();
        let now = self.clock.now();
        let randomness = self.randomness.as_ref();
        let payment = pay(&asked, chosen, &Map::new(), self.signer.as_ref(), now, randomness)?;
        let access_token = AccessToken::new(randomness)?;
        let nonce = encoding::hex(&randomness.array::<16>()?);

        let started = self.clock.monotonic();
        let paid = PaidRequest {
            order: &order,
            body: &body,
            payment: &payment,
            access_token: &access_token,
            nonce: &nonce,
        };
        let answer = self.send(&paid).await?;
        let answered_in = self.clock.monotonic().saturating_sub(started);
        let file = self.fetch(&answer.transaction, &access_token).await?;
        let expectation = Expectation { input: Some(order.request), nonce: Some(nonce) };
        let (bundle, report) = verify(verifier, &file, &expectation, self.clock.now())?;
        check_payment(&report, &bundle, &payment)?;
        let output = output(&bundle)?;
        let settlement = answer.settlement;
        Ok(Bought { file, bundle, report, output, offer, settlement, access_token, answered_in })
    }

    async fn ask(
        &self,
        order: &InferenceOrder,
        body: &[u8],
    ) -> Result<assay_x402::PaymentRequired, ClientError> {
        let response = self.post(order, body)?.send().await?;
        if response.status() != StatusCode::PAYMENT_REQUIRED {
            return Err(match response.status() {
                StatusCode::OK => protocol("402 Payment Required", &"200 OK"),
                _ => gateway_error(response).await,
            });
        }
        let header = header(&response, PAYMENT_REQUIRED)
            .ok_or_else(|| protocol("a PAYMENT-REQUIRED header", &"none"))?;
        Ok(decode_payment_required(&header)?)
    }

    /// Sends a payment until somebody says what became of it.
    async fn send(&self, paid: &PaidRequest<'_>) -> Result<Answer, ClientError> {
        let mut answer = self.send_once(paid).await;
        for pause in RESEND {
            match &answer {
                Err(ClientError::Http(_) | ClientError::Gateway { status: 429 | 500.., .. }) => {}
                _ => return answer,
            }
            tokio::time::sleep(pause).await;
            answer = self.send_once(paid).await;
        }
        answer.map_err(|error| match error {
            ClientError::Http(cause) => unanswered(paid, cause),
            // What a gateway of this project says is its word; a proxy's 5xx says nothing.
            ClientError::Gateway { status: 500.., ref code, .. } if code == NO_CODE => {
                unanswered(paid, error.to_string())
            }
            other => other,
        })
    }

    async fn send_once(&self, paid: &PaidRequest<'_>) -> Result<Answer, ClientError> {
        let request = self
            .post(paid.order, paid.body)?
            .header(PAYMENT_SIGNATURE, &paid.payment.header)
            .header("assay-nonce", paid.nonce)
            .header("assay-access-token-hash", paid.access_token.hash().to_string());
        let response = request.send().await?;
        let settlement = header(&response, PAYMENT_RESPONSE)
            .map(|header| decode_payment_response(&header))
            .transpose()?;
        match response.status() {
            StatusCode::OK => {
                let transaction = header(&response, "assay-transaction")
                    .ok_or_else(|| protocol("an Assay-Transaction header", &"none"))?;
                Ok(Answer { transaction, settlement })
            }
            StatusCode::PAYMENT_REQUIRED => Err(refused(response, settlement).await),
            status => {
                let mut wire = wire_error(response).await;
                match (wire.code.as_str(), wire.transaction.take()) {
                    // On its way, or taken by this same request when it was sent before.
                    ("settlement_pending" | "payment_already_used", Some(transaction)) => {
                        Ok(Answer { transaction, settlement })
                    }
                    _ => Err(from_wire(status.as_u16(), wire)),
                }
            }
        }
    }

    /// Fetches the bundle, waiting for a settlement that is pending.
    async fn fetch(
        &self,
        transaction: &str,
        access_token: &AccessToken,
    ) -> Result<Vec<u8>, ClientError> {
        let url = self.url(&["v1", "receipts", transaction])?;
        let deadline = self.clock.monotonic() + self.config.pending;
        loop {
            let request = self.http.get(url.clone()).bearer_auth(access_token.reveal());
            let response = request.send().await?;
            match response.status() {
                StatusCode::OK => return read(response, MAX_BUNDLE).await,
                StatusCode::CONFLICT => {
                    let wire = wire_error(response).await;
                    if matches!(wire.state.as_deref(), Some("failed" | "failing")) {
                        let reason = "settlement_failed".to_owned();
                        return Err(ClientError::PaymentRefused { reason, message: wire.error });
                    }
                }
                _ => return Err(gateway_error(response).await),
            }
            if self.clock.monotonic() >= deadline {
                let (transaction, access_token) = (transaction.to_owned(), access_token.reveal());
                return Err(ClientError::Pending { transaction, access_token });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn post(&self, order: &InferenceOrder, body: &[u8]) -> Result<RequestBuilder, ClientError> {
        let url = self.url(&["v2", "models", &order.model, "infer"])?;
        Ok(self
            .http
            .post(url)
            .header("content-type", "application/json")
            .header("assay-method", order.method.as_str())
            .body(body.to_vec()))
    }

    fn url(&self, segments: &[&str]) -> Result<Url, ClientError> {
        let mut url = self.gateway.clone();
        url.set_query(None);
        url.path_segments_mut()
            .map_err(|()| ClientError::Url(self.gateway.to_string()))?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }
}

fn verify(
    verifier: &Verifier,
    file: &[u8],
    expectation: &Expectation,
    now: Timestamp,
) -> Result<(Bundle, Report), ClientError> {
    let report = verifier.verify(file, expectation, now)?;
    if let Verdict::Refused(refusal) = report.verdict {
        return Err(ClientError::Refused(refusal));
    }
    let bundle = Bundle::from_bytes(file).map_err(|error| protocol("a bundle", &error))?;
    Ok((bundle, report))
}

/// The receipt has to be about the authorisation that was signed here, not merely about one.
fn check_payment(report: &Report, bundle: &Bundle, payment: &Payment) -> Result<(), ClientError> {
    let receipt = assay_receipt::Receipt::from_bytes(&bundle.receipt.payload)
        .map_err(|error| protocol("a receipt", &error))?;
    let got = &receipt.predicate().authorization;
    let accepted = &payment.payload.accepted;
    let signed = &payment.authorization;
    let same = |field, expected: String, got: String| {
        if expected.eq_ignore_ascii_case(&got) {
            Ok(())
        } else {
            Err(ClientError::OtherPayment { field, expected, got })
        }
    };
    same("nonce", signed.nonce.to_string(), got.nonce.clone())?;
    same("payer", signed.from.to_string(), got.payer.to_string())?;
    same("payTo", signed.to.to_string(), got.pay_to.to_string())?;
    same("amount", accepted.amount.to_string(), got.amount.to_string())?;
    same("network", accepted.network.to_string(), got.network.to_string())?;
    same("asset", accepted.asset.to_string(), got.asset.to_string())?;
    let wanted = accepted.extra_text("method").unwrap_or_default().to_owned();
    let method = report.items.first().map(|item| item.method.to_string());
    same("method", wanted, method.unwrap_or_default())
}

fn output(bundle: &Bundle) -> Result<InferenceOutput, ClientError> {
    let bytes = bundle.items.first().and_then(|item| item.output.as_deref());
    let bytes = bytes.ok_or_else(|| protocol("an output", &"none"))?;
    InferenceOutput::from_bytes(bytes).map_err(|error| protocol("an output", &error))
}

/// What a 402 to a payment says: the reason of the settlement, or else of the refusal.
async fn refused(response: Response, settlement: Option<SettleResponse>) -> ClientError {
    let required = header(&response, PAYMENT_REQUIRED);
    let required = required.and_then(|header| decode_payment_required(&header).ok()?.error);
    let wire = wire_error(response).await;
    let settled = settlement.and_then(|settlement| settlement.error_reason);
    let reason = settled.map(|reason| reason.as_str().to_owned()).or(wire.reason).or(required);
    let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
    ClientError::PaymentRefused { reason, message: wire.error }
}

fn unanswered(paid: &PaidRequest<'_>, cause: String) -> ClientError {
    let authorization = &paid.payment.authorization;
    ClientError::Unanswered {
        cause,
        nonce: authorization.nonce.to_string(),
        valid_before: Timestamp::from_seconds(authorization.valid_before.saturating_to()),
        access_token: paid.access_token.reveal(),
    }
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

async fn gateway_error(response: Response) -> ClientError {
    let status = response.status().as_u16();
    from_wire(status, wire_error(response).await)
}

async fn wire_error(response: Response) -> WireError {
    let body = read(response, MAX_ANSWER).await.unwrap_or_default();
    serde_json::from_slice(&body).unwrap_or_else(|_| WireError {
        error: String::from_utf8_lossy(&body).chars().take(200).collect(),
        code: no_code(),
        transaction: None,
        reason: None,
        state: None,
    })
}

fn from_wire(status: u16, wire: WireError) -> ClientError {
    ClientError::Gateway { status, code: wire.code, message: wire.error }
}

fn protocol(expected: &'static str, got: &dyn std::fmt::Display) -> ClientError {
    ClientError::Protocol { expected, got: got.to_string() }
}

async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(protocol("a shorter answer", &format!("more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
