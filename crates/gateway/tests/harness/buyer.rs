//! A buyer that speaks HTTP by hand, so that it can say everything wrong.

use std::sync::Arc;
use std::time::Duration;

use assay_chain::AccountKey;
use assay_primitives::{AccessToken, SystemRandomness, Timestamp, TransactionId, encoding};
use assay_receipt::Bundle;
use assay_verify::{Expectation, Methods, Policy, Report, Verifier};
use assay_x402::{
    Authorization, ChosenOffer, ExactPayload, PAYMENT_REQUIRED, PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE, Payment, PaymentPayload, PaymentRequired, PaymentRequirements,
    SettleResponse, UPTO, X402_VERSION, authorization_hash, decode_payment_required,
    decode_payment_response, pay,
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Map, Value, json};

use super::shop::packages;
use super::toy::ToyVerifier;
use super::world::{BUYER, TOKEN_NAME, http, key};

pub(crate) const DIGITS: &str = "/v2/models/digits/infer";
pub(crate) const TUMOUR: &str = "/v2/models/tumour/infer";
pub(crate) const TRANSACTIONS: &str = "/v1/transactions";

/// Somebody who asks a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Buyer {
    url: String,
    http: reqwest::Client,
    pub(crate) key: Arc<AccountKey>,
}

/// What a gateway answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Buyer {
    pub(crate) fn of(url: &str) -> Self {
        let http = http(Duration::from_secs(60));
        Self { url: url.to_owned(), http, key: Arc::new(key(BUYER)) }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// Posts a body without a payment.
    pub(crate) async fn ask(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        send(self.request(Method::POST, path).body(body)).await
    }

    /// Returns the offers for a request.
    pub(crate) async fn offers(&self, path: &str) -> PaymentRequired {
        self.ask(path, "").await.required()
    }

    /// Signs a payment for the model's offer by a method.
    pub(crate) async fn payment(&self, path: &str, method: &str) -> Payment {
        let required = self.offers(path).await;
        self.sign(&required, |offer| offer.extra_text("method") == Some(method))
    }

    /// Signs a payment of the first offer that is wanted.
    fn sign(
        &self,
        required: &PaymentRequired,
        wanted: impl Fn(&PaymentRequirements) -> bool,
    ) -> Payment {
        let index = required.accepts.iter().position(wanted).unwrap();
        let chosen = ChosenOffer { index, offer: &required.accepts[index] };
        pay(required, chosen, &Map::new(), &*self.key, now(), &SystemRandomness).unwrap()
    }

    /// Signs a payment for the first offer for a transaction.
    pub(crate) async fn payment_for(&self, transaction: &Value) -> Payment {
        let required = self.ask(TRANSACTIONS, transaction.to_string()).await.required();
        self.sign(&required, |_| true)
    }

    /// Signs a permit for the most that a transaction may cost.
    pub(crate) async fn permit_for(&self, transaction: &Value) -> Payment {
        let required = self.ask(TRANSACTIONS, transaction.to_string()).await.required();
        self.sign(&required, |offer| offer.scheme == UPTO)
    }

    /// Asks for the price of a transaction, and permits to take it.
    pub(crate) async fn permit(&self, transaction: &Value) -> Answer {
        let payment = self.permit_for(transaction).await.header;
        self.buy(TRANSACTIONS, &transaction.to_string(), &payment).await
    }

    /// Asks for the price of a transaction, and pays it.
    pub(crate) async fn transact(&self, transaction: &Value) -> Answer {
        let payment = self.payment_for(transaction).await.header;
        self.buy(TRANSACTIONS, &transaction.to_string(), &payment).await
    }

    /// Sends a request that pays.
    pub(crate) fn buy(
        &self,
        path: &str,
        body: &str,
        payment: &str,
    ) -> impl Future<Output = Answer> + use<> {
        send(self.paid(path, body, payment))
    }

    pub(crate) fn paid(&self, path: &str, body: &str, payment: &str) -> RequestBuilder {
        let request = self.request(Method::POST, path).body(body.to_owned());
        request.header(PAYMENT_SIGNATURE, payment)
    }

    /// Pays for a transaction, and follows it to its end.
    pub(crate) async fn follow(&self, transaction: &Value, payment: &Payment) -> Answer {
        let paid = self.paid(TRANSACTIONS, &transaction.to_string(), &payment.header);
        send(paid.header("accept", "text/event-stream")).await
    }

    /// Asks at a location until what is there is over.
    pub(crate) async fn finished(&self, location: &str) -> Answer {
        for _ in 0..500 {
            let answer = self.get(location).await;
            if answer.status.as_u16() != 202 {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{location} was never finished");
    }

    /// Fetches a bundle, and checks that it verifies.
    pub(crate) async fn bundle(&self, id: TransactionId, token: &AccessToken) -> (Bundle, Report) {
        let answer = self.fetch(id, token).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let methods = Methods::standard().with(ToyVerifier);
        let verifier = Verifier::new(Policy::default(), methods);
        let report = verifier.verify(&answer.body, &Expectation::default(), now()).unwrap();
        assert_eq!(report.refusal, None);
        (Bundle::from_bytes(&answer.body).unwrap(), report)
    }

    /// Asks for a bundle.
    pub(crate) async fn fetch(&self, id: TransactionId, token: &AccessToken) -> Answer {
        let path = format!("/v1/receipts/{id}");
        send(self.request(Method::GET, &path).bearer_auth(token.reveal())).await
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks status and code of an error, and that it says something.
    pub(crate) fn is(&self, status: u16, code: &str) -> &Self {
        let body = self.json();
        assert_eq!((self.status.as_u16(), &body["code"]), (status, &json!(code)), "{body}");
        assert!(body["error"].as_str().is_some_and(|error| error.len() > 8), "{body}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{body}");
        self
    }

    /// Checks the x402 code of an error.
    pub(crate) fn because(&self, reason: &str) -> &Self {
        let body = self.json();
        assert_eq!(body["reason"], json!(reason), "{body}");
        self
    }

    /// Checks that a payment was refused with the offers again, and why.
    pub(crate) fn is_refused(&self, reason: &str) -> &Self {
        self.is(402, "payment_required").because(reason);
        assert_eq!(self.required().error.as_deref(), Some(reason));
        self
    }

    /// Returns what `PAYMENT-REQUIRED` says.
    pub(crate) fn required(&self) -> PaymentRequired {
        let header = self.header(PAYMENT_REQUIRED).unwrap_or_else(|| panic!("{self:?}"));
        decode_payment_required(header).unwrap()
    }

    /// Returns what `PAYMENT-RESPONSE` says.
    pub(crate) fn settlement(&self) -> SettleResponse {
        let header = self.header(PAYMENT_RESPONSE).unwrap_or_else(|| panic!("{self:?}"));
        decode_payment_response(header).unwrap()
    }

    /// Returns the transaction that an error is about.
    pub(crate) fn transaction_id(&self) -> TransactionId {
        self.json()["transactionId"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn transaction(&self) -> TransactionId {
        let id = self.header("assay-transaction").unwrap_or_else(|| panic!("{self:?}"));
        id.parse().unwrap()
    }

    pub(crate) fn token(&self) -> AccessToken {
        let token = self.header("assay-access-token").unwrap_or_else(|| panic!("{self:?}"));
        token.parse().unwrap()
    }

    /// Checks that the answer is a result whose payment is on its way.
    pub(crate) fn is_served_early(&self) -> &Self {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// Checks that the answer is a result that was paid for.
    pub(crate) fn is_served(&self) -> &Self {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.body));
        assert!(self.settlement().success);
        self
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.unwrap().to_vec();
    Answer { status, headers, body }
}

/// Signs an authorisation that differs from the good one for an offer.
pub(crate) fn forge(
    offer: &PaymentRequirements,
    signer: &AccountKey,
    edit: impl FnOnce(&mut Authorization),
) -> PaymentPayload {
    forge_under(offer, signer, TOKEN_NAME, edit)
}

/// Signs an authorisation under another domain than the offer's.
pub(crate) fn forge_under(
    offer: &PaymentRequirements,
    signer: &AccountKey,
    domain: &str,
    edit: impl FnOnce(&mut Authorization),
) -> PaymentPayload {
    let required = PaymentRequired {
        x402_version: X402_VERSION,
        error: None,
        resource: assay_x402::ResourceInfo::new("https://seller.example/"),
        accepts: vec![offer.clone()],
        extensions: None,
    };
    let chosen = ChosenOffer { index: 0, offer };
    let payment = pay(&required, chosen, &Map::new(), signer, now(), &SystemRandomness).unwrap();
    let mut authorization = *payment.signed.authorization().unwrap();
    edit(&mut authorization);
    let token = offer.asset.as_str().parse().unwrap();
    let chain_id = offer.network.evm_chain_id().unwrap();
    let hash = authorization_hash(&authorization, token, domain, "1", chain_id);
    let signature = signer.sign_hash(&hash).to_vec().into();
    let payload = ExactPayload { signature, authorization }.to_json();
    PaymentPayload { payload, ..payment.payload }
}

/// Writes a payment as its header.
pub(crate) fn header(payment: &PaymentPayload) -> String {
    header_of(&serde_json::to_value(payment).unwrap())
}

pub(crate) fn header_of(payment: &Value) -> String {
    encoding::base64(payment.to_string().as_bytes())
}

/// Returns the JSON of a request for the digits model: one of its samples.
pub(crate) fn digit(sample: usize) -> String {
    let tensor = &packages()[0].samples().get(sample).unwrap().input;
    json!({ "inputs": [tensor] }).to_string()
}

/// Returns the JSON of a request for the tumour model.
pub(crate) fn tumour(sample: usize) -> String {
    let tensor = &packages()[1].samples().get(sample).unwrap().input;
    json!({ "inputs": [tensor] }).to_string()
}

pub(crate) fn now() -> Timestamp {
    use assay_primitives::Clock as _;
    assay_primitives::SystemClock::default().now()
}
