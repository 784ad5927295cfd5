//! Concat and Pad: values put beside others.

use assay_zkml::program::TensorShape;

use super::layout::Layout;
use super::{Activation, Lowering, Pending, Source, label, layout};
use crate::draft::Clamp;
use crate::error::Refusal;
use crate::graph::Node;
use crate::limits;
use crate::view::{C, View, X, Y};

impl Lowering {
    pub(super) fn concat(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let mut parts = Vec::new();
        for index in 0..node.inputs.len() {
            parts.push(self.take(node, index)?);
        }
        let Some(first) = parts.first() else {
            return Err(Refusal::mismatch("number of inputs", "1 or more", 0));
        };
        let at = layout::axis_index(node.int("axis", 0)?, first.view.rank())?;
        let mut sizes = first.view.sizes();
        for part in &parts {
            let mut other = part.view.sizes();
            if let (Some(other), Some(size)) = (other.get_mut(at), sizes.get(at)) {
                *other = *size;
            }
            if other != sizes {
                let (expected, got) = (format!("{sizes:?}"), format!("{other:?}"));
                return Err(Refusal::mismatch("shape of a part", expected, got));
            }
        }
        if let Some(size) = sizes.get_mut(at) {
            let along = parts.iter().map(|part| u64::from(part.view.product(part.view.dim(at))));
            *size = limits::extent(along.sum())?;
        }
        let wanted = shared_layout(&parts, at)?;
        let axis = wanted.get(at).copied().flatten().unwrap_or(C);
        let mut tensors = Vec::new();
        for part in parts {
            let part = self.canonical(part, &wanted, node)?;
            match part.source {
                Source::Parts(parts) if axis == C => tensors.extend(parts),
                _ => tensors.push(self.settled(part)?.0),
            }
            limits::parts(tensors.len())?;
        }
        let extents = [Y, X, C].map(|on| {
            let index = wanted.iter().position(|axis| *axis == Some(on));
            index.and_then(|index| sizes.get(index).copied()).unwrap_or(1)
        });
        let [y, x, c] = extents;
        let source = if axis == C {
            Source::Parts(tensors)
        } else {
            let sum = self.joined(&tensors, axis);
            Source::Pending(Pending { sum, clamp: Clamp::NONE, given: None, label: label(node) })
        };
        let view = View::new(&extents, &wanted);
        Ok(Activation { name: String::new(), source, shape: TensorShape::new(y, x, c), view })
    }

    pub(super) fn pad(&mut self, node: &Node) -> Result<Activation, Refusal> {
        if !matches!(node.text("mode")?, None | Some("constant")) {
            return Err(Refusal::unsupported("a mode other than constant"));
        }
        let activation = self.take(node, 0)?;
        let rank = activation.view.rank();
        let pads = self.pads(node, rank)?;
        let (before, behind) = pads.split_at_checked(rank).unwrap_or_default();
        if pads.iter().all(|&pad| pad == 0) {
            return Ok(activation);
        }
        let padded = |index: usize| {
            [before, behind].iter().any(|pads| pads.get(index).is_some_and(|&pad| pad > 0))
        };
        let channels_last = padded(1) && !padded(rank.saturating_sub(1));
        let wanted = if channels_last {
            layout::rows(&activation.view, rank.saturating_sub(1))?
        } else {
            layout::spatial(&activation.view)?
        };
        let activation = self.canonical(activation, &wanted, node)?;
        let (tensor, mut added, activation) = match activation.source {
            Source::Padded { tensor, before } => (tensor, before, activation),
            _ => {
                let (tensor, activation) = self.settled(activation)?;
                (tensor, [0, 0], activation)
            }
        };
        let mut extents = activation.shape.extents();
        for (index, on) in wanted.iter().enumerate().filter(|(index, _)| padded(*index)) {
            let pad = |pads: &[u32]| pads.get(index).copied().unwrap_or(0);
            let place = on.and_then(|axis| Some((extents.get_mut(axis)?, added.get_mut(axis)?)));
            let (extent, added) = place
                .ok_or_else(|| Refusal::unsupported(format!("padding of dimension {index}")))?;
            let padded = u64::from(*extent) + u64::from(pad(before)) + u64::from(pad(behind));
            *extent = limits::extent(padded)?;
            *added += pad(before);
        }
        let [y, x, c] = extents;
        let source = Source::Padded { tensor, before: added };
        let view = View::new(&extents, &wanted);
        Ok(Activation { source, shape: TensorShape::new(y, x, c), view, ..activation })
    }

    /// Returns the cells to add before each dimension, then behind each; all are zero.
    fn pads(&mut self, node: &Node, rank: usize) -> Result<Vec<u32>, Refusal> {
        let stated = match node.ints("pads")? {
            Some(pads) => pads.to_vec(),
            None => self.required(node, 1, "pads")?.as_integers("pads")?.to_vec(),
        };
        let value = match self.constant(node, 2, "the value")? {
            Some(value) => value.as_floats("the value")?.first().copied().unwrap_or(0.0),
            None => node.float("value", 0.0)?,
        };
        if value != 0.0 {
            return Err(Refusal::mismatch("the value", 0, value));
        }
        let axes = match self.constant(node, 3, "axes")? {
            Some(axes) => layout::indices(axes.as_integers("axes")?, rank)?,
            None => (0..rank).collect(),
        };
        if stated.len() != 2 * axes.len() {
            return Err(Refusal::mismatch("values of pads", 2 * axes.len(), stated.len()));
        }
        let mut pads = vec![0; 2 * rank];
        let places = axes.iter().copied().chain(axes.iter().map(|axis| axis + rank));
        for (place, &pad) in places.zip(&stated) {
            let pad = u32::try_from(pad).ok().filter(|pad| *pad <= 1 << 20);
            let pad =
                pad.ok_or_else(|| Refusal::mismatch("pads", "0 to 2^20", format!("{stated:?}")))?;
            if let Some(place) = pads.get_mut(place) {
                *place = pad;
            }
        }
        Ok(pads)
    }
}

/// Returns a layout that every part can have: that of the first one that is laid out and shows the
/// axis, else the one in which the axis is the channels.
fn shared_layout(parts: &[Activation], at: usize) -> Result<Layout, Refusal> {
    let laid_out = |part: &&Activation| !matches!(part.source, Source::Input);
    let shown = |part: &&Activation| !part.view.dim(at).is_empty();
    let first = parts.iter().filter(laid_out).find(shown);
    let first = first.or_else(|| parts.iter().find(laid_out));
    if let Some(part) = first {
        let axes = (0..part.view.rank()).map(|index| match part.view.dim(index) {
            [] => Some(None),
            [axis] => Some(Some(*axis)),
            _ => None,
        });
        let layout: Option<Layout> = axes.collect();
        let mut layout = layout.ok_or_else(|| Refusal::unsupported("joining flattened tensors"))?;
        let free = [C, Y, X].into_iter().find(|axis| !layout.contains(&Some(*axis)));
        if let Some(place) = layout.get_mut(at)
            && place.is_none()
        {
            *place = Some(free.ok_or_else(|| Refusal::unsupported("a fourth dimension"))?);
        }
        return Ok(layout);
    }
    match parts.first() {
        Some(part) if part.view.rank() == 4 && at == 1 => layout::spatial(&part.view),
        Some(part) => layout::rows(&part.view, at),
        None => Err(Refusal::mismatch("number of inputs", "1 or more", 0)),
    }
}
