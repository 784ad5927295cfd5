//! Forms: linear expressions of earlier tensors, and the shapes that they lead to (section 2.3).

use super::check::MAX_EXTENT;
use super::tensor::TensorShape;

/// A sum of terms, of the shape of the site's tensor.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a form is its terms")]
pub struct Form {
    /// The terms; without any the form is 0.
    pub terms: Vec<Term>,
}

impl Form {
    /// Returns the sum of `terms`.
    #[must_use]
    pub const fn new(terms: Vec<Term>) -> Self {
        Self { terms }
    }
}

/// One term of a form.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the terms of section 2.3")]
pub enum Term {
    /// `m T[o]`, for a tensor of the form's shape.
    Local {
        /// Index of `T`.
        tensor: u32,
        /// The factor.
        m: i32,
    },
    /// A convolution; with a 1x1 kernel a matrix product.
    Conv(Conv),
    /// Cells of a tensor moved, windowed and summed.
    Pick(Pick),
    /// `m b'[o_c]`. A bias above 16 bits is two of them, the higher part with `m = 2^15`.
    Bias {
        /// Index of a segment with `T = C = 1`.
        segment: u32,
        /// The factor.
        m: i32,
    },
    /// `v` on every real cell.
    Const {
        /// The value.
        v: i32,
    },
}

impl Term {
    /// Returns the index of the tensor that the term reads.
    #[must_use]
    pub const fn tensor(&self) -> Option<u32> {
        match self {
            Self::Local { tensor, .. } => Some(*tensor),
            Self::Conv(conv) => Some(conv.tensor),
            Self::Pick(pick) => Some(pick.tensor),
            Self::Bias { .. } | Self::Const { .. } => None,
        }
    }
}

/// `sum_{t,c} w'[o_c, t, c_off + c] T[y st + dy dil - pad, x st + dx dil - pad, g(o_c) Cg + c]`;
/// outside `T` reads 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of section 2.3")]
pub struct Conv {
    /// Index of `T`.
    pub tensor: u32,
    /// Index of the weights' segment.
    pub segment: u32,
    /// `kh` taps, and their step, along `y`.
    pub y: Window,
    /// `kw` taps along `x`.
    pub x: Window,
    /// `G`: 1, or `C = O` (depthwise), or `Cg` and `Og` are powers of two.
    pub groups: u32,
    /// First channel of the weights that meets channel 0 of `T`; 0 unless `G = 1`.
    pub c_off: u32,
}

/// The taps of a convolution along one axis: tap `d` reads `o st + d dil - pad`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of section 2.3")]
pub struct Window {
    /// Number of taps.
    pub taps: u32,
    /// `st`.
    pub stride: u32,
    /// `pad`, cells before the first.
    pub pad: u32,
    /// `dil`.
    pub dilation: u32,
}

impl Window {
    /// One tap, every cell: the window of a matrix product.
    pub const UNIT: Self = Self { taps: 1, stride: 1, pad: 0, dilation: 1 };

    /// Returns a window of `taps` adjacent cells.
    #[must_use]
    pub const fn new(taps: u32, stride: u32, pad: u32) -> Self {
        Self { taps, stride, pad, dilation: 1 }
    }

    /// Returns the outputs along an axis of `extent` cells with `pad_after` cells behind it:
    /// `floor((extent + pad + pad_after - dil (taps - 1) - 1) / st) + 1`, or `None` if no window fits.
    #[must_use]
    pub fn outputs(&self, extent: u32, pad_after: u32) -> Option<u32> {
        let reach = self.taps.checked_sub(1)?.checked_mul(self.dilation)?.checked_add(1)?;
        let padded = extent.checked_add(self.pad)?.checked_add(pad_after)?;
        padded.checked_sub(reach)?.checked_div(self.stride)?.checked_add(1)
    }
}

impl Conv {
    /// Returns the shape of the convolution's output for an input of shape `input`, `outputs`
    /// channels and as much padding behind as before; `None` if no window fits.
    #[must_use]
    pub fn output_shape(&self, input: TensorShape, outputs: u32) -> Option<TensorShape> {
        let y = self.y.outputs(input.y, self.y.pad)?;
        let x = self.x.outputs(input.x, self.x.pad)?;
        Some(TensorShape::new(y, x, outputs))
    }
}

/// An axis of a tensor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the axes of section 1 without the batch")]
pub enum Axis {
    /// Rows.
    Y,
    /// Columns.
    X,
    /// Channels.
    C,
}

impl Axis {
    /// Returns the position in `y, x, c`.
    #[must_use]
    pub const fn position(self) -> usize {
        match self {
            Self::Y => 0,
            Self::X => 1,
            Self::C => 2,
        }
    }
}

/// What a tap outside the tensor reads.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "sections 2.3 and 4.5")]
pub enum Outside {
    /// 0.
    #[default]
    Zero,
    /// The low end of the tensor's interval, as max-pooling needs. One tap per axis only.
    Lowest,
}

/// `m sum_taps T[i(o)]`, each axis of the output with a map to an axis of `T`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of section 2.3")]
pub struct Pick {
    /// Index of `T`.
    pub tensor: u32,
    /// The axis of `T` that each of the output's axes `y, x, c` reads: a permutation.
    pub order: [Axis; 3],
    /// The map of each of the output's axes. That of `c` is a window.
    pub axes: [AxisMap; 3],
    /// What taps outside read.
    pub outside: Outside,
    /// The factor.
    pub m: i32,
}

/// A map from an output's index `o` along an axis to indices of the tensor.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the maps of section 2.3")]
pub enum AxisMap {
    /// `o st + d - pad` for each `d` of `taps`, which ascend.
    Taps {
        /// `st`.
        stride: u32,
        /// `pad`.
        pad: u32,
        /// The set of `d`.
        taps: Vec<u32>,
    },
    /// `o + start`, all inside the tensor: a slice; with `start = 0` and equal extents the identity.
    FromInput {
        /// First index of the window in the tensor.
        start: u32,
    },
    /// `o - start`, with the whole tensor inside the output: a part of a concatenation. Reads 0
    /// before and behind.
    IntoOutput {
        /// First index of the window in the output.
        start: u32,
    },
}

impl AxisMap {
    /// The identity.
    pub const SAME: Self = Self::FromInput { start: 0 };

    /// Returns the map by which output `o` reads cell `cells[o]` of `extent`, or 0 where that is
    /// `None`: a `Taps` whose stride is the extent, so that each of its taps is inside for one output
    /// alone. `None` if nothing is read, a cell is outside, or a tap would be above `2^20`.
    #[must_use]
    pub fn cells(extent: u32, cells: &[Option<u32>]) -> Option<Self> {
        let read = (0_u64..).zip(cells).filter_map(|(o, cell)| cell.map(|cell| (o, cell)));
        let behind =
            |(o, cell): (u64, u32)| (o.saturating_mul(extent.into())).saturating_sub(cell.into());
        let pad = read.clone().map(behind).max()?;
        let tap = |(o, cell): (u64, u32)| {
            let tap = (pad + u64::from(cell)).checked_sub(o.checked_mul(extent.into())?)?;
            u32::try_from(tap).ok().filter(|tap| cell < extent && *tap <= MAX_EXTENT)
        };
        let mut taps = read.map(tap).collect::<Option<Vec<_>>>()?;
        taps.reverse();
        let pad = u32::try_from(pad).ok().filter(|pad| *pad <= MAX_EXTENT)?;
        Some(Self::Taps { stride: extent, pad, taps })
    }

    /// Returns the number of taps.
    #[must_use]
    pub const fn taps(&self) -> usize {
        match self {
            Self::Taps { taps, .. } => taps.len(),
            Self::FromInput { .. } | Self::IntoOutput { .. } => 1,
        }
    }

    /// Returns the most taps that lie inside a tensor of `extent` cells for any one of `outputs`.
    #[must_use]
    pub fn most_inside(&self, outputs: u32, extent: u32) -> u64 {
        let Self::Taps { stride, pad, taps } = self else { return 1 };
        let stride = u64::from((*stride).max(1));
        let first = |tap: u32, cells: u32| {
            let before = (u64::from(*pad) + u64::from(cells)).saturating_sub(tap.into());
            before.div_ceil(stride).min(outputs.into())
        };
        // The outputs that read a cell through a tap are a run. Both its ends rise as taps fall.
        let runs = taps.iter().rev().map(|&tap| first(tap, 0)..first(tap, extent));
        let runs = runs.filter(|run| !run.is_empty());
        let mut over = runs.clone().peekable();
        let (mut most, mut open) = (0, 0_u64);
        for run in runs {
            open += 1;
            while over.next_if(|earlier| earlier.end <= run.start).is_some() {
                open = open.saturating_sub(1);
            }
            most = most.max(open);
        }
        most
    }

    /// Returns the indices that output `o` reads, those outside the tensor included.
    pub fn indices(&self, o: u32) -> impl Iterator<Item = i64> {
        let o = i64::from(o);
        let (start, taps) = match self {
            Self::Taps { stride, pad, taps } => {
                (o * i64::from(*stride) - i64::from(*pad), taps.as_slice())
            }
            Self::FromInput { start } => (o + i64::from(*start), [0].as_slice()),
            Self::IntoOutput { start } => (o - i64::from(*start), [0].as_slice()),
        };
        taps.iter().map(move |&tap| start + i64::from(tap))
    }
}

impl Pick {
    /// Returns the term that reads `tensor` as it stands, times `m`: a start for others.
    #[must_use]
    pub const fn whole(tensor: u32, m: i32) -> Self {
        Self {
            tensor,
            order: [Axis::Y, Axis::X, Axis::C],
            axes: [AxisMap::SAME, AxisMap::SAME, AxisMap::SAME],
            outside: Outside::Zero,
            m,
        }
    }

    /// Returns the number of cells that one output reads, saturating.
    #[must_use]
    pub fn taps(&self) -> u64 {
        self.axes.iter().fold(1, |taps, map| taps.saturating_mul(map.taps() as u64))
    }

    /// Returns the most cells of a tensor of shape `input` that one output reads; what is outside
    /// counts where it is not read as 0.
    #[must_use]
    pub fn most_inside(&self, input: TensorShape, output: TensorShape) -> u64 {
        if self.outside == Outside::Lowest {
            return self.taps();
        }
        let from = input.extents();
        let axes = self.order.iter().zip(&self.axes).zip(output.extents());
        axes.fold(1, |cells, ((axis, map), outputs)| {
            let extent = from.get(axis.position()).copied().unwrap_or(0);
            cells.saturating_mul(map.most_inside(outputs, extent))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(map: &AxisMap, o: u32, extent: u32) -> Vec<u32> {
        let cells = map.indices(o).filter_map(|at| u32::try_from(at).ok());
        cells.filter(|at| *at < extent).collect()
    }

    #[test]
    fn any_choice_of_cells_is_a_map() {
        let choices: [(u32, &[Option<u32>]); 6] = [
            (3, &[Some(0), Some(0), Some(1), Some(1), Some(2), Some(2)]),
            (3, &[None, Some(0), None, None, Some(1), None, None, Some(2)]),
            (5, &[Some(4), Some(0), Some(4), Some(2)]),
            (1, &[Some(0), None, Some(0), Some(0)]),
            (9, &[Some(7)]),
            (2, &[Some(1), Some(1), Some(1), Some(0)]),
        ];
        for (extent, cells) in choices {
            let map = AxisMap::cells(extent, cells).unwrap();
            for (o, cell) in (0..).zip(cells) {
                let wanted: Vec<u32> = cell.iter().copied().collect();
                assert_eq!(inside(&map, o, extent), wanted, "{cells:?}, {o}");
            }
            let outputs = u32::try_from(cells.len()).unwrap();
            assert_eq!(map.most_inside(outputs, extent), 1, "{cells:?}");
            let AxisMap::Taps { taps, .. } = map else { panic!("{map:?}") };
            assert!(taps.is_sorted_by(|a, b| a < b), "{taps:?}");
        }
        assert_eq!(AxisMap::cells(3, &[None, None]), None);
        assert_eq!(AxisMap::cells(3, &[Some(3)]), None);
        assert_eq!(AxisMap::cells(1 << 20, &[None, None, Some(0)]), None);
    }

    #[test]
    fn the_most_cells_inside_are_those_of_the_output_that_reads_most() {
        let sets: [&[u32]; 6] =
            [&[0], &[0, 1, 2], &[0, 3, 4, 9], &[2, 5, 7, 11, 30], &[40], &[0, 10, 20, 30]];
        for taps in sets {
            for (stride, pad) in [(1, 0), (1, 3), (2, 1), (3, 20), (7, 2), (50, 0)] {
                let map = AxisMap::Taps { stride, pad, taps: taps.to_vec() };
                for (outputs, extent) in [(1, 1), (6, 4), (3, 12), (20, 7)] {
                    let most = (0..outputs).map(|o| inside(&map, o, extent).len() as u64).max();
                    let case = format!("{map:?}, {outputs} of {extent}");
                    assert_eq!(Some(map.most_inside(outputs, extent)), most, "{case}");
                }
            }
        }
    }
}
