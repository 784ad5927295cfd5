//! How often each row of each table is used (section 5).

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;
use thiserror::Error;

use super::layout::{Layout, Lookup};
use crate::field::F;
use crate::multilinear::{ArityError, same_length};
use crate::program::Table;

/// A witness for which no counts exist.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum CountError {
    /// The witness does not have the layout's shape.
    #[error(transparent)]
    Arity(#[from] ArityError),
    /// A tuple that is not a row of its table.
    #[error("lookup {lookup}, cell {cell}: {tuple:?} is not a row of table {table}")]
    NotInTable {
        /// Index of the lookup.
        lookup: usize,
        /// Position in its column.
        cell: usize,
        /// Index of the table.
        table: usize,
        /// The tuple.
        tuple: Vec<F>,
    },
}

/// Counts the lookups of each row, for each table of the layout; of equal rows the first takes all.
///
/// `tuples[l]` are the columns of lookup `l`, each of `2^arity` elements.
///
/// # Errors
///
/// Returns [`CountError`] with the first tuple that is not in its table.
pub fn multiplicities(layout: &Layout, tuples: &[Vec<&[F]>]) -> Result<Vec<Vec<F>>, CountError> {
    check_tuples(layout, tuples)?;
    let count = |(index, table)| count_table(layout, tuples, index, table);
    layout.tables().par_iter().enumerate().map(count).collect()
}

/// Checks that `tuples` has one column of `2^arity` elements for each value of each lookup.
pub(super) fn check_tuples(layout: &Layout, tuples: &[Vec<&[F]>]) -> Result<(), ArityError> {
    same_length("lookups", layout.lookups().len(), tuples.len())?;
    for (lookup, columns) in layout.lookups().iter().zip(tuples) {
        let width = layout.tables().get(lookup.table).map_or(0, Table::width);
        same_length("columns of a lookup", width, columns.len())?;
        for column in columns {
            same_length("cells of a lookup", 1 << lookup.arity, column.len())?;
        }
    }
    Ok(())
}

fn count_table(
    layout: &Layout,
    tuples: &[Vec<&[F]>],
    index: usize,
    table: &Table,
) -> Result<Vec<F>, CountError> {
    let mut counts = vec![0_u32; 1 << table.variables()];
    for (lookup, (&Lookup { table: named, arity }, columns)) in
        layout.lookups().iter().zip(tuples).enumerate()
    {
        if named != index {
            continue;
        }
        for cell in 0..1 << arity {
            let mut tuple = [F::ZERO; Table::MAX_WIDTH];
            for (value, column) in tuple.iter_mut().zip(columns) {
                *value = column.get(cell).copied().unwrap_or(F::ZERO);
            }
            let tuple = tuple.get(..table.width()).unwrap_or_default();
            let count = table.position(tuple).and_then(|row| counts.get_mut(row));
            let Some(count) = count else {
                let tuple = tuple.to_vec();
                return Err(CountError::NotInTable { lookup, cell, table: index, tuple });
            };
            // At most 2^28 leaves: below the modulus.
            *count += 1;
        }
    }
    Ok(counts.into_iter().map(F::from_u32).collect())
}
