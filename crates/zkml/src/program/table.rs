//! Lookup tables (section 5). Table `k` of a program has the tag `k + 1`.

use super::tensor::lg;

/// Fewest variables of a table's slot.
const MIN_LOG_ROWS: u32 = 6;

/// A table. Rows have no keys of their own: the key is the position, so none repeats or is missing.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the tables of section 5")]
pub enum Table {
    /// RANGE_j: `0..2^j`.
    Range {
        /// `j`, 1 to `B`.
        bits: u32,
    },
    /// MAX2: rows `(0, k)` for `k` in `0..=kmax`, then `(k, 0)` for `k` in `1..=kmax`.
    Max2 {
        /// Largest difference of two operands.
        kmax: u32,
    },
    /// `(q, clamp(q, lo, hi))` for `q` in `-Bq..=Bq`, ascending.
    Clamp {
        /// `Bq`.
        bq: u32,
        /// At most 0.
        lo: i32,
        /// At least 0.
        hi: i32,
    },
    /// `(q, values[q + Bq])` for `q` in `-Bq..=Bq`, ascending: `2 Bq + 1` values.
    Function {
        /// `Bq`.
        bq: u32,
        /// The values, that of `-Bq` first.
        values: Vec<i32>,
    },
}

impl Table {
    /// Returns the number of rows before padding.
    #[must_use]
    pub fn rows(&self) -> u64 {
        match self {
            Self::Range { bits } => 1_u64.checked_shl(*bits).unwrap_or(u64::MAX),
            Self::Max2 { kmax } => 2 * u64::from(*kmax) + 1,
            Self::Clamp { bq, .. } | Self::Function { bq, .. } => 2 * u64::from(*bq) + 1,
        }
    }

    /// Returns `lg` of the padded number of rows, at least 6.
    #[must_use]
    pub fn arity(&self) -> u32 {
        let rows = u32::try_from(self.rows()).unwrap_or(u32::MAX);
        lg(rows).max(MIN_LOG_ROWS)
    }

    /// Returns `Bq` of a clamp or a function.
    #[must_use]
    pub const fn bq(&self) -> Option<u32> {
        match self {
            Self::Clamp { bq, .. } | Self::Function { bq, .. } => Some(*bq),
            Self::Range { .. } | Self::Max2 { .. } => None,
        }
    }

    /// Returns the row of `q` and its value, of a clamp or a function with `|q| <= Bq`.
    #[must_use]
    pub fn look_up(&self, q: i64) -> Option<(usize, i32)> {
        let bq = i64::from(self.bq()?);
        let row = usize::try_from(q.checked_add(bq)?).ok()?;
        match self {
            Self::Clamp { lo, hi, .. } if q <= bq => {
                let value = q.max(i64::from(*lo)).min(i64::from(*hi));
                Some((row, i32::try_from(value).ok()?))
            }
            Self::Function { values, .. } => Some((row, *values.get(row)?)),
            _ => None,
        }
    }

    /// Returns the first row `(y - a, y - b)` of MAX2.
    #[must_use]
    pub fn max2_row(&self, y_minus_a: i64, y_minus_b: i64) -> Option<usize> {
        let Self::Max2 { kmax } = self else { return None };
        let kmax = i64::from(*kmax);
        let row = match (y_minus_a, y_minus_b) {
            (0, k) if (0..=kmax).contains(&k) => k,
            (k, 0) if (1..=kmax).contains(&k) => kmax + k,
            _ => return None,
        };
        usize::try_from(row).ok()
    }

    /// Returns the smallest and largest value of a clamp or a function.
    #[must_use]
    pub fn value_range(&self) -> Option<(i32, i32)> {
        match self {
            Self::Clamp { bq, .. } => {
                let bq = i64::from(*bq);
                Some((self.look_up(-bq)?.1, self.look_up(bq)?.1))
            }
            Self::Function { values, .. } => {
                Some((values.iter().min().copied()?, values.iter().max().copied()?))
            }
            Self::Range { .. } | Self::Max2 { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_position() {
        let relu = Table::Clamp { bq: 3, lo: 0, hi: 2 };
        let rows: Vec<_> = (-4..=4).map(|q| relu.look_up(q)).collect();
        let values = [(0, 0), (1, 0), (2, 0), (3, 0), (4, 1), (5, 2), (6, 2)].map(Some);
        assert_eq!(rows[1..8], values);
        assert_eq!((rows[0], rows[8]), (None, None));
        assert_eq!(relu.value_range(), Some((0, 2)));
        assert_eq!((relu.rows(), relu.arity()), (7, 6));

        let max2 = Table::Max2 { kmax: 5 };
        assert_eq!(
            [(0, 0), (0, 5), (5, 0)].map(|(a, b)| max2.max2_row(a, b)),
            [0, 5, 10].map(Some)
        );
        for (a, b) in [(0, 6), (6, 0), (1, 1), (-1, 0), (0, -1)] {
            assert_eq!(max2.max2_row(a, b), None);
        }
        assert_eq!(max2.rows(), 11);
    }
}
