//! The numbers of `docs/zkml-security.md` are computed here, by the code that refuses circuits, and the
//! table of section 7 in `docs/zkml-protocol.md`.
//!
//! `ASSAY_WRITE_DOCS=1` writes them into the documents; without it a difference fails.

use std::fmt::Write as _;

use assay_zkml::advice::{AdviceProfile, Schedule};
use assay_zkml::circuit::Circuit;
use assay_zkml::field::K;
use assay_zkml::program::{
    Conv, Descriptor, Form, Interval, Mode, Pick, Program, SegmentSize, Site, Table, Tensor,
    TensorShape, Term, Window, layout_segments,
};
use assay_zkml::soundness::{
    Counts, REQUIRED_BITS, Term as ErrorTerm, opening_terms, small_opening_terms,
};
use assay_zkml::tensor_code::{CodeProfile, Digest, Shape};
use assay_zkml::weight_commitment::WeightCommitment;

use crate::network::{RELU, taps};
use crate::profile::{self, Profile};

const SECURITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/zkml-security.md");
const PROTOCOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/zkml-protocol.md");
const BITS_OF_LIMBS: u32 = 13;

#[test]
fn the_numbers_of_the_security_document_are_computed() {
    let tables = [
        ("budget", budget_table()),
        ("folds", folds_table()),
        ("small", small_table()),
        ("disclosure", disclosure_table()),
        ("disclosure of small", small_disclosure_table()),
    ];
    compare_or_write(SECURITY, &tables);
}

#[test]
fn the_numbers_of_the_protocol_are_computed() {
    compare_or_write(
        PROTOCOL,
        &[("profile", profile::table()), ("places", profile::table_of_weights())],
    );
}

fn compare_or_write(path: &str, tables: &[(&str, String)]) {
    let mut document = std::fs::read_to_string(path).unwrap();
    let write = std::env::var("ASSAY_WRITE_DOCS").is_ok_and(|value| value == "1");
    for (name, computed) in tables {
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
        std::fs::write(path, document).unwrap();
    }
}

/// Names with the base-2 logarithms of their bounds.
struct Bounds {
    terms: Vec<(&'static str, f64)>,
    /// What the last of the terms is made of.
    whir: Vec<(&'static str, f64)>,
    /// What the last of the terms is made of, with the folds by eprint 2025/2055.
    by_2055: Vec<(&'static str, f64)>,
    /// The opening of a `small` program's weights, with the folds by eprint 2025/2055.
    weights_by_2055: Option<f64>,
}

impl Bounds {
    fn new(terms: &[ErrorTerm], schedule: &Schedule, log_cells: usize) -> Self {
        let pairs = |terms: &[ErrorTerm]| -> Vec<_> {
            terms.iter().map(|term| (term.name, term.log2_error)).collect()
        };
        let whir = pairs(schedule.terms());
        let folds = Profile::new(log_cells).folds_by_2055();
        let other = |&(name, bound)| (name, if name == FOLDS { folds } else { bound });
        let by_2055 = whir.iter().map(other).collect();
        Self { terms: pairs(terms), whir, by_2055, weights_by_2055: None }
    }

    fn of(circuit: &Circuit) -> Self {
        let cells: usize = circuit.columns().list().iter().map(|column| 1 << column.arity).sum();
        let log_cells = cells.next_power_of_two().trailing_zeros() as usize;
        let schedule = circuit.schedule().unwrap();
        let mut bounds = Self::new(circuit.budget().terms(), schedule, log_cells);
        bounds.weights_by_2055 =
            circuit.weight_schedule().map(|_| by_2055(circuit.weights().log_weights()));
        assert!((bounds.sum() - circuit.budget().log2_total()).abs() < 1e-9);
        bounds
    }

    fn sum(&self) -> f64 {
        log2_sum(self.terms.iter().map(|(_, bound)| *bound))
    }

    fn sum_by_2055(&self) -> f64 {
        let replaced = |name: &str| name == WHIR || name == WHIR_OF_WEIGHTS;
        let others = self.terms.iter().filter(|(name, _)| !replaced(name));
        let bounds = others.chain(&self.by_2055).map(|(_, bound)| *bound);
        log2_sum(bounds.chain(self.weights_by_2055))
    }
}

const WHIR: &str = "WHIR, all terms";
const WHIR_OF_WEIGHTS: &str = "WHIR of weights";
const FOLDS: &str = "WHIR folds";

/// The opening of `2^log_weights` places, with the folds by eprint 2025/2055.
fn by_2055(log_weights: usize) -> f64 {
    let schedule = Schedule::for_weights(log_weights as u32).unwrap();
    let folds = Profile::of_weights(log_weights).folds_by_2055();
    let bound = |term: &ErrorTerm| if term.name == FOLDS { folds } else { term.log2_error };
    log2_sum(schedule.terms().iter().map(bound))
}

fn log2_sum(bounds: impl Iterator<Item = f64>) -> f64 {
    bounds.map(f64::exp2).sum::<f64>().log2()
}

fn find(terms: &[(&str, f64)], name: &str) -> f64 {
    found(terms, name).unwrap()
}

fn found(terms: &[(&str, f64)], name: &str) -> Option<f64> {
    terms.iter().find(|(other, _)| *other == name).map(|(_, bound)| *bound)
}

fn budget_table() -> String {
    let columns = [
        largest(),
        Bounds::of(&dense(Mode::Fast)),
        Bounds::of(&dense(Mode::Small)),
        Bounds::of(&lenet()),
    ];
    let mut table = String::from(
        "| term | the caps of N4 | dense, 4.2M weights | the same, `small` | LeNet, 44k weights, 64 inputs |\n|---|---|---|---|---|\n",
    );
    let mut row = |name: &str, bound: &dyn Fn(&Bounds) -> Option<f64>| {
        write!(table, "| {name} |").unwrap();
        for column in &columns {
            match bound(column) {
                Some(bound) => write!(table, " 2^{bound:.1} |").unwrap(),
                None => table.push_str(" |"),
            }
        }
        table.push('\n');
    };
    let fast = columns[0].terms.iter().map(|(name, _)| *name).filter(|name| *name != WHIR);
    for name in fast.chain(["weight sample", WHIR_OF_WEIGHTS, WHIR]) {
        row(name, &|column| found(&column.terms, name));
    }
    row("**sum**", &|column| Some(column.sum()));
    for (name, _) in &columns[0].whir {
        row(&format!("of {name}"), &|column| found(&column.whir, name));
    }
    row("of WHIR folds, by 2025/2055", &|column| found(&column.by_2055, FOLDS));
    row("**sum, by 2025/2055**", &|column| Some(column.sum_by_2055()));
    assert!(columns.iter().all(|column| -column.sum() >= REQUIRED_BITS));
    table
}

/// The folds by both theorems, and the bits of all circuits with so many cells.
fn folds_table() -> String {
    let mut table = String::from(
        "| cells | folds, 2026/2056 | folds, 2025/2055 | bits, 2026/2056 | bits, 2025/2055 |\n|---|---|---|---|---|\n",
    );
    let sizes: Vec<Bounds> = (6..=28).map(capped).collect();
    for (bounds, log_cells) in sizes.iter().zip(6..) {
        let (folds, bits) = (find(&bounds.whir, FOLDS), -bounds.sum());
        let (folds_by_2055, bits_by_2055) = (find(&bounds.by_2055, FOLDS), -bounds.sum_by_2055());
        writeln!(
            table,
            "| 2^{log_cells} | 2^{folds:.1} | 2^{folds_by_2055:.1} | {bits:.1} | {bits_by_2055:.1} |"
        )
        .unwrap();
    }
    let enough = |bounds: &&Bounds| -bounds.sum_by_2055() >= REQUIRED_BITS;
    let first = sizes.iter().take_while(enough).count();
    assert_eq!(first, sizes.iter().filter(enough).count(), "larger sizes have fewer bits");
    let least = |bits: &dyn Fn(&Bounds) -> f64| sizes.iter().map(bits).fold(f64::MAX, f64::min);
    // Said of all supported circuits in the documents, and rounded down.
    let bits = least(&|bounds| -bounds.sum());
    assert!(bits >= 102.5, "{bits}");
    let least = (least(&|bounds| -bounds.sum_by_2055()) * 10.0).floor() / 10.0;
    writeln!(
        table,
        "\nUp to `2^{}` cells there are 100 bits by either theorem. Above, the 100 bits rest on the newer\n\
         one; by the older there are {least:.1} or more.",
        first + 5
    )
    .unwrap();
    table
}

/// What the weights of a `small` program are opened with, and the bits of all `small` circuits with so
/// many places, everything else at its cap.
fn small_table() -> String {
    let mut table = String::from(
        "| places | most bytes | sample | WHIR of weights | the same, by 2025/2055 | bits, 2026/2056 | bits, 2025/2055 |\n|---|---|---|---|---|---|---|\n",
    );
    let largest = largest();
    let tensor = |name: &str| name.starts_with("tensor");
    for log_weights in 6..=28 {
        let schedule = Schedule::for_weights(log_weights as u32).unwrap();
        let columns = log_weights.min(20);
        let shape = Shape::new(CodeProfile::default(), log_weights, columns, 1).unwrap();
        let own = small_opening_terms(&shape, &schedule).map(|term| term.log2_error);
        let [sample, opening] = own;
        let by_2055 = by_2055(log_weights);
        let others: Vec<f64> =
            largest.terms.iter().filter(|(name, _)| !tensor(name)).map(|(_, b)| *b).collect();
        let bits = -log2_sum(others.into_iter().chain(own));
        let others = largest.terms.iter().filter(|(name, _)| !tensor(name) && *name != WHIR);
        let others = others.chain(&largest.by_2055).map(|(_, bound)| *bound);
        let bits_by_2055 = -log2_sum(others.chain([sample, by_2055]));
        // No less than what is said of all circuits.
        assert!(bits >= 102.5, "2^{log_weights}: {bits}");
        writeln!(
            table,
            "| 2^{log_weights} | {} | 2^{sample:.1} | 2^{opening:.1} | 2^{by_2055:.1} | {bits:.1} | {bits_by_2055:.1} |",
            schedule.max_proof_bytes(),
        )
        .unwrap();
    }
    table
}

/// The most that each opening of a `small` program discloses.
fn small_disclosure_table() -> String {
    let mut table = String::from("| places | equations | proofs, at least |\n|---|---|---|\n");
    for log_weights in [16, 17, 18, 20, 22, 24] {
        let equations = profile::equations(log_weights);
        let proofs = (1_usize << log_weights).div_ceil(equations);
        writeln!(table, "| 2^{log_weights} | {equations} | {proofs} |").unwrap();
    }
    table
}

/// A bound on every circuit that is not refused: each size at its cap, and the worst opening of advice,
/// by either theorem.
fn largest() -> Bounds {
    let sizes = || (6..=28).map(capped);
    let worst = |left: &Bounds, right: &Bounds| left.sum().total_cmp(&right.sum());
    let mut bounds = sizes().max_by(worst).unwrap();
    let worst = |left: &Bounds, right: &Bounds| left.sum_by_2055().total_cmp(&right.sum_by_2055());
    bounds.by_2055 = sizes().max_by(worst).unwrap().by_2055;
    bounds
}

/// A bound on every circuit with `2^log_cells` cells: each other size at its cap, and the longest list.
fn capped(log_cells: u32) -> Bounds {
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
    let schedule = full_schedule(log_cells);
    let mut terms = counts.terms(40_f64.log2());
    let shape = Shape::new(CodeProfile::default(), 30, 22, 1 << 8).unwrap();
    terms.extend(opening_terms(&shape));
    assert!(schedule.log2_list_size() < 40_f64.log2() + 1e-9);
    let mut bounds = Bounds::new(&terms, &schedule, log_cells as usize);
    bounds.terms.push((WHIR, -schedule.security_bits()));
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

    fn finish(mut self, outputs: u32, lb: u32, mode: Mode) -> Circuit {
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
            mode,
            weights: mode.shape(layout.shape),
        };
        let root = Digest::from([0; 32]);
        let weights = match mode {
            Mode::Fast => WeightCommitment::Fast { root },
            Mode::Small => WeightCommitment::Small { root, sample: K::default() },
        };
        let descriptor = Descriptor::new(program.check().unwrap(), weights).unwrap();
        Circuit::new(&descriptor, lb).unwrap()
    }
}

/// 1024-1024-1024-1024-1024-10.
fn dense(mode: Mode) -> Circuit {
    let mut draft = Draft::new(TensorShape::vector(1024));
    (0..4).for_each(|_| draft.gemm(1024));
    draft.finish(10, 0, mode)
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
    draft.finish(10, 6, Mode::Fast)
}
