//! The columns of some runs of a program (section 5), padded (section 1): what a proof is made from.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;
use thiserror::Error;

use crate::columns::{Columns, Source};
use crate::execute::{Execution, limbs};
use crate::field::F;
use crate::lookups::{CountError, multiplicities};
use crate::multilinear::{ArityError, same_length};
use crate::program::{CheckedProgram, Program, Site, TensorShape, half, limb_widths};

/// Every column that a proof for `2^lb` runs is made from, in the order `[y][x][c][b]`.
///
/// A committed tensor takes 4 bytes for each cell, so does each limb and each column that is looked
/// up without being committed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Witness {
    /// The input, then each site's tensor.
    pub tensors: Vec<Vec<F>>,
    /// For each site, the limbs of its remainders, the low one first.
    pub limbs: Vec<Vec<Vec<F>>>,
    /// For each site, what it looks up beside its columns: `q`, or `y - a` and `y - b`.
    pub virtuals: Vec<Vec<Vec<F>>>,
    /// For each table, how many lookups each row serves.
    pub multiplicities: Vec<Vec<F>>,
}

/// Runs from which no witness can be made.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum WitnessError {
    /// There are not `2^lb` runs, or they are of another program.
    #[error(transparent)]
    Runs(#[from] ArityError),
    /// A looked-up tuple is in no row of its table.
    #[error(transparent)]
    Count(#[from] CountError),
}

impl Witness {
    /// Returns the witness of `runs`, instance by instance; all of them ran `program`.
    ///
    /// # Errors
    ///
    /// Returns [`WitnessError`] unless there are `2^lb` runs of this program.
    pub fn new(
        program: &CheckedProgram,
        columns: &Columns,
        lb: u32,
        runs: &[Execution],
    ) -> Result<Self, WitnessError> {
        same_length("runs of a batch", 1 << lb, runs.len())?;
        let program = program.program();
        for run in runs {
            run.check_shapes(program)?;
        }
        let input = program.tensors.first().map(|tensor| {
            let cells: Vec<&[i32]> = runs.iter().map(|run| run.values(0)).collect();
            Padding::new(tensor.shape, lb).fill(&cells, 0)
        });
        let indices: Vec<usize> = (0..program.sites.len()).collect();
        let sites: Vec<SiteParts> =
            indices.into_par_iter().map(|index| site_parts(program, index, lb, runs)).collect();
        let mut witness = Self {
            tensors: input.into_iter().collect(),
            limbs: Vec::with_capacity(sites.len()),
            virtuals: Vec::with_capacity(sites.len()),
            multiplicities: Vec::new(),
        };
        for parts in sites {
            witness.tensors.push(parts.y);
            witness.limbs.push(parts.limbs);
            witness.virtuals.push(parts.virtuals);
        }
        if let Some(layout) = columns.layout() {
            witness.multiplicities = multiplicities(layout, &witness.tuples(program))?;
        }
        Ok(witness)
    }

    /// Returns the columns of each lookup.
    #[must_use]
    pub fn tuples(&self, program: &Program) -> Vec<Vec<&[F]>> {
        let mut tuples = Vec::new();
        let sites = program.sites.iter().zip(self.tensors.iter().skip(1));
        for ((site, y), (limbs, virtuals)) in sites.zip(self.limbs.iter().zip(&self.virtuals)) {
            let looked_up = virtuals.iter().map(Vec::as_slice);
            match site {
                Site::Requant { .. } => {
                    tuples.push(looked_up.chain([y.as_slice()]).collect());
                    tuples.extend(limbs.iter().map(|limb| vec![limb.as_slice()]));
                }
                Site::Max2 { .. } => tuples.push(looked_up.collect()),
                Site::Copy { .. } | Site::Output { .. } => {}
            }
        }
        tuples
    }

    /// Returns the committed columns, in the order of `columns`.
    #[must_use]
    pub fn committed(&self, columns: &Columns) -> Vec<&[F]> {
        let column = |source| match source {
            Source::Tensor(tensor) => self.tensors.get(tensor),
            Source::Limb { site, limb } => self.limbs.get(site).and_then(|limbs| limbs.get(limb)),
            Source::Multiplicity(table) => self.multiplicities.get(table),
        };
        let slice = |source| column(source).map(Vec::as_slice).unwrap_or_default();
        columns.list().iter().map(|listed| slice(listed.source)).collect()
    }
}

struct SiteParts {
    y: Vec<F>,
    limbs: Vec<Vec<F>>,
    virtuals: Vec<Vec<F>>,
}

/// Pads: accumulators are 0, so `q = 0`, `y = Tab[0]` and `rem = half(s)`.
fn site_parts(program: &Program, index: usize, lb: u32, runs: &[Execution]) -> SiteParts {
    let shape =
        program.tensors.get(index + 1).map_or(TensorShape::vector(1), |tensor| tensor.shape);
    let padding = Padding::new(shape, lb);
    let values: Vec<&[i32]> = runs.iter().map(|run| run.values(index + 1)).collect();
    match program.sites.get(index) {
        Some(Site::Requant { shift, table, .. }) => {
            let table = program.tables.get(*table as usize);
            let pad = table.and_then(|table| table.look_up(0)).map_or(0, |(_, value)| value);
            let y = padding.fill(&values, pad);
            let quotients: Vec<&[i32]> =
                runs.iter().map(|run| run.quotients(index).unwrap_or_default()).collect();
            let virtuals = vec![padding.fill(&quotients, 0)];
            let split = |remainder| limbs(remainder, *shift, program.limb_bits);
            let rest: Vec<&[u32]> = runs.iter().map(|run| run.remainders(index)).collect();
            let pad = u32::try_from(half(*shift)).unwrap_or(0);
            let count = limb_widths(*shift, program.limb_bits).count();
            let limb = |which: usize| {
                let of = |remainder: u32| F::from_u32(split(remainder).nth(which).unwrap_or(0));
                padding.place(&rest, of(pad), of)
            };
            SiteParts { y, limbs: (0..count).map(limb).collect(), virtuals }
        }
        Some(Site::Max2 { .. }) => {
            let y = padding.fill(&values, 0);
            let operand = |which: usize| {
                let cells: Vec<Vec<i32>> = runs
                    .iter()
                    .map(|run| {
                        let operand = run.operands(index).and_then(|pair| pair.get(which));
                        let pairs = run.values(index + 1).iter().zip(operand.into_iter().flatten());
                        pairs.map(|(y, operand)| y - operand).collect()
                    })
                    .collect();
                padding.fill(&cells.iter().map(Vec::as_slice).collect::<Vec<_>>(), 0)
            };
            let virtuals = vec![operand(0), operand(1)];
            SiteParts { y, limbs: Vec::new(), virtuals }
        }
        _ => SiteParts { y: padding.fill(&values, 0), limbs: Vec::new(), virtuals: Vec::new() },
    }
}

/// Where real cells stand in a padded column.
pub(crate) struct Padding {
    shape: TensorShape,
    log_pixel: u32,
    log_row: u32,
    lb: u32,
    arity: u32,
}

impl Padding {
    pub(crate) fn new(shape: TensorShape, lb: u32) -> Self {
        let [_, log_x, log_c] = shape.arities(lb);
        let log_pixel = log_c + lb;
        Self { shape, log_pixel, log_row: log_x + log_pixel, lb, arity: shape.arity(lb) }
    }

    /// Returns the column of the cells of each instance, in the order `[y][x][c]`, else `pad`.
    pub(crate) fn fill(&self, instances: &[&[i32]], pad: i32) -> Vec<F> {
        self.place(instances, F::from_i32(pad), F::from_i32)
    }

    fn place<T: Copy>(&self, instances: &[&[T]], pad: F, embed: impl Fn(T) -> F) -> Vec<F> {
        let mut column = vec![pad; 1 << self.arity];
        let channels = self.shape.c as usize;
        let width = self.shape.x as usize;
        for (b, cells) in instances.iter().enumerate() {
            let rows = column.chunks_exact_mut(1 << self.log_row);
            for (to, from) in rows.zip(cells.chunks_exact(width * channels)) {
                let pixels = to.chunks_exact_mut(1 << self.log_pixel);
                for (to, from) in pixels.zip(from.chunks_exact(channels)) {
                    let cells = to.iter_mut().skip(b).step_by(1 << self.lb);
                    cells.zip(from).for_each(|(to, from)| *to = embed(*from));
                }
            }
        }
        column
    }
}
