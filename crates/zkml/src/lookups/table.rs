//! The columns of a program's tables, and their extensions (sections 5 and 11).

use p3_field::{PrimeCharacteristicRing, PrimeField32};
use thiserror::Error;

use crate::field::{F, K, MODULUS};
use crate::multilinear::{ArityError, evaluate, same_length};
use crate::program::{MAX_TABLE_ROWS, Table};

/// Widest RANGE table, in bits (section 11: `B <= 16`).
pub(super) const MAX_RANGE_BITS: u32 = 16;

/// Parameters that no table of the protocol has.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum TableError {
    /// A RANGE table of too many bits.
    #[error("RANGE of {got} bits, at most {MAX_RANGE_BITS} are possible")]
    Range {
        /// The bits given.
        got: u32,
    },
    /// More rows than all tables together may have.
    #[error("table of {got} rows, padded: at most {MAX_TABLE_ROWS} are possible")]
    Rows {
        /// The padded rows.
        got: u64,
    },
    /// A clamp whose interval does not hold 0.
    #[error("clamp to [{low}, {high}]: the interval must hold 0")]
    Clamp {
        /// Its lower end.
        low: i32,
        /// Its upper end.
        high: i32,
    },
    /// A function without exactly one value for each `q`.
    #[error("function table: expected {expected} values, got {got}")]
    Values {
        /// `2 bound + 1`.
        expected: u64,
        /// The values given.
        got: u64,
    },
    /// A value that is not the canonical integer of a field element.
    #[error("table value {got} is outside [-{}, {}]", MODULUS / 2, MODULUS / 2)]
    Value {
        /// The value.
        got: i32,
    },
}

impl Table {
    /// Checks the parameters (section 11).
    ///
    /// # Errors
    ///
    /// Returns [`TableError`] naming the parameter and its bound.
    pub fn check(&self) -> Result<(), TableError> {
        match *self {
            Self::Range { bits } if bits > MAX_RANGE_BITS => {
                return Err(TableError::Range { got: bits });
            }
            Self::Clamp { lo, hi, .. } if lo > 0 || hi < 0 => {
                return Err(TableError::Clamp { low: lo, high: hi });
            }
            Self::Function { bq, ref values } => {
                let (expected, got) = (2 * u64::from(bq) + 1, values.len() as u64);
                if expected != got {
                    return Err(TableError::Values { expected, got });
                }
            }
            _ => {}
        }
        let got = 1_u64.checked_shl(self.arity()).unwrap_or(u64::MAX);
        if got > MAX_TABLE_ROWS {
            return Err(TableError::Rows { got });
        }
        let outside = |value: &i32| value.unsigned_abs() > MODULUS / 2;
        let given: &[i32] = match self {
            Self::Clamp { lo, hi, .. } => &[*lo, *hi],
            Self::Function { values, .. } => values,
            Self::Range { .. } | Self::Max2 { .. } => &[],
        };
        given.iter().copied().find(outside).map_or(Ok(()), |got| Err(TableError::Value { got }))
    }

    /// The most values in a row of any table.
    pub(super) const MAX_WIDTH: usize = 2;

    /// Returns the number of values in a row, `w`.
    #[must_use]
    pub const fn width(&self) -> usize {
        match self {
            Self::Range { .. } => 1,
            Self::Max2 { .. } | Self::Clamp { .. } | Self::Function { .. } => 2,
        }
    }

    /// Returns [`arity`](Self::arity) as a number of coordinates.
    pub(super) fn variables(&self) -> usize {
        self.arity() as usize
    }

    /// Returns the columns, padded with row 0. Allocates `2^18` elements of each column
    /// at most, for a table that [`check`](Self::check) accepts.
    #[must_use]
    pub fn columns(&self) -> Vec<Vec<F>> {
        let mut columns: Vec<Vec<F>> = match self {
            Self::Range { bits } => vec![(0..1_u32 << bits).map(F::from_u32).collect()],
            Self::Max2 { kmax } => {
                let zeros = vec![F::ZERO; *kmax as usize];
                let counts = || (1..=*kmax).map(F::from_u32);
                let first = [F::ZERO].into_iter().chain(zeros.clone()).chain(counts()).collect();
                let second = [F::ZERO].into_iter().chain(counts()).chain(zeros).collect();
                vec![first, second]
            }
            Self::Clamp { bq, .. } | Self::Function { bq, .. } => {
                let value = |q| self.look_up(q).map_or(F::ZERO, |(_, value)| F::from_i32(value));
                vec![keys(*bq).map(F::from_i64).collect(), keys(*bq).map(value).collect()]
            }
        };
        for column in &mut columns {
            let pad = column.first().copied().unwrap_or(F::ZERO);
            column.resize(1 << self.variables(), pad);
        }
        columns
    }

    /// Returns the first row that equals `tuple`, if there is one.
    #[must_use]
    pub fn position(&self, tuple: &[F]) -> Option<usize> {
        match (self, tuple) {
            (Self::Range { .. }, &[value]) => {
                let value = u64::from(value.as_canonical_u32());
                (value < self.rows()).then_some(usize::try_from(value).ok()?)
            }
            (Self::Max2 { .. }, &[first, second]) => self.max2_row(signed(first), signed(second)),
            (Self::Clamp { .. } | Self::Function { .. }, &[q, y]) => {
                let (row, value) = self.look_up(signed(q))?;
                (F::from_i32(value) == y).then_some(row)
            }
            _ => None,
        }
    }

    /// Returns the extension of each column at `r`: a closed form for RANGE, a pass over the padded
    /// rows for the others (section 5).
    ///
    /// # Errors
    ///
    /// Returns [`ArityError`] unless `r` has [`arity`](Self::arity) coordinates.
    pub fn evaluate(&self, r: &[K]) -> Result<Vec<K>, ArityError> {
        same_length("coordinates of a table's point", self.variables(), r.len())?;
        match *self {
            Self::Range { bits } => Ok(vec![evaluate_range(bits as usize, r)]),
            _ => self.columns().iter().map(|column| evaluate(column, r)).collect(),
        }
    }
}

/// `prod_{k < n-j} (1 - r_k) * sum_{i<j} 2^i r_{n-1-i}`. The product is what makes the pads row 0.
fn evaluate_range(bits: usize, r: &[K]) -> K {
    let (pads, digits) = r.split_at(r.len().saturating_sub(bits));
    let pad_factor: K = pads.iter().map(|&x| K::ONE - x).product();
    pad_factor * digits.iter().fold(K::ZERO, |value, &x| value.double() + x)
}

fn keys(bound: u32) -> impl Iterator<Item = i64> {
    -i64::from(bound)..=i64::from(bound)
}

/// The integer in `[-(p-1)/2, (p-1)/2]` that embeds as `value` (section 1).
fn signed(value: F) -> i64 {
    let value = value.as_canonical_u32();
    if value > MODULUS / 2 { i64::from(value) - i64::from(MODULUS) } else { i64::from(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Transcript;

    fn examples() -> Vec<Table> {
        let values = vec![3, -1, 0, 7, -20];
        vec![
            Table::Range { bits: 3 },
            Table::Range { bits: 8 },
            Table::Max2 { kmax: 5 },
            Table::Max2 { kmax: 254 },
            Table::Clamp { bq: 20, lo: -7, hi: 9 },
            Table::Clamp { bq: 100, lo: 0, hi: 127 },
            Table::Function { bq: 2, values },
        ]
    }

    /// Pitfall 3: the closed form is the extension of the padded rows, for every `j`.
    #[test]
    fn the_closed_form_of_range_is_its_padded_rows() {
        let mut rng = Transcript::new();
        for bits in 0..=16 {
            let table = Table::Range { bits };
            let r = rng.sample_point(table.variables());
            let columns = table.columns();
            assert_eq!(columns[0].len(), 1 << bits.max(6));
            let expected = evaluate(&columns[0], &r).unwrap();
            assert_eq!(table.evaluate(&r), Ok(vec![expected]), "RANGE_{bits}");
            // Without the pad factor it is RANGE_6 for every smaller j.
            let all = r.iter().fold(K::ZERO, |value, &x| value.double() + x);
            assert_eq!(all == expected, bits >= 6, "RANGE_{bits}");
        }
    }

    #[test]
    fn a_row_is_found_at_its_first_position_and_nothing_else_is() {
        for table in examples() {
            let columns = table.columns();
            assert_eq!((columns.len(), columns[0].len()), (table.width(), 1 << table.arity()));
            assert!(table.width() <= Table::MAX_WIDTH);
            let row = |i: usize| columns.iter().map(|column| column[i]).collect::<Vec<_>>();
            for i in 0..1 << table.arity() {
                let first = (0..=i).find(|&j| row(j) == row(i));
                assert_eq!(table.position(&row(i)), first, "{table:?} row {i}");
            }
            let mut wrong = row(1);
            wrong[0] += F::from_u32(1 << 20);
            assert_eq!(table.position(&wrong), None);
            assert_eq!(table.position(&[]), None);
        }
        let max2 = Table::Max2 { kmax: 5 };
        for (first, second) in [(1, 1), (0, 6), (6, 0), (-1, 0), (0, -1)] {
            assert_eq!(max2.position(&[F::from_i32(first), F::from_i32(second)]), None);
        }
        let clamp = Table::Clamp { bq: 20, lo: -7, hi: 9 };
        for (q, y, row) in [(-20, -7, Some(0)), (5, 5, Some(25)), (5, 6, None), (21, 9, None)] {
            assert_eq!(clamp.position(&[F::from_i32(q), F::from_i32(y)]), row);
        }
    }

    #[test]
    fn parameters_out_of_bounds_are_refused() {
        assert!(examples().iter().all(|table| table.check().is_ok()));
        assert_eq!(Table::Range { bits: 17 }.check(), Err(TableError::Range { got: 17 }));
        let clamp = Table::Clamp { bq: 5, lo: 1, hi: 4 };
        assert_eq!(clamp.check(), Err(TableError::Clamp { low: 1, high: 4 }));
        let short = Table::Function { bq: 2, values: vec![0; 4] };
        assert_eq!(short.check(), Err(TableError::Values { expected: 5, got: 4 }));
        let large = Table::Max2 { kmax: 1 << 17 };
        assert_eq!(large.check(), Err(TableError::Rows { got: 1 << 19 }));
        let wide = Table::Function { bq: 0, values: vec![i32::MAX] };
        assert_eq!(wide.check(), Err(TableError::Value { got: i32::MAX }));
    }
}
