//! A prover made of the public parts of section 3's steps, with a lie in any of them.
//!
//! It commits to one thing and says another in one step, and makes every later message fit, as far
//! as the steps allow.

use assay_zkml::advice;
use assay_zkml::chain::Started;
use assay_zkml::circuit::{OpeningBatch, OpeningPoint};
use assay_zkml::columns::ClaimedValues;
use assay_zkml::field::{F, K};
use assay_zkml::layers::{
    self, LayerClaim, LayerEnds, LayerError, LayerStatement, ProvedLayers, remote_tensors,
};
use assay_zkml::lookups::{self, LookupProof};
use assay_zkml::multilinear::{eq_table, evaluate};
use assay_zkml::proof::{Proof, SentEnds};
use assay_zkml::statement::Statement;
use assay_zkml::tensor_code;
use assay_zkml::transcript::Transcript;
use assay_zkml::weight_commitment::{CommittedWeights, WeightOpening};
use assay_zkml::weights::{self, WeightError, WeightStatement};
use assay_zkml::witness::Witness;
use p3_field::{Field, PrimeCharacteristicRing};

use super::Stage;

type AboutValues<'a> = dyn Fn(&[K], &mut ClaimedValues) + 'a;
type AboutInputs<'a> = dyn Fn(&[K], &[K], &mut Vec<K>) + 'a;

/// What a liar says in each step, given what an honest prover would say.
#[derive(Default)]
pub(crate) struct Lies<'a> {
    /// Step 4, knowing `rho`.
    pub(crate) values: Option<&'a AboutValues<'a>>,
    /// Step 6: which value of a convolution is false.
    pub(crate) conv: Option<usize>,
    /// Step 6, in a batch: the values of inputs, knowing `rho` and `tau`.
    pub(crate) inputs: Option<&'a AboutInputs<'a>>,
    /// Step 6: whether the value of a tensor, by its place among those sent, is made to fit.
    pub(crate) fit_tensor: Option<usize>,
    /// Step 8: whether the value of the weights is made to fit.
    pub(crate) fit_value: bool,
    /// Step 9: whether the row is made to fit.
    pub(crate) fit_row: bool,
}

/// The steps of section 3, with `lies` in them.
pub(crate) fn prove(
    stage: &Stage,
    statement: &Statement,
    witness: &Witness,
    lies: &Lies<'_>,
) -> Proof {
    let liar = Liar { stage, witness, lies };
    let claim_arity = stage.circuit.sizes().claim_arity as usize;
    let schedule = stage.circuit.schedule().unwrap();
    let commit = |transcript: &mut Transcript| advice::commit(schedule, liar.columns(), transcript);
    let (state, advice) = Started::new(statement).commit(commit).unwrap();
    let (state, tree) = state.look_up(|transcript| liar.look_up(transcript), claim_arity).unwrap();
    let values = liar.values(state.rho());
    let claims = liar.claims(state.rho(), &values);
    let state = state.claim(&[&values.columns, &values.virtuals, &values.outputs]);
    let lambda = state.lambda();
    let (state, (proved, claim)) = state
        .layer(|rho, lambda, transcript| liar.layers(&claims, rho, lambda, transcript))
        .unwrap();
    let ends = liar.ends(&proved.ends, &claim, state.rho(), lambda);
    let sent = liar.sent(&ends, state.rho(), state.tau());
    let state = state.end(&[&sent.tensors, &sent.convs, &sent.biases, &sent.inputs], stage.lb);
    let (state, (weight_rounds, weight_value, weights)) = state
        .weigh(|rho, tau, lambda, transcript| liar.weigh(&ends, [rho, tau], lambda, transcript))
        .unwrap();
    let advice_root = Some(advice.root());
    let open = |points: [&[K]; 3], transcript: &mut Transcript| {
        advice.open(&liar.points(points), transcript)
    };
    let advice = Some(state.open(open).unwrap());
    Proof {
        advice_root,
        lookups: tree,
        values,
        layer_rounds: proved.rounds,
        ends: sent,
        weight_rounds,
        weight_value,
        weights,
        advice,
    }
}

struct Liar<'a> {
    stage: &'a Stage,
    witness: &'a Witness,
    lies: &'a Lies<'a>,
}

impl Liar<'_> {
    fn columns(&self) -> Vec<Vec<F>> {
        let columns = self.witness.committed(self.stage.circuit.columns());
        columns.into_iter().map(<[_]>::to_vec).collect()
    }

    /// Steps 2 and 3.
    fn look_up(
        &self,
        transcript: &mut Transcript,
    ) -> Result<(Option<LookupProof>, Vec<K>), lookups::ProveError> {
        let Some(layout) = self.stage.circuit.columns().layout() else {
            return Ok((None, Vec::new()));
        };
        let tuples = self.witness.tuples(self.stage.program());
        let counts = &self.witness.multiplicities;
        let proved = lookups::prove(layout, &tuples, counts, transcript)?;
        Ok((Some(proved.proof), proved.point))
    }

    /// Step 4.
    fn values(&self, rho: &[K]) -> ClaimedValues {
        let lb = self.stage.lb;
        let output = self.witness.tensors.last().unwrap();
        let own = last(rho, output.len().trailing_zeros() as usize);
        let mut values = ClaimedValues {
            columns: self.columns().iter().map(|column| at(column, rho)).collect(),
            virtuals: self.witness.virtuals.iter().flatten().map(|v| at(v, rho)).collect(),
            outputs: slices(output, lb, &own[..own.len() - lb as usize]),
        };
        if let Some(lie) = self.lies.values {
            lie(rho, &mut values);
        }
        values
    }

    /// `C_l`, from the values as they are said to be.
    fn claims(&self, rho: &[K], values: &ClaimedValues) -> Vec<K> {
        let circuit = &self.stage.circuit;
        let ends = [self.witness.tensors.first(), self.witness.tensors.last()];
        let public = ends.map(|column| at(column.unwrap(), rho));
        let tensors = circuit.columns().tensor_values(values, public);
        let forms = circuit.columns().form_values(values, &tensors);
        layers::form_claims(circuit.program(), *circuit.sizes(), rho, &forms, &tensors).unwrap()
    }

    fn statement<'a>(&'a self, rho: &'a [K], lambda: K) -> LayerStatement<'a> {
        let circuit = &self.stage.circuit;
        LayerStatement { program: circuit.program(), sizes: *circuit.sizes(), rho, lambda }
    }

    /// Step 5, and what the verifier has at its end.
    fn layers(
        &self,
        claims: &[K],
        rho: &[K],
        lambda: K,
        transcript: &mut Transcript,
    ) -> Result<((ProvedLayers, LayerClaim), Vec<K>), LayerError> {
        let statement = self.statement(rho, lambda);
        let mut verifier = transcript.clone();
        let weights = self.stage.model.weights();
        let tensors = &self.witness.tensors;
        let proved = layers::prove(&statement, claims, tensors, weights, transcript)?;
        let claim = layers::verify(&statement, claims, &proved.rounds, &mut verifier)?;
        let tau = proved.tau.clone();
        Ok(((proved, claim), tau))
    }

    /// Tensors whose ends are not sent: the input.
    fn unsent(&self) -> usize {
        let remote = remote_tensors(self.stage.circuit.program(), self.stage.lb);
        usize::from(remote.first() == Some(&0))
    }

    fn ends(&self, honest: &LayerEnds, claim: &LayerClaim, rho: &[K], lambda: K) -> LayerEnds {
        let mut ends = honest.clone();
        if let Some(conv) = self.lies.conv {
            ends.convs[conv] += K::ONE;
        }
        if let Some(place) = self.lies.fit_tensor {
            // The end is affine in each value, and the verifier says by how much it is missed.
            let place = self.unsent() + place;
            let statement = self.statement(rho, lambda);
            let missing = |ends: &LayerEnds| match claim.clone().check_ends(&statement, ends) {
                Ok(_) => K::ZERO,
                Err(LayerError::End { claimed, computed }) => claimed - computed,
                Err(error) => panic!("{error}"),
            };
            let mut more = ends.clone();
            more.tensors[place] += K::ONE;
            let slope = missing(&ends) - missing(&more);
            let step = missing(&ends) * slope.inverse();
            ends.tensors[place] += step;
            assert_eq!(missing(&ends), K::ZERO);
        }
        ends
    }

    /// Step 6.
    fn sent(&self, ends: &LayerEnds, rho: &[K], tau: &[K]) -> SentEnds {
        let mut inputs = slices(&self.witness.tensors[0], self.stage.lb, tau);
        if let Some(lie) = self.lies.inputs {
            lie(rho, tau, &mut inputs);
        }
        SentEnds {
            tensors: ends.tensors[self.unsent()..].to_vec(),
            convs: ends.convs.clone(),
            biases: ends.biases.clone(),
            inputs,
        }
    }

    /// Steps 7 to 9.
    fn weigh(
        &self,
        ends: &LayerEnds,
        [rho, tau]: [&[K]; 2],
        lambda: K,
        transcript: &mut Transcript,
    ) -> Result<(Vec<[K; 2]>, K, WeightOpening), WeightError> {
        let circuit = &self.stage.circuit;
        let (program, sizes) = (circuit.program(), *circuit.sizes());
        let statement = WeightStatement { program, sizes, rho, tau, lambda };
        let mut verifier = transcript.clone();
        let own = self.stage.model.weights();
        let (mode, shape) = (circuit.mode(), *circuit.weights());
        let committed = CommittedWeights::commit(mode, shape, own.to_vec()).unwrap();
        let summed = weights::prove(&statement, ends, own, transcript)?;
        let claim = weights::verify(&statement, ends, &summed.rounds, &mut verifier)?;
        let fast = tensor_code::CommittedWeights::commit(shape, own.to_vec()).unwrap();
        let (honest, mut row) = fast.combine(&summed.point)?;
        let mut value = honest;
        if let (true, Err(WeightError::End { claimed, computed })) =
            (self.lies.fit_value, claim.check_value(&statement, honest))
        {
            value = claimed * honest * computed.inverse();
        }
        if self.lies.fit_row {
            row[0] += (value - honest) * eq_table(&summed.point.columns)[0].inverse();
        }
        let opening = match committed {
            CommittedWeights::Fast(weights) => {
                WeightOpening::Fast(weights.open_columns(transcript, value, row))
            }
            CommittedWeights::Small(weights) => {
                WeightOpening::Small(weights.open_to(transcript, &summed.point, value).unwrap())
            }
        };
        Ok((summed.rounds, value, opening))
    }

    /// The points of step 10.
    fn points(&self, [rho, tau, omega]: [&[K]; 3]) -> Vec<Vec<K>> {
        let lb = self.stage.lb as usize;
        let point = |batch: &OpeningBatch| {
            let own = last(rho, batch.arity);
            let inner = batch.arity - lb;
            match batch.at {
                OpeningPoint::Rho => own.to_vec(),
                OpeningPoint::Tau => [last(tau, inner), last(rho, lb)].concat(),
                OpeningPoint::Input => [last(tau, inner), omega].concat(),
                OpeningPoint::Output => [&own[..inner], omega].concat(),
            }
        };
        self.stage.circuit.batches().iter().map(point).collect()
    }
}

/// The last `n` coordinates.
pub(crate) fn last(point: &[K], n: usize) -> &[K] {
    &point[point.len() - n..]
}

/// A column at its last coordinates of `point`.
pub(crate) fn at(column: &[F], point: &[K]) -> K {
    let arity = column.len().trailing_zeros() as usize;
    // The input has no place at rho without a batch, and none is asked for.
    if point.len() < arity { K::ZERO } else { evaluate(column, last(point, arity)).unwrap() }
}

/// In a batch, the value of each instance's slice of a column; `point` is without the batch.
fn slices(column: &[F], lb: u32, point: &[K]) -> Vec<K> {
    if lb == 0 {
        return Vec::new();
    }
    let slice = |b: usize| column.iter().skip(b).step_by(1 << lb).copied().collect::<Vec<_>>();
    (0..1 << lb).map(|b| at(&slice(b), point)).collect()
}
