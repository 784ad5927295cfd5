//! The attributes of a tree ensemble's node, each checked, to trees.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::{CLASSIFIER, Comparison, Ensemble, Node, Question, Tree};
use crate::constant::check_finite;
use crate::draft::Label;
use crate::error::Refusal;
use crate::graph::{Graph, Node as GraphNode};
use crate::limits;

/// Most nodes of all trees: each branch is a cell of the input.
const MAX_NODES: u64 = 1 << 19;
/// Most trees.
const MAX_TREES: u64 = 1 << 14;
/// Most targets or classes.
const MAX_TARGETS: usize = 1 << 12;

/// The attributes that say what the trees are. `nodes_hitrates` is only for people, and where a
/// missing value goes is never asked: NaN is no input.
const NODE_ATTRIBUTES: [&str; 11] = [
    "base_values",
    "nodes_falsenodeids",
    "nodes_featureids",
    "nodes_hitrates",
    "nodes_missing_value_tracks_true",
    "nodes_modes",
    "nodes_nodeids",
    "nodes_treeids",
    "nodes_truenodeids",
    "nodes_values",
    "post_transform",
];
const CLASSIFIER_ATTRIBUTES: [&str; 6] = [
    "class_ids",
    "class_nodeids",
    "class_treeids",
    "class_weights",
    "classlabels_int64s",
    "classlabels_strings",
];
const REGRESSOR_ATTRIBUTES: [&str; 6] = [
    "aggregate_function",
    "n_targets",
    "target_ids",
    "target_nodeids",
    "target_treeids",
    "target_weights",
];

/// A node of a tree, by the ids of the file.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Id {
    tree: i64,
    node: i64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} of tree {}", self.node, self.tree)
    }
}

/// Where a node stands: its tree, and its place in it.
type Places = HashMap<Id, (usize, usize)>;

/// Reads the trees of the node, whose value `output` is wanted. `is_cut` allows a transformation of the
/// scores, which is left out.
pub(super) fn ensemble(
    graph: &Graph,
    node: &GraphNode,
    output: &str,
    is_cut: bool,
) -> Result<Ensemble, Refusal> {
    let features = features(graph, node)?;
    let is_classifier = node.operator == CLASSIFIER;
    check_attributes(node, is_classifier)?;
    check_output(node, output, is_classifier)?;
    let transform = transform(node, is_cut, output)?;
    let targets = if is_classifier { classes(node)? } else { targets(node)? };
    let (mut trees, places) = trees(node, features)?;
    let values = if is_classifier {
        Values {
            tree: "class_treeids",
            node: "class_nodeids",
            id: "class_ids",
            weight: "class_weights",
        }
    } else {
        Values {
            tree: "target_treeids",
            node: "target_nodeids",
            id: "target_ids",
            weight: "target_weights",
        }
    };
    values.fill(node, &mut trees, &places, targets)?;
    let base = node.floats("base_values")?;
    check_finite(base)?;
    let divisor = match node.text("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => 1.0,
        // Exact: trees are few.
        "AVERAGE" => trees.len() as f64,
        other => return Err(Refusal::unsupported(format!("aggregate_function {other}"))),
    };
    let label = Label { node: node.name.clone(), operator: node.operator.clone() };
    let mut ensemble = Ensemble { label, features, targets, trees, base: Vec::new(), divisor };
    let ids = if is_classifier { node.ints("class_ids")?.unwrap_or_default() } else { &[] };
    ensemble.base = match (ids.first(), targets) {
        (Some(class), 2) if ids.iter().all(|id| id == class) => {
            two_classes(&mut ensemble.trees, base, *class, transform)?
        }
        _ => bases(base, targets, is_classifier)?,
    };
    Ok(ensemble)
}

/// Returns the number of values of an input, `[1, features]`.
fn features(graph: &Graph, node: &GraphNode) -> Result<u32, Refusal> {
    let input = &graph.input;
    match node.inputs.as_slice() {
        [name] if *name == input.name => {}
        [name] => return Err(Refusal::Missing { name: name.clone() }),
        names => return Err(Refusal::mismatch("number of inputs", 1, names.len())),
    }
    input.check_float()?;
    match *input.dims.as_slice() {
        [1, features] => Ok(features),
        _ => {
            let got = format!("{:?}", input.dims);
            Err(Refusal::mismatch("dimensions of the input", "a batch and features", got))
        }
    }
}

fn check_attributes(node: &GraphNode, is_classifier: bool) -> Result<(), Refusal> {
    let own = if is_classifier { CLASSIFIER_ATTRIBUTES } else { REGRESSOR_ATTRIBUTES };
    let is_known = |name: &&str| NODE_ATTRIBUTES.contains(name) || own.contains(name);
    match node.attributes().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => Err(Refusal::unsupported(format!("the attribute `{name}`"))),
    }
}

/// Checks that it is the scores that are wanted.
fn check_output(node: &GraphNode, output: &str, is_classifier: bool) -> Result<(), Refusal> {
    let scores = node.outputs.get(usize::from(is_classifier)).map_or("", String::as_str);
    if output == scores {
        return Ok(());
    }
    Err(Refusal::unsupported(format!(
        "the label (the model can be compiled up to its scores, output `{scores}`)"
    )))
}

/// Returns what is done to the scores behind the sums.
fn transform<'a>(node: &'a GraphNode, is_cut: bool, output: &str) -> Result<&'a str, Refusal> {
    let transform = node.text("post_transform")?.unwrap_or("NONE");
    match transform {
        "NONE" => Ok(transform),
        "LOGISTIC" | "SOFTMAX" if is_cut => Ok(transform),
        "LOGISTIC" | "SOFTMAX" => Err(Refusal::unsupported(format!(
            "post_transform {transform} (the model can be compiled up to its raw scores, output \
             `{output}`)"
        ))),
        other => Err(Refusal::unsupported(format!("post_transform {other}"))),
    }
}

/// Returns the number of classes.
fn classes(node: &GraphNode) -> Result<u32, Refusal> {
    let integers = node.ints("classlabels_int64s")?.unwrap_or_default().len();
    let texts = node.texts("classlabels_strings")?.len();
    if integers > 0 && texts > 0 {
        return Err(Refusal::unsupported("labels of both types"));
    }
    let got = integers.max(texts);
    if got < 2 {
        return Err(Refusal::mismatch("number of labels", "2 or more", got));
    }
    bounded("number of labels", got as u64)
}

fn targets(node: &GraphNode) -> Result<u32, Refusal> {
    let got = node.int("n_targets", 1)?;
    let wrong = || Refusal::mismatch("n_targets", "1 or more", got);
    bounded("n_targets", u64::try_from(got).ok().filter(|got| *got > 0).ok_or_else(wrong)?)
}

fn bounded(what: &'static str, got: u64) -> Result<u32, Refusal> {
    let fits = u32::try_from(got).ok().filter(|got| *got as usize <= MAX_TARGETS);
    fits.ok_or(Refusal::TooLarge { what, limit: MAX_TARGETS as u64, got })
}

/// Returns the trees, their leaves still empty, in the order of their first nodes.
fn trees(node: &GraphNode, features: u32) -> Result<(Vec<Tree>, Places), Refusal> {
    let nodes = node.ints("nodes_nodeids")?.unwrap_or_default();
    let count = nodes.len();
    if count == 0 {
        return Err(Refusal::mismatch("number of nodes", "1 or more", 0));
    }
    limits::at_most("number of nodes of all trees", MAX_NODES, count as u64)?;
    let list = |name| listed(name, node.ints(name)?.unwrap_or_default(), count);
    let ids: Vec<Id> =
        list("nodes_treeids")?.iter().zip(nodes).map(|(&tree, &node)| Id { tree, node }).collect();
    let (asked, yes, no) =
        (list("nodes_featureids")?, list("nodes_truenodeids")?, list("nodes_falsenodeids")?);
    let modes = listed("nodes_modes", node.texts("nodes_modes")?, count)?;
    let values = listed("nodes_values", node.floats("nodes_values")?, count)?;
    let (places, order) = places(&ids)?;
    let mut trees = vec![Tree { nodes: Vec::new() }; order.len()];
    for (index, id) in ids.iter().enumerate() {
        let mode = modes.get(index).map_or("", String::as_str);
        let read = if mode == "LEAF" {
            Node::Leaf(Vec::new())
        } else {
            let comparison = comparison(mode)?;
            let (asked, value) = (asked.get(index), values.get(index));
            let question = question(*id, comparison, asked, value, features)?;
            let child = |name, list: &[i64]| {
                let id = Id { node: list.get(index).copied().unwrap_or(-1), ..*id };
                let place = places.get(&id).map(|(_, place)| *place);
                place.ok_or_else(|| Refusal::mismatch(name, "nodes of the same tree", id))
            };
            let children = [child("nodes_truenodeids", yes)?, child("nodes_falsenodeids", no)?];
            Node::Branch { question, children }
        };
        let (tree, _) = places.get(id).copied().unwrap_or_default();
        if let Some(tree) = trees.get_mut(tree) {
            tree.nodes.push(read);
        }
    }
    for (tree, id) in trees.iter().zip(order) {
        check_tree(tree, id)?;
    }
    Ok((trees, places))
}

/// Returns where each node stands, and the ids of the trees, in the order of the file.
fn places(ids: &[Id]) -> Result<(Places, Vec<i64>), Refusal> {
    let mut places = Places::new();
    let mut indices: HashMap<i64, usize> = HashMap::new();
    let mut sizes: Vec<usize> = Vec::new();
    let mut order = Vec::new();
    for id in ids {
        let tree = *indices.entry(id.tree).or_insert_with(|| {
            order.push(id.tree);
            sizes.push(0);
            order.len() - 1
        });
        limits::at_most("number of trees", MAX_TREES, order.len() as u64)?;
        let place = sizes.get(tree).copied().unwrap_or(0);
        if places.insert(*id, (tree, place)).is_some() {
            return Err(Refusal::mismatch("nodes_nodeids", "different", format!("{id} twice")));
        }
        if let Some(size) = sizes.get_mut(tree) {
            *size += 1;
        }
    }
    Ok((places, order))
}

fn comparison(mode: &str) -> Result<Comparison, Refusal> {
    Ok(match mode {
        "BRANCH_LEQ" => Comparison::AtMost,
        "BRANCH_LT" => Comparison::Below,
        "BRANCH_GTE" => Comparison::AtLeast,
        "BRANCH_GT" => Comparison::Above,
        "BRANCH_EQ" => Comparison::Equal,
        "BRANCH_NEQ" => Comparison::Unequal,
        other => return Err(Refusal::unsupported(format!("the mode {other}"))),
    })
}

fn question(
    id: Id,
    comparison: Comparison,
    asked: Option<&i64>,
    value: Option<&f32>,
    features: u32,
) -> Result<Question, Refusal> {
    let asked = asked.copied().unwrap_or(-1);
    let feature = u32::try_from(asked).ok().filter(|feature| *feature < features);
    let feature = feature.ok_or_else(|| {
        let (expected, got) = (format!("below {features}"), format!("{asked} at {id}"));
        Refusal::mismatch("nodes_featureids", expected, got)
    })?;
    // A number after it is needed to say which are above it.
    let value = value.copied().unwrap_or(f32::NAN);
    if value.is_finite() && value < f32::MAX {
        Ok(Question { feature, comparison, value })
    } else {
        let (expected, got) =
            (format!("finite and below {:e}", f32::MAX), format!("{value} at {id}"));
        Err(Refusal::mismatch("nodes_values", expected, got))
    }
}

/// Checks that the first node leads to every other in one way.
fn check_tree(tree: &Tree, id: i64) -> Result<(), Refusal> {
    let mut parents = vec![0_u32; tree.nodes.len()];
    for node in &tree.nodes {
        let Node::Branch { children, .. } = node else { continue };
        for child in children {
            if let Some(parents) = parents.get_mut(*child) {
                *parents += 1;
            }
        }
    }
    let what = "number of parents of a tree's first node, its root,";
    let wrong = |what, expected: u32, place: usize, got: u32| {
        let got = format!("{got} at the node in place {place} of tree {id}");
        Err(Refusal::mismatch(what, expected, got))
    };
    for (place, &got) in parents.iter().enumerate() {
        match (place, got) {
            (0, 0) => {}
            (0, _) => return wrong(what, 0, place, got),
            (_, 1) => {}
            _ => return wrong("number of parents of a node below a root", 1, place, got),
        }
    }
    // Every node has one way up; those that the root does not lead to go round in a circle.
    let (mut reached, mut open) = (0_usize, vec![0_usize]);
    while let Some(place) = open.pop() {
        reached += 1;
        if let Some(Node::Branch { children, .. }) = tree.nodes.get(place) {
            open.extend(children);
        }
    }
    if reached == tree.nodes.len() {
        return Ok(());
    }
    let expected = format!("all {} of tree {id}", tree.nodes.len());
    Err(Refusal::mismatch("number of nodes that a root leads to", expected, reached))
}

/// The names of the lists that say what leaves are worth.
struct Values {
    tree: &'static str,
    node: &'static str,
    id: &'static str,
    weight: &'static str,
}

impl Values {
    /// Puts the values into the leaves.
    fn fill(
        &self,
        node: &GraphNode,
        trees: &mut [Tree],
        places: &Places,
        targets: u32,
    ) -> Result<(), Refusal> {
        let ids = node.ints(self.id)?.unwrap_or_default();
        let list = |name| listed(name, node.ints(name)?.unwrap_or_default(), ids.len());
        let (of_trees, of_nodes) = (list(self.tree)?, list(self.node)?);
        let weights = listed(self.weight, node.floats(self.weight)?, ids.len())?;
        check_finite(weights)?;
        let mut seen = HashSet::new();
        for (((&target, &tree), &node), &weight) in
            ids.iter().zip(of_trees).zip(of_nodes).zip(weights)
        {
            let id = Id { tree, node };
            let known = u32::try_from(target).ok().filter(|target| *target < targets);
            let known = known.ok_or_else(|| {
                let (expected, got) = (format!("below {targets}"), format!("{target} at {id}"));
                Refusal::mismatch(self.id, expected, got)
            })?;
            let leaf = places.get(&id).and_then(|&(tree, place)| {
                match trees.get_mut(tree)?.nodes.get_mut(place)? {
                    Node::Leaf(values) => Some(values),
                    Node::Branch { .. } => None,
                }
            });
            let leaf = leaf.ok_or_else(|| Refusal::mismatch(self.node, "leaves", id))?;
            if !seen.insert((id, target)) {
                let got = format!("{target} of {id} twice");
                return Err(Refusal::mismatch(self.id, "different for each leaf", got));
            }
            leaf.push((known, f64::from(weight)));
        }
        Ok(())
    }
}

/// Returns what is added to each target.
fn bases(base: &[f32], targets: u32, is_classifier: bool) -> Result<Vec<f64>, Refusal> {
    if base.is_empty() {
        return Ok(vec![0.0; targets as usize]);
    }
    if is_classifier && targets == 2 {
        let what = "base_values of two classes that both have weights";
        return Err(Refusal::unsupported(what));
    }
    listed("base_values", base, targets as usize)?;
    Ok(base.iter().copied().map(f64::from).collect())
}

/// Two classes of which the leaves give one score, that of the second: the first's is 1 less it, or
/// its negative in front of a LOGISTIC. What onnxruntime and ONNX's reference see differently is
/// refused. Returns what is added to each.
fn two_classes(
    trees: &mut [Tree],
    base: &[f32],
    class: i64,
    transform: &str,
) -> Result<Vec<f64>, Refusal> {
    let base = match base {
        [] => 0.0,
        [base] => f64::from(*base),
        _ => return Err(Refusal::mismatch("base_values", "at most 1 value", base.len())),
    };
    if class != 0 {
        return Err(Refusal::mismatch("class_ids of one score for two classes", 0, class));
    }
    let leaves = trees.iter_mut().flat_map(|tree| &mut tree.nodes);
    let leaves = leaves.filter_map(|node| match node {
        Node::Leaf(values) => Some(values),
        Node::Branch { .. } => None,
    });
    let mut is_negative = false;
    for values in leaves {
        if let [(_, value)] = *values.as_slice() {
            is_negative |= value < 0.0;
            *values = vec![(0, -value), (1, value)];
        }
    }
    match transform {
        "LOGISTIC" => Ok(vec![-base, base]),
        "NONE" if !is_negative => Ok(vec![1.0 - base, base]),
        _ => Err(Refusal::unsupported(format!(
            "one score for two classes, with weights of both signs or a SOFTMAX (post_transform \
             {transform}),"
        ))),
    }
}

fn listed<'a, T>(name: &'static str, values: &'a [T], expected: usize) -> Result<&'a [T], Refusal> {
    if values.len() == expected {
        return Ok(values);
    }
    let (expected, got) = (format!("{expected} values"), values.len());
    Err(Refusal::mismatch(name, expected, got))
}
