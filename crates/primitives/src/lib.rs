//! The words every other crate of Assay uses: digests, ids, method names, networks and assets,
//! amounts, time, and the tensors that go into and come out of a model.
//!
//! Nothing here does I/O. The two things a pure function may not reach for, time and randomness,
//! are the traits [`Clock`] and [`Randomness`]; [`SystemClock`] and [`SystemRandomness`] are the
//! only places in the project that read them from the machine.

mod amount;
mod caip;
mod checks;
mod clock;
mod digest;
mod draft;
mod duration;
pub mod encoding;
mod failpoint;
mod float;
mod ids;
mod inference;
pub mod json;
mod method;
mod pointer;
mod random;
mod tensor;
mod text;
mod timestamp;

pub use amount::{Amount, AmountError};
pub use caip::{Account, AssetId, CaipError, Network};
pub use clock::{Clock, SystemClock};
pub use digest::Digest;
pub use draft::{DraftError, OutputReference, TensorDraft, stands_for_all};
pub use duration::{DurationError, optional_duration, parse_duration};
pub use failpoint::{arm_failpoint, pass_failpoint};
pub use ids::{
    AccessToken, ItemId, ItemIdError, KeyId, ModelId, OperatorId, TransactionId, TransactionIdError,
};
pub use inference::{InferenceOutput, InferenceRequest, WrittenRequest};
pub use method::{Method, MethodError};
pub use pointer::{InputPointer, OutputPointer, PointerError};
pub use random::{Randomness, RandomnessError, SystemRandomness};
pub use tensor::{Datatype, Tensor, TensorData, TensorError};
pub use text::printable;
pub use timestamp::{Timestamp, TimestampError};
