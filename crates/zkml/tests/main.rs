//! The crate from outside.
#![expect(
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on says so by panicking"
)]

mod opening;
mod vectors;
mod words;
