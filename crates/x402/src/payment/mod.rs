//! What is checked of a payment whatever its scheme, and what comes of it.

mod checked;
mod payload;
mod refusal;
mod signed;

pub use checked::{
    CheckedPayment, MIN_REMAINING_SECONDS, Note, PaymentTerms, check_exact, check_payment,
    check_upto,
};
pub use refusal::PaymentRefusal;
pub use signed::Signed;

pub(crate) use checked::{Examined, check_untimed};
pub(crate) use payload::{read_payload, write_payload};
