//! Where a compiler puts its segments (section 6.1).

use super::segment::Segment;
use super::tensor::lg;
use crate::tensor_code::{CodeProfile, Shape, ShapeError};

/// The size of a segment before it has a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "what section 6.1 orders segments by")]
pub struct SegmentSize {
    /// `T`, kernel taps.
    pub taps: u32,
    /// `O`, output channels.
    pub outputs: u32,
    /// `C`, input channels of one group.
    pub channels: u32,
    /// Whether it is a bias; these come last.
    pub bias: bool,
}

impl SegmentSize {
    /// Returns the size of a convolution's or matrix product's weights.
    #[must_use]
    pub const fn weights(taps: u32, outputs: u32, channels: u32) -> Self {
        Self { taps, outputs, channels, bias: false }
    }

    /// Returns the size of a bias.
    #[must_use]
    pub const fn bias(outputs: u32) -> Self {
        Self { taps: 1, outputs, channels: 1, bias: true }
    }
}

/// Segments with their places, and the matrix that they are in.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SegmentLayout {
    /// One for each size, in the order given, whatever their places.
    pub segments: Vec<Segment>,
    /// The matrix whose opening is smallest.
    pub shape: Shape,
    /// Places up to the end of the last segment, gaps included.
    pub places: u64,
}

/// Lays out segments, given in the order of sites, as section 6.1 says.
///
/// They are sorted by `k` descending, then by site, biases last. Where `k < kappa`,
/// `O 2^k >= 2^kappa` and `T O 2^k >= 2^(kappa+2)`, `off` is a multiple of `2^kappa` and `O_pad` of
/// `2^(kappa-k)`: the weight sumcheck then makes no element of the extension for a weight. As this
/// depends on `kappa` and the size on the gaps that it leaves, every `kappa` is tried.
///
/// # Errors
///
/// Returns [`ShapeError`] if the segments have more than `2^30` places.
pub fn layout_segments(sizes: &[SegmentSize]) -> Result<SegmentLayout, ShapeError> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&index| {
        sizes.get(index).map(|size| (size.bias, u32::MAX - lg(size.channels), index))
    });
    let layouts = (0..=MAX_LOG_COLUMNS).map(|kappa| place(sizes, &order, kappa));
    let mut best: Option<SegmentLayout> = None;
    let mut refused = None;
    for layout in layouts {
        match layout {
            Ok(layout) => {
                let bytes = |layout: &SegmentLayout| layout.shape.estimated_proof_bytes();
                if best.as_ref().is_none_or(|best| bytes(&layout) < bytes(best)) {
                    best = Some(layout);
                }
            }
            Err(error) => refused = Some(error),
        }
    }
    let nothing = ShapeError { what: "kappa", low: 0, high: MAX_LOG_COLUMNS, got: 0 };
    best.ok_or(refused.unwrap_or(nothing))
}

/// Lays out for rows of `2^kappa` columns.
fn place(
    sizes: &[SegmentSize],
    order: &[usize],
    kappa: usize,
) -> Result<SegmentLayout, ShapeError> {
    let mut segments: Vec<Segment> =
        sizes.iter().map(|size| Segment::new(0, size.taps, size.outputs, size.channels)).collect();
    let columns = 1_u64 << kappa;
    let mut places = 0_u64;
    for &index in order {
        let Some(segment) = segments.get_mut(index) else { continue };
        let k = segment.log_channels;
        let row = u64::from(segment.outputs) << k;
        let low = kappa.saturating_sub(k as usize);
        let all = u64::from(segment.taps).saturating_mul(row);
        let mut step = 1_u64 << k;
        if low > 0 && row >= columns && all >= columns << 2 {
            step = columns;
            segment.outputs_padded = segment.outputs.next_multiple_of(1 << low);
        }
        segment.off = places.checked_next_multiple_of(step).unwrap_or(u64::MAX);
        places = segment.end().unwrap_or(u64::MAX);
        if places > MAX_PLACES {
            break;
        }
    }
    let places = places.max(1);
    let count = usize::try_from(places).unwrap_or(usize::MAX);
    let log_weights = count.checked_next_power_of_two().unwrap_or(0).trailing_zeros() as usize;
    let rows = count.div_ceil(1 << kappa);
    let shape = Shape::new(CodeProfile::default(), log_weights.max(kappa), kappa, rows)?;
    Ok(SegmentLayout { segments, shape, places })
}

/// Longest row that the code's length allows.
const MAX_LOG_COLUMNS: usize = 22;

/// N4.
const MAX_PLACES: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    /// No two overlap, each is where the rules want it, and all are inside.
    fn check(sizes: &[SegmentSize]) -> SegmentLayout {
        let layout = layout_segments(sizes).unwrap();
        let kappa = u32::try_from(layout.shape.log_columns()).unwrap();
        assert_eq!(layout.segments.len(), sizes.len());
        let mut placed: Vec<(Segment, bool)> =
            layout.segments.iter().copied().zip(sizes.iter().map(|size| size.bias)).collect();
        for ((segment, _), size) in placed.iter().zip(sizes) {
            assert_eq!(
                (segment.taps, segment.outputs, segment.channels),
                (size.taps, size.outputs, size.channels)
            );
            assert_eq!(segment.log_channels, lg(size.channels));
            assert_eq!(segment.off % (1 << segment.log_channels), 0);
            let row = u64::from(segment.outputs) << segment.log_channels;
            let big = row >= 1 << kappa && u64::from(segment.taps) * row >= 4 << kappa;
            if segment.log_channels < kappa && big {
                assert_eq!(segment.off % (1 << kappa), 0, "{segment:?}");
                assert_eq!(segment.outputs_padded % (1 << (kappa - segment.log_channels)), 0);
            } else {
                assert_eq!(segment.outputs_padded, segment.outputs);
            }
        }
        placed.sort_by_key(|(segment, _)| segment.off);
        let pairs = placed.iter().zip(placed.iter().skip(1));
        for ((left, left_bias), (right, right_bias)) in pairs {
            assert!(left.end().unwrap() <= right.off, "{left:?} {right:?}");
            let rank = |segment: &Segment, bias: bool| (bias, u32::MAX - segment.log_channels);
            assert!(rank(left, *left_bias) <= rank(right, *right_bias), "{left:?} {right:?}");
        }
        assert_eq!(placed.last().map_or(0, |(last, _)| last.end().unwrap()), layout.places);
        assert!(layout.places <= layout.shape.capacity() as u64);
        layout
    }

    #[test]
    fn segments_are_sorted_aligned_and_apart() {
        let (weights, bias) = (SegmentSize::weights, SegmentSize::bias);
        check(&[weights(9, 64, 3), bias(64), weights(9, 64, 64), weights(9, 64, 1), bias(64)]);
        check(&[weights(1, 128, 784), bias(128), weights(1, 10, 128), bias(10)]);
        check(&[weights(25, 6, 1), weights(25, 16, 6), weights(16, 120, 16), bias(6), bias(120)]);
        let dense: Vec<_> = (0..5).flat_map(|_| [weights(1, 1024, 1024), bias(1024)]).collect();
        let layout = check(&dense);
        let sized = Shape::for_weights(usize::try_from(layout.places).unwrap());
        assert_eq!(sized, Ok(layout.shape), "nothing is lost to gaps here");
    }

    #[test]
    fn nothing_at_all_is_a_matrix_of_one_place() {
        let layout = layout_segments(&[]).unwrap();
        assert_eq!((layout.segments.len(), layout.shape.capacity()), (0, 1));
    }

    #[test]
    fn more_than_the_cap_is_an_error() {
        let most = SegmentSize::weights(1, 1 << 10, 1 << 20);
        assert!(layout_segments(&[most]).is_ok());
        let error = layout_segments(&[most, SegmentSize::bias(1)]).unwrap_err();
        assert_eq!((error.what, error.high), ("n_w", 30));
        let huge = SegmentSize::weights(u32::MAX, u32::MAX, 1 << 31);
        assert!(layout_segments(&[huge, huge]).is_err());
    }
}
