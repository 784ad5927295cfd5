//! Getting back what was bought, and having it erased.

use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{AccessToken, Clock, Randomness, Timestamp, TransactionId, printable};
use assay_receipt::{ERASE_STATEMENT, Envelope, Receipt};
use assay_verify::{Verified, open_manifest, open_receipt};
use assay_x402::{PaymentSigner, SIGN_IN_WITH_X, SignIn, SignInScope, encode_sign_in};
use reqwest::{Method, Response};
use serde::Deserialize;
use url::Url;

use crate::ClientError;
use crate::delivery::MAX_BUNDLE;
use crate::wire::{Endpoint, ReadError, described, gateway_error, read};

/// The most bytes the public part of a receipt may have.
const MAX_PUBLIC: usize = 8 << 20;

/// The receipts of one gateway.
#[derive(Debug)]
pub struct Receipts {
    gateway: Endpoint,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
}

/// What opens and erases contents.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The transaction's access token.
    Token(AccessToken),
    /// Who paid for it: signs in to the gateway, for this receipt alone, and moves no money.
    Payer(Arc<dyn PaymentSigner>),
}

/// The public part of a receipt, whose signature holds under the key manifest that came with it.
#[derive(Debug)]
#[non_exhaustive]
pub struct PublicReceipt {
    /// The answer as it came: JSON.
    pub file: Vec<u8>,
    /// How far the transaction is, by the gateway.
    pub state: String,
    /// The receipt.
    pub receipt: Verified<Receipt>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicPart {
    state: String,
    receipt: Envelope,
    key_manifest: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Erased {
    erased_at: Timestamp,
}

impl Receipts {
    /// Makes a client of a gateway, whose answers may take so long.
    ///
    /// # Errors
    /// When the URL is none, or no HTTP client can be made.
    pub fn new(
        gateway: &str,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, ClientError> {
        Ok(Self { gateway: Endpoint::new(gateway, timeout)?, clock, randomness })
    }

    /// Fetches what anyone may know of a transaction.
    ///
    /// # Errors
    /// When the gateway does not give it, or it is another's or not signed.
    pub async fn public(&self, id: TransactionId) -> Result<PublicReceipt, ClientError> {
        let response = self.gateway.http.get(self.url(id)?).send().await?;
        let file = body(response, MAX_PUBLIC).await?;
        let wrong = |got: String| ClientError::Protocol { expected: "a receipt", got };
        let PublicPart { state, receipt, key_manifest } =
            serde_json::from_slice(&file).map_err(|error| wrong(error.to_string()))?;
        let manifest = open_manifest(&key_manifest).map_err(|error| wrong(error.to_string()))?;
        let receipt = open_receipt(&receipt, &manifest, self.clock.now())
            .map_err(|error| wrong(error.to_string()))?;
        let got = receipt.predicate().transaction_id;
        if got != id {
            return Err(wrong(format!("the one of {got}")));
        }
        Ok(PublicReceipt { file, state: printable(&state, 32), receipt })
    }

    /// Fetches a bundle. It is not verified.
    ///
    /// # Errors
    /// When the gateway does not give it: it is not settled, was erased, or the credential is not
    /// its own.
    pub async fn bundle(
        &self,
        id: TransactionId,
        credential: &Credential,
    ) -> Result<Vec<u8>, ClientError> {
        body(self.send(Method::GET, id, credential, None).await?, MAX_BUNDLE).await
    }

    /// Has contents erased at the gateway, and returns when they were.
    ///
    /// # Errors
    /// When the gateway does not do it: the transaction goes on, or the credential is not its own.
    pub async fn erase(
        &self,
        id: TransactionId,
        credential: &Credential,
    ) -> Result<Timestamp, ClientError> {
        let response = self.send(Method::DELETE, id, credential, Some(ERASE_STATEMENT)).await?;
        let answer = body(response, MAX_PUBLIC).await?;
        let erased: Erased = serde_json::from_slice(&answer).map_err(|error| {
            ClientError::Protocol { expected: "a time", got: error.to_string() }
        })?;
        Ok(erased.erased_at)
    }

    async fn send(
        &self,
        method: Method,
        id: TransactionId,
        credential: &Credential,
        statement: Option<&str>,
    ) -> Result<Response, ClientError> {
        let url = self.url(id)?;
        let request = self.gateway.http.request(method, url.clone());
        let request = match credential {
            Credential::Token(token) => request.bearer_auth(token.reveal()),
            Credential::Payer(signer) => {
                let header = self.sign_in(id, &url, signer.as_ref(), statement).await?;
                request.header(SIGN_IN_WITH_X, header)
            }
        };
        Ok(request.send().await?)
    }

    /// Signs in as the payer of a receipt, on the network that it was paid on.
    async fn sign_in(
        &self,
        id: TransactionId,
        url: &Url,
        signer: &dyn PaymentSigner,
        statement: Option<&str>,
    ) -> Result<String, ClientError> {
        let public = self.public(id).await?;
        let authorization = &public.receipt.predicate().authorization;
        let address = signer.address();
        let (expected, got) = (authorization.payer.as_str(), address.to_checksum(None));
        if !expected.eq_ignore_ascii_case(&got) {
            let expected = expected.to_owned();
            return Err(ClientError::NotPayer { expected, got });
        }
        let host = url.host_str().unwrap_or_default();
        let domain = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let network = &authorization.network;
        let scope = SignInScope { domain: &domain, uri: url.as_str(), network, address, statement };
        let sign_in = SignIn::sign(&scope, signer, self.clock.now(), self.randomness.as_ref())
            .map_err(|error| ClientError::SignIn(error.to_string()))?;
        Ok(encode_sign_in(&sign_in)?)
    }

    fn url(&self, id: TransactionId) -> Result<Url, ClientError> {
        self.gateway.url(&["v1", "receipts", &id.to_string()])
    }
}

async fn body(response: Response, limit: usize) -> Result<Vec<u8>, ClientError> {
    if !response.status().is_success() {
        return Err(gateway_error(response).await);
    }
    read(response, limit).await.map_err(|error| match error {
        ReadError::BrokeOff(error) => ClientError::Http(described(error)),
        ReadError::TooLong(limit) => {
            ClientError::Http(format!("the answer is longer than {limit} bytes"))
        }
    })
}
