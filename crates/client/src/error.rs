use assay_primitives::{AccessToken, RandomnessError, Timestamp, TransactionId};
use assay_verify::{Refusal, Unusable};
use assay_x402::{ChooseError, HeaderError, PayError, Payment, SettleResponse};
use thiserror::Error;

use crate::wire::described;

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
    /// Somebody else paid. Nothing was signed.
    #[error("the payer of this receipt is {expected}, and the key is of {got}")]
    NotPayer {
        /// Who paid.
        expected: String,
        /// Whose key it is.
        got: String,
    },
    /// The payer did not sign in.
    #[error("not signed in: {0}")]
    SignIn(String),
    /// No offer is wanted and affordable.
    #[error(transparent)]
    NoOffer(#[from] ChooseError),
    /// What the gateway announces is not what the policy accepts. Nothing was signed.
    #[error("nothing was paid: the gateway announces what the policy does not accept: {0}")]
    NotAccepted(Box<Refusal>),
    /// The chain does not say how much Permit2 may move. Nothing was signed.
    #[error("the chain does not say what Permit2 may move: {0}")]
    Chain(String),
    /// The payment was not signed.
    #[error(transparent)]
    Pay(#[from] PayError),
    /// The payment was refused: by the gateway's word nothing was charged.
    #[error("payment refused: {reason}: {message}; {signed}")]
    PaymentRefused {
        /// x402's code.
        reason: String,
        /// The refusal in words.
        message: String,
        /// What was signed all the same.
        signed: SignedPayment,
    },
    /// The gateway answered the payment with an error: by its word nothing was charged.
    #[error("gateway answered {status}, {code}, to the payment: {message}; {signed}")]
    NotServed {
        /// The HTTP status.
        status: u16,
        /// The error's code.
        code: String,
        /// The error in words.
        message: String,
        /// What was signed all the same.
        signed: SignedPayment,
    },
    /// The payment was sent, and nobody says what became of it.
    #[error("payment sent, and nothing tells what became of it: {cause}; {signed}")]
    Unanswered {
        /// What failed.
        cause: String,
        /// What was signed.
        signed: SignedPayment,
    },
    /// The payment was taken, and no result to be believed came.
    #[error(transparent)]
    Undelivered(Box<Undelivered>),
    /// No randomness for nonce and token.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

/// A payment that has left the buyer's hands. Whoever has it can carry it out until it expires, whatever
/// a gateway says: its nonce on the network tells whether somebody did.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "its nonce is {nonce}, it can be carried out until {valid_before}, and the access token \
     {access_token} opens the result if there is one"
)]
#[non_exhaustive]
pub struct SignedPayment {
    /// The nonce of the authorisation.
    pub nonce: String,
    /// When the authorisation expires.
    pub valid_before: Timestamp,
    /// The token that opens the result.
    pub access_token: String,
}

impl SignedPayment {
    pub(crate) fn new(payment: &Payment, access_token: &AccessToken) -> Self {
        Self {
            nonce: payment.signed.nonce().to_string(),
            valid_before: payment.signed.valid_before(),
            access_token: access_token.reveal(),
        }
    }
}

/// A payment that was taken without a result that is to be believed, and what the buyer has in hand
/// to get the result later, or to show that he was not served.
#[derive(Debug, Error)]
#[error("the payment for transaction {transaction} was taken, and {cause}")]
#[non_exhaustive]
pub struct Undelivered {
    /// The transaction, by the gateway.
    pub transaction: TransactionId,
    /// The token that opens it at the gateway.
    pub access_token: String,
    /// What became of the payment, by the gateway.
    pub settlement: Option<SettleResponse>,
    /// The file that came, where one did: it is evidence, not a result.
    pub file: Option<Vec<u8>>,
    /// What is wrong.
    #[source]
    pub cause: DeliveryError,
}

/// Why there is no result to be believed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The bundle did not come in time. It can be fetched later.
    #[error("the result did not come in time: {0}")]
    Late(String),
    /// The gateway refuses to give the bundle.
    #[error("the gateway answered {status}, {code}, when asked for the result: {message}")]
    Gateway {
        /// The HTTP status.
        status: u16,
        /// The error's code.
        code: String,
        /// The error in words.
        message: String,
    },
    /// The bundle is longer than is read.
    #[error("what came is longer than {0} bytes")]
    TooLong(usize),
    /// What came is no bundle.
    #[error("what came cannot be used: {0}")]
    Unusable(#[from] Unusable),
    /// What came does not verify.
    #[error("the result does not verify: {0}")]
    Refused(Box<Refusal>),
    /// The receipt is about another payment, model or method.
    #[error("the receipt is about something else: {field}: expected {expected}, got {got}")]
    OtherOrder {
        /// Which part of the order.
        field: &'static str,
        /// What was ordered.
        expected: String,
        /// What the receipt says.
        got: String,
    },
    /// The receipt says that it was made before the payment it is for: whoever dates a receipt back makes
    /// evidence count that is good no longer.
    #[error(
        "the receipt is dated {issued_at}, and the payment was signed at {signed_at} by this machine's \
         clock: it is dated back, or the clock is ahead"
    )]
    Backdated {
        /// When the receipt says that it was signed.
        issued_at: Timestamp,
        /// When the payment was signed.
        signed_at: Timestamp,
    },
    /// A part of the bundle is missing.
    #[error("the bundle: expected {expected}, got {got}")]
    Contents {
        /// What should be there.
        expected: &'static str,
        /// What is.
        got: String,
    },
}

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(described(error))
    }
}
