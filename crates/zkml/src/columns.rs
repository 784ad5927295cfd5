//! What a program commits to and looks up, for batches of `2^lb` (sections 3, 4.1, 5 and 7).
//!
//! Both sides use this: it says which value of the proof belongs to what, and computes no message.

use p3_field::PrimeCharacteristicRing;

use crate::field::{F, K};
use crate::lookups::{Layout, LayoutError, LeafValues, Lookup};
use crate::program::{CheckedProgram, Program, Site, Sizes, half, limb_widths};

/// What a committed column holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the columns of section 5")]
pub enum Source {
    /// The cells of a tensor.
    Tensor(usize),
    /// One limb of a site's remainders, 0 the low one.
    Limb {
        /// Index of the site.
        site: usize,
        /// Which limb.
        limb: usize,
    },
    /// How often each row of a table is looked up.
    Multiplicity(usize),
}

/// A committed column of `2^arity` cells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Column {
    /// What it holds.
    pub source: Source,
    /// Number of variables.
    pub arity: usize,
}

/// The columns that a program commits to, and its lookups, each in its order.
#[derive(Clone, Debug)]
pub struct Columns {
    program: Program,
    columns: Vec<Column>,
    layout: Option<Layout>,
    /// The column of each tensor that has one.
    tensors: Vec<Option<usize>>,
}

/// The values at `rho|n` that step 4 sends.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the message of step 4")]
pub struct ClaimedValues {
    /// Of each committed column.
    pub columns: Vec<K>,
    /// Of what is looked up and not committed: `q` of each `Requant`, `y - a` and `y - b` of each
    /// `Max2`, in the order of sites.
    pub virtuals: Vec<K>,
    /// In a batch, `o_i` of each instance (section 10).
    pub outputs: Vec<K>,
}

impl Columns {
    /// Lists columns and lookups of `program` for batches of `2^lb`, `sizes` being those of `lb`.
    ///
    /// # Errors
    ///
    /// Returns [`LayoutError`] if the lookups have no layout, which a checked program's have.
    pub fn new(program: &CheckedProgram, sizes: &Sizes) -> Result<Self, LayoutError> {
        let lb = sizes.lb;
        let arity = |tensor: usize| {
            program.program().tensors.get(tensor).map_or(0, |tensor| tensor.shape.arity(lb))
                as usize
        };
        let last = program.program().sites.len();
        let mut columns = Vec::new();
        let mut lookups = Vec::new();
        for (index, site) in program.program().sites.iter().enumerate() {
            let arity = arity(index + 1);
            if index + 1 != last {
                columns.push(Column { source: Source::Tensor(index + 1), arity });
            }
            match site {
                Site::Requant { shift, table, .. } => {
                    lookups.push(Lookup { table: *table as usize, arity });
                    let widths = limb_widths(*shift, program.program().limb_bits);
                    for (limb, width) in widths.enumerate() {
                        columns.push(Column { source: Source::Limb { site: index, limb }, arity });
                        let table = program.range_table(width).unwrap_or(usize::MAX);
                        lookups.push(Lookup { table, arity });
                    }
                }
                Site::Max2 { .. } => {
                    lookups
                        .push(Lookup { table: program.max2_table().unwrap_or(usize::MAX), arity });
                }
                Site::Copy { .. } | Site::Output { .. } => {}
            }
        }
        let tables = program.program().tables.iter().enumerate();
        columns.extend(tables.map(|(index, table)| Column {
            source: Source::Multiplicity(index),
            arity: table.arity() as usize,
        }));
        if lb > 0 {
            let public = [0, last];
            columns.extend(
                public
                    .map(|tensor| Column { source: Source::Tensor(tensor), arity: arity(tensor) }),
            );
        }
        let tables = program.program().tables.clone();
        let layout = if tables.is_empty() { None } else { Some(Layout::new(tables, lookups)?) };
        let mut tensors = vec![None; last + 1];
        for (position, column) in columns.iter().enumerate() {
            if let Source::Tensor(tensor) = column.source
                && let Some(place) = tensors.get_mut(tensor)
            {
                *place = Some(position);
            }
        }
        Ok(Self { program: program.program().clone(), columns, layout, tensors })
    }

    /// Returns the committed columns, in the order of section 5.
    #[must_use]
    pub fn list(&self) -> &[Column] {
        &self.columns
    }

    /// Returns the layout of the lookups; `None` for a program without.
    #[must_use]
    pub const fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// Returns the position of a tensor's column, `None` for one that is public.
    #[must_use]
    pub fn of_tensor(&self, tensor: usize) -> Option<usize> {
        self.tensors.get(tensor).copied().flatten()
    }

    /// Returns the number of values that are looked up and not committed.
    #[must_use]
    pub fn virtuals(&self) -> usize {
        self.program.sites.iter().map(site_virtuals).sum()
    }

    /// Returns the values of step 4 that the lookups speak of. `values` has this program's lengths.
    #[must_use]
    pub fn leaf_values(&self, values: &ClaimedValues) -> LeafValues {
        let mut columns = self.columns.iter().zip(values.columns.iter().copied());
        let mut virtuals = values.virtuals.iter().copied();
        let mut next = || columns.next().map_or(K::ZERO, |(_, value)| value);
        let mut next_virtual = || virtuals.next().unwrap_or(K::ZERO);
        let mut lookups = Vec::new();
        for site in &self.program.sites {
            match site {
                Site::Requant { shift, .. } => {
                    lookups.push(vec![next_virtual(), next()]);
                    let limbs = limb_widths(*shift, self.program.limb_bits);
                    limbs.for_each(|_| lookups.push(vec![next()]));
                }
                Site::Max2 { .. } => {
                    let _maximum = next();
                    lookups.push(vec![next_virtual(), next_virtual()]);
                }
                Site::Copy { .. } => {
                    let _copy = next();
                }
                Site::Output { .. } => {}
            }
        }
        let multiplicities = self.program.tables.iter().map(|_| next()).collect();
        LeafValues { lookups, multiplicities }
    }

    /// Returns the value of every tensor at `rho|n`: that of its column, or the one given for the
    /// public input and output.
    #[must_use]
    pub fn tensor_values(&self, values: &ClaimedValues, public: [K; 2]) -> Vec<K> {
        let [input, output] = public;
        let value = |(tensor, column): (usize, &Option<usize>)| match column {
            Some(column) => values.columns.get(*column).copied().unwrap_or(K::ZERO),
            None if tensor == 0 => input,
            None => output,
        };
        self.tensors.iter().enumerate().map(value).collect()
    }

    /// Returns the value of each form at `rho_l` (section 4.1), in the order of 4.1. `tensors` is
    /// from [`tensor_values`](Self::tensor_values).
    #[must_use]
    pub fn form_values(&self, values: &ClaimedValues, tensors: &[K]) -> Vec<K> {
        let mut virtuals = values.virtuals.iter().copied();
        let mut next_virtual = || virtuals.next().unwrap_or(K::ZERO);
        let mut forms = Vec::new();
        for (index, site) in self.program.sites.iter().enumerate() {
            let y = tensors.get(index + 1).copied().unwrap_or(K::ZERO);
            match site {
                Site::Requant { shift, .. } => {
                    let quotient = next_virtual() * F::from_u64(1 << shift);
                    let rounding = F::from_i64(half(*shift));
                    forms.push(quotient + self.remainder(values, index) - rounding);
                }
                Site::Max2 { .. } => forms.extend([y - next_virtual(), y - next_virtual()]),
                Site::Copy { .. } | Site::Output { .. } => forms.push(y),
            }
        }
        forms
    }

    /// `sum_i 2^(B i) limb_i` of a site.
    fn remainder(&self, values: &ClaimedValues, index: usize) -> K {
        let first = self.of_tensor(index + 1).map_or(0, |column| column + 1);
        let columns = self.columns.iter().zip(&values.columns).skip(first);
        let limbs = columns.take_while(
            |(column, _)| matches!(column.source, Source::Limb { site, .. } if site == index),
        );
        let scale = F::from_u64(1 << self.program.limb_bits);
        let scales = std::iter::successors(Some(F::ONE), |last| Some(*last * scale));
        limbs.zip(scales).map(|((_, &value), scale)| value * scale).sum()
    }
}

/// Looked-up values of a site that are not committed.
const fn site_virtuals(site: &Site) -> usize {
    match site {
        Site::Requant { .. } => 1,
        Site::Max2 { .. } => 2,
        Site::Copy { .. } | Site::Output { .. } => 0,
    }
}
