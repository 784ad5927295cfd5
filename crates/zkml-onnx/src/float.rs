//! The float model, run by tract: ranges of its values, and its answers on the samples.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, ValueInfoProto};
use tract_onnx::prelude::{
    Framework as _, IntoRunnable as _, Tensor, TractError, TractResult, TypedSimplePlan, tvec,
};
use tract_onnx::tract_hir::infer::{InferenceFact, InferenceOp};
use tract_onnx::tract_hir::prelude::{DatumType, InferenceModelExt as _};
use tract_onnx::{Onnx, onnx};

use crate::constant::check_finite;
use crate::error::{CompileError, Refusal};
use crate::graph::Input;

/// The float model with some of its values as outputs.
pub(crate) struct FloatModel {
    plan: Arc<TypedSimplePlan>,
    dims: Vec<usize>,
}

impl fmt::Debug for FloatModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FloatModel").field("dims", &self.dims).finish_non_exhaustive()
    }
}

/// The smallest and the largest of some numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Range {
    const EMPTY: Self = Self { low: f64::INFINITY, high: f64::NEG_INFINITY };

    fn extend(&mut self, values: &[f32]) {
        for &value in values {
            self.low = self.low.min(f64::from(value));
            self.high = self.high.max(f64::from(value));
        }
    }

    /// The range with its ends moved outwards to a grid, by less than a 512th of the larger end.
    ///
    /// tract's sums differ in their last bits between processors. With this, another machine
    /// compiles a model to the same id, but for a value that lies next to a point of the grid.
    fn outwards(self) -> Self {
        let largest = self.low.abs().max(self.high.abs());
        let power_of_two = f64::from_bits(largest.to_bits() & !MANTISSA);
        let step = power_of_two / GRID;
        if !step.is_normal() {
            return self;
        }
        Self { low: (self.low / step).floor() * step, high: (self.high / step).ceil() * step }
    }
}

/// Steps of the grid from a power of two to the next.
const GRID: f64 = 1024.0;
const MANTISSA: u64 = (1 << 52) - 1;

/// What the float model did on the samples.
#[derive(Debug)]
pub(crate) struct Calibration {
    pub(crate) ranges: HashMap<String, Range>,
    /// For each sample, the output.
    pub(crate) outputs: Vec<Vec<f32>>,
}

/// Under which the engine's own reader of `Resize` is kept.
const RESIZE: &str = "Resize of the engine";

/// Returns the engine with the old ways to resize: `Upsample`, which it does not know, and `Resize` of
/// operator set 10, of which it rounds up some cells.
fn framework() -> Onnx {
    let mut framework = onnx().with_ignore_output_types(true);
    if let Some(&resize) = framework.op_register.0.get("Resize") {
        framework.op_register.insert(RESIZE, resize);
        framework.op_register.insert("Resize", resize_rounded_down);
        framework.op_register.insert("Upsample", resize_rounded_down);
    }
    framework
}

fn resize_rounded_down(
    context: &ParsingContext<'_>,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let resize = context.framework.op_register.0.get(RESIZE);
    let resize = resize.ok_or_else(|| TractError::msg("the engine has no Resize"))?;
    if node.op_type == "Resize" && context.onnx_operator_set_version != 10 {
        return resize(context, node);
    }
    let mut node = node.clone();
    node.attribute.push(AttributeProto {
        name: "nearest_mode".to_owned(),
        r#type: AttributeType::String as i32,
        s: b"floor".to_vec(),
        ..Default::default()
    });
    resize(&ParsingContext { onnx_operator_set_version: 10, ..context.clone() }, &node)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn float_error(error: TractError) -> CompileError {
    CompileError::Float { reason: format!("{error:#}") }
}

impl FloatModel {
    /// Prepares a model whose outputs are `values`. The graph has been lowered before: its names
    /// resolve, and its operators are known.
    pub(crate) fn new(
        mut model: ModelProto,
        input: &Input,
        values: &[String],
    ) -> Result<Self, CompileError> {
        if let Some(graph) = &mut model.graph {
            let output =
                |name: &String| ValueInfoProto { name: name.clone(), ..Default::default() };
            graph.output = values.iter().map(output).collect();
            graph.value_info.clear();
            // tract counts an empty name at the end as an input, which it is not.
            for node in &mut graph.node {
                while node.input.pop_if(|name| name.is_empty()).is_some() {}
            }
        }
        let dims: Vec<usize> = input.dims.iter().map(|&dim| dim as usize).collect();
        let framework = framework();
        let mut graph = framework.model_for_proto_model(&model).map_err(float_error)?;
        drop(model);
        let fact = InferenceFact::dt_shape(DatumType::F32, &dims);
        graph.set_input_fact(0, fact).map_err(float_error)?;
        let plan = graph.into_optimized().and_then(|graph| graph.into_runnable());
        Ok(Self { plan: plan.map_err(float_error)?, dims })
    }

    /// Returns the outputs for one input.
    pub(crate) fn run(&self, sample: &[f32]) -> Result<Vec<Vec<f32>>, CompileError> {
        let input = Tensor::from_shape(&self.dims, sample).map_err(float_error)?;
        let outputs = self.plan.run(tvec!(input.into())).map_err(float_error)?;
        let floats = outputs.iter().map(|value| {
            let value = value.cast_to::<f32>().map_err(float_error)?;
            let plain = value.try_as_plain_ram().map_err(float_error)?;
            Ok(plain.as_slice::<f32>().map_err(float_error)?.to_vec())
        });
        floats.collect()
    }

    /// Runs the samples. `values` are the names of the outputs; the last is the model's.
    pub(crate) fn calibrate(
        &self,
        values: &[String],
        samples: &[Vec<f32>],
    ) -> Result<Calibration, CompileError> {
        let mut ranges: HashMap<String, Range> = HashMap::new();
        let mut outputs = Vec::with_capacity(samples.len());
        for (index, sample) in samples.iter().enumerate() {
            let refuse = |refusal| CompileError::Sample { index, refusal };
            let expected: usize = self.dims.iter().product();
            if sample.len() != expected {
                return Err(refuse(Refusal::mismatch("number of values", expected, sample.len())));
            }
            check_finite(sample).map_err(refuse)?;
            let mut found = self.run(sample)?;
            for (name, found) in values.iter().zip(&found) {
                check_finite(found).map_err(|refusal| CompileError::Float {
                    reason: format!("sample {index}: `{name}`: {refusal}"),
                })?;
                ranges.entry(name.clone()).or_insert(Range::EMPTY).extend(found);
            }
            outputs.push(found.pop().unwrap_or_default());
        }
        let ranges = ranges.into_iter().map(|(name, range)| (name, range.outwards())).collect();
        Ok(Calibration { ranges, outputs })
    }
}

/// Returns the range of each channel of the samples, whose values stand in the program's order at
/// `places`, and that of all.
pub(crate) fn input_ranges(
    samples: &[Vec<f32>],
    places: &[usize],
    channels: usize,
) -> (Vec<Range>, Range) {
    let mut ranges = vec![Range::EMPTY; channels];
    for sample in samples {
        for pixel in places.chunks(channels.max(1)) {
            for (range, &place) in ranges.iter_mut().zip(pixel) {
                range
                    .extend(sample.get(place..).and_then(|rest| rest.get(..1)).unwrap_or_default());
            }
        }
    }
    let all = ranges.iter().fold(Range::EMPTY, |all, range| Range {
        low: all.low.min(range.low),
        high: all.high.max(range.high),
    });
    (ranges, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_ranges_do_not_hang_on_last_bits() {
        let of = |low: f32, high: f32| {
            let mut range = Range::EMPTY;
            range.extend(&[low, high]);
            let range = range.outwards();
            assert!(range.low <= f64::from(low) && f64::from(high) <= range.high);
            (range.low, range.high)
        };
        assert_eq!(of(-1.5, 16.0), (-1.5, 16.0));
        assert_eq!(of(0.0, 0.0), (0.0, 0.0));
        for (low, high) in [(-3.3, 8.7), (0.01, 0.3), (-700.1, 12.6), (-1e-30, 1e-20)] {
            let expected = of(low, high);
            for (low, high) in [(low.next_up(), high), (low, high.next_down())] {
                assert_eq!(of(low, high), expected);
            }
            let largest = f64::from(low.abs().max(high));
            assert!(f64::from(low) - expected.0 < largest / 512.0);
            assert!(expected.1 - f64::from(high) < largest / 512.0);
        }
    }
}
