//! What the graph computes without its input: shapes, and constants moved around.

use std::rc::Rc;

use super::layout::{axis_index, indices, reshape_sizes, squeezed, unsqueezed};
use super::quantised::dequantized;
use super::{Lowering, Value};
use crate::constant::{Constant, Data, Integer, element_count};
use crate::error::Refusal;
use crate::graph::Node;
use crate::limits;

/// Most elements of a tensor that a node makes from its shape, or by joining others.
const MAX_FILLED: u64 = 1 << 20;
/// Most elements that nodes make of constants: so many, and so many times those of the file, as each node
/// makes a copy of what it reads.
const MAX_FOLDED: u64 = 1 << 24;
const MAX_COPIES: u64 = 8;

/// How many elements of constants there are.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// In the file.
    given: u64,
    /// Made of these.
    made: u64,
}

impl Folded {
    pub(super) const fn of_file(given: u64) -> Self {
        Self { given, made: 0 }
    }

    fn add(&mut self, made: &Constant) -> Result<(), Refusal> {
        self.made = self.made.saturating_add(made.len() as u64);
        let limit = MAX_FOLDED.saturating_add(self.given.saturating_mul(MAX_COPIES));
        let what = "number of elements made of constants, with those before,";
        limits::at_most(what, limit, self.made)
    }
}

const FOLDED: [&str; 16] = [
    "Add",
    "Cast",
    "Concat",
    "ConstantOfShape",
    "DequantizeLinear",
    "Div",
    "Flatten",
    "Gather",
    "Identity",
    "Mul",
    "Reshape",
    "Slice",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
];

impl Lowering {
    /// Returns the value of a node that does not depend on the input.
    pub(super) fn fold(&mut self, node: &Node) -> Result<Option<Constant>, Refusal> {
        match node.operator.as_str() {
            "Constant" => {
                let value = node.constant();
                let value = value.ok_or_else(|| Refusal::unsupported("this kind of constant"))?;
                self.folded.given = self.folded.given.saturating_add(value.len() as u64);
                return Ok(Some(value.as_ref().clone()));
            }
            "Shape" => return self.shape_of(node).map(Some),
            operator if !FOLDED.contains(&operator) => return Ok(None),
            _ => {}
        }
        let named = node.inputs.iter().filter(|name| !name.is_empty());
        let constant = |name: &String| matches!(self.values.get(name), Some(Value::Constant(_)));
        if !named.clone().all(constant) || node.inputs.is_empty() {
            return Ok(None);
        }
        let mut inputs = Vec::new();
        for index in 0..node.inputs.len() {
            inputs.push(self.constant(node, index, "an operand")?);
        }
        let made = evaluate(node, &inputs)?;
        self.folded.add(&made)?;
        Ok(Some(made))
    }

    fn shape_of(&self, node: &Node) -> Result<Constant, Refusal> {
        let name = node.inputs.first().cloned().unwrap_or_default();
        let sizes = self.sizes.get(&name).ok_or(Refusal::Missing { name })?;
        let rank = sizes.len();
        let bound = |at: i64| {
            let signed = i64::try_from(rank).unwrap_or(i64::MAX);
            let at = if at < 0 { at.saturating_add(signed) } else { at };
            usize::try_from(at.clamp(0, signed)).unwrap_or(0)
        };
        let (start, end) = (bound(node.int("start", 0)?), bound(node.int("end", i64::MAX)?));
        let sizes = sizes.get(start..end.max(start)).unwrap_or_default();
        Ok(vector(sizes.iter().map(|&size| i64::from(size)).collect()))
    }
}

fn vector(values: Vec<i64>) -> Constant {
    Constant::integers(vec![u32::try_from(values.len()).unwrap_or(u32::MAX)], values)
}

type Inputs = [Option<Rc<Constant>>];

fn operand(inputs: &Inputs, index: usize) -> Result<&Rc<Constant>, Refusal> {
    let operand = inputs.get(index).and_then(Option::as_ref);
    operand.ok_or_else(|| Refusal::mismatch("number of inputs", index + 1, inputs.len()))
}

fn evaluate(node: &Node, inputs: &Inputs) -> Result<Constant, Refusal> {
    let first = operand(inputs, 0)?;
    match node.operator.as_str() {
        "Identity" => Ok(first.as_ref().clone()),
        "Cast" => cast(node, first),
        "Add" | "Sub" | "Mul" | "Div" => arithmetic(node, first, operand(inputs, 1)?),
        "Concat" => concatenated(node, inputs),
        "Gather" => gathered(node, first, operand(inputs, 1)?),
        "Slice" => sliced(node, inputs),
        "Transpose" => transposed(node, first),
        "ConstantOfShape" => filled(node, first),
        "DequantizeLinear" => {
            let zeros = inputs.get(2).and_then(Option::as_ref);
            let scales = operand(inputs, 1)?;
            let axis = axis_index(node.int("axis", 1)?, first.dims.len().max(2))?;
            dequantized(first, scales, zeros.map(Rc::as_ref), axis)
        }
        "Reshape" => {
            let target = operand(inputs, 1)?.as_integers("the shape")?;
            let dims = reshape_sizes(&first.dims, target, node.int("allowzero", 0)? != 0)?;
            Ok(Constant { dims, data: first.data.clone() })
        }
        "Flatten" => {
            let axis = axis_index(node.int("axis", 1)?, first.dims.len() + 1)?;
            let (outer, inner) = first.dims.split_at_checked(axis).unwrap_or_default();
            let product = |dims: &[u32]| dims.iter().copied().fold(1, u32::saturating_mul);
            let dims = vec![product(outer), product(inner)];
            Ok(Constant { dims, data: first.data.clone() })
        }
        operator => {
            let axes = match (node.ints("axes")?, inputs.get(1).and_then(Option::as_ref)) {
                (Some(axes), _) => Some(axes.to_vec()),
                (None, Some(axes)) => Some(axes.as_integers("axes")?.to_vec()),
                (None, None) => None,
            };
            let dims = if operator == "Squeeze" {
                squeezed(&first.dims, axes.as_deref())?
            } else {
                unsqueezed(&first.dims, axes.as_deref().unwrap_or_default())?
            };
            Ok(Constant { dims, data: first.data.clone() })
        }
    }
}

fn cast(node: &Node, value: &Constant) -> Result<Constant, Refusal> {
    /// `TensorProto.DataType`: FLOAT, INT32, INT64.
    const FLOAT: i64 = 1;
    const INTEGERS: [i64; 2] = [6, 7];
    let data = match (&value.data, node.int("to", 0)?) {
        (Data::Int(_, values), to) if INTEGERS.contains(&to) => {
            Data::Int(Integer::Other, values.clone())
        }
        (Data::Float(values), FLOAT) => Data::Float(values.clone()),
        (Data::Int(_, values), FLOAT) => {
            let float = |&value: &i64| {
                let value = i32::try_from(value)
                    .map_err(|_| Refusal::mismatch("value", "an int32", value))?;
                Ok(crate::constant::narrow(f64::from(value)))
            };
            Data::Float(values.iter().map(float).collect::<Result<_, Refusal>>()?)
        }
        (_, to) => return Err(Refusal::unsupported(format!("a constant cast to type {to}"))),
    };
    Ok(Constant { dims: value.dims.clone(), data })
}

/// Element by element, of equal shapes or with one value on one side.
fn arithmetic(node: &Node, a: &Constant, b: &Constant) -> Result<Constant, Refusal> {
    let dims = match (a.len(), b.len()) {
        _ if a.dims == b.dims => &a.dims,
        (_, 1) if a.dims.len() >= b.dims.len() => &a.dims,
        (1, _) if b.dims.len() >= a.dims.len() => &b.dims,
        _ => {
            let (expected, got) = (format!("{:?}", a.dims), format!("{:?}", b.dims));
            return Err(Refusal::mismatch("shape of the second constant", expected, got));
        }
    };
    let length = a.len().max(b.len());
    let operator = node.operator.as_str();
    let data = match (&a.data, &b.data) {
        (Data::Int(_, a), Data::Int(_, b)) => {
            let pairs = a.iter().cycle().zip(b.iter().cycle()).take(length);
            let compute = |(&a, &b): (&i64, &i64)| {
                let value = match operator {
                    "Add" => a.checked_add(b),
                    "Sub" => a.checked_sub(b),
                    "Mul" => a.checked_mul(b),
                    _ => a.checked_div(b),
                };
                value.ok_or_else(|| Refusal::mismatch("result", "an int64", "another"))
            };
            Data::Int(Integer::Other, pairs.map(compute).collect::<Result<_, _>>()?)
        }
        (Data::Float(a), Data::Float(b)) => {
            let pairs = a.iter().cycle().zip(b.iter().cycle()).take(length);
            let compute = |(&a, &b): (&f32, &f32)| match operator {
                "Add" => a + b,
                "Sub" => a - b,
                "Mul" => a * b,
                _ => a / b,
            };
            Data::Float(pairs.map(compute).collect())
        }
        _ => return Err(Refusal::mismatch("types of the constants", "equal", "different")),
    };
    Ok(Constant { dims: dims.clone(), data })
}

fn concatenated(node: &Node, inputs: &Inputs) -> Result<Constant, Refusal> {
    let mut values = Vec::new();
    axis_index(node.int("axis", 0)?, 1)?;
    for index in 0..inputs.len() {
        let part = operand(inputs, index)?;
        if part.dims.len() != 1 {
            return Err(Refusal::mismatch("rank of a joined constant", 1, part.dims.len()));
        }
        filled_at_most((values.len() + part.len()) as u64)?;
        values.extend_from_slice(part.as_integers("a joined constant")?);
    }
    Ok(vector(values))
}

fn gathered(node: &Node, from: &Constant, which: &Constant) -> Result<Constant, Refusal> {
    axis_index(node.int("axis", 0)?, 1)?;
    let values = from.as_integers("a gathered constant")?;
    let pick = |&index: &i64| {
        let index = axis_index(index, values.len())?;
        Ok(values.get(index).copied().unwrap_or(0))
    };
    let picked = which.as_integers("indices")?.iter().map(pick).collect::<Result<_, Refusal>>()?;
    Ok(Constant::integers(which.dims.clone(), picked))
}

/// A slice of a vector of integers, with step 1.
fn sliced(node: &Node, inputs: &Inputs) -> Result<Constant, Refusal> {
    let values = operand(inputs, 0)?.as_integers("a sliced constant")?;
    let bound = |name: &'static str, index: usize| -> Result<i64, Refusal> {
        let stated = match node.ints(name)? {
            Some(stated) => stated.to_vec(),
            None => operand(inputs, index)?.as_integers(name)?.to_vec(),
        };
        match stated.as_slice() {
            [bound] => Ok(*bound),
            _ => Err(Refusal::mismatch(name, "1 value", stated.len())),
        }
    };
    let length = i64::try_from(values.len()).unwrap_or(i64::MAX);
    let place = |at: i64| {
        let at = if at < 0 { at.saturating_add(length) } else { at };
        usize::try_from(at.clamp(0, length)).unwrap_or(0)
    };
    let (start, end) = (place(bound("starts", 1)?), place(bound("ends", 2)?));
    if inputs.get(4).is_some_and(Option::is_some)
        && operand(inputs, 4)?.as_integers("steps")? != [1]
    {
        return Err(Refusal::unsupported("a step other than 1"));
    }
    Ok(vector(values.get(start..end.max(start)).unwrap_or_default().to_vec()))
}

fn transposed(node: &Node, value: &Constant) -> Result<Constant, Refusal> {
    let rank = value.dims.len();
    let order = match node.ints("perm")? {
        Some(order) => indices(order, rank)?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted != (0..rank).collect::<Vec<_>>() {
        return Err(Refusal::mismatch("perm", "a permutation", format!("{order:?}")));
    }
    let mut steps = vec![1_usize; rank];
    let mut step = 1_usize;
    for (place, &dim) in steps.iter_mut().zip(&value.dims).rev() {
        *place = step;
        step = step.saturating_mul(dim as usize);
    }
    let at = |values: &[u32], axis: usize| values.get(axis).copied().unwrap_or(1);
    let dims: Vec<u32> = order.iter().map(|&axis| at(&value.dims, axis)).collect();
    if value.len() == 0 {
        return Ok(Constant { dims, data: value.data.clone() });
    }
    let mut places = vec![0_usize];
    for &axis in &order {
        let step = steps.get(axis).copied().unwrap_or(0);
        let along = at(&value.dims, axis) as usize;
        places = places
            .iter()
            .flat_map(|place| (0..along).map(move |index| place + index * step))
            .collect();
    }
    fn moved<T: Copy + Default>(values: &[T], places: &[usize]) -> Vec<T> {
        places.iter().map(|&place| values.get(place).copied().unwrap_or_default()).collect()
    }
    let data = match &value.data {
        Data::Float(values) => Data::Float(moved(values, &places)),
        Data::Int(kind, values) => Data::Int(*kind, moved(values, &places)),
    };
    Ok(Constant { dims, data })
}

fn filled_at_most(got: u64) -> Result<(), Refusal> {
    limits::at_most("values of the tensor", MAX_FILLED, got)
}

fn filled(node: &Node, shape: &Constant) -> Result<Constant, Refusal> {
    let dims = shape.as_integers("the shape")?.iter().map(|&dim| {
        u32::try_from(dim).map_err(|_| Refusal::mismatch("size in the shape", "0 or more", dim))
    });
    let dims: Vec<u32> = dims.collect::<Result<_, _>>()?;
    let count = element_count(&dims).unwrap_or(u64::MAX);
    filled_at_most(count)?;
    limits::rank(dims.len())?;
    let count = usize::try_from(count).unwrap_or(0);
    let data = match node.constant().map(|value| value.data.clone()) {
        None => Data::Float(vec![0.0; count]),
        Some(Data::Float(values)) => {
            Data::Float(vec![values.first().copied().unwrap_or(0.0); count])
        }
        Some(Data::Int(kind, values)) => {
            Data::Int(kind, vec![values.first().copied().unwrap_or(0); count])
        }
    };
    Ok(Constant { dims, data })
}
