//! Random graphs: odd strides, paddings, dilations, groups, branches, layouts.

use super::{Attribute, Builder, Seeded};

/// A random model.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RandomGraph {
    /// The file.
    pub bytes: Vec<u8>,
    /// The number of values of the input.
    pub inputs: usize,
    /// The operators, in order.
    pub operators: Vec<&'static str>,
}

impl RandomGraph {
    /// Returns `count` random inputs of `-1.0..1.0`.
    #[must_use]
    pub fn samples(&self, seed: u64, count: usize) -> Vec<Vec<f32>> {
        let mut numbers = Seeded::new(seed);
        (0..count).map(|_| numbers.uniform(self.inputs, 1.0)).collect()
    }
}

/// A value of shape `[1, c, y, x]`, or `[1, c, y]` of a sequence.
#[derive(Clone, Debug)]
struct Image {
    name: String,
    c: u32,
    y: u32,
    x: u32,
}

/// Attributes of a node by name.
type Attributes = Vec<(&'static str, Attribute)>;

struct Growing {
    builder: Builder,
    numbers: Seeded,
    images: Vec<Image>,
    operators: Vec<&'static str>,
    /// Whether values are sequences, without `x`.
    sequence: bool,
}

/// Most channels, and the longest side.
const MOST_CHANNELS: u32 = 12;
const LONGEST: u32 = 18;

/// Returns a graph of 5 to 30 nodes that follows from the seed.
#[must_use]
pub fn random_graph(seed: u64) -> RandomGraph {
    let mut numbers = Seeded::new(seed);
    let (c, y, x) = (1 + numbers.below(5), 4 + numbers.below(10), 4 + numbers.below(10));
    let sequence = numbers.below(4) == 0;
    let x = if sequence { 1 } else { x };
    let dims = [c, y, x];
    let builder = Builder::batched(if sequence { dims.get(..2).unwrap_or(&dims) } else { &dims });
    let first = Image { name: "x".to_owned(), c, y, x };
    let (images, operators) = (vec![first], Vec::new());
    let mut growing = Growing { builder, numbers, images, operators, sequence };
    let nodes = 2 + growing.numbers.below(26);
    for _ in 0..nodes {
        growing.grow();
    }
    let output = growing.head();
    let bytes = growing.builder.finish(&output);
    RandomGraph { bytes, inputs: (c * y * x) as usize, operators: growing.operators }
}

impl Growing {
    /// Returns a value to read: mostly the newest.
    fn pick(&mut self) -> Image {
        let newest = self.images.len().saturating_sub(1);
        let index = if self.numbers.below(10) < 7 {
            newest
        } else {
            self.numbers.below(u32::try_from(self.images.len()).unwrap_or(1)) as usize
        };
        let empty = || Image { name: "x".to_owned(), c: 1, y: 1, x: 1 };
        self.images.get(index).or_else(|| self.images.last()).cloned().unwrap_or_else(empty)
    }

    fn add(
        &mut self,
        operator: &'static str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
        [c, y, x]: [u32; 3],
    ) {
        let name = self.builder.node(operator, inputs, attributes);
        self.operators.push(operator);
        self.images.push(Image { name, c, y, x });
    }

    fn grow(&mut self) {
        let image = self.pick();
        let Image { name, c, y, x } = &image;
        let same = [*c, *y, *x];
        match self.numbers.below(22) {
            0..=3 => self.conv(&image),
            4 | 5 => self.add("Relu", &[name], &[], same),
            6 => self.clip(&image),
            7 => self.batch_norm(&image),
            8 => self.max_pool(&image),
            9 => self.average_pool(&image),
            10 => self.join(&image, "Add"),
            11 => self.join(&image, "Concat"),
            12 => self.pad(&image),
            13 => self.affine(&image),
            14 if !self.sequence => {
                let order = Attribute::Ints(vec![0, 1, 3, 2]);
                self.add("Transpose", &[name], &[("perm", order)], [*c, *x, *y]);
            }
            15 => self.function(&image),
            16 => self.prelu(&image),
            17 => self.gather(&image),
            18 => self.resize(&image),
            19 => self.conv_transpose(&image),
            20 => self.gate(&image),
            _ => self.add("Identity", &[name], &[], same),
        }
    }

    /// Returns the rank of values.
    const fn rank(&self) -> usize {
        if self.sequence { 3 } else { 4 }
    }

    /// Returns an attribute with a value for `y` and one for `x`, where values have it.
    fn spatial(&self, values: [u32; 2]) -> Attribute {
        let axes = if self.sequence { 1 } else { 2 };
        Attribute::Ints(values.iter().take(axes).map(|&value| i64::from(value)).collect())
    }

    /// Returns an attribute with the cells before `y` and `x`, then with those behind.
    fn pads(&self, [top, left, bottom, right]: [u32; 4]) -> Attribute {
        let all = if self.sequence { vec![top, bottom] } else { vec![top, left, bottom, right] };
        Attribute::Ints(all.into_iter().map(i64::from).collect())
    }

    fn random_weights(&mut self, dims: &[u32]) -> String {
        let count = dims.iter().map(|&dim| dim as usize).product();
        let inputs: u32 = dims.iter().skip(1).product();
        let size = (6.0 / f32::from(u16::try_from(inputs).unwrap_or(u16::MAX))).sqrt();
        let values = self.numbers.uniform(count, size);
        self.builder.floats(dims, &values)
    }

    fn conv(&mut self, image: &Image) {
        let numbers = &mut self.numbers;
        let divisors: Vec<u32> = (1..=image.c).filter(|d| image.c.is_multiple_of(*d)).collect();
        let index = numbers.below(u32::try_from(divisors.len()).unwrap_or(1)) as usize;
        let groups = divisors.get(index).copied().unwrap_or(1);
        let outputs = groups * (1 + numbers.below((MOST_CHANNELS / groups).max(1)));
        let [ky, mut kx] = [1 + numbers.below(3), 1 + numbers.below(3)];
        let [sy, sx] = [1 + numbers.below(3), 1 + numbers.below(3)];
        let [dy, dx] = [1 + numbers.below(2), 1 + numbers.below(2)];
        let [top, mut left, bottom, mut right] = [0; 4].map(|_| numbers.below(3));
        if self.sequence {
            (kx, left, right) = (1, 0, 0);
        }
        let side = |extent: u32, pads: u32, taps: u32, dilation: u32, stride: u32| {
            let room = (extent + pads).checked_sub((taps - 1) * dilation + 1)?;
            Some(room / stride + 1)
        };
        let sides =
            side(image.y, top + bottom, ky, dy, sy).zip(side(image.x, left + right, kx, dx, sx));
        let Some((y, x)) = sides else { return };
        let dims = [outputs, image.c / groups, ky, kx];
        let weights = self.random_weights(dims.get(..self.rank()).unwrap_or(&dims));
        let values = self.numbers.uniform(outputs as usize, 0.5);
        let bias = self.builder.floats(&[outputs], &values);
        let attributes = [
            ("group", Attribute::Int(i64::from(groups))),
            ("strides", self.spatial([sy, sx])),
            ("dilations", self.spatial([dy, dx])),
            ("pads", self.pads([top, left, bottom, right])),
        ];
        self.add("Conv", &[&image.name, &weights, &bias], &attributes, [outputs, y, x]);
    }

    fn function(&mut self, image: &Image) {
        let operators = [
            "Abs",
            "Elu",
            "HardSigmoid",
            "HardSwish",
            "LeakyRelu",
            "Selu",
            "Sigmoid",
            "Softplus",
            "Softsign",
            "Tanh",
        ];
        let index = self.numbers.below(u32::try_from(operators.len()).unwrap_or(1)) as usize;
        let operator = operators.get(index).copied().unwrap_or("Tanh");
        self.add(operator, &[&image.name], &[], [image.c, image.y, image.x]);
    }

    /// `x sigmoid(x)`: products of any two values would leave nothing that a bound could be set for.
    fn gate(&mut self, image: &Image) {
        let same = [image.c, image.y, image.x];
        let gate = self.builder.node("Sigmoid", &[&image.name], &[]);
        self.operators.push("Sigmoid");
        self.add("Mul", &[&image.name, &gate], &[], same);
    }

    fn prelu(&mut self, image: &Image) {
        let channels = if self.numbers.below(2) == 0 { 1 } else { image.c };
        let values = self.numbers.uniform(channels as usize, 0.5);
        let dims = [channels, 1, 1];
        let slopes = self.builder.floats(dims.get(..self.rank() - 1).unwrap_or(&dims), &values);
        let same = [image.c, image.y, image.x];
        self.add("PRelu", &[&image.name, &slopes], &[], same);
    }

    fn clip(&mut self, image: &Image) {
        let low = self.builder.floats(&[], &[-0.5]);
        let high = self.builder.floats(&[], &[1.5]);
        let same = [image.c, image.y, image.x];
        self.add("Clip", &[&image.name, &low, &high], &[], same);
    }

    fn batch_norm(&mut self, image: &Image) {
        let mut vector = |centre: f32, size: f32| {
            let mut values = self.numbers.uniform(image.c as usize, size);
            values.iter_mut().for_each(|value| *value += centre);
            self.builder.floats(&[image.c], &values)
        };
        let parts = [vector(1.0, 0.5), vector(0.0, 0.5), vector(0.0, 0.5), vector(1.0, 0.5)];
        let [gain, bias, mean, variance] = &parts;
        let inputs = [image.name.as_str(), gain, bias, mean, variance];
        self.add("BatchNormalization", &inputs, &[], [image.c, image.y, image.x]);
    }

    /// Returns a window, its stride and its padding, and the outputs along both axes.
    fn window(&mut self, image: &Image) -> Option<(Attributes, [u32; 2])> {
        let [ky, mut kx] = [1 + self.numbers.below(3), 1 + self.numbers.below(3)];
        let [sy, sx] = [1 + self.numbers.below(2), 1 + self.numbers.below(2)];
        if self.sequence {
            kx = 1;
        }
        let [py, px] = [self.numbers.below(ky), self.numbers.below(kx)];
        let side = |extent: u32, pads: u32, taps: u32, stride: u32| {
            Some((extent + pads).checked_sub(taps)? / stride + 1)
        };
        let outputs = [side(image.y, 2 * py, ky, sy)?, side(image.x, 2 * px, kx, sx)?];
        let attributes = vec![
            ("kernel_shape", self.spatial([ky, kx])),
            ("strides", self.spatial([sy, sx])),
            ("pads", self.pads([py, px, py, px])),
        ];
        Some((attributes, outputs))
    }

    fn max_pool(&mut self, image: &Image) {
        let Some((attributes, [y, x])) = self.window(image) else { return };
        self.add("MaxPool", &[&image.name], &attributes, [image.c, y, x]);
    }

    fn average_pool(&mut self, image: &Image) {
        if self.numbers.below(8) == 0 {
            return self.add("GlobalAveragePool", &[&image.name], &[], [image.c, 1, 1]);
        }
        let Some((mut attributes, [y, x])) = self.window(image) else { return };
        attributes.push(("count_include_pad", Attribute::Int(1)));
        self.add("AveragePool", &[&image.name], &attributes, [image.c, y, x]);
    }

    /// Adds or joins a value of a fitting shape, if there is one.
    fn join(&mut self, image: &Image, operator: &'static str) {
        let fits = |other: &&Image| {
            let channels = operator == "Concat" || other.c == image.c;
            (other.y, other.x) == (image.y, image.x) && channels
        };
        let fitting: Vec<Image> = self.images.iter().filter(fits).cloned().collect();
        let index = self.numbers.below(u32::try_from(fitting.len()).unwrap_or(1)) as usize;
        let Some(other) = fitting.get(index) else { return };
        if operator == "Add" {
            let same = [image.c, image.y, image.x];
            return self.add("Add", &[&image.name, &other.name], &[], same);
        }
        if image.c + other.c <= MOST_CHANNELS {
            let axis = [("axis", Attribute::Int(1))];
            let shape = [image.c + other.c, image.y, image.x];
            self.add("Concat", &[&image.name, &other.name], &axis, shape);
        } else if other.c == image.c && 2 * image.y <= LONGEST {
            let axis = [("axis", Attribute::Int(2))];
            let shape = [image.c, 2 * image.y, image.x];
            self.add("Concat", &[&image.name, &other.name], &axis, shape);
        }
    }

    fn pad(&mut self, image: &Image) {
        if image.y > LONGEST || image.x > LONGEST {
            return;
        }
        let [top, mut left, bottom, mut right] = [0; 4].map(|_| self.numbers.below(3));
        if self.sequence {
            (left, right) = (0, 0);
        }
        let ends = [0, 0, top, left, 0, 0, bottom, right].map(i64::from);
        let (before, behind) = ends.split_at(4);
        let part = |part: &[i64]| part.iter().copied().take(self.rank()).collect::<Vec<_>>();
        let pads = self.builder.integers(&[part(before), part(behind)].concat());
        let shape = [image.c, image.y + top + bottom, image.x + left + right];
        self.add("Pad", &[&image.name, &pads], &[], shape);
    }

    fn affine(&mut self, image: &Image) {
        let operators = ["Mul", "Add", "Sub"];
        let index = self.numbers.below(3) as usize;
        let operator = operators.get(index).copied().unwrap_or("Mul");
        let channels = if self.numbers.below(2) == 0 { 1 } else { image.c };
        let values = self.numbers.uniform(channels as usize, 1.5);
        let dims = [1, channels, 1, 1];
        let constant = self.builder.floats(dims.get(..self.rank()).unwrap_or(&dims), &values);
        let same = [image.c, image.y, image.x];
        self.add(operator, &[&image.name, &constant], &[], same);
    }

    /// Chooses some channels, rows or columns, mostly in disorder.
    fn gather(&mut self, image: &Image) {
        let axis = 1 + self.numbers.below(if self.sequence { 2 } else { 3 });
        let mut shape = [image.c, image.y, image.x];
        let Some(extent) = shape.get_mut(axis as usize - 1).filter(|extent| **extent > 1) else {
            return;
        };
        let count = 1 + self.numbers.below(*extent);
        let cells: Vec<i64> = (0..count).map(|_| self.numbers.below(*extent).into()).collect();
        *extent = count;
        let indices = self.builder.integers(&cells);
        let axis = [("axis", Attribute::Int(axis.into()))];
        self.add("Gather", &[&image.name, &indices], &axis, shape);
    }

    fn resize(&mut self, image: &Image) {
        let [by_y, mut by_x] = [0; 2].map(|_| 1 + self.numbers.below(3));
        if self.sequence {
            by_x = 1;
        }
        let Image { name, c, y, x } = image;
        if by_y * y > LONGEST || by_x * x > LONGEST {
            return;
        }
        let scales = [1, 1, by_y, by_x].map(|scale| f32::from(u16::try_from(scale).unwrap_or(1)));
        let rank = u32::try_from(self.rank()).unwrap_or(4);
        let scales = self.builder.floats(&[rank], scales.get(..self.rank()).unwrap_or(&scales));
        let attributes = [
            ("coordinate_transformation_mode", Attribute::Text("asymmetric")),
            ("nearest_mode", Attribute::Text("floor")),
        ];
        self.add("Resize", &[name, "", &scales], &attributes, [*c, by_y * y, by_x * x]);
    }

    fn conv_transpose(&mut self, image: &Image) {
        let numbers = &mut self.numbers;
        let depthwise = numbers.below(3) == 0;
        let (groups, each) =
            if depthwise { (image.c, 1) } else { (1, 1 + numbers.below(MOST_CHANNELS)) };
        let [ky, mut kx] = [0; 2].map(|_| 1 + numbers.below(3));
        let [sy, sx] = [0; 2].map(|_| 1 + numbers.below(3));
        let [top, mut left, bottom, mut right] = [0; 4].map(|_| numbers.below(2));
        if self.sequence {
            (kx, left, right) = (1, 0, 0);
        }
        let side = |extent: u32, taps: u32, stride: u32, pads: u32| {
            let side = (stride * (extent - 1) + taps).checked_sub(pads)?;
            Some(side).filter(|side| (1..=LONGEST).contains(side))
        };
        let sides = side(image.y, ky, sy, top + bottom).zip(side(image.x, kx, sx, left + right));
        let Some((y, x)) = sides else { return };
        let dims = [image.c, each, ky, kx];
        let weights = self.random_weights(dims.get(..self.rank()).unwrap_or(&dims));
        let attributes = [
            ("group", Attribute::Int(groups.into())),
            ("strides", self.spatial([sy, sx])),
            ("pads", self.pads([top, left, bottom, right])),
        ];
        let shape = [groups * each, y, x];
        self.add("ConvTranspose", &[&image.name, &weights], &attributes, shape);
    }

    /// Ends in a vector of three to ten values.
    fn head(&mut self) -> String {
        let Image { name, c, y, x } = self.pick();
        let flat = self.builder.node("Flatten", &[&name], &[]);
        let outputs = 3 + self.numbers.below(8);
        let weights = self.random_weights(&[outputs, c * y * x]);
        let transposed = [("transB", Attribute::Int(1))];
        self.operators.extend(["Flatten", "Gemm"]);
        self.builder.node("Gemm", &[&flat, &weights], &transposed)
    }
}
