//! Cheats in what a site computed: output, accumulator, remainder, maximum, copy, at real cells, at
//! pads of each axis and in unused instances.

use assay_zkml::field::MODULUS;
use assay_zkml::program::{Site, Table};

use super::places::places;
use super::{Check, Stage, kind, refused};
use crate::nets;
use crate::reference::{Step, Trace, table_value};

/// A change of one cell of what a site computed, and the check that is there for it.
type Cheat = (&'static str, Check, fn(&Facts<'_>, &mut Step, usize));

/// What a cheat has to know of its site.
struct Facts<'a> {
    shift: u32,
    table: Option<&'a Table>,
}

impl Facts<'_> {
    /// Takes `q` for the quotient, with the output that the table has for it.
    fn set_quotient(&self, step: &mut Step, cell: usize, q: i64) {
        step.quotients[cell] = q;
        step.y[cell] = table_value(self.table.unwrap(), q);
    }

    /// One towards 0, or from it: a quotient that the table has.
    fn neighbour(&self, q: i64) -> i64 {
        if q > 0 { q - 1 } else { q + 1 }
    }
}

/// Of a requantisation, whatever its shift.
const REQUANT: &[Cheat] = &[
    ("output", Check::LookupSum, |_, step, cell| step.y[cell] ^= 1),
    ("accumulator", Check::Layers, |facts, step, cell| {
        let q = facts.neighbour(step.quotients[cell]);
        facts.set_quotient(step, cell, q);
    }),
    ("quotient outside the table", Check::LookupSum, |_, step, cell| {
        step.quotients[cell] = i64::from(MODULUS) / 2;
    }),
];

/// Of a requantisation with a remainder.
const SHIFTED: &[Cheat] = &[
    ("remainder", Check::Layers, |_, step, cell| step.remainders[cell] ^= 1),
    ("remainder of 2^s and more", Check::LookupSum, |facts, step, cell| {
        let q = step.quotients[cell] - 1;
        step.remainders[cell] += 1 << facts.shift;
        facts.set_quotient(step, cell, q);
    }),
    ("negative remainder", Check::LookupSum, |facts, step, cell| {
        let q = step.quotients[cell] + 1;
        step.remainders[cell] -= 1 << facts.shift;
        facts.set_quotient(step, cell, q);
    }),
    ("quotient that wraps", Check::LookupSum, |facts, step, cell| {
        // 2^s q + rem is what it was, modulo p.
        let (scale, p) = (1_i64 << facts.shift, i64::from(MODULUS));
        let t = step.quotients[cell] * scale + step.remainders[cell];
        let rem = (0..scale).find(|rem| (t + p - rem) % scale == 0).unwrap();
        step.quotients[cell] = (t + p - rem) / scale;
        step.remainders[cell] = rem;
    }),
];

/// Of a maximum, whose operands are what they are.
const MAX2: &[Cheat] = &[
    ("above both operands", Check::LookupSum, |_, step, cell| {
        step.y[cell] = step.forms[0][cell].max(step.forms[1][cell]) + 1;
    }),
    ("below both operands", Check::LookupSum, |_, step, cell| {
        step.y[cell] = step.forms[0][cell].min(step.forms[1][cell]) - 1;
    }),
    ("another first operand", Check::Layers, |_, step, cell| {
        step.forms[0][cell] = step.y[cell] - 3;
        step.forms[1][cell] = step.y[cell];
    }),
    ("another second operand", Check::Layers, |_, step, cell| {
        step.forms[1][cell] -= 1;
        step.forms[0][cell] = step.y[cell];
    }),
];

/// Of a form that is the result.
const PLAIN: &[Cheat] = &[
    ("one more", Check::Layers, |_, step, cell| step.y[cell] += 1),
    ("another sign", Check::Layers, |_, step, cell| step.y[cell] = -step.y[cell] - 1),
];

fn cheats(site: &Site) -> Vec<Cheat> {
    match site {
        Site::Requant { shift: 0, .. } => REQUANT.to_vec(),
        Site::Requant { .. } => [REQUANT, SHIFTED].concat(),
        Site::Max2 { .. } => MAX2.to_vec(),
        Site::Copy { .. } | Site::Output { .. } => PLAIN.to_vec(),
    }
}

/// Tries every cheat at every site, and every sort of cell at every site: each cheat of a site at
/// the next of its cells, each cell with the next of the cheats.
fn try_all(stage: &Stage) {
    let honest = stage.run(&mut |_, _| {});
    let (witness, outputs) = stage.written(&honest);
    assert_eq!(witness, stage.witness, "the reference is the executor");
    assert!(stage.prove(&witness, &outputs).is_ok(), "the honest proof");
    for (index, site) in stage.program().sites.iter().enumerate() {
        let (cheats, places) = (cheats(site), places(stage, index + 1));
        let facts = match site {
            Site::Requant { shift, table, .. } => {
                Facts { shift: *shift, table: stage.program().tables.get(*table as usize) }
            }
            _ => Facts { shift: 0, table: None },
        };
        for turn in 0..cheats.len().max(places.len()) {
            let (name, expected, change) = cheats[turn % cheats.len()];
            let (place, cell) = places[(turn + index) % places.len()];
            let case = format!("lb {}, site {index} ({}), {place}: {name}", stage.lb, kind(site));
            let trace = stage.run_changed(index, &mut |step| change(&facts, step, cell));
            let public_pad = has_public_pad(stage, &trace);
            if stage.lb == 0 && public_pad && matches!(site, Site::Output { .. }) {
                // Without a batch there is no column of outputs, so it has no pads either.
                continue;
            }
            // The sum of the lookups comes first, then the outputs, then the layers.
            let expected = match expected {
                Check::Layers if stage.lb > 0 && public_pad => Check::Output,
                expected => expected,
            };
            assert_eq!(refused(&case, stage.prove_run(&trace)), expected, "{case}");
        }
    }
}

/// Whether a pad of an output that the verifier is given is not 0.
fn has_public_pad(stage: &Stage, trace: &Trace) -> bool {
    let last = stage.program().sites.len();
    let (grid, column) = (stage.grid(last), trace.tensor(last));
    let used = |index: usize| grid.place(index)[3] < stage.inputs.len();
    (0..grid.cells()).any(|i| !grid.is_real(i) && used(i) && column[i] != 0)
}

#[test]
fn the_network_alone() {
    try_all(&Stage::new(crate::network::network(3), 0, 1));
}

#[test]
fn the_network_in_a_batch_with_an_unused_instance() {
    try_all(&Stage::new(crate::network::network(4), 2, 3));
}

#[test]
fn small_networks_in_every_batch() {
    for (name, net) in nets::all() {
        for (lb, count) in [(0, 1), (1, 2), (2, 3), (3, 1)] {
            println!("{name}, lb {lb}");
            try_all(&Stage::new(net(), lb, count));
        }
    }
}
