//! How large a model may be, checked before anything of that size is computed.

use assay_zkml::program::{MAX_EXTENT, MAX_KERNEL_TAPS, MAX_REMOTE_TERMS, MAX_SITES, TensorShape};

use crate::constant::MAX_RANK;
use crate::draft::{Draft, Read, Step, Sum, SumTerm};
use crate::error::{CompileError, Refusal};

/// Most cells of one value. N4 has `2^28` for all columns, and a requantised cell stands in two.
pub(crate) const MAX_CELLS: u64 = 1 << 27;
/// Most cells of all tensors.
const MAX_ALL_CELLS: u64 = 1 << 28;
/// Most tensors that stand one behind another in a value.
const MAX_PARTS: u64 = 1 << 10;
/// Most weights: N4 has `2^30` places.
const MAX_WEIGHTS: u64 = 1 << 30;
/// Most products for one input: a hundred times those of the largest image classifiers.
const MAX_PRODUCTS: u64 = 1 << 40;

/// Refuses a number above `limit`; `what` names it.
pub(crate) const fn at_most(what: &'static str, limit: u64, got: u64) -> Result<(), Refusal> {
    if got <= limit { Ok(()) } else { Err(Refusal::TooLarge { what, limit, got }) }
}

/// Refuses an extent that no program has.
pub(crate) fn extent(extent: u64) -> Result<u32, Refusal> {
    let (what, limit) = ("an extent", u64::from(MAX_EXTENT));
    let fits = u32::try_from(extent).ok().filter(|extent| *extent <= MAX_EXTENT);
    fits.ok_or(Refusal::TooLarge { what, limit, got: extent })
}

/// Refuses a value of more cells than a program's tensor has.
pub(crate) fn cells(sizes: &[u32]) -> Result<(), Refusal> {
    let got = sizes.iter().fold(1_u64, |cells, &size| cells.saturating_mul(u64::from(size)));
    at_most("number of values of a tensor", MAX_CELLS, got)
}

/// Refuses more sites than a program has.
pub(crate) fn sites(got: usize) -> Result<(), Refusal> {
    at_most("number of sites, with those before,", MAX_SITES as u64, got as u64)
}

/// Refuses more weights than a program has: nodes that share a kernel in the file have one each.
pub(crate) fn weights(got: u64) -> Result<(), Refusal> {
    at_most("number of weights, with those before,", MAX_WEIGHTS, got)
}

/// Refuses a value that is made of too many tensors: joining a value with itself doubles them.
pub(crate) fn parts(got: usize) -> Result<(), Refusal> {
    at_most("number of tensors joined", MAX_PARTS, got as u64)
}

/// Refuses more taps than a term of a program has.
pub(crate) fn taps(got: usize) -> Result<(), Refusal> {
    at_most("number of cells chosen", MAX_KERNEL_TAPS, got as u64)
}

/// Refuses more dimensions than a tensor of a model has.
pub(crate) fn rank(got: usize) -> Result<(), Refusal> {
    at_most("rank", MAX_RANK as u64, got as u64)
}

/// Refuses a draft whose tensors are too large together, or take too many products.
pub(crate) fn check(draft: &Draft) -> Result<(), CompileError> {
    let (mut all, mut products, mut terms) = (0_u64, 0_u64, 0_u64);
    for (site, tensor) in draft.sites.iter().zip(draft.tensors.iter().skip(1)) {
        let cells = tensor.shape.cells() as u64;
        all = all.saturating_add(cells);
        let each = match &site.step {
            Step::Requant { sum, .. } | Step::Output { sum } => products_of(sum),
            Step::Max2 { .. } | Step::Copy { .. } => 1,
        };
        products = products.saturating_add(cells.saturating_mul(each));
        terms = terms.saturating_add(terms_of(&site.step));
        for (what, limit, got) in [
            ("number of cells, with those before,", MAX_ALL_CELLS, all),
            ("number of products, with those before,", MAX_PRODUCTS, products),
            ("number of terms, with those before,", MAX_REMOTE_TERMS, terms),
        ] {
            at_most(what, limit, got).map_err(|refusal| site.refuse(refusal))?;
        }
    }
    Ok(())
}

fn terms_of(step: &Step) -> u64 {
    match step {
        Step::Requant { sum, .. } | Step::Output { sum } => {
            let remote = |term: &&SumTerm| matches!(term, SumTerm::Conv(_) | SumTerm::Pick { .. });
            sum.terms.iter().filter(remote).count() as u64
        }
        Step::Max2 { a, b } => {
            [a, b].into_iter().filter(|read| matches!(read, Read::Pick(_))).count() as u64
        }
        Step::Copy { .. } => 1,
    }
}

/// Returns the products that one cell of a sum takes.
fn products_of(sum: &Sum) -> u64 {
    let of = |term: &SumTerm| match term {
        SumTerm::Conv(conv) => u64::from(conv.kernel.taps) * u64::from(conv.kernel.channels),
        SumTerm::Local { .. } | SumTerm::Scaled { .. } => 1,
        SumTerm::Pick { pick, .. } => pick.taps(),
    };
    sum.terms.iter().map(of).fold(0, u64::saturating_add)
}

/// Returns the cells of some tensors, saturating.
pub(crate) fn all_cells(shapes: impl Iterator<Item = TensorShape>) -> usize {
    shapes.map(|shape| shape.cells()).fold(0, usize::saturating_add)
}
