//! MaxPool as pairs along an axis, AveragePool and ReduceMean as sums of taps (section 2.3).

use assay_zkml::program::{AxisMap, Outside, Pick, TensorShape};

use super::conv::{Sliding, Windows, spatial_of};
use super::{Activation, Lowering, Pending, Source, label, layout, whole};
use crate::draft::{Clamp, Read, Scale, Step, Sum, SumTerm};
use crate::error::Refusal;
use crate::graph::Node;
use crate::view::{View, X, Y};

/// Most taps of a pooling window along one axis.
const MAX_TAPS: u32 = 1 << 12;

impl Lowering {
    pub(super) fn max_pool(&mut self, node: &Node) -> Result<Activation, Refusal> {
        if node.int("storage_order", 0)? != 0 {
            return Err(Refusal::unsupported("storage_order"));
        }
        let activation = self.pooled(node)?;
        let windows = self.pool_windows(node, &activation, [0, 0])?;
        self.max_over(node, activation, windows)
    }

    pub(super) fn global_max_pool(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.pooled(node)?;
        let windows = whole_windows(&activation.view);
        self.max_over(node, activation, windows)
    }

    /// Takes the input of a pooling operator, its dimensions on their axes.
    fn pooled(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        if activation.view.rank() < 3 {
            return Err(Refusal::mismatch("rank of the input", "3 or 4", activation.view.rank()));
        }
        let wanted = layout::spatial(&activation.view)?;
        self.canonical(activation, &wanted, node)
    }

    fn pool_windows(
        &self,
        node: &Node,
        activation: &Activation,
        added: [u32; 2],
    ) -> Result<Windows, Refusal> {
        let kernel = node.ints("kernel_shape")?;
        let kernel = kernel.ok_or_else(|| Refusal::mismatch("kernel_shape", "given", "nothing"))?;
        let taps = |&taps: &i64| {
            let taps = u32::try_from(taps).ok().filter(|taps| (1..=MAX_TAPS).contains(taps));
            taps.ok_or_else(|| {
                Refusal::mismatch("kernel_shape", "1 to 4096", format!("{kernel:?}"))
            })
        };
        let kernel: Vec<u32> = kernel.iter().map(taps).collect::<Result<_, _>>()?;
        let expected = activation.view.rank() - 2;
        if kernel.len() != expected {
            return Err(Refusal::mismatch("values of kernel_shape", expected, kernel.len()));
        }
        let extents = [Y, X].map(|axis| activation.view.extent(axis));
        Windows::read(node, &kernel, extents.get(..expected).unwrap_or_default(), added)
    }

    fn max_over(
        &mut self,
        node: &Node,
        activation: Activation,
        windows: Windows,
    ) -> Result<Activation, Refusal> {
        let rank = activation.view.rank();
        // What is pending has one reader: this.
        let own = matches!(activation.source, Source::Pending(_));
        let (base, _) = self.settled(activation)?;
        let tensor = self.max_along(node, base, X, windows.x)?;
        let tensor = self.max_along(node, tensor, Y, windows.y)?;
        if own {
            self.maxima.insert(tensor, base);
        }
        let shape = self.shape(tensor);
        let view = View::new(&shape.extents(), &spatial_of(rank));
        Ok(Activation { name: String::new(), source: Source::Tensor(tensor), shape, view })
    }

    pub(super) fn shape(&self, tensor: usize) -> TensorShape {
        self.tensors.get(tensor).map_or(TensorShape::vector(1), |tensor| tensor.shape)
    }

    /// The largest of each window along one axis, a tap at a time; over the whole axis, by halves.
    fn max_along(
        &mut self,
        node: &Node,
        tensor: usize,
        axis: usize,
        sliding: Sliding,
    ) -> Result<usize, Refusal> {
        let Sliding { window, outputs } = sliding;
        let extent = self.shape(tensor).extents().get(axis).copied().unwrap_or(1);
        if window.taps == 1 && window.stride == 1 && window.pad == 0 && outputs == extent {
            return Ok(tensor);
        }
        if window.taps == extent && outputs == 1 && window.pad == 0 && window.dilation == 1 {
            return Ok(self.max_by_halves(node, tensor, axis, extent));
        }
        let read = |tap: u32| {
            let taps = vec![tap.saturating_mul(window.dilation)];
            let map = AxisMap::Taps { stride: window.stride, pad: window.pad, taps };
            Read::Pick(along(tensor, axis, map, Outside::Lowest))
        };
        let mut result = None;
        // A single tap is its own maximum: a stride without a window.
        for tap in 1..window.taps.max(2) {
            let a = result.map_or_else(|| read(0), |tensor| Read::Local { tensor });
            let b = read(if window.taps == 1 { 0 } else { tap });
            result = Some(self.max_of(node, tensor, axis, outputs, a, b));
        }
        Ok(result.unwrap_or(tensor))
    }

    pub(super) fn max_by_halves(
        &mut self,
        node: &Node,
        tensor: usize,
        axis: usize,
        extent: u32,
    ) -> usize {
        let (mut tensor, mut extent) = (tensor, extent);
        while extent > 1 {
            let half = extent.div_ceil(2);
            let half_at = |start| {
                Read::Pick(along(tensor, axis, AxisMap::FromInput { start }, Outside::Zero))
            };
            let (a, b) = (half_at(0), half_at(extent - half));
            tensor = self.max_of(node, tensor, axis, half, a, b);
            extent = half;
        }
        tensor
    }

    fn max_of(
        &mut self,
        node: &Node,
        tensor: usize,
        axis: usize,
        outputs: u32,
        a: Read,
        b: Read,
    ) -> usize {
        let mut extents = self.shape(tensor).extents();
        if let Some(extent) = extents.get_mut(axis) {
            *extent = outputs;
        }
        let [y, x, c] = extents;
        let shape = TensorShape::new(y, x, c);
        self.push(label(node), shape, Scale::Same { tensor }, Step::Max2 { a, b })
    }

    pub(super) fn average_pool(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.pooled(node)?;
        let added = match activation.source {
            Source::Padded { before, .. } => before,
            _ => [0, 0],
        };
        let windows = self.pool_windows(node, &activation, added)?;
        let pads = windows.y.window.pad > 0
            || windows.x.window.pad > 0
            || [(windows.y, Y), (windows.x, X)]
                .iter()
                .any(|(sliding, axis)| sliding.end() > u64::from(activation.view.extent(*axis)));
        let padded = matches!(activation.source, Source::Padded { .. });
        if windows.beyond || pads && !padded && node.int("count_include_pad", 0)? == 0 {
            return Err(Refusal::unsupported("an average that leaves padding out"));
        }
        self.mean_over(node, activation, windows)
    }

    pub(super) fn global_average_pool(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.pooled(node)?;
        let windows = whole_windows(&activation.view);
        self.mean_over(node, activation, windows)
    }

    fn mean_over(
        &mut self,
        node: &Node,
        activation: Activation,
        windows: Windows,
    ) -> Result<Activation, Refusal> {
        let rank = activation.view.rank();
        let tensor = match activation.source {
            Source::Padded { tensor, .. } => tensor,
            _ => self.settled(activation)?.0,
        };
        let mut pick = whole(tensor);
        let [y, x, _] = &mut pick.axes;
        (*y, *x) = (taps_of(windows.y), taps_of(windows.x));
        let taps = pick.taps();
        let c = self.shape(tensor).c;
        let shape = TensorShape::new(windows.y.outputs, windows.x.outputs, c);
        // Windows have at most 2^24 taps: exact.
        let area = f64::from(u32::try_from(taps).unwrap_or(u32::MAX));
        let terms = vec![SumTerm::Pick { pick, factor: area.recip() }];
        let sum = Sum { terms, bias: Vec::new() };
        let pending = Pending { sum, clamp: Clamp::NONE, given: None, label: label(node) };
        let view = View::new(&shape.extents(), &spatial_of(rank));
        Ok(Activation::pending(pending, shape, view))
    }

    /// `ReduceMean` or `ReduceSum` over rows and columns: a global average, or as many times that as it
    /// has values.
    pub(super) fn reduce(
        &mut self,
        node: &Node,
        reduction: Reduction,
    ) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        let rank = activation.view.rank();
        let axes = self.numbers(node, 1, "axes")?.unwrap_or_default();
        let axes = layout::indices(&axes, rank)?;
        if axes.is_empty() {
            return Err(Refusal::unsupported("this over every dimension"));
        }
        let activation = self.settle(activation)?;
        let mut summed: Vec<usize> =
            axes.iter().flat_map(|&axis| activation.view.dim(axis).to_vec()).collect();
        summed.sort_unstable();
        if summed.iter().any(|axis| !matches!(*axis, X | Y)) {
            return Err(Refusal::unsupported("this over channels"));
        }
        let whole = whole_windows(&activation.view);
        let kept = |axis: usize| Sliding {
            window: assay_zkml::program::Window::UNIT,
            outputs: activation.view.extent(axis),
        };
        let windows = Windows {
            y: if summed.contains(&Y) { whole.y } else { kept(Y) },
            x: if summed.contains(&X) { whole.x } else { kept(X) },
            beyond: false,
        };
        let view = activation.view.clone();
        let area = f64::from(windows.y.window.taps) * f64::from(windows.x.window.taps);
        let mut mean = self.mean_over(node, activation, windows)?;
        if let (Reduction::Sum, Source::Pending(pending)) = (reduction, &mut mean.source) {
            pending.sum.scale(&[area]);
        }
        let mut sizes = view.sizes();
        for &axis in &axes {
            if let Some(size) = sizes.get_mut(axis) {
                *size = 1;
            }
        }
        mean.view = view.resized(&mean.shape.extents());
        if node.int("keepdims", 1)? == 0 {
            let axes: Vec<i64> = axes.iter().filter_map(|&axis| i64::try_from(axis).ok()).collect();
            let sizes = layout::squeezed(&sizes, Some(&axes))?;
            mean.view = mean.view.reshaped(&sizes, false)?;
        }
        Ok(mean)
    }
}

/// What rows and columns are reduced to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reduction {
    Mean,
    Sum,
}

fn whole_windows(view: &View) -> Windows {
    let whole = |axis: usize| Sliding {
        window: assay_zkml::program::Window::new(view.extent(axis), 1, 0),
        outputs: 1,
    };
    Windows { y: whole(Y), x: whole(X), beyond: false }
}

fn taps_of(sliding: Sliding) -> AxisMap {
    let assay_zkml::program::Window { taps, stride, pad, dilation } = sliding.window;
    AxisMap::Taps { stride, pad, taps: (0..taps).map(|tap| tap.saturating_mul(dilation)).collect() }
}

/// The pick that reads `axis` through `map` and the others as they stand.
fn along(tensor: usize, axis: usize, map: AxisMap, outside: Outside) -> Pick {
    let mut pick = Pick { outside, ..whole(tensor) };
    if let Some(place) = pick.axes.get_mut(axis) {
        *place = map;
    }
    pick
}
