//! Tree ensembles: `TreeEnsembleClassifier` and `TreeEnsembleRegressor` of `ai.onnx.ml`.
//!
//! A node asks one value of the input. Its answer is the same in integers as in floats: the cells of
//! the program's input are the answers ([`Cut`](assay_zkml::model::Cut)), compared as `f32`s are. A
//! leaf is reached if every answer on its path is the one that leads there, which is one clamp of a
//! sum. The output is the sum of the values of the leaves that are reached, in integers.
//!
//! | module | does |
//! |---|---|
//! | `read` | the node's attributes to trees |
//! | `lower` | trees to the program, its weights and its cuts |

mod lower;
mod read;

use assay_zkml::model::{Dequantisation, Order, Quantisation};
use assay_zkml::program::Mode;
use assay_zkml::tensor_code::Digest;
use tract_onnx::pb::NodeProto;

use crate::compile::{Compiled, at_site, check};
use crate::constant::{check_finite, narrow};
use crate::draft::Label;
use crate::error::{CompileError, Refusal};
use crate::graph::{self, Graph};
use crate::report::Summary;

const CLASSIFIER: &str = "TreeEnsembleClassifier";
const REGRESSOR: &str = "TreeEnsembleRegressor";

/// Whether an operator is a tree ensemble.
pub(crate) fn is_one(operator: &str) -> bool {
    matches!(operator, CLASSIFIER | REGRESSOR)
}

/// Returns the name of the scores of a node that is a classifier.
pub(crate) fn scores(node: &NodeProto) -> Option<&str> {
    let scores = node.output.get(1).filter(|_| node.op_type == CLASSIFIER)?;
    Some(scores.as_str())
}

/// Trees whose leaves add up to the output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ensemble {
    label: Label,
    /// Values of an input.
    features: u32,
    /// Values of an output.
    targets: u32,
    trees: Vec<Tree>,
    /// What is added to the trees' sums, which are divided by `divisor` first.
    base: Vec<f64>,
    divisor: f64,
}

/// A tree; node 0 is its root, and every other is the child of one branch.
#[derive(Clone, Debug, PartialEq)]
struct Tree {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Branch {
        question: Question,
        /// The nodes behind the answers yes and no.
        children: [usize; 2],
    },
    /// Values of some of the targets, each at most once.
    Leaf(Vec<(u32, f64)>),
}

/// Whether a value of the input stands to a number as `comparison` says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Question {
    feature: u32,
    comparison: Comparison,
    value: f32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comparison {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
    Unequal,
}

impl Question {
    fn answer(self, input: &[f32]) -> bool {
        let x = input.get(self.feature as usize).copied().unwrap_or(0.0);
        match self.comparison {
            Comparison::AtLeast => x >= self.value,
            Comparison::AtMost => x <= self.value,
            Comparison::Above => x > self.value,
            Comparison::Below => x < self.value,
            Comparison::Equal => x == self.value,
            Comparison::Unequal => x != self.value,
        }
    }
}

impl Tree {
    /// Returns the leaf that an input reaches.
    fn leaf(&self, input: &[f32]) -> &[(u32, f64)] {
        let mut at = 0;
        loop {
            match self.nodes.get(at) {
                Some(Node::Branch { question, children: [yes, no] }) => {
                    at = if question.answer(input) { *yes } else { *no };
                }
                Some(Node::Leaf(values)) => return values,
                None => return &[],
            }
        }
    }
}

impl Ensemble {
    /// Returns the trees of a graph, if it has any. A classifier that makes probabilities of its
    /// scores is read up to the scores if `is_cut`, else refused.
    pub(crate) fn of(graph: &Graph, is_cut: bool) -> Result<Option<Self>, CompileError> {
        let at = graph.nodes.iter().rposition(|node| is_one(&node.operator));
        let (before, rest) = graph.nodes.split_at(at.unwrap_or(graph.nodes.len()));
        let [node, behind @ ..] = rest else { return Ok(None) };
        let other = behind.iter().find(|node| node.operator != "Identity");
        if let Some(other) = before.first().or(other) {
            let what = "an operator before or behind a tree ensemble";
            return Err(other.refuse(Refusal::unsupported(what)));
        }
        // Each node behind gives what is wanted: nothing else was kept.
        let read = |node: &graph::Node| node.inputs.first().cloned();
        let output = behind.first().map_or(Some(graph.output.clone()), read).unwrap_or_default();
        let ensemble = read::ensemble(graph, node, &output, is_cut);
        ensemble.map(Some).map_err(|refusal| node.refuse(refusal))
    }

    /// Returns the output for one input, in `f64` and rounded once.
    pub(crate) fn run(&self, input: &[f32]) -> Result<Vec<f32>, CompileError> {
        if input.len() != self.features as usize {
            let (expected, got) = (self.features, input.len());
            let reason = format!("expected {expected} values of the input, got {got}");
            return Err(CompileError::Float { reason });
        }
        let mut sums = vec![0.0; self.targets as usize];
        for tree in &self.trees {
            for (target, value) in tree.leaf(input) {
                if let Some(sum) = sums.get_mut(*target as usize) {
                    *sum += value;
                }
            }
        }
        let sums = sums.iter().zip(&self.base);
        Ok(sums.map(|(sum, base)| narrow(sum / self.divisor + base)).collect())
    }

    /// Compiles the trees of the file `bytes`, and compares the program with them on `samples`.
    pub(crate) fn compile(
        &self,
        bytes: &[u8],
        samples: &[Vec<f32>],
        mode: Mode,
    ) -> Result<Compiled, CompileError> {
        let mut outputs = Vec::with_capacity(samples.len());
        for (index, sample) in samples.iter().enumerate() {
            let refuse = |refusal| CompileError::Sample { index, refusal };
            let (expected, got) = (self.features, sample.len());
            if got != expected as usize {
                return Err(refuse(Refusal::mismatch("number of values", expected, got)));
            }
            check_finite(sample).map_err(refuse)?;
            outputs.push(self.run(sample)?);
        }
        let lowered = lower::lower(self, mode)?;
        let labels = vec![self.label.clone(); lowered.program.sites.len()];
        let (program, weights) = (check(lowered.program, &labels)?, lowered.weights);
        program.check_weights(&weights).map_err(|error| at_site(error, &labels))?;
        let input = Quantisation::by_cuts(vector(self.features)?, lowered.cuts)?;
        let output = Dequantisation::new(vector(self.targets)?, lowered.unit)?;
        let summary = Summary::new(&program, &labels);
        let source = Digest::from(*blake3::hash(bytes).as_bytes());
        let mut compiled = Compiled { program, weights, input, output, source, summary };
        compiled.summary.agreement = compiled.compare(samples, &outputs)?;
        Ok(compiled)
    }
}

/// The order of a batch of one vector.
fn vector(values: u32) -> Result<Order, CompileError> {
    Ok(Order::new(vec![1, values], vec![values], vec![0])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float::FloatModel;
    use crate::synthetic::{Forest, Seeded, forest};

    /// tract runs classifiers, and reads them by itself; but it takes a BRANCH_GTE for a leaf.
    #[test]
    fn classifiers_answer_as_tract_has_them() {
        for seed in 0..20 {
            let mut numbers = Seeded::new(seed);
            let shape = Forest {
                features: 1 + numbers.below(5),
                trees: 1 + numbers.below(6),
                depth: 1 + numbers.below(5),
                targets: 2 + numbers.below(3),
                is_classifier: true,
            };
            let mut bytes = forest(shape, seed);
            while let Some(at) = bytes.windows(10).position(|mode| mode == b"BRANCH_GTE") {
                bytes[at..at + 10].copy_from_slice(b"BRANCH_LEQ");
            }
            let (model, graph) = graph::open(&bytes, None).unwrap();
            let ensemble = Ensemble::of(&graph, false).unwrap().unwrap();
            let tract = FloatModel::new(model, &graph.input, &[graph.output]).unwrap();
            for _ in 0..200 {
                // Eighths, as the questions are, and from time to time the negative zero.
                let eighth = |numbers: &mut Seeded| (numbers.unit() * 9.0).round() / 8.0;
                let input: Vec<f32> = (0..shape.features).map(|_| eighth(&mut numbers)).collect();
                let expected = tract.run(&input).unwrap().pop().unwrap();
                for (got, expected) in ensemble.run(&input).unwrap().iter().zip(&expected) {
                    assert!((got - expected).abs() < 1e-5, "{shape:?} {input:?}: {got} {expected}");
                }
            }
        }
    }
}
