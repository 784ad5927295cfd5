use std::sync::Arc;
use std::time::Duration;

use assay_chain::{Chain, PERMIT2};
use assay_primitives::{
    AccessToken, Clock, InferenceOutput, InferenceRequest, Method, Randomness, Timestamp, encoding,
};
use assay_receipt::{Bundle, ItemStatement, OutcomePolicy};
use assay_verify::{Expectation, Report, Verifier};
use assay_x402::{
    ChosenOffer, PAYMENT_REQUIRED, PAYMENT_SIGNATURE, Payment, PaymentRequired,
    PaymentRequirements, PaymentSigner, Permit2Standing, Preferences, SettleResponse, UPTO,
    choose_offer, decode_payment_required, pay, pay_upto,
};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Map;

use crate::ClientError;
use crate::announced::{self, Announced};
use crate::delivery::{Delivered, Expected, ItemResult, Sold, contents};
use crate::error::{DeliveryError, SignedPayment};
use crate::events::{Ended, Watch, follow, is_stream};
use crate::transaction::{self, ItemOrder};
use crate::wire::{
    Endpoint, MAX_ANSWER, NO_CODE, ReadError, WireError, described, from_wire, gateway_error,
    header, read, settlement, wire_error,
};

/// The pauses before a payment that was not answered is sent again. It is the same payment, so it
/// can be charged once and no more.
const RESEND: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];

/// How a buyer buys.
#[derive(Clone, Debug)]
pub struct BuyerConfig {
    /// How long one answer may take, proofs and settlement included.
    pub timeout: Duration,
    /// How long to wait for the bundle after the answer: while the settlement is pending, or the
    /// gateway cannot be reached.
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
    gateway: Endpoint,
    signer: Arc<dyn PaymentSigner>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    config: BuyerConfig,
    chain: Option<Chain>,
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

/// Several inferences to buy together.
#[derive(Clone, Debug)]
pub struct TransactionOrder {
    /// The items, each after those whose output it refers to.
    pub items: Vec<ItemOrder>,
    /// What becomes of the whole if one fails. Under `each` the payment is by the scheme `upto`, which the
    /// preferences have to allow.
    pub outcome_policy: OutcomePolicy,
    /// What may be spent on all of them.
    pub preferences: Preferences,
}

/// What was bought and verified: of one inference its output, of several each one's, in their order.
#[derive(Debug)]
#[non_exhaustive]
pub struct Bought<T = InferenceOutput> {
    /// The bundle's file.
    pub file: Vec<u8>,
    /// The bundle.
    pub bundle: Bundle,
    /// What verification found. Never a refusal.
    pub report: Report,
    /// What the model gave.
    pub output: T,
    /// What was paid.
    pub offer: PaymentRequirements,
    /// What became of the payment, by the gateway.
    pub settlement: Option<SettleResponse>,
    /// The token that opens the bundle at the gateway.
    pub access_token: AccessToken,
    /// How long the paid request took, until its answer.
    pub answered_in: Duration,
}

/// What is posted, and what is to be sold for it.
struct Question<'a> {
    path: Vec<&'a str>,
    body: &'a [u8],
    items: &'a [Expected<'a>],
    preferences: Preferences,
    outcome_policy: OutcomePolicy,
    /// The request of the only item.
    input: Option<InferenceRequest>,
    /// Who is told how far it is.
    watch: Option<Watch<'a>>,
}

/// A request that pays.
struct PaidRequest<'a> {
    question: &'a Question<'a>,
    announced: &'a [Announced],
    payment: &'a Payment,
    /// When it was signed.
    signed_at: Timestamp,
    access_token: &'a AccessToken,
    nonce: &'a str,
}

impl PaidRequest<'_> {
    fn signed(&self) -> SignedPayment {
        SignedPayment::new(self.payment, self.access_token)
    }
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
        let gateway = Endpoint::new(gateway, config.timeout)?;
        Ok(Self { gateway, signer, clock, randomness, config, chain: None })
    }

    /// Asks a chain how much Permit2 may move, before a payment of the scheme `upto` is signed there: where that
    /// is too little, a permit of the token for Permit2 goes along, if the seller takes one. Without a chain
    /// Permit2 has to have its allowance.
    #[must_use]
    pub fn asking(mut self, chain: Chain) -> Self {
        self.chain = Some(chain);
        self
    }

    /// Buys an inference and verifies what came.
    ///
    /// A payment that is not answered is sent again, the same one: it is charged once at the most.
    ///
    /// # Errors
    /// Says at which step it ended. After a payment was signed there are four ways, and each keeps
    /// what the buyer has in hand: [`ClientError::PaymentRefused`] and [`ClientError::NotServed`]
    /// when by the gateway's word nothing was charged, [`ClientError::Unanswered`] when nobody says
    /// what became of it, and [`ClientError::Undelivered`] when the payment was taken and no result
    /// to be believed came.
    pub async fn infer(
        &self,
        order: InferenceOrder,
        verifier: &Verifier,
    ) -> Result<Bought, ClientError> {
        let body = order.request.to_bytes().map_err(|error| protocol("a request", &error))?;
        let method = order.method.clone();
        let by_method = order
            .preferences
            .with_filter(move |offer| offer.extra_text("method") == Some(method.as_str()));
        let (model, method) = (&order.model, &order.method);
        let items = [Expected { id: None, model, method, timeout: None }];
        let question = Question {
            path: vec!["v2", "models", &order.model, "infer"],
            body: &body,
            items: &items,
            preferences: by_method,
            outcome_policy: OutcomePolicy::All,
            input: Some(order.request.clone()),
            watch: None,
        };
        self.buy(&question, verifier, |_, _, outputs| only(outputs)).await
    }

    /// Buys several inferences under one payment and one receipt, and verifies what came: that each item is
    /// the one that was ordered, asked what was ordered, with the outputs of others where it refers to them.
    /// `watch` is told how far the items are meanwhile.
    ///
    /// # Errors
    /// As [`infer`](Self::infer).
    pub async fn transact(
        &self,
        order: TransactionOrder,
        verifier: &Verifier,
        watch: Option<Watch<'_>>,
    ) -> Result<Bought<Vec<ItemResult>>, ClientError> {
        let body = transaction::body(&order.items, order.outcome_policy)?;
        let items: Vec<Expected<'_>> = order.items.iter().map(ItemOrder::expected).collect();
        let question = Question {
            path: vec!["v1", "transactions"],
            body: &body,
            items: &items,
            preferences: order.preferences.clone(),
            outcome_policy: order.outcome_policy,
            input: None,
            watch,
        };
        self.buy(&question, verifier, |bundle, statements, outputs| {
            transaction::check_inputs(&order.items, bundle, statements)?;
            Ok(outputs)
        })
        .await
    }

    /// Buys what is sold for a question; `accept` finds out whether it is what was asked, and takes of the
    /// items' outputs what is returned.
    async fn buy<T>(
        &self,
        question: &Question<'_>,
        verifier: &Verifier,
        accept: impl FnOnce(&Bundle, &[ItemStatement], Vec<ItemResult>) -> Result<T, DeliveryError>,
    ) -> Result<Bought<T>, ClientError> {
        let (asked, body) = self.ask(question).await?;
        let chosen = choose_offer(&asked, &question.preferences)?;
        let offer = chosen.offer.clone();
        let announced = announced::check(question.items, &asked, &body, chosen, verifier.policy())?;
        let (now, randomness) = (self.clock.now(), self.randomness.as_ref());
        let payment = self.pay(&asked, chosen).await?;
        let access_token = AccessToken::new(randomness)?;
        let nonce = encoding::hex(&randomness.array::<16>()?);

        let started = self.clock.monotonic();
        let paid = PaidRequest {
            question,
            announced: &announced,
            payment: &payment,
            signed_at: now,
            access_token: &access_token,
            nonce: &nonce,
        };
        let sold = self.send(&paid).await?;
        let answered_in = self.clock.monotonic().saturating_sub(started);
        let file = sold.fetch(&self.gateway, self.clock.as_ref(), self.config.pending).await?;
        let expectation = Expectation { input: question.input.clone(), nonce: Some(nonce.clone()) };
        let now = self.clock.now();
        let delivered = sold.check(file, verifier, &expectation, accept, now)?;
        let Delivered { file, bundle, report, output } = delivered;
        let settlement = sold.settlement;
        Ok(Bought { file, bundle, report, output, offer, settlement, access_token, answered_in })
    }

    /// Signs a payment of an offer, by its scheme.
    async fn pay(
        &self,
        asked: &PaymentRequired,
        chosen: ChosenOffer<'_>,
    ) -> Result<Payment, ClientError> {
        let (offer, additions) = (chosen.offer, Map::new());
        let (signer, randomness) = (self.signer.as_ref(), self.randomness.as_ref());
        let chain = self.chain.as_ref();
        let chain = chain.filter(|chain| offer.scheme == UPTO && *chain.network() == offer.network);
        let Some(chain) = chain else {
            let now = self.clock.now();
            return Ok(pay(asked, chosen, &additions, signer, now, randomness)?);
        };
        let token = offer.asset.as_str().parse();
        let token = token.map_err(|error| protocol("a token's address", &error))?;
        let (allowance, permit_nonce) = tokio::join!(
            chain.allowance(token, signer.address(), PERMIT2),
            chain.permit_nonce(token, signer.address())
        );
        let allowance = allowance.map_err(|error| ClientError::Chain(error.to_string()))?;
        // A token that knows no permits has no nonce of them.
        let standing = Permit2Standing { allowance, permit_nonce: permit_nonce.ok() };
        let edge = (self.clock.now(), randomness);
        Ok(pay_upto(asked, chosen, &additions, signer, edge, &standing)?)
    }

    /// Asks for the price; returns the body too, which has more to say of a transaction.
    async fn ask(
        &self,
        question: &Question<'_>,
    ) -> Result<(PaymentRequired, Vec<u8>), ClientError> {
        let response = self.post(question)?.send().await?;
        if response.status() != StatusCode::PAYMENT_REQUIRED {
            return Err(match response.status() {
                StatusCode::OK => protocol("402 Payment Required", &"200 OK"),
                _ => gateway_error(response).await,
            });
        }
        let header = header(&response, PAYMENT_REQUIRED)
            .ok_or_else(|| protocol("a PAYMENT-REQUIRED header", &"none"))?;
        let required = decode_payment_required(&header)?;
        let body = read(response, MAX_ANSWER).await.map_err(|error| match error {
            ReadError::BrokeOff(error) => ClientError::Http(described(error)),
            ReadError::TooLong(limit) => {
                protocol("a shorter answer", &format!("over {limit} bytes"))
            }
        })?;
        Ok((required, body))
    }

    /// Sends a payment until somebody says what became of it.
    async fn send<'a>(&self, paid: &PaidRequest<'a>) -> Result<Sold<'a>, ClientError> {
        let mut answer = self.send_once(paid).await;
        for pause in RESEND {
            match &answer {
                Err(ClientError::Http(_) | ClientError::Gateway { status: 429 | 500.., .. }) => {}
                _ => break,
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
            ClientError::Gateway { status, code, message } => {
                ClientError::NotServed { status, code, message, signed: paid.signed() }
            }
            other => other,
        })
    }

    async fn send_once<'a>(&self, paid: &PaidRequest<'a>) -> Result<Sold<'a>, ClientError> {
        let request = self
            .post(paid.question)?
            .header(PAYMENT_SIGNATURE, &paid.payment.header)
            .header("assay-nonce", paid.nonce)
            .header("assay-access-token-hash", paid.access_token.hash().to_string());
        let request = match paid.question.watch {
            Some(_) => request.header("accept", "text/event-stream"),
            None => request,
        };
        let response = request.send().await?;
        let settlement = settlement(&response);
        let sold = |transaction, settlement| Sold {
            transaction,
            settlement,
            access_token: paid.access_token,
            payment: paid.payment,
            signed_at: paid.signed_at,
            items: paid.question.items,
            announced: paid.announced,
            outcome_policy: paid.question.outcome_policy,
        };
        let failed = |status: u16, mut wire: WireError, settlement| {
            let transaction = wire.transaction.take().and_then(|id| id.parse().ok());
            match (wire.code.as_str(), transaction) {
                // On its way, or taken by this same request when it was sent before.
                ("settlement_pending" | "payment_already_used", Some(transaction)) => {
                    Ok(sold(transaction, settlement))
                }
                _ => Err(from_wire(status, wire)),
            }
        };
        match response.status() {
            StatusCode::OK => {
                let transaction = header(&response, "assay-transaction").map(|id| id.parse());
                let Some(Ok(transaction)) = transaction else {
                    let cause = "200 OK that names no transaction".to_owned();
                    return Err(unanswered(paid, cause));
                };
                let Some(watch) = paid.question.watch.filter(|_| is_stream(&response)) else {
                    return Ok(sold(transaction, settlement));
                };
                match follow(response, watch).await.map_err(ClientError::Http)? {
                    Ended::Result(settlement) => Ok(sold(transaction, settlement)),
                    Ended::Error(402 | 412, wire) => Err(refused_by(paid, wire, None)),
                    Ended::Error(status, wire) => failed(status, wire, None),
                }
            }
            // 412: Permit2 may not move as much.
            StatusCode::PAYMENT_REQUIRED | StatusCode::PRECONDITION_FAILED => {
                Err(refused(paid, response, settlement).await)
            }
            status => failed(status.as_u16(), wire_error(response).await, settlement),
        }
    }

    fn post(&self, question: &Question<'_>) -> Result<RequestBuilder, ClientError> {
        let url = self.gateway.url(&question.path)?;
        let request = self.gateway.http.post(url).header("content-type", "application/json");
        let request = match question.items {
            [Expected { id: None, method, .. }] => request.header("assay-method", method.as_str()),
            _ => request,
        };
        Ok(request.body(question.body.to_vec()))
    }
}

/// Returns the output of the only item.
fn only(outputs: Vec<ItemResult>) -> Result<InferenceOutput, DeliveryError> {
    match outputs.into_iter().next() {
        Some(Ok(output)) => Ok(output),
        Some(Err(failed)) => Err(contents("an output", &format!("failed: {}", failed.reason))),
        None => Err(contents("an output", &"none")),
    }
}

/// What a 402 to a payment says: the reason of the settlement, or else of the refusal.
async fn refused(
    paid: &PaidRequest<'_>,
    response: Response,
    settlement: Option<SettleResponse>,
) -> ClientError {
    let required = header(&response, PAYMENT_REQUIRED);
    let required = required.and_then(|header| decode_payment_required(&header).ok()?.error);
    let wire = wire_error(response).await;
    let settled = settlement.and_then(|settlement| settlement.error_reason);
    let reason = settled.map(|reason| reason.as_str().to_owned());
    let reason = reason.or_else(|| wire.reason.clone()).or(required);
    refused_by(paid, wire, reason)
}

fn refused_by(paid: &PaidRequest<'_>, wire: WireError, reason: Option<String>) -> ClientError {
    let reason = reason.or(wire.reason).unwrap_or_else(|| "no reason given".to_owned());
    ClientError::PaymentRefused { reason, message: wire.error, signed: paid.signed() }
}

fn unanswered(paid: &PaidRequest<'_>, cause: String) -> ClientError {
    ClientError::Unanswered { cause, signed: paid.signed() }
}

fn protocol(expected: &'static str, got: &dyn std::fmt::Display) -> ClientError {
    ClientError::Protocol { expected, got: got.to_string() }
}
