//! The tensor-code commitment to the weights and its opening (sections 6.1, 6.4 and 11).
//!
//! The weights are a matrix `M` of rows of `2^kappa` columns. Each row is the coefficient vector
//! of a polynomial of degree below `2^kappa`, evaluated on the subgroup of order `2^(kappa+2)`
//! (Reed-Solomon, rate 1/4). Column `j` of the code, the evaluations of all rows at `g^j`, is leaf
//! `j` of a BLAKE3 Merkle tree; its root is the commitment.
//!
//! To open at `(zeta, chi)` the prover sends `u = sum_row eq(zeta, row) M[row]`, whose product with
//! `eq(chi)` is the value, and the columns at 152 indices that the transcript picks afterwards. One
//! combination is the proximity test and the evaluation at once. Ligero and Brakedown (eprint
//! 2022/1608, 2021/1043) open such a matrix; that one tensor combination does is Diamond and Gruen's
//! (eprint 2024/1351).
//!
//! ```
//! use assay_zkml::tensor_code::{CommittedWeights, Shape, verify};
//! use assay_zkml::transcript::Transcript;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shape = Shape::for_weights(300)?;
//! let committed = CommittedWeights::commit(shape, vec![7; 300])?;
//!
//! let mut transcript = Transcript::new();
//! let point = shape.sample_point(&mut transcript);
//! let opening = committed.open(&mut transcript, &point)?;
//!
//! let mut transcript = Transcript::new();
//! let point = shape.sample_point(&mut transcript);
//! verify(&shape, &committed.root(), &mut transcript, &point, opening.value, &opening.proof)?;
//! # Ok(())
//! # }
//! ```

mod code;
mod commit;
mod error;
mod merkle;
mod proof;
mod queries;
mod shape;
mod verify;

pub(crate) use self::commit::combine;
pub use self::commit::{CommitError, CommittedWeights, Opening};
pub use self::error::OpeningError;
pub use self::merkle::Digest;
pub(crate) use self::merkle::{ColumnTree, column_tree};
pub use self::proof::OpeningProof;
pub use self::shape::{CodeProfile, MAX_WEIGHTS, Point, Shape, ShapeError};
pub use self::verify::verify;
pub use crate::wire::DecodeError;
