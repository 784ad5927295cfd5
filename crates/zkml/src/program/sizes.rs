//! The sizes of a proof for one program and one batch, and the caps of N4 (section 2.2).

use super::error::{Place, ProgramError, Rule};
use super::form::{Axis, Term};
use super::tensor::lg;
use super::terms::remote_terms;
use super::{Program, Site, limb_widths};

/// N4: `lb`.
pub(crate) const MAX_LB: u32 = 10;
const MAX_LEAVES: u64 = 1 << 28;
const MAX_ADVICE_CELLS: u64 = 1 << 28;
const MAX_WORK: u64 = 1 << 24;

/// Sizes that satisfy N4, for batches of `2^lb` (sections 2.2, 3 and 5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Sizes {
    /// `lb`.
    pub lb: u32,
    /// Leaves of the lookup tree, 0 without lookups.
    pub leaves: u64,
    /// `nL`: variables of the lookup tree.
    pub tree_arity: u32,
    /// Cells of all committed columns; public input and output included.
    pub advice_cells: u64,
    /// `nR`: coordinates of `rho`.
    pub claim_arity: u32,
    /// `nS`: rounds of the layer sumcheck.
    pub layer_arity: u32,
    /// Steps that N4 counts for the verifier.
    pub work: u64,
}

impl Sizes {
    pub(crate) fn new(program: &Program, lb: u32) -> Result<Self, ProgramError> {
        let place = Place::Program;
        place.at_most(Rule::BatchBits, MAX_LB, lb)?;
        let (leaves, advice_cells) = count_cells(program, lb)?;
        let work = count_work(program)?;
        let tree_arity =
            if leaves == 0 { 0 } else { lg(u32::try_from(leaves).unwrap_or(u32::MAX)) };
        // The input has neither column nor form unless there is a batch.
        let public = usize::from(lb == 0);
        let columns = program.tensors.iter().skip(public).map(|tensor| tensor.shape.arity(lb));
        let tables = program.tables.iter().map(super::Table::arity);
        let claim_arity = columns.chain(tables).fold(tree_arity, u32::max);
        let layer_arity = layer_arity(program, lb);
        Ok(Self { lb, leaves, tree_arity, advice_cells, claim_arity, layer_arity, work })
    }
}

/// Returns the leaves of the lookup tree and the advice cells, each under its cap.
fn count_cells(program: &Program, lb: u32) -> Result<(u64, u64), ProgramError> {
    let mut leaves = 0_u64;
    let mut cells = program.tensors.first().map_or(0, |tensor| size(tensor.shape.arity(lb)));
    Place::Tensor(0).at_most(Rule::AdviceCells, MAX_ADVICE_CELLS, cells)?;
    for table in &program.tables {
        let rows = size(table.arity());
        (leaves, cells) = (leaves.saturating_add(rows), cells.saturating_add(rows));
    }
    for (index, site) in program.sites.iter().enumerate() {
        let arity = program.tensors.get(index + 1).map_or(0, |tensor| tensor.shape.arity(lb));
        let (columns, lookups) = match site {
            Site::Requant { shift, .. } => {
                let limbs = limb_widths(*shift, program.limb_bits).count() as u64;
                (1 + limbs, 1 + limbs)
            }
            Site::Max2 { .. } => (1, 1),
            Site::Copy { .. } | Site::Output { .. } => (1, 0),
        };
        leaves = leaves.saturating_add(size(arity).saturating_mul(lookups));
        cells = cells.saturating_add(size(arity).saturating_mul(columns));
        Place::Site(index).at_most(Rule::LookupLeaves, MAX_LEAVES, leaves)?;
        Place::Site(index).at_most(Rule::AdviceCells, MAX_ADVICE_CELLS, cells)?;
    }
    Ok((leaves, cells))
}

/// `sum over Conv and Pick terms of (W_y + W_x + W_c + 16 g T n_w)`, `W` being [`axis_work`]. A
/// `Conv` has no `W_c`, a `Pick` no weights.
fn count_work(program: &Program) -> Result<u64, ProgramError> {
    let shape = |tensor: usize| program.tensors.get(tensor).map(|tensor| tensor.shape);
    let mut work = 0_u64;
    for (index, term) in remote_terms(&program.sites) {
        let input = term.tensor().and_then(|tensor| shape(tensor as usize));
        let (Some(input), Some(output)) = (input, shape(index + 1)) else { continue };
        let term = match term {
            Term::Conv(conv) => {
                let along_y = axis_work(conv.y.taps.into(), output.y, input.y);
                let along_x = axis_work(conv.x.taps.into(), output.x, input.x);
                along_y.saturating_add(along_x).saturating_add(conv_work(program, index, conv))
            }
            Term::Pick(pick) => {
                let axes = [Axis::Y, Axis::X, Axis::C].into_iter().zip(pick.order).zip(&pick.axes);
                let along = axes.map(|((to, from), map)| {
                    axis_work(map.taps() as u64, output.extent(to), input.extent(from))
                });
                along.fold(0, u64::saturating_add)
            }
            Term::Local { .. } | Term::Bias { .. } | Term::Const { .. } => continue,
        };
        work = work.saturating_add(term);
        Place::Site(index).at_most(Rule::VerifierWork, MAX_WORK, work)?;
    }
    Ok(work)
}

/// Products that the sums over one axis take (sections 4.4 and 4.5), the closed form aside: one for
/// each output and tap, and the tables `eq(rho, .)` and, unless few of its entries are read,
/// `eq(tau, .)`.
fn axis_work(taps: u64, outputs: u32, extent: u32) -> u64 {
    let read = taps.saturating_mul(outputs.into());
    let table = size(lg(extent)).min(read.saturating_mul(lg(extent).into()));
    read.saturating_add(size(lg(outputs))).saturating_add(table)
}

/// `16 g T n_w`, with `g` the number of groups unless it is 1 or depthwise.
fn conv_work(program: &Program, index: usize, conv: &super::Conv) -> u64 {
    let channels = |tensor: usize| program.tensors.get(tensor).map_or(0, |tensor| tensor.shape.c);
    let depthwise =
        conv.groups == channels(conv.tensor as usize) && conv.groups == channels(index + 1);
    let groups = if depthwise { 1 } else { u64::from(conv.groups) };
    let taps = u64::from(conv.y.taps).saturating_mul(u64::from(conv.x.taps));
    let each = 16_u64.saturating_mul(program.weights.log_weights() as u64);
    groups.saturating_mul(taps).saturating_mul(each)
}

/// The most variables, without batch, of a tensor that a Conv or Pick reads; the input counts in a
/// batch (section 3).
fn layer_arity(program: &Program, lb: u32) -> u32 {
    let input = (lb > 0).then_some(0);
    let read = remote_terms(&program.sites).filter_map(|(_, term)| term.tensor());
    let read = read.chain(input).filter_map(|tensor| program.tensors.get(tensor as usize));
    read.map(|tensor| tensor.shape.arity(lb) - lb).max().unwrap_or(0)
}

/// `2^arity`, or `u64::MAX` where that is no `u64`.
fn size(arity: u32) -> u64 {
    1_u64.checked_shl(arity).unwrap_or(u64::MAX)
}
