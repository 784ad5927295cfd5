//! A small network with every kind of site and term, built by hand.

use assay_zkml::advice::AdviceProfile;
use assay_zkml::program::{
    AxisMap, CheckedProgram, Conv, Form, Interval, Mode, Outside, Pick, Program, Segment, Site,
    Table, Tensor, TensorShape, Term, Window,
};
use assay_zkml::tensor_code::Shape;

use crate::words::Words;

pub(crate) const INT8: Interval = Interval::new(-127, 127);
pub(crate) const RELU: Interval = Interval::new(0, 127);

/// A program being put together, with its weights.
pub(crate) struct Net {
    pub(crate) program: Program,
    pub(crate) weights: Vec<i16>,
    words: Words,
}

impl Net {
    pub(crate) fn new(seed: u64, input: TensorShape, tables: Vec<Table>) -> Self {
        let program = Program {
            advice: AdviceProfile::default(),
            limb_bits: 8,
            tensors: vec![Tensor { shape: input, interval: INT8 }],
            tables,
            segments: Vec::new(),
            sites: Vec::new(),
            mode: Mode::Fast,
            weights: Shape::for_weights(1).unwrap(),
        };
        Self { program, weights: Vec::new(), words: Words::new(seed) }
    }

    /// The same program with its weights in mode `small`, in a matrix of `2^log_weights` places or as
    /// many as are needed.
    pub(crate) fn small(mut self, log_weights: usize) -> Self {
        let shape = self.program.weights;
        if log_weights > shape.log_weights() {
            let profile = shape.profile();
            let rows = 1 << (log_weights - 4);
            self.program.weights = Shape::new(profile, log_weights, 4, rows).unwrap();
        }
        self.program.mode = Mode::Small;
        self.program.weights = Mode::Small.shape(self.program.weights);
        self
    }

    /// Adds a segment of small weights; what lies between segments is garbage.
    pub(crate) fn segment(&mut self, taps: u32, outputs: u32, channels: u32) -> u32 {
        let log = channels.next_power_of_two().trailing_zeros();
        let off = self.weights.len().next_multiple_of(1 << log);
        let mut segment = Segment::new(off as u64, taps, outputs, channels);
        segment.outputs_padded = outputs + 1;
        let end = segment.end().unwrap() as usize;
        while self.weights.len() < end {
            self.weights.push((self.words.below(201) as i16) - 100);
        }
        self.program.weights = Shape::for_weights(end).unwrap();
        self.program.segments.push(segment);
        self.program.segments.len() as u32 - 1
    }

    pub(crate) fn site(&mut self, shape: TensorShape, interval: Interval, site: Site) -> u32 {
        self.program.tensors.push(Tensor { shape, interval });
        self.program.sites.push(site);
        self.program.sites.len() as u32
    }

    pub(crate) fn checked(&self) -> CheckedProgram {
        self.program.clone().check().unwrap()
    }

    pub(crate) fn input(&mut self) -> Vec<i32> {
        let cells = self.program.tensors[0].shape.cells();
        (0..cells).map(|_| self.words.below(255) as i32 - 127).collect()
    }

    /// `w'[o, t, c]` by the formula of section 6.1.
    pub(crate) fn weight(&self, segment: usize, o: usize, t: usize, c: usize) -> i64 {
        let Segment { off, outputs_padded, log_channels, .. } = self.program.segments[segment];
        let row = t * outputs_padded as usize + o;
        i64::from(self.weights[off as usize + (row << log_channels) + c])
    }
}

pub(crate) fn conv(tensor: u32, segment: u32, y: Window, x: Window, groups: u32) -> Conv {
    Conv { tensor, segment, y, x, groups, c_off: 0 }
}

pub(crate) fn taps(stride: u32, taps: &[u32]) -> AxisMap {
    AxisMap::Taps { stride, pad: 0, taps: taps.to_vec() }
}

fn local(tensor: u32, m: i32) -> Term {
    Term::Local { tensor, m }
}

fn pooled(tensor: u32, axis: usize, tap: u32) -> Form {
    let mut pick = Pick { outside: Outside::Lowest, ..Pick::whole(tensor, 1) };
    pick.axes[axis] = taps(2, &[tap]);
    Form::new(vec![Term::Pick(pick)])
}

pub(crate) fn tables() -> Vec<Table> {
    let mut tables: Vec<_> = [8, 1, 4, 2, 6].map(|bits| Table::Range { bits }).into();
    tables.push(Table::Max2 { kmax: 127 });
    tables.push(Table::Clamp { bq: 4000, lo: 0, hi: 127 });
    tables.push(Table::Clamp { bq: 4000, lo: -127, hi: 127 });
    tables.push(Table::Function {
        bq: 130,
        values: (-130..=130).map(|q| (q * q) % 91 + 7).collect(),
    });
    tables
}

pub(crate) const RELU_TABLE: u32 = 6;
pub(crate) const CLAMP_TABLE: u32 = 7;
const FUNCTION_TABLE: u32 = 8;

/// Convolution with ReLU, 2x2 max-pool with a tap outside, depthwise with stride, an add of two
/// scales, groups with dilation, concatenation in both ways, average pool, a function, flatten and
/// Gemm to a raw output.
pub(crate) fn network(seed: u64) -> Net {
    let mut net = Net::new(seed, TensorShape::new(6, 5, 3), tables());
    let pooled_shape = TensorShape::new(3, 3, 4);
    let requant = |terms, shift, table| Site::Requant { form: Form::new(terms), shift, table };

    let (kernel, bias) = (net.segment(9, 4, 3), net.segment(1, 4, 1));
    let same = Window::new(3, 1, 1);
    let terms =
        vec![Term::Conv(conv(0, kernel, same, same, 1)), Term::Bias { segment: bias, m: 64 }];
    let t1 = net.site(TensorShape::new(6, 5, 4), RELU, requant(terms, 9, RELU_TABLE));

    let max2 = |tensor, axis| Site::Max2 { a: pooled(tensor, axis, 0), b: pooled(tensor, axis, 1) };
    let t2 = net.site(TensorShape::new(6, 3, 4), RELU, max2(t1, 1));
    let t3 = net.site(pooled_shape, RELU, max2(t2, 0));

    let depthwise = net.segment(9, 4, 1);
    let strided = Window::new(3, 2, 1);
    let terms = vec![Term::Conv(conv(t1, depthwise, strided, strided, 4))];
    let t4 = net.site(pooled_shape, INT8, requant(terms, 12, CLAMP_TABLE));

    let t5 = net.site(
        pooled_shape,
        INT8,
        requant(vec![local(t3, 700), local(t4, -900)], 10, CLAMP_TABLE),
    );

    let grouped = net.segment(4, 4, 2);
    let dilated = Window { taps: 2, stride: 1, pad: 1, dilation: 2 };
    let terms = vec![Term::Conv(conv(t5, grouped, dilated, dilated, 2))];
    let t6 = net.site(pooled_shape, INT8, requant(terms, 8, CLAMP_TABLE));

    let part = |tensor, start| {
        let mut pick = Pick::whole(tensor, 1);
        pick.axes[2] = AxisMap::IntoOutput { start };
        Term::Pick(pick)
    };
    let copy = Site::Copy { form: Form::new(vec![part(t5, 0), part(t6, 4)]) };
    let t7 = net.site(TensorShape::new(3, 3, 8), INT8, copy);

    let mut all = Pick::whole(t7, 1820);
    all.axes[0] = taps(1, &[0, 1, 2]);
    all.axes[1] = taps(1, &[0, 1, 2]);
    let t8 =
        net.site(TensorShape::vector(8), INT8, requant(vec![Term::Pick(all)], 14, CLAMP_TABLE));
    let function = requant(vec![local(t8, 1)], 0, FUNCTION_TABLE);
    let t9 = net.site(TensorShape::vector(8), Interval::new(0, 200), function);

    add_output(&mut net, [t5, t6, t9]);
    net
}

/// Flatten and Gemm over the two parts of a concatenation and a vector, with both parts of a bias.
fn add_output(net: &mut Net, [t5, t6, t9]: [u32; 3]) {
    let (flatten, gemm, bias) =
        (net.segment(9, 10, 8), net.segment(1, 10, 8), net.segment(1, 10, 1));
    let whole = Window::new(3, 1, 0);
    let second = Conv { c_off: 4, ..conv(t6, flatten, whole, whole, 1) };
    let terms = vec![
        Term::Conv(conv(t5, flatten, whole, whole, 1)),
        Term::Conv(second),
        Term::Conv(conv(t9, gemm, Window::UNIT, Window::UNIT, 1)),
        Term::Bias { segment: bias, m: 1 },
        Term::Bias { segment: bias, m: 1 << 15 },
        Term::Const { v: -5 },
    ];
    net.site(TensorShape::vector(10), Interval::RAW, Site::Output { form: Form::new(terms) });
}
