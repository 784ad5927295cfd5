//! What both sides of the weight sumcheck are given: the claims in order, with their coefficients
//! (sections 6.2 and 6.3).

use p3_field::PrimeCharacteristicRing;

use crate::field::{F, K};
use crate::layers::{AxisPoint, Channels, ConvTerm, LayerEnds, NumberedForm, forms};
use crate::multilinear::{ArityError, same_length};
use crate::program::{Axis, CheckedProgram, Segment, Sizes};
use crate::tensor_code::{Point, Shape};

/// The program, the two points that fix the coefficients, and the challenge that batches the claims.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of section 6.2")]
pub struct WeightStatement<'a> {
    /// The program.
    pub program: &'a CheckedProgram,
    /// Its sizes for this batch.
    pub sizes: Sizes,
    /// `rho`, of `nR` coordinates.
    pub rho: &'a [K],
    /// `tau`, of `nS` coordinates.
    pub tau: &'a [K],
    /// `lambda_w`.
    pub lambda: K,
}

/// The coefficients of one segment:
/// `taps[t] eq(rho, o) (factor of the channel)` at `w'[o, t, c]`, 0 where `o` or `c` is not real.
#[derive(Clone, Debug)]
pub(super) struct Term<'a> {
    pub(super) segment: Segment,
    /// `lambda_w^j S_y[dy] S_x[dx]`; for a bias `lambda_w^j m`.
    pub(super) taps: Vec<K>,
    /// `rho_o`, of `lg O` coordinates.
    pub(super) rho: &'a [K],
    /// `tau_c`, of `lg C_T` coordinates; none for a bias.
    pub(super) tau: &'a [K],
    pub(super) channels: TermChannels,
}

/// The factor of the channel `c`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TermChannels {
    /// `eq(tau_c, c - first)` for `first <= c < first + count`. For a bias 1: no coordinates.
    Window { first: u32, count: u32 },
    /// `eq(tau_c, o)`.
    Depthwise,
    /// `eq(tau_c, g Cg + c)`, `g = floor(o / Og)`; both sizes are powers of two.
    Groups { groups: u32, outputs: u32, inputs: u32 },
}

impl<'a> WeightStatement<'a> {
    /// Checks the lengths of both points.
    pub(super) fn check(&self) -> Result<(), ArityError> {
        let (rho, tau) = (self.sizes.claim_arity as usize, self.sizes.layer_arity as usize);
        same_length("coordinates of rho", rho, self.rho.len())?;
        same_length("coordinates of tau", tau, self.tau.len())
    }

    /// Returns `sum_j lambda_w^j (a_j or beta_l)`, each form's convolutions before its bias.
    pub(super) fn batched(&self, ends: &LayerEnds) -> Result<K, ArityError> {
        ends.check_lengths(self.program, self.sizes.lb)?;
        let program = self.program.program();
        let (mut convs, mut biases) = (ends.convs.iter(), ends.biases.iter());
        let (mut sum, mut power) = (K::ZERO, K::ONE);
        for form in forms(program) {
            let count = form.convs(program).count();
            let values = convs.by_ref().take(count);
            for &value in values.chain(biases.by_ref().take(usize::from(form.has_bias()))) {
                sum += power * value;
                power *= self.lambda;
            }
        }
        Ok(sum)
    }

    /// Returns the coefficients: those of the claims in order, a bias of several segments being
    /// several terms with one power of `lambda_w`.
    pub(super) fn terms(&self) -> Result<Vec<Term<'a>>, ArityError> {
        let program = self.program.program();
        let (mut terms, mut power) = (Vec::new(), K::ONE);
        for form in forms(program) {
            for conv in form.convs(program) {
                terms.push(self.conv(&conv, power)?);
                power *= self.lambda;
            }
            if form.has_bias() {
                terms.extend(self.biases(form, power)?);
                power *= self.lambda;
            }
        }
        Ok(terms)
    }

    fn conv(&self, term: &ConvTerm<'_>, power: K) -> Result<Term<'a>, ArityError> {
        let lb = self.sizes.lb;
        let mut taps = term.tap_sums(self.rho, self.tau, lb)?;
        taps.iter_mut().for_each(|tap| *tap *= power);
        let channels = match term.channels() {
            Channels::All => TermChannels::Window { first: term.conv.c_off, count: term.input.c },
            Channels::Depthwise => TermChannels::Depthwise,
            Channels::Groups { groups, outputs, inputs } => {
                TermChannels::Groups { groups, outputs, inputs }
            }
        };
        Ok(Term {
            segment: term.segment,
            taps,
            rho: AxisPoint::of_batch(self.rho, term.output, lb)?.along(Axis::C),
            tau: AxisPoint::of_one(self.tau, term.input, lb)?.along(Axis::C),
            channels,
        })
    }

    fn biases(&self, form: NumberedForm<'a>, power: K) -> Result<Vec<Term<'a>>, ArityError> {
        let rho = AxisPoint::of_batch(self.rho, form.output, self.sizes.lb)?.along(Axis::C);
        let channels = TermChannels::Window { first: 0, count: 1 };
        let biases = form.biases(self.program.program());
        let term = |(segment, m)| {
            let taps = vec![power * F::from_i32(m)];
            Term { segment, taps, rho, tau: &[], channels }
        };
        Ok(biases.map(term).collect())
    }
}

/// The challenges as a point: columns were bound first.
pub(super) fn split(shape: &Shape, challenges: &[K]) -> Point {
    let (columns, rows) = challenges.split_at(shape.log_columns().min(challenges.len()));
    Point { rows: rows.to_vec(), columns: columns.to_vec() }
}
