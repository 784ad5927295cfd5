//! The weight vector: every weight at its place (section 6.1).

use assay_zkml::program::{Segment, SegmentLayout, SegmentSize, layout_segments};
use assay_zkml::tensor_code::MAX_WEIGHTS;

use crate::error::CompileError;

/// Weights of one segment, `[tap][output][channel]`.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) size: SegmentSize,
    pub(crate) weights: Vec<i16>,
}

/// Returns the segments, one for each block, and the weight vector.
pub(crate) fn lay_out(blocks: &[Block]) -> Result<(SegmentLayout, Vec<i16>), CompileError> {
    let sizes: Vec<SegmentSize> = blocks.iter().map(|block| block.size).collect();
    let layout = layout_segments(&sizes).map_err(|_| {
        let padded = |size: &SegmentSize| {
            [size.taps, size.outputs, size.channels.next_power_of_two()]
                .iter()
                .fold(1_usize, |product, &n| product.saturating_mul(n as usize))
        };
        let got = sizes.iter().map(padded).fold(0, usize::saturating_add);
        CompileError::Limit { what: "weights, with their padding,", limit: MAX_WEIGHTS, got }
    })?;
    let places = usize::try_from(layout.places).unwrap_or(usize::MAX);
    let mut weights = vec![0; places.min(layout.shape.capacity())];
    for (segment, block) in layout.segments.iter().zip(blocks) {
        copy(segment, block, &mut weights);
    }
    Ok((layout, weights))
}

fn copy(segment: &Segment, block: &Block, weights: &mut [i16]) {
    let SegmentSize { taps, outputs, channels, .. } = block.size;
    let rows = block.weights.chunks_exact((channels as usize).max(1));
    let places = (0..taps).flat_map(|tap| (0..outputs).map(move |output| (tap, output)));
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

    fn block(size: SegmentSize) -> Block {
        let count = (size.taps * size.outputs * size.channels) as usize;
        let weights = (0..count).map(|index| i16::try_from(index % 1000 + 1).unwrap()).collect();
        Block { size, weights }
    }

    #[test]
    fn every_weight_stands_at_its_index() {
        let blocks = [SegmentSize::bias(40), SegmentSize::weights(9, 40, 20)].map(block);
        let (layout, vector) = lay_out(&blocks).unwrap();
        for (block, segment) in blocks.iter().zip(&layout.segments) {
            let mut weights = block.weights.iter();
            for tap in 0..block.size.taps {
                for output in 0..block.size.outputs {
                    for channel in 0..block.size.channels {
                        let place = segment.index(output, tap, channel);
                        let found = vector[usize::try_from(place).unwrap()];
                        assert_eq!(Some(&found), weights.next());
                    }
                }
            }
        }
        let zeros = vector.iter().filter(|&&weight| weight == 0).count();
        let placed: usize = blocks.iter().map(|block| block.weights.len()).sum();
        assert_eq!(zeros, vector.len() - placed);
        assert!(vector.len() <= layout.shape.capacity());
    }

    #[test]
    fn more_weights_than_a_matrix_has_are_refused() {
        let size = SegmentSize::weights(1 << 10, 1 << 11, 1 << 10);
        let error = lay_out(&[Block { size, weights: Vec::new() }]).unwrap_err();
        assert!(matches!(error, CompileError::Limit { limit: 1_073_741_824, .. }), "{error:?}");
    }
}
