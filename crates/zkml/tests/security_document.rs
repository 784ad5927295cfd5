//! The numbers of `docs/zkml-security.md` are computed here, by the code that refuses circuits.
//!
//! `ASSAY_WRITE_DOCS=1` writes them into the document; without it a difference fails.

use std::fmt::Write as _;

use assay_zkml::advice::{AdviceProfile, Schedule};
use assay_zkml::circuit::Circuit;
use assay_zkml::program::{
    Conv, Descriptor, Form, Interval, Pick, Program, SegmentSize, Site, Table, Tensor, TensorShape,
    Term, Window, layout_segments,
};
use assay_zkml::soundness::{Counts, REQUIRED_BITS, Term as ErrorTerm, opening_terms};
use assay_zkml::tensor_code::{CodeProfile, Digest, Shape};

use crate::network::{RELU, taps};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/zkml-security.md");
const BITS_OF_LIMBS: u32 = 13;

#[test]
fn the_numbers_of_the_security_document_are_computed() {
    let mut document = std::fs::read_to_string(DOCUMENT).unwrap();
    let write = std::env::var("ASSAY_WRITE_DOCS").is_ok_and(|value| value == "1");
    for (name, computed) in [("budget", budget_table()), ("disclosure", disclosure_table())] {
        let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let (before, rest) = document.split_once(&open).unwrap();
        let (written, after) = rest.split_once(&close).unwrap();
        assert!(
            write || written == computed,
            "{name} is not\n{computed}ASSAY_WRITE_DOCS=1 writes it"
        );
        document = format!("{before}{open}{computed}{close}{after}");
    }
    if write {
        std::fs::write(DOCUMENT, document).unwrap();
    }
}

/// Names with the base-2 logarithms of their bounds.
struct Bounds {
    terms: Vec<(&'static str, f64)>,
    /// What the last of the terms is made of.
    whir: Vec<(&'static str, f64)>,
}

impl Bounds {
    fn new(terms: &[ErrorTerm], schedule: &Schedule) -> Self {
        let pairs = |terms: &[ErrorTerm]| -> Vec<_> {
            terms.iter().map(|term| (term.name, term.log2_error)).collect()
        };
        Self { terms: pairs(terms), whir: pairs(schedule.terms()) }
    }

    fn of(circuit: &Circuit) -> Self {
        let bounds = Self::new(circuit.budget().terms(), circuit.schedule().unwrap());
        assert!((bounds.sum() - circuit.budget().log2_total()).abs() < 1e-9);
        bounds
    }

    fn sum(&self) -> f64 {
        self.terms.iter().map(|(_, bound)| bound.exp2()).sum::<f64>().log2()
    }
}

fn budget_table() -> String {
    let columns = [largest(), Bounds::of(&dense()), Bounds::of(&lenet())];
    let mut table = String::from(
        "| term | the caps of N4 | dense, 4.2M weights | LeNet, 44k weights, 64 inputs |\n|---|---|---|---|\n",
    );
    let mut row = |name: &str, bound: &dyn Fn(&Bounds) -> f64| {
        write!(table, "| {name} |").unwrap();
        columns.iter().for_each(|column| write!(table, " 2^{:.1} |", bound(column)).unwrap());
        table.push('\n');
    };
    let find = |terms: &[(&str, f64)], name: &str| {
        terms.iter().find(|(other, _)| *other == name).map(|(_, bound)| *bound).unwrap()
    };
    for (name, _) in &columns[0].terms {
        row(name, &|column| find(&column.terms, name));
    }
    row("**sum**", &Bounds::sum);
    for (name, _) in &columns[0].whir {
        row(&format!("of {name}"), &|column| find(&column.whir, name));
    }
    assert!(columns.iter().all(|column| -column.sum() >= REQUIRED_BITS));
    table
}

/// A bound on every circuit that is not refused: each size at its cap, and the worst opening of advice.
fn largest() -> Bounds {
    // 4095 sites of two forms and the output's; a claim on weights needs a Conv or Bias term.
    let counts = Counts {
        tree_arity: 28,
        tuple_width: 2,
        claim_arity: 28,
        layer_arity: 28,
        lb: 10,
        forms: 2 * 4095 + 1,
        weight_claims: 1 << 14,
        log_weights: 30,
    };
    let schedules: Vec<Schedule> = (6..=28).map(full_schedule).collect();
    let list_size = schedules.iter().map(Schedule::log2_list_size).max_by(f64::total_cmp).unwrap();
    let by_bits = |a: &&Schedule, b: &&Schedule| a.security_bits().total_cmp(&b.security_bits());
    let worst = schedules.iter().min_by(by_bits).unwrap();
    let mut terms = counts.terms(list_size);
    let shape = Shape::new(CodeProfile::default(), 30, 22, 1 << 8).unwrap();
    terms.extend(opening_terms(&shape));
    let mut bounds = Bounds::new(&terms, worst);
    bounds.terms.push(("WHIR, all terms", -worst.security_bits()));
    bounds
}

/// `2^log_cells` cells in as many columns as there can be: 4095 sites of three, 4096 tables, input and
/// output, which are fewer than `2^14`. All are opened at `rho`, 4096 at `tau`, two at `omega`.
fn full_schedule(log_cells: u32) -> Schedule {
    let log_columns = (log_cells - 6).min(14);
    let columns = 1 << log_columns;
    let arities = vec![log_cells - log_columns; columns];
    let batches = [columns, columns.min(4096), 1, 1].map(|count| (0..count).collect());
    Schedule::new(AdviceProfile::default(), arities, batches.into()).unwrap()
}

/// What each opening discloses, and how many proofs have disclosed as many equations as there are
/// weights.
fn disclosure_table() -> String {
    let mut table = String::from(
        "| weights | rows x columns | equations from columns | from `u` | proofs |\n|---|---|---|---|---|\n",
    );
    for log_weights in [16, 17, 18, 20, 22, 24] {
        let shape = Shape::for_weights(1 << log_weights).unwrap();
        let (rows, columns) = (shape.rows_used(), shape.columns());
        let from_columns = shape.profile().queries() * rows;
        let from_row = 5 * columns;
        let proofs = (rows * columns).div_ceil(from_columns + from_row);
        writeln!(
            table,
            "| 2^{log_weights} | {rows} x {columns} | {from_columns} | {from_row} | {proofs} |"
        )
        .unwrap();
    }
    table
}

/// A network without weights, on which no error depends.
struct Draft {
    tensors: Vec<Tensor>,
    sites: Vec<Site>,
    segments: Vec<SegmentSize>,
}

impl Draft {
    fn new(input: TensorShape) -> Self {
        let interval = Interval::new(-127, 127);
        let tensors = vec![Tensor { shape: input, interval }];
        Self { tensors, sites: Vec::new(), segments: Vec::new() }
    }

    fn last(&self) -> (u32, TensorShape) {
        (self.tensors.len() as u32 - 1, self.tensors.last().unwrap().shape)
    }

    fn site(&mut self, shape: TensorShape, interval: Interval, site: Site) {
        self.tensors.push(Tensor { shape, interval });
        self.sites.push(site);
    }

    /// Weights and a bias in two parts.
    fn form(&mut self, y: Window, x: Window, outputs: u32) -> (Form, TensorShape) {
        let ((tensor, input), segment) = (self.last(), self.segments.len() as u32);
        self.segments.push(SegmentSize::weights(y.taps * x.taps, outputs, input.c));
        self.segments.extend([SegmentSize::bias(outputs); 2]);
        let conv = Conv { tensor, segment, y, x, groups: 1, c_off: 0 };
        let bias = |part, m| Term::Bias { segment: segment + part, m };
        let form = Form::new(vec![Term::Conv(conv), bias(1, 1), bias(2, 1 << 15)]);
        (form, conv.output_shape(input, outputs).unwrap())
    }

    fn conv(&mut self, side: u32, outputs: u32) {
        let window = Window::new(side, 1, 0);
        self.requant(window, window, outputs);
    }

    fn gemm(&mut self, outputs: u32) {
        let [y, x, _] = self.last().1.extents();
        self.requant(Window::new(y, 1, 0), Window::new(x, 1, 0), outputs);
    }

    fn requant(&mut self, y: Window, x: Window, outputs: u32) {
        let (form, shape) = self.form(y, x, outputs);
        self.site(shape, RELU, Site::Requant { form, shift: BITS_OF_LIMBS, table: 1 });
    }

    /// A 2x2 maximum with stride 2.
    fn pool(&mut self) {
        for axis in [1, 0] {
            let (tensor, TensorShape { y, x, c }) = self.last();
            let form = |tap| {
                let mut pick = Pick::whole(tensor, 1);
                pick.axes[axis] = taps(2, &[tap]);
                Form::new(vec![Term::Pick(pick)])
            };
            let shape = if axis == 1 {
                TensorShape::new(y, x / 2, c)
            } else {
                TensorShape::new(y / 2, x, c)
            };
            self.site(shape, RELU, Site::Max2 { a: form(0), b: form(1) });
        }
    }

    fn finish(mut self, outputs: u32, lb: u32) -> Circuit {
        let (form, shape) = self.form(Window::UNIT, Window::UNIT, outputs);
        self.site(shape, Interval::RAW, Site::Output { form });
        let mut tables =
            vec![Table::Range { bits: BITS_OF_LIMBS }, Table::Clamp { bq: 12_000, lo: 0, hi: 127 }];
        if self.sites.iter().any(|site| matches!(site, Site::Max2 { .. })) {
            tables.push(Table::Max2 { kmax: 127 });
        }
        let layout = layout_segments(&self.segments).unwrap();
        let program = Program {
            advice: AdviceProfile::default(),
            limb_bits: BITS_OF_LIMBS,
            tensors: self.tensors,
            tables,
            segments: layout.segments,
            sites: self.sites,
            weights: layout.shape,
        };
        let root = Digest::from([0; 32]);
        let descriptor = Descriptor::new(program.check().unwrap(), root).unwrap();
        Circuit::new(&descriptor, lb).unwrap()
    }
}

/// 1024-1024-1024-1024-1024-10.
fn dense() -> Circuit {
    let mut draft = Draft::new(TensorShape::vector(1024));
    (0..4).for_each(|_| draft.gemm(1024));
    draft.finish(10, 0)
}

/// LeNet on 28x28 images.
fn lenet() -> Circuit {
    let mut draft = Draft::new(TensorShape::new(28, 28, 1));
    for outputs in [6, 16] {
        draft.conv(5, outputs);
        draft.pool();
    }
    draft.gemm(120);
    draft.gemm(84);
    draft.finish(10, 6)
}
