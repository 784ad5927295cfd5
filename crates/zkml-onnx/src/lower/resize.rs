//! Resize to a multiple, nearest cell, and ConvTranspose: a copy that spreads cells, and behind it, for
//! ConvTranspose, a convolution.

use assay_zkml::program::Window;

use super::conv::{Attributes, Sliding, Windows, biased, convolution};
use super::layout;
use super::{Activation, Lowering, Source, label};
use crate::constant::{Constant, Data};
use crate::error::Refusal;
use crate::graph::Node;
use crate::limits;
use crate::view::{View, X, Y};

/// Ways of ONNX to say that output `o` is cell `floor(o / scale)`, for a scale that is an integer.
const FLOORS: [[&str; 2]; 5] = [
    ["asymmetric", "floor"],
    ["half_pixel", "round_prefer_floor"],
    ["half_pixel", "round_prefer_ceil"],
    ["pytorch_half_pixel", "round_prefer_floor"],
    ["pytorch_half_pixel", "round_prefer_ceil"],
];

impl Lowering {
    pub(super) fn resize(&mut self, node: &Node) -> Result<Activation, Refusal> {
        check_mode(node)?;
        let activation = self.take(node, 0)?;
        let sizes = activation.view.sizes();
        let factors = self.factors(node, &sizes)?;
        let wanted = layout::spatial(&activation.view)?;
        let (batch, spatial) = factors.split_at_checked(2).unwrap_or_default();
        if batch.iter().any(|&factor| factor != 1) {
            return Err(Refusal::unsupported(format!("a scale of {factors:?}")));
        }
        let activation = self.canonical(activation, &wanted, node)?;
        let (mut tensor, Activation { name, .. }) = self.settled(activation)?;
        for (axis, &factor) in [Y, X].into_iter().zip(spatial).filter(|(_, factor)| **factor > 1) {
            let extent = self.shape(tensor).extents().get(axis).copied().unwrap_or(1);
            let outputs = limits::extent(u64::from(extent) * u64::from(factor))?;
            let cells: Vec<_> = (0..outputs).map(|o| Some(o / factor)).collect();
            tensor = self.copy_cells(label(node), tensor, [axis, axis], &cells)?;
        }
        let shape = self.shape(tensor);
        let view = View::new(&shape.extents(), &wanted);
        Ok(Activation { name, source: Source::Tensor(tensor), shape, view })
    }

    /// Returns how many times larger each dimension becomes.
    fn factors(&mut self, node: &Node, sizes: &[u32]) -> Result<Vec<u32>, Refusal> {
        // Before operator set 11 there is no region of interest in front.
        let places = if node.inputs.len() == 2 { [1, 2, 3] } else { [2, 3, 1] };
        let [scales, wanted, region] = places;
        let scales = self.constant(node, scales, "scales")?;
        let wanted = self.constant(node, wanted, "sizes")?;
        self.constant(node, region, "roi")?;
        let axes = match node.ints("axes")? {
            Some(axes) => layout::indices(axes, sizes.len())?,
            None => (0..sizes.len()).collect(),
        };
        let stated: Vec<f64> = match (scales.filter(|scales| scales.len() > 0), wanted) {
            (Some(scales), _) => {
                scales.as_floats("scales")?.iter().map(|&scale| f64::from(scale)).collect()
            }
            (None, Some(wanted)) => {
                let wanted = wanted.as_integers("sizes")?;
                let size = |axis: usize| sizes.get(axis).copied().unwrap_or(1);
                let scale = |(&wanted, &axis): (&i64, &usize)| {
                    let wanted = u32::try_from(wanted);
                    let wanted =
                        wanted.map_err(|_| Refusal::mismatch("sizes", "1 or more", "less"))?;
                    Ok(f64::from(wanted) / f64::from(size(axis)))
                };
                wanted.iter().zip(&axes).map(scale).collect::<Result<_, Refusal>>()?
            }
            (None, None) => return Err(Refusal::NotConstant { what: "scales" }),
        };
        if stated.len() != axes.len() {
            return Err(Refusal::mismatch("number of scales", axes.len(), stated.len()));
        }
        let mut factors = vec![1; sizes.len()];
        for (&axis, &scale) in axes.iter().zip(&stated) {
            let factor = (1..=MAX_FACTOR).find(|&factor| f64::from(factor) == scale);
            let factor =
                factor.ok_or_else(|| Refusal::unsupported(format!("a scale of {scale}")))?;
            if let Some(place) = factors.get_mut(axis) {
                *place = factor;
            }
        }
        Ok(factors)
    }

    pub(super) fn conv_transpose(&mut self, node: &Node) -> Result<Activation, Refusal> {
        if node.ints("output_shape")?.is_some() {
            return Err(Refusal::unsupported("output_shape"));
        }
        let activation = self.take(node, 0)?;
        let weights = self.required(node, 1, "the kernel")?;
        let bias = self.constant(node, 2, "the bias")?;
        let wanted = layout::spatial(&activation.view)?;
        let rank = wanted.len();
        if weights.dims.len() != rank || rank < 3 {
            return Err(Refusal::mismatch("rank of the kernel", rank, weights.dims.len()));
        }
        let activation = self.canonical(activation, &wanted, node)?;
        let (mut tensor, _) = self.settled(activation)?;
        let groups = node.int("group", 1)?;
        let kernel = turned(&weights, groups, self.shape(tensor).c)?;
        let extents = self.shape(tensor).extents();
        let (spread, windows) = spread(node, &kernel, &extents)?;
        for (axis, cells) in [Y, X].into_iter().zip(spread) {
            let Some(cells) = cells else { continue };
            tensor = self.copy_cells(label(node), tensor, [axis, axis], &cells)?;
        }
        let shape = self.shape(tensor);
        let product = convolution(node, (vec![tensor], shape), &kernel, windows, groups)?;
        biased(product, bias.as_deref())
    }
}

/// Largest multiple to which a dimension is made.
const MAX_FACTOR: u32 = 1 << 10;

/// Refuses what is not the nearest cell, rounded down.
fn check_mode(node: &Node) -> Result<(), Refusal> {
    let text = |name: &'static str, default: &'static str| -> Result<String, Refusal> {
        Ok(node.text(name)?.unwrap_or(default).to_owned())
    };
    let mode = text("mode", "nearest")?;
    if mode != "nearest" {
        return Err(Refusal::unsupported(format!("mode {mode}")));
    }
    let policy = text("keep_aspect_ratio_policy", "stretch")?;
    if policy != "stretch" {
        return Err(Refusal::unsupported(format!("keep_aspect_ratio_policy {policy}")));
    }
    // Operator set 10 has no such attributes.
    if node.inputs.len() == 2 {
        return Ok(());
    }
    let place = text("coordinate_transformation_mode", "half_pixel")?;
    let rounding = text("nearest_mode", "round_prefer_floor")?;
    if FLOORS.contains(&[place.as_str(), rounding.as_str()]) {
        return Ok(());
    }
    Err(Refusal::unsupported(format!(
        "coordinate_transformation_mode {place} with nearest_mode {rounding}"
    )))
}

/// Along `y` and `x`, the cells that the copy reads, if one is needed.
type Spread = [Option<Vec<Option<u32>>>; 2];

/// Returns, along `y` and `x`, the cells between which zeros stand, and the windows over them.
///
/// `out[s i + j dil - pad] += in[i] w[j]`: so output `o` sums `w[k-1-t]` times cell
/// `o + t dil - ((k-1) dil - pad)` of the input with `s - 1` zeros behind each cell.
fn spread(
    node: &Node,
    kernel: &Constant,
    extents: &[u32; 3],
) -> Result<(Spread, Windows), Refusal> {
    let sizes = kernel.dims.get(2..).unwrap_or_default();
    let attributes = Attributes::read(node, sizes)?;
    if attributes.same.is_some() {
        return Err(Refusal::unsupported("auto_pad"));
    }
    let more = node.ints("output_padding")?.map(<[i64]>::to_vec).unwrap_or_default();
    let one = Sliding { window: Window::UNIT, outputs: 1 };
    let (mut copies, mut windows) = ([None, None], [one, one]);
    for (axis, ((&taps, &extent), (copy, window))) in
        sizes.iter().zip(extents).zip(copies.iter_mut().zip(&mut windows)).enumerate()
    {
        let [stride, dilation, before, behind] = attributes.along(axis)?;
        let more = more.get(axis).copied().unwrap_or(0);
        let more = u32::try_from(more).ok().filter(|more| *more < stride.max(dilation));
        let more = more.ok_or_else(|| {
            Refusal::mismatch("output_padding", "less than the stride", "another")
        })?;
        let reach = u64::from(taps.saturating_sub(1)) * u64::from(dilation);
        let last = u64::from(stride) * u64::from(extent.saturating_sub(1));
        let whole = last + u64::from(more) + reach + 1;
        let outputs = whole.checked_sub(u64::from(before) + u64::from(behind));
        let outputs = outputs.filter(|outputs| *outputs > 0 && taps > 0).ok_or_else(|| {
            Refusal::TooLarge { what: "pads", limit: whole - 1, got: (before + behind).into() }
        })?;
        let outputs = limits::extent(outputs)?;
        // Padding in front of the windows, or cells that none of them reads.
        let front = reach.saturating_sub(before.into());
        let cropped = u64::from(before).saturating_sub(reach);
        let end = last.min(u64::from(outputs) - 1 + u64::from(before));
        let cell = |at: u64| {
            let cell = at.is_multiple_of(stride.into()).then(|| at / u64::from(stride))?;
            u32::try_from(cell).ok().filter(|cell| *cell < extent)
        };
        if stride > 1 || cropped > 0 {
            limits::extent(last)?;
            *copy = Some((cropped..=end.max(cropped)).map(cell).collect());
        }
        let pad = limits::extent(front)?;
        *window = Sliding { window: Window { taps, stride: 1, pad, dilation }, outputs };
    }
    let [y, x] = windows;
    Ok((copies, Windows { y, x, beyond: false }))
}

/// Turns `[channel][output of the group][y][x]` into the kernel `[output][channel of the group][y][x]`
/// of the convolution, which reads it backwards.
fn turned(weights: &Constant, groups: i64, inputs: u32) -> Result<Constant, Refusal> {
    let [channels, outputs, ref sizes @ ..] = *weights.dims.as_slice() else {
        return Err(Refusal::mismatch("rank of the kernel", 4, weights.dims.len()));
    };
    let groups = u32::try_from(groups).ok().filter(|groups| *groups > 0);
    let groups = groups.ok_or_else(|| Refusal::mismatch("group", "above 0", 0))?;
    if channels != inputs || !channels.is_multiple_of(groups) || outputs == 0 {
        let expected = format!("{inputs} channels of the input in {groups} groups");
        return Err(Refusal::mismatch("kernel", expected, format!("{:?}", weights.dims)));
    }
    let values = weights.as_floats("the kernel")?;
    let width = channels / groups;
    let taps = values.len() / (channels as usize * outputs as usize).max(1);
    let mut ordered = Vec::with_capacity(values.len());
    for group in 0..groups {
        for output in 0..outputs {
            for channel in 0..width {
                let row = (group * width + channel) as usize * outputs as usize + output as usize;
                let kernel = values.get(row * taps..).and_then(|rest| rest.get(..taps));
                ordered.extend(kernel.unwrap_or_default().iter().rev());
            }
        }
    }
    let outputs = limits::extent(u64::from(outputs) * u64::from(groups))?;
    let dims = [[outputs, width].as_slice(), sizes].concat();
    Ok(Constant { dims, data: Data::Float(ordered) })
}
