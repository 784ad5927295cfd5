//! Tree ensembles: decisions as the float model makes them, and what is refused.

use assay_zkml::circuit::Circuit;
use assay_zkml::execute::execute_batch;
use assay_zkml::model::{ClaimFile, ModelFile, VerifyingFile, batch_bits, context, statement};
use assay_zkml::statement::Instance;
use assay_zkml::verifier::verify_bytes;
use assay_zkml_onnx::synthetic::{Attribute, Builder, Forest, Seeded, forest};
use assay_zkml_onnx::{Compiled, Options, Reference, compile};

/// An input of multiples of 1/8, of the floats next to them, and of others.
fn input(features: u32, numbers: &mut Seeded) -> Vec<f32> {
    let value = |numbers: &mut Seeded| {
        let on_grid = (numbers.below(23) as f32 - 11.0) / 8.0;
        match numbers.below(6) {
            0 | 1 => on_grid,
            2 => on_grid.next_up(),
            3 => on_grid.next_down(),
            4 => numbers.unit() * 1.3,
            _ => -0.0,
        }
    };
    (0..features).map(|_| value(numbers)).collect()
}

fn compiled(bytes: &[u8], features: u32) -> Compiled {
    let sample = vec![0.25; features as usize];
    compile(bytes, &[sample], &Options::default()).unwrap()
}

/// Compares the program with the float model on random inputs; a wrong decision would show, as leaves
/// are worth hundredths and more.
fn agrees(shape: Forest, seed: u64, inputs: usize) {
    let bytes = forest(shape, seed);
    let program = compiled(&bytes, shape.features);
    let reference = Reference::new(&bytes).unwrap();
    let mut numbers = Seeded::new(seed);
    for _ in 0..inputs {
        let input = input(shape.features, &mut numbers);
        let (got, clamped) = program.run(&input).unwrap();
        assert_eq!(clamped, 0);
        for (got, expected) in got.iter().zip(reference.run(&input).unwrap()) {
            let error = (got - expected).abs();
            assert!(error <= 1e-5, "{shape:?} {seed} {input:?}: {got} {expected}");
        }
    }
}

const REGRESSOR: Forest =
    Forest { features: 5, trees: 12, depth: 4, targets: 1, is_classifier: false };

#[test]
fn decisions_are_those_of_the_float_model() {
    agrees(REGRESSOR, 1, 4_000);
    for seed in 2..40 {
        let mut numbers = Seeded::new(seed);
        let shape = Forest {
            features: 1 + numbers.below(6),
            trees: 1 + numbers.below(9),
            depth: numbers.below(7),
            targets: 2 + numbers.below(3),
            is_classifier: numbers.below(2) == 0,
        };
        agrees(shape, seed, 300);
    }
}

/// Proves a batch and verifies it, from the files that are sent; then forges it.
fn prove(shape: Forest, seed: u64, inferences: usize) {
    let bytes = forest(shape, seed);
    let file = compiled(&bytes, shape.features).into_file("trees".to_owned()).unwrap().encode();
    let (key, model) = ModelFile::decode(&file).unwrap().into_prover().unwrap();
    let key = VerifyingFile::decode(&key.encode()).unwrap();
    let lb = batch_bits(inferences);
    let circuit = Circuit::new(model.descriptor(), lb).unwrap();
    let mut numbers = Seeded::new(seed);
    let asked: Vec<_> = (0..inferences).map(|_| input(shape.features, &mut numbers)).collect();
    let cells: Vec<Vec<i32>> =
        asked.iter().map(|asked| key.input().quantise_within(asked).unwrap()).collect();
    let runs = execute_batch(circuit.program(), model.weights(), lb, &cells).unwrap();
    let outputs: Vec<Vec<i32>> = runs.iter().map(|run| run.output().to_vec()).collect();
    let context = context(&key.digest(), &[1; 32]);
    let state = |cells: &[Vec<i32>], outputs: &[Vec<i32>]| {
        let instance = |(input, output)| Instance { context, salt: [2; 32], input, output };
        let pairs = cells.iter().map(Vec::as_slice).zip(outputs.iter().map(Vec::as_slice));
        let instances: Vec<_> = pairs.map(instance).collect();
        let (said, claims) = statement(&circuit, &instances).unwrap();
        let claims: Vec<_> = claims.iter().map(ClaimFile::of).collect();
        (said, claims)
    };
    let (said, _) = state(&cells, &outputs);
    let proof = model.prove(&circuit, &said, &runs).unwrap().encode();
    let verify = |cells: &[Vec<i32>], outputs: &[Vec<i32>]| {
        let (said, claims) = state(cells, outputs);
        let claims: Vec<_> =
            claims.iter().zip(cells).map(|(claim, cells)| claim.claim(context, cells)).collect();
        verify_bytes(&circuit, &said, &claims, &proof).map(|verified| verified.security_bits())
    };
    assert!(verify(&cells, &outputs).unwrap() > 100.0);
    let reference = Reference::new(&bytes).unwrap();
    for (asked, output) in asked.iter().zip(&outputs) {
        let real = key.output().dequantise(output).unwrap();
        for (real, expected) in real.iter().zip(reference.run(asked).unwrap()) {
            assert!((real - expected).abs() < 1e-5, "{real} {expected}");
        }
    }
    // Another answer, or one other decision, is another statement.
    let mut forged = outputs.clone();
    forged[inferences - 1][0] += 1;
    assert!(verify(&cells, &forged).is_err());
    let mut other = cells.clone();
    other[0][0] = 1 - other[0][0];
    assert!(verify(&other, &outputs).is_err());
}

#[test]
fn ensembles_are_proven_and_verified() {
    prove(REGRESSOR, 7, 1);
    prove(REGRESSOR, 7, 3);
    prove(Forest { trees: 1, depth: 0, ..REGRESSOR }, 8, 1);
    for seed in 9..15 {
        let mut numbers = Seeded::new(seed);
        let shape = Forest {
            features: 1 + numbers.below(6),
            trees: 1 + numbers.below(7),
            depth: 1 + numbers.below(6),
            targets: 2 + numbers.below(3),
            is_classifier: numbers.below(2) == 0,
        };
        prove(shape, seed, 1);
    }
}

type Attributes = Vec<(&'static str, Attribute)>;

/// `x0 <= 0.5 ? 1 : (x1 <= 0.25 ? 2 : 4)`, nodes 0 to 4 of tree 7.
fn small() -> Attributes {
    let leaf = |values: [i64; 3]| ints(&values);
    vec![
        ("nodes_treeids", ints(&[7; 5])),
        ("nodes_nodeids", ints(&[0, 1, 2, 3, 4])),
        ("nodes_featureids", ints(&[0, 0, 1, 0, 0])),
        ("nodes_truenodeids", ints(&[1, 0, 3, 0, 0])),
        ("nodes_falsenodeids", ints(&[2, 0, 4, 0, 0])),
        ("nodes_modes", modes(["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"])),
        ("nodes_values", Attribute::Floats(vec![0.5, 0.0, 0.25, 0.0, 0.0])),
        ("nodes_hitrates", Attribute::Floats(vec![1.0; 5])),
        ("nodes_missing_value_tracks_true", ints(&[1, 0, 1, 0, 0])),
        ("n_targets", Attribute::Int(1)),
        ("target_treeids", leaf([7, 7, 7])),
        ("target_nodeids", leaf([1, 3, 4])),
        ("target_ids", leaf([0, 0, 0])),
        ("target_weights", Attribute::Floats(vec![1.0, 2.0, 4.0])),
    ]
}

fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

fn modes(values: [&'static str; 5]) -> Attribute {
    Attribute::Texts(values.to_vec())
}

/// Two labels, and the leaves' weights for the classes named.
fn classifier(ids: [i64; 3], weights: [f32; 3], transform: &'static str) -> Attributes {
    let mut attributes = small();
    attributes.retain(|(name, _)| !name.starts_with("target_") && *name != "n_targets");
    attributes.extend([
        ("class_treeids", ints(&[7; 3])),
        ("class_nodeids", ints(&[1, 3, 4])),
        ("class_ids", ints(&ids)),
        ("class_weights", Attribute::Floats(weights.to_vec())),
        ("classlabels_strings", Attribute::Texts(vec!["good", "bad"])),
        ("post_transform", Attribute::Text(transform)),
    ]);
    attributes
}

fn model(attributes: &Attributes) -> Vec<u8> {
    let is_classifier = attributes.iter().any(|(name, _)| name.starts_with("class_"));
    let mut builder = Builder::batched(&[2]);
    let (operator, outputs) = match is_classifier {
        true => ("TreeEnsembleClassifier", 2),
        false => ("TreeEnsembleRegressor", 1),
    };
    let outputs = builder.node_with_outputs(operator, &["x"], attributes, outputs);
    builder.finish(outputs.last().unwrap())
}

/// What the model answers, after its attributes `changes` are put in.
fn answers(mut attributes: Attributes, changes: Attributes, input: [f32; 2]) -> Vec<f32> {
    attributes.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    attributes.extend(changes);
    compiled(&model(&attributes), 2).run(&input).unwrap().0
}

#[test]
fn small_ensembles_answer_as_they_say() {
    for (input, expected) in
        [([0.5, 9.0], 1.0), ([0.5_f32.next_up(), 0.25], 2.0), ([0.6, 0.3], 4.0)]
    {
        assert_eq!(answers(small(), vec![], input), [expected]);
        let average = vec![
            ("aggregate_function", Attribute::Text("AVERAGE")),
            ("base_values", Attribute::Floats(vec![-8.0])),
        ];
        assert_eq!(answers(small(), average, input), [expected - 8.0]);
    }
    let one_score = classifier([0; 3], [0.25, 0.5, 0.75], "NONE");
    assert_eq!(answers(one_score.clone(), vec![], [0.6, 0.3]), [0.25, 0.75]);
    let base = vec![("base_values", Attribute::Floats(vec![0.125]))];
    assert_eq!(answers(one_score, base, [0.6, 0.3]), [0.125, 0.875]);
    let both = classifier([0, 1, 0], [0.25, -0.5, 0.75], "NONE");
    assert_eq!(answers(both, vec![], [0.6, 0.2]), [0.0, -0.5]);
    // The root need not have the least id, nor the nodes an order of their own.
    let ids = vec![
        ("nodes_nodeids", ints(&[9, 1, 5, 3, -4])),
        ("nodes_truenodeids", ints(&[1, 0, 3, 0, 0])),
        ("nodes_falsenodeids", ints(&[5, 0, -4, 0, 0])),
        ("target_nodeids", ints(&[1, 3, -4])),
    ];
    assert_eq!(answers(small(), ids, [0.6, 0.3]), [4.0]);
}

/// Up to the raw scores, where the caller says so.
#[test]
fn probabilities_are_cut_only_when_told() {
    for (transform, ids) in [("LOGISTIC", [0, 0, 0]), ("SOFTMAX", [0, 1, 0])] {
        let bytes = model(&classifier(ids, [-1.0, 2.0, 4.0], transform));
        let error = refused(&bytes);
        let expected = format!(
            "post_transform {transform} (the model can be compiled up to its raw scores, output `v2`) \
             is not supported"
        );
        assert!(error.contains(&expected), "{error}");
        let mut options = Options::default();
        options.output = Some("v2".to_owned());
        let cut = compile(&bytes, &[vec![0.0; 2]], &options).unwrap();
        let scores = cut.run(&[0.6, 0.3]).unwrap().0;
        assert_eq!(scores, if transform == "LOGISTIC" { [-4.0, 4.0] } else { [4.0, 0.0] });
    }
}

fn refused(bytes: &[u8]) -> String {
    compile(bytes, &[vec![0.25; 2]], &Options::default()).unwrap_err().to_string()
}

/// An attribute that is at fault, and how it is refused.
type Fault = (&'static str, Attribute, &'static str);

/// Faults of lists, and of what leads where.
fn lists_and_links() -> Vec<Fault> {
    vec![
        ("nodes_treeids", ints(&[7; 4]), "nodes_treeids must be 5 values, got 4"),
        ("nodes_featureids", ints(&[0; 6]), "nodes_featureids must be 5 values, got 6"),
        ("nodes_values", Attribute::Floats(vec![0.5]), "nodes_values must be 5 values, got 1"),
        ("nodes_modes", Attribute::Texts(vec![]), "nodes_modes must be 5 values, got 0"),
        ("nodes_modes", Attribute::Int(1), "nodes_modes must be texts, got another type"),
        ("nodes_nodeids", ints(&[]), "number of nodes must be 1 or more, got 0"),
        (
            "nodes_nodeids",
            ints(&[0, 1, 2, 3, 3]),
            "nodes_nodeids must be different, got node 3 of tree 7 twice",
        ),
        (
            "nodes_truenodeids",
            ints(&[9, 0, 3, 0, 0]),
            "nodes_truenodeids must be nodes of the same tree, got node 9 of tree 7",
        ),
        (
            "nodes_falsenodeids",
            ints(&[-2, 0, 4, 0, 0]),
            "nodes_falsenodeids must be nodes of the same tree, got node -2 of tree 7",
        ),
        (
            "nodes_truenodeids",
            ints(&[2, 0, 3, 0, 0]),
            "number of parents of a node below a root must be 1, got 0 at the node in place 1 of tree 7",
        ),
        (
            "nodes_falsenodeids",
            ints(&[2, 0, 0, 0, 0]),
            "number of parents of a tree's first node, its root, must be 0, got 1 at the node in place 0",
        ),
    ]
}

/// Faults of questions.
fn questions() -> Vec<Fault> {
    vec![
        (
            "nodes_modes",
            modes(["BRANCH_LEQ", "LEAF", "BRANCH_MEMBER", "LEAF", "LEAF"]),
            "the mode BRANCH_MEMBER is not supported",
        ),
        (
            "nodes_featureids",
            ints(&[0, 0, 2, 0, 0]),
            "nodes_featureids must be below 2, got 2 at node 2 of tree 7",
        ),
        (
            "nodes_featureids",
            ints(&[-1, 0, 1, 0, 0]),
            "nodes_featureids must be below 2, got -1 at node 0 of tree 7",
        ),
        (
            "nodes_values",
            Attribute::Floats(vec![f32::NAN, 0.0, 0.0, 0.0, 0.0]),
            "nodes_values must be finite and below 3.4028235e38, got NaN at node 0 of tree 7",
        ),
        (
            "nodes_values",
            Attribute::Floats(vec![f32::MAX, 0.0, 0.0, 0.0, 0.0]),
            "got 340282350000000000000000000000000000000 at node 0 of tree 7",
        ),
    ]
}

/// Faults of leaves' values, and of the whole.
fn values() -> Vec<Fault> {
    vec![
        ("target_nodeids", ints(&[1, 3]), "target_nodeids must be 3 values, got 2"),
        ("target_nodeids", ints(&[1, 3, 2]), "target_nodeids must be leaves, got node 2 of tree 7"),
        ("target_treeids", ints(&[7, 7, 8]), "target_nodeids must be leaves, got node 4 of tree 8"),
        ("target_ids", ints(&[0, 1, 0]), "target_ids must be below 1, got 1 at node 3 of tree 7"),
        (
            "target_nodeids",
            ints(&[1, 3, 3]),
            "target_ids must be different for each leaf, got 0 of node 3 of tree 7 twice",
        ),
        (
            "target_weights",
            Attribute::Floats(vec![1.0, f32::INFINITY, 2.0]),
            "value 1 is inf, not a finite number",
        ),
        ("n_targets", Attribute::Int(0), "n_targets must be 1 or more, got 0"),
        ("n_targets", Attribute::Int(1 << 40), "n_targets must be at most 4096, got 1099511627776"),
        ("base_values", Attribute::Floats(vec![1.0, 2.0]), "base_values must be 1 values, got 2"),
        ("base_values", Attribute::Floats(vec![f32::NAN]), "value 0 is NaN, not a finite number"),
        ("aggregate_function", Attribute::Text("MAX"), "aggregate_function MAX is not supported"),
        ("post_transform", Attribute::Text("PROBIT"), "post_transform PROBIT is not supported"),
        (
            "nodes_values_as_tensor",
            Attribute::Int(1),
            "the attribute `nodes_values_as_tensor` is not supported",
        ),
        ("class_ids", ints(&[0; 3]), "the attribute `n_targets` is not supported"),
    ]
}

#[test]
fn each_fault_is_refused_by_name() {
    let faults = [lists_and_links(), questions(), values()].concat();
    for (name, value, expected) in faults {
        let mut attributes = small();
        attributes.retain(|(other, _)| *other != name);
        attributes.push((name, value));
        let error = refused(&model(&attributes));
        assert!(error.contains(expected), "{error}\n{expected}");
        assert!(error.starts_with("node `TreeEnsemble"), "{error}");
    }
}

/// Nodes that go round in a circle, apart from the root.
#[test]
fn a_circle_is_refused() {
    let mut attributes = small();
    for (name, value) in &mut attributes {
        match *name {
            "nodes_modes" => *value = modes(["LEAF", "BRANCH_LT", "BRANCH_LT", "LEAF", "LEAF"]),
            "nodes_truenodeids" => *value = ints(&[0, 2, 1, 0, 0]),
            "nodes_falsenodeids" => *value = ints(&[0, 3, 4, 0, 0]),
            "target_nodeids" => *value = ints(&[0, 3, 4]),
            _ => {}
        }
    }
    let error = refused(&model(&attributes));
    let expected = "number of nodes that a root leads to must be all 5 of tree 7, got 1";
    assert!(error.contains(expected), "{error}");
}

/// What runtimes disagree about is refused.
#[test]
fn classifiers_that_are_ambiguous_are_refused() {
    let base = |mut attributes: Attributes, values: &[f32]| {
        attributes.push(("base_values", Attribute::Floats(values.to_vec())));
        attributes
    };
    let labels = |mut attributes: Attributes, labels: Vec<&'static str>| {
        attributes.retain(|(name, _)| *name != "classlabels_strings");
        attributes.push(("classlabels_strings", Attribute::Texts(labels)));
        attributes
    };
    let both = classifier([0, 1, 0], [0.25, 0.5, 0.75], "NONE");
    let one = classifier([0; 3], [0.25, 0.5, 0.75], "NONE");
    for (attributes, expected) in [
        (classifier([0; 3], [0.25, -0.5, 0.75], "NONE"), "with weights of both signs or a SOFTMAX"),
        (
            classifier([1; 3], [0.25, 0.5, 0.75], "NONE"),
            "one score for two classes must be 0, got 1",
        ),
        (base(one.clone(), &[0.0, 0.0]), "base_values must be at most 1 value, got 2"),
        (base(both.clone(), &[0.1, 0.2]), "base_values of two classes that both have weights"),
        (labels(both.clone(), vec!["one"]), "number of labels must be 2 or more, got 1"),
        (classifier([0, 2, 0], [0.25, 0.5, 0.75], "NONE"), "class_ids must be below 2, got 2"),
    ] {
        let error = refused(&model(&attributes));
        assert!(error.contains(expected), "{error}\n{expected}");
    }
    let mut options = Options::default();
    options.output = Some("v1".to_owned());
    let error = compile(&model(&both), &[vec![0.0; 2]], &options).unwrap_err().to_string();
    let expected = "the label (the model can be compiled up to its scores, output `v2`)";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn an_ensemble_stands_alone_in_its_graph() {
    let mut builder = Builder::batched(&[2]);
    let output = builder.node("TreeEnsembleRegressor", &["x"], &small());
    let same = builder.node("Identity", &[&output], &[]);
    assert_eq!(compiled(&builder.finish(&same), 2).run(&[0.0, 0.0]).unwrap().0, [1.0]);
    let output = builder.node("Relu", &[&same], &[]);
    let error = refused(&builder.finish(&output));
    assert!(error.contains("(Relu): an operator before or behind a tree ensemble"), "{error}");
    let mut builder = Builder::batched(&[2]);
    let scaled = builder.node("Relu", &["x"], &[]);
    let output = builder.node("TreeEnsembleRegressor", &[&scaled], &small());
    let error = refused(&builder.finish(&output));
    assert!(error.contains("(Relu): an operator before or behind a tree ensemble"), "{error}");
    let mut builder = Builder::batched(&[1, 2]);
    let output = builder.node("TreeEnsembleRegressor", &["x"], &small());
    let error = refused(&builder.finish(&output));
    assert!(error.contains("must be a batch and features, got [1, 1, 2]"), "{error}");
    let bytes = model(&small());
    let error = compile(&bytes, &[vec![0.5]], &Options::default()).unwrap_err().to_string();
    assert_eq!(error, "sample 0: number of values must be 2, got 1");
    let error = compile(&bytes, &[vec![0.5, f32::NAN]], &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "sample 0: value 1 is NaN, not a finite number");
}

/// A tree that is a chain: deeper than is read, or with more weights than are made.
#[test]
fn ensembles_that_are_too_large_are_refused() {
    let chain = |branches: i64| -> Attributes {
        let count = 2 * branches + 1;
        let is_leaf = |id: &i64| id % 2 == 1 || *id == count - 1;
        let ids: Vec<i64> = (0..count).collect();
        let to = |step: i64| -> Vec<i64> {
            ids.iter().map(|id| if is_leaf(id) { 0 } else { id + step }).collect()
        };
        let leaves: Vec<i64> = ids.iter().copied().filter(is_leaf).collect();
        let modes = ids.iter().map(|id| if is_leaf(id) { "LEAF" } else { "BRANCH_LT" }).collect();
        vec![
            ("nodes_treeids", ints(&vec![0; ids.len()])),
            ("nodes_featureids", ints(&vec![0; ids.len()])),
            ("nodes_truenodeids", Attribute::Ints(to(1))),
            ("nodes_falsenodeids", Attribute::Ints(to(2))),
            ("nodes_modes", Attribute::Texts(modes)),
            ("nodes_values", Attribute::Floats(vec![0.5; ids.len()])),
            ("target_treeids", ints(&vec![0; leaves.len()])),
            ("target_ids", ints(&vec![0; leaves.len()])),
            ("target_weights", Attribute::Floats(vec![1.0; leaves.len()])),
            ("target_nodeids", Attribute::Ints(leaves)),
            ("nodes_nodeids", Attribute::Ints(ids)),
        ]
    };
    let error = refused(&model(&chain(1_025)));
    let expected = "number of nodes on the way to a leaf must be at most 1024, got 1025";
    assert!(error.contains(expected), "{error}");
    let error = refused(&model(&chain(12_000)));
    assert!(error.contains("must be at most 134217728, got 268435456"), "{error}");
}

/// Values of very different size: what is lost is small against the largest.
#[test]
fn leaves_are_as_fine_as_the_accumulator_allows() {
    let values = vec![1e-3, 123_456.79, -7.654_321];
    let changes = vec![("target_weights", Attribute::Floats(values.clone()))];
    for (input, expected) in
        [([0.0, 0.0], values[0]), ([0.6, 0.2], values[1]), ([1.0, 1.0], values[2])]
    {
        let [got] = answers(small(), changes.clone(), input)[..] else { panic!() };
        assert!((got - expected).abs() <= 123_456.79 / (1 << 22) as f32, "{got} {expected}");
    }
    let zeros = vec![("target_weights", Attribute::Floats(vec![0.0; 3]))];
    assert_eq!(answers(small(), zeros, [0.0, 0.0]), [0.0]);
}

#[test]
fn compiling_twice_gives_the_same_bytes() {
    let bytes = forest(REGRESSOR, 3);
    let file = || compiled(&bytes, 5).into_file("trees".to_owned()).unwrap().encode();
    assert_eq!(file(), file());
}

/// What onnxruntime says of models as skl2onnx writes them (`fixtures.py`).
#[derive(serde::Deserialize)]
struct Said {
    inputs: Vec<Vec<f32>>,
    outputs: Vec<Vec<f32>>,
}

#[test]
fn exported_models_agree_with_onnxruntime() {
    let said: std::collections::HashMap<String, Said> =
        serde_json::from_slice(include_bytes!("data/trees.json")).unwrap();
    for (name, bytes) in [
        ("forest", &include_bytes!("data/forest.onnx")[..]),
        ("boosting", include_bytes!("data/boosting.onnx")),
        ("binary", include_bytes!("data/binary.onnx")),
    ] {
        let said = &said[name];
        let mut options = Options::default();
        // Its probabilities are made by a LOGISTIC.
        options.output = (name == "binary").then(|| "probabilities".to_owned());
        let program = compile(bytes, &said.inputs, &options).unwrap();
        assert_eq!(program.summary.agreement.samples as usize, said.inputs.len());
        for (input, expected) in said.inputs.iter().zip(&said.outputs) {
            let (mut got, _) = program.run(input).unwrap();
            if name == "binary" {
                got.iter_mut().for_each(|score| *score = 1.0 / (1.0 + (-*score).exp()));
            }
            assert_eq!(got.len(), expected.len());
            let largest = expected.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
            for (got, expected) in got.iter().zip(expected) {
                assert!((got - expected).abs() <= 2e-6 * largest, "{name}: {got} {expected}");
            }
        }
    }
}
