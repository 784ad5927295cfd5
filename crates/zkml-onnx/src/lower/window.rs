//! Slice, Split and Gather: windows of a tensor, and cells of it in any order.

use assay_zkml::program::{AxisMap, MAX_EXTENT, TensorShape};

use super::layout::{self, axis_index};
use super::{Activation, Lowering, Source, Value, label, whole};
use crate::draft::{Label, Scale, Step};
use crate::error::Refusal;
use crate::graph::Node;
use crate::limits;
use crate::view::{C, Y};

/// A window along one dimension.
#[derive(Clone, Copy, Debug)]
struct Window {
    dimension: usize,
    start: u32,
    length: u32,
}

impl Lowering {
    pub(super) fn slice(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let mut activation = self.take(node, 0)?;
        let sizes = activation.view.sizes();
        let starts = self.numbers(node, 1, "starts")?;
        let starts = starts.ok_or(Refusal::NotConstant { what: "starts" })?;
        let ends = self.numbers(node, 2, "ends")?;
        let ends = ends.ok_or(Refusal::NotConstant { what: "ends" })?;
        let axes = match self.numbers(node, 3, "axes")? {
            Some(axes) => layout::indices(&axes, sizes.len())?,
            None => (0..starts.len()).collect(),
        };
        let steps = self.numbers(node, 4, "steps")?.unwrap_or_default();
        // The float model is run by an engine that takes steps behind a convolution for others.
        if let Some(step) = steps.iter().find(|step| **step != 1) {
            return Err(Refusal::unsupported(format!("a window in steps of {step}")));
        }
        for (what, got) in [("ends", ends.len()), ("axes", axes.len())] {
            if got != starts.len() {
                return Err(Refusal::mismatch(what, format!("{} values", starts.len()), got));
            }
        }
        for (&dimension, (&start, &end)) in axes.iter().zip(starts.iter().zip(&ends)) {
            let size = sizes.get(dimension).copied().unwrap_or(1);
            let window = window(dimension, size, [start, end])?;
            activation = self.cut(node, activation, window)?;
        }
        Ok(activation)
    }

    /// Gives each output its part.
    pub(super) fn split(&mut self, node: &Node) -> Result<(), Refusal> {
        let activation = self.take(node, 0)?;
        let sizes = activation.view.sizes();
        let dimension = axis_index(node.int("axis", 0)?, sizes.len())?;
        let size = sizes.get(dimension).copied().unwrap_or(1);
        let parts = match self.numbers(node, 1, "split")? {
            Some(parts) => parts,
            None => even(size, node.outputs.len()),
        };
        let given: i64 = parts.iter().fold(0, |sum, part| sum.saturating_add(*part));
        if parts.len() != node.outputs.len() || given != i64::from(size) {
            let expected = format!("{} parts of {size}", node.outputs.len());
            return Err(Refusal::mismatch("split", expected, format!("{parts:?}")));
        }
        // It is read once for each part.
        let activation = self.settle(activation)?;
        let mut start = 0_i64;
        for (name, part) in node.outputs.iter().zip(parts) {
            let window = window(dimension, size, [start, start.saturating_add(part)])?;
            start = start.saturating_add(part);
            if name.is_empty() {
                continue;
            }
            let part = self.cut(node, activation.clone(), window)?;
            self.define(name, Value::Activation(Box::new(part)))?;
        }
        Ok(())
    }

    /// Returns integers of an attribute, or of the input `index`.
    pub(super) fn numbers(
        &mut self,
        node: &Node,
        index: usize,
        name: &'static str,
    ) -> Result<Option<Vec<i64>>, Refusal> {
        if let Some(numbers) = node.ints(name)? {
            return Ok(Some(numbers.to_vec()));
        }
        match self.constant(node, index, name)? {
            Some(numbers) => Ok(Some(numbers.as_integers(name)?.to_vec())),
            None => Ok(None),
        }
    }

    /// Copies a window: what it leaves out is not read again.
    fn cut(
        &mut self,
        node: &Node,
        activation: Activation,
        window: Window,
    ) -> Result<Activation, Refusal> {
        let Window { dimension, start, length } = window;
        let sizes = activation.view.sizes();
        if sizes.get(dimension) == Some(&length) {
            return Ok(activation);
        }
        let (tensor, Activation { name, shape, view, .. }) = self.settled(activation)?;
        let [axis] = *view.dim(dimension) else {
            return Err(Refusal::unsupported(format!(
                "a window of dimension {dimension} of {sizes:?}, which is several axes"
            )));
        };
        let map = AxisMap::FromInput { start };
        let (mut pick, mut extents) = (whole(tensor), shape.extents());
        if let (Some(place), Some(extent)) = (pick.axes.get_mut(axis), extents.get_mut(axis)) {
            (*place, *extent) = (map, length);
        }
        let [y, x, c] = extents;
        let shape = TensorShape::new(y, x, c);
        let copied = self.push(label(node), shape, Scale::Same { tensor }, Step::Copy { pick });
        let view = view.resized(&extents);
        Ok(Activation { name, source: Source::Tensor(copied), shape, view })
    }
}

impl Lowering {
    /// `Gather` with constant indices, one or a list.
    pub(super) fn gather(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let indices = self.constant(node, 1, "indices")?;
        let indices = indices.ok_or(Refusal::NotConstant { what: "indices" })?;
        let activation = self.take(node, 0)?;
        let sizes = activation.view.sizes();
        let dimension = axis_index(node.int("axis", 0)?, sizes.len())?;
        let size = sizes.get(dimension).copied().unwrap_or(1);
        if indices.dims.len() > 1 {
            let dims = &indices.dims;
            return Err(Refusal::unsupported(format!("a selection by indices of shape {dims:?}")));
        }
        let values = indices.as_integers("indices")?;
        let cell = |&index: &i64| {
            let from_start = if index < 0 { index.saturating_add(size.into()) } else { index };
            let cell = u32::try_from(from_start).ok().filter(|cell| *cell < size);
            let range = || format!("-{size} to {}", size.saturating_sub(1));
            cell.ok_or_else(|| Refusal::mismatch("an index", range(), index))
        };
        let cells: Vec<u32> = values.iter().map(cell).collect::<Result<_, _>>()?;
        let length = limits::extent(cells.len() as u64)?;
        let Some(&start) = cells.first() else {
            return Err(Refusal::mismatch("number of indices", "1 or more", 0));
        };
        let selected = if (start..).zip(&cells).all(|(wanted, &cell)| wanted == cell) {
            self.cut(node, activation, Window { dimension, start, length })?
        } else {
            let cells: Vec<Option<u32>> = cells.into_iter().map(Some).collect();
            self.select(node, activation, dimension, &cells)?
        };
        if !indices.dims.is_empty() {
            return Ok(selected);
        }
        let dimension = i64::try_from(dimension).unwrap_or(i64::MAX);
        let sizes = layout::squeezed(&selected.view.sizes(), Some(&[dimension]))?;
        Ok(Activation { view: selected.view.reshaped(&sizes, false)?, ..selected })
    }

    /// Copies the cells of one dimension that are named, in this order.
    fn select(
        &mut self,
        node: &Node,
        activation: Activation,
        dimension: usize,
        cells: &[Option<u32>],
    ) -> Result<Activation, Refusal> {
        let sizes = activation.view.sizes();
        let (tensor, Activation { name, view, .. }) = self.settled(activation)?;
        let [axis] = *view.dim(dimension) else {
            return Err(Refusal::unsupported(format!(
                "a selection of dimension {dimension} of {sizes:?}, which is not one axis,"
            )));
        };
        // The channels have no such map: they become the rows.
        let swapped = if axis == C { [Y, C] } else { [axis, axis] };
        let [axis, with] = swapped;
        let copied = self.copy_cells(label(node), tensor, swapped, cells)?;
        let view = view.swapped(&self.shape(copied).extents(), [axis, with]);
        let (source, shape) = (Source::Tensor(copied), self.shape(copied));
        Ok(Activation { name, source, shape, view })
    }

    /// Copies a tensor: along its axis `to`, output `o` reads cell `cells[o]` of the axis `from`, or
    /// 0, and the axis `from` reads the axis `to`.
    pub(super) fn copy_cells(
        &mut self,
        label: Label,
        tensor: usize,
        [to, from]: [usize; 2],
        cells: &[Option<u32>],
    ) -> Result<usize, Refusal> {
        let mut pick = whole(tensor);
        pick.order.swap(to, from);
        let mut extents = self.shape(tensor).extents();
        extents.swap(to, from);
        let outputs = limits::extent(cells.len() as u64)?;
        limits::taps(cells.iter().flatten().count())?;
        let place = pick.axes.get_mut(to).zip(extents.get_mut(to));
        let (map, extent) = place.ok_or_else(|| Refusal::unsupported("a fourth dimension"))?;
        let found = AxisMap::cells(*extent, cells);
        *map = found.ok_or_else(|| Refusal::TooLarge {
            what: "number of cells chosen, times those of the dimension,",
            limit: MAX_EXTENT.into(),
            got: u64::from(outputs).saturating_mul((*extent).into()),
        })?;
        *extent = outputs;
        let [y, x, c] = extents;
        limits::cells(&extents)?;
        let (shape, scale) = (TensorShape::new(y, x, c), Scale::Same { tensor });
        Ok(self.push(label, shape, scale, Step::Copy { pick }))
    }
}

/// Returns the window from `start` to before `end`, as ONNX counts: from the end where negative, and
/// no further than there is something.
fn window(dimension: usize, size: u32, [start, end]: [i64; 2]) -> Result<Window, Refusal> {
    let whole = i64::from(size);
    let place = |at: i64| if at < 0 { at.saturating_add(whole) } else { at }.clamp(0, whole);
    let (start, end) = (place(start), place(end));
    let number = |value: i64| u32::try_from(value).ok();
    let length = number(end - start);
    let length = length.filter(|length| *length > 0);
    let found = number(start).zip(length);
    let (start, length) =
        found.ok_or_else(|| Refusal::mismatch("window", "1 value or more", "none"))?;
    Ok(Window { dimension, start, length })
}

/// Parts of one size, the last one smaller.
fn even(size: u32, parts: usize) -> Vec<i64> {
    let part = size.div_ceil(u32::try_from(parts).unwrap_or(u32::MAX).max(1));
    let mut left = size;
    let next = |_| {
        let taken = part.min(left);
        left -= taken;
        i64::from(taken)
    };
    (0..parts).map(next).collect()
}
