//! Tensors: shape, interval, padded arities (sections 1 and 2).

use super::MAX_INTEGER;
use super::form::Axis;

/// Fewest variables of a column (section 1): none is smaller than WHIR's largest first fold.
pub(crate) const MIN_ARITY: u32 = 6;

/// Real extents of the axes `y`, `x`, `c`, in cells. A vector is `1, 1, c`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the axes of section 1")]
pub struct TensorShape {
    /// Rows.
    pub y: u32,
    /// Columns.
    pub x: u32,
    /// Channels.
    pub c: u32,
}

impl TensorShape {
    /// Returns the shape of those extents.
    #[must_use]
    pub const fn new(y: u32, x: u32, c: u32) -> Self {
        Self { y, x, c }
    }

    /// Returns the shape of a vector of `c` channels.
    #[must_use]
    pub const fn vector(c: u32) -> Self {
        Self::new(1, 1, c)
    }

    /// Returns the extents in the order `y, x, c`.
    #[must_use]
    pub const fn extents(&self) -> [u32; 3] {
        [self.y, self.x, self.c]
    }

    /// Returns the extent along `axis`.
    #[must_use]
    pub const fn extent(&self, axis: Axis) -> u32 {
        match axis {
            Axis::Y => self.y,
            Axis::X => self.x,
            Axis::C => self.c,
        }
    }

    /// Returns the number of real cells, saturating: exact for every checked program.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.extents().iter().fold(1_usize, |cells, &extent| {
            cells.saturating_mul(usize::try_from(extent).unwrap_or(usize::MAX))
        })
    }

    /// Returns the variables of the axes `y, x, c` for batches of `2^lb`, padding included: `y` gets
    /// what is missing to 6 in all (section 1).
    #[must_use]
    pub fn arities(&self, lb: u32) -> [u32; 3] {
        let [y, x, c] = self.extents().map(lg);
        [y.max(MIN_ARITY.saturating_sub(x + c + lb)), x, c]
    }

    /// Returns `n_T = lg y + lg x + lg c + lb`, at least 6.
    #[must_use]
    pub fn arity(&self, lb: u32) -> u32 {
        self.arities(lb).iter().sum::<u32>() + lb
    }
}

/// The values that a cell may take, ends included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the interval of section 2")]
pub struct Interval {
    /// Smallest, at most 0.
    pub lo: i32,
    /// Largest, at least 0.
    pub hi: i32,
}

impl Interval {
    /// The interval of raw outputs: `|y| <= (p - 1) / 2`.
    pub const RAW: Self = Self { lo: -RAW_MAX, hi: RAW_MAX };

    /// Returns the interval `lo..=hi`.
    #[must_use]
    pub const fn new(lo: i32, hi: i32) -> Self {
        Self { lo, hi }
    }

    /// Returns `max(|lo|, |hi|)`.
    #[must_use]
    pub fn amax(&self) -> u32 {
        self.lo.unsigned_abs().max(self.hi.unsigned_abs())
    }

    /// Returns whether `value` lies in the interval.
    #[must_use]
    pub const fn contains(&self, value: i32) -> bool {
        self.lo <= value && value <= self.hi
    }
}

const RAW_MAX: i32 = 0x3f80_0000;
const _: () = assert!(RAW_MAX as i64 == MAX_INTEGER);

/// A tensor's type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a tensor's type in section 2")]
pub struct Tensor {
    /// Real extents.
    pub shape: TensorShape,
    /// Values of a cell; [`Interval::RAW`] for the output.
    pub interval: Interval,
}

/// `ceil(log2 n)`, and 0 for 0.
pub(crate) const fn lg(n: u32) -> u32 {
    if n < 2 { 0 } else { 32 - (n - 1).leading_zeros() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_tensors_get_more_rows() {
        assert_eq!(TensorShape::vector(10).arities(0), [2, 0, 4]);
        assert_eq!(TensorShape::vector(10).arities(3), [0, 0, 4]);
        assert_eq!(TensorShape::vector(10).arity(3), 7);
        assert_eq!(TensorShape::new(5, 3, 8).arities(0), [3, 2, 3]);
        assert_eq!([0, 1, 2, 3, 4, 5].map(lg), [0, 0, 1, 2, 2, 3]);
    }
}
