//! A small grey picture in the terminal.

use assay_primitives::{Tensor, TensorData};

const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];

/// Draws a tensor whose last two dimensions are rows and columns, two characters for each pixel.
/// `None` when it is no picture of a size that fits a terminal.
pub(super) fn draw(tensor: &Tensor) -> Option<Vec<String>> {
    let [.., rows, columns] = tensor.shape() else { return None };
    let columns = usize::try_from(*columns).ok().filter(|n| (4..=32).contains(n))?;
    usize::try_from(*rows).ok().filter(|n| (4..=32).contains(n))?;
    let TensorData::Fp32(values) = tensor.data() else { return None };
    let greatest = values.iter().copied().fold(0.0_f32, f32::max);
    let lines = values.chunks(columns).map(|row| {
        let pixels = row.iter().map(|value| shade(*value, greatest));
        pixels.flat_map(|shade| [shade, shade]).collect()
    });
    Some(lines.collect())
}

fn shade(value: f32, greatest: f32) -> char {
    // As many thresholds as there are shades above the first.
    let step = greatest / 5.0;
    let passed = (1_u8..5).filter(|n| value > step * f32::from(*n)).count();
    SHADES.get(passed).copied().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_drawn_and_tables_are_not() {
        let data: Vec<f32> = (0..16_u8).map(f32::from).collect();
        let picture = Tensor::new("x".into(), vec![1, 1, 4, 4], TensorData::Fp32(data)).unwrap();
        let lines = draw(&picture).unwrap();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], "        ");
        assert!(lines[3].ends_with("██"));
        let table = Tensor::new("x".into(), vec![1, 3], TensorData::Fp32(vec![0.0; 3])).unwrap();
        assert_eq!(draw(&table), None);
    }
}
