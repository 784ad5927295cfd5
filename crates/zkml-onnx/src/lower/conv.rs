//! Conv, Pad, and the windows that they share with pooling.

use assay_zkml::program::{TensorShape, Window};

use super::{Activation, Lowering, Pending, Source, label, layout};
use crate::constant::Constant;
use crate::draft::{Clamp, Kernel, Sum, SumConv, SumTerm};
use crate::error::Refusal;
use crate::graph::Node;
use crate::limits;
use crate::view::{C, X, Y};

/// Largest dense kernel that a grouped one is written as, in weights.
const MAX_DENSE: u64 = 1 << 26;

/// A window along one axis, with the padding behind, and how many outputs it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sliding {
    pub(super) window: Window,
    pub(super) outputs: u32,
}

impl Sliding {
    /// The place behind the last cell that the last window reads, without the padding in front.
    pub(super) fn end(&self) -> u64 {
        let Window { taps, stride, dilation, .. } = self.window;
        let product = |count: u32, step: u32| u64::from(count.saturating_sub(1)) * u64::from(step);
        product(self.outputs, stride) + product(taps, dilation) + 1
    }
}

/// The attributes of a sliding window along `y` and `x`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    pub(super) y: Sliding,
    pub(super) x: Sliding,
    /// Whether a window reads cells that `ceil_mode` added behind the padding.
    pub(super) beyond: bool,
}

/// Kernel sizes, strides and so on of one operator.
pub(super) struct Attributes {
    kernel: Vec<u32>,
    strides: Vec<u32>,
    dilations: Vec<u32>,
    /// Before each axis, then behind each.
    pads: Vec<u32>,
    pub(super) same: Option<Same>,
    ceil: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Same {
    Upper,
    Lower,
}

impl Windows {
    /// Reads the attributes of `node` for an input of `extents` along its spatial axes.
    pub(super) fn read(
        node: &Node,
        kernel: &[u32],
        extents: &[u32],
        added: [u32; 2],
    ) -> Result<Self, Refusal> {
        let attributes = Attributes::read(node, kernel)?;
        let mut beyond = false;
        let mut axes = Vec::new();
        for ((axis, &extent), added) in extents.iter().enumerate().zip(added) {
            let (sliding, over) = attributes.sliding(axis, extent, added)?;
            beyond |= over;
            axes.push(sliding);
        }
        let one = Sliding { window: Window::UNIT, outputs: 1 };
        let mut axes = axes.into_iter();
        let (y, x) = (axes.next().unwrap_or(one), axes.next().unwrap_or(one));
        Ok(Self { y, x, beyond })
    }
}

impl Attributes {
    pub(super) fn read(node: &Node, kernel: &[u32]) -> Result<Self, Refusal> {
        let rank = kernel.len();
        let list = |name: &'static str, default: u32, length: usize| match node.ints(name)? {
            None => Ok(vec![default; length]),
            Some(values) if values.len() == length => values
                .iter()
                .map(|&value| {
                    let value = u32::try_from(value).ok().filter(|value| *value <= 1 << 20);
                    value.ok_or_else(|| Refusal::mismatch(name, "0 to 2^20", format!("{values:?}")))
                })
                .collect(),
            Some(values) => Err(Refusal::mismatch(name, format!("{length} values"), values.len())),
        };
        let stated = list("kernel_shape", 0, rank)?;
        if node.ints("kernel_shape")?.is_some() && stated != kernel {
            return Err(Refusal::mismatch(
                "kernel_shape",
                format!("{kernel:?}"),
                format!("{stated:?}"),
            ));
        }
        let same = match node.text("auto_pad")? {
            None | Some("NOTSET" | "VALID") => None,
            Some("SAME_UPPER") => Some(Same::Upper),
            Some("SAME_LOWER") => Some(Same::Lower),
            Some(other) => return Err(Refusal::unsupported(format!("auto_pad {other}"))),
        };
        let valid = node.text("auto_pad")? == Some("VALID");
        Ok(Self {
            kernel: kernel.to_vec(),
            strides: list("strides", 1, rank)?,
            dilations: list("dilations", 1, rank)?,
            pads: if valid { vec![0; 2 * rank] } else { list("pads", 0, 2 * rank)? },
            same,
            ceil: node.int("ceil_mode", 0)? != 0,
        })
    }

    /// Returns stride and dilation along one axis, and the padding before and behind it.
    pub(super) fn along(&self, axis: usize) -> Result<[u32; 4], Refusal> {
        let at = |values: &[u32], axis: usize| values.get(axis).copied().unwrap_or(1);
        let (stride, dilation) = (at(&self.strides, axis), at(&self.dilations, axis));
        let taps = at(&self.kernel, axis);
        for (what, value) in [("kernel", taps), ("strides", stride), ("dilations", dilation)] {
            if value == 0 {
                return Err(Refusal::mismatch(what, "above 0", 0));
            }
        }
        let (before, behind) = (at(&self.pads, axis), at(&self.pads, axis + self.kernel.len()));
        Ok([stride, dilation, before, behind])
    }

    /// Returns the window along one axis of `extent` cells, `added` of which are zeros in front.
    fn sliding(&self, axis: usize, extent: u32, added: u32) -> Result<(Sliding, bool), Refusal> {
        let [stride, dilation, before, behind] = self.along(axis)?;
        let taps = self.kernel.get(axis).copied().unwrap_or(1);
        let reach = u64::from(taps - 1) * u64::from(dilation) + 1;
        let (before, behind, outputs) = match self.same {
            Some(same) => {
                let outputs = extent.div_ceil(stride);
                let wanted = u64::from(outputs - 1) * u64::from(stride) + reach;
                let total = wanted.saturating_sub(u64::from(extent));
                let half = if same == Same::Upper { total / 2 } else { total.div_ceil(2) };
                (half, total - half, u64::from(outputs))
            }
            None => {
                let (before, behind) = (u64::from(before), u64::from(behind));
                let padded = u64::from(extent) + before + behind;
                let room = padded.checked_sub(reach).ok_or(Refusal::TooLarge {
                    what: "reach of the kernel",
                    limit: padded,
                    got: reach,
                })?;
                let steps = room / u64::from(stride);
                let more = self.ceil && !room.is_multiple_of(u64::from(stride));
                // A window that begins behind the padding's end is left out.
                let begins = (steps + 1) * u64::from(stride) < u64::from(extent) + before;
                (before, behind, steps + 1 + u64::from(more && begins))
            }
        };
        let narrow = |value: u64| {
            let narrow = u32::try_from(value).ok().filter(|value| *value <= 1 << 20);
            narrow.ok_or(Refusal::TooLarge {
                what: "padding or output",
                limit: 1 << 20,
                got: value,
            })
        };
        let end = (outputs - 1) * u64::from(stride) + reach;
        let beyond = end > u64::from(extent) + before + behind;
        let pad = narrow(before + u64::from(added))?;
        let window = Window { taps, stride, pad, dilation };
        Ok((Sliding { window, outputs: narrow(outputs)? }, beyond))
    }
}

impl Lowering {
    pub(super) fn conv(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let activation = self.take(node, 0)?;
        let weights = self.required(node, 1, "the kernel")?;
        let bias = self.constant(node, 2, "the bias")?;
        biased(self.convolve(node, activation, &weights)?, bias.as_deref())
    }

    /// Returns the convolution of an activation with the kernel `[output][channel][y][x]`.
    pub(super) fn convolve(
        &mut self,
        node: &Node,
        activation: Activation,
        weights: &Constant,
    ) -> Result<Activation, Refusal> {
        let wanted = layout::spatial(&activation.view)?;
        let mut activation = self.canonical(activation, &wanted, node)?;
        let groups = node.int("group", 1)?;
        if matches!(activation.source, Source::Pending(_))
            || matches!(activation.source, Source::Parts(_)) && groups != 1
        {
            activation = self.settle(activation)?;
        }
        let Activation { source, shape, view, .. } = activation;
        let (parts, added) = match source {
            Source::Tensor(tensor) => (vec![tensor], [0, 0]),
            Source::Parts(parts) => (parts, [0, 0]),
            Source::Padded { tensor, before } => (vec![tensor], before),
            _ => return Err(Refusal::unsupported("a value that is no tensor")),
        };
        let [_, _, kernel @ ..] = weights.dims.as_slice() else {
            return Err(Refusal::mismatch("rank of the kernel", view.rank(), weights.dims.len()));
        };
        let extents: Vec<u32> =
            [Y, X].iter().take(kernel.len()).map(|&axis| view.extent(axis)).collect();
        if kernel.len() + 2 != view.rank() || extents.len() != kernel.len() {
            return Err(Refusal::mismatch("rank of the kernel", view.rank(), weights.dims.len()));
        }
        let windows = Windows::read(node, kernel, &extents, added)?;
        convolution(node, (parts, shape), weights, windows, groups)
    }
}

/// The convolution of tensors that stand one behind another, of `shape` together, with the kernel
/// `[output][channel][y][x]`.
pub(super) fn convolution(
    node: &Node,
    (parts, shape): (Vec<usize>, TensorShape),
    weights: &Constant,
    windows: Windows,
    groups: i64,
) -> Result<Activation, Refusal> {
    let [outputs, channels, ..] = *weights.dims.as_slice() else {
        return Err(Refusal::mismatch("rank of the kernel", "3 or 4", weights.dims.len()));
    };
    let groups = group_count(groups, shape.c, channels, outputs)?;
    let (kernel, groups) = kernel_of(weights, groups, shape.c)?;
    let conv = SumConv { parts, kernel, y: windows.y.window, x: windows.x.window, groups };
    let sum = Sum { terms: vec![SumTerm::Conv(conv)], bias: Vec::new() };
    let pending = Pending { sum, clamp: Clamp::NONE, given: None, label: label(node) };
    let shape = TensorShape::new(windows.y.outputs, windows.x.outputs, outputs);
    let view = crate::view::View::new(&shape.extents(), &spatial_of(weights.dims.len()));
    Ok(Activation::pending(pending, shape, view))
}

/// Adds a bias, if there is one, to a product.
pub(super) fn biased(
    mut product: Activation,
    bias: Option<&Constant>,
) -> Result<Activation, Refusal> {
    if let (Some(bias), Source::Pending(pending)) = (bias, &mut product.source) {
        let channels = product.shape.c;
        let values = bias.as_floats("the bias")?;
        if values.len() != channels as usize {
            return Err(Refusal::mismatch("values of the bias", channels, values.len()));
        }
        let values: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        pending.sum.add_bias(&values, channels);
    }
    Ok(product)
}

/// The layout of a convolution's output.
pub(super) fn spatial_of(rank: usize) -> Vec<Option<usize>> {
    [None, Some(C), Some(Y), Some(X)].into_iter().take(rank).collect()
}

fn group_count(groups: i64, inputs: u32, channels: u32, outputs: u32) -> Result<u32, Refusal> {
    let groups = u32::try_from(groups).ok().filter(|groups| *groups > 0);
    let groups = groups.ok_or_else(|| Refusal::mismatch("group", "above 0", 0))?;
    if u64::from(channels) * u64::from(groups) != u64::from(inputs) {
        let expected = format!("{inputs} channels of the input");
        return Err(Refusal::mismatch(
            "channels of the kernel, times its groups,",
            expected,
            format!("{channels} times {groups}"),
        ));
    }
    if !outputs.is_multiple_of(groups) || outputs == 0 {
        return Err(Refusal::mismatch(
            "outputs of the kernel",
            format!("a multiple of {groups}"),
            outputs,
        ));
    }
    Ok(groups)
}

/// Puts `[output][channel][y][x]` in the order `[tap][output][channel]`. Groups that the program does
/// not have (section 4.4) become one, with zeros.
fn kernel_of(weights: &Constant, groups: u32, inputs: u32) -> Result<(Kernel, u32), Refusal> {
    let values = weights.as_floats("the kernel")?;
    let [outputs, channels, ..] = *weights.dims.as_slice() else {
        return Err(Refusal::mismatch("rank of the kernel", 4, weights.dims.len()));
    };
    let taps = values.len() / (outputs as usize * channels as usize).max(1);
    let depthwise = groups == inputs && groups == outputs;
    let (group_in, group_out) = (channels, outputs / groups);
    let allowed =
        depthwise || groups == 1 || group_in.is_power_of_two() && group_out.is_power_of_two();
    let (width, groups_left) = if allowed { (channels, groups) } else { (inputs, 1) };
    let dense = u64::from(outputs) * u64::from(width) * taps as u64;
    if !allowed {
        limits::at_most("kernel without its groups", MAX_DENSE, dense)?;
    }
    let mut ordered = Vec::with_capacity(outputs as usize * width as usize * taps);
    for tap in 0..taps {
        for (output, kernel) in (0_u32..).zip(values.chunks_exact(channels as usize * taps)) {
            let row = kernel.iter().skip(tap).step_by(taps);
            if allowed {
                ordered.extend(row);
                continue;
            }
            let first = ((output / group_out) * group_in) as usize;
            let behind = inputs as usize - first - group_in as usize;
            ordered.extend(std::iter::repeat_n(0.0, first));
            ordered.extend(row);
            ordered.extend(std::iter::repeat_n(0.0, behind));
        }
    }
    let taps = u32::try_from(taps).unwrap_or(u32::MAX);
    Ok((Kernel { taps, outputs, channels: width, weights: ordered }, groups_left))
}
