//! A model around its program: how real inputs become integers, and raw outputs real.

mod order;
mod quantisation;

pub use self::order::{Order, OrderError};
pub use self::quantisation::{Dequantisation, Quantisation, QuantiseError, Quantised, ScaleError};
