//! What the tests of several crates share: a clock that can be set, randomness that repeats itself,
//! an operator with whole transactions that verify, and the way to what is not in the repository. A dev-dependency, never more.
//!
//! Every fixture is made of fixed keys and times, so the same code gives the same bytes in every run.

#![expect(clippy::expect_used, reason = "a fixture that cannot be made is a failed test")]

mod clock;
mod operator;
mod random;
mod reference;
mod transaction;

pub use clock::FakeClock;
pub use operator::SampleOperator;
pub use random::SeededRandomness;
pub use reference::reference;
pub use transaction::{
    DEVELOPMENT, ISSUED_AT, PRICE, SampleTransaction, VERIFIED_AT, sample_output, sample_request,
    sample_transaction,
};
