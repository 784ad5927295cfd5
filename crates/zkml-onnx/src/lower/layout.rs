//! Operators that move nothing, and the layouts that the others ask for.

use assay_zkml::program::{Axis, AxisMap, TensorShape};

use super::{Activation, Lowering, Source, label, whole};
use crate::draft::{Label, Order, Scale, Step};
use crate::error::Refusal;
use crate::graph::Node;
use crate::limits;
use crate::view::{C, View, X, Y};

/// For each dimension, the axis on which it stands; `None` for those of extent 1.
pub(super) type Layout = Vec<Option<usize>>;

/// Returns the layout `[batch, channels, y, x]`, or with fewer dimensions behind the channels.
pub(super) fn spatial(view: &View) -> Result<Layout, Refusal> {
    let layout = match view.rank() {
        2 => vec![None, Some(C)],
        3 => vec![None, Some(C), Some(Y)],
        4 => vec![None, Some(C), Some(Y), Some(X)],
        rank => return Err(Refusal::mismatch("rank", "2 to 4", rank)),
    };
    if view.dim(0).is_empty() {
        Ok(layout)
    } else {
        Err(Refusal::mismatch("the batch, dimension 0,", 1, view.product(view.dim(0))))
    }
}

/// Returns the layout `[.., y, .., x, .., channels]`, in which dimension `channels` is the channels.
pub(super) fn rows(view: &View, channels: usize) -> Result<Layout, Refusal> {
    let mut free = [X, Y].to_vec();
    let layout = (0..view.rank()).map(|index| {
        if index == channels {
            return Ok(Some(C));
        }
        if view.dim(index).is_empty() {
            return Ok(None);
        }
        let axis = free.pop();
        axis.map(Some).ok_or_else(|| Refusal::unsupported("a tensor of four dimensions above 1"))
    });
    layout.collect()
}

impl Lowering {
    /// `Flatten`, `Reshape`, `Squeeze`, `Transpose`, `Unsqueeze`: another view.
    pub(super) fn relayout(&mut self, node: &Node) -> Result<Activation, Refusal> {
        let mut activation = self.take(node, 0)?;
        let split = matches!(activation.source, Source::Input);
        let view = &activation.view;
        let sizes = view.sizes();
        activation.view = match node.operator.as_str() {
            "Transpose" => {
                let order = match node.ints("perm")? {
                    Some(order) => indices(order, sizes.len())?,
                    None => (0..sizes.len()).rev().collect(),
                };
                let transposed = view.transposed(&order);
                transposed.ok_or_else(|| {
                    Refusal::mismatch("perm", "a permutation", format!("{order:?}"))
                })?
            }
            "Flatten" => {
                let axis = axis_index(node.int("axis", 1)?, sizes.len() + 1)?;
                // Below 2^27 together.
                let product = |sizes: &[u32]| sizes.iter().copied().fold(1, u32::saturating_mul);
                let (outer, inner) = sizes.split_at_checked(axis).unwrap_or_default();
                view.reshaped(&[product(outer), product(inner)], split)?
            }
            "Reshape" => {
                let target = self.required(node, 1, "the shape")?;
                let target = target.as_integers("the shape")?.to_vec();
                let sizes = reshape_sizes(&sizes, &target, node.int("allowzero", 0)? != 0)?;
                activation.view.reshaped(&sizes, split)?
            }
            operator => {
                let axes = self.numbers(node, 1, "axes")?;
                let sizes = if operator == "Squeeze" {
                    squeezed(&sizes, axes.as_deref())?
                } else {
                    unsqueezed(&sizes, axes.as_deref().unwrap_or_default())?
                };
                activation.view.reshaped(&sizes, split)?
            }
        };
        Ok(activation)
    }

    /// Decides how the input is laid out: by `layout`, or by its rank.
    pub(super) fn fix_input(
        &mut self,
        activation: Activation,
        layout: Option<Layout>,
    ) -> Result<Activation, Refusal> {
        let view = &activation.view;
        let layout = match layout {
            Some(layout) => layout,
            None if view.rank() == 4 => spatial(view)?,
            None => rows(view, view.rank().saturating_sub(1))?,
        };
        let mut axes = Vec::new();
        let mut extents = [1_u32; 3];
        for (axis, extent) in extents.iter_mut().enumerate() {
            for (index, _) in layout.iter().enumerate().filter(|(_, on)| **on == Some(axis)) {
                *extent = extent.saturating_mul(view.product(view.dim(index)));
                axes.extend_from_slice(view.dim(index));
            }
        }
        let [y, x, c] = extents;
        let shape = TensorShape::new(y, x, c);
        if view.sizes().iter().map(|&size| u64::from(size)).product::<u64>() != shape.cells() as u64
        {
            return Err(Refusal::unsupported(format!("an input of shape {:?}", view.sizes())));
        }
        let mut leaves = view.leaves();
        leaves.retain(|&leaf| view.extent(leaf) != 1);
        let places = axes.iter().filter_map(|axis| leaves.iter().position(|leaf| leaf == axis));
        self.input = Some(Order {
            axes: places.collect(),
            extents: leaves.iter().map(|&leaf| view.extent(leaf)).collect(),
            dims: view.whole(),
        });
        if let Some(tensor) = self.tensors.first_mut() {
            tensor.shape = shape;
        }
        let view = View::new(&extents, &layout);
        Ok(Activation { name: activation.name, source: Source::Tensor(0), shape, view })
    }

    /// Returns the activation with its dimensions on the axes that `layout` says; a transposed
    /// tensor is copied.
    pub(super) fn canonical(
        &mut self,
        activation: Activation,
        layout: &Layout,
        node: &Node,
    ) -> Result<Activation, Refusal> {
        if matches!(activation.source, Source::Input) {
            return self.fix_input(activation, Some(layout.clone()));
        }
        let wanted = View::new(&activation.shape.extents(), layout);
        if activation.view == wanted {
            return Ok(activation);
        }
        let (tensor, activation) = self.settled(activation)?;
        let Activation { name, shape, view, .. } = activation;
        let order = axis_order(&view, layout)?;
        let extents = order.map(|axis| view.extent(axis));
        let [y, x, c] = extents;
        let mut pick = whole(tensor);
        pick.order =
            order.map(|axis| [Axis::Y, Axis::X, Axis::C].get(axis).copied().unwrap_or(Axis::C));
        pick.axes = [AxisMap::SAME, AxisMap::SAME, AxisMap::SAME];
        let moved = TensorShape::new(y, x, c);
        let label = Label { operator: format!("{} (layout)", node.operator), ..label(node) };
        debug_assert_eq!(shape.cells(), moved.cells(), "a copy keeps the number of cells");
        let tensor = self.push(label, moved, Scale::Same { tensor }, Step::Copy { pick });
        let view = View::new(&extents, layout);
        Ok(Activation { name, source: Source::Tensor(tensor), shape: moved, view })
    }
}

/// For each axis of the copy, the axis that it reads.
fn axis_order(view: &View, layout: &Layout) -> Result<[usize; 3], Refusal> {
    let mut order = [None; 3];
    for (index, on) in layout.iter().enumerate() {
        match (view.dim(index), on.and_then(|axis| order.get_mut(axis))) {
            ([], _) => {}
            ([from], Some(to)) => *to = Some(*from),
            _ => {
                let sizes = view.sizes();
                return Err(Refusal::unsupported(format!(
                    "a layout in which dimension {index} of {sizes:?} is several axes"
                )));
            }
        }
    }
    let mut left: Vec<usize> =
        [C, X, Y].into_iter().filter(|axis| !order.contains(&Some(*axis))).collect();
    Ok(order.map(|axis| axis.or_else(|| left.pop()).unwrap_or(C)))
}

/// Returns an axis counted from the end if negative; `rank` is one past the largest.
pub(super) fn axis_index(axis: i64, rank: usize) -> Result<usize, Refusal> {
    let signed = i64::try_from(rank).unwrap_or(i64::MAX);
    let from_start = if axis < 0 { axis.saturating_add(signed) } else { axis };
    let index = usize::try_from(from_start).ok().filter(|axis| *axis < rank);
    index.ok_or_else(|| {
        Refusal::mismatch("axis", format!("-{rank} to {}", rank.saturating_sub(1)), axis)
    })
}

pub(super) fn indices(axes: &[i64], rank: usize) -> Result<Vec<usize>, Refusal> {
    axes.iter().map(|&axis| axis_index(axis, rank)).collect()
}

/// The sizes that a Reshape asks for: 0 copies, -1 takes what is left.
pub(super) fn reshape_sizes(
    from: &[u32],
    target: &[i64],
    allow_zero: bool,
) -> Result<Vec<u32>, Refusal> {
    limits::rank(target.len())?;
    let all = from.iter().fold(1_u64, |all, &size| all.saturating_mul(u64::from(size)));
    let size = |(index, &size): (usize, &i64)| match size {
        0 if !allow_zero => Ok(u64::from(from.get(index).copied().unwrap_or(0))),
        -1 => Ok(1),
        size => u64::try_from(size)
            .map_err(|_| Refusal::mismatch("size in the shape", "-1 or more", size)),
    };
    let mut sizes: Vec<u64> = target.iter().enumerate().map(size).collect::<Result<_, _>>()?;
    let known = sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
    let free: Vec<usize> = target
        .iter()
        .enumerate()
        .filter(|(_, size)| **size == -1)
        .map(|(index, _)| index)
        .collect();
    let differs = || Refusal::mismatch("shape", format!("of {all} values"), format!("{target:?}"));
    let known =
        known.filter(|known| *known > 0 && all.is_multiple_of(*known)).ok_or_else(differs)?;
    match free.as_slice() {
        [] if known == all => {}
        [index] => {
            if let Some(size) = sizes.get_mut(*index) {
                *size = all / known;
            }
        }
        _ => return Err(differs()),
    }
    sizes.into_iter().map(|size| u32::try_from(size).map_err(|_| differs())).collect()
}

pub(super) fn squeezed(sizes: &[u32], axes: Option<&[i64]>) -> Result<Vec<u32>, Refusal> {
    let axes = axes.map(|axes| indices(axes, sizes.len())).transpose()?;
    let mut kept = Vec::new();
    for (index, &size) in sizes.iter().enumerate() {
        match &axes {
            Some(axes) if axes.contains(&index) && size != 1 => {
                return Err(Refusal::mismatch("size of a squeezed dimension", 1, size));
            }
            Some(axes) if axes.contains(&index) => {}
            None if size == 1 => {}
            _ => kept.push(size),
        }
    }
    Ok(kept)
}

pub(super) fn unsqueezed(sizes: &[u32], axes: &[i64]) -> Result<Vec<u32>, Refusal> {
    let rank = sizes.len() + axes.len();
    limits::rank(rank)?;
    let axes = indices(axes, rank)?;
    let mut sizes = sizes.iter();
    let all =
        (0..rank).map(|index| if axes.contains(&index) { Some(1) } else { sizes.next().copied() });
    let all: Option<Vec<u32>> = all.collect();
    all.filter(|_| sizes.next().is_none())
        .ok_or_else(|| Refusal::mismatch("axes", "all different", format!("{axes:?}")))
}
