//! The tensor-code commitment to model weights, the lookups, and what they stand on.
//!
//! | module | section of `zkml-protocol.md` |
//! |---|---|
//! | [`field`] | 1 (fields), 3 and 11 (encoding) |
//! | [`multilinear`] | 1 (extensions and closed forms) |
//! | [`transcript`] | 3 |
//! | [`lookups`] | 5 |
//! | [`layers`] | 4 |
//! | [`weights`] | 6.2, 6.3 |
//! | [`tensor_code`] | 6.1, 6.4, 11 |
//! | [`advice`] | 7, 11 |
//! | [`soundness`] | 6.4, 8 |
//! | [`program`] | 2, 3 (key), 5 (tables), 6.1 (segments), 11 (key loading) |
//! | [`execute`] | 2, 5 (columns) |
//! | [`model`] | the files of a model; inputs to integers, raw outputs to reals |
//!
//! The opening is succinct and **not zero-knowledge**: each one discloses a random combination of
//! all rows and up to 152 columns of the code (section 9).

#![forbid(unsafe_code)]

pub mod advice;
pub mod chain;
pub mod circuit;
pub mod columns;
pub mod execute;
pub mod field;
mod integers;
pub mod layers;
pub mod lookups;
pub mod model;
pub mod multilinear;
mod packed;
mod product;
pub mod program;
pub mod proof;
pub mod prover;
pub mod soundness;
pub mod statement;
mod sumcheck;
pub mod tensor_code;
pub mod transcript;
pub mod verifier;
pub mod weights;
mod wire;
pub mod witness;
