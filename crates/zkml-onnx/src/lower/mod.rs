//! From the graph to the draft of a program: one pass over the nodes, each by its operator.
//!
//! Layout operators only change the view of a value; linear operators build a sum that waits until
//! something non-linear, or a second reader, needs it.

mod concat;
mod conv;
mod elementwise;
mod fold;
mod layout;
mod linear;
mod pool;
mod product;
mod quantised;
mod resize;
mod softmax;
mod window;

use std::collections::HashMap;
use std::rc::Rc;

use assay_zkml::program::{AxisMap, Interval, Pick, TensorShape};

use self::fold::Folded;
use self::pool::Reduction;
use crate::constant::{Constant, check_finite};
use crate::draft::{Clamp, Draft, DraftSite, DraftTensor, Label, Order, Scale, Step, Sum, SumTerm};
use crate::error::{CompileError, Refusal};
use crate::function::Function;
use crate::graph::{Graph, Node};
use crate::limits;
use crate::view::{C, View, X, Y};

/// What a name of the graph stands for.
#[derive(Clone, Debug)]
enum Value {
    Constant(Rc<Constant>),
    Activation(Box<Activation>),
}

/// A value that depends on the input.
#[derive(Clone, Debug)]
struct Activation {
    /// Its name in the graph, under which the float model gives its range.
    name: String,
    source: Source,
    /// Of what the source gives; of an [`Source::Input`] not known yet.
    shape: TensorShape,
    view: View,
}

#[derive(Clone, Debug)]
enum Source {
    /// The input before its first reader decides how it is laid out.
    Input,
    Tensor(usize),
    /// Tensors one behind another along the channels.
    Parts(Vec<usize>),
    /// A tensor with zeros around it: cells before it along `y` and `x`.
    Padded {
        tensor: usize,
        before: [u32; 2],
    },
    /// Not computed yet.
    Pending(Pending),
}

#[derive(Clone, Debug)]
struct Pending {
    sum: Sum,
    clamp: Clamp,
    /// Scale and interval, once a QuantizeLinear has said them.
    given: Option<(f64, Interval)>,
    label: Label,
}

struct Lowering {
    values: HashMap<String, Value>,
    /// How often each name is still read.
    uses: HashMap<String, usize>,
    /// The dimensions of every value so far.
    sizes: HashMap<String, Vec<u32>>,
    tensors: Vec<DraftTensor>,
    sites: Vec<DraftSite>,
    /// For a maximum that nothing else reads, the tensor that only it was taken of.
    maxima: HashMap<usize, usize>,
    input: Option<Order>,
    folded: Folded,
    /// Numbers in the sums of all sites, and in those that are still pending.
    weights: u64,
}

/// Returns the draft of the program of `graph`.
pub(crate) fn lower(mut graph: Graph) -> Result<Draft, CompileError> {
    let mut lowering = Lowering::new(&mut graph)?;
    for node in &graph.nodes {
        lowering.node(node).map_err(|refusal| node.refuse(refusal))?;
    }
    let output = graph.output;
    lowering.finish(&output).map_err(|refusal| CompileError::Tensor { name: output, refusal })
}

impl Lowering {
    fn new(graph: &mut Graph) -> Result<Self, CompileError> {
        let mut uses: HashMap<String, usize> = HashMap::new();
        let computing = graph.nodes.iter().filter(|node| node.operator != "Shape");
        let read = computing.flat_map(|node| &node.inputs).chain([&graph.output]);
        for name in read {
            *uses.entry(name.clone()).or_default() += 1;
        }
        let name = graph.input.name.clone();
        let scale = Scale::Calibrated { value: name.clone(), clamp: Clamp::NONE };
        let shape = TensorShape::vector(1);
        let mut activation = Activation {
            name: name.clone(),
            source: Source::Input,
            shape,
            view: View::of_input(&graph.input.dims),
        };
        let mut lowering = Self {
            values: HashMap::with_capacity(graph.constants.len()),
            tensors: vec![DraftTensor { shape, scale }],
            sites: Vec::new(),
            maxima: HashMap::new(),
            input: None,
            sizes: HashMap::new(),
            uses,
            folded: Folded::of_file(graph.constants.values().map(|c| c.len() as u64).sum()),
            weights: 0,
        };
        for (name, constant) in graph.constants.drain() {
            lowering.sizes.insert(name.clone(), constant.dims.clone());
            lowering.values.insert(name, Value::Constant(constant));
        }
        lowering.sizes.insert(name.clone(), graph.input.dims.clone());
        if lowering.uses.get(&name).copied().unwrap_or(0) > 1 {
            let fixed = lowering.fix_input(activation, None);
            activation =
                fixed.map_err(|refusal| CompileError::Tensor { name: name.clone(), refusal })?;
        }
        lowering.values.insert(name, Value::Activation(Box::new(activation)));
        Ok(lowering)
    }

    fn node(&mut self, node: &Node) -> Result<(), Refusal> {
        let value = match self.fold(node)? {
            Some(constant) => Value::Constant(Rc::new(constant)),
            None if node.operator == "Split" => return self.split(node),
            None => self.operator(node)?,
        };
        if let Value::Constant(constant) = &value
            && let Ok(values) = constant.as_floats("value")
        {
            check_finite(values)?;
        }
        let Some(name) = node.outputs.first() else {
            return Err(Refusal::mismatch("number of outputs", 1, 0));
        };
        self.define(name, value)
    }

    fn operator(&mut self, node: &Node) -> Result<Value, Refusal> {
        let activation = match node.operator.as_str() {
            "Add" => self.add(node, 1.0)?,
            "Sub" => self.add(node, -1.0)?,
            "Mul" => self.multiply(node, false)?,
            "Div" => self.multiply(node, true)?,
            "Neg" => self.negate(node)?,
            "AveragePool" => self.average_pool(node)?,
            "BatchNormalization" => self.batch_norm(node)?,
            "Clip" => self.clip(node)?,
            "Concat" => self.concat(node)?,
            "Conv" => self.conv(node)?,
            "ConvTranspose" => self.conv_transpose(node)?,
            "DequantizeLinear" => self.dequantize(node)?,
            "Dropout" | "Identity" => self.take(node, 0)?,
            "Flatten" | "Reshape" | "Squeeze" | "Transpose" | "Unsqueeze" => self.relayout(node)?,
            "Gather" => self.gather(node)?,
            "Gemm" => self.gemm(node)?,
            "GlobalAveragePool" => self.global_average_pool(node)?,
            "GlobalMaxPool" => self.global_max_pool(node)?,
            "MatMul" => self.matmul(node)?,
            "MaxPool" => self.max_pool(node)?,
            "Pad" => self.pad(node)?,
            "QLinearConv" => self.qlinear_conv(node)?,
            "QLinearMatMul" => self.qlinear_matmul(node)?,
            "QuantizeLinear" => self.quantize(node)?,
            "ReduceMean" => self.reduce(node, Reduction::Mean)?,
            "ReduceSum" => self.reduce(node, Reduction::Sum)?,
            "PRelu" => self.prelu(node)?,
            "Relu" => self.relu(node)?,
            "Resize" | "Upsample" => self.resize(node)?,
            "Slice" => self.slice(node)?,
            "LogSoftmax" => self.logarithm_of_softmax(node)?,
            "Softmax" => self.softmax(node)?,
            "ArgMax" => {
                let logits = node.inputs.first().map(String::as_str).unwrap_or_default();
                return Err(Refusal::unsupported(format!(
                    "the operator (the model can be compiled up to its input, output `{logits}`)"
                )));
            }
            _ => match Function::of(node)? {
                Some(function) => self.function(node, function)?,
                None => return Err(Refusal::Operator),
            },
        };
        Ok(Value::Activation(Box::new(activation)))
    }

    /// Gives `name` its value. What is read twice is computed once, now.
    fn define(&mut self, name: &str, value: Value) -> Result<(), Refusal> {
        limits::sites(self.sites.len())?;
        let uses = self.uses.get(name).copied().unwrap_or(0);
        let value = match value {
            Value::Activation(mut activation) => {
                activation.name = name.to_owned();
                let sizes = activation.view.sizes();
                limits::cells(&sizes)?;
                self.sizes.insert(name.to_owned(), sizes);
                if uses > 1 {
                    if let Source::Tensor(tensor) = activation.source {
                        self.maxima.remove(&tensor);
                    }
                    if matches!(activation.source, Source::Pending(_)) {
                        *activation = self.settle(*activation)?;
                    }
                }
                self.weights = self.weights.saturating_add(activation.weights());
                limits::weights(self.weights)?;
                Value::Activation(activation)
            }
            Value::Constant(constant) => {
                self.sizes.insert(name.to_owned(), constant.dims.clone());
                Value::Constant(constant)
            }
        };
        let earlier = self.values.insert(name.to_owned(), value);
        match earlier {
            None => Ok(()),
            Some(_) => Err(Refusal::unsupported(format!("a second definition of `{name}`"))),
        }
    }

    /// Returns the value of input `index`, if the node has one.
    fn value(&mut self, node: &Node, index: usize) -> Result<Option<Value>, Refusal> {
        let Some(name) = node.inputs.get(index).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let missing = || Refusal::Missing { name: name.clone() };
        let left = self.uses.get_mut(name).ok_or_else(missing)?;
        *left = left.saturating_sub(1);
        let value =
            if *left == 0 { self.values.remove(name) } else { self.values.get(name).cloned() };
        if let Some(Value::Activation(taken)) = &value {
            // A pending sum has one reader.
            self.weights = self.weights.saturating_sub(taken.weights());
        }
        value.map(Some).ok_or_else(missing)
    }

    /// Returns the value of input `index`, which must depend on the model's input.
    fn take(&mut self, node: &Node, index: usize) -> Result<Activation, Refusal> {
        match self.value(node, index)? {
            Some(Value::Activation(activation)) => Ok(*activation),
            Some(Value::Constant(_)) => Err(Refusal::unsupported("a constant in this place")),
            None => Err(Refusal::mismatch("number of inputs", index + 1, node.inputs.len())),
        }
    }

    /// Returns the constant of input `index`, if the node has one; `what` names it.
    fn constant(
        &mut self,
        node: &Node,
        index: usize,
        what: &'static str,
    ) -> Result<Option<Rc<Constant>>, Refusal> {
        match self.value(node, index)? {
            None => Ok(None),
            Some(Value::Constant(constant)) => Ok(Some(constant)),
            Some(Value::Activation(_)) => Err(Refusal::NotConstant { what }),
        }
    }

    /// Returns the constant of input `index`; `what` names it.
    fn required(
        &mut self,
        node: &Node,
        index: usize,
        what: &'static str,
    ) -> Result<Rc<Constant>, Refusal> {
        let constant = self.constant(node, index, what)?;
        constant.ok_or_else(|| Refusal::mismatch("number of inputs", index + 1, node.inputs.len()))
    }

    /// Adds a site and its tensor.
    fn push(&mut self, label: Label, shape: TensorShape, scale: Scale, step: Step) -> usize {
        self.weights = self.weights.saturating_add(step.weights());
        self.sites.push(DraftSite { label, step });
        self.tensors.push(DraftTensor { shape, scale });
        self.tensors.len() - 1
    }

    /// Computes what is pending, so that the source is a tensor.
    fn settle(&mut self, activation: Activation) -> Result<Activation, Refusal> {
        let Activation { name, source, shape, view } = activation;
        let tensor = match source {
            Source::Tensor(tensor) => tensor,
            Source::Input => {
                let activation = Activation { name, source: Source::Input, shape, view };
                return self.fix_input(activation, None);
            }
            Source::Pending(Pending { sum, clamp, given, label }) => {
                let clamp = if self.never_negative(&sum) {
                    clamp.then(Clamp { low: 0.0, ..Clamp::NONE })
                } else {
                    clamp
                };
                let scale = match given {
                    Some((scale, interval)) => Scale::Given { scale, interval, clamp },
                    None => Scale::Calibrated { value: name.clone(), clamp },
                };
                self.push(label, shape, scale, Step::Requant { sum, function: None })
            }
            Source::Padded { tensor, before } => {
                let pick = Pick { axes: padded_axes(before), ..whole(tensor) };
                let label = Label { node: name.clone(), operator: "Pad".to_owned() };
                self.push(label, shape, Scale::Same { tensor }, Step::Copy { pick })
            }
            Source::Parts(parts) => {
                let sum = self.joined(&parts, C);
                let label = Label { node: name.clone(), operator: "Concat".to_owned() };
                let scale = Scale::Calibrated { value: name.clone(), clamp: Clamp::NONE };
                self.push(label, shape, scale, Step::Requant { sum, function: None })
            }
        };
        Ok(Activation { name, source: Source::Tensor(tensor), shape, view })
    }

    /// Returns the activation as a tensor of the program.
    fn settled(&mut self, activation: Activation) -> Result<(usize, Activation), Refusal> {
        let activation = self.settle(activation)?;
        match activation.source {
            Source::Tensor(tensor) => Ok((tensor, activation)),
            _ => Err(Refusal::unsupported("a value that is no tensor")),
        }
    }

    /// Whether a clamp changes nothing: an earlier one was as narrow.
    fn lies_within(&self, tensor: usize, clamp: Clamp) -> bool {
        match self.tensors.get(tensor).map(|tensor| &tensor.scale) {
            Some(
                Scale::Calibrated { clamp: earlier, .. } | Scale::Given { clamp: earlier, .. },
            ) => earlier.low >= clamp.low && earlier.high <= clamp.high,
            Some(Scale::Same { tensor: earlier }) if *earlier < tensor => {
                self.lies_within(*earlier, clamp)
            }
            _ => false,
        }
    }

    /// Whether a sum adds nothing below 0, as the average behind a ReLU does.
    fn never_negative(&self, sum: &Sum) -> bool {
        let above = Clamp { low: 0.0, ..Clamp::NONE };
        let term = |term: &SumTerm| match term {
            SumTerm::Conv(_) | SumTerm::Scaled { .. } => false,
            SumTerm::Local { tensor, factor } => *factor >= 0.0 && self.lies_within(*tensor, above),
            SumTerm::Pick { pick, factor } => {
                *factor >= 0.0 && self.lies_within(pick.tensor as usize, above)
            }
        };
        sum.terms.iter().all(term) && sum.bias.iter().all(|bias| *bias >= 0.0)
    }

    /// Returns what is pending of an activation, unclamped: a sum that may still be added to.
    fn open(
        &mut self,
        activation: Activation,
        label: Label,
    ) -> Result<(Pending, TensorShape, View), Refusal> {
        let Activation { name, source, shape, view } = activation;
        let source = match source {
            Source::Pending(pending) if pending.is_open() => {
                return Ok((Pending { label, ..pending }, shape, view));
            }
            source => source,
        };
        let activation = Activation { name, source, shape, view };
        let (tensor, activation) = self.settled(activation)?;
        let pending =
            Pending { sum: Sum::local(tensor, 1.0), clamp: Clamp::NONE, given: None, label };
        Ok((pending, activation.shape, activation.view))
    }

    /// The sum that puts tensors one behind another along `axis`.
    fn joined(&self, parts: &[usize], axis: usize) -> Sum {
        let mut start = 0;
        let terms = parts.iter().map(|&tensor| {
            let mut pick = whole(tensor);
            if let Some(map) = pick.axes.get_mut(axis) {
                *map = AxisMap::IntoOutput { start };
            }
            let extents = self.tensors.get(tensor).map(|tensor| tensor.shape.extents());
            start += extents.and_then(|extents| extents.get(axis).copied()).unwrap_or(0);
            SumTerm::Pick { pick, factor: 1.0 }
        });
        Sum { terms: terms.collect(), bias: Vec::new() }
    }

    fn finish(mut self, output: &str) -> Result<Draft, Refusal> {
        let missing = || Refusal::Missing { name: output.to_owned() };
        let value = self.values.remove(output).ok_or_else(missing)?;
        let Value::Activation(activation) = value else {
            return Err(Refusal::unsupported("an output that does not depend on the input"));
        };
        let dims = activation.view.sizes();
        let label = match &activation.source {
            Source::Pending(pending) if pending.is_open() => pending.label.clone(),
            _ => Label { node: output.to_owned(), operator: "output".to_owned() },
        };
        let (pending, shape, view) = self.open(*activation, label)?;
        self.push(pending.label, shape, Scale::Raw, Step::Output { sum: pending.sum });
        let axes = view.order();
        let (extents, axes) = inverse(&axes, shape.extents());
        let input = self.input.ok_or_else(missing)?;
        let output = Order { extents, axes, dims };
        Ok(Draft { tensors: self.tensors, sites: self.sites, input, output })
    }
}

impl Pending {
    /// Whether the sum may still be added to.
    fn is_open(&self) -> bool {
        self.clamp.is_none() && self.given.is_none()
    }
}

impl Activation {
    /// Returns the numbers in a sum that is pending.
    fn weights(&self) -> u64 {
        match &self.source {
            Source::Pending(pending) => pending.sum.weights(),
            _ => 0,
        }
    }

    fn pending(pending: Pending, shape: TensorShape, view: View) -> Self {
        Self { name: String::new(), source: Source::Pending(pending), shape, view }
    }
}

/// The model's order is that of `axes` over `y, x, c`; returns its extents, and where each of
/// `y, x, c` stands in it.
fn inverse(axes: &[usize], extents: [u32; 3]) -> (Vec<u32>, Vec<usize>) {
    let outside = axes.iter().map(|&axis| extents.get(axis).copied().unwrap_or(1)).collect();
    let inside = [Y, X, C].iter().filter_map(|axis| axes.iter().position(|other| other == axis));
    (outside, inside.collect())
}

fn label(node: &Node) -> Label {
    Label { node: node.name.clone(), operator: node.operator.clone() }
}

/// The pick that reads a tensor as it stands.
fn whole(tensor: usize) -> Pick {
    // Tensors are as few as sites, which the graph's nodes bound.
    Pick::whole(u32::try_from(tensor).unwrap_or(u32::MAX), 1)
}

fn padded_axes([y, x]: [u32; 2]) -> [AxisMap; 3] {
    let axis = |pad| AxisMap::Taps { stride: 1, pad, taps: vec![0] };
    [axis(y), axis(x), AxisMap::SAME]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph;
    use crate::synthetic::random_graph;

    /// What is counted is what there is, after each node: no sum is counted twice or forgotten.
    #[test]
    fn the_weights_of_all_sums_are_counted() {
        for seed in 0..60 {
            let (_, mut graph) = graph::open(&random_graph(seed).bytes, None).unwrap();
            let mut lowering = Lowering::new(&mut graph).unwrap();
            let mut most = 0;
            for node in &graph.nodes {
                lowering.node(node).unwrap();
                let pending = lowering.values.values().map(|value| match value {
                    Value::Activation(activation) => activation.weights(),
                    Value::Constant(_) => 0,
                });
                let of_sites = lowering.sites.iter().map(|site| site.step.weights());
                let all = pending.chain(of_sites).sum::<u64>();
                assert_eq!(lowering.weights, all, "{seed}: {}", node.name);
                most = all;
            }
            assert!(most > 0, "{seed}");
        }
    }
}
