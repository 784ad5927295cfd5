//! Compiles ONNX models to the integer programs of the zkml method.
//!
//! ```text
//! bytes --graph--> nodes --lower--> draft: sites, real coefficients
//! samples --float--> ranges --quantise--> program, weights
//! ```
//!
//! | module | does |
//! |---|---|
//! | `graph`, `constant`, `wire`, `limits` | reads the file, with limits |
//! | `lower` | nodes to sites, operator by operator; layouts become views |
//! | `float` | runs the float model on samples: ranges and reference outputs |
//! | `trees` | tree ensembles, which have their own way from the file to a program |
//! | `quantise` | scales, shifts, integers, tables, places of weights (sections 2 and 6.1 of `docs/zkml-protocol.md`) |
//! | [`compile`] | all of it, and the report |
//! | [`synthetic`] | models for tests and benches |
//!
//! An input may be a vector, rows of vectors, a sequence `[N, C, L]` (an image of one column) or an
//! image; Conv, pools and BatchNormalization take the last two.
//!
//! | operators | become |
//! |---|---|
//! | Conv (strides, paddings, dilations, groups), Gemm, MatMul by weights | `Conv` terms |
//! | Add, Sub, Neg; Add, Sub, Mul, Div by constants; BatchNormalization | terms, biases, scaled weights |
//! | Mul of two values | two tables of squares |
//! | AveragePool, GlobalAveragePool, ReduceMean, ReduceSum over rows and columns | `Pick` terms |
//! | Relu, Clip | the clamp of a requantisation |
//! | Abs, Elu, HardSigmoid, HardSwish, LeakyRelu, Selu, Sigmoid, Softplus, Softsign, Tanh; PRelu with one slope | its function table |
//! | PRelu with slopes of channels | two clamps and their sum |
//! | Slice, Split; Gather by constants | `Copy` sites |
//! | Resize and Upsample to a multiple, nearest cell | a `Copy` for each axis that grows |
//! | ConvTranspose (strides, paddings, dilations, groups) | `Copy` sites that put zeros between cells, a `Conv` term |
//! | Softmax, LogSoftmax over the last dimension | `Max2` sites, tables of an exponential and a logarithm, a second exponential |
//! | MaxPool, GlobalMaxPool | `Max2` sites |
//! | Concat, Pad | windows of the reader |
//! | Flatten, Reshape, Squeeze, Unsqueeze, Transpose, Identity, Dropout | views |
//! | QuantizeLinear, DequantizeLinear, QLinearConv, QLinearMatMul | scales and intervals |
//! | TreeEnsembleClassifier, TreeEnsembleRegressor, alone in their graph | cuts of the input, leaves, sums of their values |
//! | Constant, Shape, Gather, Slice, Cast, ConstantOfShape and arithmetic, of constants | constants |
//!
//! What cannot be compiled fails here, in one sentence with the node's name and operator.

#![forbid(unsafe_code)]

mod compile;
mod constant;
mod draft;
mod error;
mod float;
mod function;
mod graph;
mod limits;
mod lower;
mod quantise;
mod reference;
mod report;
pub mod synthetic;
mod trees;
mod view;
mod wire;

pub use self::compile::{Activations, Compiled, Options, compile};
pub use self::error::{CompileError, Refusal};
pub use self::graph::MAX_MODEL_BYTES;
pub use self::reference::{Reference, input_values};
pub use self::report::{SiteSummary, Summary};
