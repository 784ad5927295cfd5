//! Which leaf of the tree belongs to what (section 5, "Leaves").

use thiserror::Error;

use super::table::TableError;
use crate::program::{MAX_TABLE_ROWS, Table};

/// Most leaves of the tree, as a power of two (section 2.2, N4).
pub(super) const MAX_LOG_LEAVES: usize = 28;

/// One lookup: a column of `2^arity` tuples that must all be rows of one table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of a lookup")]
pub struct Lookup {
    /// Index of the table; its tag is one more.
    pub table: usize,
    /// Number of variables of the column.
    pub arity: usize,
}

/// What the leaves of a slot are made from.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the two kinds of section 5")]
pub enum Source {
    /// The tuples of the lookup with this index.
    Lookup(usize),
    /// The rows of the table with this index.
    Table(usize),
}

/// `2^arity` leaves from `offset` on, which is a multiple of their number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Slot {
    /// What the leaves are made from.
    pub source: Source,
    /// Index of the table.
    pub table: usize,
    /// Number of variables.
    pub arity: usize,
    /// The first leaf.
    pub offset: usize,
}

impl Slot {
    /// Returns the tag of the slot's tuples: the index of the table plus 1.
    #[must_use]
    pub const fn tag(&self) -> usize {
        self.table + 1
    }

    /// Returns the number of leaves.
    #[must_use]
    pub const fn leaves(&self) -> usize {
        1 << self.arity
    }
}

/// The tables and lookups of a program and the slots that they take in the tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Layout {
    tables: Vec<Table>,
    lookups: Vec<Lookup>,
    slots: Vec<Slot>,
    log_leaves: usize,
}

/// Tables and lookups that no layout exists for.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum LayoutError {
    /// There is no table, so there is nothing to prove.
    #[error("a layout of lookups needs a table, there are 0")]
    NoTable,
    /// A table's parameters are out of bounds.
    #[error("table {index}: {source}")]
    Table {
        /// Index of the table.
        index: usize,
        /// What is wrong.
        source: TableError,
    },
    /// The tables have too many rows together.
    #[error("tables of {got} rows, padded: at most {MAX_TABLE_ROWS} are possible")]
    Rows {
        /// The padded rows.
        got: u64,
    },
    /// A lookup names a table that does not exist.
    #[error("lookup {lookup} names table {table} of {tables}")]
    UnknownTable {
        /// Index of the lookup.
        lookup: usize,
        /// The table named.
        table: usize,
        /// How many there are.
        tables: usize,
    },
    /// The tree has too many leaves.
    #[error("lookup tree of {got} leaves: at most 2^{MAX_LOG_LEAVES} are possible")]
    Leaves {
        /// The leaves of all slots, or a lower bound if the sum does not fit.
        got: u64,
    },
}

impl Layout {
    /// Arranges slots by (size descending, tables after witnesses, order given), contiguously.
    ///
    /// # Errors
    ///
    /// Returns [`LayoutError`] if a table or a bound of N4 (section 2.2) does not hold.
    pub fn new(tables: Vec<Table>, lookups: Vec<Lookup>) -> Result<Self, LayoutError> {
        check_tables(&tables)?;
        let mut slots = Vec::with_capacity(tables.len() + lookups.len());
        for (index, &Lookup { table, arity }) in lookups.iter().enumerate() {
            if table >= tables.len() {
                let tables = tables.len();
                return Err(LayoutError::UnknownTable { lookup: index, table, tables });
            }
            if arity > MAX_LOG_LEAVES {
                return Err(LayoutError::Leaves { got: 1 << (MAX_LOG_LEAVES + 1) });
            }
            slots.push(Slot { source: Source::Lookup(index), table, arity, offset: 0 });
        }
        for (table, rows) in tables.iter().enumerate() {
            let arity = rows.variables();
            slots.push(Slot { source: Source::Table(table), table, arity, offset: 0 });
        }
        // `Source` orders witnesses before tables, each in the order given.
        slots.sort_by_key(|slot| (std::cmp::Reverse(slot.arity), slot.source));
        let mut leaves = 0_usize;
        for slot in &mut slots {
            slot.offset = leaves;
            leaves = leaves.saturating_add(slot.leaves());
        }
        if leaves > 1 << MAX_LOG_LEAVES {
            return Err(LayoutError::Leaves { got: leaves as u64 });
        }
        let log_leaves = leaves.next_power_of_two().trailing_zeros() as usize;
        Ok(Self { tables, lookups, slots, log_leaves })
    }

    /// Returns the tables, in the order of their tags.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Returns the lookups, in the order of the descriptor.
    #[must_use]
    pub fn lookups(&self) -> &[Lookup] {
        &self.lookups
    }

    /// Returns the slots, from the first leaf on.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Returns `nL`, the number of levels of the tree; at least 6, as each table has 64 rows.
    #[must_use]
    pub const fn log_leaves(&self) -> usize {
        self.log_leaves
    }
}

fn check_tables(tables: &[Table]) -> Result<(), LayoutError> {
    if tables.is_empty() {
        return Err(LayoutError::NoTable);
    }
    let mut rows = 0_u64;
    for (index, table) in tables.iter().enumerate() {
        table.check().map_err(|source| LayoutError::Table { index, source })?;
        rows = rows.saturating_add(1 << table.variables());
    }
    if rows > MAX_TABLE_ROWS { Err(LayoutError::Rows { got: rows }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Table = Table::Range { bits: 4 };

    #[test]
    fn slots_are_sorted_contiguous_and_aligned() {
        let tables = vec![RANGE, Table::Range { bits: 8 }];
        let lookup = |table, arity| Lookup { table, arity };
        let lookups = vec![lookup(0, 6), lookup(1, 9), lookup(1, 8), lookup(0, 9), lookup(0, 3)];
        let layout = Layout::new(tables, lookups).unwrap();
        use Source::{Lookup as L, Table as T};
        let order: Vec<_> = layout.slots().iter().map(|slot| slot.source).collect();
        assert_eq!(order, [L(1), L(3), L(2), T(1), L(0), T(0), L(4)]);
        let mut next = 0;
        for slot in layout.slots() {
            assert_eq!((slot.offset, slot.offset % slot.leaves()), (next, 0));
            next += slot.leaves();
        }
        assert_eq!((next, layout.log_leaves()), (1672, 11));
    }

    #[test]
    fn bounds_are_checked() {
        assert_eq!(Layout::new(vec![], vec![]), Err(LayoutError::NoTable));
        let unknown = Layout::new(vec![RANGE], vec![Lookup { table: 1, arity: 6 }]);
        assert_eq!(unknown, Err(LayoutError::UnknownTable { lookup: 0, table: 1, tables: 1 }));
        for arity in [28, 29, 64, usize::MAX] {
            let large = Layout::new(vec![RANGE], vec![Lookup { table: 0, arity }]);
            assert!(matches!(large, Err(LayoutError::Leaves { .. })), "{arity}");
        }
        let bad = Layout::new(vec![RANGE, Table::Range { bits: 20 }], vec![]);
        let source = TableError::Range { got: 20 };
        assert_eq!(bad, Err(LayoutError::Table { index: 1, source }));
        let many = Layout::new(vec![Table::Range { bits: 16 }; 5], vec![]);
        assert_eq!(many, Err(LayoutError::Rows { got: 5 << 16 }));
    }
}
