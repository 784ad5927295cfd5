//! Sums of a convolution, in 16-bit products.
//!
//! Weights are 16-bit integers, and so are the cells of every tensor that a convolution reads; were
//! one not, its convolution would run in 64 bits. A sum of 16-bit products is taken in 32 bits for
//! as many terms as cannot wrap whatever the weights are, then in 64: nothing depends on N1.
//! `pulp` compiles the sums for the widest vectors of the processor.

use p3_maybe_rayon::prelude::*;

use super::form::{Operand, add};
use crate::program::{Conv, Segment, TensorShape, Window, weight_run};

/// A convolution with what it reads and the shape of what it makes.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) conv: &'a Conv,
    pub(super) segment: &'a Segment,
    pub(super) weights: &'a [i16],
    pub(super) input: Operand<'a>,
    pub(super) output: TensorShape,
}

/// For an output index along an axis, each tap that is inside, with the index that it reads.
type Reads = Vec<(u32, usize)>;

impl Reader<'_> {
    /// Adds the convolution to `sums`, which are in the order `[y][x][o]`.
    pub(super) fn add_to(&self, sums: &mut [i64]) {
        let Some(cells) = narrow(self.input.values) else { return self.add_wide(sums) };
        let block = terms_that_fit(&cells);
        let shape = self.input.tensor.shape;
        let pixels = self.output.y as usize * self.output.x as usize;
        let depthwise = self.group_inputs() == 1 && self.group_outputs() == 1;
        if depthwise && self.segment.log_channels == 0 {
            return self.add_depthwise(&cells, sums);
        }
        if pixels == 1 || (self.taps() == 1 && self.conv.groups == 1) {
            return self.add_directly(&cells, block, sums);
        }
        let patch = Patch {
            reader: self,
            cells: &cells,
            width: shape.x as usize,
            channels: shape.c as usize,
            kernels: self.kernels(),
            block,
        };
        patch.add_to(sums);
    }

    const fn taps(&self) -> usize {
        self.conv.y.taps as usize * self.conv.x.taps as usize
    }

    const fn group_inputs(&self) -> usize {
        self.input.tensor.shape.c as usize / self.conv.groups as usize
    }

    const fn group_outputs(&self) -> usize {
        self.output.c as usize / self.conv.groups as usize
    }

    /// The weights of one tap, output by output, each in a row of [`step`](Self::step).
    fn kernel(&self, tap: u32) -> &[i16] {
        let first = self.segment.index(0, tap, self.conv.c_off);
        weight_run(self.weights, first, self.step() * self.segment.outputs as usize)
    }

    const fn step(&self) -> usize {
        1 << self.segment.log_channels
    }

    /// Each output row and column with what it reads.
    fn places(&self) -> (Vec<Reads>, Vec<Reads>) {
        let shape = self.input.tensor.shape;
        let rows = reads(&self.conv.y, self.output.y, shape.y);
        (rows, reads(&self.conv.x, self.output.x, shape.x))
    }

    /// The weights of each output in one run, tap by tap, for each channel of its group.
    fn kernels(&self) -> Vec<i16> {
        let (taps, inputs) = (self.taps(), self.group_inputs());
        let mut kernels = vec![0; taps * inputs * self.output.c as usize];
        for tap in 0..self.conv.y.taps * self.conv.x.taps {
            let start = tap as usize * inputs;
            let rows = self.kernel(tap).chunks(self.step());
            for (kernel, row) in kernels.chunks_exact_mut(taps * inputs).zip(rows) {
                let slots = kernel.iter_mut().skip(start).take(inputs);
                slots.zip(row).for_each(|(slot, &weight)| *slot = weight);
            }
        }
        kernels
    }

    /// Tap by tap, with the weights where they stand.
    fn add_directly(&self, cells: &[i16], block: usize, sums: &mut [i64]) {
        let (rows, columns) = self.places();
        let (inputs, outputs) = (self.group_inputs(), self.group_outputs());
        let channels = self.input.tensor.shape.c as usize;
        let width = self.input.tensor.shape.x as usize;
        let arch = pulp::Arch::new();
        let places = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
        for (pixel, (row, column)) in sums.chunks_exact_mut(self.output.c as usize).zip(places) {
            for ((dy, y), (dx, x)) in product(row, column) {
                let start = (y * width + x) * channels;
                let cells = cells.get(start..start + channels).unwrap_or_default();
                let kernels = self.kernel(dy * self.conv.x.taps + dx).chunks(self.step() * outputs);
                for ((sums, cells), kernel) in
                    pixel.chunks_mut(outputs).zip(cells.chunks(inputs)).zip(kernels)
                {
                    let task = (TASK / self.step()).max(1);
                    let kernels = kernel.par_chunks(task * self.step());
                    sums.par_chunks_mut(task).zip(kernels).for_each(|(sums, kernels)| {
                        arch.dispatch(Products { kernels, step: self.step(), cells, block, sums });
                    });
                }
            }
        }
    }

    /// Channel by channel: weight and cell of a tap are at the same place in their rows.
    fn add_depthwise(&self, cells: &[i16], sums: &mut [i64]) {
        let (rows, columns) = self.places();
        let channels = self.output.c as usize;
        let width = self.input.tensor.shape.x as usize;
        let places = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
        for (sums, (row, column)) in sums.chunks_exact_mut(channels).zip(places) {
            for ((dy, y), (dx, x)) in product(row, column) {
                let start = (y * width + x) * channels;
                let cells = cells.get(start..start + channels).unwrap_or_default();
                let kernel = self.kernel(dy * self.conv.x.taps + dx);
                for ((sum, &cell), &weight) in sums.iter_mut().zip(cells).zip(kernel) {
                    add(sum, i64::from(i32::from(cell) * i32::from(weight)));
                }
            }
        }
    }

    /// The same sums in 64 bits.
    fn add_wide(&self, sums: &mut [i64]) {
        let (rows, columns) = self.places();
        let (inputs, outputs) = (self.group_inputs(), self.group_outputs());
        let places = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
        for (pixel, (row, column)) in sums.chunks_exact_mut(self.output.c as usize).zip(places) {
            for ((dy, y), (dx, x)) in product(row, column) {
                let cells = self.input.pixel(y, x);
                let kernels = self.kernel(dy * self.conv.x.taps + dx).chunks(self.step() * outputs);
                let groups = pixel.chunks_mut(outputs).zip(cells.chunks(inputs)).zip(kernels);
                for ((sums, cells), kernel) in groups {
                    for (sum, row) in sums.iter_mut().zip(kernel.chunks(self.step())) {
                        // At most 2^20 products below 2^15 2^31: a sum that is too large is held.
                        for (&weight, &cell) in row.iter().zip(cells) {
                            add(sum, i64::from(weight) * i64::from(cell));
                        }
                    }
                }
            }
        }
    }
}

/// Pixel by pixel: what a pixel reads is gathered into one run, which every output then uses.
struct Patch<'a> {
    reader: &'a Reader<'a>,
    cells: &'a [i16],
    width: usize,
    channels: usize,
    kernels: Vec<i16>,
    block: usize,
}

impl Patch<'_> {
    fn add_to(&self, sums: &mut [i64]) {
        let (rows, columns) = self.reader.places();
        let line = self.reader.output.x as usize * self.reader.output.c as usize;
        sums.par_chunks_mut(line).zip(&rows).for_each(|(sums, row)| {
            let (taps, inputs) = (self.reader.taps(), self.reader.group_inputs());
            let mut patch = vec![0_i16; taps * self.channels];
            for (pixel, column) in
                sums.chunks_exact_mut(self.reader.output.c as usize).zip(&columns)
            {
                self.gather(row, column, &mut patch);
                let outputs = self.reader.group_outputs();
                let step = taps * inputs;
                let kernels = self.kernels.chunks(step * outputs);
                for ((sums, cells), kernels) in
                    pixel.chunks_mut(outputs).zip(patch.chunks(step)).zip(kernels)
                {
                    let products = Products { kernels, step, cells, block: self.block, sums };
                    pulp::Arch::new().dispatch(products);
                }
            }
        });
    }

    /// Group by group, the cells of each tap; 0 outside.
    fn gather(&self, row: &Reads, column: &Reads, patch: &mut [i16]) {
        let (taps, inputs) = (self.reader.taps(), self.reader.group_inputs());
        patch.fill(0);
        for ((dy, y), (dx, x)) in product(row, column) {
            let start = (y * self.width + x) * self.channels;
            let cells = self.cells.get(start..start + self.channels).unwrap_or_default();
            let tap = (dy * self.reader.conv.x.taps + dx) as usize;
            for (to, from) in patch.chunks_exact_mut(taps * inputs).zip(cells.chunks(inputs)) {
                let to = to.iter_mut().skip(tap * inputs);
                to.zip(from).for_each(|(to, &from)| *to = from);
            }
        }
    }
}

/// Inner products of rows of weights with the same cells, added to `sums`; compiled once for each
/// vector width that the processor may have.
struct Products<'a> {
    kernels: &'a [i16],
    step: usize,
    cells: &'a [i16],
    /// Products whose sum fits 32 bits.
    block: usize,
    sums: &'a mut [i64],
}

impl pulp::WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        for (sum, kernel) in self.sums.iter_mut().zip(self.kernels.chunks(self.step)) {
            for (weights, cells) in kernel.chunks(self.block).zip(self.cells.chunks(self.block)) {
                add(sum, i64::from(dot(weights, cells)));
            }
        }
    }
}

/// The caller sees to it that the sum fits.
#[inline(always)]
fn dot(weights: &[i16], cells: &[i16]) -> i32 {
    let length = weights.len().min(cells.len());
    let (weights, cells) = (weights.get(..length), cells.get(..length));
    let (weights, cells) = (weights.unwrap_or_default(), cells.unwrap_or_default());
    let mut sum = 0;
    for (&weight, &cell) in weights.iter().zip(cells) {
        sum += i32::from(weight) * i32::from(cell);
    }
    sum
}

/// The values in 16 bits, if all of them fit.
fn narrow(values: &[i32]) -> Option<Vec<i16>> {
    let narrowed: Vec<i16> =
        values.iter().map(|&value| i16::try_from(value).unwrap_or(0)).collect();
    let same = values.iter().zip(&narrowed).all(|(&value, &narrow)| value == i32::from(narrow));
    same.then_some(narrowed)
}

/// How many products of a weight and a cell have a sum below `2^31`, whatever the weights are.
fn terms_that_fit(cells: &[i16]) -> usize {
    let largest = cells.iter().map(|cell| cell.unsigned_abs()).max().unwrap_or(0).max(1);
    (usize::from(u16::MAX) / usize::from(largest)).max(1)
}

fn product(row: &Reads, column: &Reads) -> impl Iterator<Item = ((u32, usize), (u32, usize))> {
    row.iter().flat_map(|&y| column.iter().map(move |&x| (y, x)))
}

/// For each output index along an axis, its taps that are inside, with the index that they read.
fn reads(window: &Window, outputs: u32, extent: u32) -> Vec<Reads> {
    let inside = |o: u32| {
        (0..window.taps).filter_map(move |tap| {
            let step = i64::from(o) * i64::from(window.stride);
            let at = step + i64::from(tap) * i64::from(window.dilation) - i64::from(window.pad);
            Some((tap, super::form::inside(at, extent)?))
        })
    };
    (0..outputs).map(|o| inside(o).collect()).collect()
}

/// Weights of one task.
const TASK: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_sums_do_not_wrap() {
        for cell in [1, 3, 127, 255, 256, 32_767, i16::MIN] {
            let length = 70_000;
            let (weights, cells) = (vec![i16::MIN; length], vec![cell; length]);
            let mut sums = [5];
            let block = terms_that_fit(&cells);
            let products =
                Products { kernels: &weights, step: length, cells: &cells, block, sums: &mut sums };
            pulp::Arch::new().dispatch(products);
            assert_eq!(sums, [5 + i64::from(cell) * i64::from(i16::MIN) * 70_000], "{cell}");
        }
    }

    #[test]
    fn only_values_of_16_bits_are_narrowed() {
        assert_eq!(narrow(&[-32_768, 0, 32_767]), Some(vec![-32_768, 0, 32_767]));
        assert_eq!(narrow(&[0, 32_768]), None);
        assert_eq!(narrow(&[-32_769]), None);
    }
}
