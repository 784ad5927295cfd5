//! Small networks for what [`network`](crate::network::network) does not have.

use assay_zkml::program::{
    Axis, AxisMap, Form, Interval, Pick, Site, Table, TensorShape, Term, Window,
};

use crate::network::{INT8, Net, conv};

type Make = fn() -> Net;

/// Every small network, by name.
pub(crate) fn all() -> [(&'static str, Make); 6] {
    [
        ("residual", residual),
        ("no lookups", no_lookups),
        ("wider than the tree", wider_than_the_tree),
        ("one layer", one_layer),
        ("large input", large_input),
        ("wide cells", wide_cells),
    ]
}

/// A function with `F(0) != 0` that only `Local` terms read, a residual add with two scales, and
/// pads on every axis: no remote term.
pub(crate) fn residual() -> Net {
    let shape = TensorShape::new(3, 5, 3);
    let values = (-128..=128).map(|q: i32| (q * q) % 50 - 9).collect();
    let tables = vec![
        Table::Range { bits: 8 },
        Table::Range { bits: 2 },
        Table::Function { bq: 128, values },
        Table::Clamp { bq: 1000, lo: -127, hi: 127 },
    ];
    let mut net = Net::new(31, shape, tables);
    let local = |tensor, m| Term::Local { tensor, m };
    let form = Form::new(vec![local(0, 1)]);
    let t1 = net.site(shape, INT8, Site::Requant { form, shift: 0, table: 2 });
    let form = Form::new(vec![local(t1, 1200), local(0, -700), Term::Const { v: 300 }]);
    let t2 = net.site(shape, INT8, Site::Requant { form, shift: 10, table: 3 });
    let form = Form::new(vec![local(t2, 3), local(t1, -2)]);
    net.site(shape, Interval::RAW, Site::Output { form });
    net
}

/// A transposed copy, a strided convolution with a bias, nothing looked up.
pub(crate) fn no_lookups() -> Net {
    let mut net = Net::new(32, TensorShape::new(5, 3, 2), Vec::new());
    let mut pick = Pick::whole(0, 1);
    pick.order = [Axis::X, Axis::Y, Axis::C];
    let copy = Site::Copy { form: Form::new(vec![Term::Pick(pick)]) };
    let t1 = net.site(TensorShape::new(3, 5, 2), INT8, copy);
    let (kernel, bias) = (net.segment(6, 3, 2), net.segment(1, 3, 1));
    let (y, x) = (Window::new(2, 1, 0), Window { taps: 3, stride: 2, pad: 1, dilation: 1 });
    let terms = vec![Term::Conv(conv(t1, kernel, y, x, 1)), Term::Bias { segment: bias, m: 7 }];
    let form = Form::new(terms);
    net.site(TensorShape::new(2, 3, 3), Interval::RAW, Site::Output { form });
    net
}

/// A tiny lookup, then a copy and an output with more cells than the tree has leaves.
pub(crate) fn wider_than_the_tree() -> Net {
    let vector = TensorShape::vector(2);
    let tables = vec![Table::Range { bits: 1 }, Table::Clamp { bq: 128, lo: -60, hi: 60 }];
    let mut net = Net::new(33, vector, tables);
    let form = Form::new(vec![Term::Local { tensor: 0, m: 2 }]);
    let t1 = net.site(vector, INT8, Site::Requant { form, shift: 1, table: 1 });
    let wide = TensorShape::new(17, 9, 3);
    let mut pick = Pick::whole(t1, 1);
    let start = |start| AxisMap::IntoOutput { start };
    pick.axes = [start(16), start(4), start(1)];
    let t2 = net.site(wide, INT8, Site::Copy { form: Form::new(vec![Term::Pick(pick)]) });
    let kernel = net.segment(9, 3, 3);
    let same = Window::new(3, 1, 1);
    let form = Form::new(vec![
        Term::Conv(conv(t2, kernel, same, same, 1)),
        Term::Local { tensor: t2, m: -5 },
    ]);
    net.site(wide, Interval::RAW, Site::Output { form });
    net
}

/// One matrix product: without batch nothing is committed.
pub(crate) fn one_layer() -> Net {
    let mut net = Net::new(34, TensorShape::vector(5), Vec::new());
    let weights = net.segment(1, 3, 5);
    let form = Form::new(vec![Term::Conv(conv(0, weights, Window::UNIT, Window::UNIT, 1))]);
    net.site(TensorShape::vector(3), Interval::RAW, Site::Output { form });
    net
}

/// An input larger than everything else, of which a window is read.
pub(crate) fn large_input() -> Net {
    let mut net = Net::new(35, TensorShape::new(9, 9, 7), Vec::new());
    let mut pick = Pick::whole(0, 1);
    let start = |start| AxisMap::FromInput { start };
    pick.axes = [start(4), start(5), start(3)];
    let window = TensorShape::new(3, 3, 3);
    let t1 = net.site(window, INT8, Site::Copy { form: Form::new(vec![Term::Pick(pick)]) });
    let form = Form::new(vec![Term::Local { tensor: t1, m: 3 }]);
    net.site(window, Interval::RAW, Site::Output { form });
    net
}

/// Cells of more than 8 bits: convolutions read them, a maximum is taken of them.
pub(crate) fn wide_cells() -> Net {
    let shape = TensorShape::new(2, 3, 2);
    let (whole, positive) = (Interval::new(-3000, 4000), Interval::new(0, 1500));
    let mut tables: Vec<_> = [6, 8].map(|bits| Table::Range { bits }).into();
    let clamp = |Interval { lo, hi }| Table::Clamp { bq: 4095, lo, hi };
    tables.extend([whole, positive].map(clamp));
    tables.push(Table::Max2 { kmax: 1500 });
    let mut net = Net::new(36, shape, tables);
    let (first, second, last) = (net.segment(9, 2, 2), net.segment(1, 2, 2), net.segment(3, 2, 2));
    let same = Window::new(3, 1, 1);
    let form = Form::new(vec![Term::Conv(conv(0, first, same, same, 1))]);
    let t1 = net.site(shape, whole, Site::Requant { form, shift: 6, table: 2 });
    let form = Form::new(vec![Term::Conv(conv(t1, second, Window::UNIT, Window::UNIT, 1))]);
    let t2 = net.site(shape, positive, Site::Requant { form, shift: 8, table: 3 });
    let row = TensorShape::new(1, 3, 2);
    let [a, b] = [0, 1].map(|start| {
        let mut pick = Pick::whole(t2, 1);
        pick.axes[0] = AxisMap::FromInput { start };
        Form::new(vec![Term::Pick(pick)])
    });
    let t3 = net.site(row, positive, Site::Max2 { a, b });
    let along = Window::new(3, 1, 1);
    let form = Form::new(vec![Term::Conv(conv(t3, last, Window::UNIT, along, 1))]);
    net.site(row, Interval::RAW, Site::Output { form });
    net
}
