//! The program by its definition (section 2.3), cell by cell on padded columns (section 1), without
//! the executor's code; and the witness that follows from it, right or wrong.

use assay_zkml::field::F;
use assay_zkml::lookups::Layout;
use assay_zkml::program::{
    Axis, AxisMap, Conv, Form, Outside, Pick, Program, Segment, Site, Table, TensorShape, Term,
};
use assay_zkml::witness::Witness;
use p3_field::PrimeCharacteristicRing;

/// Where the cells of a tensor stand in its padded column.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    real: [usize; 3],
    /// Variables of `y`, `x`, `c` and of the batch.
    logs: [u32; 4],
}

impl Grid {
    pub(crate) fn new(shape: TensorShape, lb: u32) -> Self {
        let real = [shape.y, shape.x, shape.c].map(|extent| extent as usize);
        let [y, x, c] = real.map(|extent| extent.next_power_of_two().trailing_zeros());
        Self { real, logs: [y.max(6_u32.saturating_sub(x + c + lb)), x, c, lb] }
    }

    pub(crate) fn cells(&self) -> usize {
        1 << self.logs.iter().sum::<u32>()
    }

    /// Padded extent of an axis: `y`, `x`, `c`, batch.
    pub(crate) fn extent(&self, axis: usize) -> usize {
        1 << self.logs[axis]
    }

    pub(crate) const fn real(&self) -> [usize; 3] {
        self.real
    }

    pub(crate) fn index(&self, [y, x, c, b]: [usize; 4]) -> usize {
        let [_, log_x, log_c, lb] = self.logs;
        (((y << log_x | x) << log_c | c) << lb) | b
    }

    pub(crate) fn place(&self, index: usize) -> [usize; 4] {
        let [_, log_x, log_c, lb] = self.logs;
        let below = |value: usize, log: u32| value & ((1 << log) - 1);
        let (b, rest) = (below(index, lb), index >> lb);
        let (c, rest) = (below(rest, log_c), rest >> log_c);
        [rest >> log_x, below(rest, log_x), c, b]
    }

    pub(crate) fn is_real(&self, index: usize) -> bool {
        let place = self.place(index);
        place.iter().zip(self.real).all(|(&at, extent)| at < extent)
    }

    /// The real cells of one instance, in the order `[y][x][c]`.
    pub(crate) fn instance(&self, column: &[i64], b: usize) -> Vec<i32> {
        let own = (0..column.len()).filter(|&i| self.is_real(i) && self.place(i)[3] == b);
        own.map(|i| i32::try_from(column[i]).unwrap()).collect()
    }
}

/// What a site computed, at every padded cell.
#[derive(Clone, Default)]
pub(crate) struct Step {
    pub(crate) forms: Vec<Vec<i64>>,
    pub(crate) quotients: Vec<i64>,
    pub(crate) remainders: Vec<i64>,
    pub(crate) y: Vec<i64>,
}

/// A whole run of `2^lb` instances.
#[derive(Clone)]
pub(crate) struct Trace {
    pub(crate) input: Vec<i64>,
    pub(crate) steps: Vec<Step>,
}

impl Trace {
    pub(crate) fn tensor(&self, index: usize) -> &[i64] {
        index.checked_sub(1).map_or(&self.input, |site| &self.steps[site].y)
    }
}

/// A program to be run, with its weights.
#[derive(Clone, Copy)]
pub(crate) struct Reference<'a> {
    pub(crate) program: &'a Program,
    pub(crate) weights: &'a [i16],
    pub(crate) lb: u32,
}

impl Reference<'_> {
    pub(crate) fn grid(&self, tensor: usize) -> Grid {
        Grid::new(self.program.tensors[tensor].shape, self.lb)
    }

    /// Runs the program on the column of all inputs; `change` may change what a site computed, and
    /// later sites go on from there.
    pub(crate) fn run(&self, input: Vec<i64>, change: &mut dyn FnMut(usize, &mut Step)) -> Trace {
        let mut trace = Trace { input, steps: Vec::new() };
        for (index, site) in self.program.sites.iter().enumerate() {
            let mut step = self.step(&trace, index, site);
            change(index, &mut step);
            trace.steps.push(step);
        }
        trace
    }

    /// The column of inputs, in the order of instances; zeros behind the last.
    pub(crate) fn input(&self, inputs: &[Vec<i32>]) -> Vec<i64> {
        let grid = self.grid(0);
        let mut column = vec![0; grid.cells()];
        for (b, input) in inputs.iter().enumerate() {
            let places = (0..grid.cells()).filter(|&i| grid.is_real(i) && grid.place(i)[3] == b);
            let places: Vec<usize> = places.collect();
            places.into_iter().zip(input).for_each(|(i, &value)| column[i] = value.into());
        }
        column
    }

    fn step(&self, trace: &Trace, index: usize, site: &Site) -> Step {
        let forms: Vec<Vec<i64>> = site.forms().map(|form| self.form(trace, index, form)).collect();
        let mut step = Step { forms, ..Step::default() };
        match site {
            Site::Requant { shift, table, .. } => {
                let table = &self.program.tables[*table as usize];
                let scale = 1_i64 << shift;
                for &form in &step.forms[0] {
                    let t = form + scale / 2;
                    step.quotients.push(t.div_euclid(scale));
                    step.remainders.push(t.rem_euclid(scale));
                }
                step.y = step.quotients.iter().map(|&q| table_value(table, q)).collect();
            }
            Site::Max2 { .. } => {
                let pairs = step.forms[0].iter().zip(&step.forms[1]);
                step.y = pairs.map(|(&a, &b)| a.max(b)).collect();
            }
            Site::Copy { .. } | Site::Output { .. } => step.y = step.forms[0].clone(),
        }
        step
    }

    /// A form at every cell. On pads only `Local` terms are not 0, and they only where the tensor
    /// is not what section 1 wants there.
    fn form(&self, trace: &Trace, site: usize, form: &Form) -> Vec<i64> {
        let grid = self.grid(site + 1);
        let term = |term: &Term, index: usize| match term {
            Term::Local { tensor, m } => {
                let value = trace.tensor(*tensor as usize)[index];
                let pad = if grid.is_real(index) { 0 } else { self.pad(*tensor as usize) };
                i64::from(*m) * (value - pad)
            }
            _ if !grid.is_real(index) => 0,
            Term::Conv(conv) => self.conv(trace, site, conv, grid.place(index)),
            Term::Pick(pick) => self.pick(trace, pick, grid.place(index)),
            Term::Bias { segment, m } => {
                i64::from(*m) * self.weight(*segment, 0, grid.place(index)[2], 0)
            }
            Term::Const { v } => i64::from(*v),
        };
        let at = |index| form.terms.iter().map(|of| term(of, index)).sum();
        (0..grid.cells()).map(at).collect()
    }

    fn conv(&self, trace: &Trace, site: usize, conv: &Conv, [y, x, o, b]: [usize; 4]) -> i64 {
        let grid = self.grid(conv.tensor as usize);
        let cells = trace.tensor(conv.tensor as usize);
        let [height, width, channels] = grid.real();
        let groups = conv.groups as usize;
        let outputs = self.program.tensors[site + 1].shape.c as usize / groups;
        let inputs = channels / groups;
        let read = |o: usize, window: &assay_zkml::program::Window, tap: u32, extent: usize| {
            let at = o as i64 * i64::from(window.stride) + i64::from(tap * window.dilation)
                - i64::from(window.pad);
            usize::try_from(at).ok().filter(|&at| at < extent)
        };
        let mut sum = 0;
        for dy in 0..conv.y.taps {
            for dx in 0..conv.x.taps {
                let row = read(y, &conv.y, dy, height);
                let Some((row, column)) = row.zip(read(x, &conv.x, dx, width)) else { continue };
                for c in 0..inputs {
                    let tap = (dy * conv.x.taps + dx) as usize;
                    let weight = self.weight(conv.segment, tap, o, conv.c_off as usize + c);
                    let channel = o / outputs * inputs + c;
                    sum += weight * cells[grid.index([row, column, channel, b])];
                }
            }
        }
        sum
    }

    fn pick(&self, trace: &Trace, pick: &Pick, place: [usize; 4]) -> i64 {
        let grid = self.grid(pick.tensor as usize);
        let cells = trace.tensor(pick.tensor as usize);
        let reads: Vec<Vec<i64>> =
            pick.axes.iter().zip(place).map(|(map, o)| indices(map, o as i64)).collect();
        let mut sum = 0;
        for &first in &reads[0] {
            for &second in &reads[1] {
                for &third in &reads[2] {
                    let mut at = [0_i64; 3];
                    for (axis, index) in pick.order.iter().zip([first, second, third]) {
                        at[usize_of(*axis)] = index;
                    }
                    let inside = at.iter().zip(grid.real()).all(|(&i, n)| 0 <= i && i < n as i64);
                    sum += match pick.outside {
                        _ if inside => {
                            let [y, x, c] = at.map(|index| index as usize);
                            cells[grid.index([y, x, c, place[3]])]
                        }
                        Outside::Zero => 0,
                        Outside::Lowest => {
                            self.program.tensors[pick.tensor as usize].interval.lo.into()
                        }
                    };
                }
            }
        }
        i64::from(pick.m) * sum
    }

    fn weight(&self, segment: u32, t: usize, o: usize, c: usize) -> i64 {
        let Segment { off, outputs_padded, log_channels, .. } =
            self.program.segments[segment as usize];
        let row = t * outputs_padded as usize + o;
        self.weights.get(off as usize + (row << log_channels) + c).copied().unwrap_or(0).into()
    }

    /// What section 1 wants on the pads of a tensor.
    fn pad(&self, tensor: usize) -> i64 {
        let site = tensor.checked_sub(1).map(|site| &self.program.sites[site]);
        match site {
            Some(Site::Requant { table, .. }) => {
                table_value(&self.program.tables[*table as usize], 0)
            }
            _ => 0,
        }
    }

    /// Writes a run into a witness and counts its lookups; tuples that are in no row go uncounted.
    pub(crate) fn write(&self, layout: Option<&Layout>, trace: &Trace, witness: &mut Witness) {
        let column = |cells: &[i64]| cells.iter().map(|&cell| F::from_i64(cell)).collect();
        witness.tensors[0] = column(&trace.input);
        for (index, (step, site)) in trace.steps.iter().zip(&self.program.sites).enumerate() {
            witness.tensors[index + 1] = column(&step.y);
            match site {
                Site::Requant { shift, .. } => {
                    let limbs = limbs(&step.remainders, *shift, self.program.limb_bits);
                    witness.limbs[index] = limbs.iter().map(|limb| column(limb)).collect();
                    witness.virtuals[index] = vec![column(&step.quotients)];
                }
                Site::Max2 { .. } => {
                    let less = |form: &Vec<i64>| -> Vec<i64> {
                        step.y.iter().zip(form).map(|(y, form)| y - form).collect()
                    };
                    witness.virtuals[index] =
                        step.forms.iter().map(|form| column(&less(form))).collect();
                }
                Site::Copy { .. } | Site::Output { .. } => {}
            }
        }
        if let Some(layout) = layout {
            recount(self.program, layout, witness);
        }
    }
}

/// Counts how often each row of each table is looked up; tuples that are in no row go uncounted.
pub(crate) fn recount(program: &Program, layout: &Layout, witness: &mut Witness) {
    let counted = witness.clone();
    let tables = layout.tables();
    let mut counts: Vec<Vec<u32>> =
        tables.iter().map(|table| vec![0; 1 << table.arity()]).collect();
    for (lookup, columns) in layout.lookups().iter().zip(counted.tuples(program)) {
        for cell in 0..1 << lookup.arity {
            let tuple: Vec<F> = columns.iter().map(|column| column[cell]).collect();
            if let Some(row) = tables[lookup.table].position(&tuple) {
                counts[lookup.table][row] += 1;
            }
        }
    }
    witness.multiplicities =
        counts.iter().map(|counts| counts.iter().map(|&n| F::from_u32(n)).collect()).collect();
}

/// The limbs of remainders; what does not fit is in the last.
fn limbs(remainders: &[i64], shift: u32, bits: u32) -> Vec<Vec<i64>> {
    match shift {
        0 => Vec::new(),
        shift if shift <= bits => vec![remainders.to_vec()],
        _ => {
            let low = remainders.iter().map(|rem| rem.rem_euclid(1 << bits)).collect();
            vec![low, remainders.iter().map(|rem| rem >> bits).collect()]
        }
    }
}

/// `Tab[q]`; where the table has no row, the value of its nearest.
pub(crate) fn table_value(table: &Table, q: i64) -> i64 {
    let bq = i64::from(table.bq().unwrap());
    match table {
        Table::Clamp { lo, hi, .. } => q.clamp((*lo).into(), (*hi).into()),
        Table::Function { values, .. } => values[(q.clamp(-bq, bq) + bq) as usize].into(),
        Table::Range { .. } | Table::Max2 { .. } => panic!("{table:?} is no function"),
    }
}

fn indices(map: &AxisMap, o: i64) -> Vec<i64> {
    match map {
        AxisMap::Taps { stride, pad, taps } => {
            let tap = |&tap: &u32| o * i64::from(*stride) - i64::from(*pad) + i64::from(tap);
            taps.iter().map(tap).collect()
        }
        AxisMap::FromInput { start } => vec![o + i64::from(*start)],
        AxisMap::IntoOutput { start } => vec![o - i64::from(*start)],
    }
}

const fn usize_of(axis: Axis) -> usize {
    match axis {
        Axis::Y => 0,
        Axis::X => 1,
        Axis::C => 2,
    }
}
