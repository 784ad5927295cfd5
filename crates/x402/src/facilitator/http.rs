use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use assay_chain::{B256, Chain, TransactionOutcome, http_client};
use async_trait::async_trait;
use reqwest::header::RETRY_AFTER;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;
use url::Url;

use super::examine::Examiner;
use super::{
    Facilitator, FacilitatorError, SettleError, Settled, SettlementIntent, VerifiedPayment,
};
use crate::wire::shown;
use crate::{
    CheckedPayment, ErrorReason, SettleResponse, SupportedResponse, VerifyRequest, VerifyResponse,
    X402_VERSION,
};

/// More than any answer of a facilitator.
const MAX_ANSWER: usize = 256 * 1024;
/// How often `/supported` is asked while it answers 429, and the bounds of the pause.
const SUPPORTED_ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A remote facilitator, and how to reach it.
#[derive(Clone)]
pub struct HttpConfig {
    /// Its base URL: `/verify`, `/settle` and `/supported` are appended.
    pub url: Url,
    /// Sent as `Authorization: Bearer …`, if it wants that.
    pub bearer: Option<String>,
    /// The time a connection may take. 5 seconds by default.
    pub connect_timeout: Duration,
    /// The time a request may take. 90 seconds by default, as settling waits for blocks.
    pub timeout: Duration,
    /// How many blocks have to hold a settlement, where there is a chain to ask. 1 by default.
    pub confirmations: u64,
    /// How long one's own node may take to show what the facilitator says is mined. 20 seconds by
    /// default.
    pub catch_up: Duration,
}

/// Verifies and settles through a remote service. With a chain it believes the chain; without one
/// it has to believe the service, and cannot reconcile.
#[derive(Clone, Debug)]
pub struct HttpFacilitator {
    config: HttpConfig,
    http: reqwest::Client,
    chain: Option<Chain>,
}

/// An exchange that gave no answer in the protocol.
struct Exchange {
    /// Whether the service may have acted on the request.
    may_have_acted: bool,
    detail: String,
    retry_after: Option<Duration>,
}

impl HttpConfig {
    /// Returns the defaults for a URL.
    #[must_use]
    pub const fn new(url: Url) -> Self {
        Self {
            url,
            bearer: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(90),
            confirmations: 1,
            catch_up: Duration::from_secs(20),
        }
    }
}

impl HttpFacilitator {
    /// Makes a client of a remote facilitator, with a chain to check what it says.
    ///
    /// # Errors
    /// When the system's TLS configuration cannot be used.
    pub fn new(config: HttpConfig, chain: Option<Chain>) -> Result<Self, FacilitatorError> {
        let http = http_client(&config.url, config.connect_timeout, config.timeout)
            .map_err(|error| FacilitatorError::Operator { detail: describe(&error) })?;
        Ok(Self { config, http, chain })
    }

    async fn post<R: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<R, Exchange> {
        self.exchange(self.http.post(self.endpoint(path)).json(body)).await
    }

    /// Sends a request. An answer in the protocol counts whatever its HTTP status is.
    async fn exchange<R: DeserializeOwned>(
        &self,
        mut request: reqwest::RequestBuilder,
    ) -> Result<R, Exchange> {
        if let Some(bearer) = &self.config.bearer {
            request = request.bearer_auth(bearer);
        }
        let failed = |error: reqwest::Error| Exchange {
            may_have_acted: !error.is_connect(),
            detail: describe(&error),
            retry_after: None,
        };
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let refuse = |detail| Exchange {
            // A 4xx is a refusal to act; after 408 and 5xx nobody knows.
            may_have_acted: !status.is_client_error() || status.as_u16() == 408,
            detail,
            retry_after: retry_after.map(Duration::from_secs),
        };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(refuse(format!("an answer longer than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|error| {
            let text = shown(&String::from_utf8_lossy(&body));
            refuse(format!("HTTP {status}, not the expected JSON ({error}): {text}"))
        })
    }

    fn endpoint(&self, path: &str) -> Url {
        let mut url = self.config.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url
    }

    /// Posts to `/settle`; a settlement that is pending is asked for once more.
    async fn post_settle(&self, intent: &SettlementIntent) -> Result<SettleResponse, Exchange> {
        let first: SettleResponse = self.post("settle", &*intent.request).await?;
        if first.success || first.error_reason != Some(ErrorReason::SettlementPending) {
            return Ok(first);
        }
        match self.post("settle", &*intent.request).await {
            Ok(second) => Ok(second),
            // What the first answer said still holds.
            Err(_) => Ok(first),
        }
    }

    /// Believes a facilitator that says it settled, as far as there is no chain to ask.
    fn by_word(
        &self,
        intent: &SettlementIntent,
        response: &SettleResponse,
        transaction: Option<B256>,
    ) -> Result<Settled, SettleError> {
        let (terms, expected) = (&intent.terms, intent.amount());
        let pending = |detail| Err(SettleError::Pending { transaction, detail });
        let Some(hash) = transaction else {
            let got = shown(&response.transaction);
            return pending(format!("the facilitator names no transaction hash: `{got}`"));
        };
        if response.network != terms.network.as_str() {
            let got = shown(&response.network);
            return pending(format!(
                "network of the settlement: expected {}, got {got}",
                terms.network
            ));
        }
        let amount = response.amount.as_deref().filter(|amount| !amount.is_empty());
        if amount.is_some_and(|amount| amount != expected.to_string()) {
            let got = shown(amount.unwrap_or_default());
            return pending(format!("amount settled: expected {expected}, got {got}"));
        }
        Ok(Settled::new(intent, Some(hash), None))
    }

    /// Looks at the chain after the facilitator answered, giving one's own node time to catch up.
    async fn by_chain(
        &self,
        chain: &Chain,
        intent: &SettlementIntent,
        transaction: Option<B256>,
    ) -> Result<Settled, SettleError> {
        if let Some(hash) = transaction {
            let confirmations = self.config.confirmations;
            let outcome = chain.wait(hash, confirmations, self.config.catch_up).await;
            if let TransactionOutcome::Unknown { .. } = outcome {
                warn!(%hash, "The facilitator's transaction is not in the chain yet.");
            }
        }
        match self.examiner(chain, intent).examine().await {
            Err(SettleError::Pending { transaction: None, detail }) => {
                Err(SettleError::Pending { transaction, detail })
            }
            outcome => outcome,
        }
    }

    fn examiner<'a>(&self, chain: &'a Chain, intent: &'a SettlementIntent) -> Examiner<'a> {
        Examiner { chain, confirmations: self.config.confirmations, intent, own: None }
    }

    /// Weighs a facilitator's refusal: what the chain shows counts more.
    async fn refused(
        &self,
        intent: &SettlementIntent,
        response: &SettleResponse,
        transaction: Option<B256>,
    ) -> Result<Settled, SettleError> {
        let reason = response.error_reason.clone().unwrap_or(ErrorReason::UnexpectedSettleError);
        let message = shown(response.error_message.as_deref().unwrap_or_default());
        let detail = format!("the facilitator says {reason} {message}");
        let is_vague = !means_unsent(&reason);
        let open_until = Some(intent.terms.valid_before);
        let failed =
            SettleError::Failed { reason, detail: detail.clone(), transaction, open_until };
        let Some(chain) = &self.chain else {
            return Err(if is_vague {
                SettleError::Pending { transaction, detail }
            } else {
                failed
            });
        };
        match self.examiner(chain, intent).examine().await {
            // Unused, or nobody can say.
            Err(SettleError::Pending { detail: seen, .. }) if is_vague => {
                let detail = format!("{detail}; {seen}");
                Err(SettleError::Pending { transaction, detail })
            }
            Err(SettleError::Pending { transaction: Some(transaction), detail }) => {
                Err(SettleError::Pending { transaction: Some(transaction), detail })
            }
            Err(SettleError::Pending { .. }) => Err(failed),
            outcome => outcome,
        }
    }
}

#[async_trait]
impl Facilitator for HttpFacilitator {
    async fn supported(&self) -> Result<SupportedResponse, FacilitatorError> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let exchange = match self.exchange(self.http.get(self.endpoint("supported"))).await {
                Ok(supported) => return Ok(supported),
                Err(exchange) => exchange,
            };
            let busy = exchange.detail.starts_with("HTTP 429");
            if !busy || attempt == SUPPORTED_ATTEMPTS {
                return Err(FacilitatorError::Unreachable { detail: exchange.detail });
            }
            tokio::time::sleep(exchange.retry_after.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            pause *= 2;
            attempt += 1;
        }
    }

    async fn verify(&self, payment: &CheckedPayment) -> Result<VerifiedPayment, FacilitatorError> {
        let request = VerifyRequest {
            x402_version: X402_VERSION,
            payment_payload: payment.payload().clone(),
            payment_requirements: payment.offer().clone(),
        };
        let block = async {
            match &self.chain {
                Some(chain) => Ok(Some(chain.latest_block().await?.number)),
                None => Ok::<_, FacilitatorError>(None),
            }
        };
        let (response, block) =
            tokio::join!(self.post::<VerifyResponse>("verify", &request), block);
        let response = response
            .map_err(|exchange| FacilitatorError::Unreachable { detail: exchange.detail })?;
        if !response.is_valid {
            let reason = response.invalid_reason.unwrap_or(ErrorReason::UnexpectedVerifyError);
            let detail = shown(response.invalid_message.as_deref().unwrap_or("no message"));
            return Err(FacilitatorError::refused(reason, detail));
        }
        let payer = payment.terms().payer.as_str();
        if let Some(got) = response.payer.filter(|got| !got.eq_ignore_ascii_case(payer)) {
            let got = shown(&got);
            let detail =
                format!("the facilitator verified another payer: expected {payer}, got {got}");
            return Err(FacilitatorError::Unreachable { detail });
        }
        let since_block = block?.map(|block| block.saturating_sub(super::local::SEARCH_MARGIN));
        Ok(VerifiedPayment::assertion(payment.clone(), since_block))
    }

    async fn settle(&self, intent: &SettlementIntent) -> Result<Settled, SettleError> {
        if intent.is_nothing() {
            return Ok(Settled::new(intent, None, None));
        }
        let response = match self.post_settle(intent).await {
            Ok(response) => response,
            Err(Exchange { may_have_acted: false, detail, .. }) => {
                return Err(SettleError::Unreachable { detail });
            }
            Err(Exchange { detail, .. }) => {
                return match &self.chain {
                    Some(chain) => self.by_chain(chain, intent, None).await,
                    None => Err(SettleError::Pending { transaction: None, detail }),
                };
            }
        };
        let transaction = response.transaction.parse().ok();
        match (&self.chain, response.success) {
            (_, false) => self.refused(intent, &response, transaction).await,
            (Some(chain), true) => self.by_chain(chain, intent, transaction).await,
            (None, true) => self.by_word(intent, &response, transaction),
        }
    }

    async fn reconcile(&self, intent: &SettlementIntent) -> Result<Settled, SettleError> {
        if intent.is_nothing() {
            return Ok(Settled::new(intent, None, None));
        }
        let Some(chain) = &self.chain else {
            let detail = "there is no chain to ask: configure an RPC URL".to_owned();
            return Err(SettleError::Pending { transaction: None, detail });
        };
        self.examiner(chain, intent).examine().await
    }

    fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }
}

/// Says whether a reason comes from verifying, so that nothing was sent. Every other reason may come
/// after sending: the reference implementation says `transaction_failed` when its node falls silent
/// after taking the transaction.
const fn means_unsent(reason: &ErrorReason) -> bool {
    matches!(
        reason,
        ErrorReason::AssetNotDeployed
            | ErrorReason::Eip2612AssetMismatch
            | ErrorReason::Eip2612DeadlineExpired
            | ErrorReason::Eip2612FromMismatch
            | ErrorReason::Eip2612SpenderNotPermit2
            | ErrorReason::Eip3009NotSupported
            | ErrorReason::FactoryNotAllowed
            | ErrorReason::FailedToParseSignature
            | ErrorReason::InsufficientBalance
            | ErrorReason::InsufficientFunds
            | ErrorReason::InvalidAuthorizationValue
            | ErrorReason::InvalidEip2612Extension
            | ErrorReason::InvalidExactScheme
            | ErrorReason::InvalidNetwork
            | ErrorReason::InvalidPayload
            | ErrorReason::InvalidPaymentRequirements
            | ErrorReason::InvalidPermit2Signature
            | ErrorReason::InvalidPermit2Spender
            | ErrorReason::InvalidScheme
            | ErrorReason::InvalidSignature
            | ErrorReason::InvalidUptoScheme
            | ErrorReason::InvalidX402Version
            | ErrorReason::MissingEip712Domain
            | ErrorReason::NetworkMismatch
            | ErrorReason::Permit2AllowanceRequired
            | ErrorReason::Permit2AmountMismatch
            | ErrorReason::Permit2DeadlineExpired
            | ErrorReason::Permit2InsufficientBalance
            | ErrorReason::Permit2NotYetValid
            | ErrorReason::Permit2ProxyNotDeployed
            | ErrorReason::Permit2RecipientMismatch
            | ErrorReason::Permit2SimulationFailed
            | ErrorReason::Permit2TokenMismatch
            | ErrorReason::RecipientMismatch
            | ErrorReason::TokenNameMismatch
            | ErrorReason::TokenVersionMismatch
            | ErrorReason::UndeployedSmartWallet
            | ErrorReason::UnsupportedPayloadType
            | ErrorReason::UnsupportedScheme
            | ErrorReason::UptoFacilitatorMismatch
            | ErrorReason::UptoNetworkMismatch
            | ErrorReason::UptoSettlementExceedsAmount
            | ErrorReason::ValidAfter
            | ErrorReason::ValidBefore
            | ErrorReason::ValueMismatch
    )
}

/// Says what went wrong by the causes alone: reqwest's own text repeats the URL, which may hold a
/// key.
fn describe(error: &reqwest::Error) -> String {
    let mut text = match () {
        () if error.is_timeout() => "timed out",
        () if error.is_connect() => "connection failed",
        () => "exchange failed",
    }
    .to_owned();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    shown(&text)
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("host", &self.url.host_str())
            .field("timeout", &self.timeout)
            .field("confirmations", &self.confirmations)
            .finish_non_exhaustive()
    }
}
