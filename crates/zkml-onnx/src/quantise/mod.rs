//! From real coefficients to integers (section 2.1) and from sites to a program.

mod place;
mod scales;
mod shifts;
mod sums;
mod tables;
mod wide;

use assay_zkml::program::{
    AdviceProfile, Conv, Form, Interval, Mode, Pick, Program, SegmentSize, Site, Tensor, Term,
};

use self::shifts::Fixed;
use self::sums::Tensors;
use self::tables::{LookedUp, values};
use crate::draft::{DraftSite, DraftTensor, Read, Step, Sum, SumTerm};
use crate::error::{CompileError, Refusal};
use crate::limits::all_cells;

pub(crate) use self::place::{Block, lay_out};
pub(crate) use self::scales::{Quantum, Resolution, scales};
pub(crate) use self::sums::{HIGH_BITS, split_bias};
pub(crate) use self::wide::{finest, refine};

/// Most rows of one clamp: what a site can reach, in steps of its output, needs a row each. N4 has
/// `2^18` for all tables, and the limbs take up to `2^16`.
const MAX_TABLE_ROWS: u64 = 1 << 17;

/// A program with its weights.
#[derive(Debug)]
pub(crate) struct Quantised {
    pub(crate) program: Program,
    pub(crate) weights: Vec<i16>,
    /// The real value of a raw output of 1.
    pub(crate) output_scale: f64,
}

/// A site whose weights have no place yet.
enum Drawn {
    Requant { form: Form, lookup: usize, shift: u32 },
    Other(Site),
}

struct Builder<'a> {
    tensors: Tensors<'a>,
    blocks: Vec<Block>,
    looked_up: Vec<LookedUp>,
    kmax: Option<u32>,
    output_scale: f64,
}

/// Chooses every number of the program whose tensors have the scales `quanta`.
pub(crate) fn quantise(
    drafts: &[DraftTensor],
    sites: Vec<DraftSite>,
    quanta: &[Quantum],
    mode: Mode,
) -> Result<Quantised, CompileError> {
    let tensors = Tensors { drafts, quanta };
    let fixed = shifts::plan(&sites, tensors)?;
    let (blocks, looked_up) = (Vec::new(), Vec::new());
    let mut builder = Builder { tensors, blocks, looked_up, kmax: None, output_scale: 1.0 };
    let mut drawn = Vec::with_capacity(sites.len());
    for ((index, site), fixed) in sites.into_iter().enumerate().zip(fixed) {
        let DraftSite { label, step } = site;
        let site = builder.site(index, step, fixed);
        drawn.push(site.map_err(|refusal| label.refuse(refusal))?);
    }
    let Builder { blocks, looked_up, kmax, output_scale, .. } = builder;
    let cells = all_cells(drafts.iter().skip(1).map(|tensor| tensor.shape));
    let tables = tables::tables(&looked_up, kmax, cells);
    let (layout, weights) = lay_out(&blocks)?;
    let place = |drawn: Drawn| match drawn {
        Drawn::Requant { form, lookup, shift } => {
            let table = tables.of_sites.get(lookup).copied().unwrap_or(0);
            Site::Requant { form, shift, table }
        }
        Drawn::Other(site) => site,
    };
    let sites = drawn.into_iter().map(place).collect();
    let tensor = |(draft, quantum): (&DraftTensor, &Quantum)| Tensor {
        shape: draft.shape,
        interval: quantum.interval,
    };
    let program = Program {
        advice: AdviceProfile::default(),
        limb_bits: tables.limb_bits,
        tensors: drafts.iter().zip(quanta).map(tensor).collect(),
        tables: tables.tables,
        segments: layout.segments,
        sites,
        mode,
        weights: mode.shape(layout.shape),
    };
    Ok(Quantised { program, weights, output_scale })
}

impl Builder<'_> {
    fn site(&mut self, index: usize, step: Step, fixed: Fixed) -> Result<Drawn, Refusal> {
        let interval = self.tensors.quanta.get(index + 1).map(|quantum| quantum.interval);
        let interval = interval.unwrap_or(Interval::RAW);
        match (step, fixed) {
            (Step::Requant { sum, function }, Fixed::Requant { shift, factor }) => {
                let (form, acc_max) = self.form(index, sum, factor)?;
                let bq = rows_for(acc_max, shift)?;
                let step = f64::from(1_u32 << shift) / factor;
                let scale = self.tensors.quanta.get(index + 1).map_or(1.0, |quantum| quantum.scale);
                let values = function.map(|function| values(function, bq, [step, scale], interval));
                self.looked_up.push(LookedUp { shift, bq, interval, values });
                Ok(Drawn::Requant { form, lookup: self.looked_up.len() - 1, shift })
            }
            (Step::Output { sum }, Fixed::Output { factor }) => {
                self.output_scale = factor.recip();
                let (form, _) = self.form(index, sum, factor)?;
                Ok(Drawn::Other(Site::Output { form }))
            }
            (Step::Max2 { a, b }, _) => {
                let reach = interval.hi.abs_diff(interval.lo);
                self.kmax = Some(self.kmax.unwrap_or(0).max(reach));
                Ok(Drawn::Other(Site::Max2 { a: read(a), b: read(b) }))
            }
            (Step::Copy { pick }, _) => {
                Ok(Drawn::Other(Site::Copy { form: Form::new(vec![Term::Pick(pick)]) }))
            }
            (Step::Requant { .. } | Step::Output { .. }, _) => {
                Err(Refusal::unsupported("a site without a shift"))
            }
        }
    }

    /// Returns the form of a sum, with the indices of blocks, and its largest accumulator.
    fn form(&mut self, site: usize, sum: Sum, factor: f64) -> Result<(Form, u64), Refusal> {
        let channels = self.tensors.drafts.get(site + 1).map_or(0, |tensor| tensor.shape.c);
        let integers = self.tensors.integers(&sum, factor, channels)?;
        let mut terms = Vec::new();
        let numbers = integers.weights.into_iter().zip(integers.factors);
        for (term, (weights, m)) in sum.terms.into_iter().zip(numbers) {
            match term {
                SumTerm::Local { tensor, .. } | SumTerm::Scaled { tensor, .. } => {
                    terms.push(Term::Local { tensor: small(tensor), m });
                }
                SumTerm::Pick { pick, .. } => terms.push(Term::Pick(Pick { m, ..pick })),
                SumTerm::Conv(conv) => {
                    let kernel = conv.kernel;
                    let size = SegmentSize::weights(kernel.taps, kernel.outputs, kernel.channels);
                    let segment = self.block(Block { size, weights });
                    let (y, x, groups) = (conv.y, conv.x, conv.groups);
                    let mut c_off = 0;
                    for &part in &conv.parts {
                        let tensor = small(part);
                        terms.push(Term::Conv(Conv { tensor, segment, y, x, groups, c_off }));
                        c_off += self.tensors.drafts.get(part).map_or(0, |part| part.shape.c);
                    }
                }
            }
        }
        self.bias(&integers.bias, &mut terms);
        Ok((Form::new(terms), integers.acc_max))
    }

    fn block(&mut self, block: Block) -> u32 {
        self.blocks.push(block);
        small(self.blocks.len() - 1)
    }

    /// A bias of 16 bits is one term, a larger one two.
    fn bias(&mut self, bias: &[i64], terms: &mut Vec<Term>) {
        let (low, high): (Vec<i16>, Vec<i16>) = split_bias(bias).into_iter().unzip();
        for (weights, m) in [(low, 1), (high, 1 << HIGH_BITS)] {
            if weights.iter().all(|&weight| weight == 0) {
                continue;
            }
            let block = Block { size: SegmentSize::bias(small(weights.len())), weights };
            terms.push(Term::Bias { segment: self.block(block), m });
        }
    }
}

/// Returns the `Bq` of a site's table (N2).
fn rows_for(acc_max: u64, shift: u32) -> Result<u32, Refusal> {
    let bq = acc_max.div_ceil(1 << shift) + 1;
    let rows = 2 * bq + 1;
    let (what, limit) = ("number of rows of the lookup table", MAX_TABLE_ROWS);
    let bq = u32::try_from(bq).ok().filter(|_| rows <= limit);
    bq.ok_or(Refusal::TooLarge { what, limit, got: rows })
}

fn read(read: Read) -> Form {
    Form::new(vec![match read {
        Read::Local { tensor } => Term::Local { tensor: small(tensor), m: 1 },
        Read::Pick(pick) => Term::Pick(pick),
    }])
}

/// An index of a tensor or block, or a number of channels: small, as sites are few.
fn small(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
