//! Provers of another program: one weight, bias, scale, table entry, window or reference is not what
//! the key says, the run of that program is honest, and the statement names the true model.

use assay_zkml::program::{AxisMap, Conv, Pick, Program, Segment, Site, Table, Term};
use assay_zkml::verifier::{VerifiedProof, VerifyError};

use super::{Check, Stage, refused};
use crate::network::{Net, network};

/// A change of a program or its weights, and the check that is there for it.
pub(crate) struct Change {
    pub(crate) name: &'static str,
    pub(crate) check: Check,
    pub(crate) make: fn(&mut Net),
}

fn term(program: &mut Program, site: usize, term: usize) -> &mut Term {
    match &mut program.sites[site] {
        Site::Requant { form, .. } | Site::Copy { form } | Site::Output { form } => {
            &mut form.terms[term]
        }
        Site::Max2 { a, .. } => &mut a.terms[term],
    }
}

fn conv(net: &mut Net, site: usize) -> &mut Conv {
    match term(&mut net.program, site, 0) {
        Term::Conv(conv) => conv,
        other => panic!("{other:?}"),
    }
}

fn pick(net: &mut Net, site: usize, at: usize) -> &mut Pick {
    match term(&mut net.program, site, at) {
        Term::Pick(pick) => pick,
        other => panic!("{other:?}"),
    }
}

/// Changes the factor of a term by 1.
fn factor(net: &mut Net, site: usize, at: usize) {
    match term(&mut net.program, site, at) {
        Term::Local { m, .. } | Term::Bias { m, .. } | Term::Const { v: m } => *m += 1,
        Term::Pick(pick) => pick.m += 1,
        Term::Conv(_) => panic!("a convolution has no factor"),
    }
}

/// Changes one weight of a segment by 1.
fn weight(net: &mut Net, segment: usize, o: u32, t: u32) {
    let segment = net.program.segments[segment];
    let at = segment.off as usize
        + (((t * segment.outputs_padded + o) as usize) << segment.log_channels);
    net.weights[at] += 1;
}

/// Every constant of [`network`] of which another value is still a program that can be run.
pub(crate) const CHANGES: &[Change] = {
    use Check::{Layers, LookupLeaves, WeightRoot, Weights};
    macro_rules! changes {
        ($($name:literal, $check:expr, $make:expr;)+) => {
            &[$(Change { name: $name, check: $check, make: $make },)+]
        };
    }
    changes! {
        "weight of a convolution", WeightRoot, |net| weight(net, 0, 3, 8);
        "weight of a depthwise convolution", WeightRoot, |net| weight(net, 2, 1, 4);
        "weight of a grouped convolution", WeightRoot, |net| weight(net, 3, 2, 3);
        "weight of the flattening", WeightRoot, |net| weight(net, 4, 9, 8);
        "weight of the matrix product", WeightRoot, |net| weight(net, 5, 0, 0);
        "bias of a convolution", WeightRoot, |net| weight(net, 1, 2, 0);
        "bias of the output", WeightRoot, |net| weight(net, 6, 9, 0);
        "weight behind the outputs, which nothing reads", WeightRoot, |net| weight(net, 0, 4, 0);
        "scale of the first operand of an add", Layers, |net| factor(net, 4, 0);
        "scale of the second operand of an add", Layers, |net| factor(net, 4, 1);
        "scale of an average", Layers, |net| factor(net, 7, 0);
        "scale of a bias", Weights, |net| factor(net, 0, 1);
        "scale of the second part of a bias", Weights, |net| factor(net, 9, 4);
        "constant of the output", Layers, |net| factor(net, 9, 5);
        "padding of a convolution", Weights, |net| conv(net, 0).y.pad = 0;
        "stride of a depthwise convolution", Weights, |net| conv(net, 3).x.stride = 1;
        "dilation of a grouped convolution", Weights, |net| conv(net, 5).y.dilation = 1;
        "tensor of a convolution", Layers, |net| conv(net, 9).tensor = 6;
        "segment of a bias", Weights, |net| {
            let last = net.program.segments[6];
            net.program.segments.push(Segment { off: last.off - 1, ..last });
            let Term::Bias { segment, .. } = term(&mut net.program, 9, 3) else { panic!("a bias") };
            *segment = 7;
        };
        "stride of a pool", Layers, |net| {
            pick(net, 1, 0).axes[1] = AxisMap::Taps { stride: 1, pad: 0, taps: vec![0] };
        };
        "taps of an average", Layers, |net| {
            pick(net, 7, 0).axes[0] = AxisMap::Taps { stride: 1, pad: 0, taps: vec![0, 1] };
        };
        "places of the parts of a concatenation", Layers, |net| {
            pick(net, 6, 0).axes[2] = AxisMap::IntoOutput { start: 4 };
            pick(net, 6, 1).axes[2] = AxisMap::IntoOutput { start: 0 };
        };
        "tensor of a part of a concatenation", Layers, |net| pick(net, 6, 1).tensor = 5;
        "value of a function", LookupLeaves, |net| {
            let Table::Function { values, .. } = &mut net.program.tables[8] else { panic!("a function") };
            values[17] += 1;
        };
        "value of a function at 0", LookupLeaves, |net| {
            let Table::Function { values, .. } = &mut net.program.tables[8] else { panic!("a function") };
            values[130] += 1;
        };
        "upper end of a clamp", LookupLeaves, |net| {
            let Table::Clamp { hi, .. } = &mut net.program.tables[7] else { panic!("a clamp") };
            *hi -= 1;
        };
        "length of a clamp", LookupLeaves, |net| {
            let Table::Clamp { bq, .. } = &mut net.program.tables[6] else { panic!("a clamp") };
            *bq -= 1;
        };
        "table of a requantisation", LookupLeaves, |net| {
            let Site::Requant { table, .. } = &mut net.program.sites[5] else { panic!("a Requant") };
            *table = crate::network::RELU_TABLE;
        };
    }
};

/// A tap outside reads the low end of its tensor's interval, which is a constant of the program too.
fn low_end(lb: u32) -> (Stage, Stage) {
    let net = |low| {
        let mut net = network(6);
        net.program.tensors[1].interval.lo = low;
        net.program.tensors[2].interval.lo = low;
        net.program.tensors[3].interval.lo = low;
        net.program.tables[5] = Table::Max2 { kmax: 140 };
        net
    };
    let stage = Stage::new(net(0), lb, 1);
    let other = Stage::of(net(-9), lb, stage.inputs.clone());
    (stage, other)
}

/// Proves the run of `other` as one of `stage`.
fn prove_other(stage: &Stage, other: &Stage) -> Result<VerifiedProof, VerifyError> {
    let trace = other.run(&mut |_, _| {});
    stage.prove_as(&other.model, &other.circuit, &other.witness, &other.outputs(&trace))
}

#[test]
fn another_constant_is_refused_by_its_check() {
    for (lb, count) in [(0, 1), (1, 2)] {
        let stage = Stage::new(network(6), lb, count);
        for Change { name, check, make } in CHANGES {
            let mut net = network(6);
            make(&mut net);
            let other = Stage::of(net, lb, stage.inputs.clone());
            assert_ne!(stage.circuit.model_id(), other.circuit.model_id(), "{name}");
            let case = format!("lb {lb}, {name}");
            assert_eq!(refused(&case, prove_other(&stage, &other)), *check, "{case}");
        }
    }
}

#[test]
fn another_value_outside_a_pool_is_refused() {
    for lb in 0..2 {
        let (stage, other) = low_end(lb);
        // The last column is pooled with a tap outside: where it is negative the low end shows.
        assert_eq!(refused("low end", prove_other(&stage, &other)), Check::Layers);
    }
}
