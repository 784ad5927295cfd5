//! The committed columns of a run (section 5, "committed advice, exactly"), padded (section 1).

use super::{Execution, limbs};
use crate::program::{CheckedProgram, Site, Table, TensorShape, half, limb_widths};

/// The columns of one site, each of `2^n_T` cells in the padded order `[y][x][c]`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SiteColumns {
    /// `y`. An output's is committed only in a batch.
    pub y: Vec<i32>,
    /// Limbs of `rem`, the low one first: none, one or two.
    pub rem: Vec<Vec<u32>>,
}

/// Every committed column of a run, for a batch of one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Witness {
    /// The input, padded: public, and committed only in a batch.
    pub input: Vec<i32>,
    /// Site by site.
    pub sites: Vec<SiteColumns>,
    /// For each table, how many lookups each row serves; padded rows have none, and repeated rows
    /// leave all to the first.
    pub multiplicities: Vec<Vec<u32>>,
}

impl Execution {
    /// Returns the columns of the run of `program`, which must be the one that ran.
    #[must_use]
    pub fn witness(&self, program: &CheckedProgram) -> Witness {
        let tables = &program.program().tables;
        let empty = |table: &Table| vec![0; 1 << table.arity()];
        let mut multiplicities: Vec<Vec<u32>> = tables.iter().map(empty).collect();
        let sites = program.program().sites.iter().enumerate().map(|(index, site)| {
            let columns = self.columns(program, index, site);
            self.count(program, index, site, &columns, &mut multiplicities);
            columns
        });
        let sites = sites.collect();
        let shape = program.program().tensors.first().map(|tensor| tensor.shape);
        let input = self.tensors.first().zip(shape);
        let input = input.map(|(values, shape)| padded(values, shape, 0)).unwrap_or_default();
        Witness { input, sites, multiplicities }
    }

    /// Pads: accumulators are 0, so `q = 0`, `y = Tab[0]` and `rem = half(s)`.
    fn columns(&self, program: &CheckedProgram, index: usize, site: &Site) -> SiteColumns {
        let program = program.program();
        let tensor = program.tensors.get(index + 1).zip(self.tensors.get(index + 1));
        let Some((tensor, values)) = tensor else {
            return SiteColumns { y: Vec::new(), rem: Vec::new() };
        };
        let Site::Requant { shift, table, .. } = site else {
            return SiteColumns { y: padded(values, tensor.shape, 0), rem: Vec::new() };
        };
        let table = program.tables.get(*table as usize);
        let pad = table.and_then(|table| table.look_up(0)).map_or(0, |(_, value)| value);
        let split = |remainder| limbs(remainder, *shift, program.limb_bits);
        let pad_rem = u32::try_from(half(*shift)).unwrap_or(0);
        let remainders = self.remainders.get(index).map(Vec::as_slice).unwrap_or_default();
        let rem = split(pad_rem).enumerate().map(|(which, pad)| {
            let limb = |&remainder| split(remainder).nth(which).unwrap_or(0);
            padded(&remainders.iter().map(limb).collect::<Vec<u32>>(), tensor.shape, pad)
        });
        SiteColumns { y: padded(values, tensor.shape, pad), rem: rem.collect() }
    }

    fn count(
        &self,
        program: &CheckedProgram,
        index: usize,
        site: &Site,
        columns: &SiteColumns,
        multiplicities: &mut [Vec<u32>],
    ) {
        let mut one_more = |table: usize, row: usize, times: usize| {
            let count = multiplicities.get_mut(table).and_then(|rows| rows.get_mut(row));
            if let Some(count) = count {
                // Lookups are at most 2^28 (N4).
                *count += u32::try_from(times).unwrap_or(0);
            }
        };
        match site {
            Site::Requant { shift, table, .. } => {
                for q in self.padded_quotients(index, program) {
                    let named = program.program().tables.get(*table as usize);
                    if let Some((row, _)) = named.and_then(|table| table.look_up(q)) {
                        one_more(*table as usize, row, 1);
                    }
                }
                let widths = limb_widths(*shift, program.program().limb_bits);
                for (limb, width) in columns.rem.iter().zip(widths) {
                    let Some(table) = program.range_table(width) else { continue };
                    limb.iter().for_each(|&value| one_more(table, value as usize, 1));
                }
            }
            Site::Max2 { .. } => {
                let Some(index_of) = program.max2_table() else { return };
                let Some(table) = program.program().tables.get(index_of) else { return };
                let Some([a, b]) = self.operands.get(index) else { return };
                for (a, b) in a.iter().zip(b) {
                    let y = i64::from(*a.max(b));
                    let row = table.max2_row(y - i64::from(*a), y - i64::from(*b));
                    row.into_iter().for_each(|row| one_more(index_of, row, 1));
                }
                one_more(index_of, 0, columns.y.len().saturating_sub(a.len()));
            }
            Site::Copy { .. } | Site::Output { .. } => {}
        }
    }

    /// The `q` of every cell, 0 on pads.
    fn padded_quotients<'a>(
        &'a self,
        index: usize,
        program: &'a CheckedProgram,
    ) -> impl Iterator<Item = i64> + 'a {
        let real = self.quotients.get(index).map(Vec::as_slice).unwrap_or_default();
        let tensor = program.program().tensors.get(index + 1);
        let all = tensor.map_or(0, |tensor| 1_usize << tensor.shape.arity(0));
        let pads = all.saturating_sub(real.len());
        real.iter().map(|&q| i64::from(q)).chain(std::iter::repeat_n(0, pads))
    }
}

/// Puts real cells in the order `[y][x][c]` where they stand in a padded column.
fn padded<T: Copy>(values: &[T], shape: TensorShape, pad: T) -> Vec<T> {
    let [log_y, log_x, log_c] = shape.arities(0);
    let mut column = vec![pad; 1 << (log_y + log_x + log_c)];
    let (width, channels) = (shape.x as usize, shape.c as usize);
    let rows = column.chunks_exact_mut(1 << (log_x + log_c));
    for (to, from) in rows.zip(values.chunks_exact(width * channels)) {
        let pixels = to.chunks_exact_mut(1 << log_c);
        for (to, from) in pixels.zip(from.chunks_exact(channels)) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
    }
    column
}
