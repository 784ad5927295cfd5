//! How the dimensions of an ONNX tensor stand on the axes of the tensor that holds its values.

use crate::error::Refusal;

/// Row-major dimensions, each a product of axes of what holds the values, the outermost first.
///
/// Axes of extent 1 stand nowhere: two views of one tensor that read alike are equal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct View {
    /// Extents of the axes. Of a tensor of the program: `y`, `x`, `c`.
    extents: Vec<u32>,
    dims: Vec<Vec<usize>>,
    /// Axes taken apart: an axis, and the two that it is the product of.
    splits: Vec<[usize; 3]>,
    /// Axes before any was taken apart.
    axes: usize,
}

/// The axes of a tensor of the program.
pub(crate) const Y: usize = 0;
pub(crate) const X: usize = 1;
pub(crate) const C: usize = 2;

impl View {
    /// Returns the view whose dimension `i` is the axis `dims[i]`; `None` has the extent 1.
    pub(crate) fn new(extents: &[u32], dims: &[Option<usize>]) -> Self {
        let dims = dims.iter().map(|dim| dim.iter().copied().collect()).collect();
        let axes = extents.len();
        let mut view = Self { extents: extents.to_vec(), dims, splits: Vec::new(), axes };
        view.drop_units();
        view
    }

    /// Returns the view of an input whose dimensions are axes that a reshape may split.
    pub(crate) fn of_input(dims: &[u32]) -> Self {
        Self::new(dims, &(0..dims.len()).map(Some).collect::<Vec<_>>())
    }

    fn drop_units(&mut self) {
        let extents = &self.extents;
        for dim in &mut self.dims {
            dim.retain(|&axis| extents.get(axis).copied().unwrap_or(1) != 1);
        }
    }

    pub(crate) fn rank(&self) -> usize {
        self.dims.len()
    }

    /// Returns the axes of dimension `index`.
    pub(crate) fn dim(&self, index: usize) -> &[usize] {
        self.dims.get(index).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn extent(&self, axis: usize) -> u32 {
        self.extents.get(axis).copied().unwrap_or(1)
    }

    /// Returns the product of the extents of some axes; below `2^32`, as every value of the file is.
    pub(crate) fn product(&self, axes: &[usize]) -> u32 {
        axes.iter().fold(1_u32, |product, &axis| product.saturating_mul(self.extent(axis)))
    }

    /// Returns the dimensions.
    pub(crate) fn sizes(&self) -> Vec<u32> {
        self.dims.iter().map(|dim| self.product(dim)).collect()
    }

    /// Returns the axes of all dimensions, the outermost first.
    pub(crate) fn order(&self) -> Vec<usize> {
        self.dims.iter().flatten().copied().collect()
    }

    /// Returns the axes of an input in the model's order: what each was taken apart to.
    pub(crate) fn leaves(&self) -> Vec<usize> {
        let mut axes: Vec<usize> = (0..self.axes).collect();
        for [axis, outer, inner] in &self.splits {
            let parts = |&other: &usize| {
                if other == *axis { vec![*outer, *inner] } else { vec![other] }
            };
            axes = axes.iter().flat_map(parts).collect();
        }
        axes
    }

    /// Returns the extents of the axes before any was taken apart.
    pub(crate) fn whole(&self) -> Vec<u32> {
        self.extents.iter().take(self.axes).copied().collect()
    }

    /// Returns the dimensions in another order.
    pub(crate) fn transposed(&self, order: &[usize]) -> Option<Self> {
        let mut seen = vec![false; self.rank()];
        for &from in order {
            let place = seen.get_mut(from).filter(|seen| !**seen)?;
            *place = true;
        }
        let dims = order.iter().map(|&from| self.dims.get(from).cloned());
        let dims: Vec<_> = dims.collect::<Option<_>>()?;
        (dims.len() == self.rank()).then(|| Self { dims, ..self.clone() })
    }

    /// Returns the same values with other dimensions; `split` allows to take axes apart.
    pub(crate) fn reshaped(&self, sizes: &[u32], split: bool) -> Result<Self, Refusal> {
        let (mut extents, mut splits) = (self.extents.clone(), self.splits.clone());
        let mut axes: Vec<usize> = self.order();
        axes.reverse();
        let mut dims = Vec::new();
        for &size in sizes {
            let mut dim = Vec::new();
            let mut left = size;
            while left > 1 {
                let axis = axes.pop().ok_or_else(|| self.count_differs(sizes))?;
                let extent = extents.get(axis).copied().unwrap_or(1);
                if left.is_multiple_of(extent) {
                    left /= extent;
                    dim.push(axis);
                } else if split && extent.is_multiple_of(left) {
                    // `left` of the axis here, the rest of it in the next dimension.
                    let outer = extents.len();
                    extents.extend([left, extent / left]);
                    splits.push([axis, outer, outer + 1]);
                    dim.push(outer);
                    axes.push(outer + 1);
                    left = 1;
                } else {
                    let from = self.sizes();
                    return Err(Refusal::unsupported(format!(
                        "a reshape from {from:?} to {sizes:?}, which takes an axis apart,"
                    )));
                }
            }
            dims.push(dim);
        }
        if !axes.is_empty() || sizes.contains(&0) {
            return Err(self.count_differs(sizes));
        }
        Ok(Self { extents, dims, splits, axes: self.axes })
    }

    fn count_differs(&self, sizes: &[u32]) -> Refusal {
        Refusal::mismatch(
            "values of the reshaped tensor",
            format!("{:?}", self.sizes()),
            format!("{sizes:?}"),
        )
    }

    /// Returns the view of a tensor of other extents whose dimensions stand on the same axes, with
    /// dimension `index` on `axes`.
    pub(crate) fn with(&self, extents: &[u32], index: usize, axes: &[usize]) -> Self {
        let mut view = Self {
            extents: extents.to_vec(),
            dims: self.dims.clone(),
            splits: Vec::new(),
            axes: extents.len(),
        };
        if let Some(dim) = view.dims.get_mut(index) {
            *dim = axes.to_vec();
        }
        view.drop_units();
        view
    }

    /// Returns the view of a tensor of other extents on which two axes have changed places.
    pub(crate) fn swapped(&self, extents: &[u32], [one, other]: [usize; 2]) -> Self {
        let mut view = self.clone();
        let moved = |axis: &mut usize| {
            *axis = match *axis {
                axis if axis == one => other,
                axis if axis == other => one,
                axis => axis,
            };
        };
        view.dims.iter_mut().flatten().for_each(moved);
        view.resized(extents)
    }

    /// Returns the view of a tensor of other extents whose dimensions stand on the same axes.
    pub(crate) fn resized(&self, extents: &[u32]) -> Self {
        self.with(extents, self.rank(), &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reshape_merges_axes_and_splits_only_those_of_an_input() {
        let image = View::new(&[5, 7, 3], &[None, Some(C), Some(Y), Some(X)]);
        assert_eq!(image.sizes(), [1, 3, 5, 7]);
        let flat = image.reshaped(&[1, 105], false).unwrap();
        assert_eq!(flat.dim(1), [C, Y, X]);
        assert_eq!(flat.reshaped(&[1, 3, 5, 7], false).unwrap(), image);
        assert!(flat.reshaped(&[1, 21, 5], false).is_err());
        assert!(flat.reshaped(&[1, 104], false).is_err());
        assert!(flat.reshaped(&[1, 210], false).is_err());

        let input = View::of_input(&[1, 784]).reshaped(&[1, 28, 28, 1], true).unwrap();
        assert_eq!(input.sizes(), [1, 28, 28, 1]);
        let transposed = input.transposed(&[0, 3, 2, 1]).unwrap();
        assert_eq!(transposed.sizes(), [1, 1, 28, 28]);
        assert_eq!(transposed.order(), [3, 2]);
        assert!(input.transposed(&[0, 1, 1, 2]).is_none());
    }
}
