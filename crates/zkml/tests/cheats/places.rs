//! Where a cheat can be: real cells, pads of each axis, instances that no input uses.

use super::Stage;

/// Returns a cell of each sort that the column of `tensor` has, with its name.
pub(crate) fn places(stage: &Stage, tensor: usize) -> Vec<(&'static str, usize)> {
    let grid = stage.grid(tensor);
    let real = grid.real();
    let used = stage.inputs.len();
    let mut places = vec![
        ("first real cell", grid.index([0; 4])),
        ("last real cell", grid.index([real[0] - 1, real[1] - 1, real[2] - 1, used - 1])),
    ];
    for (axis, name) in ["pad on y", "pad on x", "pad on c"].into_iter().enumerate() {
        if real[axis] < grid.extent(axis) {
            let mut place = [0; 4];
            place[axis] = real[axis];
            places.push((name, grid.index(place)));
        }
    }
    if used < grid.extent(3) {
        places.push(("unused instance", grid.index([0, 0, 0, grid.extent(3) - 1])));
    }
    places.push(("last cell of all", grid.cells() - 1));
    places
}
