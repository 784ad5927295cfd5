//! The order of a model's values against that of the program's.

use thiserror::Error;

/// Most axes, and most dimensions.
const MAX_AXES: usize = 16;
/// Most values.
const MAX_VALUES: u64 = 1 << 28;

/// How the values of a model's input or output stand in the tensor of the program.
///
/// The model's values are row-major over axes. The program's tensor, in its order `[y][x][c]`, is
/// row-major over the same axes in another order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Order {
    dims: Vec<u32>,
    extents: Vec<u32>,
    axes: Vec<u32>,
}

/// Axes that are no order.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OrderError {
    /// More axes or dimensions than are allowed, or more axes than extents.
    #[error("order: {got} axes or dimensions are too many, at most {MAX_AXES} are allowed")]
    Axes {
        /// The number given.
        got: usize,
    },
    /// The dimensions and the axes have different numbers of values, or too many.
    #[error("order: axes have {got} values, dimensions {expected}, at most {MAX_VALUES} allowed")]
    Values {
        /// Values of the dimensions, held inside `u64`.
        expected: u64,
        /// Values of the axes, held inside `u64`.
        got: u64,
    },
    /// An axis is missing, or named twice.
    #[error("order: axis {axis} is named {got} times, expected once")]
    Permutation {
        /// The axis.
        axis: usize,
        /// How often it is named.
        got: usize,
    },
}

impl Order {
    /// Returns the order of a tensor that the model states as `dims`, whose values are row-major
    /// over `extents`, and in which `axes[i]` is the place in `extents` of the program's axis `i`.
    ///
    /// # Errors
    ///
    /// Returns [`OrderError`] if `axes` is no permutation, or the sizes are not of one number of
    /// values, at most `2^28`.
    pub fn new(dims: Vec<u32>, extents: Vec<u32>, axes: Vec<u32>) -> Result<Self, OrderError> {
        let got = dims.len().max(extents.len()).max(axes.len());
        if got > MAX_AXES {
            return Err(OrderError::Axes { got });
        }
        let (expected, got) = (product(&dims), product(&extents));
        if expected != got || got > MAX_VALUES {
            return Err(OrderError::Values { expected, got });
        }
        if axes.len() > extents.len() {
            return Err(OrderError::Axes { got: axes.len() });
        }
        for axis in 0..extents.len() {
            let named = axes.iter().filter(|&&named| named as usize == axis).count();
            if named != 1 {
                return Err(OrderError::Permutation { axis, got: named });
            }
        }
        Ok(Self { dims, extents, axes })
    }

    /// Returns the dimensions that the model states, the batch among them.
    #[must_use]
    pub fn dims(&self) -> &[u32] {
        &self.dims
    }

    /// Returns the extents of the axes, in the model's order.
    #[must_use]
    pub fn extents(&self) -> &[u32] {
        &self.extents
    }

    /// Returns, for each axis of the program, its place among the extents.
    #[must_use]
    pub fn axes(&self) -> &[u32] {
        &self.axes
    }

    /// Returns the number of values.
    #[must_use]
    pub fn values(&self) -> usize {
        usize::try_from(product(&self.extents)).unwrap_or(usize::MAX)
    }

    /// Returns, for each value of the program's tensor, its index among the model's.
    #[must_use]
    pub fn places(&self) -> Vec<usize> {
        let mut steps = vec![0_usize; self.extents.len()];
        let mut step = 1_usize;
        for (place, &extent) in steps.iter_mut().zip(&self.extents).rev() {
            *place = step;
            step *= extent as usize;
        }
        let mut places = vec![0_usize];
        for &axis in &self.axes {
            let of = |values: &[usize]| values.get(axis as usize).copied().unwrap_or(0);
            let extent = self.extents.get(axis as usize).copied().unwrap_or(1) as usize;
            let step = of(&steps);
            places = places
                .iter()
                .flat_map(|place| (0..extent).map(move |index| place + index * step))
                .collect();
        }
        places
    }
}

/// Saturating: far above the cap where it is not exact.
fn product(sizes: &[u32]) -> u64 {
    sizes.iter().fold(1_u64, |product, &size| product.saturating_mul(u64::from(size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_first_becomes_channels_last() {
        let order = Order::new(vec![1, 2, 2, 3], vec![2, 2, 3], vec![1, 2, 0]).unwrap();
        assert_eq!(order.places(), [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]);
        assert_eq!(order.values(), 12);
        let vector = Order::new(vec![1, 4], vec![4], vec![0]).unwrap();
        assert_eq!(vector.places(), [0, 1, 2, 3]);
    }

    #[test]
    fn what_is_no_order_is_refused() {
        let refused = |dims: &[u32], extents: &[u32], axes: &[u32]| {
            Order::new(dims.to_vec(), extents.to_vec(), axes.to_vec()).unwrap_err()
        };
        assert_eq!(refused(&[6], &[5], &[0]), OrderError::Values { expected: 6, got: 5 });
        assert_eq!(refused(&[6], &[2, 3], &[0, 0]), OrderError::Permutation { axis: 0, got: 2 });
        assert_eq!(refused(&[6], &[2, 3], &[0]), OrderError::Permutation { axis: 1, got: 0 });
        assert_eq!(refused(&[6], &[2, 3], &[0, 1, 2]), OrderError::Axes { got: 3 });
        let wide = [1 << 31, 1 << 31, 1 << 31];
        let got = u64::MAX;
        assert_eq!(refused(&wide, &wide, &[0, 1, 2]), OrderError::Values { expected: got, got });
        assert_eq!(refused(&[1; 17], &[1], &[0]), OrderError::Axes { got: 17 });
    }
}
