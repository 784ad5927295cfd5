//! Claims in: what each form is left to be once all that is known is subtracted (section 4.1).

use p3_field::PrimeCharacteristicRing;

use super::axis::{AxisPair, Reads};
use super::error::LayerError;
use super::terms::{AxisPoint, NumberedForm, PickTerm, forms};
use crate::field::{F, K};
use crate::multilinear::{ArityError, same_length};
use crate::program::{Axis, CheckedProgram, Outside, Program, Site, Sizes, Tensor, Term};

/// Returns `C_l` of every form in the order of section 4.1: its value at `rho_l` less its `Local`
/// and `Const` terms, and less what taps outside a max-pooled tensor read.
///
/// `values[l]` is the value of form `l` at `rho|n_l`, `at_rho[t]` that of tensor `t` at `rho|n_T`,
/// which matters for the tensors that a `Local` term reads.
///
/// # Errors
///
/// Returns [`LayerError::Arity`] unless there is a value for each form and for each tensor, and
/// `rho` has the coordinates that `sizes` asks for.
pub fn form_claims(
    program: &CheckedProgram,
    sizes: Sizes,
    rho: &[K],
    values: &[K],
    at_rho: &[K],
) -> Result<Vec<K>, LayerError> {
    let program = program.program();
    same_length("coordinates of rho", sizes.claim_arity as usize, rho.len())?;
    same_length("values of forms", forms(program).count(), values.len())?;
    same_length("values of tensors", program.tensors.len(), at_rho.len())?;
    let claims = forms(program).zip(values).map(|(form, &value)| {
        let point = AxisPoint::of_batch(rho, form.output, sizes.lb)?;
        Ok(value - known(program, form, &point, at_rho))
    });
    Ok(claims.collect::<Result<_, ArityError>>()?)
}

/// The part of a form at `rho_l` that the verifier knows.
fn known(program: &Program, form: NumberedForm<'_>, point: &AxisPoint<'_>, at_rho: &[K]) -> K {
    let mask = point.mask(form.output);
    let mut sum = K::ZERO;
    for term in &form.form.terms {
        sum += match term {
            Term::Local { tensor, m } => {
                let value = at_rho.get(*tensor as usize).copied().unwrap_or(K::ZERO);
                let pad = F::from_i32(pad_value(program, *tensor as usize));
                (value - (K::ONE - mask) * pad) * F::from_i32(*m)
            }
            Term::Const { v } => mask * F::from_i32(*v),
            Term::Conv(_) | Term::Pick(_) | Term::Bias { .. } => K::ZERO,
        };
    }
    let outside = form.picks(program).filter(|term| term.pick.outside == Outside::Lowest);
    sum + outside.map(|term| read_outside(&term, point, mask)).sum::<K>()
}

/// `m lo (mask - prod I_axis)`: the share of outputs whose tap is outside (section 4.5).
fn read_outside(term: &PickTerm<'_>, point: &AxisPoint<'_>, mask: K) -> K {
    let Tensor { shape, interval } = term.input;
    let axes = [Axis::Y, Axis::X, Axis::C].into_iter().zip(term.pick.order).zip(&term.pick.axes);
    let inside: K = axes
        .map(|((to, from), map)| {
            let pair = AxisPair {
                rho: point.along(to),
                outputs: term.output.extent(to),
                extent: shape.extent(from),
            };
            let reads = Reads::from(map);
            // One tap per axis, by the rules for loading a key.
            reads.offsets.iter().map(|&offset| pair.inside_sum(reads.stride, offset)).sum::<K>()
        })
        .product();
    (mask - inside) * F::from_i32(interval.lo) * F::from_i32(term.pick.m)
}

/// `pi_T`: what the padded cells of a tensor hold, `F(0)` after a requantisation (section 1).
fn pad_value(program: &Program, tensor: usize) -> i32 {
    let site = tensor.checked_sub(1).and_then(|site| program.sites.get(site));
    let Some(Site::Requant { table, .. }) = site else { return 0 };
    let table = program.tables.get(*table as usize);
    table.and_then(|table| table.look_up(0)).map_or(0, |(_, value)| value)
}
