//! Every rule for loading a key: one field changed, and that rule refuses, naming the place.

use assay_zkml::program::{
    Axis, AxisMap, Conv, Form, Interval, Outside, Pick, Place, Program, Rule, Site, Table, Tensor,
    TensorShape, Term, Window,
};
use assay_zkml::tensor_code::{CodeProfile, Shape};

use crate::network::{INT8, Net, RELU, network};

type Change = fn(&mut Program);

fn refuse(change: Change, place: Place, rule: Rule) {
    let mut program = network(0).program;
    change(&mut program);
    let Err(error) = program.check() else { panic!("{place}: {rule} was not refused") };
    assert_eq!((error.place, error.rule), (place, rule), "{error}");
    let printed = error.to_string();
    assert!(printed.contains(&error.got.to_string()), "{printed}");
    assert!(printed.contains(&error.required.to_string()), "{printed}");
}

fn forms(site: &mut Site) -> &mut Vec<Term> {
    match site {
        Site::Requant { form, .. } | Site::Copy { form } | Site::Output { form } => &mut form.terms,
        Site::Max2 { a, .. } => &mut a.terms,
    }
}

fn term(program: &mut Program, site: usize, term: usize) -> &mut Term {
    &mut forms(&mut program.sites[site])[term]
}

fn conv(program: &mut Program, site: usize) -> &mut Conv {
    match term(program, site, 0) {
        Term::Conv(conv) => conv,
        _ => panic!("site {site} starts with a Conv"),
    }
}

fn pick(program: &mut Program, site: usize) -> &mut Pick {
    match term(program, site, 0) {
        Term::Pick(pick) => pick,
        _ => panic!("site {site} starts with a Pick"),
    }
}

fn shift(program: &mut Program, site: usize) -> &mut u32 {
    match &mut program.sites[site] {
        Site::Requant { shift, .. } => shift,
        _ => panic!("site {site} is a Requant"),
    }
}

fn table(program: &mut Program, site: usize) -> &mut u32 {
    match &mut program.sites[site] {
        Site::Requant { table, .. } => table,
        _ => panic!("site {site} is a Requant"),
    }
}

#[test]
fn the_network_itself_is_accepted() {
    assert!(network(0).program.check().is_ok());
}

#[test]
fn counts() {
    use Place::{Program as Whole, Site as At};
    let table: &[(Change, Place, Rule)] = &[
        (|p| p.sites.clear(), Whole, Rule::Sites),
        (|p| p.sites = vec![p.sites[0].clone(); 4097], Whole, Rule::Sites),
        (|p| p.tensors.truncate(10), Whole, Rule::Tensors),
        (|p| p.limb_bits = 0, Whole, Rule::LimbBits),
        (|p| p.limb_bits = 17, Whole, Rule::LimbBits),
        (|p| p.sites[6] = p.sites[9].clone(), At(6), Rule::OneOutput),
        (|p| p.sites.swap(8, 9), At(8), Rule::OneOutput),
        (|p| p.sites[9] = p.sites[6].clone(), At(9), Rule::OneOutput),
        (
            |p| *forms(&mut p.sites[9]) = vec![Term::Bias { segment: 6, m: 1 }; (1 << 14) + 1],
            Whole,
            Rule::RemoteTerms,
        ),
        (
            |p| *forms(&mut p.sites[9]) = vec![Term::Const { v: 1 }; (1 << 15) + 1],
            Whole,
            Rule::Terms,
        ),
    ];
    table.iter().for_each(|&(change, place, rule)| refuse(change, place, rule));
}

#[test]
fn tensors() {
    use Place::Tensor as At;
    let table: &[(Change, Place, Rule)] = &[
        (|p| p.tensors[0].shape.y = 0, At(0), Rule::Extent),
        (|p| p.tensors[3].shape.x = (1 << 20) + 1, At(3), Rule::Extent),
        (|p| p.tensors[2].interval = Interval::new(1, 100), At(2), Rule::IntervalLow),
        (|p| p.tensors[2].interval = Interval::new(-9, -1), At(2), Rule::IntervalHigh),
        (|p| p.tensors[0].interval = Interval::new(-32_769, 255), At(0), Rule::IntervalLow),
        (|p| p.tensors[0].interval = Interval::new(0, 32_768), At(0), Rule::IntervalHigh),
        (|p| p.tensors[10].interval = INT8, At(10), Rule::RawInterval),
        (|p| p.tensors[10].interval.hi -= 1, At(10), Rule::RawInterval),
    ];
    table.iter().for_each(|&(change, place, rule)| refuse(change, place, rule));
}

#[test]
fn tables() {
    use Place::{Program as Whole, Table as At};
    let table: &[(Change, Place, Rule)] = &[
        (|p| p.tables[0] = Table::Range { bits: 0 }, At(0), Rule::RangeBits),
        (|p| p.tables[0] = Table::Range { bits: 9 }, At(0), Rule::RangeBits),
        (|p| p.tables[5] = Table::Max2 { kmax: u32::MAX }, At(5), Rule::Integer),
        (|p| p.tables[5] = Table::Max2 { kmax: 1 << 17 }, At(5), Rule::TableRows),
        (|p| p.tables[6] = Table::Clamp { bq: 1 << 17, lo: 0, hi: 127 }, At(6), Rule::TableRows),
        (|p| p.tables[6] = Table::Clamp { bq: 9, lo: 1, hi: 127 }, At(6), Rule::ClampLow),
        (|p| p.tables[6] = Table::Clamp { bq: 9, lo: -1, hi: -1 }, At(6), Rule::ClampHigh),
        (|p| p.tables[6] = Table::Clamp { bq: 9, lo: i32::MIN, hi: 1 }, At(6), Rule::Integer),
        (
            |p| p.tables[8] = Table::Function { bq: 2, values: vec![1; 4] },
            At(8),
            Rule::FunctionValues,
        ),
        (|p| p.tables[8] = Table::Function { bq: 0, values: vec![i32::MAX] }, At(8), Rule::Integer),
        (|p| p.tables.push(p.tables[7].clone()), At(9), Rule::DistinctTables),
        (|p| p.tables.push(Table::Max2 { kmax: 1 }), Whole, Rule::Max2Table),
        (|p| p.tables.push(Table::Range { bits: 3 }), At(9), Rule::TableUsed),
    ];
    table.iter().for_each(|&(change, place, rule)| refuse(change, place, rule));
}

#[test]
fn segments() {
    use Place::Segment as At;
    let table: &[(Change, Place, Rule)] = &[
        (|p| p.segments[0].taps = 0, At(0), Rule::SegmentSize),
        (|p| p.segments[0].outputs = 0, At(0), Rule::SegmentSize),
        (|p| p.segments[0].channels = 0, At(0), Rule::SegmentSize),
        (|p| p.segments[0].log_channels = 3, At(0), Rule::SegmentLog),
        (|p| p.segments[0].off = 2, At(0), Rule::SegmentAlignment),
        (|p| p.segments[0].outputs_padded = 3, At(0), Rule::SegmentPadding),
        (|p| p.segments[0].off = 1 << 40, At(0), Rule::SegmentEnd),
        (|p| p.segments[0].off = u64::MAX - 3, At(0), Rule::SegmentEnd),
        (|p| p.segments[1].outputs_padded = u32::MAX, At(1), Rule::SegmentEnd),
        (
            |p| p.weights = Shape::new(CodeProfile::default(), 10, 5, 1).unwrap(),
            At(0),
            Rule::SegmentEnd,
        ),
    ];
    table.iter().for_each(|&(change, place, rule)| refuse(change, place, rule));
}

#[test]
fn requantisations() {
    use Place::Site as At;
    let table: &[(Change, Place, Rule)] = &[
        (|p| *shift(p, 0) = 17, At(0), Rule::Shift),
        (
            |p| {
                p.limb_bits = 4;
                p.tables[0] = Table::Range { bits: 3 };
                p.tables[4] = Table::Clamp { bq: 5, lo: 0, hi: 1 };
            },
            At(0),
            Rule::Shift,
        ),
        (|p| *table(p, 0) = 9, At(0), Rule::TableIndex),
        (|p| *table(p, 0) = 0, At(0), Rule::RequantTable),
        (|p| *table(p, 0) = 5, At(0), Rule::RequantTable),
        (
            |p| {
                p.tables[6] = Table::Clamp { bq: 60_000, lo: 0, hi: 127 };
                *shift(p, 0) = 15;
            },
            At(0),
            Rule::UniqueRemainder,
        ),
        (|p| *shift(p, 0) = 11, At(0), Rule::LimbTable),
        (|p| p.tensors[1].interval = Interval::new(0, 126), At(0), Rule::TableHigh),
        (|p| p.tensors[4].interval = RELU, At(3), Rule::TableLow),
    ];
    table.iter().for_each(|&(change, place, rule)| refuse(change, place, rule));
}

#[test]
fn maxima_and_copies() {
    use Place::Site as At;
    let table: &[(Change, Place, Rule)] = &[
        (|p| p.tables[5] = Table::Max2 { kmax: 126 }, At(1), Rule::Max2Range),
        (|p| p.tables[5] = Table::Clamp { bq: 5, lo: 0, hi: 1 }, At(1), Rule::Max2Table),
        (|p| p.tensors[2].interval = Interval::new(0, 126), At(1), Rule::FormHigh),
        (|p| forms(&mut p.sites[1]).push(Term::Const { v: -1 }), At(1), Rule::FormLow),
        (|p| forms(&mut p.sites[1]).push(Term::Bias { segment: 1, m: 1 }), At(1), Rule::Max2Terms),
        (|p| p.tensors[7].interval = Interval::new(-127, 126), At(6), Rule::FormHigh),
        // Parts that overlap are added.
        (|p| pick(p, 6).axes[2] = AxisMap::IntoOutput { start: 1 }, At(6), Rule::FormLow),
        (
            // Two cells of three for one output.
            |p| {
                let taps = vec![0, 1, 5];
                pick(p, 6).axes[0] = AxisMap::Taps { stride: 3, pad: 0, taps };
            },
            At(6),
            Rule::FormLow,
        ),
    ];
    table.iter().for_each(|&(change, place, rule)| refuse(change, place, rule));
}

#[test]
fn convolutions_and_other_terms() {
    use Place::Site as At;
    let table: &[(Change, Place, Rule)] = &[
        (|p| conv(p, 3).tensor = 4, At(3), Rule::Topological),
        (|p| conv(p, 3).tensor = u32::MAX, At(3), Rule::Topological),
        (|p| *term(p, 4, 0) = Term::Local { tensor: 1, m: 1 }, At(4), Rule::LocalShape),
        // Equal padded shape, another real one.
        (
            |p| {
                p.tensors[4].shape = TensorShape::new(4, 3, 4);
                let Site::Requant { form, .. } = &mut p.sites[3] else { panic!("a Requant") };
                form.terms.clear();
            },
            At(4),
            Rule::LocalShape,
        ),
        (|p| *term(p, 4, 0) = Term::Local { tensor: 3, m: i32::MIN }, At(4), Rule::Integer),
        (|p| *term(p, 9, 5) = Term::Const { v: i32::MAX }, At(9), Rule::Integer),
        (|p| *term(p, 9, 3) = Term::Bias { segment: 6, m: i32::MAX }, At(9), Rule::Integer),
        (|p| *term(p, 9, 3) = Term::Bias { segment: 7, m: 1 }, At(9), Rule::SegmentIndex),
        (|p| *term(p, 9, 3) = Term::Bias { segment: 1, m: 1 }, At(9), Rule::BiasShape),
        (|p| *term(p, 9, 3) = Term::Bias { segment: 5, m: 1 }, At(9), Rule::BiasShape),
        (|p| conv(p, 0).segment = u32::MAX, At(0), Rule::SegmentIndex),
        (|p| conv(p, 0).y.taps = 0, At(0), Rule::Taps),
        (|p| conv(p, 0).x.stride = 0, At(0), Rule::Stride),
        (|p| conv(p, 0).y.dilation = 0, At(0), Rule::Dilation),
        (|p| conv(p, 0).y.pad = u32::MAX, At(0), Rule::Padding),
        (|p| conv(p, 0).y.taps = 1 << 13, At(0), Rule::KernelTaps),
        (|p| conv(p, 0).y.taps = 2, At(0), Rule::ConvTaps),
        (|p| p.segments[0].outputs = 3, At(0), Rule::ConvOutputs),
        (|p| conv(p, 0).c_off = 1, At(0), Rule::ConvChannels),
        (|p| conv(p, 0).c_off = u32::MAX, At(0), Rule::ConvChannels),
        (|p| conv(p, 0).groups = 0, At(0), Rule::ConvGroups),
        (|p| conv(p, 0).groups = 2, At(0), Rule::ConvGroups),
        (|p| conv(p, 5).groups = 4, At(5), Rule::ConvChannels),
        (|p| conv(p, 5).c_off = 1, At(5), Rule::ConvOffset),
    ];
    table.iter().for_each(|&(change, place, rule)| refuse(change, place, rule));
}

#[test]
fn picks() {
    use Place::Site as At;
    let table: &[(Change, Place, Rule)] = &[
        (|p| pick(p, 7).m = i32::MIN, At(7), Rule::Integer),
        (|p| pick(p, 7).order = [Axis::Y, Axis::Y, Axis::C], At(7), Rule::PickOrder),
        (|p| pick(p, 7).axes.swap(1, 2), At(7), Rule::PickChannels),
        (|p| pick(p, 7).outside = Outside::Lowest, At(7), Rule::PickOutside),
        (
            |p| {
                let taps = vec![0, 2, 2];
                pick(p, 7).axes[0] = AxisMap::Taps { stride: 1, pad: 0, taps };
            },
            At(7),
            Rule::PickTaps,
        ),
        (
            |p| pick(p, 7).axes[0] = AxisMap::Taps { stride: 1, pad: 0, taps: vec![] },
            At(7),
            Rule::Taps,
        ),
        (
            |p| pick(p, 7).axes[0] = AxisMap::Taps { stride: 0, pad: 0, taps: vec![0] },
            At(7),
            Rule::Stride,
        ),
        (
            |p| pick(p, 7).axes[0] = AxisMap::Taps { stride: 1, pad: u32::MAX, taps: vec![0] },
            At(7),
            Rule::Padding,
        ),
        (
            |p| {
                for axis in 0..2 {
                    let taps = (0..129).collect();
                    pick(p, 7).axes[axis] = AxisMap::Taps { stride: 1, pad: 0, taps };
                }
            },
            At(7),
            Rule::KernelTaps,
        ),
        (|p| pick(p, 7).axes[2] = AxisMap::FromInput { start: 1 }, At(7), Rule::PickWindow),
        (|p| pick(p, 6).axes[2] = AxisMap::IntoOutput { start: 5 }, At(6), Rule::PickWindow),
        (|p| pick(p, 6).axes[2] = AxisMap::IntoOutput { start: u32::MAX }, At(6), Rule::PickWindow),
    ];
    table.iter().for_each(|&(change, place, rule)| refuse(change, place, rule));
}

/// A program that only copies a tensor of `2^log` cells to its output `copies` times.
fn copies(shape: TensorShape, count: usize) -> Program {
    let mut net = Net::new(0, shape, Vec::new());
    let form = |tensor| Form::new(vec![Term::Local { tensor, m: 1 }]);
    for _ in 0..count {
        net.site(shape, INT8, Site::Copy { form: form(0) });
    }
    net.site(shape, Interval::RAW, Site::Output { form: form(0) });
    net.program
}

#[test]
fn caps_depend_on_the_batch() {
    // Input, 14 copies and output: 16 columns of 2^18 cells at lb = 6.
    let shape = TensorShape::new(64, 64, 64);
    let checked = copies(shape, 14).check().unwrap();
    assert_eq!(checked.sizes(6).unwrap().advice_cells, 1 << 28);
    let error = checked.sizes(7).unwrap_err();
    assert_eq!(error.rule, Rule::AdviceCells);
    assert_eq!(error.required, 1 << 28);
    assert_eq!(checked.sizes(11).unwrap_err().rule, Rule::BatchBits);

    let one_more = copies(shape, 15).check().unwrap();
    assert_eq!(one_more.sizes(6).unwrap_err().place, Place::Site(15));
    let huge = copies(TensorShape::new(1 << 20, 1 << 20, 1 << 20), 1).check().unwrap_err();
    assert_eq!((huge.place, huge.rule), (Place::Tensor(0), Rule::AdviceCells));
}

#[test]
fn sizes_are_those_of_sections_3_and_5() {
    let checked = network(0).checked();
    let sizes = checked.sizes(0).unwrap();
    // Sites 0 to 9; 8 x 8 x 4 is the largest column, MAX2 and the clamps the largest tables.
    let columns = 3 * 256 + 128 + 64 + 3 * 64 + 3 * 64 + 2 * 64 + 3 * 64 + 64;
    let tables = 256 + 64 + 64 + 64 + 64 + 256 + 8192 + 8192 + 512;
    assert_eq!(sizes.leaves, columns + tables);
    assert_eq!(sizes.advice_cells, columns + tables + 256 + 128 + 64);
    assert_eq!((sizes.tree_arity, sizes.claim_arity, sizes.layer_arity), (15, 15, 8));
    assert_eq!(checked.sizes(3).unwrap().layer_arity, 8);
    let local = copies(TensorShape::new(8, 8, 8), 1).check().unwrap();
    let sizes = local.sizes(0).unwrap();
    assert_eq!((sizes.leaves, sizes.tree_arity), (0, 0));
    assert_eq!((sizes.claim_arity, sizes.layer_arity, sizes.work), (9, 0, 0));
    assert_eq!(local.sizes(1).unwrap().layer_arity, 9);

    // A large input that is only read by a window: its arity counts in a batch alone.
    let mut net = Net::new(0, TensorShape::vector(1 << 10), Vec::new());
    let form = Form::new(vec![Term::Pick(Pick::whole(0, 1))]);
    net.site(TensorShape::vector(64), Interval::RAW, Site::Output { form });
    let checked = net.checked();
    assert_eq!(checked.sizes(0).unwrap().claim_arity, 6);
    assert_eq!(checked.sizes(1).unwrap().claim_arity, 11);
}

#[test]
fn verifier_work_and_lookups_have_caps() {
    let shape = TensorShape::new(1 << 18, 1, 1);
    let mut net = Net::new(0, shape, Vec::new());
    let kernel = net.segment(257, 1, 1);
    let window = Window::new(257, 1, 128);
    let term = Term::Conv(crate::network::conv(0, kernel, window, Window::UNIT, 1));
    net.site(shape, Interval::RAW, Site::Output { form: Form::new(vec![term]) });
    let error = net.program.check().unwrap_err();
    assert_eq!((error.place, error.rule), (Place::Site(0), Rule::VerifierWork));

    let shape = TensorShape::new(1 << 9, 1 << 8, 1 << 10);
    let table = vec![Table::Range { bits: 1 }, Table::Clamp { bq: 127, lo: -127, hi: 127 }];
    let mut net = Net::new(0, shape, table);
    let form = || Form::new(vec![Term::Local { tensor: 0, m: 1 }]);
    net.site(shape, INT8, Site::Requant { form: form(), shift: 1, table: 1 });
    net.program.tensors.push(Tensor { shape: TensorShape::vector(1), interval: Interval::RAW });
    net.program.sites.push(Site::Output { form: Form::default() });
    let error = net.program.check().unwrap_err();
    assert_eq!((error.place, error.rule), (Place::Site(0), Rule::LookupLeaves));
}
