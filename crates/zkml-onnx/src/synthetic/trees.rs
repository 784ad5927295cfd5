//! Random tree ensembles.

use super::{Attribute, Builder, Seeded};

/// What a random ensemble is like.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "arguments with names")]
pub struct Forest {
    /// Values of an input.
    pub features: u32,
    /// Trees.
    pub trees: u32,
    /// Most nodes on the way to a leaf.
    pub depth: u32,
    /// Targets of a regressor, or classes.
    pub targets: u32,
    /// Whether it is a classifier.
    pub is_classifier: bool,
}

const MODES: [&str; 6] =
    ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"];

/// The lists of the node's attributes.
#[derive(Default)]
struct Lists {
    trees: Vec<i64>,
    nodes: Vec<i64>,
    features: Vec<i64>,
    yes: Vec<i64>,
    no: Vec<i64>,
    modes: Vec<&'static str>,
    values: Vec<f32>,
    /// Of the leaves: tree, node, target, weight.
    leaf_trees: Vec<i64>,
    leaf_nodes: Vec<i64>,
    targets: Vec<i64>,
    weights: Vec<f32>,
}

/// Returns the file of a random ensemble; its scores are the output. Inputs are compared with
/// multiples of 1/8 from -1 to 1, in every way that there is.
#[must_use]
pub fn forest(shape: Forest, seed: u64) -> Vec<u8> {
    let mut numbers = Seeded::new(seed);
    let mut lists = Lists::default();
    for tree in 0..i64::from(shape.trees) {
        lists.tree(tree, shape, &mut numbers);
    }
    let operator =
        if shape.is_classifier { "TreeEnsembleClassifier" } else { "TreeEnsembleRegressor" };
    let mut attributes = lists.attributes(shape.is_classifier);
    let targets = i64::from(shape.targets);
    if shape.is_classifier {
        attributes.push(("classlabels_int64s", Attribute::Ints((0..targets).collect())));
    } else {
        attributes.push(("n_targets", Attribute::Int(targets)));
        let base = (0..targets).map(|_| numbers.unit()).collect();
        attributes.push(("base_values", Attribute::Floats(base)));
    }
    let mut builder = Builder::batched(&[shape.features]);
    let outputs = 1 + usize::from(shape.is_classifier);
    let outputs = builder.node_with_outputs(operator, &["x"], &attributes, outputs);
    builder.finish(outputs.last().map_or("", String::as_str))
}

impl Lists {
    /// Adds a tree, its nodes numbered from the root on.
    fn tree(&mut self, tree: i64, shape: Forest, numbers: &mut Seeded) {
        let first = self.nodes.len();
        let mut open = vec![(None, 0)];
        while let Some((parent, depth)) = open.pop() {
            let at = self.nodes.len();
            let id = i64::try_from(at - first).unwrap_or(0);
            // The answer yes is the node behind its parent.
            if let Some(no) = parent.and_then(|parent: usize| self.no.get_mut(parent)) {
                *no = id;
            }
            self.trees.push(tree);
            self.nodes.push(id);
            let is_leaf = depth == shape.depth || numbers.below(8) == 0;
            let grid = u16::try_from(numbers.below(17)).unwrap_or(0);
            let sign = if numbers.below(2) == 0 { -1.0 } else { 1.0 };
            let mode = MODES.get(numbers.below(6) as usize).copied().unwrap_or("BRANCH_LEQ");
            self.modes.push(if is_leaf { "LEAF" } else { mode });
            self.values.push(sign * f32::from(grid) / 8.0 * f32::from(u16::from(grid <= 8)));
            self.features.push(i64::from(numbers.below(shape.features)));
            self.yes.push(if is_leaf { 0 } else { id + 1 });
            self.no.push(0);
            if is_leaf {
                for target in 0..shape.targets {
                    self.leaf_trees.push(tree);
                    self.leaf_nodes.push(id);
                    self.targets.push(i64::from(target));
                    self.weights.push(numbers.unit() * 0.712_34);
                }
            } else {
                open.push((Some(at), depth + 1));
                open.push((None, depth + 1));
            }
        }
    }

    fn attributes(self, is_classifier: bool) -> Vec<(&'static str, Attribute)> {
        let [leaf_trees, leaf_nodes, targets, weights] = if is_classifier {
            ["class_treeids", "class_nodeids", "class_ids", "class_weights"]
        } else {
            ["target_treeids", "target_nodeids", "target_ids", "target_weights"]
        };
        vec![
            ("nodes_treeids", Attribute::Ints(self.trees)),
            ("nodes_nodeids", Attribute::Ints(self.nodes)),
            ("nodes_featureids", Attribute::Ints(self.features)),
            ("nodes_truenodeids", Attribute::Ints(self.yes)),
            ("nodes_falsenodeids", Attribute::Ints(self.no)),
            ("nodes_modes", Attribute::Texts(self.modes)),
            ("nodes_values", Attribute::Floats(self.values)),
            (leaf_trees, Attribute::Ints(self.leaf_trees)),
            (leaf_nodes, Attribute::Ints(self.leaf_nodes)),
            (targets, Attribute::Ints(self.targets)),
            (weights, Attribute::Floats(self.weights)),
        ]
    }
}
