//! Bounds of the rules for loading a key, met exactly and missed by one.

use std::collections::BTreeMap;

use assay_zkml::program::{
    Axis, AxisMap, Form, Interval, Outside, Pick, Place, Program, Rule, Segment, Site, Table,
    TensorShape, Term, Window,
};

use crate::network::{INT8, Net, conv, network};
use crate::words::Words;

/// One requantisation of the input by `shift` bits through a clamp of `bq`.
fn requantised(shift: u32, bq: u32) -> Program {
    let vector = TensorShape::vector(3);
    let mut tables = vec![Table::Range { bits: 8 }, Table::Clamp { bq, lo: -127, hi: 127 }];
    if !shift.is_multiple_of(8) {
        tables.insert(1, Table::Range { bits: shift % 8 });
    }
    let table = tables.len() as u32 - 1;
    let mut net = Net::new(0, vector, tables);
    let local = |tensor| Form::new(vec![Term::Local { tensor, m: 1 }]);
    net.site(vector, INT8, Site::Requant { form: local(0), shift, table });
    net.site(vector, Interval::RAW, Site::Output { form: local(1) });
    net.program
}

#[track_caller]
fn refused(program: Program, place: Place, rule: Rule, required: i64, got: i64) {
    let error = program.check().unwrap_err();
    assert_eq!((error.place, error.rule), (place, rule), "{error}");
    assert_eq!((error.required, error.got), (required, got), "{error}");
}

/// N3, which makes the decomposition unique: `2^s (2 Bq + 1) <= p`.
#[test]
fn quotients_times_the_scale_stay_below_the_modulus() {
    let p = i64::from(assay_zkml::field::MODULUS);
    for (shift, bq) in [(16, 16_255), (15, 32_511), (14, 65_023)] {
        assert!((1 << shift) * (2 * i64::from(bq) + 1) <= p);
        assert!(requantised(shift, bq).check().is_ok(), "{shift}");
        let over = (1 << shift) * (2 * i64::from(bq) + 3);
        assert!(over > p);
        refused(requantised(shift, bq + 1), Place::Site(0), Rule::UniqueRemainder, p, over);
    }
}

/// Operands may lie at the ends of intervals that are not those of a ReLU.
#[test]
fn maxima_have_the_differences_of_their_operands() {
    let maximum = |kmax, low: i32, high: i32| {
        let vector = TensorShape::vector(3);
        let mut net = Net::new(0, vector, vec![Table::Max2 { kmax }]);
        net.program.tensors[0].interval = Interval::new(low, high);
        let form =
            |m| Form::new(vec![Term::Local { tensor: 0, m }, Term::Const { v: 3 * (m - 1) }]);
        let interval = Interval::new(low.min(-high - 6), high.max(-low - 6));
        net.site(vector, interval, Site::Max2 { a: form(1), b: form(-1) });
        let form = Form::new(vec![Term::Local { tensor: 1, m: 1 }]);
        net.site(vector, Interval::RAW, Site::Output { form });
        net.program
    };
    for (low, high) in [(-127, 127), (-40, 100), (-100, 40)] {
        let reach = i64::from(high.max(-low - 6) - low.min(-high - 6));
        assert!(maximum(reach as u32, low, high).check().is_ok());
        let short = reach as u32 - 1;
        refused(maximum(short, low, high), Place::Site(0), Rule::Max2Range, reach, reach - 1);
    }
}

/// Operands that are never near 0 differ by less than they are large.
#[test]
fn maxima_of_operands_far_from_zero_need_no_longer_table() {
    let vector = TensorShape::vector(3);
    let maximum = |kmax| {
        let mut net = Net::new(0, vector, vec![Table::Max2 { kmax }]);
        net.program.tensors[0].interval = Interval::new(-10, 10);
        let form = |m| Form::new(vec![Term::Local { tensor: 0, m }, Term::Const { v: 100 }]);
        let site = Site::Max2 { a: form(1), b: form(-1) };
        net.site(vector, Interval::new(0, 110), site);
        let form = Form::new(vec![Term::Local { tensor: 1, m: 1 }]);
        net.site(vector, Interval::RAW, Site::Output { form });
        net.program
    };
    assert!(maximum(20).check().is_ok());
    refused(maximum(19), Place::Site(0), Rule::Max2Range, 20, 19);
}

/// Section 4.4: depthwise, or both sizes of a group are powers of two.
#[test]
fn groups_have_sizes_of_powers_of_two() {
    let grouped = |inputs, outputs, groups| {
        let mut net = Net::new(0, TensorShape::vector(inputs), Vec::new());
        let segment = net.segment(1, outputs, inputs / groups);
        let form = conv(0, segment, Window::UNIT, Window::UNIT, groups);
        let form = Form::new(vec![Term::Conv(form)]);
        net.site(TensorShape::vector(outputs), Interval::RAW, Site::Output { form });
        net.program
    };
    for (inputs, outputs, groups) in [(3, 3, 3), (4, 8, 2), (6, 3, 3), (3, 12, 3), (5, 7, 1)] {
        assert!(grouped(inputs, outputs, groups).check().is_ok(), "{inputs} {outputs} {groups}");
    }
    for (inputs, outputs, groups, required, got) in
        [(3, 9, 3, 4, 3), (9, 3, 3, 4, 3), (6, 2, 2, 4, 3)]
    {
        let program = grouped(inputs, outputs, groups);
        refused(program, Place::Site(0), Rule::ConvGroupSize, required, got);
    }
}

#[test]
fn segments_are_named_by_indices_that_exist() {
    let mut net = Net::new(0, TensorShape::vector(3), Vec::new());
    for _ in 0..3 {
        net.segment(1, 3, 1);
    }
    let bias = |segment| Site::Output { form: Form::new(vec![Term::Bias { segment, m: 1 }]) };
    net.site(TensorShape::vector(3), Interval::RAW, bias(2));
    assert!(net.program.clone().check().is_ok());
    for index in [3, 7] {
        let mut program = net.program.clone();
        program.sites[0] = bias(index);
        refused(program, Place::Site(0), Rule::SegmentIndex, 2, index.into());
    }
}

#[test]
fn segments_start_at_multiples_of_their_rows() {
    let mut net = Net::new(0, TensorShape::vector(3), Vec::new());
    net.segment(1, 2, 8);
    net.segment(1, 2, 7);
    let form = Form::new(vec![Term::Const { v: 1 }]);
    net.site(TensorShape::vector(3), Interval::RAW, Site::Output { form });
    assert!(net.program.clone().check().is_ok());
    let Segment { off, .. } = net.program.segments[1];
    for moved in [1, 2, 4] {
        let mut program = net.program.clone();
        program.segments[1].off = off - moved;
        let got = (off - moved) as i64;
        refused(program, Place::Segment(1), Rule::SegmentAlignment, 8, got);
    }
}

/// N4: `W_y + W_x + W_c + 16 g T n_w` of each term, `g` being 1 for depthwise.
#[test]
fn the_work_of_a_key_is_that_of_its_terms() {
    let net = network(0);
    let n_w = net.program.weights.log_weights() as u64;
    // Taps, outputs and extent of the axes of each term, in the order of sites.
    let (same, maximum_x, maximum_y) = (
        [(3, 6, 6), (3, 5, 5)],
        [(1, 6, 6), (1, 3, 5), (1, 4, 4)],
        [(1, 3, 6), (1, 3, 3), (1, 4, 4)],
    );
    let (strided, dilated, part) =
        ([(3, 3, 6), (3, 3, 5)], [(2, 3, 3); 2], [(1, 3, 3), (1, 3, 3), (1, 8, 4)]);
    let (all, whole, unit) = ([(3, 1, 3), (3, 1, 3), (1, 8, 8)], [(3, 1, 3); 2], [(1, 1, 1); 2]);
    let axes: [&[(u64, u64, u64)]; 13] = [
        &same, &maximum_x, &maximum_x, &maximum_y, &maximum_y, &strided, &dilated, &part, &part,
        &all, &whole, &whole, &unit,
    ];
    let along = axes.into_iter().flatten().map(|&(taps, outputs, extent)| {
        let read = taps * outputs;
        let entries = extent.next_power_of_two();
        let table = entries.min(read * u64::from(entries.ilog2()));
        read + outputs.next_power_of_two() + table
    });
    // Taps times groups of the convolutions.
    let weighted = 9 + 9 + 2 * 4 + 2 * 9 + 1;
    let wanted = along.sum::<u64>() + 16 * n_w * weighted;
    assert_eq!(net.checked().sizes(0).unwrap().work, wanted);

    for (inputs, outputs, groups, counted) in
        [(4, 8, 4, 4), (8, 4, 4, 4), (4, 4, 4, 1), (4, 4, 1, 1)]
    {
        let mut net = Net::new(0, TensorShape::vector(inputs), Vec::new());
        let segment = net.segment(1, outputs, inputs / groups);
        let form = conv(0, segment, Window::UNIT, Window::UNIT, groups);
        let form = Form::new(vec![Term::Conv(form)]);
        net.site(TensorShape::vector(outputs), Interval::RAW, Site::Output { form });
        let n_w = net.program.weights.log_weights() as u64;
        let work = net.checked().sizes(0).unwrap().work;
        let along = 2 * 2;
        assert_eq!(work, along + 16 * counted * n_w, "{inputs} {outputs} {groups}");
    }
}

#[test]
fn tables_at_their_bounds_are_tables() {
    let most = (assay_zkml::field::MODULUS / 2) as i32;
    let tables = [
        Table::Clamp { bq: 5, lo: 0, hi: 0 },
        Table::Clamp { bq: 5, lo: -3, hi: 0 },
        Table::Clamp { bq: 5, lo: -most, hi: most },
        Table::Max2 { kmax: (1 << 17) - 1 },
        Table::Function { bq: 1, values: vec![most, 0, -most] },
        Table::Range { bits: 16 },
    ];
    for table in tables {
        assert_eq!(table.check(), Ok(()), "{table:?}");
    }
    assert!(Table::Max2 { kmax: 1 << 17 }.check().is_err());
    assert!(Table::Function { bq: 0, values: vec![most + 1] }.check().is_err());
    assert!(Table::Function { bq: 0, values: vec![-most - 1] }.check().is_err());
}

/// A random map of an axis, and how many outputs it has.
fn axis_map(words: &mut Words, extent: u32, is_channels: bool) -> (AxisMap, u32) {
    let mut below = |bound: u32| words.below(bound as usize) as u32;
    match below(if is_channels { 3 } else { 5 }) {
        0 => {
            let start = below(extent);
            (AxisMap::FromInput { start }, 1 + below(extent - start))
        }
        1 => {
            let start = below(3);
            (AxisMap::IntoOutput { start }, extent + start + below(3))
        }
        2 => (AxisMap::SAME, extent),
        _ => {
            let taps = (0..9).filter(|_| below(3) == 0).collect();
            (AxisMap::Taps { stride: 1 + below(4), pad: below(6), taps }, 1 + below(6))
        }
    }
}

/// A random pick of tensor 0, and the shape that it makes.
fn picked(words: &mut Words, shape: TensorShape) -> (Pick, TensorShape) {
    let orders = [
        [Axis::Y, Axis::X, Axis::C],
        [Axis::X, Axis::Y, Axis::C],
        [Axis::C, Axis::X, Axis::Y],
        [Axis::C, Axis::Y, Axis::X],
    ];
    let order = orders[words.below(4)];
    let mut pick = Pick { order, ..Pick::whole(0, words.below(7) as i32 - 3) };
    let [y, x, c] = [0, 1, 2].map(|axis| {
        let (map, outputs) = axis_map(words, shape.extent(order[axis]), axis == 2);
        pick.axes[axis] = map;
        outputs
    });
    if pick.taps() == 1 && words.below(2) == 0 {
        pick.outside = Outside::Lowest;
    }
    (pick, TensorShape::new(y, x, c))
}

/// The least and the most that output `o` of a sum of picks can be.
fn ends(picks: &[Pick], shape: TensorShape, cells: Interval, o: [u32; 3]) -> [i64; 2] {
    let (mut factors, mut fixed) = (BTreeMap::<[i64; 3], i64>::new(), 0);
    for Pick { order, axes, outside, m, .. } in picks {
        let [ys, xs, cs] = [0, 1, 2].map(|axis| axes[axis].indices(o[axis]).collect::<Vec<_>>());
        let places = ys.iter().flat_map(|y| xs.iter().map(move |x| (y, x)));
        for ((&y, &x), &c) in places.flat_map(|yx| cs.iter().map(move |c| (yx, c))) {
            let mut at = [0; 3];
            order.iter().zip([y, x, c]).for_each(|(axis, index)| at[axis.position()] = index);
            let mut along = at.iter().zip(shape.extents());
            if along.all(|(&index, extent)| (0..i64::from(extent)).contains(&index)) {
                *factors.entry(at).or_default() += i64::from(*m);
            } else if *outside == Outside::Lowest {
                fixed += i64::from(*m) * i64::from(cells.lo);
            }
        }
    }
    let reach = |towards: fn(i64, i64) -> i64| {
        let most =
            |factor: &i64| towards(factor * i64::from(cells.lo), factor * i64::from(cells.hi));
        fixed + factors.values().map(most).sum::<i64>()
    };
    [reach(i64::min), reach(i64::max)]
}

/// N1, and the intervals of copies: whatever a form of picks can be is inside what is checked.
#[test]
fn no_cell_leaves_the_bounds_of_its_picks() {
    let mut words = Words::new(77);
    let mut exact = 0;
    for round in 0..4000 {
        let [y, x, c] = [0; 3].map(|_| 1 + words.below(4) as u32);
        let shape = TensorShape::new(y, x, c);
        let cells = Interval::new(-(words.below(4) as i32), words.below(4) as i32);
        let (first, output) = picked(&mut words, shape);
        let more = [0; 3].map(|_| picked(&mut words, shape));
        let alike = more.into_iter().filter(|(_, other)| *other == output).map(|(pick, _)| pick);
        let picks: Vec<Pick> = [first].into_iter().chain(alike).collect();
        let form = Form::new(picks.iter().cloned().map(Term::Pick).collect());
        let net = |interval, site| {
            let mut net = Net::new(0, shape, Vec::new());
            net.program.tensors[0].interval = cells;
            net.site(output, interval, site);
            net
        };
        let Ok(program) = net(Interval::RAW, Site::Output { form: form.clone() }).program.check()
        else {
            continue;
        };
        let bounds = &program.weight_bounds(&[]).unwrap()[0].acc_max[0];
        let (mut least, mut most) = (0, 0);
        for (y, x) in (0..output.y).flat_map(|y| (0..output.x).map(move |x| (y, x))) {
            for (c, &bound) in (0..output.c).zip(bounds) {
                let [low, high] = ends(&picks, shape, cells, [y, x, c]);
                assert!(low.unsigned_abs().max(high.unsigned_abs()) <= bound, "{round}: {picks:?}");
                (least, most) = (low.min(least), high.max(most));
            }
        }
        let copies = |least: i64, most: i64| {
            let interval = Interval::new(least as i32, most as i32);
            let mut net = net(interval, Site::Copy { form: form.clone() });
            let local = Form::new(vec![Term::Local { tensor: 1, m: 1 }]);
            net.site(output, Interval::RAW, Site::Output { form: local });
            net.program.check().is_ok()
        };
        assert!(least == 0 || !copies(least + 1, most), "{round}: {picks:?}");
        assert!(most == 0 || !copies(least, most - 1), "{round}: {picks:?}");
        exact += usize::from(copies(least, most));
    }
    assert!(exact > 1000, "{exact}");
}
