//! Model packages, and the engines that run them.
//!
//! A [`ModelPackage`] is a folder with an artifact, a card and samples; its id is the digest of an
//! encoding of the three that [`ModelPackage::id`] states. An [`Engine`] makes a [`LoadedModel`] of
//! it. The engine of this crate is [`Tract`]: ONNX in pure Rust.
//!
//! Nothing here knows a price or a method of verification.

mod card;
mod engine;
mod package;
mod samples;
mod tract;

pub use card::{Accuracy, CardError, InputError, ModelCard, TensorSpec, Training};
pub use engine::{Engine, EngineError, LoadedModel};
pub use package::{ModelPackage, PackageError};
pub use samples::{Sample, Samples};
pub use tract::Tract;
