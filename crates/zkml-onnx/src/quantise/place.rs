//! Where weights stand in the weight vector (section 6.1).

use std::cmp::Reverse;

use assay_zkml::program::Segment;
use assay_zkml::tensor_code::{CodeProfile, Shape};

use crate::error::CompileError;

/// Weights of one segment, `[tap][output][channel]`, before their place is known.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) site: usize,
    pub(super) bias: bool,
    pub(super) taps: u32,
    pub(super) outputs: u32,
    pub(super) channels: u32,
    pub(super) weights: Vec<i16>,
}

/// The weight vector.
#[derive(Debug)]
pub(super) struct Layout {
    /// In the order of their places.
    pub(super) segments: Vec<Segment>,
    /// For each block, the index of its segment.
    pub(super) indices: Vec<u32>,
    pub(super) weights: Vec<i16>,
    pub(super) shape: Shape,
}

/// Lays blocks out: by `k` descending, then by site, biases last; aligned where that spares the
/// prover work.
pub(super) fn lay_out(blocks: &[Block]) -> Result<Layout, CompileError> {
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    let key = |index: &usize| {
        let block = blocks.get(*index);
        block.map(|block| (block.bias, Reverse(segment(block, 0, None).log_channels), block.site))
    };
    order.sort_by_key(key);
    let ordered: Vec<&Block> = order.iter().filter_map(|&index| blocks.get(index)).collect();
    let plain = shape(end(&segments(&ordered, None)), None)?;
    let columns = plain.log_columns();
    let segments = segments(&ordered, Some(columns));
    let shape = shape(end(&segments), Some(columns))?;
    let mut weights =
        vec![0; usize::try_from(end(&segments)).unwrap_or(usize::MAX).min(shape.capacity())];
    for (segment, block) in segments.iter().zip(&ordered) {
        copy(segment, block, &mut weights);
    }
    let mut indices = vec![0; blocks.len()];
    for (place, index) in (0_u32..).zip(order) {
        if let Some(entry) = indices.get_mut(index) {
            *entry = place;
        }
    }
    Ok(Layout { segments, indices, weights, shape })
}

fn shape(end: u64, log_columns: Option<usize>) -> Result<Shape, CompileError> {
    let limit = 1_usize << 30;
    let got = usize::try_from(end).unwrap_or(usize::MAX);
    let refuse = |_| CompileError::Limit { what: "weights, with their padding,", limit, got };
    let count = got.max(1);
    let log = |count: usize| count.next_power_of_two().trailing_zeros() as usize;
    let same = log_columns.and_then(|columns| {
        let rows = count.div_ceil(1 << columns);
        Shape::new(CodeProfile::default(), log(count).max(columns), columns, rows).ok()
    });
    same.map_or_else(|| Shape::for_weights(count).map_err(refuse), Ok)
}

fn end(segments: &[Segment]) -> u64 {
    segments.iter().filter_map(Segment::end).max().unwrap_or(0)
}

/// Places blocks one behind another, aligned to rows of `2^log_columns` weights if given.
fn segments(blocks: &[&Block], log_columns: Option<usize>) -> Vec<Segment> {
    let mut start = 0;
    let place = |block: &&Block| {
        let segment = segment(block, start, log_columns);
        start = segment.end().unwrap_or(u64::MAX);
        segment
    };
    blocks.iter().map(place).collect()
}

fn segment(block: &Block, start: u64, log_columns: Option<usize>) -> Segment {
    let mut segment = Segment::new(0, block.taps, block.outputs, block.channels);
    let log = segment.log_channels;
    let mut step = 1_u64 << log;
    let columns = log_columns.and_then(|columns| u32::try_from(columns).ok());
    if let Some(columns) = columns.filter(|columns| log < *columns) {
        let tap = u64::from(block.outputs) << log;
        let all = u64::from(block.taps).saturating_mul(tap);
        if tap >= 1 << columns && all >= 1 << (columns + 2) {
            step = 1 << columns;
            segment.outputs_padded = block.outputs.next_multiple_of(1 << (columns - log));
        }
    }
    segment.off = start.next_multiple_of(step);
    segment
}

fn copy(segment: &Segment, block: &Block, weights: &mut [i16]) {
    let rows = block.weights.chunks_exact((block.channels as usize).max(1));
    let places =
        (0..block.taps).flat_map(|tap| (0..block.outputs).map(move |output| (tap, output)));
    for ((tap, output), row) in places.zip(rows) {
        let first = usize::try_from(segment.index(output, tap, 0)).unwrap_or(usize::MAX);
        let place = weights.get_mut(first..).and_then(|rest| rest.get_mut(..row.len()));
        if let Some(place) = place {
            place.copy_from_slice(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(site: usize, bias: bool, [taps, outputs, channels]: [u32; 3]) -> Block {
        let count = (taps * outputs * channels) as usize;
        let weights = (0..count).map(|index| i16::try_from(index % 1000 + 1).unwrap()).collect();
        Block { site, bias, taps, outputs, channels, weights }
    }

    #[test]
    fn segments_are_sorted_aligned_and_apart() {
        let blocks = [
            block(0, false, [9, 6, 3]),
            block(0, true, [1, 6, 1]),
            block(1, false, [1, 100, 300]),
            block(2, false, [25, 120, 16]),
            block(2, true, [1, 120, 1]),
            block(3, false, [1, 10, 120]),
        ];
        let layout = lay_out(&blocks).unwrap();
        let columns = 1_u64 << layout.shape.log_columns();
        let mut end = 0;
        let mut before = (false, Reverse(u32::MAX));
        for (index, segment) in layout.segments.iter().enumerate() {
            assert!(segment.off >= end, "{segment:?}");
            end = segment.end().unwrap();
            let from = layout.indices.iter().position(|&i| i as usize == index).unwrap();
            let key = (blocks[from].bias, Reverse(segment.log_channels));
            assert!(key >= before, "{key:?} behind {before:?}");
            before = key;
            let step = 1_u64 << segment.log_channels;
            let (tap, taps) = (u64::from(segment.outputs) * step, u64::from(segment.taps));
            if step < columns && tap >= columns && taps * tap >= 4 * columns {
                assert!(segment.off.is_multiple_of(columns), "{segment:?}");
                let padded = u64::from(segment.outputs_padded) * step;
                assert!(padded.is_multiple_of(columns) && padded < tap + columns, "{segment:?}");
            } else {
                assert!(segment.off.is_multiple_of(step), "{segment:?}");
                assert_eq!(segment.outputs_padded, segment.outputs);
            }
        }
        assert_eq!(layout.weights.len() as u64, end);
        assert!(layout.weights.len() <= layout.shape.capacity());
    }

    #[test]
    fn every_weight_stands_at_its_index() {
        let blocks = [block(0, false, [9, 40, 20]), block(0, true, [1, 40, 1])];
        let layout = lay_out(&blocks).unwrap();
        for (block, index) in blocks.iter().zip(&layout.indices) {
            let segment = layout.segments[*index as usize];
            let mut weights = block.weights.iter();
            for tap in 0..block.taps {
                for output in 0..block.outputs {
                    for channel in 0..block.channels {
                        let place = segment.index(output, tap, channel);
                        let found = layout.weights[usize::try_from(place).unwrap()];
                        assert_eq!(Some(&found), weights.next());
                    }
                }
            }
        }
        let zeros = layout.weights.iter().filter(|&&weight| weight == 0).count();
        let placed: usize = blocks.iter().map(|block| block.weights.len()).sum();
        assert_eq!(zeros, layout.weights.len() - placed);
    }

    #[test]
    fn a_model_without_weights_has_a_matrix_of_one() {
        let layout = lay_out(&[]).unwrap();
        assert_eq!((layout.segments.len(), layout.weights.len()), (0, 0));
        assert_eq!(layout.shape.capacity(), 1);
    }
}
