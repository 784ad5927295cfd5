//! What a buyer chooses and signs. No HTTP: another crate sends it.

mod choose;
mod extensions;
mod pay;

pub use choose::{ChooseError, ChosenOffer, OfferRefusal, Preferences, choose_offer};
pub use extensions::{ExtensionConflict, merge_extensions};
pub use pay::{PayError, Payment, pay, pay_upto};
