//! The claims that an opening begins with, and their first fold (step 10).
//!
//! A claim is the value of one column at a point, or that of the stacked vector at a point outside
//! the domain. The first variables of both are those that are folded first, so each claim is
//! `sum_b eq(z, b) E[b]` over these alone, with `E[b]` the value of part `b` of the columns at the
//! other coordinates: the first rounds run over `2^k` terms for each point, and no table of the
//! columns' size is made.
//!
//! p3's record of claims, which its verifier keeps, walks the transcript: what it absorbs and the
//! order in which claims are combined stand in one place.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;
use p3_multilinear_util::point::Point;
use p3_sumcheck::OpeningEvals;
use p3_sumcheck::constraints::Statements;
use p3_sumcheck::layout::{Layout as _, Verifier};
use p3_whir::VerifierError;

use super::error::{AdviceError, length};
use super::rounds::play;
use super::schedule::Schedule;
use super::scheme::Layout;
use super::stack::Place;
use crate::field::{F, K};
use crate::multilinear::{ColumnPoint, eq_index, eq_packs, eq_table, inner_product};
use crate::packed::{LANES, Packed, add_scaled};
use crate::sumcheck::Pair;
use crate::transcript::Challenger;

/// All claims on the columns.
pub(super) struct Claims<'a> {
    schedule: &'a Schedule,
    columns: &'a [&'a [F]],
    record: Verifier<F, K>,
    samples: Vec<Sample>,
    batches: Vec<Batch>,
}

/// The stacked vector at a point outside the domain.
struct Sample {
    point: Vec<K>,
    /// `E`.
    parts: Vec<K>,
}

/// Columns of one class at one point.
struct Batch {
    class: usize,
    /// Their indices in the class.
    columns: Vec<usize>,
    point: Vec<K>,
    /// `E` of each column.
    parts: Vec<Vec<K>>,
}

/// What the first fold leaves.
pub(super) struct FirstFold {
    pub(super) rounds: Vec<[K; 2]>,
    /// The folded vector and the weights that its claims combine to.
    pub(super) pair: Pair,
}

impl<'a> Claims<'a> {
    pub(super) fn new(schedule: &'a Schedule, columns: &'a [&'a [F]]) -> Self {
        let record = Verifier::new(&schedule.protocol().table_shapes(), Layout::strategy());
        Self { schedule, columns, record, samples: Vec::new(), batches: Vec::new() }
    }

    /// Adds a claim at a point outside the domain, and returns its value.
    pub(super) fn sample(&mut self, challenger: &mut Challenger) -> Result<K, AdviceError> {
        let point = self.next_point(challenger)?;
        let stack = self.schedule.stack();
        let (head, rest) = point.split_at(stack.folds().min(point.len()));
        let part = |place: &Place| {
            let (own, selector) = rest.split_at((place.arity - stack.folds()).min(rest.len()));
            let weight = eq_index(selector, place.selector as u64);
            let parts = ColumnPoint::new(own).evaluate_parts(self.column(place), stack.folds());
            parts.into_iter().map(|part| weight * part).collect::<Vec<K>>()
        };
        let parts = stack.places().par_iter().map(part);
        let parts = parts.reduce(|| vec![K::ZERO; 1 << stack.folds()], sum);
        let value = inner_product(&eq_table(head), &parts)?;
        self.record.add_virtual_eval(value, challenger);
        self.samples.push(Sample { point, parts });
        Ok(value)
    }

    /// Adds the claims of all batches, at points in p3's order of batches.
    pub(super) fn batches<'p>(
        &mut self,
        points: impl Iterator<Item = &'p Vec<K>>,
        challenger: &mut Challenger,
    ) -> Result<(), AdviceError> {
        let (protocol, folds) = (self.schedule.protocol(), self.schedule.stack().folds());
        let openings: Vec<_> = protocol.iter_openings().zip(points).collect();
        let batch = |&((class, request), point): &((usize, &OpeningEvals<usize>), &Vec<K>)| {
            let columns = request.current().to_vec();
            let own = ColumnPoint::new(point.get(folds..).unwrap_or_default());
            let parts = columns
                .par_iter()
                .map(|&column| own.evaluate_parts(self.class_column(class, column), folds));
            Batch { class, point: point.clone(), parts: parts.collect(), columns }
        };
        self.batches = openings.par_iter().map(batch).collect();
        for (((class, request), _), batch) in openings.iter().zip(&self.batches) {
            let (head, _) = batch.point.split_at(folds.min(batch.point.len()));
            let head = eq_table(head);
            let values = batch.parts.iter().map(|parts| inner_product(&head, parts));
            let values = OpeningEvals::new(values.collect::<Result<_, _>>()?, Vec::new());
            let point = Point::new(batch.point.clone());
            let added = self.record.add_claim_at(*class, request, &point, &values, challenger);
            added.map_err(VerifierError::from)?;
        }
        Ok(())
    }

    /// Combines the claims and folds the first variables.
    pub(super) fn fold(self, pow_bits: usize, challenger: &mut Challenger) -> FirstFold {
        let folds = self.schedule.stack().folds();
        let alpha = self.record.batching_challenge(challenger);
        let mut powers = alpha.powers();
        let of_batches: Vec<Vec<K>> = self
            .batches
            .iter()
            .map(|batch| powers.by_ref().take(batch.columns.len()).collect())
            .collect();
        let of_samples: Vec<K> = powers.take(self.samples.len()).collect();
        let mut pair = self.combined(&of_batches, &of_samples);
        let (rounds, point) = play(&mut pair, folds, pow_bits, challenger);
        // What is left of the first vector is `eq` of each claim's point with that of the rounds.
        let ends = pair.to_first();
        let (of_batch, of_sample) = ends.split_at(self.batches.len().min(ends.len()));
        let columns: Vec<&[F]> = self.columns.to_vec();
        let values = self.schedule.stack().fold(&columns, &eq_table(&point));
        let mut pair = Pair::new(values, self.weights(&of_batches, of_batch));
        for ((sample, &power), &end) in self.samples.iter().zip(&of_samples).zip(of_sample) {
            let rest = sample.point.get(folds..).unwrap_or_default();
            pair.add_to_second(&eq_packs(rest), power * end);
        }
        FirstFold { rounds, pair }
    }

    /// Returns the terms of the first rounds: `eq` of the first coordinates, and `E`. The last
    /// variables number the points.
    fn combined(&self, of_batches: &[Vec<K>], of_samples: &[K]) -> Pair {
        let folds = self.schedule.stack().folds();
        let batches = self.batches.iter().zip(of_batches).map(|(batch, powers)| {
            let mut combined = vec![K::ZERO; 1 << folds];
            for (parts, &power) in batch.parts.iter().zip(powers) {
                combined.iter_mut().zip(parts).for_each(|(sum, &part)| *sum += power * part);
            }
            (batch.point.as_slice(), combined)
        });
        let samples = self.samples.iter().zip(of_samples).map(|(sample, &power)| {
            let combined = sample.parts.iter().map(|&part| power * part).collect();
            (sample.point.as_slice(), combined)
        });
        let points = (self.batches.len() + self.samples.len()).next_power_of_two();
        let mut x = vec![K::ZERO; points << folds];
        let mut a = x.clone();
        for (index, (point, combined)) in batches.chain(samples).enumerate() {
            let eq = eq_table(point.get(..folds).unwrap_or_default());
            x.iter_mut().skip(index).step_by(points).zip(eq).for_each(|(x, eq)| *x = eq);
            a.iter_mut().skip(index).step_by(points).zip(combined).for_each(|(a, e)| *a = e);
        }
        Pair::new(x, a)
    }

    /// Returns the weights of the folded vector that the claims on columns combine to.
    fn weights(&self, powers: &[Vec<K>], ends: &[K]) -> Vec<K> {
        let folds = self.schedule.stack().folds();
        let tables = self
            .batches
            .par_iter()
            .map(|batch| eq_packs(batch.point.get(folds..).unwrap_or_default()));
        let tables: Vec<Vec<Packed>> = tables.collect();
        let claims: Vec<_> = self.batches.iter().zip(powers).zip(ends).zip(&tables).collect();
        let part = |place: &Place| {
            let rows = 1_usize << (place.arity - folds);
            let mut sum = vec![Packed::default(); rows.div_ceil(LANES)];
            let (class, index) = place.in_class;
            for &(((batch, powers), &end), table) in &claims {
                let own = batch.columns.iter().zip(powers).find(|&(&column, _)| column == index);
                if let Some((_, &power)) = own.filter(|_| batch.class == class) {
                    add_scaled(&mut sum, table, power * end);
                }
            }
            let mut part: Vec<K> = sum.iter().flat_map(Packed::unpack).collect();
            part.truncate(rows);
            part
        };
        let parts: Vec<Vec<K>> = self.schedule.stack().places().par_iter().map(part).collect();
        self.schedule.stack().interleave(&parts)
    }

    /// Returns the point outside the domain that comes next: it is drawn before its value is known,
    /// from a copy of the sponge.
    fn next_point(&self, challenger: &Challenger) -> Result<Vec<K>, AdviceError> {
        let mut ahead = self.record.clone();
        ahead.add_virtual_eval(K::ZERO, &mut challenger.clone());
        let constraint = ahead.constraint(K::ZERO);
        let drawn = constraint.statements().last().and_then(|statement| match statement {
            Statements::Eq(claims) => claims.iter().last().map(|(point, _)| point.as_slice()),
            _ => None,
        });
        let point = drawn.unwrap_or_default();
        let expected = self.schedule.stack().log_cells();
        length("coordinates of the point outside", self.samples.len(), expected, point.len())?;
        Ok(point.to_vec())
    }

    fn column(&self, place: &Place) -> &'a [F] {
        self.columns.get(place.column).copied().unwrap_or_default()
    }

    fn class_column(&self, class: usize, index: usize) -> &'a [F] {
        let class = self.schedule.classes().get(class);
        let column = class.and_then(|class| class.columns.get(index));
        column.and_then(|&column| self.columns.get(column)).copied().unwrap_or_default()
    }
}

fn sum(mut a: Vec<K>, b: Vec<K>) -> Vec<K> {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    a
}
