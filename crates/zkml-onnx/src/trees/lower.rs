//! Trees to a program of three sites: leaves, the same in larger steps, and the sum of their values.
//!
//! The input has a group of cells for each tree, and the leaves a group of channels; the weights
//! between them are those of a convolution with as many groups. So they grow with the trees and not
//! with their square. A group's sizes are powers of two, as section 4.4 wants them.

use assay_zkml::model::Cut;
use assay_zkml::program::{
    AdviceProfile, Conv, Form, Interval, MAX_INTEGER, Mode, Program, SegmentSize, Site, Table,
    Tensor, TensorShape, Term, Window,
};

use super::{Comparison, Ensemble, Node, Question, Tree};
use crate::error::{CompileError, Refusal};
use crate::limits;
use crate::quantise::{Block, HIGH_BITS, lay_out, split_bias};

/// Most weights of the leaves, and of their values.
const MAX_WEIGHTS: u64 = 1 << 27;
/// Most nodes on the way to a leaf.
const MAX_DEPTH: u64 = 1 << 10;
/// A leaf's value is `low + STEP high`. Programs of trees keep their bytes, so it stays what it is.
const STEP: i64 = 510;
/// Limbs of programs without any: no site shifts.
const LIMB_BITS: u32 = 8;
/// The number of a cell that no tree asks for.
const UNUSED: Cut = Cut { feature: 0, value: 0.0 };

/// A program with its weights and its ends.
#[derive(Debug)]
pub(super) struct Lowered {
    pub(super) program: Program,
    pub(super) weights: Vec<i16>,
    /// What each cell of the input asks.
    pub(super) cuts: Vec<Cut>,
    /// The real value of a raw output of 1.
    pub(super) unit: f64,
}

/// The leaves of all trees, each group filled up.
struct Leaves {
    cuts: Vec<Cut>,
    /// `[leaf][cell of its tree]`.
    weights: Vec<i16>,
    bias: Vec<i16>,
    /// The most that a sum can be, and its number of answers with it.
    reach: u32,
    /// For each place of a leaf, its values; none behind the leaves of a tree.
    values: Vec<Vec<(u32, f64)>>,
    /// Cells and leaves of a group.
    group: [u32; 2],
}

/// What leaves are worth in units, for each target.
struct Worth {
    low: Vec<i16>,
    high: Vec<i16>,
    bias: Vec<i64>,
}

/// Returns the program of the trees.
pub(super) fn lower(ensemble: &Ensemble, mode: Mode) -> Result<Lowered, CompileError> {
    let refuse = |refusal| ensemble.label.refuse(refusal);
    let leaves = Leaves::of(&ensemble.trees).map_err(refuse)?;
    let (worth, unit) = worth(ensemble, &leaves).map_err(refuse)?;
    let groups = size(ensemble.trees.len());
    let shapes = leaves.group.map(|each| each.saturating_mul(groups));
    let [cells, places] = shapes;
    let mut blocks = Vec::new();
    let mut block = |size, weights| {
        blocks.push(Block { size, weights });
        u32::try_from(blocks.len() - 1).unwrap_or(u32::MAX)
    };
    let conv = |tensor, segment, groups| {
        let (y, x) = (Window::UNIT, Window::UNIT);
        Term::Conv(Conv { tensor, segment, y, x, groups, c_off: 0 })
    };
    let reached = block(SegmentSize::weights(1, places, leaves.group[0]), leaves.weights);
    let mut on_path = vec![conv(0, reached, groups)];
    let bias = block(SegmentSize::bias(places), leaves.bias);
    on_path.push(Term::Bias { segment: bias, m: 1 });
    let targets = ensemble.targets;
    let low = block(SegmentSize::weights(1, targets, places), worth.low);
    let high = block(SegmentSize::weights(1, targets, places), worth.high);
    let mut sum = vec![conv(1, low, 1), conv(2, high, 1)];
    let (low, high): (Vec<i16>, Vec<i16>) = split_bias(&worth.bias).into_iter().unzip();
    for (weights, m) in [(low, 1), (high, 1 << HIGH_BITS)] {
        sum.push(Term::Bias { segment: block(SegmentSize::bias(targets), weights), m });
    }
    let (layout, weights) = lay_out(&blocks)?;
    let vector = |c, interval| Tensor { shape: TensorShape::vector(c), interval };
    let answers = Interval::new(0, 1);
    // Sums are at most 1, and each answer takes at most 1 away.
    let table = Table::Clamp { bq: leaves.reach + 1, lo: 0, hi: 1 };
    let step = i32::try_from(STEP).unwrap_or(i32::MAX);
    let larger = Form::new(vec![Term::Local { tensor: 1, m: step }]);
    let program = Program {
        advice: AdviceProfile::default(),
        limb_bits: LIMB_BITS,
        tensors: vec![
            vector(cells, answers),
            vector(places, answers),
            vector(places, Interval::new(0, step)),
            vector(targets, Interval::RAW),
        ],
        tables: vec![table],
        segments: layout.segments,
        sites: vec![
            Site::Requant { form: Form::new(on_path), shift: 0, table: 0 },
            Site::Copy { form: larger },
            Site::Output { form: Form::new(sum) },
        ],
        mode,
        weights: mode.shape(layout.shape),
    };
    Ok(Lowered { program, weights, cuts: leaves.cuts, unit })
}

/// What a branch asks, as cells of the input: its answer is the sum of `cells`, each with its sign,
/// or 1 less that.
struct Asked {
    cells: Vec<(Cut, i16)>,
    is_negated: bool,
}

impl Asked {
    fn of(Question { feature, comparison, value }: Question) -> Self {
        // The negative zero is the zero.
        let value = value + 0.0;
        let (from, above) = (Cut { feature, value }, Cut { feature, value: value.next_up() + 0.0 });
        let cells = match comparison {
            Comparison::AtLeast | Comparison::Below => vec![(from, 1)],
            Comparison::Above | Comparison::AtMost => vec![(above, 1)],
            Comparison::Equal | Comparison::Unequal => vec![(from, 1), (above, -1)],
        };
        let negated = [Comparison::AtMost, Comparison::Below, Comparison::Unequal];
        Self { cells, is_negated: negated.contains(&comparison) }
    }
}

impl Leaves {
    fn of(trees: &[Tree]) -> Result<Self, Refusal> {
        let groups = trees.len() as u64;
        let asked = |node: &Node| match node {
            Node::Branch { question, .. } => Asked::of(*question).cells.len(),
            Node::Leaf(_) => 0,
        };
        let cells = |tree: &Tree| tree.nodes.iter().map(asked).sum();
        let is_leaf = |node: &&Node| matches!(node, Node::Leaf(_));
        let leaves = |tree: &Tree| tree.nodes.iter().filter(is_leaf).count();
        let most = |each: &dyn Fn(&Tree) -> usize| {
            let most = trees.iter().map(each).max().unwrap_or(0).max(1);
            (most as u64).next_power_of_two()
        };
        let group = [most(&cells), most(&leaves)];
        let [cells, leaves] = group;
        for each in group {
            limits::extent(each.saturating_mul(groups))?;
        }
        let what = "number of weights of leaves, with those that fill up groups,";
        limits::at_most(what, MAX_WEIGHTS, groups.saturating_mul(cells).saturating_mul(leaves))?;
        let group = group.map(|each| u32::try_from(each).unwrap_or(u32::MAX));
        let mut all = Self {
            cuts: Vec::new(),
            weights: Vec::new(),
            bias: Vec::new(),
            reach: 0,
            values: Vec::new(),
            group,
        };
        for tree in trees {
            all.add(tree)?;
        }
        Ok(all)
    }

    /// Adds the leaves of a tree. A leaf is reached where the answers yes that lead to it less those
    /// that lead away are as many as its path wants: its sum is then 1, and otherwise 0 or less.
    fn add(&mut self, tree: &Tree) -> Result<(), Refusal> {
        let [cells, leaves] = self.group.map(|each| each as usize);
        let (first_cut, first_leaf) = (self.cuts.len(), self.values.len());
        let mut open = vec![Path { node: 0, answers: Vec::new(), wanted: 0, depth: 0 }];
        while let Some(path) = open.pop() {
            match tree.nodes.get(path.node) {
                Some(Node::Branch { question, children: [yes, no] }) => {
                    let depth = path.depth as u64 + 1;
                    limits::at_most("number of nodes on the way to a leaf", MAX_DEPTH, depth)?;
                    let asked = Asked::of(*question);
                    let (yes, no) = if asked.is_negated { (*no, *yes) } else { (*yes, *no) };
                    let first = self.cuts.len() - first_cut;
                    open.push(path.to(no, &asked, first, -1));
                    open.push(path.to(yes, &asked, first, 1));
                    self.cuts.extend(asked.cells.iter().map(|(cut, _)| *cut));
                }
                Some(Node::Leaf(values)) => self.add_leaf(&path, values),
                None => {}
            }
        }
        self.cuts.resize(first_cut + cells, UNUSED);
        self.values.resize(first_leaf + leaves, Vec::new());
        self.bias.resize(first_leaf + leaves, 0);
        self.weights.resize((first_leaf + leaves) * cells, 0);
        Ok(())
    }

    fn add_leaf(&mut self, path: &Path, values: &[(u32, f64)]) {
        let mut row = vec![0; self.group[0] as usize];
        for &(cell, weight) in &path.answers {
            if let Some(place) = row.get_mut(cell) {
                *place = weight;
            }
        }
        self.weights.extend(row);
        let bias = 1 - path.wanted;
        self.bias.push(bias);
        let answers = u32::try_from(path.answers.len()).unwrap_or(u32::MAX);
        self.reach = self.reach.max(answers.saturating_add(u32::from(bias.unsigned_abs())));
        self.values.push(values.to_vec());
    }
}

/// The way to a node.
struct Path {
    node: usize,
    /// For each cell on it, of those of the tree, its weight.
    answers: Vec<(usize, i16)>,
    /// How many answers have to be yes.
    wanted: i16,
    depth: usize,
}

impl Path {
    /// Returns the way on to `node`, past a question whose cells begin at `first`. `sign` is 1 behind
    /// the answer yes, else -1.
    fn to(&self, node: usize, asked: &Asked, first: usize, sign: i16) -> Self {
        let mut answers = self.answers.clone();
        answers.extend(asked.cells.iter().zip(first..).map(|((_, own), cell)| (cell, sign * own)));
        let wanted = self.wanted + i16::from(sign > 0);
        Self { node, answers, wanted, depth: self.depth + 1 }
    }
}

/// Returns what leaves are worth, in the finest unit that N1 allows.
fn worth(ensemble: &Ensemble, leaves: &Leaves) -> Result<(Worth, f64), Refusal> {
    let (targets, places) = (ensemble.targets as usize, leaves.values.len());
    let values = (targets as u64).saturating_mul(places as u64);
    limits::at_most("number of values of all leaves", MAX_WEIGHTS, values)?;
    // `[target][leaf]`
    let mut values = vec![0.0; targets * places];
    for (place, own) in leaves.values.iter().enumerate() {
        for &(target, value) in own {
            if let Some(to) = values.get_mut(target as usize * places + place) {
                *to = value / ensemble.divisor;
            }
        }
    }
    let largest = values.iter().chain(&ensemble.base).fold(0.0, |most: f64, v| most.max(v.abs()));
    if largest == 0.0 {
        return integers(&values, ensemble, leaves, 1.0)
            .map(|worth| (worth, 1.0))
            .ok_or_else(|| Refusal::unsupported("an ensemble of this size"));
    }
    // From where the largest value would fill an accumulator alone.
    let finest = MAX_BITS - exponent(largest);
    for bits in (finest - COARSEST..=finest).rev() {
        let factor = power_of_two(bits);
        if let Some(worth) = integers(&values, ensemble, leaves, factor) {
            return Ok((worth, factor.recip()));
        }
    }
    Err(Refusal::unsupported("an ensemble whose values differ so much in size"))
}

/// `2^MAX_BITS` is above the largest accumulator.
const MAX_BITS: i32 = 30;
/// How many bits of the largest value may be given up for the sum of all: as many as it has.
const COARSEST: i32 = 30;

/// Returns the values in units of `1 / factor`, if N1 and N3 hold. One leaf of a tree is reached, so
/// what all of its leaves have in common stands in the bias: the median, which leaves the least.
fn integers(values: &[f64], ensemble: &Ensemble, leaves: &Leaves, factor: f64) -> Option<Worth> {
    let each = leaves.group[1] as usize;
    let mut worth = Worth { low: Vec::new(), high: Vec::new(), bias: Vec::new() };
    for (target, base) in values.chunks_exact(leaves.values.len()).zip(&ensemble.base) {
        let (mut bias, mut reach) = (integer(base * factor)?, 0_i64);
        for (tree, own) in target.chunks_exact(each).zip(&ensemble.trees) {
            let count = own.nodes.iter().filter(|node| matches!(node, Node::Leaf(_))).count();
            let units: Option<Vec<i64>> =
                tree.iter().take(count).map(|value| integer(value * factor)).collect();
            let units = units?;
            let mut sorted = units.clone();
            sorted.sort_unstable();
            let median = sorted.get(count / 2).copied().unwrap_or(0);
            bias += median;
            for place in 0..each {
                let units = units.get(place).map_or(0, |units| units - median);
                let high = (units + STEP / 2).div_euclid(STEP);
                let low = units - STEP * high;
                reach += low.abs() + STEP * high.abs();
                worth.low.push(narrow(low)?);
                worth.high.push(narrow(high)?);
            }
        }
        // The bias is two terms, whose sizes add up.
        reach += bias.abs() + (1 << HIGH_BITS);
        if reach > MAX_INTEGER {
            return None;
        }
        worth.bias.push(bias);
    }
    Some(worth)
}

fn narrow(value: i64) -> Option<i16> {
    i16::try_from(value).ok().filter(|value| *value != i16::MIN)
}

/// The nearest integer, half away from zero, if it is below `2^31`.
#[expect(clippy::cast_possible_truncation, reason = "below 2^31")]
fn integer(value: f64) -> Option<i64> {
    let rounded = value.round();
    (rounded.abs() < f64::from(1_u32 << 31)).then_some(rounded as i64)
}

/// `floor(log2(value))` of a normal number above 0.
fn exponent(value: f64) -> i32 {
    i32::try_from(value.to_bits() >> 52).unwrap_or(0) - BIAS
}

/// `2^bits`, for the exponents of `f32`s and 60 more.
fn power_of_two(bits: i32) -> f64 {
    f64::from_bits(u64::try_from(bits + BIAS).unwrap_or(0) << 52)
}

const BIAS: i32 = 1023;

/// A number of trees: few.
fn size(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
