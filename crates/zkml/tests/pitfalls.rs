//! The 19 pitfalls of other systems, one row each (section 12), and the test that falls into it.
//!
//! | # | pitfall | here | elsewhere |
//! |---|---|---|---|
//! | 1 | multiplicities that are not bound | [`p01_forged_multiplicities`] | `lookups::forged_multiplicities_are_refused`, `lookups::a_count_may_be_split_among_the_repeats_of_a_row` |
//! | 2 | a second decomposition | [`p02_one_quotient_and_remainder`] | `cheats::sites`; `opening::no_element_has_two_encodings` |
//! | 3 | a hint without range check | [`p03_remainders_in_the_pads_of_range`], [`p03_limbs_swapped`] | `cheats::sites`; `lookups::tests::rows_after_the_last_of_a_small_range_are_refused`, `lookups::table::tests::the_closed_form_of_range_is_its_padded_rows`; `refusals::requantisations` |
//! | 4 | accumulators that wrap | [`p04_accumulators_at_the_bound`], [`p04_an_accumulator_that_wraps_has_one_output`] | `executor::an_accumulator_past_the_bound_is_an_error_of_the_site` |
//! | 5 | a challenge that does not depend on its round | | `mutations::every_flipped_element_is_refused`; `sumcheck::tests::every_message_and_the_label_change_the_challenges` |
//! | 6 | batching before the claims | [`p06_each_challenge_comes_after_what_it_batches`] | the types of `chain` |
//! | 7 | lookup challenges before the commitment | [`p06_each_challenge_comes_after_what_it_batches`] | the `compile_fail` example of `chain` |
//! | 8 | inputs and outputs that are not absorbed | [`p08_an_output_that_agrees_at_the_point_of_a_proof`], [`p08_an_input_with_local_consumers_only`] | `cheats::steps::an_error_moved_between_instances_is_refused_by_omega` |
//! | 9 | openings dropped or reordered | | `mutations` |
//! | 10 | constants that are not bound | [`p10_a_proof_under_another_key`] | `cheats::programs`; `descriptor::every_changed_byte_is_refused_or_another_model` |
//! | 11 | tuples without a tag | | `lookups::a_row_of_one_table_is_refused_under_the_tag_of_another`; `refusals::requantisations` |
//! | 12 | free hints | [`p12_an_add_with_nothing_to_sum`] | `cheats::sites` (maxima), `cheats::programs` (averages); `refusals::convolutions_and_other_terms` (`Local`) |
//! | 13 | another program is executed | | `graphs`; `executor::every_tensor_is_that_of_the_reference` |
//! | 14 | Fiat-Shamir over prover-chosen circuits | [`p06_each_challenge_comes_after_what_it_batches`] | `refusals::caps_depend_on_the_batch`, `refusals::verifier_work_and_lookups_have_caps` |
//! | 15 | counts that wrap, poles, small challenges | | `lookups::tests::a_pole_among_the_leaves_is_refused`, `refusals::verifier_work_and_lookups_have_caps`, `transcript::tests::challenges_fill_the_extension_and_indices_their_range` |
//! | 16 | blinding that is none | [`p16_no_blinding_is_claimed`] | |
//! | 17 | replay | [`p17_replays`] | |
//! | 18 | conjectured bounds | [`p18_every_circuit_has_its_bits`] | `soundness::tests` |
//! | 19 | pads left free | [`p19_what_may_be_anything`] | `cheats::sites` (every pad of every column); `lookups::tests::garbage_in_the_gap_is_refused` |
//!
//! Version 1 has no site for the softmax and the norms of rows 3 and 12; a softmax is made of tables.

use assay_zkml::chain::Started;
use assay_zkml::circuit::Circuit;
use assay_zkml::field::{F, K, MODULUS};
use assay_zkml::multilinear::{eq_table, inner_product};
use assay_zkml::program::{Form, Interval, Site, Table, TensorShape, Term};
use assay_zkml::proof::Proof;
use assay_zkml::statement::{Claim, Statement};
use assay_zkml::transcript::{Label, Transcript};
use assay_zkml::verifier::{VerifyError, verify, verify_bytes};
use p3_field::{Field, PrimeCharacteristicRing, PrimeField32};

use crate::cheats::{Check, Public, Stage, refused};
use crate::nets;
use crate::network::{INT8, Net, network};

#[test]
fn p01_forged_multiplicities() {
    let stage = Stage::new(network(40), 0, 1);
    let outputs = stage.outputs(&stage.run(&mut |_, _| {}));
    for table in 0..stage.program().tables.len() {
        let honest = &stage.witness.multiplicities[table];
        let used = honest.iter().position(|&count| count != F::ZERO).unwrap();
        let forge = |what: &str, change: &dyn Fn(&mut Vec<Vec<F>>)| {
            let mut witness = stage.witness.clone();
            change(&mut witness.multiplicities);
            let case = format!("table {table}: {what}");
            assert_eq!(refused(&case, stage.prove(&witness, &outputs)), Check::LookupSum, "{case}");
        };
        forge("one more", &|counts| counts[table][used] += F::ONE);
        forge("one fewer", &|counts| counts[table][used] -= F::ONE);
        forge("none", &|counts| counts[table].fill(F::ZERO));
        forge("moved to another row", &|counts| {
            counts[table][used] -= F::ONE;
            // Row 0 stands on the pads too.
            counts[table][if used == 1 { 2 } else { 1 }] += F::ONE;
        });
        forge("moved to another table", &|counts| {
            let other = (table + 1) % counts.len();
            counts[table][used] -= F::ONE;
            counts[other][0] += F::ONE;
        });
    }
}

/// `input * factor`, requantised by `shift` bits with limbs of `limb_bits`, as the raw output.
fn scaled(factor: i32, shift: u32, limb_bits: u32, bq: u32, input: i32) -> Stage {
    let vector = TensorShape::vector(1);
    let widths = assay_zkml::program::limb_widths(shift, limb_bits);
    let mut tables: Vec<Table> = widths.map(|bits| Table::Range { bits }).collect();
    tables.dedup();
    tables.push(Table::Clamp { bq, lo: -127, hi: 127 });
    let table = tables.len() as u32 - 1;
    let mut net = Net::new(0, vector, tables);
    net.program.limb_bits = limb_bits;
    let form = Form::new(vec![Term::Local { tensor: 0, m: factor }]);
    net.site(vector, INT8, Site::Requant { form, shift, table });
    let form = Form::new(vec![Term::Local { tensor: 1, m: 1 }]);
    net.site(vector, Interval::RAW, Site::Output { form });
    Stage::of(net, 0, vec![vec![input]])
}

/// Of all pairs in their ranges, and just outside, one is accepted: at ties, at 0, below 0.
#[test]
fn p02_one_quotient_and_remainder() {
    for (factor, shift, input) in
        [(1_i32, 2, 6), (1, 2, -6), (1, 2, 5), (1, 2, -7), (3, 2, -3), (1, 2, 0), (1, 0, -5)]
    {
        let bq = 128_u32.div_ceil(1 << shift) * factor.unsigned_abs() + 2;
        let stage = scaled(factor, shift, 8, bq, input);
        let scale = 1_i64 << shift;
        let t = i64::from(factor * input) + scale / 2;
        let mut accepted = Vec::new();
        for q in t.div_euclid(scale) - 3..=t.div_euclid(scale) + 3 {
            for rem in -2..scale + 2 {
                let forged = stage.run_changed(0, &mut |step| {
                    step.quotients[0] = q;
                    step.remainders[0] = rem;
                    step.y[0] = q.clamp(-127, 127);
                });
                if stage.prove_run(&forged).is_ok() {
                    accepted.push((q, rem));
                }
                if shift == 0 {
                    // There is no remainder to change.
                    break;
                }
            }
        }
        let rem = if shift == 0 { -2 } else { t.rem_euclid(scale) };
        assert_eq!(accepted, [(t.div_euclid(scale), rem)], "{factor} * {input} >> {shift}");
    }
}

/// RANGE_j has 64 rows, of which those from `2^j` on are row 0.
#[test]
fn p03_remainders_in_the_pads_of_range() {
    for shift in 9..=13 {
        let stage = scaled(1 << (shift - 1), shift, 8, 65, 100);
        for high in [1, 2, (1 << (13 - shift)) - 1, (63 >> (shift - 8)).max(1)] {
            let forged = stage.run_changed(0, &mut |step| {
                // The high limb leaves its range, but not the 64 rows of the table.
                step.remainders[0] += high << shift;
                step.quotients[0] -= high;
                step.y[0] = step.quotients[0].clamp(-127, 127);
            });
            let case = format!("s = {shift}, {high} more");
            if forged.steps[0].remainders[0] >> 8 < 64 && high > 0 {
                assert_eq!(refused(&case, stage.prove_run(&forged)), Check::LookupSum, "{case}");
            }
        }
    }
}

#[test]
fn p03_limbs_swapped() {
    // Both limbs have 8 bits, so that each is in the other's range.
    let stage = scaled(30_011, 16, 8, 127, 77);
    let outputs = honest(&stage);
    let mut witness = stage.witness.clone();
    assert_ne!(witness.limbs[0][0][0], witness.limbs[0][1][0]);
    witness.limbs[0].swap(0, 1);
    assert_eq!(refused("all cells", stage.prove(&witness, &outputs)), Check::Layers);
    let mut witness = stage.witness.clone();
    let [low, high] = witness.limbs[0].as_mut_slice() else { panic!("two limbs") };
    std::mem::swap(&mut low[0], &mut high[0]);
    assert_eq!(refused("one cell", stage.prove(&witness, &outputs)), Check::Layers);
}

#[test]
fn p04_accumulators_at_the_bound() {
    for input in [127, -127] {
        let vector = TensorShape::vector(1);
        let mut net = Net::new(0, vector, Vec::new());
        let form = Form::new(vec![Term::Local { tensor: 0, m: 1 << 23 }]);
        net.site(vector, Interval::RAW, Site::Output { form });
        let stage = Stage::of(net, 1, vec![vec![input]]);
        let honest = stage.run(&mut |_, _| {});
        let outputs = stage.outputs(&honest);
        assert_eq!(outputs[0][0].unsigned_abs(), MODULUS / 2);
        assert!(stage.prove(&stage.witness, &outputs).is_ok());
        // One past the bound is the other end, modulo p: no second output.
        for other in [-outputs[0][0], outputs[0][0] - input.signum()] {
            let result = stage.prove(&stage.witness, &[vec![other]]);
            assert_eq!(refused("another end", result), Check::Output);
        }
        let result = stage.prove(&stage.witness, &[vec![outputs[0][0] + input.signum()]]);
        assert!(matches!(result, Err(VerifyError::Value { what: "output", .. })), "{result:?}");
    }
}

/// Section 6.5: where N1 does not hold an accumulator wraps, and the model is a strange function of
/// its input, but one function.
#[test]
fn p04_an_accumulator_that_wraps_has_one_output() {
    let p = i64::from(MODULUS);
    let stage = scaled(1 << 16, 16, 8, 140, 127);
    // The same descriptor but for the factor, which N1 would refuse: 127 * (2^24 + 5) > p / 2.
    let mut net = Net::new(0, TensorShape::vector(1), stage.program().tables.clone());
    let factor = (1 << 24) + 5;
    let form = Form::new(vec![Term::Local { tensor: 0, m: factor }]);
    net.site(TensorShape::vector(1), INT8, Site::Requant { form, shift: 16, table: 1 });
    let form = Form::new(vec![Term::Local { tensor: 1, m: 1 }]);
    net.site(TensorShape::vector(1), Interval::RAW, Site::Output { form });
    let program = net.checked();
    assert!(program.check_weights(&[]).unwrap_err().to_string().contains("N1"));
    let root = stage.model.descriptor().weight_root();
    let descriptor = assay_zkml::program::Descriptor::new(program, root).unwrap();
    let circuit = Circuit::new(&descriptor, 0).unwrap();
    let strange = Stage { net, circuit, ..stage };

    let t = 127 * i64::from(factor) + (1 << 15);
    let wrapped = if t > p / 2 { t - p } else { t };
    let mut accepted = Vec::new();
    for t in [t, wrapped] {
        let (q, rem) = (t >> 16, t & 0xffff);
        let forged = strange.run_changed(0, &mut |step| {
            step.quotients[0] = q;
            step.remainders[0] = rem;
            step.y[0] = q.clamp(-127, 127);
        });
        let (witness, outputs) = strange.written(&forged);
        let public = Public::new(&strange, &outputs);
        let proof =
            strange.model.prove_witness(&strange.circuit, &public.statement, &witness).unwrap();
        if verify(&strange.circuit, &public.statement, &public.claims(), &proof).is_ok() {
            accepted.push(t);
        }
    }
    assert_eq!((accepted, wrapped >> 16), (vec![wrapped], 0));
}

const fn fine<T>(value: T) -> Result<T, ()> {
    Ok(value)
}

/// Pitfalls 6, 7 and 14. Two walks over the chain that differ in one message have the same
/// challenges before it, and other ones after it.
#[test]
fn p06_each_challenge_comes_after_what_it_batches() {
    let stage = Stage::new(network(41), 2, 4);
    let outputs = honest(&stage);
    let statement = Public::new(&stage, &outputs).statement;
    let walk = |changed: usize| {
        let value = |step: usize| [K::from_bool(step == changed)];
        let message = |step: usize| vec![u8::from(step == changed)];
        let mut statement = statement;
        if changed == 0 {
            statement.io_root[31] ^= 1;
        }
        let mut seen: Vec<K> = Vec::new();
        let (state, ()) = Started::new(&statement)
            .commit(|transcript| {
                transcript.absorb(Label::Proof, &message(1));
                fine(())
            })
            .unwrap();
        let look_up = |transcript: &mut Transcript| {
            let first = transcript.sample_k();
            transcript.absorb_k(Label::LookupRoot, &value(2));
            let second = transcript.sample_k();
            fine(([first, second], vec![second]))
        };
        let (state, drawn) = state.look_up(look_up, 3).unwrap();
        seen.extend(drawn);
        seen.extend(state.rho());
        let state = state.claim(&[&value(3), &value(4), &value(5)]);
        seen.push(state.lambda());
        let rounds = |_: &[K], _: K, transcript: &mut Transcript| {
            transcript.absorb_k(Label::LayerRound, &value(6));
            let tau = transcript.sample_point(2);
            fine((tau.clone(), tau))
        };
        let (state, tau) = state.layer(rounds).unwrap();
        assert_eq!(state.tau(), tau);
        seen.extend(tau);
        let state = state.end(&[&value(7), &value(8), &value(9), &value(10)], 2);
        assert_eq!(state.omega().len(), 2);
        seen.extend(state.omega());
        let weigh = |_: &[K], _: &[K], lambda: K, transcript: &mut Transcript| {
            transcript.absorb_k(Label::WeightRound, &value(11));
            fine(vec![lambda, transcript.sample_k()])
        };
        let (state, drawn) = state.weigh(weigh).unwrap();
        seen.extend(drawn);
        seen.push(state.open(|_, transcript| fine(transcript.sample_k())).unwrap());
        seen
    };
    let honest = walk(usize::MAX);
    // How many of the challenges are drawn before each message.
    let before = [0, 0, 1, 5, 5, 5, 6, 8, 8, 8, 8, 11];
    for (changed, &before) in before.iter().enumerate() {
        let other = walk(changed);
        assert_eq!(other.len(), honest.len());
        for (at, (a, b)) in other.iter().zip(&honest).enumerate() {
            assert_eq!(a == b, at < before, "message {changed}, challenge {at}");
        }
    }
}

/// Five equations over `F`, one for each coordinate of `K`: a change of outputs that keeps their
/// extension at the proof's point.
fn kept_extension(weights: &[K]) -> Vec<F> {
    let coordinates = |value: &K| {
        let mut bytes = Vec::new();
        assay_zkml::field::encode_k(*value, &mut bytes);
        let words = bytes.as_chunks::<4>().0.iter();
        words.map(|word| F::from_u32(u32::from_le_bytes(*word))).collect::<Vec<F>>()
    };
    let columns: Vec<Vec<F>> = weights.iter().take(6).map(coordinates).collect();
    // Gauss on the 5 x 5 system that expresses column 5 in the others.
    let mut rows: Vec<Vec<F>> =
        (0..5).map(|row| columns.iter().map(|column| column[row]).collect()).collect();
    for pivot in 0..5 {
        let at = (pivot..5).find(|&row| rows[row][pivot] != F::ZERO).unwrap();
        rows.swap(pivot, at);
        let inverse = rows[pivot][pivot].inverse();
        rows[pivot].iter_mut().for_each(|value| *value *= inverse);
        for row in (0..5).filter(|&row| row != pivot) {
            let factor = rows[row][pivot];
            let scaled: Vec<F> = rows[pivot].iter().map(|&value| value * factor).collect();
            rows[row].iter_mut().zip(scaled).for_each(|(value, less)| *value -= less);
        }
    }
    let mut change: Vec<F> = rows.iter().map(|row| -row[5]).collect();
    change.push(F::ONE);
    change
}

#[test]
fn p08_an_output_that_agrees_at_the_point_of_a_proof() {
    let stage = Stage::new(network(42), 0, 1);
    let outputs = honest(&stage);
    let public = Public::new(&stage, &outputs);
    let (rho, proof) = crate::cheats::prove_recorded(&stage, &public.statement);
    let arity = stage.grid(stage.program().sites.len()).cells().trailing_zeros() as usize;
    let weights = eq_table(&rho[rho.len() - arity..]);
    let change = kept_extension(&weights);
    let mut forged = outputs.clone();
    for (value, &change) in forged[0].iter_mut().zip(&change) {
        let sum = (F::from_i32(*value) + change).as_canonical_u32();
        *value =
            i32::try_from(i64::from(sum) - if sum > MODULUS / 2 { i64::from(MODULUS) } else { 0 })
                .unwrap();
    }
    let at = |output: &[i32]| {
        let cells: Vec<F> = output.iter().map(|&value| F::from_i32(value)).collect();
        inner_product(&weights[..cells.len()], &cells).unwrap()
    };
    assert_ne!(forged, outputs);
    assert_eq!(at(&forged[0]), at(&outputs[0]), "the layers cannot tell them apart");

    assert!(verify(&stage.circuit, &public.statement, &public.claims(), &proof).is_ok());
    let other = Public::new(&stage, &forged);
    // Under the old root it is not the output; under its own root every challenge is another.
    let result = verify(&stage.circuit, &public.statement, &other.claims(), &proof);
    assert!(matches!(result, Err(VerifyError::IoRoot { .. })), "{result:?}");
    assert!(verify(&stage.circuit, &other.statement, &other.claims(), &proof).is_err());
}

#[test]
fn p08_an_input_with_local_consumers_only() {
    let mut stage = Stage::new(nets::residual(), 1, 2);
    let outputs = stage.outputs(&stage.run(&mut |_, _| {}));
    assert!(stage.prove(&stage.witness, &outputs).is_ok());
    let value = &mut stage.inputs[1][0];
    *value += if *value > 0 { -1 } else { 1 };
    assert_eq!(refused("input", stage.prove(&stage.witness, &outputs)), Check::Input);
}

#[test]
fn p10_a_proof_under_another_key() {
    let stage = Stage::new(network(6), 0, 1);
    let outputs = honest(&stage);
    let public = Public::new(&stage, &outputs);
    let proof =
        stage.model.prove_witness(&stage.circuit, &public.statement, &stage.witness).unwrap();
    for change in crate::cheats::CHANGES {
        let mut net = network(6);
        (change.make)(&mut net);
        let other = Stage::of(net, 0, stage.inputs.clone());
        let result = verify(&other.circuit, &public.statement, &public.claims(), &proof);
        assert!(matches!(result, Err(VerifyError::Model { .. })), "{}: {result:?}", change.name);
        let statement = Statement { model: other.circuit.model_id(), ..public.statement };
        let result = verify(&other.circuit, &statement, &public.claims(), &proof);
        assert!(result.is_err(), "{}", change.name);
    }
}

/// No remote term, so the sum of section 4.2 has no rounds: its claim is all there is.
#[test]
fn p12_an_add_with_nothing_to_sum() {
    let stage = Stage::new(nets::residual(), 0, 1);
    assert_eq!(stage.circuit.sizes().layer_arity, 0);
    let forged = stage.run_changed(1, &mut |step| {
        // Quotient and remainder moved together: another accumulator, as a decomposition true.
        step.quotients[4] += if step.quotients[4] > 0 { -1 } else { 1 };
        step.remainders[4] ^= 1;
        step.y[4] = step.quotients[4].clamp(-127, 127);
    });
    assert_eq!(refused("add", stage.prove_run(&forged)), Check::Layers);
}

#[test]
fn p16_no_blinding_is_claimed() {
    // When proofs are masked, two of one statement differ. Until then no surface says otherwise.
    let stage = Stage::new(nets::residual(), 0, 1);
    let outputs = honest(&stage);
    let statement = Public::new(&stage, &outputs).statement;
    let prove = || stage.model.prove_witness(&stage.circuit, &statement, &stage.witness).unwrap();
    assert_eq!(prove(), prove());
    assert!(include_str!("../src/lib.rs").contains("**not zero-knowledge**"));
}

/// What a verifier may be told about one proof.
struct Told<'a> {
    stage: &'a Stage,
    public: Public<'a>,
    proof: Vec<u8>,
}

impl<'a> Told<'a> {
    fn new(stage: &'a Stage, outputs: &'a [Vec<i32>]) -> Self {
        let public = Public::new(stage, outputs);
        let proof = prove(stage, &public.statement).encode();
        let told = Self { stage, public, proof };
        told.check(&told.public.statement, &told.public.claims()).unwrap();
        told
    }

    fn check(&self, statement: &Statement, claims: &[Claim<'_>]) -> Result<(), VerifyError> {
        verify_bytes(&self.stage.circuit, statement, claims, &self.proof).map(|_| ())
    }

    /// The refusal of the first claim, changed.
    fn claim(&self, change: impl Fn(&mut Claim<'_>)) -> VerifyError {
        let mut claims = self.public.claims();
        change(&mut claims[0]);
        self.check(&self.public.statement, &claims).unwrap_err()
    }

    /// The refusal of the statement, changed.
    fn statement(&self, change: impl Fn(&mut Statement)) -> VerifyError {
        let mut statement = self.public.statement;
        change(&mut statement);
        self.check(&statement, &self.public.claims()).unwrap_err()
    }
}

fn prove(stage: &Stage, statement: &Statement) -> Proof {
    stage.model.prove_witness(&stage.circuit, statement, &stage.witness).unwrap()
}

macro_rules! assert_error {
    ($error:expr, $pattern:pat) => {
        let error = $error;
        assert!(matches!(error, $pattern), "{error}");
    };
}

fn honest(stage: &Stage) -> Vec<Vec<i32>> {
    stage.outputs(&stage.run(&mut |_, _| {}))
}

#[test]
fn p17_replays() {
    for (lb, count) in [(0, 1), (2, 3)] {
        let stage = Stage::new(nets::residual(), lb, count);
        let outputs = honest(&stage);
        let told = Told::new(&stage, &outputs);
        let context = told.claim(|claim| claim.instance.context[0] ^= 1);
        let expected = if lb == 0 { "context" } else { "io_root" };
        assert!(context.to_string().contains(expected), "{context}");
        assert_error!(told.claim(|claim| claim.instance.salt[31] ^= 1), VerifyError::IoRoot { .. });
        assert_error!(told.claim(|claim| claim.path.push([0; 32])), VerifyError::PathLength { .. });
        assert_error!(told.claim(|claim| claim.index = 1 << lb), VerifyError::Index { .. });
        let context = told.statement(|statement| statement.context[5] ^= 1);
        assert_error!(context, VerifyError::Context { .. });
        let root = told.statement(|statement| statement.io_root[5] ^= 1);
        assert_error!(root, VerifyError::IoRoot { .. });
        assert_error!(told.statement(|statement| statement.lb += 1), VerifyError::Batch { .. });
        let other = Stage::new(network(6), 0, 1).circuit.model_id();
        assert_error!(
            told.statement(|statement| statement.model = other),
            VerifyError::Model { .. }
        );
        let none = told.check(&told.public.statement, &[]);
        assert_error!(none.unwrap_err(), VerifyError::Instances { got: 0, .. });
        let all = told.public.claims();
        let many: Vec<_> = all.iter().cycle().take((1 << lb) + 1).cloned().collect();
        let many = told.check(&told.public.statement, &many);
        assert_error!(many.unwrap_err(), VerifyError::Instances { .. });
        for (what, change) in LENGTHS {
            let mut lists = (stage.inputs[0].clone(), outputs[0].clone());
            change(&mut lists);
            let mut claims = all.clone();
            (claims[0].instance.input, claims[0].instance.output) = (&lists.0, &lists.1);
            let error = told.check(&told.public.statement, &claims).unwrap_err();
            assert!(matches!(error, VerifyError::Length { .. }), "{what}: {error}");
        }
    }
}

#[test]
fn p17_replays_in_a_batch() {
    let mut stage = Stage::new(nets::residual(), 2, 3);
    let outputs = honest(&stage);
    let told = Told::new(&stage, &outputs);
    assert_error!(told.claim(|claim| claim.index ^= 1), VerifyError::IoRoot { .. });
    assert_error!(told.claim(|claim| claim.path[0][0] ^= 1), VerifyError::IoRoot { .. });
    let mut claims = told.public.claims();
    let (a, b) = (claims[0].instance, claims[1].instance);
    (claims[0].instance, claims[1].instance) = (b, a);
    assert_error!(
        told.check(&told.public.statement, &claims).unwrap_err(),
        VerifyError::IoRoot { .. }
    );
    // Each claim is checked, not the first alone.
    let mut claims = told.public.claims();
    claims[2].instance.salt[0] ^= 1;
    let last = told.check(&told.public.statement, &claims).unwrap_err();
    assert_error!(last, VerifyError::IoRoot { index: 2, .. });

    // An instance that is out of its interval, under a root that is its own.
    stage.inputs[0][0] = 128;
    let public = Public::new(&stage, &outputs);
    let proof = prove(&stage, &public.statement);
    let result = verify(&stage.circuit, &public.statement, &public.claims(), &proof);
    assert_error!(result.unwrap_err(), VerifyError::Value { what: "input", .. });
}

/// Another request, with a statement that is its own, and the old proof.
#[test]
fn p17_a_proof_for_another_request() {
    let stage = Stage::new(nets::residual(), 0, 1);
    let outputs = honest(&stage);
    let public = Public::new(&stage, &outputs);
    let proof = prove(&stage, &public.statement);
    let mut claims = public.claims();
    claims[0].instance.context = [77; 32];
    let io_root = claims[0].instance.leaf();
    let statement = Statement { context: [77; 32], io_root, ..public.statement };
    assert!(verify(&stage.circuit, &statement, &claims, &proof).is_err());
    assert!(verify(&stage.circuit, &statement, &claims, &prove(&stage, &statement)).is_ok());
}

type Lists = (Vec<i32>, Vec<i32>);

type Change = fn(&mut Lists);

const LENGTHS: [(&str, Change); 4] = [
    ("shorter input", |lists| drop(lists.0.drain(..1))),
    ("longer input", |lists| lists.0.push(0)),
    ("shorter output", |lists| drop(lists.1.drain(..1))),
    ("longer output", |lists| lists.1.push(0)),
];

#[test]
fn p18_every_circuit_has_its_bits() {
    for (name, net) in nets::all() {
        for lb in 0..=10 {
            let stage = Stage::new(net(), 0, 1);
            let circuit = Circuit::new(stage.model.descriptor(), lb).unwrap();
            let bits = circuit.budget().bits();
            assert!((100.0..160.0).contains(&bits), "{name}, lb {lb}: {bits}");
            let total: f64 =
                circuit.budget().terms().iter().map(|term| term.log2_error.exp2()).sum();
            assert!((bits + total.log2()).abs() < 1e-6, "{name}, lb {lb}: {bits}");
        }
        let stage = Stage::new(net(), 0, 1);
        assert!(Circuit::new(stage.model.descriptor(), 11).is_err());
    }
}

/// Each term of section 8 is that of the circuit's own sizes.
#[test]
fn p18_the_budget_counts_the_circuit() {
    let stage = Stage::new(network(44), 0, 1);
    for lb in [0, 3] {
        let circuit = Circuit::new(stage.model.descriptor(), lb).unwrap();
        let sizes = circuit.sizes();
        // 17,536 rows of tables and some thousand lookups; the largest tensor is 8 by 8 by 4.
        assert_eq!([sizes.tree_arity, sizes.claim_arity, sizes.layer_arity], [15, 15, 8]);
        assert_eq!(circuit.columns().layout().unwrap().log_leaves(), 15);
        let (lists, schedule) = {
            let schedule = circuit.schedule().unwrap();
            (schedule.log2_list_size(), schedule.security_bits())
        };
        let over_field = lists - assay_zkml::soundness::log2_extension_size();
        // 12 forms, 6 convolutions, 2 forms with a bias, tuples of 2 values.
        let weights = 8.0 + 2.0 * stage.circuit.weights().log_weights() as f64;
        let points = f64::from(sizes.claim_arity + sizes.layer_arity + 2 * lb);
        let wanted = [
            ("lookup identity", (2.0 * f64::from(sizes.tree_arity).exp2()).log2() + over_field),
            ("batching of forms", 12_f64.log2() + over_field),
            ("layer sumcheck", (2.0 * f64::from(sizes.layer_arity)).log2() + over_field),
            ("evaluation points", points.log2() + over_field),
            ("weight sumcheck", weights.log2() + over_field),
            ("WHIR, all terms", -schedule),
        ];
        for (name, log2_error) in wanted {
            let term = circuit.budget().terms().iter().find(|term| term.name == name).unwrap();
            assert!((term.log2_error - log2_error).abs() < 1e-9, "lb {lb}, {name}");
        }
    }
}

/// Weights that nothing reads, and the inputs of unused instances: accepted, with `y` unchanged.
#[test]
fn p19_what_may_be_anything() {
    let stage = Stage::new(network(43), 1, 1);
    let honest = stage.run(&mut |_, _| {});
    let outputs = stage.outputs(&honest);

    let mut other = stage.inputs.clone();
    other.push(stage.inputs[0].iter().map(|value| -value).collect());
    let reference = stage.reference();
    let garbage = reference.run(reference.input(&other), &mut |_, _| {});
    assert_eq!(stage.outputs(&garbage), outputs);
    let (witness, _) = stage.written(&garbage);
    assert_ne!(witness, stage.witness);
    assert!(stage.prove(&witness, &outputs).is_ok());

    let mut net = network(43);
    let segment = net.program.segments[0];
    let pad = segment.off as usize + ((segment.outputs as usize) << segment.log_channels);
    net.weights[pad] = 9999;
    let padded = Stage::of(net, 1, stage.inputs.clone());
    assert_ne!(padded.circuit.model_id(), stage.circuit.model_id());
    assert_eq!(padded.outputs(&padded.run(&mut |_, _| {})), outputs);
    assert!(padded.prove(&padded.witness, &outputs).is_ok());
}
