//! ONNX models made here, for tests and benches: a builder of graphs, seeded numbers, known
//! architectures with random weights, and random graphs.

mod architectures;
mod random;
mod trees;

use prost::Message as _;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto, type_proto,
};

pub use self::architectures::{dense, lenet, mlp, residual, resnet18};
pub use self::random::{RandomGraph, random_graph};
pub use self::trees::{Forest, forest};

use crate::graph::ML_DOMAIN;

/// Numbers that follow from a seed: SplitMix64.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// Starts at `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`, which must be above 0.
    pub fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.bits() % u64::from(end.max(1))).unwrap_or(0)
    }

    /// Returns a number of `-1.0..1.0`.
    pub fn unit(&mut self) -> f32 {
        // 24 bits: exact as f32.
        let bits = u16::try_from(self.bits() >> 48).unwrap_or(0);
        f32::from(bits) / 32768.0 - 1.0
    }

    /// Returns `count` numbers of `-size..size`.
    pub fn uniform(&mut self, count: usize, size: f32) -> Vec<f32> {
        (0..count).map(|_| self.unit() * size).collect()
    }
}

/// A value of an attribute.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Attribute {
    /// An integer.
    Int(i64),
    /// Integers.
    Ints(Vec<i64>),
    /// A float.
    Float(f32),
    /// Floats.
    Floats(Vec<f32>),
    /// Text.
    Text(&'static str),
    /// Texts.
    Texts(Vec<&'static str>),
}

/// Builds a graph, node by node. Names are the caller's; nothing is checked.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    graph: GraphProto,
    named: usize,
}

impl Builder {
    /// Starts a graph whose input `x` has dimensions `dims`.
    #[must_use]
    pub fn new(dims: &[u32]) -> Self {
        let dims: Vec<_> =
            dims.iter().map(|&dim| dimension::Value::DimValue(i64::from(dim))).collect();
        let mut builder = Self::default();
        builder.graph.input.push(float_value("x", dims));
        builder
    }

    /// Starts a graph whose input `x` has a free batch dimension in front of `dims`.
    #[must_use]
    pub fn batched(dims: &[u32]) -> Self {
        let fixed = dims.iter().map(|&dim| dimension::Value::DimValue(i64::from(dim)));
        let batch = dimension::Value::DimParam("N".to_owned());
        let mut builder = Self::default();
        builder.graph.input.push(float_value("x", [batch].into_iter().chain(fixed).collect()));
        builder
    }

    /// Adds a tensor of floats and returns its name.
    pub fn floats(&mut self, dims: &[u32], values: &[f32]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(DataType::Float, dims, raw_data)
    }

    /// Adds a vector of 64-bit integers and returns its name.
    pub fn integers(&mut self, values: &[i64]) -> String {
        let length = u32::try_from(values.len()).unwrap_or(u32::MAX);
        self.int64(&[length], values)
    }

    /// Adds one 64-bit integer and returns its name.
    pub fn scalar(&mut self, value: i64) -> String {
        self.int64(&[], &[value])
    }

    /// Adds a tensor of 64-bit integers and returns its name.
    pub fn int64(&mut self, dims: &[u32], values: &[i64]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(DataType::Int64, dims, raw_data)
    }

    /// Adds a tensor of signed bytes and returns its name.
    pub fn int8(&mut self, dims: &[u32], values: &[i8]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(DataType::Int8, dims, raw_data)
    }

    /// Adds a tensor of bytes and returns its name.
    pub fn uint8(&mut self, dims: &[u32], values: &[u8]) -> String {
        self.tensor(DataType::Uint8, dims, values.to_vec())
    }

    /// Adds a tensor of 32-bit integers and returns its name.
    pub fn int32(&mut self, dims: &[u32], values: &[i32]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(DataType::Int32, dims, raw_data)
    }

    fn tensor(&mut self, kind: DataType, dims: &[u32], raw_data: Vec<u8>) -> String {
        let name = self.name("t");
        self.graph.initializer.push(TensorProto {
            name: name.clone(),
            dims: dims.iter().map(|&dim| i64::from(dim)).collect(),
            data_type: kind as i32,
            raw_data,
            ..Default::default()
        });
        name
    }

    fn name(&mut self, prefix: &str) -> String {
        self.named += 1;
        format!("{prefix}{}", self.named)
    }

    /// Adds a node with one output, and returns the output's name.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> String {
        self.node_with_outputs(operator, inputs, attributes, 1).pop().unwrap_or_default()
    }

    /// Adds a node with several outputs, and returns their names.
    pub fn node_with_outputs(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
        outputs: usize,
    ) -> Vec<String> {
        let outputs: Vec<String> = (0..outputs).map(|_| self.name("v")).collect();
        self.graph.node.push(NodeProto {
            name: format!("{operator}_{}", outputs.first().map_or("", String::as_str)),
            op_type: operator.to_owned(),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: outputs.clone(),
            attribute: attributes.iter().map(attribute).collect(),
            domain: if crate::trees::is_one(operator) {
                ML_DOMAIN.to_owned()
            } else {
                String::new()
            },
            ..Default::default()
        });
        outputs
    }

    /// Returns the file of the model whose output is `output`.
    #[must_use]
    pub fn finish(&self, output: &str) -> Vec<u8> {
        self.model(output).encode_to_vec()
    }

    /// Returns the model whose output is `output`, to be broken.
    #[must_use]
    pub fn model(&self, output: &str) -> ModelProto {
        let mut graph = self.graph.clone();
        graph.output.push(ValueInfoProto { name: output.to_owned(), ..Default::default() });
        ModelProto {
            ir_version: 8,
            opset_import: vec![
                OperatorSetIdProto { domain: String::new(), version: 17 },
                OperatorSetIdProto { domain: ML_DOMAIN.to_owned(), version: 1 },
            ],
            graph: Some(graph),
            ..Default::default()
        }
    }
}

fn float_value(name: &str, dims: Vec<dimension::Value>) -> ValueInfoProto {
    let dim = |value| Dimension { value: Some(value), ..Default::default() };
    let shape = TensorShapeProto { dim: dims.into_iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
    let kind = TypeProto { value: Some(Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..Default::default() }
}

fn attribute((name, value): &(&str, Attribute)) -> AttributeProto {
    use attribute_proto::AttributeType;
    let mut proto = AttributeProto { name: (*name).to_owned(), ..Default::default() };
    let kind = match value {
        Attribute::Int(value) => {
            proto.i = *value;
            AttributeType::Int
        }
        Attribute::Ints(values) => {
            proto.ints.clone_from(values);
            AttributeType::Ints
        }
        Attribute::Float(value) => {
            proto.f = *value;
            AttributeType::Float
        }
        Attribute::Floats(values) => {
            proto.floats.clone_from(values);
            AttributeType::Floats
        }
        Attribute::Texts(values) => {
            proto.strings = values.iter().map(|value| value.as_bytes().to_vec()).collect();
            AttributeType::Strings
        }
        Attribute::Text(value) => {
            proto.s = value.as_bytes().to_vec();
            AttributeType::String
        }
    };
    proto.r#type = kind as i32;
    proto
}
