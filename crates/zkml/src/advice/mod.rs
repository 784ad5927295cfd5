//! The commitment to the advice columns and its opening at prescribed points (sections 7 and 11).
//!
//! All committed columns of a proof are stacked into one vector by p3-whir, and its root is step 1
//! of the transcript. Step 10 opens batches of columns, each at one point that earlier challenges
//! fixed, to the values that steps 4 and 6 hold: those are not sent again. WHIR is Arnon, Chiesa,
//! Fenzi and Yogev's (eprint 2024/1586).
//!
//! | file | is |
//! |---|---|
//! | `schedule` | which columns there are, what is opened together, and what that is worth |
//! | `profile`, `scheme` | WHIR's parameters, and its types over the protocol's fields |
//! | `price` | the terms of the opening's error |
//! | `code` | the Reed-Solomon code that WHIR commits with |
//! | `shape` | the lengths of all parts of a proof |
//! | `proof` | the messages and their one encoding |
//! | `commit` | the prover's commitment |
//! | `open`, `claims`, `rounds`, `queries` | its opening: the steps, what is claimed, its sumchecks, what queries weigh |
//! | `stack`, `tree` | the columns in the vector that is committed to, and the codes with their trees |
//! | `convert` | to p3's form |
//! | `verify` | the verifier, which uses nothing of the prover |
//!
//! ```
//! use assay_zkml::advice::{self, AdviceProfile, AdviceProof, Schedule};
//! use assay_zkml::field::F;
//! use assay_zkml::multilinear::evaluate;
//! use assay_zkml::transcript::Transcript;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two columns of 64 cells and one of 128: the small ones are opened together.
//! let columns = vec![vec![F::new(1); 64], vec![F::new(2); 128], vec![F::new(3); 64]];
//! let schedule =
//!     Schedule::new(AdviceProfile::default(), vec![6, 7, 6], vec![vec![0, 2], vec![1]])?;
//!
//! let mut transcript = Transcript::new();
//! let committed = advice::commit(&schedule, columns.iter().collect(), &mut transcript)?;
//! let root = committed.root();
//! let points = [transcript.sample_point(6), transcript.sample_point(7)];
//! let small = [evaluate(&columns[0], &points[0])?, evaluate(&columns[2], &points[0])?];
//! let values = [small.to_vec(), vec![evaluate(&columns[1], &points[1])?]];
//! let bytes = committed.open(&points, &mut transcript)?.encode();
//!
//! let mut transcript = Transcript::new();
//! advice::observe_root(&root, &mut transcript);
//! let points = [transcript.sample_point(6), transcript.sample_point(7)];
//! let proof = AdviceProof::decode(&schedule, &bytes)?;
//! advice::verify(&schedule, &root, &points, &values, &proof, &mut transcript)?;
//! # Ok(())
//! # }
//! ```

mod claims;
mod code;
mod commit;
mod convert;
mod error;
mod open;
mod price;
mod profile;
mod proof;
mod queries;
mod rounds;
mod schedule;
mod scheme;
mod shape;
mod stack;
mod tree;
mod verify;

pub use self::commit::{CommittedAdvice, commit};
pub use self::error::{AdviceError, ScheduleError};
pub use self::profile::AdviceProfile;
pub use self::proof::{AdviceProof, Openings, RoundProof, Rows};
pub use self::schedule::Schedule;
pub(crate) use self::schedule::{MAX_LOG_CELLS, MIN_ARITY};
pub use self::verify::{observe_root, verify};
pub use crate::wire::DecodeError;
