//! The executor against a naive reference that shares no code with it.

use assay_zkml::columns::Columns;
use assay_zkml::execute::{ExecuteError, Execution, execute};
use assay_zkml::field::{F, MODULUS};
use assay_zkml::program::{
    Axis, AxisMap, CheckedProgram, Form, Interval, MAX_INTEGER, Outside, Pick, Rule, Site, Table,
    TensorShape, Term, Window,
};
use assay_zkml::witness::Witness;
use p3_field::PrimeField32;

use crate::network::{CLAMP_TABLE, INT8, Net, conv, network, tables, taps};

/// A tensor of the reference: `[y][x][c]`.
#[derive(Clone, Debug)]
struct Grid {
    shape: [usize; 3],
    cells: Vec<i64>,
}

impl Grid {
    fn new(shape: [usize; 3], cell: impl Fn(usize, usize, usize) -> i64) -> Self {
        let mut cells = Vec::new();
        for y in 0..shape[0] {
            for x in 0..shape[1] {
                for c in 0..shape[2] {
                    cells.push(cell(y, x, c));
                }
            }
        }
        Self { shape, cells }
    }

    fn get(&self, y: i64, x: i64, c: usize) -> Option<i64> {
        let [height, width, channels] = self.shape;
        let inside = y >= 0 && x >= 0 && y < height as i64 && x < width as i64 && c < channels;
        inside.then(|| self.cells[(y as usize * width + x as usize) * channels + c])
    }

    fn at(&self, y: usize, x: usize, c: usize) -> i64 {
        self.get(y as i64, x as i64, c).unwrap()
    }

    /// Rounds `acc / 2^s` to the nearest, halves up, then clamps.
    fn requantised(&self, shift: u32, lo: i64, hi: i64) -> Self {
        let round = |acc: i64| (2 * acc + (1 << shift)).div_euclid(2 << shift);
        let cells = self.cells.iter().map(|&acc| round(acc).clamp(lo, hi)).collect();
        Self { shape: self.shape, cells }
    }
}

/// Kernel, stride, padding and dilation of a square convolution.
#[derive(Clone, Copy)]
struct Square(usize, i64, i64, i64);

/// `sum_{dy,dx,c} w(o, dy kw + dx, c) x[..., first(o) + c]`.
fn convolve(
    x: &Grid,
    shape: [usize; 3],
    Square(kernel, stride, pad, dilation): Square,
    channels: usize,
    first: impl Fn(usize) -> usize,
    weight: impl Fn(usize, usize, usize) -> i64,
) -> Grid {
    Grid::new(shape, |oy, ox, o| {
        let mut sum = 0;
        for dy in 0..kernel {
            for dx in 0..kernel {
                let y = oy as i64 * stride + dy as i64 * dilation - pad;
                let x_ = ox as i64 * stride + dx as i64 * dilation - pad;
                for c in 0..channels {
                    let value = x.get(y, x_, first(o) + c).unwrap_or(0);
                    sum += weight(o, dy * kernel + dx, c) * value;
                }
            }
        }
        sum
    })
}

/// Every tensor of [`network`], and the accumulators of its sites where they are requantised.
fn reference(net: &Net, input: &[i32]) -> (Vec<Grid>, Vec<Option<Grid>>) {
    let x = Grid { shape: [6, 5, 3], cells: input.iter().map(|&v| i64::from(v)).collect() };
    let pooled = [3, 3, 4];
    let w = |segment| move |o, t, c| net.weight(segment, o, t, c);

    let mut a0 = convolve(&x, [6, 5, 4], Square(3, 1, 1, 1), 3, |_| 0, w(0));
    for (index, acc) in a0.cells.iter_mut().enumerate() {
        *acc += 64 * net.weight(1, index % 4, 0, 0);
    }
    let t1 = a0.requantised(9, 0, 127);
    let t2 = Grid::new([6, 3, 4], |y, x, c| {
        t1.at(y, 2 * x, c).max(t1.get(y as i64, 2 * x as i64 + 1, c).unwrap_or(0))
    });
    let t3 = Grid::new(pooled, |y, x, c| t2.at(2 * y, x, c).max(t2.at(2 * y + 1, x, c)));
    let a3 = convolve(&t1, pooled, Square(3, 2, 1, 1), 1, |o| o, w(2));
    let t4 = a3.requantised(12, -127, 127);
    let a4 = Grid::new(pooled, |y, x, c| 700 * t3.at(y, x, c) - 900 * t4.at(y, x, c));
    let t5 = a4.requantised(10, -127, 127);
    let a5 = convolve(&t5, pooled, Square(2, 1, 1, 2), 2, |o| o / 2 * 2, w(3));
    let t6 = a5.requantised(8, -127, 127);
    let t7 =
        Grid::new([3, 3, 8], |y, x, c| if c < 4 { t5.at(y, x, c) } else { t6.at(y, x, c - 4) });
    let a7 = Grid::new([1, 1, 8], |_, _, c| {
        1820 * (0..9).map(|cell| t7.at(cell / 3, cell % 3, c)).sum::<i64>()
    });
    let t8 = a7.requantised(14, -127, 127);
    let t9 = Grid::new([1, 1, 8], |_, _, c| t8.at(0, 0, c).pow(2) % 91 + 7);
    let flat = convolve(&t7, [1, 1, 10], Square(3, 1, 0, 1), 8, |_| 0, w(4));
    let out = Grid::new([1, 1, 10], |_, _, o| {
        let gemm: i64 = (0..8).map(|c| net.weight(5, o, 0, c) * t9.at(0, 0, c)).sum();
        flat.at(0, 0, o) + gemm + (1 + (1 << 15)) * net.weight(6, o, 0, 0) - 5
    });
    let a8 = t8.clone();
    let accs =
        vec![Some(a0), None, None, Some(a3), Some(a4), Some(a5), None, Some(a7), Some(a8), None];
    (vec![x, t1, t2, t3, t4, t5, t6, t7, t8, t9, out], accs)
}

#[test]
fn every_tensor_is_that_of_the_reference() {
    for seed in 0..20 {
        let mut net = network(seed);
        let input = net.input();
        let checked = net.checked();
        checked.check_weights(&net.weights).unwrap();
        let run = execute(&checked, &net.weights, &input).unwrap();
        let (tensors, accs) = reference(&net, &input);
        for (index, expected) in tensors.iter().enumerate() {
            let got: Vec<_> = run.tensor(index).unwrap().iter().map(|&v| i64::from(v)).collect();
            assert_eq!(got, expected.cells, "seed {seed}, tensor {index}");
        }
        assert_eq!(run.output(), run.tensor(10).unwrap());
        check_witness(&net, &checked, &witness(&checked, &run), &tensors, &accs);
    }
}

/// Puts the real cells of a grid where section 1 has them, and `pad` elsewhere.
fn padded(grid: &Grid, pad: i64) -> Vec<i64> {
    let [y, x, c] = grid.shape.map(usize::next_power_of_two);
    let y = y.max(64 / (x * c).min(64));
    let mut cells = vec![pad; y * x * c];
    for (at, cell) in cells.iter_mut().enumerate() {
        let (row, column, channel) = (at / c / x, at / c % x, at % c);
        if let Some(value) = grid.get(row as i64, column as i64, channel) {
            *cell = value;
        }
    }
    cells
}

fn witness(program: &CheckedProgram, run: &Execution) -> Witness {
    let columns = Columns::new(program, &program.sizes(0).unwrap()).unwrap();
    Witness::new(program, &columns, 0, std::slice::from_ref(run)).unwrap()
}

/// The integers that elements stand for.
fn integers(column: &[F]) -> Vec<i64> {
    let signed = |value: &F| {
        let value = i64::from(value.as_canonical_u32());
        if value > MAX_INTEGER { value - i64::from(MODULUS) } else { value }
    };
    column.iter().map(signed).collect()
}

fn check_witness(
    net: &Net,
    checked: &CheckedProgram,
    witness: &Witness,
    tensors: &[Grid],
    accs: &[Option<Grid>],
) {
    let program = &net.program;
    let mut counts: Vec<Vec<i64>> =
        program.tables.iter().map(|table| vec![0; 1 << table.arity()]).collect();
    let mut lookups = 0;
    for (index, site) in program.sites.iter().enumerate() {
        let committed = integers(&witness.tensors[index + 1]);
        if let Site::Requant { shift, table, .. } = site {
            let table_index = *table as usize;
            let table = &program.tables[table_index];
            let accs = padded(accs[index].as_ref().unwrap(), 0);
            for (cell, &acc) in accs.iter().enumerate() {
                let limbs: Vec<_> =
                    witness.limbs[index].iter().map(|limb| limb[cell].as_canonical_u32()).collect();
                let rem: i64 = limbs.iter().rev().fold(0, |rem, &limb| rem * 256 + i64::from(limb));
                let half = if *shift == 0 { 0 } else { 1_i64 << (shift - 1) };
                let scaled = acc + half - rem;
                assert!((0..1 << shift).contains(&rem));
                assert_eq!(scaled % (1 << shift), 0, "site {index}, cell {cell}");
                let (row, y) = table.look_up(scaled >> shift).unwrap();
                assert_eq!(committed[cell], i64::from(y));
                assert_eq!(integers(&witness.virtuals[index][0])[cell], scaled >> shift);
                counts[table_index][row] += 1;
                for (limb, width) in limbs.iter().zip([*shift.min(&8), shift.saturating_sub(8)]) {
                    let range = Table::Range { bits: width };
                    let range = program.tables.iter().position(|table| *table == range).unwrap();
                    counts[range][*limb as usize] += 1;
                }
                lookups += 1 + limbs.len() as u64;
            }
            continue;
        }
        let y = padded(&tensors[index + 1], 0);
        assert_eq!(committed, y);
        if let Site::Max2 { .. } = site {
            lookups += committed.len() as u64;
        }
    }
    let tables: u64 = program.tables.iter().map(|table| 1_u64 << table.arity()).sum();
    assert_eq!(checked.sizes(0).unwrap().leaves, lookups + tables);
    let counted: Vec<_> = witness.multiplicities.iter().map(|counts| integers(counts)).collect();
    let total: i64 = counted.iter().flatten().sum();
    assert_eq!(total as u64, lookups);
    for (index, count) in counts.iter().enumerate() {
        if !matches!(program.tables[index], Table::Max2 { .. }) {
            assert_eq!(counted[index], *count, "table {index}");
        }
    }
    assert_eq!(counted[5], maxima(tensors));
}

/// Counts the rows of the table of maxima.
fn maxima(tensors: &[Grid]) -> Vec<i64> {
    // Max2: taps outside read 0, the low end after ReLU; the padded cells are all row 0.
    let differences = |grid: &Grid, shape: [usize; 3], x: usize, y: usize| {
        padded(
            &Grid::new(shape, |i, j, c| {
                let (row, column) = ((i << y) as i64, (j << x) as i64);
                let a = grid.get(row, column, c).unwrap_or(0);
                a - grid.get(row + y as i64, column + x as i64, c).unwrap_or(0)
            }),
            0,
        )
    };
    let mut rows = vec![0; 256];
    let first = differences(&tensors[1], [6, 3, 4], 1, 0);
    for difference in first.into_iter().chain(differences(&tensors[2], [3, 3, 4], 0, 1)) {
        // (0, k) where a is larger, (k, 0) where b is.
        rows[if difference >= 0 { difference as usize } else { (127 - difference) as usize }] += 1;
    }
    rows
}

/// A vector of `factor * input >> shift`, then the raw output.
fn scaled(shift: u32, factor: i32, bq: u32) -> Net {
    let vector = TensorShape::vector(3);
    let mut tables: Vec<_> = [shift.min(8), shift.saturating_sub(8)]
        .into_iter()
        .filter(|&bits| bits > 0)
        .map(|bits| Table::Range { bits })
        .collect();
    tables.dedup();
    tables.push(Table::Clamp { bq, lo: -127, hi: 127 });
    let table = tables.len() as u32 - 1;
    let mut net = Net::new(0, vector, tables);
    let form = Form::new(vec![Term::Local { tensor: 0, m: factor }]);
    net.site(vector, INT8, Site::Requant { form, shift, table });
    let form = Form::new(vec![Term::Local { tensor: 1, m: 1 }]);
    net.site(vector, Interval::RAW, Site::Output { form });
    net
}

#[test]
fn halves_round_towards_plus_infinity() {
    let run = |shift, factor, input: [i32; 3]| {
        let net = scaled(shift, factor, 127);
        execute(&net.checked(), &[], &input).unwrap().output().to_vec()
    };
    assert_eq!(run(1, 1, [1, -1, 3]), [1, 0, 2]);
    assert_eq!(run(1, 1, [-3, -5, 0]), [-1, -2, 0]);
    assert_eq!(run(2, 1, [-2, -3, 2]), [0, -1, 1]);
    assert_eq!(run(0, 1, [-127, 127, 0]), [-127, 127, 0]);
    assert_eq!(run(16, 1 << 15, [1, -1, -3]), [1, 0, -1]);
    assert_eq!(run(4, -1, [7, 8, 9]), [0, 0, -1]);
}

#[test]
fn what_no_table_row_holds_is_an_error_of_the_site() {
    let net = scaled(4, 16, 100);
    let checked = net.checked();
    assert!(execute(&checked, &[], &[100, -100, 0]).is_ok());
    let error = execute(&checked, &[], &[0, 101, 0]).unwrap_err();
    assert_eq!(error, ExecuteError::OutsideTable { site: 0, cell: 1, bq: 100, got: 101 });
    assert!(checked.check_weights(&[]).unwrap_err().to_string().contains("site 0"));
}

#[test]
fn an_accumulator_past_the_bound_is_an_error_of_the_site() {
    // 127 * 2^23 = (p - 1) / 2.
    let vector = TensorShape::vector(1);
    let mut net = Net::new(0, vector, Vec::new());
    let terms = vec![Term::Local { tensor: 0, m: 1 << 23 }, Term::Const { v: 0 }];
    net.site(vector, Interval::RAW, Site::Output { form: Form::new(terms) });
    for sign in [1, -1] {
        let checked = net.checked();
        let run = execute(&checked, &[], &[127 * sign]).unwrap();
        assert_eq!(run.output(), [(127 * sign) << 23]);
        assert!(checked.check_weights(&[]).is_ok());

        let mut over = net.program.clone();
        let Site::Output { form } = &mut over.sites[0] else { panic!("an output") };
        form.terms[1] = Term::Const { v: sign };
        let over = over.check().unwrap();
        let got = i64::from(sign) * ((127 << 23) + 1);
        let error = execute(&over, &[], &[127 * sign]).unwrap_err();
        assert_eq!(error, ExecuteError::Accumulator { site: 0, cell: 0, got });
        assert!(over.check_weights(&[]).unwrap_err().to_string().contains("N1"));
    }
}

#[test]
fn inputs_and_weights_are_checked() {
    let net = scaled(4, 16, 127);
    let checked = net.checked();
    let error = execute(&checked, &[], &[1, 2]).unwrap_err();
    assert_eq!(error, ExecuteError::InputLength { expected: 3, got: 2 });
    let error = execute(&checked, &[], &[1, 2, -128]).unwrap_err();
    let expected = ExecuteError::InputValue { index: 2, low: -127, high: 127, got: -128 };
    assert_eq!(error, expected);
    let error = execute(&checked, &[0; 2], &[1, 2, 3]).unwrap_err();
    assert_eq!(error, ExecuteError::TooManyWeights { capacity: 1, got: 2 });
}

#[test]
fn a_pick_transposes_slices_and_pads() {
    let mut net = Net::new(3, TensorShape::new(4, 3, 5), Vec::new());
    let mut pick = Pick::whole(0, -2);
    pick.order = [Axis::X, Axis::Y, Axis::C];
    // Output rows are the input's columns with one empty row before and behind.
    pick.axes[0] = AxisMap::IntoOutput { start: 1 };
    pick.axes[1] = taps(2, &[0, 1]);
    pick.axes[2] = AxisMap::FromInput { start: 2 };
    let form = Form::new(vec![Term::Pick(pick)]);
    net.site(TensorShape::new(5, 2, 3), Interval::RAW, Site::Output { form });
    let input = net.input();
    let x = Grid { shape: [4, 3, 5], cells: input.iter().map(|&v| i64::from(v)).collect() };
    let expected = Grid::new([5, 2, 3], |y, j, c| {
        let read = |row: usize| x.get(row as i64, y as i64 - 1, c + 2).unwrap_or(0);
        -2 * (read(2 * j) + read(2 * j + 1))
    });
    let run = execute(&net.checked(), &[], &input).unwrap();
    assert_eq!(run.output().iter().map(|&v| i64::from(v)).collect::<Vec<_>>(), expected.cells);
}

#[test]
fn shapes_follow_from_windows() {
    let window = |taps, stride, pad, dilation| Window { taps, stride, pad, dilation };
    assert_eq!(window(3, 1, 1, 1).outputs(28, 1), Some(28));
    assert_eq!(window(3, 2, 1, 1).outputs(224, 1), Some(112));
    assert_eq!(window(2, 1, 1, 2).outputs(3, 1), Some(3));
    assert_eq!(window(5, 1, 0, 1).outputs(4, 0), None);
    assert_eq!(window(0, 1, 0, 1).outputs(4, 0), None);
    assert_eq!(window(1, 0, 0, 1).outputs(4, 0), None);
    let term = conv(0, 0, window(7, 2, 3, 1), window(7, 2, 3, 1), 1);
    let shape = term.output_shape(TensorShape::new(224, 224, 3), 64);
    assert_eq!(shape, Some(TensorShape::new(112, 112, 64)));
}

#[test]
fn bounds_are_those_of_each_channel() {
    let net = network(1);
    let bounds = net.checked().weight_bounds(&net.weights).unwrap();
    for o in 0..4 {
        let sum: i64 = (0..27).map(|at| net.weight(0, o, at / 3, at % 3).abs() * 127).sum();
        let expected = sum + 64 * net.weight(1, o, 0, 0).abs();
        assert_eq!(bounds[0].acc_max[0][o], expected as u64);
    }
    let largest = *bounds[0].acc_max[0].iter().max().unwrap();
    assert_eq!(bounds[0].bq, Some(largest.div_ceil(512) + 1));
    assert_eq!(bounds[4].acc_max[0], [700 * 127 + 900 * 127; 4]);
    let error = net.checked().check_weights(&[1, i16::MIN]).unwrap_err();
    assert_eq!((error.rule, error.required, error.got), (Rule::Weight, 32767, 32768));
    let many = vec![0; net.program.weights.capacity() + 1];
    assert_eq!(net.checked().check_weights(&many).unwrap_err().rule, Rule::WeightCount);
    assert_eq!(tables()[CLAMP_TABLE as usize].bq(), Some(4000));
}

#[test]
fn a_tap_outside_never_wins_a_maximum() {
    let mut net = Net::new(0, TensorShape::new(1, 3, 1), vec![Table::Max2 { kmax: 254 }]);
    let tap = |tap| {
        let mut pick = Pick { outside: Outside::Lowest, ..Pick::whole(0, 1) };
        pick.axes[1] = taps(2, &[tap]);
        Form::new(vec![Term::Pick(pick)])
    };
    let half = TensorShape::new(1, 2, 1);
    net.site(half, INT8, Site::Max2 { a: tap(0), b: tap(1) });
    let form = Form::new(vec![Term::Local { tensor: 1, m: 1 }]);
    net.site(half, Interval::RAW, Site::Output { form });
    let checked = net.checked();
    let run = execute(&checked, &[], &[-9, -7, -5]).unwrap();
    assert_eq!(run.output(), [-7, -5]);
    assert_eq!(run.operands(0).unwrap(), &[vec![-9, -5], vec![-7, -127]]);
    let counts = integers(&witness(&checked, &run).multiplicities[0]);
    // b larger by 2: (2, 0). a larger by 122: (0, 122). 62 pads: (0, 0).
    let rows: Vec<_> = counts.iter().enumerate().filter(|(_, count)| **count > 0).collect();
    assert_eq!(rows, [(0, &62), (122, &1), (256, &1)]);
}
