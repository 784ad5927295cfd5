//! Real inputs to integers and raw outputs to reals, exactly as stated: every verifier gets the same
//! integers.

use thiserror::Error;

use super::order::Order;
use crate::program::Interval;

/// How a real input becomes the program's: by scales or by cuts.
///
/// By scales it is `clamp(round(x / scale), lo, hi)`, with one scale for all values or one for each
/// channel. `x` is an `f32`, taken as an `f64`; the division is that of IEEE 754 binary64, and the
/// quotient is rounded to the nearest integer, half to even, as ONNX's `QuantizeLinear` does. What
/// lies outside the interval is clamped, also as there: the program is defined for every finite
/// input, and [`Quantised::clamped`] says how many values were.
///
/// By cuts each cell of the program's input says whether one value of the model's is at least that of
/// its [`Cut`], compared as `f32`s are. Nothing is rounded, and nothing lies outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantisation {
    order: Order,
    steps: Steps,
}

#[derive(Clone, Debug, PartialEq)]
enum Steps {
    Scales { scales: Vec<f64>, interval: Interval },
    Cuts(Vec<Cut>),
}

/// A question about one value of an input: 1 if `x[feature] >= value`, else 0.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the file")]
pub struct Cut {
    /// Index of the value among the model's.
    pub feature: u32,
    /// The least value for which the answer is 1: finite, and not the negative zero.
    pub value: f32,
}

/// The answers to cuts.
const ANSWERS: Interval = Interval::new(0, 1);

/// How raw outputs become real: `raw * scale` in IEEE 754 binary64, then rounded to the nearest
/// `f32`, half to even.
#[derive(Clone, Debug, PartialEq)]
pub struct Dequantisation {
    order: Order,
    scale: f64,
}

/// An input of the program.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Quantised {
    /// The cells of the program's input, in the order `[y][x][c]`.
    pub values: Vec<i32>,
    /// How many values lay outside what the interval stands for.
    pub clamped: usize,
}

/// An input that is none.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum QuantiseError {
    /// Another number of values than the model takes, or gives.
    #[error("{what} has {got} values, expected {expected}")]
    Length {
        /// `input` or `raw output`.
        what: &'static str,
        /// Values of the model.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// NaN or infinite.
    #[error("input value {index} is {got}, not a finite number")]
    NotFinite {
        /// Index of the value.
        index: usize,
        /// The value.
        got: f32,
    },
    /// Outside what the interval stands for.
    #[error("input value {index} is {got}, outside {low}..={high}")]
    Range {
        /// Index of the value.
        index: usize,
        /// The smallest real value that is stored.
        low: f64,
        /// The largest.
        high: f64,
        /// The value.
        got: f32,
    },
}

/// Cuts of an input that cannot be made.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum CutError {
    /// It is of a value that the model does not take.
    #[error("cut {index} is of input value {got}, the model takes {features}")]
    Feature {
        /// Index of the cut.
        index: usize,
        /// Values that the model takes.
        features: usize,
        /// The value named.
        got: u32,
    },
    /// It is at no finite number, or at the negative zero, which has another spelling.
    #[error("cut {index} is at {got:?}, not at a finite number other than -0")]
    Value {
        /// Index of the cut.
        index: usize,
        /// Where it is.
        got: f32,
    },
}

/// Scales that cannot be divided by.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum ScaleError {
    /// A scale is not above 0 and normal.
    #[error("scale is {got}, not a normal number above 0")]
    Value {
        /// The scale.
        got: f64,
    },
    /// There is neither one scale nor one for each channel.
    #[error("{got} scales do not divide the {values} values of the input")]
    Count {
        /// Values of the input.
        values: usize,
        /// Scales given.
        got: usize,
    },
}

impl Quantisation {
    /// Returns the quantisation to `interval` with steps of `scales`: one for all values, or one for
    /// each channel of the program's tensor.
    ///
    /// # Errors
    ///
    /// Returns [`ScaleError`] unless each scale is normal and above 0, and their number divides that
    /// of the values.
    pub fn new(order: Order, scales: Vec<f64>, interval: Interval) -> Result<Self, ScaleError> {
        let (values, got) = (order.values(), scales.len());
        if got == 0 || !values.is_multiple_of(got) {
            return Err(ScaleError::Count { values, got });
        }
        scales.iter().try_for_each(|&scale| check_scale(scale))?;
        Ok(Self { order, steps: Steps::Scales { scales, interval } })
    }

    /// Returns the quantisation by `cuts`, one for each cell of the program's input. `order` is of
    /// the model's values.
    ///
    /// # Errors
    ///
    /// Returns [`CutError`] for the first cut that is of no value of the model, or at no number.
    pub fn by_cuts(order: Order, cuts: Vec<Cut>) -> Result<Self, CutError> {
        let features = order.values();
        for (index, &Cut { feature, value: got }) in cuts.iter().enumerate() {
            if feature as usize >= features {
                return Err(CutError::Feature { index, features, got: feature });
            }
            if !got.is_finite() || got.to_bits() == (-0.0_f32).to_bits() {
                return Err(CutError::Value { index, got });
            }
        }
        Ok(Self { order, steps: Steps::Cuts(cuts) })
    }

    /// Returns the order of the input's values.
    #[must_use]
    pub const fn order(&self) -> &Order {
        &self.order
    }

    /// Returns the real value of a stored 1, of all values or of each channel; none where the input
    /// is quantised by cuts.
    #[must_use]
    pub fn scales(&self) -> &[f64] {
        match &self.steps {
            Steps::Scales { scales, .. } => scales,
            Steps::Cuts(_) => &[],
        }
    }

    /// Returns the cuts, one for each cell; none where the input is quantised by scales.
    #[must_use]
    pub fn cuts(&self) -> &[Cut] {
        match &self.steps {
            Steps::Scales { .. } => &[],
            Steps::Cuts(cuts) => cuts,
        }
    }

    /// Returns the interval of stored values.
    #[must_use]
    pub const fn interval(&self) -> Interval {
        match &self.steps {
            Steps::Scales { interval, .. } => *interval,
            Steps::Cuts(_) => ANSWERS,
        }
    }

    /// Returns the number of cells of the program's input.
    #[must_use]
    pub fn cells(&self) -> usize {
        match &self.steps {
            Steps::Scales { .. } => self.order.values(),
            Steps::Cuts(cuts) => cuts.len(),
        }
    }

    /// Returns the program's input for the model's, row-major.
    ///
    /// # Errors
    ///
    /// Returns [`QuantiseError`] if the length differs, or a value is no finite number.
    pub fn quantise(&self, input: &[f32]) -> Result<Quantised, QuantiseError> {
        let (expected, got) = (self.order.values(), input.len());
        if expected != got {
            return Err(QuantiseError::Length { what: "input", expected, got });
        }
        if let Some((index, &got)) = input.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            return Err(QuantiseError::NotFinite { index, got });
        }
        match &self.steps {
            Steps::Scales { scales, interval } => Ok(self.scaled(input, scales, *interval)),
            Steps::Cuts(cuts) => {
                let at_least = |cut: &Cut| {
                    let x = input.get(cut.feature as usize).copied().unwrap_or(0.0);
                    i32::from(x >= cut.value)
                };
                Ok(Quantised { values: cuts.iter().map(at_least).collect(), clamped: 0 })
            }
        }
    }

    fn scaled(&self, input: &[f32], scales: &[f64], interval: Interval) -> Quantised {
        let mut clamped = 0;
        let (low, high) = (f64::from(interval.lo), f64::from(interval.hi));
        let value = |(place, scale): (usize, &f64)| {
            let x = input.get(place).copied().unwrap_or(0.0);
            let rounded = (f64::from(x) / scale).round_ties_even();
            clamped += usize::from(rounded < low || rounded > high);
            integer(rounded.clamp(low, high))
        };
        let scales = scales.iter().cycle();
        let values = self.order.places().into_iter().zip(scales).map(value).collect();
        Quantised { values, clamped }
    }
}

impl Quantisation {
    /// Returns the program's input for the model's, row-major, if no value has to be clamped.
    ///
    /// # Errors
    ///
    /// Returns [`QuantiseError`] as [`quantise`](Self::quantise) does, and [`QuantiseError::Range`]
    /// for the first value, in the program's order, outside what the interval stands for.
    pub fn quantise_within(&self, input: &[f32]) -> Result<Vec<i32>, QuantiseError> {
        let Quantised { values, clamped } = self.quantise(input)?;
        if clamped == 0 {
            return Ok(values);
        }
        let Interval { lo, hi } = self.interval();
        let (low, high) = (f64::from(lo), f64::from(hi));
        let places = self.order.places().into_iter().zip(self.scales().iter().cycle());
        for (index, scale) in places {
            let got = input.get(index).copied().unwrap_or(0.0);
            if !(low..=high).contains(&(f64::from(got) / scale).round_ties_even()) {
                let (low, high) = (low * scale, high * scale);
                return Err(QuantiseError::Range { index, low, high, got });
            }
        }
        Ok(values)
    }
}

impl Dequantisation {
    /// Returns the dequantisation with steps of `scale`.
    ///
    /// # Errors
    ///
    /// Returns [`ScaleError`] unless `scale` is normal and above 0.
    pub fn new(order: Order, scale: f64) -> Result<Self, ScaleError> {
        check_scale(scale)?;
        Ok(Self { order, scale })
    }

    /// Returns the order of the output's values.
    #[must_use]
    pub const fn order(&self) -> &Order {
        &self.order
    }

    /// Returns the real value of a raw 1.
    #[must_use]
    pub const fn scale(&self) -> f64 {
        self.scale
    }

    /// Returns the model's output, row-major, for the program's.
    ///
    /// # Errors
    ///
    /// Returns [`QuantiseError::Length`] if the length differs.
    pub fn dequantise(&self, raw: &[i32]) -> Result<Vec<f32>, QuantiseError> {
        let (expected, got) = (self.order.values(), raw.len());
        if expected != got {
            return Err(QuantiseError::Length { what: "raw output", expected, got });
        }
        let mut output = vec![0.0; expected];
        for (place, &raw) in self.order.places().into_iter().zip(raw) {
            if let Some(value) = output.get_mut(place) {
                *value = narrow(f64::from(raw) * self.scale);
            }
        }
        Ok(output)
    }
}

fn check_scale(scale: f64) -> Result<(), ScaleError> {
    if scale.is_normal() && scale > 0.0 { Ok(()) } else { Err(ScaleError::Value { got: scale }) }
}

#[expect(clippy::cast_possible_truncation, reason = "an integer inside an i32's interval")]
const fn integer(value: f64) -> i32 {
    value as i32
}

#[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
const fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(values: u32) -> Order {
        Order::new(vec![1, values], vec![values], vec![0]).unwrap()
    }

    #[test]
    fn halves_go_to_even_and_what_is_outside_is_clamped() {
        let quantisation = Quantisation::new(order(7), vec![0.5], Interval::new(-3, 4)).unwrap();
        let input = [0.25, 0.75, -0.25, -0.75, 2.25, 2.3, -100.0];
        let quantised = quantisation.quantise(&input).unwrap();
        assert_eq!(quantised.values, [0, 2, 0, -2, 4, 4, -3]);
        assert_eq!(quantised.clamped, 2);
    }

    #[test]
    fn each_channel_has_its_scale() {
        let order = Order::new(vec![2, 2], vec![2, 2], vec![1, 0]).unwrap();
        let interval = Interval::new(-100, 100);
        let quantisation = Quantisation::new(order.clone(), vec![1.0, 0.1], interval).unwrap();
        // The program's order is 1, 3, 2, 4; its channels alternate.
        assert_eq!(quantisation.quantise(&[1.0, 2.0, 3.0, 4.0]).unwrap().values, [1, 30, 2, 40]);
        for scales in [vec![], vec![1.0; 3], vec![1.0; 8]] {
            let got = scales.len();
            let refused = Quantisation::new(order.clone(), scales, interval).unwrap_err();
            assert_eq!(refused, ScaleError::Count { values: 4, got });
        }
    }

    #[test]
    fn values_out_of_range_are_named_where_they_are_not_clamped() {
        let quantisation = Quantisation::new(order(2), vec![0.5], Interval::new(-3, 4)).unwrap();
        assert_eq!(quantisation.quantise_within(&[2.0, -1.5]).unwrap(), [4, -3]);
        let refused = quantisation.quantise_within(&[2.0, -2.0]).unwrap_err();
        assert_eq!(refused, QuantiseError::Range { index: 1, low: -1.5, high: 2.0, got: -2.0 });
        assert_eq!(refused.to_string(), "input value 1 is -2, outside -1.5..=2");
    }

    #[test]
    fn cuts_compare_as_floats_do() {
        let order = Order::new(vec![1, 2], vec![2], vec![0]).unwrap();
        let cut = |feature, value| Cut { feature, value };
        let tiny = f32::from_bits(1);
        let cuts = vec![cut(1, 0.5), cut(0, 0.0), cut(0, tiny), cut(1, 0.5), cut(0, -1e30)];
        let quantisation = Quantisation::by_cuts(order.clone(), cuts).unwrap();
        assert_eq!((quantisation.cells(), quantisation.interval()), (5, Interval::new(0, 1)));
        for (input, answers) in [
            ([0.0, 0.5], [1, 1, 0, 1, 1]),
            ([-0.0, 0.5_f32.next_down()], [0, 1, 0, 0, 1]),
            ([tiny, 0.5_f32.next_up()], [1, 1, 1, 1, 1]),
            ([-tiny, f32::MAX], [1, 0, 0, 1, 1]),
            ([f32::MIN, f32::MIN], [0, 0, 0, 0, 0]),
        ] {
            let quantised = quantisation.quantise(&input).unwrap();
            assert_eq!((quantised.values.as_slice(), quantised.clamped), (&answers[..], 0));
            assert_eq!(quantisation.quantise_within(&input).unwrap(), answers);
        }
        for input in [[f32::NAN, 0.0], [0.0, f32::INFINITY]] {
            let refused = quantisation.quantise_within(&input).unwrap_err();
            assert!(matches!(refused, QuantiseError::NotFinite { .. }), "{refused}");
        }
        let refused = |value: Cut| Quantisation::by_cuts(order.clone(), vec![value]).unwrap_err();
        assert_eq!(refused(cut(2, 0.5)), CutError::Feature { index: 0, features: 2, got: 2 });
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0] {
            assert!(matches!(refused(cut(0, value)), CutError::Value { index: 0, .. }), "{value}");
        }
    }

    #[test]
    fn what_is_no_input_is_refused() {
        let quantisation = Quantisation::new(order(2), vec![0.5], Interval::new(-3, 4)).unwrap();
        let refused = |input: &[f32]| quantisation.quantise(input).unwrap_err();
        let length = QuantiseError::Length { what: "input", expected: 2, got: 1 };
        assert_eq!(refused(&[1.0]), length);
        let infinite = QuantiseError::NotFinite { index: 1, got: f32::INFINITY };
        assert_eq!(refused(&[1.0, f32::INFINITY]), infinite);
        assert!(matches!(refused(&[f32::NAN, 1.0]), QuantiseError::NotFinite { index: 0, .. }));
        for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE / 2.0] {
            assert!(Quantisation::new(order(2), vec![scale], Interval::new(-3, 4)).is_err());
            assert!(Dequantisation::new(order(2), scale).is_err());
        }
    }

    #[test]
    fn raw_outputs_are_multiples_of_the_scale() {
        let order = Order::new(vec![1, 2, 2], vec![2, 2], vec![1, 0]).unwrap();
        let dequantisation = Dequantisation::new(order, 0.125).unwrap();
        assert_eq!(dequantisation.dequantise(&[8, -4, 1, 0]).unwrap(), [1.0, 0.125, -0.5, 0.0]);
        assert!(dequantisation.dequantise(&[8]).is_err());
    }
}
