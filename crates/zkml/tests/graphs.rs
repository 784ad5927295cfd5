//! Pitfall 13: random programs of 5 to 30 sites. The executor against the plain reference, cell by
//! cell; then the proof, verified, and one wrong cell, refused.
//!
//! `ASSAY_ZKML_GRAPHS=500` tries so many programs instead of a few.

use assay_zkml::program::{
    Axis, AxisMap, Conv, Form, Interval, Outside, Pick, Site, Table, TensorShape, Term, Window,
    limb_widths,
};

use crate::cheats::Stage;
use crate::network::Net;
use crate::words::Words;

/// Programs of a usual run.
const GRAPHS: u64 = 60;

/// Largest absolute value of a weight that [`Net::segment`] makes.
const WEIGHT: u64 = 100;

struct Builder {
    net: Net,
    words: Words,
    /// Clamps and functions; the RANGE tables and MAX2 come before them in the end.
    tables: Vec<Table>,
    max2: bool,
}

impl Builder {
    fn new(seed: u64) -> Self {
        let mut words = Words::new(seed.wrapping_mul(7919) + 1);
        let shape =
            TensorShape::new(extent(&mut words, 7), extent(&mut words, 7), extent(&mut words, 4));
        let mut net = Net::new(seed, shape, Vec::new());
        net.program.limb_bits = if words.below(2) == 0 { 8 } else { 9 + words.below(8) as u32 };
        Self { net, words, tables: Vec::new(), max2: false }
    }

    fn build(mut self) -> Net {
        let sites = 5 + self.words.below(26);
        while self.net.program.sites.len() + 1 < sites {
            self.site();
        }
        self.output();
        self.number_tables();
        self.net
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.words.below(bound as usize) as u32
    }

    /// Some tensor, most often one of the last.
    fn any(&mut self) -> u32 {
        let count = self.net.program.tensors.len() as u32;
        let back = if self.below(3) == 0 { count } else { count.min(3) };
        count - 1 - self.below(back)
    }

    fn shape(&self, tensor: u32) -> TensorShape {
        self.net.program.tensors[tensor as usize].shape
    }

    fn interval(&self, tensor: u32) -> Interval {
        self.net.program.tensors[tensor as usize].interval
    }

    fn site(&mut self) {
        let tensor = self.any();
        match self.below(8) {
            0..3 => {
                if let Some((shape, form)) = self.convolution(tensor) {
                    self.requant(shape, form);
                }
            }
            3 => self.pool(tensor),
            4 => {
                let form = self.sum(tensor);
                self.requant(self.shape(tensor), form);
            }
            5 => self.copy(tensor),
            6 => self.average(tensor),
            _ => self.maximum(tensor),
        }
    }

    fn window(&mut self) -> Window {
        Window {
            taps: 1 + self.below(3),
            stride: 1 + self.below(3),
            pad: self.below(3),
            dilation: 1 + self.below(2),
        }
    }

    /// A convolution of a tensor, with what else a form may have.
    fn convolution(&mut self, tensor: u32) -> Option<(TensorShape, Form)> {
        let input = self.shape(tensor);
        let (y, x) = (self.window(), self.window());
        let (groups, outputs) = match self.below(4) {
            0 => (input.c, input.c),
            1 => {
                let alike = |&groups: &u32| {
                    input.c.is_multiple_of(groups) && (input.c / groups).is_power_of_two()
                };
                let sizes: Vec<u32> = (1..=input.c).filter(alike).collect();
                let groups = sizes[self.words.below(sizes.len())];
                (groups, groups << self.below(3))
            }
            _ => (1, 1 + self.below(6)),
        };
        let after = [self.below(y.pad + 1), self.below(x.pad + 1)];
        let height = y.outputs(input.y, after[0])?;
        let shape = TensorShape::new(height, x.outputs(input.x, after[1])?, outputs);
        let c_off = if groups == 1 { self.below(3) } else { 0 };
        let channels = input.c / groups + c_off;
        let segment = self.net.segment(y.taps * x.taps, outputs, channels);
        let mut terms = vec![Term::Conv(Conv { tensor, segment, y, x, groups, c_off })];
        if self.below(2) == 0 {
            let segment = self.net.segment(1, outputs, 1);
            terms.push(Term::Bias { segment, m: 1 + self.below(50) as i32 });
        }
        self.more(shape, &mut terms);
        Some((shape, Form::new(terms)))
    }

    /// Adds terms on tensors of the same shape.
    fn more(&mut self, shape: TensorShape, terms: &mut Vec<Term>) {
        let other = self.any();
        if self.shape(other) == shape {
            terms.push(Term::Local { tensor: other, m: 40 - self.below(80) as i32 });
        }
        if self.below(3) == 0 {
            terms.push(Term::Const { v: 50 - self.below(100) as i32 });
        }
    }

    fn sum(&mut self, tensor: u32) -> Form {
        let mut terms = vec![Term::Local { tensor, m: 300 - self.below(600) as i32 }];
        self.more(self.shape(tensor), &mut terms);
        Form::new(terms)
    }

    fn average(&mut self, tensor: u32) {
        let input = self.shape(tensor);
        let all = |extent: u32| AxisMap::Taps { stride: 1, pad: 0, taps: (0..extent).collect() };
        let mut pick = Pick::whole(tensor, 100 + self.below(200) as i32);
        pick.axes[0] = all(input.y);
        let mut shape = TensorShape::new(1, input.x, input.c);
        if self.below(2) == 0 {
            pick.axes[1] = AxisMap::Taps { stride: 2, pad: 1, taps: vec![0, 2, 3] };
            shape.x = input.x.div_ceil(2);
        } else {
            pick.axes[1] = all(input.x);
            shape.x = 1;
        }
        self.requant(shape, Form::new(vec![Term::Pick(pick)]));
    }

    /// Largest absolute value of a form, by the largest weight.
    fn reach(&self, form: &Form) -> u64 {
        let amax = |tensor: u32| u64::from(self.interval(tensor).amax());
        let of = |term: &Term| match term {
            Term::Local { tensor, m } => u64::from(m.unsigned_abs()) * amax(*tensor),
            Term::Conv(conv) => {
                let taps = u64::from(conv.y.taps * conv.x.taps);
                let channels = u64::from(self.shape(conv.tensor).c / conv.groups);
                taps * channels * WEIGHT * amax(conv.tensor)
            }
            Term::Pick(pick) => u64::from(pick.m.unsigned_abs()) * pick.taps() * amax(pick.tensor),
            Term::Bias { m, .. } => u64::from(m.unsigned_abs()) * WEIGHT,
            Term::Const { v } => u64::from(v.unsigned_abs()),
        };
        form.terms.iter().map(of).sum()
    }

    fn requant(&mut self, shape: TensorShape, form: Form) {
        let reach = self.reach(&form);
        let function = self.below(4) == 0;
        let most = if function { 250 } else { [300, 1000, 4000][self.words.below(3)] };
        let least = (0..16).find(|&shift| reach >> shift <= most).unwrap_or(16);
        let shift = (least + self.below(3)).min(16);
        let bq = (reach.div_ceil(1 << shift) + 1) as u32;
        let (table, interval) = if function {
            let values = (0..=2 * bq).map(|_| self.below(180) as i32 - 60).collect();
            self.tables.push(Table::Function { bq, values });
            (self.tables.len() - 1, Interval::new(-60, 119))
        } else {
            let (lo, hi) = [(-127, 127), (0, 127), (-100, 155), (0, 6)][self.words.below(4)];
            (self.clamp(bq, lo, hi), Interval::new(lo, hi))
        };
        self.net.site(shape, interval, Site::Requant { form, shift, table: table as u32 });
    }

    /// The table of a clamp, made longer where it is too short.
    fn clamp(&mut self, needed: u32, low: i32, high: i32) -> usize {
        for (index, table) in self.tables.iter_mut().enumerate() {
            match table {
                Table::Clamp { bq, lo, hi } if (*lo, *hi) == (low, high) => {
                    *bq = needed.max(*bq);
                    return index;
                }
                _ => {}
            }
        }
        self.tables.push(Table::Clamp { bq: needed, lo: low, hi: high });
        self.tables.len() - 1
    }

    /// Pairs of cells along one axis, some of them outside.
    fn pool(&mut self, tensor: u32) {
        let axis = self.words.below(2);
        let (stride, pad, reach) = (1 + self.below(3), self.below(2), 1 + self.below(2));
        let mut extents = self.shape(tensor).extents();
        extents[axis] = (extents[axis] + pad).div_ceil(stride);
        let form = |tap: u32| {
            let mut pick = Pick { outside: Outside::Lowest, ..Pick::whole(tensor, 1) };
            pick.axes[axis] = AxisMap::Taps { stride, pad, taps: vec![tap] };
            Form::new(vec![Term::Pick(pick)])
        };
        let [y, x, c] = extents;
        let site = Site::Max2 { a: form(0), b: form(reach) };
        self.max2 = true;
        self.net.site(TensorShape::new(y, x, c), self.interval(tensor), site);
    }

    fn maximum(&mut self, tensor: u32) {
        let shape = self.shape(tensor);
        let alike = |other: &u32| self.shape(*other) == shape && *other != tensor;
        let Some(other) = (0..tensor).rev().find(alike) else { return };
        let whole = |tensor, m| Form::new(vec![Term::Local { tensor, m }]);
        let (one, two) = (self.interval(tensor), self.interval(other));
        let interval = Interval::new(one.lo.min(-two.hi), one.hi.max(-two.lo));
        if interval.hi - interval.lo > 510 {
            return;
        }
        self.max2 = true;
        self.net.site(shape, interval, Site::Max2 { a: whole(tensor, 1), b: whole(other, -1) });
    }

    /// Axes permuted, a window, or a part of a larger tensor.
    fn copy(&mut self, tensor: u32) {
        let input = self.shape(tensor).extents();
        let order = [
            [Axis::Y, Axis::X, Axis::C],
            [Axis::X, Axis::Y, Axis::C],
            [Axis::C, Axis::X, Axis::Y],
            [Axis::Y, Axis::C, Axis::X],
            [Axis::C, Axis::Y, Axis::X],
        ][self.words.below(5)];
        let mut pick = Pick { order, ..Pick::whole(tensor, 1) };
        let mut extents = order.map(|axis| input[axis.position()]);
        for (axis, extent_out) in extents.iter_mut().enumerate() {
            let extent = *extent_out;
            (pick.axes[axis], *extent_out) = match self.below(5) {
                0 => {
                    let start = self.below(extent);
                    (AxisMap::FromInput { start }, extent - start)
                }
                1 if extent < 6 => {
                    let start = self.below(3);
                    (AxisMap::IntoOutput { start }, extent + start + self.below(2))
                }
                2 if axis < 2 => {
                    let (stride, pad) = (1 + self.below(2), self.below(2));
                    let map = AxisMap::Taps { stride, pad, taps: vec![self.below(2)] };
                    (map, (extent + pad).div_ceil(stride))
                }
                3 if axis < 2 && extent < 8 => {
                    let outputs = 1 + self.below(2 * extent);
                    let cell = |_| {
                        let cell = self.below(extent);
                        (self.below(4) > 0).then_some(cell)
                    };
                    let mut cells: Vec<Option<u32>> = (0..outputs).map(cell).collect();
                    cells[0] = Some(0);
                    (AxisMap::cells(extent, &cells).unwrap(), outputs)
                }
                _ => (AxisMap::SAME, extent),
            };
        }
        let [y, x, c] = extents;
        let form = Form::new(vec![Term::Pick(pick)]);
        self.net.site(TensorShape::new(y, x, c), self.interval(tensor), Site::Copy { form });
    }

    fn output(&mut self) {
        let tensor = self.net.program.tensors.len() as u32 - 1;
        let shape = self.shape(tensor);
        let (shape, form) = match self.below(3) {
            0 => (shape, self.sum(tensor)),
            1 => {
                let whole = |extent| Window::new(extent, 1, 0);
                let segment = self.net.segment(shape.y * shape.x, 10, shape.c);
                let (y, x) = (whole(shape.y), whole(shape.x));
                let conv = Conv { tensor, segment, y, x, groups: 1, c_off: 0 };
                (TensorShape::vector(10), Form::new(vec![Term::Conv(conv)]))
            }
            _ => self.convolution(tensor).unwrap_or((shape, Form::default())),
        };
        self.net.site(shape, Interval::RAW, Site::Output { form });
    }

    /// Puts RANGE tables and MAX2 in front, and numbers what sites name.
    fn number_tables(&mut self) {
        let program = &mut self.net.program;
        let shifts = program.sites.iter().filter_map(|site| match site {
            Site::Requant { shift, .. } => Some(*shift),
            _ => None,
        });
        let mut widths: Vec<u32> =
            shifts.flat_map(|shift| limb_widths(shift, program.limb_bits)).collect();
        widths.sort_unstable();
        widths.dedup();
        let mut tables: Vec<Table> = widths.into_iter().map(|bits| Table::Range { bits }).collect();
        tables.extend(self.max2.then_some(Table::Max2 { kmax: 510 }));
        let first = tables.len() as u32;
        tables.append(&mut self.tables);
        program.tables = tables;
        for site in &mut program.sites {
            if let Site::Requant { table, .. } = site {
                *table += first;
            }
        }
    }
}

fn extent(words: &mut Words, most: usize) -> u32 {
    1 + words.below(most) as u32
}

fn graphs() -> u64 {
    std::env::var("ASSAY_ZKML_GRAPHS").ok().and_then(|count| count.parse().ok()).unwrap_or(GRAPHS)
}

#[test]
fn random_programs_are_executed_proven_and_verified() {
    for seed in 0..graphs() {
        let lb = (seed % 3) as u32;
        let mut words = Words::new(seed);
        let count = 1 + words.below(1 << lb);
        // The stage is made by the executor, the run by the reference.
        let stage = Stage::new(Builder::new(seed).build(), lb, count);
        let honest = stage.run(&mut |_, _| {});
        let (witness, outputs) = stage.written(&honest);
        assert_eq!(witness, stage.witness, "seed {seed}");
        stage.prove(&witness, &outputs).map(|_| ()).unwrap_or_else(|e| panic!("seed {seed}: {e}"));

        let site = words.below(stage.program().sites.len());
        let grid = stage.grid(site + 1);
        let real: Vec<usize> = (0..grid.cells()).filter(|&cell| grid.is_real(cell)).collect();
        let cell = real[words.below(real.len())];
        let wrong = stage.run_changed(site, &mut |step| step.y[cell] += 1);
        let result = stage.prove_run(&wrong);
        assert!(result.is_err(), "seed {seed}: site {site}, cell {cell} may be another");
    }
}
