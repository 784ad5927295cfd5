//! Shapes of terms (sections 2.3, 4.4, 4.5 and 11).

use super::check::{MAX_EXTENT, MAX_KERNEL_TAPS, check_integer};
use super::error::{Place, ProgramError, Rule};
use super::form::{AxisMap, Conv, Outside, Pick, Term, Window};
use super::segment::Segment;
use super::tensor::TensorShape;
use super::{Program, Site};

/// Checks one term of the form of site `index`.
pub(crate) fn check_term(program: &Program, index: usize, term: &Term) -> Result<(), ProgramError> {
    let place = Place::Site(index);
    let Some(output) = program.tensors.get(index + 1).map(|tensor| tensor.shape) else {
        return place.equal(Rule::Tensors, program.sites.len() + 1, program.tensors.len());
    };
    match term {
        Term::Local { tensor, m } => {
            check_integer(place, *m)?;
            let input = read_shape(program, index, *tensor)?;
            for (required, got) in output.extents().into_iter().zip(input.extents()) {
                place.equal(Rule::LocalShape, required, got)?;
            }
            Ok(())
        }
        Term::Conv(conv) => {
            let input = read_shape(program, index, conv.tensor)?;
            check_conv(program, place, conv, input, output)
        }
        Term::Pick(pick) => {
            check_pick(place, pick, read_shape(program, index, pick.tensor)?, output)
        }
        Term::Bias { segment, m } => {
            check_integer(place, *m)?;
            let segment = read_segment(program, place, *segment)?;
            place.equal(Rule::BiasShape, 1, segment.taps)?;
            place.equal(Rule::BiasShape, 1, segment.channels)?;
            place.equal(Rule::BiasShape, output.c, segment.outputs)
        }
        Term::Const { v } => check_integer(place, *v),
    }
}

/// Returns the shape of a tensor that exists before site `index` runs.
fn read_shape(program: &Program, index: usize, tensor: u32) -> Result<TensorShape, ProgramError> {
    let place = Place::Site(index);
    place.at_most(Rule::Topological, index, tensor)?;
    let read = program.tensors.get(tensor as usize);
    let missing = || place.equal(Rule::Tensors, program.sites.len() + 1, program.tensors.len());
    read.map_or_else(|| missing().map(|()| TensorShape::new(0, 0, 0)), |tensor| Ok(tensor.shape))
}

fn read_segment(program: &Program, place: Place, index: u32) -> Result<Segment, ProgramError> {
    let count = program.segments.len();
    place.at_least(Rule::SegmentIndex, i64::from(index) + 1, count).map_err(|error| {
        // Shown as the index and the last one that exists.
        ProgramError {
            relation: super::error::Relation::AtMost,
            required: error.got - 1,
            got: i64::from(index),
            ..error
        }
    })?;
    Ok(program.segments.get(index as usize).copied().unwrap_or(Segment::new(0, 1, 1, 1)))
}

fn check_conv(
    program: &Program,
    place: Place,
    conv: &Conv,
    input: TensorShape,
    output: TensorShape,
) -> Result<(), ProgramError> {
    let segment = read_segment(program, place, conv.segment)?;
    check_window(place, &conv.y)?;
    check_window(place, &conv.x)?;
    let taps = u64::from(conv.y.taps) * u64::from(conv.x.taps);
    place.at_most(Rule::KernelTaps, MAX_KERNEL_TAPS, taps)?;
    place.equal(Rule::ConvTaps, taps, segment.taps)?;
    place.equal(Rule::ConvOutputs, output.c, segment.outputs)?;
    place.within(Rule::ConvGroups, 1, MAX_EXTENT, conv.groups)?;
    let (groups, inputs, outputs) = (conv.groups, input.c, output.c);
    if groups == 1 {
        let end = u64::from(conv.c_off) + u64::from(inputs);
        return place.at_most(Rule::ConvChannels, segment.channels, end);
    }
    place.equal(Rule::ConvOffset, 0, conv.c_off)?;
    let (group_inputs, group_outputs) = (inputs / groups, outputs / groups);
    place.equal(Rule::ConvGroups, inputs, group_inputs * groups)?;
    place.equal(Rule::ConvGroups, outputs, group_outputs * groups)?;
    place.equal(Rule::ConvChannels, group_inputs, segment.channels)?;
    // Depthwise, both are 1.
    place.equal(Rule::ConvGroupSize, group_inputs.next_power_of_two(), group_inputs)?;
    place.equal(Rule::ConvGroupSize, group_outputs.next_power_of_two(), group_outputs)
}

fn check_window(place: Place, window: &Window) -> Result<(), ProgramError> {
    place.within(Rule::Taps, 1, MAX_EXTENT, window.taps)?;
    place.within(Rule::Stride, 1, MAX_EXTENT, window.stride)?;
    place.within(Rule::Dilation, 1, MAX_EXTENT, window.dilation)?;
    place.at_most(Rule::Padding, MAX_EXTENT, window.pad)
}

fn check_pick(
    place: Place,
    pick: &Pick,
    input: TensorShape,
    output: TensorShape,
) -> Result<(), ProgramError> {
    check_integer(place, pick.m)?;
    for axis in [super::Axis::Y, super::Axis::X, super::Axis::C] {
        let uses = pick.order.iter().filter(|used| **used == axis).count();
        place.equal(Rule::PickOrder, 1, uses)?;
    }
    let [_, _, channels] = &pick.axes;
    let moved = usize::from(matches!(channels, AxisMap::Taps { .. }));
    place.equal(Rule::PickChannels, 0, moved)?;
    let extents = input.extents();
    let axes = pick.order.iter().zip(&pick.axes).zip(output.extents());
    for ((axis, map), to) in axes {
        let from = extents.get(axis.position()).copied().unwrap_or(0);
        check_axis(place, map, from, to)?;
    }
    place.at_most(Rule::KernelTaps, MAX_KERNEL_TAPS, pick.taps())?;
    if pick.outside == Outside::Lowest {
        place.equal(Rule::PickOutside, 1, pick.taps())?;
    }
    Ok(())
}

/// Checks the map from `to` cells of the output to `from` cells of the tensor.
fn check_axis(place: Place, map: &AxisMap, from: u32, to: u32) -> Result<(), ProgramError> {
    match map {
        AxisMap::Taps { stride, pad, taps } => {
            place.within(Rule::Taps, 1, MAX_KERNEL_TAPS, taps.len())?;
            place.within(Rule::Stride, 1, MAX_EXTENT, *stride)?;
            place.at_most(Rule::Padding, MAX_EXTENT, *pad)?;
            let mut least = 0;
            for &tap in taps {
                place.within(Rule::PickTaps, least, MAX_EXTENT, tap)?;
                least = tap + 1;
            }
            Ok(())
        }
        AxisMap::FromInput { start } => {
            place.at_most(Rule::PickWindow, from, u64::from(*start) + u64::from(to))
        }
        AxisMap::IntoOutput { start } => {
            place.at_most(Rule::PickWindow, to, u64::from(*start) + u64::from(from))
        }
    }
}

/// Returns the Conv and Pick terms of all sites, each with its site's index.
pub(crate) fn remote_terms(sites: &[Site]) -> impl Iterator<Item = (usize, &Term)> {
    sites.iter().enumerate().flat_map(|(index, site)| {
        site.forms()
            .flat_map(|form| &form.terms)
            .filter(|term| matches!(term, Term::Conv(_) | Term::Pick(_)))
            .map(move |term| (index, term))
    })
}
