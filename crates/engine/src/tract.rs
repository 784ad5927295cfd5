use std::fmt;
use std::sync::Arc;

use assay_primitives::{Datatype, InferenceOutput, InferenceRequest, Tensor, TensorData};
use tract_onnx::onnx;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{
    DatumType, Framework as _, IntoRunnable as _, TValue, TVec, Tensor as TractTensor, TractError,
    TractResult, TypedModel, TypedSimplePlan,
};
use tract_onnx::tract_hir::infer::InferenceModel;
use tract_onnx::tract_hir::prelude::InferenceModelExt as _;

use crate::{Engine, EngineError, LoadedModel, ModelPackage, TensorSpec};

/// ONNX by tract, in pure Rust, on the processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tract;

/// The version in `Cargo.lock`; a test compares them.
const VERSION: &str = "0.23.9";

impl Engine for Tract {
    fn name(&self) -> &'static str {
        "tract-onnx"
    }

    fn version(&self) -> &'static str {
        VERSION
    }

    fn load(&self, package: &ModelPackage) -> Result<Arc<dyn LoadedModel>, EngineError> {
        let card = package.card();
        let load = |error| EngineError::Load { model: card.name.clone(), reason: text(error) };
        let framework = onnx();
        let model = framework.proto_model_for_read(&mut package.artifact()).map_err(load)?;
        check_trees(&model).map_err(load)?;
        let graph = framework.model_for_proto_model(&model).map_err(load)?;
        let (inputs, outputs) = names(&graph);
        check_names(&card.name, "inputs", &card.inputs, &inputs)?;
        check_names(&card.name, "outputs", &card.outputs, &outputs)?;
        let optimized = graph.into_optimized().map_err(load)?;
        check_shapes(&card.name, &card.inputs, &optimized, TypedModel::input_fact)?;
        check_shapes(&card.name, &card.outputs, &optimized, TypedModel::output_fact)?;
        let plan = optimized.into_runnable().map_err(load)?;
        let (name, outputs) = (card.name.clone(), card.outputs.clone());
        Ok(Arc::new(TractModel { name, inputs: inputs.len(), outputs, plan }))
    }
}

/// A model that tract has optimised for this machine.
struct TractModel {
    name: String,
    inputs: usize,
    outputs: Vec<TensorSpec>,
    plan: Arc<TypedSimplePlan>,
}

impl LoadedModel for TractModel {
    fn run(&self, request: &InferenceRequest) -> Result<InferenceOutput, EngineError> {
        let run = |error| EngineError::Run { model: self.name.clone(), reason: text(error) };
        let (expected, got) = (self.inputs, request.inputs.len());
        if expected != got {
            return Err(EngineError::Request { model: self.name.clone(), expected, got });
        }
        let inputs: TVec<TValue> =
            request.inputs.iter().map(to_tract).collect::<TractResult<_>>().map_err(run)?;
        let values = self.plan.run(inputs).map_err(run)?;
        let outputs = self
            .outputs
            .iter()
            .zip(&values)
            .map(|(spec, value)| {
                let (shape, data) = from_tract(value).map_err(run)?;
                Tensor::new(spec.name.clone(), shape, data)
                    .map_err(|error| EngineError::Output { model: self.name.clone(), error })
            })
            .collect::<Result<_, _>>()?;
        Ok(InferenceOutput { outputs })
    }
}

impl fmt::Debug for TractModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TractModel").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Refuses trees that tract would take for others: a branch by `BRANCH_GTE` for a leaf.
fn check_trees(model: &ModelProto) -> TractResult<()> {
    const MISTAKEN: &[u8] = b"BRANCH_GTE";
    let nodes = model.graph.iter().flat_map(|graph| &graph.node);
    let mut modes = nodes.flat_map(|node| &node.attribute).filter(|of| of.name == "nodes_modes");
    if modes.any(|modes| modes.strings.iter().any(|mode| mode == MISTAKEN)) {
        return Err(TractError::msg("trees with BRANCH_GTE, which tract takes for leaves"));
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn text(error: tract_onnx::prelude::TractError) -> String {
    format!("{error:#}")
}

/// Returns the names of a graph's inputs and outputs, in order.
fn names(graph: &InferenceModel) -> (Vec<String>, Vec<String>) {
    let node = |id: usize| graph.nodes.get(id).map_or_else(String::new, |node| node.name.clone());
    let inputs = graph.inputs.iter().map(|outlet| node(outlet.node)).collect();
    let outputs = graph
        .outputs
        .iter()
        .map(|outlet| graph.outlet_label(*outlet).map_or_else(|| node(outlet.node), str::to_owned))
        .collect();
    (inputs, outputs)
}

fn check_names(
    model: &str,
    what: &str,
    specs: &[TensorSpec],
    names: &[String],
) -> Result<(), EngineError> {
    let card: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    if card == names {
        return Ok(());
    }
    let (card, artifact) = (card.join(", "), names.join(", "));
    Err(EngineError::Card {
        model: model.to_owned(),
        card: format!("{what} {card}"),
        artifact: format!("{what} {artifact}"),
    })
}

fn check_shapes(
    model: &str,
    specs: &[TensorSpec],
    graph: &TypedModel,
    fact: impl Fn(&TypedModel, usize) -> TractResult<&tract_onnx::prelude::TypedFact>,
) -> Result<(), EngineError> {
    for (index, spec) in specs.iter().enumerate() {
        let found = fact(graph, index)
            .map_err(|error| EngineError::Load { model: model.to_owned(), reason: text(error) })?;
        let shape = found
            .shape
            .as_concrete()
            .map(|shape| shape.iter().map(|side| *side as u64).collect::<Vec<u64>>());
        let datatype = datatype_of(found.datum_type).map(Datatype::as_str);
        if shape.as_deref() != Some(&spec.shape) || datatype != Some(&spec.datatype) {
            return Err(EngineError::Card {
                model: model.to_owned(),
                card: format!("`{}` {} {:?}", spec.name, spec.datatype, spec.shape),
                artifact: format!("{:?} {:?}", found.datum_type, found.shape),
            });
        }
    }
    Ok(())
}

/// Gives each of this project's element types its tract counterpart.
macro_rules! element_types {
    ($($variant:ident, $type:ty, $datum:ident;)*) => {
        const fn datatype_of(datum: DatumType) -> Option<Datatype> {
            match datum {
                $(DatumType::$datum => Some(Datatype::$variant),)*
                _ => None,
            }
        }

        fn to_tract(tensor: &Tensor) -> TractResult<TValue> {
            let shape = tensor
                .shape()
                .iter()
                .map(|side| usize::try_from(*side))
                .collect::<Result<Vec<usize>, _>>()?;
            let tensor = match tensor.data() {
                $(TensorData::$variant(values) => TractTensor::from_shape::<$type>(&shape, values)?,)*
            };
            Ok(tensor.into())
        }

        fn from_tract(value: &TValue) -> TractResult<(Vec<u64>, TensorData)> {
            let shape = value.shape().iter().map(|side| *side as u64).collect();
            let plain = value.try_as_plain_ram()?;
            let data = match value.datum_type() {
                $(DatumType::$datum => TensorData::$variant(plain.as_slice::<$type>()?.to_vec()),)*
                other => return Err(tract_onnx::prelude::TractError::msg(
                    format!("output of type {other:?}, which is none of the protocol's"),
                )),
            };
            Ok((shape, data))
        }
    };
}

element_types! {
    Bool, bool, Bool;
    Uint8, u8, U8;
    Int8, i8, I8;
    Int32, i32, I32;
    Int64, i64, I64;
    Fp32, f32, F32;
    Fp64, f64, F64;
}
