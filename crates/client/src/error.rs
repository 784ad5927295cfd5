use assay_primitives::{RandomnessError, Timestamp};
use assay_verify::{Refusal, Unusable};
use assay_x402::{ChooseError, HeaderError, PayError};
use thiserror::Error;

/// An inference that was not bought, or whose result is not to be believed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The URL of the gateway is none.
    #[error("`{0}` is not the URL of a gateway")]
    Url(String),
    /// The gateway cannot be reached, or broke off.
    #[error("gateway: {0}")]
    Http(String),
    /// The gateway answered with an error.
    #[error("gateway answered {status}, {code}: {message}")]
    Gateway {
        /// The HTTP status.
        status: u16,
        /// The error's code.
        code: String,
        /// The error in words.
        message: String,
    },
    /// The gateway answered without asking for payment or sending what it must.
    #[error("gateway: expected {expected}, got {got}")]
    Protocol {
        /// What should have come.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// A payment header cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// No offer is wanted and affordable.
    #[error(transparent)]
    NoOffer(#[from] ChooseError),
    /// The payment was not signed.
    #[error(transparent)]
    Pay(#[from] PayError),
    /// The payment was refused: by the gateway's word nothing was charged. The authorisation is
    /// signed all the same, and whoever has it could carry it out until it expires.
    #[error("payment refused: {reason}: {message}")]
    PaymentRefused {
        /// x402's code.
        reason: String,
        /// The refusal in words.
        message: String,
    },
    /// The payment was sent, and nobody says what became of it. Do not pay again before it has
    /// expired: look for its nonce on the network.
    #[error(
        "payment sent, and no answer came: {cause}; its nonce is {nonce}, it expires at \
             {valid_before}, and the access token {access_token} opens the result if there is one"
    )]
    Unanswered {
        /// What failed.
        cause: String,
        /// The nonce of the authorisation.
        nonce: String,
        /// When the authorisation expires.
        valid_before: Timestamp,
        /// The token that opens the result.
        access_token: String,
    },
    /// The payment is on its way and the result did not come in time.
    #[error(
        "payment pending: fetch the result of transaction {transaction} later, with the access \
             token {access_token}"
    )]
    Pending {
        /// The transaction.
        transaction: String,
        /// The token that opens it.
        access_token: String,
    },
    /// What came is no bundle.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// What came does not verify.
    #[error("the result does not verify: {0}")]
    Refused(Box<Refusal>),
    /// The receipt is about another payment.
    #[error("the receipt is about another payment: {field}: expected {expected}, got {got}")]
    OtherPayment {
        /// Which part of the authorisation.
        field: &'static str,
        /// What was signed.
        expected: String,
        /// What the receipt says.
        got: String,
    },
    /// No randomness for nonce and token.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        // Without the URL: it may carry what should not be printed.
        let error = error.without_url();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Self::Http(format!("{error}{}", cause.unwrap_or_default()))
    }
}
