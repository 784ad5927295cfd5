//! The file's graph: checked for size, names resolved, constants read, nothing interpreted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use prost::Message as _;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto};

use crate::constant::Constant;
use crate::error::{CompileError, Refusal};
use crate::limits;
use crate::trees;
use crate::wire::check_fields;

/// Largest file that is read, in bytes.
pub const MAX_MODEL_BYTES: usize = 1 << 29;
/// Most nodes of a graph.
const MAX_NODES: usize = 1 << 14;
/// Most inputs, outputs, and attributes of one node.
const MAX_NODE_PARTS: u64 = 1 << 10;
/// Oldest and newest operator sets that the compiler knows.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=22;
/// The same of `ai.onnx.ml`.
const ML_OPSETS: std::ops::RangeInclusive<i64> = 1..=5;

/// A model's graph.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) input: Input,
    pub(crate) output: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) constants: HashMap<String, Rc<Constant>>,
}

/// The input, with a batch of one.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) dims: Vec<u32>,
    /// `TensorProto.DataType` of the elements.
    element: i32,
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) operator: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    attributes: BTreeMap<String, Attribute>,
}

/// The two names of the domain of neural networks.
const DEFAULT_DOMAIN: [&str; 2] = ["", "ai.onnx"];
/// The domain of tree ensembles.
pub(crate) const ML_DOMAIN: &str = "ai.onnx.ml";

#[derive(Debug)]
enum Attribute {
    Float(f32),
    Int(i64),
    Text(String),
    Texts(Vec<String>),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Tensor(Rc<Constant>),
    Other,
}

/// Reads the protobuf of a file.
fn decode(bytes: &[u8]) -> Result<ModelProto, CompileError> {
    limit("bytes", MAX_MODEL_BYTES, bytes.len())?;
    check_fields(bytes)?;
    ModelProto::decode(bytes).map_err(|error| CompileError::Decode { reason: error.to_string() })
}

fn limit(what: &'static str, limit: usize, got: usize) -> Result<(), CompileError> {
    if got <= limit { Ok(()) } else { Err(CompileError::Limit { what, limit, got }) }
}

impl Input {
    /// Returns the number of values, at most that of a tensor.
    pub(crate) fn values(&self) -> usize {
        self.dims.iter().map(|&dim| dim as usize).product()
    }

    /// Refuses elements that are no floats.
    pub(crate) fn check_float(&self) -> Result<(), Refusal> {
        if self.element == DataType::Float as i32 {
            return Ok(());
        }
        Err(Refusal::mismatch("element type of the input", "float", self.element))
    }
}

impl Graph {
    /// Takes the logits for the output, where that is made of them by a Softmax or the like.
    pub(crate) fn drop_probabilities(&mut self) {
        let is_last = |node: &Node, output: &str| {
            matches!(node.operator.as_str(), "LogSoftmax" | "Softmax")
                && node.outputs.first().is_some_and(|name| name == output)
        };
        while let Some(node) = self.nodes.pop_if(|node| is_last(node, &self.output)) {
            self.output = node.inputs.into_iter().next().unwrap_or_default();
        }
    }

    /// Reads the graph of a model.
    pub(crate) fn read(model: &ModelProto, output: &str) -> Result<Self, CompileError> {
        let graph = model.graph.as_ref();
        let graph =
            graph.ok_or_else(|| CompileError::Decode { reason: "it has no graph".to_owned() })?;
        limit("nodes", MAX_NODES, graph.node.len())?;
        limit("functions", 0, model.functions.len())?;
        limit("sparse initialisers", 0, graph.sparse_initializer.len())?;
        check_opsets(model, graph)?;
        let mut constants = HashMap::new();
        for tensor in &graph.initializer {
            let constant = Constant::read(tensor)
                .map_err(|refusal| CompileError::Tensor { name: tensor.name.clone(), refusal })?;
            constants.insert(tensor.name.clone(), Rc::new(constant));
        }
        let input = read_input(graph, &constants)?;
        let nodes = graph.node.iter().map(Node::read).collect::<Result<_, _>>()?;
        Ok(Self { input, output: output.to_owned(), nodes, constants })
    }
}

/// Checks the version of each set of operators that the nodes are of.
fn check_opsets(model: &ModelProto, graph: &GraphProto) -> Result<(), CompileError> {
    for (domains, known) in [(&DEFAULT_DOMAIN[..], OPSETS), (&[ML_DOMAIN][..], ML_OPSETS)] {
        let is_one = |domain: &str| domains.contains(&domain);
        if !graph.node.iter().any(|node| is_one(&node.domain)) {
            continue;
        }
        let opset = model.opset_import.iter().find(|import| is_one(&import.domain));
        let opset = opset.map_or(0, |import| import.version);
        if !known.contains(&opset) {
            let of = if is_one(ML_DOMAIN) { " of `ai.onnx.ml`" } else { "" };
            let reason = format!("operator set {opset}{of} is not one of {known:?}");
            return Err(CompileError::Decode { reason });
        }
    }
    Ok(())
}

/// Reads a file up to the value `output`, the graph's own unless given: the model without the nodes
/// that nothing on the way there reads, and its graph.
pub(crate) fn open(
    bytes: &[u8],
    output: Option<&str>,
) -> Result<(ModelProto, Graph), CompileError> {
    let mut model = decode(bytes)?;
    let output = output.map_or_else(|| output_name(&model), |output| Ok(output.to_owned()))?;
    prune(&mut model, &output);
    let graph = Graph::read(&model, &output)?;
    Ok((model, graph))
}

/// Removes the nodes that nothing on the way to the output reads.
fn prune(model: &mut ModelProto, output: &str) {
    let Some(graph) = &mut model.graph else { return };
    let mut needed: HashSet<String> = [output.to_owned()].into();
    let mut kept = Vec::new();
    for node in std::mem::take(&mut graph.node).into_iter().rev() {
        if node.output.iter().any(|name| needed.contains(name)) {
            needed.extend(node.input.iter().cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
}

/// Returns the name of the only output, or of the scores beside the labels of a tree ensemble.
fn output_name(model: &ModelProto) -> Result<String, CompileError> {
    let graph = model.graph.as_ref();
    let outputs = graph.map(|graph| graph.output.as_slice()).unwrap_or_default();
    let nodes = graph.map(|graph| graph.node.as_slice()).unwrap_or_default();
    let scores = nodes.iter().find_map(trees::scores);
    match (outputs, scores) {
        ([output], _) => Ok(output.name.clone()),
        ([_, _], Some(scores)) => Ok(scores.to_owned()),
        _ => Err(CompileError::Ends { what: "output", got: outputs.len() }),
    }
}

/// Older files list initialisers among the inputs, too.
fn read_input(
    graph: &GraphProto,
    constants: &HashMap<String, Rc<Constant>>,
) -> Result<Input, CompileError> {
    let fed: Vec<&ValueInfoProto> =
        graph.input.iter().filter(|input| !constants.contains_key(&input.name)).collect();
    let [input] = fed.as_slice() else {
        return Err(CompileError::Ends { what: "input", got: fed.len() });
    };
    let name = input.name.clone();
    match input_dims(input) {
        Ok((dims, element)) => Ok(Input { name, dims, element }),
        Err(refusal) => Err(CompileError::Tensor { name, refusal }),
    }
}

/// The first dimension is the batch: 1, or free, and then 1.
fn input_dims(input: &ValueInfoProto) -> Result<(Vec<u32>, i32), Refusal> {
    let value = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    let Some(TypeValue::TensorType(tensor)) = value else {
        return Err(Refusal::unsupported("an input without a tensor type"));
    };
    let Some(shape) = &tensor.shape else {
        return Err(Refusal::unsupported("an input without a shape"));
    };
    limits::rank(shape.dim.len())?;
    let dims = shape.dim.iter().enumerate().map(|(axis, dim)| match &dim.value {
        Some(Dimension::DimValue(size)) if axis > 0 || *size > 0 => u32::try_from(*size)
            .ok()
            .filter(|size| *size > 0)
            .ok_or_else(|| Refusal::Dynamic { axis, dimension: size.to_string() })
            .and_then(|size| limits::extent(size.into())),
        _ if axis == 0 => Ok(1),
        Some(Dimension::DimParam(name)) => Err(Refusal::Dynamic { axis, dimension: name.clone() }),
        _ => Err(Refusal::Dynamic { axis, dimension: "?".to_owned() }),
    });
    let dims: Vec<u32> = dims.collect::<Result<_, _>>()?;
    limits::cells(&dims)?;
    match dims.first() {
        Some(&batch) if batch > 1 && dims.len() > 1 => {
            Err(Refusal::mismatch("the batch, dimension 0,", 1, batch))
        }
        _ => Ok((dims, tensor.elem_type)),
    }
}

impl Node {
    fn read(proto: &NodeProto) -> Result<Self, CompileError> {
        let first = || proto.output.first().cloned().unwrap_or_default();
        let name = if proto.name.is_empty() { first() } else { proto.name.clone() };
        let mut node = Self {
            name,
            operator: proto.op_type.clone(),
            inputs: proto.input.clone(),
            outputs: proto.output.clone(),
            attributes: BTreeMap::new(),
        };
        let parts = proto.input.len() + proto.output.len() + proto.attribute.len();
        limits::at_most("number of parts", MAX_NODE_PARTS, parts as u64)
            .map_err(|refusal| node.refuse(refusal))?;
        let domain = proto.domain.as_str();
        let is_known = match trees::is_one(&proto.op_type) {
            true => domain == ML_DOMAIN,
            false => DEFAULT_DOMAIN.contains(&domain),
        };
        if !is_known {
            let what = format!("the operator of domain `{}`", proto.domain);
            return Err(node.refuse(Refusal::unsupported(what)));
        }
        for attribute in &proto.attribute {
            let value = Attribute::read(attribute).map_err(|refusal| node.refuse(refusal))?;
            node.attributes.insert(attribute.name.clone(), value);
        }
        Ok(node)
    }

    /// Returns the error of this node.
    pub(crate) fn refuse(&self, refusal: Refusal) -> CompileError {
        CompileError::Node { node: self.name.clone(), operator: self.operator.clone(), refusal }
    }

    /// Whether an attribute is given.
    pub(crate) fn has(&self, name: &'static str) -> bool {
        self.attributes.contains_key(name)
    }

    /// Returns an integer attribute.
    pub(crate) fn int(&self, name: &'static str, default: i64) -> Result<i64, Refusal> {
        match self.attributes.get(name) {
            None => Ok(default),
            Some(Attribute::Int(value)) => Ok(*value),
            Some(_) => Err(Refusal::mismatch(name, "an integer", "another type")),
        }
    }

    /// Returns a float attribute.
    pub(crate) fn float(&self, name: &'static str, default: f32) -> Result<f32, Refusal> {
        match self.attributes.get(name) {
            None => Ok(default),
            Some(Attribute::Float(value)) if value.is_finite() => Ok(*value),
            Some(Attribute::Float(value)) => Err(Refusal::mismatch(name, "finite", value)),
            Some(_) => Err(Refusal::mismatch(name, "a float", "another type")),
        }
    }

    /// Returns a list of integers.
    pub(crate) fn ints(&self, name: &'static str) -> Result<Option<&[i64]>, Refusal> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Ints(values)) => Ok(Some(values)),
            Some(_) => Err(Refusal::mismatch(name, "integers", "another type")),
        }
    }

    /// Returns a text attribute.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Text(value)) => Ok(Some(value)),
            Some(_) => Err(Refusal::mismatch(name, "text", "another type")),
        }
    }

    /// Returns a list of floats; nothing if there is none.
    pub(crate) fn floats(&self, name: &'static str) -> Result<&[f32], Refusal> {
        match self.attributes.get(name) {
            None => Ok(&[]),
            Some(Attribute::Floats(values)) => Ok(values),
            Some(_) => Err(Refusal::mismatch(name, "floats", "another type")),
        }
    }

    /// Returns a list of texts; nothing if there is none.
    pub(crate) fn texts(&self, name: &'static str) -> Result<&[String], Refusal> {
        match self.attributes.get(name) {
            None => Ok(&[]),
            Some(Attribute::Texts(values)) => Ok(values),
            Some(_) => Err(Refusal::mismatch(name, "texts", "another type")),
        }
    }

    /// Returns the names of the attributes.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.attributes.keys().map(String::as_str)
    }

    /// Returns the value of a `Constant` node.
    pub(crate) fn constant(&self) -> Option<Rc<Constant>> {
        let float = |value: &f32| Constant::floats(Vec::new(), vec![*value]);
        let length = |values: usize| u32::try_from(values).ok().map(|length| vec![length]);
        let (_, value) = self.attributes.first_key_value()?;
        match value {
            Attribute::Tensor(constant) => Some(constant.clone()),
            Attribute::Float(value) => Some(Rc::new(float(value))),
            Attribute::Int(value) => Some(Rc::new(Constant::integers(Vec::new(), vec![*value]))),
            Attribute::Ints(values) => {
                Some(Rc::new(Constant::integers(length(values.len())?, values.clone())))
            }
            Attribute::Floats(values) => {
                Some(Rc::new(Constant::floats(length(values.len())?, values.clone())))
            }
            Attribute::Text(_) | Attribute::Texts(_) | Attribute::Other => None,
        }
    }
}

impl Attribute {
    fn read(proto: &AttributeProto) -> Result<Self, Refusal> {
        use tract_onnx::pb::attribute_proto::AttributeType;
        Ok(match AttributeType::try_from(proto.r#type).unwrap_or(AttributeType::Undefined) {
            AttributeType::Float => Self::Float(proto.f),
            AttributeType::Int => Self::Int(proto.i),
            AttributeType::String => Self::Text(String::from_utf8_lossy(&proto.s).into_owned()),
            AttributeType::Strings => {
                let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
                Self::Texts(proto.strings.iter().map(text).collect())
            }
            AttributeType::Ints => Self::Ints(proto.ints.clone()),
            AttributeType::Floats => Self::Floats(proto.floats.clone()),
            AttributeType::Tensor => match &proto.t {
                Some(tensor) => Self::Tensor(Rc::new(Constant::read(tensor)?)),
                None => Self::Other,
            },
            _ => Self::Other,
        })
    }
}
