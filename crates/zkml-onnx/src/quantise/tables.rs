//! Tables: clamps shared by sites, RANGE tables for limbs, MAX2 (section 5).

use std::collections::BTreeSet;

use assay_zkml::field::MODULUS;
use assay_zkml::program::{Interval, Table, limb_widths};

use crate::function::Function;

/// Limbs of a program with fewer cells than this are bytes (section 5).
const FEW_CELLS: usize = 1 << 12;
const BYTE: u32 = 8;

/// A requantisation that needs a table: of a function's values, or a clamp.
#[derive(Clone, Debug)]
pub(super) struct LookedUp {
    pub(super) shift: u32,
    pub(super) bq: u32,
    pub(super) interval: Interval,
    pub(super) values: Option<Vec<i32>>,
}

/// The tables of a program.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) limb_bits: u32,
    pub(super) tables: Vec<Table>,
    /// For each site that was given, its table.
    pub(super) of_sites: Vec<u32>,
}

/// Returns the tables for `sites`; `kmax` is the largest difference of operands of a `Max2`.
pub(super) fn tables(sites: &[LookedUp], kmax: Option<u32>, cells: usize) -> Tables {
    let mut tables = Vec::new();
    let mut of_sites = vec![0; sites.len()];
    // The largest Bq first: later sites join it where N3 allows that.
    let mut order: Vec<usize> = (0..sites.len()).collect();
    order.sort_by_key(|&index| sites.get(index).map(|site| std::cmp::Reverse(site.bq)));
    for index in order {
        let Some(site) = sites.get(index) else { continue };
        let Interval { lo, hi } = site.interval;
        let joins = |table: &Table| match (table, &site.values) {
            (Table::Clamp { bq, lo: low, hi: high }, None) => {
                (*low, *high) == (lo, hi)
                    && (2 * u64::from(*bq) + 1) << site.shift <= u64::from(MODULUS)
            }
            (Table::Function { values, .. }, Some(wanted)) => values == wanted,
            _ => false,
        };
        let table = tables.iter().position(joins).unwrap_or_else(|| {
            let bq = site.bq;
            tables.push(match &site.values {
                Some(values) => Table::Function { bq, values: values.clone() },
                None => Table::Clamp { bq, lo, hi },
            });
            tables.len() - 1
        });
        if let (Some(of_site), Ok(table)) = (of_sites.get_mut(index), u32::try_from(table)) {
            *of_site = table;
        }
    }
    let shifts: BTreeSet<u32> = sites.iter().map(|site| site.shift).collect();
    let largest = shifts.last().copied().unwrap_or(0);
    let limb_bits = if cells < FEW_CELLS { BYTE } else { largest.max(1) };
    let widths: BTreeSet<u32> =
        shifts.iter().flat_map(|&shift| limb_widths(shift, limb_bits)).collect();
    tables.extend(widths.into_iter().map(|bits| Table::Range { bits }));
    tables.extend(kmax.map(|kmax| Table::Max2 { kmax }));
    Tables { limb_bits, tables, of_sites }
}

/// Returns the values of a function's table: of `-bq..=bq` steps of its argument, in steps of its
/// value, rounded half away from 0.
#[expect(clippy::cast_possible_truncation, reason = "between two i32")]
pub(super) fn values(
    function: Function,
    bq: u32,
    [argument, value]: [f64; 2],
    Interval { lo, hi }: Interval,
) -> Vec<i32> {
    let bq = i64::from(bq);
    let of = |q: i64| {
        // Exact: 2^18 at most.
        let real = function.apply(q as f64 * argument) / value;
        real.round().clamp(f64::from(lo), f64::from(hi)) as i32
    };
    (-bq..=bq).map(of).collect()
}
