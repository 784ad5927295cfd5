//! Proofs that a neural network, as an integer program under committed weights, gives an output.
//!
//! ```text
//! Program + weights --register--> ProvingModel, Descriptor (the verifying key), ModelId
//! inputs --execute--> Execution --prove--> Proof
//! Descriptor, lb --> Circuit;  Circuit, Statement, Claims, Proof --verify--> VerifiedProof
//! ```
//!
//! | module | is | section of `docs/zkml-protocol.md` |
//! |---|---|---|
//! | [`field`] | the two fields and their one encoding | 1 |
//! | [`multilinear`] | extensions and closed forms | 1 |
//! | [`program`] | the integer program, its checks, its encoding and id | 2, 3, 5, 6.1, 11 |
//! | [`execute`] | runs it | 2 |
//! | [`explain`] | what a proof claims and shows, in words | 3 |
//! | [`statement`] | inputs and outputs under one root | 3, 10 |
//! | [`circuit`] | one program for batches of one size: what is fixed before a proof is read | 2.2, 3, 7, 8 |
//! | [`columns`], [`witness`] | what is committed and looked up; its cells | 5, 1 |
//! | [`transcript`], [`chain`] | messages in, challenges out, in one order | 3 |
//! | [`layers`] | all linear layers, one sumcheck | 4 |
//! | [`lookups`] | all lookups, one tree of fractions | 5 |
//! | [`weights`] | all claims on weights, one sumcheck | 6.2, 6.3 |
//! | [`weight_commitment`] | the commitment to the weights and its opening, in both modes | 6.4, 6.6 |
//! | [`tensor_code`] | those of `fast` programs | 6.1, 6.4 |
//! | [`advice`] | the commitment to the columns and its opening | 7 |
//! | [`soundness`] | the error terms | 8 |
//! | [`proof`] | what is sent, and its one encoding | 3, 11 |
//! | [`prover`], [`verifier`] | the steps in order | 3, 10, 11 |
//! | [`model`] | files; reals to integers and back | 11 |
//! | `sumcheck` | what the layers' and the weights' sumchecks share | 1 |
//! | `product`, `packed`, `integers` | fast arithmetic in `K`: one product, eight at once, with small integers | 1 |
//! | `transform` | the Reed-Solomon codes of weights and columns | 6.1, 7 |
//! | `wire` | how the encodings of proofs are read | 11 |
//!
//! Proofs are succinct and **not zero-knowledge**: each discloses a random combination of all rows of
//! weights and up to 152 columns of their code (section 9). What a proof is worth is in
//! `docs/zkml-security.md`.

#![forbid(unsafe_code)]

pub mod advice;
pub mod chain;
pub mod circuit;
pub mod columns;
pub mod execute;
pub mod explain;
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
mod transform;
pub mod verifier;
pub mod weight_commitment;
pub mod weights;
mod wire;
pub mod witness;
